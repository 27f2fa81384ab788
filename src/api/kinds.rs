//! The table of kinds: everything the API serves, in one place.
//!
//! REST paths, discovery, OpenAPI, storage keys, strict decoding and the API server's table of
//! strategies are all indexed by [`KindId`]; a new built-in kind is a row here, a strategy there.
//! Beside them stand resources that are only asked ([`POSTED`]).
//!
//! 1. `KINDS[id as usize].id == id`, and no two kinds share group, version and plural, nor
//!    `apiVersion` and kind: `each_id_is_the_index_of_its_row`.
//! 2. A storage key belongs to one stored kind and comes apart as it was put together:
//!    `storage_keys_come_apart_as_they_were_put_together`.
//! 3. Only the two Events share their storage: `events_of_both_groups_share_their_storage`.
//!
//! Left out: kinds defined at run time (CustomResourceDefinitions), and what a kind means.
//!
//! Book: `book/src/ground/wire.md`.

use core::fmt;

pub mod events;
mod table;

pub use table::{GROUPS, KINDS, POSTED, VIRTUALS};

/// Names a row of [`KINDS`]: dense, in the order of discovery. Never stored: numbers may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum KindId {
    ConfigMap,
    Endpoints,
    /// `v1` Event: the form in which events are stored.
    Event,
    Namespace,
    Node,
    Pod,
    Secret,
    ServiceAccount,
    Service,
    Deployment,
    ReplicaSet,
    /// `events.k8s.io/v1` Event: the same objects under other field names ([`events`]).
    EventsEvent,
    PriorityClass,
    Lease,
    EndpointSlice,
}

/// Names a row of [`VIRTUALS`]: a kind that is spoken but never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum VirtualId {
    Binding,
    DeleteOptions,
    Status,
    Scale,
    Eviction,
    TokenRequest,
    TokenReview,
    SelfSubjectReview,
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    PodExecOptions,
    PodAttachOptions,
    PodPortForwardOptions,
}

/// One stored kind and the resource it is served as.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its own index.
    pub id: KindId,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// `apiVersion` as objects carry it: `v1`, `apps/v1`.
    pub api_version: &'static str,
    /// Kind as objects carry it.
    pub kind: &'static str,
    /// Resource name in paths.
    pub plural: &'static str,
    /// Resource name that kubectl accepts for one object.
    pub singular: &'static str,
    /// Abbreviations for kubectl.
    pub short_names: &'static [&'static str],
    /// Groups of kinds for kubectl (`kubectl get all`).
    pub categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it, in the order of discovery (alphabetical).
    pub verbs: &'static [&'static str],
    /// What hangs below an object, in alphabetical order.
    pub subresources: &'static [Subresource],
    /// Where its objects lie in the store; ends in `/`.
    pub storage_prefix: &'static str,
    /// Name of its schema definition ([`crate::schema`]).
    pub schema: &'static str,
}

/// A path below an object: `…/pods/web-0/status`.
#[derive(Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Last element of the path.
    pub name: &'static str,
    /// What is sent and answered there.
    pub kind: SubresourceKind,
    /// What can be done with it, in alphabetical order.
    pub verbs: &'static [&'static str],
}

/// What a subresource speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubresourceKind {
    /// The object itself (`status`, `finalize`, `ephemeralcontainers`, `log`).
    Parent,
    /// Another kind.
    Virtual(VirtualId),
}

/// A resource that can only be created: what is posted is answered, and not stored as it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Posted {
    /// What is posted and answered; its group and version are the resource's.
    pub kind: VirtualId,
    /// Resource name in paths.
    pub plural: &'static str,
    /// Resource name that kubectl accepts for one object.
    pub singular: &'static str,
    /// Whether it is posted to a namespace.
    pub namespaced: bool,
}

impl Posted {
    /// The resource at `/apis/{group}/{version}/…/{plural}`.
    pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        let found = |posted: &&Posted| {
            let info = posted.kind.info();
            posted.plural == plural && info.group == group && info.version == version
        };
        POSTED.iter().find(found)
    }
}

/// A kind that appears in requests and answers but never in the store.
#[derive(Debug, PartialEq, Eq)]
pub struct Virtual {
    /// Its own index.
    pub id: VirtualId,
    /// API group; empty for the core group (and for `Status` and `DeleteOptions`).
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// `apiVersion` as bodies carry it.
    pub api_version: &'static str,
    /// Kind as bodies carry it.
    pub kind: &'static str,
    /// Name of its schema definition; `None` for options that only come as query parameters.
    pub schema: Option<&'static str>,
}

