//! Variables out of ConfigMaps and Secrets, as a program finds them.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::rig::Rig;

fn pod(env: Value, env_from: Value) -> Value {
    json!({"containers": [{"name": "web", "image": "i:1", "env": env, "envFrom": env_from}]})
}

fn key(kind: &str, name: &str, key: &str, optional: bool) -> Value {
    json!({"name": "V", "valueFrom": {kind: {"name": name, "key": key, "optional": optional}}})
}

fn waiting(rig: &Rig) -> (String, String) {
    let state = &rig.status("p")["containerStatuses"][0]["state"]["waiting"];
    let text = |name: &str| state[name].as_str().unwrap_or_default().to_string();
    (text("reason"), text("message"))
}

#[test]
fn variables_are_filled_in_from_configmaps_and_secrets() {
    let mut rig = Rig::new(1);
    rig.put_source("configmaps/c", json!({"a.b": "1", "color": "blue"}));
    rig.put_source("secrets/s", json!({"color": "cmVk", "pass": "czNjcmV0"}));
    let env = json!([
        key("secretKeyRef", "s", "pass", false),
        {"name": "W", "value": "$(V)-$(X_color)"},
    ]);
    let from = json!([
        {"prefix": "X_", "configMapRef": {"name": "c"}},
        {"secretRef": {"name": "s"}},
        {"configMapRef": {"name": "absent", "optional": true}},
    ]);
    rig.create("p", pod(env, from), json!({}));
    rig.run_secs(10);
    let pairs = [
        ("V", "s3cret"),
        ("W", "s3cret-blue"),
        ("X_a.b", "1"),
        ("X_color", "blue"),
        ("color", "red"),
        ("pass", "s3cret"),
    ];
    let wanted: BTreeMap<_, _> = pairs.map(|(n, v)| (n.to_string(), v.to_string())).into();
    assert_eq!(rig.envs("p", "web"), wanted);
}

#[test]
fn a_container_waits_for_what_it_needs_and_says_what_that_is() {
    let mut rig = Rig::new(1);
    let env = json!([key("configMapKeyRef", "c", "k", false)]);
    rig.create("p", pod(env, json!([])), json!({}));
    rig.run_secs(5);
    let error = "CreateContainerConfigError".to_string();
    assert_eq!(
        waiting(&rig),
        (error.clone(), "configmap \"c\" not found".into())
    );
    assert_eq!(rig.events("Failed"), ["Error: configmap \"c\" not found"]);
    rig.put_source("configmaps/c", json!({"other": "x"}));
    rig.run_secs(11);
    let text = "couldn't find key k in ConfigMap default/c";
    assert_eq!(waiting(&rig), (error, text.into()));
    rig.put_source("configmaps/c", json!({"k": "here"}));
    rig.run_secs(11);
    assert_eq!(rig.envs("p", "web")["V"], "here");
}

#[test]
fn a_change_restarts_nothing_and_the_watch_ends_with_the_last_pod() {
    let mut rig = Rig::new(1);
    rig.put_source("configmaps/c", json!({"k": "old"}));
    let env = || json!([key("configMapKeyRef", "c", "k", false)]);
    rig.create("p", pod(env(), json!([])), json!({}));
    rig.create("q", pod(env(), json!([])), json!({}));
    rig.run_secs(10);
    rig.put_source("configmaps/c", json!({"k": "new"}));
    rig.run_secs(30);
    assert_eq!(rig.envs("p", "web")["V"], "old");
    assert_eq!(rig.status("p")["containerStatuses"][0]["restartCount"], 0);
    rig.delete("p", 1);
    rig.run_secs(5);
    assert_eq!(rig.watched(), ["configmaps/c"]);
    rig.delete("q", 1);
    rig.run_secs(5);
    assert!(rig.watched().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whether and when the object comes, the container runs exactly when it can, and never
    /// without a variable that it requires.
    #[test]
    fn a_required_variable_is_there_or_the_container_is_not(
        seed: u64, optional: bool, comes_after in prop::option::of(0u64..40)
    ) {
        let mut rig = Rig::new(seed);
        let env = json!([key("secretKeyRef", "s", "k", optional)]);
        rig.create("p", pod(env, json!([])), json!({}));
        rig.run_secs(comes_after.unwrap_or(40));
        if comes_after.is_some() {
            rig.put_source("secrets/s", json!({"k": "dg=="}));
        }
        rig.run_secs(30);
        let is_running = rig.running() == ["web"];
        prop_assert_eq!(is_running, optional || comes_after.is_some());
        if is_running {
            let value = rig.envs("p", "web").get("V").cloned();
            prop_assert!(optional || value.as_deref() == Some("v"), "{value:?}");
        }
    }
}
