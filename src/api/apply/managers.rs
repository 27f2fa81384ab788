//! The entries of `metadata.managedFields`: read, found, put in order, and kept few.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{List, Map, Text, Value};

use super::Writer;
use crate::fields::Set;

/// How many entries of updates an object keeps; older ones are joined (`capmanagers.go`).
const UPDATE_ENTRIES_MAX: usize = 10;

/// Who the joined entries belong to.
const ANCIENT: &str = "ancient-changes";

/// One manager's entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub manager: Text,
    /// Whether by applies; otherwise by other writes.
    pub applied: bool,
    pub api_version: Text,
    pub subresource: Text,
    /// RFC 3339; when this manager last changed something.
    pub time: Option<Text>,
    pub fields: Set,
}

impl Entry {
    /// The empty entry that `writer`'s updates go to.
    pub fn update_of(writer: &Writer<'_>) -> Entry {
        Entry {
            manager: name_of(writer).into(),
            api_version: writer.api_version.into(),
            subresource: writer.subresource.into(),
            ..Entry::default()
        }
    }

    /// The empty entry that `writer`'s applies go to.
    pub fn apply_of(writer: &Writer<'_>) -> Entry {
        Entry {
            applied: true,
            ..Entry::update_of(writer)
        }
    }

    pub fn is_update_of(&self, writer: &Writer<'_>) -> bool {
        !self.applied && self.is_of(writer) && self.api_version == writer.api_version
    }

    /// An apply's entry moves with its manager from version to version; an update's does not.
    pub fn is_apply_of(&self, writer: &Writer<'_>) -> bool {
        self.applied && self.is_of(writer)
    }

    fn is_of(&self, writer: &Writer<'_>) -> bool {
        self.manager == name_of(writer) && self.subresource == writer.subresource
    }

    /// An apply's entry moves with its manager from version to version; an update's does not.
    fn is_same(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.applied == other.applied
            && self.subresource == other.subresource
            && (self.applied || self.api_version == other.api_version)
    }

    fn operation(&self) -> &'static str {
        if self.applied { "Apply" } else { "Update" }
    }

    fn sort_key(&self) -> impl Ord + '_ {
        let time = self.time.as_deref().and_then(crate::Time::parse);
        let seconds = time.map_or(0, crate::Time::as_secs);
        (
            !self.applied,
            seconds,
            &self.manager,
            &self.api_version,
            &self.subresource,
        )
    }
}

fn name_of<'a>(writer: &Writer<'a>) -> &'a str {
    match writer.manager {
        "" => "unknown",
        name => name,
    }
}

/// The entry like `wanted`, made if it is not there.
pub(super) fn entry(entries: &mut Vec<Entry>, wanted: Entry) -> &mut Entry {
    let found = entries.iter().position(|entry| entry.is_same(&wanted));
    let at = found.unwrap_or(entries.len());
    if found.is_none() {
        entries.push(wanted);
    }
    &mut entries[at]
}

/// The ledger of an object, as it lies in it.
pub(super) fn of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

/// Takes the ledger out of an object.
pub(super) fn take(object: &mut Value) -> Option<Value> {
    object
        .get_mut("metadata")?
        .as_object_mut()?
        .remove("managedFields")
}

/// Puts a ledger into an object; an empty one is left out.
pub(super) fn put(object: &mut Value, ledger: Value) {
    let is_empty = ledger.as_array().is_none_or(|items| items.is_empty());
    if let (false, Some(Value::Object(meta))) = (is_empty, object.get_mut("metadata")) {
        meta.insert("managedFields", ledger);
    }
}

/// Which ledger a write starts from, that of the live object or the one it sends itself, and
/// whether that one is known to be canonical (`decodeLiveOrNew`).
pub(super) fn choose(
    live: Option<&Value>,
    sent: Option<Value>,
    ignore_sent: bool,
) -> (Value, bool) {
    match sent {
        Some(sent) if Some(&sent) == live => (sent, true),
        Some(Value::Array(sent)) if !ignore_sent => {
            let is_reset = match sent.as_slice() {
                [] => true,
                [only] => only.as_object().is_some_and(Map::is_empty),
                _ => false,
            };
            let sent = Value::Array(if is_reset { List::new() } else { sent });
            match read(sent, false) {
                Ok(entries) => (write(entries), is_reset && live.is_none()),
                Err(_) => (live.cloned().unwrap_or_default(), true),
            }
        }
        _ => (live.cloned().unwrap_or_default(), true),
    }
}

