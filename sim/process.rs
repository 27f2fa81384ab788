//! The processes of a simulated cluster, and how the world speaks to each.
//!
//! A process is a component with what belongs to its machine: a kubelet has a simulated container
//! runtime beside it. A crash drops the component and raises the incarnation, so that whatever was
//! under way to the old one is not heard by the new one.
//!
//! Book: `book/src/simulator/world.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use wavetank_api::kinds::KindId;
use wavetank_api::{Response, Time};
use wavetank_controllers::Manager;
use wavetank_informer::{CallId, Component, Failure, Input, Output};
use wavetank_kubelet::Kubelet;
use wavetank_scheduler::Scheduler;

use crate::clock::LocalClock;
use crate::oracle::{Known, Views};
use crate::runtime::SimRuntime;

/// What reaches a process over the network or from its clock.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Start,
    Tick,
    /// An answer, and how far it can show the store.
    Response(CallId, Response, Known),
    Opened(CallId),
    /// Bytes of a watch, and how far they show the store.
    Frame(CallId, Bytes, Known),
    Closed(CallId),
    Failed(CallId, Failure),
}

impl News {
    fn input<O>(self) -> Input<O> {
        match self {
            News::Start => Input::Start,
            News::Tick => Input::Tick,
            News::Response(call, response, _) => Input::Response(call, response),
            News::Opened(call) => Input::Opened(call),
            News::Frame(call, bytes, _) => Input::Frame(call, bytes),
            News::Closed(call) => Input::Closed(call),
            News::Failed(call, failure) => Input::Failed(call, failure),
        }
    }

    /// The call it belongs to, and whether nothing more will be heard of that call.
    pub(crate) fn call(&self) -> Option<(CallId, bool)> {
        match self {
            News::Start | News::Tick => None,
            News::Opened(call) | News::Frame(call, ..) => Some((*call, false)),
            News::Response(call, ..) | News::Closed(call) | News::Failed(call, _) => {
                Some((*call, true))
            }
        }
    }

    /// In a few words, for the story.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            News::Start => "its start",
            News::Tick => "its timer",
            News::Response(..) => "an answer",
            News::Opened(_) => "a watch opening",
            News::Frame(..) => "a watch event",
            News::Closed(_) => "a watch closing",
            News::Failed(..) => "no answer",
        }
    }

    /// The bytes that travelled, for the hash.
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            News::Response(_, response, _) => response.bytes(),
            News::Frame(_, bytes, _) => bytes.clone(),
            _ => Bytes::new(),
        }
    }
}

/// A machine with a kubelet.
pub(crate) struct SimNode {
    pub(crate) kubelet: Kubelet,
    pub(crate) runtime: SimRuntime,
}

/// What runs in a process.
pub(crate) enum Role {
    Manager(Box<Manager>),
    Scheduler(Box<Scheduler>),
    Node(Box<SimNode>),
}

/// One process of the cluster.
pub(crate) struct Process {
    pub(crate) name: Arc<str>,
    /// What runs; nothing while it is down.
    pub(crate) role: Option<Role>,
    /// The container runtime of a machine whose kubelet is down.
    pub(crate) machine: Option<SimRuntime>,
    /// Its machine's clock.
    pub(crate) clock: LocalClock,
    /// Which API server it speaks to.
    pub(crate) server: usize,
    /// Raised by each crash.
    pub(crate) incarnation: u32,
    /// The tick it waits for.
    pub(crate) wake: Option<Time>,
    /// The time at which its runtime has something to say.
    pub(crate) runtime_due: Option<Time>,
    /// How many of its writes were committed.
    pub(crate) writes: u32,
    /// How far it knows the store, for oracles.
    pub(crate) views: Arc<Views>,
    /// Reads that have not ended: of which kind, and whether each lists or watches.
    pub(crate) asked: BTreeMap<CallId, (KindId, bool)>,
    /// What it knew when it decided on each call that has not been answered.
    pub(crate) decided: BTreeMap<CallId, Arc<Views>>,
    /// What it knew when it decided on what it does next, if that was before now: the rest of a
    /// plan is sent when its beginning has been answered.
    pub(crate) goes_on: Option<Arc<Views>>,
    /// Calls and streams that have not ended: whether each is a stream.
    pub(crate) open: BTreeMap<CallId, bool>,
}

