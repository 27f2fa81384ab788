//! What a plugin answers: a code, and for a refusal the reasons in the words a user will read.
//!
//! 1. A success has no reasons and allocates nothing.
//!
//! Upstream: `Status` in `pkg/scheduler/framework/interface.go`.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::borrow::Cow;

/// How a question to a plugin ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// Go on.
    #[default]
    Success,
    /// Something went wrong that is not the pod's doing; the pod is tried again after its back-off.
    Error,
    /// Not now: a change in the cluster, or preemption, may help.
    Unschedulable,
    /// Not here, and preempting pods would not help.
    UnschedulableAndUnresolvable,
    /// Permit: keep the node and wait.
    Wait,
    /// This plugin has nothing to say about this pod.
    Skip,
    /// Not now, and the plugin has started something that will wake the pod; it skips its back-off.
    Pending,
}

/// A plugin's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How it ended.
    pub code: Code,
    /// Why, for people: `node(s) had untolerated taint {a: b}`.
    pub reasons: Vec<Cow<'static, str>>,
    /// Which plugin said so; the framework fills it in. Empty for a success.
    pub plugin: &'static str,
}

impl Status {
    /// Go on.
    pub const SUCCESS: Status = Status {
        code: Code::Success,
        reasons: Vec::new(),
        plugin: "",
    };

    /// An answer with one reason.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Status {
            code,
            reasons: vec![reason.into()],
            plugin: "",
        }
    }

    /// Not now.
    pub fn unschedulable(reason: impl Into<Cow<'static, str>>) -> Self {
        Status::new(Code::Unschedulable, reason)
    }

    /// Not here, whatever is preempted.
    pub fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Self {
        Status::new(Code::UnschedulableAndUnresolvable, reason)
    }

    /// Nothing to say about this pod.
    pub fn skip() -> Self {
        Status {
            code: Code::Skip,
            ..Status::SUCCESS
        }
    }

    /// The same answer, signed.
    pub fn by(mut self, plugin: &'static str) -> Self {
        self.plugin = plugin;
        self
    }

    /// Whether the answer is to go on.
    pub fn is_success(&self) -> bool {
        self.code == Code::Success
    }

    /// Whether the plugin has nothing to say.
    pub fn is_skip(&self) -> bool {
        self.code == Code::Skip
    }

    /// Whether the pod is refused, rather than something having gone wrong.
    pub fn is_rejected(&self) -> bool {
        matches!(
            self.code,
            Code::Unschedulable | Code::UnschedulableAndUnresolvable | Code::Pending
        )
    }

    /// All reasons in one line.
    pub fn message(&self) -> String {
        self.reasons.join(", ")
    }
}
