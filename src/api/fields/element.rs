//! Path elements: one step from an object to what it holds, in the text form of `FieldsV1` keys.
//!
//! | text | step | for people |
//! |---|---|---|
//! | `f:replicas` | the field of an object, the key of a map | `.replicas` |
//! | `k:{"name":"web"}` | the item of a list with these keys | `[name="web"]` |
//! | `v:"a"` | the item of a set with this value | `[="a"]` |
//! | `i:3` | the item at this place | `[3]` |
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{Map, Text, Value};

use crate::status::quote;

/// The step to the field `name`.
pub fn field(name: &str) -> Text {
    ["f:", name].into_iter().collect()
}

/// The step to the item of a list with these keys.
pub fn key(keys: Map) -> Text {
    with_value("k:", &Value::Object(keys))
}

/// The step to the item of a set with this value.
pub fn value(value: &Value) -> Text {
    with_value("v:", value)
}

fn with_value(kind: &str, value: &Value) -> Text {
    let mut text = kind.as_bytes().to_vec();
    value.write(&mut text);
    String::from_utf8_lossy(&text).into()
}

/// Reads a key that somebody else wrote, and gives it the one spelling used here; `None` for a kind
/// of element that is not known.
pub fn parse(text: &str) -> Result<Option<Text>, String> {
    let (kind, rest) = match text.split_at_checked(2) {
        Some(parts) => parts,
        None => return Err("key must be 2 characters long:".to_owned()),
    };
    if !kind.ends_with(':') {
        return Err(format!("missing colon: {text}"));
    }
    let read = || serde_json::from_str::<Value>(rest).map_err(|error| error.to_string());
    Ok(Some(match kind {
        "f:" => text.into(),
        "v:" => value(&read()?),
        "k:" => match read()? {
            Value::Object(keys) => key(keys),
            _ => return Err(format!("expected an object of keys: {text}")),
        },
        "i:" => {
            let index: i64 = rest
                .parse()
                .map_err(|_| format!("expected an index: {text}"))?;
            format!("i:{index}").into()
        }
        _ => return Ok(None),
    }))
}

/// The step as paths in messages show it.
pub fn display(element: &str) -> String {
    let (kind, rest) = element.split_at_checked(2).unwrap_or(("", element));
    let read = || serde_json::from_str::<Value>(rest).unwrap_or_default();
    match kind {
        "f:" => format!(".{rest}"),
        "v:" => format!("[={}]", display_value(&read())),
        "i:" => format!("[{rest}]"),
        "k:" => {
            let keys = read();
            let keys = keys.as_object().into_iter().flatten();
            let pairs = keys.map(|(name, value)| format!("{name}={}", display_value(value)));
            format!("[{}]", pairs.collect::<Vec<_>>().join(","))
        }
        _ => "{{invalid path element}}".to_owned(),
    }
}

fn display_value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}
