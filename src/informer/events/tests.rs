//! What reaches the server of what was recorded.
//!
//! Book: `book/src/control-plane/informers.md`.

use super::*;
use crate::component::Nothing;
use wavetank_api::{Method, Request, Response};

fn event(message: &str) -> Event {
    Event {
        component: "replicaset-controller",
        about: About {
            kind: KindId::ReplicaSet,
            key: Key::new("default", "web"),
            uid: Uid("u".into()),
            field_path: String::new(),
        },
        r#type: EventType::Normal,
        reason: "SuccessfulCreate",
        message: message.to_string(),
    }
}

/// Records the messages, a second apart, and answers every request with success.
fn sent(messages: &[String]) -> Vec<(Method, Value)> {
    let mut recorder = Recorder::new(&Client::new("test", "test"), "");
    let (mut ids, mut seen) = (CallIds::default(), Vec::new());
    for (second, message) in messages.iter().enumerate() {
        let now = Time::from_secs(1_000 + second as i64);
        recorder.record(event(message), now);
        let mut out: Vec<Output<Nothing>> = Vec::new();
        recorder.send(now, &mut ids, &mut out);
        while let Some(Output::Call(call, request)) = out.pop() {
            let Request { method, body, .. } = request;
            seen.push((method, serde_json::from_slice(&body).unwrap()));
            let ok = Response::new(201, "application/json", "{}");
            let input = Input::<Nothing>::Response(call, ok);
            recorder.handle(&input, now, &mut ids, &mut out);
        }
    }
    seen
}

#[test]
fn the_same_event_again_counts_up() {
    let seen = sent(&vec!["Created pod: a".to_string(); 3]);
    let methods: Vec<_> = seen.iter().map(|(method, _)| *method).collect();
    assert_eq!(methods, [Method::Post, Method::Patch, Method::Patch]);
    assert_eq!(seen[0].1["involvedObject"]["kind"], "ReplicaSet");
    assert_eq!(seen[0].1["firstTimestamp"], "1970-01-01T00:16:40Z");
    assert_eq!(seen[2].1["count"], 3);
}

#[test]
fn many_messages_of_one_reason_are_combined_and_then_dropped() {
    let messages: Vec<_> = (0..40).map(|i| format!("Created pod: p{i}")).collect();
    let seen = sent(&messages);
    let created = seen.iter().filter(|(method, _)| *method == Method::Post);
    assert_eq!(created.count(), 10, "nine as they are, then one combined");
    assert_eq!(
        seen[10].1["message"],
        "(combined from similar events): Created pod: p10"
    );
    assert_eq!(seen.len(), 25, "a burst of 25 about one object");
}
