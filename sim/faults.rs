//! What the world does to processes: crash, restart, cut off, join again.
//!
//! Only what a real machine or network can do. A crash loses the process and, for a node, its
//! containers; a cut loses no state on either side, only messages.
//!
//! Book: `book/src/simulator/world.md`.

use core::time::Duration;

use wavetank_informer::{CallId, Failure};

use crate::network::{Fate, ProcessId};
use crate::process::News;
use crate::server::Origin;
use crate::trace::What;
use crate::world::{Event, World};

/// How long a connection without answers lasts before its owner gives it up (the HTTP/2 ping
/// timeout of client-go: 30 s idle and 15 s without an answer).
const DEAD_CONNECTION: Duration = Duration::from_secs(45);

impl World {
    /// Kills a process: its connections are reset, and a node loses its containers.
    pub(crate) fn fail(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(id.0 as usize) else {
            return;
        };
        process.role = None;
        process.incarnation += 1;
        process.open.clear();
        process.wake = None;
        process.runtime_due = None;
        self.drop_connections(id);
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
                self.network.carry(origin.process, self.now, None);
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

    /// Cuts a process off from every API server.
    pub(crate) fn cut(&mut self, id: ProcessId) {
        self.network.set_cut(id, true);
        self.drop_connections(id);
        let Some(process) = self.processes.get(id.0 as usize) else {
            return;
        };
        let (incarnation, server) = (process.incarnation, process.server);
        let open: Vec<(CallId, bool)> = process.open.iter().map(|(c, s)| (*c, *s)).collect();
        debug_assert!(
            server < self.servers.len(),
            "a process speaks to a server that exists"
        );
        for (call, stream) in open {
            let origin = Origin {
                process: id,
                incarnation,
                call,
                stream,
            };
            let news = News::Failed(call, Failure::TimedOut);
            self.tell_at(self.now + DEAD_CONNECTION, origin, news, self.current);
        }
    }

    /// Joins a process again. Its connections are new ones.
    pub(crate) fn heal(&mut self, id: ProcessId) {
        self.network.set_cut(id, false);
    }
}
