//! Tables: the columns and cells that `kubectl get` prints.
//!
//! Called for `as=Table`. Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/response.go`, and
//! `pkg/printers` for what stands in the cells.
//!
//! 1. Of an object only what its cells show is decoded.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::sync::LazyLock;

use wavetank_api::json::{Value, json};

use wavetank_api::kinds::KINDS;
use wavetank_api::{KindId, Time};

use crate::object::{Paths, Stored};
use crate::registry;
use crate::rope::Rope;
use crate::strategies;
use crate::strategy::Column;

/// What the cells of each kind need.
static PATHS: LazyLock<Vec<Paths>> = LazyLock::new(|| {
    let common = ["metadata.name", "metadata.creationTimestamp"];
    let paths = |kind| {
        common
            .into_iter()
            .chain(registry::strategy(kind).row_paths.to_vec())
    };
    KINDS
        .iter()
        .map(|kind| Paths::new(paths(kind.id)))
        .collect()
});

/// Writes a table up to its first row.
pub(crate) fn open(out: &mut Rope, kind: KindId, metadata: &Value, headers: bool, beta: bool) {
    let kind = kind.stored_as();
    let columns = registry::strategy(kind).columns.iter();
    let columns = match headers {
        true => Value::Array(columns.map(|it| column(kind, it)).collect()),
        false => Value::Null,
    };
    let version = meta_version(beta);
    out.text(&format!(
        r#"{{"kind":"Table","apiVersion":"{version}","metadata":{metadata},"#
    ));
    out.text(&format!(r#""columnDefinitions":{columns},"rows":["#));
}

/// `meta.k8s.io/v1`, or the older name of the same.
pub(crate) fn meta_version(beta: bool) -> &'static str {
    if beta {
        "meta.k8s.io/v1beta1"
    } else {
        "meta.k8s.io/v1"
    }
}

fn column(kind: KindId, column: &Column) -> Value {
    json!({"name": column.name, "type": column.of_type, "format": column.format,
           "description": strategies::description(kind, column),
           "priority": column.priority})
}

/// What stands in an object's row.
pub(crate) fn cells(object: &Stored, now: Time) -> Vec<Value> {
    let shown = PATHS.get(object.kind as usize);
    let shown = shown.and_then(|paths| object.sparse(paths));
    (registry::strategy(object.kind).row)(&shown.unwrap_or_default(), now)
}
