//! Claims about strict decoding.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::json;
use proptest::prelude::*;

use super::*;

fn pod(value: Value) -> Result<Decoded, Error> {
    decode(value.to_string().as_bytes(), Encoding::Json, KindId::Pod)
}

fn refusal(value: Value, kind: KindId) -> String {
    decode(value.to_string().as_bytes(), Encoding::Json, kind)
        .unwrap_err()
        .to_string()
}

#[test]
fn unknown_fields_are_named_with_indices_and_dropped() {
    let decoded = pod(json!({
        "apiVersion": "v1", "kind": "Pod", "spce": 1,
        "metadata": {"name": "web-0", "labels": {"any": "key"}},
        "spec": {"containers": [{"name": "c", "imagee": "nginx", "env": [{"nme": null}]}]},
    }))
    .unwrap();
    assert_eq!(
        decoded.complaints,
        [
            "unknown field \"spce\"",
            "unknown field \"spec.containers[0].env[0].nme\"",
            "unknown field \"spec.containers[0].imagee\"",
        ]
    );
    assert_eq!(
        decoded.value["spec"]["containers"],
        json!([{"name": "c", "env": [{}]}])
    );
    let strict = "strict decoding error: unknown field \"spce\", unknown field ";
    assert!(decoded.strict_error().unwrap().starts_with(strict));
}

#[test]
fn duplicate_fields_are_named_once_and_the_last_wins() {
    let body = br#"{"kind":"Pod","metadata":{"name":"a","name":"b","name":"c"},
        "spec":{"containers":[{"name":"x"},{"name":"y","name":"z"}]}}"#;
    let decoded = decode(body, Encoding::Json, KindId::Pod).unwrap();
    assert_eq!(
        decoded.complaints,
        [
            "duplicate field \"metadata.name\"",
            "duplicate field \"spec.containers[1].name\""
        ]
    );
    assert_eq!(decoded.value["metadata"]["name"], "c");
}

#[test]
fn wrong_types_are_refused_in_upstreams_words() {
    use KindId::{ConfigMap, Deployment, Pod, Secret, Service};
    let into = |body, kind, expected: &str| {
        assert_eq!(
            refusal(body, kind),
            format!("json: cannot unmarshal {expected}")
        );
    };
    into(
        json!({"spec": {"replicas": "3"}}),
        Deployment,
        "string into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    into(
        json!({"spec": {"replicas": 1.5}}),
        Deployment,
        "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    into(
        json!({"spec": {"replicas": 3_000_000_000_u64}}),
        Deployment,
        "number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    into(
        json!({"spec": {"template": {"spec": {"containers": [{"env": [{"value": 1}]}]}}}}),
        Deployment,
        "number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
    );
    into(
        json!({"spec": {"containers": {}}}),
        Pod,
        "object into Go struct field PodSpec.spec.containers of type []v1.Container",
    );
    into(
        json!({"spec": {"containers": ["nginx"]}}),
        Pod,
        "string into Go struct field PodSpec.spec.containers of type v1.Container",
    );
    into(
        json!({"spec": {"containers": [{"imagePullPolicy": true}]}}),
        Pod,
        "bool into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy",
    );
    into(
        json!({"metadata": {"labels": {"a": 1}}}),
        ConfigMap,
        "number into Go struct field ObjectMeta.metadata.labels of type string",
    );
    into(
        json!({"data": {"a": true}}),
        ConfigMap,
        "bool into Go struct field ConfigMap.data of type string",
    );
    into(
        json!({"spec": {"ports": [{"targetPort": false}]}}),
        Service,
        "bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
    );
    assert_eq!(
        refusal(json!({"data": {"a": "!"}}), Secret),
        "illegal base64 data at input byte 0"
    );
    let error = refusal(json!({"spec": "x"}), Deployment);
    assert_eq!(
        message("Deployment", "v1", &error),
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal \
         string into Go struct field Deployment.spec of type v1.DeploymentSpec"
    );
}

#[test]
fn scalars_with_a_notation_become_canonical() {
    let limits = json!({"cpu": 1.5, "memory": "1024Mi", "pods": 3});
    let decoded = pod(json!({
        "metadata": {"creationTimestamp": null, "deletionTimestamp": "2026-01-02T04:04:05.5+01:00"},
        "spec": {"containers": [{"resources": {"limits": limits}}], "nodeSelector": {"a": null}},
    }))
    .unwrap();
    let value = &decoded.value;
    let limits = &value["spec"]["containers"][0]["resources"]["limits"];
    assert_eq!(
        limits,
        &json!({"cpu": "1500m", "memory": "1Gi", "pods": "3"})
    );
    assert_eq!(
        value["metadata"],
        json!({"deletionTimestamp": "2026-01-02T03:04:05Z"})
    );
    assert_eq!(value["spec"]["nodeSelector"], json!({"a": ""}));
    let refused = refusal(
        json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "much"}}}]}}),
        KindId::Pod,
    );
    assert!(
        refused.starts_with("quantities must match the regular expression"),
        "{refused}"
    );
}

