//! The API over TLS, with every write on disk before it is answered: what one client machine sees.
//!
//! Server and clients live in this process, on runtimes of their own, so that the CPU time of the
//! server's threads can be told from that of the clients. Prints the figures of the peer
//! (kube-apiserver 1.36 on etcd 3.5, measured on the same machine) beside ours.
//!
//! `cargo bench -p wavetank-benches --bench api`
//!
//! Book: `book/src/benchmarks.md`.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench measures the wall clock, and stops at the first thing that goes wrong"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use wavetank_api::Status;
use wavetank_apiserver::{Config, Tunnel};
use wavetank_serve::{
    Clock, Core, Es256, FileLog, Identity, Listener, NodeStream, NodeStreams, Pki, listen,
};

/// Creates a second of the peer, by number of clients.
const PEER_CREATES: [(usize, Option<f64>); 2] = [(16, Some(1470.0)), (64, None)];
/// CPU milliseconds of the peer for each.
const PEER_CPU_MS: f64 = 1.1;
/// Milliseconds in which the peer lists 10,000 pods.
const PEER_LIST_MS: f64 = 261.0;
/// How long creates are counted.
const CREATING: Duration = Duration::from_secs(4);
const PODS: usize = 10_000;
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

type Client = SendRequest<Full<Bytes>>;

struct NoNodes;

impl NodeStreams for NoNodes {
    fn open(&self, _: Tunnel, reply: oneshot::Sender<Result<NodeStream, Box<Status>>>) {
        let _ = reply.send(Err(Box::new(Status::internal_error("there are no nodes"))));
    }
}

struct Server {
    core: Core,
    pki: Pki,
    listener: Listener,
}

impl Server {
    async fn start(dir: &std::path::Path) -> Server {
        let pki = Pki::open(dir.join("pki")).unwrap();
        let mut config = Config::new("bench", [7; 32], Box::new(Es256::open(&pki).unwrap()));
        config.ca_pem = pki.ca_pem().to_owned();
        let log = FileLog::open(dir.join("store")).unwrap();
        let core = Core::start(log, config, Clock::wall()).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen(any, &pki, core.clone(), Arc::new(NoNodes));
        let listener = listener.await.unwrap();
        Server {
            core,
            pki,
            listener,
        }
    }
}

/// A connection of an administrator: TLS 1.3, a client certificate, HTTP/2 as client-go.
async fn connect(address: SocketAddr, ca_pem: &str, identity: &Identity) -> Client {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let chain = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let mut config = config.with_client_auth_cert(vec![chain], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let tls = TlsConnector::from(Arc::new(config));
    let stream = tls.connect(name, stream).await.unwrap();
    let mut http = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    // As Go's: a window that a large answer does not fill at once.
    http.initial_stream_window_size(4 << 20);
    http.initial_connection_window_size(1 << 30);
    http.max_frame_size(1 << 20);
    let (send, connection) = http.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

/// Sends a request, and reads the whole answer: its status and length.
async fn send(
    client: &mut Client,
    method: &str,
    path: &str,
    accept: &str,
    body: String,
) -> (u16, usize) {
    let gzip = accept == "gzip";
    let accept = if gzip { "application/json" } else { accept };
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(format!("https://127.0.0.1{path}"))
        .header("content-type", "application/json")
        .header("user-agent", "bench/v1")
        .header("accept", accept);
    if gzip {
        request = request.header("accept-encoding", "gzip");
    }
    client.ready().await.unwrap();
    let request = request.body(Full::new(body.into())).unwrap();
    let response = client.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    (status, length)
}

/// CPU seconds of the threads of each name (`/proc/self/task/*/schedstat`).
fn cpu() -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let (Ok(name), Ok(stat)) = (
            fs::read_to_string(path.join("comm")),
            fs::read_to_string(path.join("schedstat")),
        ) else {
            continue; // a thread that has just ended
        };
        let nanos: f64 = stat.split(' ').next().unwrap().parse().unwrap();
        *all.entry(name.trim().to_owned()).or_default() += nanos / 1e9;
    }
    all
}

fn runtime(name: &str, threads: usize) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let builder = builder
        .worker_threads(threads)
        .thread_name(name)
        .enable_all();
    builder.build().unwrap()
}

fn config_map(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},
        "data":{{"key":"value"}}}}"#
    )
}

