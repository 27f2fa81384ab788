//! Recovery after any crash, with any part of the unsynced bytes, and with any byte changed.
//!
//! Book: `book/src/control-plane/store.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use wavetank_api::{Revision, Time};
use wavetank_store::{
    KeyValue, LeaseId, Log, Loss, MemoryLog, Op, OpenError, Store, Ticket, Txn, open, prune, rotate,
};

/// What a store on a log does until the power goes.
#[derive(Clone, Debug)]
enum Act {
    Put(u8, usize, bool),
    Delete(u8),
    Grant,
    Revoke,
    /// Group commit: append, sync, release.
    Commit,
    /// Commit, then a snapshot, a new segment and an end to the old files.
    Snapshot,
    /// A clean stop and a new start.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..6u8, 0..900usize, any::<bool>()).prop_map(|(k, n, l)| Act::Put(k, n, l)),
        3 => (0..6u8).prop_map(Act::Delete),
        1 => Just(Act::Grant),
        1 => Just(Act::Revoke),
        4 => Just(Act::Commit),
        1 => Just(Act::Snapshot),
        1 => Just(Act::Restart),
    ]
}

fn loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        (0..4000usize).prop_map(Loss::KeepFirst),
        any::<u64>().prop_map(|written| Loss::Tear { written }),
    ]
}

/// Keys of the model at one revision.
type State = Vec<Arc<KeyValue>>;

struct Run {
    log: MemoryLog,
    store: Store,
    /// The state after each revision, as the same transactions leave it in a store without log.
    twin: Store,
    lease: Option<LeaseId>,
    acknowledged: Revision,
}

impl Run {
    fn new() -> Self {
        let mut log = MemoryLog::new();
        let store = open(&mut log, Time::EPOCH).unwrap();
        let twin = Store::new();
        let acknowledged = store.revision();
        Run {
            log,
            store,
            twin,
            lease: None,
            acknowledged,
        }
    }

    fn stage(&mut self, op: Op) {
        self.twin.stage(Txn::new(vec![op.clone()]));
        self.store.stage(Txn::new(vec![op]));
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Put(key, size, leased) => {
                let lease = self.lease.filter(|_| *leased);
                let value = vec![b'v' + key; *size].into();
                self.stage(Op::Put {
                    key: format!("k{key}").into(),
                    value,
                    lease,
                });
            }
            Act::Delete(key) => self.stage(Op::Delete {
                key: format!("k{key}").into(),
            }),
            Act::Grant if self.lease.is_none() => {
                let minute = Duration::from_secs(60);
                self.lease = Some(self.store.grant(None, minute, Time::EPOCH).0);
                self.twin.grant(self.lease, minute, Time::EPOCH);
            }
            Act::Grant => {}
            Act::Revoke => {
                if let Some(id) = self.lease.take() {
                    self.store.revoke(id);
                    self.twin.revoke(id);
                }
            }
            Act::Commit => self.commit(),
            Act::Snapshot => {
                self.commit();
                let snapshot = self.store.snapshot();
                let file = wavetank_store::FileKind::Snapshot {
                    covers: snapshot.covers(),
                };
                rotate(&mut self.log, snapshot.covers()).unwrap();
                self.log.publish(file, &mut snapshot.parts()).unwrap();
                prune(&mut self.log, snapshot.covers()).unwrap();
            }
            Act::Restart => {
                self.commit();
                self.store = open(&mut self.log, Time::EPOCH).unwrap();
            }
        }
    }

    fn append(&mut self) -> Option<Ticket> {
        let (ticket, bytes) = self.store.unsynced()?;
        if !bytes.is_empty() {
            self.log.append(&bytes).unwrap();
        }
        Some(ticket)
    }

    fn commit(&mut self) {
        let Some(ticket) = self.append() else { return };
        self.log.sync().unwrap();
        for (_, answer) in self.store.durable(ticket) {
            self.acknowledged = answer.unwrap().revision;
        }
    }

    /// The twin's state after each revision.
    fn truth(&mut self) -> impl Fn(Revision) -> State {
        if let Some((ticket, _)) = self.twin.unsynced() {
            self.twin.durable(ticket);
        }
        |revision| self.twin.range("", None, Some(revision), 0).unwrap().kvs
    }

    /// What came back holds all that was acknowledged and nothing that was not staged.
    fn check(&mut self, back: &Store) {
        let (revision, acknowledged) = (back.revision(), self.acknowledged);
        let _ = self.truth();
        let head = self.twin.revision();
        assert!(
            acknowledged <= revision,
            "{acknowledged} was acknowledged, {revision} came back"
        );
        assert!(
            revision <= head,
            "{revision} came back, {head} was the last staged"
        );
        let truth = self.truth();
        for at in back.compacted().0..=revision.0 {
            let kvs = back.range("", None, Some(Revision(at)), 0).unwrap().kvs;
            assert_eq!(kvs, truth(Revision(at)), "at revision {at}");
        }
    }
}

