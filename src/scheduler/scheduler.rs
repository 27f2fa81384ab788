//! kube-scheduler as a component: informers in front of the engine, bindings behind it.
//!
//! `serve` and the simulator drive it. What it sees of pods and nodes goes to `engine`; what the
//! engine decides becomes requests: the Binding, the PodScheduled condition, an event.
//!
//! 1. It decides nothing before both caches are synced, and nothing while it is not the leader.
//! 2. At most `binds_in_flight_max` bindings are under way.
//! 3. A binding without an answer is followed by a live read, again and again, until one answers.
//! 4. Each binding names the uid that was decided on (M45).
//!
//! Upstream: `pkg/scheduler/scheduler.go`, `eventhandlers.go`.
//!
//! Book: `book/src/scheduler/binding.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use wavetank_api::{Guard, Guards, KindId, Response, Time, Uid};
use wavetank_informer::client::{Patch, Selection, parse, parse_object};
use wavetank_informer::election::{self, Elector};
use wavetank_informer::events::{self, EventType, Recorder};
use wavetank_informer::reflector::{self, Reflector};
use wavetank_informer::{
    CallId, CallIds, Change, Client, Component, Input, Key, Note, Nothing, Object, Output,
};

use crate::engine::{BindOutcome, Engine, Event, Failed, LiveRead, Step};
use crate::framework::{Binding, Plugin, Profile};
use crate::node::{Node, NodeObject};
use crate::plugins::{DEFAULT_SCHEDULER_NAME, default_profile};
use crate::pod::{Pod, PodObject};

/// Between a binding without an answer and the read that finds out, and between such reads.
const READ_AFTER: Duration = Duration::from_secs(1);

/// What a scheduler is started with.
pub struct Config {
    /// Different for every process that ever runs; names the holder of the Lease.
    pub identity: Arc<str>,
    /// Whether to act only while holding the Lease `kube-system/kube-scheduler`.
    pub elects_leader: bool,
    /// Breaks ties between nodes, and spreads reconnects in time.
    pub seed: u64,
    /// Most bindings under way at once.
    pub binds_in_flight_max: usize,
    /// One a scheduler name; pods of other names are left alone.
    pub profiles: Vec<Profile>,
    /// The guards that are kept.
    pub guards: Guards,
}

impl Config {
    /// The default profile, alone on the job.
    pub fn new(identity: impl Into<Arc<str>>, seed: u64) -> Self {
        Config {
            identity: identity.into(),
            elects_leader: false,
            seed,
            binds_in_flight_max: 100,
            profiles: vec![default_profile(DEFAULT_SCHEDULER_NAME)],
            guards: Guards::default(),
        }
    }

    /// The same with one more plugin at the end of each profile; see `tests/own_plugin.rs`.
    pub fn with_plugin<P: Plugin + 'static>(mut self, plugin: fn() -> P, weight: i64) -> Self {
        let add = |profile: Profile| profile.with(Box::new(plugin()), weight);
        self.profiles = self.profiles.into_iter().map(add).collect();
        self
    }
}

/// What a call under way is for.
enum Doing {
    /// Sending a binding.
    Bind(Binding),
    /// Finding out what became of one.
    Read(Binding),
    /// Writing the condition of this pod.
    Condition(Uid),
}

/// The scheduler.
pub struct Scheduler {
    client: Client,
    ids: CallIds,
    nodes: Reflector<Object<NodeObject>>,
    pods: Reflector<Pod>,
    elector: Option<Elector>,
    recorder: Recorder,
    engine: Engine,
    calls: BTreeMap<CallId, Doing>,
    /// Bindings without an answer, by when to read what became of them.
    unanswered: BTreeSet<(Time, Uid)>,
    /// The bindings of `unanswered`.
    lost: BTreeMap<Uid, Binding>,
    /// The message last written to each pending pod, so that it is not written again.
    reported: BTreeMap<Uid, String>,
    binds_in_flight_max: usize,
    guards: Guards,
    /// The wake-up asked for last.
    wake: Option<Time>,
}

