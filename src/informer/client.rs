//! Requests for every verb, and what their answers mean.
//!
//! Whoever writes gets a [`Write`]: the request together with what it is about, so that a plan can
//! be printed, and the executor knows which cache must see it. Reads are bare [`Request`]s.
//! Paths come from the table of kinds; what client-go leaves out of a request (`fieldManager`,
//! `fieldValidation`), we leave out too: the server takes the manager from the user agent.
//!
//! 1. Every path element and parameter is percent-encoded: no name can change the path.
//! 2. A delete, eviction or binding built here carries the uid it was decided on (I1).
//!
//! Book: `book/src/control-plane/informers.md`.

use std::borrow::Cow;

use serde_json::{Value, json};

use wavetank_api::http::Peer;
use wavetank_api::{KindId, Method, Request, Revision, Uid};

use crate::view::Key;

mod answer;

pub use answer::{ApiError, List, parse, parse_list, parse_object};

/// The four ways to say what to change (`Content-Type` of a PATCH).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 6902: a list of operations.
    Json,
    /// RFC 7386: the fields to set; null removes.
    Merge,
    /// As merge, but lists are merged by key (kubectl's patches).
    Strategic,
    /// Server-side apply; needs a field manager, see [`Client::apply`].
    Apply,
}

impl Patch {
    /// The media type on the wire.
    pub fn content_type(self) -> &'static str {
        match self {
            Patch::Json => "application/json-patch+json",
            Patch::Merge => "application/merge-patch+json",
            Patch::Strategic => "application/strategic-merge-patch+json",
            Patch::Apply => "application/apply-patch+yaml",
        }
    }
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Verb {
    Create,
    Update,
    Patch,
    Delete,
    /// Sets a pod's node through `pods/binding`.
    Bind,
    /// Deletes a pod through `pods/eviction`, which honours disruption budgets.
    Evict,
}

/// A request that changes something, and what it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What it does.
    pub verb: Verb,
    /// To an object of this kind.
    pub kind: KindId,
    /// Of this name; the name is empty when the server generates it.
    pub key: Key,
    /// The uid it was decided on, when the request carries one.
    pub uid: Option<Uid>,
    /// The revision that a delete was decided on, when the request carries one.
    pub revision: Option<Revision>,
    /// The subresource, or empty.
    pub subresource: &'static str,
    /// What is sent.
    pub request: Request,
}

/// What becomes of the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// `DeleteOptions` (`k8s.io/apimachinery/pkg/apis/meta/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Refuse with `Conflict` when the object has another uid.
    pub uid: Option<Uid>,
    /// Refuse with `Conflict` when the object has another revision.
    pub resource_version: Option<Revision>,
    /// Seconds a pod gets to stop; the object's own when absent, 0 removes it at once.
    pub grace_period_seconds: Option<i64>,
    /// The kind's default when absent.
    pub propagation: Option<Propagation>,
}

impl DeleteOptions {
    /// Deletes the object of this uid and no other.
    pub fn of(uid: &Uid) -> Self {
        DeleteOptions {
            uid: Some(uid.clone()),
            ..DeleteOptions::default()
        }
    }

    fn to_json(&self) -> Value {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(uid) = &self.uid {
            options["preconditions"]["uid"] = json!(&*uid.0);
        }
        if let Some(revision) = self.resource_version {
            options["preconditions"]["resourceVersion"] = json!(revision.to_string());
        }
        if let Some(seconds) = self.grace_period_seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(propagation) = self.propagation {
            options["propagationPolicy"] = json!(format!("{propagation:?}"));
        }
        options
    }
}

/// Which objects a list or watch is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// One namespace; all when empty.
    pub namespace: String,
    /// Label selector in its string form; none when empty.
    pub labels: String,
    /// Field selector in its string form; none when empty.
    pub fields: String,
}

