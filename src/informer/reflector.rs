//! Keeps a cache equal to the server, later: list once, watch from there, reconnect, list again
//! when the server has forgotten the revision.
//!
//! Held by a component, which passes every input on and takes the changes; sends its requests
//! through the component's outputs. Upstream: client-go `tools/cache/reflector.go`.
//!
//! 1. The revision of the cache never decreases, across reconnects to another server (I4, M85).
//! 2. Folding the changes it returned gives the cache.
//! 3. What is missing from a list was deleted, and is told so (M84).
//! 4. At most one call or stream is open at any time.
//! 5. It never gives up: whatever fails is tried again, with back-off.
//! 6. The first list is a consistent read, so a restarted component never acts on the past (M70).
//!
//! Left out: streaming lists (`sendInitialEvents`); resync timers, which upstream needs to repair
//! what its event handlers forget.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::time::Duration;
use std::sync::Arc;

use wavetank_api::{Guard, Guards, KindId, Request, Response, Revision, Time};

use crate::backoff::{Backoff, Chance};
use crate::cache::{Cache, Change, IndexFn};
use crate::client::{ApiError, Client, List, Selection, parse_list};
use crate::component::{CallId, CallIds, Input, Output};
use crate::intern::Pool;
use crate::json;
use crate::view::{Cached, Key};
use crate::wire::WireEvent;

/// Objects a page of a list; as client-go's pager.
pub const PAGE: usize = 500;

/// A watch that ends sooner than this is followed by a wait.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// What a reflector keeps a cache of, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The kind.
    pub kind: KindId,
    /// Which of its objects.
    pub selection: Selection,
    /// Builds the requests.
    pub client: Client,
    /// Spreads reconnects in time.
    pub seed: u64,
    /// The guards that are kept.
    pub guards: Guards,
}

impl Config {
    /// All objects of a kind.
    pub fn all(kind: KindId, client: &Client, seed: u64, guards: Guards) -> Self {
        Config {
            kind,
            selection: Selection::default(),
            client: client.clone(),
            seed,
            guards,
        }
    }
}

/// Where the reflector is.
#[derive(Debug)]
enum State<T> {
    /// Not started.
    Idle,
    /// A page of a list has been asked for; `items` are those of the pages before.
    Listing { call: CallId, items: Vec<Arc<T>> },
    /// A watch has been asked for, or runs since `since`.
    Watching { call: CallId, since: Time },
    /// Until `until`; then list again or watch from the cache's revision.
    Waiting { until: Time, then: Then },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    List,
    Watch,
}

/// A cache of one kind and the machine that keeps it.
#[derive(Debug)]
pub struct Reflector<T> {
    config: Config,
    cache: Cache<T>,
    /// One copy of what many of its objects share.
    pool: Pool,
    state: State<T>,
    /// Objects a page of the list under way; 0 (all at once) after a page token has expired.
    page: usize,
    backoff: Backoff,
    chance: Chance,
}

impl<T: Cached> Reflector<T> {
    /// A reflector that has not started.
    pub fn new(config: Config) -> Self {
        Reflector {
            cache: Cache::default(),
            pool: Pool::default(),
            state: State::Idle,
            page: PAGE,
            backoff: Backoff::of_reflector(config.seed),
            chance: Chance::new(config.seed ^ 1),
            config,
        }
    }

    /// The same reflector whose cache has one more index.
    pub fn with_index(mut self, name: &'static str, values: IndexFn<T>) -> Self {
        self.cache.add_index(name, values);
        self
    }

    /// The kind it watches.
    pub fn kind(&self) -> KindId {
        self.config.kind
    }

    /// What it knows.
    pub fn cache(&self) -> &Cache<T> {
        &self.cache
    }

