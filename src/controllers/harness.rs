//! A cluster in a test: a small API server that lags, a manager, and virtual time.
//!
//! Used by the tests of this crate only. It stores objects as JSON, gives revisions, lists and
//! watches; watch events of a kind can be held back, answers can be lost. The rules of the real API
//! server (validation, defaulting, garbage collection) are not here.
//!
//! Book: `book/src/controllers/reconcile.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};
use wavetank_api::{KindId, Method, Request, Response, Revision, Time};
use wavetank_informer::client::{Client, DeleteOptions, Propagation};
use wavetank_informer::own_writes::ReadYourWrites;
use wavetank_informer::{CallId, Component, Failure, Guards, Input, Key, Note, Nothing, Output};

use crate::manager::{Config, Manager};

mod server;

pub(crate) use server::{Server, key_of};

/// One open watch.
struct Stream {
    kind: KindId,
    /// Everything up to here has been sent.
    sent: Revision,
}

/// The server, one manager, and what is between them.
pub(crate) struct Tank {
    pub(crate) server: Server,
    pub(crate) manager: Manager,
    pub(crate) now: Time,
    /// Kinds whose watch events do not arrive for now.
    pub(crate) held: BTreeSet<KindId>,
    /// Of the next requests that match, the answer is lost though the request takes effect.
    pub(crate) lose: Option<fn(&Request) -> bool>,
    /// The delete of this number, and all after it, stay on their way.
    pub(crate) late_from: Option<usize>,
    pub(crate) late: Vec<(CallId, Request)>,
    /// Every request that changed something or tried to: method, path.
    pub(crate) writes: Vec<(Method, String)>,
    /// How many objects were read past the caches.
    pub(crate) reads: usize,
    pub(crate) notes: Vec<Note>,
    streams: BTreeMap<CallId, Stream>,
    inbox: VecDeque<Input<Nothing>>,
    wake: Option<Time>,
}

impl Tank {
    pub(crate) fn new(guards: Guards) -> Self {
        Tank::running(&["replicaset-controller", "deployment-controller"], guards)
    }