impl Process {
    pub(crate) fn new(name: Arc<str>, role: Option<Role>, server: usize) -> Self {
        Process {
            name,
            role,
            machine: None,
            clock: LocalClock::default(),
            server,
            incarnation: 0,
            wake: None,
            runtime_due: None,
            writes: 0,
            views: Arc::default(),
            asked: BTreeMap::new(),
            decided: BTreeMap::new(),
            goes_on: None,
            open: BTreeMap::new(),
        }
    }

    /// Notes what the news says of how far the process has come to know the store.
    pub(crate) fn learn(&mut self, news: &News) {
        let (call, upto, is_frame) = match news {
            News::Response(call, response, upto) if response.is_success() => (call, *upto, false),
            News::Frame(call, _, upto) => (call, *upto, true),
            _ => return,
        };
        let Some((kind, is_list)) = self.asked.get(call).copied() else {
            return;
        };
        let known = Arc::make_mut(&mut self.views).entry(kind).or_default();
        known.shown = known.shown.max(upto.shown);
        if is_frame || is_list {
            known.told = known.told.max(upto.told);
        }
        if !is_frame {
            self.asked.remove(call);
        }
    }

    /// Tells the process the news and returns what it wants done, requests only: effects of a
    /// kubelet have gone to its runtime.
    pub(crate) fn hear(&mut self, news: News, now: Time) -> Vec<Output<()>> {
        let now = self.clock.shows(now);
        match &mut self.role {
            None => Vec::new(),
            Some(Role::Manager(manager)) => plain(manager.as_mut(), news, now),
            Some(Role::Scheduler(scheduler)) => plain(scheduler.as_mut(), news, now),
            Some(Role::Node(node)) => node.tell(news.input(), now),
        }
    }

    /// Lets the runtime say what it has to say by now.
    pub(crate) fn hear_runtime(&mut self, now: Time) -> Vec<Output<()>> {
        let now = self.clock.shows(now);
        let Some(Role::Node(node)) = &mut self.role else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for outcome in node.runtime.poll(now) {
            all.append(&mut node.tell(Input::Outcome(outcome), now));
        }
        all
    }

    /// When the runtime next has something to say, in the world's time.
    pub(crate) fn next_runtime(&self) -> Option<Time> {
        match &self.role {
            Some(Role::Node(node)) => node.runtime.due().map(|due| self.clock.when(due)),
            _ => None,
        }
    }
}

impl SimNode {
    fn tell(&mut self, input: Input<wavetank_kubelet::Outcome>, now: Time) -> Vec<Output<()>> {
        let mut out = Vec::new();
        self.kubelet.handle(input, now, &mut out);
        let mut requests = Vec::with_capacity(out.len());
        for output in out {
            if let Some(effect) = split(output, &mut requests) {
                self.runtime.effect(effect, now);
            }
        }
        requests
    }
}

/// A component without effects.
fn plain<C: Component>(component: &mut C, news: News, now: Time) -> Vec<Output<()>> {
    let mut out = Vec::new();
    component.handle(news.input(), now, &mut out);
    let mut requests = Vec::with_capacity(out.len());
    for output in out {
        split(output, &mut requests);
    }
    requests
}

/// Puts a request aside, and gives an effect back.
fn split<E>(output: Output<E>, requests: &mut Vec<Output<()>>) -> Option<E> {
    requests.push(match output {
        Output::Effect(effect) => return Some(effect),
        Output::Call(call, request) => Output::Call(call, request),
        Output::Watch(call, request) => Output::Watch(call, request),
        Output::Cancel(call) => Output::Cancel(call),
        Output::WakeAt(at) => Output::WakeAt(at),
        Output::Note(note) => Output::Note(note),
    });
    None
}
