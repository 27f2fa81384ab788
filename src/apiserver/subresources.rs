//! What hangs below an object and is not a view of it: each does one thing, and has its file.
//!
//! `status`, `finalize` and `ephemeralcontainers` are updates of the object: see `update.rs`.
//!
//! Book: `book/src/control-plane/apiserver.md`.

pub(crate) mod binding;
pub(crate) mod connect;
pub(crate) mod eviction;
pub(crate) mod scale;
pub(crate) mod token;

use wavetank_api::Status;
use wavetank_api::Time;
use wavetank_api::status::Reason;

use crate::call::Call;
use crate::core::{Core, Next};
use crate::reply::Refusal;
use crate::route::method_not_allowed;

/// Begins a POST to a subresource.
pub(crate) fn begin_create(core: &mut Core, call: &mut Call, now: Time) -> Result<Next, Refusal> {
    match call.route.as_ref().map(|route| route.subresource) {
        Some("binding") => binding::begin(core, call, now),
        Some("eviction") => eviction::begin(core, call, now),
        Some("token") => token::begin(call, now),
        _ => Err(method_not_allowed()),
    }
}

/// 201 `{"status":"Success"}`: what binding and eviction answer.
pub(crate) fn created() -> Refusal {
    let mut status = Status::failure(201, Reason::Unknown, String::new());
    status.status = "Success".to_string();
    status.into()
}
