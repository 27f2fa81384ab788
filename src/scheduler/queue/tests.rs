//! Where a pod is after each thing that can happen to it.
//!
//! Book: `book/src/scheduler/queue.md`.

use super::*;
use crate::pod::PodSpec;

impl Queue {
    /// H11: each pod is filed in the index of its place and in no other.
    pub(crate) fn check(&self) {
        let count = |is: fn(&Place) -> bool| {
            self.pods
                .values()
                .filter(|queued| is(&queued.place))
                .count()
        };
        assert_eq!(
            self.active.len(),
            count(|place| matches!(place, Place::Active))
        );
        assert_eq!(
            self.backoff.len(),
            count(|place| matches!(place, Place::Backoff(_)))
        );
        let unschedulable = count(|place| matches!(place, Place::Unschedulable(_)));
        assert_eq!(self.unschedulable.len(), unschedulable);
        assert_eq!(
            self.flying.len(),
            count(|place| matches!(place, Place::InFlight(Some(_))))
        );
        for (uid, queued) in &self.pods {
            let uid = uid.clone();
            let is_filed = match queued.place {
                Place::Active => self.active.contains(&(queued.key, queued.arrival, uid)),
                Place::Backoff(until) => self.backoff.contains(&(until, uid)),
                Place::Unschedulable(since) => self.unschedulable.contains(&(since, uid)),
                Place::InFlight(Some(mark)) => self.flying.contains(&(mark, uid)),
                Place::Gated(_) | Place::InFlight(None) => true,
            };
            assert!(is_filed, "{queued:?}");
        }
        assert!(
            !self.flying.is_empty() || self.changes.is_empty(),
            "changes kept for nobody"
        );
    }
}

const FIT: &str = "NodeResourcesFit";

fn pod(uid: &str) -> Arc<Pod> {
    Arc::new(Pod {
        uid: Uid(uid.into()),
        spec: Arc::new(PodSpec::default()),
        ..Pod::default()
    })
}

fn room() -> Change {
    Change::AssignedPodDeleted(pod("gone"))
}

fn refused() -> Diagnosis {
    Diagnosis {
        unschedulable_plugins: BTreeSet::from([FIT]),
        ..Diagnosis::default()
    }
}

fn at(millis: u64) -> Time {
    Time::from_secs(1000) + Duration::from_millis(millis)
}

/// A plugin that hopes for room and nothing else.
fn hint(plugin: &'static str, _: &Pod, change: &Change) -> Hint {
    match change {
        Change::AssignedPodDeleted(_) if plugin == FIT => Hint::Queue,
        _ => Hint::Skip,
    }
}

fn place(queue: &Queue) -> Option<Place> {
    queue.check();
    queue.pod(&Uid("a".into())).map(|queued| queued.place)
}

#[test]
fn a_change_that_arrives_in_flight_is_not_lost() {
    for (guards, expected) in [
        (Guards::default(), Place::Backoff(at(1000))),
        (Guards::without(&[Guard::M49]), Place::Unschedulable(at(20))),
    ] {
        let mut queue = Queue::new(guards);
        queue.add(pod("a"), None, (0, 0), at(0));
        queue.pop(at(0));
        queue.happened(room(), None, &hint, at(10));
        queue.put_back(&Uid("a".into()), &refused(), &hint, at(20));
        let expected = match expected {
            Place::Backoff(_) => Place::Backoff(at(1020)),
            other => other,
        };
        assert_eq!(place(&queue), Some(expected));
    }
}

#[test]
fn a_change_from_before_the_flight_wakes_nobody() {
    let mut queue = Queue::default();
    queue.add(pod("b"), None, (0, 0), at(0));
    queue.add(pod("a"), None, (1, 0), at(0));
    queue.pop(at(0));
    queue.happened(room(), None, &hint, at(10));
    queue.pop(at(20));
    queue.put_back(&Uid("a".into()), &refused(), &hint, at(30));
    assert_eq!(place(&queue), Some(Place::Unschedulable(at(30))));
}

#[test]
fn back_off_doubles_to_ten_seconds_and_no_further() {
    let mut queue = Queue::default();
    let mut now = at(0);
    let mut waits = Vec::new();
    queue.add(pod("a"), None, (0, 0), now);
    for _ in 0..6 {
        queue.pop(now);
        queue.put_back(&Uid("a".into()), &Diagnosis::default(), &hint, now);
        let until = queue.next_wake().unwrap();
        waits.push(until.since(now).as_secs());
        now = until;
        queue.tick(now);
        assert_eq!(place(&queue), Some(Place::Active));
    }
    assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn the_flush_tries_again_after_five_minutes() {
    let mut queue = Queue::default();
    queue.add(pod("a"), None, (0, 0), at(0));
    queue.pop(at(0));
    queue.put_back(&Uid("a".into()), &refused(), &hint, at(0));
    queue.tick(at(299_999));
    assert_eq!(place(&queue), Some(Place::Unschedulable(at(0))));
    assert_eq!(queue.next_wake(), Some(at(300_000)));
    queue.tick(at(300_000));
    assert_eq!(place(&queue), Some(Place::Active));
}

#[test]
fn opening_the_gate_lets_the_pod_in() {
    for (guards, expected) in [
        (Guards::default(), Place::Active),
        (
            Guards::without(&[Guard::M51]),
            Place::Gated("SchedulingGates"),
        ),
    ] {
        let mut queue = Queue::new(guards);
        queue.add(pod("a"), Some("SchedulingGates"), (0, 0), at(0));
        assert!(queue.pop(at(0)).is_none());
        queue.update(pod("a"), None, (0, 0), &hint, at(5));
        assert_eq!(place(&queue), Some(expected));
    }
}

#[test]
fn the_smallest_key_flies_first_and_equals_in_order_of_arrival() {
    let mut queue = Queue::default();
    for (uid, key) in [("b", (0, 2)), ("c", (0, 2)), ("a", (-5, 9))] {
        queue.add(pod(uid), None, key, at(0));
    }
    let order: Vec<String> = std::iter::from_fn(|| {
        let uid = queue.pop(at(0))?.pod.uid.clone();
        Some(queue.remove(&uid)?.pod.uid.to_string())
    })
    .collect();
    assert_eq!(order, ["a", "b", "c"]);
}
