//! What a kind is, told to the pipeline: how it is defaulted, validated, shown and deleted.
//!
//! The verbs (create, update, patch, delete …) are the same for every kind; what differs is a row
//! of functions in one table (`strategies.rs`). Upstream: `k8s.io/apiserver/pkg/registry/rest`
//! (`RESTCreateStrategy` and its siblings) and `pkg/registry/*/*/strategy.go`.
//!
//! 1. Every function here is pure: the same object, context and view give the same result.
//! 2. Defaulting is idempotent.
//! 3. None of them panics on an object that passed decoding (right types, possibly missing fields).
//! 4. Defaulting looks at nothing but `defaulted`:
//!    `defaults_are_set_only_where_they_are_said_to_be`.
//! 5. `fields` and `row` look at nothing but what their paths name:
//!    `fields_and_rows_look_only_where_their_paths_lead`.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::sync::Arc;

use wavetank_api::json::Value;

use wavetank_api::kinds::KindId;
use wavetank_api::{Guards, Time};

use crate::field::Errors;

/// How one kind differs from the others.
pub struct Strategy {
    /// Fills in what the client left out. Idempotent; runs after decoding and after each patch.
    pub default: fn(&mut Value),
    /// The top-level fields that `default` reads and sets.
    pub defaulted: &'static [&'static str],
    /// Before a create: drops what clients may not set (status), sets first values (phase).
    /// `metadata` is the pipeline's: it sets uid, creationTimestamp, generation and so on.
    pub prepare_create: fn(&mut Value, &Context<'_>),
    /// Before an update of the main resource: keeps status, and fields that clients cannot change.
    pub prepare_update: fn(new: &mut Value, old: &Value),
    /// Before an update of `/status`: keeps everything but status and permitted metadata.
    pub prepare_status: fn(new: &mut Value, old: &Value),
    /// Rules for a whole new object (without `metadata`'s own rules, which the pipeline checks,
    /// except the form of the name: see `name_rule`).
    pub validate: fn(&Value) -> Errors,
    /// Rules for a change of the main resource, those of `validate` included.
    pub validate_update: fn(new: &Value, old: &Value) -> Errors,
    /// Rules for a change of `/status`.
    pub validate_status: fn(new: &Value, old: &Value) -> Errors,
    /// What a name of this kind looks like: messages, empty when it is good
    /// (`apimachinery/pkg/api/validation/name.go`). The flag says that it is a prefix.
    pub name_rule: fn(name: &str, prefix: bool) -> Vec<String>,
    /// Whether there is a `/status` and the main resource cannot write it.
    pub has_status: bool,
    /// Whether `metadata.generation` is kept: 1 at create, +1 when anything outside metadata and
    /// status changes.
    pub has_generation: bool,
    /// Whether a PUT to a name that does not exist creates it.
    pub create_on_update: bool,
    /// Whether a PUT without resourceVersion is accepted.
    pub unconditional_update: bool,
    /// Values of the selectable fields beyond `metadata.name` and `metadata.namespace`. All fields
    /// that may be selected are in the answer, empty ones too, always in the same order: another
    /// name in a selector is a 400.
    pub fields: fn(&Value) -> Vec<(&'static str, String)>,
    /// Where `fields` looks (`spec.nodeName`): nothing else of a stored object is decoded for it.
    pub field_paths: &'static [&'static str],
    /// Columns of `kubectl get`.
    pub columns: &'static [Column],
    /// The cells of one object, as many as there are columns.
    pub row: fn(&Value, now: Time) -> Vec<Value>,
    /// Where `row` looks, besides `metadata.name` and `metadata.creationTimestamp`; the same.
    pub row_paths: &'static [&'static str],
    /// How a delete goes: at once, or by way of a grace period.
    pub graceful: fn(&Value, &DeleteOptions) -> Grace,
}

