//! The listening socket: TLS with our own authority, HTTP/1.1 and HTTP/2 by ALPN.
//!
//! 1. Who shows a certificate that our authority signed is its subject; who shows another one gets
//!    no connection; who shows none is [`Peer::Unknown`] and needs a token.
//! 2. At most [`CONNECTIONS_MAX`] connections are open; more wait in the socket's backlog.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use wavetank_api::http::Peer;

use crate::door::Core;
use crate::error::ServeError;
use crate::http::Service;
use crate::node_streams::NodeStreams;
use crate::pki::Pki;

/// How many connections are open at a time.
const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take to say hello, or to send a request's head.
const HELLO: Duration = Duration::from_secs(10);
/// How long open requests may take when the listener stops.
const GRACE: Duration = Duration::from_secs(1);
/// Streams of one HTTP/2 connection, as Go's default for servers.
const H2_STREAMS: u32 = 250;

/// A running listener.
pub struct Listener {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// Listens for clients over TLS and carries their requests to the core.
pub async fn listen(
    address: SocketAddr,
    pki: &Pki,
    core: Core,
    nodes: Arc<dyn NodeStreams>,
) -> Result<Listener, ServeError> {
    let socket = TcpListener::bind(address).await;
    let socket = socket.map_err(|source| ServeError::Listen { address, source })?;
    let bound = socket
        .local_addr()
        .map_err(|source| ServeError::Listen { address, source })?;
    let acceptor = TlsAcceptor::from(Arc::new(tls(pki, bound)?));
    let (stop, stopped) = watch::channel(false);
    let service = Service { core, nodes };
    let task = tokio::spawn(accept(socket, acceptor, service, stopped));
    Ok(Listener {
        address: bound,
        stop,
        task,
    })
}

impl Listener {
    /// Where it listens: the port that was chosen if it was asked for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets open requests finish for two seconds, and ends.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// TLS as the cluster's authority has it.
fn tls(pki: &Pki, address: SocketAddr) -> Result<ServerConfig, ServeError> {
    let failed = |cause: String| ServeError::certificate("set up TLS", cause);
    let mut addresses = vec![std::net::Ipv4Addr::LOCALHOST.into()];
    addresses.push(std::net::Ipv6Addr::LOCALHOST.into());
    // The first address of the default service network is the Service `kubernetes`.
    addresses.push(std::net::Ipv4Addr::new(10, 96, 0, 1).into());
    if !address.ip().is_unspecified() && !addresses.contains(&address.ip()) {
        addresses.push(address.ip());
    }
    let identity = pki.server(&addresses)?;
    let certificate = |pem: &str| {
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|cause| failed(cause.to_string()))
    };
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
        .map_err(|cause| failed(cause.to_string()))?;
    let ca = certificate(pki.ca_pem())?;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(ca.clone())
        .map_err(|cause| failed(cause.to_string()))?;
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|cause| failed(cause.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| failed(cause.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate(&identity.certificate_pem)?, ca], key)
        .map_err(|cause| failed(cause.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn accept(
    socket: TcpListener,
    acceptor: TlsAcceptor,
    service: Service,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, socket.accept().await)
        };
        tokio::select! {
            _ = stopped.changed() => break,
            // Takes note of those that ended.
            Some(_) = connections.join_next() => {}
            (place, accepted) = accepted => {
                let Ok((stream, _)) = accepted else {
                    // Out of files, most likely: others have to end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let serve = connection(stream, acceptor.clone(), service.clone(), stopped.clone());
                connections.spawn(async move {
                    serve.await;
                    drop(place);
                });
            }
        }
    }
    drop(socket);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(GRACE, ended).await;
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    service: Service,
    mut stopped: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HELLO, acceptor.accept(stream)).await else {
        return;
    };
    let peer = peer(stream.get_ref().1.peer_certificates());
    let service = service_fn(move |request| service.clone().answer(request, peer.clone()));
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HELLO);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS);
    let served = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    tokio::select! {
        _ = served.as_mut() => {}
        _ = stopped.changed() => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

// ANCHOR: peer
/// Who a verified certificate says is there.
fn peer(certificates: Option<&[CertificateDer<'_>]>) -> Peer {
    let Some(der) = certificates.and_then(|chain| chain.first()) else {
        return Peer::Unknown;
    };
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Peer::Unknown;
    };
    let subject = certificate.subject();
    let common_name = subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    let Some(common_name) = common_name else {
        return Peer::Unknown;
    };
    let organizations = subject
        .iter_organization()
        .filter_map(|name| name.as_str().ok());
    Peer::Certificate {
        common_name: common_name.to_owned(),
        organizations: organizations.map(str::to_owned).collect(),
    }
}
// ANCHOR_END: peer
