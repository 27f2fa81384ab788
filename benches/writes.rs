//! What a write costs in the API server's core, with a store but no disk and no network around it.
//!
//! Each kind of write is sent as its client sends it, many times, in rounds; the fastest round
//! counts. The columns are the steps of a write: `begin` decides, the store commits, `resume`
//! answers, and `observe` brings the change into the watch cache.
//!
//! `cargo bench -p wavetank-benches --bench writes -- [NAME]`
//!
//! Book: `book/src/benchmarks.md`.
#![allow(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a bench measures the wall clock, and stops at the first thing that goes wrong"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use wavetank_api::{KindId, Request, Revision, Time, Uid};
use wavetank_apiserver::{ApiServer, Config, Input, Step, TokenSigner};
use wavetank_benches::objects::{pod, pod_status};
use wavetank_informer::client::{Client, Patch};
use wavetank_informer::view::Key;
use wavetank_store::{Store, TxnResult, WatchId};

/// Writes in a round; as many objects take part.
const OBJECTS: usize = 500;
const ROUNDS: usize = 20;

struct NoTokens;

impl TokenSigner for NoTokens {
    fn sign(&self, _: &str) -> String {
        String::new()
    }

    fn verify(&self, _: &str) -> Option<String> {
        None
    }
}

/// Time spent in each step of a write.
#[derive(Clone, Copy, Default)]
struct Spent {
    begin: Duration,
    store: Duration,
    resume: Duration,
    observe: Duration,
}

impl Spent {
    fn all(&self) -> Duration {
        self.begin + self.store + self.resume + self.observe
    }
}

/// One API server on one store.
struct Cluster {
    store: Store,
    server: ApiServer,
    watch: WatchId,
    now: Time,
    spent: Spent,
}

impl Cluster {
    fn new() -> Self {
        let (mut store, now) = (Store::new(), Time::from_secs(1_767_323_045));
        let mut server = ApiServer::new(Config::new("bench", [7; 32], Box::new(NoTokens)));
        let snapshot = store.range("/registry/", Some("/registry0"), None, 0);
        let snapshot = snapshot.unwrap();
        let watch = store.watch(snapshot.revision).unwrap();
        server.sync(&snapshot, now);
        let steps = server.bootstrap(now);
        let spent = Spent::default();
        let mut cluster = Cluster {
            store,
            server,
            watch,
            now,
            spent,
        };
        for step in steps {
            cluster.finish(step);
        }
        cluster
    }

    /// Sends a write; answers the revision at which the object now is.
    fn send(&mut self, request: Request) -> Revision {
        let began = Instant::now();
        let step = self.server.begin(request, self.now);
        self.spent.begin += began.elapsed();
        self.finish(step)
    }

    fn finish(&mut self, mut step: Step) -> Revision {
        let mut revision = Revision(0);
        loop {
            let (ticket, txn) = match step {
                Step::Txn(ticket, txn) => (ticket, txn),
                Step::Respond(answer) => {
                    assert!((200..300).contains(&answer.code()), "{answer:?}");
                    return revision;
                }
                other => panic!("no step of a write: {other:?}"),
            };
            let began = Instant::now();
            self.store.stage(txn);
            let (upto, _) = self.store.unsynced().unwrap();
            let result: TxnResult = self.store.durable(upto).pop().unwrap().1.unwrap();
            let batch = self.store.drain(&self.watch, 1000).unwrap();
            self.spent.store += began.elapsed();
            revision = result.revision;
            let began = Instant::now();
            self.server.observe(&batch, self.now);
            self.spent.observe += began.elapsed();
            let began = Instant::now();
            step = self.server.resume(ticket, Input::Txn(Ok(result)), self.now);
            self.spent.resume += began.elapsed();
        }
    }

    /// Rounds of the same write to every object; prints the fastest.
    fn measure(&mut self, name: &str, mut request: impl FnMut(usize, usize) -> Request) {
        let mut best: Option<Spent> = None;
        for round in 0..ROUNDS {
            self.now = self.now + Duration::from_secs(10);
            let requests: Vec<Request> = (0..OBJECTS).map(|at| request(round, at)).collect();
            self.spent = Spent::default();
            for request in requests {
                self.send(request);
            }
            let spent = self.spent;
            best = Some(best.map_or(spent, |best| match spent.all() < best.all() {
                true => spent,
                false => best,
            }));
        }
        let best = best.unwrap_or_default();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / OBJECTS as f64;
        println!(
            "{name:<20} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
            each(best.begin),
            each(best.store),
            each(best.resume),
            each(best.observe),
            each(best.all())
        );
    }
}

