//! What a bound pod costs in memory: in the store and the watch cache, in the informers of the
//! controller manager and in the scheduler; and what a further revision of it costs.
//!
//! Everything is the pure cores, joined by a loop without network or disk. The pods are written by
//! those who write them in a cluster: made by a ReplicaSet, bound by the scheduler and, with
//! `running`, reported on by a kubelet. What is printed is the growth of the resident set
//! (`/proc/self/statm`), allocator and all. The informers of kubelets are left out: each holds the
//! pods of its own node, on its own node.
//!
//! `cargo bench -p wavetank-benches --bench memory -- [PODS] [running]`
//!
//! Book: `book/src/benchmarks.md`.
#![allow(
    clippy::unwrap_used,
    reason = "a bench stops at the first thing that goes wrong"
)]

use core::time::Duration;
use std::collections::VecDeque;

use serde_json::{Value, json};

use wavetank_api::{KindId, Request, Response, Time, Uid};
use wavetank_apiserver::{
    ApiServer, Config, Input as Resumed, Step, StreamId, Ticket, TokenSigner,
};
use wavetank_benches::objects::pod_status;
use wavetank_controllers::Manager;
use wavetank_informer::client::{Client, Patch, Write};
use wavetank_informer::{CallId, Component, Guards, Input, Key, Nothing, Output};
use wavetank_scheduler::Scheduler;
use wavetank_store::{Store, WatchId};

const BEGIN: Time = Time::from_secs(1_767_225_600);
const PODS_A_NODE: usize = 100;
const PODS_A_SET: usize = 500;
/// Writes between two compactions.
const COMPACT_EVERY: usize = 10_000;

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
    now: Time,
}

impl Cluster {
    fn new() -> Self {
        let mut store = Store::new();
        let mut api = ApiServer::new(Config::new("bench", [7; 32], Box::new(NoTokens)));
        let everything = store
            .range("/registry/", Some("/registry0"), None, 0)
            .unwrap();
        let watch = store.watch(everything.revision).unwrap();
        api.sync(&everything, BEGIN);
        let steps = api.bootstrap(BEGIN);
        let now = BEGIN;
        let mut cluster = Cluster {
            store,
            api,
            watch,
            now,
        };
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
                    self.api.resume(ticket, revision, self.now)
                }
                Step::Txn(ticket, txn) => {
                    self.store.stage(txn);
                    let (upto, _) = self.store.unsynced().unwrap();
                    let (_, answer) = self.store.durable(upto).pop().unwrap();
                    let next = self
                        .api
                        .resume(ticket, Resumed::Txn(Ok(answer.unwrap())), self.now);
                    let batch = self.store.drain(&self.watch, usize::MAX).unwrap();
                    self.api.observe(&batch, self.now);
                    next
                }
                Step::Grant(ticket, ttl) => {
                    self.store.grant(None, ttl, self.now);
                    let (upto, _) = self.store.unsynced().unwrap();
                    let (_, answer) = self.store.durable(upto).pop().unwrap();
                    self.api
                        .resume(ticket, Resumed::Txn(Ok(answer.unwrap())), self.now)
                }
                Step::Wait(ticket) => {
                    assert!(waiting.replace(ticket).is_none(), "the cache is up to date");
                    self.api.woken(self.now).pop().unwrap().1
                }
                Step::Tunnel(_) => panic!("nobody asks for a tunnel"),
            };
        }
    }

    fn call(&mut self, request: Request) -> Result<Response, StreamId> {
        let step = self.api.begin(request, self.now);
        self.finish(step)
    }

    fn write(&mut self, write: Write) {
        let target = write.request.target.clone();
        let response = self.call(write.request).unwrap();
        let text = String::from_utf8_lossy(&response.bytes()).into_owned();
        assert!(response.is_success(), "{target}: {text}");
    }

    /// Lets a minute without writes go by, so that the server keeps no more trees.
    fn rest(&mut self, writers: &Writers) {
        self.now = self.now + Duration::from_secs(60);
        let rested = json!({"metadata": {"generateName": "rested-"}});
        self.write(
            writers
                .manager
                .create(KindId::ConfigMap, "default", &rested),
        );
    }

    /// Lets a component fill its caches.
    fn start<C: Component<Effect = Nothing, Outcome = Nothing>>(&mut self, component: &mut C) {
        let mut inputs: VecDeque<Input<Nothing>> = VecDeque::from([Input::Start]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            component.handle(input, self.now, &mut out);
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

    /// Keeps one revision, as compaction does every few minutes.
    fn compact(&mut self) {
        self.store.compact(self.store.revision()).unwrap();
        while self.store.sweep(1_000_000) {}
    }
}

/// The writers of a pod, each under the name by which its fields are owned.
struct Writers {
    manager: Client,
    scheduler: Client,
    kubelet: Client,
}

impl Writers {
    fn new() -> Self {
        let client = |name: &'static str| Client::new(name, name);
        Writers {
            manager: client("kube-controller-manager"),
            scheduler: client("kube-scheduler"),
            kubelet: client("kubelet"),
        }
    }

    /// From nothing to a bound pod, or to a running one.
    fn bring_up(&self, cluster: &mut Cluster, number: usize, running: bool) {
        let node = format!("node-{}", number / PODS_A_NODE);
        let pod = self.manager.create(KindId::Pod, "default", &pod(number));
        cluster.write(pod);
        cluster.write(self.scheduler.bind(&key(number), &Uid::default(), &node));
        if running {
            self.report(cluster, number, 0);
        }
    }

    /// The kubelet's patch of a running pod's status.
    fn report(&self, cluster: &mut Cluster, number: usize, restarts: u32) {
        let patch = json!({"status": status(number, restarts)});
        let how = Patch::Strategic;
        let key = key(number);
        cluster.write(self.kubelet.patch(KindId::Pod, &key, "status", how, &patch));
    }
}

/// A pod as its ReplicaSet makes it; the rest is defaulted and admitted by the server.
fn pod(number: usize) -> Value {
    let set = number / PODS_A_SET;
    let (app, hash) = (
        format!("web-{set}"),
        format!("{:010x}", 0x5d_9c7b_8f6d + set),
    );
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
        "blockOwnerDeletion": true, "name": format!("{app}-{hash}"),
        "uid": format!("4bd6ee9a-5a0c-4d6a-8c3a-{set:012x}")});
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": &*key(number).name, "generateName": format!("{app}-{hash}-"),
            "labels": {"app": app, "pod-template-hash": hash}, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "web", "image": "registry.example/shop/web:1.27",
            "ports": [{"containerPort": 8080, "name": "http"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"memory": "128Mi"}}}]}})
}

