//! Runs the admission plugins, and words their refusals.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::Value;

use wavetank_api::status::Cause;
use wavetank_api::{Guards, Status, Time};

use crate::call::Call;
use crate::metadata;
use crate::registry;
use crate::reply::Refusal;
use crate::route::Route;
use crate::strategy::{Attributes, Denied, Operation, View};

/// Asks every plugin in order; each may change the object. Without an old version it is a create,
/// without a new one a delete.
pub(crate) fn admit(
    mut object: Option<&mut Value>,
    old: Option<&Value>,
    route: &Route,
    call: &Call,
    view: &dyn View,
    guards: Guards,
    now: Time,
) -> Result<(), Refusal> {
    let attributes = Attributes {
        operation: match (&object, old) {
            (Some(_), None) => Operation::Create,
            (Some(_), Some(_)) => Operation::Update,
            (None, _) => Operation::Delete,
        },
        kind: route.kind.stored_as(),
        subresource: route.subresource,
        namespace: &route.namespace,
        name: &route.name,
        old,
        user: &call.user.name,
        guards,
        now,
    };
    for (_, plugin) in registry::plugins() {
        plugin(object.as_deref_mut(), &attributes, view)
            .map_err(|denied| refusal(denied, route))?;
    }
    Ok(())
}

fn refusal(denied: Denied, route: &Route) -> Refusal {
    match denied {
        Denied::Forbidden(why) => Status::forbidden(route.resource(), &route.name, &why).into(),
        Denied::NamespaceNotFound(namespace) => metadata::namespace_not_found(&namespace),
        Denied::NamespaceTerminating(namespace) => {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being \
                 terminated"
            );
            let message = format!("namespace {namespace} is being terminated");
            let cause = Cause::new("NamespaceTerminating", message, "metadata.namespace");
            Status::forbidden(route.resource(), &route.name, &why)
                .and_cause(cause)
                .into()
        }
    }
}
