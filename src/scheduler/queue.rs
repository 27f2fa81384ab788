//! The pods that wait for a node, each in exactly one place.
//!
//! ```text
//!          add                pop                    assume, bind
//! (new) ─┬─────▶ active ─────────────▶ in flight ───────────────────▶ (gone)
//!        │          ▲ ▲                    │ no node      │ error, lost race
//!  gates ▼          │ └──── backoff ◀──────┼──────────────┘
//!      gated ───────┘          ▲           ▼
//!        pod changed           └──── unschedulable      a change that a plugin hopes for,
//!                                                       or five minutes
//! ```
//!
//! `engine` adds, updates, removes and pops pods and offers changes; which change helps which pod
//! is the plugins' business and comes in as an argument.
//!
//! 1. Each pod is in exactly one place (H11).
//! 2. A change that arrives while a pod is in flight is offered to it when it comes back (L8).
//! 3. Back-off is 1 s, 2 s, 4 s … and never more than 10 s (L10).
//! 4. Nothing stays unschedulable longer than five minutes without another try (L8).
//!
//! Upstream: `pkg/scheduler/backend/queue/scheduling_queue.go`. Left out: popping from back-off
//! while the active queue is empty (gate SchedulerPopFromBackoffQ).
//!
//! Book: `book/src/scheduler/queue.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use wavetank_api::{Guard, Guards, Time, Uid};

use crate::framework::{Change, Diagnosis, Hint};
use crate::pod::Pod;

/// The first back-off (`podInitialBackoffSeconds`).
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest back-off (`podMaxBackoffSeconds`).
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How long a pod stays unschedulable without a change that helps
/// (`podMaxInUnschedulablePodsDuration`).
pub const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(300);

// ANCHOR: place
/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A PreEnqueue plugin keeps it out; only a change of the pod itself lets it in.
    Gated(&'static str),
    /// Next in line by the QueueSort plugin's key.
    Active,
    /// Waits until this time, then becomes active.
    Backoff(Time),
    /// No node fits since this time; waits for a change.
    Unschedulable(Time),
    /// Being scheduled or bound. `Some`: changes from this number on are kept for it.
    InFlight(Option<u64>),
}
// ANCHOR_END: place

/// A pod in the queue with its history.
#[derive(Clone, Debug)]
pub struct QueuedPod {
    /// The newest known revision of the pod.
    pub pod: Arc<Pod>,
    /// Where it is.
    pub place: Place,
    /// When it entered the active queue or was last tried; sorts and backs off by this.
    pub since: Time,
    /// How many times it has been tried.
    pub attempts: u32,
    /// Who refused it last.
    pub refused_by: BTreeSet<&'static str>,
    /// Who refused it last and promised to wake it.
    pub pending_on: BTreeSet<&'static str>,
    /// Its key in the active queue.
    key: (i64, i64),
    /// Order of arrival; breaks ties between equal keys.
    arrival: u64,
}

