//! Create, read, update, patch and delete, in upstream's words.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::{Value, json};

use wavetank_api::Method;

use crate::testing::{Cluster, config_map, revision};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn bootstrap_creates_what_always_exists() {
    let mut cluster = Cluster::new();
    cluster.join();
    let namespaces = cluster.get("/api/v1/namespaces");
    assert_eq!(namespaces["kind"], "NamespaceList");
    assert_eq!(namespaces["items"].as_array().unwrap().len(), 4);
    let service = cluster.get("/api/v1/namespaces/default/services/kubernetes");
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    let endpoints = cluster.get("/api/v1/namespaces/default/endpoints/kubernetes");
    assert_eq!(endpoints["subsets"][0]["ports"][0]["port"], 6443);
    cluster.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes");
    cluster.get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical");
}

#[test]
fn an_object_lives_through_all_verbs() {
    let mut cluster = Cluster::new();
    let made = cluster.create(MAPS, config_map("a"));
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(made["metadata"]["uid"].as_str().unwrap().len(), 36);
    let path = format!("{MAPS}/a");
    assert_eq!(cluster.get(&path), made);
    let (code, again) = cluster.call(Method::Post, MAPS, config_map("a"));
    assert_eq!(
        (code, again["reason"].as_str()),
        (409, Some("AlreadyExists"))
    );

    let mut changed = made.clone();
    changed["data"]["a"] = "2".into();
    let (code, updated) = cluster.call(Method::Put, &path, changed.clone());
    assert_eq!((code, &updated["data"]["a"]), (200, &json!("2")));
    assert!(revision(&updated) > revision(&made));
    let (code, stale) = cluster.call(Method::Put, &path, changed);
    assert_eq!(code, 409);
    assert_eq!(
        stale["message"],
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please \
         apply your changes to the latest version and try again"
    );
    let (code, same) = cluster.call(Method::Put, &path, updated.clone());
    assert_eq!(
        (code, revision(&same)),
        (200, revision(&updated)),
        "a no-op writes nothing"
    );

    let merge = "application/merge-patch+json";
    let (code, patched) = cluster.patch(&path, merge, json!({"data": {"b": "3", "a": null}}));
    assert_eq!((code, &patched["data"]), (200, &json!({"b": "3"})));
    let json_patch = "application/json-patch+json";
    let operations = json!([{"op": "replace", "path": "/data/b", "value": "4"}]);
    assert_eq!(
        cluster.patch(&path, json_patch, operations).1["data"]["b"],
        "4"
    );

    let (code, status) = cluster.call(Method::Delete, &path, Value::Null);
    assert_eq!((code, status["status"].as_str()), (200, Some("Success")));
    assert_eq!(status["details"]["uid"], made["metadata"]["uid"]);
    let (code, gone) = cluster.call(Method::Get, &path, Value::Null);
    assert_eq!(
        (code, gone["message"].as_str()),
        (404, Some("configmaps \"a\" not found"))
    );
}

