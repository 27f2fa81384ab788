//! API servers in the world: who waits for which answer, and what their caches have seen.
//!
//! An API server's core hands out [`Step`]s; this file carries them: transactions to the store,
//! answers and frames to the processes, waiting requests nowhere until the cache moves.
//!
//! Book: `book/src/simulator/world.md`.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use wavetank_api::kinds::KindId;
use wavetank_api::{Request, Response, Revision, Status, Time};
use wavetank_apiserver::{ApiServer, Input, Step, StreamId, Ticket, Unavailable};
use wavetank_informer::{CallId, Failure};
use wavetank_store::{Batch, WatchId};

use crate::disk::{Released, ServerLife, Waiter};
use crate::network::{Fate, ProcessId, Way};
use crate::oracle::Known;
use crate::process::News;
use crate::trace::{EventId, What};
use crate::world::{Event, World};

/// Where a request came from, and where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) process: ProcessId,
    pub(crate) incarnation: u32,
    pub(crate) call: CallId,
    /// Whether the answer is a stream.
    pub(crate) stream: bool,
}

/// A stream that an API server feeds.
struct Outlet {
    origin: Origin,
    /// When the last frame arrives: the next one does not overtake it.
    last_arrival: Time,
    /// What it watches.
    kind: Option<KindId>,
    /// Frames that a fault holds back.
    held: VecDeque<(Bytes, Known)>,
}

/// What an origin waits for.
#[derive(Clone, Copy)]
enum Pending {
    Answer(Ticket),
    Stream(StreamId),
}

/// One API server and its callers.
pub(crate) struct Server {
    pub(crate) api: ApiServer,
    /// Its watch on the store; none while it is down.
    pub(crate) watch: Option<WatchId>,
    /// When the last batch of that watch reaches it.
    pub(crate) last_batch: Time,
    /// Whether it runs.
    pub(crate) is_up: bool,
    /// Raised by each crash.
    pub(crate) incarnation: u32,
    /// Batches of its watch that a fault holds back.
    pub(crate) held: VecDeque<Batch>,
    /// What each stream that is being opened is of.
    watched: BTreeMap<Origin, Option<KindId>>,
    callers: BTreeMap<Ticket, Option<Origin>>,
    outlets: BTreeMap<StreamId, Outlet>,
    pending: BTreeMap<Origin, Pending>,
    wake: Option<Time>,
}

impl Server {
    pub(crate) fn new(api: ApiServer, watch: WatchId, now: Time) -> Self {
        Server {
            api,
            watch: Some(watch),
            last_batch: now,
            is_up: true,
            incarnation: 0,
            held: VecDeque::new(),
            watched: BTreeMap::new(),
            callers: BTreeMap::new(),
            outlets: BTreeMap::new(),
            pending: BTreeMap::new(),
            wake: None,
        }
    }

    /// The watches of a process, of one kind or of all.
    pub(crate) fn streams_of(&self, process: ProcessId, kind: Option<KindId>) -> Vec<Origin> {
        let outlets = self.outlets.values().filter(|outlet| {
            outlet.origin.process == process && (kind.is_none() || outlet.kind == kind)
        });
        outlets.map(|outlet| outlet.origin).collect()
    }

    /// Who waits for this ticket.
    pub(crate) fn origin_of(&self, ticket: Ticket) -> Option<Origin> {
        self.callers.get(&ticket).copied().flatten()
    }
}

impl World {
    pub(crate) fn arrive(
        &mut self,
        server: usize,
        origin: Origin,
        request: Request,
        cause: EventId,
    ) {
        if !self.servers[server].is_up {
            return self.refuse(origin, cause);
        }
        self.mark_request(server, origin, &request, cause);
        let place = place_of(&request.target);
        let method = request.method.as_str();
        let named = place
            .as_ref()
            .map(|place| (place.kind, place.subresource.as_str()));
        if let Some(status) = self.faults.ambush(origin, method, named) {
            return self.answer(server, Some(origin), refusal(status));
        }
        if origin.stream {
            self.servers[server]
                .watched
                .insert(origin, place.map(|place| place.kind));
        }
        let step = self.servers[server].api.begin(request, self.now);
        self.act(server, Some(origin), step);
        self.after(server);
    }

