//! The table of all kinds' strategies: the one place that knows which row is whose.
//!
//! The pipeline asks it by [`KindId`]; the rows are in `kinds/`.
//!
//! 1. Every kind has a row: the `match` has no catch-all.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::kinds::KindId;
use wavetank_api::schema::Schema;

use crate::field::Errors;
use crate::kinds;
use crate::strategy::{Column, Strategy};

/// How a kind differs from the others. `events.k8s.io/v1` events have rules and field names of
/// their own, but all functions see the stored spelling (`v1`).
pub fn of(kind: KindId) -> &'static Strategy {
    match kind {
        KindId::ConfigMap => &kinds::config_map::STRATEGY,
        KindId::Deployment => &kinds::deployment::STRATEGY,
        KindId::EndpointSlice => &kinds::endpoint_slice::STRATEGY,
        KindId::Endpoints => &kinds::endpoints::STRATEGY,
        KindId::Event => &kinds::event::STRATEGY,
        KindId::EventsEvent => &kinds::event::NEWER,
        KindId::Lease => &kinds::lease::STRATEGY,
        KindId::Namespace => &kinds::namespace::STRATEGY,
        KindId::Node => &kinds::node::STRATEGY,
        KindId::Pod => &kinds::pod::STRATEGY,
        KindId::PriorityClass => &kinds::priority_class::STRATEGY,
        KindId::ReplicaSet => &kinds::replica_set::STRATEGY,
        KindId::Secret => &kinds::secret::STRATEGY,
        KindId::Service => &kinds::service::STRATEGY,
        KindId::ServiceAccount => &kinds::service_account::STRATEGY,
    }
}

/// What a column says: its own words, or those of the schema for the field that it names by a path
/// from the object (`.status.podIP`). Upstream's printers take the same texts from the same place.
pub fn description(kind: KindId, column: &Column) -> &'static str {
    let Some(path) = column.description.strip_prefix('.') else {
        return column.description;
    };
    let schema = Schema::builtin();
    let mut fields = path.split('.');
    let mut found = fields
        .next()
        .and_then(|name| schema.field(schema.kind(kind.stored_as()), name));
    for name in fields {
        found = found.and_then(|field| schema.field(field.ty, name));
    }
    found.map_or("", |field| &*field.description)
}

/// Rules for `/ephemeralcontainers`, which are not those of an update of the pod.
pub fn validate_ephemeral_containers(new: &Value, old: &Value) -> Errors {
    kinds::pod::validate_ephemeral(new, old)
}
