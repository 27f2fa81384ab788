//! Any bytes in any request, and resumes in any order, lost and doubled.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::time::Duration;

use proptest::prelude::*;

use wavetank_api::http::Peer;
use wavetank_api::{Method, Request, Revision};
use wavetank_store::Txn;

use crate::step::{Input, Step, Ticket, Unavailable};
use crate::testing::Cluster;

const METHODS: [Method; 6] = [
    Method::Get,
    Method::Post,
    Method::Put,
    Method::Patch,
    Method::Delete,
    Method::Head,
];
const PATHS: [&str; 21] = [
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/pods/web-0",
    "/api/v1/namespaces/default/pods/web-0/binding",
    "/api/v1/namespaces/default/pods/web-0/eviction",
    "/api/v1/namespaces/default/pods/web-0/status",
    "/api/v1/namespaces/default/pods/web-0/exec",
    "/api/v1/namespaces/default/services",
    "/api/v1/namespaces/default/services/web",
    "/api/v1/namespaces/default/serviceaccounts/default/token",
    "/api/v1/namespaces/default",
    "/api/v1/namespaces/default/finalize",
    "/apis/apps/v1/namespaces/default/deployments/web",
    "/apis/apps/v1/namespaces/default/deployments/web/scale",
    "/apis/apps/v1/deployments",
    "/api/v1/namespaces/default/events",
    "/api/v1/namespaces/default/events/e",
    "/apis/events.k8s.io/v1/namespaces/default/events/e",
    "/api/v1/namespaces/default/bindings",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
    "/readyz",
];
const QUERIES: [&str; 10] = [
    "",
    "?watch=1&allowWatchBookmarks=true",
    "?watch=1&resourceVersion=5",
    "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=99",
    "?limit=1",
    "?limit=1&continue=7b7d",
    "?dryRun=All&fieldManager=x",
    "?force=true&fieldManager=x&fieldValidation=Strict",
    "?fieldSelector=spec.nodeName=n1&labelSelector=a%20in%20(b)",
    "?command=ls&stdout=true&pretty=true",
];
const TYPES: [&str; 7] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const BODIES: [&str; 13] = [
    "",
    "{}",
    "null",
    "[]",
    r#"{"metadata":{"name":"web-0","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#,
    r#"{"metadata":{"name":"web","finalizers":["a/b"]},"spec":{"type":"NodePort","ports":[{"port":80}]}}"#,
    r#"{"metadata":{"generateName":"x-"},"spec":null,"status":{"phase":1}}"#,
    r#"{"metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#,
    r#"{"metadata":{"name":"web-0"},"target":{"name":"n1"}}"#,
    r#"[{"op":"replace","path":"/metadata","value":5},{"op":"remove","path":"/spec"}]"#,
    r#"{"metadata":null,"spec":[],"kind":7,"apiVersion":{}}"#,
    r#"{"metadata":{"name":"e","namespace":"default"},"involvedObject":{"namespace":"default"},"count":2}"#,
    r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":3}}"#,
];

