//! Which API servers are up, as the Endpoints of the Service `kubernetes` say.
//!
//! Each server keeps a key of its own on a short lease, and from time to time makes the Endpoints
//! and the EndpointSlice name the servers whose keys are there. The key of a server that stops goes
//! with its lease, and the next server to look takes its address away. Upstream:
//! `pkg/controlplane/reconcilers/lease.go`, called by
//! `pkg/controlplane/controller/kubernetesservice/controller.go`.
//!
//! 1. A server names others only when it has seen its own key renewed: what it names is not older
//!    than that.
//!
//! Left out: leaving at once when a server is stopped on purpose.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use wavetank_api::json::{Value, json};

use wavetank_api::{KindId, Request, Revision, Time};
use wavetank_store::{Event, LeaseId, Op, Range, Txn};

use crate::bootstrap::{BASE, SLICES, apply};
use crate::cache::Cache;
use crate::core::{Core, Next, Task};
use crate::reply::Answer;
use crate::step::Address;

/// Below this lies one key for each server that is up, beside those of objects.
const MEMBERS: &str = "/registry/masterleases/";
/// How long a key outlives its last renewal (`DefaultEndpointReconcilerTTL`).
const TTL: Duration = Duration::from_secs(15);
/// How often it is renewed (`DefaultEndpointReconcilerInterval`).
const INTERVAL: Duration = Duration::from_secs(10);

/// The servers that are up, and this one's place among them.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// Addresses whose keys exist; follows the store's watch.
    members: BTreeSet<Ipv4Addr>,
    /// When this server renews its key; absent while it is not to be named.
    due: Option<Time>,
    /// The key was renewed since the Endpoints were looked at; written by [`renewed`].
    is_renewed: bool,
}

fn member(key: &str) -> Option<Ipv4Addr> {
    key.strip_prefix(MEMBERS)?.parse().ok()
}

impl Membership {
    /// The state of the store at one revision.
    pub fn sync(&mut self, snapshot: &Range) {
        self.members = snapshot
            .kvs
            .iter()
            .filter_map(|kv| member(&kv.key))
            .collect();
    }

    /// The next event of the store's watch.
    pub fn observe(&mut self, event: &Event) {
        let Some(address) = member(&event.key) else {
            return;
        };
        if event.now.is_some() {
            self.members.insert(address);
        } else {
            self.members.remove(&address);
        }
    }

    /// From now on this server is to be named, unless no pod could reach its address.
    pub fn join(&mut self, at: Address, now: Time) {
        let is_reachable = !at.ip.is_loopback() && !at.ip.is_unspecified();
        self.due = is_reachable.then_some(now);
    }

    /// When the key is to be renewed.
    pub fn due(&self) -> Option<Time> {
        self.due
    }

    /// Whether the key is to be renewed now; then not again before the interval is over.
    pub fn take_due(&mut self, now: Time) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = Some(now + INTERVAL);
        }
        is_due
    }

    /// What must be written so that the Endpoints name the servers that are up: nothing, if they
    /// do, or before this server's own key was renewed, or while there is no place for them.
    pub fn publish(&mut self, at: Address, cache: &Cache) -> Vec<Request> {
        let has_place = cache.get(KindId::Namespace, "", "default").is_some();
        if !self.is_renewed || !has_place {
            return Vec::new();
        }
        self.is_renewed = false;
        let wanted = [
            (
                KindId::Endpoints,
                format!("{BASE}/endpoints"),
                self.endpoints(at),
            ),
            (KindId::EndpointSlice, SLICES.to_owned(), self.slice(at)),
        ];
        let differs = |kind: KindId, wanted: &Value| {
            let found = cache.get(kind, "default", "kubernetes");
            found.is_none_or(|found| !has_all(&found.value(), wanted))
        };
        let wrong = wanted
            .iter()
            .filter(|(kind, _, wanted)| differs(*kind, wanted));
        wrong
            .map(|(_, path, wanted)| apply(&format!("{path}/kubernetes"), wanted))
            .collect()
    }

    fn endpoints(&self, at: Address) -> Value {
        let addresses = self.members.iter().map(|ip| json!({"ip": ip}));
        let addresses: Vec<_> = addresses.collect();
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes",
                         "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": addresses, "ports": ports(at)}],
        })
    }

    fn slice(&self, at: Address) -> Value {
        let endpoint = |ip: &Ipv4Addr| json!({"addresses": [ip], "conditions": {"ready": true}});
        let endpoints: Vec<_> = self.members.iter().map(endpoint).collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes",
                         "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports(at),
        })
    }
}

fn ports(at: Address) -> Value {
    json!([{"name": "https", "port": at.port, "protocol": "TCP"}])
}

/// Whether `found` says all that `wanted` says.
fn has_all(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| found.get(name).is_some_and(|found| has_all(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => {
            let mut pairs = found.iter().zip(wanted);
            found.len() == wanted.len() && pairs.all(|(found, wanted)| has_all(found, wanted))
        }
        _ => found == wanted,
    }
}

/// Renewing begins with a lease: each time a new one, because so short a one cannot be shared.
pub(crate) fn renew() -> Next {
    Next::Grant(TTL, Task::Renew)
}

/// The lease is there: the key is put on it.
pub(crate) fn put(lease: Option<LeaseId>, core: &Core) -> Next {
    if lease.is_none() {
        return Next::Done(Answer::internal("the store granted no lease"));
    }
    let at = core.config.advertise;
    let key = format!("{MEMBERS}{}", at.ip).into();
    let value = json!({"apiVersion": "v1", "kind": "Endpoints",
                       "subsets": [{"addresses": [{"ip": at.ip}]}]});
    let value = value.to_string().into();
    Next::Txn(Txn::new(vec![Op::Put { key, value, lease }]), Task::Renewed)
}

/// The key is on disk: once the cache has seen it, the others that it has seen are named.
pub(crate) fn wait(revision: Revision) -> Next {
    Next::Wait(revision, Task::Renewed)
}

/// The cache has seen the key.
pub(crate) fn renewed(core: &mut Core) -> Next {
    core.membership.is_renewed = true;
    Next::Done(Answer::Value(200, Value::Null))
}
