//! The API server as its shell sees it: requests in, steps out.
//!
//! Here a request is read, sent to its verb, and kept while it waits. What the verbs do is in their
//! own files; they work on [`Core`] and hand back a [`Next`].
//!
//! 1. Any bytes in any request, and any order, loss and repetition of resumes, give an answer and
//!    no panic: `any_bytes_and_any_resumes_are_answered_without_a_panic`.
//! 2. A ticket is good for one `resume`.
//! 3. A request that waits for the cache waits at most [`FRESH_WAIT`].
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use wavetank_api::status::{Cause, Details};
use wavetank_api::{Guard, KindId, Method, Request, Response, Revision, Status, Time};
use wavetank_store::{Batch, Range, TxnResult};

use crate::auth::{self, User};
use crate::authorize::{self, Attributes};
use crate::call::{BODY_MAX, Call};
use crate::config::Config;
use crate::core::{Core, Next, Task};
use crate::impersonate::impersonate;
use crate::negotiate::{self, Accept, JSON};
use crate::query::Target;
use crate::reply::{Answer, Decided, Refusal, add_common_headers};
use crate::route::{self, Place, Verb};
use crate::step::{Drained, Input, Step, StreamId, Ticket, Unavailable};
use crate::subresources::connect::Upgrade;
use crate::{
    bootstrap, collection, create, delete, membership, other, read, reviews, subresources, update,
    watch,
};

/// How long a request waits for the cache to reach a revision (upstream's `blockTimeout`).
const FRESH_WAIT: Duration = Duration::from_secs(3);

/// One API server: its watch cache, its waiting requests, its open watches.
pub struct ApiServer {
    core: Core,
    /// Requests that wait, by the ticket of their step.
    pending: BTreeMap<Ticket, Pending>,
    /// Those of `pending` that wait for the cache: by the revision they need.
    by_revision: BTreeSet<(Revision, Ticket)>,
    /// The same by the time at which they give up.
    by_deadline: BTreeSet<(Time, Ticket)>,
    /// Those of `pending` that wait for a lease that another request asked for.
    by_grant: BTreeSet<Ticket>,
    next_ticket: u64,
    /// The newest revision that the store has answered with; the cache may not be there yet.
    heard: Revision,
}

/// A request that waits.
struct Pending {
    call: Box<Call>,
    task: Task,
    waits: Waits,
}

/// For what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// The store's revision.
    Revision,
    /// The outcome of a transaction or a grant.
    Txn,
    /// The cache reaching a revision, until a time.
    Cache(Revision, Time),
    /// The outcome of another request's grant.
    Grant,
}

impl ApiServer {
    /// A server with an empty cache; it is ready after the first [`ApiServer::sync`].
    pub fn new(config: Config) -> Self {
        ApiServer {
            core: Core::new(config),
            pending: BTreeMap::new(),
            by_revision: BTreeSet::new(),
            by_deadline: BTreeSet::new(),
            by_grant: BTreeSet::new(),
            next_ticket: 0,
            heard: Revision(0),
        }
    }

    /// Fills the cache with everything below `/registry/` at one revision: at the start, and again
    /// when the store's watch was compacted away under it. Open watches end; their clients come
    /// back with the revision they have seen.
    pub fn sync(&mut self, snapshot: &Range, _now: Time) {
        if self.core.cache.sync(snapshot) {
            self.core.membership.sync(snapshot);
            self.core.streams.end_all();
        }
    }

    /// Takes the next events of the store's watch, in order.
    pub fn observe(&mut self, batch: &Batch, now: Time) {
        for event in &batch.events {
            self.core.membership.observe(event);
            if let Some((kind, change)) = self.core.cache.apply(event) {
                self.core.streams.tell(kind, &change, now);
                self.core.metrics.told(kind);
            }
        }
        self.core.cache.advance(batch.upto);
    }

    // ANCHOR: begin
    /// Takes a request.
    pub fn begin(&mut self, request: Request, now: Time) -> Step {
        let target = Target::parse(&request.target);
        let segments = target.segments();
        let place = route::route(request.method, segments, &target.query);
        let mut call = Box::new(self.call(&request, target, &place, now));
        self.core.metrics.begun(&call);
        let next = self.admit(&mut call, &request, place, now);
        self.go_on(
            call,
            next.unwrap_or_else(|refusal| Next::Done(refusal.into())),
            now,
        )
    }

