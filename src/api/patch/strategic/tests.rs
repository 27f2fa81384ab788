//! Cases from upstream's documentation of strategic merge patch, and the properties.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::json;
use proptest::prelude::*;

use super::*;
use crate::kinds::KindId;

fn patched_as(kind: KindId, object: Value, patch: Value) -> Result<Value, Status> {
    let schema = Schema::builtin();
    apply(
        object,
        patch.to_string().as_bytes(),
        schema,
        schema.kind(kind),
    )
}

fn pod(spec: Value) -> Value {
    json!({"spec": spec})
}

fn patched(spec: Value, patch: Value) -> Value {
    let object = patched_as(KindId::Pod, pod(spec), pod(patch)).unwrap();
    object.get("spec").cloned().unwrap()
}

fn refusal(spec: Value, patch: Value) -> (u16, String) {
    let status = patched_as(KindId::Pod, pod(spec), pod(patch)).unwrap_err();
    (status.code, status.message)
}

#[test]
fn containers_merge_by_name_and_arguments_are_replaced() {
    let spec = json!({"containers": [{"name": "a", "image": "x:1", "args": ["1"]}, {"name": "b"}]});
    let patch = json!({"containers": [{"name": "a", "image": "x:2", "args": ["2", "3"]}]});
    let expected = json!({"containers": [
        {"name": "a", "image": "x:2", "args": ["2", "3"]}, {"name": "b"},
    ]});
    assert_eq!(patched(spec, patch), expected);
}

#[test]
fn a_delete_directive_removes_an_item_and_empties_an_object() {
    let spec =
        json!({"containers": [{"name": "a"}, {"name": "b"}], "securityContext": {"runAsUser": 1}});
    let patch = json!({
        "containers": [{"name": "a", "$patch": "delete"}],
        "securityContext": {"$patch": "delete"},
    });
    assert_eq!(
        patched(spec, patch),
        json!({"containers": [{"name": "b"}], "securityContext": {}})
    );
}

#[test]
fn a_replace_directive_replaces_a_list_and_an_object() {
    let spec = json!({"containers": [{"name": "a"}], "securityContext": {"runAsUser": 1}});
    let patch = json!({
        "containers": [{"name": "c"}, {"$patch": "replace"}],
        "securityContext": {"$patch": "replace", "runAsGroup": 2},
    });
    let expected = json!({"containers": [{"name": "c"}], "securityContext": {"runAsGroup": 2}});
    assert_eq!(patched(spec, patch), expected);
}

#[test]
fn retained_keys_are_all_that_stays() {
    let deployment =
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let expected = json!({"spec": {"strategy": {"type": "Recreate"}}});
    assert_eq!(
        patched_as(KindId::Deployment, deployment, patch).unwrap(),
        expected
    );
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
    let patch = json!({"volumes": [
        {"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}},
    ]});
    assert_eq!(
        patched(spec, patch),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]})
    );
}

#[test]
fn primitives_are_merged_and_deleted_by_value() {
    let object = json!({"metadata": {"finalizers": ["a", "b"]}});
    let patch = json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["a"],
        "finalizers": ["c", "b"],
    }});
    let patched = patched_as(KindId::Pod, object, patch).unwrap();
    assert_eq!(patched, json!({"metadata": {"finalizers": ["c", "b"]}}));
}

#[test]
fn a_set_order_moves_what_it_names_around_what_it_does_not() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "server"}, {"name": "b"}]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}],
        "containers": [{"name": "c", "image": "x"}],
    });
    let expected = json!({"containers": [
        {"name": "server"}, {"name": "b"}, {"name": "c", "image": "x"}, {"name": "a"},
    ]});
    assert_eq!(patched(spec, patch), expected);
}

#[test]
fn kubectl_set_image_patches_one_container() {
    let spec =
        json!({"containers": [{"name": "a", "image": "x:1", "ports": [{"containerPort": 80}]}]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "a"}],
        "containers": [{"name": "a", "image": "x:2"}],
    });
    let expected =
        json!({"containers": [{"name": "a", "image": "x:2", "ports": [{"containerPort": 80}]}]});
    assert_eq!(patched(spec, patch), expected);
}

#[test]
fn nulls_remove_and_are_not_kept_in_what_is_new() {
    let spec = json!({"nodeName": "n1", "containers": [{"name": "a", "image": "x"}]});
    let patch = json!({
        "nodeName": null,
        "priority": null,
        "affinity": {"nodeAffinity": null},
        "containers": [{"name": "a", "image": null}],
    });
    assert_eq!(
        patched(spec, patch),
        json!({"affinity": {}, "containers": [{"name": "a"}]})
    );
}

