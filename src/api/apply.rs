//! Server-side apply, and the ledger behind it: which manager owns which field.
//!
//! The API server calls [`track`] for every other write and [`apply`] for
//! `application/apply-patch+yaml`; both leave the ledger in `metadata.managedFields`. An apply is a
//! statement of what one manager wants: what it names it owns, what it named last time and does not
//! name now goes, unless somebody else owns it too; and what somebody else owns with another value
//! is a conflict (KEP-555; `k8s.io/apimachinery/pkg/util/managedfields`,
//! `sigs.k8s.io/structured-merge-diff/v4/merge/update.go`).
//!
//! 1. To apply the same twice changes nothing the second time: `an_apply_repeated_changes_nothing`.
//! 2. Who applies a field owns it, and no other manager with a different value does:
//!    `what_is_applied_is_owned`.
//! 3. A write that changes no field changes no owner and no time:
//!    `a_write_without_a_change_keeps_the_ledger`.
//! 4. No object makes it panic: `any_objects_are_tracked_and_applied_without_a_panic`.
//!
//! Left out: conversion between versions: an entry of another apiVersion stays as it is.
//!
//! Book: `book/src/control-plane/patch.md`.

mod compare;
mod conflict;
mod extent;
mod last_applied;
mod managers;
mod merge;
mod prune;
mod typed;

use std::sync::LazyLock;

use crate::json::{Map, Value};

use self::compare::{Comparison, compare};
use self::conflict::Conflict;
use self::managers::Entry;
use self::typed::Typed;
use crate::fields::Set;
use crate::schema::{Schema, TypeId};
use crate::status::{Reason, Status};
use crate::time::Time;

/// Who writes what kind of object, and how.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The `fieldManager` of the request, or the first part of its user agent.
    pub manager: &'a str,
    /// `apps/v1`.
    pub api_version: &'a str,
    /// `Deployment`.
    pub kind: &'a str,
    /// `status`, `scale`, …; empty for the object itself.
    pub subresource: &'a str,
    /// Fields that this endpoint does not write, with all below them ([`reset_fields`]).
    pub reset: &'a Set,
    /// For the entry's time.
    pub now: Time,
    /// All types.
    pub schema: &'a Schema,
    /// The type of the object.
    pub ty: TypeId,
}

/// The name of the manager of a request: its `fieldManager`, or else what its user agent begins
/// with, `kube-controller-manager` of `kube-controller-manager/v1.33.0 (linux/amd64)`
/// (`managerOrUserAgent`).
pub fn manager_name(field_manager: &str, user_agent: &str) -> String {
    const BYTES_MAX: usize = 128;
    if !field_manager.is_empty() {
        return field_manager.to_owned();
    }
    let mut name = String::new();
    let program = user_agent.split('/').next().unwrap_or_default();
    for c in program.chars().filter(|c| !c.is_control()) {
        if name.len() + c.len_utf8() > BYTES_MAX {
            break;
        }
        name.push(c);
    }
    name
}

/// The set of fields that an endpoint ignores: `["status"]` for most kinds, `["spec"]` and the like
/// for their status (upstream's `GetResetFields`).
pub fn reset_fields(paths: &[&[&str]]) -> Set {
    let mut set = Set::default();
    for path in paths {
        let elements: Vec<_> = path
            .iter()
            .map(|name| crate::fields::element::field(name))
            .collect();
        set.insert(&elements);
    }
    set
}

/// What nobody owns, because the server writes it (`stripmeta.go`).
static NOBODYS: LazyLock<Set> = LazyLock::new(|| {
    let meta = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let mut paths: Vec<Vec<&str>> = meta.iter().map(|name| vec!["metadata", name]).collect();
    paths.extend([vec!["apiVersion"], vec!["kind"], vec!["metadata"]]);
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    reset_fields(&paths)
});

/// Brings the ledger of `new` up to date after a write that is no apply; `live` is `None` for a
/// create. What the request says in `metadata.managedFields` is believed if it can be read, except
/// from a subresource; an empty list in it ends the tracking.
pub fn track(live: Option<&Value>, new: &mut Value, writer: &Writer<'_>) {
    let sent = managers::take(new);
    let before = live.and_then(managers::of);
    let (ledger, trusted) = managers::choose(before, sent, !writer.subresource.is_empty());
    let is_untracked = live.is_some() && ledger.as_array().is_none_or(|items| items.is_empty());
    if is_untracked {
        return;
    }
    let empty = live.is_none().then(|| compare::empty_object(new));
    let changes = compare(
        live.or(empty.as_ref()),
        Some(new),
        writer.typed(),
        writer.reset,
    );
    if changes.is_empty() && trusted {
        managers::put(new, ledger);
        return;
    }
    let Ok(mut entries) = managers::read(ledger, trusted) else {
        managers::put(new, before.cloned().unwrap_or_default());
        return;
    };
    own_changes(&mut entries, changes, writer);
    managers::put(new, managers::write(entries));
}

// ANCHOR: own_changes
/// Gives what a write changed to its manager and takes it from all others.
fn own_changes(entries: &mut Vec<Entry>, changes: Comparison, writer: &Writer<'_>) {
    for entry in entries
        .iter_mut()
        .filter(|entry| entry.api_version == writer.api_version)
    {
        entry.fields.subtract(&changes.removed);
        if !entry.is_update_of(writer) {
            entry.fields.subtract(&changes.modified);
            entry.fields.subtract(&changes.added);
        }
    }
    let Comparison {
        modified: mut gained,
        added,
        ..
    } = changes;
    gained.unite(&added);
    gained.subtract(&NOBODYS);
    if !gained.is_empty() {
        let own = managers::entry(entries, Entry::update_of(writer));
        own.fields.unite(&gained);
        own.time = Some(writer.now.to_rfc3339().into());
    }
    entries.retain(|entry| !entry.fields.is_empty());
    managers::cap(entries);
}
// ANCHOR_END: own_changes

