//! Cases from upstream's documentation of server-side apply, and the properties.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::json;
use proptest::prelude::*;

use super::*;
use crate::kinds::KindId;

static STATUS: LazyLock<Set> = LazyLock::new(|| reset_fields(&[&["status"]]));

fn writer(manager: &str, seconds: i64) -> Writer<'_> {
    let schema = Schema::builtin();
    Writer {
        manager,
        api_version: "apps/v1",
        kind: "Deployment",
        subresource: "",
        reset: &STATUS,
        now: Time::from_secs(seconds),
        schema,
        ty: schema.kind(KindId::Deployment),
    }
}

fn deployment(spec: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"}, "spec": spec,
    })
}

fn fields(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = entries
        .into_iter()
        .find(|entry| entry["manager"] == manager);
    found.map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    entries
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap().to_owned())
        .collect()
}

fn created(spec: Value, manager: &str) -> Value {
    let mut object = deployment(spec);
    object["metadata"]["uid"] = "u1".into();
    track(None, &mut object, &writer(manager, 1));
    object
}

fn updated(live: &Value, manager: &str, at: i64, change: impl FnOnce(&mut Value)) -> Value {
    let mut new = live.clone();
    change(&mut new);
    track(Some(live), &mut new, &writer(manager, at));
    new
}

#[test]
fn a_create_is_owned_as_kubectl_shows_it() {
    let spec = json!({
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
        "template": {
            "metadata": {"labels": {"app": "web"}, "creationTimestamp": null},
            "spec": {
                "containers": [{"name": "web", "image": "x", "resources": {}, "args": ["a"],
                    "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
                "securityContext": {}, "restartPolicy": "Always",
            },
        },
    });
    let object = created(spec, "kubectl-create");
    let expected = json!({"f:spec": {
        "f:replicas": {},
        "f:selector": {},
        "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
        "f:template": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:containers": {"k:{\"name\":\"web\"}": {
                    ".": {}, "f:args": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                    "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                        ".": {}, "f:containerPort": {}, "f:protocol": {},
                    }},
                }},
                "f:restartPolicy": {}, "f:securityContext": {},
            },
        },
    }});
    assert_eq!(fields(&object, "kubectl-create"), expected);
    let entry = &object["metadata"]["managedFields"][0];
    assert_eq!(entry["time"], "1970-01-01T00:00:01Z");
    assert_eq!(
        (&entry["operation"], &entry["fieldsType"]),
        (&"Update".into(), &"FieldsV1".into())
    );
}

