//! DELETE: at once, by way of a grace period, or when the finalizers are done.
//!
//! Upstream: `k8s.io/apiserver/pkg/registry/rest/delete.go` (`BeforeDelete`) and
//! `registry/generic/registry/store.go` (`Delete`, `updateForGracefulDeletionAndFinalizers`).
//!
//! 1. deletionTimestamp only moves earlier, the grace period only shrinks (A11).
//! 2. An object with finalizers is marked, not removed (A12).
//! 3. Preconditions are compared with the version that is deleted (A2).
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::time::Duration;

use wavetank_api::json::Value;

use wavetank_api::kinds::VirtualId;
use wavetank_api::status::{Cause, Named};
use wavetank_api::strict::FieldValidation;
use wavetank_api::{KindId, Revision, Status, Time};

use crate::admit::admit;
use crate::call::{Call, unsupported};
use crate::core::{Core, Next};
use crate::reply::Refusal;
use crate::route::{Route, no_such_path};
use crate::strategy::{DeleteOptions, Grace, Propagation};
use crate::write::{Current, Decision, Op, Outcome, Reply, SeenView, Write};
use crate::{metadata, registry, services};

/// Held while the garbage collector takes the dependents away from this owner.
const ORPHAN: &str = "orphan";
/// Held while the garbage collector deletes the dependents.
const FOREGROUND: &str = "foregroundDeletion";

/// A delete on its way.
#[derive(Clone, Debug)]
pub(crate) struct Delete {
    /// What is deleted.
    pub route: Route,
    /// How.
    pub options: DeleteOptions,
    /// What is answered instead of the object or a Status: evictions.
    pub success: Option<Refusal>,
}

/// Begins a DELETE of one object.
pub(crate) fn begin(core: &mut Core, call: &mut Call, now: Time) -> Result<Next, Refusal> {
    let options = read_options(call)?;
    let route = call.route.clone().ok_or_else(no_such_path)?;
    Ok(Delete {
        route,
        options,
        success: None,
    }
    .start(core, call, now))
}

/// The options, from the body and from the query.
pub(crate) fn read_options(call: &mut Call) -> Result<DeleteOptions, Refusal> {
    let body = match call.body.is_empty() {
        true => Value::Null,
        false => call.decode_virtual(VirtualId::DeleteOptions, FieldValidation::Ignore)?,
    };
    options_of(&body, call)
}

/// The options of a body that is decoded; what it does not say, the query may.
pub(crate) fn options_of(body: &Value, call: &mut Call) -> Result<DeleteOptions, Refusal> {
    let mut causes = Vec::new();
    let propagation = propagation(body, call, &mut causes);
    let dry_run = dry_run(body, call, &mut causes);
    let orphan_dependents = body.get("orphanDependents").and_then(Value::as_bool);
    if orphan_dependents.is_some() && propagation.is_some() {
        let message = "Invalid value: orphanDependents and deletionPropagation cannot be both set";
        causes.push(Cause::new(
            "FieldValueInvalid",
            message,
            "propagationPolicy",
        ));
    }
    if !causes.is_empty() {
        let of = Named {
            group: "meta.k8s.io",
            resource: "DeleteOptions",
        };
        return Err(Status::invalid(of, "", causes).into());
    }
    let grace = body.get("gracePeriodSeconds").and_then(Value::as_i64);
    let asked = call
        .query
        .number("gracePeriodSeconds")
        .map_err(Status::bad_request)?;
    let precondition = |name: &str| {
        let value = body
            .get("preconditions")
            .and_then(|p| p.get(name))
            .and_then(Value::as_str);
        value.map(str::to_string)
    };
    call.dry_run |= dry_run;
    Ok(DeleteOptions {
        grace_period_seconds: grace.or(asked),
        propagation,
        orphan_dependents,
        uid: precondition("uid"),
        resource_version: precondition("resourceVersion"),
        dry_run,
    })
}

fn propagation(body: &Value, call: &Call, causes: &mut Vec<Cause>) -> Option<Propagation> {
    let said = body.get("propagationPolicy").and_then(Value::as_str);
    match said.unwrap_or(call.query.get("propagationPolicy")) {
        "" => None,
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        "Orphan" => Some(Propagation::Orphan),
        other => {
            let supported = ["Background", "Foreground", "Orphan", "nil"];
            let shown = wavetank_api::status::quote(other);
            causes.push(unsupported("propagationPolicy", &shown, &supported));
            None
        }
    }
}

