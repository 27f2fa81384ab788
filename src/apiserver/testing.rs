//! A store and an API server in one hand: the smallest shell there is.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::time::Duration;

use bytes::Bytes;
use wavetank_api::json::{Value, json};

use wavetank_api::http::Peer;
use wavetank_api::{Guards, Method, Request, Response, Revision, Time};
use wavetank_store::{self as store, Store, Txn, TxnResult, WatchId};

use crate::config::{Config, TokenSigner};
use crate::server::ApiServer;
use crate::step::{Input, Step, StreamId, Tunnel};

/// Signs by putting the claims in the token.
struct Plain;

impl TokenSigner for Plain {
    fn sign(&self, claims: &str) -> String {
        format!("plain.{}", claims.replace(' ', ""))
    }

    fn verify(&self, token: &str) -> Option<String> {
        token.strip_prefix("plain.").map(str::to_string)
    }
}

/// One API server on one store.
pub(crate) struct Cluster {
    pub store: Store,
    pub server: ApiServer,
    watch: WatchId,
    pub now: Time,
}

/// How a request ended.
pub(crate) enum Ended {
    Response(Response),
    Stream(StreamId),
    Tunnel(Tunnel),
}

pub(crate) fn config(seed: u8) -> Config {
    let mut config = Config::new("test", [seed; 32], Box::new(Plain));
    config.advertise.ip = std::net::Ipv4Addr::new(192, 0, 2, 1);
    config
}

impl Cluster {
    /// A cluster with its first objects.
    pub fn new() -> Self {
        Cluster::guarded(Guards::default())
    }

    /// The same with a server that keeps these guards.
    pub fn guarded(guards: Guards) -> Self {
        let mut cluster = Cluster::started(Config {
            guards,
            ..config(1)
        });
        for step in cluster.server.bootstrap(cluster.now) {
            cluster.finish(step);
        }
        cluster
    }

    /// Lets the server be named, and keep its key.
    pub fn join(&mut self) {
        self.server.join(self.now);
        self.settle();
    }

    pub fn empty() -> Self {
        Cluster::started(config(1))
    }

    fn started(config: Config) -> Self {
        let mut store = Store::new();
        let now = Time::from_secs(1_767_323_045);
        let mut server = ApiServer::new(config);
        let snapshot = store
            .range("/registry/", Some("/registry0"), None, 0)
            .unwrap();
        let watch = store.watch(snapshot.revision).unwrap();
        server.sync(&snapshot, now);
        Cluster {
            store,
            server,
            watch,
            now,
        }
    }

    /// The server is killed, and started anew with these guards: it knows the store as it is now.
    pub fn restart(&mut self, guards: Guards) {
        let snapshot = self
            .store
            .range("/registry/", Some("/registry0"), None, 0)
            .unwrap();
        self.watch = self.store.watch(snapshot.revision).unwrap();
        self.server = ApiServer::new(Config {
            guards,
            ..config(2)
        });
        self.server.sync(&snapshot, self.now);
    }

    /// Commits a transaction and gives its result.
    pub fn commit(&mut self, txn: Txn) -> TxnResult {
        let ticket = self.store.stage(txn);
        self.sync(ticket)
    }

    /// Grants a lease.
    pub fn grant(&mut self, ttl: Duration) -> TxnResult {
        let (_, ticket) = self.store.grant(None, ttl, self.now);
        self.sync(ticket)
    }

