//! What a controller is: from news to keys, from a key to a step.
//!
//! Every controller in this crate implements [`Controller`]; a `ControlLoop` drives it.
//!
//! 1. A controller holds no copy of the world: it decides on the caches it is shown, so that a
//!    restart loses nothing.
//! 2. It decides on one key at a time, and never on a key whose last writes the caches do not show.
//! 3. Every write names the uid it was decided on (I1), but for creates.
//!
//! Book: `book/src/controllers/reconcile.md`.

use core::fmt::Display;
use core::time::Duration;
use std::sync::Arc;

use wavetank_api::{KindId, Meta, Request, Response, Time};
use wavetank_informer::events::{About, Event, EventType};
use wavetank_informer::executor::{Plan, Written};
use wavetank_informer::expectations::Seen;
use wavetank_informer::queue::Queue;
use wavetank_informer::{Client, Failure, Guard, Guards, Note};

use crate::informers::{Informers, News};

// ANCHOR: controller
/// One reconciling loop's mind.
pub trait Controller: Send {
    /// What it reconciles: usually [`wavetank_informer::Key`], the name of an object.
    type Key: Clone + Ord + Display + Send;
    /// What it carries from a plan or a read over to its answers; `()` when nothing.
    type Memory: Send;

    /// Its name in traces and events, as upstream's: `replicaset-controller`.
    fn name(&self) -> &'static str;

    /// The kind its keys name.
    fn kind(&self) -> KindId;

    /// Most keys that are worked on at once.
    fn workers(&self) -> usize;

    /// Adds the keys that a change of the caches concerns. The caches show it already.
    fn observe(
        &mut self,
        news: &News,
        world: &Informers,
        now: Time, // for keys that are to be added for later
        keys: &mut Queue<Self::Key>,
    );

    /// Compares the object of `key` with what it should be, and says what to do.
    fn reconcile(&mut self, key: &Self::Key, cx: &mut Context) -> Step<Self::Memory>;

    /// Goes on when the plan has been carried out, or the reads have been answered.
    fn resume(
        &mut self,
        key: &Self::Key,
        memory: Self::Memory,
        answers: Answers,
        cx: &mut Context<'_>,
    ) -> Step<Self::Memory>;

    // ANCHOR_END: controller
    /// Its name in events, where upstream has another than in its flags.
    fn event_source(&self) -> &'static str {
        self.name()
    }

    /// The guard that waiting for its own writes is to it.
    fn barrier_guard(&self) -> Guard {
        Guard::M01
    }

    /// What news shows of the creates and deletes that a plan of some key asked for; of use only to
    /// a loop that counts them ([`expectations`](wavetank_informer::expectations)).
    fn shown(&self, _news: &News, _world: &Informers) -> Option<(Self::Key, Seen)> {
        None
    }

    /// Adds the keys that are to be looked at without news, once all caches are filled.
    fn start(&mut self, _now: Time, _keys: &mut Queue<Self::Key>) {}
}

// ANCHOR: step
/// What a controller wants next for a key.
#[derive(Debug)]
pub enum Step<M> {
    /// Nothing, until there is news.
    Done,
    /// Nothing, until this much later (or news).
    After(Duration),
    /// To reconcile again, as soon as the caches show what was written.
    Again,
    /// To be tried again later, and later still each time: something failed.
    Retry(String),
    /// Writes; their outcomes come to `resume`.
    Plan(Plan, M),
    /// Live reads, past the caches; their answers come to `resume`.
    Read(Vec<Request>, M),
}
// ANCHOR_END: step

/// What came of a step.
#[derive(Debug)]
pub enum Answers {
    /// One outcome per write of the plan.
    Written(Vec<Written>),
    /// One answer per request.
    Read(Vec<Result<Response, Failure>>),
}

impl Answers {
    /// The outcomes of a plan; empty for reads.
    pub fn written(self) -> Vec<Written> {
        match self {
            Answers::Written(written) => written,
            Answers::Read(_) => Vec::new(),
        }
    }

    /// The answers to reads; empty for a plan.
    pub fn read(self) -> Vec<Result<Response, Failure>> {
        match self {
            Answers::Written(_) => Vec::new(),
            Answers::Read(read) => read,
        }
    }
}

/// The first thing that went wrong in a plan, for people.
pub fn first_error(written: &[Written]) -> Option<String> {
    written.iter().find_map(|w| w.outcome.error())
}

/// What a controller decides with, and where it says why.
pub struct Context<'a> {
    /// The caches.
    pub world: &'a Informers,
    /// Builds requests.
    pub client: &'a Client,
    /// The guards that are kept.
    pub guards: Guards,
    /// The time of this decision.
    pub now: Time,
    pub(crate) by: &'static str,
    pub(crate) source: &'static str,
    pub(crate) about: Arc<str>,
    pub(crate) events: Vec<Event>,
    pub(crate) notes: Vec<Note>,
}

impl Context<'_> {
    /// Says for the trace what was decided.
    pub fn note(&mut self, because: &'static str) {
        self.notes.push(Note {
            by: self.by,
            about: self.about.clone(),
            because,
        });
    }

    /// Tells people what happened to an object.
    pub fn event(
        &mut self,
        (kind, meta): (KindId, &Meta),
        r#type: EventType,
        reason: &'static str,
        message: String,
    ) {
        self.events.push(Event {
            component: self.source,
            about: About::object(kind, meta),
            r#type,
            reason,
            message,
        });
    }
}