impl Strategy {
    // ANCHOR: default_change
    /// Fills in what a change of an object left out; what it shares with `old` has its
    /// defaults.
    pub fn default_change(&self, new: &mut Value, old: &Value) {
        let is_shared = |field: &&str| match (new.get(*field), old.get(*field)) {
            (Some(new), Some(old)) => new.is_same(old),
            (new, old) => new.is_none() && old.is_none(),
        };
        if !self.defaulted.iter().all(is_shared) {
            (self.default)(new);
        }
    }
    // ANCHOR_END: default_change
}

/// What is known while a request is worked on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The cluster's time.
    pub now: Time,
    /// Namespace of the request; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Name of the authenticated user.
    pub user: &'a str,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

/// One column of a table (`metav1.TableColumnDefinition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub of_type: &'static str,
    /// `name` for the column that holds the object's name; otherwise empty.
    pub format: &'static str,
    /// What the column says; after a `.`, the path of a field whose description it is
    /// (`strategies::description`).
    pub description: &'static str,
    /// 0: always shown; 1: only with `-o wide`.
    pub priority: i32,
}

/// Options of a delete (`metav1.DeleteOptions`), from query and body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds until the object is removed; `None` leaves it to the kind.
    pub grace_period_seconds: Option<i64>,
    /// What happens to dependents.
    pub propagation: Option<Propagation>,
    /// The older way to say [`Propagation::Orphan`] or not.
    pub orphan_dependents: Option<bool>,
    /// Only delete the object with this UID.
    pub uid: Option<String>,
    /// Only delete the object at this resourceVersion.
    pub resource_version: Option<String>,
    /// Decide, but store nothing.
    pub dry_run: bool,
}

/// `metav1.DeletionPropagation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Dependents are deleted later by the garbage collector.
    Background,
    /// The object stays until its dependents are gone.
    Foreground,
    /// Dependents lose their owner and stay.
    Orphan,
}

/// How an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// Removed by this request, unless a finalizer holds it.
    Immediate,
    /// Marked with a deletionTimestamp; somebody (the kubelet) deletes it for good within so many
    /// seconds. 0 is the same as `Immediate`.
    Seconds(i64),
}

/// What admission may look at besides the object: this server's watch cache, which may lag.
pub trait View {
    /// One object, decoded; `namespace` is empty for cluster-scoped kinds.
    fn object(&self, kind: KindId, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// All objects of a kind (in one namespace, if it is not empty), decoded, in order of name.
    fn objects(&self, kind: KindId, namespace: &str) -> Vec<Arc<Value>>;
}

/// What is being done to the object that is up for admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// PUT or PATCH.
    Update,
    /// DELETE; there is no new object.
    Delete,
}

/// A write that asks for admission (`admission.Attributes`).
pub struct Attributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// To which kind.
    pub kind: KindId,
    /// Which subresource; empty for the main resource.
    pub subresource: &'a str,
    /// Namespace of the request; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Name of the object; empty while a generated name is not yet chosen.
    pub name: &'a str,
    /// The object as it was; absent for a create.
    pub old: Option<&'a Value>,
    /// Who asks.
    pub user: &'a str,
    /// The guards that are kept.
    pub guards: Guards,
    /// When.
    pub now: Time,
}

/// Why admission refuses. The pipeline puts `pods "web-0" is forbidden: ` in front of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// 403 Forbidden.
    Forbidden(String),
    /// 404: the namespace of a create does not exist (`namespaces "x" not found`).
    NamespaceNotFound(String),
    /// 403 with cause `NamespaceTerminating` for this namespace.
    NamespaceTerminating(String),
}

/// One admission plugin. It may change the object (`None` for a delete) or refuse. The table of
/// all, in upstream's order, is `admission::PLUGINS: &[(&str, Admit)]`; each runs on create,
/// update and
/// delete and looks at [`Attributes`] first.
pub type Admit = fn(Option<&mut Value>, &Attributes<'_>, &dyn View) -> Result<(), Denied>;