impl Scheduler {
    /// A scheduler that has not started.
    pub fn new(config: Config) -> Self {
        let Config {
            identity,
            seed,
            guards,
            ..
        } = config;
        let client = Client::new("kube-scheduler", "system:kube-scheduler");
        let nodes = reflector::Config::all(KindId::Node, &client, seed ^ 2, guards);
        let mut pods = reflector::Config::all(KindId::Pod, &client, seed ^ 3, guards);
        pods.selection = Selection {
            fields: "status.phase!=Succeeded,status.phase!=Failed".to_owned(),
            ..Selection::default()
        };
        let elector = config.elects_leader.then(|| {
            Elector::new(election::Config {
                lease: Key::new("kube-system", "kube-scheduler"),
                identity,
                client: client.clone(),
                seed: seed ^ 4,
                guards,
            })
        });
        Scheduler {
            recorder: Recorder::new(&client, ""),
            client,
            ids: CallIds::default(),
            nodes: Reflector::new(nodes),
            pods: Reflector::new(pods),
            elector,
            engine: Engine::new(config.profiles, seed, guards),
            calls: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            lost: BTreeMap::new(),
            reported: BTreeMap::new(),
            binds_in_flight_max: config.binds_in_flight_max,
            guards,
            wake: None,
        }
    }

    /// The deciding part, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether it may decide at `now`.
    pub fn is_active(&self, now: Time) -> bool {
        let leads = self
            .elector
            .as_ref()
            .is_none_or(|elector| elector.is_leader(now));
        leads && self.nodes.cache().is_synced() && self.pods.cache().is_synced()
    }

    fn observe_node(&mut self, change: &Change<Object<NodeObject>>, now: Time) {
        let event = match change {
            Change::Deleted(gone) => Event::NodeGone(gone.meta.name.clone()),
            Change::Added(new) | Change::Modified { new, .. } => {
                Event::Node(Arc::new(Node::new(new)))
            }
        };
        self.engine.observe(event, now);
    }

    fn observe_pod(&mut self, change: &Change<Pod>, now: Time) {
        let event = match change {
            Change::Deleted(gone) => Event::PodGone(gone.uid.clone()),
            Change::Added(new) | Change::Modified { new, .. } => Event::Pod(new.clone()),
        };
        let uid = &change.object().uid;
        self.engine.observe(event, now);
        if self.engine.queue().pod(uid).is_none() {
            self.reported.remove(uid);
        }
    }

    fn answered(&mut self, call: CallId, response: &Response, now: Time) -> Option<Step> {
        match self.calls.remove(&call)? {
            Doing::Condition(uid) => {
                if !response.is_success() {
                    self.reported.remove(&uid);
                }
                None
            }
            Doing::Bind(binding) => match parse(response) {
                Ok(_) => {
                    self.tell_scheduled(&binding, now);
                    self.engine.bind_done(&binding.uid, BindOutcome::Bound, now)
                }
                // A conflict may be with this very binding, sent before and thought lost.
                Err(error) if error.is_server_error() || error.is_conflict() => {
                    self.no_answer(binding, now)
                }
                Err(error) => {
                    let refused = BindOutcome::Refused(error.message);
                    self.engine.bind_done(&binding.uid, refused, now)
                }
            },
            Doing::Read(binding) => self.read(binding, response, now),
        }
    }

