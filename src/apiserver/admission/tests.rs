//! Each plugin alone, and all of them in order.
//!
//! Book: `book/src/control-plane/admission.md`.

use std::sync::Arc;

use wavetank_api::json::{Value, json};
use wavetank_api::{Guards, KindId, Time};

use super::PLUGINS;
use crate::strategy::{Attributes, Denied, Operation, View};

/// A few objects by kind, namespace and name.
struct Objects(Vec<(KindId, Value)>);

impl View for Objects {
    fn object(&self, kind: KindId, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let mut objects = self.objects(kind, namespace).into_iter();
        objects.find(|object| object["metadata"]["name"] == name)
    }

    fn objects(&self, kind: KindId, namespace: &str) -> Vec<Arc<Value>> {
        let within =
            |object: &Value| namespace.is_empty() || object["metadata"]["namespace"] == namespace;
        let found = self
            .0
            .iter()
            .filter(|(of, object)| *of == kind && within(object));
        found.map(|(_, object)| object.clone().into()).collect()
    }
}

fn cluster() -> Objects {
    let named = |name: &str| json!({"metadata": {"name": name}});
    let mut leaving = named("leaving");
    leaving["status"] = json!({"phase": "Terminating"});
    let account =
        |name: &str, namespace: &str| json!({"metadata": {"name": name, "namespace": namespace}});
    let mut quiet = account("quiet", "shop");
    quiet["automountServiceAccountToken"] = json!(false);
    quiet["imagePullSecrets"] = json!([{"name": "pull"}]);
    Objects(vec![
        (KindId::Namespace, named("shop")),
        (KindId::Namespace, named("default")),
        (KindId::Namespace, leaving),
        (KindId::ServiceAccount, account("default", "shop")),
        (KindId::ServiceAccount, quiet),
        (
            KindId::PriorityClass,
            json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}),
        ),
    ])
}

fn write<'a>(
    operation: Operation,
    kind: KindId,
    namespace: &'a str,
    name: &'a str,
) -> Attributes<'a> {
    let now = Time::from_secs(1_000);
    Attributes {
        operation,
        kind,
        subresource: "",
        namespace,
        name,
        old: None,
        user: "admin",
        guards: Guards::default(),
        now,
    }
}

fn admit_all(object: &mut Value, write: &Attributes<'_>) -> Result<(), Denied> {
    PLUGINS
        .iter()
        .try_for_each(|(_, admit)| admit(Some(&mut *object), write, &cluster()))
}

