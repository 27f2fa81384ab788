//! What is posted and answered, and asking in the name of another.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use proptest::prelude::*;
use wavetank_api::json::{Value, json};

use wavetank_api::{Method, Request};

use crate::testing::Cluster;

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";

fn review(cluster: &mut Cluster, path: &str, spec: Value) -> (u16, Value) {
    let target = format!("{AUTHORIZATION}/{path}");
    cluster.call(Method::Post, &target, json!({ "spec": spec }))
}

/// A request in the name of another; code and message.
fn as_user(cluster: &mut Cluster, method: Method, path: &str, user: &str) -> (u16, String) {
    let mut request = Request::new(method, path);
    request.headers.push("impersonate-user", user);
    let response = cluster.respond(request);
    let body: Value = serde_json::from_slice(&response.bytes()).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    (response.status, message.to_owned())
}

#[test]
fn whoever_is_known_may_do_everything_and_nobody_may_not() {
    let mut cluster = Cluster::new();
    let pods = json!({"verb": "create", "resource": "pods", "namespace": "default"});
    let own = json!({ "resourceAttributes": pods });
    let (code, answer) = review(&mut cluster, "selfsubjectaccessreviews", own.clone());
    assert_eq!((code, &answer["status"]), (201, &json!({"allowed": true})));
    assert_eq!(answer["spec"], own, "the question comes back");
    let entry = &answer["metadata"]["managedFields"][0];
    let asked = json!({".": {}, "f:namespace": {}, "f:resource": {}, "f:verb": {}});
    let asked = json!({"f:spec": {"f:resourceAttributes": asked}});
    assert_eq!(
        (&entry["operation"], &entry["fieldsV1"]),
        (&"Update".into(), &asked)
    );
    let mut of = |user: &str, groups: Value| {
        let spec = json!({"user": user, "groups": groups, "resourceAttributes": pods});
        review(&mut cluster, "subjectaccessreviews", spec).1["status"]["allowed"].clone()
    };
    assert_eq!(of("jane", json!(["dev"])), true);
    assert_eq!(
        of("system:anonymous", json!(["system:unauthenticated"])),
        false
    );
    let spec = json!({"namespace": "default"});
    let (_, answer) = review(&mut cluster, "selfsubjectrulesreviews", spec);
    assert_eq!(answer["status"]["resourceRules"][0]["verbs"], json!(["*"]));
    assert_eq!(answer["status"]["incomplete"], false);
    let rest = (&answer["metadata"], &answer["spec"]);
    assert_eq!(rest, (&json!({}), &json!({})), "an object of its own");
}

#[test]
fn a_local_review_is_about_the_namespace_of_its_path() {
    let mut cluster = Cluster::new();
    let path = "namespaces/default/localsubjectaccessreviews";
    let pods = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let spec = json!({"user": "jane", "resourceAttributes": pods});
    let (code, answer) = review(&mut cluster, path, spec.clone());
    assert_eq!((code, &answer["status"]["allowed"]), (201, &true.into()));
    assert_eq!(answer["metadata"]["namespace"], "default");
    let body = json!({"metadata": {"namespace": "shop"}, "spec": spec});
    let (code, answer) = cluster.call(Method::Post, &format!("{AUTHORIZATION}/{path}"), body);
    let words = "the namespace of the provided object does not match the namespace sent on the \
                 request";
    assert_eq!((code, &answer["message"]), (400, &words.into()));
}

