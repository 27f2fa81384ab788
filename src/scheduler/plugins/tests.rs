//! What each plugin says of one pod and one node, as upstream's documentation has it.
//!
//! Book: `book/src/scheduler/framework.md`.

use wavetank_api::Time;
use wavetank_informer::intern::Pool;
use wavetank_informer::{Cached, Guards, Object};

use super::*;
use crate::engine::{Engine, Event, Step};
use crate::node::Node;
use crate::pod::Pod;

const NOW: Time = Time::from_secs(1);

fn node(name: &str, rest: &str) -> Event {
    let json = format!(
        r#"{{"metadata": {{"name": "{name}", "labels": {{"kubernetes.io/hostname": "{name}"}}}},
            "spec": {{ {rest} }},
            "status": {{"allocatable": {{"cpu": "2", "memory": "4Gi", "pods": "3",
                                         "example.com/gpu": "1"}}}}}}"#
    );
    let object = Object::decode(json.as_bytes()).expect("a node");
    Event::Node(Node::new(&object).into())
}

fn pod(name: &str, spec: &str) -> Event {
    let json = format!(
        r#"{{"metadata": {{"namespace": "default", "name": "{name}", "uid": "{name}"}},
            "spec": {{"schedulerName": "default-scheduler", {spec} }}}}"#
    );
    let object = Object::decode(json.as_bytes()).expect("a pod");
    Event::Pod(Pod::new(object, &mut Pool::default()).into())
}

fn asks(requests: &str) -> String {
    format!(r#""containers": [{{"image": "x", "resources": {{"requests": {{ {requests} }}}}}}]"#)
}

/// The node a pod goes to, or the reasons before `. preemption:`.
fn decide(events: Vec<Event>) -> String {
    let profile = default_profile(DEFAULT_SCHEDULER_NAME);
    let mut engine = Engine::new(vec![profile], 1, Guards::default());
    for event in events {
        engine.observe(event, NOW);
    }
    match engine.cycle(NOW) {
        Some(Step::Bind(binding)) => binding.node.to_string(),
        Some(Step::Failed(failed)) => {
            let reasons = failed
                .message
                .split(". preemption: ")
                .next()
                .unwrap_or_default();
            reasons
                .trim_start_matches("0/1 nodes are available: ")
                .to_owned()
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn refusals_are_in_kube_schedulers_words() {
    let free = "";
    let cordoned = r#""unschedulable": true"#;
    let tainted = r#""taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]"#;
    let tolerates = r#", "tolerations": [{"key": "dedicated", "operator": "Exists"}]"#;
    let selects = |label: &str| {
        format!(
            r#"{}, "nodeSelector": {{"kubernetes.io/hostname": "{label}"}}"#,
            asks("")
        )
    };
    let named = |name: &str| {
        format!(
            r#"{}, "affinity": {{"nodeAffinity": {{
                "requiredDuringSchedulingIgnoredDuringExecution": {{"nodeSelectorTerms": [
                    {{"matchFields": [{{"key": "metadata.name", "operator": "In",
                                        "values": ["{name}"]}}]}}]}}}}}}"#,
            asks("")
        )
    };
    let rows = [
        (free, asks(r#""cpu": "1""#), "n1"),
        (free, asks(r#""cpu": "3""#), "1 Insufficient cpu"),
        (
            free,
            asks(r#""cpu": "3", "memory": "5Gi""#),
            "1 Insufficient cpu, 1 Insufficient memory",
        ),
        (
            free,
            asks(r#""example.com/gpu": "2""#),
            "1 Insufficient example.com/gpu",
        ),
        (cordoned, asks(""), "1 node(s) were unschedulable"),
        (
            tainted,
            asks(""),
            "1 node(s) had untolerated taint {dedicated: db}",
        ),
        (tainted, asks("") + tolerates, "n1"),
        (free, selects("n1"), "n1"),
        (
            free,
            selects("n2"),
            "1 node(s) didn't match Pod's node affinity/selector",
        ),
        (free, named("n1"), "n1"),
        (
            free,
            named("n2"),
            "1 node(s) didn't satisfy plugin(s) [NodeAffinity]",
        ),
    ];
    for (of_node, of_pod, expected) in rows {
        assert_eq!(
            decide(vec![node("n1", of_node), pod("p", &of_pod)]),
            expected,
            "{of_pod}"
        );
    }
}

#[test]
fn what_is_on_the_node_counts() {
    let there = |name: &str, rest: &str| pod(name, &format!(r#""nodeName": "n1", {rest}"#));
    let port = r#""containers": [{"image": "x", "ports": [{"hostPort": 80}]}]"#;
    let rows = [
        (
            vec![there("a", &asks(r#""cpu": "1500m""#))],
            asks(r#""cpu": "1""#),
            "1 Insufficient cpu",
        ),
        (
            vec![
                there("a", &asks("")),
                there("b", &asks("")),
                there("c", &asks("")),
            ],
            asks(""),
            "1 Too many pods",
        ),
        (
            vec![there("a", port)],
            port.to_owned(),
            "1 node(s) didn't have free ports for the requested pod ports",
        ),
    ];
    for (bound, of_pod, expected) in rows {
        let mut events = vec![node("n1", "")];
        events.extend(bound);
        events.push(pod("p", &of_pod));
        assert_eq!(decide(events), expected);
    }
}

#[test]
fn scores_choose_the_better_node() {
    let prefers_n2 = format!(
        r#"{}, "affinity": {{"nodeAffinity": {{
            "preferredDuringSchedulingIgnoredDuringExecution": [{{"weight": 1, "preference":
                {{"matchExpressions": [{{"key": "kubernetes.io/hostname", "operator": "In",
                                        "values": ["n2"]}}]}}}}]}}}}"#,
        asks("")
    );
    let avoided = r#""taints": [{"key": "slow", "effect": "PreferNoSchedule"}]"#;
    let busy = pod(
        "busy",
        &format!(r#""nodeName": "n1", {}"#, asks(r#""cpu": "1""#)),
    );
    let rows = [
        (vec![node("n1", ""), node("n2", "")], prefers_n2),
        (vec![node("n1", avoided), node("n2", "")], asks("")),
        (
            vec![node("n1", ""), node("n2", ""), busy],
            asks(r#""cpu": "500m""#),
        ),
    ];
    for (mut events, of_pod) in rows {
        events.push(pod("p", &of_pod));
        assert_eq!(decide(events), "n2", "{of_pod}");
    }
}

#[test]
fn preemption_says_why_it_does_not_help() {
    let low = pod(
        "low",
        &format!(r#""nodeName": "n1", {}"#, asks(r#""cpu": "2""#)),
    );
    let wants = asks(r#""cpu": "1""#);
    let rows = [
        (
            wants.clone(),
            "0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        ),
        (
            asks(r#""cpu": "3""#),
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        ),
        (
            wants.clone() + r#", "preemptionPolicy": "Never""#,
            "not eligible due to preemptionPolicy=Never.",
        ),
        (
            wants + r#", "priority": 7"#,
            "not supported yet; it would help on 1/1 nodes.",
        ),
    ];
    for (of_pod, expected) in rows {
        let profile = default_profile(DEFAULT_SCHEDULER_NAME);
        let mut engine = Engine::new(vec![profile], 1, Guards::default());
        for event in [node("n1", ""), low.clone(), pod("p", &of_pod)] {
            engine.observe(event, NOW);
        }
        let Some(Step::Failed(failed)) = engine.cycle(NOW) else {
            panic!("no node fits")
        };
        assert_eq!(failed.message.split(" preemption: ").nth(1), Some(expected));
    }
}
