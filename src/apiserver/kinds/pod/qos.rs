//! The QoS class of a pod: who is killed first when a node runs out of memory.
//!
//! Called by `pod.rs` when a pod is made. Source: `pkg/apis/core/v1/helper/qos`.
//!
//! 1. `Guaranteed` needs cpu and memory limits on every container, with requests equal to them.
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::collections::BTreeMap;

use wavetank_api::json::Value;
use wavetank_api::quantity::Quantity;

use super::resources::quantity_of;
use crate::kinds::edit;

/// The class of a pod, by the requests and limits of all its containers that are not ephemeral.
pub(crate) fn class(pod: &Value) -> &'static str {
    let mut requests = BTreeMap::new();
    let mut limits = BTreeMap::new();
    let mut all_limited = true;
    for list in ["containers", "initContainers"] {
        for container in edit::list(pod, &["spec", list]) {
            add(&mut requests, container, "requests");
            let limited = add(&mut limits, container, "limits");
            all_limited &= limited == 2;
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal = requests.len() == limits.len()
        && requests
            .iter()
            .all(|(name, request)| limits.get(name) == Some(request));
    if all_limited && equal {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Adds a container's cpu and memory to the sums; how many of the two it has.
fn add(sums: &mut BTreeMap<&'static str, i128>, container: &Value, which: &str) -> usize {
    let mut found = 0;
    for name in ["cpu", "memory"] {
        let amount: Option<Quantity> =
            edit::at(container, &["resources", which, name]).and_then(quantity_of);
        if let Some(amount) = amount.filter(|amount| amount.signum() > 0) {
            found += 1;
            *sums.entry(name).or_default() += i128::from(amount.milli_value());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn the_class_follows_requests_and_limits() {
        let full = json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"},
            "limits": {"cpu": "1000m", "memory": "1024Mi"}}});
        let some = json!({"resources": {"requests": {"cpu": "1"}}});
        for (containers, expected) in [
            (json!([{}]), "BestEffort"),
            (
                json!([{"resources": {"requests": {"example.com/gpu": "1"}}}]),
                "BestEffort",
            ),
            (json!([full, full]), "Guaranteed"),
            (json!([full, some]), "Burstable"),
            (json!([full, {}]), "Burstable"),
        ] {
            assert_eq!(
                class(&json!({"spec": {"containers": containers}})),
                expected
            );
        }
    }
}
