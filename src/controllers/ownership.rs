//! Which objects are mine: claim by selector, adopt orphans, release what no longer matches.
//!
//! ReplicaSet claims pods, Deployment claims replica sets. Upstream:
//! `pkg/controller/controller_ref_manager.go`.
//!
//! 1. Only orphans are adopted, only by a live owner that is not being deleted (C24, M08).
//! 2. A patch that adopts or releases names the uid of the object it was decided on (I1, M09).
//! 3. What does not match is not counted and not deleted (C25).
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::sync::Arc;

use serde_json::{Value, json};
use wavetank_api::selector::LabelSelector;
use wavetank_api::{KindId, Meta, Request, Response};
use wavetank_informer::client::{Patch, Write, parse_object};
use wavetank_informer::view::HeaderOnly;
use wavetank_informer::{Client, Failure, Guard, Guards, Key, Object};

use crate::pods::controller_reference;

/// What an owner has, and what it should change about that.
#[derive(Debug)]
pub struct Claim<T> {
    /// Controlled by the owner and matching.
    pub mine: Vec<Arc<Object<T>>>,
    /// Matching orphans, to be adopted.
    pub adopt: Vec<Arc<Object<T>>>,
    /// Controlled by the owner and no longer matching, to be released.
    pub release: Vec<Arc<Object<T>>>,
}

// ANCHOR: claim
/// Sorts the objects that an owner controls, and the orphans of its namespace.
pub fn claim<'a, T: 'a>(
    owner: &Meta,
    selector: &'a LabelSelector,
    owned: impl Iterator<Item = &'a Arc<Object<T>>>,
    orphans: impl Iterator<Item = &'a Arc<Object<T>>>,
) -> Claim<T> {
    let mut selects = selector.matcher();
    let mut matches = |object: &&'a Arc<Object<T>>| selects(&object.meta.labels);
    let controlled = owned.filter(|object| object.is_controlled_by(&owner.uid));
    let (mine, strays) = controlled.partition::<Vec<_>, _>(&mut matches);
    let mine = mine.into_iter().cloned().collect();
    if owner.is_terminating() {
        // A dying owner neither takes nor gives; the garbage collector decides.
        return Claim {
            mine,
            adopt: Vec::new(),
            release: Vec::new(),
        };
    }
    let alive = |object: &&Arc<Object<T>>| !object.meta.is_terminating();
    let adopt = orphans.filter(matches).filter(alive).cloned().collect();
    Claim {
        mine,
        adopt,
        release: strays.into_iter().cloned().collect(),
    }
}
// ANCHOR_END: claim

impl<T> Claim<T> {
    /// Whether something is to be adopted or released before the owner can count on what it has.
    pub fn is_unsettled(&self) -> bool {
        !self.adopt.is_empty() || !self.release.is_empty()
    }

    /// The live read that must come before an adoption: the cache may not yet show that the owner
    /// is being deleted, and what it then adopts dies with it. Nothing to read for releases alone.
    pub fn check(
        &self,
        client: &Client,
        kind: KindId,
        owner: &Meta,
        guards: Guards,
    ) -> Vec<Request> {
        let key = Key::new(owner.namespace.clone(), owner.name.clone());
        match self.adopt.is_empty() || !guards.on(Guard::M08) {
            true => Vec::new(),
            false => vec![client.get(kind, &key)],
        }
    }

    /// The patches, when the live read allows adoption.
    pub fn patches(
        &self,
        client: &Client,
        (owner_kind, owner): (KindId, &Meta),
        kind: KindId,
        guards: Guards,
    ) -> Vec<Write> {
        let adopt = |object: &Arc<Object<T>>| {
            let reference = controller_reference(owner_kind, owner);
            let mut patch = json!({"metadata": {"ownerReferences": [reference]}});
            if guards.on(Guard::M09) {
                patch["metadata"]["uid"] = json!(&*object.meta.uid.0);
            }
            client.patch(kind, &object.key(), "", Patch::Strategic, &patch)
        };
        let release = |object: &Arc<Object<T>>| {
            let patch = release_patch(owner, &object.meta);
            client.patch(kind, &object.key(), "", Patch::Strategic, &patch)
        };
        let adoptions = self.adopt.iter().map(adopt);
        adoptions.chain(self.release.iter().map(release)).collect()
    }
}

fn release_patch(owner: &Meta, object: &Meta) -> Value {
    json!({"metadata": {
        "uid": &*object.uid.0,
        "ownerReferences": [{"$patch": "delete", "uid": &*owner.uid.0}],
    }})
}

/// Whether the live owner (the answer to [`Claim::check`]) may adopt: it is the one the decision
/// was made for, and it is not being deleted. Says why not.
pub fn may_adopt(owner: &Meta, answers: Vec<Result<Response, Failure>>) -> Result<(), String> {
    for answer in answers {
        let response =
            answer.map_err(|failure| format!("cannot read {}: {failure:?}", owner.name))?;
        let live = parse_object::<HeaderOnly>(&response).map_err(|error| error.to_string())?;
        if live.meta.uid != owner.uid {
            return Err(format!(
                "{} has been replaced by another of its name",
                owner.name
            ));
        }
        if live.meta.is_terminating() {
            return Err(format!("{} has just been deleted", owner.name));
        }
    }
    Ok(())
}
