//! JSON read for serde, at its best where most of the text is not wanted.
//!
//! A component keeps a tenth of what a watch tells it: `managedFields` alone are a third of a pod.
//! `serde_json` looks at every character of what it skips and asks of every string whether it is
//! UTF-8. This reader asks that once of a whole body, and of a value that nobody wants it sees
//! quotes and brackets only. Called by `wire.rs`, `view.rs` and a kubelet that renews its lease;
//! numbers and escapes, which are rare, are left to `serde_json`.
//!
//! 1. What `serde_json` can read is read as it reads it, and as far.
//! 2. Any text gives a value or an error; none overflows the stack.
//!
//! Left out: whether a value that is skipped is well-formed; keys that are numbers; bytes.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::fmt;
use std::borrow::Cow;

use serde::Deserialize;
use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Error;

/// Objects and lists within each other; as `serde_json`.
const DEPTH_MAX: u8 = 127;

/// Reads the one value that `json` is.
pub fn from_slice<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, Error> {
    let mut reader = Reader::new(json)?;
    let value = T::deserialize(&mut reader)?;
    match reader.is_at_end() {
        true => Ok(value),
        false => Err(reader.error("expected nothing more")),
    }
}

/// A place in a text.
#[derive(Clone)]
pub(crate) struct Reader<'de> {
    text: &'de str,
    at: usize,
    /// How many more objects and lists may open.
    depth_left: u8,
}

impl<'de> Reader<'de> {
    /// At the beginning of a text of any number of values.
    pub fn new(json: &'de [u8]) -> Result<Self, Error> {
        Ok(Reader {
            text: core::str::from_utf8(json).map_err(Error::custom)?,
            at: 0,
            depth_left: DEPTH_MAX,
        })
    }

    /// Whether only white space is left.
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Goes over a value; its text.
    pub fn skip(&mut self) -> Result<&'de str, Error> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{' | b'[') => self.skip_nested()?,
            Some(b'"') => drop(self.skip_string()?),
            _ => self.skip_word(),
        }
        self.text_since(start)
    }

    /// Reads an object's entries, all of them.
    pub fn object<T>(
        &mut self,
        read: impl FnOnce(&mut Items<'_, 'de>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.peek() {
            Some(b'{') => self.nested(b'}', read),
            _ => Err(self.error("expected an object")),
        }
    }

    /// Reads what stands between the bracket here and `close`.
    fn nested<T>(
        &mut self,
        close: u8,
        read: impl FnOnce(&mut Items<'_, 'de>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(self.error("too many objects and lists within each other"));
        };
        self.at += 1;
        let reader = &mut *self;
        let mut items = Items {
            reader,
            close,
            is_first: true,
        };
        items.reader.depth_left = depth_left;
        let value = read(&mut items)?;
        if items.has_next()? {
            return Err(self.error("expected no more items"));
        }
        self.at += 1;
        self.depth_left += 1;
        Ok(value)
    }

    /// The next character that is not white space, which comes next.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn string(&mut self) -> Result<Cow<'de, str>, Error> {
        let start = self.at;
        if self.skip_string()? {
            return serde_json::from_str(self.text_since(start)?).map(Cow::Owned);
        }
        let text = self.text.get(start + 1..self.at - 1);
        text.map(Cow::Borrowed)
            .ok_or_else(|| self.error("expected a string"))
    }

    /// Goes over a string; whether it has escapes.
    fn skip_string(&mut self) -> Result<bool, Error> {
        let end = string_end(self.text.as_bytes(), self.at + 1);
        let (end, has_escapes) = end.ok_or_else(|| self.error("expected a quote"))?;
        self.at = end;
        Ok(has_escapes)
    }

    fn skip_nested(&mut self) -> Result<(), Error> {
        let end = nested_end(self.text.as_bytes(), self.at);
        self.at = end.ok_or_else(|| self.error("expected a bracket"))?;
        Ok(())
    }

    /// Goes over a number, `true`, `false` or `null`.
    fn skip_word(&mut self) {
        let rest = self.text.as_bytes().iter().skip(self.at);
        let in_word =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        self.at += rest.take_while(in_word).count();
    }

    /// Reads what is neither string, object nor list.
    fn word<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let start = self.at;
        self.skip_word();
        match self.text_since(start)? {
            "null" => visitor.visit_unit(),
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            number => serde_json::from_str::<serde_json::Number>(number)?.deserialize_any(visitor),
        }
    }

    fn text_since(&self, start: usize) -> Result<&'de str, Error> {
        let text = self
            .text
            .get(start..self.at)
            .filter(|text| !text.is_empty());
        text.ok_or_else(|| self.error("expected a value"))
    }

    fn error(&self, what: impl fmt::Display) -> Error {
        Error::custom(format_args!("{what} at byte {}", self.at))
    }
}

/// Where the string ends whose text begins at `at`, and whether it has escapes.
fn string_end(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut has_escapes = false;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)? + 1;
        if text.get(at - 1) == Some(&b'"') {
            return Some((at, has_escapes));
        }
        at += 1; // a quote or a backslash here is one of the text
        has_escapes = true;
    }
}

