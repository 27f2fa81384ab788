//! The scheduler as a shell drives it: requests out, answers in, one at a time by hand.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use wavetank_api::{Method, Request, Response, Time};
use wavetank_informer::{CallId, Component, Failure, Guard, Guards, Input, Output};
use wavetank_scheduler::{Config, Scheduler};

/// Answers lists and watches by itself and keeps everything else for the test.
struct Shell {
    scheduler: Scheduler,
    now: Time,
    nodes: Vec<Value>,
    pods: Vec<Value>,
    pod_watch: Option<CallId>,
    wake: Option<Time>,
    open: VecDeque<(CallId, Request)>,
}

impl Shell {
    fn start(config: Config, nodes: Vec<Value>, pods: Vec<Value>) -> Shell {
        let mut shell = Shell {
            scheduler: Scheduler::new(config),
            now: Time::from_secs(1_000_000),
            nodes,
            pods,
            pod_watch: None,
            wake: None,
            open: VecDeque::new(),
        };
        shell.give(Input::Start);
        shell
    }

    fn give(&mut self, input: Input<wavetank_informer::Nothing>) {
        let mut out = Vec::new();
        self.scheduler.handle(input, self.now, &mut out);
        for output in out {
            match output {
                Output::Watch(call, request) => {
                    if request.target.starts_with("/api/v1/pods") {
                        self.pod_watch = Some(call);
                    }
                    self.give(Input::Opened(call));
                }
                Output::Call(call, request) if is_list(&request) => {
                    let is_nodes = request.target.starts_with("/api/v1/nodes");
                    let items = if is_nodes { &self.nodes } else { &self.pods };
                    let list = json!({"metadata": {"resourceVersion": "10"}, "items": items});
                    self.give(Input::Response(call, ok(&list)));
                }
                Output::Call(call, request) if request.target.contains("/events") => {
                    self.give(Input::Response(call, ok(&json!({}))));
                }
                Output::Call(call, request) => self.open.push_back((call, request)),
                Output::WakeAt(time) => self.wake = Some(time),
                Output::Note(_) | Output::Cancel(_) => {}
                Output::Effect(never) => match never {},
            }
        }
    }

    fn next(&mut self) -> (CallId, Request) {
        self.open.pop_front().expect("a request is open")
    }

    fn answer(&mut self, call: CallId, code: u16, body: Value) {
        let response = Response::new(code, "application/json", body.to_string());
        self.give(Input::Response(call, response));
    }

    fn wait(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(wake) = self.wake.take_if(|wake| *wake <= until) {
            self.now = wake;
            self.give(Input::Tick);
        }
        self.now = until;
    }

    fn watch_pod(&mut self, kind: &str, pod: Value) {
        let line = json!({"type": kind, "object": pod}).to_string() + "\n";
        self.give(Input::Frame(
            self.pod_watch.expect("pods are watched"),
            line.into(),
        ));
    }
}

fn is_list(request: &Request) -> bool {
    let path = request.target.split('?').next().unwrap_or_default();
    request.method == Method::Get && matches!(path, "/api/v1/pods" | "/api/v1/nodes")
}

fn ok(body: &Value) -> Response {
    Response::new(200, "application/json", body.to_string())
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("a JSON body")
}

fn node(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "uid": format!("n-{name}"), "resourceVersion": "1"},
        "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "110"}},
    })
}

fn pod(name: &str, cpu: &str, revision: u64) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": name, "uid": format!("u-{name}"),
                     "resourceVersion": revision.to_string()},
        "spec": {"schedulerName": "default-scheduler",
                 "containers": [{"image": "web", "resources": {"requests": {"cpu": cpu}}}]},
    })
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "code": code, "reason": reason, "message": reason})
}

#[test]
fn a_pod_is_bound_by_uid_to_the_node_that_has_room() {
    let nodes = vec![node("small", "100m"), node("large", "4")];
    let mut shell = Shell::start(Config::new("a", 1), nodes, vec![pod("web", "1", 5)]);
    let (call, request) = shell.next();
    assert_eq!(
        request.target,
        "/api/v1/namespaces/default/pods/web/binding"
    );
    assert_eq!(body(&request)["target"]["name"], "large");
    assert_eq!(body(&request)["metadata"]["uid"], "u-web");
    shell.answer(call, 201, json!({}));
    assert!(shell.open.is_empty());
    assert_eq!(shell.scheduler.engine().queue().len(), 0);
}

