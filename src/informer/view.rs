//! What a component keeps of an object: its header, and the fields it uses.
//!
//! Caches hold `Arc<Object<T>>`; `T` is a small struct of the component's own that derives
//! `Deserialize` and names only the fields it reads. A whole typed pod takes 6 kB, a view of it a
//! few hundred bytes. A component with a form of its own for a kind keeps that ([`Cached`]).
//!
//! 1. Decoding a view never fails on a field it does not name.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::fmt;
use core::marker::PhantomData;
use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};

use wavetank_api::{Meta, Revision, Uid};

use crate::intern::Pool;

// ANCHOR: cached
/// What a cache keeps of one revision of an object.
pub trait Cached: Sized {
    /// What it is made from: the fields of the object's JSON that it needs.
    type Wire: DeserializeOwned;
    /// Makes it; what other objects have too comes from the pool.
    fn new(wire: Self::Wire, pool: &mut Pool) -> Self;
    /// `metadata.namespace`.
    fn namespace(&self) -> &Arc<str>;
    /// `metadata.name`.
    fn name(&self) -> &Arc<str>;
    /// `metadata.uid`.
    fn uid(&self) -> &Uid;
    /// `metadata.resourceVersion`.
    fn revision(&self) -> Revision;
}

/// The fields of an object that a component uses; those that may be absent carry
/// `#[serde(default)]`.
pub trait View: DeserializeOwned {
    /// Puts shared values in the place of those that many objects have.
    fn share(&mut self, _pool: &mut Pool) {}
}
// ANCHOR_END: cached

/// The view of a component that needs the header and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HeaderOnly {}

impl View for HeaderOnly {}

/// One revision of one object, as a component holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<T> {
    /// Name, owners, labels and so on.
    pub meta: Meta,
    /// The fields beyond `metadata` that the component uses.
    pub view: T,
}

impl<T: DeserializeOwned> Object<T> {
    /// Reads header and view out of an object's JSON, in one pass.
    pub fn decode(json: &[u8]) -> Result<Self, serde_json::Error> {
        crate::json::from_slice(json)
    }
}

impl<T: View> Cached for Object<T> {
    type Wire = Self;

    fn new(mut object: Self, pool: &mut Pool) -> Self {
        pool.share_header(&mut object.meta);
        object.view.share(pool);
        object
    }

    fn namespace(&self) -> &Arc<str> {
        &self.meta.namespace
    }

    fn name(&self) -> &Arc<str> {
        &self.meta.name
    }

    fn uid(&self) -> &Uid {
        &self.meta.uid
    }

    fn revision(&self) -> Revision {
        self.meta.resource_version
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields(PhantomData))
    }
}

/// Reads the fields of an object: `metadata` for the header, all others for the view.
struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Object<T>, A::Error> {
        let mut meta = Meta::default();
        let rest = Rest {
            entries,
            meta: &mut meta,
        };
        let view = T::deserialize(MapAccessDeserializer::new(rest))?;
        Ok(Object { meta, view })
    }
}

/// The fields of an object but `metadata`, which is taken in when it comes by.
struct Rest<'a, A> {
    entries: A,
    meta: &'a mut Meta,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(FieldName(name)) = self.entries.next_key()? {
            if name != "metadata" {
                let name = CowStrDeserializer::<A::Error>::new(name);
                return seed.deserialize(name).map(Some);
            }
            *self.meta = self.entries.next_value()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.entries.next_value_seed(seed)
    }
}

/// The name of a field, borrowed from the text it stands in.
pub(crate) struct FieldName<'de>(pub Cow<'de, str>);

impl<'de> Deserialize<'de> for FieldName<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = FieldName<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<FieldName<'de>, E> {
                Ok(FieldName(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<FieldName<'de>, E> {
                Ok(FieldName(Cow::Owned(name.to_owned())))
            }
        }
        from.deserialize_str(Name)
    }
}

impl<T> Object<T> {
    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key::new(self.meta.namespace.clone(), self.meta.name.clone())
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

    /// The key of what a cache keeps.
    pub fn of(object: &impl Cached) -> Self {
        Key::new(object.namespace().clone(), object.name().clone())
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
