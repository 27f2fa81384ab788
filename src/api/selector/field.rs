//! Field selectors: `metadata.name=web-0,status.phase!=Failed`.
//!
//! Lists and watches are filtered with them; the kind says which fields there are. String form,
//! escapes and error texts follow `k8s.io/apimachinery/pkg/fields/selector.go`.
//!
//! Book: `book/src/ground/objects.md`.

use core::fmt;

use super::Error;

/// One comparison of a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldTerm {
    /// The field's path, such as `spec.nodeName`.
    pub field: String,
    /// The value it is compared with; a field that is absent has the empty value.
    pub value: String,
    /// Whether the two must be equal, or must not.
    pub equal: bool,
}

/// A conjunction of terms; without terms it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldSelector {
    /// In the order of their texts.
    pub terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Reads `a=b,c!=d,e==f`, where `\\`, `\,` and `\=` stand for the second character.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((field, equal, value)) = split_term(part) else {
                let why = format!("invalid selector: '{text}'; can't understand '{part}'");
                return Err(Error(why));
            };
            terms.push(FieldTerm {
                field: field.to_owned(),
                value: unescape(value)?,
                equal,
            });
        }
        Ok(FieldSelector { terms })
    }

    /// Whether an object is meant, whose fields `value_of` tells; absent ones are empty.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> &'a str) -> bool {
        self.terms
            .iter()
            .all(|term| (value_of(&term.field) == term.value) == term.equal)
    }

    /// The one value that `field` must have, if there is one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        let term = self
            .terms
            .iter()
            .find(|term| term.equal && term.field == field)?;
        Some(&term.value)
    }

    /// Whether it matches every object.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term
                .value
                .replace('\\', r"\\")
                .replace(',', r"\,")
                .replace('=', r"\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut in_escape) = (0, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if in_escape => in_escape = false,
            '\\' => in_escape = true,
            ',' => {
                parts.extend(text.get(start..index));
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (index, _) in term.char_indices() {
        let (field, rest) = term.split_at_checked(index)?;
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((field, equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                other => {
                    let sequence: String = core::iter::once('\\').chain(other).collect();
                    let why = "invalid field selector: invalid escape sequence: ";
                    return Err(Error(format!("{why}{sequence}")));
                }
            },
            ',' | '=' => {
                // Upstream prints the character's number here.
                let why = "invalid field selector: unescaped character in value: ";
                return Err(Error(format!("{why}{}", u32::from(c))));
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(selector: &str, fields: &[(&str, &'static str)]) -> bool {
        FieldSelector::parse(selector).unwrap().matches(|field| {
            fields
                .iter()
                .find(|(name, _)| *name == field)
                .map_or("", |(_, value)| value)
        })
    }

    #[test]
    fn fields_match_as_upstreams_tables_say() {
        let fields = [("spec.nodeName", "n1"), ("status.phase", "Running")];
        assert!(matches("", &fields));
        assert!(matches("spec.nodeName=n1,status.phase!=Failed", &fields));
        assert!(matches("spec.nodeName==n1", &fields));
        assert!(!matches("spec.nodeName!=n1", &fields));
        assert!(matches("spec.nodeName!=", &fields) && matches("other=", &fields));
    }

    #[test]
    fn what_is_no_selector_is_refused_in_upstreams_words() {
        let error = |text: &str| FieldSelector::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("foo"),
            "invalid selector: 'foo'; can't understand 'foo'"
        );
        assert_eq!(
            error("a=b=c"),
            "invalid field selector: unescaped character in value: 61"
        );
        assert_eq!(
            error(r"a=\x"),
            r"invalid field selector: invalid escape sequence: \x"
        );
    }

    proptest! {
        #[test]
        fn a_printed_field_selector_parses_back(
            values in prop::collection::vec("[a-z,=\\\\]{0,4}", 0..4),
        ) {
            let term = |value| FieldTerm { field: "f".into(), equal: true, value };
            let terms = values.into_iter().map(term);
            let printed = FieldSelector { terms: terms.collect() }.to_string();
            let parsed = FieldSelector::parse(&printed).unwrap();
            prop_assert_eq!(FieldSelector::parse(&parsed.to_string()).unwrap(), parsed);
        }
    }
}
