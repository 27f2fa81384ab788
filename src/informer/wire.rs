//! A line of a watch, read in one pass.
//!
//! The object's type depends on the event's: a bookmark is a header, an error is a Status. Servers
//! write `type` first, so that the object can be read as what it is when it comes by; where it
//! comes first it is gone back to. (`k8s.io/apimachinery/pkg/apis/meta/v1/watch.go`)
//!
//! Book: `book/src/control-plane/informers.md`.

use serde::Deserialize;
use serde::de::MapAccess;
use serde_json::Error;

use crate::json::{Items, Reader};
use crate::view::{FieldName, HeaderOnly, Object};

/// What a line says.
pub(crate) enum WireEvent<'a, T> {
    /// The object is new or changed.
    Put(T),
    /// The object is gone.
    Deleted(T),
    /// All changes up to this revision have been sent.
    Bookmark(Object<HeaderOnly>),
    /// The stream is over; a Status says why.
    Error(&'a str),
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

impl<'a, T: Deserialize<'a>> WireEvent<'a, T> {
    /// Reads the next line.
    pub fn read(lines: &mut Reader<'a>) -> Result<Self, Error> {
        lines.object(|fields| WireEvent::read_fields(fields))
    }

    fn read_fields(mut fields: &mut Items<'_, 'a>) -> Result<Self, Error> {
        let (mut of_type, mut early, mut event) = (None, None, None);
        while let Some(FieldName(name)) = fields.next_key()? {
            match (&*name, of_type) {
                ("type", _) => of_type = Some(fields.next_value()?),
                ("object", Some(of_type)) => event = Some(read_object(of_type, fields.reader)?),
                ("object", None) => {
                    early = Some(fields.reader.clone());
                    fields.reader.skip()?;
                }
                _ => drop(fields.reader.skip()?),
            }
        }
        if let (Some(of_type), Some(mut object)) = (of_type, early) {
            event = Some(read_object(of_type, &mut object)?);
        }
        event.ok_or_else(|| serde::de::Error::missing_field("object"))
    }
}

fn read_object<'a, T: Deserialize<'a>>(
    of_type: EventType,
    object: &mut Reader<'a>,
) -> Result<WireEvent<'a, T>, Error> {
    Ok(match of_type {
        EventType::Added | EventType::Modified => WireEvent::Put(T::deserialize(object)?),
        EventType::Deleted => WireEvent::Deleted(T::deserialize(object)?),
        EventType::Bookmark => WireEvent::Bookmark(Object::deserialize(object)?),
        EventType::Error => WireEvent::Error(object.skip()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Event<'a> = WireEvent<'a, Object<HeaderOnly>>;

    fn read(line: &str) -> Result<Event<'_>, Error> {
        Event::read(&mut Reader::new(line.as_bytes())?)
    }

    #[test]
    fn the_order_of_type_and_object_does_not_matter() {
        let lines = [
            r#"{"type":"DELETED","object":{"metadata":{"name":"a"}}}"#,
            r#"{"object":{"metadata":{"name":"a"}},"x":1,"type":"DELETED"}"#,
        ];
        for line in lines {
            let event = read(line).unwrap();
            assert!(matches!(event, WireEvent::Deleted(object) if &*object.meta.name == "a"));
        }
        for line in [r#"{"type":"ADDED"}"#, r#"{"type":"NEW","object":{}}"#, "{}"] {
            assert!(read(line).is_err());
        }
    }
}
