//! The rig: one kubelet, one runtime, an API server that knows pods, one node and one lease.
//!
//! Book: `book/src/simulator/runtime.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use wavetank_api::{Method, Request, Response, Time, Uid};
use wavetank_informer::{CallId, Component, Failure, Input, Output};
use wavetank_kubelet::{Config, Kubelet, Outcome};

use crate::runtime::{NodeConfig, SimRuntime};

/// Where a request and an answer are on the way, each.
const LATENCY: Duration = Duration::from_millis(1);

/// What the API server holds.
#[derive(Default)]
pub struct Api {
    pub pods: BTreeMap<String, Value>,
    pub node: Option<Value>,
    pub lease: Option<Value>,
    /// ConfigMaps and Secrets by `configmaps/name`; put there by [`Rig::put_source`].
    pub sources: BTreeMap<String, Value>,
    /// Open watches of one of them each.
    source_watches: BTreeMap<CallId, String>,
    pub renewals: usize,
    pub events: Vec<(String, String, String)>,
    /// Every status of every pod, in order: pod UID and status.
    pub statuses: Vec<(String, Value)>,
    /// UIDs in the order of their final deletes.
    pub deleted: Vec<String>,
    pub status_patches: usize,
    revision: u64,
    watch: Option<CallId>,
    frames: Vec<Value>,
    /// Watch events wait until it is false again.
    pub is_held: bool,
}

pub struct Rig {
    pub now: Time,
    pub api: Api,
    pub kubelet: Kubelet,
    pub runtime: SimRuntime,
    config: Config,
    inputs: BTreeMap<(Time, u64), (u64, Input<Outcome>)>,
    sequence: u64,
    wake: Option<Time>,
    /// Grows with each restart of the kubelet: what is meant for an earlier life is dropped.
    life: u64,
    /// Every delete that was asked for, by UID: when, and the grace period; 0 for a forced one.
    pub deletes: BTreeMap<String, (Time, u64)>,
    /// Pods whose sandbox a fault has stopped, and all that ran in it.
    pub broken: BTreeSet<Uid>,
    /// The runtime's events do not reach the kubelet.
    pub are_events_lost: bool,
    /// Checked after every step.
    pub check: fn(&Rig),
}

/// The spec of a pod of one container.
pub fn nginx() -> Value {
    json!({"containers": [{"name": "web", "image": "nginx:1.25"}]})
}

/// No further metadata.
pub fn none() -> Value {
    json!({})
}

pub fn config() -> Config {
    Config::new("n1", "192.168.0.11", "10.244.1.0/24")
}

impl Rig {
    pub fn new(seed: u64) -> Self {
        Rig::with(config(), seed)
    }

    pub fn with(config: Config, seed: u64) -> Self {
        let node = NodeConfig {
            name: "n1".into(),
            pod_cidr: ([10, 244, 1, 0].into(), 24),
            seed,
        };
        let mut rig = Rig {
            now: Time::from_secs(1_700_000_000),
            api: Api::default(),
            kubelet: Kubelet::new(config.clone()),
            runtime: SimRuntime::new(node),
            config,
            inputs: BTreeMap::new(),
            sequence: 0,
            wake: None,
            life: 0,
            deletes: BTreeMap::new(),
            broken: BTreeSet::new(),
            are_events_lost: false,
            check: |_| {},
        };
        rig.input(Input::Start);
        rig
    }

    /// The kubelet is killed and started anew; the runtime goes on.
    pub fn restart_kubelet(&mut self) {
        self.life += 1;
        self.runtime.hang_up();
        self.kubelet = Kubelet::new(self.config.clone());
        self.api.watch = None;
        self.api.source_watches.clear();
        self.wake = None;
        self.input(Input::Start);
    }

    /// The runtime loses all it knew, as after its data directory was wiped.
    pub fn forget_containers(&mut self) {
        let pod_cidr = ([10, 244, 1, 0].into(), 24);
        self.runtime = SimRuntime::new(NodeConfig {
            name: "n1".into(),
            pod_cidr,
            seed: 99,
        });
    }

