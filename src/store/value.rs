//! What the store keeps and tells: keys, one version of a value, and the event of its change.
//!
//! Everybody who holds a version holds the same allocation: the index, the event history, the
//! API server's watch cache.
//!
//! Book: `book/src/control-plane/store.md`.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use wavetank_api::Revision;

/// A key: a path such as `/registry/pods/default/web-0`. Ordered by its bytes.
pub type Key = Arc<str>;

/// Names a lease; never zero, so that "no lease" costs no space (etcd's lease 0 means none too).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub NonZeroU64);

impl LeaseId {
    /// The lease with this number; `None` for zero.
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(LeaseId(id)),
            None => None,
        }
    }
}

// ANCHOR: key_value
/// One version of one key, immutable (etcd's `mvccpb.KeyValue`).
#[derive(Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key; the same allocation as in the index.
    pub key: Key,
    /// The object's bytes.
    pub value: Bytes,
    /// The revision at which this life of the key began.
    pub create_revision: Revision,
    /// The revision that wrote this version.
    pub mod_revision: Revision,
    /// How many times the key was written in this life, this one included: 1 after
    /// creation.
    pub version: u64,
    /// The lease that the key dies with.
    pub lease: Option<LeaseId>,
}
// ANCHOR_END: key_value

/// One key's change at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: Key,
    /// The revision of the transaction; several events may share it.
    pub revision: Revision,
    /// The new version; `None` when the key was deleted.
    pub now: Option<Arc<KeyValue>>,
    /// The version it replaced; `None` when the key was created.
    pub before: Option<Arc<KeyValue>>,
}

/// The end of the range of all keys that begin with `prefix`: the first key after them. `None` when
/// there is no such key, which is to say: to the end.
pub fn prefix_end(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The character after `last`; surrogates are no characters, so their range is skipped.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            char::MAX => None,
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_the_first_key_after_it() {
        assert_eq!(
            prefix_end("/registry/pods/").as_deref(),
            Some("/registry/pods0")
        );
        assert_eq!(prefix_end("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(prefix_end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(prefix_end(""), None);
    }
}