#[test]
fn an_update_takes_what_it_changes_and_drops_what_it_removes() {
    let live = created(
        json!({"replicas": 1, "paused": true, "minReadySeconds": 1}),
        "a",
    );
    let new = updated(&live, "b", 2, |new| {
        new["spec"]["replicas"] = 2.into();
        new["spec"].as_object_mut().unwrap().remove("paused");
    });
    assert_eq!(
        fields(&new, "a"),
        json!({"f:spec": {"f:minReadySeconds": {}}})
    );
    assert_eq!(fields(&new, "b"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(
        new["metadata"]["managedFields"][0]["time"],
        "1970-01-01T00:00:01Z"
    );
}

#[test]
fn status_has_an_entry_of_its_own() {
    let live = created(json!({"replicas": 1}), "a");
    let mut new = live.clone();
    new["status"] = json!({"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    new["metadata"]["labels"] = json!({"x": "ignored here"});
    let reset = reset_fields(&[&["spec"], &["metadata", "labels"]]);
    let status = Writer {
        subresource: "status",
        reset: &reset,
        ..writer("kcm", 2)
    };
    track(Some(&live), &mut new, &status);
    let expected = json!({"f:status": {
        ".": {}, "f:replicas": {},
        "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {
            ".": {}, "f:status": {}, "f:type": {},
        }},
    }});
    assert_eq!(fields(&new, "kcm"), expected);
    assert_eq!(new["metadata"]["managedFields"][1]["subresource"], "status");
}

#[test]
fn a_conflict_names_manager_and_field() {
    let live = created(
        json!({"replicas": 1, "paused": true}),
        "kubectl-client-side-apply",
    );
    let applied = deployment(json!({"replicas": 2}));
    let status = apply(Some(&live), &applied, &writer("helm", 2), false).unwrap_err();
    assert_eq!((status.code, status.reason), (409, Reason::Conflict));
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: \
         .spec.replicas"
    );
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", ".spec.replicas")
    );
    let both = deployment(json!({"replicas": 2, "paused": false}));
    let status = apply(Some(&live), &both, &writer("helm", 2), false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using \
         apps/v1:\n- .spec.paused\n- .spec.replicas"
    );
    let forced = apply(Some(&live), &applied, &writer("helm", 2), true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(
        fields(&forced, "kubectl-client-side-apply"),
        json!({"f:spec": {"f:paused": {}}})
    );
    assert_eq!(
        fields(&forced, "helm"),
        json!({"f:spec": {"f:replicas": {}}})
    );
    assert_eq!(managers(&forced), ["helm", "kubectl-client-side-apply"]);
}

#[test]
fn the_same_value_is_shared() {
    let live = created(json!({"replicas": 1}), "a");
    let applied = deployment(json!({"replicas": 1}));
    let object = apply(Some(&live), &applied, &writer("helm", 2), false).unwrap();
    for manager in ["a", "helm"] {
        assert_eq!(
            fields(&object, manager),
            json!({"f:spec": {"f:replicas": {}}})
        );
    }
}

#[test]
fn what_is_applied_no_more_goes_unless_another_owns_it() {
    let first = deployment(json!({
        "replicas": 1, "paused": true,
        "template": {"spec": {"containers": [
            {"name": "a", "image": "x"}, {"name": "b", "image": "y"},
        ]}},
    }));
    let live = apply(None, &first, &writer("helm", 1), false).unwrap();
    let other = deployment(json!({
        "template": {"spec": {"containers": [{"name": "b", "tty": true}]}},
    }));
    let live = apply(Some(&live), &other, &writer("other", 2), false).unwrap();
    let second = deployment(json!({
        "replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "x"}]}},
    }));
    let object = apply(Some(&live), &second, &writer("helm", 3), false).unwrap();
    let expected = json!({
        "replicas": 1,
        "template": {"spec": {"containers": [
            {"name": "a", "image": "x"}, {"name": "b", "tty": true},
        ]}},
    });
    assert_eq!(object["spec"], expected);
    assert!(
        fields(&object, "helm")
            .pointer("/f:spec/f:paused")
            .is_none()
    );
}

#[test]
fn an_applied_list_keeps_its_order_around_items_of_others() {
    let names = |object: &Value| -> Vec<String> {
        let items = object["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .clone();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let with = |names: &[&str]| {
        let items: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        deployment(json!({"template": {"spec": {"containers": items}}}))
    };
    for (live, applied, expected) in [
        (vec!["a", "b", "c"], vec!["c", "b"], vec!["a", "c", "b"]),
        (vec!["a", "x", "b"], vec!["b", "a"], vec!["x", "b", "a"]),
        (vec!["a", "b"], vec!["n", "a", "b"], vec!["n", "a", "b"]),
        (vec!["x"], vec!["a"], vec!["x", "a"]),
    ] {
        let object = apply(Some(&with(&live)), &with(&applied), &writer("m", 1), true).unwrap();
        assert_eq!(names(&object), expected, "{live:?} {applied:?}");
    }
}

#[test]
fn what_is_owned_whole_is_replaced_and_what_is_owned_in_parts_is_joined() {
    let template = |spec: Value| json!({"template": {"spec": spec}});
    let mut live = deployment(template(json!({
        "nodeSelector": {"a": "1"},
        "containers": [{"name": "c", "args": ["1"], "ports": [
            {"containerPort": 53, "protocol": "TCP", "name": "tcp"},
            {"containerPort": 53, "protocol": "UDP", "name": "udp"},
        ]}],
    })));
    live["metadata"]["finalizers"] = json!(["theirs"]);
    live["metadata"]["labels"] = json!({"theirs": "1"});
    let mut applied = deployment(template(json!({
        "nodeSelector": {"b": "2"},
        "containers": [{"name": "c", "args": ["2"], "ports": [
            {"containerPort": 53, "name": "renamed"},
        ]}],
    })));
    applied["metadata"]["finalizers"] = json!(["ours"]);
    applied["metadata"]["labels"] = json!({"ours": "1"});
    let object = apply(Some(&live), &applied, &writer("m", 1), true).unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!(["theirs", "ours"]));
    assert_eq!(
        object["metadata"]["labels"],
        json!({"theirs": "1", "ours": "1"})
    );
    let spec = &object["spec"]["template"]["spec"];
    assert_eq!(spec["nodeSelector"], json!({"b": "2"}));
    assert_eq!(spec["containers"][0]["args"], json!(["2"]));
    let expected = json!([
        {"containerPort": 53, "protocol": "TCP", "name": "renamed"},
        {"containerPort": 53, "protocol": "UDP", "name": "udp"},
    ]);
    assert_eq!(spec["containers"][0]["ports"], expected);
    let owned = fields(&object, "m");
    assert!(
        owned
            .pointer("/f:metadata/f:finalizers/v:\"ours\"")
            .is_some(),
        "{owned}"
    );
}

#[test]
fn applies_and_updates_of_one_manager_have_two_entries() {
    let live = created(json!({"replicas": 1}), "m");
    let applied = deployment(json!({"paused": true}));
    let object = apply(Some(&live), &applied, &writer("m", 2), false).unwrap();
    let operations: Vec<&Value> = object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["operation"])
        .collect();
    assert_eq!(operations, ["Apply", "Update"]);
}

