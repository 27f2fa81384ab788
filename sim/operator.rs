//! The person at the keyboard: carries out a scenario's steps, and remembers what was refused.
//!
//! Book: `book/src/simulator/scenarios.md`.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use wavetank_api::json::Value;

use wavetank_api::http::Peer;
use wavetank_api::{Method, Request};
use wavetank_informer::CallId;

use crate::network::ProcessId;
use crate::process::News;
use crate::scenario::{
    Action, Deletion, ObjectName, Recreation, Step, collection_path, manifest_kind,
};
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

/// An object that was deleted and is to be created again when it is gone.
pub(crate) struct Recreating {
    why: String,
    key: String,
    uid: String,
    manifest: Value,
}

/// How often the operator looks whether an object is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
fn requests(action: &Action) -> Vec<Request> {
    match action {
        Action::Create(objects) => objects.iter().filter_map(creation).collect(),
        Action::Patch(patch) => ObjectName::parse(&patch.object)
            .map(|object| {
                let mut path = object.path();
                if let Some(subresource) = &patch.subresource {
                    path = format!("{path}/{subresource}");
                }
                let target = format!("{path}?fieldManager=operator");
                let body = json(&patch.merge);
                request(Method::Patch, target).with_body("application/merge-patch+json", body)
            })
            .into_iter()
            .collect(),
        Action::Delete(deletion) => removal(deletion).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn creation(object: &Value) -> Option<Request> {
    let kind = manifest_kind(object).ok()?;
    let named = object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str);
    let namespace = match kind.info().namespaced {
        true => named.unwrap_or("default"),
        false => "",
    };
    let target = format!("{}?fieldManager=operator", collection_path(kind, namespace));
    Some(request(Method::Post, target).with_body("application/json", json(object)))
}

fn removal(deletion: &Deletion) -> Option<Request> {
    let object = ObjectName::parse(&deletion.object).ok()?;
    let bare = request(Method::Delete, object.path());
    let mut options = serde_json::Map::new();
    if let Some(grace) = deletion.grace {
        options.insert("gracePeriodSeconds".to_owned(), grace.into());
    }
    if let Some(policy) = &deletion.propagation {
        options.insert("propagationPolicy".to_owned(), policy.as_str().into());
    }
    if options.is_empty() {
        return Some(bare);
    }
    let body = serde_json::Value::Object(options).to_string();
    Some(bare.with_body("application/json", Bytes::from(body)))
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
        let action = self.named(step.action);
        for request in requests(&action) {
            self.ask(&format!("step {index}"), request);
        }
        if let Action::Recreate(recreation) = &action {
            self.begin_recreation(index, recreation);
        }
        self.do_fault(&action, step.lasting);
    }

    /// The action with names instead of patterns (`pods/default/web-*`): the first object of those
    /// that are there.
    fn named(&self, mut action: Action) -> Action {
        let found = |pattern: &str| {
            let name = ObjectName::parse(pattern.strip_suffix('*')?).ok()?;
            let key = name.key();
            let all = self.range(&key[..=key.rfind('/')?]);
            let first = all.iter().find(|kv| kv.key.starts_with(&key))?;
            let last = first.key.rsplit('/').next()?;
            let place = pattern.rfind('/')?;
            Some(format!("{}/{last}", &pattern[..place]))
        };
        let name = match &mut action {
            Action::Patch(patch) => &mut patch.object,
            Action::Delete(deletion) => &mut deletion.object,
            Action::Recreate(recreation) => &mut recreation.object,
            Action::Exit(exit) => {
                if let Some(pod) = found(&format!("pods/{}", exit.pod)) {
                    exit.pod = pod.trim_start_matches("pods/").to_owned();
                }
                return action;
            }
            _ => return action,
        };
        if let Some(first) = found(name) {
            *name = first;
        }
        action
    }

    /// Sends a request of the operator's.
    fn ask(&mut self, why: &str, request: Request) {
        self.operator.next_call += 1;
        let call = CallId(self.operator.next_call);
        let what = format!("{why}: {} {}", request.method.as_str(), request.target);
        self.operator.waiting.insert(call, what);
        let origin = Origin {
            process: Operator::PROCESS,
            incarnation: 0,
            call,
            stream: false,
        };
        let server = self.next_up(0);
        let event = Event::Arrive {
            server,
            origin,
            request,
        };
        self.agenda.add(self.now, self.current, event);
    }

    /// Deletes an object, and remembers with what to create it again.
    fn begin_recreation(&mut self, index: usize, recreation: &Recreation) {
        let Ok(name) = ObjectName::parse(&recreation.object) else {
            return;
        };
        let why = format!("step {index}");
        let Some(old) = self.object(&name.key()) else {
            let refusals = &mut self.operator.refusals;
            return refusals.push(format!("{why}: there is no {}", recreation.object));
        };
        let Some(manifest) = manifest_of(&old, &recreation.merge) else {
            let refusals = &mut self.operator.refusals;
            return refusals.push(format!("{why}: {} was not created", recreation.object));
        };
        let uid = old.pointer("/metadata/uid").and_then(Value::as_str);
        let recreating = Recreating {
            why: why.clone(),
            key: name.key(),
            uid: uid.unwrap_or_default().to_owned(),
            manifest,
        };
        let deletion = Deletion {
            object: recreation.object.clone(),
            grace: recreation.grace,
            propagation: None,
        };
        if let Some(request) = removal(&deletion) {
            self.ask(&why, request);
        }
        self.look_again(recreating);
    }

    fn look_again(&mut self, recreating: Recreating) {
        let recreation = Box::new(recreating);
        let at = self.now + LOOK_AGAIN;
        self.agenda
            .add(at, self.current, Event::Again { recreation });
    }

    /// Creates the object again if the old one is gone.
    pub(crate) fn create_again(&mut self, recreating: Recreating, cause: EventId) {
        self.current = cause;
        let found = self.object(&recreating.key);
        let uid = found
            .as_ref()
            .and_then(|object| object.pointer("/metadata/uid"));
        match uid.and_then(Value::as_str) {
            Some(uid) if uid == recreating.uid => self.look_again(recreating),
            Some(_) => {} // somebody else was faster
            None => {
                if let Some(request) = creation(&recreating.manifest) {
                    self.ask(&recreating.why, request);
                }
            }
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
        let News::Response(call, response, _) = news else {
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

/// What an object was created with, as far as the object still tells: `None` when its own field
/// managers do not say.
fn manifest_of(object: &Value, merge: &Value) -> Option<Value> {
    let mut manifest = serde_json::to_value(object).ok()?;
    let fields = manifest.as_object_mut()?;
    fields.remove("status");
    let metadata = fields.get_mut("metadata")?.as_object_mut()?;
    let kept = ["name", "namespace", "labels", "annotations"];
    metadata.retain(|field, _| kept.contains(&field.as_str()));
    if let Some(spec) = fields.get_mut("spec").and_then(|spec| spec.as_object_mut()) {
        // Given by the cluster: the node, addresses, the token's volume.
        for given in ["nodeName", "clusterIP", "clusterIPs", "finalizers"] {
            spec.remove(given);
        }
    }
    let manifest: Value = serde_json::from_value(manifest).ok()?;
    let differs = !merge.is_null();
    Some(match differs {
        true => wavetank_api::patch::merge::lay_over(manifest, merge.clone()),
        false => manifest,
    })
}

/// A step in a few words.
pub(crate) fn words(step: &Step) -> String {
    let mut text = match &step.action {
        Action::Create(objects) => {
            let named = objects.iter().map(|object| {
                let text = |path| object.pointer(path).and_then(Value::as_str);
                let (kind, name) = (text("/kind"), text("/metadata/name"));
                format!("{} {}", kind.unwrap_or_default(), name.unwrap_or_default())
            });
            format!("create {}", named.collect::<Vec<_>>().join(", "))
        }
        Action::Patch(patch) => format!("patch {} {}", patch.object, patch.merge),
        action => {
            let text = serde_json::to_string(action).unwrap_or_default();
            text.replace(['{', '}', '"'], "")
                .replace(':', " ")
                .replace(',', ", ")
        }
    };
    if let Some(lasting) = &step.lasting {
        text.push_str(&format!(" for {lasting}"));
    }
    text
}