/// Builds the requests of one component.
#[derive(Clone, Debug)]
pub struct Client {
    /// First word of the user agent; the server records it as field manager.
    agent: &'static str,
    /// Which part of the component speaks: last word of the user agent; mostly none.
    part: &'static str,
    /// Who the component is when it sits in the server's process: the name in its certificate.
    user: Cow<'static, str>,
}

impl Client {
    /// The client of the component called `agent` (`kube-scheduler`), known to the server as `user`
    /// (`system:kube-scheduler`).
    pub fn new(agent: &'static str, user: impl Into<Cow<'static, str>>) -> Self {
        Client {
            agent,
            part: "",
            user: user.into(),
        }
    }

    /// The same component's client, for one of its parts: `replicaset-controller`. It says so at
    /// the end of its user agent, as upstream's controllers name their service accounts there.
    pub fn part(&self, name: &'static str) -> Self {
        Client {
            part: name,
            ..self.clone()
        }
    }

    /// The component's name.
    pub fn agent(&self) -> &'static str {
        self.agent
    }

    /// GET of one object.
    pub fn get(&self, kind: KindId, key: &Key) -> Request {
        self.request(Method::Get, object_path(kind, key, ""))
    }

    /// GET of a collection. `resource_version` `None` is a consistent read; `limit` 0 is all.
    pub fn list(
        &self,
        kind: KindId,
        of: &Selection,
        resource_version: Option<Revision>,
        limit: usize,
        continue_token: &str,
    ) -> Request {
        let mut target = Target::new(collection_path(kind, &of.namespace));
        target.select(of);
        if limit > 0 {
            target.parameter("limit", &limit.to_string());
        }
        if !continue_token.is_empty() {
            target.parameter("continue", continue_token);
        } else if let Some(revision) = resource_version {
            target.parameter("resourceVersion", &revision.to_string());
        }
        self.request(Method::Get, target.finish())
    }

    /// A watch of everything after `from`, with bookmarks, ended by the server after `seconds`.
    pub fn watch(&self, kind: KindId, of: &Selection, from: Revision, seconds: u64) -> Request {
        let mut target = Target::new(collection_path(kind, &of.namespace));
        target.parameter("allowWatchBookmarks", "true");
        target.select(of);
        target.parameter("resourceVersion", &from.to_string());
        target.parameter("timeoutSeconds", &seconds.to_string());
        target.parameter("watch", "true");
        self.request(Method::Get, target.finish())
    }

    /// POST of a new object. Its name may be left to the server (`metadata.generateName`).
    pub fn create(&self, kind: KindId, namespace: &str, object: &Value) -> Write {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let request = self.request(Method::Post, collection_path(kind, namespace));
        let key = Key::new(namespace, name);
        write(Verb::Create, kind, key, None, with_json(request, object))
    }

    /// PUT of a whole object.
    pub fn update(&self, kind: KindId, key: &Key, object: &Value) -> Write {
        self.put(kind, key, "", object)
    }

    /// PUT of a whole object to its `status`.
    pub fn update_status(&self, kind: KindId, key: &Key, object: &Value) -> Write {
        self.put(kind, key, "status", object)
    }

    /// PUT of a namespace with other finalizers (`namespaces/finalize`).
    pub fn finalize(&self, key: &Key, namespace: &Value) -> Write {
        self.put(KindId::Namespace, key, "finalize", namespace)
    }

    /// PATCH of an object; `subresource` may be empty. Say `metadata.uid` (and, to exclude other
    /// writers, `metadata.resourceVersion`) in the patch: the server refuses when they differ.
    pub fn patch(
        &self,
        kind: KindId,
        key: &Key,
        subresource: &'static str,
        how: Patch,
        patch: &Value,
    ) -> Write {
        self.patch_text(kind, key, subresource, how, uid_of(patch), text(patch))
    }

    /// The same for a patch that is text already and carries this uid.
    pub fn patch_text(
        &self,
        kind: KindId,
        key: &Key,
        subresource: &'static str,
        how: Patch,
        uid: Option<Uid>,
        patch: Vec<u8>,
    ) -> Write {
        let request = self.request(Method::Patch, object_path(kind, key, subresource));
        let request = request.with_body(how.content_type(), patch);
        let mut write = write(Verb::Patch, kind, key.clone(), uid, request);
        write.subresource = subresource;
        write
    }

    /// Server-side apply in the name of `manager`; `force` takes fields from other managers.
    pub fn apply(
        &self,
        kind: KindId,
        key: &Key,
        subresource: &'static str,
        manager: &str,
        force: bool,
        object: &Value,
    ) -> Write {
        let mut write = self.patch(kind, key, subresource, Patch::Apply, object);
        let mut target = Target::new(object_path(kind, key, subresource));
        target.parameter("fieldManager", manager);
        target.parameter("force", if force { "true" } else { "false" });
        write.request.target = target.finish();
        write
    }

    /// DELETE of one object.
    pub fn delete(&self, kind: KindId, key: &Key, options: &DeleteOptions) -> Write {
        let request = self.request(Method::Delete, object_path(kind, key, ""));
        let request = with_json(request, &options.to_json());
        let uid = options.uid.clone();
        Write {
            revision: options.resource_version,
            ..write(Verb::Delete, kind, key.clone(), uid, request)
        }
    }

    /// DELETE of a whole collection. Its effects are not awaited: re-list to see what is left.
    pub fn delete_collection(
        &self,
        kind: KindId,
        of: &Selection,
        options: &DeleteOptions,
    ) -> Request {
        let mut target = Target::new(collection_path(kind, &of.namespace));
        target.select(of);
        let request = self.request(Method::Delete, target.finish());
        with_json(request, &options.to_json())
    }

    /// Puts the pod of this uid on a node (`pods/binding`).
    pub fn bind(&self, pod: &Key, uid: &Uid, node: &str) -> Write {
        let body = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": &*pod.namespace, "name": &*pod.name, "uid": &*uid.0},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        self.pod_post(Verb::Bind, pod, uid, "binding", &body)
    }

    /// Evicts the pod of this uid (`pods/eviction`); answered with 429 while a budget forbids it.
    pub fn evict(&self, pod: &Key, uid: &Uid) -> Write {
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": &*pod.namespace, "name": &*pod.name},
            "deleteOptions": {"preconditions": {"uid": &*uid.0}},
        });
        self.pod_post(Verb::Evict, pod, uid, "eviction", &body)
    }

    fn pod_post(
        &self,
        verb: Verb,
        pod: &Key,
        uid: &Uid,
        subresource: &'static str,
        body: &Value,
    ) -> Write {
        let path = object_path(KindId::Pod, pod, subresource);
        let request = with_json(self.request(Method::Post, path), body);
        let mut write = write(verb, KindId::Pod, pod.clone(), Some(uid.clone()), request);
        write.subresource = subresource;
        write
    }

    fn put(&self, kind: KindId, key: &Key, subresource: &'static str, object: &Value) -> Write {
        let request = self.request(Method::Put, object_path(kind, key, subresource));
        let uid = uid_of(object);
        let request = with_json(request, object);
        let mut write = write(Verb::Update, kind, key.clone(), uid, request);
        write.subresource = subresource;
        write
    }

    /// A request with what all of this component's requests carry.
    pub fn request(&self, method: Method, target: String) -> Request {
        let mut request = Request::new(method, target);
        request.headers.push("accept", "application/json");
        let (agent, part) = (self.agent, self.part);
        let mut agent = format!("{agent}/v1.33.0 (linux/amd64) kubernetes/wavetank");
        if !part.is_empty() {
            agent.push_str("/system:serviceaccount:kube-system:");
            agent.push_str(part);
        }
        request.headers.push("user-agent", agent);
        request.peer = Peer::Component(self.user.clone());
        request
    }
}

