//! The tree against `serde_json::Value`, which is the same without sharing.
//!
//! Book: `book/src/ground/trees.md`.

use proptest::prelude::*;

use super::*;

/// Any JSON, three levels deep, with few keys so that they meet.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1_000_000..1_000_000).prop_map(|eighths| (f64::from(eighths) / 8.0).into()),
        "[a-z\"\\\\\u{e9}\n]{0,40}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec(("[abc]{0,2}", inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn it_reads_and_writes_as_serde_json_does(json in any_json()) {
        let text = json.to_string();
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(value.to_string(), text.as_str());
        prop_assert_eq!(serde_json::to_string(&value).unwrap(), text);
        prop_assert_eq!(&Value::from(json.clone()), &value);
        prop_assert_eq!(serde_json::Value::from(value), json);
    }

    #[test]
    fn equality_is_that_of_the_text(a in any_json(), b in any_json()) {
        let (x, y) = (Value::from(a.clone()), Value::from(b.clone()));
        prop_assert_eq!(x == y, a == b);
        prop_assert!(!x.is_same(&y) || x == y);
        prop_assert!(x.is_same(&x.clone()));
    }

    #[test]
    fn a_map_is_a_map(
        steps in prop::collection::vec(("[abc]{1,2}", prop::option::of(0_i64..9)), 0..30)
    ) {
        let (mut map, mut model) = (Map::new(), std::collections::BTreeMap::new());
        for (key, value) in steps {
            let before = map.clone();
            let text = before.clone().into_iter().collect::<Value>().to_string();
            match value {
                Some(value) => prop_assert_eq!(
                    map.insert(key.as_str(), value.into()),
                    model.insert(key.clone(), value).map(Value::from)
                ),
                None => prop_assert_eq!(map.remove(&key), model.remove(&key).map(Value::from)),
            }
            prop_assert_eq!(map.get(&key).and_then(Value::as_i64), model.get(&key).copied());
            // What was cloned does not hear of it.
            prop_assert_eq!(Value::Object(before).to_string(), text);
        }
        let pairs = model.into_iter().map(|(key, value)| (key, Value::from(value)));
        prop_assert_eq!(map, pairs.collect());
    }
}

#[test]
fn a_change_copies_the_path_to_it_and_shares_the_rest() {
    let old = json!({"spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Pending"}});
    let mut new = old.clone();
    assert!(new.is_same(&old));
    new["status"]["phase"] = "Running".into();
    assert!(!new.is_same(&old));
    assert!(new["spec"].is_same(&old["spec"]));
    assert_eq!(old["status"]["phase"], "Pending");
}

#[test]
fn pointers_are_those_of_rfc_6901() {
    let value = json!({"a/b": [10, {"m~n": 1}], "": 2});
    assert_eq!(value.pointer("/a~1b/0"), Some(&10.into()));
    assert_eq!(value.pointer("/a~1b/1/m~0n"), Some(&1.into()));
    assert_eq!(value.pointer("/"), Some(&2.into()));
    assert_eq!(value.pointer(""), Some(&value));
    for none in ["a", "/a~1b/01", "/a~1b/+1", "/a~1b/2", "/x"] {
        assert_eq!(value.pointer(none), None, "{none}");
    }
}
