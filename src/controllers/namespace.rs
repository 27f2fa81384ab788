//! Empties a namespace that is being deleted, and lets it go when nothing is left.
//!
//! Upstream: `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`. The API server
//! refuses to create anything in a terminating namespace; this controller deletes what is there,
//! kind by kind, and takes the finalizer `kubernetes` off only after every kind has been listed
//! empty.
//!
//! 1. The finalizer is removed only when a consistent list of every namespaced kind, begun after
//!    the
//!    deletion was seen, was empty (C39, M36).
//!
//! Left out: the conditions that count what remains.
//!
//! Book: `book/src/controllers/small.md`.

use core::time::Duration;

use serde_json::json;

use wavetank_api::{KindId, Request, Response, Time};
use wavetank_informer::client::{DeleteOptions, Propagation, Selection, parse_list};
use wavetank_informer::executor::Plan;
use wavetank_informer::queue::Queue;
use wavetank_informer::view::HeaderOnly;
use wavetank_informer::{Failure, Guard, Key};

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{Informers, News};

/// The finalizer that this controller owns (`spec.finalizers`).
const FINALIZER: &str = "kubernetes";

/// How long to wait while pods stop: upstream takes half their grace period; most have 30 s.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// See the file's header.
pub struct NamespaceController;

/// What the answers under way are about.
#[derive(Debug)]
pub enum Stage {
    /// Collections are being deleted.
    Deleting,
    /// Collections are being listed.
    Listing,
    /// The finalizer is being removed.
    Finalizing,
}

impl Controller for NamespaceController {
    type Key = Key;
    type Memory = Stage;

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Namespace
    }

    fn workers(&self) -> usize {
        10
    }

    fn observe(&mut self, news: &News, _: &Informers, _: Time, keys: &mut Queue<Key>) {
        if let News::Namespace(change) = news
            && !change.is_deleted()
            && change.object().meta.is_terminating()
        {
            keys.add(change.object().key(), "namespace is being deleted");
        }
    }

    fn reconcile(&mut self, key: &Key, cx: &mut Context<'_>) -> Step<Stage> {
        let Some(namespace) = cx.world.namespaces.cache().get(key) else {
            return Step::Done;
        };
        let held = namespace
            .view
            .spec
            .finalizers
            .iter()
            .any(|f| &**f == FINALIZER);
        if !namespace.meta.is_terminating() || !held {
            return Step::Done;
        }
        let of = everything_in(&key.name);
        let options = DeleteOptions {
            propagation: Some(Propagation::Background),
            ..DeleteOptions::default()
        };
        let requests = contents().map(|kind| cx.client.delete_collection(kind, &of, &options));
        cx.note("deleting its content");
        Step::Read(requests.collect(), Stage::Deleting)
    }

    fn resume(
        &mut self,
        key: &Key,
        stage: Stage,
        answers: Answers,
        cx: &mut Context<'_>,
    ) -> Step<Stage> {
        match stage {
            Stage::Deleting => {
                if let Some(error) = first_failure(&answers.read()) {
                    return Step::Retry(error);
                }
                Step::Read(lists(key, cx), Stage::Listing)
            }
            Stage::Listing => match remaining(&answers.read()) {
                Err(error) if cx.guards.on(Guard::M36) => Step::Retry(error),
                Ok(true) => Step::After(LOOK_AGAIN),
                Ok(false) | Err(_) => finalize(key, cx),
            },
            Stage::Finalizing => match first_error(&answers.written()) {
                Some(error) => Step::Retry(error),
                None => Step::Done,
            },
        }
    }
}

/// The kinds whose objects live in namespaces, each stored kind once.
fn contents() -> impl Iterator<Item = KindId> {
    KindId::all().filter(|kind| {
        let info = kind.info();
        info.namespaced && info.allows("deletecollection") && kind.stored_as() == *kind
    })
}

fn everything_in(namespace: &str) -> Selection {
    Selection {
        namespace: namespace.to_owned(),
        ..Selection::default()
    }
}

fn lists(key: &Key, cx: &Context<'_>) -> Vec<Request> {
    let of = everything_in(&key.name);
    contents()
        .map(|kind| cx.client.list(kind, &of, None, 1, ""))
        .collect()
}

fn first_failure(answers: &[Result<Response, Failure>]) -> Option<String> {
    answers.iter().find_map(|answer| match answer {
        Ok(response) if response.is_success() => None,
        Ok(response) => Some(format!("a collection was not deleted: {}", response.status)),
        Err(failure) => Some(format!("a collection was perhaps not deleted: {failure:?}")),
    })
}

/// Whether any list has an item.
fn remaining(answers: &[Result<Response, Failure>]) -> Result<bool, String> {
    let mut any = false;
    for answer in answers {
        let response = answer
            .as_ref()
            .map_err(|failure| format!("no list: {failure:?}"))?;
        let list = parse_list::<HeaderOnly>(response).map_err(|error| error.to_string())?;
        any |= !list.items.is_empty();
    }
    Ok(any)
}

fn finalize(key: &Key, cx: &mut Context<'_>) -> Step<Stage> {
    let Some(namespace) = cx.world.namespaces.cache().get(key) else {
        return Step::Done;
    };
    let kept = namespace
        .view
        .spec
        .finalizers
        .iter()
        .filter(|f| &***f != FINALIZER);
    let kept: Vec<&str> = kept.map(|f| &**f).collect();
    let object = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": &*key.name,
            "uid": &*namespace.meta.uid.0,
            "resourceVersion": namespace.meta.resource_version.to_string(),
        },
        "spec": { "finalizers": kept },
    });
    cx.note("it is empty");
    Step::Plan(
        Plan::one(cx.client.finalize(key, &object)),
        Stage::Finalizing,
    )
}