/// `clients` connections create small ConfigMaps as fast as they are answered.
async fn create(mut clients: Vec<Client>) -> (usize, Duration) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let began = Instant::now();
    let mut tasks = Vec::new();
    for mut client in clients.drain(..) {
        tasks.push(tokio::spawn(async move {
            let mut count = 0;
            while began.elapsed() < CREATING {
                let name = format!("cm-{}", NEXT.fetch_add(1, Ordering::Relaxed));
                let path = "/api/v1/namespaces/default/configmaps";
                let accept = "application/json";
                let (status, _) = send(&mut client, "POST", path, accept, config_map(&name)).await;
                assert_eq!(status, 201);
                count += 1;
            }
            count
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    (count, began.elapsed())
}

fn creates(client: &Runtime, connect_all: impl Fn(usize) -> Vec<Client>) {
    println!("clients  creates/s  of peer   CPU us each: core    log  serve   all   of peer");
    for (clients, peer) in PEER_CREATES {
        let connections = connect_all(clients);
        let before = cpu();
        let (count, took) = client.block_on(create(connections));
        let after = cpu();
        let each = |name: &str| {
            let spent = after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
            spent * 1e6 / count as f64
        };
        let rate = count as f64 / took.as_secs_f64();
        let ratio = peer.map_or("-".into(), |peer| format!("{:.1}x", rate / peer));
        let (core, log, serve) = (each("core"), each("log"), each("serve"));
        let all = core + log + serve;
        println!(
            "{clients:>7} {rate:>10.0} {ratio:>8} {core:>18.1} {log:>6.1} {serve:>6.1} {all:>5.0} \
             {:>8.2}x",
            all / 1e3 / PEER_CPU_MS
        );
    }
}

/// A pod of one container without a token volume, as its client made it and the server completed
/// it: defaults, tolerations, the ledger of one field manager, a status that says Pending. About
/// 1.8 kB in a list, as the peer's pods were.
fn pod(number: usize) -> String {
    let text = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"NAME","labels":{"app":"web"}},
      "spec":{"nodeName":"NODE","automountServiceAccountToken":false,"containers":[{"name":"web","image":"web:1.27"}]}}"#;
    let text = text.replace("NAME", &format!("web-5d9c7b8f6d-{number:05}"));
    text.replace("NODE", &format!("node-{}", number % 100))
}

/// Fills the cluster with pods, eight at a time.
async fn fill(mut clients: Vec<Client>) {
    let account = r#"{"metadata":{"name":"default"}}"#.to_owned();
    let path = "/api/v1/namespaces/default/serviceaccounts";
    send(&mut clients[0], "POST", path, "application/json", account).await;
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for mut client in clients.drain(..) {
        let next = next.clone();
        tasks.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= PODS {
                    return;
                }
                let path = "/api/v1/namespaces/default/pods";
                let (status, _) =
                    send(&mut client, "POST", path, "application/json", pod(number)).await;
                assert_eq!(status, 201);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

fn lists(client: &Runtime, mut connection: Client) {
    println!("LIST {PODS} pods          best ms  median ms        bytes     GB/s   of peer");
    for (name, accept) in [
        ("identity", "application/json"),
        ("gzip", "gzip"),
        ("Table", TABLE),
    ] {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..11 {
            let began = Instant::now();
            let list = send(
                &mut connection,
                "GET",
                "/api/v1/pods",
                accept,
                String::new(),
            );
            let (status, length) = client.block_on(list);
            times.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(status, 200);
            bytes = length;
        }
        times.sort_by(f64::total_cmp);
        let (best, median) = (times[0], times[times.len() / 2]);
        let ratio = match name {
            "identity" => format!("{:.1}x", PEER_LIST_MS / median),
            _ => "-".into(),
        };
        let speed = bytes as f64 / median / 1e6;
        println!("{name:<20} {best:>9.1} {median:>10.1} {bytes:>12} {speed:>8.2} {ratio:>9}");
    }
}

fn main() {
    let dir = std::env::temp_dir().join(format!("wavetank-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let (serving, client) = (runtime("serve", 2), runtime("client", 2));
    let server = serving.block_on(Server::start(&dir));
    let admin = server.pki.client("admin", &["system:masters"]).unwrap();
    let connect_all = |count| {
        let one = || connect(server.listener.address(), server.pki.ca_pem(), &admin);
        (0..count)
            .map(|_| client.block_on(one()))
            .collect::<Vec<_>>()
    };
    creates(&client, connect_all);
    client.block_on(fill(connect_all(16)));
    if let Some(connection) = connect_all(1).pop() {
        lists(&client, connection);
    }
    serving.block_on(async {
        server.core.stop().await;
        server.listener.stop().await;
    });
    let _ = fs::remove_dir_all(&dir);
}
