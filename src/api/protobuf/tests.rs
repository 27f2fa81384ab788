//! Claims about binary bodies, from what real kubectl sent.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::json;
use proptest::prelude::*;

use super::*;
use crate::schema::{Shape, short};
use crate::strict::Encoding;

static RECORDED: &str = include_str!("recorded.txt");

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// (JSON, protobuf) of the same command.
fn recorded() -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<_> = RECORDED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    lines
        .chunks(2)
        .map(|pair| (pair[0], unhex(pair[1])))
        .collect()
}

#[test]
fn recorded_bodies_are_the_same_in_both() {
    let bodies = recorded();
    assert_eq!(bodies.len(), 14);
    for (json, binary) in bodies {
        let value = decode(&binary).unwrap();
        let (api_version, kind) = (value["apiVersion"].as_str(), value["kind"].as_str());
        let (api_version, kind) = (api_version.unwrap(), kind.unwrap());
        let ty = match KindId::by_kind(api_version, kind) {
            Some(id) => Schema::builtin().kind(id),
            None => Schema::builtin().virtual_kind(VirtualId::by_kind(api_version, kind).unwrap()),
        };
        let expected = strict::decode_as(json.as_bytes(), Encoding::Json, ty).unwrap();
        assert_eq!(expected.complaints, Vec::<String>::new());
        assert_eq!(value, expected.value, "{json}");
    }
}

#[test]
fn the_rows_name_fields_of_the_schema_and_no_type_contains_itself() {
    let schema = Schema::builtin();
    let rows = messages::rows();
    for (name, id) in schema.definitions() {
        let row = rows.get(short(name)).cloned().unwrap_or_default();
        for word in row.iter().filter(|word| !word.starts_with('^')) {
            let (field, number) = word.split_once('=').unwrap();
            assert!(schema.field(id, field).is_some(), "{name}.{field}");
            let number: u64 = number.trim_end_matches('!').parse().unwrap();
            assert!(messages::of(id).unwrap().target(number).is_some());
        }
        assert!(!contains(schema, id, id, 0), "{name}");
    }
    for id in KindId::all() {
        let ty = schema.kind(id);
        assert!(messages::of(ty).is_some(), "{id}");
        every_struct_has_a_message(schema, ty);
    }
}

fn every_struct_has_a_message(schema: &Schema, ty: TypeId) {
    for field in schema.fields(ty) {
        let inner = schema.element(field.ty).unwrap_or(field.ty);
        if schema.shape(inner) == Shape::Struct {
            assert!(messages::of(inner).is_some(), "{}", schema.get(inner).name);
            every_struct_has_a_message(schema, inner);
        }
    }
}

fn contains(schema: &Schema, outer: TypeId, wanted: TypeId, depth: usize) -> bool {
    assert!(depth < 40, "deeper than any type is");
    schema.fields(outer).iter().any(|field| {
        let inner = schema.element(field.ty).unwrap_or(field.ty);
        inner == wanted || contains(schema, inner, wanted, depth + 1)
    })
}

/// A tag and a run of bytes.
fn run(number: u16, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128);
    let tag = number << 3 | 2;
    let tag = match tag {
        0..128 => vec![tag as u8],
        _ => vec![tag as u8 | 0x80, (tag >> 7) as u8],
    };
    [&tag[..], &[bytes.len() as u8], bytes].concat()
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [run(1, api_version.as_bytes()), run(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), run(1, &meta), run(2, raw)].concat()
}

#[test]
fn scalars_that_are_messages_become_scalars() {
    let time = run(8, &[8, 0xa5, 0xeb, 0xdc, 0xca, 6, 16, 0]);
    let managed = run(17, &run(7, &run(1, br#"{"f:a":{}}"#)));
    let metadata = run(1, &[run(1, b"web"), time, managed].concat());
    let spec = run(2, &[1 << 3, 1, 9 << 3, 0, 7 << 3, 0]);
    let value = decode(&body("apps/v1", "Deployment", &[metadata, spec].concat())).unwrap();
    let expected = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "creationTimestamp": "2026-01-02T03:04:05Z",
            "managedFields": [{"fieldsV1": {"f:a": {}}}],
        },
        "spec": {"replicas": 1, "progressDeadlineSeconds": 0},
    });
    assert_eq!(value, expected);
}

#[test]
fn delete_options_carry_their_preconditions() {
    let raw = [
        &[1 << 3, 0][..],
        &run(2, &run(1, b"u1")),
        &run(4, b"Foreground"),
    ]
    .concat();
    let value = decode(&body("apps/v1", "DeleteOptions", &raw)).unwrap();
    let expected = json!({
        "apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u1"}, "propagationPolicy": "Foreground",
    });
    assert_eq!(value, expected);
}

#[test]
fn what_is_damaged_is_refused_by_name() {
    assert_eq!(decode(b"{}"), Err(Error::NotProtobuf));
    assert_eq!(decode(b"k8s\0\x0a\x05"), Err(Error::Truncated));
    assert_eq!(
        decode(b"k8s\0\x0b"),
        Err(Error::IllegalTag { number: 1, wire: 3 })
    );
    assert_eq!(
        decode(&[&MAGIC[..], &[0xff; 11]].concat()),
        Err(Error::Overflow)
    );
    let unknown = decode(&body("v1", "Ghost", b"")).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "no kind \"Ghost\" is registered for version \"v1\""
    );
    let wrong = decode(&body("v1", "Pod", &[1 << 3, 7])).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "proto: wrong wireType = 0 for field metadata"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_value_or_an_error(raw in prop::collection::vec(any::<u8>(), 0..120)) {
        for kind in ["Pod", "Node", "Service", "Event", "Secret"] {
            if let Ok(value) = decode(&body("v1", kind, &raw)) {
                prop_assert!(value.to_string().len() < 100 * (raw.len() + 40));
            }
        }
    }

    #[test]
    fn damaged_bodies_are_a_value_or_an_error(
        which in 0_usize..14,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let (_, mut binary) = recorded().swap_remove(which);
        let at = at.index(binary.len());
        binary[at] = byte;
        if cut {
            binary.truncate(at);
        }
        let _ = decode(&binary);
    }
}
