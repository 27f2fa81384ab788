//! A component over each transport: calls, watches, ticks and effects.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::time::Duration;

use tokio::sync::mpsc;
use wavetank_api::{Method, Request, Time};
use wavetank_informer::{CallId, Component, Input, Output};
use wavetank_serve::{Local, Outcomes, Remote, Transport, drive};

use crate::cluster::{CONFIG_MAPS, Cluster, NoNodes, config_map};

/// Watches config maps, makes one, asks to be woken, and has an effect done for each thing it
/// hears.
struct Witness {
    cancelled: bool,
}

const WATCH: CallId = CallId(1);
const CREATE: CallId = CallId(2);
const SLOW: CallId = CallId(3);

impl Component for Witness {
    type Effect = String;
    type Outcome = String;

    fn handle(&mut self, input: Input<String>, now: Time, out: &mut Vec<Output<String>>) {
        match input {
            Input::Start => {
                let target = format!("{CONFIG_MAPS}?watch=1");
                out.push(Output::Watch(
                    WATCH,
                    Request::new(Method::Get, target.clone()),
                ));
                out.push(Output::Watch(SLOW, Request::new(Method::Get, target)));
                out.push(Output::Cancel(SLOW));
                out.push(Output::WakeAt(now + Duration::from_millis(20)));
            }
            Input::Tick => out.push(Output::Effect("tick".into())),
            Input::Opened(WATCH) => {
                let create = Request::new(Method::Post, CONFIG_MAPS)
                    .with_body("application/json", config_map("made", ""));
                out.push(Output::Call(CREATE, create));
            }
            Input::Response(CREATE, response) => {
                out.push(Output::Effect(format!("created {}", response.status)));
            }
            Input::Frame(WATCH, bytes) if bytes.windows(6).any(|w| w == b"\"made\"") => {
                out.push(Output::Effect("seen".into()));
                out.push(Output::Cancel(WATCH));
            }
            Input::Outcome(outcome) => out.push(Output::Effect(format!("outcome {outcome}"))),
            Input::Opened(SLOW) | Input::Frame(SLOW, _) | Input::Closed(SLOW) => {
                self.cancelled = false;
            }
            _ => {}
        }
        assert!(self.cancelled, "what was cancelled is heard of no more");
    }
}

async fn is_served_as_the_contract_says(cluster: Cluster, transport: impl Transport) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let effects = move |effect: String, outcomes: &Outcomes<String>| {
        if effect == "seen" {
            outcomes.send("known".into());
        }
        tell.send(effect).unwrap();
    };
    let witness = Witness { cancelled: true };
    let driver = drive(witness, cluster.core.clock(), transport, effects);
    let mut heard = Vec::new();
    while heard.len() < 4 {
        let next = tokio::time::timeout(Duration::from_secs(10), told.recv());
        heard.push(next.await.unwrap().unwrap());
    }
    heard.sort();
    assert_eq!(heard, ["created 201", "outcome known", "seen", "tick"]);
    driver.stop().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_component_calls_watches_ticks_and_hears_of_its_effects() {
    let cluster = Cluster::start(NoNodes).await;
    let transport = Local::new(&cluster.core, "system:test");
    is_served_as_the_contract_says(cluster, transport).await;
}

#[tokio::test]
async fn a_component_over_the_network_cannot_tell() {
    let cluster = Cluster::start(NoNodes).await;
    let remote = Remote::connect(cluster.access()).await.unwrap();
    is_served_as_the_contract_says(cluster, remote).await;
}