fn dry_run(body: &Value, call: &Call, causes: &mut Vec<Cause>) -> bool {
    let said: Vec<&str> = match body.get("dryRun").and_then(Value::as_array) {
        Some(values) => values.iter().filter_map(Value::as_str).collect(),
        None => call
            .query
            .all("dryRun")
            .filter(|value| !value.is_empty())
            .collect(),
    };
    if said.iter().any(|value| *value != "All") {
        let shown = serde_json::to_string(&said).unwrap_or_default();
        causes.push(unsupported("dryRun", &shown, &["All"]));
    }
    !said.is_empty()
}

impl Delete {
    pub fn start(self, core: &mut Core, call: &mut Call, now: Time) -> Next {
        self.into_write().attempt(core, call, now)
    }

    pub fn into_write(self) -> Box<Write> {
        let (kind, key) = (self.route.kind, self.route.key());
        Write::new(Op::Delete(self), kind, key, Vec::new())
    }

    /// Decides on a delete.
    pub fn decide(
        self,
        write: &mut Write,
        core: &mut Core,
        call: &mut Call,
        current: &Current<'_>,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let Some(old) = current.value else {
            return Err(self.route.not_found());
        };
        self.check_preconditions(old, current.revision)?;
        let view = SeenView {
            cache: &core.cache,
            seen: &write.seen,
        };
        let guards = core.config.guards;
        admit(None, Some(old), &self.route, call, &view, guards, now)?;
        let outcome = match write.kind {
            KindId::Namespace => delete_namespace(old, now),
            kind => self.mark(old, kind, now),
        };
        let reply = self.reply(&outcome, old, write.kind);
        let mut decision = Decision::new(outcome, reply);
        if matches!(decision.outcome, Outcome::Remove) {
            services::release(old, write.kind).add_to(&mut decision);
        }
        Ok(decision)
    }

    fn check_preconditions(&self, old: &Value, revision: Revision) -> Result<(), Refusal> {
        let conflict = |why: String| -> Result<(), Refusal> {
            Err(Status::conflict(self.route.resource(), &self.route.name, &why).into())
        };
        let (uid, is) = (self.options.uid.as_deref(), metadata::text(old, "uid"));
        if let Some(uid) = uid.filter(|uid| *uid != is) {
            return conflict(format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({is}). The \
                 object might have been deleted and then recreated"
            ));
        }
        let version = self.options.resource_version.as_deref();
        if let Some(version) = version.filter(|version| *version != revision.to_string()) {
            return conflict(format!(
                "the ResourceVersion in the precondition ({version}) does not match the \
                 ResourceVersion in record ({revision}). The object might have been modified"
            ));
        }
        Ok(())
    }

    // ANCHOR: mark
    /// What becomes of the object: marked for a graceful end, kept for its finalizers, or removed.
    fn mark(&self, old: &Value, kind: KindId, now: Time) -> Outcome {
        let mut new = old.clone();
        let finalizers = self.finalizers(old);
        let has_changed = finalizers != metadata::finalizers(old);
        set_finalizers(&mut new, &finalizers);
        match self.grace(old, kind) {
            Grace::Seconds(seconds) if seconds > 0 => {
                if is_already_going(old, seconds) {
                    return if has_changed {
                        Outcome::Put(new)
                    } else {
                        Outcome::Keep
                    };
                }
                set_deletion(&mut new, old, seconds, now);
                Outcome::Put(new)
            }
            _ if finalizers.is_empty() => Outcome::Remove,
            _ => {
                let is_marked = metadata::is_terminating(old)
                    && metadata::number(old, "deletionGracePeriodSeconds").unwrap_or(0) == 0;
                if is_marked && !has_changed {
                    return Outcome::Keep;
                }
                if !is_marked {
                    set_deletion(&mut new, old, 0, now);
                }
                Outcome::Put(new)
            }
        }
    }
    // ANCHOR_END: mark

    fn grace(&self, old: &Value, kind: KindId) -> Grace {
        (registry::strategy(kind).graceful)(old, &self.options)
    }

    /// The finalizers with those of the garbage collector as the propagation policy wants them.
    fn finalizers(&self, old: &Value) -> Vec<String> {
        let before = metadata::finalizers(old);
        let has = |name: &str| before.iter().any(|finalizer| finalizer == name);
        let DeleteOptions {
            propagation,
            orphan_dependents,
            ..
        } = self.options;
        let orphans = match (orphan_dependents, propagation) {
            (Some(orphan), _) => orphan,
            (None, Some(policy)) => policy == Propagation::Orphan,
            (None, None) => has(ORPHAN),
        };
        let waits = match (orphan_dependents, propagation) {
            (Some(_), _) => false,
            (None, Some(policy)) => policy == Propagation::Foreground,
            (None, None) => has(FOREGROUND),
        };
        let mut after: Vec<String> = before
            .iter()
            .filter(|name| *name != ORPHAN && *name != FOREGROUND)
            .cloned()
            .collect();
        if orphans {
            after.push(ORPHAN.to_string());
        }
        if waits {
            after.push(FOREGROUND.to_string());
        }
        after
    }

    fn reply(&self, outcome: &Outcome, old: &Value, kind: KindId) -> Reply {
        if let Some(success) = &self.success {
            return Reply::Status(success.clone());
        }
        let is_accepted = self.options.orphan_dependents == Some(false);
        match outcome {
            // Upstream's `ReturnDeletedObject`.
            Outcome::Remove
                if matches!(kind, KindId::Pod | KindId::Service | KindId::ServiceAccount) =>
            {
                Reply::Last(200)
            }
            Outcome::Remove => {
                let uid = metadata::text(old, "uid");
                Reply::Status(Status::deleted(self.route.resource(), &self.route.name, uid).into())
            }
            _ => Reply::Object(if is_accepted { 202 } else { 200 }),
        }
    }
}

