//! A plugin from outside this crate: keeps a team's pods on the team's nodes.

use wavetank_api::{Time, Uid};
use wavetank_informer::intern::Pool;
use wavetank_informer::{Cached, Guards, Object};
use wavetank_scheduler::engine::{Engine, Event, Step};
use wavetank_scheduler::framework::{CycleState, Filter, Plugin, Status};
use wavetank_scheduler::node::Node;
use wavetank_scheduler::node_info::NodeInfo;
use wavetank_scheduler::pod::Pod;
use wavetank_scheduler::{DEFAULT_SCHEDULER_NAME, default_profile};

// ANCHOR: own_plugin
/// Filters by the label `team`, which pod and node must share.
struct OneTeam;

impl Plugin for OneTeam {
    fn name(&self) -> &'static str {
        "OneTeam"
    }

    fn as_filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for OneTeam {
    fn filter(&self, _: &CycleState, pod: &Pod, info: &NodeInfo) -> Status {
        let of_node = info.node.as_ref().and_then(|node| node.labels.get("team"));
        if pod.labels.get("team") == of_node {
            return Status::SUCCESS;
        }
        Status::unresolvable("node(s) belonged to another team")
    }
}
// ANCHOR_END: own_plugin

fn pod(team: &str) -> Event {
    let json = format!(
        r#"{{"metadata": {{"namespace": "default", "name": "{team}", "uid": "{team}",
            "labels": {{"team": "{team}"}}}},
            "spec": {{"schedulerName": "default-scheduler", "containers": [{{"image": "x"}}]}}}}"#
    );
    let object = Object::decode(json.as_bytes()).expect("a pod");
    Event::Pod(Pod::new(object, &mut Pool::default()).into())
}

fn node(team: &str) -> Event {
    let json = format!(
        r#"{{"metadata": {{"name": "{team}-1", "labels": {{"team": "{team}"}}}},
            "status": {{"allocatable": {{"cpu": "1", "memory": "1Gi", "pods": "10"}}}}}}"#
    );
    let object = Object::decode(json.as_bytes()).expect("a node");
    Event::Node(Node::new(&object).into())
}

#[test]
fn a_plugin_of_ones_own_filters_and_is_named_in_the_reason() {
    let now = Time::from_secs(1);
    let profile = default_profile(DEFAULT_SCHEDULER_NAME).with(Box::new(OneTeam), 0);
    let mut engine = Engine::new(vec![profile], 1, Guards::default());
    engine.observe(node("red"), now);
    engine.observe(pod("red"), now);
    engine.observe(pod("blue"), now);
    let mut steps: Vec<Step> = std::iter::from_fn(|| engine.cycle(now)).collect();
    steps.sort_by_key(|step| matches!(step, Step::Bind(_)));
    let [Step::Failed(failed), Step::Bind(binding)] = steps.as_slice() else {
        panic!("one pod is bound and one is not: {steps:?}");
    };
    assert_eq!(
        (&binding.uid, &*binding.node),
        (&Uid("red".into()), "red-1")
    );
    assert!(
        failed.message.starts_with(
            "0/1 nodes are available: 1 node(s) belonged to another team. preemption: "
        )
    );
    // A plugin without event hints is tried again whenever anything happens.
    engine.observe(node("blue"), now);
    assert_eq!(
        engine
            .queue()
            .pod(&Uid("blue".into()))
            .map(|queued| queued.attempts),
        Some(1)
    );
    assert!(
        engine.next_wake().is_some_and(|at| at.as_secs() == 2),
        "after one second of back-off"
    );
}
