//! The small API server of the tests.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use wavetank_api::{KindId, Method, Request, Response, Revision, Time};
use wavetank_informer::Key;

use super::refusal;

#[derive(Default)]
pub(crate) struct Server {
    objects: BTreeMap<(KindId, Key), Value>,
    /// Every change in order: kind, type of event, object with its revision.
    log: Vec<(KindId, &'static str, Value)>,
    revision: u64,
    uids: u64,
    /// Refuses creates of pods with this message.
    pub(crate) refuse_pods: Option<String>,
    /// Requests that fail with 500 and change nothing.
    pub(crate) broken: Option<fn(&Request) -> bool>,
}

impl Server {
    pub(crate) fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    pub(crate) fn get(&self, kind: KindId, key: &Key) -> Option<&Value> {
        self.objects.get(&(kind, key.clone()))
    }

    pub(crate) fn list(&self, kind: KindId) -> impl Iterator<Item = &Value> {
        let of_kind = self.objects.iter().filter(move |((k, _), _)| *k == kind);
        of_kind.map(|(_, object)| object)
    }

    pub(crate) fn create(
        &mut self,
        kind: KindId,
        namespace: &str,
        mut object: Value,
        now: Time,
    ) -> Value {
        self.uids += 1;
        let meta = &mut object["metadata"];
        if meta["name"].is_null() {
            let prefix = meta["generateName"].as_str().unwrap().to_string();
            meta["name"] = json!(format!("{prefix}{:05}", self.uids));
        }
        if kind.info().namespaced {
            meta["namespace"] = json!(namespace);
        }
        meta["uid"] = json!(format!("uid-{}", self.uids));
        meta["generation"] = json!(1);
        meta["creationTimestamp"] = json!(now.to_rfc3339());
        let key = key_of(&object);
        self.commit(kind, &key, "ADDED", object)
    }

    /// Writes a new revision; the generation grows when anything but metadata and status differs.
    pub(crate) fn put(&mut self, kind: KindId, key: &Key, mut object: Value) -> Value {
        let old = self.get(kind, key).cloned().unwrap();
        let wishes = |object: &Value| {
            let mut object = object.as_object().cloned().unwrap_or_default();
            object.remove("metadata");
            object.remove("status");
            object
        };
        if wishes(&old) != wishes(&object) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        if object == old {
            return old;
        }
        self.commit(kind, key, "MODIFIED", object)
    }

    pub(crate) fn remove(&mut self, kind: KindId, key: &Key) {
        let mut object = self.objects.remove(&(kind, key.clone())).unwrap();
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.log.push((kind, "DELETED", object));
    }

    fn commit(&mut self, kind: KindId, key: &Key, what: &'static str, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert((kind, key.clone()), object.clone());
        self.log.push((kind, what, object.clone()));
        object
    }

    /// The watch lines of a kind after a revision.
    pub(crate) fn events(&self, kind: KindId, after: Revision) -> String {
        let mut lines = String::new();
        for (of, what, object) in &self.log {
            if *of == kind && revision_of(object) > after.0 {
                lines.push_str(&json!({"type": what, "object": object}).to_string());
                lines.push('\n');
            }
        }
        lines
    }

    pub(crate) fn answer(&mut self, request: &Request, now: Time) -> Response {
        if self.broken.is_some_and(|broken| broken(request)) {
            return refusal(500, "InternalError", "it is broken");
        }
        let (kind, key, subresource) = target(&request.target);
        let sent: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        match request.method {
            Method::Get if key.name.is_empty() => self.listed(kind, &key.namespace),
            Method::Get => match self.get(kind, &key) {
                Some(object) => ok(object),
                None => not_found(kind, &key),
            },
            Method::Post => self.posted(kind, &key, sent, now),
            Method::Patch | Method::Put => {
                let put = request.method == Method::Put;
                self.patched(kind, &key, &subresource, &sent, put)
            }
            Method::Delete if key.name.is_empty() => self.emptied(kind, &key.namespace, now),
            Method::Delete => self.deleted(kind, &key, &sent, now),
            _ => refusal(405, "MethodNotAllowed", "no"),
        }
    }

    fn listed(&self, kind: KindId, namespace: &str) -> Response {
        let within =
            |object: &&Value| namespace.is_empty() || *key_of(object).namespace == *namespace;
        let items: Vec<&Value> = self.list(kind).filter(within).collect();
        let revision = self.revision.to_string();
        ok(&json!({"metadata": {"resourceVersion": revision}, "items": items}))
    }

    fn posted(&mut self, kind: KindId, key: &Key, sent: Value, now: Time) -> Response {
        if let (KindId::Pod, Some(why)) = (kind, &self.refuse_pods) {
            return refusal(403, "Forbidden", why);
        }
        let name = sent["metadata"]["name"].as_str().unwrap_or("");
        let key = Key::new(key.namespace.clone(), name);
        if !name.is_empty() && self.get(kind, &key).is_some() {
            return refusal(409, "AlreadyExists", "already exists");
        }
        ok(&self.create(kind, &key.namespace, sent, now))
    }

