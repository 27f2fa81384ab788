//! Claims about the documents.
//!
//! Book: `book/src/ground/wire.md`.

use super::*;

fn parsed(path: &str) -> Value {
    serde_json::from_slice(&document(path).unwrap().body).unwrap()
}

#[test]
fn the_index_names_every_document_by_its_hash() {
    let index: Value = serde_json::from_slice(&index()).unwrap();
    assert_eq!(index["paths"].as_object().unwrap().len(), documents().len());
    for document in documents() {
        let url = index["paths"][&document.path]["serverRelativeURL"]
            .as_str()
            .unwrap();
        assert_eq!(
            url,
            format!("/openapi/v3/{}?hash={}", document.path, document.hash)
        );
    }
    assert!(document("api/v1").is_some() && document("apis/apps/v1").is_some());
    assert!(document("apis/ghosts/v1").is_none());
}

#[test]
fn every_verb_has_an_operation() {
    for posted in &crate::kinds::POSTED {
        let info = posted.kind.info();
        let root = root_path(info.group, info.version);
        let scope = if posted.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let document = parsed(root.trim_start_matches('/'));
        let path = &document["paths"][format!("{root}{scope}/{}", posted.plural)];
        assert!(path.get("post").is_some(), "{}", posted.plural);
    }
    for kind in &KINDS {
        let document = parsed(kind.root_path().trim_start_matches('/'));
        let scope = if kind.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let collection = format!("{}{scope}/{}", kind.root_path(), kind.plural);
        let item = format!("{collection}/{{name}}");
        let has = |path: &str, method: &str| document["paths"][path].get(method).is_some();
        for verb in kind.verbs {
            let served = match *verb {
                "create" => has(&collection, "post"),
                "list" | "watch" => has(&collection, "get"),
                "deletecollection" => has(&collection, "delete"),
                "update" => has(&item, "put"),
                verb => has(&item, verb),
            };
            assert!(served, "{} {verb}", kind.id);
        }
        for below in kind.subresources {
            assert!(
                document["paths"]
                    .get(format!("{item}/{}", below.name))
                    .is_some()
            );
        }
        let patch = &document["paths"][&item]["patch"];
        let parameters = patch["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"));
        let strategic = "application/strategic-merge-patch+json";
        assert!(patch["requestBody"]["content"].get(strategic).is_some());
        let gvk = &patch["x-kubernetes-group-version-kind"];
        assert_eq!(gvk["kind"], kind.kind);
        let definition = &document["components"]["schemas"][kind.schema];
        assert!(
            definition["x-kubernetes-group-version-kind"]
                .as_array()
                .unwrap()
                .contains(gvk)
        );
    }
}

#[test]
fn references_resolve() {
    fn walk(value: &Value, schemas: &Value) {
        if let Some(name) = value.get("$ref").and_then(Value::as_str) {
            let name = name.strip_prefix("#/components/schemas/").unwrap();
            assert!(schemas[name].is_object(), "{name}");
        }
        match value {
            Value::Object(map) => map.values().for_each(|value| walk(value, schemas)),
            Value::Array(list) => list.iter().for_each(|value| walk(value, schemas)),
            _ => {}
        }
    }
    for document in documents() {
        let document = parsed(&document.path);
        walk(&document, &document["components"]["schemas"]);
    }
}

#[test]
fn fields_carry_their_merge_facts_and_descriptions() {
    let document = parsed("api/v1");
    let spec = &document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
    let containers = &spec["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-list-type"], "map");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert!(
        containers["description"]
            .as_str()
            .unwrap()
            .starts_with("List of containers")
    );
    assert_eq!(spec["required"], json!(["containers"]));
    let volumes = &spec["properties"]["volumes"];
    assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
    let affinity = &spec["properties"]["affinity"]["allOf"][0]["$ref"];
    assert_eq!(affinity, "#/components/schemas/io.k8s.api.core.v1.Affinity");
    let selector = &document["components"]["schemas"]["io.k8s.api.core.v1.NodeSelector"];
    assert_eq!(selector["x-kubernetes-map-type"], "atomic");
}

#[test]
fn the_second_version_has_all_that_the_third_has() {
    fn walk(value: &Value, definitions: &Value) {
        if let Some(name) = value.get("$ref").and_then(Value::as_str) {
            let name = name.strip_prefix("#/definitions/").unwrap();
            assert!(definitions[name].is_object(), "{name}");
        }
        match value {
            Value::Object(map) => map.values().for_each(|value| walk(value, definitions)),
            Value::Array(list) => list.iter().for_each(|value| walk(value, definitions)),
            _ => {}
        }
    }
    let second: Value = serde_json::from_slice(&v2(false).body).unwrap();
    walk(&second, &second["definitions"]);
    for document in documents() {
        let third = parsed(&document.path);
        for (name, path) in third["paths"].as_object().unwrap() {
            for (method, operation) in path.as_object().unwrap() {
                let gvk = &operation["x-kubernetes-group-version-kind"];
                let same = &second["paths"][name][method];
                assert_eq!(
                    &same["x-kubernetes-group-version-kind"], gvk,
                    "{method} {name}"
                );
            }
        }
        for name in third["components"]["schemas"].as_object().unwrap().keys() {
            assert!(second["definitions"][name].is_object(), "{name}");
        }
    }
    let spec = &second["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"];
    assert_eq!(
        spec["affinity"]["$ref"],
        "#/definitions/io.k8s.api.core.v1.Affinity"
    );
    assert_eq!(spec["containers"]["x-kubernetes-patch-merge-key"], "name");
    let patch = &second["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert!(
        patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| p["in"] == "body")
    );
}
