//! What a bound pod costs in memory: in the store and the watch cache, in the informers of the
//! controller manager and in the scheduler's cache; and what a further revision of it costs.
//!
//! Everything is the pure cores, joined by a loop without network or disk; what is printed is the
//! growth of the resident set (`/proc/self/statm`), allocator and all.
//!
//! `cargo bench -p wavetank-benches --bench memory -- [PODS]`
//!
//! Book: `book/src/benchmarks.md`.
#![allow(
    clippy::unwrap_used,
    reason = "a bench stops at the first thing that goes wrong"
)]

use std::collections::VecDeque;

use wavetank_api::http::Peer;
use wavetank_api::{Method, Request, Response, Time};
use wavetank_apiserver::{
    ApiServer, Config, Input as Resumed, Step, StreamId, Ticket, TokenSigner,
};
use wavetank_controllers::Manager;
use wavetank_informer::{CallId, Component, Guards, Input, Nothing, Output};
use wavetank_scheduler::Scheduler;
use wavetank_store::{Store, WatchId};

const NOW: Time = Time::from_secs(1_767_225_600);
const PODS_A_NODE: usize = 100;

struct NoTokens;

impl TokenSigner for NoTokens {
    fn sign(&self, claims: &str) -> String {
        claims.to_owned()
    }

    fn verify(&self, _: &str) -> Option<String> {
        None
    }
}

/// Store and API server; every transaction is on disk at once.
struct Cluster {
    store: Store,
    api: ApiServer,
    watch: WatchId,
}

impl Cluster {
    fn new() -> Self {
        let mut store = Store::new();
        let mut api = ApiServer::new(Config::new("bench", [7; 32], Box::new(NoTokens)));
        let everything = store
            .range("/registry/", Some("/registry0"), None, 0)
            .unwrap();
        let watch = store.watch(everything.revision).unwrap();
        api.sync(&everything, NOW);
        let steps = api.bootstrap(NOW);
        let mut cluster = Cluster { store, api, watch };
        for step in steps {
            let _ = cluster.finish(step); // what exists already is refused
        }
        cluster
    }

    /// Follows a request to its answer or stream.
    fn finish(&mut self, mut step: Step) -> Result<Response, StreamId> {
        let mut waiting: Option<Ticket> = None;
        loop {
            step = match step {
                Step::Respond(decided) => return Ok(decided.response()),
                Step::Stream(_, stream) => return Err(stream),
                Step::Revision(ticket) => {
                    let revision = Resumed::Revision(self.store.revision());
                    self.api.resume(ticket, revision, NOW)
                }
                Step::Txn(ticket, txn) => {
                    self.store.stage(txn);
                    let (upto, _) = self.store.unsynced().unwrap();
                    let (_, answer) = self.store.durable(upto).pop().unwrap();
                    let next = self
                        .api
                        .resume(ticket, Resumed::Txn(Ok(answer.unwrap())), NOW);
                    let batch = self.store.drain(&self.watch, usize::MAX).unwrap();
                    self.api.observe(&batch, NOW);
                    next
                }
                Step::Grant(ticket, ttl) => {
                    self.store.grant(None, ttl, NOW);
                    let (upto, _) = self.store.unsynced().unwrap();
                    let (_, answer) = self.store.durable(upto).pop().unwrap();
                    self.api
                        .resume(ticket, Resumed::Txn(Ok(answer.unwrap())), NOW)
                }
                Step::Wait(ticket) => {
                    assert!(waiting.replace(ticket).is_none(), "the cache is up to date");
                    self.api.woken(NOW).pop().unwrap().1
                }
                Step::Tunnel(_) => panic!("nobody asks for a tunnel"),
            };
        }
    }

    fn call(&mut self, request: Request) -> Result<Response, StreamId> {
        let step = self.api.begin(request, NOW);
        self.finish(step)
    }

    fn write(&mut self, method: Method, path: &str, body: String) {
        let mut request = Request::new(method, path);
        let content = match method {
            Method::Patch => "application/merge-patch+json",
            _ => "application/json",
        };
        request = request.with_body(content, body);
        request.peer = Peer::Component("system:bench".into());
        let response = self.call(request).unwrap();
        let text = String::from_utf8_lossy(&response.bytes()).into_owned();
        assert!(response.is_success(), "{path}: {text}");
    }

