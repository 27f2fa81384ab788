//! Every write, as one loop: look at the object, decide, commit if nothing has changed, else look
//! again.
//!
//! Create, update, patch, delete and the subresources only differ in how they *decide*
//! ([`Op::decide`]). The first look is at the watch cache, which may be behind; a decision that
//! fails there is repeated on what the store says before anybody is refused. Upstream:
//! `etcd3/store.go`, `GuaranteedUpdate`.
//!
//! 1. A commit happens only if the object is the version that was decided on (A2, A21).
//! 2. A refusal that depends on the state was decided on a live read.
//! 3. A transaction whose outcome is unknown is never repeated (A21).
//! 4. Whatever else a decision rests on (the namespace, an address being free) is compared in the
//!    same transaction (A18).
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::json::Value;

use wavetank_api::{KindId, Revision, Status, Time};
use wavetank_store::{Compare, Key, KeyValue, LeaseId, Op as StoreOp, Txn, TxnResult};

use crate::cache::Cache;
use crate::call::Call;
use crate::core::{Core, Next, Task};
use crate::lifetime::{Lend, Lifetimes};
use crate::object::{Stored, encode, set_version};
use crate::reply::{Answer, Refusal};
use crate::strategy::View;
use crate::subresources::{binding, scale};
use crate::{create, delete, update};

/// How often a write looks again before it gives up. Each time somebody else has made progress.
const ATTEMPTS_MAX: u32 = 100;

/// What a write does; each has its file.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// POST to a collection, or an apply patch to a name that does not exist.
    Create(create::Create),
    /// PUT or PATCH of an object or one of its subresources.
    Update(update::Update),
    /// DELETE.
    Delete(delete::Delete),
    /// POST of a Binding.
    Bind(binding::Bind),
}

/// A write on its way.
#[derive(Debug)]
pub(crate) struct Write {
    /// What to do.
    pub op: Op,
    /// The kind, as stored.
    pub kind: KindId,
    /// The object's key.
    pub key: Key,
    /// What this request has read live.
    pub seen: Seen,
    /// Keys beside the object's that are read with it.
    pub beside: Vec<Key>,
    /// What the new version is to hang on, if the kind is not kept for ever.
    lease: Option<LeaseId>,
    attempts: u32,
}

/// Keys that were read from the store itself, with what was there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(BTreeMap<Key, Option<Arc<KeyValue>>>);

/// What is to be done, decided on one version of the object.
#[derive(Debug)]
pub(crate) struct Decision {
    /// What becomes of the object.
    pub outcome: Outcome,
    /// What the client is told.
    pub reply: Reply,
    /// Further conditions.
    pub compares: Vec<Compare>,
    /// Further writes.
    pub ops: Vec<StoreOp>,
}

/// What becomes of the object.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// This is the new version.
    Put(Value),
    /// It is removed.
    Remove,
    /// It stays as it is.
    Keep,
    /// The write is now about another key (a generated name was taken): decide again.
    Again,
}

/// What the client is told when it is done.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The object, new or as it was, with this code.
    Object(u16),
    /// The object as it was last, with this code (deletes that return the object).
    Last(u16),
    /// A Status.
    Status(Refusal),
    /// The Scale of the object.
    Scale,
}

impl Decision {
    /// Nothing beside the object itself.
    pub fn new(outcome: Outcome, reply: Reply) -> Self {
        Decision {
            outcome,
            reply,
            compares: Vec::new(),
            ops: Vec::new(),
        }
    }
}

/// One version of the object in the form that decisions are made on.
pub(crate) struct Current<'a> {
    /// The object; `None`: there is none.
    pub value: Option<&'a Value>,
    /// Its revision; 0: there is none.
    pub revision: Revision,
}

/// The cache, overlaid with what the request has read live.
pub(crate) struct SeenView<'a> {
    /// The watch cache.
    pub cache: &'a Cache,
    /// Live reads.
    pub seen: &'a Seen,
}

impl Seen {
    /// What was read; the outer `None`: it was not.
    pub fn get(&self, key: &str) -> Option<Option<&Arc<KeyValue>>> {
        self.0.get(key).map(Option::as_ref)
    }
}

