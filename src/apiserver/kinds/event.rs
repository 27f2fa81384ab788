//! Event: something that happened to an object, told to people.
//!
//! One kind in two spellings; what is stored, and what all functions here see, is the `v1` one
//! (`wavetank_api::kinds::events` converts at the edge). The newer API asks for more, so each has a
//! row of its own. Sources: `pkg/registry/core/event/strategy.go`,
//! `pkg/apis/core/validation/events.go`.
//!
//! 1. An event lies in the namespace of the object it is about (or in `default`, for objects
//!    without one).
//! 2. What the newer API has written down as happened never changes, but for its series.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::{Time, names};

use super::{age, edit, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Strategy};

/// The row of `v1` events.
pub(crate) const STRATEGY: Strategy = Strategy {
    default: plain::no_defaults,
    defaulted: &[],
    prepare_create: plain::create_as_sent,
    prepare_update: plain::update_as_sent,
    prepare_status: plain::keep_all_but_status,
    validate,
    validate_update,
    validate_status: plain::no_update_rules,
    name_rule: rules::subdomain_name,
    has_status: false,
    has_generation: false,
    create_on_update: true,
    unconditional_update: true,
    fields,
    field_paths: &[
        "involvedObject",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ],
    columns: COLUMNS,
    row,
    row_paths: &[
        "count",
        "eventTime",
        "firstTimestamp",
        "involvedObject",
        "lastTimestamp",
        "message",
        "reason",
        "reportingComponent",
        "reportingInstance",
        "series",
        "source",
        "type",
    ],
    graceful: plain::immediate,
};

/// The row of `events.k8s.io/v1` events.
pub(crate) const NEWER: Strategy = Strategy {
    validate: validate_newer,
    validate_update: validate_newer_update,
    ..STRATEGY
};

const COLUMNS: &[Column] = &[
    plain::column("Last Seen", "string", ".lastTimestamp"),
    plain::column("Type", "string", ".type"),
    plain::column("Reason", "string", ".reason"),
    plain::column("Object", "string", ".involvedObject"),
    plain::wide("Subobject", "string", ".involvedObject.fieldPath"),
    plain::wide("Source", "string", ".source"),
    plain::column("Message", "string", ".message"),
    plain::wide("First Seen", "string", ".firstTimestamp"),
    plain::wide("Count", "string", ".count"),
    Column {
        priority: 1,
        ..plain::NAME
    },
];

const WORD_MAX: usize = 128;
const MESSAGE_MAX: usize = 1_024;

fn validate(event: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(event);
    validate_namespace(&root, &mut errors);
    if root.child("eventTime").is_set() {
        validate_new_style(&root, "reportingComponent", &mut errors);
    }
    errors
}

fn validate_namespace(root: &Field<'_, '_>, errors: &mut Errors) {
    let (metadata, involved) = (root.child("metadata"), root.child("involvedObject"));
    let (own, of_object) = (metadata.child("namespace"), involved.child("namespace"));
    let agrees = if of_object.is_empty() {
        matches!(own.str(), "" | "default")
    } else {
        own.str() == of_object.str()
    };
    if !agrees {
        of_object.invalid_as(errors, of_object.str(), "does not match event.namespace");
    }
}

/// Rules for events with an `eventTime`; `reporter` is what the request's spelling calls the
/// controller that reports.
fn validate_new_style(root: &Field<'_, '_>, reporter: &str, errors: &mut Errors) {
    let controller = root.child("reportingComponent");
    let shown = root.child(reporter);
    if controller.is_empty() {
        shown.required(errors, "");
    }
    for complaint in names::qualified_name(controller.str()) {
        shown.invalid_as(errors, controller.str(), complaint);
    }
    for word in ["reportingInstance", "action", "reason"] {
        let word = root.child(word);
        if word.is_empty() {
            word.required(errors, "");
        }
        at_most(&word, WORD_MAX, errors);
    }
    at_most(&root.child("message"), MESSAGE_MAX, errors);
}

fn at_most(text: &Field<'_, '_>, limit: usize, errors: &mut Errors) {
    if text.str().len() > limit {
        text.invalid_as(errors, "", format!("can have at most {limit} characters"));
    }
}

fn validate_update(new: &Value, _: &Value) -> Errors {
    validate(new)
}

fn validate_newer(event: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(event);
    validate_namespace(&root, &mut errors);
    if !root.child("eventTime").is_set() {
        root.child("eventTime").required(&mut errors, "");
    }
    validate_new_style(&root, "reportingController", &mut errors);
    let kind = root.child("type");
    if !matches!(kind.str(), "Normal" | "Warning") {
        kind.invalid_as(
            &mut errors,
            "",
            format!("has invalid value: {}", kind.str()),
        );
    }
    for stamp in ["firstTimestamp", "lastTimestamp"] {
        if root.child(stamp).is_set() {
            root.child(stamp)
                .invalid_as(&mut errors, "", "needs to be unset");
        }
    }
    if root.child("count").number() != 0 {
        root.child("count")
            .invalid_as(&mut errors, "", "needs to be unset");
    }
    let source = root.child("source");
    if !source.child("component").is_empty() || !source.child("host").is_empty() {
        source.invalid_as(&mut errors, "", "needs to be unset");
    }
    errors
}