#[test]
fn a_manager_without_a_name_is_named_after_its_program() {
    assert_eq!(manager_name("helm", "kubectl/v1.33.0"), "helm");
    assert_eq!(manager_name("", "kubelet/v1.33.0 (linux/amd64)"), "kubelet");
    assert_eq!(manager_name("", &"x".repeat(200)).len(), 128);
}

#[test]
fn what_kubectl_applied_before_may_be_taken_without_force() {
    let last = deployment(json!({"replicas": 1, "paused": true}));
    let mut live = last.clone();
    let text = last.to_string();
    live["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": text});
    live["metadata"]["uid"] = "u".into();
    track(None, &mut live, &writer("kubectl-client-side-apply", 1));
    let applied = deployment(json!({"replicas": 2}));
    let object = apply(Some(&live), &applied, &writer("kubectl", 2), false).unwrap();
    assert_eq!(object["spec"]["replicas"], 2);
    let annotation =
        &object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(annotation, &Value::from(format!("{applied}\n")));
    let live = updated(&live, "kubectl-scale", 3, |new| {
        new["spec"]["replicas"] = 5.into()
    });
    let status = apply(Some(&live), &applied, &writer("kubectl", 4), false).unwrap_err();
    assert!(
        status
            .message
            .contains("\"kubectl-scale\" using apps/v1: .spec.replicas")
    );
}

#[test]
fn fields_without_a_ledger_belong_to_before_first_apply() {
    let live = deployment(json!({"replicas": 1}));
    let applied = deployment(json!({"paused": true}));
    let object = apply(Some(&live), &applied, &writer("m", 2), false).unwrap();
    assert_eq!(
        fields(&object, "before-first-apply"),
        json!({"f:spec": {"f:replicas": {}}})
    );
}

#[test]
fn what_cannot_be_applied_is_refused_in_upstreams_words() {
    let refuse = |spec: Value| apply(None, &deployment(spec), &writer("m", 1), false).unwrap_err();
    let head = "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): ";
    assert_eq!(
        refuse(json!({"replicsa": 1})).message,
        format!("{head}.spec.replicsa: field not declared in schema")
    );
    assert_eq!(
        refuse(json!({"replicas": "x"})).message,
        format!("{head}.spec.replicas: expected numeric (int or float), got string")
    );
    let twice = json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}});
    assert_eq!(
        refuse(twice).message,
        format!("{head}.spec.template.spec.containers: duplicate entries for key [name=\"a\"]")
    );
    let mut managed = deployment(json!({}));
    managed["metadata"]["managedFields"] = json!([]);
    let status = apply(None, &managed, &writer("m", 1), false).unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (400, "metadata.managedFields must be nil")
    );
}

#[test]
fn the_oldest_of_eleven_updates_are_joined() {
    let mut live = created(json!({"replicas": 0}), "m0");
    for turn in 1..=11_i64 {
        live = updated(&live, &format!("m{turn}"), turn + 1, |new| {
            new["metadata"]["labels"][format!("l{turn}")] = "x".into();
        });
    }
    let names = managers(&live);
    assert_eq!(names.len(), 10);
    assert_eq!(names[0], "ancient-changes");
    let joined = fields(&live, "ancient-changes");
    assert!(
        joined.pointer("/f:metadata/f:labels/f:l1").is_some(),
        "{joined}"
    );
}

#[test]
fn a_client_may_rewrite_or_end_the_ledger() {
    let live = created(json!({"replicas": 1}), "a");
    let renamed = updated(&live, "c", 2, |new| {
        new["metadata"]["managedFields"][0]["manager"] = "b".into();
    });
    assert_eq!(managers(&renamed), ["b"]);
    let broken = updated(&live, "c", 2, |new| {
        new["metadata"]["managedFields"][0]["operation"] = "Guess".into();
    });
    assert_eq!(managers(&broken), ["a"]);
    let ended = updated(&live, "c", 2, |new| {
        new["metadata"]["managedFields"] = json!([])
    });
    assert!(managers(&ended).is_empty());
    let still = updated(&ended, "c", 3, |new| new["spec"]["replicas"] = 2.into());
    assert!(managers(&still).is_empty());
}

