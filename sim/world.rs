//! The world: one thread, one queue of events, and everything that a cluster consists of.
//!
//! [`World::run_until`] takes the next event, lets the core concerned handle it, and turns what it
//! wants done into further events with the network's latencies. API servers, store, controllers,
//! scheduler and kubelets are the same values that `serve` carries in real time.
//!
//! 1. The same scenario and seed give the same trace.
//! 2. Components meet only through requests to an API server.
//! 3. A process that is down hears nothing; what was under way to it is lost.
//!
//! Book: `book/src/simulator/world.md`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::{Request, Revision, Time};
use wavetank_informer::{CallId, Failure, Guards, Note, Output};
use wavetank_store::Batch;

use crate::agenda::Agenda;
use crate::chance::Seed;
use crate::disk::{Disk, Released, ServerLife};
use crate::faults::Faults;
use crate::network::{Fate, Network, ProcessId, Way};
use crate::operator::{Operator, Recreating};
use crate::oracle::{Watchman, Writer};
use crate::process::{News, Process};
use crate::scenario::{Action, ClusterSpec};
use crate::server::{Origin, Server};
use crate::trace::{EventId, Mark, Trace, What};
use crate::verdict::Watched;

/// When every simulated cluster begins: 2026-01-01T00:00:00Z.
pub const BEGINNING: Time = Time::from_secs(1_767_225_600);

/// How often the store forgets revisions, and how much history it keeps (etcd under kube-apiserver:
/// `--etcd-compaction-interval`, five minutes).
pub(crate) const COMPACTION: Duration = Duration::from_secs(300);

/// Something that will happen.
pub(crate) enum Event {
    /// Something reaches a process, if it is still the same incarnation.
    Hear {
        process: ProcessId,
        incarnation: u32,
        news: News,
    },
    /// The timer of a process, if it still waits for this very time.
    Tick {
        process: ProcessId,
        incarnation: u32,
    },
    /// The container runtime of a node has something to say.
    Runtime {
        process: ProcessId,
        incarnation: u32,
    },
    /// A request reaches an API server.
    Arrive {
        server: usize,
        origin: Origin,
        request: Request,
    },
    /// A client has hung up.
    HangUp { server: usize, origin: Origin },
    /// A group of transactions is on disk.
    Synced,
    /// A lease is over, if the store still waits for this very time.
    Expire,
    /// A batch of the store's watch reaches an API server's cache.
    Observe { server: ServerLife, batch: Batch },
    /// A transaction of an API server is durable.
    Released { answer: Released },
    /// A timer of an API server.
    ServerTick { server: usize },
    /// The store forgets what is older than this revision, and marks the next one.
    Compact { at: Revision },
    /// A step of the scenario.
    Step(usize),
    /// The end of a fault that lasted.
    Undo { action: Box<Action> },
    /// A process that crashed starts again.
    Recover { process: ProcessId },
    /// The operator looks whether what it deleted is gone.
    Again { recreation: Box<Recreating> },
    /// All faults end.
    Calm,
    /// A whole second at which a check is looked at.
    Check(usize),
}

/// A simulated cluster.
pub struct World {
    pub(crate) now: Time,
    pub(crate) agenda: Agenda<Event>,
    pub(crate) trace: Trace,
    pub(crate) network: Network,
    pub(crate) disk: Disk,
    pub(crate) faults: Faults,
    pub(crate) servers: Vec<Server>,
    pub(crate) processes: Vec<Process>,
    pub(crate) by_name: BTreeMap<Arc<str>, ProcessId>,
    pub(crate) operator: Operator,
    pub(crate) checks: Vec<Watched>,
    pub(crate) seed: Seed,
    pub(crate) spec: ClusterSpec,
    /// The guards that every component keeps.
    pub(crate) guards: Guards,
    /// The event that is being handled.
    pub(crate) current: EventId,
    /// Looks at invariants, if anybody does.
    pub(crate) watchman: Option<Box<Watchman>>,
    /// Who sent each write that is under way, for the watchman.
    pub(crate) intents: BTreeMap<Origin, Arc<Writer>>,
}

