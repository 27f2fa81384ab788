//! `pods/{name}/eviction`: a delete that disruption budgets may refuse.
//!
//! Upstream: `pkg/registry/core/pod/storage/eviction.go`.
//!
//! Left out: PodDisruptionBudgets, which are no kind here yet; every eviction is granted.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::Value;

use wavetank_api::kinds::VirtualId;
use wavetank_api::{Status, Time};

use crate::call::Call;
use crate::core::{Core, Next};
use crate::delete::{Delete, options_of};
use crate::metadata;
use crate::reply::Refusal;
use crate::route::no_such_path;
use crate::subresources::created;

/// Begins the POST of an Eviction.
pub(crate) fn begin(core: &mut Core, call: &mut Call, now: Time) -> Result<Next, Refusal> {
    let write = call.write_options("CreateOptions")?;
    let mut route = call.route.clone().ok_or_else(no_such_path)?;
    let mut eviction = call.decode_virtual(VirtualId::Eviction, write.validation)?;
    metadata::check_namespace(&mut eviction, &route.namespace)?;
    let named = metadata::text(&eviction, "name");
    if !named.is_empty() && named != route.name {
        return Err(
            Status::bad_request("name in URL does not match name in Eviction object").into(),
        );
    }
    let body = eviction
        .get("deleteOptions")
        .cloned()
        .unwrap_or(Value::Null);
    let options = options_of(&body, call)?;
    route.subresource = "";
    Ok(Delete {
        route,
        options,
        success: Some(created()),
    }
    .start(core, call, now))
}
