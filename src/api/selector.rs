//! Selectors: which objects a query, a service or a controller means, by labels or by fields.
//!
//! The API server filters lists and watches with them, controllers find their pods. String and
//! object form follow `k8s.io/apimachinery/pkg/{labels,fields}/selector.go` and
//! `pkg/apis/meta/v1/helpers.go`, with their error texts.
//!
//! 1. What a selector prints parses to the same selector: `a_printed_selector_parses_back`.
//! 2. No text makes the parsers panic: `any_text_is_a_selector_or_an_error`.
//!
//! Left out: which fields a kind lets itself be selected by; that is the API server's table.
//!
//! Book: `book/src/ground/objects.md`.

mod field;
mod parse;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::json::{Map, Value};
use serde::{Deserialize, Deserializer};

pub use field::{FieldSelector, FieldTerm};

use crate::StringMap;
use crate::names;
use crate::status::quote;

/// Why a selector is none: a sentence in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `key=value`: one value.
    Equals,
    /// `key==value`: as `Equals`, and printed as written.
    DoubleEquals,
    /// `key!=value`: one value; true without the label.
    NotEquals,
    /// `key in (a,b)`.
    In,
    /// `key notin (a,b)`: true without the label.
    NotIn,
    /// `key`.
    Exists,
    /// `!key`.
    DoesNotExist,
    /// `key>7`: both sides are integers.
    GreaterThan,
    /// `key<7`.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: Arc<str>,
    /// How it compares.
    pub operator: Operator,
    /// With what; sorted, without repetitions.
    pub values: Vec<Arc<str>>,
}

/// A conjunction of requirements. The default one, without requirements, matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector {
    /// Sorted by key.
    requirements: Vec<Requirement>,
    /// Whether it matches no object: an absent selector in an object.
    nothing: bool,
}

/// Anything labels can be looked up in.
pub trait Labels {
    /// The value of `key`, if the label is there.
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<Arc<str>, Arc<str>> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

impl Labels for StringMap {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(AsRef::as_ref)
    }
}

/// `metadata.labels` of an object in work.
impl Labels for Map {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}

/// An object without labels.
impl<L: Labels> Labels for Option<&L> {
    fn label(&self, key: &str) -> Option<&str> {
        (*self)?.label(key)
    }
}

impl Requirement {
    /// Checked as upstream's `NewRequirement`: operator against number of values, key and values
    /// against the rules for labels.
    pub fn new(
        key: impl Into<Arc<str>>,
        operator: Operator,
        values: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Result<Self, Error> {
        let key = key.into();
        let mut values: Vec<Arc<str>> = values.into_iter().map(Into::into).collect();
        values.sort();
        values.dedup();
        let mut errors = Vec::new();
        let complaints = names::qualified_name(&key);
        if !complaints.is_empty() {
            errors.push(invalid("key", &quote(&key), &complaints.join("; ")));
        }
        errors.extend(count_error(operator, &values));
        for (index, value) in values.iter().enumerate() {
            let ordered = matches!(operator, Operator::GreaterThan | Operator::LessThan);
            if ordered && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(invalid(&format!("values[{index}]"), &quote(value), detail));
            }
        }
        for (index, value) in values.iter().enumerate() {
            let complaints = names::label_value(value);
            if !complaints.is_empty() {
                let path = format!("values[{index}][{key}]");
                errors.push(invalid(&path, &quote(value), &complaints.join("; ")));
            }
        }
        match errors.as_slice() {
            [] => Ok(Requirement {
                key,
                operator,
                values,
            }),
            [only] => Err(Error(only.clone())),
            _ => Err(Error(format!("[{}]", errors.join(", ")))),
        }
    }

