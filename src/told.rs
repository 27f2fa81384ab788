//! Waiting until the cluster has come so far, by a watch.
//!
//! Used by `up` before it greets and by `nodes` when its nodes have joined.
//!
//! Book: `book/src/start/map.md`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, WatchEvent};
use k8s_openapi::serde::de::DeserializeOwned;

use wavetank_api::{Method, Request};
use wavetank_serve::{Lines, Transport, Watch};

/// Waits until a watch of `what` (`nodes`, `pods?labelSelector=…`) has told of so many objects that
/// fit; false when it ended before.
pub async fn told<T>(
    transport: &impl Transport,
    what: &str,
    number: usize,
    fits: impl Fn(&T) -> bool,
) -> bool
where
    T: DeserializeOwned + k8s_openapi::Metadata<Ty = ObjectMeta>,
{
    let sign = if what.contains('?') { '&' } else { '?' };
    let request = Request::new(Method::Get, format!("/api/v1/{what}{sign}watch=1"));
    let Ok(Watch::Opened(mut lines)) = transport.watch(request).await else {
        return false;
    };
    let mut names = BTreeSet::new();
    while names.len() < number {
        let Some(frame) = lines.next().await else {
            return false;
        };
        let events = serde_json::Deserializer::from_slice(&frame).into_iter();
        for event in events.map_while(Result::ok) {
            if let WatchEvent::<T>::Added(object) | WatchEvent::Modified(object) = event
                && fits(&object)
            {
                names.insert(object.metadata().name.clone());
            }
        }
    }
    true
}

/// Whether a node says that it is `Ready`.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