    fn later(&mut self, after: Duration, input: Input<Outcome>) {
        self.sequence += 1;
        let key = (self.now + after, self.sequence);
        self.inputs.insert(key, (self.life, input));
    }

    fn input(&mut self, input: Input<Outcome>) {
        let mut out = Vec::new();
        self.kubelet.handle(input, self.now, &mut out);
        for output in out {
            match output {
                Output::Call(id, request) => self.call(id, &request),
                Output::Watch(id, request) => {
                    match source_of(&request) {
                        Some(source) => drop(self.api.source_watches.insert(id, source)),
                        None => self.api.watch = Some(id),
                    }
                    self.later(LATENCY, Input::Opened(id));
                }
                Output::Cancel(id) => drop(self.api.source_watches.remove(&id)),
                Output::WakeAt(at) => self.wake = Some(at),
                Output::Effect(effect) => self.runtime.effect(effect, self.now),
                Output::Note(_) => {}
            }
        }
        self.send_frames();
        (self.check)(self);
    }

    fn call(&mut self, id: CallId, request: &Request) {
        match self.api.handle(request, self.now) {
            Some(response) => self.later(LATENCY * 2, Input::Response(id, response)),
            None => self.later(LATENCY * 2, Input::Failed(id, Failure::Unreachable)),
        }
    }

    fn send_frames(&mut self) {
        let Some(watch) = self.api.watch.filter(|_| !self.api.is_held) else {
            return;
        };
        for frame in std::mem::take(&mut self.api.frames) {
            self.later(LATENCY, Input::Frame(watch, frame.to_string().into()));
        }
    }