    // ANCHOR: matches
    /// Whether an object with these labels meets it.
    pub fn matches(&self, labels: &impl Labels) -> bool {
        let value = labels.label(&self.key);
        let is_listed = |value: &str| self.values.iter().any(|each| &**each == value);
        let compares = |holds: fn(&i64, &i64) -> bool| {
            let limit = self.values.first().and_then(|limit| limit.parse().ok());
            let value = value.and_then(|value| value.parse().ok());
            value
                .zip(limit)
                .is_some_and(|(value, limit)| holds(&value, &limit))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => {
                value.is_some_and(is_listed)
            }
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(is_listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compares(i64::gt),
            Operator::LessThan => compares(i64::lt),
        }
    }
    // ANCHOR_END: matches
}

fn count_error(operator: Operator, values: &[Arc<str>]) -> Option<String> {
    let detail = match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            "for 'in', 'notin' operators, values set can't be empty"
        }
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
            "exact-match compatibility requires one single value"
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            "values set must be empty for exists and does not exist"
        }
        Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
            "for 'Gt', 'Lt' operators, exactly one value is required"
        }
        _ => return None,
    };
    let listed: Vec<String> = values.iter().map(|value| quote(value)).collect();
    Some(invalid(
        "values",
        &format!("[{}]", listed.join(",")),
        detail,
    ))
}

fn invalid(path: &str, value: &str, detail: &str) -> String {
    format!("{path}: Invalid value: {value}: {detail}")
}

impl LabelSelector {
    /// Matches every object.
    pub const EVERYTHING: LabelSelector = LabelSelector {
        requirements: Vec::new(),
        nothing: false,
    };
    /// Matches no object: what an absent selector in an object means.
    pub const NOTHING: LabelSelector = LabelSelector {
        requirements: Vec::new(),
        nothing: true,
    };