fn client(agent: &'static str) -> Client {
    Client::new(agent, agent)
}

fn named(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    object["metadata"]["name"] = name.into();
    object
}

fn config_maps(cluster: &mut Cluster) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "default"}, "data": {"key": "value"}});
    let kubectl = client("kubectl");
    cluster.measure("ConfigMap create", |round, at| {
        let map = named(&map, &format!("map-{round}-{at}"));
        kubectl.create(KindId::ConfigMap, "default", &map).request
    });
}

/// A Lease as the kubelet writes it, with the revision it knows.
fn lease(name: &str, revision: Option<Revision>, now: Time) -> Value {
    let owners = json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": "u"}]);
    let mut lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": owners},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40,
            "renewTime": now.to_rfc3339_micros()}});
    if let Some(revision) = revision {
        lease["metadata"]["resourceVersion"] = revision.to_string().into();
    }
    lease
}

fn leases(cluster: &mut Cluster) {
    let (kubelet, namespace) = (client("kubelet"), "kube-node-lease");
    let names: Vec<String> = (0..OBJECTS).map(|at| format!("node-{at}")).collect();
    let mut first = Revision(0);
    for name in &names {
        let lease = lease(name, None, cluster.now);
        first = cluster.send(kubelet.create(KindId::Lease, namespace, &lease).request);
    }
    // Nobody else writes, so revisions follow one another.
    let mut revision = Revision(first.0 - OBJECTS as u64);
    let mut now = cluster.now;
    cluster.measure("Lease PUT", |_, at| {
        revision.0 += 1;
        now = now + Duration::from_micros(10_000_000 / OBJECTS as u64);
        let lease = lease(&names[at], Some(revision), now);
        let key = Key::new(namespace, names[at].as_str());
        kubelet.update(KindId::Lease, &key, &lease).request
    });
}

fn pods(cluster: &mut Cluster) {
    let mut sent = pod();
    for server in ["uid", "name"] {
        sent["metadata"].as_object_mut().unwrap().remove(server);
    }
    for server in ["nodeName", "tolerations", "volumes"] {
        sent["spec"].as_object_mut().unwrap().remove(server);
    }
    sent["spec"]["containers"][0]
        .as_object_mut()
        .unwrap()
        .remove("volumeMounts");
    sent.as_object_mut().unwrap().remove("status");
    let (manager, scheduler) = (client("kube-controller-manager"), client("kube-scheduler"));
    let kubelet = client("kubelet");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "default"}});
    let account = manager.create(KindId::ServiceAccount, "default", &account);
    cluster.send(account.request);
    let key = |round: usize, at: usize| Key::new("default", format!("web-{round}-{at}"));
    cluster.measure("Pod create", |round, at| {
        let pod = named(&sent, &key(round, at).name);
        manager.create(KindId::Pod, "default", &pod).request
    });
    cluster.measure("Pod binding", |round, at| {
        let mut bind = scheduler.bind(&key(round, at), &Uid("".into()), "node-1");
        let body = json!({"apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": "default", "name": &*key(round, at).name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "node-1"}});
        bind.request.body = body.to_string().into();
        bind.request
    });
    cluster.measure("Pod status PATCH", |round, at| {
        let ready = if round % 2 == 0 { "True" } else { "False" };
        let patch = json!({"status": pod_status(ready)});
        let how = Patch::Strategic;
        let write = kubelet.patch(KindId::Pod, &key(0, at), "status", how, &patch);
        write.request
    });
}

fn deployments(cluster: &mut Cluster) {
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{
        "name": "web", "image": "nginx:1.27",
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "default"}, "spec": {"replicas": 3, "template": template,
            "selector": {"matchLabels": {"app": "web"}}}});
    let kubectl = client("kubectl");
    for at in 0..OBJECTS {
        let deployment = named(&deployment, &format!("web-{at}"));
        let write = kubectl.create(KindId::Deployment, "default", &deployment);
        cluster.send(write.request);
    }
    cluster.measure("Deployment PATCH", |round, at| {
        let containers = json!([{"name": "web", "image": format!("nginx:{round}")}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let key = Key::new("default", format!("web-{at}"));
        let how = Patch::Strategic;
        let write = kubectl.patch(KindId::Deployment, &key, "", how, &patch);
        write.request
    });
}

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let runs = [
        ("config-maps", config_maps as fn(&mut Cluster)),
        ("leases", leases),
        ("pods", pods),
        ("deployments", deployments),
    ];
    println!(
        "{:<20} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "us for each", "begin", "store", "resume", "observe", "all"
    );
    for (name, run) in runs {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            run(&mut Cluster::new());
        }
    }
}
