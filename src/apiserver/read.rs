//! GET and LIST: from the watch cache, once it is as new as the request demands.
//!
//! Upstream: `k8s.io/apiserver/pkg/storage/cacher` and `pkg/endpoints/handlers/get.go`.
//!
//! 1. With resourceVersion unset the answer is at least as new as any write acknowledged before the
//!    request was sent (A3): the store is asked for its revision, and the cache waited for.
//! 2. All pages of one list show the revision of the first (A4).
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use wavetank_api::json::json;

use wavetank_api::status::{Cause, quote};
use wavetank_api::{Response, Revision, Status};

use crate::cache::Scope;
use crate::call::Call;
use crate::core::{Core, Next, Task};
use crate::lists::{At, ListOptions, Token};
use crate::negotiate::JSON;
use crate::reply::{Answer, List, Refusal};
use crate::ring::Expired;
use crate::route::no_such_path;
use crate::subresources::scale;

/// Begins a GET of one object.
pub(crate) fn begin_get(core: &mut Core, call: &mut Call) -> Result<Next, Refusal> {
    if call
        .route
        .as_ref()
        .is_some_and(|route| route.subresource == "log")
    {
        return Ok(Next::Revision(Task::Connect));
    }
    match call.query.get("resourceVersion") {
        "" => Ok(Next::Revision(Task::Get)),
        "0" => Ok(get(core, call)),
        text => match text.parse() {
            Ok(revision) => Ok(Next::Wait(Revision(revision), Task::Get)),
            Err(_) => {
                let quoted = quote(text);
                let message = format!(
                    "Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax"
                );
                let cause = Cause::new("FieldValueInvalid", message, "resourceVersion");
                let of = wavetank_api::status::Named {
                    group: "",
                    resource: "",
                };
                Err(Status::invalid(of, "", vec![cause]).into())
            }
        },
    }
}

/// The cache is new enough: one object.
pub(crate) fn get(core: &Core, call: &Call) -> Next {
    let Some(route) = &call.route else {
        return Next::Done(no_such_path().into());
    };
    Next::Done(
        match core.cache.get(route.kind, &route.namespace, &route.name) {
            None => route.not_found().into(),
            Some(object) if route.subresource == "scale" => {
                scale::answer(&object.value(), object.revision())
            }
            Some(object) => Answer::Stored(200, object.stored()),
        },
    )
}

/// Begins a LIST.
pub(crate) fn begin_list(core: &mut Core, call: &mut Call) -> Result<Next, Refusal> {
    let route = call.route.as_ref().ok_or_else(no_such_path)?;
    let options = Box::new(ListOptions::read(&call.query, route.kind, false)?);
    let pinned = options.from.as_ref().and_then(Token::revision);
    Ok(match (pinned, options.at) {
        (Some(revision), _) => Next::Wait(revision, Task::List(options)),
        (None, At::MostRecent) => Next::Revision(Task::List(options)),
        (None, At::Any) => list(core, call, &options),
        (None, At::NotOlderThan(revision) | At::Exact(revision)) => {
            Next::Wait(revision, Task::List(options))
        }
    })
}

/// The cache is new enough: many objects.
pub(crate) fn list(core: &Core, call: &Call, options: &ListOptions) -> Next {
    let Some(route) = &call.route else {
        return Next::Done(no_such_path().into());
    };
    let scope = Scope {
        kind: route.kind.stored_as(),
        namespace: route.namespace.clone(),
    };
    let prefix = scope.kind.namespace_prefix(&scope.namespace);
    let revision = match (options.from.as_ref().and_then(Token::revision), options.at) {
        (Some(revision), _) | (None, At::Exact(revision)) => revision,
        _ => core.cache.revision(),
    };
    let after = options
        .from
        .as_ref()
        .map(|token| format!("{prefix}{}", token.start));
    let is_everything = options.labels.is_everything() && options.fields.is_everything();
    let page = core.cache.page(
        &scope,
        revision,
        after.as_deref(),
        options.limit,
        |object| is_everything || object.is_selected(&options.labels, &options.fields),
    );
    let page = match page {
        Ok(page) => page,
        Err(expired) => return Next::Done(expired_list(core, options, expired)),
    };
    let total = match &options.from {
        Some(token) => token.left,
        None if page.more && is_everything && revision == core.cache.revision() => {
            Some(core.cache.count(&scope))
        }
        None => None,
    };
    let remaining = total.and_then(|total| total.checked_sub(page.objects.len()));
    let last = page.objects.last().filter(|_| page.more);
    let next = last
        .and_then(|last| last.kv.key.strip_prefix(&prefix))
        .map(|start| {
            let revision = i64::try_from(revision.0).unwrap_or(i64::MAX);
            Token::new(revision, start, remaining).encode()
        });
    Next::Done(Answer::List(List {
        revision,
        objects: page.objects,
        next: next.unwrap_or_default(),
        remaining,
    }))
}

/// 410: the revision is gone. A list that was under way may go on with what is there now, by the
/// token in the answer.
fn expired_list(core: &Core, options: &ListOptions, _: Expired) -> Answer {
    let Some(token) = &options.from else {
        let message = "The resourceVersion for the provided list is too old.";
        return Refusal::from(Status::expired(message)).into();
    };
    let message = "The provided continue parameter is too old to display a consistent list result. \
        You can start a new list without the continue parameter, or use the continue token in this \
        response to retrieve the remainder of the results. Continuing with the provided token \
        results in an inconsistent list - objects that were created, modified, or deleted between \
        the time the first chunk was returned and now may show up in the list.";
    let mut status = Status::expired(message).to_value();
    status["metadata"] = json!({"continue": Token::new(-1, &token.start, None).encode(),
                                "resourceVersion": core.cache.revision().to_string()});
    Answer::Plain(Response::new(410, JSON, status.to_string()))
}