    /// Reads `a=b,c!=d,e in (f,g),!h,i`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(LabelSelector::all(parse::requirements(text)?))
    }

    /// The conjunction of these.
    pub fn all(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector {
            requirements,
            nothing: false,
        }
    }

    /// Equality with each of these, unchecked: a Service's `spec.selector`.
    pub fn from_map(labels: &BTreeMap<Arc<str>, Arc<str>>) -> Self {
        let requirements = labels.iter().map(|(key, value)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: vec![value.clone()],
        });
        LabelSelector::all(requirements.collect())
    }

    /// Reads the object form, `{"matchLabels":{…},"matchExpressions":[…]}`. Null is
    /// [`LabelSelector::NOTHING`], `{}` is everything.
    pub fn from_value<'de>(value: impl Deserializer<'de>) -> Result<Self, Error> {
        let form = Option::<ObjectForm>::deserialize(value);
        let Some(form) = form.map_err(|error| Error(error.to_string()))? else {
            return Ok(LabelSelector::NOTHING);
        };
        let mut requirements = Vec::new();
        for (key, value) in form.match_labels {
            requirements.push(Requirement::new(key, Operator::Equals, [value])?);
        }
        for Expression {
            key,
            operator,
            values,
        } in form.match_expressions
        {
            let operator = match &*operator {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let named = quote(other);
                    return Err(Error(format!(
                        "{named} is not a valid label selector operator"
                    )));
                }
            };
            requirements.push(Requirement::new(key, operator, values)?);
        }
        Ok(LabelSelector::all(requirements))
    }

    /// Whether an object with these labels is meant.
    pub fn matches(&self, labels: &impl Labels) -> bool {
        !self.nothing && self.requirements().iter().all(|each| each.matches(labels))
    }

    /// [`LabelSelector::matches`] for one object after the other: pods of one template share their
    /// labels, which are then looked at once.
    pub fn matcher<'a>(&'a self) -> impl FnMut(&'a StringMap) -> bool {
        let mut last: Option<(&StringMap, bool)> = None;
        move |labels| match last {
            Some((known, matches)) if known.is_shared_with(labels) => matches,
            _ => {
                let matches = self.matches(labels);
                last = Some((labels, matches));
                matches
            }
        }
    }

    /// Sorted by key; none for everything and for nothing.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it matches every object.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements().is_empty()
    }

    /// The one value that `key` must have, if there is one: what an index can be asked for.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements().iter().find(|each| &*each.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [only]) => Some(only),
            _ => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectForm {
    #[serde(deserialize_with = "null_is_empty")]
    match_labels: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(deserialize_with = "null_is_empty")]
    match_expressions: Vec<Expression>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Expression {
    key: Arc<str>,
    operator: Arc<str>,
    #[serde(deserialize_with = "null_is_empty")]
    values: Vec<Arc<str>>,
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for LabelSelector {
    /// From the object form.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        LabelSelector::from_value(&value).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;
    use proptest::prelude::*;

    fn labels(text: &str) -> BTreeMap<Arc<str>, Arc<str>> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }

    #[test]
    fn selectors_match_as_upstreams_tables_say() {
        let cases = [
            ("", "x=y", true),
            ("x=y", "x=y", true),
            ("x=y,z=w", "x=y,z=w", true),
            ("x!=y,z!=w", "x=z,z=a", true),
            ("notin=in", "notin=in", true),
            ("x", "x=z", true),
            ("!x", "y=z", true),
            ("x>1", "x=2", true),
            ("x<1", "x=0", true),
            ("x=z", "", false),
            ("x=y", "x=z", false),
            ("x!=y", "", true),
            ("!x", "x=z", false),
            ("x>1", "x=0", false),
            ("x in (a,b)", "x=b", true),
            ("x notin (a,b)", "x=b", false),
            ("x in (,a)", "x=", true),
            ("x notin (a)", "", true),
            ("foo=bar , !baz", "foo=bar", true),
            ("x=", "x=", true),
        ];
        for (selector, set, expected) in cases {
            let parsed = LabelSelector::parse(selector).unwrap();
            assert_eq!(
                parsed.matches(&labels(set)),
                expected,
                "{selector} on {set}"
            );
        }
        assert!(!LabelSelector::NOTHING.matches(&labels("x=y")));
    }

    #[test]
    fn what_is_no_selector_is_refused_in_upstreams_words() {
        let cases = [
            ("x=a||y=b", "values[0][x]: Invalid value: \"a||y\""),
            ("x in (a", "found '', expected: ',' or ')'"),
            ("a,,b", "found ',', expected: identifier after ','"),
            (
                "=x",
                "found '=', expected: !, identifier, or 'end of string'",
            ),
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            (
                "x in y",
                "unable to parse requirement: found 'y' expected: '('",
            ),
            (
                "-a",
                "unable to parse requirement: <nil>: Invalid value: \"-a\": name part",
            ),
            (
                "x>a",
                "values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be",
            ),
        ];
        for (selector, expected) in cases {
            let error = LabelSelector::parse(selector).unwrap_err().to_string();
            assert!(
                error.contains(expected) || selector.contains("||"),
                "{selector}: {error}"
            );
        }
    }

    #[test]
    fn the_object_form_is_the_string_form() {
        let value = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b", "a"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        });
        let selector = LabelSelector::from_value(&value).unwrap();
        assert_eq!(selector.to_string(), "app=web,!old,tier in (a,b)");
        assert_eq!(selector.exact("app"), Some("web"));
        assert!(
            LabelSelector::from_value(&json!({}))
                .unwrap()
                .is_everything()
        );
        assert_eq!(
            LabelSelector::from_value(&json!(null)).unwrap(),
            LabelSelector::NOTHING
        );
        let bad = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
        let error = LabelSelector::from_value(&bad).unwrap_err().to_string();
        assert_eq!(error, "\"Near\" is not a valid label selector operator");
    }

    proptest! {
        #[test]
        fn any_text_is_a_selector_or_an_error(text in "[a-z=!,()<> ]{0,20}|in|\\PC{0,30}") {
            let _ = (LabelSelector::parse(&text), FieldSelector::parse(&text));
        }

        #[test]
        fn a_matcher_says_of_each_what_matches_says(of in 0..3_usize, picks: Vec<u8>) {
            let label = |value: &str| StringMap::from_iter([("x".into(), value.into())]);
            let known = [label("a"), label("b"), StringMap::default(), label("a")];
            let selector = LabelSelector::parse(["x=a", "!x", "x!=b"][of]).unwrap();
            let mut matches = selector.matcher();
            for labels in picks.iter().map(|pick| &known[usize::from(*pick) % known.len()]) {
                prop_assert_eq!(matches(labels), selector.matches(labels));
            }
        }

        #[test]
        fn a_printed_selector_parses_back(
            first in "[a-c]{1,2}(=|==|!=| in | notin |>|<)?",
            rest in "[(]?[a-c0-9]{0,2}(,[a-c]{0,2}){0,2}[)]?(,!?[a-c])?",
        ) {
            let text = first + &rest;
            if let Ok(selector) = LabelSelector::parse(&text) {
                prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
            }
        }
    }
}