#[test]
fn reviews_that_ask_for_nothing_or_too_much_are_refused_in_upstreams_words() {
    let mut cluster = Cluster::new();
    let mut said = |path: &str, spec: Value| {
        let (code, answer) = review(&mut cluster, path, spec);
        (
            code,
            answer["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let (code, message) = said("selfsubjectaccessreviews", json!({}));
    let words = ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: \
                 \"null\": exactly one of nonResourceAttributes or resourceAttributes must be \
                 specified";
    assert_eq!((code, message.as_str()), (422, words));
    let (code, message) = said("subjectaccessreviews", json!({"resourceAttributes": {}}));
    let words = ".authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least \
                 one of user or group must be specified";
    assert_eq!((code, message.as_str()), (422, words));
    let elsewhere = json!({"user": "jane", "resourceAttributes": {"namespace": "shop"}});
    let (code, message) = said("namespaces/default/localsubjectaccessreviews", elsewhere);
    assert_eq!(code, 422, "{message}");
    assert!(
        message.contains("must match metadata.namespace"),
        "{message}"
    );
    let (code, message) = said("selfsubjectrulesreviews", json!({}));
    assert_eq!((code, message.as_str()), (400, "no namespace on request"));
}

#[test]
fn a_request_in_the_name_of_another_may_do_what_the_other_may() {
    let mut cluster = Cluster::new();
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(as_user(&mut cluster, Method::Get, pods, "jane").0, 200);
    let words = "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in \
                 API group \"\" in the namespace \"default\"";
    let answer = as_user(&mut cluster, Method::Get, pods, "system:anonymous");
    assert_eq!(answer, (403, words.to_owned()));
    let words = "namespaces \"kube-system\" is forbidden: User \"system:anonymous\" cannot delete \
                 resource \"namespaces\" in API group \"\" in the namespace \"kube-system\"";
    let path = "/api/v1/namespaces/kube-system";
    let answer = as_user(&mut cluster, Method::Delete, path, "system:anonymous");
    assert_eq!(answer, (403, words.to_owned()));
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let mut request = Request::new(Method::Post, whoami).with_body("application/json", "{}");
    for (name, value) in [("impersonate-user", "jane"), ("impersonate-group", "dev")] {
        request.headers.push(name, value);
    }
    let response = cluster.respond(request);
    let answer: Value = serde_json::from_slice(&response.bytes()).unwrap();
    let info = json!({"username": "jane", "groups": ["dev", "system:authenticated"]});
    assert_eq!(answer["status"]["userInfo"], info);
}

#[test]
fn a_binding_may_name_its_pod_in_the_body() {
    let mut cluster = Cluster::new();
    let pods = "/api/v1/namespaces/default/pods";
    let account = json!({"metadata": {"name": "default"}});
    cluster.create("/api/v1/namespaces/default/serviceaccounts", account);
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    cluster.create(pods, json!({"metadata": {"name": "web-0"}, "spec": spec}));
    let bindings = "/api/v1/namespaces/default/bindings";
    let target = json!({"kind": "Node", "name": "n1"});
    let answer = cluster.create(
        bindings,
        json!({"metadata": {"name": "web-0"}, "target": target}),
    );
    assert_eq!(answer["status"], "Success");
    assert_eq!(
        cluster.get(&format!("{pods}/web-0"))["spec"]["nodeName"],
        "n1"
    );
    let (code, answer) = cluster.call(Method::Post, bindings, json!({ "target": target }));
    assert_eq!(
        (code, &answer["message"]),
        (400, &"Name parameter required.".into())
    );
}

proptest! {
    /// `reviews.rs`, invariant 1.
    #[test]
    fn a_review_says_what_the_request_would_be_told(
        is_known in any::<bool>(), verb in 0..2_usize, kind in 0..3_usize,
    ) {
        let mut cluster = Cluster::new();
        let user = if is_known { "jane" } else { "system:anonymous" };
        let (verb, method) = [("list", Method::Get), ("deletecollection", Method::Delete)][verb];
        let resource = ["configmaps", "secrets", "pods"][kind];
        let path = format!("/api/v1/namespaces/default/{resource}");
        let (code, _) = as_user(&mut cluster, method, &path, user);
        let asked = json!({"verb": verb, "resource": resource, "namespace": "default"});
        let spec = json!({"user": user, "resourceAttributes": asked});
        let (_, answer) = review(&mut cluster, "subjectaccessreviews", spec);
        prop_assert_eq!(&answer["status"]["allowed"], &Value::from(code == 200));
    }
}