impl World {
    /// The virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The history so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Lets everything happen up to and including `end`.
    pub fn run_until(&mut self, end: Time) {
        while self.agenda.next_time().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// The same, until an invariant is seen broken.
    pub fn run_until_broken(&mut self, end: Time) {
        while self.agenda.next_time().is_some_and(|at| at <= end) {
            self.step();
            if !self.violations().is_empty() {
                return;
            }
        }
        self.now = end;
    }

    // ANCHOR: step
    /// Lets the next event happen. False when nothing is left.
    pub fn step(&mut self) -> bool {
        let Some((at, cause, event)) = self.agenda.pop() else {
            return false;
        };
        self.now = at;
        self.happen(event, cause);
        true
    }
    // ANCHOR_END: step

    /// Lets an event happen now.
    pub(crate) fn happen(&mut self, event: Event, cause: EventId) {
        let Some(event) = self.or_waits(event, cause) else {
            return;
        };
        match event {
            Event::Hear {
                process,
                incarnation,
                news,
            } => {
                self.hear(process, incarnation, news, cause);
            }
            Event::Tick {
                process,
                incarnation,
            } => self.tick(process, incarnation, cause),
            Event::Runtime {
                process,
                incarnation,
            } => self.runtime(process, incarnation, cause),
            Event::Arrive {
                server,
                origin,
                request,
            } => self.arrive(server, origin, request, cause),
            Event::HangUp { server, origin } => self.hang_up(server, origin, cause),
            Event::Synced => self.synced(cause),
            Event::Expire => self.expire(cause),
            Event::Observe { server, batch } => self.observe(server, &batch, cause),
            Event::Released { answer } => {
                self.current = cause;
                self.resume_txn(answer);
            }
            Event::ServerTick { server } => self.server_tick(server, cause),
            Event::Compact { at } => self.compact(at, cause),
            Event::Step(index) => self.scenario_step(index, cause),
            Event::Undo { action } => {
                self.mark(cause, b'u', 0, 0, &[]);
                self.undo_fault(&action);
            }
            Event::Recover { process } => {
                self.mark(cause, b'l', process.0 as usize, 0, &[]);
                self.recover(process);
            }
            Event::Again { recreation } => self.create_again(*recreation, cause),
            Event::Calm => {
                self.mark(cause, b'a', 0, 0, &[]);
                self.calm();
            }
            Event::Check(index) => self.check(index, cause),
        }
    }

    /// Puts an event aside that concerns an API server which stands still.
    fn or_waits(&mut self, event: Event, cause: EventId) -> Option<Event> {
        let server = match &event {
            Event::Arrive { server, .. }
            | Event::HangUp { server, .. }
            | Event::ServerTick { server } => *server,
            Event::Observe { server, .. } => server.0,
            Event::Released { answer } => answer.waiter.server.0,
            _ => return Some(event),
        };
        match self.faults.paused_servers.get_mut(&server) {
            None => Some(event),
            Some(waiting) => {
                waiting.push_back((event, cause));
                None
            }
        }
    }

    pub(crate) fn mark(&mut self, cause: EventId, tag: u8, who: usize, which: u64, bytes: &[u8]) {
        let mark = Mark {
            tag,
            who: who as u64,
            which,
            bytes,
        };
        self.current = self.trace.event(self.now, cause, &mark);
    }

    // --- processes ---------------------------------------------------------------------------

    fn is_current(&self, process: ProcessId, incarnation: u32) -> bool {
        let found = self.processes.get(process.0 as usize);
        found.is_some_and(|p| p.incarnation == incarnation && p.role.is_some())
    }

    pub(crate) fn hear(&mut self, id: ProcessId, incarnation: u32, news: News, cause: EventId) {
        if id == Operator::PROCESS {
            return self.operator_hears(news, cause);
        }
        if !self.is_current(id, incarnation) {
            return;
        }
        if let Some(pause) = self.faults.paused.get_mut(&id) {
            return pause.waiting.push_back((news, cause));
        }
        let process = &mut self.processes[id.0 as usize];
        let call = news.call();
        if let Some((call, over)) = call {
            if !process.open.contains_key(&call) {
                return; // cancelled, or failed in the meantime
            }
            if over {
                process.open.remove(&call);
            }
        }
        process.learn(&news);
        process.goes_on = call.and_then(|(call, _)| process.decided.remove(&call));
        let name = process.name.clone();
        let bytes = news.bytes();
        let words = news.words();
        self.mark(
            cause,
            b'h',
            id.0 as usize,
            call.map_or(0, |(call, _)| call.0),
            &bytes,
        );
        self.trace
            .record(self.current, cause, self.now, || What::Heard {
                process: name,
                news: words,
            });
        let outputs = self.processes[id.0 as usize].hear(news, self.now);
        self.show_lives(id);
        self.carry_out(id, outputs);
    }

    fn tick(&mut self, id: ProcessId, incarnation: u32, cause: EventId) {
        if !self.is_current(id, incarnation) {
            return;
        }
        let process = &mut self.processes[id.0 as usize];
        if process.wake != Some(self.now) {
            return; // another time was asked for since
        }
        process.wake = None;
        self.hear(id, incarnation, News::Tick, cause);
    }

    fn runtime(&mut self, id: ProcessId, incarnation: u32, cause: EventId) {
        if !self.is_current(id, incarnation) {
            return;
        }
        let process = &mut self.processes[id.0 as usize];
        if process.runtime_due != Some(self.now) {
            return;
        }
        process.runtime_due = None;
        if !self.faults.paused.contains_key(&id) {
            self.hear_runtime(id, cause);
        }
    }

    /// Lets the container runtime of a machine say what it has to say.
    pub(crate) fn hear_runtime(&mut self, id: ProcessId, cause: EventId) {
        let Some(process) = self.processes.get(id.0 as usize) else {
            return;
        };
        let name = process.name.clone();
        self.mark(cause, b'r', id.0 as usize, 0, &[]);
        self.trace
            .record(self.current, cause, self.now, || What::Heard {
                process: name,
                news: "its container runtime",
            });
        let outputs = self.processes[id.0 as usize].hear_runtime(self.now);
        self.show_lives(id);
        self.carry_out(id, outputs);
    }

    /// Turns what a process wants done into events. What follows a note is caused by it.
    fn carry_out(&mut self, id: ProcessId, outputs: Vec<Output<()>>) {
        let (server, incarnation) = {
            let process = &self.processes[id.0 as usize];
            (process.server, process.incarnation)
        };
        let origin = |call, stream| Origin {
            process: id,
            incarnation,
            call,
            stream,
        };
        let mut cause = self.current;
        for output in outputs {
            match output {
                Output::Call(call, request) => {
                    self.send(server, origin(call, false), request, cause);
                }
                Output::Watch(call, request) => {
                    self.send(server, origin(call, true), request, cause);
                }
                Output::Cancel(call) => self.cancel(server, id, incarnation, call),
                Output::WakeAt(at) => {
                    let at = self.processes[id.0 as usize].clock.when(at);
                    self.wake_at(id, at.max(self.now), cause);
                }
                Output::Note(note) => {
                    self.processes[id.0 as usize].goes_on = None;
                    cause = self.decided(id, note);
                }
                Output::Effect(()) => {}
            }
        }
        self.set_runtime_timer(id);
    }

    fn wake_at(&mut self, id: ProcessId, at: Time, cause: EventId) {
        let process = &mut self.processes[id.0 as usize];
        if process.wake != Some(at) {
            process.wake = Some(at);
            let incarnation = process.incarnation;
            let tick = Event::Tick {
                process: id,
                incarnation,
            };
            self.agenda.add(at, cause, tick);
        }
    }

    /// A component says why it does what it does next; returns the number of that record.
    fn decided(&mut self, id: ProcessId, note: Note) -> EventId {
        let name = self.processes[id.0 as usize].name.clone();
        let mark = Mark {
            tag: b'n',
            who: id.0.into(),
            which: 0,
            bytes: note.about.as_bytes(),
        };
        let heard = self.current;
        let decided = self.trace.event(self.now, heard, &mark);
        self.trace
            .record(decided, heard, self.now, || What::Decided {
                process: name,
                by: note.by,
                about: note.about,
                because: note.because,
            });
        decided
    }

    pub(crate) fn set_runtime_timer(&mut self, id: ProcessId) {
        let process = &mut self.processes[id.0 as usize];
        let Some(due) = process.next_runtime() else {
            return;
        };
        if process.runtime_due.is_none_or(|set| due < set) {
            let due = due.max(self.now);
            process.runtime_due = Some(due);
            let incarnation = process.incarnation;
            let event = Event::Runtime {
                process: id,
                incarnation,
            };
            self.agenda.add(due, self.current, event);
        }
    }

    fn send(&mut self, server: usize, origin: Origin, request: Request, cause: EventId) {
        if let Some(process) = self.processes.get_mut(origin.process.0 as usize) {
            process.open.insert(origin.call, origin.stream);
        }
        if self.watchman.is_some() {
            self.note_intent(origin, &request);
        }
        match self
            .network
            .carry((origin.process, Way::To), self.now, None)
        {
            Fate::Arrives(at) => {
                self.agenda.add(
                    at,
                    cause,
                    Event::Arrive {
                        server,
                        origin,
                        request,
                    },
                );
            }
            Fate::Broken(at) => {
                let news = News::Failed(origin.call, Failure::Unreachable);
                self.tell_at(at, origin, news, cause);
            }
        }
    }

    pub(crate) fn tell_at(&mut self, at: Time, origin: Origin, news: News, cause: EventId) {
        let Origin {
            process,
            incarnation,
            ..
        } = origin;
        self.agenda.add(
            at,
            cause,
            Event::Hear {
                process,
                incarnation,
                news,
            },
        );
    }

    fn cancel(&mut self, server: usize, id: ProcessId, incarnation: u32, call: CallId) {
        let Some(stream) = self.processes[id.0 as usize].open.remove(&call) else {
            return;
        };
        let origin = Origin {
            process: id,
            incarnation,
            call,
            stream,
        };
        if let Fate::Arrives(at) = self.network.carry((id, Way::To), self.now, None) {
            self.agenda
                .add(at, self.current, Event::HangUp { server, origin });
        }
    }
}
