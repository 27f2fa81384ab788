//! What the controller knows of each node's health, and what a zone's health allows.
//!
//! Pure bookkeeping for [`crate::node_lifecycle`]. Upstream:
//! `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.
//!
//! 1. Silence is measured on our own clock, from the moment we saw a heartbeat change (M58): a
//!    node whose clock is wrong is not punished for it (C33).
//! 2. When every zone is wholly unhealthy, the fault is more likely ours: no zone may evict (C32).
//!
//! Book: `book/src/controllers/nodes.md`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::Time;
use wavetank_informer::Object;

use crate::views::{Node, condition};

/// `--node-monitor-grace-period`.
pub const GRACE: Duration = Duration::from_secs(50);
/// `--node-startup-grace-period`: for a node that has never been heard of.
pub const STARTUP_GRACE: Duration = Duration::from_secs(60);
/// `--unhealthy-zone-threshold`, in percent of a zone's nodes.
const UNHEALTHY_PERCENT: usize = 55;
/// `--large-cluster-size-threshold`: smaller zones stop evicting when they are unhealthy.
const LARGE_ZONE: usize = 50;

/// A heartbeat as far as it can be seen: the lease's renewal and the Ready condition's.
pub type Heartbeat = (Option<Time>, Option<Time>);

/// What is remembered of a node.
#[derive(Clone, Debug)]
pub struct Health {
    last: Heartbeat,
    /// When, on our clock, the heartbeat last changed.
    heard: Time,
    /// Whether a heartbeat has ever been seen.
    ever: bool,
}

impl Health {
    /// A node that is seen for the first time now.
    pub fn new(heartbeat: Heartbeat, now: Time) -> Self {
        Health {
            last: heartbeat,
            heard: now,
            ever: heartbeat != (None, None),
        }
    }

    /// Takes in what is seen of the node now: its lease, its condition, or both. A half that is
    /// not seen says nothing.
    pub fn observe(&mut self, (renewed, posted): Heartbeat, now: Time) {
        let seen = (renewed.or(self.last.0), posted.or(self.last.1));
        if seen != self.last {
            self.last = seen;
            self.heard = now;
            self.ever = true;
        }
    }

    /// Whether the node has been silent for too long. `by_remote_clock` measures from the time in
    /// the heartbeat instead, as the broken controller of M58 does.
    pub fn is_silent(&self, now: Time, by_remote_clock: bool) -> bool {
        let grace = if self.ever { GRACE } else { STARTUP_GRACE };
        let since = match self.last {
            (Some(renewed), _) if by_remote_clock => renewed,
            _ => self.heard,
        };
        now.since(since) > grace
    }

    /// Whether a heartbeat has ever been seen.
    pub fn ever_heard(&self) -> bool {
        self.ever
    }

    /// Starts the count again: we ourselves have been deaf.
    pub fn excuse(&mut self, now: Time) {
        self.heard = now;
    }
}

/// How a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Nodes are lost one at a time.
    Normal,
    /// More than half are lost, of a zone large enough that evicting slowly is right.
    PartlyLost,
    /// More than half are lost, of a small zone: nothing is evicted.
    SmallPartlyLost,
    /// All are lost.
    Lost,
}

impl Zone {
    /// How it is when `lost` of `all` nodes are not ready.
    pub fn of(lost: usize, all: usize) -> Self {
        if all > 0 && lost == all {
            return Zone::Lost;
        }
        // Upstream wants more than two lost nodes before it calls a zone disrupted.
        if lost > 2 && lost * 100 >= all * UNHEALTHY_PERCENT {
            return if all > LARGE_ZONE {
                Zone::PartlyLost
            } else {
                Zone::SmallPartlyLost
            };
        }
        Zone::Normal
    }

    /// Time between two evictions of nodes (`--node-eviction-rate` 0.1/s,
    /// `--secondary-node-eviction-rate` 0.01/s); `None`: none.
    pub fn pace(self) -> Option<Duration> {
        match self {
            // A wholly lost zone evicts as usual, unless all zones are lost.
            Zone::Normal | Zone::Lost => Some(Duration::from_secs(10)),
            Zone::PartlyLost => Some(Duration::from_secs(100)),
            Zone::SmallPartlyLost => None,
        }
    }
}

/// The zone that a node's labels name; nodes without one share a nameless zone.
pub fn zone_of(node: &Object<Node>) -> Arc<str> {
    let label = node.meta.labels.get("topology.kubernetes.io/zone");
    label.cloned().unwrap_or_else(|| "".into())
}

/// The status of the Ready condition: `True`, `False` or `Unknown`.
pub fn ready(node: &Object<Node>) -> &str {
    condition(&node.view.status.conditions, "Ready").map_or("Unknown", |c| &c.status)
}

/// Each zone's state.
pub fn zones<'a>(nodes: impl Iterator<Item = &'a Arc<Object<Node>>>) -> BTreeMap<Arc<str>, Zone> {
    let mut counts: BTreeMap<Arc<str>, (usize, usize)> = BTreeMap::new();
    for node in nodes {
        let (lost, all) = counts.entry(zone_of(node)).or_default();
        *all += 1;
        *lost += usize::from(ready(node) != "True");
    }
    counts
        .into_iter()
        .map(|(zone, (lost, all))| (zone, Zone::of(lost, all)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_judged_by_how_many_of_its_nodes_are_lost() {
        let cases = [
            ((0, 10), Zone::Normal),
            ((2, 3), Zone::Normal),
            ((3, 5), Zone::SmallPartlyLost),
            ((5, 5), Zone::Lost),
            ((1, 1), Zone::Lost),
            ((60, 100), Zone::PartlyLost),
            ((50, 100), Zone::Normal),
        ];
        for ((lost, all), zone) in cases {
            assert_eq!(Zone::of(lost, all), zone, "{lost} of {all}");
        }
    }

    #[test]
    fn silence_is_measured_on_the_local_clock() {
        let at = Time::from_secs;
        // The node's clock is an hour behind ours.
        let mut health = Health::new((Some(at(0)), None), at(3600));
        health.observe((Some(at(30)), None), at(3630));
        assert!(!health.is_silent(at(3660), false));
        assert!(
            health.is_silent(at(3660), true),
            "M58: the remote clock would condemn it"
        );
        assert!(health.is_silent(at(3681), false));
    }
}