/// Reads a ledger; `trusted` ones are our own and are not checked again.
pub(super) fn read(ledger: Value, trusted: bool) -> Result<Vec<Entry>, String> {
    let items = match ledger {
        Value::Array(items) => items,
        _ => return Ok(Vec::new()),
    };
    let mut entries: Vec<Entry> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let read = read_entry(item, index, trusted)?;
        match entries
            .iter_mut()
            .find(|entry| !trusted && entry.is_same(&read))
        {
            Some(entry) => *entry = read,
            None => entries.push(read),
        }
    }
    Ok(entries)
}

fn read_entry(item: Value, index: usize, trusted: bool) -> Result<Entry, String> {
    let mut item = match item {
        Value::Object(item) => item,
        other => {
            return Err(format!(
                "expected an entry of managed fields, found {other}"
            ));
        }
    };
    let fields = item.remove("fieldsV1").unwrap_or_default();
    let mut text = |name: &str| match item.remove(name) {
        Some(Value::String(text)) => text,
        _ => Text::default(),
    };
    let applied = match text("operation").as_str() {
        "Apply" => true,
        "Update" => false,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    let api_version = text("apiVersion");
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType").as_str() {
        "FieldsV1" => {}
        "" => {
            return Err(format!(
                "missing fieldsType in managed fields entry {index}"
            ));
        }
        other => {
            let other = crate::status::quote(other);
            return Err(format!(
                "invalid fieldsType {other} in managed fields entry {index}"
            ));
        }
    }
    let fields = match trusted {
        true => Set::trusted(fields),
        false => Set::parse(&fields).map_err(|error| format!("error decoding set: {error}"))?,
    };
    let time = Some(text("time")).filter(|time| !time.is_empty());
    let (manager, subresource) = (text("manager"), text("subresource"));
    Ok(Entry {
        manager,
        applied,
        api_version,
        subresource,
        time,
        fields,
    })
}

/// The wire form, in upstream's order: applies before updates, then by time and name.
pub(super) fn write(mut entries: Vec<Entry>) -> Value {
    entries.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    entries.into_iter().map(write_entry).collect()
}

fn write_entry(entry: Entry) -> Value {
    let mut item = Map::new();
    let mut put = |name: &str, value: Value| item.insert(name, value);
    let operation = entry.operation();
    put("apiVersion", entry.api_version.into());
    put("fieldsType", "FieldsV1".into());
    put("fieldsV1", entry.fields.into_value());
    if !entry.manager.is_empty() {
        put("manager", entry.manager.into());
    }
    put("operation", operation.into());
    if !entry.subresource.is_empty() {
        put("subresource", entry.subresource.into());
    }
    if let Some(time) = entry.time {
        put("time", time.into());
    }
    Value::Object(item)
}
/// Joins the oldest entries of updates, those of one version into one, until there are few enough.
/// An entry that is alone in its version stays itself.
pub(super) fn cap(entries: &mut Vec<Entry>) {
    let mut updates = entries.iter().filter(|entry| !entry.applied).count();
    if updates <= UPDATE_ENTRIES_MAX {
        return;
    }
    entries.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    entries.sort_by_key(|entry| entry.manager != ANCIENT);
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut seen: Vec<(Text, usize)> = Vec::new();
    for entry in core::mem::take(entries) {
        let first = seen
            .iter()
            .find(|(version, _)| *version == entry.api_version);
        match first.and_then(|(_, at)| kept.get_mut(*at)) {
            Some(bucket) if !entry.applied && updates > UPDATE_ENTRIES_MAX => {
                bucket.manager = ANCIENT.into();
                bucket.subresource = Text::default();
                bucket.fields.unite(&entry.fields);
                bucket.time = entry.time;
                updates -= 1;
            }
            _ => {
                if !entry.applied && first.is_none() {
                    seen.push((entry.api_version.clone(), kept.len()));
                }
                kept.push(entry);
            }
        }
    }
    *entries = kept;
}
