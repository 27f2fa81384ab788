//! Ways into a value: by key, by place, by JSON pointer.
//!
//! Book: `book/src/ground/trees.md`.

use core::ops;

use super::{Map, Text, Value};

/// What finds a value in another: a key in an object, a place in an array.
pub trait Index {
    /// The value there.
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value>;
    /// The value there, to change.
    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value>;
    /// The value there, to change; a field that is missing is made.
    fn find_or_make<'a>(&self, value: &'a mut Value) -> &'a mut Value;
}

impl Index for str {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.as_object()?.get(self)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        value.as_object_mut()?.get_mut(self)
    }

    fn find_or_make<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        match value {
            Value::Object(fields) => fields.entry(self).or_insert(Value::Null),
            _ => panic!("no field {self:?} in {value}"),
        }
    }
}

impl Index for usize {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.as_array()?.get(*self)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        value.items_mut().get_mut(*self)
    }

    fn find_or_make<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        &mut value.items_mut()[*self]
    }
}

macro_rules! index_as_str {
    ($($text:ty)*) => { $(
        impl Index for $text {
            fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
                Index::find(self.as_str(), value)
            }

            fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
                Index::find_mut(self.as_str(), value)
            }

            fn find_or_make<'a>(&self, value: &'a mut Value) -> &'a mut Value {
                Index::find_or_make(self.as_str(), value)
            }
        }
    )* };
}
index_as_str!(String Text);

impl<I: Index + ?Sized> Index for &I {
    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        (**self).find(value)
    }

    fn find_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        (**self).find_mut(value)
    }

    fn find_or_make<'a>(&self, value: &'a mut Value) -> &'a mut Value {
        (**self).find_or_make(value)
    }
}

impl Value {
    /// The value at a key or a place; `None` when it is not there.
    pub fn get(&self, index: impl Index) -> Option<&Value> {
        index.find(self)
    }

    /// The value at a key or a place, to change.
    pub fn get_mut(&mut self, index: impl Index) -> Option<&mut Value> {
        index.find_mut(self)
    }

    /// The value at a JSON pointer (RFC 6901); the empty one is the value itself.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let mut found = self;
        for step in steps(pointer)? {
            found = match found {
                Value::Object(fields) => fields.get(&unescaped(step)),
                Value::Array(items) => items.get(place(step)?),
                _ => None,
            }?;
        }
        Some(found)
    }

    /// The value at a JSON pointer, to change.
    pub fn pointer_mut(&mut self, pointer: &str) -> Option<&mut Value> {
        let mut found = self;
        for step in steps(pointer)? {
            found = match found {
                Value::Object(fields) => fields.get_mut(&unescaped(step)),
                Value::Array(items) => items.make_mut().get_mut(place(step)?),
                _ => None,
            }?;
        }
        Some(found)
    }
}

fn steps(pointer: &str) -> Option<impl Iterator<Item = &str>> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    Some(pointer.split('/').skip(1))
}

fn unescaped(step: &str) -> std::borrow::Cow<'_, str> {
    match step.contains('~') {
        true => step.replace("~1", "/").replace("~0", "~").into(),
        false => step.into(),
    }
}

/// A place in an array: digits, no sign, no leading zero.
fn place(step: &str) -> Option<usize> {
    let is_plain = !step.starts_with('+') && (step == "0" || !step.starts_with('0'));
    is_plain.then(|| step.parse().ok()).flatten()
}

static NULL: Value = Value::Null;

impl<I: Index> ops::Index<I> for Value {
    type Output = Value;

    /// The value at a key or a place, `null` when it is not there.
    fn index(&self, index: I) -> &Value {
        index.find(self).unwrap_or(&NULL)
    }
}

impl<I: Index> ops::IndexMut<I> for Value {
    /// The value at a key or a place. A missing field is made, and `null` becomes an object.
    ///
    /// # Panics
    /// When there can be no such value, as with `serde_json::Value`.
    fn index_mut(&mut self, index: I) -> &mut Value {
        index.find_or_make(self)
    }
}

impl ops::Index<&str> for Map {
    type Output = Value;

    /// The field of this name, `null` when it is not there.
    fn index(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&NULL)
    }
}
