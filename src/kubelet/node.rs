//! The Node object: registered once, and its status kept true.
//!
//! Held by `kubelet.rs`. Upstream: `pkg/kubelet/kubelet_node_status.go`, `nodestatus/setters.go`.
//!
//! 1. A status is patched when something changed (at most every ten seconds, except when readiness
//!    changes), and every five minutes in any case.
//! 2. `lastTransitionTime` of a condition survives a restart of the kubelet.
//!
//! Left out: as upstream, a Node that somebody deletes is made again only by a restart.
//!
//! Book: `book/src/node/kubelet.md`.

use core::time::Duration;

use serde::Deserialize;
use serde_json::json;

use wavetank_api::{KindId, Response, Time};
use wavetank_cri as cri;
use wavetank_informer::client::{Patch, parse, parse_object};
use wavetank_informer::events::{About, EventType};
use wavetank_informer::{CallId, Key, Output};

use crate::context::Shared;
use crate::effect::Effect;
use crate::node_object;

/// Least time between two status patches (`nodeStatusUpdateFrequency`).
const OFTEN: Duration = Duration::from_secs(10);
/// Most time between two (`nodeStatusReportFrequency`).
const SELDOM: Duration = Duration::from_secs(300);
/// Time between two looks at the runtime, when it is well and when it is not.
const CHECK: Duration = Duration::from_secs(60);
const CHECK_SOON: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);
/// What is told of the pressure conditions with each attempt to register.
const QUIET: [&str; 3] = [
    "NodeHasSufficientMemory",
    "NodeHasNoDiskPressure",
    "NodeHasSufficientPID",
];

