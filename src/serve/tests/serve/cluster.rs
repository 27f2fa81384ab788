//! A whole server in a directory of its own, and clients for it.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wavetank_api::http::Peer;
use wavetank_api::status::Status;
use wavetank_api::{Method, Request, Response};
use wavetank_apiserver::{Config, StaticToken, Tunnel};
use wavetank_serve::{
    Access, Clock, Core, Es256, FileLog, Identity, Kubeconfig, Listener, NodeStream, NodeStreams,
    Pki, Reply, listen,
};

/// A directory that goes with its value.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("wavetank-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Nodes that have nothing to give.
pub struct NoNodes;

impl NodeStreams for NoNodes {
    fn open(&self, _: Tunnel, reply: oneshot::Sender<Result<NodeStream, Box<Status>>>) {
        let _ = reply.send(Err(Box::new(Status::internal_error("there are no nodes"))));
    }
}

pub fn start_core(dir: &Path) -> (Core, Pki) {
    let pki = Pki::open(dir.join("pki")).unwrap();
    let mut config = Config::new("test", [7; 32], Box::new(Es256::open(&pki).unwrap()));
    config.ca_pem = pki.ca_pem().to_owned();
    config.tokens.push(StaticToken {
        token: "secret".into(),
        user: "admin".into(),
        groups: vec!["system:masters".into()],
    });
    let log = FileLog::open(dir.join("store")).unwrap();
    (Core::start(log, config, Clock::wall()).unwrap(), pki)
}

/// A server that listens on loopback.
pub struct Cluster {
    pub core: Core,
    pub pki: Pki,
    pub listener: Listener,
    dir: Dir,
}

impl Cluster {
    pub async fn start(nodes: impl NodeStreams) -> Self {
        let dir = Dir::new();
        let (core, pki) = start_core(&dir.0);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen(any, &pki, core.clone(), Arc::new(nodes))
            .await
            .unwrap();
        wait_until_ready(&core).await;
        Cluster {
            core,
            pki,
            listener,
            dir,
        }
    }

    pub async fn stop(self) {
        self.core.stop().await;
        self.listener.stop().await;
    }

    pub fn admin(&self) -> Identity {
        self.pki.client("admin", &["system:masters"]).unwrap()
    }

    /// What a kubeconfig of this cluster says.
    pub fn access(&self) -> Access {
        let path = self.dir.0.join("kubeconfig");
        let written = Kubeconfig {
            name: "test",
            server: &format!("https://{}", self.listener.address()),
            ca_pem: self.pki.ca_pem(),
            identity: &self.admin(),
            token: "",
        };
        written.write(&path).unwrap();
        Access::open(&path, None).unwrap()
    }

    /// A TLS connection that offers one protocol; fails if the handshake does.
    pub async fn connect(
        &self,
        alpn: &str,
        identity: Option<&Identity>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pki.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let pem = identity.certificate_pem.as_bytes();
                let chain = vec![CertificateDer::from_pem_slice(pem).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.listener.address()).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// A client of HTTP/1.1.
    pub async fn http1(
        &self,
        identity: Option<&Identity>,
    ) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
        let stream = self.connect("http/1.1", identity).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (send, connection) = handshake.await.unwrap();
        tokio::spawn(connection.with_upgrades());
        send
    }

    /// A client of HTTP/2.
    pub async fn http2(
        &self,
        identity: Option<&Identity>,
    ) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let stream = self.connect("h2", identity).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let io = TokioIo::new(stream);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (send, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        send
    }
}

pub async fn wait_until_ready(core: &Core) {
    // Bootstrap makes the namespace in the background.
    while call(core, Method::Get, "/api/v1/namespaces/default", "")
        .await
        .status
        != 200
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A request in process, as an administrator.
pub fn request(method: Method, target: &str, body: &str) -> Request {
    let mut request = Request::new(method, target);
    if !body.is_empty() {
        request = request.with_body("application/json", body.to_owned());
    }
    request.peer = Peer::Component("admin".into());
    request
}

pub async fn call(core: &Core, method: Method, target: &str, body: &str) -> Response {
    match core.call(request(method, target, body)).await.unwrap() {
        Reply::Decided(decided) => decided.response(),
        other => panic!("{other:?}"),
    }
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub fn config_map(name: &str, data: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name }, "data": { "data": data },
    })
    .to_string()
}

/// A request of a client over a socket.
pub fn outgoing(method: &str, target: &str, body: impl Into<Bytes>) -> hyper::Request<Full<Bytes>> {
    hyper::Request::builder()
        .method(method)
        .uri(format!("https://127.0.0.1{target}"))
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

pub async fn text(response: hyper::Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