/// Where the object or list ends that begins at `at`.
fn nested_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut open = 0_usize;
    loop {
        let byte = *text.get(at)?;
        at += 1;
        match byte {
            b'"' => (at, _) = string_end(text, at)?,
            b'{' | b'[' => open += 1,
            b'}' | b']' if open == 1 => return Some(at),
            b'}' | b']' => open -= 1,
            _ => {}
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => match self.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Some(b'{') => self.nested(b'}', |entries| visitor.visit_map(entries)),
            Some(b'[') => self.nested(b']', |elements| visitor.visit_seq(elements)),
            _ => self.word(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'n') => self.word(visitor),
            _ => visitor.visit_some(self),
        }
    }

    /// A variant is its name, or an object with its name as the one key.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => visitor.visit_enum(CowStrDeserializer::new(self.string()?)),
            _ => self.object(|entries| visitor.visit_enum(MapAccessDeserializer::new(entries))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// What is left of an object or a list.
pub(crate) struct Items<'a, 'de> {
    /// Before an item; after a key, before its value.
    pub reader: &'a mut Reader<'de>,
    /// The bracket that ends it.
    close: u8,
    is_first: bool,
}

impl Items<'_, '_> {
    /// Goes over the comma before an item, if there is one.
    fn has_next(&mut self) -> Result<bool, Error> {
        let is_first = core::mem::take(&mut self.is_first);
        match self.reader.peek() {
            Some(byte) if byte == self.close => Ok(false),
            Some(_) if is_first => Ok(true),
            Some(b',') => {
                self.reader.at += 1;
                Ok(true)
            }
            _ => Err(self.reader.error("expected a comma or a bracket")),
        }
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.has_next()? {
            return Ok(None);
        }
        if self.reader.peek() != Some(b'"') {
            return Err(self.reader.error("expected a key"));
        }
        let key = seed.deserialize(&mut *self.reader)?;
        if self.reader.peek() != Some(b':') {
            return Err(self.reader.error("expected a colon"));
        }
        self.reader.at += 1;
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        match self.has_next()? {
            true => seed.deserialize(&mut *self.reader).map(Some),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
        ];
        let text = prop_oneof![any::<String>(), r#"[\\"{}\[\]:, é\n]{0,6}"#];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Sample {
        number: Option<u16>,
        list: Vec<Choice>,
        map: BTreeMap<String, f64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Choice {
        Unit,
        Of(String),
        Pair(u8, i8),
        Named { of: bool },
    }

    /// One character of a text is another.
    fn with_other_char(text: &str, at: prop::sample::Index, other: char) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        chars[at] = other;
        chars.into_iter().collect()
    }

    proptest! {
        #[test]
        fn what_serde_json_can_read_is_read_as_it_reads_it_and_as_far(
            value in value(),
            pretty: bool,
            at: prop::sample::Index,
            other in prop_oneof![any::<char>(), Just('"'), Just('\\'), Just('}'), Just(',')],
        ) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&value).unwrap(),
                false => serde_json::to_string(&value).unwrap(),
            };
            prop_assert_eq!(Reader::new(text.as_bytes()).unwrap().skip().unwrap(), &text);
            for text in [with_other_char(&text, at, other), text] {
                if let Ok(theirs) = serde_json::from_str::<Value>(&text) {
                    prop_assert_eq!(from_slice::<Value>(text.as_bytes()).unwrap(), theirs);
                }
                let _ = from_slice::<Value>(text.as_bytes());
            }
        }

        #[test]
        fn any_text_gives_a_value_or_an_error(text: Vec<u8>) {
            let _ = from_slice::<Value>(&text);
            let _ = from_slice::<Sample>(&text);
            let _ = Reader::new(&text).map(|mut reader| reader.skip().map(str::len));
        }
    }

    #[test]
    fn types_are_read_as_serde_json_reads_them() {
        let texts = [
            r#"{"number":7,"list":["Unit",{"Of":"\u00e9\""},{"Pair":[1,-1]}]}"#,
            r#"{"list":[{"Named":{"of":true}}]}"#,
            r#" { "number" : null , "map" : { "a" : 1e3 , "b" : -2, "c":18446744073709551616 } } "#,
            r#"{"number":70000}"#,
            r#"{"number":"7"}"#,
            r#"{"list":[{"Of":"a","Pair":[1,2]}]}"#,
            r#"{"list":[{"Pair":[1,2,3]}]}"#,
            r#"{"list":["Of"]}"#,
            r#"{"list":[{}]}"#,
            r#"{"list":[,"Unit"]}"#,
            r#"{"list":["Unit",]}"#,
            r#"{"list":["Unit" "Unit"]}"#,
            r#"{"list":["Unit"}"#,
            r#"{"number" 7}"#,
            r#"{"number":7}x"#,
            r#"{"number":01}"#,
            r#"{1:2}"#,
            r#"{"list":nul}"#,
            "{",
            "\"a",
            "",
        ];
        for text in texts {
            let ours = from_slice::<Sample>(text.as_bytes());
            assert_eq!(ours.ok(), serde_json::from_str(text).ok(), "{text}");
        }
    }

    #[test]
    fn none_overflows_the_stack() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(from_slice::<Value>(deep.as_bytes()).is_err());
        assert_eq!(Reader::new(deep.as_bytes()).unwrap().skip().unwrap(), deep);
        let (deep, expected) = (0..127).fold((String::new(), json!(0)), |(text, value), _| {
            (format!("{text}["), json!([value]))
        });
        let deep = format!("{deep}0{}", "]".repeat(127));
        assert_eq!(from_slice::<Value>(deep.as_bytes()).unwrap(), expected);
    }
}
