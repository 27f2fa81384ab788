//! Telling the API server: status patches, and the delete that ends a pod.
//!
//! The last part of every step of a worker. Upstream: `pkg/kubelet/status/status_manager.go`.
//!
//! 1. A status is sent to the UID it is about, or to nobody (P8, M67).
//! 2. The final delete is sent after the last status was accepted, when nothing of the pod runs
//!    (P6, M69), and for this UID only.
//! 3. At most one request per pod is under way; what changes meanwhile is sent next.
//! 4. While containers are being made nothing is told but what probes find: upstream makes a status
//!    before `SyncPod`, which then waits for sandbox, images and starts (kubernetes#19077, #91667).
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::hash::Hasher;
use core::time::Duration;

use serde::Serialize;

use wavetank_api::{KindId, Response, Time, Uid};
use wavetank_informer::client::{DeleteOptions, Patch, parse};
use wavetank_informer::{Guard, Key};

use crate::conditions::{self, Told};
use crate::context::{Context, Purpose};
use crate::pod_status::{ApiStatus, Phase};
use crate::status::{PodStatus, status};
use crate::worker::{Stage, Worker};

/// Wait before a request that failed is sent again.
const RETRY: Duration = Duration::from_secs(2);

/// What the API server has been told of a pod.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Something may have changed since the last status was made.
    pub is_dirty: bool,
    /// Containers were being made when the last status was: the next waits until they are there.
    waits: bool,
    /// The phase in the last status.
    pub phase: Phase,
    pub conditions: Told,
    /// Hash of the last patch that was sent; forgotten when it was not accepted.
    sent: Option<u64>,
    under_way: Option<Request>,
    /// After a failure.
    not_before: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Status,
    Delete,
}

impl Report {
    /// What an earlier life of this kubelet has told.
    pub fn of(status: &ApiStatus) -> Self {
        Report {
            is_dirty: true,
            phase: status.phase.unwrap_or_default(),
            conditions: conditions::told(status),
            ..Report::default()
        }
    }

    /// Says at once what a probe has found (`SetContainerReadiness`).
    pub fn hurry(&mut self) {
        self.is_dirty = true;
        self.waits = false;
    }

    /// Whether nothing is left to be told or answered.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }
}

impl Worker {
    // ANCHOR: report
    /// Sends what the API server does not know yet.
    pub(crate) fn report_step(&mut self, cx: &mut Context<'_>) {
        let is_making = self.is_making();
        self.report.waits &= is_making;
        if self.is_gone || self.report.under_way.is_some() || self.report.waits {
            return;
        }
        if let Some(at) = self.report.not_before.filter(|at| cx.now < *at) {
            return cx.wake_at(at);
        }
        self.report.waits = is_making;
        if core::mem::take(&mut self.report.is_dirty) && self.send_status(cx) {
            return;
        }
        let is_over = match cx.shared.config.guards.on(Guard::M69) {
            true => self.stage == Stage::Terminated,
            false => self.stage >= Stage::Terminating,
        };
        if is_over && self.pod.meta().deletion_timestamp.is_some() {
            self.send_delete(cx);
        }
    }
    // ANCHOR_END: report

    fn key(&self) -> Key {
        Key::new(
            self.pod.meta().namespace.clone(),
            self.pod.meta().name.clone(),
        )
    }

    /// Patches the status unless it is what was sent last; whether it did.
    fn send_status(&mut self, cx: &mut Context<'_>) -> bool {
        let (guards, shared) = (cx.shared.config.guards, &*cx.shared);
        let uid = guards.on(Guard::M67).then(|| self.pod.meta().uid.clone());
        let key = self.key();
        let runtime = shared.runtime.as_ref();
        let runtime = runtime.map_or("unknown", |version| &version.runtime_name);
        let patch = StatusPatch {
            metadata: Metadata { uid: uid.as_ref() },
            status: status(self, &shared.config, runtime, guards, cx.now),
        };
        let patch = serde_json::to_vec(&patch).unwrap_or_default(); // a Vec takes all bytes
        let hash = hash(&patch);
        if self.report.sent == Some(hash) {
            return false;
        }
        let (client, how) = (&shared.client, Patch::Strategic);
        let write = client.patch_text(KindId::Pod, &key, "status", how, uid, patch);
        self.report.sent = Some(hash);
        self.report.under_way = Some(Request::Status);
        cx.api(Purpose::Report, write.request);
        true
    }

    fn send_delete(&mut self, cx: &mut Context<'_>) {
        let guards = cx.shared.config.guards;
        let uid = guards.on(Guard::M67).then(|| self.pod.meta().uid.clone());
        let options = DeleteOptions {
            uid,
            grace_period_seconds: Some(0),
            ..DeleteOptions::default()
        };
        let write = cx.shared.client.delete(KindId::Pod, &self.key(), &options);
        self.report.under_way = Some(Request::Delete);
        cx.api(Purpose::Report, write.request);
    }

    /// Takes in the answer to the request under way; `None` when none came.
    pub(crate) fn report_answered(&mut self, response: Option<&Response>, now: Time) {
        let Some(request) = self.report.under_way.take() else {
            return;
        };
        match (request, response.map(parse)) {
            (Request::Status, Some(Ok(_))) => {}
            // Also when the object is gone or another has its name: the watch will tell.
            (Request::Status, _) => {
                self.report.sent = None;
                self.report.is_dirty = true;
                self.report.not_before = Some(now + RETRY);
            }
            (Request::Delete, _) => self.report.not_before = Some(now + RETRY),
        }
    }
}

/// What is sent.
#[derive(Serialize)]
struct StatusPatch<'a> {
    metadata: Metadata<'a>,
    status: PodStatus<'a>,
}

/// Whom it is about.
#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a Uid>,
}

/// SipHash with its fixed keys: the same on every machine.
fn hash(status: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(status);
    hasher.finish()
}