    fn mark_request(&mut self, server: usize, origin: Origin, request: &Request, cause: EventId) {
        let mark = crate::trace::Mark {
            tag: b'q',
            who: server as u64,
            which: origin.call.0,
            bytes: request.target.as_bytes(),
        };
        let first = self.trace.event(self.now, cause, &mark);
        let body = crate::trace::Mark {
            tag: b'b',
            who: 0,
            which: 0,
            bytes: &request.body,
        };
        self.current = self.trace.event(self.now, first, &body);
        let process = self.name_of(origin.process);
        self.trace
            .record(self.current, cause, self.now, || What::Request {
                process,
                line: format!("{} {}", request.method.as_str(), request.target),
            });
    }

    // ANCHOR: act
    /// Does what a step asks for; `origin` is nobody for the server's own doings.
    pub(crate) fn act(&mut self, server: usize, origin: Option<Origin>, step: Step) {
        let mut step = step;
        loop {
            step = match step {
                Step::Respond(decided) => {
                    return self.answer(server, origin, decided.response());
                }
                Step::Txn(ticket, txn) => {
                    let waiter = self.wait_for_store(server, ticket, origin);
                    self.disk.stage(txn, waiter);
                    return self.start_sync(self.current);
                }
                Step::Grant(ticket, ttl) => {
                    let waiter = self.wait_for_store(server, ticket, origin);
                    self.disk.grant(ttl, self.now, waiter);
                    self.wait_for_expiry();
                    return self.start_sync(self.current);
                }
                Step::Revision(ticket) => {
                    self.wait_for(server, ticket, origin);
                    let revision = self.disk.store.revision();
                    let now = self.now;
                    self.servers[server]
                        .api
                        .resume(ticket, Input::Revision(revision), now)
                }
                Step::Wait(ticket) => return self.wait_for(server, ticket, origin),
                Step::Stream(head, id) => return self.open(server, origin, &head, id),
                Step::Tunnel(_) => {
                    let status = Status::service_unavailable(
                        "streams to nodes are not carried in virtual time",
                    );
                    let body = status.to_bytes();
                    let response = Response::new(503, "application/json", body);
                    return self.answer(server, origin, response);
                }
            };
        }
    }
    // ANCHOR_END: act

    fn wait_for(&mut self, server: usize, ticket: Ticket, origin: Option<Origin>) {
        let host = &mut self.servers[server];
        host.callers.insert(ticket, origin);
        if let Some(origin) = origin {
            host.pending.insert(origin, Pending::Answer(ticket));
        }
    }

    fn wait_for_store(&mut self, server: usize, ticket: Ticket, origin: Option<Origin>) -> Waiter {
        self.wait_for(server, ticket, origin);
        Waiter {
            server: (server, self.servers[server].incarnation),
            ticket,
            writes: false,
            cause: self.current,
        }
    }

    /// A transaction is durable: its request goes on.
    pub(crate) fn resume_txn(&mut self, released: Released) {
        let Waiter {
            server: (server, incarnation),
            ticket,
            ..
        } = released.waiter;
        if self.servers[server].incarnation != incarnation {
            return; // it was another life's
        }
        let origin = self.servers[server].callers.remove(&ticket).flatten();
        let now = self.now;
        let result = released
            .result
            .map_err(|refused| Unavailable::Refused(refused.to_string()));
        let step = self.servers[server]
            .api
            .resume(ticket, Input::Txn(result), now);
        self.act(server, origin, step);
        self.after(server);
    }

    pub(crate) fn observe(&mut self, life: ServerLife, batch: &Batch, cause: EventId) {
        let (server, incarnation) = life;
        if self.servers[server].incarnation != incarnation {
            return;
        }
        let mark = crate::trace::Mark {
            tag: b'o',
            who: server as u64,
            which: batch.upto.0,
            bytes: &[],
        };
        self.current = self.trace.event(self.now, cause, &mark);
        self.trace
            .record(self.current, cause, self.now, || What::Observed {
                server,
                upto: batch.upto,
            });
        self.servers[server].api.observe(batch, self.now);
        self.after(server);
    }

    pub(crate) fn server_tick(&mut self, server: usize, cause: EventId) {
        // Another time was asked for since, unless the server stood still at its time.
        if self.servers[server].wake.is_none_or(|wake| wake > self.now) {
            return;
        }
        self.servers[server].wake = None;
        let mark = crate::trace::Mark {
            tag: b't',
            who: server as u64,
            which: 0,
            bytes: &[],
        };
        self.current = self.trace.event(self.now, cause, &mark);
        self.servers[server].api.tick(self.now);
        self.after(server);
    }

