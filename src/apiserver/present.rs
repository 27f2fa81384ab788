//! The forms in which an object is answered: itself, its metadata, or a row of a table.
//!
//! Called for single answers, lists and watch frames. All forms are slices of the stored bytes with
//! a little text between them; only what a table's cells show is decoded.
//!
//! 1. Nothing of a stored object is copied: `a_list_copies_nothing_of_its_objects`.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::{Value, json};

use wavetank_api::kinds::events;
use wavetank_api::{KindId, Revision, Time};

use crate::object::{Stored, head, splice};
use crate::rope::Rope;
use crate::table;

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
    /// Writes one object as an answer of its own; a table of one row, if tables were asked for.
    pub fn write(self, out: &mut Rope, object: &Stored, now: Time) {
        if let Form::Table { .. } = self.form {
            self.open_list(
                out,
                &json!({"resourceVersion": object.revision.to_string()}),
            );
            self.write_item(out, object, now);
            return out.text("]}");
        }
        if self.form == Form::Object && self.is_stored() {
            out.share(head(object.kind).clone());
            return write_from_metadata(out, object, object.bytes.len());
        }
        self.write_item(out, object, now);
    }

    /// Writes a list up to its first item. After the last one comes `]}`.
    pub fn open_list(self, out: &mut Rope, metadata: &Value) {
        let info = self.kind.info();
        let (kind, version) = match self.form {
            Form::Object => (info.kind, info.api_version),
            Form::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1"),
            Form::Table { headers, beta, .. } => {
                return table::open(out, self.kind, metadata, headers, beta);
            }
        };
        out.text(&format!(
            r#"{{"kind":"{kind}List","apiVersion":"{version}","metadata":{metadata},"items":["#
        ));
    }

    // ANCHOR: write
    /// Writes one item of a list. Objects carry no `kind` and `apiVersion` of their own
    /// there, as in upstream's typed lists.
    pub fn write_item(self, out: &mut Rope, object: &Stored, now: Time) {
        match self.form {
            Form::Object if self.is_stored() => {
                out.text(r#"{"metadata":{"#);
                write_from_metadata(out, object, object.bytes.len());
            }
            Form::Object => {
                let mut value = object.value();
                events::convert(&mut value, self.kind);
                out.json(&value);
            }
            Form::Metadata => {
                out.text(PARTIAL);
                write_from_metadata(out, object, object.metadata_end());
                out.text("}");
            }
            Form::Table { include, .. } => {
                out.text(r#"{"cells":"#);
                out.json(&table::cells(object, now));
                if let Some(form) = include.form() {
                    out.text(r#","object":"#);
                    Representation { form, ..self }.write(out, object, now);
                }
                out.text("}");
            }
        }
    }
    // ANCHOR_END: write

    /// Whether objects of this kind are stored under its own name.
    fn is_stored(self) -> bool {
        self.kind.stored_as() == self.kind
    }

    /// Writes a bookmark's object: nothing but a revision, in this form.
    pub fn write_bookmark(self, out: &mut Rope, revision: Revision, ends_initial: bool) {
        let version = json!({"resourceVersion": revision.to_string()});
        let mut metadata = version.clone();
        metadata["creationTimestamp"] = Value::Null;
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let info = self.kind.info();
        let partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata});
        match self.form {
            Form::Object => out.json(
                &json!({"kind": info.kind, "apiVersion": info.api_version, "metadata": metadata}),
            ),
            Form::Metadata => out.json(&partial),
            Form::Table { .. } => {
                self.open_list(out, &version);
                out.json(&json!({"cells": [], "object": partial}));
                out.text("]}");
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

impl Include {
    /// The form of what each row carries.
    fn form(self) -> Option<Form> {
        match self {
            Include::None => None,
            Include::Metadata => Some(Form::Metadata),
            Include::Object => Some(Form::Object),
        }
    }
}

/// What `as=PartialObjectMetadata` begins with, up to the brace that opens `metadata`.
const PARTIAL: &str =
    r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"#;

/// Writes the inside of `metadata`, and what of the stored bytes comes after it up to `end`.
fn write_from_metadata(out: &mut Rope, object: &Stored, end: usize) {
    let begin = head(object.kind).len().min(end);
    out.text(&splice(object.revision));
    out.share(object.bytes.slice(begin..end));
}
