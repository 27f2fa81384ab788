//! ConfigMap: configuration as keys and values, 1 MiB at most.
//!
//! Sources: `pkg/registry/core/configmap/strategy.go`, `pkg/apis/core/validation`.
//!
//! 1. Keys are fit to be file names, and none is in both `data` and `binaryData`.
//! 2. Once `immutable`, neither the data nor `immutable` itself changes again.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::{Time, names};

use super::{age, base64, edit, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Strategy};

/// The row of the table.
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
    create_on_update: false,
    unconditional_update: true,
    fields: plain::no_fields,
    field_paths: &[],
    columns: COLUMNS,
    row,
    row_paths: &["data", "binaryData"],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Data", "string", ".data"),
    plain::AGE,
];

/// The most bytes of all values together, here and in a Secret.
pub(crate) const DATA_LIMIT_BYTES: usize = 1 << 20;

fn validate(map: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(map);
    let (data, binary) = (root.child("data"), root.child("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        valid_key(key, &value, &mut errors);
        if binary.key(key).is_set() {
            value.invalid_as(&mut errors, key, "duplicate of key present in binaryData");
        }
        size += value.str().len();
    }
    for (key, value) in binary.entries() {
        valid_key(key, &value, &mut errors);
        size += base64::decoded_len(value.str());
    }
    if size > DATA_LIMIT_BYTES {
        // Upstream's path of the whole object, which it writes as an empty index.
        root.key("").too_long(&mut errors, DATA_LIMIT_BYTES);
    }
    errors
}

/// The key of one entry must be fit to be a file name.
pub(crate) fn valid_key(key: &str, entry: &Field<'_, '_>, errors: &mut Errors) {
    for complaint in names::config_map_key(key) {
        entry.invalid_as(errors, key, complaint);
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    frozen(new, old, &["data", "binaryData"], &mut errors);
    errors.extend(validate(new));
    errors
}

/// Once `immutable`, `immutable` and these fields stay as they are.
pub(crate) fn frozen(new: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    if !edit::flag(old, &["immutable"]) {
        return;
    }
    let (root, before) = (Field::root(new), Field::root(old));
    if !root.child("immutable").is_true() {
        root.child("immutable").forbidden(errors, DETAIL);
    }
    for field in fields {
        let (is, was) = (root.child(field), before.child(field));
        if is.value() != was.value() && !(is.is_empty() && was.is_empty()) {
            is.forbidden(errors, DETAIL);
        }
    }
}

fn row(map: &Value, now: Time) -> Vec<Value> {
    let root = Field::root(map);
    let entries = root.child("data").len() + root.child("binaryData").len();
    vec![
        plain::name(map),
        entries.into(),
        age::of_object(map, now).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn bad_config_maps_are_refused_in_upstreams_words() {
        let key = names::config_map_key("a/b").join("");
        let cases = [
            (
                json!({"data": {"a/b": "1"}}),
                format!("data[a/b]: Invalid value: \"a/b\": {key}"),
            ),
            (
                json!({"data": {"a": "1"}, "binaryData": {"a": "MQ=="}}),
                "data[a]: Invalid value: \"a\": duplicate of key present in binaryData".into(),
            ),
            (
                json!({"data": {"a": "x".repeat(DATA_LIMIT_BYTES + 1)}}),
                "[]: Too long: may not be more than 1048576 bytes".into(),
            ),
        ];
        for (map, expected) in cases {
            assert_eq!(validate(&map).to_string(), expected);
        }
        assert!(validate(&json!({"data": {"a": "1", "b.txt": ""}})).is_empty());
    }

    #[test]
    fn an_immutable_config_map_stays_as_it_is() {
        let old = json!({"immutable": true, "data": {"a": "1"}});
        assert!(validate_update(&old, &old).is_empty());
        assert_eq!(
            validate_update(&json!({"data": {"a": "2"}}), &old).to_string(),
            "[immutable: Forbidden: field is immutable when `immutable` is set, \
             data: Forbidden: field is immutable when `immutable` is set]"
        );
    }
}