/// One thing that a hostile shell does.
#[derive(Clone, Debug)]
enum Act {
    Request {
        method: usize,
        path: usize,
        query: usize,
        of: usize,
        body: usize,
    },
    Bytes {
        path: usize,
        of: usize,
        bytes: Vec<u8>,
        target: String,
    },
    /// Answers one of the steps seen so far, waiting or not, rightly or not.
    Resume { step: usize, how: u8 },
    /// Time passes; streams are drained; waiting requests wake.
    Pass { seconds: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let n = 0_usize..64;
    let request = (n.clone(), n.clone(), n.clone(), n.clone(), n.clone());
    let request = request.prop_map(|(method, path, query, of, body)| Act::Request {
        method,
        path,
        query,
        of,
        body,
    });
    let bytes = (
        n.clone(),
        n.clone(),
        prop::collection::vec(any::<u8>(), 0..40),
        "\\PC{0,20}",
    );
    let bytes = bytes.prop_map(|(path, of, bytes, target)| Act::Bytes {
        path,
        of,
        bytes,
        target,
    });
    prop_oneof![
        8 => request,
        2 => bytes,
        8 => (n, 0_u8..8).prop_map(|(step, how)| Act::Resume { step, how }),
        1 => (0_u64..100).prop_map(|seconds| Act::Pass { seconds }),
    ]
}

/// What a step asks of the store.
#[derive(Clone)]
enum Asked {
    Txn(Txn),
    Grant(Duration),
}

/// A cluster whose shell loses, doubles and reorders.
struct Chaos {
    cluster: Cluster,
    /// Every ticket ever given, with what the store was to do, if anything.
    tickets: Vec<(Ticket, Option<Asked>)>,
}

impl Chaos {
    fn note(&mut self, step: Step) {
        match step {
            Step::Txn(ticket, txn) => self.tickets.push((ticket, Some(Asked::Txn(txn)))),
            Step::Grant(ticket, ttl) => self.tickets.push((ticket, Some(Asked::Grant(ttl)))),
            Step::Revision(ticket) | Step::Wait(ticket) => self.tickets.push((ticket, None)),
            Step::Stream(_, stream) => {
                self.cluster.server.drain(stream, self.cluster.now);
            }
            Step::Respond(decided) => {
                let response = decided.response();
                assert!((100..600).contains(&response.status), "{}", response.status);
            }
            Step::Tunnel(_) => {}
        }
    }

    fn send(&mut self, mut request: Request) {
        request.peer = Peer::Component("chaos".into());
        let step = self.cluster.server.begin(request, self.cluster.now);
        self.note(step);
    }

    fn resume(&mut self, step: usize, how: u8) {
        let Some((ticket, asked)) = self.tickets.get(step % self.tickets.len().max(1)).cloned()
        else {
            return;
        };
        let input = match (how, asked) {
            (0, _) => Input::Revision(Revision(1_000_000)),
            (1, _) => Input::Txn(Err(Unavailable::Unknown)),
            (2, _) => Input::Txn(Err(Unavailable::Refused("no".to_string()))),
            (_, Some(Asked::Txn(txn))) => Input::Txn(Ok(self.cluster.commit(txn))),
            // The wrong kind of answer: a result without a lease.
            (4, Some(Asked::Grant(_))) => Input::Txn(Ok(self.cluster.commit(Txn::default()))),
            (_, Some(Asked::Grant(ttl))) => Input::Txn(Ok(self.cluster.grant(ttl))),
            (_, None) => Input::Revision(self.cluster.store.revision()),
        };
        if how != 3 {
            self.cluster.observe();
        }
        let step = self.cluster.server.resume(ticket, input, self.cluster.now);
        self.note(step);
    }

    fn pass(&mut self, seconds: u64) {
        self.cluster.pass(Duration::from_secs(seconds));
        let now = self.cluster.now;
        self.cluster.server.tick(now);
        for (_, step) in self.cluster.server.woken(now) {
            self.note(step);
        }
        for stream in self.cluster.server.news() {
            self.cluster.server.drain(stream, now);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Request {
                method,
                path,
                query,
                of,
                body,
            } => {
                let target = format!("{}{}", at(&PATHS, path), at(&QUERIES, query));
                let request = Request::new(at(&METHODS, method), target);
                self.send(request.with_body(at(&TYPES, of), at(&BODIES, body).as_bytes()));
            }
            Act::Bytes {
                path,
                of,
                bytes,
                target,
            } => {
                let target = format!("{}?{target}", at(&PATHS, path));
                let request = Request::new(Method::Post, target);
                self.send(request.with_body(at(&TYPES, of), bytes));
            }
            Act::Resume { step, how } => self.resume(step, how),
            Act::Pass { seconds } => self.pass(seconds),
        }
    }
}

fn at<T: Copy>(items: &[T], index: usize) -> T {
    items[index % items.len()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Header of `server.rs`, invariant 1.
    #[test]
    fn any_bytes_and_any_resumes_are_answered_without_a_panic(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut chaos = Chaos { cluster: Cluster::new(), tickets: Vec::new() };
        chaos.cluster.create(
            "/api/v1/namespaces/default/serviceaccounts",
            wavetank_api::json::json!({"metadata": {"name": "default"}}),
        );
        for act in acts {
            chaos.act(act);
        }
    }
}