    /// Who is it, as whom, may it, and what does it want: in the order of upstream's handler chain.
    fn admit(
        &mut self,
        call: &mut Call,
        request: &Request,
        place: Result<Place, Refusal>,
        now: Time,
    ) -> Result<Next, Refusal> {
        let path = request.target.split('?').next().unwrap_or_default();
        let attributes = Attributes::of(request.method, path, &place);
        match auth::authenticate(request, &self.core.config, &self.core.cache, now)? {
            Some(user) => call.user = user,
            None if authorize::allows(&call.user, &attributes) => {}
            None => return Err(auth::unauthorized()),
        }
        call.user = impersonate(&request.headers, core::mem::take(&mut call.user))?;
        if !authorize::allows(&call.user, &attributes) {
            return Err(authorize::forbidden(&call.user, &attributes));
        }
        if request.body.len() > BODY_MAX {
            let limit = format!("limit is {BODY_MAX}");
            return Err(Status::request_entity_too_large(&limit).into());
        }
        let verb = match place? {
            Place::Other(path) => {
                return Ok(Next::Done(other::answer(
                    &mut self.core,
                    call,
                    request,
                    &path,
                )));
            }
            Place::Posted(posted, namespace) => {
                return reviews::begin(&mut self.core, call, posted, &namespace, now);
            }
            Place::Resource(_, verb) => verb,
        };
        call.accept = negotiate::accept(&request.headers, &call.query)?;
        if !self.core.cache.is_ready() {
            return Err(Status::service_unavailable("the server is not yet ready").into());
        }
        self.dispatch(verb, call, now)
    }

    fn dispatch(&mut self, verb: Verb, call: &mut Call, now: Time) -> Result<Next, Refusal> {
        let core = &mut self.core;
        match verb {
            Verb::Get => read::begin_get(core, call),
            Verb::List => read::begin_list(core, call),
            Verb::Watch => watch::begin(core, call, now),
            Verb::Create if call.is_subresource() => subresources::begin_create(core, call, now),
            Verb::Create => create::begin(core, call, now),
            Verb::Update => update::begin_put(core, call, now),
            Verb::Patch => update::begin_patch(core, call, now),
            Verb::Delete => delete::begin(core, call, now),
            Verb::DeleteCollection => collection::begin(call),
            Verb::Connect => Ok(Next::Revision(Task::Connect)),
        }
    }
    // ANCHOR_END: begin

    fn call(
        &mut self,
        request: &Request,
        target: Target,
        place: &Result<Place, Refusal>,
        now: Time,
    ) -> Call {
        let (route, verb) = match place {
            Ok(Place::Resource(route, verb)) => (Some(route.clone()), *verb),
            _ => (None, verb_of(request.method)),
        };
        let header = |name: &str| request.headers.value(name).unwrap_or_default();
        Call {
            route,
            verb,
            user: User::anonymous(),
            accept: Accept::default(),
            gzip: negotiate::accepts_gzip(&request.headers),
            pretty: target.query.flag("pretty"),
            query: target.query,
            is_head: request.method == Method::Head,
            content_type: negotiate::content_type(&request.headers).to_string(),
            body: request.body.clone(),
            upgrade: Upgrade::of(&request.headers),
            user_agent: header("user-agent").to_string(),
            audit_id: self.core.chance.uuid(),
            warnings: deprecation(place),
            began: now,
            is_request: true,
            dry_run: false,
        }
    }

    /// Goes on with a request whose step asked for something.
    pub fn resume(&mut self, ticket: Ticket, input: Input, now: Time) -> Step {
        let expected = match self.pending.get(&ticket).map(|pending| pending.waits) {
            Some(Waits::Txn) => matches!(input, Input::Txn(_)),
            Some(Waits::Revision) => matches!(input, Input::Revision(_)),
            Some(Waits::Cache(..) | Waits::Grant) | None => false,
        };
        let Some(pending) = self.take(ticket).filter(|_| expected) else {
            let status = Status::internal_error("no request waits for this");
            return Step::Respond(Decided {
                answer: Answer::Status(status.into()),
                call: None,
                now,
            });
        };
        let Pending { mut call, task, .. } = pending;
        if let Input::Revision(at) | Input::Txn(Ok(TxnResult { revision: at, .. })) = &input {
            self.heard = self.heard.max(*at);
        }
        let next = match input {
            Input::Revision(revision) => self.when_fresh(task, &mut call, revision, now),
            Input::Txn(Ok(result)) => task.resume(result, &mut self.core, &mut call, now),
            Input::Txn(Err(unavailable)) => Next::Done(lost(&unavailable).into()),
        };
        self.go_on(call, next, now)
    }

