//! Which key is next: a queue without duplicates, in which failing keys wait longer and longer.
//!
//! A controller's loop adds keys as caches change, takes one, works on it and says it is done.
//! Upstream: client-go `util/workqueue`.
//!
//! 1. A key that is being worked on is not given out again until it is done (I2, M83).
//! 2. A key added while it is worked on is given out once more afterwards: no change is lost.
//! 3. A key waits in the queue at most once, however often it is added.
//! 4. Keys come in the order in which they were added; equal histories give equal orders.
//!
//! Left out: priorities and metrics.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wavetank_api::{Guard, Guards, Time};

/// First and longest wait of a failing key (`DefaultTypedControllerRateLimiter`).
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_secs(1000);

/// All failing keys together: ten a second after a burst of a hundred.
const RETRY_EVERY: Duration = Duration::from_millis(100);
const RETRY_BURST: u32 = 100;

/// A work queue of keys.
#[derive(Clone, Debug)]
pub struct Queue<K> {
    guards: Guards,
    /// Keys to give out, in order.
    ready: VecDeque<K>,
    /// Keys that need work, and why they were added first; those also in `processing` are not in
    /// `ready`.
    dirty: BTreeMap<K, &'static str>,
    /// Keys given out and not done.
    processing: BTreeSet<K>,
    /// Keys to add later, by time and then by the order in which they were put here.
    later: BTreeMap<(Time, u64), (K, &'static str)>,
    /// The same by key: a key waits once, for the earliest of its times.
    later_by_key: BTreeMap<K, (Time, u64)>,
    sequence: u64,
    failures: BTreeMap<K, u32>,
    bucket: Bucket,
}

impl<K: Clone + Ord> Queue<K> {
    /// An empty queue.
    pub fn new(guards: Guards) -> Self {
        Queue {
            guards,
            ready: VecDeque::new(),
            dirty: BTreeMap::new(),
            processing: BTreeSet::new(),
            later: BTreeMap::new(),
            later_by_key: BTreeMap::new(),
            sequence: 0,
            failures: BTreeMap::new(),
            bucket: Bucket::new(RETRY_EVERY, RETRY_BURST),
        }
    }

    // ANCHOR: add
    /// Adds a key; `because` goes into the trace with the work that follows.
    pub fn add(&mut self, key: K, because: &'static str) {
        if self.dirty.contains_key(&key) {
            return;
        }
        self.dirty.insert(key.clone(), because);
        if self.processing.contains(&key) && self.guards.on(Guard::M83) {
            return; // given out again when it is done
        }
        self.ready.push_back(key);
    }
    // ANCHOR_END: add

    /// Adds a key at a later time; the earliest of several wins.
    pub fn add_at(&mut self, key: K, at: Time, because: &'static str) {
        if let Some(known) = self.later_by_key.get(&key).copied() {
            if known.0 <= at {
                return;
            }
            self.later.remove(&known);
        }
        self.sequence += 1;
        self.later_by_key.insert(key.clone(), (at, self.sequence));
        self.later.insert((at, self.sequence), (key, because));
    }

    /// Adds a key that failed: after 5 ms, twice as long with each failure in a row, up to 1000 s,
    /// and not before the bucket of all failing keys has a token.
    pub fn add_failed(&mut self, key: K, now: Time) {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let own = FIRST_WAIT.saturating_mul(1 << (*failures).min(30));
        *failures = failures.saturating_add(1);
        let wait = own.min(LONGEST_WAIT).max(self.bucket.wait(now));
        self.add_at(key, now + wait, "failed before");
    }

    /// Forgets a key's failures: it succeeded.
    pub fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Failures of a key in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }

    /// The next key to work on, and why. Say [`Queue::done`] afterwards.
    pub fn take(&mut self, now: Time) -> Option<(K, &'static str)> {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (key, because) = entry.remove();
            self.later_by_key.remove(&key);
            self.add(key, because);
        }
        let key = self.ready.pop_front()?;
        let because = self.dirty.remove(&key).unwrap_or("added");
        self.processing.insert(key.clone());
        Some((key, because))
    }

    /// Ends the work on a key.
    pub fn done(&mut self, key: &K) {
        self.processing.remove(key);
        if self.dirty.contains_key(key) && self.guards.on(Guard::M83) {
            self.ready.push_back(key.clone());
        }
    }

    /// When the next of the keys for later is due.
    pub fn next_wake(&self) -> Option<Time> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    /// Number of keys ready to be given out.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether no key is ready to be given out.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

