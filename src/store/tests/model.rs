//! The store against a model that keeps the whole state after each revision.
//!
//! Book: `book/src/control-plane/store.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use wavetank_api::{Guard, Guards, Revision, Time};
use wavetank_store::{
    Batch, Compare, Key, KeyValue, LeaseId, Op, ReadError, Refused, Store, Txn, WatchId,
};

/// All keys at one revision.
type State = BTreeMap<Key, Arc<KeyValue>>;

/// Whether the compares held and what the gets found.
type Answer = Result<(bool, Vec<Option<Arc<KeyValue>>>), Refused>;

/// What the store should be, written for plainness alone.
#[derive(Default)]
struct Model {
    /// The state after each revision; index 0 is revision 1.
    states: Vec<State>,
    leases: Vec<LeaseId>,
}

impl Model {
    fn new() -> Self {
        Model {
            states: vec![State::new()],
            leases: Vec::new(),
        }
    }

    fn head(&self) -> Revision {
        Revision(self.states.len() as u64)
    }

    fn at(&self, revision: Revision) -> &State {
        &self.states[revision.0 as usize - 1]
    }

    fn holds(&self, compare: &Compare) -> bool {
        let head = self.at(self.head());
        match compare {
            Compare::ModRevision { key, equals } => {
                head.get(key).map_or(0, |kv| kv.mod_revision.0) == equals.0
            }
            Compare::CreateRevision { key, equals } => {
                head.get(key).map_or(0, |kv| kv.create_revision.0) == equals.0
            }
            Compare::Lease { key, equals } => head.get(key).and_then(|kv| kv.lease) == *equals,
        }
    }

    fn txn(&mut self, txn: &Txn) -> Answer {
        for branch in [&txn.then, &txn.otherwise] {
            for (n, op) in branch.iter().enumerate() {
                let Some(key) = written(op) else { continue };
                if branch[..n]
                    .iter()
                    .filter_map(written)
                    .any(|other| other == key)
                {
                    return Err(Refused::DuplicateKey(key.clone()));
                }
            }
        }
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        for op in ops {
            if let Op::Put {
                lease: Some(id), ..
            } = op
                && !self.leases.contains(id)
            {
                return Err(Refused::LeaseNotFound(*id));
            }
        }
        let mut state = self.at(self.head()).clone();
        let revision = Revision(self.head().0 + 1);
        let (mut wrote, mut gets) = (false, Vec::new());
        for op in ops {
            match op {
                Op::Put { key, value, lease } => {
                    let old = state.get(key);
                    let kv = KeyValue {
                        key: key.clone(),
                        value: value.clone(),
                        create_revision: old.map_or(revision, |kv| kv.create_revision),
                        mod_revision: revision,
                        version: old.map_or(1, |kv| kv.version + 1),
                        lease: *lease,
                    };
                    state.insert(key.clone(), Arc::new(kv));
                    wrote = true;
                }
                Op::Delete { key } => wrote |= state.remove(key).is_some(),
                Op::Get { key } => gets.push(state.get(key).cloned()),
            }
        }
        if wrote {
            self.states.push(state);
        }
        Ok((succeeded, gets))
    }

    fn revoke(&mut self, id: LeaseId) {
        self.leases.retain(|lease| *lease != id);
        let mut state = self.at(self.head()).clone();
        let before = state.len();
        state.retain(|_, kv| kv.lease != Some(id));
        if state.len() < before {
            self.states.push(state);
        }
    }
}

fn written(op: &Op) -> Option<&Key> {
    match op {
        Op::Put { key, .. } | Op::Delete { key } => Some(key),
        Op::Get { .. } => None,
    }
}

/// One thing that happens to store and model.
#[derive(Clone, Debug)]
enum Act {
    Txn(Txn),
    Grant(u64, u64),
    Revoke(u64),
    /// Time passes, in seconds.
    Expire(u64),
    /// Everything staged is handed to the log.
    HandOut,
    /// The oldest bytes handed out are on disk.
    Durable,
    /// So many revisions before the visible one.
    Compact(u64),
    /// So many compacted events are dropped.
    Sweep(usize),
    Watch(u64),
    /// A watch (modulo their number) takes about so many events.
    Drain(usize, usize),
    Cancel(usize),
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")].prop_map(Key::from)
}

