//! WATCH: from which state it starts, and from where in the ring it goes on.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/watch.go` and `storage/cacher/cacher.go`.
//!
//! 1. A watch from revision r hears every matching change after r once, in order (A5).
//! 2. A revision older than the ring is answered with an ERROR event of code 410 (A8).
//! 3. `sendInitialEvents` ends its initial events with a bookmark at their revision (A7).
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use std::time::Duration;

use wavetank_api::{Response, Status, Time};

use crate::cache::Scope;
use crate::call::Call;
use crate::core::{Chance, Core, Next, Task};
use crate::lists::{At, ListOptions};
use crate::negotiate::JSON;
use crate::present::Representation;
use crate::reply::{Answer, Refusal};
use crate::ring::Expired;
use crate::route::no_such_path;
use crate::stream::{Interest, error_frame};

/// A watch that does not say how long lives this long, and up to twice as long, so that not all
/// clients come back at once (`--min-request-timeout`).
const TIMEOUT_SECONDS_MIN: u64 = 1800;

/// Begins a WATCH.
pub(crate) fn begin(core: &mut Core, call: &mut Call, now: Time) -> Result<Next, Refusal> {
    let route = call.route.as_ref().ok_or_else(no_such_path)?;
    let options = Box::new(ListOptions::read(&call.query, route.kind, true)?);
    Ok(match (options.at, options.initial_events) {
        (At::MostRecent, _) => Next::Revision(Task::Watch(options)),
        (At::NotOlderThan(revision) | At::Exact(revision), Some(true)) => {
            Next::Wait(revision, Task::Watch(options))
        }
        _ => open(core, call, &options, now),
    })
}

// ANCHOR: open
/// The cache is new enough: where the watch starts.
pub(crate) fn open(core: &mut Core, call: &Call, options: &ListOptions, now: Time) -> Next {
    let Some(route) = &call.route else {
        return Next::Done(no_such_path().into());
    };
    let scope = Scope {
        kind: route.kind.stored_as(),
        namespace: route.namespace.clone(),
    };
    let newest = core.cache.revision();
    let (has_state, after) = match (options.at, options.initial_events) {
        (_, Some(true)) | (At::MostRecent | At::Any, None) => (true, newest),
        (At::MostRecent | At::Any, Some(false)) => (false, newest),
        (At::NotOlderThan(revision) | At::Exact(revision), _) => (false, revision),
    };
    let initial: Vec<_> = core
        .cache
        .objects(&scope)
        .take_while(|_| has_state)
        .filter(|object| object.is_selected(&options.labels, &options.fields))
        .cloned()
        .collect();
    let changes = match core.cache.since(scope.kind, after) {
        Ok(changes) => changes,
        Err(expired) => return Next::Done(too_old(expired)),
    };
    let initial_end = (options.initial_events == Some(true)).then_some(newest);
    let deadline = now + Duration::from_secs(timeout(options, &mut core.chance));
    let representation = Representation {
        kind: route.kind,
        form: call.accept.form,
    };
    let interest = Interest {
        scope,
        labels: options.labels.clone(),
        fields: options.fields.clone(),
        representation,
        after,
        bookmarks: options.bookmarks,
        deadline,
    };
    Next::Stream(
        core.streams
            .open(interest, initial, initial_end, changes, now),
    )
}
// ANCHOR_END: open

fn timeout(options: &ListOptions, chance: &mut Chance) -> u64 {
    match options.timeout_seconds {
        Some(seconds) if seconds > 0 => seconds,
        _ => TIMEOUT_SECONDS_MIN + chance.below(TIMEOUT_SECONDS_MIN),
    }
}

/// A watch that ends with its first event: the revision is no longer held.
fn too_old(expired: Expired) -> Answer {
    let message = format!(
        "too old resource version: {} ({})",
        expired.asked, expired.oldest
    );
    Answer::Plain(Response::new(
        200,
        JSON,
        error_frame(&Status::expired(message)),
    ))
}
