//! Cluster IPs and node ports: taken and given back in the same transaction as the Service.
//!
//! Each taken address is a key of its own below `/registry/ranges/`, created only if absent; so two
//! API servers with lagging caches can never hand out one address twice (#37488, #64466), and there
//! is nothing to repair after a crash. Upstream keeps a bitmap or IPAddress objects in transactions
//! of their own, with a repair loop.
//!
//! 1. A Service and its addresses are written, changed and deleted in one transaction.
//! 2. An address belongs to at most one Service.
//!
//! Left out: dual stack, load balancer addresses.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use bytes::Bytes;
use wavetank_api::json::{Map, Value, json};

use wavetank_api::{Guard, Guards, KindId, Revision};
use wavetank_store::{Compare, Key, Op};

use crate::cache::RANGES;
use crate::core::Core;
use crate::field::{Errors, FieldError, FieldErrorKind};
use crate::metadata;
use crate::reply::Refusal;
use crate::route::Route;
use crate::write::{Decision, Write};

/// What a write of a Service takes and gives back.
#[derive(Debug, Default)]
pub(crate) struct Allocation {
    claims: BTreeSet<String>,
    releases: BTreeSet<String>,
    owner: String,
    guards: Guards,
}

impl Allocation {
    /// Adds conditions and writes to a decision.
    pub fn add_to(self, decision: &mut Decision) {
        let owner = Bytes::from(json!({"service": self.owner}).to_string());
        for key in self.claims {
            let key: Key = key.into();
            if self.guards.on(Guard::M76) {
                decision.compares.push(Compare::ModRevision {
                    key: key.clone(),
                    equals: Revision(0),
                });
            }
            decision.ops.push(Op::Put {
                key,
                value: owner.clone(),
                lease: None,
            });
        }
        for key in self.releases {
            decision.ops.push(Op::Delete { key: key.into() });
        }
    }
}

