//! Text to values, noticing keys that stand twice in one object.
//!
//! serde_json's own `Value` keeps the last of two equal keys without a word; so we visit ourselves.
//!
//! Book: `book/src/ground/wire.md`.

use core::cell::RefCell;
use core::fmt;
use std::collections::BTreeSet;

use crate::json::{List, Map, Number, Text, Value, text_of};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{COMPLAINTS_MAX, Error};

pub(super) fn json(bytes: &[u8]) -> Result<(Value, Vec<String>), Error> {
    let text = text_of(bytes);
    let mut reader = serde_json::Deserializer::from_str(&text);
    let found = RefCell::default();
    let seed = Seed {
        at: Path::Root,
        duplicates: &found,
    };
    let value = seed
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    let value = value.map_err(|error| syntax(text.as_bytes(), &error))?;
    Ok((value, found.into_inner()))
}

pub(super) fn yaml(bytes: &[u8]) -> Result<(Value, Vec<String>), Error> {
    // A few aliases of aliases make gigabytes of a small body, so a body may have none.
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        budget: serde_saphyr::budget! { max_aliases: 0 },
        with_snippet: false,
    };
    let document: Document = serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|error| Error::Syntax(format!("error converting YAML to JSON: yaml: {error}")))?;
    Ok((document.value, document.duplicates))
}

/// What serde_json says, and what Go says after "invalid character 'x' " of the same mistake
/// (`encoding/json/scanner.go`).
const MISTAKES: [(&str, &str); 7] = [
    ("expected `:`", "after object key"),
    ("expected `,` or `]`", "after array element"),
    ("expected `,` or `}`", "after object key:value pair"),
    (
        "key must be a string",
        "looking for beginning of object key string",
    ),
    ("invalid escape", "in string escape code"),
    ("control character", "in string literal"),
    ("trailing characters", "after top-level value"),
];

/// Go's words for text that is not JSON, as near as the position of the error allows.
fn syntax(bytes: &[u8], error: &serde_json::Error) -> Error {
    if error.is_eof() {
        return Error::Syntax("unexpected end of JSON input".to_string());
    }
    let said = error.to_string();
    if said.starts_with("recursion limit") {
        return Error::Syntax("exceeded max depth".to_string());
    }
    let line = bytes
        .split(|b| *b == b'\n')
        .nth(error.line().saturating_sub(1));
    let byte = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    let mistake = MISTAKES.iter().find(|(ours, _)| said.starts_with(ours));
    let mistake = mistake.map_or("looking for beginning of value", |(_, gos)| gos);
    Error::Syntax(match byte {
        Some(byte) => format!("invalid character '{}' {mistake}", byte.escape_ascii()),
        None => said,
    })
}

/// Where we are, for messages; rendered only when there is something to say.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(Path::Root, key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

struct Document {
    value: Value,
    duplicates: Vec<String>,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let found = RefCell::default();
        let value = Seed {
            at: Path::Root,
            duplicates: &found,
        }
        .deserialize(from)?;
        Ok(Document {
            value,
            duplicates: found.into_inner(),
        })
    }
}

struct Seed<'a> {
    at: Path<'a>,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = List::new();
        let seed = |index| Seed {
            at: Path::Index(&self.at, index),
            duplicates: self.duplicates,
        };
        while let Some(item) = items.next_element_seed(seed(list.len()))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut twice = BTreeSet::new();
        while let Some(key) = entries.next_key::<Text>()? {
            let at = Path::Key(&self.at, &key);
            let value = entries.next_value_seed(Seed {
                at,
                duplicates: self.duplicates,
            })?;
            if map.contains_key(&key) && twice.insert(key.clone()) {
                complain(self.duplicates, &Path::Key(&self.at, &key));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Renders a path only while there is room: a hostile body repeats a long one many times.
fn complain(duplicates: &RefCell<Vec<String>>, at: &Path) {
    let mut duplicates = duplicates.borrow_mut();
    if duplicates.len() < COMPLAINTS_MAX {
        duplicates.push(format!("duplicate field \"{at}\""));
    }
}
