//! Fields to JSON values, by the shape the schema gives them.
//!
//! Depth is bounded by the types: none of them contains itself, and a test says so. Free-form JSON
//! inside a message has serde_json's own bound.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::{List, Map, Value};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::messages::{self, Message, Target};
use super::reader::{Reader, Wire};
use super::{Error, text_of};
use crate::Time;
use crate::schema::{Schema, Shape, TypeId};
use crate::strict::{self, Encoding};

// ANCHOR: message
/// Decodes a message into `object`. Numbers without a field are passed over, as Go
/// does: they come from a newer client.
pub(super) fn message(bytes: &[u8], of: &Message, into: &mut Map) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        match of.target(number) {
            Some(Target::Field {
                name,
                ty,
                keep_zero,
            }) => {
                field(into, name, *ty, *keep_zero, wire)?;
            }
            Some(Target::Inline(inline)) => {
                message(run(wire, "inline")?, inline, into)?;
            }
            None => {}
        }
    }
    Ok(())
}
// ANCHOR_END: message

/// Decodes one field into its object. A repeated field comes once per item, a map once per entry,
/// a struct that comes twice is merged; of scalars the last wins.
fn field(
    object: &mut Map,
    name: &str,
    ty: TypeId,
    keep_zero: bool,
    wire: Wire,
) -> Result<(), Error> {
    match Schema::builtin().shape(ty) {
        Shape::List(element) => {
            if let Value::Array(list) = slot(object, name, || Value::Array(List::new())) {
                items(list, name, element, wire)?;
            }
        }
        Shape::Map(element) => {
            if let Value::Object(map) = slot(object, name, || Value::Object(Map::new())) {
                let (key, value) = entry(name, element, run(wire, name)?)?;
                map.insert(key, value);
            }
        }
        Shape::Struct => {
            let inner = run(wire, name)?;
            if let Value::Object(map) = slot(object, name, || Value::Object(Map::new()))
                && let Some(message) = messages::of(ty)
            {
                self::message(inner, message, map)?;
            }
        }
        _ => match single(name, ty, wire)? {
            Some(value) if keep_zero || !is_zero(&value) => {
                object.insert(name, value);
            }
            _ => {
                object.remove(name);
            }
        },
    }
    Ok(())
}

/// The list, map or struct that is being filled: what is there already, or an empty one.
fn slot<'a>(object: &'a mut Map, name: &str, empty: fn() -> Value) -> &'a mut Value {
    object.entry(name).or_insert_with(empty)
}

/// One item of a list, or many when numbers come packed.
fn items(list: &mut List, name: &str, element: TypeId, wire: Wire) -> Result<(), Error> {
    let shape = Schema::builtin().shape(element);
    let is_number = matches!(shape, Shape::Bool | Shape::Int32 | Shape::Int64);
    if let (true, Wire::Bytes(packed)) = (is_number, wire) {
        let mut reader = Reader::new(packed);
        while !reader.is_empty() {
            let number = Wire::Varint(reader.varint()?);
            list.extend(single(name, element, number)?);
        }
        return Ok(());
    }
    list.push(whole(name, element, wire)?);
    Ok(())
}

/// A map entry is a message of key (1) and value (2); either may be left out when it is zero.
fn entry(name: &str, element: TypeId, bytes: &[u8]) -> Result<(String, Value), Error> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => key = text_of(run(wire, name)?),
            2 => value = Some(value_of_entry(name, element, wire)?),
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        None => value_of_entry(name, element, Wire::Bytes(&[]))?,
    };
    Ok((key, value))
}

/// The value of a map entry. Where JSON has a list there, protobuf has a message of one repeated
/// field (`ExtraValue`).
fn value_of_entry(name: &str, ty: TypeId, wire: Wire) -> Result<Value, Error> {
    let Shape::List(element) = Schema::builtin().shape(ty) else {
        return whole(name, ty, wire);
    };
    let mut list = List::new();
    let mut reader = Reader::new(run(wire, name)?);
    while let Some((number, wire)) = reader.tag()? {
        if number == 1 {
            items(&mut list, name, element, wire)?;
        }
    }
    Ok(Value::Array(list))
}