/// Everything a Service holds, as keys.
fn held(service: &Value) -> BTreeSet<String> {
    let ips = service
        .pointer("/spec/clusterIPs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let ips = ips
        .filter_map(Value::as_str)
        .filter_map(|ip| ip.parse().ok())
        .map(ip_key);
    let ports = service
        .pointer("/spec/ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let ports = ports
        .filter_map(|port| port.get("nodePort")?.as_u64())
        .filter(|port| *port > 0);
    ips.chain(ports.map(port_key)).collect()
}

fn ip_key(ip: Ipv4Addr) -> String {
    format!("{RANGES}serviceips/{ip}")
}

fn port_key(port: u64) -> String {
    format!("{RANGES}servicenodeports/{port}")
}

/// What the removal of an object gives back.
pub(crate) fn release(object: &Value, kind: KindId) -> Allocation {
    match kind {
        KindId::Service => Allocation {
            releases: held(object),
            ..Allocation::default()
        },
        _ => Allocation::default(),
    }
}

// ANCHOR: allocate
/// Fills in the addresses a Service still lacks and claims them; those it no longer has are given
/// back. Other kinds need nothing.
pub(crate) fn allocate(
    core: &mut Core,
    write: &mut Write,
    object: &mut Value,
    old: Option<&Value>,
    route: &Route,
) -> Result<Allocation, Refusal> {
    if write.kind != KindId::Service || route.subresource == "status" {
        return Ok(Allocation::default());
    }
    let before = old.map(held).unwrap_or_default();
    let mut errors = Errors::new();
    let mut claims = BTreeSet::new();
    let mut draw = Draw {
        core,
        write,
        before: &before,
        claims: &mut claims,
    };
    draw.cluster_ip(object, old, &mut errors);
    draw.node_ports(object, &mut errors);
    if !errors.is_empty() {
        return Err(metadata::invalid(route, &errors));
    }
    for key in &claims {
        let key: Key = key.as_str().into();
        if !write.beside.contains(&key) {
            write.beside.push(key);
        }
    }
    let after = held(object);
    let owner = format!("{}/{}", route.namespace, metadata::text(object, "name"));
    Ok(Allocation {
        claims,
        releases: before.difference(&after).cloned().collect(),
        owner,
        guards: core.config.guards,
    })
}
// ANCHOR_END: allocate

/// Chooses addresses that nobody is known to hold.
struct Draw<'a> {
    core: &'a mut Core,
    write: &'a Write,
    /// What the Service holds already.
    before: &'a BTreeSet<String>,
    /// What this write takes.
    claims: &'a mut BTreeSet<String>,
}

impl Draw<'_> {
    fn is_taken(&self, key: &str) -> bool {
        match self.write.seen.get(key) {
            Some(live) => live.is_some(),
            None => self.core.cache.is_allocated(key),
        }
    }

    /// Takes this one; false when another Service has it.
    fn claim(&mut self, key: String) -> bool {
        if self.before.contains(&key) || self.claims.contains(&key) {
            return true;
        }
        if self.is_taken(&key) {
            return false;
        }
        self.claims.insert(key);
        true
    }

    /// The first free number at or after a random place, within `from..to`.
    fn any(&mut self, from: u64, to: u64, key: impl Fn(u64) -> String) -> Option<u64> {
        let size = to.saturating_sub(from);
        let start = self.core.chance.below(size);
        let found = (0..size)
            .map(|step| from + (start + step) % size)
            .find(|number| {
                let key = key(*number);
                !self.before.contains(&key) && !self.claims.contains(&key) && !self.is_taken(&key)
            })?;
        self.claims.insert(key(found));
        Some(found)
    }

    fn cluster_ip(&mut self, service: &mut Value, old: Option<&Value>, errors: &mut Errors) {
        let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else {
            return;
        };
        if text(spec, "type") == "ExternalName" {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                spec.remove(field);
            }
            return;
        }
        let said = said_ip(spec);
        let was = old
            .and_then(|old| old.pointer("/spec/clusterIP"))
            .and_then(Value::as_str);
        let said = if said.is_empty() {
            was.unwrap_or_default().to_string()
        } else {
            said
        };
        spec.entry("ipFamilyPolicy")
            .or_insert_with(|| "SingleStack".into());
        spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
        let ip = match said.as_str() {
            "None" => "None".to_string(),
            "" => match self.draw_ip() {
                Some(ip) => ip.to_string(),
                None => {
                    let detail = "failed to allocate a serviceIP: range is full";
                    return errors.push(ip_error(FieldErrorKind::Internal, &[], detail));
                }
            },
            text => match self.claim_ip(text) {
                Ok(()) => text.to_string(),
                Err(why) => {
                    let detail = format!("failed to allocate IP {text}: {why}");
                    return errors.push(ip_error(FieldErrorKind::Invalid, &[text], &detail));
                }
            },
        };
        spec.insert("clusterIP", ip.as_str().into());
        spec.insert("clusterIPs", json!([ip]));
    }

    /// Free addresses are drawn above the first block, which is left to those who choose
    /// themselves (KEP-3070).
    fn draw_ip(&mut self) -> Option<Ipv4Addr> {
        let cidr = self.core.config.service_cidr;
        let last = cidr.size().saturating_sub(1);
        let band = (cidr.size() / 16).clamp(16, 256).min(last);
        let key = |at: u64| cidr.nth(at).map(ip_key).unwrap_or_default();
        let at = match self.any(band.max(1), last, key) {
            Some(at) => Some(at),
            None => self.any(1, band, key),
        };
        cidr.nth(at?)
    }

    fn claim_ip(&mut self, text: &str) -> Result<(), String> {
        let cidr = self.core.config.service_cidr;
        let ip: Ipv4Addr = text
            .parse()
            .map_err(|_| "not a valid IPv4 address".to_string())?;
        if !cidr.contains(ip) {
            return Err(format!(
                "the provided network does not match the current range. The range of valid IPs is \
                 {}/{}",
                cidr.base, cidr.bits
            ));
        }
        match self.claim(ip_key(ip)) {
            true => Ok(()),
            false => Err("provided IP is already allocated".to_string()),
        }
    }

    fn node_ports(&mut self, service: &mut Value, errors: &mut Errors) {
        let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else {
            return;
        };
        let kind = text(spec, "type").to_string();
        let allocates = spec.get("allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
        let wants = kind == "NodePort" || (kind == "LoadBalancer" && allocates);
        let ports = spec.get_mut("ports").map(Value::items_mut);
        for (at, port) in ports.into_iter().flatten().enumerate() {
            let Some(port) = port.as_object_mut() else {
                continue;
            };
            if !matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
                port.remove("nodePort");
                continue;
            }
            match port
                .get("nodePort")
                .and_then(Value::as_u64)
                .filter(|port| *port > 0)
            {
                Some(number) => self.claim_port(number, at, errors),
                None if wants => self.draw_port(port, at, errors),
                None => {}
            }
        }
    }

    fn claim_port(&mut self, number: u64, at: usize, errors: &mut Errors) {
        let range = &self.core.config.node_port_range;
        let (low, high) = (u64::from(*range.start()), u64::from(*range.end()));
        if !(low..=high).contains(&number) {
            let detail = format!(
                "provided port is not in the valid range. The range of valid ports is {low}-{high}"
            );
            errors.push(port_error(at, number, detail));
        } else if !self.claim(port_key(number)) {
            errors.push(port_error(
                at,
                number,
                "provided port is already allocated".to_string(),
            ));
        }
    }

    fn draw_port(&mut self, port: &mut Map, at: usize, errors: &mut Errors) {
        let range = &self.core.config.node_port_range;
        let (low, high) = (u64::from(*range.start()), u64::from(*range.end()) + 1);
        match self.any(low, high, port_key) {
            Some(number) => {
                port.insert("nodePort", number.into());
            }
            None => {
                let detail = "failed to allocate a nodePort: range is full".to_string();
                errors.push(port_error(at, 0, detail));
            }
        }
    }
}

fn text<'a>(spec: &'a Map, field: &str) -> &'a str {
    spec.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The address the client asks for, in the old field or the first of the new.
fn said_ip(spec: &Map) -> String {
    let first = spec
        .get("clusterIPs")
        .and_then(|ips| ips.get(0))
        .and_then(Value::as_str);
    match text(spec, "clusterIP") {
        "" => first.unwrap_or_default().to_string(),
        ip => ip.to_string(),
    }
}

fn ip_error(kind: FieldErrorKind, ips: &[&str], detail: &str) -> FieldError {
    let path = "spec.clusterIPs".to_string();
    FieldError {
        path,
        kind,
        value: json!(ips),
        detail: detail.to_string(),
    }
}

fn port_error(at: usize, number: u64, detail: String) -> FieldError {
    let path = format!("spec.ports[{at}].nodePort");
    FieldError {
        path,
        kind: FieldErrorKind::Invalid,
        value: number.into(),
        detail,
    }
}