proptest! {
    /// `recover.rs`, invariant 1: any loss of what was not synced.
    #[test]
    fn every_durable_transaction_is_there_again_and_none_that_was_not_staged(
        acts in prop::collection::vec(act(), 0..40),
        loss in loss(),
        more in prop::collection::vec(act(), 0..10),
    ) {
        let mut run = Run::new();
        acts.iter().for_each(|act| run.act(act));
        run.append();
        run.log.crash(loss);
        let mut back = open(&mut run.log, Time::EPOCH).unwrap();
        run.check(&back);

        // It goes on from there, and comes back once more.
        for act in more {
            if let Act::Put(key, size, _) = act {
                let value = vec![b'w'; size].into();
                let op = Op::Put { key: format!("k{key}").into(), value, lease: None };
                back.stage(Txn::new(vec![op]));
            }
        }
        if let Some((ticket, bytes)) = back.unsynced() {
            run.log.append(&bytes).unwrap();
            run.log.sync().unwrap();
            back.durable(ticket);
        }
        let again = open(&mut run.log, Time::EPOCH).unwrap();
        let all = |store: &Store| store.range("", None, None, 0).unwrap();
        prop_assert_eq!(all(&again), all(&back));
    }

    /// `frame.rs`, invariant 2: any changed byte is refused, or cost nothing that was acknowledged.
    #[test]
    fn damage_is_refused_by_name_and_place_and_never_loses_what_was_durable(
        acts in prop::collection::vec(act(), 0..40),
        loss in loss(),
        at in any::<prop::sample::Index>(),
        bits in 1..=u8::MAX,
    ) {
        let mut run = Run::new();
        acts.iter().for_each(|act| run.act(act));
        run.append();
        run.log.crash(loss);
        let bytes = run.log.len();
        prop_assert!(run.log.corrupt(at.index(bytes), bits));
        match open(&mut run.log, Time::EPOCH) {
            Ok(back) => run.check(&back),
            Err(OpenError::Damage(damage)) => {
                prop_assert!(damage.file.starts_with("log-") || damage.file.starts_with("snap"));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn a_damaged_middle_is_named_by_file_and_byte() {
    let mut run = Run::new();
    for _ in 0..3 {
        run.act(&Act::Put(1, 10, false));
        run.commit();
    }
    // 32 bytes of file header, 32 of frame header: the first payload byte of the first frame.
    run.log.corrupt(64, 1);
    let Err(error) = open(&mut run.log, Time::EPOCH) else {
        panic!("it is damaged")
    };
    let words = "log-0000000000000000: damaged at byte 32: a frame does not match its checksum";
    assert_eq!(error.to_string(), words);
}

#[test]
fn a_failed_sync_is_told_and_releases_nothing() {
    let mut run = Run::new();
    run.log.fail_after(0);
    run.act(&Act::Put(1, 10, false));
    run.append();
    assert_eq!(run.log.sync().unwrap_err().what, "sync");
    assert_eq!(run.store.revision(), Revision(1));
}

#[test]
fn a_snapshot_of_many_leases_and_few_values_has_an_end() {
    let now = Time::from_secs(0);
    let mut log = MemoryLog::new();
    let mut store = open(&mut log, now).unwrap();
    for _ in 0..20_000 {
        store.grant(None, Duration::from_secs(60), now);
    }
    let put = |key: &str| Op::Put {
        key: key.into(),
        value: "v".into(),
        lease: None,
    };
    store.stage(Txn::new(vec![put("/a"), put("/b")]));
    let (upto, bytes) = store.unsynced().unwrap();
    log.append(&bytes).unwrap();
    log.sync().unwrap();
    store.durable(upto);
    let snapshot = store.snapshot();
    assert!(snapshot.parts().take(10).count() < 10);
    let covers = snapshot.covers();
    rotate(&mut log, covers).unwrap();
    let file = wavetank_store::FileKind::Snapshot { covers };
    log.publish(file, &mut snapshot.parts()).unwrap();
    prune(&mut log, covers).unwrap();
    let back = open(&mut log, now).unwrap();
    assert_eq!(back.range("/", None, None, 0).unwrap().kvs.len(), 2);
}

#[test]
fn a_snapshot_lets_old_segments_go() {
    let mut run = Run::new();
    for _ in 0..50 {
        run.act(&Act::Put(1, 1000, false));
        run.act(&Act::Commit);
    }
    let before = run.log.len();
    run.act(&Act::Snapshot);
    assert!(run.log.len() < before / 20);
    assert_eq!(run.log.files().unwrap().len(), 2);
    let back = open(&mut run.log, Time::EPOCH).unwrap();
    run.check(&back);
}

/// What happens to leases: seconds, and how far the clock of the next life is off.
#[derive(Clone, Debug)]
enum Turn {
    Wait(u64),
    Grant(u64),
    Restart { later: i64 },
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => (1..30u64).prop_map(Turn::Wait),
        3 => (1..90u64).prop_map(Turn::Grant),
        1 => (-1000..1000i64).prop_map(|later| Turn::Restart { later }),
    ]
}

proptest! {
    /// `lease.rs`, invariant 1.
    #[test]
    fn a_lease_ends_when_the_store_has_been_up_for_its_time_whatever_the_restarts(
        turns in prop::collection::vec(turn(), 1..40),
    ) {
        let mut log = MemoryLog::new();
        let mut now = Time::from_secs(1_000_000);
        let mut store = open(&mut log, now).unwrap();
        // Seconds up, those at the last grant, and those that restarts gave again; each lease's
        // end, and what had been given again when it was granted.
        let (mut up, mut last, mut again) = (0, 0, 0);
        let mut leases: Vec<(LeaseId, u64, u64)> = Vec::new();
        for turn in turns {
            match turn {
                Turn::Wait(seconds) => {
                    up += seconds;
                    now = now + Duration::from_secs(seconds);
                }
                Turn::Grant(ttl) => {
                    let (id, _) = store.grant(None, Duration::from_secs(ttl), now);
                    let key = Arc::from(id.0.to_string());
                    let value = "v".into();
                    store.stage(Txn::new(vec![Op::Put { key, value, lease: Some(id) }]));
                    leases.push((id, up + ttl, again));
                    last = up;
                }
                Turn::Restart { later } => {
                    now = Time::from_secs(now.as_secs() + later);
                    store = open(&mut log, now).unwrap();
                    again += up - last;
                    last = up;
                }
            }
            store.expire(now);
            if let Some((ticket, bytes)) = store.unsynced() {
                log.append(&bytes).unwrap();
                log.sync().unwrap();
                store.durable(ticket);
            }
            leases.retain(|(id, end, before)| {
                let lives = store.get(&id.0.to_string(), None).unwrap().is_some();
                assert!(lives || up >= *end, "not before its time");
                assert!(!lives || up < end + again - before, "and not after it");
                lives
            });
        }
    }
}