fn write(verb: Verb, kind: KindId, key: Key, uid: Option<Uid>, request: Request) -> Write {
    Write {
        verb,
        kind,
        key,
        uid,
        revision: None,
        subresource: "",
        request,
    }
}

fn with_json(request: Request, body: &Value) -> Request {
    request.with_body("application/json", text(body))
}

/// A value as JSON. (`to_string` would write it through a formatter, character by character.)
fn text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default() // keys are strings, and a Vec takes all bytes
}

fn uid_of(object: &Value) -> Option<Uid> {
    let uid = object.get("metadata")?.get("uid")?.as_str()?;
    Some(Uid(uid.into()))
}

fn collection_path(kind: KindId, namespace: &str) -> String {
    let info = kind.info();
    let mut path = info.root_path();
    if info.namespaced && !namespace.is_empty() {
        path.push_str("/namespaces/");
        encode(namespace, &mut path);
    }
    path.push('/');
    path.push_str(info.plural);
    path
}

fn object_path(kind: KindId, key: &Key, subresource: &str) -> String {
    let mut path = collection_path(kind, &key.namespace);
    path.push('/');
    encode(&key.name, &mut path);
    if !subresource.is_empty() {
        path.push('/');
        path.push_str(subresource);
    }
    path
}

/// A path that grows a query.
struct Target {
    text: String,
    separator: char,
}