    /// Turns what a verb wants into a step, and keeps the request if it waits.
    fn go_on(&mut self, mut call: Box<Call>, mut next: Next, now: Time) -> Step {
        loop {
            match next {
                Next::Done(answer) => return Step::Respond(self.decided(call, answer, now)),
                Next::Tunnel(tunnel) => {
                    self.ended(&call, 101, now);
                    return Step::Tunnel(tunnel);
                }
                Next::Stream(stream) => {
                    let mut head = Response::new(200, JSON, Bytes::new());
                    head.body = Vec::new();
                    add_common_headers(&mut head, &call);
                    self.ended(&call, 200, now);
                    return Step::Stream(head, stream);
                }
                Next::Txn(txn, task) => return Step::Txn(self.keep(call, task, Waits::Txn), txn),
                Next::Grant(ttl, task) => {
                    return Step::Grant(self.keep(call, task, Waits::Txn), ttl);
                }
                Next::Granted(task) => return Step::Wait(self.keep(call, task, Waits::Grant)),
                Next::Revision(task) => {
                    return Step::Revision(self.keep(call, task, Waits::Revision));
                }
                Next::Wait(revision, task) if revision <= self.core.cache.revision() => {
                    next = task.ready(&mut self.core, &mut call, now);
                }
                Next::Wait(revision, task) => {
                    let waits = Waits::Cache(revision, now + FRESH_WAIT);
                    return Step::Wait(self.keep(call, task, waits));
                }
            }
        }
    }

    fn when_fresh(&mut self, task: Task, call: &mut Call, revision: Revision, now: Time) -> Next {
        if revision > self.core.cache.revision() {
            return Next::Wait(revision, task);
        }
        task.ready(&mut self.core, call, now)
    }

    fn keep(&mut self, call: Box<Call>, task: Task, waits: Waits) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        match waits {
            Waits::Cache(revision, deadline) => {
                self.by_revision.insert((revision, ticket));
                self.by_deadline.insert((deadline, ticket));
            }
            Waits::Grant => {
                self.by_grant.insert(ticket);
            }
            Waits::Revision | Waits::Txn => {}
        }
        self.pending.insert(ticket, Pending { call, task, waits });
        ticket
    }

    fn take(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.pending.remove(&ticket)?;
        match pending.waits {
            Waits::Cache(revision, deadline) => {
                self.by_revision.remove(&(revision, ticket));
                self.by_deadline.remove(&(deadline, ticket));
            }
            Waits::Grant => {
                self.by_grant.remove(&ticket);
            }
            Waits::Revision | Waits::Txn => {}
        }
        if matches!(pending.task, Task::Lease(..)) {
            self.core.lifetimes.answered();
        }
        Some(pending)
    }

    fn decided(&mut self, call: Box<Call>, answer: Answer, now: Time) -> Decided {
        self.ended(&call, answer.code(), now);
        let call = Some(call);
        Decided { answer, call, now }
    }

    fn ended(&mut self, call: &Call, code: u16, now: Time) {
        self.core.metrics.ended(call);
        self.core.metrics.answered(call, code, now);
    }

    /// Requests that waited for the cache or for a lease and go on now, or have waited long enough.
    pub fn woken(&mut self, now: Time) -> Vec<(Ticket, Step)> {
        let mut steps = Vec::new();
        // The first that finds no lease to share asks for one, and the others wait for that.
        while !self.core.lifetimes.is_asked()
            && let Some(ticket) = self.by_grant.first().copied()
            && let Some(Pending { mut call, task, .. }) = self.take(ticket)
        {
            let next = task.ready(&mut self.core, &mut call, now);
            steps.push((ticket, self.go_on(call, next, now)));
        }
        while let Some((revision, ticket)) = self.by_revision.first().copied() {
            if revision > self.core.cache.revision() {
                break;
            }
            let Some(Pending { mut call, task, .. }) = self.take(ticket) else {
                break;
            };
            let next = task.ready(&mut self.core, &mut call, now);
            steps.push((ticket, self.go_on(call, next, now)));
        }
        while let Some((deadline, ticket)) = self.by_deadline.first().copied() {
            if deadline > now {
                break;
            }
            let Some(Pending { call, waits, .. }) = self.take(ticket) else {
                break;
            };
            let Waits::Cache(revision, _) = waits else {
                break;
            };
            let refusal = too_large(revision, self.core.cache.revision());
            steps.push((ticket, self.go_on(call, Next::Done(refusal.into()), now)));
        }
        steps
    }

    /// The revision that its cache has reached: no answer tells of a later one.
    pub fn revision(&self) -> Revision {
        self.core.cache.revision()
    }

    /// Streams that have frames since the last call (or have more after a partial drain).
    pub fn news(&mut self) -> Vec<StreamId> {
        self.core.streams.news()
    }

    /// Takes ready frames of a stream: a bounded number; `news` names the stream again for more.
    pub fn drain(&mut self, stream: StreamId, now: Time) -> Drained {
        self.core.streams.drain(stream, now)
    }

    /// The client of a stream went away.
    pub fn close(&mut self, stream: StreamId) {
        self.core.streams.close(stream);
    }

    /// The client of a waiting request went away. What it gave to the store may still be done.
    pub fn abandon(&mut self, ticket: Ticket) {
        if let Some(pending) = self.take(ticket) {
            self.core.metrics.ended(&pending.call);
        }
    }

    /// When [`ApiServer::tick`] (and then `woken`, `own` and `news`) should be called next.
    pub fn next_wake(&self) -> Option<Time> {
        let deadline = self.by_deadline.first().map(|(time, _)| *time);
        deadline
            .into_iter()
            .chain(self.core.streams.next_wake())
            .chain(self.core.membership.due())
            .min()
    }

    /// Time has come: watches time out, bookmarks are due, waiting requests give up.
    pub fn tick(&mut self, now: Time) {
        let cached = self.core.cache.revision();
        // M87: what lies between what was heard of and what is cached has been told to nobody.
        let told = if self.core.config.guards.on(Guard::M87) {
            cached
        } else {
            cached.max(self.heard)
        };
        self.core.streams.tick(told, now);
    }

    /// Begins the requests that create what always exists: namespaces, the Service `kubernetes`,
    /// priority classes. Drive them like requests, one after the other: their
    /// answers can be dropped.
    pub fn bootstrap(&mut self, now: Time) -> Vec<Step> {
        let requests = bootstrap::requests(&self.core.config);
        requests
            .into_iter()
            .map(|request| self.begin(request, now))
            .collect()
    }
}

