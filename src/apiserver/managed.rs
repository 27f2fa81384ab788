//! Field management at the edge of the pipeline: who is the writer, and which fields are not his.
//!
//! The ledger itself, and server-side apply, are `wavetank_api::apply`. Here each request becomes a
//! [`Writer`]. Upstream: `endpoints/handlers/fieldmanager`.
//!
//! 1. A subresource owns nothing outside itself, the main resource nothing of the status.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::sync::LazyLock;

use wavetank_api::json::Value;

use wavetank_api::apply::{self, Writer};
use wavetank_api::fields::Set;
use wavetank_api::kinds::VirtualId;
use wavetank_api::schema::Schema;
use wavetank_api::{KindId, Time};

use crate::call::WriteOptions;
use crate::registry;
use crate::reply::Refusal;
use crate::route::Route;

/// What the main resource does not write, for kinds with a status.
static NOT_STATUS: LazyLock<Set> = LazyLock::new(|| apply::reset_fields(&[&["status"]]));
/// What `/status` does not write.
static NOT_SPEC: LazyLock<Set> = LazyLock::new(|| apply::reset_fields(&[&["spec"]]));
static NOTHING: LazyLock<Set> = LazyLock::new(Set::default);

fn writer<'a>(route: &Route, options: &'a WriteOptions, now: Time) -> Writer<'a> {
    let kind: KindId = route.kind.stored_as();
    let schema = Schema::builtin();
    let reset = match route.subresource {
        "status" => &*NOT_SPEC,
        _ if registry::strategy(kind).has_status => &*NOT_STATUS,
        _ => &*NOTHING,
    };
    Writer {
        manager: &options.manager,
        api_version: kind.info().api_version,
        kind: kind.info().kind,
        subresource: route.subresource,
        reset,
        now,
        schema,
        ty: schema.kind(kind),
    }
}

/// A new object: its fields belong to its creator.
pub(crate) fn created(object: &mut Value, route: &Route, options: &WriteOptions, now: Time) {
    apply::track(None, object, &writer(route, options, now));
}

/// What is only posted: its fields belong to who posted it, for as long as the answer lasts.
pub(crate) fn posted(
    object: &mut Value,
    kind: VirtualId,
    subresource: &str,
    options: &WriteOptions,
    now: Time,
) {
    let (schema, info) = (Schema::builtin(), kind.info());
    let writer = Writer {
        manager: &options.manager,
        api_version: info.api_version,
        kind: info.kind,
        subresource,
        reset: &NOTHING,
        now,
        schema,
        ty: schema.virtual_kind(kind),
    };
    apply::track(None, object, &writer);
}

/// A changed object: what changed belongs to who changed it.
pub(crate) fn updated(
    object: &mut Value,
    old: &Value,
    route: &Route,
    options: &WriteOptions,
    now: Time,
) {
    apply::track(Some(old), object, &writer(route, options, now));
}

/// What an apply patch makes of an object, or of none; 409 when others own what it changes.
pub(crate) fn applied(
    live: Option<&Value>,
    applied: &Value,
    route: &Route,
    options: &WriteOptions,
    now: Time,
) -> Result<Value, Refusal> {
    let writer = writer(route, options, now);
    apply::apply(live, applied, &writer, options.force).map_err(Box::new)
}
