//! Faults: what a scenario or chance does to the cluster, and what is left of it at any time.
//!
//! Only what a real network, disk, clock or process can do. `edges.rs` and `crashes.rs` carry out
//! what is dispatched here; the state that outlives the moment is in [`Faults`].
//!
//! 1. After the calm nothing of any fault is left: `nothing_is_left_after_the_calm`.
//!
//! Left out: duplicated requests. TCP does not double them; a client that sends its own again is
//! what `lose` and `break` bring about.
//!
//! Book: `book/src/simulator/faults.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wavetank_api::kinds::KindId;
use wavetank_store::Loss;

use crate::chance::Chance;
use crate::clock::LocalClock;
use crate::network::{ProcessId, Way};
use crate::process::News;
use crate::scenario::{Action, Requests, Span, Stream, resource_kind};
use crate::server::Origin;
use crate::trace::EventId;
use crate::world::{Event, World};

/// What waits for a process that stands still.
#[derive(Default)]
pub(crate) struct Pause {
    pub(crate) waiting: VecDeque<(News, EventId)>,
}

/// What becomes of the next requests of a process.
pub(crate) struct Ambush {
    of: ProcessId,
    method: Option<String>,
    kind: Option<KindId>,
    subresource: String,
    left: u32,
    /// The answer; none: the request takes effect, and the answer is lost.
    status: Option<u16>,
}

/// What of the faults outlives the moment, but for the network's.
pub(crate) struct Faults {
    /// Chance of its own, so that a fault more or less shifts nothing else.
    chance: Chance,
    /// Processes that stand still.
    pub(crate) paused: BTreeMap<ProcessId, Pause>,
    /// API servers that stand still, with what waits for each.
    pub(crate) paused_servers: BTreeMap<usize, VecDeque<(Event, EventId)>>,
    /// Watches whose events wait: of a process, of one kind or of all.
    holds: BTreeSet<(ProcessId, Option<KindId>)>,
    /// API servers whose watch of the store waits.
    pub(crate) held_servers: BTreeSet<usize>,
    ambushes: Vec<Ambush>,
    /// Requests whose answers will be lost.
    pub(crate) lost: BTreeSet<Origin>,
    /// How many writes of a process will be committed before it crashes.
    crashes: BTreeMap<ProcessId, u32>,
}

impl Faults {
    pub(crate) fn new(chance: Chance) -> Self {
        Faults {
            chance,
            paused: BTreeMap::new(),
            paused_servers: BTreeMap::new(),
            holds: BTreeSet::new(),
            held_servers: BTreeSet::new(),
            ambushes: Vec::new(),
            lost: BTreeSet::new(),
            crashes: BTreeMap::new(),
        }
    }

    /// A process has died: what was in store for it is void.
    pub(crate) fn forget_process(&mut self, id: ProcessId) {
        self.paused.remove(&id);
        self.crashes.remove(&id);
        self.lost.retain(|origin| origin.process != id);
    }

    /// What a power cut does to the bytes that are not synced: none survive, or some do.
    pub(crate) fn loss(&mut self) -> Loss {
        match self.chance.below(2) {
            0 => Loss::KeepFirst(self.chance.below(4096) as usize),
            _ => Loss::Tear {
                written: self.chance.below(u64::MAX),
            },
        }
    }

    /// Whether watch events of this kind wait.
    pub(crate) fn holds(&self, process: ProcessId, kind: Option<KindId>) -> bool {
        self.holds.contains(&(process, None))
            || kind.is_some() && self.holds.contains(&(process, kind))
    }