    pub(crate) fn hang_up(&mut self, server: usize, origin: Origin, cause: EventId) {
        let mark = crate::trace::Mark {
            tag: b'x',
            who: server as u64,
            which: origin.call.0,
            bytes: &[],
        };
        self.current = self.trace.event(self.now, cause, &mark);
        self.drop_origin(server, origin);
        self.after(server);
    }

    pub(crate) fn drop_origin(&mut self, server: usize, origin: Origin) {
        let host = &mut self.servers[server];
        match host.pending.remove(&origin) {
            Some(Pending::Answer(ticket)) => {
                if let Some(caller) = host.callers.get_mut(&ticket) {
                    *caller = None;
                }
            }
            Some(Pending::Stream(stream)) => {
                host.outlets.remove(&stream);
                host.api.close(stream);
            }
            None => {}
        }
    }

    /// Nobody listens at a server that is down.
    fn refuse(&mut self, origin: Origin, cause: EventId) {
        let (Fate::Arrives(at) | Fate::Broken(at)) =
            self.network
                .carry((origin.process, Way::From), self.now, None);
        let news = News::Failed(origin.call, Failure::Unreachable);
        self.tell_at(at, origin, news, cause);
    }

    /// Nothing that the server was doing goes on.
    pub(crate) fn forget(&mut self, server: usize) {
        let host = &mut self.servers[server];
        if let Some(watch) = host.watch.take() {
            self.disk.store.cancel(watch);
        }
        host.is_up = false;
        host.incarnation += 1;
        host.wake = None;
        host.callers.clear();
        host.watched.clear();
        host.held.clear();
        host.outlets.clear();
        host.pending.clear();
    }

    /// Every connection of a process is gone, as seen from the servers.
    pub(crate) fn drop_connections(&mut self, process: ProcessId) {
        for server in 0..self.servers.len() {
            let host = &self.servers[server];
            let gone: Vec<Origin> = host
                .pending
                .keys()
                .filter(|o| o.process == process)
                .copied()
                .collect();
            for origin in gone {
                self.drop_origin(server, origin);
            }
        }
    }

    fn answer(&mut self, server: usize, origin: Option<Origin>, response: Response) {
        let Some(origin) = origin else { return };
        self.servers[server].pending.remove(&origin);
        self.intents.remove(&origin);
        if self.faults.lost.remove(&origin) {
            return self.refuse(origin, self.current);
        }
        match self
            .network
            .carry((origin.process, Way::From), self.now, None)
        {
            Fate::Arrives(at) => {
                let upto = Known {
                    told: self.servers[server].api.revision(),
                    // The answer to a write shows what it wrote, before the cache does.
                    shown: self.disk.store.revision(),
                };
                let news = News::Response(origin.call, response, upto);
                self.tell_at(at, origin, news, self.current);
            }
            Fate::Broken(at) => {
                let news = News::Failed(origin.call, Failure::TimedOut);
                self.tell_at(at, origin, news, self.current);
            }
        }
    }

    fn open(&mut self, server: usize, origin: Option<Origin>, head: &Response, stream: StreamId) {
        let Some(origin) = origin else {
            return self.servers[server].api.close(stream);
        };
        debug_assert!(head.is_success(), "a stream begins with success");
        let kind = self.servers[server].watched.remove(&origin).flatten();
        match self
            .network
            .carry((origin.process, Way::From), self.now, None)
        {
            Fate::Arrives(at) => {
                let host = &mut self.servers[server];
                host.outlets.insert(
                    stream,
                    Outlet {
                        origin,
                        last_arrival: at,
                        kind,
                        held: VecDeque::new(),
                    },
                );
                host.pending.insert(origin, Pending::Stream(stream));
                self.tell_at(at, origin, News::Opened(origin.call), self.current);
                self.pump(server, stream);
            }
            Fate::Broken(at) => {
                self.servers[server].api.close(stream);
                let news = News::Failed(origin.call, Failure::TimedOut);
                self.tell_at(at, origin, news, self.current);
            }
        }
    }

