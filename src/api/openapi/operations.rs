//! The paths of a document: one operation per verb, with what kubectl looks for in it.
//!
//! kubectl finds the kind of a path by its GET's `x-kubernetes-group-version-kind`; it finds out
//! what the server can by the PATCH's parameters and body types
//! (`kubectl/pkg/util/openapi`, `cli-runtime/pkg/resource/query_param_verifier_v3.go`).
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::{Map, Value, json};

use super::schemas::{gvk, list_name, reference};
use crate::kinds::{KINDS, Kind, POSTED, Posted, Subresource, SubresourceKind, Virtual, root_path};

/// The paths of one group and version.
pub(super) fn of_version(group: &str, version: &str) -> Map {
    let mut paths = Map::new();
    for kind in KINDS
        .iter()
        .filter(|kind| (kind.group, kind.version) == (group, version))
    {
        let root = kind.root_path();
        let scope = if kind.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let collection = format!("{root}{scope}/{}", kind.plural);
        let item = format!("{collection}/{{name}}");
        if kind.namespaced {
            let all = [("get", list_operation(kind, "ForAllNamespaces"))];
            paths.insert(format!("{root}/{}", kind.plural), path(&all, &[]));
        }
        let parents: &[&str] = if kind.namespaced { &["namespace"] } else { &[] };
        let names: &[&str] = if kind.namespaced {
            &["name", "namespace"]
        } else {
            &["name"]
        };
        paths.insert(collection, path(&collection_operations(kind), parents));
        paths.insert(item.clone(), path(&item_operations(kind), names));
        for below in kind.subresources {
            let operations = subresource_operations(kind, below);
            paths.insert(format!("{item}/{}", below.name), path(&operations, names));
        }
    }
    let is_of = |info: &Virtual| (info.group, info.version) == (group, version);
    for posted in POSTED.iter().filter(|posted| is_of(posted.kind.info())) {
        let (scope, names): (&str, &[&str]) = match posted.namespaced {
            true => ("/namespaces/{namespace}", &["namespace"]),
            false => ("", &[]),
        };
        let collection = format!("{}{scope}/{}", root_path(group, version), posted.plural);
        paths.insert(collection, path(&[("post", post_operation(posted))], names));
    }
    paths
}

type Operations = Vec<(&'static str, Value)>;

fn path(operations: &[(&'static str, Value)], names: &[&str]) -> Value {
    let mut path: Map = operations
        .iter()
        .map(|(method, op)| (method.to_string(), op.clone()))
        .collect();
    let parameter = |name: &&str| {
        json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "uniqueItems": true },
        })
    };
    let pretty = query(&[("pretty", "string", "Print the output for people.")]);
    let parameters: Vec<Value> = names.iter().map(parameter).chain(pretty).collect();
    path.insert("parameters", parameters.into());
    Value::Object(path)
}

fn collection_operations(kind: &Kind) -> Operations {
    let mut operations = vec![("get", list_operation(kind, ""))];
    if kind.allows("create") {
        operations.push(("post", write_operation(kind, None, "post")));
    }
    if kind.allows("deletecollection") {
        operations.push(("delete", delete_operation(kind, "deletecollection")));
    }
    operations
}

fn item_operations(kind: &Kind) -> Operations {
    let mut operations = Vec::new();
    for (verb, method) in [("get", "get"), ("update", "put"), ("patch", "patch")] {
        if kind.allows(verb) {
            operations.push((method, write_operation(kind, None, method)));
        }
    }
    if kind.allows("delete") {
        operations.push(("delete", delete_operation(kind, "delete")));
    }
    operations
}

fn subresource_operations(kind: &Kind, below: &Subresource) -> Operations {
    let method = |verb: &&str| match *verb {
        "create" => Some("post"),
        "get" => Some("get"),
        "update" => Some("put"),
        "patch" => Some("patch"),
        _ => None,
    };
    let methods = below.verbs.iter().filter_map(method);
    methods
        .map(|method| (method, write_operation(kind, Some(below), method)))
        .collect()
}

/// `readCoreV1NamespacedPodStatus`.
fn operation_id(verb: &str, kind: &Kind, suffix: &str) -> String {
    let of = group_and_version(kind.group, kind.version);
    let scope = scope(kind.namespaced && suffix != "ForAllNamespaces");
    format!("{verb}{of}{scope}{}{}", kind.kind, capitalised(suffix))
}

/// `CoreV1`.
fn group_and_version(group: &str, version: &str) -> String {
    let group = match group.split('.').next() {
        None | Some("") => "core",
        Some(first) => first,
    };
    format!("{}{}", capitalised(group), capitalised(version))
}

fn scope(namespaced: bool) -> &'static str {
    if namespaced { "Namespaced" } else { "" }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_ascii_uppercase())
        .into_iter()
        .chain(chars)
        .collect()
}

fn operation(kind: &Kind, id: String, action: &str, answer: Value) -> Map {
    let gvk = gvk(kind.group, kind.version, kind.kind);
    operation_of(kind.api_version, gvk, id, action, answer)
}