#[test]
fn what_is_not_json_is_refused_in_gos_words() {
    let error = |bytes: &[u8]| {
        decode(bytes, Encoding::Json, KindId::Pod)
            .unwrap_err()
            .to_string()
    };
    for (body, words) in [
        ("{\"kind\":", "unexpected end of JSON input"),
        (
            "{\"kind\": ?}",
            "invalid character '?' looking for beginning of value",
        ),
        ("{\"kind\" 1}", "invalid character '1' after object key"),
        (
            "{\"kind\": 1 2}",
            "invalid character '2' after object key:value pair",
        ),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        (
            "{1: 2}",
            "invalid character '1' looking for beginning of object key string",
        ),
    ] {
        let expected = format!("couldn't get version/kind; json parse error: {words}");
        assert_eq!(error(body.as_bytes()), expected, "{body}");
    }
    assert!(error("[".repeat(1000).as_bytes()).ends_with("exceeded max depth"));
    assert_eq!(
        error(b"[]"),
        "json: cannot unmarshal array into Go value of type v1.Pod"
    );
}

#[test]
fn hostile_yaml_is_refused_early() {
    let refused = |text: &str| decode(text.as_bytes(), Encoding::Yaml, KindId::Pod).is_err();
    assert!(refused("a: &a [x, x]\nb: [*a, *a]\n"));
    assert!(refused(&"[".repeat(10_000)));
    assert!(refused(&"- ".repeat(10_000)));
}

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let body =
        b"kind: Pod\nspec:\n  hostNetwork: yes\n  volumes:\n  - name: v\n    configMap:\n      \
        defaultMode: 0644\n      defaultMod: 1\n  nodeName: a\n  nodeName: b\n";
    let decoded = decode(body, Encoding::Yaml, KindId::Pod).unwrap();
    assert_eq!(decoded.value["spec"]["hostNetwork"], true);
    assert_eq!(
        decoded.value["spec"]["volumes"][0]["configMap"]["defaultMode"],
        420
    );
    assert_eq!(decoded.value["spec"]["nodeName"], "b");
    assert_eq!(
        decoded.complaints,
        [
            "duplicate field \"spec.nodeName\"",
            "unknown field \"spec.volumes[0].configMap.defaultMod\"",
        ]
    );
    assert!(matches!(
        decode(b"a: [", Encoding::Yaml, KindId::Pod),
        Err(Error::Syntax(_))
    ));
}

/// Values that often fit: names of real fields with anything in them.
fn nearly_a_pod() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9.]{0,5}".prop_map(Value::from),
        Just(json!("2026-01-02T03:04:05+02:00")),
        Just(json!("1.5Gi")),
    ];
    let name = prop_oneof![
        Just("metadata"),
        Just("spec"),
        Just("containers"),
        Just("name"),
        Just("env"),
        Just("resources"),
        Just("limits"),
        Just("labels"),
        Just("ports"),
        Just("containerPort"),
        Just("creationTimestamp"),
        Just("volumes"),
        Just("other"),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(String::from), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_passed_fits_and_passes_unchanged(value in nearly_a_pod()) {
        if let Ok(first) = pod(value) {
            let again = pod(first.value.clone()).unwrap();
            prop_assert_eq!(again.complaints, Vec::<String>::new());
            prop_assert_eq!(again.value, first.value);
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, Encoding::Json, KindId::Pod);
        let _ = decode(&bytes, Encoding::Yaml, KindId::Pod);
    }
}

#[test]
fn empty_lists_and_maps_are_left_out_unless_the_schema_demands_them() {
    let mut pod = json!({
        "metadata": {"labels": {}, "ownerReferences": [], "name": "p"},
        "spec": {"containers": [], "volumes": [{"name": "v", "emptyDir": {}}], "tolerations": []},
    });
    assert!(
        check(&mut pod, Schema::builtin().kind(KindId::Pod))
            .unwrap()
            .is_empty()
    );
    let spec = json!({"containers": [], "volumes": [{"name": "v", "emptyDir": {}}]});
    assert_eq!(pod, json!({"metadata": {"name": "p"}, "spec": spec}));
}