#[test]
fn refusals_are_in_upstreams_words() {
    let spec = || json!({"containers": [{"name": "a"}]});
    assert_eq!(
        refusal(spec(), json!({"containers": [{"image": "x"}]})),
        (
            500,
            "map: map[image:x] does not contain declared merge key: name".to_owned()
        )
    );
    assert_eq!(
        refusal(
            spec(),
            json!({"containers": [{"name": "a", "$patch": "merge"}]})
        )
        .1,
        "merging lists cannot yet be specified in the patch"
    );
    assert_eq!(
        refusal(spec(), json!({"$patch": "mangle"})).1,
        "unknown patch type: mangle in map: map[$patch:mangle]"
    );
    assert_eq!(
        refusal(spec(), json!({"$retainKeys": 1})),
        (400, "invalid patch format of retainKeys".to_owned())
    );
    assert_eq!(
        refusal(spec(), json!({"$deleteFromPrimitiveList": []})),
        (400, "invalid patch format of primitive list".to_owned())
    );
    assert_eq!(
        refusal(spec(), json!({"$setElementOrder/containers": {}})).1,
        "expected a []interface {}, but received a map[string]interface {}"
    );
    let disorder = json!({
        "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
        "containers": [{"name": "b"}, {"name": "a"}],
    });
    assert!(
        refusal(spec(), disorder)
            .1
            .starts_with("The order in patch list:\n[map[name:b] map")
    );
}

fn container() -> impl Strategy<Value = (String, Value)> {
    let env = prop::collection::btree_map("[A-C]", "[x-z]", 0..3);
    let ports = prop::collection::btree_map(80..83_u16, "(TCP|UDP)", 0..3);
    let name = "[a-e]";
    (
        name,
        prop::option::of("img:[0-2]"),
        env,
        ports,
        prop::collection::vec("[0-2]", 0..3),
    )
        .prop_map(|(name, image, env, ports, args)| {
            let env = env
                .into_iter()
                .map(|(name, value)| json!({"name": name, "value": value}));
            let ports = ports.into_iter();
            let ports =
                ports.map(|(port, protocol)| json!({"containerPort": port, "protocol": protocol}));
            let mut fields = json!({
                "name": name, "env": env.collect::<Vec<_>>(), "args": args,
                "ports": ports.collect::<Vec<_>>(),
            });
            if let (Some(image), Some(fields)) = (image, fields.as_object_mut()) {
                fields.insert("image", image.into());
            }
            (name, fields)
        })
}

fn pods() -> impl Strategy<Value = Value> {
    let containers = prop::collection::vec(container(), 0..5).prop_map(|items| {
        let mut kept: Vec<(String, Value)> = Vec::new();
        for item in items {
            if kept.iter().all(|(name, _)| *name != item.0) {
                kept.push(item);
            }
        }
        kept.into_iter()
            .map(|(_, container)| container)
            .collect::<Vec<Value>>()
    });
    let labels = prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
    let finalizers = prop::collection::btree_set("[a-d]", 0..4)
        .prop_map(Vec::from_iter)
        .prop_shuffle();
    let source = prop::sample::select(vec![
        json!({"emptyDir": {}}),
        json!({"hostPath": {"path": "/"}}),
    ]);
    (containers, labels, finalizers, prop::option::of(source)).prop_map(
        |(containers, labels, finalizers, volume)| {
            let volumes: Vec<Value> = volume
                .into_iter()
                .map(|mut source| {
                    source.as_object_mut().unwrap().insert("name", "v".into());
                    source
                })
                .collect();
            json!({
                "metadata": {"labels": labels, "finalizers": finalizers},
                "spec": {"containers": containers, "volumes": volumes},
            })
        },
    )
}

fn junk() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..3_i64).prop_map(Value::from),
        "(delete|replace|merge|a|b)".prop_map(Value::from),
    ];
    let key = "(\\$patch|\\$retainKeys|\\$setElementOrder/containers|\
               \\$deleteFromPrimitiveList/args|\\$setElementOrder|\
               \\$deleteFromPrimitiveList|name|spec|containers|args|env)";
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::btree_map(key, inner.clone(), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    })
}

proptest! {
    #[test]
    fn a_computed_patch_reproduces_the_target(old in pods(), new in pods()) {
        let schema = Schema::builtin();
        let patch = diff(&old, &new, schema, schema.kind(KindId::Pod));
        prop_assert_eq!(patched_as(KindId::Pod, old, patch).unwrap(), new);
    }

    #[test]
    fn any_patch_is_an_answer_or_a_refusal(old in junk(), spec in junk(), patch in junk()) {
        let _ = patched_as(KindId::Pod, old.clone(), patch.clone());
        let _ = patched_as(KindId::Pod, pod(spec), pod(patch));
    }
}