    /// Lets everything happen up to a time from now.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.send_frames();
        let mut at_once = 0;
        loop {
            let next = self.inputs.keys().next().map(|(at, _)| *at);
            let times = [next, self.wake, self.runtime.due()];
            let Some(at) = times.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            at_once = if at > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 1000, "no end of things to do at {at:?}");
            self.now = self.now.max(at);
            if next == Some(at) {
                let (_, (life, input)) = self.inputs.pop_first().unwrap();
                if life == self.life {
                    self.input(input);
                }
            } else if self.wake == Some(at) {
                self.wake = None;
                self.input(Input::Tick);
            } else {
                for outcome in self.runtime.poll(self.now) {
                    if self.are_events_lost && matches!(outcome, Outcome::Event(_)) {
                        continue;
                    }
                    self.input(Input::Outcome(outcome));
                }
            }
        }
        self.now = end;
    }

    pub fn run_secs(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// Creates a pod bound to this node; its UID is `uid-<name>` unless set.
    pub fn create(&mut self, name: &str, mut spec: Value, annotations: Value) {
        spec["nodeName"] = json!("n1");
        if spec["restartPolicy"].is_null() {
            spec["restartPolicy"] = json!("Always");
        }
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": format!("uid-{name}-{}", self.api.revision),
                "annotations": annotations,
            },
            "spec": spec,
            "status": {"phase": "Pending"},
        });
        self.api.put("ADDED", name, pod);
        self.send_frames();
    }

    /// Changes a pod's object, as a user does.
    pub fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut pod = self.api.pods[name].clone();
        edit(&mut pod);
        self.api.put("MODIFIED", name, pod);
        self.send_frames();
    }

    /// Asks for a delete with a grace period, as the API server does for a bound pod.
    pub fn delete(&mut self, name: &str, grace: u64) {
        let Some(mut pod) = self.api.pods.get(name).cloned() else {
            return;
        };
        let uid = self.uid(name).0.to_string();
        match self.deletes.get(&uid) {
            Some(_) if grace > 0 => return,
            _ => self.deletes.insert(uid, (self.now, grace)),
        };
        pod["metadata"]["deletionTimestamp"] = json!(self.now + Duration::from_secs(grace));
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        if grace == 0 {
            self.api.remove(name, pod);
        } else {
            self.api.put("MODIFIED", name, pod);
        }
        self.send_frames();
    }

    /// Creates or changes a ConfigMap (`configmaps/name`) or Secret (`secrets/name`).
    pub fn put_source(&mut self, source: &str, data: Value) {
        self.api.revision += 1;
        let name = source.split('/').nth(1).unwrap();
        let object = json!({"data": data, "metadata": {
            "name": name, "namespace": "default", "uid": source,
            "resourceVersion": self.api.revision.to_string(),
        }});
        let kind = match self.api.sources.insert(source.into(), object.clone()) {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        self.tell_of_source(source, kind, &object);
    }

    /// Deletes one.
    pub fn drop_source(&mut self, source: &str) {
        self.api.revision += 1;
        let mut object = self.api.sources.remove(source).unwrap();
        object["metadata"]["resourceVersion"] = json!(self.api.revision.to_string());
        self.tell_of_source(source, "DELETED", &object);
    }

    fn tell_of_source(&mut self, source: &str, kind: &str, object: &Value) {
        let frame = json!({"type": kind, "object": object}).to_string();
        let watches = self.api.source_watches.clone();
        for (watch, _) in watches.iter().filter(|(_, of)| *of == source) {
            self.later(LATENCY, Input::Frame(*watch, frame.clone().into()));
        }
    }

    /// The sources that are watched, in order.
    pub fn watched(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.api.source_watches.values().map(|s| &**s).collect();
        all.sort_unstable();
        all
    }

    /// The environment of the latest instance of a container, as its runtime was told.
    pub fn envs(&self, pod: &str, container: &str) -> BTreeMap<String, String> {
        let id = self.runtime.find(&self.uid(pod), container, false).unwrap();
        let envs = self.runtime.instance(&id).unwrap().config.envs.iter();
        envs.map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    pub fn status(&self, name: &str) -> &Value {
        &self.api.pods[name]["status"]
    }

    pub fn phase(&self, name: &str) -> &str {
        self.status(name)["phase"].as_str().unwrap()
    }

    pub fn condition(&self, name: &str, condition: &str) -> &str {
        let all = self.status(name)["conditions"].as_array();
        let found = all.and_then(|all| all.iter().find(|c| c["type"] == condition));
        found.map_or("absent", |c| c["status"].as_str().unwrap())
    }

    pub fn uid(&self, name: &str) -> Uid {
        Uid(self.api.pods[name]["metadata"]["uid"]
            .as_str()
            .unwrap()
            .into())
    }

    pub fn running(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .runtime
            .running()
            .map(|(_, name, _)| name.into())
            .collect();
        names.sort();
        names
    }

    pub fn events(&self, reason: &str) -> Vec<&str> {
        let such = self.api.events.iter().filter(|(r, ..)| r == reason);
        such.map(|(_, message, _)| &**message).collect()
    }
}

impl Api {
    fn put(&mut self, kind: &str, name: &str, mut pod: Value) {
        self.revision += 1;
        pod["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.pods.insert(name.into(), pod.clone());
        self.frames.push(json!({"type": kind, "object": pod}));
    }

    fn remove(&mut self, name: &str, mut pod: Value) {
        self.revision += 1;
        pod["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.pods.remove(name);
        self.frames.push(json!({"type": "DELETED", "object": pod}));
    }

    fn handle(&mut self, request: &Request, now: Time) -> Option<Response> {
        let path = request.target.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        Some(match (request.method, &parts[..]) {
            (Method::Get, ["api", "v1", "namespaces", ..]) if source_of(request).is_some() => {
                let source = self.sources.get(&source_of(request)?);
                let items: Vec<&Value> = source.into_iter().collect();
                let revision = self.revision.to_string();
                ok(&json!({"metadata": {"resourceVersion": revision}, "items": items}))
            }
            (Method::Get, ["api", "v1", "pods"]) => {
                self.frames.clear();
                let items: Vec<&Value> = self.pods.values().collect();
                let revision = self.revision.to_string();
                ok(&json!({"metadata": {"resourceVersion": revision}, "items": items}))
            }
            (Method::Post, ["api", "v1", "nodes"]) if self.node.is_some() => {
                refused(409, "AlreadyExists")
            }
            (Method::Post, ["api", "v1", "nodes"]) => ok(self.node.insert(with_uid(body, "node"))),
            (Method::Get, ["api", "v1", "nodes", _]) => ok(self.node.as_ref()?),
            (Method::Patch, ["api", "v1", "nodes", _, rest @ ..]) => {
                let node = self.node.as_mut()?;
                if rest == ["status"] {
                    node["status"] = body["status"].clone();
                }
                ok(node)
            }
            (_, ["apis", "coordination.k8s.io", ..]) => self.lease(request.method, body),
            (Method::Post, [.., "events"]) => {
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
                let about = body["involvedObject"]["name"].as_str().unwrap_or_default();
                self.events
                    .push((text("reason"), text("message"), about.into()));
                ok(&body)
            }
            (Method::Patch, [.., "events", _]) => ok(&body), // counted up
            (Method::Patch, [.., "pods", name, "status"]) => self.patch_status(name, &body),
            (Method::Delete, [.., "pods", name]) => self.delete(name, &body, now),
            _ => refused(404, "NotFound"),
        })
    }

    fn lease(&mut self, method: Method, body: Value) -> Response {
        match (method, &self.lease) {
            (Method::Get, Some(lease)) => ok(lease),
            (Method::Get, None) => refused(404, "NotFound"),
            _ => {
                self.renewals += 1;
                ok(self.lease.insert(with_uid(body, "lease")))
            }
        }
    }

    fn patch_status(&mut self, name: &str, body: &Value) -> Response {
        self.status_patches += 1;
        let Some(pod) = self.pods.get(name) else {
            return refused(404, "NotFound");
        };
        let uid = body["metadata"]["uid"].as_str();
        if uid.is_some_and(|uid| pod["metadata"]["uid"] != uid) {
            return refused(409, "Conflict");
        }
        let mut pod = pod.clone();
        for (field, value) in body["status"].as_object().unwrap() {
            match value.is_null() {
                true => pod["status"].as_object_mut().unwrap().remove(field),
                false => pod["status"]
                    .as_object_mut()
                    .unwrap()
                    .insert(field.clone(), value.clone()),
            };
        }
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_string();
        self.statuses.push((uid, pod["status"].clone()));
        self.put("MODIFIED", name, pod);
        ok(&self.pods[name])
    }

    fn delete(&mut self, name: &str, body: &Value, _: Time) -> Response {
        let Some(pod) = self.pods.get(name).cloned() else {
            return refused(404, "NotFound");
        };
        let uid = body["preconditions"]["uid"].as_str();
        if uid.is_some_and(|uid| pod["metadata"]["uid"] != uid) {
            return refused(409, "Conflict");
        }
        assert_eq!(body["gracePeriodSeconds"], 0);
        self.deleted
            .push(pod["metadata"]["uid"].as_str().unwrap().into());
        self.remove(name, pod.clone());
        ok(&pod)
    }
}

/// `configmaps/name` of a list or watch that is about one ConfigMap or Secret.
fn source_of(request: &Request) -> Option<String> {
    let (path, query) = request.target.split_once('?')?;
    let plural = path
        .rsplit('/')
        .next()
        .filter(|p| ["configmaps", "secrets"].contains(p))?;
    let name = query
        .split('&')
        .find_map(|p| p.strip_prefix("fieldSelector=metadata.name%3D"))?;
    Some(format!("{plural}/{name}"))
}

fn with_uid(mut body: Value, uid: &str) -> Value {
    body["metadata"]["uid"] = json!(uid);
    body["metadata"]["resourceVersion"] = json!("1");
    body
}

fn ok(body: &Value) -> Response {
    Response::new(200, "application/json", body.to_string())
}

fn refused(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "reason": reason, "code": code, "message": reason});
    Response::new(code, "application/json", body.to_string())
}
