//! Deletes what nobody owns any more, and carries out foreground and orphaning deletes.
//!
//! Upstream: `pkg/controller/garbagecollector`, which keeps a graph of all objects. Here the graph
//! is the caches themselves: every cache has an index by owner uid, so an edge is a look-up.
//! Whatever the caches say is missing is asked for live before anything is deleted for it.
//!
//! 1. An object is deleted only when a live read has shown each of its owners to be gone, or to be
//!    waiting for its dependents (C22, M30, M31). An owner is looked for in the object's own
//!    namespace, and what was found there says nothing of other namespaces (M34).
//! 2. A delete carries the uid and the revision it was decided on (M32).
//! 3. Dependents of a deleted owner are found by consistent lists, never by the caches alone: an
//!    owner is not released before all of them were seen (C23, M33).
//! 4. Objects that own one another in a circle do not wait for one another for ever: those that
//!    block an owner which they own stop blocking it.
//!
//! Book: `book/src/controllers/garbage-collector.md`.

use core::fmt;
use std::collections::BTreeSet;

use serde_json::json;

use wavetank_api::{KindId, Meta, OwnerReference, Request, Response, Time, Uid};
use wavetank_informer::client::{
    DeleteOptions, Patch, Propagation, Selection, Write, parse_list, parse_object,
};
use wavetank_informer::executor::Plan;
use wavetank_informer::queue::Queue;
use wavetank_informer::view::HeaderOnly;
use wavetank_informer::{Failure, Guard, Key, Object};

use crate::absent_owners::AbsentOwners;
use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{Informers, News};

/// The finalizer of a delete with `propagationPolicy: Foreground`.
const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of a delete with `propagationPolicy: Orphan`.
const ORPHAN: &str = "orphan";

/// One object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Its kind.
    pub kind: KindId,
    /// Its name.
    pub key: Key,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// See the file's header.
#[derive(Default)]
pub struct GarbageCollector {
    /// Written by `resume`, as live reads are answered.
    absent: AbsentOwners,
}

/// What the answers under way are about.
#[derive(Debug)]
pub enum Stage {
    /// Live reads of the owners that the caches lack, in order.
    Owners(Vec<OwnerReference>),
    /// Live lists of what may depend on an object that is being deleted.
    Dependents,
    /// The writes that end this round.
    Writing,
}

/// What is known of the owners of an object.
#[derive(Default)]
struct Owners {
    /// They exist: the object stays.
    solid: Vec<Uid>,
    /// They are being deleted in the foreground, and wait for this object among others.
    waiting: Vec<Uid>,
    /// They do not exist.
    dangling: Vec<Uid>,
    /// The caches lack them.
    missing: Vec<OwnerReference>,
}

