//! The replica sets of a deployment, told apart: the one of the current template, and the others.
//!
//! Every part of the Deployment controller decides on a [`Sets`]. Upstream:
//! `pkg/controller/deployment/util/deployment_util.go`.
//!
//! 1. At most one set is new: the oldest whose template equals the deployment's (C6).
//! 2. Availability is believed only of a set whose status speaks of its current spec (M11).
//! 3. Surge and unavailability are never both zero (M13, L29).
//!
//! Book: `book/src/controllers/deployment.md`.

use std::sync::Arc;

use serde_json::Value;
use wavetank_informer::{Guard, Guards, Object};

use super::template;
use crate::views::{Deployment, ReplicaSet};

/// One replica set as the caches show it.
pub(super) type Set = Arc<Object<ReplicaSet>>;

/// A deployment and what it owns.
pub(super) struct Sets {
    pub deployment: Arc<Object<Deployment>>,
    /// The set of the current template, if it exists.
    pub new: Option<Set>,
    /// The others, oldest first.
    pub old: Vec<Set>,
    guards: Guards,
}

/// A replica set and the size it should have.
#[derive(Clone, Debug)]
pub(super) struct Resize {
    pub set: Set,
    pub to: i64,
}

impl Sets {
    pub fn new(deployment: Arc<Object<Deployment>>, mut owned: Vec<Set>, guards: Guards) -> Self {
        owned.sort_by_key(age);
        let wanted = &deployment.view.spec.template;
        let is_new = |set: &Set| template::equal_but_for_hash(wanted, &set.view.spec.template);
        let new = owned.iter().position(is_new).map(|at| owned.remove(at));
        Sets {
            deployment,
            new,
            old: owned,
            guards,
        }
    }

    /// Old sets, then the new one.
    pub fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    /// Old sets that still have, or want, pods.
    pub fn old_active(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().filter(|set| set.view.spec.replicas > 0)
    }

    pub fn replicas(&self) -> i64 {
        self.deployment.view.spec.replicas
    }

    // ANCHOR: available
    /// Available pods of a set; `None` while its status speaks of an earlier spec. A set
    /// that was just scaled down may still report more available pods than it will have.
    pub fn available(&self, set: &Set) -> Option<i64> {
        let observed = set.view.status.observed_generation >= set.meta.generation;
        let believed = observed || !self.guards.on(Guard::M11);
        believed.then_some(set.view.status.available_replicas)
    }
    // ANCHOR_END: available

    pub fn max_surge(&self) -> i64 {
        self.fenceposts().0
    }

    pub fn max_unavailable(&self) -> i64 {
        let replicas = self.replicas();
        match self.is_rolling() && replicas > 0 {
            true => self.fenceposts().1.min(replicas),
            false => 0,
        }
    }

    /// Fewest pods that must stay available during a rolling update.
    pub fn min_available(&self) -> i64 {
        self.replicas() - self.max_unavailable()
    }

    /// What annotations call `max-replicas`: most pods during a rolling update.
    pub fn max_replicas(&self) -> i64 {
        self.replicas() + self.max_surge()
    }

    pub fn is_rolling(&self) -> bool {
        &*self.deployment.view.spec.strategy.r#type != "Recreate"
    }

    // ANCHOR: fenceposts
    /// Surge rounds up and unavailability down, so a percentage of few pods may leave
    /// no room to move at all; then one pod may be unavailable (`ResolveFenceposts`).
    fn fenceposts(&self) -> (i64, i64) {
        if !self.is_rolling() {
            return (0, 0);
        }
        let rolling = self.deployment.view.spec.strategy.rolling_update.clone();
        let rolling = rolling.unwrap_or_default();
        let surge = scaled(&rolling.max_surge, self.replicas(), true);
        let unavailable = scaled(&rolling.max_unavailable, self.replicas(), false);
        match (surge, unavailable) {
            (0, 0) if self.guards.on(Guard::M13) => (0, 1),
            both => both,
        }
    }
    // ANCHOR_END: fenceposts
}

/// A number, or a percentage of `of` (`intstr.GetScaledValueFromIntOrPercent`). What is neither has
/// not passed validation and counts as zero.
fn scaled(value: &Value, of: i64, round_up: bool) -> i64 {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%'));
    let percent = percent.and_then(|number| number.parse::<i64>().ok());
    match percent {
        Some(percent) if round_up => (percent.saturating_mul(of) + 99).div_euclid(100),
        Some(percent) => percent.saturating_mul(of).div_euclid(100),
        None => value.as_i64().unwrap_or(0),
    }
}

/// Order by age: oldest first; by name among equals, as upstream.
pub(super) fn age(set: &Set) -> (Option<wavetank_api::Time>, Arc<str>) {
    (set.meta.creation_timestamp, set.meta.name.clone())
}

/// Sum of the sizes that sets are to have.
pub(super) fn wanted<'a>(sets: impl Iterator<Item = &'a Set>) -> i64 {
    sets.map(|set| set.view.spec.replicas).sum()
}

/// Sum of the pods that sets report.
pub(super) fn actual<'a>(sets: impl Iterator<Item = &'a Set>) -> i64 {
    sets.map(|set| set.view.status.replicas).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `intstr` and `ResolveFenceposts`, by table.
    #[test]
    fn surge_rounds_up_and_unavailability_down_and_not_both_to_zero() {
        for (replicas, surge, unavailable, expected) in [
            (4, json!("25%"), json!("25%"), (1, 1)),
            (3, json!("25%"), json!("25%"), (1, 0)),
            (10, json!("25%"), json!("25%"), (3, 2)),
            (1, json!("0%"), json!("25%"), (0, 1)),
            (5, json!(2), json!(0), (2, 0)),
            (0, json!("25%"), json!("25%"), (0, 0)),
        ] {
            let deployment = json!({"spec": {"replicas": replicas, "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
            }}});
            let deployment = Object::decode(deployment.to_string().as_bytes()).unwrap();
            let sets = Sets::new(Arc::new(deployment), Vec::new(), Guards::default());
            assert_eq!((sets.max_surge(), sets.max_unavailable()), expected);
        }
    }
}
