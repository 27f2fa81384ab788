//! A line of a watch, read in one pass.
//!
//! The object's type depends on the event's: a bookmark is a header, an error is a Status. Servers
//! write `type` first, so that the object can be read as what it is when it comes by; where it
//! comes first it is kept as text until then. (`k8s.io/apimachinery/pkg/apis/meta/v1/watch.go`)
//!
//! Book: `book/src/control-plane/informers.md`.

use core::fmt;
use core::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::view::{FieldName, HeaderOnly, Object};

/// What a line says.
pub(crate) enum WireEvent<T> {
    /// The object is new or changed.
    Put(T),
    /// The object is gone.
    Deleted(T),
    /// All changes up to this revision have been sent.
    Bookmark(Object<HeaderOnly>),
    /// The stream is over; a Status says why.
    Error(Box<RawValue>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum EventType {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WireEvent<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Line(PhantomData))
    }
}

struct Line<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Line<T> {
    type Value = WireEvent<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of a watch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<WireEvent<T>, A::Error> {
        let (mut of_type, mut early, mut event) = (None, None::<&RawValue>, None);
        while let Some(FieldName(name)) = fields.next_key()? {
            match (&*name, of_type) {
                ("type", _) => of_type = Some(fields.next_value()?),
                ("object", Some(of_type)) => event = Some(read_next(of_type, &mut fields)?),
                ("object", None) => early = Some(fields.next_value()?),
                _ => drop(fields.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        if let (Some(of_type), Some(text)) = (of_type, early) {
            event = Some(read(of_type, text).map_err(A::Error::custom)?);
        }
        event.ok_or_else(|| A::Error::missing_field("object"))
    }
}

fn read_next<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    of_type: EventType,
    fields: &mut A,
) -> Result<WireEvent<T>, A::Error> {
    Ok(match of_type {
        EventType::Added | EventType::Modified => WireEvent::Put(fields.next_value()?),
        EventType::Deleted => WireEvent::Deleted(fields.next_value()?),
        EventType::Bookmark => WireEvent::Bookmark(fields.next_value()?),
        EventType::Error => WireEvent::Error(fields.next_value()?),
    })
}

/// The same for an object that came before its type.
fn read<'de, T: Deserialize<'de>>(
    of_type: EventType,
    text: &'de RawValue,
) -> serde_json::Result<WireEvent<T>> {
    let text = text.get();
    Ok(match of_type {
        EventType::Added | EventType::Modified => WireEvent::Put(serde_json::from_str(text)?),
        EventType::Deleted => WireEvent::Deleted(serde_json::from_str(text)?),
        EventType::Bookmark => WireEvent::Bookmark(serde_json::from_str(text)?),
        EventType::Error => WireEvent::Error(serde_json::from_str(text)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_type_and_object_does_not_matter() {
        let lines = [
            r#"{"type":"DELETED","object":{"metadata":{"name":"a"}}}"#,
            r#"{"object":{"metadata":{"name":"a"}},"x":1,"type":"DELETED"}"#,
        ];
        for line in lines {
            let event: WireEvent<Object<HeaderOnly>> = serde_json::from_str(line).unwrap();
            assert!(matches!(event, WireEvent::Deleted(object) if &*object.meta.name == "a"));
        }
        for line in [r#"{"type":"ADDED"}"#, r#"{"type":"NEW","object":{}}"#, "{}"] {
            assert!(serde_json::from_str::<WireEvent<Object<HeaderOnly>>>(line).is_err());
        }
    }
}
