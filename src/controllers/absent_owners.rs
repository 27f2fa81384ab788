//! The owners that live reads have shown not to exist: nobody asks for one of them twice.
//!
//! A UID never comes back, so that what was once absent stays absent: when an owner of a thousand
//! objects goes, the garbage collector reads it once. Upstream:
//! `pkg/controller/garbagecollector/uid_cache.go`.
//!
//! 1. An owner is absent at one place: of this kind, in this namespace, with this name. Another
//!    object may name the same UID rightly (M34).
//! 2. At most [`OWNERS_MAX`] are remembered; the oldest is forgotten first.
//!
//! Book: `book/src/controllers/garbage-collector.md`.

use std::collections::{BTreeSet, VecDeque};

use wavetank_api::{Guard, Guards, KindId, Uid};
use wavetank_informer::Key;

/// As many as upstream remembers.
const OWNERS_MAX: usize = 500;

/// An owner, and where it would have to be; nowhere in particular without M34.
type Owner = (Uid, Option<(KindId, Key)>);

/// See the file's header.
#[derive(Default)]
pub struct AbsentOwners {
    known: BTreeSet<Owner>,
    by_age: VecDeque<Owner>,
}

impl AbsentOwners {
    /// Whether this owner was found to be absent there.
    pub fn has(&self, uid: &Uid, place: &(KindId, Key), guards: Guards) -> bool {
        self.known.contains(&owner(uid, place, guards))
    }

    /// A live read has shown that this owner is not there.
    pub fn add(&mut self, uid: &Uid, place: &(KindId, Key), guards: Guards) {
        let owner = owner(uid, place, guards);
        if !self.known.insert(owner.clone()) {
            return;
        }
        self.by_age.push_back(owner);
        if self.by_age.len() > OWNERS_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

fn owner(uid: &Uid, place: &(KindId, Key), guards: Guards) -> Owner {
    let place = guards.on(Guard::M34).then(|| place.clone());
    (uid.clone(), place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_absent_at_one_place_and_is_forgotten_in_time() {
        let guards = Guards::default();
        let at = |namespace: &str| (KindId::ReplicaSet, Key::new(namespace, "web"));
        let uid = |number: usize| Uid(number.to_string().into());
        let mut absent = AbsentOwners::default();
        absent.add(&uid(0), &at("b"), guards);
        assert!(absent.has(&uid(0), &at("b"), guards));
        assert!(!absent.has(&uid(0), &at("a"), guards));
        for number in 1..=OWNERS_MAX {
            absent.add(&uid(number), &at("b"), guards);
        }
        assert!(!absent.has(&uid(0), &at("b"), guards));
        assert!(absent.has(&uid(OWNERS_MAX), &at("b"), guards));
        assert_eq!(absent.known.len(), OWNERS_MAX);
    }
}
