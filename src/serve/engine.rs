//! The core thread: store and API server, one owner, no locks.
//!
//! Takes requests and events, stages transactions, hands frames to the log thread, releases what is
//! on disk, feeds the watch cache, wakes what waited for it, and fills streams. Nothing here waits
//! for a disk or for a client.
//!
//! 1. A client hears of a transaction only after the log thread said that it is on disk.
//! 2. The watch cache sees every event once, in order.
//! 3. A client that takes nothing for [`STALLED`] while there is more for it is cut off.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use wavetank_api::Time;
use wavetank_apiserver::{ApiServer, Config, Input, Step, StreamId, Ticket, Unavailable};
use wavetank_store::{self as store, Store, WatchId, prefix_end};

use crate::clock::Clock;
use crate::committer::Committer;
use crate::door::{Call, Outlet, Reply};
use crate::error::ServeError;
use crate::event::Event;
use crate::file_log::FileLog;
use crate::housekeeping::Housekeeping;

/// All keys of the cluster.
const REGISTRY: &str = "/registry/";
/// How many requests are begun before others have their turn.
const REQUESTS_AT_ONCE: usize = 256;
/// How many store events are handed to the watch cache at once.
const EVENTS_AT_ONCE: usize = 1000;
/// How long a full stream may stay full.
pub(crate) const STALLED: Duration = Duration::from_secs(30);
/// The longest sleep: stalled streams and housekeeping are looked at this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Who waits for a request: nobody for those that the server makes itself.
type Client = Option<oneshot::Sender<Reply>>;

/// A stream with frames to be sent.
struct Stream {
    outlet: Outlet,
    /// Since when there has been no room, while there was more; written by `fill`.
    full_since: Option<Instant>,
}

/// Everything that the core thread owns.
pub(crate) struct Engine {
    store: Store,
    watch: WatchId,
    api: ApiServer,
    clock: Clock,
    events: mpsc::UnboundedSender<Event>,
    committer: Committer,
    housekeeping: Housekeeping,
    /// A frame is with the log thread.
    committing: bool,
    /// Requests whose transaction or grant is staged.
    staged: BTreeMap<store::Ticket, (Ticket, Client)>,
    /// Requests that wait for the watch cache.
    waiting: BTreeMap<Ticket, Client>,
    streams: BTreeMap<StreamId, Stream>,
    /// When to look for clients that are gone or take nothing.
    next_look: Instant,
    /// Whoever asked for the end.
    stopping: Vec<oneshot::Sender<()>>,
}

