//! Exec, attach and logs through to a node, by a client's bytes.
//!
//! Book: `book/src/control-plane/serving.md`.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use wavetank_api::Method;
use wavetank_api::status::Status;
use wavetank_apiserver::{Tunnel, TunnelKind};
use wavetank_serve::{
    MESSAGES_QUEUED, NodeStream, NodeStreams, Process, ProcessInput, ProcessOutput,
};

use crate::cluster::{Cluster, call, outgoing, text};

/// A node whose processes echo their input in upper case and exit with 3; its log has two lines.
struct Echo;

impl NodeStreams for Echo {
    fn open(&self, tunnel: Tunnel, reply: oneshot::Sender<Result<NodeStream, Box<Status>>>) {
        assert_eq!(
            (tunnel.node.as_str(), tunnel.container.as_str()),
            ("n1", "main")
        );
        let stream = match tunnel.kind {
            TunnelKind::Log(_) => NodeStream::Log(log()),
            _ => NodeStream::Process(echo()),
        };
        let _ = reply.send(Ok(stream));
    }
}

fn log() -> mpsc::Receiver<Bytes> {
    let (lines, log) = mpsc::channel(MESSAGES_QUEUED);
    lines.try_send("one\n".into()).unwrap();
    lines.try_send("two\n".into()).unwrap();
    log
}

fn echo() -> Process {
    let (input, mut stdin) = mpsc::channel(MESSAGES_QUEUED);
    let (stdout, output) = mpsc::channel(MESSAGES_QUEUED);
    tokio::spawn(async move {
        while let Some(ProcessInput::Stdin(bytes)) = stdin.recv().await {
            let bytes = bytes.to_ascii_uppercase().into();
            stdout.send(ProcessOutput::Stdout(bytes)).await.unwrap();
        }
        stdout
            .send(ProcessOutput::Stderr("bye".into()))
            .await
            .unwrap();
        stdout.send(ProcessOutput::Exit(3)).await.unwrap();
    });
    Process { input, output }
}

const POD: &str = "/api/v1/namespaces/default/pods/web-0";

async fn cluster_with_a_pod() -> Cluster {
    let cluster = Cluster::start(Echo).await;
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    call(&cluster.core, Method::Post, accounts, account).await;
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-0"},
        "spec":{"nodeName":"n1","containers":[{"name":"main","image":"toolbox"}]}}"#;
    let pods = "/api/v1/namespaces/default/pods";
    let created = call(&cluster.core, Method::Post, pods, pod).await;
    assert_eq!(created.status, 201, "{created:?}");
    cluster
}

fn upgrade(query: &str, protocol: &str) -> hyper::Request<Full<Bytes>> {
    let mut request = outgoing("GET", &format!("{POD}/exec?container=main&{query}"), "");
    *request.uri_mut() = request
        .uri()
        .path_and_query()
        .unwrap()
        .as_str()
        .parse()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert("connection", "Upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    headers.insert("sec-websocket-version", "13".parse().unwrap());
    headers.insert(
        "sec-websocket-key",
        "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap(),
    );
    headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
    request
}

#[tokio::test]
async fn exec_carries_stdin_stdout_stderr_and_the_exit_code() {
    let cluster = cluster_with_a_pod().await;
    let mut client = cluster.http1(Some(&cluster.admin())).await;
    let query = "command=cat&stdin=true&stdout=true&stderr=true";
    let switched = client
        .send_request(upgrade(query, "v5.channel.k8s.io"))
        .await
        .unwrap();
    assert_eq!(switched.status(), 101);
    assert_eq!(
        switched.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert_eq!(
        switched.headers()["sec-websocket-protocol"],
        "v5.channel.k8s.io"
    );
    let io = TokioIo::new(hyper::upgrade::on(switched).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    socket
        .send(Message::Binary(Bytes::from_static(b"\0hello")))
        .await
        .unwrap();
    let mut heard = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(bytes) => heard.push(bytes),
            Message::Close(close) => assert_eq!(u16::from(close.unwrap().code), 1000),
            other => panic!("{other:?}"),
        }
        if heard
            .last()
            .is_some_and(|last| *last == b"\x01HELLO".as_slice())
        {
            socket
                .send(Message::Binary(Bytes::from_static(b"\xff\0")))
                .await
                .unwrap();
        }
    }
    assert_eq!(heard[..3], [&b"\x01"[..], b"\x01HELLO", b"\x02bye"]);
    assert_eq!(heard[3][0], 3);
    let status: serde_json::Value = serde_json::from_slice(&heard[3][1..]).unwrap();
    assert_eq!(status["reason"], "NonZeroExitCode");
    assert_eq!(status["details"]["causes"][0]["message"], "3");
    cluster.stop().await;
}

#[tokio::test]
async fn what_this_server_does_not_speak_is_refused_with_a_reason() {
    let cluster = cluster_with_a_pod().await;
    let mut client = cluster.http1(Some(&cluster.admin())).await;
    let unknown = upgrade("command=cat&stdout=true", "v9.channel.k8s.io");
    let refused = client.send_request(unknown).await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(
        text(refused)
            .await
            .contains("no sub-protocol of [v9.channel.k8s.io] is known")
    );
    let mut spdy = upgrade("command=cat&stdout=true", "v5.channel.k8s.io");
    spdy.headers_mut()
        .insert("upgrade", "SPDY/3.1".parse().unwrap());
    let refused = client.send_request(spdy).await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(text(refused).await.contains("and not spdy/3.1"));
    cluster.stop().await;
}

#[tokio::test]
async fn a_log_is_plain_text_from_the_node() {
    let cluster = cluster_with_a_pod().await;
    let mut client = cluster.http2(Some(&cluster.admin())).await;
    let target = format!("{POD}/log?container=main");
    let log = client
        .send_request(outgoing("GET", &target, ""))
        .await
        .unwrap();
    assert_eq!(log.status(), 200);
    assert_eq!(log.headers()["content-type"], "text/plain");
    assert_eq!(text(log).await, "one\ntwo\n");
    cluster.stop().await;
}
