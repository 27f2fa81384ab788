//! Priority: a pod's class becomes a number that the scheduler can compare.
//!
//! Source: `plugin/pkg/admission/priority`.
//!
//! 1. The number comes from the class and from nowhere else.
//! 2. At most one class is the default of all pods that name none.
//!
//! Book: `book/src/control-plane/admission.md`.

use std::sync::Arc;

use wavetank_api::KindId;
use wavetank_api::json::{Value, json};

use crate::kinds::edit;
use crate::kinds::priority_class::SYSTEM_CLASSES;
use crate::strategy::{Attributes, Denied, Operation, View};

/// Resolves the class of a new pod, keeps that of an old one, and allows one default class.
pub(super) fn admit(
    object: Option<&mut Value>,
    write: &Attributes<'_>,
    view: &dyn View,
) -> Result<(), Denied> {
    let Some(object) = object.filter(|_| write.subresource.is_empty()) else {
        return Ok(());
    };
    match (write.kind, write.operation) {
        (KindId::Pod, Operation::Create) => resolve(object, view),
        (KindId::Pod, Operation::Update) => {
            keep(object, write.old);
            Ok(())
        }
        (KindId::PriorityClass, Operation::Create | Operation::Update) => {
            only_default(object, write, view)
        }
        _ => Ok(()),
    }
}

// ANCHOR: resolve
fn resolve(pod: &mut Value, view: &dyn View) -> Result<(), Denied> {
    let name = edit::text(pod, &["spec", "priorityClassName"]);
    let class = match name {
        "" => default_class(view).unwrap_or_else(|| no_class().into()),
        name => named_class(name, view).ok_or_else(|| {
            Denied::Forbidden(format!("no PriorityClass with name {name} was found"))
        })?,
    };
    let priority = edit::number(&class, &["value"]);
    let policy = edit::text(&class, &["preemptionPolicy"]);
    let given = edit::at(pod, &["spec", "priority"]).and_then(Value::as_i64);
    if let Some(given) = given.filter(|given| *given != priority) {
        return Err(Denied::Forbidden(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; \
             priority admission controller computed {priority} from the given \
             PriorityClass name"
        )));
    }
    let given = edit::text(pod, &["spec", "preemptionPolicy"]);
    if !given.is_empty() && !policy.is_empty() && given != policy {
        return Err(Denied::Forbidden(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in \
             pod spec; priority admission controller computed {policy} from the given \
             PriorityClass name"
        )));
    }
    if let Some(spec) = edit::object(pod, "spec") {
        edit::default_text(
            spec,
            "priorityClassName",
            edit::text(&class, &["metadata", "name"]),
        );
        drop_empty(spec, "priorityClassName");
        edit::set(spec, "priority", priority);
        if !policy.is_empty() {
            edit::set(spec, "preemptionPolicy", policy);
        }
    }
    Ok(())
}
// ANCHOR_END: resolve

fn drop_empty(spec: &mut Value, key: &str) {
    if edit::text(spec, &[key]).is_empty() {
        edit::remove(spec, key);
    }
}

/// What a pod is given when no class is the default.
fn no_class() -> Value {
    json!({"value": 0, "preemptionPolicy": "PreemptLowerPriority"})
}

fn named_class(name: &str, view: &dyn View) -> Option<Arc<Value>> {
    view.object(KindId::PriorityClass, "", name).or_else(|| {
        // The system classes are always there, even before this server's cache has seen them.
        let (name, value) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name)?;
        let class = json!({"metadata": {"name": name}, "value": value,
            "preemptionPolicy": "PreemptLowerPriority"});
        Some(class.into())
    })
}

/// The default class: the one of least value, should a race have left two.
fn default_class(view: &dyn View) -> Option<Arc<Value>> {
    view.objects(KindId::PriorityClass, "")
        .into_iter()
        .filter(|class| edit::flag(class, &["globalDefault"]))
        .min_by_key(|class| edit::number(class, &["value"]))
}

fn keep(pod: &mut Value, old: Option<&Value>) {
    let (Some(spec), Some(old)) = (
        edit::object(pod, "spec"),
        old.and_then(|old| old.get("spec")),
    ) else {
        return;
    };
    for field in ["priority", "preemptionPolicy"] {
        if edit::at(spec, &[field]).is_none() {
            edit::copy(spec, field, old);
        }
    }
}

fn only_default(class: &Value, write: &Attributes<'_>, view: &dyn View) -> Result<(), Denied> {
    if !edit::flag(class, &["globalDefault"]) {
        return Ok(());
    }
    let Some(other) = default_class(view) else {
        return Ok(());
    };
    let name = edit::text(&other, &["metadata", "name"]);
    if write.operation == Operation::Update && name == write.name {
        return Ok(());
    }
    Err(Denied::Forbidden(format!(
        "PriorityClass {name} is already marked as default. Only one default can exist"
    )))
}