fn lease() -> impl Strategy<Value = Option<LeaseId>> {
    prop_oneof![4 => Just(0), 1 => 1..3u64].prop_map(LeaseId::new)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (key(), any::<u8>(), lease()).prop_map(|(key, value, lease)| {
            Op::Put { key, value: vec![value].into(), lease }
        }),
        2 => key().prop_map(|key| Op::Delete { key }),
        1 => key().prop_map(|key| Op::Get { key }),
    ]
}

fn compare() -> impl Strategy<Value = Compare> {
    prop_oneof![
        (key(), 0..12u64).prop_map(|(key, r)| Compare::ModRevision {
            key,
            equals: Revision(r)
        }),
        (key(), 0..12u64).prop_map(|(key, r)| Compare::CreateRevision {
            key,
            equals: Revision(r)
        }),
        (key(), lease()).prop_map(|(key, equals)| Compare::Lease { key, equals }),
    ]
}

fn txn() -> impl Strategy<Value = Txn> {
    let branch = || prop::collection::vec(op(), 0..4);
    (prop::collection::vec(compare(), 0..2), branch(), branch()).prop_map(
        |(compares, then, otherwise)| Txn {
            compares,
            then,
            otherwise,
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => txn().prop_map(Act::Txn),
        1 => (1..3u64, 1..20u64).prop_map(|(id, ttl)| Act::Grant(id, ttl)),
        1 => (1..3u64).prop_map(Act::Revoke),
        1 => (0..5u64).prop_map(Act::Expire),
        4 => Just(Act::HandOut),
        4 => Just(Act::Durable),
        1 => (0..4u64).prop_map(Act::Compact),
        2 => (0..9usize).prop_map(Act::Sweep),
        2 => (0..4u64).prop_map(Act::Watch),
        4 => (0..4usize, 0..5usize).prop_map(|(n, max)| Act::Drain(n, max)),
        1 => (0..4usize).prop_map(Act::Cancel),
    ]
}

/// A watch and the state that its events have made so far.
struct Watching {
    id: WatchId,
    upto: Revision,
    state: State,
}

impl Watching {
    fn fold(&mut self, batch: &Batch) {
        for event in &batch.events {
            assert!(event.revision > self.upto, "no event comes twice");
            assert_eq!(event.before.as_ref(), self.state.get(&event.key), "no gap");
            match &event.now {
                Some(kv) => self.state.insert(event.key.clone(), kv.clone()),
                None => self.state.remove(&event.key),
            };
        }
        let ordered = batch
            .events
            .windows(2)
            .all(|pair| pair[0].revision <= pair[1].revision);
        assert!(ordered, "no event is out of order");
        assert!(batch.upto >= self.upto);
        self.upto = batch.upto;
    }
}

/// Store and model side by side.
struct Pair {
    store: Store,
    model: Model,
    now: Time,
    visible: Revision,
    compacted: Revision,
    /// What the model says of each staged operation: the answer, and the head after it.
    expected: Vec<(Answer, Revision)>,
    handed_out: Vec<wavetank_store::Ticket>,
    answered: usize,
    watches: Vec<Watching>,
    deadlines: BTreeMap<LeaseId, Time>,
}

impl Pair {
    fn new() -> Self {
        let (visible, compacted) = (Revision(1), Revision(1));
        Pair {
            store: Store::new(),
            model: Model::new(),
            now: Time::EPOCH,
            visible,
            compacted,
            expected: Vec::new(),
            handed_out: Vec::new(),
            answered: 0,
            watches: Vec::new(),
            deadlines: BTreeMap::new(),
        }
    }

    fn expect(&mut self, answer: Answer) {
        self.expected.push((answer, self.model.head()));
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Txn(txn) => {
                let answer = self.model.txn(&txn);
                self.expect(answer);
                self.store.stage(txn);
            }
            Act::Grant(id, ttl) => self.grant(LeaseId::new(id).unwrap(), Duration::from_secs(ttl)),
            Act::Revoke(id) => {
                let id = LeaseId::new(id).unwrap();
                self.store.revoke(id);
                self.revoke(id);
            }
            Act::Expire(secs) => {
                self.now = self.now + Duration::from_secs(secs);
                let tickets = self.store.expire(self.now);
                let mut over: Vec<_> = self.deadlines.iter().map(|(id, at)| (*at, *id)).collect();
                over.retain(|(at, _)| *at <= self.now);
                over.sort();
                assert_eq!(tickets.len(), over.len());
                for (_, id) in over {
                    self.revoke(id);
                }
                assert_eq!(
                    self.store.next_expiry(),
                    self.deadlines.values().min().copied()
                );
            }
            Act::HandOut => self
                .handed_out
                .extend(self.store.unsynced().map(|(ticket, _)| ticket)),
            Act::Durable => self.durable(),
            Act::Compact(back) => self.compact(Revision(self.visible.0.saturating_sub(back))),
            Act::Sweep(max) => {
                self.store.sweep(max);
            }
            Act::Watch(back) => self.watch(Revision(self.visible.0.saturating_sub(back))),
            Act::Drain(n, max) => self.drain(n, max),
            Act::Cancel(n) if n < self.watches.len() => {
                self.store.cancel(self.watches.remove(n).id);
            }
            Act::Cancel(_) => {}
        }
        self.agree();
    }

    fn grant(&mut self, id: LeaseId, ttl: Duration) {
        self.store.grant(Some(id), ttl, self.now);
        if self.model.leases.contains(&id) {
            return self.expect(Err(Refused::LeaseExists(id)));
        }
        self.model.leases.push(id);
        self.deadlines.insert(id, self.now + ttl);
        self.expect(Ok((true, Vec::new())));
    }

    fn revoke(&mut self, id: LeaseId) {
        if self.deadlines.remove(&id).is_none() {
            return self.expect(Err(Refused::LeaseNotFound(id)));
        }
        self.model.revoke(id);
        self.expect(Ok((true, Vec::new())));
    }

    fn durable(&mut self) {
        if self.handed_out.is_empty() {
            return;
        }
        for (_, answer) in self.store.durable(self.handed_out.remove(0)) {
            let (expected, head) = &self.expected[self.answered];
            let answer = answer.map(|done| {
                assert_eq!(done.revision, *head);
                (done.succeeded, done.gets)
            });
            assert_eq!(answer, *expected);
            self.visible = *head;
            self.answered += 1;
        }
    }

    fn compact(&mut self, at: Revision) {
        let answer = self.store.compact(at);
        assert_eq!(answer.is_ok(), at >= self.compacted);
        self.compacted = self.compacted.max(at);
    }

    fn watch(&mut self, from: Revision) {
        match self.store.watch(from) {
            Err(gone) => assert!(from < gone.oldest && gone.oldest == self.compacted),
            Ok(id) => {
                let state = self.model.at(from).clone();
                self.watches.push(Watching {
                    id,
                    upto: from,
                    state,
                });
            }
        }
    }

    fn drain(&mut self, n: usize, max: usize) {
        let Some(watch) = self.watches.get_mut(n) else {
            return;
        };
        match self.store.drain(&watch.id, max) {
            Err(_) => assert!(watch.upto < self.compacted),
            Ok(batch) => {
                watch.fold(&batch);
                assert!(batch.upto <= self.visible);
                assert_eq!(watch.state, *self.model.at(watch.upto));
                assert!(max == 0 || batch.events.len() >= max || batch.upto == self.visible);
            }
        }
    }

    /// Every revision reads as the model has it.
    fn agree(&self) {
        assert_eq!(self.store.revision(), self.visible);
        for revision in 1..=self.model.head().0 {
            let revision = Revision(revision);
            let read = self.store.range("", None, Some(revision), 0);
            if revision < self.compacted {
                assert!(matches!(read, Err(ReadError::Compacted(_))));
            } else if revision > self.visible {
                assert!(
                    matches!(read, Err(ReadError::Future { .. })),
                    "staged writes are hidden"
                );
            } else {
                let expected: Vec<_> = self.model.at(revision).values().cloned().collect();
                assert_eq!(read.unwrap().kvs, expected);
            }
        }
        let (all, some) = (
            self.model.at(self.visible),
            self.store.range("b", Some("d"), None, 1),
        );
        let inside = all
            .keys()
            .filter(|key| ("b".."d").contains(&&***key))
            .count();
        let some = some.unwrap();
        assert_eq!(
            (some.count, some.kvs.len(), some.more),
            (inside, inside.min(1), inside > 1)
        );
    }
}

