//! Laws of sets, over generated paths.
//!
//! Book: `book/src/control-plane/patch.md`.

use std::collections::BTreeSet;

use crate::json::json;
use proptest::prelude::*;

use super::*;

type Path = Vec<String>;

fn paths() -> impl Strategy<Value = BTreeSet<Path>> {
    let element = prop::sample::select(vec!["f:a", "f:b", "k:{\"name\":\"x\"}", "v:1"]);
    let path = prop::collection::vec(element.prop_map(str::to_owned), 1..4);
    prop::collection::btree_set(path, 0..8)
}

fn set(paths: &BTreeSet<Path>) -> Set {
    let mut set = Set::default();
    paths.iter().for_each(|path| set.insert(path));
    set
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), Just(json!({})), Just(json!(1))];
    let key = "(\\.|f:a|f:|k:\\{\"a\":1\\}|k:\\{|k:1|v:1|v:|i:1|i:x|z:1|\\PC{0,3})";
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop::collection::btree_map(key, inner, 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    })
}

proptest! {
    #[test]
    fn sets_obey_the_laws(a in paths(), b in paths()) {
        let (x, y) = (set(&a), set(&b));
        let mut union = x.clone();
        union.unite(&y);
        prop_assert_eq!(&union, &set(&(&a | &b)));
        let mut difference = x.clone();
        difference.subtract(&y);
        prop_assert_eq!(&difference, &set(&(&a - &b)));
        let mut intersection = x.clone();
        intersection.intersect(&y);
        prop_assert_eq!(&intersection, &set(&(&a & &b)));
        prop_assert_eq!(x.meets(&y), !intersection.is_empty());
        let mut deep = x.clone();
        deep.subtract_deep(&y);
        let is_below = |path: &Path| b.iter().any(|above| path.starts_with(above));
        let left = a.iter().filter(|path| !is_below(path)).cloned().collect();
        prop_assert_eq!(&deep, &set(&left));
        for path in a.iter().chain(&b) {
            prop_assert_eq!(x.contains(path), a.contains(path));
        }
        prop_assert_eq!(x.paths().len(), a.len());
    }

    #[test]
    fn a_set_reads_back_as_it_was_written(a in paths()) {
        let value = set(&a).into_value();
        let text = value.to_string();
        let read = Set::parse(&serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(&read, &set(&a));
        prop_assert_eq!(read, Set::trusted(value));
    }

    #[test]
    fn any_json_is_a_set_or_an_error(value in json()) {
        if let Ok(set) = Set::parse(&value) {
            prop_assert_eq!(Set::parse(&set.clone().into_value()).unwrap(), set);
        }
    }
}

#[test]
fn paths_print_as_upstream_prints_them() {
    let value = json!({
        "f:spec": {
            "f:replicas": {},
            "f:ports": {
                ".": {},
                "k:{ \"protocol\":\"TCP\", \"containerPort\":80 }": {".": {}, "f:name": {}},
            },
        },
        "f:metadata": {"f:finalizers": {"v:\"a\"": {}}},
        "z:unknown": {},
    });
    let expected = [
        ".metadata.finalizers[=\"a\"]",
        ".spec.ports",
        ".spec.replicas",
        ".spec.ports[containerPort=80,protocol=\"TCP\"]",
        ".spec.ports[containerPort=80,protocol=\"TCP\"].name",
    ];
    assert_eq!(Set::parse(&value).unwrap().paths(), expected);
}