/// Whether a delete with this grace period changes nothing: one as short is under way.
fn is_already_going(old: &Value, seconds: i64) -> bool {
    let period = metadata::number(old, "deletionGracePeriodSeconds");
    metadata::is_terminating(old) && period.is_some_and(|period| seconds >= period)
}

/// Sets deletionTimestamp and grace period; a second delete moves the time earlier, counted from
/// when the first was asked for.
fn set_deletion(new: &mut Value, old: &Value, seconds: i64, now: Time) {
    let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let asked = Time::parse(metadata::text(old, "deletionTimestamp"));
    let period = metadata::number(old, "deletionGracePeriodSeconds").unwrap_or(0);
    let at = match asked {
        Some(at) => {
            let period = Duration::from_secs(u64::try_from(period).unwrap_or(0));
            ((at - period) + wait).min(at)
        }
        None => now + wait,
    };
    let generation = metadata::number(old, "generation").filter(|generation| *generation > 0);
    let map = metadata::of(new);
    map.insert("deletionTimestamp", at.to_rfc3339().into());
    map.insert("deletionGracePeriodSeconds", seconds.into());
    if let Some(generation) = generation {
        map.insert("generation", generation.saturating_add(1).into());
    }
}

fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    let map = metadata::of(object);
    if finalizers.is_empty() {
        map.remove("finalizers");
    } else {
        map.insert("finalizers", finalizers.into());
    }
}

/// A namespace is marked; it goes when both its kinds of finalizers are done (`spec.finalizers` is
/// the namespace controller's, set through `/finalize`).
fn delete_namespace(old: &Value, now: Time) -> Outcome {
    let is_marked = metadata::is_terminating(old);
    if is_marked {
        return if has_no_finalizers(old) {
            Outcome::Remove
        } else {
            Outcome::Keep
        };
    }
    let mut new = old.clone();
    metadata::of(&mut new).insert("deletionTimestamp", now.to_rfc3339().into());
    if let Some(object) = new.as_object_mut() {
        let status = object
            .entry("status")
            .or_insert_with(|| Value::Object(wavetank_api::json::Map::new()));
        if let Some(status) = status.as_object_mut() {
            status.insert("phase", "Terminating".into());
        }
    }
    Outcome::Put(new)
}

fn has_no_finalizers(namespace: &Value) -> bool {
    let spec = namespace
        .pointer("/spec/finalizers")
        .and_then(Value::as_array);
    spec.is_none_or(|items| items.is_empty()) && metadata::finalizers(namespace).is_empty()
}

/// Whether an update leaves nothing that holds a terminating object (`ShouldDeleteDuringUpdate`).
pub(crate) fn is_done_with(new: &Value, kind: KindId) -> bool {
    if kind == KindId::Namespace {
        return has_no_finalizers(new);
    }
    metadata::finalizers(new).is_empty()
        && metadata::number(new, "deletionGracePeriodSeconds").unwrap_or(0) == 0
}
