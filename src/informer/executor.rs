//! Carries out a plan: batches of writes, in order, until one fails.
//!
//! A controller decides everything before the first write is sent; the plan is data that a test
//! can compare and the simulator can interrupt between any two writes.
//!
//! 1. The writes of a batch are sent together; a batch is sent only when every write of the one
//!    before it has succeeded.
//! 2. There is one outcome per write, in the order of the plan.
//! 3. A write is sent at most once: whoever wants it again decides again.
//!
//! Book: `book/src/control-plane/informers.md`.

use std::collections::BTreeMap;

use bytes::Bytes;

use wavetank_api::{Meta, Request, Response, Time};

use crate::client::{ApiError, Write, parse};
use crate::component::{CallId, CallIds, Failure, Input, Output};
use crate::view::{HeaderOnly, Object};

/// What a controller wants written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Batches in order.
    pub batches: Vec<Vec<Write>>,
}

impl Plan {
    /// One write.
    pub fn one(write: Write) -> Self {
        Plan::together(vec![write])
    }

    /// Writes that do not depend on one another.
    pub fn together(writes: Vec<Write>) -> Self {
        let mut plan = Plan::default();
        plan.then(writes);
        plan
    }

    /// Adds a batch to be sent when all before has succeeded.
    pub fn then(&mut self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.batches.push(writes);
        }
    }

    // ANCHOR: slow_start
    /// Writes in batches of 1, 2, 4, 8 …: when the first pod is refused (a quota, say),
    /// a thousand more need not be tried (upstream's `slowStartBatch`).
    pub fn slow_start(writes: Vec<Write>) -> Self {
        let mut plan = Plan::default();
        let mut writes = writes.into_iter().peekable();
        let mut size = 1;
        while writes.peek().is_some() {
            plan.batches.push(writes.by_ref().take(size).collect());
            size *= 2;
        }
        plan
    }
    // ANCHOR_END: slow_start

    /// All writes in order.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.batches.iter().flatten()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It has taken effect; the body of the answer.
    Done(Bytes),
    /// It has not taken effect.
    Refused(ApiError),
    /// It may have taken effect, or may yet: no answer came, or the server failed.
    Unknown(Option<Failure>),
    /// It was not sent, because one before it did not succeed.
    Skipped,
}

impl Outcome {
    /// Whether the write has taken effect.
    pub fn is_done(&self) -> bool {
        matches!(self, Outcome::Done(_))
    }

    /// The header of the object that a write answered with.
    pub fn meta(&self) -> Option<Meta> {
        match self {
            Outcome::Done(body) => Object::<HeaderOnly>::decode(body).ok().map(|o| o.meta),
            _ => None,
        }
    }

    /// What went wrong, for people; `None` when done.
    pub fn error(&self) -> Option<String> {
        match self {
            Outcome::Done(_) => None,
            Outcome::Refused(error) => Some(error.message.clone()),
            Outcome::Unknown(_) => Some("the outcome of a write is not known".to_string()),
            Outcome::Skipped => Some("an earlier write failed".to_string()),
        }
    }
}

/// One write of a plan that has come to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// What was to be done.
    pub write: Write,
    /// When it was sent (when its batch would have been, if skipped).
    pub sent: Time,
    /// What became of it.
    pub outcome: Outcome,
}

/// A plan being carried out.
#[derive(Debug)]
pub struct Execution {
    /// Every write with its outcome so far; `None` is under way or not yet sent.
    writes: Vec<(Write, Time, Option<Outcome>)>,
    /// Index behind the last write of each batch, in order.
    ends: Vec<usize>,
    /// Calls of the batch under way, with the index of their write.
    calls: BTreeMap<CallId, usize>,
    /// Index of the first write of the next batch.
    next: usize,
}

impl Execution {
    /// Sends the first batch of a plan.
    pub fn start<E>(plan: Plan, now: Time, ids: &mut CallIds, out: &mut Vec<Output<E>>) -> Self {
        let mut execution = Execution {
            writes: Vec::new(),
            ends: Vec::new(),
            calls: BTreeMap::new(),
            next: 0,
        };
        for batch in plan.batches {
            let batch = batch.into_iter().map(|write| (write, now, None));
            execution.writes.extend(batch);
            execution.ends.push(execution.writes.len());
        }
        execution.send_batch(now, ids, out);
        execution
    }

    /// Takes an input; the outcomes of all writes when the last has come.
    pub fn handle<O, E>(
        &mut self,
        input: &Input<O>,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) -> Option<Vec<Written>> {
        let (call, outcome) = match input {
            Input::Response(call, response) => (call, outcome_of(response)),
            Input::Failed(call, failure) => (call, Outcome::Unknown(Some(*failure))),
            _ => return None,
        };
        let index = self.calls.remove(call)?;
        if let Some(slot) = self.writes.get_mut(index) {
            slot.2 = Some(outcome);
        }
        if !self.calls.is_empty() {
            return None;
        }
        let sent = self.writes.iter().take(self.next);
        let succeeded = sent.filter_map(|w| w.2.as_ref()).all(Outcome::is_done);
        if succeeded && self.next < self.writes.len() {
            self.send_batch(now, ids, out);
            return None;
        }
        Some(self.finish())
    }

    /// Whether this call is one of its writes.
    pub fn owns(&self, call: CallId) -> bool {
        self.calls.contains_key(&call)
    }