#[test]
fn generated_names_are_tried_until_one_is_free() {
    let mut cluster = Cluster::new();
    let body = json!({"metadata": {"generateName": "web-"}});
    let (a, b) = (
        cluster.create(MAPS, body.clone()),
        cluster.create(MAPS, body),
    );
    let name = a["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
    assert_ne!(a["metadata"]["name"], b["metadata"]["name"]);
}

#[test]
fn a_body_that_does_not_fit_is_refused_in_upstreams_words() {
    let mut cluster = Cluster::new();
    let refused = |cluster: &mut Cluster, target: &str, body: Value| {
        let (code, status) = cluster.call(Method::Post, target, body);
        (
            code,
            status["message"].as_str().unwrap_or_default().to_string(),
        )
    };
    let mut other = config_map("a");
    other["metadata"]["namespace"] = "other".into();
    assert_eq!(
        refused(&mut cluster, MAPS, other),
        (
            400,
            "the namespace of the provided object does not match the namespace sent on the request"
                .into()
        )
    );
    let mut versioned = config_map("a");
    versioned["metadata"]["resourceVersion"] = "7".into();
    assert_eq!(
        refused(&mut cluster, MAPS, versioned),
        (
            500,
            "resourceVersion should not be set on objects to be created".into()
        )
    );
    let mut unknown = config_map("a");
    unknown["dota"] = 1.into();
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let (code, message) = refused(&mut cluster, &strict, unknown);
    assert_eq!(code, 400);
    assert!(
        message.contains("strict decoding error: unknown field \"dota\""),
        "{message}"
    );
    let nowhere = "/api/v1/namespaces/nowhere/configmaps";
    assert_eq!(
        refused(&mut cluster, nowhere, config_map("a")),
        (404, "namespaces \"nowhere\" not found".into())
    );
    let (code, message) = refused(&mut cluster, MAPS, json!({"metadata": {}}));
    assert_eq!(code, 422);
    assert!(
        message.contains("name or generateName is required"),
        "{message}"
    );
}

#[test]
fn a_dry_run_stores_nothing() {
    let mut cluster = Cluster::new();
    let before = cluster.store.revision();
    let made = cluster.create(&format!("{MAPS}?dryRun=All"), config_map("a"));
    assert_eq!(made["metadata"]["name"], "a");
    assert_eq!(made["metadata"].get("resourceVersion"), None);
    assert_eq!(cluster.store.revision(), before);
}

#[test]
fn finalizers_hold_a_deleted_object_until_they_are_gone() {
    let mut cluster = Cluster::new();
    let mut body = config_map("a");
    body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.create(MAPS, body);
    let path = format!("{MAPS}/a");
    let (code, marked) = cluster.call(Method::Delete, &path, Value::Null);
    assert_eq!(code, 200);
    assert!(
        marked["metadata"]["deletionTimestamp"].is_string(),
        "{marked}"
    );
    let merge = "application/merge-patch+json";
    let added = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    assert_eq!(cluster.patch(&path, merge, added).0, 422);
    assert_eq!(
        cluster
            .patch(&path, merge, json!({"metadata": {"finalizers": null}}))
            .0,
        200
    );
    assert_eq!(cluster.call(Method::Get, &path, Value::Null).0, 404);
}

#[test]
fn preconditions_are_compared_with_what_is_deleted() {
    let mut cluster = Cluster::new();
    cluster.create(MAPS, config_map("a"));
    let wrong = json!({"preconditions": {"uid": "another"}});
    let path = format!("{MAPS}/a");
    let (code, status) = cluster.call(Method::Delete, &path, wrong);
    assert_eq!((code, status["reason"].as_str()), (409, Some("Conflict")));
}

#[test]
fn propagation_policies_leave_their_finalizers() {
    let mut cluster = Cluster::new();
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        cluster.create(MAPS, config_map("a"));
        let path = format!("{MAPS}/a");
        let body = json!({"propagationPolicy": policy});
        let (_, marked) = cluster.call(Method::Delete, &path, body);
        assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
        let merge = "application/merge-patch+json";
        cluster.patch(&path, merge, json!({"metadata": {"finalizers": null}}));
    }
}

#[test]
fn a_collection_is_deleted_one_by_one() {
    let mut cluster = Cluster::new();
    for name in ["a", "b", "c"] {
        cluster.create(MAPS, config_map(name));
    }
    let target = format!("{MAPS}?fieldSelector=metadata.name!=b");
    let (code, list) = cluster.call(Method::Delete, &target, Value::Null);
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 2));
    let left = cluster.get(MAPS);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

#[test]
fn services_get_addresses_that_no_other_service_has() {
    let mut cluster = Cluster::new();
    let path = "/api/v1/namespaces/default/services";
    let service = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "selector": {"a": "b"},
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}})
    };
    let a = cluster.create(path, service("a"));
    let ip = a["spec"]["clusterIP"].clone();
    assert!(a["spec"]["ports"][0]["nodePort"].as_u64().unwrap() >= 30_000);
    let mut taken = service("b");
    taken["spec"]["clusterIP"] = ip.clone();
    let (code, status) = cluster.call(Method::Post, path, taken.clone());
    assert_eq!(code, 422);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("provided IP is already allocated"),
        "{message}"
    );
    assert_eq!(
        cluster
            .call(Method::Delete, &format!("{path}/a"), Value::Null)
            .0,
        200
    );
    assert_eq!(cluster.create(path, taken)["spec"]["clusterIP"], ip);
}