fn refusal(spec: Value) -> String {
    let mut pod = json!({"spec": spec});
    match admit_all(
        &mut pod,
        &write(Operation::Create, KindId::Pod, "shop", "web-0"),
    ) {
        Err(Denied::Forbidden(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_small_pod_gets_all_that_upstream_gives_it() {
    let mut pod = json!({"spec": {"containers": [{"name": "web"},
        {"name": "own", "volumeMounts": [
            {"name": "x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}]}});
    let write = write(Operation::Create, KindId::Pod, "shop", "web-0");
    assert_eq!(admit_all(&mut pod, &write), Ok(()));
    let spec = &pod["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["serviceAccount"], "default");
    assert_eq!(spec["priority"], 0);
    assert_eq!(spec["preemptionPolicy"], "PreemptLowerPriority");
    assert_eq!(spec.get("priorityClassName"), None);
    let volume = spec["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-") && volume.len() == 21);
    assert_eq!(
        spec["containers"][0]["volumeMounts"],
        json!([{"name": volume, "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
    );
    assert_eq!(spec["containers"][1]["volumeMounts"][0]["name"], "x");
    let sources = &spec["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["serviceAccountToken"]["expirationSeconds"], 3607);
    assert_eq!(
        spec["tolerations"],
        json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists",
            "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists",
            "effect": "NoExecute", "tolerationSeconds": 300}])
    );
    let once = pod.clone();
    assert_eq!(admit_all(&mut pod, &write), Ok(()));
    assert_eq!(
        pod, once,
        "a plugin that has run once changes nothing when it runs again"
    );
}

#[test]
fn bad_pods_are_refused_in_upstreams_words() {
    for (spec, expected) in [
        (
            json!({"serviceAccountName": "nobody"}),
            "error looking up service account shop/nobody: serviceaccount \"nobody\" not found",
        ),
        (
            json!({"priorityClassName": "unheard-of"}),
            "no PriorityClass with name unheard-of was found",
        ),
        (
            json!({"priorityClassName": "high", "priority": 5}),
            "the integer value of priority (5) must not be provided in pod spec; priority \
             admission controller computed 1000 from the given PriorityClass name",
        ),
        (
            json!({"priorityClassName": "high", "preemptionPolicy": "PreemptLowerPriority"}),
            "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in \
             pod spec; priority admission controller computed Never from the given PriorityClass \
             name",
        ),
    ] {
        assert_eq!(refusal(spec), expected);
    }
}

#[test]
fn an_account_says_whether_its_pods_get_a_token() {
    let mut pod = json!({"spec": {"serviceAccountName": "quiet", "containers": [{"name": "a"}],
        "priorityClassName": "system-node-critical"}});
    let write = write(Operation::Create, KindId::Pod, "shop", "web-0");
    assert_eq!(admit_all(&mut pod, &write), Ok(()));
    assert_eq!(pod["spec"].get("volumes"), None);
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(pod["spec"]["priority"], 2_000_001_000_i64);
}

#[test]
fn namespaces_begin_and_end_in_order() {
    let admit = |operation, kind, namespace, name| {
        admit_all(&mut json!({}), &write(operation, kind, namespace, name))
    };
    let (create, update, delete) = (Operation::Create, Operation::Update, Operation::Delete);
    let map = KindId::ConfigMap;
    assert_eq!(admit(create, map, "shop", "a"), Ok(()));
    assert_eq!(
        admit(create, map, "nowhere", "a"),
        Err(Denied::NamespaceNotFound("nowhere".into()))
    );
    assert_eq!(
        admit(create, map, "leaving", "a"),
        Err(Denied::NamespaceTerminating("leaving".into()))
    );
    assert_eq!(admit(update, map, "leaving", "a"), Ok(()));
    assert_eq!(admit(delete, map, "nowhere", "a"), Ok(()));
    assert_eq!(admit(delete, KindId::Namespace, "", "shop"), Ok(()));
    assert_eq!(
        admit(delete, KindId::Namespace, "", "default"),
        Err(Denied::Forbidden(
            "this namespace may not be deleted".into()
        ))
    );
}

#[test]
fn a_new_node_is_tainted_until_it_is_ready() {
    let mut node = json!({"spec": {}});
    let create = write(Operation::Create, KindId::Node, "", "n1");
    assert_eq!(admit_all(&mut node, &create), Ok(()));
    let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    assert_eq!(node["spec"]["taints"], json!([taint]));
    let update = write(Operation::Update, KindId::Node, "", "n1");
    let mut ready = json!({"spec": {}});
    assert_eq!(admit_all(&mut ready, &update), Ok(()));
    assert_eq!(ready, json!({"spec": {}}));
}

#[test]
fn at_most_one_class_is_the_default() {
    let view = Objects(vec![(
        KindId::PriorityClass,
        json!({"metadata": {"name": "usual"}, "value": 7, "globalDefault": true}),
    )]);
    let priority = |object: &mut Value, write: &Attributes<'_>| {
        let (_, admit) = PLUGINS
            .iter()
            .find(|(name, _)| *name == "Priority")
            .unwrap();
        admit(Some(object), write, &view)
    };
    let mut class = json!({"globalDefault": true});
    let create = write(Operation::Create, KindId::PriorityClass, "", "other");
    assert_eq!(
        priority(&mut class, &create),
        Err(Denied::Forbidden(
            "PriorityClass usual is already marked as default. Only one default can exist".into()
        ))
    );
    let update = write(Operation::Update, KindId::PriorityClass, "", "usual");
    assert_eq!(priority(&mut class, &update), Ok(()));
    let mut pod = json!({"spec": {}});
    let create = write(Operation::Create, KindId::Pod, "shop", "web-0");
    assert_eq!(priority(&mut pod, &create), Ok(()));
    assert_eq!(pod["spec"]["priorityClassName"], "usual");
    assert_eq!(pod["spec"]["priority"], 7);
}
