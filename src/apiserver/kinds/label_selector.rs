//! The rules of `metav1.LabelSelector` fields.
//!
//! Used by deployments, replica sets, affinity and topology spread. Source:
//! `k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go`.
//!
//! 1. A selector that passes can be read by `wavetank_api::selector`.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::names;

use crate::field::{Errors, Field};

/// Rules for a selector, if there is one.
pub(crate) fn validate(selector: &Field<'_, '_>, errors: &mut Errors) {
    selector.child("matchLabels").labels(errors);
    for requirement in selector.child("matchExpressions").items() {
        validate_requirement(&requirement, errors);
    }
}

/// Whether a selector names no label at all, and so selects everything.
pub(crate) fn is_everything(selector: &Field<'_, '_>) -> bool {
    selector.child("matchLabels").is_empty() && selector.child("matchExpressions").is_empty()
}

/// The label keys that a selector looks at.
pub(crate) fn keys<'v>(selector: &Field<'_, 'v>) -> Vec<&'v str> {
    let labels = selector.child("matchLabels");
    let requirements = selector.child("matchExpressions");
    let mut keys: Vec<&str> = labels.entries().map(|(key, _)| key).collect();
    keys.extend(
        requirements
            .items()
            .map(|requirement| requirement.child("key").str()),
    );
    keys
}

fn validate_requirement(requirement: &Field<'_, '_>, errors: &mut Errors) {
    let (operator, values) = (requirement.child("operator"), requirement.child("values"));
    match operator.str() {
        "In" | "NotIn" if values.is_empty() => {
            values.required(
                errors,
                "must be specified when `operator` is 'In' or 'NotIn'",
            );
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            values.forbidden(errors, detail);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => operator.invalid_as(errors, other, "not a valid selector operator"),
    }
    requirement
        .child("key")
        .must_be(errors, names::qualified_name);
    for value in values.items() {
        value.must_be(errors, names::label_value);
    }
}