impl View for SeenView<'_> {
    fn object(&self, kind: KindId, namespace: &str, name: &str) -> Option<Arc<Value>> {
        if self.seen.0.is_empty() {
            return self.cache.object(kind, namespace, name);
        }
        match self.seen.get(&kind.stored_as().key(namespace, name)) {
            Some(read) => read.and_then(|kv| self.cache.tree(kv)),
            None => self.cache.object(kind, namespace, name),
        }
    }

    fn objects(&self, kind: KindId, namespace: &str) -> Vec<Arc<Value>> {
        View::objects(self.cache, kind, namespace)
    }
}

impl Write {
    pub fn new(op: Op, kind: KindId, key: String, beside: Vec<Key>) -> Box<Self> {
        let kind = kind.stored_as();
        Box::new(Write {
            op,
            kind,
            key: key.into(),
            seen: Seen::default(),
            beside,
            lease: None,
            attempts: 0,
        })
    }

    /// The version to decide on: the live one if there is one, else the cache's.
    fn current(&self, core: &Core) -> Option<Arc<KeyValue>> {
        match self.seen.get(&self.key) {
            Some(live) => live.cloned(),
            None => {
                let (kind, namespace, name) = KindId::of_key(&self.key)?;
                core.cache
                    .get(kind, namespace, name)
                    .map(|object| object.kv.clone())
            }
        }
    }

    /// Decides on what is known, and asks the store to commit that, or for the live state.
    pub fn attempt(mut self: Box<Self>, core: &mut Core, call: &mut Call, now: Time) -> Next {
        let before = self.current(core);
        let value = before.as_ref().and_then(|kv| core.cache.tree(kv));
        let is_fresh = self.seen.get(&self.key).is_some();
        let current = Current {
            value: value.as_deref(),
            revision: before.as_ref().map_or(Revision(0), |kv| kv.mod_revision),
        };
        // ANCHOR: attempt
        let decision = match Op::decide(&mut self, core, call, &current, now) {
            Ok(decision) => decision,
            Err(refusal) if is_fresh || self.op.is_final(&refusal) => {
                return Next::Done(refusal.into());
            }
            Err(_) => return self.look(),
        };
        if matches!(decision.outcome, Outcome::Again) {
            return self.attempt(core, call, now);
        }
        let is_settled = call.dry_run || matches!(decision.outcome, Outcome::Keep);
        if is_settled && !is_fresh {
            return self.look();
        }
        if is_settled {
            let last = before.as_deref();
            return Next::Done(self.answer(decision, last, current.revision));
        }
        if matches!(decision.outcome, Outcome::Put(_))
            && self.lease.is_none()
            && let Some(ttl) = core.ttl(self.kind)
        {
            match core.lifetimes.lend(ttl, now) {
                Lend::Shared(id) => self.lease = Some(id),
                Lend::Ask => {
                    let whole = Lifetimes::whole(ttl);
                    return Next::Grant(whole, Task::Lease(self, now));
                }
                Lend::Wait => return Next::Granted(Task::Look(self)),
            }
        }
        self.commit(decision, before)
        // ANCHOR_END: attempt
    }

    /// Decides again, with the lease that was granted.
    pub fn leased(
        mut self: Box<Self>,
        result: TxnResult,
        asked: Time,
        core: &mut Core,
        call: &mut Call,
        now: Time,
    ) -> Next {
        let (Some(id), Some(ttl)) = (result.granted, core.ttl(self.kind)) else {
            return Next::Done(Answer::internal("the store granted no lease"));
        };
        core.lifetimes.granted(ttl, id, asked);
        self.lease = Some(id);
        self.attempt(core, call, now)
    }

    /// Asks for the live state.
    fn look(self: Box<Self>) -> Next {
        Next::Txn(Txn::new(self.reads()), Task::Look(self))
    }

    fn reads(&self) -> Vec<StoreOp> {
        let keys = core::iter::once(&self.key).chain(&self.beside);
        keys.map(|key| StoreOp::Get { key: key.clone() }).collect()
    }

    // ANCHOR: commit
    /// The transaction that does what was decided, if all is still as it was.
    fn commit(self: Box<Self>, mut decision: Decision, before: Option<Arc<KeyValue>>) -> Next {
        let equals = before.as_ref().map_or(Revision(0), |kv| kv.mod_revision);
        let mut compares = vec![Compare::ModRevision {
            key: self.key.clone(),
            equals,
        }];
        compares.append(&mut decision.compares);
        let mut put = None;
        let op = match decision.outcome {
            Outcome::Put(mut object) => {
                let value = encode(self.kind, &mut object);
                put = Some((value.clone(), object));
                StoreOp::Put {
                    key: self.key.clone(),
                    value,
                    lease: self.lease,
                }
            }
            _ => StoreOp::Delete {
                key: self.key.clone(),
            },
        };
        let mut then = vec![op];
        then.append(&mut decision.ops);
        let txn = Txn {
            compares,
            then,
            otherwise: self.reads(),
        };
        let reply = decision.reply;
        Next::Txn(
            txn,
            Task::Commit(Box::new(Commit {
                write: self,
                reply,
                put,
                before,
            })),
        )
    }
    // ANCHOR_END: commit