    fn read(&mut self, binding: Binding, response: &Response, now: Time) -> Option<Step> {
        let shown = match parse_object::<PodObject>(response) {
            Ok(pod) if pod.meta.uid != binding.uid => LiveRead::Gone,
            Ok(pod) if pod.view.spec.node_name.is_empty() => LiveRead::Unbound,
            Ok(pod) => LiveRead::On(pod.view.spec.node_name.clone()),
            Err(error) if error.is_not_found() => LiveRead::Gone,
            Err(_) => return self.no_answer(binding, now),
        };
        if shown == LiveRead::Unbound && !self.is_active(now) {
            return self.no_answer(binding, now);
        }
        if shown == LiveRead::On(binding.node.clone()) {
            self.tell_scheduled(&binding, now);
        }
        let step = self.engine.live_read(&binding.uid, shown, now);
        if step.is_none() && self.engine.is_binding(&binding.uid) {
            return self.no_answer(binding, now);
        }
        step
    }

    fn failed(&mut self, call: CallId, now: Time) -> Option<Step> {
        match self.calls.remove(&call)? {
            Doing::Bind(binding) | Doing::Read(binding) => self.no_answer(binding, now),
            Doing::Condition(uid) => {
                self.reported.remove(&uid);
                None
            }
        }
    }

    /// Keeps a binding for a live read, unless the engine has given it up.
    fn no_answer(&mut self, binding: Binding, now: Time) -> Option<Step> {
        let step = self
            .engine
            .bind_done(&binding.uid, BindOutcome::Unknown, now);
        if step.is_none() {
            self.unanswered
                .insert((now + READ_AFTER, binding.uid.clone()));
            self.lost.insert(binding.uid.clone(), binding);
        }
        step
    }

    fn read_unanswered(&mut self, now: Time, out: &mut Vec<Output<Nothing>>) {
        while let Some((at, uid)) = self.unanswered.first().cloned() {
            if at > now {
                return;
            }
            self.unanswered.remove(&(at, uid.clone()));
            let Some(binding) = self.lost.remove(&uid) else {
                continue;
            };
            let key = Key::new(binding.namespace.clone(), binding.name.clone());
            let call = self.ids.fresh();
            out.push(Output::Call(call, self.client.get(KindId::Pod, &key)));
            self.calls.insert(call, Doing::Read(binding));
        }
    }

    // ANCHOR: act
    /// Schedules pods while there is something to do and room for another binding.
    fn act(&mut self, first: Option<Step>, now: Time, out: &mut Vec<Output<Nothing>>) {
        let mut next = first;
        loop {
            match next.take() {
                Some(Step::Bind(binding)) => self.send_binding(binding, out),
                Some(Step::Failed(failed)) => self.tell_failed(failed, now, out),
                Some(Step::Waiting(_)) | None => {}
            }
            let has_room = self.engine.binds_in_flight() < self.binds_in_flight_max;
            if !has_room || !self.is_active(now) {
                return;
            }
            next = self.engine.cycle(now);
            if next.is_none() {
                return;
            }
        }
    }
    // ANCHOR_END: act

    fn send_binding(&mut self, binding: Binding, out: &mut Vec<Output<Nothing>>) {
        let key = Key::new(binding.namespace.clone(), binding.name.clone());
        // M45: between the decision and the commit the pod may have been deleted and another
        // created under its name, with other requests.
        let named = self.guards.on(Guard::M45);
        let uid = if named {
            binding.uid.clone()
        } else {
            Uid::default()
        };
        let write = self.client.bind(&key, &uid, &binding.node);
        let call = self.ids.fresh();
        out.push(note(&binding.namespace, &binding.name, "a node was chosen"));
        out.push(Output::Call(call, write.request));
        self.calls.insert(call, Doing::Bind(binding));
    }

    fn tell_scheduled(&mut self, binding: &Binding, now: Time) {
        self.reported.remove(&binding.uid);
        let Binding {
            namespace,
            name,
            uid,
            node,
        } = binding;
        let event = events::Event {
            component: DEFAULT_SCHEDULER_NAME,
            about: about(namespace, name, uid),
            r#type: EventType::Normal,
            reason: "Scheduled",
            message: format!("Successfully assigned {namespace}/{name} to {node}"),
        };
        self.recorder.record(event, now);
    }

