//! Probes and lifecycle hooks as a Pod's spec describes them.
//!
//! Part of the view in `pod.rs`.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::time::Duration;
use std::sync::Arc;

use serde::Deserialize;

/// `Probe`: what to ask, how often, and how many answers count. Times in seconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ProbeSpec {
    #[serde(flatten)]
    pub handler: Handler,
    pub initial_delay_seconds: u32,
    pub timeout_seconds: Option<u32>,
    pub period_seconds: Option<u32>,
    pub success_threshold: Option<u32>,
    pub failure_threshold: Option<u32>,
    pub termination_grace_period_seconds: Option<u32>,
}

impl ProbeSpec {
    /// Time between two probes; 10 s by default.
    pub fn period(&self) -> Duration {
        Duration::from_secs(u64::from(self.period_seconds.unwrap_or(10).max(1)))
    }

    /// Time after which no answer is a failure; 1 s by default.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds.unwrap_or(1).max(1)))
    }

    /// Answers in a row that change the result to success and to failure; 1 and 3 by default.
    pub fn thresholds(&self) -> (u32, u32) {
        (
            self.success_threshold.unwrap_or(1).max(1),
            self.failure_threshold.unwrap_or(3).max(1),
        )
    }
}

/// `ProbeHandler` and `LifecycleHandler`: one member is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Handler {
    pub exec: Option<ExecAction>,
    pub http_get: Option<HttpGetAction>,
    pub tcp_socket: Option<TcpSocketAction>,
    pub grpc: Option<GrpcAction>,
    pub sleep: Option<SleepAction>,
}

/// `ExecAction`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ExecAction {
    #[serde(default)]
    pub command: Arc<[Arc<str>]>,
}

/// `HTTPGetAction`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct HttpGetAction {
    #[serde(default)]
    pub path: Arc<str>,
    pub port: PortRef,
    #[serde(default)]
    pub host: Arc<str>,
    #[serde(default)]
    pub scheme: Arc<str>,
    #[serde(default)]
    pub http_headers: Vec<HttpHeader>,
}

/// `HTTPHeader`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct HttpHeader {
    pub name: Arc<str>,
    #[serde(default)]
    pub value: Arc<str>,
}

/// `TCPSocketAction`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct TcpSocketAction {
    pub port: PortRef,
    #[serde(default)]
    pub host: Arc<str>,
}

/// `GRPCAction`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct GrpcAction {
    pub port: u16,
    #[serde(default)]
    pub service: Option<Arc<str>>,
}

/// `SleepAction`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct SleepAction {
    pub seconds: u32,
}

/// A port by number, or by the name it has in `ports`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum PortRef {
    Number(u16),
    Name(Arc<str>),
}

impl PortRef {
    /// The number, looked up by name in the container's ports; `None` for an unknown name.
    pub fn number(&self, container: &crate::pod::Container) -> Option<u16> {
        match self {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => {
                let named = container.ports.iter().find(|p| p.name == *name);
                named
                    .map(|p| p.container_port)
                    .or_else(|| name.parse().ok())
            }
        }
    }
}
