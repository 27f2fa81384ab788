//! Drives one controller: queue, own writes, plans under way.
//!
//! Held by the manager, which passes every input and all news on.
//!
//! 1. One key is worked on by one worker at a time (I2).
//! 2. A key is not reconciled until the caches show what was last written for it.
//! 3. At most `workers` keys are worked on at once; waiting for caches takes no worker.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::collections::BTreeMap;

use wavetank_api::Time;
use wavetank_informer::events::Recorder;
use wavetank_informer::executor::{Execution, Reading};
use wavetank_informer::own_writes::{OwnWrites, ReadYourWrites};
use wavetank_informer::queue::Queue;
use wavetank_informer::{CallIds, Client, Guard, Guards, Input, Nothing, Output};

use crate::controller::{Answers, Context, Controller, Step};
use crate::informers::{Informers, News};

/// What the manager lends a loop for one input.
pub(crate) struct Desk<'a> {
    pub world: &'a Informers,
    pub client: &'a Client,
    pub recorder: &'a mut Recorder,
    pub now: Time,
    pub ids: &'a mut CallIds,
    pub out: &'a mut Vec<Output<Nothing>>,
}

/// A controller's loop without its types.
pub(crate) trait Loop: Send {
    /// The controller's name.
    fn name(&self) -> &'static str;
    /// Turns news into keys.
    fn observe(&mut self, news: &News, world: &Informers, now: Time);
    /// The caches are filled: adds the keys that need no news.
    fn start(&mut self, now: Time);
    /// Takes an answer, if it is for this loop.
    fn handle(&mut self, input: &Input<Nothing>, desk: &mut Desk<'_>);
    /// Starts work on keys while there are keys and workers.
    fn run(&mut self, desk: &mut Desk<'_>);
    /// When it wants to be called though nothing happened.
    fn next_wake(&self) -> Option<Time>;
    /// Cancels all calls under way.
    fn stop(&mut self, out: &mut Vec<Output<Nothing>>);
}

/// What a worker waits for.
enum Work<M> {
    /// For the caches to show what was last written: without M02, which has it wait first and
    /// decide then.
    Decided(Step<M>),
    Plan(Execution, M),
    Read(Reading, M),
}

pub(crate) struct ControlLoop<C: Controller> {
    controller: C,
    guards: Guards,
    queue: Queue<C::Key>,
    own_writes: OwnWrites<C::Key>,
    /// Keys that wait for the caches, and why they were to be worked on.
    blocked: BTreeMap<C::Key, &'static str>,
    /// Keys being worked on that wait for answers.
    working: BTreeMap<C::Key, Work<C::Memory>>,
}

impl<C: Controller> ControlLoop<C> {
    pub(crate) fn new(controller: C, guards: Guards, how: ReadYourWrites) -> Self {
        ControlLoop {
            guards,
            queue: Queue::new(guards),
            own_writes: OwnWrites::new(how, guards, controller.barrier_guard()),
            blocked: BTreeMap::new(),
            working: BTreeMap::new(),
            controller,
        }
    }

    fn context<'a>(&self, key: &C::Key, desk: &Desk<'a>) -> Context<'a> {
        Context {
            world: desk.world,
            client: desk.client,
            guards: self.guards,
            now: desk.now,
            by: self.controller.name(),
            source: self.controller.event_source(),
            about: format!("{} {key}", self.controller.kind()).into(),
            events: Vec::new(),
            notes: Vec::new(),
        }
    }

    // ANCHOR: run
    /// Takes keys while there are workers. A key whose writes the caches do not show is
    /// set aside.
    fn take_keys(&mut self, desk: &mut Desk<'_>) {
        while self.working.len() < self.controller.workers() {
            let Some((key, because)) = self.queue.take(desk.now) else {
                return;
            };
            let is_clear = self.own_writes.is_clear(&key, desk.world, desk.now);
            if !is_clear && self.guards.on(Guard::M02) {
                self.queue.done(&key);
                self.blocked.insert(key, because);
                continue;
            }
            let mut cx = self.context(&key, desk);
            cx.note(because);
            let step = self.controller.reconcile(&key, &mut cx);
            if is_clear {
                self.follow(key, step, cx, desk);
            } else {
                self.working.insert(key, Work::Decided(step));
            }
        }
    }
    // ANCHOR_END: run

    /// Does what the controller said, until it waits for something or is done.
    fn follow(
        &mut self,
        key: C::Key,
        mut step: Step<C::Memory>,
        mut cx: Context<'_>,
        desk: &mut Desk<'_>,
    ) {
        loop {
            tell(&mut cx, desk);
            let (answers, memory) = match step {
                Step::Plan(plan, memory) if plan.is_empty() => {
                    (Answers::Written(Vec::new()), memory)
                }
                Step::Read(requests, memory) if requests.is_empty() => {
                    (Answers::Read(Vec::new()), memory)
                }
                Step::Plan(plan, memory) => {
                    self.own_writes.begin(&key, &plan, desk.now);
                    let execution = Execution::start(plan, desk.now, desk.ids, desk.out);
                    self.working.insert(key, Work::Plan(execution, memory));
                    return;
                }
                Step::Read(requests, memory) => {
                    let reading = Reading::start(requests, desk.ids, desk.out);
                    self.working.insert(key, Work::Read(reading, memory));
                    return;
                }
                ended => return self.end(&key, ended, desk.now),
            };
            step = self.controller.resume(&key, memory, answers, &mut cx);
        }
    }