fn validate_newer_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate_newer(new);
    let (root, before) = (Field::root(new), Field::root(old));
    for name in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ] {
        root.child(name).immutable(&mut errors, &before.child(name));
    }
    errors
}

fn fields(event: &Value) -> Vec<(&'static str, String)> {
    [
        ("involvedObject.kind", &["involvedObject", "kind"][..]),
        ("involvedObject.namespace", &["involvedObject", "namespace"]),
        ("involvedObject.name", &["involvedObject", "name"]),
        ("involvedObject.uid", &["involvedObject", "uid"]),
        (
            "involvedObject.apiVersion",
            &["involvedObject", "apiVersion"],
        ),
        (
            "involvedObject.resourceVersion",
            &["involvedObject", "resourceVersion"],
        ),
        ("involvedObject.fieldPath", &["involvedObject", "fieldPath"]),
        ("reason", &["reason"]),
        ("reportingComponent", &["reportingComponent"]),
        ("source", &["source", "component"]),
        ("type", &["type"]),
    ]
    .into_iter()
    .map(|(field, path)| match (field, edit::text(event, path)) {
        ("source", "") => (field, edit::text(event, &["reportingComponent"]).into()),
        (_, text) => (field, text.into()),
    })
    .collect()
}

/// What a selectable field of the newer spelling is called in the stored one
/// (`pkg/apis/events/v1/conversion.go`, `AddFieldLabelConversionsForEvent`).
pub(crate) fn stored_field(newer: &str) -> Option<String> {
    match newer {
        "reason" | "type" => Some(newer.to_owned()),
        "reportingController" => Some("reportingComponent".to_owned()),
        _ => newer
            .strip_prefix("regarding.")
            .map(|field| format!("involvedObject.{field}")),
    }
}

fn row(event: &Value, now: Time) -> Vec<Value> {
    let event_time = edit::text(event, &["eventTime"]);
    let stamp = |name, otherwise| match edit::text(event, &[name]) {
        "" => otherwise,
        text => text,
    };
    let first = stamp("firstTimestamp", event_time);
    let mut last = stamp("lastTimestamp", first);
    let mut count = edit::number(event, &["count"]).max(1);
    if edit::at(event, &["series"]).is_some() {
        last = edit::text(event, &["series", "lastObservedTime"]);
        count = edit::number(event, &["series", "count"]);
    }
    let involved = |field| edit::text(event, &["involvedObject", field]);
    let kind = involved("kind").to_lowercase();
    let object = match involved("name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        age::since(last, now).into(),
        edit::text(event, &["type"]).into(),
        edit::text(event, &["reason"]).into(),
        object.into(),
        involved("fieldPath").into(),
        source(event).into(),
        edit::text(event, &["message"]).trim().into(),
        age::since(first, now).into(),
        count.into(),
        plain::name(event),
    ]
}

fn source(event: &Value) -> String {
    let either = |path: &[&str], other| match edit::text(event, path) {
        "" => edit::text(event, &[other]),
        text => text,
    };
    let component = either(&["source", "component"], "reportingComponent");
    match either(&["source", "host"], "reportingInstance") {
        _ if component.is_empty() => String::new(),
        "" => component.into(),
        host => format!("{component}, {host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn an_event_lies_beside_its_object() {
        let event = |own: &str, of: &str| {
            json!({"metadata": {"namespace": own},
                "involvedObject": {"namespace": of}})
        };
        assert!(validate(&event("shop", "shop")).is_empty());
        assert!(validate(&event("default", "")).is_empty());
        assert_eq!(
            validate(&event("shop", "")).to_string(),
            "involvedObject.namespace: Invalid value: \"\": does not match event.namespace"
        );
    }

    #[test]
    fn the_newer_api_asks_for_more() {
        let event = json!({"metadata": {"namespace": "default"}, "type": "Odd", "count": 2,
            "reportingComponent": "kubelet", "reportingInstance": "n1", "reason": "Pulled"});
        assert_eq!(
            validate_newer(&event).to_string(),
            "[eventTime: Required value, action: Required value, \
             type: Invalid value: \"\": has invalid value: Odd, \
             count: Invalid value: \"\": needs to be unset]"
        );
        assert!(validate(&event).is_empty());
    }

    #[test]
    fn a_series_counts_for_its_event() {
        let event = json!({"eventTime": "2026-01-02T03:00:00.000000Z", "type": "Warning",
            "reason": "BackOff", "reportingComponent": "kubelet", "reportingInstance": "n1",
            "series": {"count": 7, "lastObservedTime": "2026-01-02T03:04:00.000000Z"},
            "involvedObject": {"kind": "Pod", "name": "web-0"}, "message": "Back-off \n",
            "metadata": {"name": "web-0.1"}});
        let now = Time::parse("2026-01-02T03:05:00Z").unwrap();
        let cells = json!([
            "60s",
            "Warning",
            "BackOff",
            "pod/web-0",
            "",
            "kubelet, n1",
            "Back-off",
            "5m",
            7,
            "web-0.1"
        ]);
        assert_eq!(Value::from(row(&event, now)), cells);
    }
}