fn key(number: usize) -> Key {
    let set = number / PODS_A_SET;
    Key::new("default", format!("web-{set}-5d9c7b8f6d-{number:05x}"))
}

/// The status that a kubelet reports of a pod whose container runs and is ready.
fn status(number: usize, restarts: u32) -> Value {
    let mut status = pod_status("True");
    let host = format!("172.16.{}.{}", number >> 16 & 255, number >> 8 & 255);
    let own = format!(
        "10.{}.{}.{}",
        number >> 16 & 255,
        number >> 8 & 255,
        number & 255
    );
    status["hostIP"] = json!(host);
    status["hostIPs"] = json!([{"ip": host}]);
    status["podIP"] = json!(own);
    status["podIPs"] = json!([{"ip": own}]);
    let container = &mut status["containerStatuses"][0];
    container["image"] = json!("registry.example/shop/web:1.27");
    container["imageID"] = json!(format!("sha256:{:064x}", 0x0057_382f));
    container["containerID"] = json!(format!("sim://{number:032x}"));
    container["restartCount"] = json!(restarts);
    status
}

fn node(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{number}")},
        "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "250"}}})
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0
}

/// Prints how much a step grew the resident set, for each pod.
struct Meter {
    pods: usize,
    before: f64,
}

impl Meter {
    fn say(&mut self, what: &str) -> f64 {
        let each = (resident() - self.before) / self.pods as f64;
        println!("{what:<46} {each:>8.0} bytes a pod");
        self.before = resident();
        each
    }
}

fn manager() -> Manager {
    Manager::new(wavetank_controllers::Config {
        identity: "manager".into(),
        seed: 1,
        leader_elect: false,
        guards: Guards::default(),
        read_your_writes: Default::default(),
        only: Some(&[]),
        root_ca: "".into(),
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.iter().find_map(|text| text.parse().ok());
    let pods: usize = wanted.unwrap_or(100_000);
    let running = arguments.iter().any(|text| text == "running");
    let (mut cluster, writers) = (Cluster::new(), Writers::new());
    let account = json!({"metadata": {"name": "default"}});
    let account = writers
        .manager
        .create(KindId::ServiceAccount, "default", &account);
    cluster.write(account);
    for number in 0..pods.div_ceil(PODS_A_NODE) {
        cluster.write(writers.kubelet.create(KindId::Node, "", &node(number)));
    }
    let mut meter = Meter {
        pods,
        before: resident(),
    };
    for number in 0..pods {
        writers.bring_up(&mut cluster, number, running);
        if number % COMPACT_EVERY == 0 {
            cluster.compact();
        }
    }
    cluster.rest(&writers);
    cluster.compact();
    let stored = meter.say("store and watch cache, one revision");
    let mut manager = manager();
    cluster.start(&mut manager);
    assert!(manager.is_acting(), "the manager's caches are full");
    let managed = meter.say("informers of the controller manager");
    let mut scheduler = Scheduler::new(wavetank_scheduler::Config::new("scheduler".to_owned(), 1));
    cluster.start(&mut scheduler);
    let scheduled = meter.say("the scheduler");
    let sum = stored + managed + scheduled;
    println!("{:<46} {sum:>8.0} bytes a pod", "together");
    for number in 0..pods {
        writers.report(&mut cluster, number, 1);
    }
    cluster.rest(&writers);
    meter.say("a further revision, before compaction");
}