proptest! {
    /// `store.rs`, invariants 1 to 5; `index.rs`, invariant 2; `history.rs`, invariants 1 to 3.
    #[test]
    fn range_and_watch_at_any_retained_revision_agree_with_all_transactions_until_then(
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut pair = Pair::new();
        for act in acts {
            pair.act(act);
        }
    }
}

fn put(key: &str) -> Op {
    Op::Put {
        key: key.into(),
        value: "v".into(),
        lease: None,
    }
}

fn flush(store: &mut Store) {
    let (ticket, _) = store.unsynced().unwrap();
    store.durable(ticket);
}

#[test]
fn compares_see_what_is_staged_and_readers_do_not() {
    let mut store = Store::new();
    let create = Txn {
        compares: vec![Compare::ModRevision {
            key: "k".into(),
            equals: Revision(0),
        }],
        then: vec![put("k")],
        otherwise: vec![Op::Get { key: "k".into() }],
    };
    let first = store.stage(create.clone());
    let second = store.stage(create);
    assert_eq!(store.get("k", None).unwrap(), None);
    let (upto, _) = store.unsynced().unwrap();
    let answers = store.durable(upto);
    assert_eq!((answers[0].0, answers[1].0), (first, second));
    let (first, second) = (answers[0].1.clone().unwrap(), answers[1].1.clone().unwrap());
    assert!(first.succeeded && !second.succeeded);
    assert_eq!(second.gets[0].as_ref().unwrap().mod_revision, Revision(2));
    assert_eq!(second.revision, Revision(2));
}

