//! Empties a namespace that is being deleted, and lets it go when nothing is left.
//!
//! Upstream: `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`. The API server
//! refuses to create anything in a terminating namespace; this controller deletes what is there,
//! pods before all else, and takes the finalizer `kubernetes` off only after every kind has been
//! listed empty.
//!
//! Until then the namespace's conditions say what remains, and what went wrong.
//!
//! 1. The finalizer is removed only when a consistent list of every namespaced kind, begun after
//!    the deletion was seen, was empty (C39, M36).
//! 2. Nothing else is deleted before a list of the pods, begun after the deletion was seen, was
//!    empty: no pod outlives the NetworkPolicy that fences it in (CVE-2024-7598, KEP-5080).
//!
//! Left out: conditions of a namespace that goes at the first look, which nobody could read.
//!
//! Book: `book/src/controllers/small.md`.

use core::time::Duration;

use serde_json::json;

use wavetank_api::{KindId, Request, Response, Time};
use wavetank_informer::client::{DeleteOptions, Patch, Propagation, Selection, parse_list};
use wavetank_informer::executor::Plan;
use wavetank_informer::queue::Queue;
use wavetank_informer::view::HeaderOnly;
use wavetank_informer::{Failure, Guard, Key, Object};

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{Informers, News};

mod conditions;

use conditions::Remains;

/// The finalizer that this controller owns (`spec.finalizers`).
const FINALIZER: &str = "kubernetes";

/// How long to wait while pods stop: upstream takes half their grace period; most have 30 s.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// See the file's header.
pub struct NamespaceController;

/// What a look at a namespace is about: the gate `OrderedNamespaceDeletion`, on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// First its pods.
    Pods,
    /// When there are none: everything.
    Everything,
}

/// What the answers under way are about.
#[derive(Debug)]
pub enum Stage {
    /// Collections are being deleted.
    Deleting(Round),
    /// Collections are being listed; what went wrong before.
    Listing(Round, Vec<String>),
    /// The conditions are being written; what went wrong before.
    Telling(Vec<String>),
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
        cx.note("deleting its content");
        delete(key, Round::Pods, cx)
    }

    fn resume(
        &mut self,
        key: &Key,
        stage: Stage,
        answers: Answers,
        cx: &mut Context<'_>,
    ) -> Step<Stage> {
        match stage {
            Stage::Deleting(round) => {
                let errors = failures(&answers.read(), round);
                Step::Read(lists(key, round, cx), Stage::Listing(round, errors))
            }
            Stage::Listing(round, errors) => {
                let remains = remains(&answers.read(), round, errors);
                listed(key, remains, round, cx)
            }
            Stage::Telling(errors) => match first_error(&answers.written()) {
                Some(error) => Step::Retry(error),
                None => again(errors),
            },
            Stage::Finalizing => match first_error(&answers.written()) {
                Some(error) => Step::Retry(error),
                None => Step::Done,
            },
        }
    }
}

/// The kinds that a round is about: of all whose objects live in namespaces, each stored kind once.
fn contents(round: Round) -> impl Iterator<Item = KindId> {
    KindId::all().filter(move |kind| {
        let info = kind.info();
        let is_stored = info.allows("deletecollection") && kind.stored_as() == *kind;
        let is_concerned = round == Round::Everything || *kind == KindId::Pod;
        info.namespaced && is_stored && is_concerned
    })
}

fn delete(key: &Key, round: Round, cx: &Context<'_>) -> Step<Stage> {
    let of = everything_in(&key.name);
    let options = DeleteOptions {
        propagation: Some(Propagation::Background),
        ..DeleteOptions::default()
    };
    let requests = contents(round).map(|kind| cx.client.delete_collection(kind, &of, &options));
    Step::Read(requests.collect(), Stage::Deleting(round))
}

fn everything_in(namespace: &str) -> Selection {
    Selection {
        namespace: namespace.to_owned(),
        ..Selection::default()
    }
}

fn lists(key: &Key, round: Round, cx: &Context<'_>) -> Vec<Request> {
    let of = everything_in(&key.name);
    contents(round)
        .map(|kind| cx.client.list(kind, &of, None, 0, ""))
        .collect()
}

/// What the server said to those that were refused, or that nothing was heard.
fn failures(answers: &[Result<Response, Failure>], round: Round) -> Vec<String> {
    let errors = answers
        .iter()
        .zip(contents(round))
        .filter_map(|(answer, kind)| match answer {
            Ok(response) if response.is_success() => None,
            Ok(response) => Some(
                parse_list(response, Object::<HeaderOnly>::decode)
                    .err()?
                    .to_string(),
            ),
            Err(failure) => Some(format!("{}: {failure:?}", resource(kind))),
        });
    errors.collect()
}

/// `pods.`, `deployments.apps`: the resource as the conditions name it.
fn resource(kind: KindId) -> String {
    format!("{}.{}", kind.info().plural, kind.info().group)
}

/// What the lists show, and what had gone wrong before them.
fn remains(
    answers: &[Result<Response, Failure>],
    round: Round,
    mut errors: Vec<String>,
) -> Remains {
    errors.extend(failures(answers, round));
    let mut remains = Remains {
        errors,
        ..Remains::default()
    };
    for (answer, kind) in answers.iter().zip(contents(round)) {
        let Ok(response) = answer else { continue };
        let list = match parse_list(response, Object::<HeaderOnly>::decode) {
            Ok(list) => list,
            Err(_) if !response.is_success() => continue,
            Err(error) => {
                remains.errors.push(error.to_string());
                continue;
            }
        };
        for object in &list.items {
            for finalizer in object.meta.finalizers.iter() {
                *remains.finalizers.entry(finalizer.clone()).or_default() += 1;
            }
        }
        if !list.items.is_empty() {
            remains.resources.insert(resource(kind), list.items.len());
        }
    }
    remains
}

/// Tells what remains, if that is news; when nothing does, turns from the pods to the rest, or lets
/// the namespace go.
fn listed(key: &Key, remains: Remains, round: Round, cx: &mut Context<'_>) -> Step<Stage> {
    let Some(namespace) = cx.world.namespaces.cache().get(key) else {
        return Step::Done;
    };
    let is_proved = remains.errors.is_empty() || !cx.guards.on(Guard::M36);
    let goes = remains.is_empty() && is_proved;
    if goes && round == Round::Pods {
        return delete(key, Round::Everything, cx);
    }
    let told = &namespace.view.status.conditions;
    let spec = &namespace.view.spec;
    let is_last = told.is_empty() && spec.finalizers.len() == 1;
    if goes && is_last {
        return finalize(key, cx);
    }
    match remains.conditions(told, cx.now) {
        Some(conditions) => {
            let patch = json!({
                "metadata": { "uid": &*namespace.meta.uid.0 },
                "status": { "conditions": conditions },
            });
            let patch = cx
                .client
                .patch(KindId::Namespace, key, "status", Patch::Merge, &patch);
            cx.note("what remains has changed");
            Step::Plan(Plan::one(patch), Stage::Telling(remains.errors))
        }
        None if goes => finalize(key, cx),
        None => again(remains.errors),
    }
}

/// Another look: later and later after an error.
fn again(mut errors: Vec<String>) -> Step<Stage> {
    match errors.pop() {
        Some(error) => Step::Retry(error),
        None => Step::After(LOOK_AGAIN),
    }
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
