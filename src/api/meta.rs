//! The header every object has, decoded once: who it is, who owns it, what it is waiting for.
//!
//! Store, watch cache, informers and the garbage collector need this much of an object and no more.
//!
//! Book: `book/src/ground/objects.md`.

use core::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{StringMap, Time};

/// A revision of the store: one number for all keys, growing by one with each transaction that
/// writes. On the wire it is the decimal string `metadata.resourceVersion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `metadata.uid`: names one life of an object. A new object of the same name has another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub Arc<str>);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `metadata.ownerReferences[]` (`k8s.io/apimachinery/pkg/apis/meta/v1/types.go`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct OwnerReference {
    pub api_version: Arc<str>,
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub uid: Uid,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub controller: bool,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub block_owner_deletion: bool,
}

// ANCHOR: meta
/// The part of `ObjectMeta` that selectors, owners and lists need. Absent fields are
/// empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Meta {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Uid,
    #[serde(with = "revision_text")]
    pub resource_version: Revision,
    pub generation: i64,
    pub labels: StringMap,
    pub annotations: StringMap,
    pub owner_references: Arc<[OwnerReference]>,
    pub finalizers: Arc<[Arc<str>]>,
    pub creation_timestamp: Option<Time>,
    pub deletion_timestamp: Option<Time>,
    pub deletion_grace_period_seconds: Option<i64>,
}
// ANCHOR_END: meta

impl Meta {
    /// The owner that manages this object, if any: the reference with `controller: true`.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether a delete has been asked for and the object is on its way out.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// `resourceVersion` on the wire is a string that clients must treat as opaque; ours is decimal.
mod revision_text {
    use super::Revision;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Revision, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Revision, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        if text.is_empty() {
            return Ok(Revision(0));
        }
        text.parse().map(Revision).map_err(serde::de::Error::custom)
    }
}