#[test]
fn requests_without_a_proved_identity_see_only_health_and_version() {
    use crate::testing::Ended;
    use wavetank_api::Request;
    let mut cluster = Cluster::new();
    let mut ask = |target: &str| {
        let step = cluster
            .server
            .begin(Request::new(Method::Get, target), cluster.now);
        match cluster.finish(step) {
            Ended::Response(response) => response.status,
            _ => 0,
        }
    };
    assert_eq!(ask("/version"), 200);
    assert_eq!(ask("/readyz?verbose"), 200);
    assert_eq!(ask("/api"), 401);
    assert_eq!(ask("/api/v1/pods"), 401);
    assert_eq!(ask("/nonsense"), 401);
}

#[test]
fn a_service_account_token_is_good_while_the_account_lives() {
    use wavetank_api::Request;
    let mut cluster = Cluster::new();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster.create(accounts, json!({"metadata": {"name": "robot"}}));
    let request = json!({"spec": {"audiences": [], "expirationSeconds": 600}});
    let token = cluster.create(&format!("{accounts}/robot/token"), request);
    let entry = &token["metadata"]["managedFields"][0];
    assert_eq!(entry["subresource"], "token");
    let token = token["status"]["token"].as_str().unwrap().to_string();
    let whoami = |cluster: &mut Cluster| {
        let target = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let request = Request::new(Method::Post, target)
            .with_header("authorization", format!("Bearer {token}"))
            .with_body("application/json", "{}");
        let response = cluster.respond(request);
        let body: Value = serde_json::from_slice(&response.bytes()).unwrap();
        (
            response.status,
            body["status"]["userInfo"]["username"].clone(),
        )
    };
    let name = json!("system:serviceaccount:default:robot");
    assert_eq!(whoami(&mut cluster), (201, name));
    cluster.call(Method::Delete, &format!("{accounts}/robot"), Value::Null);
    assert_eq!(whoami(&mut cluster).0, 401);
}

#[test]
fn an_exec_is_joined_with_the_kubelet_of_the_pods_node() {
    use crate::step::TunnelKind;
    use crate::testing::Ended;
    use wavetank_api::Request;
    let mut cluster = Cluster::new();
    cluster.create(
        "/api/v1/namespaces/default/serviceaccounts",
        json!({"metadata": {"name": "default"}}),
    );
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "web-0"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod = cluster.create(pods, pod);
    let exec = format!("{pods}/web-0/exec?command=ls&command=-l&stdout=true");
    let (code, status) = cluster.call(Method::Get, &exec, Value::Null);
    assert_eq!(
        (code, status["message"].as_str()),
        (400, Some("pod web-0 does not have a host assigned"))
    );
    let binding = json!({"apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": "web-0", "uid": pod["metadata"]["uid"]},
        "target": {"kind": "Node", "name": "n1"}});
    let bind = format!("{pods}/web-0/binding");
    assert_eq!(cluster.create(&bind, binding.clone())["status"], "Success");
    let (code, status) = cluster.call(Method::Post, &bind, binding);
    assert_eq!(
        (code, status["message"].as_str()),
        (
            409,
            Some(
                "Operation cannot be fulfilled on \
        pods/binding \"web-0\": pod web-0 is already assigned to node \"n1\""
            )
        )
    );
    let request = Request::new(Method::Get, exec).with_header("upgrade", "websocket");
    let Ended::Tunnel(tunnel) = cluster.send(request) else {
        panic!("no tunnel")
    };
    assert_eq!(
        (tunnel.node.as_str(), tunnel.container.as_str()),
        ("n1", "c")
    );
    assert_eq!(tunnel.uid, pod["metadata"]["uid"].as_str().unwrap());
    assert!(matches!(tunnel.kind, TunnelKind::Exec { command, .. } if command == ["ls", "-l"]));
}

#[test]
fn an_apply_is_a_create_then_an_owner_of_its_fields() {
    let mut cluster = Cluster::new();
    let apply = "application/apply-patch+yaml";
    let path = format!("{MAPS}/a");
    let body = |value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a"}, "data": {"a": value}})
    };
    let (code, status) = cluster.patch(&path, apply, body("1"));
    assert_eq!(
        (code, &status["details"]["causes"][0]["field"]),
        (422, &json!("fieldManager"))
    );
    let (code, made) = cluster.patch(&format!("{path}?fieldManager=one"), apply, body("1"));
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "one");
    let (code, again) = cluster.patch(&format!("{path}?fieldManager=one"), apply, body("1"));
    assert_eq!((code, revision(&again)), (200, revision(&made)));
    let (code, status) = cluster.patch(&format!("{path}?fieldManager=two"), apply, body("2"));
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    let forced = format!("{path}?fieldManager=two&force=true");
    assert_eq!(cluster.patch(&forced, apply, body("2")).1["data"]["a"], "2");
}

