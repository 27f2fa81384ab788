//! DELETE of a collection: a list, then one delete after the other.
//!
//! Upstream: `registry.Store.DeleteCollection`. Each delete is decided and committed by itself;
//! there is no transaction over all of them.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use wavetank_api::{KindId, Time};
use wavetank_store::TxnResult;

use crate::cache::Scope;
use crate::call::Call;
use crate::core::{Core, Next, Task};
use crate::delete::{Delete, read_options};
use crate::lists::ListOptions;
use crate::object::Object;
use crate::reply::{Answer, List, Refusal};
use crate::route::{Route, no_such_path};
use crate::strategy::DeleteOptions;

/// A collection on its way out.
#[derive(Debug)]
pub(crate) struct Collection {
    route: Route,
    list: ListOptions,
    options: DeleteOptions,
    /// Still to be deleted.
    queue: VecDeque<Arc<Object>>,
    /// Deleted, or already gone.
    done: Vec<Arc<Object>>,
    /// The delete that waits for the store.
    current: Option<Task>,
}

/// Begins a DELETE of a collection.
pub(crate) fn begin(call: &mut Call) -> Result<Next, Refusal> {
    let route = call.route.clone().ok_or_else(no_such_path)?;
    let list = ListOptions::read(&call.query, route.kind, false)?;
    let options = read_options(call)?;
    let (queue, done) = (VecDeque::new(), Vec::new());
    let collection = Collection {
        route,
        list,
        options,
        queue,
        done,
        current: None,
    };
    Ok(Next::Revision(Task::Collection(Box::new(collection))))
}

impl Collection {
    /// The cache is as new as the request: these are the objects.
    pub fn begin(mut self: Box<Self>, core: &mut Core, call: &mut Call, now: Time) -> Next {
        let namespace = self.route.namespace.clone();
        let scope = Scope {
            kind: self.route.kind.stored_as(),
            namespace,
        };
        let objects = core.cache.objects(&scope);
        let wanted = objects.filter(|o| o.is_selected(&self.list.labels, &self.list.fields));
        self.queue = wanted.cloned().collect();
        self.next(core, call, now)
    }

    fn next(mut self: Box<Self>, core: &mut Core, call: &mut Call, now: Time) -> Next {
        while let Some(object) = self.queue.front() {
            let Some((_, namespace, name)) = KindId::of_key(&object.kv.key) else {
                break;
            };
            let (namespace, name) = (namespace.to_string(), name.to_string());
            let route = Route {
                namespace,
                name,
                ..self.route.clone()
            };
            let options = self.options.clone();
            let next = Delete {
                route,
                options,
                success: None,
            }
            .start(core, call, now);
            match self.step(next) {
                ControlFlow::Continue(collection) => self = collection,
                ControlFlow::Break(next) => return next,
            }
        }
        Next::Done(Answer::List(List {
            revision: core.cache.revision(),
            objects: self.done,
            next: String::new(),
            remaining: None,
        }))
    }

    /// Goes on with the delete that waited for the store.
    pub fn resume(
        mut self: Box<Self>,
        result: TxnResult,
        core: &mut Core,
        call: &mut Call,
        now: Time,
    ) -> Next {
        let Some(task) = self.current.take() else {
            return self.next(core, call, now);
        };
        let next = task.resume(result, core, call, now);
        match self.step(next) {
            ControlFlow::Continue(collection) => collection.next(core, call, now),
            ControlFlow::Break(next) => next,
        }
    }

    /// What one delete wants: the store (then all wait), or it is over (then the next one).
    fn step(mut self: Box<Self>, next: Next) -> ControlFlow<Next, Box<Self>> {
        match next {
            Next::Txn(txn, task) => {
                self.current = Some(task);
                ControlFlow::Break(Next::Txn(txn, Task::Collection(self)))
            }
            Next::Done(Answer::Status(status)) if !status.is_success() && status.code != 404 => {
                ControlFlow::Break(Next::Done(Answer::Status(status)))
            }
            _ => {
                let object = self.queue.pop_front();
                self.done.extend(object);
                ControlFlow::Continue(self)
            }
        }
    }
}