    /// When it wants to be called though nothing happened (`Input::Tick`).
    pub fn next_wake(&self) -> Option<Time> {
        match self.state {
            State::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Sends the first list; does nothing when already started.
    pub fn start<E>(&mut self, ids: &mut CallIds, out: &mut Vec<Output<E>>) {
        if matches!(self.state, State::Idle) {
            self.list(String::new(), Vec::new(), ids, out);
        }
    }

    /// Closes the call or stream that is open, for good.
    pub fn stop<E>(&mut self, out: &mut Vec<Output<E>>) {
        if let State::Listing { call, .. } | State::Watching { call, .. } = self.state {
            out.push(Output::Cancel(call));
        }
        self.state = State::Idle;
    }

    /// Takes an input of the component; what it changed in the cache. Inputs that are not for this
    /// reflector change nothing.
    pub fn handle<O, E>(
        &mut self,
        input: &Input<O>,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) -> Vec<Change<T>> {
        let mut changes = Vec::new();
        let current = match self.state {
            State::Listing { call, .. } | State::Watching { call, .. } => Some(call),
            _ => None,
        };
        let mine = |call: &CallId| current == Some(*call);
        match input {
            Input::Start => self.start(ids, out),
            Input::Tick => self.wake(now, ids, out),
            Input::Response(call, response) if mine(call) => {
                self.answered(response, now, ids, out, &mut changes);
            }
            Input::Opened(call) if mine(call) => self.opened(now),
            Input::Frame(call, lines) if mine(call) => {
                if let Err(then) = self.take_in(lines, &mut changes) {
                    out.push(Output::Cancel(*call));
                    self.wait(then, now);
                }
            }
            Input::Closed(call) if mine(call) => self.closed(now, ids, out),
            Input::Failed(call, _) if mine(call) => match self.state {
                State::Watching { .. } => self.wait(Then::Watch, now),
                _ => self.wait(Then::List, now),
            },
            _ => {}
        }
        changes
    }

    fn wake<E>(&mut self, now: Time, ids: &mut CallIds, out: &mut Vec<Output<E>>) {
        match self.state {
            State::Waiting { until, then } if until <= now => match then {
                Then::List => self.list(String::new(), Vec::new(), ids, out),
                Then::Watch => self.watch(now, ids, out),
            },
            _ => {}
        }
    }

    fn wait(&mut self, then: Then, now: Time) {
        let until = now + self.backoff.next(now);
        self.state = State::Waiting { until, then };
    }

    fn list<E>(
        &mut self,
        continue_token: String,
        items: Vec<Arc<T>>,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) {
        // Without a revision the server answers with what is committed now. `0` takes whatever its
        // cache holds, which is cheaper, and is how a restarted kubelet started a deleted pod.
        let consistent = self.config.guards.on(Guard::M70) && self.config.guards.on(Guard::M85);
        let revision = (!consistent).then_some(Revision(0));
        let Config {
            kind, selection, ..
        } = &self.config;
        let client = &self.config.client;
        let request = client.list(*kind, selection, revision, self.page, &continue_token);
        let call = ids.fresh();
        out.push(Output::Call(call, request));
        self.state = State::Listing { call, items };
    }

    fn watch<E>(&mut self, now: Time, ids: &mut CallIds, out: &mut Vec<Output<E>>) {
        let call = ids.fresh();
        out.push(Output::Watch(call, self.watch_request()));
        self.state = State::Watching { call, since: now };
    }

    /// Streams end after five to ten minutes, each at a time of its own, so that clients spread
    /// over servers again.
    fn watch_request(&mut self) -> Request {
        let seconds = 300 + self.chance.draw() % 300;
        let Config {
            kind, selection, ..
        } = &self.config;
        let client = &self.config.client;
        client.watch(*kind, selection, self.cache.revision(), seconds)
    }

    fn answered<E>(
        &mut self,
        response: &Response,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
        changes: &mut Vec<Change<T>>,
    ) {
        match core::mem::replace(&mut self.state, State::Idle) {
            State::Listing { items: mut all, .. } => match self.parse(response) {
                Ok(list) => {
                    all.extend(list.items);
                    if !list.continue_token.is_empty() {
                        return self.list(list.continue_token, all, ids, out);
                    }
                    self.listed(all, list.revision, now, ids, out, changes);
                }
                Err(error) => self.list_refused(&error, now),
            },
            // A watch that was over when it was opened: its only line says why.
            _ if response.is_success() => {
                let then = self.take_in(&response.bytes(), changes).err();
                self.wait(then.unwrap_or(Then::Watch), now);
            }
            // A watch that is refused.
            _ => {
                let error = ApiError::from_status(response.status, &response.bytes());
                self.wait(after(&error), now);
            }
        }
    }

    fn parse(&mut self, response: &Response) -> Result<List<Arc<T>>, ApiError> {
        parse_list(response, |text| {
            let object = json::from_slice(text)?;
            Ok(Arc::new(T::new(object, &mut self.pool)))
        })
    }

    /// A page token lives as long as its revision is kept; if it expires, ask for all at once.
    fn list_refused(&mut self, error: &ApiError, now: Time) {
        if error.is_expired() {
            self.page = 0;
        }
        self.wait(Then::List, now);
    }

    // ANCHOR: listed
    fn listed<E>(
        &mut self,
        list: Vec<Arc<T>>,
        revision: Revision,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
        changes: &mut Vec<Change<T>>,
    ) {
        self.page = PAGE;
        let goes_back = revision < self.cache.revision();
        if goes_back && self.config.guards.on(Guard::M85) {
            return self.wait(Then::List, now); // another server, which lags: ask again
        }
        let keep_missing = !self.config.guards.on(Guard::M84);
        self.cache.replace(list, revision, keep_missing, changes);
        self.watch(now, ids, out);
    }
    // ANCHOR_END: listed

    fn opened(&mut self, now: Time) {
        if let State::Watching { since, .. } = &mut self.state {
            *since = now;
        }
    }

    fn closed<E>(&mut self, now: Time, ids: &mut CallIds, out: &mut Vec<Output<E>>) {
        match self.state {
            State::Watching { since, .. } if now.since(since) >= SHORT_WATCH => {
                self.watch(now, ids, out);
            }
            State::Watching { .. } => self.wait(Then::Watch, now),
            _ => self.wait(Then::List, now),
        }
    }

    /// Takes in whole lines of a watch. On a line that says the stream is over, or cannot be read,
    /// says how to go on.
    fn take_in(&mut self, lines: &[u8], changes: &mut Vec<Change<T>>) -> Result<(), Then> {
        // A line that cannot be read may have been a change: only a list tells what it was.
        let mut lines = json::Reader::new(lines).map_err(|_| Then::List)?;
        while !lines.is_at_end() {
            self.event(
                WireEvent::read(&mut lines).map_err(|_| Then::List)?,
                changes,
            )?;
        }
        Ok(())
    }

    fn event(
        &mut self,
        event: WireEvent<'_, T::Wire>,
        changes: &mut Vec<Change<T>>,
    ) -> Result<(), Then> {
        let revision = match event {
            WireEvent::Error(status) => {
                return Err(after(&ApiError::from_status(500, status.as_bytes())));
            }
            WireEvent::Bookmark(object) => object.meta.resource_version,
            WireEvent::Put(object) => {
                let object = Arc::new(T::new(object, &mut self.pool));
                let revision = object.revision();
                self.cache.put(object, changes);
                revision
            }
            WireEvent::Deleted(object) => {
                let object = Arc::new(T::new(object, &mut self.pool));
                let revision = object.revision();
                // The object as it was when it went; what the cache had may be older.
                if self.cache.remove(&Key::of(&*object)).is_some() {
                    changes.push(Change::Deleted(object));
                }
                revision
            }
        };
        self.cache.advance(revision);
        Ok(())
    }
}

/// How to go on after the server has refused a watch or ended it with an error.
fn after(error: &ApiError) -> Then {
    match error.is_expired() {
        true => Then::List,
        false => Then::Watch,
    }
}

#[cfg(test)]
mod tests;
