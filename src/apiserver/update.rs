//! PUT and PATCH: an object becomes another, whole or in part.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/{update,patch}.go` and
//! `registry.Store.Update`.
//!
//! 1. A write to the main resource changes nothing in status, one to a subresource nothing outside
//!    it (A15): the strategy's `prepare_*` put back what is not theirs.
//! 2. An update that removes the last finalizer of a terminating object removes the object (A12).
//!
//! Book: `book/src/control-plane/apiserver.md`.

use bytes::Bytes;
use wavetank_api::json::Value;

use wavetank_api::kinds::{VirtualId, events};
use wavetank_api::schema::{Schema, TypeId};
use wavetank_api::status::{Cause, Named};
use wavetank_api::strict::{self, FieldValidation};
use wavetank_api::{Guard, Guards, KindId, Status, Time, patch};

use crate::admit::admit;
use crate::call::{Call, WriteOptions, undecodable};
use crate::core::{Core, Next};
use crate::create::Create;
use crate::delete::is_done_with;
use crate::field::Errors;
use crate::negotiate::{APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
use crate::reply::Refusal;
use crate::route::{Route, no_such_path};
use crate::strategy::Strategy;
use crate::subresources::scale::{apply_scale, scale_of};
use crate::write::{Current, Decision, Op, Outcome, Reply, SeenView, Write};
use crate::{managed, metadata, registry, services, strategies};

/// An update on its way.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    route: Route,
    options: WriteOptions,
    change: Change,
}

/// What the client sent.
#[derive(Clone, Debug)]
enum Change {
    /// The whole object.
    Put(Value),
    /// A patch of this type.
    Patch(PatchType, Bytes),
}

/// The four patch types, by media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// Begins a PUT.
pub(crate) fn begin_put(core: &mut Core, call: &mut Call, now: Time) -> Result<Next, Refusal> {
    let options = call.write_options("UpdateOptions")?;
    let route = call.route.clone().ok_or_else(no_such_path)?;
    let mut body = match route.subresource {
        "scale" => call.decode_virtual(VirtualId::Scale, options.validation)?,
        _ => call.decode_body(route.kind, options.validation)?,
    };
    events::convert(&mut body, route.kind.stored_as());
    metadata::check_namespace(&mut body, &route.namespace)?;
    metadata::check_name(&mut body, &route)?;
    Ok(Update {
        route,
        options,
        change: Change::Put(body),
    }
    .start(core, call, now))
}

/// Begins a PATCH.
pub(crate) fn begin_patch(core: &mut Core, call: &mut Call, now: Time) -> Result<Next, Refusal> {
    let patch_type = match call.content_type.as_str() {
        JSON_PATCH => PatchType::Json,
        MERGE_PATCH => PatchType::Merge,
        STRATEGIC_PATCH => PatchType::Strategic,
        APPLY_PATCH => PatchType::Apply,
        _ => {
            let accepted = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH];
            return Err(Status::unsupported_media_type(&accepted).into());
        }
    };
    let options = call.write_options("PatchOptions")?;
    check_patch_options(&options, call, patch_type)?;
    let route = call.route.clone().ok_or_else(no_such_path)?;
    let change = Change::Patch(patch_type, call.body.clone());
    Ok(Update {
        route,
        options,
        change,
    }
    .start(core, call, now))
}

/// `ValidatePatchOptions`.
fn check_patch_options(options: &WriteOptions, call: &Call, of: PatchType) -> Result<(), Refusal> {
    let cause = if of == PatchType::Apply && !options.has_manager {
        let message = "Required value: is required for apply patch";
        Cause::new("FieldValueRequired", message, "fieldManager")
    } else if of != PatchType::Apply && call.query.has("force") {
        let message = "Forbidden: may not be specified for non-apply patch";
        Cause::new("FieldValueForbidden", message, "force")
    } else {
        return Ok(());
    };
    let named = Named {
        group: "meta.k8s.io",
        resource: "PatchOptions",
    };
    Err(Status::invalid(named, "", vec![cause]).into())
}

impl Update {
    fn start(self, core: &mut Core, call: &mut Call, now: Time) -> Next {
        let (kind, key) = (self.route.kind, self.route.key());
        let beside = crate::create::namespace_key(&self.route)
            .into_iter()
            .collect();
        Write::new(Op::Update(self), kind, key, beside).attempt(core, call, now)
    }

