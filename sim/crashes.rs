//! Processes that die and start again: components, machines, API servers, the whole control plane.
//!
//! A crash loses the process and, for a node, its containers; whatever was under way to the dead
//! process is not heard by the one that takes its place.
//!
//! 1. What a client was told is in the store after any crash: I8 looks.
//!
//! Book: `book/src/simulator/faults.md`.

use core::time::Duration;

use wavetank_informer::Failure;

use crate::disk::Released;
use crate::network::{Fate, ProcessId, Way};
use crate::process::{News, Role};
use crate::server::Origin;
use crate::trace::What;
use crate::world::{Event, World};

/// How long a process that crashed stays down.
const STARTS_AGAIN: Duration = Duration::from_secs(1);

impl World {
    /// Kills a process: its connections are reset, and a node loses its containers.
    pub(crate) fn fail(&mut self, id: ProcessId) {
        self.kill(id);
        self.show_end_of_machine(id);
        if let Some(process) = self.processes.get_mut(id.0 as usize) {
            process.machine = None;
        }
    }

    /// Kills a process; what its machine runs besides goes on.
    fn kill(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(id.0 as usize) else {
            return;
        };
        if let Some(Role::Node(node)) = process.role.take() {
            let mut runtime = node.runtime;
            runtime.hang_up();
            process.machine = Some(runtime);
        }
        process.incarnation += 1;
        process.open.clear();
        process.asked.clear();
        process.decided.clear();
        process.views = Default::default();
        process.wake = None;
        process.runtime_due = None;
        self.faults.forget_process(id);
        self.drop_connections(id);
    }

    /// Kills a process and starts it at once; a node's containers go on.
    pub(crate) fn restart(&mut self, id: ProcessId) {
        self.kill(id);
        self.recover(id);
    }

    /// Kills a process between two of its writes; it starts again a little later.
    pub(crate) fn crash(&mut self, id: ProcessId) {
        self.kill(id);
        let again = Event::Recover { process: id };
        self.agenda
            .add(self.now + STARTS_AGAIN, self.current, again);
    }

    /// A write has been committed: perhaps one too many for its writer.
    pub(crate) fn crash_after_write(&mut self, answer: &Released) {
        let (server, _) = answer.waiter.server;
        let Some(origin) = self.servers[server].origin_of(answer.waiter.ticket) else {
            return;
        };
        let Some(process) = self.processes.get_mut(origin.process.0 as usize) else {
            return;
        };
        process.writes += 1;
        if self.faults.count_write(origin.process) {
            self.crash(origin.process);
        }
    }

    /// How many writes of this process have been committed.
    pub fn writes_of(&self, name: &str) -> u32 {
        let process = self
            .process_named(name)
            .map(|id| &self.processes[id.0 as usize]);
        process.map_or(0, |process| process.writes)
    }

    /// The power of the control plane goes: the store has what was on its disk, and every API
    /// server starts again.
    pub(crate) fn power_cut(&mut self) {
        let loss = self.faults.loss();
        let up: Vec<usize> = (0..self.servers.len())
            .filter(|server| self.servers[*server].is_up)
            .collect();
        for server in &up {
            self.fail_server(*server);
        }
        self.disk.power_cut(loss, self.now);
        self.show_power_cut();
        for server in &up {
            self.recover_server(*server);
        }
        self.wait_for_expiry();
    }

    /// Starts a process that was killed; one that runs goes on.
    pub(crate) fn recover(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get(id.0 as usize) else {
            return;
        };
        if process.role.is_some() {
            return;
        }
        let name = process.name.clone();
        let role = self.make_role(id);
        let process = &mut self.processes[id.0 as usize];
        process.role = role;
        let incarnation = process.incarnation;
        self.trace
            .record(self.current, self.current, self.now, || What::Started {
                process: name,
            });
        let start = Event::Hear {
            process: id,
            incarnation,
            news: News::Start,
        };
        self.agenda.add(self.now, self.current, start);
    }

    /// Kills an API server: its connections are reset, and its clients go to another one, as behind
    /// a load balancer.
    pub(crate) fn fail_server(&mut self, server: usize) {
        if !self.servers[server].is_up {
            return;
        }
        self.faults.paused_servers.remove(&server);
        self.forget(server);
        let next = self.next_up(server);
        let mut lost = Vec::new();
        for (number, process) in self.processes.iter_mut().enumerate() {
            if process.server != server {
                continue;
            }
            process.server = next;
            let id = ProcessId(u32::try_from(number).unwrap_or(u32::MAX));
            let incarnation = process.incarnation;
            lost.extend(process.open.iter().map(|(call, stream)| Origin {
                process: id,
                incarnation,
                call: *call,
                stream: *stream,
            }));
        }
        for origin in lost {
            let (Fate::Arrives(at) | Fate::Broken(at)) =
                self.network
                    .carry((origin.process, Way::From), self.now, None);
            let news = News::Failed(origin.call, Failure::Unreachable);
            self.tell_at(at, origin, news, self.current);
        }
    }

    /// Starts an API server that was killed; one that runs goes on.
    pub(crate) fn recover_server(&mut self, server: usize) {
        if self.servers[server].is_up {
            return;
        }
        self.start_server(server);
        for process in &mut self.processes {
            if !self.servers[process.server].is_up {
                process.server = server;
            }
        }
        self.after(server);
    }

    /// The first API server from this one on that is up; this one when none is.
    pub(crate) fn next_up(&self, server: usize) -> usize {
        let all = (server..self.servers.len()).chain(0..server);
        let mut up = all.filter(|number| self.servers[*number].is_up);
        up.next().unwrap_or(server)
    }
}
