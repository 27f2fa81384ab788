//! Transactions: compares on what is, and one of two lists of operations.
//!
//! Staged by [`Store::stage`](crate::Store::stage); answered, in order, by
//! [`Store::durable`](crate::Store::durable). This is etcd's `Txn` with the compares and operations
//! that an API server uses.
//!
//! Book: `book/src/control-plane/store.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use wavetank_api::Revision;

use crate::value::{Key, KeyValue, LeaseId};

/// The most operations in one branch of a transaction (etcd's `--max-txn-ops` default).
pub const MAX_TXN_OPS: usize = 128;

/// The most bytes of keys and values in one transaction (etcd's `--max-request-bytes` default).
pub const MAX_TXN_BYTES: usize = 3 * 512 * 1024;

// ANCHOR: txn
/// A condition on the head: on what the last staged transaction left, visible or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what the sentences name")]
pub enum Compare {
    /// The key was last written at `equals`; revision 0 says that the key does not
    /// exist.
    ModRevision { key: Key, equals: Revision },
    /// The key's life began at `equals`; revision 0 says that the key does not exist.
    CreateRevision { key: Key, equals: Revision },
    /// The key hangs on this lease; an absent key hangs on none.
    Lease { key: Key, equals: Option<LeaseId> },
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what the sentences name")]
pub enum Op {
    /// Writes a version.
    Put {
        key: Key,
        value: Bytes,
        lease: Option<LeaseId>,
    },
    /// Deletes the key; nothing happens, and no revision is spent, when there is none.
    Delete { key: Key },
    /// Reads the key as the operations before it left it.
    Get { key: Key },
}

/// If all compares hold, `then` is done, else `otherwise`; either way as one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub compares: Vec<Compare>,
    /// What is done when they hold.
    pub then: Vec<Op>,
    /// What is done when one does not.
    pub otherwise: Vec<Op>,
}
// ANCHOR_END: txn

impl Txn {
    /// A transaction without compares.
    pub fn new(then: Vec<Op>) -> Self {
        Txn {
            compares: Vec::new(),
            then,
            otherwise: Vec::new(),
        }
    }
}

/// What a transaction, a grant or a revocation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResult {
    /// Whether the compares held, so that `then` was done.
    pub succeeded: bool,
    /// The head's revision after it: its own when it wrote, else that of the last write before it.
    pub revision: Revision,
    /// What the `Get`s of the branch taken found, in order.
    pub gets: Vec<Option<Arc<KeyValue>>>,
    /// The lease that was granted; `None` for a transaction and a revocation.
    pub granted: Option<LeaseId>,
}

/// Why a transaction or a lease operation was not done at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A put or a revocation names a lease that is not there.
    #[error("requested lease not found")]
    LeaseNotFound(LeaseId),
    /// A grant names a lease that is there.
    #[error("lease already exists")]
    LeaseExists(LeaseId),
    /// A branch writes the same key twice: one revision holds one version of a key.
    #[error("duplicate key given in txn request")]
    DuplicateKey(Key),
    /// A branch has more than [`MAX_TXN_OPS`] operations.
    #[error("too many operations in txn request")]
    TooManyOps,
    /// Keys and values have more than [`MAX_TXN_BYTES`] bytes.
    #[error("request is too large")]
    TooLarge,
}

/// The place of a staged operation in the order of all; answers come in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// The answer to one staged operation.
pub type Answer = Result<TxnResult, Refused>;

/// Checks what can be known without the store: sizes, and that no key is written twice.
pub(crate) fn check(txn: &Txn) -> Result<(), Refused> {
    let mut size = 0;
    for branch in [&txn.then, &txn.otherwise] {
        if branch.len() > MAX_TXN_OPS {
            return Err(Refused::TooManyOps);
        }
        let mut written = BTreeSet::new();
        for op in branch {
            size += match op {
                Op::Put { key, value, .. } => key.len() + value.len(),
                Op::Delete { key } | Op::Get { key } => key.len(),
            };
            let (Op::Put { key, .. } | Op::Delete { key }) = op else {
                continue;
            };
            if branch.len() > 1 && !written.insert(key) {
                return Err(Refused::DuplicateKey(key.clone()));
            }
        }
    }
    if size > MAX_TXN_BYTES {
        Err(Refused::TooLarge)
    } else {
        Ok(())
    }
}