    /// What lies in wait for a request: an error to answer with, or the loss of its answer.
    pub(crate) fn ambush(
        &mut self,
        origin: Origin,
        method: &str,
        place: Option<(KindId, &str)>,
    ) -> Option<u16> {
        let (kind, subresource) = place.map_or((None, ""), |(kind, sub)| (Some(kind), sub));
        let lies_in_wait = |ambush: &Ambush| {
            let by_method = match &ambush.method {
                Some(wanted) => wanted == method,
                None => method != "GET",
            };
            let by_place = ambush
                .kind
                .is_none_or(|wanted| kind == Some(wanted) && ambush.subresource == subresource);
            ambush.of == origin.process && by_method && by_place
        };
        let at = self.ambushes.iter().position(lies_in_wait)?;
        let ambush = self.ambushes.get_mut(at)?;
        ambush.left -= 1;
        let status = ambush.status;
        if ambush.left == 0 {
            self.ambushes.remove(at);
        }
        if status.is_none() {
            self.lost.insert(origin);
        }
        status
    }

    /// Counts a committed write of a process; whether it is to crash now.
    pub(crate) fn count_write(&mut self, process: ProcessId) -> bool {
        let Some(left) = self.crashes.get_mut(&process) else {
            return false;
        };
        *left -= 1;
        let is_last = *left == 0;
        if is_last {
            self.crashes.remove(&process);
        }
        is_last
    }
}

impl World {
    /// Does what a step says beyond requests, and sees to its end.
    pub(crate) fn do_fault(&mut self, action: &Action, lasting: Option<Span>) {
        match action {
            Action::Create(_) | Action::Patch(_) | Action::Delete(_) | Action::Recreate(_) => {}
            Action::Fail(name) => self.each(name, World::fail_server, World::fail),
            Action::Recover(name) => self.each(name, World::recover_server, World::recover),
            Action::Restart(name) => self.each(name, |_, _| {}, World::restart),
            Action::Crash(crash) => {
                if let Some(id) = self.process_named(&crash.of) {
                    self.faults.crashes.insert(id, crash.writes);
                }
            }
            Action::Pause(name) => self.each(name, World::pause_server, World::pause),
            Action::Clock(clock) => {
                let ahead = signed(clock.ahead.0) - signed(clock.behind.0);
                self.set_clock(&clock.of, LocalClock::set(self.now, ahead, clock.drift));
            }
            Action::Cut(name) => self.cut(name, Way::BOTH),
            Action::Mute(name) => self.cut(name, &[Way::To]),
            Action::Deafen(name) => self.cut(name, &[Way::From]),
            Action::Heal(name) => self.each(name, |_, _| {}, World::heal),
            Action::Slow(delay) => {
                if let Some(id) = self.process_named(&delay.of) {
                    self.network.set_slow(id, delay.by.0);
                }
            }
            Action::Hold(stream) => self.hold(stream),
            Action::Release(stream) => self.release(stream),
            Action::Break(stream) => self.break_streams(stream),
            Action::Lose(requests) => self.lie_in_wait(requests, None),
            Action::Refuse(requests) => {
                self.lie_in_wait(requests, Some(requests.status.unwrap_or(500)));
            }
            Action::Move(to) => self.move_process(&to.of, &to.to),
            Action::Lag(delay) => {
                if let Some(server) = self.spec.server_number(&delay.of) {
                    self.network.set_lag(server, delay.by.0);
                }
            }
            Action::Compact(_) => self.forget_revisions(self.disk.store.revision()),
            Action::PowerCut(_) => self.power_cut(),
            Action::Exit(exit) => self.end_program(exit),
        }
        if let Some(lasting) = lasting {
            let end = Event::Undo {
                action: Box::new(action.clone()),
            };
            self.agenda.add(self.now + lasting.0, self.current, end);
        }
    }

    /// The end of a fault that lasted.
    pub(crate) fn undo_fault(&mut self, action: &Action) {
        match action {
            Action::Fail(name) => self.each(name, World::recover_server, World::recover),
            Action::Pause(name) => self.each(name, World::wake_server, World::wake),
            Action::Clock(clock) => self.set_clock(&clock.of, LocalClock::default()),
            Action::Cut(name) | Action::Mute(name) | Action::Deafen(name) => {
                self.each(name, |_, _| {}, World::heal);
            }
            Action::Slow(delay) => {
                if let Some(id) = self.process_named(&delay.of) {
                    self.network.set_slow(id, Duration::ZERO);
                }
            }
            Action::Hold(stream) => self.release(stream),
            Action::Lag(delay) => {
                if let Some(server) = self.spec.server_number(&delay.of) {
                    self.network.set_lag(server, Duration::ZERO);
                }
            }
            _ => {}
        }
    }