    /// Takes what was read live, and decides again.
    pub fn looked(
        mut self: Box<Self>,
        result: TxnResult,
        core: &mut Core,
        call: &mut Call,
        now: Time,
    ) -> Next {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX {
            let message = "the object keeps changing; no attempt to write it succeeded";
            return Next::Done(Refusal::from(Status::timeout(message, 1)).into());
        }
        let keys = core::iter::once(self.key.clone()).chain(self.beside.clone());
        self.seen.0 = keys.zip(result.gets).collect();
        self.attempt(core, call, now)
    }

    /// The answer when nothing is written.
    fn answer(&self, decision: Decision, before: Option<&KeyValue>, at: Revision) -> Answer {
        let last = before.map(|kv| Stored {
            kind: self.kind,
            bytes: kv.value.clone(),
            revision: at,
        });
        match (decision.outcome, decision.reply) {
            (_, Reply::Status(status)) => status.into(),
            (Outcome::Put(object), Reply::Scale) => scale::answer(&object, at),
            (_, Reply::Scale) => scale::answer(&value_of(last.as_ref()), at),
            (Outcome::Put(mut object), Reply::Object(code)) => {
                let kind = self.kind.stored_as();
                let bytes = encode(kind, &mut object);
                Answer::Stored(
                    code,
                    Stored {
                        kind,
                        bytes,
                        revision: at,
                    },
                )
            }
            (_, Reply::Object(code) | Reply::Last(code)) => match last {
                Some(stored) => Answer::Stored(code, stored),
                None => Refusal::from(Status::internal_error("no object to answer")).into(),
            },
        }
    }
}

fn value_of(stored: Option<&Stored>) -> Value {
    stored.map(Stored::value).unwrap_or_default()
}

/// A transaction that is with the store.
#[derive(Debug)]
pub(crate) struct Commit {
    write: Box<Write>,
    reply: Reply,
    /// What was put, if anything: its bytes, and the object without its resourceVersion.
    put: Option<(bytes::Bytes, Value)>,
    before: Option<Arc<KeyValue>>,
}

impl Commit {
    /// The store has answered: done, or once more from what is there now.
    pub fn done(self, result: TxnResult, core: &mut Core, call: &mut Call, now: Time) -> Next {
        if !result.succeeded {
            return self.write.looked(result, core, call, now);
        }
        let (kind, revision) = (self.write.kind, result.revision);
        let put = self.put.map(|(bytes, mut object)| {
            set_version(&mut object, revision);
            if kind != KindId::Event {
                // Few events are written twice.
                core.cache.remember(&self.write.key, revision, object, now);
            }
            Stored {
                kind,
                bytes,
                revision,
            }
        });
        let before = self.before.map(|kv| Stored {
            kind,
            bytes: kv.value.clone(),
            revision,
        });
        Next::Done(match self.reply {
            Reply::Status(status) => status.into(),
            Reply::Scale => scale::answer(&value_of(put.as_ref()), revision),
            Reply::Object(code) | Reply::Last(code) => match put.or(before) {
                Some(stored) => Answer::Stored(code, stored),
                None => Refusal::from(Status::internal_error("no object to answer")).into(),
            },
        })
    }
}

impl Op {
    fn decide(
        write: &mut Write,
        core: &mut Core,
        call: &mut Call,
        current: &Current<'_>,
        now: Time,
    ) -> Result<Decision, Refusal> {
        match write.op.clone() {
            Op::Create(op) => op.decide(write, core, call, current, now),
            Op::Update(op) => op.decide(write, core, call, current, now),
            Op::Delete(op) => op.decide(write, core, call, current, now),
            Op::Bind(op) => op.decide(current, core.config.guards, now),
        }
    }

    /// Whether a refusal does not depend on what is stored, so that a live read would not help.
    fn is_final(&self, refusal: &Refusal) -> bool {
        matches!(self, Op::Create(_)) && matches!(refusal.code, 400 | 422 | 500)
    }
}