    /// Lets a component fill its caches.
    fn start<C: Component<Effect = Nothing, Outcome = Nothing>>(&mut self, component: &mut C) {
        let mut inputs: VecDeque<Input<Nothing>> = VecDeque::from([Input::Start]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            component.handle(input, NOW, &mut out);
            for output in out {
                if let Output::Call(call, request) | Output::Watch(call, request) = output {
                    inputs.extend(self.answer(call, request));
                }
            }
        }
    }

    fn answer(&mut self, call: CallId, request: Request) -> Vec<Input<Nothing>> {
        match self.call(request) {
            Ok(response) => vec![Input::Response(call, response)],
            Err(_) => vec![Input::Opened(call)],
        }
    }

    /// Keeps one revision, as after a compaction.
    fn compact(&mut self) {
        self.store.compact(self.store.revision()).unwrap();
        while self.store.sweep(1_000_000) {}
    }
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0
}

fn pod(number: usize) -> String {
    let text = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"NAME","labels":{"app":"web",
      "pod-template-hash":"5d9c7b8f6d"},"ownerReferences":[{"apiVersion":"apps/v1",
      "kind":"ReplicaSet","name":"web-5d9c7b8f6d","uid":"4bd6ee9a-5a0c-4d6a-8c3a-3d1f2a0f6a11",
      "controller":true,"blockOwnerDeletion":true}]},
      "spec":{"nodeName":"NODE","containers":[{"name":"web",
      "image":"registry.example/shop/web:1.27","ports":[{"containerPort":8080,"name":"http"}],
      "resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"memory":"128Mi"}}}]}}"#;
    let text = text.replace("NAME", &name(number));
    text.replace("NODE", &format!("node-{}", number / PODS_A_NODE))
}

fn name(number: usize) -> String {
    format!("web-5d9c7b8f6d-{number:07}")
}

fn node(number: usize) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"node-{number}"}},
        "status":{{"allocatable":{{"cpu":"64","memory":"256Gi","pods":"250"}}}}}}"#
    )
}

fn main() {
    let wanted = std::env::args().skip(1).find_map(|text| text.parse().ok());
    let pods: usize = wanted.unwrap_or(100_000);
    let mut cluster = Cluster::new();
    let account = r#"{"metadata":{"name":"default"}}"#.to_owned();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster.write(Method::Post, accounts, account);
    for number in 0..pods.div_ceil(PODS_A_NODE) {
        cluster.write(Method::Post, "/api/v1/nodes", node(number));
    }
    let mut before = resident();
    let mut sum = 0.0;
    let mut say = |what: &str, counts: bool| {
        let each = (resident() - before) / pods as f64;
        before = resident();
        if counts {
            sum += each;
        }
        println!("{what:<46} {each:>8.0} bytes a pod");
        sum
    };
    for number in 0..pods {
        cluster.write(Method::Post, "/api/v1/namespaces/default/pods", pod(number));
    }
    cluster.compact();
    say("store and watch cache, one revision", true);
    let config = wavetank_controllers::Config {
        identity: "manager".into(),
        seed: 1,
        leader_elect: false,
        guards: Guards::default(),
        only: Some(&[]),
        root_ca: "".into(),
    };
    let mut manager = Manager::new(config);
    cluster.start(&mut manager);
    assert!(manager.is_acting(), "the manager's caches are full");
    say("informers of the controller manager", true);
    let mut scheduler = Scheduler::new(wavetank_scheduler::Config::new("scheduler".to_owned(), 1));
    cluster.start(&mut scheduler);
    let sum = say("cache of the scheduler", true);
    println!("{:<46} {sum:>8.0} bytes a pod", "together");
    for number in 0..pods {
        let path = format!("/api/v1/namespaces/default/pods/{}", name(number));
        let body = r#"{"metadata":{"annotations":{"a":"1"}}}"#.to_owned();
        cluster.write(Method::Patch, &path, body);
    }
    say("a further revision, before compaction", false);
}
