//! What a namespace that is being deleted says of what still holds it, in its conditions.
//!
//! Upstream: `pkg/controller/namespace/deletion/status_condition_utils.go`.
//!
//! 1. A condition's time of transition moves exactly when its status does.
//!
//! Book: `book/src/controllers/small.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::Time;

use crate::views::{Condition, condition};

/// What is left in a namespace, and what went wrong while it was emptied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remains {
    /// How many objects of each resource (`pods.`, `deployments.apps`) are left.
    pub resources: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    pub finalizers: BTreeMap<Arc<str>, usize>,
    /// What was answered to deletes and lists that failed.
    pub errors: Vec<String>,
}

/// Type, and the reason and message while all is well.
const FINE: [(&str, &str, &str); 5] = [
    (
        "NamespaceDeletionDiscoveryFailure",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    (
        "NamespaceContentRemaining",
        "ContentRemoved",
        "All content successfully removed",
    ),
    (
        "NamespaceFinalizersRemaining",
        "ContentRemoved",
        "All content successfully removed",
    ),
];

impl Remains {
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Reason and message of a condition that is true.
    fn wrong(&self, r#type: &str) -> Option<(&'static str, String)> {
        let counted =
            |count: &usize, of: &str, word: &str| format!("{of} {word} {count} resource instances");
        match r#type {
            "NamespaceDeletionContentFailure" if !self.errors.is_empty() => {
                let mut errors = self.errors.clone();
                errors.sort();
                let (count, errors) = (errors.len(), errors.join(", "));
                let message =
                    format!("Failed to delete all resource types, {count} remaining: {errors}");
                Some(("ContentDeletionFailed", message))
            }
            "NamespaceContentRemaining" if !self.resources.is_empty() => {
                let all = self.resources.iter().map(|(of, n)| counted(n, of, "has"));
                let all = all.collect::<Vec<_>>().join(", ");
                let message = format!("Some resources are remaining: {all}");
                Some(("SomeResourcesRemain", message))
            }
            "NamespaceFinalizersRemaining" if !self.finalizers.is_empty() => {
                let all = self.finalizers.iter().map(|(of, n)| counted(n, of, "in"));
                let all = all.collect::<Vec<_>>().join(", ");
                let message = format!("Some finalizers are remaining: {all}");
                Some(("SomeFinalizerRemain", message))
            }
            _ => None,
        }
    }

    /// The conditions as they should be; `None` when they are.
    pub fn conditions(&self, old: &[Condition], now: Time) -> Option<Vec<Condition>> {
        let ours = FINE.map(|(r#type, reason, message)| {
            let (status, reason, message) = match self.wrong(r#type) {
                Some((reason, message)) => ("True", reason, message),
                None => ("False", reason, message.to_owned()),
            };
            let old = condition(old, r#type);
            let since = old.filter(|old| &*old.status == status);
            Condition {
                r#type: r#type.into(),
                status: status.into(),
                last_transition_time: since.map_or(Some(now), |old| old.last_transition_time),
                reason: reason.into(),
                message: message.into(),
                ..Condition::default()
            }
        });
        let is_ours = |condition: &Condition| FINE.iter().any(|(of, ..)| **of == *condition.r#type);
        let others = old.iter().filter(|condition| !is_ours(condition)).cloned();
        let new: Vec<_> = others.chain(ours.clone()).collect();
        let is_there = |new: &Condition| condition(old, &new.r#type) == Some(new);
        (!ours.iter().all(is_there)).then_some(new)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn remains(resources: &[(&str, usize)], errors: &[&str]) -> Remains {
        Remains {
            resources: resources
                .iter()
                .map(|(of, n)| ((*of).to_owned(), *n))
                .collect(),
            finalizers: resources
                .iter()
                .map(|(_, n)| ("example.org/hold".into(), *n))
                .collect(),
            errors: errors.iter().map(|error| (*error).to_owned()).collect(),
        }
    }

    #[test]
    fn what_remains_is_told_in_upstreams_words() {
        let held = remains(&[("configmaps.", 2), ("deployments.apps", 1)], &["b", "a"]);
        let told = held.conditions(&[], Time::EPOCH).unwrap();
        let of = |r#type: &str| {
            let found = condition(&told, r#type).unwrap();
            (
                found.status.to_string(),
                found.reason.to_string(),
                found.message.to_string(),
            )
        };
        let expected = |status: &str, reason: &str, message: &str| {
            (status.to_owned(), reason.to_owned(), message.to_owned())
        };
        let content = "Some resources are remaining: configmaps. has 2 resource instances, \
                       deployments.apps has 1 resource instances";
        assert_eq!(
            of("NamespaceContentRemaining"),
            expected("True", "SomeResourcesRemain", content)
        );
        let failed = "Failed to delete all resource types, 2 remaining: a, b";
        assert_eq!(
            of("NamespaceDeletionContentFailure"),
            expected("True", "ContentDeletionFailed", failed)
        );
        let fine = "All resources successfully discovered";
        assert_eq!(
            of("NamespaceDeletionDiscoveryFailure"),
            expected("False", "ResourcesDiscovered", fine)
        );
    }

    proptest! {
        /// Invariant 1.
        #[test]
        fn a_transition_is_a_change_of_status(
            looks in prop::collection::vec((0..3_usize, any::<bool>()), 1..8),
        ) {
            let mut conditions: Vec<Condition> = Vec::new();
            for (at, (count, fails)) in looks.into_iter().enumerate() {
                let now = Time::from_secs(1 + at as i64);
                let pods = [("pods.", count)];
                let resources = if count == 0 { &[] } else { &pods[..] };
                let remains = remains(resources, if fails { &["no"] } else { &[] });
                let new = remains.conditions(&conditions, now);
                for (r#type, ..) in FINE {
                    let all = new.as_ref().unwrap_or(&conditions);
                    let (old, new) = (condition(&conditions, r#type), condition(all, r#type));
                    let (old, new) = (old.cloned().unwrap_or_default(), new.unwrap());
                    let moved = new.last_transition_time != old.last_transition_time;
                    prop_assert_eq!(moved, new.status != old.status, "{}", r#type);
                }
                conditions = new.unwrap_or(conditions);
                prop_assert!(remains.conditions(&conditions, now).is_none(), "told once");
            }
        }
    }
}