    fn end(&mut self, key: &C::Key, step: Step<C::Memory>, now: Time) {
        match step {
            Step::Retry(_) => self.queue.add_failed(key.clone(), now),
            Step::After(wait) => {
                self.queue.forget(key);
                self.queue
                    .add_at(key.clone(), now + wait, "time has passed");
            }
            Step::Again => {
                self.queue.forget(key);
                self.queue.add(key.clone(), "not finished");
            }
            Step::Done | Step::Plan(..) | Step::Read(..) => self.queue.forget(key),
        }
        self.queue.done(key);
    }

    /// Answers that end the wait of one worker.
    fn answered(
        &mut self,
        input: &Input<Nothing>,
        desk: &mut Desk<'_>,
    ) -> Option<(C::Key, C::Memory, Answers)> {
        let mut found = None;
        for (key, work) in &mut self.working {
            let answers = match work {
                Work::Decided(_) => None,
                Work::Plan(execution, _) => execution
                    .handle(input, desk.now, desk.ids, desk.out)
                    .map(Answers::Written),
                Work::Read(reading, _) => reading.handle(input).map(Answers::Read),
            };
            if let Some(answers) = answers {
                found = Some((key.clone(), answers));
                break;
            }
        }
        let (key, answers) = found?;
        match self.working.remove(&key)? {
            Work::Plan(_, memory) | Work::Read(_, memory) => Some((key, memory, answers)),
            Work::Decided(_) => None,
        }
    }

    /// Goes on with what was decided before the caches showed the last writes.
    fn follow_decided(&mut self, desk: &mut Desk<'_>) {
        let own_writes = &mut self.own_writes;
        let clear = self.working.extract_if(.., |key, work| {
            matches!(work, Work::Decided(_)) && own_writes.is_clear(key, desk.world, desk.now)
        });
        for (key, work) in clear.collect::<Vec<_>>() {
            if let Work::Decided(step) = work {
                let cx = self.context(&key, desk);
                self.follow(key, step, cx, desk);
            }
        }
    }
}

fn tell(cx: &mut Context<'_>, desk: &mut Desk<'_>) {
    let notes = cx.notes.drain(..);
    desk.out.extend(notes.map(Output::<Nothing>::Note));
    for event in cx.events.drain(..) {
        desk.recorder.record(event, desk.now);
    }
}

impl<C: Controller> Loop for ControlLoop<C> {
    fn name(&self) -> &'static str {
        self.controller.name()
    }

    fn observe(&mut self, news: &News, world: &Informers, now: Time) {
        self.own_writes.saw(|| self.controller.shown(news, world));
        self.controller.observe(news, world, now, &mut self.queue);
    }

    fn start(&mut self, now: Time) {
        self.controller.start(now, &mut self.queue);
    }

    fn handle(&mut self, input: &Input<Nothing>, desk: &mut Desk<'_>) {
        self.own_writes
            .handle(input, desk.now, desk.client, desk.ids, desk.out);
        if !matches!(input, Input::Response(..) | Input::Failed(..)) {
            return;
        }
        if let Some((key, memory, answers)) = self.answered(input, desk) {
            if let Answers::Written(written) = &answers {
                self.own_writes.ended(&key, written);
            }
            let mut cx = self.context(&key, desk);
            let step = self.controller.resume(&key, memory, answers, &mut cx);
            self.follow(key, step, cx, desk);
        }
    }

    fn run(&mut self, desk: &mut Desk<'_>) {
        self.follow_decided(desk);
        let (own_writes, queue) = (&mut self.own_writes, &mut self.queue);
        self.blocked.retain(|key, because| {
            let clear = own_writes.is_clear(key, desk.world, desk.now);
            if clear {
                queue.add(key.clone(), because);
            }
            !clear
        });
        self.take_keys(desk);
    }

    fn next_wake(&self) -> Option<Time> {
        let times = [self.queue.next_wake(), self.own_writes.next_wake()];
        times.into_iter().flatten().min()
    }

    fn stop(&mut self, out: &mut Vec<Output<Nothing>>) {
        for work in core::mem::take(&mut self.working).into_values() {
            match work {
                Work::Plan(execution, _) => out.extend(execution.calls().map(Output::Cancel)),
                Work::Read(reading, _) => out.extend(reading.calls().map(Output::Cancel)),
                Work::Decided(_) => {}
            }
        }
    }
}
