//! Events have two spellings of one object: `v1` (stored) and `events.k8s.io/v1`.
//!
//! The API server converts at its edge; the rest of the cluster meets the spelling it asked for.
//! Source of the names: `pkg/apis/core/v1/conversion` and `pkg/apis/events/v1/conversion.go`.
//!
//! 1. Converting there and back gives the same object.
//! 2. A name that only the other spelling has is not invented and not lost: unknown fields stay.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::{Map, Value};

use super::KindId;

/// (`v1`, `events.k8s.io/v1`) names of the fields that differ.
const SPELLINGS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Rewrites an Event in place into the spelling of `to`; an object of another kind, or one that
/// is already so spelled, is left alone.
pub fn convert(event: &mut Value, to: KindId) {
    let Some(object) = event.as_object_mut() else {
        return;
    };
    if object.get("kind").and_then(Value::as_str) != Some("Event") {
        return;
    }
    let target = to.info().api_version;
    if object.get("apiVersion").and_then(Value::as_str) == Some(target) {
        return;
    }
    for (old, new) in SPELLINGS {
        match to {
            KindId::Event => rename(object, new, old),
            KindId::EventsEvent => rename(object, old, new),
            _ => return,
        }
    }
    object.insert("apiVersion", target.into());
}

fn rename(object: &mut Map, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.insert(to, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;

    #[test]
    fn converting_there_and_back_gives_the_same_object() {
        let stored = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web-0.1"},
            "involvedObject": {"kind": "Pod", "name": "web-0"}, "message": "Started",
            "reason": "Started", "count": 2, "type": "Normal", "eventTime": null,
            "source": {"component": "kubelet"}, "firstTimestamp": "2026-01-02T03:04:05Z",
            "lastTimestamp": "2026-01-02T03:04:06Z", "reportingComponent": "kubelet",
            "reportingInstance": "n1",
        });
        let mut event = stored.clone();
        convert(&mut event, KindId::EventsEvent);
        assert_eq!(event["regarding"]["name"], "web-0");
        assert_eq!(event["deprecatedCount"], 2);
        assert_eq!(event["apiVersion"], "events.k8s.io/v1");
        assert_eq!(event.get("message"), None);
        convert(&mut event, KindId::Event);
        assert_eq!(event, stored);
    }

    #[test]
    fn other_kinds_are_left_alone() {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "message": "x"});
        let before = pod.clone();
        convert(&mut pod, KindId::EventsEvent);
        assert_eq!(pod, before);
    }
}
