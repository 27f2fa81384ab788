//! The node's heartbeat: a Lease renewed every ten seconds.
//!
//! Held by `kubelet.rs`. Upstream: `k8s.io/component-helpers/apimachinery/lease` and
//! `pkg/kubelet/util/nodelease.go`.
//!
//! 1. One renewal is one PUT; a Lease is read only when it is not known or was changed by another.
//! 2. After a failed renewal it is tried again within the same ten seconds.
//!
//! A cluster of 5,000 nodes renews 500 leases a second, so the body is a template, not a tree.
//!
//! Book: `book/src/node/kubelet.md`.

use core::time::Duration;

use serde::Deserialize;

use wavetank_api::{KindId, Method, Request, Response, Time};
use wavetank_informer::client::parse;
use wavetank_informer::{CallId, Key, Output, json};

use crate::context::Shared;
use crate::effect::Effect;

/// Time between renewals (a quarter of the duration, as upstream).
pub(crate) const EVERY: Duration = Duration::from_secs(10);
/// `spec.leaseDurationSeconds`.
const DURATION_SECONDS: u32 = 40;
/// Wait after a failure; upstream waits 200 ms and doubles.
const RETRY: Duration = Duration::from_secs(1);
const NAMESPACE: &str = "kube-node-lease";

/// What is known of the node's Lease.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    known: Option<Known>,
    under_way: Option<(CallId, Step)>,
    /// When to renew; `None` until the node is registered.
    next: Option<Time>,
}

#[derive(Debug)]
struct Known {
    revision: u64,
    uid: Box<str>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Get,
    Create,
    Renew,
}

/// What a renewal needs of the answer to the one before.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    metadata: AnswerMeta<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerMeta<'a> {
    resource_version: &'a str,
    uid: &'a str,
}

impl Known {
    fn of(answer: &[u8]) -> Option<Self> {
        let Answer { metadata } = json::from_slice(answer).ok()?;
        Some(Known {
            revision: metadata.resource_version.parse().ok()?,
            uid: metadata.uid.into(),
        })
    }
}

impl Lease {
    /// Begins to renew, the first time at once.
    pub fn start(&mut self, now: Time) {
        self.next.get_or_insert(now);
    }

    /// When it wants to be called.
    pub fn next_wake(&self) -> Option<Time> {
        if self.under_way.is_some() {
            None
        } else {
            self.next
        }
    }

    // ANCHOR: renew
    /// Renews when it is due. `owner` is the Node's uid.
    pub fn tick(
        &mut self,
        owner: &str,
        shared: &mut Shared,
        now: Time,
        out: &mut Vec<Output<Effect>>,
    ) {
        if self.under_way.is_some() || self.next.is_none_or(|next| now < next) {
            return;
        }
        let key = Key::new(NAMESPACE, shared.config.node_name.clone());
        let read = shared.client.get(KindId::Lease, &key);
        let (step, request) = match &self.known {
            Some(known) => {
                let body = body(&key.name, owner, Some(known), now);
                (Step::Renew, with_body(read, Method::Put, body))
            }
            None => (Step::Get, read),
        };
        let call = shared.ids.fresh();
        self.under_way = Some((call, step));
        self.next = Some(now + EVERY);
        out.push(Output::Call(call, request));
    }
    // ANCHOR_END: renew

    /// Takes in an answer, or that none came; whether it was for the lease.
    pub fn answered(
        &mut self,
        call: CallId,
        response: Option<&Response>,
        owner: &str,
        shared: &mut Shared,
        now: Time,
        out: &mut Vec<Output<Effect>>,
    ) -> bool {
        let Some((_, step)) = self.under_way.take_if(|(id, _)| *id == call) else {
            return false;
        };
        let answer = response.map(parse);
        self.known = match &answer {
            Some(Ok(body)) => Known::of(body),
            _ => None, // changed or removed by another, or nothing is known
        };
        let is_missing = matches!(answer, Some(Err(error)) if error.is_not_found());
        match step {
            Step::Get if is_missing => self.create(owner, shared, now, out),
            Step::Get if self.known.is_some() => {
                self.next = Some(now);
                self.tick(owner, shared, now, out);
            }
            _ if self.known.is_none() => self.next = Some(now + RETRY), // read it
            _ => {}
        }
        true
    }

    fn create(
        &mut self,
        owner: &str,
        shared: &mut Shared,
        now: Time,
        out: &mut Vec<Output<Effect>>,
    ) {
        let key = Key::new(NAMESPACE, shared.config.node_name.clone());
        let body = body(&key.name, owner, None, now);
        let all = shared.client.get(KindId::Lease, &key);
        let target = all
            .target
            .rsplit_once('/')
            .map_or(String::new(), |(path, _)| path.into());
        let request = with_body(Request { target, ..all }, Method::Post, body);
        let call = shared.ids.fresh();
        self.under_way = Some((call, Step::Create));
        out.push(Output::Call(call, request));
    }
}

/// The same path with another verb.
fn with_body(request: Request, method: Method, body: String) -> Request {
    Request { method, ..request }.with_body("application/json", body)
}

/// The Lease as JSON. Names and uids need no escapes: they are checked by the API server.
fn body(name: &str, owner: &str, known: Option<&Known>, now: Time) -> String {
    let identity = match known {
        Some(Known { revision, uid }) => {
            format!("\"resourceVersion\":\"{revision}\",\"uid\":\"{uid}\",")
        }
        None => String::new(),
    };
    let owners = if owner.is_empty() {
        String::new()
    } else {
        format!(
            ",\"ownerReferences\":[{{\"apiVersion\":\"v1\",\"kind\":\"Node\",\
             \"name\":\"{name}\",\"uid\":\"{owner}\"}}]"
        )
    };
    format!(
        "{{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{{{identity}\
         \"name\":\"{name}\",\"namespace\":\"{NAMESPACE}\"{owners}}},\"spec\":{{\
         \"holderIdentity\":\"{name}\",\"leaseDurationSeconds\":{DURATION_SECONDS},\
         \"renewTime\":\"{}\"}}}}",
        now.to_rfc3339_micros()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_the_object() {
        let known = Known {
            revision: 42,
            uid: "l".into(),
        };
        for known in [None, Some(&known)] {
            let text = body("n1", "u", known, Time::from_secs(0));
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["spec"]["renewTime"], "1970-01-01T00:00:00.000000Z");
            assert_eq!(value["spec"]["leaseDurationSeconds"], 40);
            assert_eq!(value["metadata"]["ownerReferences"][0]["uid"], "u");
            let revision = known
                .map(|_| "42".into())
                .unwrap_or(serde_json::Value::Null);
            assert_eq!(value["metadata"]["resourceVersion"], revision);
        }
    }
}