    /// Decides on an update.
    pub fn decide(
        mut self,
        write: &mut Write,
        core: &mut Core,
        call: &mut Call,
        current: &Current<'_>,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let Some(old) = current.value else {
            return self.decide_absent(write, core, call, now);
        };
        let mut new = self.changed(old, call, now)?;
        let (route, is_put) = (&self.route, matches!(self.change, Change::Put(_)));
        let guards = core.config.guards;
        metadata::check_name(&mut new, route)?;
        metadata::check_namespace(&mut new, &route.namespace)?;
        metadata::check_version(&new, current.revision, route, is_put, guards)?;
        metadata::carry_over(&mut new, old, route)?;
        let strategy = registry::strategy(write.kind);
        strategy.default_change(&mut new, old);
        let (cache, seen) = (&core.cache, &write.seen);
        let view = SeenView { cache, seen };
        admit(Some(&mut new), Some(old), route, call, &view, guards, now)?;
        let errors = prepare_and_validate(strategy, route, &mut new, old, guards);
        if !errors.is_empty() {
            return Err(metadata::invalid(route, &errors));
        }
        if !self.is_apply() {
            managed::updated(&mut new, old, route, &self.options, now);
        }
        let allocation = services::allocate(core, write, &mut new, Some(old), route)?;
        let version = current.revision.to_string();
        metadata::of(&mut new).insert("resourceVersion", version.into());
        let mut decision = settle(new, old, write.kind, self.reply());
        if matches!(decision.outcome, Outcome::Put(_)) {
            allocation.add_to(&mut decision);
        }
        Ok(decision)
    }

    fn reply(&self) -> Reply {
        match self.route.subresource {
            "scale" => Reply::Scale,
            _ => Reply::Object(200),
        }
    }

    /// Whether the ledger of owners comes from an apply. (A Scale has no ledger of its own.)
    fn is_apply(&self) -> bool {
        let is_apply = matches!(self.change, Change::Patch(PatchType::Apply, _));
        is_apply && self.route.subresource != "scale"
    }

    /// There is no such object: some kinds, and apply, create it.
    fn decide_absent(
        self,
        write: &mut Write,
        core: &mut Core,
        call: &mut Call,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let Update {
            route,
            options,
            change,
        } = self;
        let creates = registry::strategy(write.kind).create_on_update;
        let (object, is_apply) = match change {
            _ if !route.subresource.is_empty() => return Err(route.not_found()),
            Change::Put(object) if creates => (object, false),
            Change::Patch(PatchType::Apply, body) => {
                let applied = applied(&body, &route, &options, call)?;
                (
                    managed::applied(None, &applied, &route, &options, now)?,
                    true,
                )
            }
            _ => return Err(route.not_found()),
        };
        Create::of(object, route, options, is_apply).decide_new(write, core, call, now)
    }

    /// The object as the client wants it.
    fn changed(&mut self, old: &Value, call: &mut Call, now: Time) -> Result<Value, Refusal> {
        if let Change::Put(body) = &mut self.change
            && self.route.subresource != "scale"
        {
            return Ok(body.take());
        }
        let (route, options) = (&self.route, &self.options);
        match &self.change {
            Change::Put(scale) => Ok(apply_scale(old, scale)),
            Change::Patch(PatchType::Apply, body) if self.is_apply() => {
                let applied = applied(body, route, options, call)?;
                managed::applied(Some(old), &applied, route, options, now)
            }
            Change::Patch(patch_type, body) => self.patched(old, *patch_type, body, call),
        }
    }

    fn patched(
        &self,
        old: &Value,
        patch_type: PatchType,
        body: &Bytes,
        call: &mut Call,
    ) -> Result<Value, Refusal> {
        let is_scale = self.route.subresource == "scale";
        let mut base = if is_scale { scale_of(old) } else { old.clone() };
        events::convert(&mut base, self.route.kind);
        let schema = Schema::builtin();
        let ty = match is_scale {
            true => schema.virtual_kind(VirtualId::Scale),
            false => schema.kind(self.route.kind),
        };
        let before = base.clone();
        let patched = match patch_type {
            PatchType::Json => patch::json::apply(base, body),
            PatchType::Merge => patch::merge::apply(base, body),
            PatchType::Strategic => patch::strategic::apply(base, body, schema, ty),
            PatchType::Apply => {
                let (applied, _) = strict::parse(body, strict::Encoding::Yaml)
                    .map_err(|error| Status::bad_request(error.to_string()))?;
                Ok(patch::merge::lay_over(base, applied))
            }
        };
        let mut new = patched.map_err(Box::new)?;
        self.check_patched(&mut new, &before, ty, call)?;
        events::convert(&mut new, self.route.kind.stored_as());
        Ok(if is_scale {
            apply_scale(old, &new)
        } else {
            new
        })
    }

    /// What does not fit, and why: the outcome of a patch as JSON, or the strategic patch itself,
    /// which upstream converts without JSON and with fewer words (`applyPatchToObject`).
    fn at_fault(&self, new: &Value, why: &str) -> (String, String) {
        let Change::Patch(PatchType::Strategic, body) = &self.change else {
            return (new.to_string(), why.to_owned());
        };
        let patch: Value = serde_json::from_slice(body).unwrap_or_default();
        let why = match why.rsplit_once(" of type ") {
            Some((_, wanted)) if !wanted.contains(['.', '[']) => {
                format!("unrecognized type: {wanted}")
            }
            _ => why.to_owned(),
        };
        (go_value(&patch), why)
    }

    /// What a patch made must fit the type again; unknown fields are as in a body.
    fn check_patched(
        &self,
        new: &mut Value,
        old: &Value,
        ty: TypeId,
        call: &mut Call,
    ) -> Result<(), Refusal> {
        let complaints = match strict::check_change(new, old, ty) {
            Ok(complaints) => complaints,
            Err(error) => {
                let (value, why) = self.at_fault(new, &error.to_string());
                let shown = wavetank_api::status::quote(&value);
                let message = format!("Invalid value: {shown}: {why}");
                let cause = Cause::new("FieldValueInvalid", message, "patch");
                return Err(Status::invalid(NAMELESS, "", vec![cause]).into());
            }
        };
        match (self.options.validation, strict::strict_error(&complaints)) {
            (FieldValidation::Strict, Some(error)) => {
                let info = self.route.info();
                Err(undecodable(info.kind, info.version, &error))
            }
            (FieldValidation::Warn, _) => {
                call.warn(complaints);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A value as Go's `%+v` writes it.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.to_string(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(go_value).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(k, v)| format!("{k}:{}", go_value(v)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Upstream names no kind when it is the patch that is at fault.
const NAMELESS: Named<'static> = Named {
    group: "",
    resource: "",
};

/// What becomes of an object that is allowed to change.
fn settle(new: Value, old: &Value, kind: KindId, reply: Reply) -> Decision {
    if is_done_with(&new, kind) && metadata::is_terminating(old) {
        let mut decision = Decision::new(Outcome::Remove, reply);
        services::release(old, kind).add_to(&mut decision);
        return decision;
    }
    let outcome = if new == *old {
        Outcome::Keep
    } else {
        Outcome::Put(new)
    };
    Decision::new(outcome, reply)
}

/// The configuration in an apply patch, checked against the path.
fn applied(
    body: &Bytes,
    route: &Route,
    options: &WriteOptions,
    call: &mut Call,
) -> Result<Value, Refusal> {
    let content_type = core::mem::replace(&mut call.content_type, crate::negotiate::YAML.into());
    let whole = core::mem::replace(&mut call.body, body.clone());
    let decoded = call.decode_body(route.kind, options.validation);
    (call.content_type, call.body) = (content_type, whole);
    let mut object = decoded?;
    events::convert(&mut object, route.kind.stored_as());
    metadata::check_namespace(&mut object, &route.namespace)?;
    let name = metadata::text(&object, "name").to_string();
    if name.is_empty() {
        metadata::of(&mut object).insert("name", route.name.as_str().into());
    }
    Ok(object)
}

/// Puts back what this path may not change, then checks what it did change.
fn prepare_and_validate(
    strategy: &Strategy,
    route: &Route,
    new: &mut Value,
    old: &Value,
    guards: Guards,
) -> Errors {
    let is_split = guards.on(Guard::M90);
    match route.subresource {
        "status" if is_split => (strategy.prepare_status)(new, old),
        "ephemeralcontainers" => only_field(new, old, "ephemeralContainers"),
        "finalize" => only_field(new, old, "finalizers"),
        _ => {
            let said = (!is_split).then(|| new.get("status").cloned());
            (strategy.prepare_update)(new, old);
            if let Some(said) = said {
                set_status(new, said);
            }
        }
    }
    strategy.default_change(new, old);
    if strategy.has_generation && (route.subresource != "status" || !is_split) {
        metadata::count_generation(new, old);
    }
    let mut errors = registry::validate_metadata_update(new, old, guards);
    errors.extend(match route.subresource {
        "status" if is_split => (strategy.validate_status)(new, old),
        "finalize" => Errors::new(),
        "ephemeralcontainers" => strategies::validate_ephemeral_containers(new, old),
        _ => (strategy.validate_update)(new, old),
    });
    errors
}

fn set_status(object: &mut Value, status: Option<Value>) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    match status {
        Some(status) => object.insert("status", status),
        None => object.remove("status"),
    };
}

/// Everything as it was but one field of the spec.
fn only_field(new: &mut Value, old: &Value, field: &str) {
    let wanted = new.get("spec").and_then(|spec| spec.get(field)).cloned();
    let metadata = new.get("metadata").cloned();
    *new = old.clone();
    if let (Some(object), Some(metadata)) = (new.as_object_mut(), metadata) {
        object.insert("metadata", metadata);
    }
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    match wanted {
        Some(value) => spec.insert(field, value),
        None => spec.remove(field),
    };
}