    fn patched(
        &mut self,
        kind: KindId,
        key: &Key,
        subresource: &str,
        patch: &Value,
        put: bool,
    ) -> Response {
        let Some(old) = self.get(kind, key).cloned() else {
            return not_found(kind, key);
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][field];
            if !wanted.is_null() && *wanted != old["metadata"][field] {
                return refusal(409, "Conflict", "the object has been modified");
            }
        }
        let old_is_free = is_free(&old);
        let mut new = old.clone();
        match put {
            true => new = patch.clone(),
            false => merge(&mut new, patch),
        }
        // Status and the rest are written apart.
        match subresource {
            "status" => {
                let status = new["status"].clone();
                new = old;
                new["status"] = status;
            }
            "finalize" => {
                let finalizers = new["spec"]["finalizers"].clone();
                new = old;
                new["spec"]["finalizers"] = finalizers;
            }
            _ => new["status"] = old["status"].clone(),
        }
        if new["status"].is_null() {
            new.as_object_mut().unwrap().remove("status");
        }
        if !old_is_free && is_terminating(&new) && is_free(&new) {
            self.remove(kind, key);
            return ok(&new);
        }
        ok(&self.put(kind, key, new))
    }

    /// The delete of a collection.
    fn emptied(&mut self, kind: KindId, namespace: &str, now: Time) -> Response {
        let keys: Vec<Key> = self.list(kind).map(key_of).collect();
        for key in keys.iter().filter(|key| *key.namespace == *namespace) {
            self.deleted(kind, key, &Value::Null, now);
        }
        ok(&json!({}))
    }

    fn deleted(&mut self, kind: KindId, key: &Key, options: &Value, now: Time) -> Response {
        let Some(mut object) = self.get(kind, key).cloned() else {
            return not_found(kind, key);
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return refusal(409, "Conflict", "the precondition does not hold");
            }
        }
        let held = match options["propagationPolicy"].as_str() {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        if let Some(finalizer) = held {
            object["metadata"]["finalizers"] = json!([finalizer]);
        }
        let has_node = kind == KindId::Pod && !object["spec"]["nodeName"].is_null();
        let is_graceful = has_node && options["gracePeriodSeconds"] != 0;
        if is_free(&object) && !is_graceful {
            self.remove(kind, key);
            return ok(&object);
        }
        if !is_terminating(&object) {
            object["metadata"]["deletionTimestamp"] = json!(now.to_rfc3339());
            object = self.put(kind, key, object);
        }
        ok(&object)
    }
}

fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Whether no finalizer holds it.
fn is_free(object: &Value) -> bool {
    let holds = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    !holds(&object["metadata"]["finalizers"]) && !holds(&object["spec"]["finalizers"])
}

fn ok(object: &Value) -> Response {
    Response::new(200, "application/json", object.to_string())
}

fn not_found(kind: KindId, key: &Key) -> Response {
    let (resource, name) = (kind.info().group_resource(), &key.name);
    refusal(404, "NotFound", &format!("{resource} \"{name}\" not found"))
}

/// RFC 7386, and of strategic merge what owner references need.
fn merge(into: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (name, value) in fields {
        if name == "ownerReferences" {
            merge_owners(&mut into[name], value);
        } else if value.is_null() {
            into.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut into[name], value);
        }
    }
}

fn merge_owners(into: &mut Value, patch: &Value) {
    let mut owners = into.as_array().cloned().unwrap_or_default();
    for owner in patch.as_array().unwrap() {
        owners.retain(|known| known["uid"] != owner["uid"]);
        if owner["$patch"] != "delete" {
            owners.push(owner.clone());
        }
    }
    *into = Value::Array(owners);
}

pub(crate) fn key_of(object: &Value) -> Key {
    let meta = &object["metadata"];
    let text = |field: &str| meta[field].as_str().unwrap_or("").to_string();
    Key::new(text("namespace"), text("name"))
}

pub(crate) fn revision_of(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap();
    text.parse().unwrap()
}

/// Kind and start revision of a watch.
pub(crate) fn watched(request: &Request) -> (KindId, Revision) {
    let (kind, ..) = target(&request.target);
    let from = request.target.split("resourceVersion=").nth(1).unwrap();
    let digits: String = from.chars().take_while(char::is_ascii_digit).collect();
    (kind, Revision(digits.parse().unwrap()))
}

/// The object that a request is about; without a name: a collection.
pub(crate) fn key_in(request: &Request) -> Key {
    target(&request.target).1
}

/// Kind, key and subresource of a request.
fn target(target: &str) -> (KindId, Key, String) {
    let path = target.split('?').next().unwrap();
    let mut parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version) = match parts[0] {
        "api" => ("", parts[1]),
        _ => (parts[1], parts[2]),
    };
    parts.drain(..if group.is_empty() { 2 } else { 3 });
    let mut namespace = "";
    if parts[0] == "namespaces" && parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
        namespace = parts[1];
        parts.drain(..2);
    }
    let kind = KindId::by_resource(group, version, parts[0]).unwrap();
    let name = parts.get(1).copied().unwrap_or("");
    let subresource = parts.get(2).copied().unwrap_or("").to_string();
    (kind, Key::new(namespace, name), subresource)
}
