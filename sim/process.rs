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

use wavetank_api::{Response, Time};
use wavetank_controllers::Manager;
use wavetank_informer::{CallId, Component, Failure, Input, Output};
use wavetank_kubelet::Kubelet;
use wavetank_scheduler::Scheduler;

use crate::runtime::SimRuntime;

/// What reaches a process over the network or from its clock.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Start,
    Tick,
    Response(CallId, Response),
    Opened(CallId),
    Frame(CallId, Bytes),
    Closed(CallId),
    Failed(CallId, Failure),
}

impl News {
    fn input<O>(self) -> Input<O> {
        match self {
            News::Start => Input::Start,
            News::Tick => Input::Tick,
            News::Response(call, response) => Input::Response(call, response),
            News::Opened(call) => Input::Opened(call),
            News::Frame(call, bytes) => Input::Frame(call, bytes),
            News::Closed(call) => Input::Closed(call),
            News::Failed(call, failure) => Input::Failed(call, failure),
        }
    }

    /// The call it belongs to, and whether nothing more will be heard of that call.
    pub(crate) fn call(&self) -> Option<(CallId, bool)> {
        match self {
            News::Start | News::Tick => None,
            News::Opened(call) | News::Frame(call, _) => Some((*call, false)),
            News::Response(call, _) | News::Closed(call) | News::Failed(call, _) => {
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
            News::Response(_, response) => response.bytes(),
            News::Frame(_, bytes) => bytes.clone(),
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
    /// Which API server it speaks to.
    pub(crate) server: usize,
    /// Raised by each crash.
    pub(crate) incarnation: u32,
    /// The tick it waits for.
    pub(crate) wake: Option<Time>,
    /// The time at which its runtime has something to say.
    pub(crate) runtime_due: Option<Time>,
    /// Calls and streams that have not ended: whether each is a stream.
    pub(crate) open: BTreeMap<CallId, bool>,
}

impl Process {
    pub(crate) fn new(name: Arc<str>, role: Option<Role>, server: usize) -> Self {
        Process {
            name,
            role,
            server,
            incarnation: 0,
            wake: None,
            runtime_due: None,
            open: BTreeMap::new(),
        }
    }

    /// Tells the process the news and returns what it wants done, requests only: effects of a
    /// kubelet have gone to its runtime.
    pub(crate) fn hear(&mut self, news: News, now: Time) -> Vec<Output<()>> {
        match &mut self.role {
            None => Vec::new(),
            Some(Role::Manager(manager)) => plain(manager.as_mut(), news, now),
            Some(Role::Scheduler(scheduler)) => plain(scheduler.as_mut(), news, now),
            Some(Role::Node(node)) => node.tell(news.input(), now),
        }
    }

    /// Lets the runtime say what it has to say by now.
    pub(crate) fn hear_runtime(&mut self, now: Time) -> Vec<Output<()>> {
        let Some(Role::Node(node)) = &mut self.role else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for outcome in node.runtime.poll(now) {
            all.append(&mut node.tell(Input::Outcome(outcome), now));
        }
        all
    }

    /// When the runtime next has something to say.
    pub(crate) fn next_runtime(&self) -> Option<Time> {
        match &self.role {
            Some(Role::Node(node)) => node.runtime.due(),
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