    /// Lets time pass; leases end.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        if let Some(ticket) = self.store.expire(self.now).pop() {
            self.sync(ticket);
        }
    }

    fn sync(&mut self, ticket: store::Ticket) -> TxnResult {
        let upto = self.store.unsynced().map_or(ticket, |(upto, _)| upto);
        let mut results = self.store.durable(upto.max(ticket));
        let at = results.iter().position(|(t, _)| *t == ticket).unwrap();
        results.swap_remove(at).1.unwrap()
    }

    /// Carries out what the server does by itself, until there is no more.
    pub fn settle(&mut self) {
        loop {
            self.observe();
            let steps = self.server.own(self.now);
            if steps.is_empty() {
                return;
            }
            for step in steps {
                self.finish(step);
            }
        }
    }

    /// Lets the server see what the store has.
    pub fn observe(&mut self) {
        let batch = self.store.drain(&self.watch, 1000).unwrap();
        self.server.observe(&batch, self.now);
    }

    /// Drives a step to its end.
    pub fn finish(&mut self, mut step: Step) -> Ended {
        loop {
            step = match step {
                Step::Respond(decided) => return Ended::Response(decided.response()),
                Step::Stream(_, stream) => return Ended::Stream(stream),
                Step::Tunnel(tunnel) => return Ended::Tunnel(tunnel),
                Step::Txn(ticket, txn) => {
                    let result = self.commit(txn);
                    self.observe();
                    self.server.resume(ticket, Input::Txn(Ok(result)), self.now)
                }
                Step::Grant(ticket, ttl) => {
                    let result = self.grant(ttl);
                    self.server.resume(ticket, Input::Txn(Ok(result)), self.now)
                }
                Step::Revision(ticket) => {
                    let revision = self.store.revision();
                    self.server
                        .resume(ticket, Input::Revision(revision), self.now)
                }
                Step::Wait(ticket) => {
                    self.observe();
                    let mut woken = self.server.woken(self.now);
                    if woken.is_empty() {
                        self.now = self.server.next_wake().unwrap();
                        woken = self.server.woken(self.now);
                    }
                    let at = woken.iter().position(|(t, _)| *t == ticket).unwrap();
                    woken.swap_remove(at).1
                }
            }
        }
    }

    pub fn send(&mut self, mut request: Request) -> Ended {
        if request.peer == Peer::Unknown && request.headers.value("authorization").is_none() {
            request.peer = Peer::Component("tester".into());
        }
        let step = self.server.begin(request, self.now);
        self.finish(step)
    }

    pub fn respond(&mut self, request: Request) -> Response {
        match self.send(request) {
            Ended::Response(response) => response,
            _ => panic!("not an answer"),
        }
    }

    /// A request with a JSON body (none for null); the answer's code and JSON body.
    pub fn call(&mut self, method: Method, target: &str, body: Value) -> (u16, Value) {
        let mut request = Request::new(method, target);
        if !body.is_null() {
            request = request.with_body("application/json", body.to_string());
        }
        let response = self.respond(request);
        (
            response.status,
            serde_json::from_slice(&response.bytes()).unwrap_or_default(),
        )
    }

    pub fn get(&mut self, target: &str) -> Value {
        let (code, value) = self.call(Method::Get, target, Value::Null);
        assert_eq!(code, 200, "GET {target}: {value}");
        value
    }

    pub fn create(&mut self, target: &str, body: Value) -> Value {
        let (code, value) = self.call(Method::Post, target, body);
        assert_eq!(code, 201, "POST {target}: {value}");
        value
    }

    pub fn patch(&mut self, target: &str, of: &'static str, body: Value) -> (u16, Value) {
        let request = Request::new(Method::Patch, target).with_body(of, body.to_string());
        let response = self.respond(request);
        (
            response.status,
            serde_json::from_slice(&response.bytes()).unwrap_or_default(),
        )
    }

    pub fn watch(&mut self, target: &str) -> StreamId {
        match self.send(Request::new(Method::Get, target)) {
            Ended::Stream(stream) => stream,
            Ended::Response(response) => panic!("{:?}", response.bytes()),
            Ended::Tunnel(_) => panic!("a tunnel"),
        }
    }

    /// The events of a stream, as type and object.
    pub fn events(&mut self, stream: StreamId) -> Vec<(String, Value)> {
        self.observe();
        let mut frames: Vec<Bytes> = Vec::new();
        while self.server.news().contains(&stream) {
            frames.extend(self.server.drain(stream, self.now).frames);
        }
        let event = |frame: &Bytes| {
            let value: Value = serde_json::from_slice(frame).unwrap();
            (
                value["type"].as_str().unwrap().to_string(),
                value["object"].clone(),
            )
        };
        frames.iter().map(event).collect()
    }

    /// The events as `ADDED web-0`.
    pub fn names(&mut self, stream: StreamId) -> Vec<String> {
        let events = self.events(stream);
        let name = |object: &Value| {
            object["metadata"]["name"]
                .as_str()
                .unwrap_or("-")
                .to_string()
        };
        events
            .iter()
            .map(|(event, object)| format!("{event} {}", name(object)))
            .collect()
    }
}

pub(crate) fn revision(object: &Value) -> Revision {
    Revision(
        object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap(),
    )
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}