impl Engine {
    /// Brings the store back and fills the API server from it.
    pub fn open(
        mut log: FileLog,
        config: Config,
        clock: Clock,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, ServeError> {
        let mut store = store::open(&mut log, clock.now())?;
        let housekeeping = Housekeeping::new(&log)?;
        let mut api = ApiServer::new(config);
        let watch = resync(&mut store, &mut api, clock.now());
        let committer = Committer::start(log, events.clone())?;
        Ok(Engine {
            store,
            watch,
            api,
            clock,
            events,
            committer,
            housekeeping,
            committing: false,
            staged: BTreeMap::new(),
            waiting: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_look: Instant::now(),
            stopping: Vec::new(),
        })
    }

    /// Runs on a thread of its own until it is stopped or every handle is gone.
    pub fn start(
        self,
        calls: mpsc::Receiver<Call>,
        events: mpsc::UnboundedReceiver<Event>,
    ) -> Result<(), ServeError> {
        let failed = |source| ServeError::Thread {
            name: "core",
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().map_err(failed)?;
        thread::Builder::new()
            .name("core".into())
            .spawn(move || runtime.block_on(self.run(calls, events)))
            .map_err(failed)?;
        Ok(())
    }

    // ANCHOR: run
    async fn run(
        mut self,
        mut calls: mpsc::Receiver<Call>,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) {
        for step in self.api.bootstrap(self.clock.now()) {
            self.go(step, None);
        }
        self.api.join(self.clock.now());
        let (mut begun, mut happened) = (Vec::new(), Vec::new());
        while !self.is_over() {
            self.settle();
            let open = self.stopping.is_empty();
            let wake = tokio::time::sleep_until(self.next_wake().into());
            tokio::select! {
                biased;
                _ = events.recv_many(&mut happened, EVENTS_AT_ONCE) => {}
                n = calls.recv_many(&mut begun, REQUESTS_AT_ONCE), if open => {
                    if n == 0 {
                        break;
                    }
                }
                () = wake => {}
            }
            for event in happened.drain(..) {
                self.take(event);
            }
            for call in begun.drain(..) {
                let step = self.api.begin(call.request, self.clock.now());
                self.go(step, Some(call.reply));
            }
        }
        self.end();
    }
    // ANCHOR_END: run

    /// Whether the end was asked for and everything staged is on disk.
    fn is_over(&mut self) -> bool {
        if self.stopping.is_empty() || self.committing {
            return false;
        }
        self.commit();
        !self.committing
    }

    /// Frees the data directory, then says so.
    fn end(self) {
        drop(self.streams);
        drop(self.committer);
        for stopping in self.stopping {
            let _ = stopping.send(());
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Synced(upto) => {
                self.committing = false;
                self.release(upto);
                if let Some(snapshot) = self.housekeeping.durable(upto) {
                    snapshot.write(self.events.clone());
                }
            }
            Event::Published(covers, Ok(())) => {
                self.housekeeping.published();
                self.committer.prune(covers);
            }
            Event::Published(_, Err(error)) => {
                self.housekeeping.failed();
                eprintln!("no snapshot this time, the log grows on: {error}");
            }
            Event::Room(id) => self.fill(id),
            Event::Gone(id) => self.close(id),
            Event::Stop(done) => self.stopping.push(done),
        }
    }

    /// Does what a request asks for until it has to wait or is done.
    fn go(&mut self, mut step: Step, client: Client) {
        loop {
            match step {
                Step::Respond(decided) => return reply(client, Reply::Decided(decided)),
                Step::Tunnel(tunnel) => return reply(client, Reply::Tunnel(tunnel)),
                Step::Txn(ticket, txn) => {
                    let staged = self.store.stage(txn);
                    self.staged.insert(staged, (ticket, client));
                    return;
                }
                Step::Grant(ticket, ttl) => {
                    let (_, staged) = self.store.grant(None, ttl, self.clock.now());
                    self.staged.insert(staged, (ticket, client));
                    return;
                }
                Step::Wait(ticket) => {
                    self.waiting.insert(ticket, client);
                    return;
                }
                Step::Stream(head, id) => return self.stream(head, id, client),
                Step::Revision(ticket) => {
                    let revision = Input::Revision(self.store.revision());
                    step = self.api.resume(ticket, revision, self.clock.now());
                }
            }
        }
    }

    fn stream(&mut self, head: wavetank_api::Response, id: StreamId, client: Client) {
        let Some(client) = client else {
            return self.api.close(id);
        };
        let (outlet, frames) = Outlet::new(id, self.events.clone());
        self.streams.insert(
            id,
            Stream {
                outlet,
                full_since: None,
            },
        );
        // If the client is gone, dropping the frames tells so.
        let _ = client.send(Reply::Stream(head, frames));
        self.fill(id);
    }

    /// What is on disk is answered, in order.
    fn release(&mut self, upto: store::Ticket) {
        for (staged, answer) in self.store.durable(upto) {
            let Some((ticket, client)) = self.staged.remove(&staged) else {
                continue;
            };
            let answer = answer.map_err(|refused| Unavailable::Refused(refused.to_string()));
            let step = self
                .api
                .resume(ticket, Input::Txn(answer), self.clock.now());
            self.go(step, client);
        }
    }

    // ANCHOR: settle
    /// Lets everything that can go on do so, then hands the log thread what was staged.
    fn settle(&mut self) {
        let now = self.clock.now();
        self.store.expire(now);
        if self.api.next_wake().is_some_and(|wake| wake <= now) {
            self.api.tick(now);
        }
        loop {
            self.observe(now);
            for (ticket, step) in self.api.woken(now) {
                let client = self.waiting.remove(&ticket).flatten();
                self.go(step, client);
            }
            for step in self.api.own(now) {
                self.go(step, None);
            }
            if !self.commit() {
                break;
            }
        }
        loop {
            let news = self.api.news();
            if news.is_empty() {
                break;
            }
            for id in news {
                self.fill(id);
            }
        }
        if self.next_look <= Instant::now() {
            self.next_look = Instant::now() + LONGEST_SLEEP;
            self.cut_stalled();
            self.abandon();
        }
        self.housekeeping.compact(&mut self.store);
    }
    // ANCHOR_END: settle

    /// The watch cache follows the visible revision.
    fn observe(&mut self, now: Time) {
        loop {
            match self.store.drain(&self.watch, EVENTS_AT_ONCE) {
                Ok(batch) if batch.events.is_empty() => return,
                Ok(batch) => self.api.observe(&batch, now),
                Err(_) => {
                    let next = resync(&mut self.store, &mut self.api, now);
                    self.store.cancel(std::mem::replace(&mut self.watch, next));
                }
            }
        }
    }

    /// Sends what is staged to the log thread, unless a frame is there already; says whether
    /// answers were released on the spot, because nothing had to be written.
    fn commit(&mut self) -> bool {
        if self.committing {
            return false;
        }
        let Some((upto, frame)) = self.store.unsynced() else {
            return false;
        };
        if frame.is_empty() {
            self.release(upto);
            return true;
        }
        self.committing = true;
        let bytes = frame.len() as u64;
        self.committer.commit(upto, frame);
        if let Some(first) = self.housekeeping.wrote(bytes, &self.store) {
            self.committer.rotate(first);
        }
        false
    }

    // ANCHOR: fill
    /// Moves ready frames to a stream's client, unless it has not taken the last ones.
    fn fill(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.outlet.has_room() {
            stream.full_since.get_or_insert_with(Instant::now);
            return;
        }
        stream.full_since = None;
        let drained = self.api.drain(id, self.clock.now());
        for frame in drained.frames {
            stream.outlet.send(frame);
        }
        if drained.closed {
            self.streams.remove(&id);
        }
    }
    // ANCHOR_END: fill

    fn close(&mut self, id: StreamId) {
        if self.streams.remove(&id).is_some() {
            self.api.close(id);
        }
    }

    fn cut_stalled(&mut self) {
        let stalled = |stream: &Stream| stream.full_since.is_some_and(|at| at.elapsed() > STALLED);
        let cut: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, s)| stalled(s))
            .map(|(id, _)| *id)
            .collect();
        for id in cut {
            self.close(id);
        }
    }