    /// Writes the event, and the condition when it says something new.
    fn tell_failed(&mut self, failed: Failed, now: Time, out: &mut Vec<Output<Nothing>>) {
        let Failed {
            pod,
            reason,
            message,
            nominated,
        } = failed;
        let event = events::Event {
            component: DEFAULT_SCHEDULER_NAME,
            about: about(&pod.namespace, &pod.name, &pod.uid),
            r#type: EventType::Warning,
            reason: "FailedScheduling",
            message: message.clone(),
        };
        self.recorder.record(event, now);
        if nominated.is_none() && self.reported.get(&pod.uid) == Some(&message) {
            return;
        }
        let mut condition = json!({
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
        });
        if !self.reported.contains_key(&pod.uid) {
            condition["lastProbeTime"] = json!(null);
            condition["lastTransitionTime"] = json!(now);
        }
        let mut status = json!({ "conditions": [condition] });
        if let Some(node) = nominated {
            status["nominatedNodeName"] = json!(&*node);
        }
        let patch = json!({ "metadata": { "uid": &*pod.uid.0 }, "status": status });
        let key = Key::new(pod.namespace.clone(), pod.name.clone());
        let write = self
            .client
            .patch(KindId::Pod, &key, "status", Patch::Strategic, &patch);
        let call = self.ids.fresh();
        out.push(note(&pod.namespace, &pod.name, "no node fits"));
        out.push(Output::Call(call, write.request));
        self.calls.insert(call, Doing::Condition(pod.uid.clone()));
        self.reported.insert(pod.uid.clone(), message);
    }

    /// Asks for the next wake-up when it is another than before.
    fn sleep(&mut self, now: Time, out: &mut Vec<Output<Nothing>>) {
        let has_room = self.engine.binds_in_flight() < self.binds_in_flight_max;
        let engine = self
            .engine
            .next_wake()
            .filter(|_| has_room && self.is_active(now));
        let lost = self.unanswered.first().map(|(at, _)| *at);
        let elector = self.elector.as_ref().and_then(Elector::next_wake);
        let wakes = [
            self.nodes.next_wake(),
            self.pods.next_wake(),
            self.recorder.next_wake(),
        ];
        let wakes = wakes.into_iter().chain([engine, lost, elector]);
        let wake = wakes.flatten().min().map(|at| at.max(now));
        if wake != self.wake {
            self.wake = wake;
            out.extend(wake.map(Output::WakeAt));
        }
    }
}

impl Component for Scheduler {
    type Effect = Nothing;
    type Outcome = Nothing;

    fn handle(&mut self, input: Input<Nothing>, now: Time, out: &mut Vec<Output<Nothing>>) {
        if matches!(input, Input::Tick) {
            self.wake = None;
        }
        if let Some(elector) = &mut self.elector {
            elector.handle(&input, now, &mut self.ids, out);
        }
        for change in self.nodes.handle(&input, now, &mut self.ids, out) {
            self.observe_node(&change, now);
        }
        for change in self.pods.handle(&input, now, &mut self.ids, out) {
            self.observe_pod(&change, now);
        }
        let step = match &input {
            Input::Response(call, response) => self.answered(*call, response, now),
            Input::Failed(call, _) => self.failed(*call, now),
            _ => None,
        };
        self.act(step, now, out);
        self.read_unanswered(now, out);
        self.recorder.handle(&input, now, &mut self.ids, out);
        self.sleep(now, out);
    }
}

fn about(namespace: &Arc<str>, name: &Arc<str>, uid: &Uid) -> events::About {
    events::About {
        kind: KindId::Pod,
        key: Key::new(namespace.clone(), name.clone()),
        uid: uid.clone(),
        field_path: String::new(),
    }
}

fn note(namespace: &str, name: &str, because: &'static str) -> Output<Nothing> {
    let about = format!("v1 Pod {namespace}/{name}").into();
    Output::Note(Note {
        by: DEFAULT_SCHEDULER_NAME,
        about,
        because,
    })
}