#[test]
fn a_deleted_key_takes_no_space_after_compaction() {
    let mut store = Store::new();
    for _ in 0..3 {
        store.stage(Txn::new(vec![put("k")]));
        store.stage(Txn::new(vec![Op::Delete { key: "k".into() }]));
    }
    flush(&mut store);
    assert_eq!((store.keys(), store.events()), (1, 6));
    store.compact(store.revision()).unwrap();
    assert!(!store.sweep(100));
    assert_eq!((store.keys(), store.events()), (0, 0));
}

/// M88: a watch that a compaction has overtaken is told so; else it never hears of the delete.
#[test]
fn a_watch_behind_a_compaction_is_told_so() {
    for (guards, heard) in [
        (Guards::default(), None),
        (Guards::without(&[Guard::M88]), Some(1)),
    ] {
        let mut store = Store::new().with_guards(guards);
        store.stage(Txn::new(vec![put("k")]));
        flush(&mut store);
        let watch = store.watch(store.revision()).unwrap();
        store.stage(Txn::new(vec![Op::Delete { key: "k".into() }]));
        store.stage(Txn::new(vec![put("l")]));
        flush(&mut store);
        store.compact(Revision(3)).unwrap();
        assert!(!store.sweep(100));
        let events = store.drain(&watch, 100).ok().map(|batch| batch.events);
        assert_eq!(events.map(|events| events.len()), heard);
    }
}

#[test]
fn a_lease_takes_its_keys_along() {
    let (mut store, start) = (Store::new(), Time::EPOCH);
    let minute = Duration::from_secs(60);
    let (id, _) = store.grant(None, minute, start);
    let lease = Some(id);
    let (key, value) = ("e".into(), "v".into());
    store.stage(Txn::new(vec![Op::Put { key, value, lease }, put("f")]));
    assert_eq!(store.next_expiry(), Some(start + minute));
    assert!(store.expire(start + minute / 2).is_empty());
    assert_eq!(store.expire(start + minute).len(), 1);
    flush(&mut store);
    assert_eq!(store.get("e", None).unwrap(), None);
    assert!(store.get("f", None).unwrap().is_some());
    assert_eq!(store.next_expiry(), None);
}

#[test]
fn too_much_in_one_transaction_is_refused_in_etcds_words() {
    let mut store = Store::new();
    store.stage(Txn::new((0..129).map(|n| put(&n.to_string())).collect()));
    let value = vec![0; wavetank_store::MAX_TXN_BYTES].into();
    store.stage(Txn::new(vec![Op::Put {
        key: "k".into(),
        value,
        lease: None,
    }]));
    store.stage(Txn::new(vec![put("k"), put("k")]));
    let (upto, bytes) = store.unsynced().unwrap();
    assert!(bytes.is_empty(), "what is refused is not logged");
    let words: Vec<_> = store
        .durable(upto)
        .into_iter()
        .map(|(_, a)| a.unwrap_err().to_string())
        .collect();
    let expected = [
        "too many operations in txn request",
        "request is too large",
        "duplicate key given in txn request",
    ];
    assert_eq!(words, expected);
}
