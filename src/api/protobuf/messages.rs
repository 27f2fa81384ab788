//! Which number is which field: the table of messages, joined with the schema on first use.
//!
//! JSON has some structs inline (`Volume` has all fields of `VolumeSource`) where protobuf has a
//! message; such a message is a row of its own whose fields are looked up in the struct around it.
//!
//! Book: `book/src/ground/wire.md`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::schema::{Schema, Shape, TypeId, short};

static TABLE: &str = include_str!("messages.txt");

/// A message: its fields by number.
#[derive(Debug)]
pub(super) struct Message {
    fields: Vec<(u64, Target)>,
}

/// What a number stands for.
#[derive(Debug)]
pub(super) enum Target {
    /// A field of the JSON object.
    Field {
        name: &'static str,
        ty: TypeId,
        /// Whether a zero is kept: see the table's head.
        keep_zero: bool,
    },
    /// A message whose fields belong to the same JSON object.
    Inline(Message),
}

impl Message {
    pub(super) fn target(&self, number: u64) -> Option<&Target> {
        let at = self
            .fields
            .binary_search_by_key(&number, |(n, _)| *n)
            .ok()?;
        self.fields.get(at).map(|(_, target)| target)
    }
}

static MESSAGES: LazyLock<BTreeMap<TypeId, Message>> = LazyLock::new(|| {
    let schema = Schema::builtin();
    let rows = rows();
    let structs = schema
        .definitions()
        .filter(|(_, id)| schema.shape(*id) == Shape::Struct);
    structs
        .filter_map(|(name, id)| Some((id, join(schema, &rows, short(name), id)?)))
        .collect()
});

/// The message of a struct type.
pub(super) fn of(ty: TypeId) -> Option<&'static Message> {
    MESSAGES.get(&ty)
}

/// The table's rows by type: words like `name=1!`.
pub(super) fn rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(": "))
        .map(|(k, v)| (k, v.split(' ').collect()))
        .collect()
}

fn join(
    schema: &Schema,
    rows: &BTreeMap<&'static str, Vec<&'static str>>,
    row: &str,
    ty: TypeId,
) -> Option<Message> {
    let target = |word: &'static str| {
        let (name, number) = word.split_once('=')?;
        let keep_zero = number.ends_with('!');
        let number = number.trim_end_matches('!').parse().ok()?;
        let target = match name.strip_prefix('^') {
            Some(inline) => Target::Inline(join(schema, rows, inline, ty)?),
            None => Target::Field {
                name,
                ty: schema.field(ty, name)?.ty,
                keep_zero,
            },
        };
        Some((number, target))
    };
    let mut fields: Vec<_> = rows
        .get(row)?
        .iter()
        .filter_map(|word| target(word))
        .collect();
    fields.sort_by_key(|(number, _)| *number);
    Some(Message { fields })
}
