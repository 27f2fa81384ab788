//! Secret: a ConfigMap whose values are bytes in base64, and whose type says what must be there.
//!
//! Sources: `pkg/registry/core/secret/strategy.go`, `pkg/apis/core/validation`.
//!
//! 1. `stringData` is never stored: it is folded into `data` while defaulting, as upstream does it
//!    while decoding, so that patches and applies of it work too.
//! 2. The type of a secret never changes.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::Time;
use wavetank_api::json::{Map, Value};

use super::config_map::{DATA_LIMIT_BYTES, frozen, valid_key};
use super::{age, base64, edit, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Strategy};

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["type", "data", "stringData"],
    prepare_create: plain::create_as_sent,
    prepare_update,
    prepare_status: plain::keep_all_but_status,
    validate,
    validate_update,
    validate_status: plain::no_update_rules,
    name_rule: rules::subdomain_name,
    has_status: false,
    has_generation: false,
    create_on_update: false,
    unconditional_update: true,
    fields,
    field_paths: &["type"],
    columns: COLUMNS,
    row,
    row_paths: &["data", "type"],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Type", "string", ".type"),
    plain::column("Data", "string", ".data"),
    plain::AGE,
];

const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

fn default(secret: &mut Value) {
    edit::default_text(secret, "type", "Opaque");
    let Some(Value::Object(texts)) = edit::remove(secret, "stringData") else {
        return;
    };
    edit::default_to(secret, "data", Map::new());
    let Some(data) = secret.get_mut("data") else {
        return;
    };
    for (key, text) in texts {
        edit::set(
            data,
            &key,
            base64::encode(text.as_str().unwrap_or_default().as_bytes()),
        );
    }
}

/// An older client that does not know the type must not reset it.
fn prepare_update(new: &mut Value, old: &Value) {
    if edit::text(new, &["type"]).is_empty() {
        edit::copy(new, "type", old);
    }
}

fn validate(secret: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(secret);
    let data = root.child("data");
    let mut size = 0;
    for (key, value) in data.entries() {
        valid_key(key, &value, &mut errors);
        size += base64::decoded_len(value.str());
    }
    if size > DATA_LIMIT_BYTES {
        data.too_long(&mut errors, DATA_LIMIT_BYTES);
    }
    validate_type(&root, &data, &mut errors);
    errors
}

fn validate_type(root: &Field<'_, '_>, data: &Field<'_, '_>, errors: &mut Errors) {
    let has = |key| data.key(key).is_set();
    let need = |key: &str, errors: &mut Errors| {
        if !data.key(key).is_set() {
            data.key(key).required(errors, "");
        }
    };
    match root.child("type").str() {
        "kubernetes.io/service-account-token" => {
            let metadata = root.child("metadata");
            let annotations = metadata.child("annotations");
            let name = annotations.key(SERVICE_ACCOUNT_NAME);
            if name.is_empty() {
                name.required(errors, "");
            }
        }
        "kubernetes.io/dockercfg" => validate_json(&data.key(".dockercfg"), errors),
        "kubernetes.io/dockerconfigjson" => validate_json(&data.key(".dockerconfigjson"), errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need("username", errors);
            need("password", errors);
        }
        "kubernetes.io/ssh-auth" if data.key("ssh-privatekey").is_empty() => {
            data.key("ssh-privatekey").required(errors, "");
        }
        "kubernetes.io/tls" => {
            need("tls.crt", errors);
            need("tls.key", errors);
        }
        _ => {}
    }
}

fn validate_json(entry: &Field<'_, '_>, errors: &mut Errors) {
    if !entry.is_set() {
        return entry.required(errors, "");
    }
    let bytes = base64::decode(entry.str()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Map>(&bytes) {
        entry.invalid_as(errors, "<secret contents redacted>", error.to_string());
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    Field::root(new)
        .child("type")
        .immutable(&mut errors, &Field::root(old).child("type"));
    frozen(new, old, &["data"], &mut errors);
    errors.extend(validate(new));
    errors
}

fn fields(secret: &Value) -> Vec<(&'static str, String)> {
    vec![("type", edit::text(secret, &["type"]).into())]
}

fn row(secret: &Value, now: Time) -> Vec<Value> {
    let entries = Field::root(secret).child("data").len();
    vec![
        plain::name(secret),
        edit::text(secret, &["type"]).into(),
        entries.into(),
        age::of_object(secret, now).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn string_data_becomes_data() {
        let mut secret = json!({"data": {"a": "MQ==", "b": "Mg=="}, "stringData": {"a": "foo"}});
        default(&mut secret);
        assert_eq!(
            secret,
            json!({"type": "Opaque", "data": {"a": "Zm9v", "b": "Mg=="}})
        );
    }

    #[test]
    fn a_secret_must_hold_what_its_type_says() {
        for (kind, expected) in [
            (
                "kubernetes.io/tls",
                "[data[tls.crt]: Required value, data[tls.key]: Required value]",
            ),
            (
                "kubernetes.io/ssh-auth",
                "data[ssh-privatekey]: Required value",
            ),
            (
                "kubernetes.io/basic-auth",
                "[data[username]: Required value, data[password]: Required value]",
            ),
            (
                "kubernetes.io/dockerconfigjson",
                "data[.dockerconfigjson]: Required value",
            ),
            (
                "kubernetes.io/service-account-token",
                "metadata.annotations[kubernetes.io/service-account.name]: Required value",
            ),
        ] {
            assert_eq!(validate(&json!({"type": kind})).to_string(), expected);
        }
        assert!(validate(&json!({"type": "example.com/own"})).is_empty());
    }

    #[test]
    fn the_type_of_a_secret_stays() {
        let errors = validate_update(&json!({"type": "b"}), &json!({"type": "a"}));
        assert_eq!(
            errors.to_string(),
            "type: Invalid value: \"b\": field is immutable"
        );
    }
}