#[test]
fn a_scale_changes_the_number_and_the_generation() {
    let mut cluster = Cluster::new();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let made = cluster.create(
        deployments,
        json!({"metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
    );
    assert_eq!(
        (&made["metadata"]["generation"], &made["spec"]["replicas"]),
        (&json!(1), &json!(1))
    );
    let scale = format!("{deployments}/web/scale");
    assert_eq!(cluster.get(&scale)["status"]["selector"], "a=b");
    let merge = "application/merge-patch+json";
    let (code, scaled) = cluster.patch(&scale, merge, json!({"spec": {"replicas": 3}}));
    assert_eq!(
        (code, &scaled["kind"], &scaled["spec"]["replicas"]),
        (200, &json!("Scale"), &json!(3))
    );
    let deployment = cluster.get(&format!("{deployments}/web"));
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(deployment["metadata"]["generation"], 2);
    let status =
        json!({"status": {"replicas": 2, "observedGeneration": 2}, "spec": {"replicas": 9}});
    let (code, changed) = cluster.patch(&format!("{deployments}/web/status"), merge, status);
    assert_eq!((code, &changed["status"]["replicas"]), (200, &json!(2)));
    assert_eq!(
        changed["spec"]["replicas"], 3,
        "a status write leaves the spec"
    );
    assert_eq!(changed["metadata"]["generation"], 2);
}

#[test]
fn a_namespace_goes_when_both_kinds_of_finalizers_are_done() {
    let mut cluster = Cluster::new();
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "a"}}));
    let (code, marked) = cluster.call(Method::Delete, "/api/v1/namespaces/a", Value::Null);
    assert_eq!(
        (code, &marked["status"]["phase"]),
        (200, &json!("Terminating"))
    );
    let (code, status) = cluster.call(
        Method::Post,
        "/api/v1/namespaces/a/configmaps",
        config_map("late"),
    );
    assert_eq!(
        (code, &status["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    let mut done = marked;
    done["spec"]["finalizers"] = json!([]);
    let (code, _) = cluster.call(Method::Put, "/api/v1/namespaces/a/finalize", done);
    assert_eq!(code, 200);
    assert_eq!(
        cluster
            .call(Method::Get, "/api/v1/namespaces/a", Value::Null)
            .0,
        404
    );
}

#[test]
fn a_bound_pod_goes_gracefully_and_is_removed_by_its_kubelet() {
    let mut cluster = Cluster::new();
    cluster.create(
        "/api/v1/namespaces/default/serviceaccounts",
        json!({"metadata": {"name": "default"}}),
    );
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "web-0"}, "spec": {"nodeName": "n1",
        "containers": [{"name": "c", "image": "i"}]}});
    let made = cluster.create(pods, pod);
    let path = format!("{pods}/web-0");
    let (_, marked) = cluster.call(Method::Delete, &path, Value::Null);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let before = cluster.store.revision();
    let (code, again) = cluster.call(Method::Delete, &path, json!({"gracePeriodSeconds": 40}));
    assert_eq!(
        (code, cluster.store.revision()),
        (200, before),
        "a longer grace changes nothing"
    );
    let sooner = |cluster: &mut Cluster, grace: u64| {
        let body = json!({"gracePeriodSeconds": grace,
            "preconditions": {"uid": made["metadata"]["uid"]}});
        cluster.call(Method::Delete, &path, body).1
    };
    let shorter = sooner(&mut cluster, 10);
    let at = |object: &Value| {
        object["metadata"]["deletionTimestamp"]
            .as_str()
            .unwrap()
            .to_string()
    };
    assert!(at(&shorter) < at(&again), "{shorter}");
    let last = sooner(&mut cluster, 0);
    assert_eq!(last["metadata"]["name"], "web-0");
    assert_eq!(cluster.call(Method::Get, &path, Value::Null).0, 404);
}