/// A token bucket that is told the time: one token every `every`, at most `burst` saved up.
#[derive(Clone, Debug)]
pub struct Bucket {
    every: Duration,
    burst: u32,
    /// When the bucket would be full again if nothing else were taken.
    full_at: Time,
}

impl Bucket {
    /// A full bucket.
    pub fn new(every: Duration, burst: u32) -> Self {
        Bucket {
            every,
            burst,
            full_at: Time::EPOCH,
        }
    }

    /// Takes a token that may have to be waited for, and says how long.
    pub fn wait(&mut self, now: Time) -> Duration {
        self.full_at = self.full_at.max(now) + self.every;
        self.full_at.since(now + self.every * self.burst)
    }

    /// Takes a token if there is one now.
    pub fn take(&mut self, now: Time) -> bool {
        let full_at = self.full_at.max(now) + self.every;
        let there = full_at <= now + self.every * self.burst;
        if there {
            self.full_at = full_at;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn failing_keys_wait_5_ms_then_twice_as_long_up_to_1000_s() {
        let mut queue = Queue::new(Guards::default());
        let mut now = Time::EPOCH;
        let mut waits = Vec::new();
        for _ in 0..20 {
            queue.add_failed("a", now);
            let at = queue.next_wake().unwrap();
            waits.push(at.since(now).as_millis());
            now = at;
            assert_eq!(queue.take(now), Some(("a", "failed before")));
            queue.done(&"a");
        }
        assert_eq!(waits[..4], [5, 10, 20, 40]);
        assert_eq!(waits[17..], [655_360, 1_000_000, 1_000_000]);
    }

    #[test]
    fn a_burst_of_a_hundred_failures_is_free_then_ten_a_second() {
        let mut bucket = Bucket::new(RETRY_EVERY, RETRY_BURST);
        let now = Time::from_secs(1);
        let waits: Vec<_> = (0..102).map(|_| bucket.wait(now).as_millis()).collect();
        assert_eq!(waits[99..], [0, 100, 200]);
    }

    /// M83: two workers, and a change while the first is at work.
    #[test]
    fn a_key_that_is_worked_on_is_given_to_nobody_else() {
        for (guards, second) in [
            (Guards::default(), None),
            (Guards::without(&[Guard::M83]), Some(("web", "changed"))),
        ] {
            let mut queue = Queue::new(guards);
            queue.add("web", "created");
            assert_eq!(queue.take(Time::EPOCH), Some(("web", "created")));
            queue.add("web", "changed");
            assert_eq!(queue.take(Time::EPOCH), second);
            queue.done(&"web");
            let once_more = second.is_none().then_some(("web", "changed"));
            assert_eq!(queue.take(Time::EPOCH), once_more);
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Add(u8),
        AddLater(u8, i64),
        Take,
        Done(u8),
        Pass(i64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..4u8).prop_map(Op::Add),
            (0..4u8, 0..5i64).prop_map(|(k, s)| Op::AddLater(k, s)),
            Just(Op::Take),
            (0..4u8).prop_map(Op::Done),
            (0..5i64).prop_map(Op::Pass),
        ]
    }

    proptest! {
        /// Invariants 1 to 3.
        #[test]
        fn a_key_is_worked_on_once_at_a_time_and_no_add_is_lost(
            ops in prop::collection::vec(op(), 0..60)
        ) {
            let mut queue = Queue::new(Guards::default());
            let (mut now, mut working, mut owed) = (Time::EPOCH, BTreeSet::new(), BTreeSet::new());
            for op in ops {
                match op {
                    Op::Add(key) => {
                        queue.add(key, "test");
                        owed.insert(key);
                    }
                    Op::AddLater(key, s) => {
                        queue.add_at(key, now + Duration::from_secs(s as u64), "test");
                        owed.insert(key);
                    }
                    Op::Take => {
                        if let Some((key, _)) = queue.take(now) {
                            prop_assert!(working.insert(key), "{key} given out twice");
                            owed.remove(&key);
                        }
                    }
                    Op::Done(key) => {
                        if working.remove(&key) {
                            queue.done(&key);
                        }
                    }
                    Op::Pass(s) => now = now + Duration::from_secs(s as u64),
                }
                prop_assert!(queue.len() <= 4);
            }
            for key in working {
                queue.done(&key);
            }
            now = now + Duration::from_secs(10);
            while let Some((key, _)) = queue.take(now) {
                owed.remove(&key);
                queue.done(&key);
            }
            prop_assert!(owed.is_empty(), "lost: {owed:?}");
        }
    }
}