fn operation_of(api_version: &str, gvk: Value, id: String, action: &str, answer: Value) -> Map {
    let content = json!({ "application/json": { "schema": answer } });
    let operation = json!({
        "operationId": id,
        "tags": [api_version.replace('/', "_")],
        "responses": {
            "200": { "description": "OK", "content": content },
            "401": { "description": "Unauthorized" },
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    });
    match operation {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn list_operation(kind: &Kind, suffix: &str) -> Value {
    let id = operation_id("list", kind, suffix);
    let mut operation = operation(kind, id, "list", reference(&list_name(kind)));
    operation.insert("parameters", query(LIST).collect());
    Value::Object(operation)
}

fn delete_operation(kind: &Kind, action: &str) -> Value {
    let verb = if action == "delete" {
        "delete"
    } else {
        "deleteCollection"
    };
    let status = reference("io.k8s.apimachinery.pkg.apis.meta.v1.Status");
    let mut operation = operation(kind, operation_id(verb, kind, ""), action, status);
    let options = reference("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    operation.insert("requestBody", body(&["*/*"], options));
    let selection = if action == "delete" { &[] } else { LIST };
    operation.insert(
        "parameters",
        query(DELETE).chain(query(selection)).collect(),
    );
    Value::Object(operation)
}

/// GET, POST, PUT or PATCH of an object or of what hangs below it.
fn write_operation(kind: &Kind, below: Option<&Subresource>, method: &'static str) -> Value {
    let verb = match method {
        "get" => "read",
        "post" => "create",
        "put" => "replace",
        _ => "patch",
    };
    let (schema, gvk) = speaks(kind, below);
    let id = operation_id(verb, kind, below.map_or("", |below| below.name));
    let mut operation = operation(kind, id, method, schema.clone());
    operation.insert("x-kubernetes-group-version-kind", gvk);
    match method {
        "get" => return Value::Object(operation),
        "patch" => {
            let patch = json!({ "type": "object" });
            operation.insert("requestBody", body(PATCH_TYPES, patch));
            operation.insert("parameters", query(WRITE).chain(query(FORCE)).collect());
        }
        _ => take(&mut operation, schema),
    }
    Value::Object(operation)
}

/// POST of what is only posted.
fn post_operation(posted: &Posted) -> Value {
    let info = posted.kind.info();
    let schema = reference(info.schema.unwrap_or_default());
    let of = group_and_version(info.group, info.version);
    let id = format!("create{of}{}{}", scope(posted.namespaced), info.kind);
    let gvk = gvk(info.group, info.version, info.kind);
    let mut operation = operation_of(info.api_version, gvk, id, "post", schema.clone());
    take(&mut operation, schema);
    Value::Object(operation)
}

/// An operation that takes an object.
fn take(operation: &mut Map, schema: Value) {
    operation.insert("requestBody", body(&["*/*"], schema));
    operation.insert("parameters", query(WRITE).collect());
}

/// Schema and kind of what goes over a path.
fn speaks(kind: &Kind, below: Option<&Subresource>) -> (Value, Value) {
    match below.map(|below| below.kind) {
        Some(SubresourceKind::Virtual(id)) => {
            let info = id.info();
            let schema = info
                .schema
                .map_or_else(|| json!({ "type": "string" }), reference);
            (schema, gvk(info.group, info.version, info.kind))
        }
        _ => (
            reference(kind.schema),
            gvk(kind.group, kind.version, kind.kind),
        ),
    }
}

fn body(types: &[&str], schema: Value) -> Value {
    let content: Map = types
        .iter()
        .map(|name| (name.to_string(), json!({ "schema": schema })))
        .collect();
    json!({ "required": true, "content": content })
}

const PATCH_TYPES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

type Parameters = &'static [(&'static str, &'static str, &'static str)];

const WRITE: Parameters = &[
    (
        "dryRun",
        "string",
        "All: answer as if done, but keep nothing.",
    ),
    (
        "fieldManager",
        "string",
        "The name under which the changed fields are owned.",
    ),
    (
        "fieldValidation",
        "string",
        "Ignore, Warn or Strict: unknown and duplicate fields.",
    ),
];

const FORCE: Parameters = &[(
    "force",
    "boolean",
    "Take over fields that other managers own (apply only).",
)];

const DELETE: Parameters = &[
    (
        "dryRun",
        "string",
        "All: answer as if done, but keep nothing.",
    ),
    (
        "gracePeriodSeconds",
        "integer",
        "How long the object may take to end.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Deprecated: use propagationPolicy.",
    ),
    (
        "propagationPolicy",
        "string",
        "Orphan, Background or Foreground.",
    ),
];

const LIST: Parameters = &[
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether the watch may send bookmarks.",
    ),
    ("continue", "string", "The token of the previous page."),
    ("fieldSelector", "string", "Only objects with these fields."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "At most so many objects a page."),
    (
        "resourceVersion",
        "string",
        "How fresh the answer has to be.",
    ),
    ("resourceVersionMatch", "string", "Exact or NotOlderThan."),
    (
        "sendInitialEvents",
        "boolean",
        "Begin the watch with what there is.",
    ),
    ("timeoutSeconds", "integer", "End the call after so long."),
    ("watch", "boolean", "Answer with a stream of changes."),
];

fn query(parameters: Parameters) -> impl Iterator<Item = Value> {
    parameters.iter().map(|(name, kind, description)| {
        json!({
            "name": name, "in": "query", "description": description,
            "schema": { "type": kind, "uniqueItems": true },
        })
    })
}
