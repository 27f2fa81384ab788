//! The forms in which an object is answered: itself, its metadata, or a row of a table.
//!
//! Called for single answers, lists and watch frames. The object itself goes out as its stored
//! bytes; every other form is made from the decoded object.
//!
//! 1. An object's own form copies nothing in lists, and once per frame in watches.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use bytes::Bytes;
use serde_json::{Value, json};

use wavetank_api::kinds::events;
use wavetank_api::{KindId, Revision, Time};

use crate::object::{Stored, head, splice};
use crate::registry;
use crate::strategies;
use crate::strategy::Column;

/// In which form the client asked for objects (`Accept: …;as=…`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// The object as it is.
    #[default]
    Object,
    /// `as=PartialObjectMetadata`, or `…List`: metadata only.
    Metadata,
    /// `as=Table`.
    Table {
        /// What each row carries of its object (`includeObject`).
        include: Include,
        /// Whether column definitions are there: not again after a watch's first event.
        headers: bool,
        /// Whether the client asked for `v1beta1`.
        beta: bool,
    },
}

/// `includeObject` of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// The served kind and the form: what two watchers must share to share a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Representation {
    /// The kind that the client speaks of: an Event is stored once and served as two.
    pub kind: KindId,
    /// The form.
    pub form: Form,
}

impl Representation {
    /// Whether stored bytes can go out as they are.
    fn is_stored(self) -> bool {
        self.form == Form::Object && self.kind.stored_as() == self.kind
    }

    /// The chunks of one object's answer: for the stored form, its bytes with a splice.
    pub fn chunks(self, object: &Stored, now: Time) -> Vec<Bytes> {
        let (bytes, head_len) = (&object.bytes, head(object.kind).len());
        if self.is_stored() && bytes.len() >= head_len {
            let splice = Bytes::from(splice(object.revision));
            return vec![bytes.slice(..head_len), splice, bytes.slice(head_len..)];
        }
        vec![self.of_value(object.value(), now).to_string().into()]
    }

    /// Appends one object to `out`.
    pub fn write(self, out: &mut Vec<u8>, object: &Stored, now: Time) {
        match object.bytes.split_at_checked(head(object.kind).len()) {
            Some((head, rest)) if self.is_stored() => {
                out.extend_from_slice(head);
                out.extend_from_slice(splice(object.revision).as_bytes());
                out.extend_from_slice(rest);
            }
            _ => {
                let value = self.of_value(object.value(), now);
                // Writing to a Vec cannot fail.
                let _ = serde_json::to_writer(out, &value);
            }
        }
    }

    /// The form of an object that is decoded anyway.
    pub fn of_value(self, mut object: Value, now: Time) -> Value {
        match self.form {
            Form::Object => {
                events::convert(&mut object, self.kind);
                object
            }
            Form::Metadata => partial(&object),
            Form::Table { .. } => {
                let metadata =
                    json!({"resourceVersion": object.pointer("/metadata/resourceVersion")});
                let row = self.row(object, now);
                self.table(metadata, vec![row])
            }
        }
    }

    /// One row of a table.
    pub fn row(self, mut object: Value, now: Time) -> Value {
        let cells = (registry::strategy(self.kind.stored_as()).row)(&object, now);
        let Form::Table { include, .. } = self.form else {
            return json!({"cells": cells});
        };
        match include {
            Include::None => json!({"cells": cells}),
            Include::Metadata => json!({"cells": cells, "object": partial(&object)}),
            Include::Object => {
                events::convert(&mut object, self.kind);
                json!({"cells": cells, "object": object})
            }
        }
    }

    /// A table of these rows.
    pub fn table(self, metadata: Value, rows: Vec<Value>) -> Value {
        let Form::Table { headers, beta, .. } = self.form else {
            return Value::Null;
        };
        let kind = self.kind.stored_as();
        let columns = registry::strategy(kind).columns.iter();
        let columns = match headers {
            true => Value::Array(columns.map(|it| column(kind, it)).collect()),
            false => Value::Null,
        };
        json!({"kind": "Table", "apiVersion": meta_version(beta), "metadata": metadata,
               "columnDefinitions": columns, "rows": rows})
    }

    /// A bookmark's object: nothing but a revision, in this form.
    pub fn bookmark(self, revision: Revision, ends_initial: bool) -> Value {
        let mut metadata =
            json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let info = self.kind.info();
        match self.form {
            Form::Object => {
                json!({"kind": info.kind, "apiVersion": info.api_version, "metadata": metadata})
            }
            Form::Metadata => json!({"kind": "PartialObjectMetadata",
                                     "apiVersion": "meta.k8s.io/v1", "metadata": metadata}),
            Form::Table { .. } => {
                let object = json!({"kind": "PartialObjectMetadata",
                                    "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
                let version = json!({"resourceVersion": revision.to_string()});
                self.table(version, vec![json!({"cells": [], "object": object})])
            }
        }
    }

    /// The same without column definitions, for the later events of a watch.
    pub fn without_headers(self) -> Self {
        match self.form {
            Form::Table { include, beta, .. } => {
                let form = Form::Table {
                    include,
                    beta,
                    headers: false,
                };
                Representation { form, ..self }
            }
            _ => self,
        }
    }
}

/// `meta.k8s.io/v1`, or the older name of the same.
pub(crate) fn meta_version(beta: bool) -> &'static str {
    if beta {
        "meta.k8s.io/v1beta1"
    } else {
        "meta.k8s.io/v1"
    }
}

/// An object without anything but its metadata.
pub(crate) fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
           "metadata": object.get("metadata")})
}

fn column(kind: KindId, column: &Column) -> Value {
    json!({"name": column.name, "type": column.of_type, "format": column.format,
           "description": strategies::description(kind, column),
           "priority": column.priority})
}