#[test]
fn a_pod_that_fits_nowhere_is_told_why_once() {
    let mut shell = Shell::start(
        Config::new("a", 1),
        vec![node("n1", "1")],
        vec![pod("web", "2", 5)],
    );
    let (call, request) = shell.next();
    assert_eq!(request.target, "/api/v1/namespaces/default/pods/web/status");
    let condition = &body(&request)["status"]["conditions"][0];
    assert_eq!(condition["reason"], "Unschedulable");
    assert_eq!(
        condition["message"],
        "0/1 nodes are available: 1 Insufficient cpu. preemption: \
         0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    );
    shell.answer(call, 200, json!({}));
    shell.wait(Duration::from_secs(3600));
    assert!(
        shell.open.is_empty(),
        "the same message is not written again"
    );
}

#[test]
fn a_lost_answer_keeps_the_room_taken_until_a_read_shows_the_outcome() {
    let pods = vec![pod("a", "1", 5), pod("b", "1", 6)];
    let mut shell = Shell::start(Config::new("a", 1), vec![node("n1", "1")], pods);
    let (lost, _) = shell.next();
    let (condition, _) = shell.next();
    shell.answer(condition, 200, json!({}));
    shell.give(Input::Failed(lost, Failure::TimedOut));
    shell.wait(Duration::from_millis(500));
    assert!(shell.open.is_empty(), "b must not get the room");
    shell.wait(Duration::from_secs(1));
    let (read, request) = shell.next();
    assert_eq!(
        (request.method, request.target.as_str()),
        (Method::Get, "/api/v1/namespaces/default/pods/a")
    );
    // Not bound yet: the lost request may still arrive, so the same binding is sent again.
    shell.answer(read, 200, pod("a", "1", 5));
    let (again, request) = shell.next();
    assert_eq!(request.target, "/api/v1/namespaces/default/pods/a/binding");
    // It had arrived after all.
    shell.answer(again, 409, status(409, "Conflict"));
    shell.wait(Duration::from_secs(2));
    let (read, _) = shell.next();
    let mut bound = pod("a", "1", 7);
    bound["spec"]["nodeName"] = json!("n1");
    shell.answer(read, 200, bound.clone());
    shell.watch_pod("MODIFIED", bound);
    assert_eq!(shell.scheduler.engine().binds_in_flight(), 0);
    assert_eq!(shell.scheduler.engine().queue().len(), 1);
}

#[test]
fn without_m43_a_lost_answer_gives_the_room_away() {
    let pods = vec![pod("a", "1", 5), pod("b", "1", 6)];
    let guards = Guards::without(&[Guard::M43]);
    let config = Config {
        guards,
        ..Config::new("a", 1)
    };
    let mut shell = Shell::start(config, vec![node("n1", "1")], pods);
    let (lost, _) = shell.next();
    shell.next();
    shell.wait(Duration::from_secs(5));
    shell.give(Input::Failed(lost, Failure::TimedOut));
    let binds = shell
        .open
        .iter()
        .filter(|(_, request)| request.target.ends_with("/b/binding"));
    assert_eq!(binds.count(), 1);
}

/// M45: while the Binding is on its way the pod is deleted and another made under its name, which
/// wants four times what the node has.
#[test]
fn a_binding_lands_on_the_pod_it_was_decided_on() {
    for (guards, lands) in [
        (Guards::default(), false),
        (Guards::without(&[Guard::M45]), true),
    ] {
        let config = Config {
            guards,
            ..Config::new("a", 1)
        };
        let pods = vec![pod("web", "1", 5)];
        let mut shell = Shell::start(config, vec![node("n1", "1")], pods);
        let (_, binding) = shell.next();
        let mut again = pod("web", "4", 7);
        again["metadata"]["uid"] = json!("another");
        // The server compares the UIDs when the Binding has one.
        let uid = &body(&binding)["metadata"]["uid"];
        let fits = matches!(uid.as_str(), None | Some("")) || *uid == again["metadata"]["uid"];
        assert_eq!(fits, lands);
    }
}

#[test]
fn a_refused_binding_frees_the_room_and_tries_again_after_back_off() {
    let mut shell = Shell::start(
        Config::new("a", 1),
        vec![node("n1", "1")],
        vec![pod("a", "1", 5)],
    );
    let (call, _) = shell.next();
    shell.answer(call, 403, status(403, "Forbidden"));
    let (condition, request) = shell.next();
    assert_eq!(
        body(&request)["status"]["conditions"][0]["reason"],
        "SchedulerError"
    );
    shell.answer(condition, 200, json!({}));
    shell.wait(Duration::from_secs(2));
    let (_, request) = shell.next();
    assert!(request.target.ends_with("/a/binding"));
}

#[test]
fn only_the_leader_binds() {
    let config = Config {
        elects_leader: true,
        ..Config::new("a", 1)
    };
    let mut shell = Shell::start(config, vec![node("n1", "1")], vec![pod("a", "1", 5)]);
    let (call, request) = shell.next();
    assert!(request.target.ends_with("/leases/kube-scheduler"));
    assert!(shell.open.is_empty());
    shell.answer(call, 404, status(404, "NotFound"));
    let (call, request) = shell.next();
    assert_eq!(request.method, Method::Post);
    let mut lease = body(&request);
    lease["metadata"]["resourceVersion"] = json!("12");
    shell.answer(call, 201, lease);
    let (_, request) = shell.next();
    assert!(request.target.ends_with("/a/binding"));
}

#[test]
fn a_scheduler_can_be_given_to_a_thread() {
    fn sendable<T: Send>() {}
    sendable::<Scheduler>();
}
