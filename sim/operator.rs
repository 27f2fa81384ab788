//! The person at the keyboard: carries out a scenario's steps, and remembers what was refused.
//!
//! Book: `book/src/simulator/scenarios.md`.

use std::collections::BTreeMap;

use bytes::Bytes;
use wavetank_api::json::Value;

use wavetank_api::http::Peer;
use wavetank_api::{Method, Request};
use wavetank_informer::CallId;

use crate::network::ProcessId;
use crate::process::News;
use crate::scenario::{ObjectName, Step, collection_path, manifest_kind, server_number};
use crate::server::Origin;
use crate::trace::{EventId, Mark, What};
use crate::world::{Event, World};

/// What the operator has asked for and not heard of yet, and what went wrong.
pub(crate) struct Operator {
    pub(crate) steps: Vec<Step>,
    next_call: u64,
    waiting: BTreeMap<CallId, String>,
    /// `step 2: POST /api/v1/namespaces: 422 …`
    pub(crate) refusals: Vec<String>,
}

impl Operator {
    /// The operator's place among the processes: none of them.
    pub(crate) const PROCESS: ProcessId = ProcessId(u32::MAX);

    pub(crate) fn new(steps: Vec<Step>) -> Self {
        Operator {
            steps,
            next_call: 0,
            waiting: BTreeMap::new(),
            refusals: Vec::new(),
        }
    }
}

/// The requests of a step.
fn requests(step: &Step) -> Vec<Request> {
    let mut all = Vec::new();
    for object in &step.create {
        let Ok(kind) = manifest_kind(object) else {
            continue;
        };
        let named = object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str);
        let namespace = if kind.info().namespaced {
            named.unwrap_or("default")
        } else {
            ""
        };
        let target = format!("{}?fieldManager=operator", collection_path(kind, namespace));
        all.push(request(Method::Post, target).with_body("application/json", json(object)));
    }
    if let Some(patch) = &step.patch
        && let Ok(object) = ObjectName::parse(&patch.object)
    {
        let target = format!("{}?fieldManager=operator", object.path());
        let body = json(&patch.merge);
        all.push(request(Method::Patch, target).with_body("application/merge-patch+json", body));
    }
    if let Some(object) = step
        .delete
        .as_deref()
        .and_then(|name| ObjectName::parse(name).ok())
    {
        all.push(request(Method::Delete, object.path()));
    }
    all
}

fn request(method: Method, target: String) -> Request {
    let mut request = Request::new(method, target);
    request.peer = Peer::Component("kubernetes-admin".into());
    request
}

fn json(value: &Value) -> Bytes {
    value.to_string().into()
}

impl World {
    pub(crate) fn scenario_step(&mut self, index: usize, cause: EventId) {
        let Some(step) = self.operator.steps.get(index).cloned() else {
            return;
        };
        let mark = Mark {
            tag: b'p',
            who: index as u64,
            which: 0,
            bytes: &[],
        };
        self.current = self.trace.event(self.now, cause, &mark);
        self.trace
            .record(self.current, cause, self.now, || What::Step {
                text: words(&step),
            });
        for request in requests(&step) {
            self.operator.next_call += 1;
            let call = CallId(self.operator.next_call);
            let what = format!(
                "step {index}: {} {}",
                request.method.as_str(),
                request.target
            );
            self.operator.waiting.insert(call, what);
            let origin = Origin {
                process: Operator::PROCESS,
                incarnation: 0,
                call,
                stream: false,
            };
            let server = self.next_up(0);
            self.agenda.add(
                self.now,
                self.current,
                Event::Arrive {
                    server,
                    origin,
                    request,
                },
            );
        }
        self.do_to(&step.fail, World::fail);
        self.do_to(&step.recover, World::recover);
        let server = |name: &Option<String>| name.as_deref().and_then(server_number);
        if let Some(server) = server(&step.fail) {
            self.fail_server(server);
        }
        if let Some(server) = server(&step.recover) {
            self.recover_server(server);
        }
        if let Some(lag) = &step.lag
            && let Some(server) = server_number(&lag.of)
        {
            self.network.set_lag(server, lag.by.0);
        }
        self.do_to(&step.cut, World::cut);
        self.do_to(&step.heal, World::heal);
    }

    /// Does something to the process that a step names, if it names one.
    fn do_to(&mut self, name: &Option<String>, act: fn(&mut World, ProcessId)) {
        let named = name.as_deref().and_then(|name| self.by_name.get(name));
        if let Some(id) = named.copied() {
            act(self, id);
        }
    }

    pub(crate) fn operator_hears(&mut self, news: News, cause: EventId) {
        let bytes = news.bytes();
        let mark = Mark {
            tag: b'h',
            who: u64::MAX,
            which: 0,
            bytes: &bytes,
        };
        self.current = self.trace.event(self.now, cause, &mark);
        let News::Response(call, response) = news else {
            return;
        };
        let Some(what) = self.operator.waiting.remove(&call) else {
            return;
        };
        if response.is_success() {
            return;
        }
        let status: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let message = status
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.operator
            .refusals
            .push(format!("{what}: {} {message}", response.status));
    }
}

fn words(step: &Step) -> String {
    let named = |verb: &str, name: &Option<String>| name.as_ref().map(|n| format!("{verb} {n}"));
    let created = step.create.iter().map(|object| {
        let kind = object
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        format!("create {kind} {name}")
    });
    let rest = [
        step.patch
            .as_ref()
            .map(|patch| format!("patch {}", patch.object)),
        named("delete", &step.delete),
        named("fail", &step.fail),
        named("recover", &step.recover),
        named("cut", &step.cut),
        named("heal", &step.heal),
        named("lag", &step.lag.as_ref().map(|lag| lag.of.clone())),
    ];
    created
        .chain(rest.into_iter().flatten())
        .collect::<Vec<_>>()
        .join(", ")
}
