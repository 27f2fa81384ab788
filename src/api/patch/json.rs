//! JSON Patch: a list of operations on places named by pointers (RFC 6902).
//!
//! `kubectl rollout undo` and `kubectl patch --type=json` send it. What RFC 6902 leaves open
//! follows upstream's library (`evanphx/json-patch` v4): an index may be negative and then counts
//! from the end, and a `test` for null holds where nothing is.
//!
//! 1. All operations are carried out or none is: `a_failing_operation_changes_nothing`.
//! 2. No patch makes it panic: `any_patch_is_an_answer_or_a_refusal`.
//! 3. A small patch makes no object that is large or deep out of all proportion:
//!    `copies_cannot_make_much_of_little`.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{Map, Value};

use super::{decode, go_json_type, unprocessable};
use crate::status::Status;

/// The most operations a patch may have (`maxJSONPatchOperations`).
const OPERATIONS_MAX: usize = 10_000;
/// The most that copies may add to an object, in bytes of JSON (`JSONPatchMaxCopyBytes`).
const COPIED_MAX: usize = 3 * 1024 * 1024;
/// Objects and lists within each other: as many as can be read back.
const DEPTH_MAX: usize = 127;

/// Applies the patch in `body` to `object`.
///
/// A body that is no patch is refused with 400, too many operations with 413, and an operation that
/// does not fit the object with 422.
pub fn apply(mut object: Value, body: &[u8]) -> Result<Value, Status> {
    let operations = read(body)?;
    let mut copied = 0;
    for operation in &operations {
        carry_out(&mut object, operation, &mut copied).ok_or_else(unprocessable)?;
    }
    Ok(object)
}

fn read(body: &[u8]) -> Result<Vec<Map>, Status> {
    let mismatch = |value: &Value, wanted: &str| {
        let found = go_json_type(value);
        Status::bad_request(format!(
            "json: cannot unmarshal {found} into Go value of type jsonpatch.{wanted}"
        ))
    };
    let items = match decode(body)? {
        Value::Array(items) => items,
        other => return Err(mismatch(&other, "Patch")),
    };
    if items.len() > OPERATIONS_MAX {
        return Err(Status::request_entity_too_large(&format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            items.len()
        )));
    }
    let as_operation = |item| match item {
        Value::Object(operation) => Ok(operation),
        other => Err(mismatch(&other, "Operation")),
    };
    items.into_iter().map(as_operation).collect()
}

/// `None` when the operation does not fit, or makes too much of too little.
fn carry_out(object: &mut Value, operation: &Map, copied: &mut usize) -> Option<()> {
    let path = operation.get("path")?.as_str()?;
    let value = || operation.get("value").cloned().unwrap_or_default();
    let from = || operation.get("from").and_then(Value::as_str);
    match operation.get("op")?.as_str()? {
        "add" => add(object, path, value()),
        "remove" => remove(object, path).map(drop),
        "replace" => {
            let value = not_too_deep(path, value())?;
            *find(object, path)? = value;
            Some(())
        }
        "move" => {
            let moved = remove(object, from()?)?;
            add(object, path, moved)
        }
        "copy" => {
            let copy = find(object, from()?)?.clone();
            let mut text = Vec::new();
            copy.write(&mut text);
            *copied += text.len();
            (*copied <= COPIED_MAX).then(|| add(object, path, copy))?
        }
        "test" => {
            let wanted = value();
            let found = find(object, path).map_or(Value::Null, |found| found.clone());
            (found == wanted).then_some(())
        }
        _ => None,
    }
}

/// The steps of a pointer; `None` when it does not begin with a slash.
fn steps(pointer: &str) -> Option<impl DoubleEndedIterator<Item = String>> {
    let steps = pointer.strip_prefix('/')?.split('/');
    Some(steps.map(|step| step.replace("~1", "/").replace("~0", "~")))
}

/// The place of an item in a list of `len`: `-1` is the last one.
fn index(step: &str, len: usize) -> Option<usize> {
    match step.strip_prefix('-') {
        Some(back) => len.checked_sub(back.parse().ok()?),
        None => step.parse().ok(),
    }
}

fn descend<'a>(at: &'a mut Value, step: &str) -> Option<&'a mut Value> {
    match at {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(items) => {
            let index = index(step, items.len())?;
            items.make_mut().get_mut(index)
        }
        _ => None,
    }
}

fn find<'a>(object: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    if pointer.is_empty() {
        return Some(object);
    }
    steps(pointer)?.try_fold(object, |at, step| descend(at, &step))
}

/// What holds the place that a pointer names, and the pointer's last step.
fn parent<'a>(object: &'a mut Value, pointer: &str) -> Option<(&'a mut Value, String)> {
    let mut steps = steps(pointer)?;
    let last = steps.next_back()?;
    let holder = steps.try_fold(object, |at, step| descend(at, &step))?;
    Some((holder, last))
}

/// The value, if the object stays readable with it in this place.
fn not_too_deep(pointer: &str, value: Value) -> Option<Value> {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    (pointer.matches('/').count() + depth(&value) <= DEPTH_MAX).then_some(value)
}

