//! Lists and watches: revisions, pages, selectors, bookmarks.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use wavetank_api::json::{Value, json};

use wavetank_api::{Method, Request};

use crate::testing::{Cluster, config_map, revision};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn a_watch_tells_each_change_once_and_in_order() {
    let mut cluster = Cluster::new();
    let made = cluster.create(MAPS, config_map("a"));
    let watch = cluster.watch(&format!(
        "{MAPS}?watch=1&resourceVersion={}",
        revision(&made)
    ));
    assert_eq!(cluster.names(watch), Vec::<String>::new());
    cluster.create(MAPS, config_map("b"));
    cluster.patch(
        &format!("{MAPS}/a"),
        "application/merge-patch+json",
        json!({"data": {"a": "2"}}),
    );
    let (_, gone) = cluster.call(Method::Delete, &format!("{MAPS}/a"), Value::Null);
    assert_eq!(gone["status"], "Success");
    let events = cluster.events(watch);
    let told: Vec<&str> = events.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(told, ["ADDED", "MODIFIED", "DELETED"]);
    let revisions: Vec<_> = events.iter().map(|(_, object)| revision(object)).collect();
    assert!(revisions.is_sorted(), "{revisions:?}");
    assert_eq!(
        revisions.last(),
        Some(&cluster.store.revision()),
        "a delete has its own revision"
    );
}

#[test]
fn an_object_that_leaves_the_selector_is_told_as_deleted() {
    let mut cluster = Cluster::new();
    let watch = cluster.watch(&format!("{MAPS}?watch=1&labelSelector=app%3Dweb"));
    cluster.create(MAPS, config_map("a"));
    let label = |value: Value| json!({"metadata": {"labels": {"app": value}}});
    let (path, merge) = (format!("{MAPS}/a"), "application/merge-patch+json");
    cluster.patch(&path, merge, label("web".into()));
    cluster.patch(&path, merge, json!({"data": {"a": "2"}}));
    cluster.patch(&path, merge, label(Value::Null));
    assert_eq!(cluster.names(watch), ["ADDED a", "MODIFIED a", "DELETED a"]);
}

#[test]
fn initial_events_end_with_a_bookmark() {
    let mut cluster = Cluster::new();
    cluster.create(MAPS, config_map("a"));
    let options = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true\
                   &resourceVersionMatch=NotOlderThan";
    let watch = cluster.watch(&format!("{MAPS}?{options}"));
    cluster.create(MAPS, config_map("b"));
    let events = cluster.events(watch);
    let told: Vec<&str> = events.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(told, ["ADDED", "BOOKMARK", "ADDED"]);
    let annotations = &events[1].1["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
}

#[test]
fn bookmarks_and_the_end_come_by_the_clock() {
    let mut cluster = Cluster::new();
    let target = format!("{MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=90");
    let watch = cluster.watch(&target);
    cluster.create(
        "/api/v1/namespaces/kube-system/configmaps",
        config_map("other"),
    );
    assert_eq!(cluster.names(watch), Vec::<String>::new());
    cluster.now = cluster.server.next_wake().unwrap();
    cluster.server.tick(cluster.now);
    let events = cluster.events(watch);
    assert_eq!(events[0].0, "BOOKMARK");
    assert_eq!(revision(&events[0].1), cluster.store.revision());
    cluster.now = cluster.server.next_wake().unwrap();
    cluster.server.tick(cluster.now);
    assert!(cluster.server.drain(watch, cluster.now).closed);
    assert_eq!(cluster.server.next_wake(), None);
}

#[test]
fn all_pages_of_a_list_show_one_revision() {
    let mut cluster = Cluster::new();
    for name in ["a", "b", "c", "d", "e"] {
        cluster.create(MAPS, config_map(name));
    }
    let first = cluster.get(&format!("{MAPS}?limit=2"));
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    cluster.create(MAPS, config_map("bb"));
    cluster.call(Method::Delete, &format!("{MAPS}/d"), Value::Null);
    cluster.patch(
        &format!("{MAPS}/c"),
        "application/merge-patch+json",
        json!({"data": {"a": "9"}}),
    );
    let mut seen = Vec::new();
    let mut page = first.clone();
    loop {
        assert_eq!(
            page["metadata"]["resourceVersion"],
            first["metadata"]["resourceVersion"]
        );
        for item in page["items"].as_array().unwrap() {
            seen.push(item["metadata"]["name"].as_str().unwrap().to_string());
            assert_eq!(item["data"]["a"], "1");
        }
        let Some(token) = page["metadata"]["continue"].as_str() else {
            break;
        };
        let target = format!("{MAPS}?limit=2&continue={token}");
        page = cluster.get(&target);
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_revision_that_never_comes_is_refused_after_three_seconds() {
    let mut cluster = Cluster::new();
    let began = cluster.now;
    let (code, status) = cluster.call(
        Method::Get,
        &format!("{MAPS}?resourceVersion=9999"),
        Value::Null,
    );
    assert_eq!(code, 504);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .starts_with("Timeout: Too large resource version")
    );
    assert_eq!(cluster.now.since(began).as_secs(), 3);
}

#[test]
fn a_list_copies_nothing_of_its_objects() {
    let mut cluster = Cluster::new();
    cluster.create(MAPS, config_map("a"));
    for form in ["", ";as=PartialObjectMetadataList", ";as=Table"] {
        let accept = format!("application/json{form};v=v1;g=meta.k8s.io");
        let mut chunks = || {
            let request = Request::new(Method::Get, MAPS).with_header("accept", accept.clone());
            cluster.respond(request).body
        };
        let (one, other) = (chunks(), chunks());
        let names = |chunk: &&bytes::Bytes| chunk.windows(10).any(|w| w == br#""name":"a""#);
        let object = one.iter().find(names).unwrap();
        assert!(
            other.iter().any(|chunk| chunk.as_ptr() == object.as_ptr()),
            "two answers share the bytes of one object: {accept}"
        );
    }
}

#[test]
fn tables_and_partial_metadata_are_made_when_asked_for() {
    let mut cluster = Cluster::new();
    cluster.create(MAPS, config_map("a"));
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let request = Request::new(Method::Get, MAPS).with_header("accept", accept);
    let table: Value = serde_json::from_slice(&cluster.respond(request).bytes()).unwrap();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let request = Request::new(Method::Get, MAPS).with_header("accept", accept);
    let list: Value = serde_json::from_slice(&cluster.respond(request).bytes()).unwrap();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0].get("data"), None);
}
