//! Counting, late and early.
//!
//! Book: `book/src/control-plane/expectations.md`.

use serde_json::json;

use super::*;
use crate::client::{ApiError, Client, DeleteOptions, Write};
use crate::view::Key;

/// A cache of pods that has come so far.
struct Pods(u64);

impl Caches for Pods {
    fn revision(&self, kind: KindId) -> Option<Revision> {
        (kind == KindId::Pod).then_some(Revision(self.0))
    }

    fn shows(&self, _: KindId, _: &Key, _: &Uid) -> bool {
        unreachable!("expectations do not look at objects")
    }
}

const NOW: Time = Time::from_secs(100);

fn client() -> Client {
    Client::new("test", "test")
}

fn create() -> Write {
    let pod = json!({"metadata": {"generateName": "web-"}});
    client().create(KindId::Pod, "default", &pod)
}

fn delete(uid: &str) -> Write {
    let options = DeleteOptions::of(&Uid(uid.into()));
    client().delete(KindId::Pod, &Key::new("default", uid), &options)
}

fn done(write: Write, revision: u64) -> Written {
    let body = json!({"metadata": {"name": "web-1", "resourceVersion": revision.to_string()}});
    Written {
        write,
        sent: NOW,
        outcome: Outcome::Done(body.to_string().into()),
    }
}

fn begun(guards: Guards, writes: &[Write]) -> Expectations<&'static str> {
    let mut expectations = Expectations::new(guards, Guard::M01);
    expectations.begin(&"web", &Plan::together(writes.to_vec()), NOW);
    expectations
}

fn is_clear(expectations: &mut Expectations<&'static str>, pods: u64, after: u64) -> bool {
    expectations.is_clear(&"web", &Pods(pods), NOW + Duration::from_secs(after))
}

#[test]
fn creates_are_waited_for_until_as_many_have_been_seen() {
    for early in [false, true] {
        let mut web = begun(Guards::default(), &[create(), create()]);
        if early {
            web.saw(&"web", &Seen::Created); // the watch was faster than the answer
        }
        web.ended(&"web", &[done(create(), 41), done(create(), 42)]);
        if !early {
            assert!(!is_clear(&mut web, 42, 1));
            web.saw(&"web", &Seen::Created);
        }
        assert!(!is_clear(&mut web, 42, 1), "one of two");
        web.saw(&"other", &Seen::Created);
        assert!(!is_clear(&mut web, 42, 1), "another key's");
        web.saw(&"web", &Seen::Created);
        assert!(is_clear(&mut web, 42, 1));
    }
}

/// M04.
#[test]
fn a_delete_counts_once_though_it_has_two_events() {
    for (guards, clear) in [
        (Guards::default(), false),
        (Guards::without(&[Guard::M04]), true),
    ] {
        let mut web = begun(guards, &[delete("a"), delete("b")]);
        web.saw(&"web", &Seen::Deleted(Uid("a".into())));
        web.saw(&"web", &Seen::Deleted(Uid("a".into())));
        assert_eq!(is_clear(&mut web, 0, 1), clear);
        web.saw(&"web", &Seen::Deleted(Uid("b".into())));
        assert!(is_clear(&mut web, 0, 1));
    }
}

/// M05.
#[test]
fn creates_that_failed_or_were_skipped_are_not_waited_for() {
    let refused = |outcome: Outcome| Written {
        outcome,
        ..done(create(), 0)
    };
    for (guards, clear) in [
        (Guards::default(), true),
        (Guards::without(&[Guard::M05]), false),
    ] {
        let mut web = begun(guards, &[create(), create(), create()]);
        let outcomes = [
            done(create(), 41),
            refused(Outcome::Refused(ApiError::default())),
            refused(Outcome::Skipped),
        ];
        web.ended(&"web", &outcomes);
        assert!(!is_clear(&mut web, 41, 1), "the first is on its way");
        web.saw(&"web", &Seen::Created);
        assert_eq!(is_clear(&mut web, 41, 1), clear);
    }
}

/// M03.
#[test]
fn five_minutes_end_the_wait_only_for_caches_that_have_come_to_the_last_write() {
    for (guards, stale) in [
        (Guards::default(), false),
        (Guards::without(&[Guard::M03]), true),
    ] {
        let mut web = begun(guards, &[create()]);
        web.ended(&"web", &[done(create(), 41)]);
        assert!(!is_clear(&mut web, 41, 300));
        assert_eq!(is_clear(&mut web, 40, 301), stale);
        assert!(is_clear(&mut web, 41, 301));
    }
}

#[test]
fn what_is_made_under_a_name_that_was_freed_expects_nothing() {
    let mut web = begun(Guards::default(), &[create()]);
    assert!(!is_clear(&mut web, 0, 1));
    web.saw(&"web", &Seen::Forgotten);
    assert!(is_clear(&mut web, 0, 1));
}
