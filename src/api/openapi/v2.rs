//! OpenAPI v2: all groups in one document, for kubectl up to 1.28 and for what newer ones do not
//! find in v3 (a kind that is not served, `explain --output=plaintext-openapiv2`).
//!
//! The v3 documents say it all; here they are put into v2's words and become one. kubectl wants it
//! as protobuf (`gnostic.rs`).
//!
//! 1. Each kind of each v3 document is in the v2 document, under the same name:
//!    `the_second_version_has_all_that_the_third_has`.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::{Map, Text, Value, json};

const PREFIX_V3: &str = "#/components/schemas/";
const PREFIX_V2: &str = "#/definitions/";

/// The document, from those of all groups and versions.
pub(super) fn document<'a>(documents: impl Iterator<Item = &'a Value>) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for document in documents {
        for (name, path) in entries(document.get("paths")) {
            paths.insert(name.clone(), path_item(path));
        }
        for (name, schema) in entries(document.pointer("/components/schemas")) {
            definitions.insert(name.clone(), self::schema(schema));
        }
    }
    json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": "v1.33.0" },
        "paths": paths,
        "definitions": definitions,
    })
}

fn entries(map: Option<&Value>) -> impl Iterator<Item = (&Text, &Value)> {
    map.and_then(Value::as_object).into_iter().flatten()
}

fn path_item(item: &Value) -> Value {
    let converted = entries(Some(item)).map(|(name, value)| {
        let value = match name.as_str() {
            "parameters" => parameters(value).into(),
            _ => operation(value),
        };
        (name.clone(), value)
    });
    Value::Object(converted.collect())
}

/// Body and answers name their media types apart.
fn operation(of: &Value) -> Value {
    let mut operation = of.as_object().cloned().unwrap_or_default();
    let mut all = operation
        .remove("parameters")
        .as_ref()
        .map(parameters)
        .unwrap_or_default();
    if let Some(body) = operation.remove("requestBody") {
        let content: Vec<_> = entries(body.get("content")).collect();
        let types: Vec<_> = content.iter().map(|(name, _)| name.as_str()).collect();
        operation.insert("consumes", types.into());
        if let Some((_, of)) = content.first() {
            let schema = self::schema(of.get("schema").unwrap_or(&Value::Null));
            let required = body.get("required").cloned().unwrap_or_default();
            all.push(
                json!({ "name": "body", "in": "body", "required": required, "schema": schema }),
            );
        }
    }
    if !all.is_empty() {
        operation.insert("parameters", all.into());
    }
    operation.insert("produces", json!(["application/json"]));
    let responses = operation.remove("responses");
    let responses = entries(responses.as_ref()).map(|(code, response)| {
        let mut converted = json!({ "description": response.get("description") });
        let content = entries(response.get("content")).next();
        if let Some(of) = content.and_then(|(_, content)| content.get("schema")) {
            converted["schema"] = schema(of);
        }
        (code.clone(), converted)
    });
    let responses: Map = responses.collect();
    operation.insert("responses", responses.into());
    Value::Object(operation)
}

/// A parameter's schema stands in the parameter itself.
fn parameters(list: &Value) -> Vec<Value> {
    let flat = |parameter: &Value| {
        let mut parameter = parameter.as_object().cloned().unwrap_or_default();
        let schema = parameter.remove("schema");
        parameter.extend(entries(schema.as_ref()).map(|(k, v)| (k.clone(), v.clone())));
        Value::Object(parameter)
    };
    list.as_array().into_iter().flatten().map(flat).collect()
}

/// A reference may stand beside other words, and there is no `oneOf`.
fn schema(of: &Value) -> Value {
    let mut converted = Map::new();
    for (name, value) in entries(Some(of)) {
        let value = match name.as_str() {
            "$ref" => reference(value),
            "items" | "additionalProperties" => schema(value),
            "properties" => {
                let each = entries(Some(value)).map(|(name, of)| (name.clone(), schema(of)));
                Value::Object(each.collect())
            }
            "allOf" => {
                let only = value.get(0).and_then(|only| only.get("$ref"));
                converted.insert("$ref", reference(only.unwrap_or(&Value::Null)));
                continue;
            }
            "oneOf" => {
                converted.insert("type", "string".into());
                continue;
            }
            _ => value.clone(),
        };
        converted.insert(name.clone(), value);
    }
    Value::Object(converted)
}

fn reference(of: &Value) -> Value {
    let name = of.as_str().and_then(|of| of.strip_prefix(PREFIX_V3));
    format!("{PREFIX_V2}{}", name.unwrap_or_default()).into()
}