/// What the kubelet knows of its Node.
pub(crate) struct Node {
    /// The Node's uid; empty until it is registered.
    pub uid: Box<str>,
    stage: Stage,
    call: Option<CallId>,
    /// When to send again what `stage` says.
    again: Option<Time>,
    /// Why the node is not ready; `Ok` when it is.
    pub(crate) ready: Result<(), String>,
    /// What was told last of `Ready`, and since when.
    pub(crate) ready_told: Option<(bool, Time)>,
    was_ever_ready: bool,
    /// Since when the pressure conditions are false.
    pub(crate) quiet_since: Option<Time>,
    is_dirty: bool,
    last_patch: Option<Time>,
    check: Option<CallId>,
    next_check: Option<Time>,
    list: Option<CallId>,
    images_changed: bool,
    pub(crate) images: Vec<cri::image::Image>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Creating,
    Reading,
    Reconciling,
    Registered,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeView {
    status: StatusView,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusView {
    conditions: Vec<crate::pod_status::ApiCondition>,
}

impl Node {
    pub fn new() -> Self {
        Node {
            uid: "".into(),
            stage: Stage::New,
            call: None,
            again: None,
            ready: Err("container runtime status check may not have completed yet".into()),
            ready_told: None,
            was_ever_ready: false,
            quiet_since: None,
            is_dirty: true,
            last_patch: None,
            check: None,
            next_check: None,
            list: None,
            images_changed: true,
            images: Vec::new(),
        }
    }

    /// Whether the API server has the Node.
    pub fn is_registered(&self) -> bool {
        matches!(self.stage, Stage::Registered | Stage::Reconciling)
    }

    /// An image was pulled.
    pub fn images_changed(&mut self) {
        self.images_changed = true;
        self.is_dirty = true;
    }

    /// When it wants to be called.
    pub fn next_wake(&self) -> Option<Time> {
        let patch = match (self.call.or(self.list), self.stage) {
            (Some(_), _) => None,
            (None, Stage::Registered) => self.again.or_else(|| self.patch_at()),
            (None, _) => self.again,
        };
        let check = self.next_check.filter(|_| self.check.is_none());
        [patch, check].into_iter().flatten().min()
    }

    fn patch_at(&self) -> Option<Time> {
        let last = self.last_patch?;
        let told = self.ready_told.map(|(told, _)| told);
        Some(match () {
            () if told != Some(self.ready.is_ok()) => last,
            () if self.is_dirty => last + OFTEN,
            () => last + SELDOM,
        })
    }

    /// Does what is due: registration, a look at the runtime, a status patch.
    pub fn tick(&mut self, shared: &mut Shared, now: Time, out: &mut Vec<Output<Effect>>) {
        if self.check.is_none() && self.next_check.is_none_or(|at| at <= now) {
            self.check = Some(call_runtime(cri::Call::Status, shared, out));
        }
        if self.call.is_some() || self.again.is_some_and(|at| now < at) {
            return;
        }
        self.again = None;
        let key = Key::cluster(shared.config.node_name.clone());
        let request = match self.stage {
            Stage::New | Stage::Creating => {
                self.stage = Stage::Creating;
                for reason in QUIET {
                    shared.tell_node_status(reason, now);
                }
                let object = node_object::node(self, shared, now);
                shared.client.create(KindId::Node, "", &object).request
            }
            Stage::Reading => shared.client.get(KindId::Node, &key),
            Stage::Reconciling => {
                let patch = json!({"metadata": node_object::metadata(&shared.config)});
                shared
                    .client
                    .patch(KindId::Node, &key, "", Patch::Strategic, &patch)
                    .request
            }
            Stage::Registered if self.images_changed => {
                self.images_changed = false;
                self.list = Some(call_runtime(cri::Call::ListImages, shared, out));
                return;
            }
            Stage::Registered if self.list.is_some() => return,
            Stage::Registered if self.patch_at().is_some_and(|at| now < at) => return,
            Stage::Registered => {
                self.is_dirty = false;
                self.last_patch = Some(now);
                let patch = json!({"status": node_object::status(self, shared, now)});
                let patch =
                    shared
                        .client
                        .patch(KindId::Node, &key, "status", Patch::Strategic, &patch);
                patch.request
            }
        };
        let call = shared.ids.fresh();
        self.call = Some(call);
        out.push(Output::Call(call, request));
    }

    /// Takes in an answer of the API server, or that none came; whether it was for the node.
    pub fn answered(&mut self, call: CallId, response: Option<&Response>, now: Time) -> bool {
        if self.call.take_if(|id| *id == call).is_none() {
            return false;
        }
        let object = response.map(parse_object::<NodeView>);
        let refusal = response.map(parse).and_then(Result::err);
        match (self.stage, object) {
            (Stage::Creating, Some(Ok(object))) => {
                self.uid = object.meta.uid.0.as_ref().into();
                self.stage = Stage::Registered;
                self.last_patch = Some(now);
            }
            (Stage::Creating, _) if refusal.is_some_and(|e| e.is_already_exists()) => {
                self.stage = Stage::Reading;
            }
            (Stage::Reading, Some(Ok(object))) => {
                self.uid = object.meta.uid.0.as_ref().into();
                self.remember(&object.view);
                self.stage = Stage::Reconciling;
            }
            (Stage::Reconciling, Some(Ok(_))) => self.stage = Stage::Registered,
            (Stage::Registered, Some(Ok(_))) => {}
            (Stage::Reading, Some(Err(error))) if error.is_not_found() => {
                self.stage = Stage::Creating;
            }
            _ => {
                self.is_dirty = true;
                self.ready_told = None;
                self.again = Some(now + if self.is_registered() { OFTEN } else { RETRY });
            }
        }
        true
    }

    fn remember(&mut self, view: &NodeView) {
        for condition in &view.status.conditions {
            match &*condition.kind {
                "Ready" => {
                    let since = condition.last_transition_time;
                    self.ready_told = since.map(|at| (&*condition.status == "True", at));
                }
                "MemoryPressure" => self.quiet_since = condition.last_transition_time,
                _ => {}
            }
        }
    }

    /// Takes in an answer of the runtime; whether it was for the node.
    pub fn told(
        &mut self,
        call: CallId,
        reply: &Result<cri::Reply, cri::Error>,
        shared: &mut Shared,
        now: Time,
    ) -> bool {
        if self.list.take_if(|id| *id == call).is_some() {
            if let Ok(cri::Reply::ListImages(images)) = reply {
                self.images.clone_from(images);
            }
            return true;
        }
        if self.check.take_if(|id| *id == call).is_none() {
            return false;
        }
        let was_ready = self.ready.is_ok();
        self.ready = judge(reply);
        if self.ready.is_ok() && !core::mem::replace(&mut self.was_ever_ready, true) {
            // The container manager starts with the runtime; `admission.rs` holds pods to it.
            let text = "Updated Node Allocatable limit across pods".to_string();
            shared.tell_node(EventType::Normal, "NodeAllocatableEnforced", text, now);
        }
        match (was_ready, self.ready.is_ok()) {
            (false, true) => shared.tell_node_status("NodeReady", now),
            (true, false) => shared.tell_node_status("NodeNotReady", now),
            _ => {}
        }
        self.next_check = Some(
            now + if self.ready.is_ok() {
                CHECK
            } else {
                CHECK_SOON
            },
        );
        true
    }
}

/// Whether the node can run pods, from the runtime's status.
fn judge(reply: &Result<cri::Reply, cri::Error>) -> Result<(), String> {
    let Ok(cri::Reply::Status(status)) = reply else {
        return Err("container runtime is down".into());
    };
    let said = |what: &str, name: &str, message: &str| {
        format!("{what} not ready: {name}=false reason: message:{message}")
    };
    let runtime = status.runtime_ready.as_ref();
    runtime.map_err(|text| said("container runtime", "RuntimeReady", text))?;
    let network = status.network_ready.as_ref();
    network.map_err(|text| said("container runtime network", "NetworkReady", text))?;
    Ok(())
}

/// Sends a call whose answer is the caller's own.
pub(crate) fn call_runtime(
    call: cri::Call,
    shared: &mut Shared,
    out: &mut Vec<Output<Effect>>,
) -> CallId {
    let id = shared.ids.fresh();
    out.push(Output::Effect(Effect::Cri(id, call)));
    id
}

impl Shared {
    /// Tells of a condition of the node (`recordNodeStatusEvent`).
    fn tell_node_status(&mut self, reason: &'static str, now: Time) {
        let text = format!("Node {} status is now: {reason}", self.config.node_name);
        self.tell_node(EventType::Normal, reason, text, now);
    }

    /// Tells of something that happened to the node. As upstream, the uid is the node's name.
    pub fn tell_node(
        &mut self,
        r#type: EventType,
        reason: &'static str,
        message: String,
        now: Time,
    ) {
        let name = self.config.node_name.clone();
        let about = About {
            kind: KindId::Node,
            key: Key::cluster(name.clone()),
            uid: wavetank_api::Uid(name),
            field_path: String::new(),
        };
        self.tell(about, r#type, reason, message, now);
    }
}
