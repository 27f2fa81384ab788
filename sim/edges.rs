//! Edges that fail: processes cut off or standing still, watches that are held, moved or broken.
//!
//! 1. What is held or waits keeps its order.
//!
//! Book: `book/src/simulator/faults.md`.

use core::time::Duration;

use wavetank_api::json::Value;
use wavetank_informer::{CallId, Failure};

use crate::network::{Fate, ProcessId, Way};
use crate::process::{News, Role};
use crate::runtime::instance::End;
use crate::scenario::{Exit, ObjectName, Stream, resource_kind};
use crate::server::Origin;
use crate::world::{Event, World};

/// How long a connection without answers lasts before its owner gives it up (the HTTP/2 ping
/// timeout of client-go: 30 s idle and 15 s without an answer).
const DEAD_CONNECTION: Duration = Duration::from_secs(45);

impl World {
    // ANCHOR: cut
    /// Cuts a process off from every API server, in one direction or both.
    pub(crate) fn cut(&mut self, name: &str, ways: &[Way]) {
        let Some(id) = self.process_named(name) else {
            return;
        };
        for way in ways {
            self.network.set_cut(id, *way, true);
        }
        self.drop_connections(id);
        for origin in self.open_calls(id) {
            let news = News::Failed(origin.call, Failure::TimedOut);
            self.tell_at(self.now + DEAD_CONNECTION, origin, news, self.current);
        }
    }
    // ANCHOR_END: cut

    /// Joins a process again. Its connections are new ones.
    pub(crate) fn heal(&mut self, id: ProcessId) {
        for way in Way::BOTH {
            self.network.set_cut(id, *way, false);
        }
    }

    /// The calls and streams of a process that have not ended.
    pub(crate) fn open_calls(&self, id: ProcessId) -> Vec<Origin> {
        let Some(process) = self.processes.get(id.0 as usize) else {
            return Vec::new();
        };
        let origin = |(call, stream): (&CallId, &bool)| Origin {
            process: id,
            incarnation: process.incarnation,
            call: *call,
            stream: *stream,
        };
        process.open.iter().map(origin).collect()
    }

    /// Resets these connections, as their owner will soon notice.
    fn reset(&mut self, origins: Vec<Origin>) {
        for origin in origins {
            for server in 0..self.servers.len() {
                self.drop_origin(server, origin);
            }
            let (Fate::Arrives(at) | Fate::Broken(at)) =
                self.network
                    .carry((origin.process, Way::From), self.now, None);
            let news = News::Failed(origin.call, Failure::Unreachable);
            self.tell_at(at, origin, news, self.current);
        }
    }

    /// Breaks watches of a process; it opens them again.
    pub(crate) fn break_streams(&mut self, stream: &Stream) {
        let Some(id) = self.process_named(&stream.of) else {
            return;
        };
        let kind = stream
            .resource
            .as_deref()
            .and_then(|r| resource_kind(r).ok());
        let mut broken = Vec::new();
        for server in &self.servers {
            broken.extend(server.streams_of(id, kind));
        }
        self.reset(broken);
    }

    /// A process speaks to another API server from now on.
    pub(crate) fn move_process(&mut self, name: &str, to: &str) {
        let (Some(id), Some(server)) = (self.process_named(name), self.spec.server_number(to))
        else {
            return;
        };
        let open = self.open_calls(id);
        self.reset(open);
        if let Some(process) = self.processes.get_mut(id.0 as usize) {
            process.server = server;
        }
    }

    // --- standing still ----------------------------------------------------------------------

    /// What reaches a process from now on waits.
    pub(crate) fn pause(&mut self, id: ProcessId) {
        self.faults.paused.entry(id).or_default();
    }

    /// A process that stood still goes on.
    pub(crate) fn wake(&mut self, id: ProcessId) {
        let Some(pause) = self.faults.paused.remove(&id) else {
            return;
        };
        let Some(process) = self.processes.get(id.0 as usize) else {
            return;
        };
        let incarnation = process.incarnation;
        for (news, cause) in pause.waiting {
            self.hear(id, incarnation, news, cause);
        }
        self.hear_runtime(id, self.current);
    }

    /// What reaches an API server from now on waits.
    pub(crate) fn pause_server(&mut self, server: usize) {
        self.faults.paused_servers.entry(server).or_default();
    }

    /// An API server that stood still goes on.
    pub(crate) fn wake_server(&mut self, server: usize) {
        let waiting = self.faults.paused_servers.remove(&server);
        for (event, cause) in waiting.into_iter().flatten() {
            self.happen(event, cause);
        }
    }

    /// An API server's watch of the store goes on.
    pub(crate) fn release_server(&mut self, server: usize) {
        self.faults.held_servers.remove(&server);
        let host = &mut self.servers[server];
        let life = (server, host.incarnation);
        for batch in std::mem::take(&mut host.held) {
            let host = &mut self.servers[server];
            host.last_batch = self.network.observed(server, self.now, host.last_batch);
            let event = Event::Observe {
                server: life,
                batch,
            };
            let at = self.servers[server].last_batch;
            self.agenda.add(at, self.current, event);
        }
    }

    // --- machines ----------------------------------------------------------------------------

    /// The program of a container ends, if it runs.
    pub(crate) fn end_program(&mut self, exit: &Exit) {
        let Ok(name) = ObjectName::parse(&format!("pods/{}", exit.pod)) else {
            return;
        };
        let Some(pod) = self.object(&name.key()) else {
            return;
        };
        let text = |path| {
            pod.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (node, uid) = (text("/spec/nodeName"), text("/metadata/uid"));
        let Some(id) = self.process_named(node) else {
            return;
        };
        let now = self.now;
        let process = &mut self.processes[id.0 as usize];
        let local = process.clock.shows(now);
        let runtime = match (&mut process.role, &mut process.machine) {
            (Some(Role::Node(node)), _) => &mut node.runtime,
            (_, Some(machine)) => machine,
            _ => return,
        };
        let end = match exit.code {
            137 => End::out_of_memory(),
            code => End::with(code),
        };
        runtime.end_program(
            &wavetank_api::Uid(uid.into()),
            exit.container.as_deref(),
            end,
            local,
        );
        self.set_runtime_timer(id);
    }
}
