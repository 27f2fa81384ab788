//! Where the pipeline looks a kind's strategy up.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use serde_json::Value;

use wavetank_api::KindId;

use crate::field::Errors;
use crate::strategy::{Admit, Column, Grace, Strategy};

/// How this kind differs from the others.
pub(crate) fn strategy(_kind: KindId) -> &'static Strategy {
    &PLAIN
}

/// The admission plugins in order.
pub(crate) fn plugins() -> &'static [(&'static str, Admit)] {
    &[]
}

const NAME: Column = Column {
    name: "Name",
    of_type: "string",
    format: "name",
    description: "Name must be unique within a namespace.",
    priority: 0,
};

static PLAIN: Strategy = Strategy {
    default: |_| (),
    prepare_create: |_, _| (),
    prepare_update: |new, old| keep(new, old, "status"),
    prepare_status: |new, old| {
        let status = new.get("status").cloned();
        let metadata = new.get("metadata").cloned();
        *new = old.clone();
        new["status"] = status.unwrap_or_default();
        new["metadata"] = metadata.unwrap_or_default();
    },
    validate: |_| Errors::new(),
    validate_update: |_, _| Errors::new(),
    validate_status: |_, _| Errors::new(),
    name_rule: |_, _| Vec::new(),
    has_status: true,
    has_generation: false,
    create_on_update: false,
    unconditional_update: true,
    fields: |value| match value.get("kind").and_then(Value::as_str) {
        Some("Pod") => vec![(
            "spec.nodeName",
            value
                .pointer("/spec/nodeName")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_string(),
        )],
        _ => Vec::new(),
    },
    columns: &[NAME],
    row: |value, _| vec![value.pointer("/metadata/name").cloned().unwrap_or_default()],
    graceful: |_, _| Grace::Immediate,
};

fn keep(new: &mut Value, old: &Value, field: &str) {
    let Some(fields) = new.as_object_mut() else {
        return;
    };
    match old.get(field) {
        Some(value) => fields.insert(field.to_string(), value.clone()),
        None => fields.remove(field),
    };
}
