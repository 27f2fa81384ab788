//! Deletes pods from nodes whose `NoExecute` taints they do not tolerate, or no longer.
//!
//! Upstream: `pkg/controller/tainteviction/taint_eviction.go`, which holds a timer for each pod.
//! Here there is no timer to cancel or to lose: each look at a pod decides from the node's taints
//! and the pod's tolerations when it is due, so a taint that is gone, a changed toleration or a
//! restart of this process needs no case of its own.
//!
//! 1. A pod is deleted only while its node carries a taint that it does not tolerate, or tolerates
//!    for a time that has passed (C30, M61).
//! 2. A pod that tolerates for d seconds is not deleted sooner than d after the taint was added
//!    (C31).
//! 3. The delete carries the uid it was decided on (I1, M62), and is tried again when it fails
//!    (M63).
//!
//! Book: `book/src/controllers/nodes.md`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use wavetank_api::{KindId, Time, Uid};
use wavetank_informer::client::{DeleteOptions, Patch};
use wavetank_informer::events::EventType;
use wavetank_informer::executor::{Outcome, Plan};
use wavetank_informer::queue::Queue;
use wavetank_informer::{Guard, Key, Object};

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{BY_NODE, Informers, News};
use crate::pods::is_finished;
use crate::views::{Pod, Taint, Toleration};

/// `timeAdded` is cut to whole seconds: the taint may be this much younger than it says.
const ROUNDING: Duration = Duration::from_secs(1);

/// See the file's header.
#[derive(Default)]
pub struct TaintEviction {
    /// Since when each pod has been under taints that do not say when they were added; written by
    /// `reconcile`, forgotten with the taint.
    since: BTreeMap<Uid, Time>,
    /// When each pod had to go as it was first seen; set by `reconcile`, and only without M61.
    timers: BTreeMap<Uid, Time>,
}

