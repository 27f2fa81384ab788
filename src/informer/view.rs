//! What a component keeps of an object: its header, and the fields it uses.
//!
//! Caches hold `Arc<Object<T>>`; `T` is a small struct of the component's own that derives
//! `Deserialize` and names only the fields it reads. A whole typed pod takes 6 kB, a view of it a
//! few hundred bytes.
//!
//! 1. Decoding a view never fails on a field it does not name.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use wavetank_api::{Meta, Uid};

/// The fields of an object that a component uses. Anything that derives `Deserialize` is one;
/// fields that may be absent carry `#[serde(default)]`.
pub trait View: Sized {
    /// Reads the fields out of an object's JSON.
    fn decode(json: &[u8]) -> Result<Self, serde_json::Error>;
}

impl<T: DeserializeOwned> View for T {
    fn decode(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// The view of a component that needs the header and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HeaderOnly {}

/// One revision of one object, as a component holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<T> {
    /// Name, owners, labels and so on.
    pub meta: Meta,
    /// The fields beyond `metadata` that the component uses.
    pub view: T,
}

impl<T: View> Object<T> {
    /// Reads header and view out of an object's JSON.
    pub fn decode(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(default)]
            metadata: Meta,
        }
        let envelope: Envelope = serde_json::from_slice(json)?;
        Ok(Object {
            meta: envelope.metadata,
            view: T::decode(json)?,
        })
    }
}

impl<T> Object<T> {
    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key {
            namespace: self.meta.namespace.clone(),
            name: self.meta.name.clone(),
        }
    }

    /// Whether the object's controlling owner is the object of this uid.
    pub fn is_controlled_by(&self, uid: &Uid) -> bool {
        self.meta
            .controller()
            .is_some_and(|owner| owner.uid == *uid)
    }
}

/// Namespace and name of an object; the namespace of a cluster-scoped object is empty.
/// Ordered by namespace, then name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub struct Key {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    /// The key of an object in a namespace.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Key {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: impl Into<Arc<str>>) -> Self {
        Key::new("", name)
    }
}

impl fmt::Display for Key {
    /// `default/web-0`, or `n1` for a cluster-scoped object.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