/// Applies `applied` to `live` (`None` creates) for `writer.manager`, and answers the new object,
/// its ledger included, before defaulting. Without `force`, fields of others with other values are
/// refused with 409, one cause each.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Status> {
    check(applied, writer)?;
    let mut base = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let ledger = managers::take(&mut base).unwrap_or_default();
    let mut entries = managers::read(ledger, true).map_err(|error| {
        let message = format!("failed to decode managed fields: {error}");
        Status::failure(500, Reason::Unknown, message)
    })?;
    if entries.is_empty() && live.is_some() {
        let first = Writer {
            manager: "before-first-apply",
            ..*writer
        };
        let empty = compare::empty_object(&base);
        let changes = compare(Some(&empty), Some(&base), writer.typed(), writer.reset);
        own_changes(&mut entries, changes, &first);
    }
    let outcome = match merge_and_own(&base, applied, entries.clone(), writer, force) {
        Err(Refusal::Conflicts(conflicts)) if writer.manager == "kubectl" => {
            let left = last_applied::not_allowed(conflicts, &base, writer);
            if left.is_empty() {
                merge_and_own(&base, applied, entries, writer, true)
            } else {
                Err(Refusal::Conflicts(left))
            }
        }
        outcome => outcome,
    };
    let (mut object, entries) = outcome.map_err(Status::from)?;
    if writer.manager == "kubectl" {
        last_applied::refresh(&mut object, applied);
    }
    managers::put(&mut object, managers::write(entries));
    Ok(object)
}

/// Why an apply did not come about.
enum Refusal {
    Conflicts(Vec<Conflict>),
    Other(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        match refusal {
            Refusal::Conflicts(conflicts) => conflict::status(&conflicts),
            Refusal::Other(message) => Status::failure(500, Reason::Unknown, message),
        }
    }
}

// ANCHOR: merge_and_own
/// The apply itself (`Updater.Apply`): merge, own what was named, drop what is named no
/// more, and take from others what changed.
fn merge_and_own(
    live: &Value,
    applied: &Value,
    mut entries: Vec<Entry>,
    writer: &Writer<'_>,
    force: bool,
) -> Result<(Value, Vec<Entry>), Refusal> {
    let typed = writer.typed();
    let merged = merge::merge(live, applied, typed)
        .map_err(|error| Refusal::Other(format!("failed to merge config: {error}")))?;
    let mut named = extent::fields_of(applied, typed);
    named.subtract_deep(writer.reset);
    let own = managers::entry(&mut entries, Entry::apply_of(writer));
    own.api_version = writer.api_version.into();
    let last = core::mem::replace(&mut own.fields, named);
    let object = prune::prune(merged, &last, &entries, typed);
    let changes = compare(Some(live), Some(&object), typed, writer.reset);
    let is_changed = !changes.is_empty();
    let conflicts = take_from_others(&mut entries, changes, writer);
    if !force && !conflicts.is_empty() {
        return Err(Refusal::Conflicts(conflicts));
    }
    let own = managers::entry(&mut entries, Entry::apply_of(writer));
    own.fields.subtract(&NOBODYS);
    if is_changed || own.fields != last || own.time.is_none() {
        own.time = Some(writer.now.to_rfc3339().into());
    }
    entries.retain(|entry| !entry.fields.is_empty());
    Ok((object, entries))
}
// ANCHOR_END: merge_and_own

/// Takes what an apply changed from the other managers' entries; answers what they lost but for
/// what is gone, which is a conflict unless the apply is forced.
fn take_from_others(
    entries: &mut [Entry],
    changes: Comparison,
    writer: &Writer<'_>,
) -> Vec<Conflict> {
    let Comparison {
        removed,
        modified: mut taken,
        added,
    } = changes;
    taken.unite(&added);
    let mut conflicts = Vec::new();
    let others = entries
        .iter_mut()
        .filter(|entry| !entry.is_apply_of(writer));
    for entry in others.filter(|entry| entry.api_version == writer.api_version) {
        if entry.fields.meets(&taken) {
            conflicts.push(Conflict::between(entry, &taken));
        }
        entry.fields.subtract(&taken);
        entry.fields.subtract(&removed);
    }
    conflicts
}

/// What an applied object must be before it is merged.
fn check(applied: &Value, writer: &Writer<'_>) -> Result<(), Status> {
    let text = |pointer: &str| {
        applied
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (api_version, kind) = (text("/apiVersion"), text("/kind"));
    if (api_version, kind) != (writer.api_version, writer.kind) {
        let message = format!("invalid object type: {api_version}, Kind={kind}");
        return Err(Status::bad_request(message));
    }
    if applied
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    extent::validate(applied, writer.typed()).map_err(|errors| {
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let message = format!(
            "failed to create typed patch object ({namespace}/{name}; {api_version}, Kind={kind}): \
             {errors}"
        );
        Status::failure(500, Reason::Unknown, message)
    })
}

impl<'a> Writer<'a> {
    fn typed(&self) -> Typed<'a> {
        Typed::object(self.schema, self.ty)
    }
}

#[cfg(test)]
mod tests;