impl Controller for GarbageCollector {
    type Key = Item;
    type Memory = Stage;

    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Pod // its keys say their own kind
    }

    fn workers(&self) -> usize {
        20
    }

    fn observe(&mut self, news: &News, world: &Informers, _: Time, keys: &mut Queue<Item>) {
        let meta = news.meta();
        let item = || Item {
            kind: news.kind(),
            key: key_of(meta),
        };
        if news.is_deleted() {
            for (kind, key) in world.dependents(&meta.uid) {
                keys.add(Item { kind, key }, "an owner is gone");
            }
            for owner in meta.owner_references.iter() {
                if let Some((kind, found)) = cached(world, owner, meta)
                    && waits(found)
                {
                    keys.add(
                        Item {
                            kind,
                            key: key_of(found),
                        },
                        "a dependent is gone",
                    );
                }
            }
            return;
        }
        if meta.is_terminating() && held_by_collector(meta) {
            return keys.add(item(), "it waits for the garbage collector");
        }
        let old = news.old_meta().map(|old| &old.owner_references);
        if old == Some(&meta.owner_references) {
            return;
        }
        let blocks = |owner: &OwnerReference| {
            let mut now = meta.owner_references.iter();
            now.any(|now| now.uid == owner.uid && now.block_owner_deletion)
        };
        for owner in old
            .into_iter()
            .flat_map(|owners| owners.iter())
            .filter(|owner| owner.block_owner_deletion)
        {
            if let Some((kind, found)) = cached(world, owner, meta)
                && waits(found)
                && !blocks(owner)
            {
                let key = key_of(found);
                keys.add(Item { kind, key }, "a dependent no longer blocks it");
            }
        }
        let doubtful = |owner: &OwnerReference| {
            cached(world, owner, meta).is_none_or(|(_, found)| waits(found))
        };
        if meta.owner_references.iter().any(doubtful) {
            keys.add(item(), "an owner is missing");
        }
    }

    fn reconcile(&mut self, item: &Item, cx: &mut Context<'_>) -> Step<Stage> {
        let Some(meta) = cx.world.header(item.kind, &item.key) else {
            return Step::Done;
        };
        if meta.is_terminating() {
            if !held_by_collector(meta) {
                return Step::Done;
            }
            return Step::Read(lists(meta, cx), Stage::Dependents);
        }
        let mut owners = self.known_owners(meta, cx);
        if owners.solid.len() == meta.owner_references.len() {
            return Step::Done;
        }
        if !cx.guards.on(Guard::M30) {
            owners.dangling = owners.missing.drain(..).map(|owner| owner.uid).collect();
        }
        let reads = owners
            .missing
            .iter()
            .filter_map(|owner| live_read(owner, meta, cx));
        Step::Read(reads.collect(), Stage::Owners(owners.missing.clone()))
    }

    fn resume(
        &mut self,
        item: &Item,
        stage: Stage,
        answers: Answers,
        cx: &mut Context<'_>,
    ) -> Step<Stage> {
        let Some(meta) = cx.world.header(item.kind, &item.key) else {
            return Step::Done;
        };
        match stage {
            Stage::Owners(asked) => {
                let mut owners = self.known_owners(meta, cx);
                let missing = core::mem::take(&mut owners.missing);
                let unasked = missing.into_iter().filter(|owner| !asked.contains(owner));
                let list = match cx.guards.on(Guard::M30) {
                    true => &mut owners.solid, // that it is missing now will be news
                    false => &mut owners.dangling,
                };
                list.extend(unasked.map(|owner| owner.uid));
                match self.judge(&mut owners, &asked, meta, answers.read(), cx) {
                    Ok(()) => decide(item, meta, &owners, cx),
                    Err(error) => Step::Retry(error),
                }
            }
            Stage::Dependents => {
                let found = match cx.guards.on(Guard::M33) {
                    true => dependents(meta, answers.read()),
                    false => Ok(cached_dependents(meta, cx.world)),
                };
                match found {
                    Ok(found) => release(item, meta, &found, cx),
                    Err(error) => Step::Retry(error),
                }
            }
            Stage::Writing => match first_error(&answers.written()) {
                Some(error) => Step::Retry(error),
                None => Step::Done,
            },
        }
    }
}

impl GarbageCollector {
    /// The owners as far as they are known without asking.
    fn known_owners(&self, meta: &Meta, cx: &Context<'_>) -> Owners {
        let mut owners = Owners::default();
        for owner in meta.owner_references.iter() {
            match (cached(cx.world, owner, meta), owner_key(owner, meta)) {
                (Some((_, found)), _) => owners.sort(owner, found),
                // There is no place to look for it: it cannot be judged, and counts as alive.
                (None, None) => owners.solid.push(owner.uid.clone()),
                (None, Some(place)) if self.absent.has(&owner.uid, &place, cx.guards) => {
                    owners.dangling.push(owner.uid.clone());
                }
                (None, Some(_)) => owners.missing.push(owner.clone()),
            }
        }
        owners
    }

