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
use serde_json::Value;

use wavetank_api::kinds::{VirtualId, events};
use wavetank_api::schema::{Schema, TypeId};
use wavetank_api::status::{Cause, Named};
use wavetank_api::strict::{self, FieldValidation};
use wavetank_api::{Status, Time, patch};

use crate::admit::admit;
use crate::call::{Call, WriteOptions, undecodable};
use crate::core::{Core, Next};
use crate::create::Create;
use crate::delete::is_done_with;
use crate::field::Errors;
use crate::negotiate::{APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
use crate::reply::Refusal;
use crate::route::{Route, no_such_path};
use crate::strategy::{Operation, Strategy};
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
    metadata::check_namespace(&mut body, &route)?;
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
        self,
        write: &mut Write,
        core: &mut Core,
        call: &mut Call,
        current: &Current<'_>,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let Some(old) = current.value else {
            return self.decide_absent(write, core, call, now);
        };
        let mut new = self.changed(old, call)?;
        let (route, is_put) = (&self.route, matches!(self.change, Change::Put(_)));
        metadata::check_name(&mut new, route)?;
        metadata::check_namespace(&mut new, route)?;
        metadata::check_version(&new, current.revision, route, is_put)?;
        metadata::carry_over(&mut new, old, route)?;
        let strategy = registry::strategy(write.kind);
        (strategy.default)(&mut new);
        let view = SeenView {
            cache: &core.cache,
            seen: &write.seen,
        };
        admit(
            Operation::Update,
            Some(&mut new),
            Some(old),
            route,
            call,
            &view,
            now,
        )?;
        let errors = prepare_and_validate(strategy, route, &mut new, old);
        if !errors.is_empty() {
            return Err(metadata::invalid(route, &errors));
        }
        managed::updated(&mut new, old, route, &self.options, now)?;
        let allocation = services::allocate(core, write, &mut new, Some(old), route)?;
        let reply = if route.subresource == "scale" {
            Reply::Scale
        } else {
            Reply::Object(200)
        };
        metadata::of(&mut new).insert(
            "resourceVersion".into(),
            current.revision.to_string().into(),
        );
        if is_done_with(&new, write.kind) && metadata::is_terminating(old) {
            let mut decision = Decision::new(Outcome::Remove, reply);
            services::release(old, write.kind).add_to(&mut decision);
            return Ok(decision);
        }
        let is_same = new == *old;
        let outcome = if is_same {
            Outcome::Keep
        } else {
            Outcome::Put(new)
        };
        let mut decision = Decision::new(outcome, reply);
        allocation.add_to(&mut decision);
        Ok(decision)
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
                (applied(&body, &route, &options, call)?, true)
            }
            _ => return Err(route.not_found()),
        };
        Create::of(object, route, options, is_apply).decide_new(write, core, call, now)
    }

    /// The object as the client wants it.
    fn changed(&self, old: &Value, call: &mut Call) -> Result<Value, Refusal> {
        let is_scale = self.route.subresource == "scale";
        let (patch_type, body) = match &self.change {
            Change::Put(scale) if is_scale => return Ok(apply_scale(old, scale)),
            Change::Put(body) => return Ok(body.clone()),
            Change::Patch(patch_type, body) => (*patch_type, body),
        };
        let mut base = if is_scale { scale_of(old) } else { old.clone() };
        events::convert(&mut base, self.route.kind);
        let schema = Schema::builtin();
        let ty = match is_scale {
            true => schema.virtual_kind(VirtualId::Scale),
            false => schema.kind(self.route.kind),
        };
        let patched = match patch_type {
            PatchType::Json => patch::json::apply(base, body),
            PatchType::Merge => patch::merge::apply(base, body),
            PatchType::Strategic => patch::strategic::apply(base, body, schema, ty),
            PatchType::Apply => {
                let applied = applied(body, &self.route, &self.options, call)?;
                Ok(patch::merge::lay_over(base, applied))
            }
        };
        let mut new = patched.map_err(Box::new)?;
        self.check_patched(&mut new, ty, call)?;
        events::convert(&mut new, self.route.kind.stored_as());
        Ok(if is_scale {
            apply_scale(old, &new)
        } else {
            new
        })
    }

    /// What a patch made must fit the type again; unknown fields are as in a body.
    fn check_patched(&self, new: &mut Value, ty: TypeId, call: &mut Call) -> Result<(), Refusal> {
        let shown = new.to_string();
        let complaints = strict::check(new, ty).map_err(|error| {
            let quoted = wavetank_api::status::quote(&shown);
            let cause = Cause::new(
                "FieldValueInvalid",
                format!("Invalid value: {quoted}: {error}"),
                "patch",
            );
            Status::invalid(
                Named {
                    group: "",
                    resource: "",
                },
                "",
                vec![cause],
            )
        })?;
        match (self.options.validation, strict::strict_error(&complaints)) {
            (FieldValidation::Strict, Some(error)) => {
                let info = self.route.info();
                Err(undecodable(info.kind, info.version, &error))
            }
            (FieldValidation::Warn, _) => {
                let news = complaints
                    .into_iter()
                    .filter(|c| !call.warnings.contains(c));
                let news: Vec<String> = news.collect();
                call.warnings.extend(news);
                Ok(())
            }
            _ => Ok(()),
        }
    }
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
    metadata::check_namespace(&mut object, route)?;
    let name = metadata::text(&object, "name").to_string();
    if name.is_empty() {
        metadata::of(&mut object).insert("name".into(), route.name.as_str().into());
    }
    Ok(object)
}

/// Puts back what this path may not change, then checks what it did change.
fn prepare_and_validate(
    strategy: &Strategy,
    route: &Route,
    new: &mut Value,
    old: &Value,
) -> Errors {
    match route.subresource {
        "status" => (strategy.prepare_status)(new, old),
        "ephemeralcontainers" => only_field(new, old, "ephemeralContainers"),
        "finalize" => only_field(new, old, "finalizers"),
        _ => (strategy.prepare_update)(new, old),
    }
    (strategy.default)(new);
    if strategy.has_generation && route.subresource != "status" {
        metadata::count_generation(new, old);
    }
    let mut errors = registry::validate_metadata_update(new, old);
    errors.extend(match route.subresource {
        "status" => (strategy.validate_status)(new, old),
        "finalize" => Errors::new(),
        "ephemeralcontainers" => strategies::validate_ephemeral_containers(new, old),
        _ => (strategy.validate_update)(new, old),
    });
    errors
}

/// Everything as it was but one field of the spec.
fn only_field(new: &mut Value, old: &Value, field: &str) {
    let wanted = new.get("spec").and_then(|spec| spec.get(field)).cloned();
    let metadata = new.get("metadata").cloned();
    *new = old.clone();
    if let (Some(object), Some(metadata)) = (new.as_object_mut(), metadata) {
        object.insert("metadata".into(), metadata);
    }
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    match wanted {
        Some(value) => spec.insert(field.into(), value),
        None => spec.remove(field),
    };
}