fn spec() -> impl Strategy<Value = Value> {
    let container = (prop::option::of("[xy]"), prop::option::of(any::<bool>()));
    let ports = prop::collection::btree_set(80..82_u16, 0..2);
    let containers = prop::collection::btree_map("[a-c]", (container, ports), 0..3);
    let labels = prop::collection::btree_map("[a-c]", "[xy]", 0..3);
    (
        prop::option::of(0..3_i64),
        containers,
        labels,
        any::<bool>(),
    )
        .prop_map(|(replicas, containers, labels, reverse)| {
            let containers = containers.into_iter().map(|(name, ((image, tty), ports))| {
                let ports: Vec<Value> = ports
                    .into_iter()
                    .map(|port| json!({"containerPort": port}))
                    .collect();
                let mut container = json!({"name": name, "ports": ports});
                if let Some(image) = image {
                    container["image"] = image.into();
                }
                if let Some(tty) = tty {
                    container["tty"] = tty.into();
                }
                container
            });
            let mut containers: Vec<Value> = containers.collect();
            if reverse {
                containers.reverse();
            }
            let mut spec = json!({"template": {
                "metadata": {"labels": labels}, "spec": {"containers": containers},
            }});
            if let Some(replicas) = replicas {
                spec["replicas"] = replicas.into();
            }
            spec
        })
}

/// Without the empty lists and objects that pruning leaves out.
fn solid(value: Value) -> Value {
    let is_solid = |value: &Value| *value != json!({}) && *value != json!([]);
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, solid(value)));
            Value::Object(fields.filter(|(_, value)| is_solid(value)).collect())
        }
        Value::Array(items) => items.into_iter().map(solid).filter(is_solid).collect(),
        other => other,
    }
}

fn junk() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!(1)),
        Just(json!("Apply")),
        Just(json!({}))
    ];
    let key =
        "(metadata|managedFields|fieldsV1|operation|spec|template|containers|ports|name|f:a|k:)";
    leaf.prop_recursive(5, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::btree_map(key, inner.clone(), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    })
}

proptest! {
    #[test]
    fn an_apply_repeated_changes_nothing(live in spec(), other in spec(), applied in spec()) {
        let live = created(live, "a");
        let live = apply(Some(&live), &deployment(other), &writer("other", 2), true).unwrap();
        let applied = deployment(applied);
        let once = apply(Some(&live), &applied, &writer("m", 3), true).unwrap();
        let twice = apply(Some(&once), &applied, &writer("m", 4), true).unwrap();
        prop_assert_eq!(&twice, &once);
        let calm = apply(Some(&once), &applied, &writer("m", 5), false).unwrap();
        prop_assert_eq!(&calm, &once);
    }

    #[test]
    fn what_is_applied_is_owned(live in spec(), first in spec(), second in spec()) {
        let live = created(live, "a");
        let applied = deployment(first.clone());
        let mut object = apply(Some(&live), &applied, &writer("m", 2), true).unwrap();
        for applied in [second, first] {
            let applied = deployment(applied);
            object = apply(Some(&object), &applied, &writer("m", 3), true).unwrap();
            let typed = writer("m", 3).typed();
            let mut named = extent::fields_of(&applied, typed);
            named.subtract(&NOBODYS);
            prop_assert_eq!(Set::trusted(fields(&object, "m")), named);
            // What was named is there with its value: laying it over again changes nothing.
            let mut bare = object.clone();
            managers::take(&mut bare);
            let again = merge::merge(&bare, &applied, typed).unwrap();
            prop_assert_eq!(solid(again), solid(bare));
        }
    }

    #[test]
    fn a_write_without_a_change_keeps_the_ledger(live in spec()) {
        let live = created(live, "a");
        prop_assert_eq!(updated(&live, "b", 9, |_| {}), live);
    }

    #[test]
    fn any_objects_are_tracked_and_applied_without_a_panic(
        live in junk(), new in junk(), applied in junk(), ledger in junk(),
    ) {
        let mut tracked = new.clone();
        track(Some(&live), &mut tracked, &writer("m", 1));
        track(None, &mut tracked, &writer("n", 2));
        let mut base = deployment(live);
        base["metadata"]["managedFields"] = ledger;
        for force in [false, true] {
            let applied = deployment(applied.clone());
            let _ = apply(Some(&base), &applied, &writer("kubectl", 1), force);
            let _ = apply(Some(&new), &applied, &writer("kubectl", 1), force);
        }
    }
}