impl Controller for TaintEviction {
    type Key = Key;
    type Memory = ();

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Pod
    }

    fn workers(&self) -> usize {
        8
    }

    fn observe(&mut self, news: &News, world: &Informers, _: Time, keys: &mut Queue<Key>) {
        match news {
            News::Pod(change) if change.is_deleted() => {
                self.since.remove(&change.object().meta.uid);
                self.timers.remove(&change.object().meta.uid);
            }
            News::Pod(change) => {
                let view = &change.object().view.spec;
                let old = change.old().map(|old| &old.view.spec);
                let same = old.is_some_and(|old| {
                    old.node_name == view.node_name && old.tolerations == view.tolerations
                });
                let node = world
                    .nodes
                    .cache()
                    .get(&Key::cluster(view.node_name.clone()));
                if !same && node.is_some_and(|node| executing(&node.view.spec.taints).count() > 0) {
                    keys.add(change.object().key(), "pod is on a tainted node");
                }
            }
            News::Node(change) if !change.is_deleted() => {
                let taints = |taints: &[Taint]| executing(taints).cloned().collect::<Vec<_>>();
                let new = taints(&change.object().view.spec.taints);
                let old = change.old().map(|old| taints(&old.view.spec.taints));
                if old.unwrap_or_default() == new {
                    return;
                }
                for pod in world
                    .pods
                    .cache()
                    .indexed(BY_NODE, &change.object().meta.name)
                {
                    keys.add(pod.key(), "taints of its node changed");
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cx: &mut Context<'_>) -> Step<()> {
        let Some(pod) = cx.world.pods.cache().get(key) else {
            return Step::Done;
        };
        let node = Key::cluster(pod.view.spec.node_name.clone());
        let Some(node) = cx.world.nodes.cache().get(&node) else {
            return Step::Done;
        };
        if pod.meta.is_terminating() || is_finished(pod) {
            return Step::Done;
        }
        let taints: Vec<&Taint> = executing(&node.view.spec.taints).collect();
        if taints.is_empty() {
            self.since.remove(&pod.meta.uid);
            self.timers.remove(&pod.meta.uid);
            return Step::Done;
        }
        let first_seen = *self.since.entry(pod.meta.uid.clone()).or_insert(cx.now);
        let mut due = due(&taints, &pod.view.spec.tolerations, first_seen);
        if !cx.guards.on(Guard::M61) {
            due = self.timer(&pod.meta.uid, due);
        }
        match due {
            None => Step::Done,
            Some(due) if due > cx.now => Step::After(due.since(cx.now)),
            Some(_) => evict(key, pod, cx),
        }
    }

    fn resume(&mut self, _: &Key, (): (), answers: Answers, cx: &mut Context<'_>) -> Step<()> {
        let written = answers.written();
        // A pod that is gone, or has been replaced by another of its name, is not ours to delete.
        let settled = written.iter().all(|write| match &write.outcome {
            Outcome::Refused(error) => error.is_not_found() || error.is_conflict(),
            Outcome::Skipped => true,
            outcome => outcome.is_done(),
        });
        if settled || !cx.guards.on(Guard::M63) {
            return Step::Done;
        }
        Step::Retry(first_error(&written).unwrap_or_default())
    }
}

impl TaintEviction {
    /// A timer, as upstream's was: once set, nothing but the end of all taints ends it (#90794).
    fn timer(&mut self, pod: &Uid, due: Option<Time>) -> Option<Time> {
        if let (None, Some(due)) = (self.timers.get(pod), due) {
            self.timers.insert(pod.clone(), due);
        }
        self.timers.get(pod).copied()
    }
}

fn executing(taints: &[Taint]) -> impl Iterator<Item = &Taint> {
    taints.iter().filter(|taint| &*taint.effect == "NoExecute")
}

// ANCHOR: due
/// When a pod under these taints must go; `None`: never. The shortest toleration
/// counts, from the latest taint on, so that no taint is tolerated for less than was
/// promised.
fn due(taints: &[&Taint], tolerated: &[Toleration], seen: Time) -> Option<Time> {
    let mut due: Option<Time> = None;
    for taint in taints {
        let added = taint.time_added.map_or(seen, |added| added + ROUNDING);
        let matching = || {
            tolerated
                .iter()
                .filter(|toleration| tolerates(toleration, taint))
        };
        let when = if matching().next().is_none() {
            Some(Time::EPOCH)
        } else {
            let seconds = matching().filter_map(|each| each.toleration_seconds);
            seconds
                .min()
                .map(|s| added + Duration::from_secs(u64::try_from(s).unwrap_or(0)))
        };
        due = [due, when].into_iter().flatten().min();
    }
    due
}
// ANCHOR_END: due

/// Whether a toleration covers a taint (`Toleration.ToleratesTaint`).
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
    let key = toleration.key.is_empty() || toleration.key == taint.key;
    let value = match &*toleration.operator {
        "" | "Equal" => toleration.value == taint.value,
        "Exists" => true,
        _ => false,
    };
    effect && key && value
}

fn evict(key: &Key, pod: &Arc<Object<Pod>>, cx: &mut Context<'_>) -> Step<()> {
    let uid = cx.guards.on(Guard::M62).then(|| pod.meta.uid.clone());
    cx.note("its node has a taint that it does not tolerate");
    let message = format!("Marking for deletion Pod {key}");
    cx.event(
        (KindId::Pod, &pod.meta),
        EventType::Normal,
        "TaintManagerEviction",
        message,
    );
    let mut condition = json!({
        "status": { "conditions": [{
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": cx.now.to_rfc3339(),
        }]},
    });
    if let Some(uid) = &uid {
        condition["metadata"]["uid"] = json!(&*uid.0);
    }
    let options = DeleteOptions {
        uid,
        ..DeleteOptions::default()
    };
    let mark = cx
        .client
        .patch(KindId::Pod, key, "status", Patch::Strategic, &condition);
    let mut plan = Plan::one(mark);
    plan.then(vec![cx.client.delete(KindId::Pod, key, &options)]);
    Step::Plan(plan, ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, added: Option<i64>) -> Taint {
        let time_added = added.map(Time::from_secs);
        Taint {
            key: key.into(),
            value: "".into(),
            effect: "NoExecute".into(),
            time_added,
        }
    }

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: key.into(),
            operator: "Exists".into(),
            toleration_seconds: seconds,
            ..Toleration::default()
        }
    }

    #[test]
    fn a_pod_is_due_when_its_shortest_toleration_has_passed() {
        let (a, b) = (taint("a", Some(100)), taint("b", None));
        let seen = Time::from_secs(500);
        assert_eq!(due(&[&a], &[], seen), Some(Time::EPOCH));
        assert_eq!(due(&[&a], &[toleration("a", None)], seen), None);
        assert_eq!(
            due(&[&a], &[toleration("a", Some(30))], seen),
            Some(Time::from_secs(131))
        );
        assert_eq!(
            due(&[&b], &[toleration("b", Some(30))], seen),
            Some(Time::from_secs(530))
        );
        let both = [toleration("a", None), toleration("b", Some(30))];
        assert_eq!(due(&[&a, &b], &both, seen), Some(Time::from_secs(530)));
        assert_eq!(due(&[&a, &b], &both[..1], seen), Some(Time::EPOCH));
    }

    #[test]
    fn a_toleration_without_key_and_with_exists_tolerates_everything() {
        assert!(tolerates(&toleration("", None), &taint("any", None)));
        let equal = Toleration {
            operator: "".into(),
            ..toleration("a", None)
        };
        assert!(tolerates(&equal, &taint("a", None)));
        assert!(!tolerates(&equal, &taint("b", None)));
    }
}