impl KindId {
    /// All kinds in the order of discovery.
    pub fn all() -> impl ExactSizeIterator<Item = KindId> + Clone {
        KINDS.iter().map(|kind| kind.id)
    }

    /// The row of the table.
    pub fn info(self) -> &'static Kind {
        &KINDS[self as usize]
    }

    /// The kind served at `/apis/{group}/{version}/…/{plural}`.
    pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<Self> {
        let found = |k: &&Kind| k.plural == plural && k.group == group && k.version == version;
        KINDS.iter().find(found).map(|k| k.id)
    }

    /// The kind of an object that carries this `apiVersion` and `kind`.
    pub fn by_kind(api_version: &str, kind: &str) -> Option<Self> {
        let found = |k: &&Kind| k.kind == kind && k.api_version == api_version;
        KINDS.iter().find(found).map(|k| k.id)
    }

    /// The kind as which objects of this kind are stored: itself, but for the newer Event.
    pub fn stored_as(self) -> Self {
        match self {
            KindId::EventsEvent => KindId::Event,
            other => other,
        }
    }

    /// Where objects of this kind lie in the store: `/registry/pods/`,
    /// `/registry/deployments.apps/`.
    pub fn storage_prefix(self) -> &'static str {
        self.info().storage_prefix
    }

    /// The key of one object. `namespace` is left out for cluster-scoped kinds.
    pub fn key(self, namespace: &str, name: &str) -> String {
        let mut key = self.namespace_prefix(namespace);
        key.push_str(name);
        key
    }

    /// What all keys of a namespace begin with; the whole kind's prefix when `namespace` is empty
    /// or the kind is cluster-scoped.
    pub fn namespace_prefix(self, namespace: &str) -> String {
        let kind = self.info();
        let mut prefix = String::with_capacity(kind.storage_prefix.len() + namespace.len() + 32);
        prefix.push_str(kind.storage_prefix);
        if kind.namespaced && !namespace.is_empty() {
            prefix.push_str(namespace);
            prefix.push('/');
        }
        prefix
    }

    /// Takes a storage key apart: stored kind, namespace (empty if cluster-scoped) and name.
    pub fn of_key(key: &str) -> Option<(Self, &str, &str)> {
        let resource = key.strip_prefix("/registry/")?;
        let end = resource.find('/')? + "/registry/".len() + 1;
        let (prefix, rest) = key.split_at(end);
        let kind = KINDS.iter().find(|k| k.storage_prefix == prefix)?;
        if !kind.namespaced {
            return (!rest.is_empty()).then_some((kind.id, "", rest));
        }
        let (namespace, name) = rest.split_once('/')?;
        (!namespace.is_empty() && !name.is_empty()).then_some((kind.id, namespace, name))
    }
}

impl Kind {
    /// `pods`, `deployments.apps`: the resource as messages and kubectl name it.
    pub fn group_resource(&self) -> String {
        qualified(self.plural, self.group)
    }

    /// `Pod`, `Deployment.apps`: the kind as messages name it.
    pub fn group_kind(&self) -> String {
        qualified(self.kind, self.group)
    }

    /// `/api/v1`, `/apis/apps/v1`: where the kind's group and version are served.
    pub fn root_path(&self) -> String {
        root_path(self.group, self.version)
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether the resource (not a subresource) can do this.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// `/api/v1` for the core group, `/apis/{group}/{version}` for the others.
pub fn root_path(group: &str, version: &str) -> String {
    match group {
        "" => format!("/api/{version}"),
        _ => format!("/apis/{group}/{version}"),
    }
}

fn qualified(name: &str, group: &str) -> String {
    match group {
        "" => name.to_string(),
        _ => format!("{name}.{group}"),
    }
}

impl VirtualId {
    /// The row of the table.
    pub fn info(self) -> &'static Virtual {
        &VIRTUALS[self as usize]
    }

    /// The virtual kind of a body that carries this `apiVersion` and `kind`. `DeleteOptions` and
    /// `Status` are part of every group and version (upstream registers them in each).
    pub fn by_kind(api_version: &str, kind: &str) -> Option<Self> {
        let everywhere = matches!(kind, "DeleteOptions" | "Status");
        let found = |v: &&Virtual| v.kind == kind && (everywhere || v.api_version == api_version);
        VIRTUALS.iter().find(found).map(|v| v.id)
    }
}

impl fmt::Display for KindId {
    /// `apps/v1 Deployment`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.info().api_version, self.info().kind)
    }
}

#[cfg(test)]
mod tests;