impl Target {
    fn new(path: String) -> Self {
        Target {
            text: path,
            separator: '?',
        }
    }

    fn parameter(&mut self, name: &str, value: &str) {
        self.text.push(self.separator);
        self.separator = '&';
        self.text.push_str(name);
        self.text.push('=');
        encode(value, &mut self.text);
    }

    fn select(&mut self, of: &Selection) {
        if !of.fields.is_empty() {
            self.parameter("fieldSelector", &of.fields);
        }
        if !of.labels.is_empty() {
            self.parameter("labelSelector", &of.labels);
        }
    }

    fn finish(self) -> String {
        self.text
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                to.push(char::from(byte));
            }
            _ => {
                to.push('%');
                for digit in [byte >> 4, byte & 15] {
                    to.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new("kube-scheduler", "system:kube-scheduler")
    }

    #[test]
    fn paths_and_parameters_are_those_of_upstream() {
        let web = Key::new("default", "web-0");
        let get = client().get(KindId::Pod, &web);
        assert_eq!(get.target, "/api/v1/namespaces/default/pods/web-0");
        let of = Selection {
            fields: "spec.nodeName=n1,status.phase!=Failed".into(),
            ..Selection::default()
        };
        let watch = client().watch(KindId::Pod, &of, Revision(42), 300);
        assert_eq!(
            watch.target,
            "/api/v1/pods?allowWatchBookmarks=true\
             &fieldSelector=spec.nodeName%3Dn1%2Cstatus.phase%21%3DFailed\
             &resourceVersion=42&timeoutSeconds=300&watch=true"
        );
        let list = client().list(KindId::Deployment, &Selection::default(), None, 500, "");
        assert_eq!(list.target, "/apis/apps/v1/deployments?limit=500");
        let node = client().get(KindId::Node, &Key::cluster("n1"));
        assert_eq!(node.target, "/api/v1/nodes/n1");
    }

    #[test]
    fn a_name_cannot_change_the_path() {
        let odd = Key::new("default", "../secrets?x");
        let get = client().get(KindId::Pod, &odd);
        assert_eq!(
            get.target,
            "/api/v1/namespaces/default/pods/..%2Fsecrets%3Fx"
        );
    }

    #[test]
    fn deletes_bindings_and_evictions_carry_the_uid_they_were_decided_on() {
        let (pod, uid) = (Key::new("default", "web-0"), Uid("u-1".into()));
        let delete = client().delete(KindId::Pod, &pod, &DeleteOptions::of(&uid));
        let bind = client().bind(&pod, &uid, "n1");
        let evict = client().evict(&pod, &uid);
        for write in [delete, bind, evict] {
            let body = String::from_utf8(write.request.body.to_vec()).unwrap();
            assert!(body.contains(r#""uid":"u-1""#), "{body}");
            assert_eq!(write.uid, Some(uid.clone()));
        }
    }
}
