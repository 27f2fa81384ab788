//! What the world does to processes: crash, restart, cut off, join again.
//!
//! Only what a real machine or network can do. A crash loses the process and, for a node, its
//! containers; a cut loses no state on either side, only messages.
//!
//! Book: `book/src/simulator/world.md`.

use core::time::Duration;

use wavetank_informer::{CallId, Failure};

use crate::network::ProcessId;
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
