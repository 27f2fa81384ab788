//! ServiceAccount: who a pod is when it talks to the API server.
//!
//! Sources: `pkg/registry/core/serviceaccount/strategy.go`, `pkg/apis/core/validation`.
//!
//! 1. It has no rules beyond those of its metadata.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::Time;
use wavetank_api::json::Value;

use super::{age, edit, plain, rules};
use crate::strategy::{Column, Strategy};

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default: plain::no_defaults,
    defaulted: &[],
    prepare_create: plain::create_as_sent,
    prepare_update: plain::update_as_sent,
    prepare_status: plain::keep_all_but_status,
    validate: plain::no_rules,
    validate_update: plain::no_update_rules,
    validate_status: plain::no_update_rules,
    name_rule: rules::subdomain_name,
    has_status: false,
    has_generation: false,
    create_on_update: false,
    unconditional_update: false,
    fields: plain::no_fields,
    field_paths: &[],
    columns: COLUMNS,
    row,
    row_paths: &["secrets"],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Secrets", "string", ".secrets"),
    plain::AGE,
];

fn row(account: &Value, now: Time) -> Vec<Value> {
    let secrets = edit::list(account, &["secrets"]).len();
    vec![
        plain::name(account),
        secrets.into(),
        age::of_object(account, now).into(),
    ]
}
