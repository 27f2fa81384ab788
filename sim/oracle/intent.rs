//! I1: a component's write takes effect only on an object that it could have decided on.
//!
//! What a component knew when it sent a request is bounded from above by what it had been told
//! until then. An object that was created later cannot have been meant.
//!
//! Book: `book/src/simulator/oracles.md`.

use wavetank_api::kinds::KindId;

use super::{Change, Findings, Invariant, Model, Oracle};

/// I1.
pub(super) struct Intent;

impl Oracle for Intent {
    fn changed(&mut self, change: &Change, _: &Model, found: &mut Findings) {
        let (Some(before), Some(writer)) = (change.before, change.writer) else {
            return; // to create something needs no knowledge of it
        };
        if writer.is_operator() || matches!(change.kind, KindId::Lease | KindId::Event) {
            return;
        }
        let Some(known) = writer.latest.get(&change.kind) else {
            return; // it writes what it never reads
        };
        let known = known.shown;
        if before.created_at > known {
            let who = match writer.part.as_str() {
                "" => writer.name.to_string(),
                part => part.to_owned(),
            };
            let what = format!(
                "{who} wrote to uid {} which was created at revision {}, when it knew {known}",
                before.meta.uid, before.created_at
            );
            found.add(Invariant::I1, change.key, what);
        }
    }
}
