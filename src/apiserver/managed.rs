//! Field management: who set which field, kept in `metadata.managedFields`.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use serde_json::Value;

use wavetank_api::Time;

use crate::call::WriteOptions;
use crate::reply::Refusal;
use crate::route::Route;

/// A new object: all its fields belong to its creator.
pub(crate) fn created(
    _object: &mut Value,
    _route: &Route,
    _options: &WriteOptions,
    _is_apply: bool,
    _now: Time,
) -> Result<(), Refusal> {
    Ok(())
}

/// A changed object: what changed belongs to who changed it.
pub(crate) fn updated(
    _object: &mut Value,
    _old: &Value,
    _route: &Route,
    _options: &WriteOptions,
    _now: Time,
) -> Result<(), Refusal> {
    Ok(())
}
