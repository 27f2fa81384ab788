//! DefaultPreemption: whether evicting pods of lower priority would make room.
//!
//! For each node that refused for a reason that can pass, it asks the filters again with all pods
//! of lower priority away, and says in kube-scheduler's words why that does not help. Where it
//! would help, it says that too and evicts nothing: choosing and deleting victims is not built yet.
//!
//! Upstream: `pkg/scheduler/framework/plugins/defaultpreemption`, `framework/preemption`.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::sync::Arc;

use crate::framework::{Code, CycleState, Diagnosis, Plugin, PostFilter, Status};
use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::snapshot::Snapshot;

/// Explains; does not evict.
pub struct DefaultPreemption;

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    fn as_post_filter(&self) -> Option<&dyn PostFilter> {
        Some(self)
    }
}

impl PostFilter for DefaultPreemption {
    fn post_filter(
        &self,
        _state: &CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
        filters: &dyn Fn(&NodeInfo) -> Status,
        diagnosis: &Diagnosis,
    ) -> Result<Arc<str>, Status> {
        if pod.spec.never_preempts {
            let reason = "preemption: not eligible due to preemptionPolicy=Never.";
            return Err(Status::unschedulable(reason));
        }
        let mut verdict = Diagnosis {
            nodes: diagnosis.nodes,
            absent: Some(Status::unresolvable(
                "Preemption is not helpful for scheduling",
            )),
            ..Diagnosis::default()
        };
        let mut would_help = 0;
        for (id, refusal) in &diagnosis.refused {
            if refusal.code != Code::Unschedulable {
                continue;
            }
            let Some(info) = snapshot.info(*id) else {
                continue;
            };
            match without_lower_priority(pod, info) {
                None => {
                    let reason = "No preemption victims found for incoming pod";
                    verdict.refused.push((*id, Status::unresolvable(reason)));
                }
                Some(emptied) => match filters(&emptied) {
                    status if status.is_success() => would_help += 1,
                    status => verdict.refused.push((*id, status)),
                },
            }
        }
        if would_help > 0 {
            let reason = format!(
                "preemption: not supported yet; it would help on {would_help}/{} nodes.",
                diagnosis.nodes
            );
            return Err(Status::unschedulable(reason));
        }
        Err(Status::unschedulable(format!(
            "preemption: {}",
            verdict.message()
        )))
    }
}

/// The node without the pods that may be preempted; `None` when there are none.
fn without_lower_priority(pod: &Pod, info: &NodeInfo) -> Option<NodeInfo> {
    let victims = info
        .pods
        .iter()
        .filter(|other| other.spec.priority < pod.spec.priority);
    let victims: Vec<_> = victims.map(|victim| victim.uid.clone()).collect();
    if victims.is_empty() {
        return None;
    }
    let mut emptied = info.clone();
    for victim in &victims {
        emptied.remove_pod(victim);
    }
    Some(emptied)
}
