//! What a foreign API server refuses, told once.
//!
//! A kubelet takes any refusal for a reason to try again, and a thousand kubelets are refused a
//! thousand times: [`Refusals`] hears of every answer and prints what a person has to know.
//!
//! 1. What belongs to the protocol is not told: an object that is not there yet or no longer, a
//!    write that somebody else was faster with, a revision that is no longer kept.
//! 2. Any other refusal is told once per verb, resource and code; the rest are counted.
//!
//! Book: `book/src/simulator/nodes.md`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wavetank_api::{Method, Request, Response};
use wavetank_informer::ApiError;
use wavetank_serve::Incident;

/// Failures to reach the server are told this often, however many requests fail.
const QUIET: Duration = Duration::from_secs(30);

/// Verb, resource and code of a refusal.
type Refusal = (Method, String, u16);

/// What has been told, and how often it has happened.
#[derive(Default)]
pub struct Refusals {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    refused: BTreeMap<Refusal, u64>,
    /// When it was last told that the server cannot be reached; `None` when it can.
    failed: Option<Instant>,
}

impl Refusals {
    /// Prints what is new.
    pub fn hear(&self, incident: Incident<'_>) {
        let line = match incident {
            Incident::Answered(request, response) => self.answered(request, response),
            Incident::Failed(error) => self.failed(&error.to_string(), Instant::now()),
        };
        if let Some(line) = line {
            eprintln!("{line}");
        }
    }

    /// What was refused more than once.
    pub fn summary(&self) -> Vec<String> {
        let told = self.lock();
        let often = told.refused.iter().filter(|(_, times)| **times > 1);
        let lines = often.map(|((method, resource, code), times)| {
            format!(
                "{} {resource} was refused {times} times with {code}",
                method.as_str()
            )
        });
        lines.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // Nothing that could panic is done while it is held.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, request: &Request, response: &Response) -> Option<String> {
        let mut told = self.lock();
        if response.is_success() {
            return told
                .failed
                .take()
                .map(|_| "the server answers again".to_owned());
        }
        let error = ApiError::from_status(response.status, &response.bytes());
        let resource = resource(&request.target);
        if is_routine(request.method, &resource, &error) {
            return None;
        }
        let key = (request.method, resource, response.status);
        let times = told.refused.entry(key.clone()).or_default();
        *times += 1;
        if *times > 1 {
            return None;
        }
        let (method, resource, code) = (key.0.as_str(), key.1, key.2);
        let mut line = format!(
            "{method} {resource}: {code} {}: {}",
            error.reason, error.message
        );
        if error.is_conflict() {
            line.push_str("; is there another process with nodes of these names?");
        }
        Some(line)
    }

    fn failed(&self, error: &str, now: Instant) -> Option<String> {
        let mut told = self.lock();
        let is_known = told.failed.is_some_and(|at| now.duration_since(at) < QUIET);
        if is_known {
            return None;
        }
        told.failed = Some(now);
        Some(format!("{error}; trying again"))
    }
}

/// Whether a kubelet that works as it should is refused like this.
fn is_routine(method: Method, resource: &str, error: &ApiError) -> bool {
    match error.code {
        404 => method != Method::Post,
        409 => !(method == Method::Put && resource == "leases"),
        410 => true,
        _ => error.is_namespace_terminating(),
    }
}

/// `pods/status` of `/api/v1/namespaces/default/pods/web-0/status?fieldManager=kubelet`.
fn resource(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let version = match parts.next() {
        Some("apis") => parts.nth(1),
        _ => parts.next(),
    };
    let parts: Vec<&str> = parts.collect();
    let parts = match parts.as_slice() {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    match (version, parts) {
        (_, [plural, _, subresource, ..]) => format!("{plural}/{subresource}"),
        (_, [plural, ..]) => (*plural).to_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, target: &str) -> Request {
        Request::new(method, target)
    }

    fn refusal(code: u16, reason: &str) -> Response {
        let body =
            format!(r#"{{"kind":"Status","reason":"{reason}","message":"no","code":{code}}}"#);
        Response::new(code, "application/json", body)
    }

    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/wavetank-0";

    #[test]
    fn a_refusal_is_told_once_and_counted() {
        let refusals = Refusals::default();
        let patch = request(Method::Patch, "/api/v1/nodes/wavetank-0/status?x=1");
        let forbidden = refusal(403, "Forbidden");
        let told = refusals.answered(&patch, &forbidden);
        assert_eq!(told.unwrap(), "PATCH nodes/status: 403 Forbidden: no");
        assert_eq!(refusals.answered(&patch, &forbidden), None);
        let other = request(Method::Patch, "/api/v1/nodes/wavetank-1/status");
        assert_eq!(refusals.answered(&other, &forbidden), None);
        assert!(
            refusals
                .answered(&other, &refusal(401, "Unauthorized"))
                .is_some()
        );
        assert_eq!(
            refusals.summary(),
            ["PATCH nodes/status was refused 3 times with 403"]
        );
    }

    #[test]
    fn what_belongs_to_the_protocol_is_not_told() {
        let refusals = Refusals::default();
        let get = request(Method::Get, LEASE);
        assert_eq!(refusals.answered(&get, &refusal(404, "NotFound")), None);
        let create = request(Method::Post, "/api/v1/nodes");
        assert_eq!(
            refusals.answered(&create, &refusal(409, "AlreadyExists")),
            None
        );
        assert!(
            refusals
                .answered(&create, &refusal(404, "NotFound"))
                .is_some()
        );
        let renew = request(Method::Put, LEASE);
        let told = refusals
            .answered(&renew, &refusal(409, "Conflict"))
            .unwrap();
        assert!(
            told.starts_with("PUT leases: 409") && told.contains("another process"),
            "{told}"
        );
    }

    #[test]
    fn a_server_that_is_away_is_told_of_once_in_a_while() {
        let refusals = Refusals::default();
        let began = Instant::now();
        assert_eq!(
            refusals.failed("away", began).unwrap(),
            "away; trying again"
        );
        assert_eq!(refusals.failed("away", began + QUIET / 2), None);
        assert!(refusals.failed("away", began + QUIET * 2).is_some());
        let get = request(Method::Get, LEASE);
        let answer = Response::new(200, "application/json", "{}");
        assert!(refusals.answered(&get, &answer).is_some());
        assert_eq!(refusals.answered(&get, &answer), None);
    }

    #[test]
    fn a_resource_is_what_kubectl_calls_it() {
        let cases = [
            ("/api/v1/nodes", "nodes"),
            (
                "/api/v1/namespaces/default/pods/web-0/status",
                "pods/status",
            ),
            ("/api/v1/pods?fieldSelector=spec.nodeName%3Dx", "pods"),
            ("/api/v1/namespaces/default", "namespaces"),
            (LEASE, "leases"),
            ("/version", "/version"),
        ];
        for (target, expected) in cases {
            assert_eq!(resource(target), expected);
        }
    }
}
