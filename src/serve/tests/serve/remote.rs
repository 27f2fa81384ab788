//! A client of an API server that is not ours: HTTP/1.1, many watches, a server that goes away.
//!
//! Book: `book/src/simulator/nodes.md`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use wavetank_api::{Method, Request};
use wavetank_serve::{Access, Incident, Lines, Remote, Transport, Watch};

use crate::cluster::{CONFIG_MAPS, Cluster, Dir, NoNodes, call, config_map};

fn get(target: &str) -> Request {
    Request::new(Method::Get, target)
}

/// A server of HTTP/1.1 without TLS, as `kubectl proxy`, that echoes paths as two lines; how many
/// connections it has taken.
async fn echo() -> (u16, Arc<AtomicUsize>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let answer = service_fn(|request: hyper::Request<_>| async move {
                let _: &hyper::body::Incoming = request.body();
                assert!(request.headers().contains_key("host"));
                let text = format!("{}\nend\n", request.uri());
                Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(text))))
            });
            let io = TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, answer));
        }
    });
    (port, taken)
}

fn plain(port: u16) -> Access {
    let dir = Dir::new();
    let path = dir.0.join("kubeconfig");
    let text = format!(
        "clusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{port}/base/\"}}}}]\n\
         users: [{{name: u}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    Access::open(&path, Some("x")).unwrap()
}

#[tokio::test]
async fn http1_serves_too_and_its_connections_are_used_again() {
    let (port, taken) = echo().await;
    let remote = Remote::connect(plain(port)).await.unwrap();
    for _ in 0..20 {
        let answer = remote.call(get("/api?x=1")).await.unwrap();
        assert_eq!(answer.bytes(), "/base/api?x=1\nend\n");
    }
    let Ok(Watch::Opened(mut lines)) = remote.watch(get("/watch")).await else {
        panic!("a watch is opened");
    };
    assert_eq!(lines.next().await.unwrap(), "/base/watch\nend\n");
    // While the watch has the connection, another is made.
    remote.call(get("/api")).await.unwrap();
    assert_eq!(lines.next().await, None);
    assert_eq!(taken.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn more_watches_than_one_connection_carries_all_see_what_happens() {
    let cluster = Cluster::start(NoNodes).await;
    let remote = Remote::connect(cluster.access()).await.unwrap();
    let mut watches = Vec::new();
    for _ in 0..250 {
        let target = format!("{CONFIG_MAPS}?watch=1");
        let Ok(Watch::Opened(lines)) = remote.watch(get(&target)).await else {
            panic!("a watch is opened");
        };
        watches.push(lines);
    }
    let body = config_map("news", "");
    call(&cluster.core, Method::Post, CONFIG_MAPS, &body).await;
    for mut lines in watches {
        let mut seen = Bytes::new();
        while !seen.windows(6).any(|text| text == b"\"news\"") {
            seen = lines.next().await.unwrap();
        }
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_witness_hears_of_refusals_and_of_a_server_that_is_gone() {
    let cluster = Cluster::start(NoNodes).await;
    let (tell, heard) = std::sync::mpsc::channel();
    let remote = Remote::connect(cluster.access()).await.unwrap();
    let remote = remote.witnessed(move |incident| {
        let text = match incident {
            Incident::Answered(request, answer) => format!("{} {}", request.target, answer.status),
            Incident::Failed(error) => error.to_string(),
        };
        tell.send(text).unwrap();
    });
    let missing = format!("{CONFIG_MAPS}/missing");
    let answer = remote.call(get(&missing)).await.unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(heard.recv().unwrap(), format!("{missing} 404"));
    let refused = remote.watch(get("/api/v1/nonsense?watch=1")).await.unwrap();
    assert!(matches!(refused, Watch::Refused(answer) if answer.status == 404));
    assert_eq!(heard.recv().unwrap(), "/api/v1/nonsense?watch=1 404");

    let server = cluster.listener.address();
    cluster.stop().await;
    while remote.call(get(&missing)).await.is_ok() {}
    assert!(remote.call(get(&missing)).await.is_err());
    let last = heard.try_iter().last().unwrap();
    let words = "did you specify the right host or port?";
    assert!(
        last.contains(&server.to_string()) && last.contains(words),
        "{last}"
    );
}