    /// Ends every fault there is.
    pub(crate) fn calm(&mut self) {
        let processes = self.processes.len();
        for number in 0..self.servers.len() {
            self.wake_server(number);
            self.recover_server(number);
            self.network.set_lag(number, Duration::ZERO);
            self.release_server(number);
        }
        for number in 0..processes {
            let id = ProcessId(u32::try_from(number).unwrap_or(u32::MAX));
            self.wake(id);
            self.network.set_slow(id, Duration::ZERO);
            self.heal(id);
            self.processes[number].clock = LocalClock::default();
            self.recover(id);
        }
        self.faults.ambushes.clear();
        self.faults.crashes.clear();
        self.faults.holds.clear();
        self.pump_all();
    }

    /// What of any fault still holds, in words; empty after the calm.
    pub fn faults_left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for process in &self.processes {
            let name = &process.name;
            if process.role.is_none() {
                left.push(format!("{name} is down"));
            }
            if process.clock != LocalClock::default() {
                left.push(format!("the clock of {name} is wrong"));
            }
        }
        let down = self.servers.iter().filter(|server| !server.is_up).count();
        let counts = [
            ("API servers are down", down),
            ("processes stand still", self.faults.paused.len()),
            ("API servers stand still", self.faults.paused_servers.len()),
            ("watches are held", self.faults.holds.len()),
            (
                "API servers see nothing new",
                self.faults.held_servers.len(),
            ),
            ("ambushes are laid", self.faults.ambushes.len()),
            ("crashes are due", self.faults.crashes.len()),
            ("edges are cut, slow or lag", self.network.faults()),
        ];
        let some = counts.iter().filter(|(_, count)| *count > 0);
        left.extend(some.map(|(what, count)| format!("{count} {what}")));
        left
    }

    /// Does one thing to the API server of this name, or another to the process of this name.
    fn each(
        &mut self,
        name: &str,
        server: fn(&mut World, usize),
        process: fn(&mut World, ProcessId),
    ) {
        if let Some(number) = self.spec.server_number(name) {
            server(self, number);
        } else if let Some(id) = self.process_named(name) {
            process(self, id);
        }
    }

    pub(crate) fn process_named(&self, name: &str) -> Option<ProcessId> {
        self.by_name.get(name).copied()
    }

    fn lie_in_wait(&mut self, requests: &Requests, status: Option<u16>) {
        let Some(of) = self.process_named(&requests.of) else {
            return;
        };
        let place = requests.kind().ok().flatten();
        self.faults.ambushes.push(Ambush {
            of,
            method: requests.method.clone(),
            kind: place.map(|(kind, _)| kind),
            subresource: place.map_or(String::new(), |(_, sub)| sub.to_owned()),
            left: requests.times.max(1),
            status,
        });
    }

    fn hold(&mut self, stream: &Stream) {
        if let Some(server) = self.spec.server_number(&stream.of) {
            self.faults.held_servers.insert(server);
        } else if let Some(id) = self.process_named(&stream.of) {
            self.faults.holds.insert((id, kind_of(stream)));
        }
    }

    fn release(&mut self, stream: &Stream) {
        if let Some(server) = self.spec.server_number(&stream.of) {
            self.release_server(server);
        } else if let Some(id) = self.process_named(&stream.of) {
            self.faults.holds.remove(&(id, kind_of(stream)));
            self.pump_all();
        }
    }

    fn set_clock(&mut self, name: &str, clock: LocalClock) {
        if let Some(id) = self.process_named(name)
            && let Some(process) = self.processes.get_mut(id.0 as usize)
        {
            process.clock = clock;
        }
    }
}

fn kind_of(stream: &Stream) -> Option<KindId> {
    resource_kind(stream.resource.as_deref()?).ok()
}

fn signed(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
