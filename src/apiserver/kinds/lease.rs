//! Lease: a heartbeat (one for each node) or a seat that only one component may hold (elections).
//!
//! Sources: `pkg/registry/coordination/lease/strategy.go`, `pkg/apis/coordination/validation`.
//!
//! 1. A lease's duration is positive and its number of transitions not negative.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::{Time, names};

use super::{age, edit, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Strategy};

/// The row of the table. Upstream refuses a PUT without resourceVersion only for this kind: two
/// candidates that write blindly would both believe that they lead.
pub(crate) const STRATEGY: Strategy = Strategy {
    default: plain::no_defaults,
    defaulted: &[],
    prepare_create: plain::create_as_sent,
    prepare_update: plain::update_as_sent,
    prepare_status: plain::keep_all_but_status,
    validate,
    validate_update,
    validate_status: plain::no_update_rules,
    name_rule: rules::subdomain_name,
    has_status: false,
    has_generation: false,
    create_on_update: true,
    unconditional_update: false,
    fields: plain::no_fields,
    field_paths: &[],
    columns: COLUMNS,
    row,
    row_paths: &["spec.holderIdentity"],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Holder", "string", ".spec.holderIdentity"),
    plain::AGE,
];

const STRATEGIES: [&str; 1] = ["OldestEmulationVersion"];

fn validate(lease: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(lease);
    let spec = root.child("spec");
    let duration = spec.child("leaseDurationSeconds");
    if duration.integer().is_some_and(|seconds| seconds <= 0) {
        duration.invalid(&mut errors, "must be greater than 0");
    }
    spec.child("leaseTransitions").non_negative(&mut errors);
    let strategy = spec.child("strategy");
    if strategy.str().contains('/') {
        strategy.must_be(&mut errors, names::qualified_name);
    } else {
        strategy.one_of(&mut errors, &STRATEGIES);
    }
    let preferred = spec.child("preferredHolder");
    if !preferred.is_empty() && !strategy.is_set() {
        preferred.forbidden(
            &mut errors,
            "may only be specified when `strategy` is defined",
        );
    }
    errors
}

fn validate_update(new: &Value, _: &Value) -> Errors {
    validate(new)
}

fn row(lease: &Value, now: Time) -> Vec<Value> {
    let holder = edit::text(lease, &["spec", "holderIdentity"]);
    vec![
        plain::name(lease),
        holder.into(),
        age::of_object(lease, now).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn a_lease_without_time_is_refused() {
        let lease = json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}});
        assert_eq!(
            validate(&lease).to_string(),
            "[spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0, \
             spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0]"
        );
        assert!(validate(&json!({"spec": {"leaseDurationSeconds": 15}})).is_empty());
    }
}
