//! What a key waits for after each kind of outcome.
//!
//! Book: `book/src/control-plane/informers.md`.

use std::collections::BTreeMap;

use serde_json::json;
use wavetank_api::Response;

use super::*;
use crate::client::{ApiError, DeleteOptions, Write};
use crate::component::Nothing;

/// Caches that a test sets.
#[derive(Default)]
struct Fake {
    pods: u64,
    live: BTreeMap<Key, Uid>,
}

impl Caches for Fake {
    fn revision(&self, kind: KindId) -> Option<Revision> {
        (kind == KindId::Pod).then_some(Revision(self.pods))
    }

    fn shows(&self, _: KindId, key: &Key, uid: &Uid) -> bool {
        self.live.get(key) == Some(uid)
    }
}

fn client() -> Client {
    Client::new("test", "test")
}

fn done(write: Write, outcome: Outcome) -> Written {
    Written {
        write,
        sent: Time::from_secs(100),
        outcome,
    }
}

fn create() -> Write {
    client().create(
        KindId::Pod,
        "default",
        &json!({"metadata": {"generateName": "web-"}}),
    )
}

fn answer(revision: u64) -> Outcome {
    let body = json!({"metadata": {"name": "web-1", "resourceVersion": revision.to_string()}});
    Outcome::Done(body.to_string().into())
}

const NOW: Time = Time::from_secs(100);

#[test]
fn after_a_create_it_waits_for_the_revision_of_the_answer() {
    let mut barrier = Barrier::new(Guards::default(), Guard::M01);
    barrier.expect(
        &"web",
        &[done(create(), answer(7)), done(create(), answer(9))],
    );
    let mut caches = Fake::default();
    for (revision, clear) in [(6, false), (7, false), (8, false), (9, true), (9, true)] {
        caches.pods = revision;
        assert_eq!(
            barrier.is_clear(&"web", &caches, NOW),
            clear,
            "at {revision}"
        );
    }
    assert!(barrier.is_clear(&"other", &Fake::default(), NOW));
}

#[test]
fn after_a_delete_it_waits_for_that_uid_to_go() {
    let (key, uid) = (Key::new("default", "web-1"), Uid("u1".into()));
    let delete = || client().delete(KindId::Pod, &key, &DeleteOptions::of(&uid));
    let refused = |reason: &str| {
        Outcome::Refused(ApiError {
            code: 409,
            reason: reason.into(),
            ..ApiError::default()
        })
    };
    for (outcome, waits) in [
        (answer(0), true),
        (refused("NotFound"), true),
        (refused("Conflict"), true),
        (refused("Forbidden"), false),
    ] {
        let mut barrier = Barrier::new(Guards::default(), Guard::M01);
        barrier.expect(&"web", &[done(delete(), outcome)]);
        let mut caches = Fake::default();
        caches.live.insert(key.clone(), uid.clone());
        assert_eq!(barrier.is_clear(&"web", &caches, NOW), !waits);
        caches.live.insert(key.clone(), Uid("u2".into())); // another of the same name
        assert!(barrier.is_clear(&"web", &caches, NOW));
    }
}

#[test]
fn after_a_delete_of_a_revision_that_has_passed_it_waits_for_nothing() {
    let (key, uid) = (Key::new("default", "web-1"), Uid("u1".into()));
    let options = DeleteOptions {
        resource_version: Some(Revision(7)),
        ..DeleteOptions::of(&uid)
    };
    let mut barrier = Barrier::new(Guards::default(), Guard::M01);
    let conflict = Outcome::Refused(ApiError {
        code: 409,
        reason: "Conflict".into(),
        ..ApiError::default()
    });
    let delete = client().delete(KindId::Pod, &key, &options);
    barrier.expect(&"web", &[done(delete, conflict)]);
    let mut caches = Fake::default();
    caches.live.insert(key, uid); // it was changed, and lives
    assert!(barrier.is_clear(&"web", &caches, NOW));
}

#[test]
fn after_a_lost_answer_it_asks_when_the_write_can_no_longer_commit() {
    let mut barrier = Barrier::new(Guards::default(), Guard::M01);
    barrier.expect(&"web", &[done(create(), Outcome::Unknown(None))]);
    let (mut ids, mut out) = (CallIds::default(), Vec::new());
    let at = NOW + COMMIT_BOUND;
    assert_eq!(barrier.next_wake(), Some(at));
    barrier.handle(&Input::<Nothing>::Tick, NOW, &client(), &mut ids, &mut out);
    assert!(out.is_empty(), "it could still commit");
    barrier.handle(&Input::<Nothing>::Tick, at, &client(), &mut ids, &mut out);
    let Some(Output::<Nothing>::Call(call, request)) = out.pop() else {
        panic!("no question");
    };
    assert_eq!(request.target, "/api/v1/namespaces/default/pods?limit=1");
    let mut caches = Fake {
        pods: 41,
        ..Fake::default()
    };
    assert!(!barrier.is_clear(&"web", &caches, at));
    let list = r#"{"metadata":{"resourceVersion":"42"},"items":[]}"#;
    let answer = Input::<Nothing>::Response(call, Response::new(200, "application/json", list));
    barrier.handle(&answer, at, &client(), &mut ids, &mut out);
    assert!(!barrier.is_clear(&"web", &caches, at));
    caches.pods = 42;
    assert!(barrier.is_clear(&"web", &caches, at));
}