    /// A tank with these controllers and no others.
    pub(crate) fn running(controllers: &'static [&'static str], guards: Guards) -> Self {
        Tank::start(controllers, guards, ReadYourWrites::Barrier)
    }

    /// A tank whose replica sets' controller reads its writes in this way.
    pub(crate) fn reading(how: ReadYourWrites, guards: Guards) -> Self {
        Tank::start(&["replicaset-controller"], guards, how)
    }

    fn start(
        controllers: &'static [&'static str],
        guards: Guards,
        read_your_writes: ReadYourWrites,
    ) -> Self {
        let config = Config {
            identity: "test".into(),
            seed: 1,
            leader_elect: false,
            guards,
            read_your_writes,
            root_ca: "".into(),
            only: Some(controllers),
        };
        let mut tank = Tank {
            server: Server::default(),
            manager: Manager::new(config),
            now: Time::parse("2026-01-01T00:00:00Z").unwrap(),
            held: BTreeSet::new(),
            lose: None,
            late_from: None,
            late: Vec::new(),
            writes: Vec::new(),
            reads: 0,
            notes: Vec::new(),
            streams: BTreeMap::new(),
            inbox: VecDeque::from([Input::Start]),
            wake: None,
        };
        tank.settle();
        tank
    }

    /// Puts an object there, as a user would.
    pub(crate) fn create(&mut self, kind: KindId, object: Value) -> Key {
        let name = object["metadata"]["name"].as_str().unwrap().to_string();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("");
        let key = Key::new(namespace, name);
        let namespace = key.namespace.clone();
        self.server.create(kind, &namespace, object, self.now);
        key
    }

    /// Changes an object, as a user or a kubelet would.
    pub(crate) fn edit(&mut self, kind: KindId, key: &Key, edit: impl FnOnce(&mut Value)) {
        let mut object = self.server.get(kind, key).unwrap().clone();
        edit(&mut object);
        self.server.put(kind, key, object);
    }

    /// Deletes an object, as a user would, with this propagation.
    pub(crate) fn delete(&mut self, kind: KindId, key: &Key, propagation: Propagation) {
        let options = DeleteOptions {
            propagation: Some(propagation),
            ..DeleteOptions::default()
        };
        let delete = Client::new("test", "test").delete(kind, key, &options);
        self.server.answer(&delete.request, self.now);
    }

    /// Lets messages run until nothing more happens at this time.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            self.deliver_events();
            let Some(input) = self.inbox.pop_front() else {
                return;
            };
            self.step(input);
        }
        panic!("it never comes to rest");
    }

    /// Hands one waiting message over; whether there was one.
    pub(crate) fn step_once(&mut self) -> bool {
        self.deliver_events();
        match self.inbox.pop_front() {
            Some(input) => {
                self.step(input);
                true
            }
            None => false,
        }
    }

    /// Lets time pass, waking the manager when it asked for it.
    pub(crate) fn pass(&mut self, by: Duration) {
        let until = self.now + by;
        self.settle();
        while let Some(at) = self.wake.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.wake = None;
            self.inbox.push_back(Input::Tick);
            self.settle();
        }
        self.now = until;
    }

    fn step(&mut self, input: Input<Nothing>) {
        let mut out = Vec::new();
        self.manager.handle(input, self.now, &mut out);
        for output in out {
            match output {
                Output::Call(call, request) if self.is_late(&request) => {
                    self.late.push((call, request));
                }
                Output::Call(call, request) => self.call(call, &request),
                Output::Watch(call, request) => {
                    let (kind, sent) = server::watched(&request);
                    self.streams.insert(call, Stream { kind, sent });
                    self.inbox.push_back(Input::Opened(call));
                }
                Output::Cancel(call) => {
                    self.streams.remove(&call);
                }
                Output::WakeAt(at) => self.wake = Some(at),
                Output::Note(note) => self.notes.push(note),
                Output::Effect(nothing) => match nothing {},
            }
        }
    }

    fn is_late(&mut self, request: &Request) -> bool {
        match &mut self.late_from {
            Some(left) if request.method == Method::Delete => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            _ => false,
        }
    }

    /// What was on its way arrives.
    pub(crate) fn arrive(&mut self) {
        self.late_from = None;
        for (call, request) in core::mem::take(&mut self.late) {
            self.call(call, &request);
        }
    }

    fn call(&mut self, call: CallId, request: &Request) {
        if request.method != Method::Get && !request.target.contains("/events") {
            self.writes.push((request.method, request.target.clone()));
        }
        let is_one = !server::key_in(request).name.is_empty();
        self.reads += usize::from(request.method == Method::Get && is_one);
        let response = self.server.answer(request, self.now);
        let lost = self.lose.is_some_and(|lose| lose(request));
        self.inbox.push_back(match lost {
            true => Input::Failed(call, Failure::TimedOut),
            false => Input::Response(call, response),
        });
    }

    /// Sends to each stream whose kind is not held what it has not had yet.
    fn deliver_events(&mut self) {
        for (call, stream) in &mut self.streams {
            if self.held.contains(&stream.kind) {
                continue;
            }
            let lines = self.server.events(stream.kind, stream.sent);
            stream.sent = self.server.revision();
            if !lines.is_empty() {
                self.inbox.push_back(Input::Frame(*call, lines.into()));
            }
        }
    }

    /// Tells every stream that is not held how far the server is.
    pub(crate) fn bookmark(&mut self) {
        self.deliver_events();
        let revision = self.server.revision().to_string();
        let object = json!({"metadata": {"resourceVersion": revision}});
        let line = json!({"type": "BOOKMARK", "object": object}).to_string() + "\n";
        let open = self.streams.iter();
        let told = open.filter(|(_, stream)| !self.held.contains(&stream.kind));
        let frames = told.map(|(call, _)| Input::Frame(*call, line.clone().into()));
        self.inbox.extend(frames);
    }

    /// Active pods on the server.
    pub(crate) fn active_pods(&self) -> Vec<&Value> {
        let pods = self.server.list(KindId::Pod);
        let active = |pod: &&Value| {
            let phase = pod["status"]["phase"].as_str().unwrap_or("");
            pod["metadata"]["deletionTimestamp"].is_null()
                && !matches!(phase, "Succeeded" | "Failed")
        };
        pods.filter(active).collect()
    }

    /// Plays kubelet: every active pod becomes ready on node `n1`, terminating ones go.
    pub(crate) fn run_pods(&mut self) {
        let now = self.now.to_rfc3339();
        let pods: Vec<Value> = self.server.list(KindId::Pod).cloned().collect();
        for mut pod in pods {
            let key = server::key_of(&pod);
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                self.server.remove(KindId::Pod, &key);
            } else if pod["status"]["phase"].is_null() {
                pod["spec"]["nodeName"] = json!("n1");
                pod["status"] = json!({"phase": "Running", "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": now},
                ]});
                self.server.put(KindId::Pod, &key, pod);
            }
        }
    }

    /// Settles, plays kubelet and lets a second pass until nothing changes any more.
    pub(crate) fn converge(&mut self) {
        for _ in 0..200 {
            let before = self.server.revision();
            self.run_pods();
            self.pass(Duration::from_secs(1));
            if self.server.revision() == before {
                return;
            }
        }
        panic!("it never converges");
    }

    /// Messages of events with this reason, in the order of their creation.
    pub(crate) fn events(&self, reason: &str) -> Vec<String> {
        let mut events: Vec<&Value> = self.server.list(KindId::Event).collect();
        events.retain(|event| event["reason"] == reason);
        events.sort_by_key(|event| server::revision_of(event));
        let message = |event: &&Value| event["message"].as_str().unwrap().to_string();
        events.iter().map(message).collect()
    }
}

/// A response with a Status of this code and reason.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "code": code, "message": message,
    });
    Response::new(code, "application/json", status.to_string())
}
