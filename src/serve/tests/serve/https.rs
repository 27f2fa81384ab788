//! Clients over TLS.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use wavetank_api::Method;
use wavetank_serve::{Pki, Reply};

use crate::cluster::{
    CONFIG_MAPS, Cluster, Dir, NoNodes, call, config_map, outgoing, request, text,
};

#[tokio::test]
async fn http1_and_http2_speak_to_the_same_cluster() {
    let cluster = Cluster::start(NoNodes).await;
    let admin = cluster.admin();
    let (mut one, mut two) = (
        cluster.http1(Some(&admin)).await,
        cluster.http2(Some(&admin)).await,
    );
    let created = one
        .send_request(outgoing("POST", CONFIG_MAPS, config_map("a", "1")))
        .await;
    assert_eq!(created.unwrap().status(), 201);
    let got = two
        .send_request(outgoing("GET", &format!("{CONFIG_MAPS}/a"), ""))
        .await
        .unwrap();
    assert_eq!(got.status(), 200);
    assert!(text(got).await.contains("\"data\":\"1\""));
    cluster.stop().await;
}

#[tokio::test]
async fn a_certificate_or_a_token_lets_in_and_nothing_else_does() {
    let cluster = Cluster::start(NoNodes).await;
    let mut anonymous = cluster.http1(None).await;
    let refused = anonymous
        .send_request(outgoing("GET", CONFIG_MAPS, ""))
        .await
        .unwrap();
    assert_eq!(refused.status(), 401);
    assert!(text(refused).await.contains("\"reason\":\"Unauthorized\""));
    let mut with_token = outgoing("GET", CONFIG_MAPS, "");
    with_token
        .headers_mut()
        .insert("authorization", "Bearer secret".parse().unwrap());
    assert_eq!(
        anonymous.send_request(with_token).await.unwrap().status(),
        200
    );

    // A certificate of somebody else's authority ends the handshake, or the first read after it.
    let other = Pki::open(Dir::new().0.join("pki")).unwrap();
    let stranger = other.client("admin", &["system:masters"]).unwrap();
    if let Ok(stream) = cluster.connect("http/1.1", Some(&stranger)).await {
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let body = http_body_util::Full::<Bytes>::default();
        let request = hyper::Request::get("/version")
            .header("host", "x")
            .body(body)
            .unwrap();
        assert!(send.send_request(request).await.is_err());
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_body_over_three_mebibytes_is_refused_as_upstream_does() {
    let cluster = Cluster::start(NoNodes).await;
    let admin = cluster.admin();
    let large = vec![b' '; 3 * 1024 * 1024 + 1];
    let mut client = cluster.http2(Some(&admin)).await;
    let refused = client
        .send_request(outgoing("POST", CONFIG_MAPS, large))
        .await
        .unwrap();
    assert_eq!(refused.status(), 413);
    let status: serde_json::Value = serde_json::from_str(&text(refused).await).unwrap();
    assert_eq!(status["reason"], "RequestEntityTooLarge");
    assert_eq!(
        status["message"],
        "Request entity too large: limit is 3145728"
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_watch_streams_what_happens_after_it_began() {
    let cluster = Cluster::start(NoNodes).await;
    let admin = cluster.admin();
    let mut client = cluster.http2(Some(&admin)).await;
    let target = format!("{CONFIG_MAPS}?watch=1");
    let mut watch = client
        .send_request(outgoing("GET", &target, ""))
        .await
        .unwrap();
    assert_eq!(watch.status(), 200);
    for name in ["a", "b"] {
        call(
            &cluster.core,
            Method::Post,
            CONFIG_MAPS,
            &config_map(name, ""),
        )
        .await;
        let mut seen = String::new();
        while !seen.contains(&format!("\"name\":\"{name}\"")) {
            let frame = watch.frame().await.unwrap().unwrap().into_data().unwrap();
            seen.push_str(std::str::from_utf8(&frame).unwrap());
        }
        assert!(seen.contains("\"type\":\"ADDED\""));
    }
    // The server's end is the stream's.
    let core = cluster.core.clone();
    core.stop().await;
    while let Some(Ok(_)) = watch.frame().await {}
    cluster.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_blocks_nobody_and_finds_everything_later() {
    let cluster = Cluster::start(NoNodes).await;
    let watch = request(Method::Get, &format!("{CONFIG_MAPS}?watch=1"), "");
    let Reply::Stream(_, mut frames) = cluster.core.call(watch).await.unwrap() else {
        panic!("a watch is a stream");
    };
    let (count, data) = (60, "x".repeat(64 * 1024));
    for n in 0..count {
        let body = config_map(&format!("large-{n}"), &data);
        assert_eq!(
            call(&cluster.core, Method::Post, CONFIG_MAPS, &body)
                .await
                .status,
            201
        );
    }
    let mut seen = 0;
    let all = async {
        while seen < count {
            let frame = frames.next().await.unwrap();
            seen += std::str::from_utf8(&frame)
                .unwrap()
                .matches("\"ADDED\"")
                .count();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .unwrap();
    cluster.stop().await;
}