    /// Sorts the owners that the caches lack by what the live reads say of them.
    fn judge(
        &mut self,
        owners: &mut Owners,
        asked: &[OwnerReference],
        child: &Meta,
        answers: Vec<Result<Response, Failure>>,
        cx: &Context<'_>,
    ) -> Result<(), String> {
        for (owner, answer) in asked.iter().zip(answers) {
            let response = answer.map_err(|failure| format!("no owner read: {failure:?}"))?;
            let found = match parse_object::<HeaderOnly>(&response) {
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.to_string()),
                Ok(found) => Some(found.meta),
            };
            let is_it = |found: &Meta| found.uid == owner.uid || !cx.guards.on(Guard::M31);
            match found.filter(is_it) {
                Some(found) => owners.sort(owner, &found),
                None => {
                    owners.dangling.push(owner.uid.clone());
                    if let Some(place) = owner_key(owner, child) {
                        self.absent.add(&owner.uid, &place, cx.guards);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Owners {
    fn sort(&mut self, owner: &OwnerReference, found: &Meta) {
        let list = if waits(found) {
            &mut self.waiting
        } else {
            &mut self.solid
        };
        list.push(owner.uid.clone());
    }
}

// ANCHOR: decide
/// What becomes of an object, now that all its owners are known.
fn decide(item: &Item, meta: &Meta, owners: &Owners, cx: &mut Context) -> Step<Stage> {
    let gone: Vec<&Uid> = owners.dangling.iter().chain(&owners.waiting).collect();
    if gone.is_empty() {
        return Step::Done;
    }
    if !owners.solid.is_empty() {
        cx.note("some of its owners are gone");
        return written(vec![disown(item, meta, &gone, cx)]);
    }
    cx.note("all its owners are gone");
    let has_dependents = !cx.world.dependents(&meta.uid).is_empty();
    let propagation = match () {
        () if meta.finalizers.iter().any(|f| &**f == ORPHAN) => Propagation::Orphan,
        () if !owners.waiting.is_empty() && has_dependents => Propagation::Foreground,
        () => Propagation::Background,
    };
    let options = DeleteOptions {
        uid: Some(meta.uid.clone()),
        resource_version: cx.guards.on(Guard::M32).then_some(meta.resource_version),
        propagation: Some(propagation),
        ..DeleteOptions::default()
    };
    written(vec![cx.client.delete(item.kind, &item.key, &options)])
}
// ANCHOR_END: decide

/// An object that is being deleted and waits for us: orphan its dependents, or delete them
/// and let it go when none is left that blocks it.
// ANCHOR: release
fn release(
    item: &Item,
    meta: &Meta,
    found: &[(KindId, Meta)],
    cx: &mut Context<'_>,
) -> Step<Stage> {
    if meta.finalizers.iter().any(|f| &**f == ORPHAN) {
        cx.note("orphaning its dependents");
        let mut plan = Plan::together(orphaning(meta, found, cx));
        plan.then(vec![without_finalizer(item, meta, ORPHAN, cx)]);
        return Step::Plan(plan, Stage::Writing);
    }
    let blocks = |dependent: &Meta| {
        let mut references = dependent.owner_references.iter();
        references.any(|owner| owner.uid == meta.uid && owner.block_owner_deletion)
    };
    let blocking = found.iter().filter(|(_, dependent)| blocks(dependent));
    let blocking: Vec<_> = blocking.collect();
    if blocking.is_empty() {
        cx.note("no dependent blocks its deletion");
        return written(vec![without_finalizer(item, meta, FOREGROUND, cx)]);
    }
    let in_cycle = blocking
        .into_iter()
        .filter(|(_, dependent)| owns(dependent, meta, cx));
    let unblocking = in_cycle.map(|(kind, dependent)| unblocked(*kind, dependent, cx));
    let mut plan = Plan::together(unblocking.collect());
    plan.then(deleting(found, cx));
    cx.note("deleting its dependents first");
    Step::Plan(plan, Stage::Writing)
}
// ANCHOR_END: release

/// Deletes of those that are not being deleted yet; who has dependents waits for them in turn.
fn deleting(found: &[(KindId, Meta)], cx: &Context<'_>) -> Vec<Write> {
    let alive = found
        .iter()
        .filter(|(_, dependent)| !dependent.is_terminating());
    let deletes = alive.map(|(kind, dependent)| {
        let nested = !cx.world.dependents(&dependent.uid).is_empty();
        let propagation = if nested {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        let options = DeleteOptions {
            propagation: Some(propagation),
            ..DeleteOptions::of(&dependent.uid)
        };
        cx.client.delete(*kind, &key_of(dependent), &options)
    });
    deletes.collect()
}

/// Whether an object owns another, directly or through what it owns: then neither can be the last
/// to go, and one must stop blocking the other.
fn owns(owner: &Meta, wanted: &Meta, cx: &Context<'_>) -> bool {
    let mut seen = BTreeSet::from([owner.uid.clone()]);
    let mut open = vec![owner.uid.clone()];
    while let Some(uid) = open.pop() {
        for (kind, key) in cx.world.dependents(&uid) {
            let Some(found) = cx.world.header(kind, &key) else {
                continue;
            };
            if found.uid == wanted.uid {
                return true;
            }
            if seen.insert(found.uid.clone()) {
                open.push(found.uid.clone());
            }
        }
    }
    false
}

/// None of its owners has to wait for it any more (upstream's
/// `unblockOwnerReferencesStrategicMergePatch`).
fn unblocked(kind: KindId, dependent: &Meta, cx: &Context<'_>) -> Write {
    let blocking = dependent
        .owner_references
        .iter()
        .filter(|owner| owner.block_owner_deletion);
    let references = blocking.map(|owner| {
        json!({
            "uid": &*owner.uid.0,
            "blockOwnerDeletion": false,
        })
    });
    let patch = json!({ "metadata": {
        "uid": &*dependent.uid.0,
        "ownerReferences": references.collect::<Vec<_>>(),
    }});
    let key = key_of(dependent);
    cx.client.patch(kind, &key, "", Patch::Strategic, &patch)
}

fn written(writes: Vec<Write>) -> Step<Stage> {
    Step::Plan(Plan::together(writes), Stage::Writing)
}

fn orphaning(meta: &Meta, found: &[(KindId, Meta)], cx: &Context<'_>) -> Vec<Write> {
    let patches = found.iter().map(|(kind, dependent)| {
        let patch = json!({ "metadata": {
            "uid": &*dependent.uid.0,
            "ownerReferences": [{ "$patch": "delete", "uid": &*meta.uid.0 }],
        }});
        cx.client
            .patch(*kind, &key_of(dependent), "", Patch::Strategic, &patch)
    });
    patches.collect()
}

fn disown(item: &Item, meta: &Meta, gone: &[&Uid], cx: &Context<'_>) -> Write {
    let references = gone
        .iter()
        .map(|uid| json!({ "$patch": "delete", "uid": &*uid.0 }));
    let patch = json!({ "metadata": {
        "uid": &*meta.uid.0,
        "resourceVersion": meta.resource_version.to_string(),
        "ownerReferences": references.collect::<Vec<_>>(),
    }});
    cx.client
        .patch(item.kind, &item.key, "", Patch::Strategic, &patch)
}

fn without_finalizer(item: &Item, meta: &Meta, finalizer: &str, cx: &Context<'_>) -> Write {
    let kept = meta
        .finalizers
        .iter()
        .filter(|f| &***f != finalizer)
        .map(|f| &**f);
    let patch = json!({ "metadata": {
        "uid": &*meta.uid.0,
        "resourceVersion": meta.resource_version.to_string(),
        "finalizers": kept.collect::<Vec<_>>(),
    }});
    cx.client
        .patch(item.kind, &item.key, "", Patch::Merge, &patch)
}

/// Consistent lists of every kind whose objects could depend on this one.
fn lists(meta: &Meta, cx: &Context<'_>) -> Vec<Request> {
    let of = Selection {
        namespace: meta.namespace.to_string(),
        ..Selection::default()
    };
    near(meta)
        .map(|kind| cx.client.list(kind, &of, None, 0, ""))
        .collect()
}

/// The kinds of what may depend on an object: of a namespaced one, only what lives in its
/// namespace.
fn near(meta: &Meta) -> impl Iterator<Item = KindId> {
    let kinds = Informers::KINDS.iter().copied();
    kinds.filter(|kind| meta.namespace.is_empty() || kind.info().namespaced)
}

fn dependents(
    owner: &Meta,
    answers: Vec<Result<Response, Failure>>,
) -> Result<Vec<(KindId, Meta)>, String> {
    let mut found = Vec::new();
    for (kind, answer) in near(owner).zip(answers) {
        let response = answer.map_err(|failure| format!("no list: {failure:?}"))?;
        let list = parse_list(&response, Object::<HeaderOnly>::decode)
            .map_err(|error| error.to_string())?;
        for object in list.items {
            if object
                .meta
                .owner_references
                .iter()
                .any(|of| of.uid == owner.uid)
            {
                found.push((kind, object.meta));
            }
        }
    }
    Ok(found)
}

/// What depends on an object as far as the caches show.
fn cached_dependents(owner: &Meta, world: &Informers) -> Vec<(KindId, Meta)> {
    let found = world.dependents(&owner.uid).into_iter();
    let found = found.filter_map(|(kind, key)| Some((kind, world.header(kind, &key)?.clone())));
    found.collect()
}

fn key_of(meta: &Meta) -> Key {
    Key::new(meta.namespace.clone(), meta.name.clone())
}

fn waits(meta: &Meta) -> bool {
    meta.is_terminating() && meta.finalizers.iter().any(|f| &**f == FOREGROUND)
}

fn held_by_collector(meta: &Meta) -> bool {
    meta.finalizers
        .iter()
        .any(|f| matches!(&**f, FOREGROUND | ORPHAN))
}

/// Where the owner of an object would be: in its namespace, or in none. `None`: its kind is not
/// served, or lives in namespaces while the object does not.
fn owner_key(owner: &OwnerReference, child: &Meta) -> Option<(KindId, Key)> {
    let kind = KindId::by_kind(&owner.api_version, &owner.kind)?;
    let namespace = match (kind.info().namespaced, child.namespace.is_empty()) {
        (true, true) => return None,
        (true, false) => child.namespace.clone(),
        (false, _) => "".into(),
    };
    Some((kind, Key::new(namespace, owner.name.clone())))
}

/// The owner as the caches have it: same name, same uid.
fn cached<'a>(
    world: &'a Informers,
    owner: &OwnerReference,
    child: &Meta,
) -> Option<(KindId, &'a Meta)> {
    let (kind, key) = owner_key(owner, child)?;
    let found = world.header(kind, &key)?;
    (found.uid == owner.uid).then_some((kind, found))
}

fn live_read(owner: &OwnerReference, child: &Meta, cx: &Context<'_>) -> Option<Request> {
    let (kind, key) = owner_key(owner, child)?;
    Some(cx.client.get(kind, &key))
}