/// Decides whether a change could help a pod that this plugin refused.
pub type HintFn<'a> = &'a dyn Fn(&'static str, &Pod, &Change) -> Hint;

/// The scheduling queue.
#[derive(Debug, Default)]
pub struct Queue {
    pods: BTreeMap<Uid, QueuedPod>,
    active: BTreeSet<((i64, i64), u64, Uid)>,
    backoff: BTreeSet<(Time, Uid)>,
    unschedulable: BTreeSet<(Time, Uid)>,
    /// Where each in-flight pod's part of `changes` begins.
    flying: BTreeSet<(u64, Uid)>,
    /// Changes since the oldest in-flight pod was popped.
    changes: VecDeque<Change>,
    /// Number of the first of `changes`.
    first_change: u64,
    arrivals: u64,
    guards: Guards,
}

impl Queue {
    /// An empty queue.
    pub fn new(guards: Guards) -> Self {
        Queue {
            guards,
            ..Queue::default()
        }
    }

    /// Number of pods in all places.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether no pod waits or flies.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// What is known of a pod.
    pub fn pod(&self, uid: &Uid) -> Option<&QueuedPod> {
        self.pods.get(uid)
    }

    /// All pods in the order of their uids.
    pub fn pods(&self) -> impl Iterator<Item = &QueuedPod> {
        self.pods.values()
    }

    /// Number of pods that are ready to be tried.
    pub fn active_len(&self) -> usize {
        self.active.len()
    }

    /// When something in here becomes due without a change.
    pub fn next_wake(&self) -> Option<Time> {
        let backoff = self.backoff.first().map(|(until, _)| *until);
        let flush = self
            .unschedulable
            .first()
            .map(|(since, _)| *since + UNSCHEDULABLE_MAX);
        backoff.into_iter().chain(flush).min()
    }

    /// Takes in a new pod; `gate` is the plugin that keeps it out, `key` its place in line.
    pub fn add(&mut self, pod: Arc<Pod>, gate: Option<&'static str>, key: (i64, i64), now: Time) {
        let uid = pod.uid.clone();
        self.remove(&uid);
        self.arrivals += 1;
        let queued = QueuedPod {
            pod,
            place: Place::InFlight(None),
            since: now,
            attempts: 0,
            refused_by: BTreeSet::new(),
            pending_on: BTreeSet::new(),
            key,
            arrival: self.arrivals,
        };
        self.pods.insert(uid.clone(), queued);
        self.put(&uid, gate.map_or(Place::Active, Place::Gated));
    }

    /// Takes in a newer revision of a waiting pod; answers the one before.
    pub fn update(
        &mut self,
        pod: Arc<Pod>,
        gate: Option<&'static str>,
        key: (i64, i64),
        hint: HintFn<'_>,
        now: Time,
    ) -> Option<Arc<Pod>> {
        let uid = pod.uid.clone();
        let queued = self.pods.get_mut(&uid)?;
        let place = queued.place;
        let old = std::mem::replace(&mut queued.pod, Arc::clone(&pod));
        let change = Change::PodUpdated {
            old: Arc::clone(&old),
            new: pod,
        };
        match place {
            Place::Active => {
                self.take(&uid);
                self.set_key(&uid, key);
                self.put(&uid, gate.map_or(Place::Active, Place::Gated));
            }
            // M51: a gate that has gone is noticed only here; the pod skips its back-off, since it
            // was never tried.
            Place::Gated(_) if self.guards.on(Guard::M51) => {
                self.take(&uid);
                self.set_key(&uid, key);
                self.put(&uid, gate.map_or(Place::Active, Place::Gated));
            }
            Place::Gated(_) => {}
            Place::Backoff(_) => self.set_key(&uid, key),
            Place::Unschedulable(_) => {
                self.set_key(&uid, key);
                self.offer(&uid, &change, hint, now);
            }
            Place::InFlight(Some(_)) => {
                self.set_key(&uid, key);
                self.record(change);
            }
            Place::InFlight(None) => self.set_key(&uid, key),
        }
        Some(old)
    }

    /// Takes a pod out for good: bound, deleted, or no longer ours.
    pub fn remove(&mut self, uid: &Uid) -> Option<QueuedPod> {
        self.take(uid);
        self.pods.remove(uid)
    }

    /// Takes the next pod in line; it is in flight until it comes back or is removed.
    pub fn pop(&mut self, now: Time) -> Option<&QueuedPod> {
        let uid = self.active.first().map(|(_, _, uid)| uid.clone())?;
        self.take(&uid);
        let next_change = self.first_change + self.changes.len() as u64;
        self.put(&uid, Place::InFlight(Some(next_change)));
        let queued = self.pods.get_mut(&uid)?;
        queued.attempts += 1;
        queued.since = now;
        Some(queued)
    }

    /// From here on the pod can fail only by error, so changes need not be kept for it.
    pub fn stop_recording(&mut self, uid: &Uid) {
        if matches!(
            self.pods.get(uid).map(|queued| queued.place),
            Some(Place::InFlight(_))
        ) {
            self.take(uid);
            self.put(uid, Place::InFlight(None));
        }
    }

    /// Takes an in-flight pod back after a cycle that found no node.
    ///
    /// Refused by nobody in particular means that something went wrong: it backs off. Refused by
    /// plugins, it waits for a change, unless one that helps has come in the meantime.
    pub fn put_back(&mut self, uid: &Uid, diagnosis: &Diagnosis, hint: HintFn<'_>, now: Time) {
        let Some(queued) = self.pods.get_mut(uid) else {
            return;
        };
        let Place::InFlight(mark) = queued.place else {
            return;
        };
        queued
            .refused_by
            .clone_from(&diagnosis.unschedulable_plugins);
        queued.pending_on.clone_from(&diagnosis.pending_plugins);
        queued.since = now;
        let missed: Vec<Change> = match mark {
            Some(mark) => {
                let skip = usize::try_from(mark - self.first_change).unwrap_or(usize::MAX);
                self.changes.iter().skip(skip).cloned().collect()
            }
            None => Vec::new(),
        };
        self.take(uid);
        let is_refused =
            diagnosis.unschedulable_plugins.len() + diagnosis.pending_plugins.len() > 0;
        if !is_refused {
            self.back_off(uid, now);
            return;
        }
        self.put(uid, Place::Unschedulable(now));
        for change in missed {
            self.offer(uid, &change, hint, now);
        }
    }

    /// Offers a change to every pod that waits for one, but for the one that caused it.
    pub fn happened(&mut self, change: Change, cause: Option<&Uid>, hint: HintFn<'_>, now: Time) {
        let waiting: Vec<Uid> = self
            .unschedulable
            .iter()
            .map(|(_, uid)| uid.clone())
            .collect();
        for uid in waiting.iter().filter(|uid| cause != Some(*uid)) {
            self.offer(uid, &change, hint, now);
        }
        self.record(change);
    }

    /// Moves what has become due: back-offs that have ended, and pods unschedulable for too long.
    pub fn tick(&mut self, now: Time) {
        while let Some((until, uid)) = self.backoff.first().cloned() {
            if until > now {
                break;
            }
            self.take(&uid);
            self.put(&uid, Place::Active);
        }
        while let Some((since, uid)) = self.unschedulable.first().cloned() {
            if since + UNSCHEDULABLE_MAX > now {
                break;
            }
            self.take(&uid);
            self.back_off(&uid, now);
        }
    }

    // ANCHOR: offer
    /// Keeps a change for the pods in flight.
    fn record(&mut self, change: Change) {
        // M49: without this, what happens between a pod's snapshot and its return is
        // lost, and the pod waits for the five-minute flush (#120413).
        if self.guards.on(Guard::M49) && !self.flying.is_empty() {
            self.changes.push_back(change);
        }
    }

    /// Moves an unschedulable pod on when one of the plugins that refused it sees hope.
    fn offer(&mut self, uid: &Uid, change: &Change, hint: HintFn<'_>, now: Time) {
        let Some(queued) = self.pods.get(uid) else {
            return;
        };
        if !matches!(queued.place, Place::Unschedulable(_)) {
            return;
        }
        let pod = &queued.pod;
        let hopes = |plugin: &&'static str| hint(plugin, pod, change) == Hint::Queue;
        if queued.pending_on.iter().any(&hopes) {
            self.take(uid);
            self.put(uid, Place::Active);
        } else if queued.refused_by.iter().any(&hopes) {
            self.take(uid);
            self.back_off(uid, now);
        }
    }
    // ANCHOR_END: offer

    // ANCHOR: back_off
    /// Puts a pod into back-off, or into the active queue when that is over already.
    fn back_off(&mut self, uid: &Uid, now: Time) {
        let Some(queued) = self.pods.get(uid) else {
            return;
        };
        let until = queued.since + self.backoff_of(queued.attempts);
        let place = if until > now {
            Place::Backoff(until)
        } else {
            Place::Active
        };
        self.put(uid, place);
    }

    fn backoff_of(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(20);
        let backoff = BACKOFF_FIRST.saturating_mul(1 << doublings);
        // M51: without the cap a pod that failed twenty times would sleep for days.
        if self.guards.on(Guard::M51) {
            backoff.min(BACKOFF_MAX)
        } else {
            backoff
        }
    }
    // ANCHOR_END: back_off

    fn set_key(&mut self, uid: &Uid, key: (i64, i64)) {
        if let Some(queued) = self.pods.get_mut(uid) {
            queued.key = key;
        }
    }

    /// Writes a pod's place and files it in that place's index; it must be filed nowhere.
    fn put(&mut self, uid: &Uid, place: Place) {
        let Some(queued) = self.pods.get_mut(uid) else {
            return;
        };
        queued.place = place;
        let uid = uid.clone();
        match place {
            Place::Active => drop(self.active.insert((queued.key, queued.arrival, uid))),
            Place::Backoff(until) => drop(self.backoff.insert((until, uid))),
            Place::Unschedulable(since) => drop(self.unschedulable.insert((since, uid))),
            Place::InFlight(Some(mark)) => drop(self.flying.insert((mark, uid))),
            Place::Gated(_) | Place::InFlight(None) => {}
        }
    }

    /// Takes a pod out of its place's index; `put` must follow, or removal.
    fn take(&mut self, uid: &Uid) {
        let Some(queued) = self.pods.get(uid) else {
            return;
        };
        let uid = uid.clone();
        match queued.place {
            Place::Active => drop(self.active.remove(&(queued.key, queued.arrival, uid))),
            Place::Backoff(until) => drop(self.backoff.remove(&(until, uid))),
            Place::Unschedulable(since) => drop(self.unschedulable.remove(&(since, uid))),
            Place::InFlight(Some(mark)) => {
                self.flying.remove(&(mark, uid));
                self.drop_old_changes();
            }
            Place::Gated(_) | Place::InFlight(None) => {}
        }
    }

    /// Drops the changes that no pod in flight has to hear of any more.
    fn drop_old_changes(&mut self) {
        let next = self.first_change + self.changes.len() as u64;
        let oldest = self.flying.first().map_or(next, |(mark, _)| *mark);
        while self.first_change < oldest && self.changes.pop_front().is_some() {
            self.first_change += 1;
        }
    }
}

#[cfg(test)]
mod tests;