impl ApiServer {
    /// From now on this server is among those that the Service `kubernetes` leads to.
    pub fn join(&mut self, now: Time) {
        let at = self.core.config.advertise;
        self.core.membership.join(at, now);
    }

    /// Requests that the server makes by itself and that are due: carry out their steps like those
    /// of requests, for nobody.
    pub fn own(&mut self, now: Time) -> Vec<Step> {
        let (at, cache) = (self.core.config.advertise, &self.core.cache);
        let requests = self.core.membership.publish(at, cache);
        let begun = requests.into_iter().map(|request| self.begin(request, now));
        let mut steps: Vec<_> = begun.collect();
        if self.core.membership.take_due(now) {
            let request = Request::new(Method::Put, "/");
            let place = Err(route::no_such_path());
            let call = Call {
                is_request: false,
                ..self.call(&request, Target::default(), &place, now)
            };
            steps.push(self.go_on(Box::new(call), membership::renew(), now));
        }
        steps
    }
}

impl Task {
    /// Goes on with the result of a transaction.
    pub(crate) fn resume(
        self,
        result: TxnResult,
        core: &mut Core,
        call: &mut Call,
        now: Time,
    ) -> Next {
        match self {
            Task::Look(write) => write.looked(result, core, call, now),
            Task::Lease(write, asked) => write.leased(result, asked, core, call, now),
            Task::Renew => membership::put(result.granted, core),
            Task::Renewed => membership::wait(result.revision),
            Task::Commit(commit) => commit.done(result, core, call, now),
            Task::Collection(collection) => collection.resume(result, core, call, now),
            _ => Next::Done(Answer::internal("this request has no transaction")),
        }
    }
}

/// For metrics: what a request to no resource counts as.
fn verb_of(method: Method) -> Verb {
    match method {
        Method::Get | Method::Head | Method::Options => Verb::Get,
        Method::Post => Verb::Create,
        Method::Put => Verb::Update,
        Method::Patch => Verb::Patch,
        Method::Delete => Verb::Delete,
    }
}

/// 504 for a revision that the cache did not reach in time.
fn too_large(asked: Revision, current: Revision) -> Refusal {
    let message = format!("Too large resource version: {asked}, current: {current}");
    let cause = Cause::new("ResourceVersionTooLarge", "Too large resource version", "");
    let details = Details {
        causes: vec![cause],
        retry_after_seconds: 1,
        ..Details::default()
    };
    Status::timeout(&message, 1).with(details).into()
}

/// The store gave no result: what the client must believe.
fn lost(unavailable: &Unavailable) -> Refusal {
    match unavailable {
        Unavailable::Refused(words) => {
            let message = format!("etcdserver: {words}");
            let reason = wavetank_api::status::Reason::Unknown;
            Status::failure(500, reason, message).into()
        }
        Unavailable::Unknown => {
            Status::timeout("request did not complete within the allotted timeout", 0).into()
        }
    }
}

/// What the users of a kind that is on its way out are told, in each answer.
fn deprecation(place: &Result<Place, Refusal>) -> Vec<String> {
    match place {
        Ok(Place::Resource(route, _)) if route.kind == KindId::Endpoints => {
            let what =
                "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
            vec![what.to_owned()]
        }
        _ => Vec::new(),
    }
}
