//! May this pod run here? The last look before its containers are made.
//!
//! Asked by `kubelet.rs` once per pod UID. Upstream: `pkg/kubelet/lifecycle/predicate.go` over the
//! scheduler's NodeResourcesFit and NodePorts.
//!
//! 1. The sum of requests of pods that run or may run never exceeds allocatable (P7, M64); a pod
//!    that is being stopped counts until nothing of it runs (M65).
//!
//! Left out: node affinity and taints; preemption in favour of critical pods.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Resources;
use crate::pod::{PodSpec, Port};
use crate::qos;

/// Why a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `OutOfcpu`, `NodePorts`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Whether a pod fits beside the `others`, which hold what they request.
pub(crate) fn admit<'a>(
    pod: &PodSpec,
    others: impl Iterator<Item = &'a PodSpec>,
    allocatable: &Resources,
) -> Result<(), Refusal> {
    let mut used = Resources::default();
    let mut ports = BTreeSet::new();
    for other in others {
        used.add(&qos::requests(other));
        ports.extend(host_ports(other));
    }
    let wanted = qos::requests(pod);
    let name = |text: &str| Arc::<str>::from(text);
    let built_in = [
        (name("pods"), wanted.pods, used.pods, allocatable.pods),
        (
            name("cpu"),
            wanted.milli_cpu,
            used.milli_cpu,
            allocatable.milli_cpu,
        ),
        (
            name("memory"),
            wanted.memory,
            used.memory,
            allocatable.memory,
        ),
        (
            name("ephemeral-storage"),
            wanted.ephemeral_storage,
            used.ephemeral_storage,
            allocatable.ephemeral_storage,
        ),
    ];
    let amount = |from: &Resources, name: &str| from.extended.get(name).copied().unwrap_or(0);
    let extended = wanted.extended.iter().map(|(name, value)| {
        (
            name.clone(),
            *value,
            amount(&used, name),
            amount(allocatable, name),
        )
    });
    for (name, wanted, used, capacity) in built_in.into_iter().chain(extended) {
        if wanted > 0 && wanted > capacity.saturating_sub(used) {
            return Err(out_of(&name, wanted, used, capacity));
        }
    }
    if host_ports(pod).any(|port| ports.contains(&port)) {
        let message = "Predicate NodePorts failed: node(s) didn't have free ports for the \
                       requested pod ports";
        return Err(Refusal {
            reason: "NodePorts".into(),
            message: message.into(),
        });
    }
    Ok(())
}

/// The reason of the event that tells of a refusal. Events carry fixed words; resources that only
/// some clusters have share one.
pub(crate) fn event_reason(reason: &str) -> &'static str {
    let known = [
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
        "OutOfephemeral-storage",
        "NodePorts",
    ];
    known
        .into_iter()
        .find(|word| *word == reason)
        .unwrap_or("UnexpectedAdmissionError")
}

fn out_of(name: &str, wanted: u64, used: u64, capacity: u64) -> Refusal {
    Refusal {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, \
             capacity: {capacity}"
        ),
    }
}

/// Host ports with protocol and address. An address of all (`0.0.0.0`) is the same as none.
fn host_ports(spec: &PodSpec) -> impl Iterator<Item = (u16, Arc<str>, Arc<str>)> {
    let ports = spec.all().flat_map(|(_, container)| &container.ports);
    ports.filter(|port| port.host_port != 0).map(|port: &Port| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
        let any = port.host_ip.is_empty() || &*port.host_ip == "0.0.0.0";
        let address = if any {
            Arc::from("")
        } else {
            port.host_ip.clone()
        };
        (port.host_port, protocol, address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> PodSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_refused_in_upstreams_words() {
        let allocatable = Resources {
            milli_cpu: 4000,
            memory: 1 << 30,
            pods: 3,
            ..Resources::default()
        };
        let big = spec(r#"{"containers":[{"name":"a","resources":{"requests":{"cpu":"3900m"}}}]}"#);
        let one = spec(r#"{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}]}"#);
        assert_eq!(admit(&big, [].iter(), &allocatable), Ok(()));
        let refusal = admit(&one, [&big].into_iter(), &allocatable).unwrap_err();
        assert_eq!(refusal.reason, "OutOfcpu");
        assert_eq!(
            refusal.message,
            "Node didn't have enough resource: cpu, requested: 1000, used: 3900, capacity: 4000"
        );
        let none = spec(r#"{"containers":[{"name":"a"}]}"#);
        let refusal = admit(&none, [&none, &none, &none].into_iter(), &allocatable).unwrap_err();
        assert_eq!(refusal.reason, "OutOfpods");
    }

    #[test]
    fn two_pods_cannot_have_one_host_port() {
        let allocatable = Resources {
            pods: 9,
            ..Resources::default()
        };
        let web = spec(r#"{"containers":[{"name":"a","ports":[{"hostPort":80}]}]}"#);
        let dns =
            spec(r#"{"containers":[{"name":"a","ports":[{"hostPort":80,"protocol":"UDP"}]}]}"#);
        assert_eq!(admit(&dns, [&web].into_iter(), &allocatable), Ok(()));
        assert_eq!(
            admit(&web, [&web].into_iter(), &allocatable)
                .unwrap_err()
                .reason,
            "NodePorts"
        );
    }
}