fn add(object: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let value = not_too_deep(pointer, value)?;
    if pointer.is_empty() {
        *object = value;
        return Some(());
    }
    match parent(object, pointer)? {
        (Value::Object(fields), key) => {
            fields.insert(key, value);
        }
        (Value::Array(items), step) if step == "-" => items.push(value),
        (Value::Array(items), step) => {
            // Counting from the end, -1 is the place after the last item here.
            let index = index(&step, items.len() + usize::from(step.starts_with('-')))?;
            if index > items.len() {
                return None;
            }
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, pointer: &str) -> Option<Value> {
    match parent(object, pointer)? {
        (Value::Object(fields), key) => fields.remove(&key),
        (Value::Array(items), step) => {
            let index = index(&step, items.len())?;
            (index < items.len()).then(|| items.remove(index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;
    use proptest::prelude::*;

    fn patched(object: Value, patch: Value) -> Result<Value, u16> {
        apply(object, patch.to_string().as_bytes()).map_err(|status| status.code)
    }

    #[test]
    fn copies_cannot_make_much_of_little() {
        // Each copy makes the object twice as large: from a hundred bytes to two million.
        let object = json!({"a": {"text": "x".repeat(100)}});
        let doubled = |at: usize| json!({"op": "copy", "from": "/a", "path": format!("/a/{at}")});
        let patch = |times: usize| Value::from((0..times).map(doubled).collect::<Vec<_>>());
        assert!(patched(object.clone(), patch(14)).is_ok());
        assert_eq!(patched(object.clone(), patch(15)), Err(422));
        assert_eq!(patched(object, patch(60)), Err(422));

        let deeper = |steps: usize| {
            let path = "/a".repeat(steps);
            json!({"op": "add", "path": path, "value": {"a": {}}})
        };
        let chain = |steps: usize| Value::from((1..=steps).map(deeper).collect::<Vec<_>>());
        let deep = patched(json!({}), chain(125)).unwrap();
        assert!(serde_json::from_str::<Value>(&deep.to_string()).is_ok());
        assert_eq!(patched(json!({}), chain(126)), Err(422));
    }

    /// RFC 6902, appendix A.
    #[test]
    fn the_examples_of_rfc_6902_hold() {
        let cases = [
            (
                "A.1",
                json!({"foo": "bar"}),
                json!([{"op": "add", "path": "/baz", "value": 1}]),
                json!({"baz": 1, "foo": "bar"}),
            ),
            (
                "A.2",
                json!({"foo": [1, 3]}),
                json!([{"op": "add", "path": "/foo/1", "value": 2}]),
                json!({"foo": [1, 2, 3]}),
            ),
            (
                "A.3",
                json!({"a": 1, "b": 2}),
                json!([{"op": "remove", "path": "/a"}]),
                json!({"b": 2}),
            ),
            (
                "A.4",
                json!({"foo": [1, 2, 3]}),
                json!([{"op": "remove", "path": "/foo/1"}]),
                json!({"foo": [1, 3]}),
            ),
            (
                "A.5",
                json!({"a": 1}),
                json!([{"op": "replace", "path": "/a", "value": 2}]),
                json!({"a": 2}),
            ),
            (
                "A.6",
                json!({"a": {"x": 1}, "b": {}}),
                json!([{"op": "move", "from": "/a/x", "path": "/b/y"}]),
                json!({"a": {}, "b": {"y": 1}}),
            ),
            (
                "A.7",
                json!({"foo": [1, 2, 3]}),
                json!([{"op": "move", "from": "/foo/0", "path": "/foo/2"}]),
                json!({"foo": [2, 3, 1]}),
            ),
            (
                "A.14",
                json!({"/": 9, "~1": 10}),
                json!([{"op": "test", "path": "/~01", "value": 10}]),
                json!({"/": 9, "~1": 10}),
            ),
            (
                "A.16",
                json!({"foo": ["bar"]}),
                json!([{"op": "add", "path": "/foo/-", "value": ["abc"]}]),
                json!({"foo": ["bar", ["abc"]]}),
            ),
        ];
        for (section, object, patch, expected) in cases {
            assert_eq!(patched(object, patch), Ok(expected), "{section}");
        }
    }

    #[test]
    fn refusals_have_upstreams_codes_and_words() {
        let object = json!({"a": [1, 2]});
        for patch in [
            json!([{"op": "test", "path": "/a", "value": 1}]),
            json!([{"op": "remove", "path": "/b"}]),
            json!([{"op": "replace", "path": "/b", "value": 1}]),
            json!([{"op": "add", "path": "/b/c", "value": 1}]),
            json!([{"op": "add", "path": "/a/9", "value": 1}]),
            json!([{"op": "shuffle", "path": "/a"}]),
        ] {
            assert_eq!(patched(object.clone(), patch), Err(422));
        }
        let status = apply(object.clone(), b"{}").unwrap_err();
        let expected = "json: cannot unmarshal object into Go value of type jsonpatch.Patch";
        assert_eq!((status.code, status.message.as_str()), (400, expected));
        assert_eq!(
            apply(object, b"[").unwrap_err().message,
            "unexpected end of JSON input"
        );
    }

    #[test]
    fn a_failing_operation_changes_nothing() {
        let patch = json!([
            {"op": "add", "path": "/b", "value": 1},
            {"op": "test", "path": "/b", "value": 2},
        ]);
        assert_eq!(patched(json!({"a": 1}), patch), Err(422));
    }

    #[test]
    fn negative_indexes_and_absent_nulls_are_as_upstream() {
        let patch = json!([
            {"op": "replace", "path": "/a/-1", "value": 3},
            {"op": "test", "path": "/b", "value": null},
            {"op": "add", "path": "/a/-1", "value": 4},
        ]);
        assert_eq!(
            patched(json!({"a": [1, 2]}), patch),
            Ok(json!({"a": [1, 3, 4]}))
        );
    }

    proptest! {
        #[test]
        fn any_patch_is_an_answer_or_a_refusal(
            op in "add|remove|replace|move|copy|test",
            path in "(/(a|b|0|1|-|-1|~1)){0,3}",
            from in "(/(a|b|0|-9)){0,2}",
            junk in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let object = json!({"a": [1, {"b": 2}], "b": {"a": []}});
            let patch = json!([{"op": op, "path": path, "from": from, "value": 1}]);
            let _ = (patched(object.clone(), patch), apply(object, &junk));
        }
    }
}
