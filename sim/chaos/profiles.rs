//! Profiles: which part of the cluster chance works on.
//!
//! Book: `book/src/simulator/search.md`.

use core::time::Duration;

use super::{Moves, faults, work};
use crate::chance::Chance;
use crate::scenario::ClusterSpec;

/// A part of the cluster, and what may happen to it.
pub struct Profile {
    /// `replicas`.
    pub name: &'static str,
    /// What it is about, for a person.
    pub about: &'static str,
    pub(crate) cluster: fn(&mut Chance) -> ClusterSpec,
    pub(crate) works: Moves,
    pub(crate) faults: Moves,
    pub(crate) works_max: u32,
    pub(crate) faults_max: u32,
    pub(crate) calm: Duration,
    pub(crate) until: Duration,
}

/// Every profile.
pub fn profiles() -> &'static [Profile] {
    PROFILES
}

/// The profile of this name.
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

const MINUTE: u64 = 60;

static PROFILES: &[Profile] = &[
    Profile {
        name: "replicas",
        about: "ReplicaSets that are scaled, touched and robbed of pods",
        cluster: small,
        works: &[
            (4, work::replica_set),
            (4, work::scale),
            (3, work::touch),
            (2, work::delete_pod),
            (1, work::relabel_pod),
            (1, work::delete_workload),
            (1, work::recreate_workload),
        ],
        faults: EVERYTHING,
        works_max: 8,
        faults_max: 6,
        calm: Duration::from_secs(60),
        until: Duration::from_secs(16 * MINUTE),
    },
    Profile {
        name: "rollout",
        about: "Deployments that roll, scale, and roll back",
        cluster: small,
        works: &[
            (4, work::deployment),
            (5, work::roll),
            (3, work::scale),
            (1, work::delete_pod),
            (1, work::delete_workload),
            (1, work::recreate_workload),
        ],
        faults: EVERYTHING,
        works_max: 8,
        faults_max: 6,
        calm: Duration::from_secs(60),
        until: Duration::from_secs(20 * MINUTE),
    },
    Profile {
        name: "pods",
        about: "pods with fixed names that are deleted and made again",
        cluster: small,
        works: &[
            (5, work::pod),
            (3, work::delete_own_pod),
            (5, work::recreate_pod),
            (1, work::delete_node),
        ],
        faults: EVERYTHING,
        works_max: 8,
        faults_max: 6,
        calm: Duration::from_secs(60),
        until: Duration::from_secs(16 * MINUTE),
    },
    Profile {
        name: "everything",
        about: "all of it at once",
        cluster: small,
        works: &[
            (3, work::replica_set),
            (3, work::deployment),
            (3, work::pod),
            (3, work::scale),
            (2, work::roll),
            (2, work::touch),
            (2, work::delete_pod),
            (1, work::relabel_pod),
            (2, work::recreate_pod),
            (1, work::delete_own_pod),
            (1, work::delete_workload),
            (1, work::recreate_workload),
            (1, work::delete_node),
            (1, work::config_map),
        ],
        faults: EVERYTHING,
        works_max: 10,
        faults_max: 8,
        calm: Duration::from_secs(60),
        until: Duration::from_secs(20 * MINUTE),
    },
    Profile {
        name: "stale",
        about: "ReplicaSets whose controller sees nothing for minutes",
        cluster: small,
        works: &[(3, work::replica_set), (3, work::touch), (2, work::scale)],
        faults: &[(1, faults::hold_long)],
        works_max: 8,
        faults_max: 2,
        calm: Duration::from_secs(400),
        until: Duration::from_secs(20 * MINUTE),
    },
];

/// Every fault there is.
const EVERYTHING: Moves = &[
    (4, faults::hold),
    (2, faults::break_watches),
    (3, faults::crash),
    (2, faults::restart),
    (2, faults::fail),
    (2, faults::pause),
    (2, faults::cut),
    (2, faults::slow),
    (3, faults::lose),
    (2, faults::refuse),
    (1, faults::lag),
    (2, faults::time_travel),
    (1, faults::move_over),
    (1, faults::clock),
    (1, faults::compact),
    (1, faults::power_cut),
    (1, faults::exit),
];

/// One to three nodes of two CPUs, and one or two API servers.
fn small(chance: &mut Chance) -> ClusterSpec {
    ClusterSpec {
        nodes: 1 + chance.below(3) as u32,
        cpu: "2".to_owned(),
        memory: "4Gi".to_owned(),
        apiservers: 1 + chance.below(2) as u32,
        ..ClusterSpec::default()
    }
}
