//! JSON trees whose versions share what they have in common.
//!
//! An object in the API server has many versions, and each differs from the one before in little: a
//! condition, a renew time, one field's owner. A [`Value`] is a copy-on-write tree: a clone costs a
//! counter, a change copies the path from the root to what changes, and two versions of an object
//! hold the rest in common. Whoever compares them ([`PartialEq`], the ledger of field owners, the
//! check of a patched object) passes over what is common without looking inside.
//!
//! Apart from that it reads like `serde_json::Value`, which is what the rest of Wavetank uses for
//! JSON that is written or read once.
//!
//! 1. Changing a clone never changes the original.
//! 2. The keys of a map are in order, so the same object is the same text.
//! 3. [`Value::is_same`] implies equality; the reverse does not hold.
//!
//! Book: `book/src/ground/trees.md`.

mod convert;
mod index;
mod map;
mod read;
mod write;

use core::fmt;

use ecow::EcoVec;
pub use serde_json::Number;
pub use smol_str::SmolStr as Text;

pub use map::{Entry, Map};
pub use read::{read, text_of};
pub use write::write_fields;

#[doc(hidden)]
pub use serde_json as __serde_json;

/// The items of an array.
pub type List = EcoVec<Value>;

/// A JSON value.
#[derive(Clone, Default, Eq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number: an integer of 64 bits, signed or not, or a float.
    Number(Number),
    /// A string; up to 23 bytes of it lie in place.
    String(Text),
    /// An array.
    Array(List),
    /// An object.
    Object(Map),
}

/// A [`Value`] written as JSON, with Rust expressions in it.
#[macro_export]
macro_rules! json {
    ($($json:tt)+) => {
        $crate::json::Value::from($crate::json::__serde_json::json!($($json)+))
    };
}
pub use crate::json;

impl Value {
    // ANCHOR: same
    /// Whether both are one piece of memory, or equal scalars. Never looks inside
    /// arrays and maps.
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Array(a), Value::Array(b)) => is_same_list(a, b),
            (Value::Object(a), Value::Object(b)) => a.is_same(b),
            (Value::Array(_) | Value::Object(_), _) => false,
            (a, b) => a == b,
        }
    }
    // ANCHOR_END: same

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether it is a boolean.
    pub fn is_boolean(&self) -> bool {
        matches!(self, Value::Bool(_))
    }

    /// Whether it is a number.
    pub fn is_number(&self) -> bool {
        matches!(self, Value::Number(_))
    }

    /// Whether it is a string.
    pub fn is_string(&self) -> bool {
        matches!(self, Value::String(_))
    }

    /// Whether it is an array.
    pub fn is_array(&self) -> bool {
        matches!(self, Value::Array(_))
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Value::Object(_))
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The number as `i64`, if it is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number().and_then(Number::as_i64)
    }

    /// The number as `u64`, if it is an integer that fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number().and_then(Number::as_u64)
    }

    /// The number as `f64`.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().and_then(Number::as_f64)
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is an array.
    pub fn as_array(&self) -> Option<&List> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The items to change, if it is an array.
    pub fn as_array_mut(&mut self) -> Option<&mut List> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The items to change in place; none if it is no array.
    pub fn items_mut(&mut self) -> &mut [Value] {
        match self {
            Value::Array(items) => items.make_mut(),
            _ => &mut [],
        }
    }

    /// The fields, if it is an object.
    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Value::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The fields to change, if it is an object.
    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The value itself; `null` is left in its place.
    pub fn take(&mut self) -> Value {
        core::mem::take(self)
    }
}

/// Whether two arrays are one piece of memory.
fn is_same_list(a: &List, b: &List) -> bool {
    a.len() == b.len() && a.as_ptr() == b.as_ptr()
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => is_same_list(a, b) || a == b,
            (Value::Object(a), Value::Object(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Display for Value {
    /// Compact JSON; with `{:#}`, indented.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if out.alternate() {
            let text = serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?;
            return out.write_str(&text);
        }
        let mut text = Vec::new();
        self.write(&mut text);
        out.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests;