    /// Whether there is nothing to wait for: the plan was empty.
    pub fn is_finished(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls under way.
    pub fn calls(&self) -> impl Iterator<Item = CallId> {
        self.calls.keys().copied()
    }

    fn send_batch<E>(&mut self, now: Time, ids: &mut CallIds, out: &mut Vec<Output<E>>) {
        let end = self.ends.iter().copied().find(|end| *end > self.next);
        let end = end.unwrap_or(self.writes.len());
        let (from, batch) = (self.next, self.writes.iter_mut().take(end).skip(self.next));
        for (offset, (write, sent, _)) in batch.enumerate() {
            let call = ids.fresh();
            *sent = now;
            out.push(Output::Call(call, write.request.clone()));
            self.calls.insert(call, from + offset);
        }
        self.next = end;
    }

    fn finish(&mut self) -> Vec<Written> {
        let writes = core::mem::take(&mut self.writes).into_iter();
        let writes = writes.map(|(write, sent, outcome)| Written {
            write,
            sent,
            outcome: outcome.unwrap_or(Outcome::Skipped),
        });
        writes.collect()
    }
}

fn outcome_of(response: &Response) -> Outcome {
    match parse(response) {
        Ok(body) => Outcome::Done(body),
        Err(error) if error.is_server_error() => Outcome::Unknown(None),
        Err(error) => Outcome::Refused(error),
    }
}

/// Live reads under way: the answers in the order of the requests.
#[derive(Debug)]
pub struct Reading {
    calls: Vec<(CallId, Option<Result<Response, Failure>>)>,
}

impl Reading {
    /// Sends the requests.
    pub fn start<E>(requests: Vec<Request>, ids: &mut CallIds, out: &mut Vec<Output<E>>) -> Self {
        let send = |request| {
            let call = ids.fresh();
            out.push(Output::Call(call, request));
            (call, None)
        };
        Reading {
            calls: requests.into_iter().map(send).collect(),
        }
    }

    /// Takes an input; all answers when the last has come.
    pub fn handle<O>(&mut self, input: &Input<O>) -> Option<Vec<Result<Response, Failure>>> {
        let (call, answer) = match input {
            Input::Response(call, response) => (call, Ok(response.clone())),
            Input::Failed(call, failure) => (call, Err(*failure)),
            _ => return None,
        };
        let slot = self.calls.iter_mut().find(|(id, _)| id == call)?;
        slot.1 = Some(answer);
        if self.calls.iter().any(|(_, answer)| answer.is_none()) {
            return None;
        }
        let calls = core::mem::take(&mut self.calls).into_iter();
        Some(calls.filter_map(|(_, answer)| answer).collect())
    }

    /// The calls under way.
    pub fn calls(&self) -> impl Iterator<Item = CallId> {
        let open = self.calls.iter().filter(|(_, answer)| answer.is_none());
        open.map(|(call, _)| *call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, DeleteOptions};
    use crate::component::Nothing;
    use crate::view::Key;
    use wavetank_api::{KindId, Uid};

    fn writes(count: usize) -> Vec<Write> {
        let client = Client::new("test", "test");
        let uid = Uid("u".into());
        let write = |i| {
            let key = Key::new("default", format!("p{i}"));
            client.delete(KindId::Pod, &key, &DeleteOptions::of(&uid))
        };
        (0..count).map(write).collect()
    }

    fn calls(out: &mut Vec<Output<Nothing>>) -> Vec<CallId> {
        let call = |output| match output {
            Output::Call(id, _) => Some(id),
            _ => None,
        };
        out.drain(..).filter_map(call).collect()
    }

    #[test]
    fn slow_start_doubles_its_batches() {
        let plan = Plan::slow_start(writes(10));
        let sizes: Vec<_> = plan.batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 2, 4, 3]);
    }

    #[test]
    fn a_batch_is_sent_only_when_all_before_it_succeeded() {
        let (mut ids, mut out) = (CallIds::default(), Vec::new());
        let now = Time::EPOCH;
        let plan = Plan::slow_start(writes(7));
        let mut execution = Execution::start(plan, now, &mut ids, &mut out);
        let first = calls(&mut out);
        assert_eq!(first.len(), 1);
        let ok = Response::new(200, "application/json", "{}");
        let input = Input::<Nothing>::Response(first[0], ok.clone());
        assert!(execution.handle(&input, now, &mut ids, &mut out).is_none());
        let second = calls(&mut out);
        assert_eq!(second.len(), 2);
        let no = r#"{"kind":"Status","reason":"Forbidden","message":"exceeded quota","code":403}"#;
        let refused = Response::new(403, "application/json", no);
        let input = Input::<Nothing>::Response(second[0], refused);
        assert!(execution.handle(&input, now, &mut ids, &mut out).is_none());
        let input = Input::<Nothing>::Response(second[1], ok);
        let written = execution.handle(&input, now, &mut ids, &mut out).unwrap();
        assert!(calls(&mut out).is_empty());
        let skipped = written.iter().filter(|w| w.outcome == Outcome::Skipped);
        assert_eq!((written.len(), skipped.count()), (7, 4));
        assert_eq!(
            written[1].outcome.error().as_deref(),
            Some("exceeded quota")
        );
    }
}