    /// Tells the API server whose clients stopped waiting.
    fn abandon(&mut self) {
        let gone = |client: &Client| client.as_ref().is_some_and(oneshot::Sender::is_closed);
        let gone: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, c)| gone(c))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in gone {
            self.waiting.remove(&ticket);
            self.api.abandon(ticket);
        }
    }

    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        if self.housekeeping.is_sweeping() {
            return now;
        }
        let due = [self.api.next_wake(), self.store.next_expiry()]
            .into_iter()
            .flatten()
            .min();
        let latest = now + LONGEST_SLEEP;
        due.map_or(latest, |due| self.clock.instant(due).min(latest))
    }
}

/// Fills the API server with the whole state and watches from there.
fn resync(store: &mut Store, api: &mut ApiServer, now: Time) -> WatchId {
    loop {
        let end = prefix_end(REGISTRY);
        // Neither fails: the visible revision is never compacted, and this is one thread.
        let Ok(range) = store.range(REGISTRY, end.as_deref(), None, 0) else {
            continue;
        };
        api.sync(&range, now);
        if let Ok(watch) = store.watch(range.revision) {
            return watch;
        }
    }
}

fn reply(client: Client, reply: Reply) {
    if let Some(client) = client {
        // A client that went away wants no answer.
        let _ = client.send(reply);
    }
}