    /// After anything happened at a server: requests that can go on, streams with news, its timer.
    pub(crate) fn after(&mut self, server: usize) {
        if !self.servers[server].is_up {
            return;
        }
        loop {
            let woken = self.servers[server].api.woken(self.now);
            if woken.is_empty() {
                break;
            }
            for (ticket, step) in woken {
                let origin = self.servers[server].callers.remove(&ticket).flatten();
                self.act(server, origin, step);
            }
        }
        for step in self.servers[server].api.own(self.now) {
            self.act(server, None, step);
        }
        for stream in self.servers[server].api.news() {
            self.pump(server, stream);
        }
        let host = &mut self.servers[server];
        if let Some(wake) = host.api.next_wake()
            && host.wake.is_none_or(|set| wake < set)
        {
            let wake = wake.max(self.now);
            host.wake = Some(wake);
            self.agenda
                .add(wake, self.current, Event::ServerTick { server });
        }
    }

    /// Sends a stream's frames on their way, unless a fault holds them back.
    fn pump(&mut self, server: usize, stream: StreamId) {
        let host = &mut self.servers[server];
        let Some(outlet) = host.outlets.get_mut(&stream) else {
            return;
        };
        let drained = host.api.drain(stream, self.now);
        let (upto, origin) = (host.api.revision(), outlet.origin);
        // Only with its last frame has a watch told everything.
        let frames = drained.frames.into_iter();
        let (told, shown) = (Revision::default(), upto);
        let frames = frames.map(|frame| (frame, Known { told, shown }));
        outlet.held.extend(frames);
        if let Some((_, known)) = outlet.held.back_mut().filter(|_| !drained.more) {
            known.told = upto;
        }
        if self.faults.holds(origin.process, outlet.kind) {
            return;
        }
        let mut arrival = outlet.last_arrival;
        let mut broken = false;
        for (frame, upto) in std::mem::take(&mut outlet.held) {
            let (process, after) = (origin.process, Some(arrival));
            match self.network.carry((process, Way::From), self.now, after) {
                Fate::Arrives(at) => {
                    arrival = at;
                    let news = News::Frame(origin.call, frame, upto);
                    self.tell_at(at, origin, news, self.current);
                }
                Fate::Broken(_) => broken = true,
            }
        }
        if let Some(outlet) = self.servers[server].outlets.get_mut(&stream) {
            outlet.last_arrival = arrival;
        }
        if drained.closed && !broken {
            self.tell_at(arrival, origin, News::Closed(origin.call), self.current);
        }
        if drained.closed || broken {
            self.drop_origin(server, origin);
        }
    }

    /// Sends on what is no longer held back.
    pub(crate) fn pump_all(&mut self) {
        for server in 0..self.servers.len() {
            let outlets = self.servers[server].outlets.iter();
            let held = outlets.filter(|(_, outlet)| !outlet.held.is_empty());
            let streams: Vec<StreamId> = held.map(|(stream, _)| *stream).collect();
            for stream in streams {
                self.pump(server, stream);
            }
        }
    }
}

/// What a target names.
pub(crate) struct Place {
    pub(crate) kind: KindId,
    /// Whether one object is meant, and not all of them.
    pub(crate) is_named: bool,
    pub(crate) subresource: String,
}

/// What a target names; nothing for paths that lead to no object.
pub(crate) fn place_of(target: &str) -> Option<Place> {
    let path = target.split('?').next()?;
    let mut segments = path.trim_start_matches('/').split('/');
    let (group, version) = match segments.next()? {
        "api" => ("", segments.next()?),
        _ => (segments.next()?, segments.next()?),
    };
    let rest: Vec<&str> = segments.collect();
    let (plural, rest) = match rest.as_slice() {
        ["namespaces", _, plural, rest @ ..] if !["status", "finalize"].contains(plural) => {
            (*plural, rest)
        }
        [plural, rest @ ..] => (*plural, rest),
        [] => return None,
    };
    Some(Place {
        kind: KindId::by_resource(group, version, plural)?,
        is_named: !rest.is_empty(),
        subresource: rest.get(1).copied().unwrap_or_default().to_owned(),
    })
}

/// What an API server in trouble answers.
fn refusal(code: u16) -> Response {
    let status = match code {
        429 => Status::too_many_requests("too many requests, please try again later", 1),
        503 => Status::service_unavailable("the server is currently unable to handle the request"),
        504 => Status::timeout(
            "the server was unable to return a response in the time allotted",
            0,
        ),
        _ => Status::internal_error("etcdserver: request timed out"),
    };
    Response::new(code, "application/json", status.to_bytes())
}
