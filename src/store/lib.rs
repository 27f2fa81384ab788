//! The store: every object of the cluster, every change of it in one order, and nothing forgotten
//! that was once acknowledged.
//!
//! In Kubernetes this is etcd. The one idea: a write is a new *version from the future*. A
//! transaction is staged at the head, where the next transaction's compares see it; readers and
//! watchers see only revisions up to the *visible* one, and that moves when the log says that the
//! bytes are on disk. So nobody ever acts on something that a power cut can take back.
//!
//! The way in: [`Store::stage`], [`Store::unsynced`], append and sync, [`Store::durable`]; then
//! [`Store::range`] and [`Store::drain`] show it. [`open`] brings a store back from its [`Log`].
//!
//! Left out: Raft and membership (one copy; many machines use a real etcd), the gRPC protocol,
//! users and roles, nested transactions, compares over ranges.
//!
//! Book: `book/src/control-plane/store.md`.

mod frame;
mod history;
mod index;
mod lease;
mod log;
mod memory_log;
mod record;
mod recover;
mod snapshot;
mod store;
mod txn;
mod value;

pub use history::{Batch, WatchId};
pub use log::{FileKind, Log, LogError, LogFile, OpenError, open, prune, rotate};
pub use memory_log::{Loss, MemoryLog};
pub use recover::Damage;
pub use snapshot::Snapshot;
pub use store::{Compacted, Range, ReadError, Store};
pub use txn::{Answer, Compare, MAX_TXN_BYTES, MAX_TXN_OPS, Op, Refused, Ticket, Txn, TxnResult};
pub use value::{Event, Key, KeyValue, LeaseId, prefix_end};