/// A value that stands by itself.
fn whole(name: &str, ty: TypeId, wire: Wire) -> Result<Value, Error> {
    if Schema::builtin().shape(ty) == Shape::Struct {
        let mut object = Map::new();
        if let Some(message) = messages::of(ty) {
            self::message(run(wire, name)?, message, &mut object)?;
        }
        return Ok(Value::Object(object));
    }
    Ok(single(name, ty, wire)?.unwrap_or(Value::Null))
}

/// A value of a scalar type, or of a message that is a scalar in JSON; `None` for a zero time.
fn single(name: &str, ty: TypeId, wire: Wire) -> Result<Option<Value>, Error> {
    let wrong = || Error::WrongWire {
        wire: wire.number(),
        field: name.to_string(),
    };
    Ok(Some(match (Schema::builtin().shape(ty), wire) {
        (Shape::Bool, Wire::Varint(number)) => Value::Bool(number != 0),
        (Shape::Int32, Wire::Varint(number)) => Value::from(number as i32),
        (Shape::Int64, Wire::Varint(number)) => Value::from(number as i64),
        (Shape::Float, Wire::Fixed64(bits)) => Value::from(f64::from_bits(bits)),
        (Shape::String, Wire::Bytes(bytes)) => text_of(bytes).into(),
        (Shape::Bytes, Wire::Bytes(bytes)) => BASE64_STANDARD.encode(bytes).into(),
        (Shape::Time, Wire::Bytes(bytes)) => return time(bytes, Time::to_rfc3339),
        (Shape::MicroTime, Wire::Bytes(bytes)) => return time(bytes, Time::to_rfc3339_micros),
        (Shape::Quantity, Wire::Bytes(bytes)) => quantity(bytes)?.into(),
        (Shape::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
        (Shape::Any, Wire::Bytes(bytes)) => return free_form(bytes),
        _ => return Err(wrong()),
    }))
}

fn run<'a>(wire: Wire<'a>, name: &str) -> Result<&'a [u8], Error> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        _ => Err(Error::WrongWire {
            wire: wire.number(),
            field: name.to_string(),
        }),
    }
}

/// What Go's `omitempty` leaves out. Quantities and the like are structs there, and stay.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// `metav1.Time` is seconds (1) and nanoseconds (2); an empty message is the zero time.
fn time(bytes: &[u8], write: fn(Time) -> String) -> Result<Option<Value>, Error> {
    let (mut seconds, mut nanos) = (0_i64, 0_i32);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (1, Wire::Varint(number)) => seconds = number as i64,
            (2, Wire::Varint(number)) => nanos = number as i32,
            _ => {}
        }
    }
    let micros = seconds
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(nanos / 1_000));
    Ok((!bytes.is_empty()).then(|| write(Time::from_micros(micros)).into()))
}

fn quantity(bytes: &[u8]) -> Result<String, Error> {
    let mut text = String::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        if let (1, Wire::Bytes(bytes)) = (number, wire) {
            text = text_of(bytes);
        }
    }
    Ok(text)
}

/// `intstr.IntOrString` is which (1: 0 number, 1 text), the number (2) and the text (3).
fn int_or_string(bytes: &[u8]) -> Result<Value, Error> {
    let (mut is_text, mut number_is, mut text) = (false, 0_i32, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (1, Wire::Varint(which)) => is_text = which == 1,
            (2, Wire::Varint(number)) => number_is = number as i32,
            (3, Wire::Bytes(bytes)) => text = text_of(bytes),
            _ => {}
        }
    }
    Ok(if is_text {
        text.into()
    } else {
        Value::from(number_is)
    })
}

/// `FieldsV1` and `RawExtension`: JSON (1) within the message.
fn free_form(bytes: &[u8]) -> Result<Option<Value>, Error> {
    let mut reader = Reader::new(bytes);
    let mut value = None;
    while let Some((number, wire)) = reader.tag()? {
        if let (1, Wire::Bytes(json)) = (number, wire) {
            value = Some(strict::parse(json, Encoding::Json)?.0);
        }
    }
    Ok(value)
}
