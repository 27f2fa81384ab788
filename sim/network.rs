//! The edges of the cluster: how long a message takes, and whether it arrives.
//!
//! The world asks here for each message. Messages of one stream keep their order, as TCP does;
//! calls beside each other on one connection do not, as HTTP/2 does not.
//!
//! 1. A stream's frames arrive in the order they were sent.
//! 2. Nothing arrives before it was sent.
//!
//! Left out: bandwidth. A message takes its latency however long it is.
//!
//! Book: `book/src/simulator/world.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use wavetank_api::Time;

use crate::chance::Chance;

/// Names a process of the world: its place in the list of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// Latencies of the world's edges, drawn evenly between least and most.
#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    /// Between a component and an API server, one way.
    pub network: (Duration, Duration),
    /// From the start of a write to the log until it is on disk.
    pub disk: (Duration, Duration),
    /// From a durable transaction to an API server's watch cache.
    pub watch: (Duration, Duration),
}

impl Default for Latencies {
    fn default() -> Self {
        let micros = |least, most| (Duration::from_micros(least), Duration::from_micros(most));
        Latencies {
            network: micros(200, 800),
            disk: micros(1_500, 2_500),
            watch: micros(50, 200),
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time.
    Arrives(Time),
    /// The connection is cut: the sender learns at this time that it is broken.
    Broken(Time),
}

/// The direction of a message, as a process sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To an API server.
    To,
    /// From an API server.
    From,
}

impl Way {
    /// Both directions.
    pub const BOTH: &'static [Way] = &[Way::To, Way::From];
}

/// One direction between a process and the API servers.
pub type Edge = (ProcessId, Way);

/// How long a sender waits on a cut connection before it gives up: `connect` with no answer.
const GIVE_UP: Duration = Duration::from_secs(10);

/// All edges between processes and API servers.
pub struct Network {
    latencies: Latencies,
    chance: Chance,
    /// Processes whose packets get nowhere in a direction.
    cut: BTreeSet<Edge>,
    /// How much longer the messages of a process take.
    slow: BTreeMap<ProcessId, Duration>,
    /// How much longer than the others API servers wait for the store's watch.
    lags: BTreeMap<usize, Duration>,
}

impl Network {
    /// A whole network with these latencies.
    pub fn new(latencies: Latencies, chance: Chance) -> Self {
        Network {
            latencies,
            chance,
            cut: BTreeSet::new(),
            slow: BTreeMap::new(),
            lags: BTreeMap::new(),
        }
    }

    // ANCHOR: carry
    /// The fate of a message between a process and an API server. Messages of a stream
    /// name the arrival of the one before, and do not overtake it.
    pub fn carry(&mut self, edge: Edge, now: Time, after: Option<Time>) -> Fate {
        if self.cut.contains(&edge) {
            return Fate::Broken(now + GIVE_UP);
        }
        let (least, most) = self.latencies.network;
        let slow = self.slow.get(&edge.0).copied().unwrap_or_default();
        let arrival = now + slow + self.chance.between(least, most);
        Fate::Arrives(after.map_or(arrival, |before| arrival.max(before)))
    }
    // ANCHOR_END: carry

    /// When a write to the log that starts now is on disk.
    pub fn synced(&mut self, now: Time) -> Time {
        let (least, most) = self.latencies.disk;
        now + self.chance.between(least, most)
    }

    /// When a durable transaction reaches the cache of this API server; never before the one
    /// `after`.
    pub fn observed(&mut self, server: usize, now: Time, after: Time) -> Time {
        let (least, most) = self.latencies.watch;
        let lag = self.lags.get(&server).copied().unwrap_or_default();
        (now + lag + self.chance.between(least, most)).max(after)
    }

    /// Lets the cache of an API server lag behind the store by so much more; zero ends it.
    pub fn set_lag(&mut self, server: usize, lag: Duration) {
        self.lags.insert(server, lag);
    }

    /// Lets each message of a process take so much longer; zero ends it.
    pub fn set_slow(&mut self, process: ProcessId, by: Duration) {
        if by.is_zero() {
            self.slow.remove(&process);
        } else {
            self.slow.insert(process, by);
        }
    }

    /// Cuts `process` off in one direction, or joins it again.
    pub fn set_cut(&mut self, process: ProcessId, way: Way, cut: bool) {
        if cut {
            self.cut.insert((process, way));
        } else {
            self.cut.remove(&(process, way));
        }
    }

    /// How many edges are cut or slow, or lag.
    pub fn faults(&self) -> usize {
        let lags = self.lags.values().filter(|lag| !lag.is_zero()).count();
        self.cut.len() + self.slow.len() + lags
    }
}
