//! Carries a component in real time: its calls and watches go over a [`Transport`], its ticks come
//! from a clock, its effects go to whoever started it.
//!
//! A kubelet or the scheduler cannot tell one transport from the other, nor from the simulator: the
//! contract is [`Component`]'s.
//!
//! 1. Each call and each watch is answered as the contract says; what was cancelled is not heard
//!    of.
//! 2. A component that is slow holds its watches back, and nobody else.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use wavetank_api::Request;
use wavetank_informer::{CallId, Component, Failure, Input, Output};

use crate::clock::Clock;
use crate::transport::{Lines, Transport, Watch};

/// How many inputs wait for a component before their senders do.
const INPUTS_QUEUED: usize = 256;
/// How long a call may take. The API server gives up earlier; this is for a server that does not.
const CALL_MAX: Duration = Duration::from_secs(90);

/// Takes what a component does besides requests.
pub trait Effects<C: Component>: Send + 'static {
    /// Does it, or begins to; its outcome, if any, is sent when it is known. Must not block.
    fn perform(&mut self, effect: C::Effect, outcomes: &Outcomes<C::Outcome>);
}

impl<C: Component, F> Effects<C> for F
where
    F: FnMut(C::Effect, &Outcomes<C::Outcome>) + Send + 'static,
{
    fn perform(&mut self, effect: C::Effect, outcomes: &Outcomes<C::Outcome>) {
        self(effect, outcomes);
    }
}

/// Where outcomes go; may be cloned and kept.
#[derive(Debug)]
pub struct Outcomes<O>(mpsc::UnboundedSender<O>);

impl<O> Clone for Outcomes<O> {
    fn clone(&self) -> Self {
        Outcomes(self.0.clone())
    }
}

impl<O> Outcomes<O> {
    /// Tells the component, unless it has been stopped.
    pub fn send(&self, outcome: O) {
        let _ = self.0.send(outcome);
    }
}

/// A component that is being driven.
#[derive(Debug)]
pub struct Driver {
    task: JoinHandle<()>,
}

impl Driver {
    /// Drops the component with its calls and watches.
    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Returns when the component has been stopped, or has panicked.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }
}

/// Starts a component that lives by `clock`. Must be called within a tokio runtime.
pub fn drive<C>(
    component: C,
    clock: Clock,
    transport: impl Transport,
    effects: impl Effects<C>,
) -> Driver
where
    C: Component + Send + 'static,
    C::Effect: Send,
    C::Outcome: Send + 'static,
{
    let (inputs, arriving) = mpsc::channel(INPUTS_QUEUED);
    let (outcomes, happened) = mpsc::unbounded_channel();
    let drive = Drive {
        component,
        clock,
        transport,
        effects,
        outcomes: Outcomes(outcomes),
        inputs,
        running: BTreeMap::new(),
        tasks: JoinSet::new(),
        wake: None,
    };
    Driver {
        task: tokio::spawn(drive.run(arriving, happened)),
    }
}

/// What a task that carries a call or watch has heard.
enum Heard {
    Response(wavetank_api::Response),
    Opened,
    Frame(bytes::Bytes),
    Closed,
    Failed(Failure),
}

impl Heard {
    fn is_last(&self) -> bool {
        !matches!(self, Heard::Opened | Heard::Frame(_))
    }

    fn input<O>(self, id: CallId) -> Input<O> {
        match self {
            Heard::Response(response) => Input::Response(id, response),
            Heard::Opened => Input::Opened(id),
            Heard::Frame(bytes) => Input::Frame(id, bytes),
            Heard::Closed => Input::Closed(id),
            Heard::Failed(failure) => Input::Failed(id, failure),
        }
    }
}

type Inputs = mpsc::Sender<(CallId, Heard)>;

struct Drive<C: Component, T, E> {
    component: C,
    clock: Clock,
    transport: T,
    effects: E,
    outcomes: Outcomes<C::Outcome>,
    inputs: Inputs,
    /// Calls and watches that the component still waits for.
    running: BTreeMap<CallId, AbortHandle>,
    /// The tasks that carry them; dropped, and so ended, with the component.
    tasks: JoinSet<()>,
    wake: Option<Instant>,
}

impl<C, T, E> Drive<C, T, E>
where
    C: Component,
    T: Transport,
    E: Effects<C>,
{
    // ANCHOR: run
    async fn run(
        mut self,
        mut arriving: mpsc::Receiver<(CallId, Heard)>,
        mut happened: mpsc::UnboundedReceiver<C::Outcome>,
    ) {
        self.handle(Input::Start);
        loop {
            let wake = self.wake;
            let tick = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((id, heard)) = arriving.recv() => self.heard(id, heard),
                Some(outcome) = happened.recv() => self.handle(Input::Outcome(outcome)),
                () = tick => {
                    self.wake = None;
                    self.handle(Input::Tick);
                }
                // Takes note of tasks that ended.
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }
    // ANCHOR_END: run

    fn heard(&mut self, id: CallId, heard: Heard) {
        // What was cancelled may have been on its way already.
        if !self.running.contains_key(&id) {
            return;
        }
        if heard.is_last() {
            self.running.remove(&id);
        }
        self.handle(heard.input(id));
    }

    fn handle(&mut self, input: Input<C::Outcome>) {
        let mut out = Vec::new();
        self.component.handle(input, self.clock.now(), &mut out);
        for output in out {
            match output {
                Output::Call(id, request) => self.carry(id, request, false),
                Output::Watch(id, request) => self.carry(id, request, true),
                Output::Cancel(id) => {
                    if let Some(task) = self.running.remove(&id) {
                        task.abort();
                    }
                }
                Output::WakeAt(at) => self.wake = Some(self.clock.instant(at)),
                Output::Effect(effect) => self.effects.perform(effect, &self.outcomes),
                // This shell keeps no trace.
                Output::Note(_) => {}
            }
        }
    }

    fn carry(&mut self, id: CallId, request: Request, stream: bool) {
        let (transport, inputs) = (self.transport.clone(), self.inputs.clone());
        let task = self.tasks.spawn(async move {
            let heard = match stream {
                true => watch(id, transport, request, &inputs).await,
                false => call(transport, request).await,
            };
            let _ = inputs.send((id, heard)).await;
        });
        self.running.insert(id, task);
    }
}

async fn call(transport: impl Transport, request: Request) -> Heard {
    match tokio::time::timeout(CALL_MAX, transport.call(request)).await {
        Ok(Ok(response)) => Heard::Response(response),
        Ok(Err(failure)) => Heard::Failed(failure),
        Err(_) => Heard::Failed(Failure::TimedOut),
    }
}

/// Passes a watch on to its end; what is to be heard last.
async fn watch(id: CallId, transport: impl Transport, request: Request, inputs: &Inputs) -> Heard {
    match tokio::time::timeout(CALL_MAX, transport.watch(request)).await {
        Ok(Ok(Watch::Opened(mut lines))) => {
            let _ = inputs.send((id, Heard::Opened)).await;
            while let Some(frame) = lines.next().await {
                let _ = inputs.send((id, Heard::Frame(frame))).await;
            }
            Heard::Closed
        }
        Ok(Ok(Watch::Refused(response))) => Heard::Response(response),
        Ok(Err(failure)) => Heard::Failed(failure),
        Err(_) => Heard::Failed(Failure::TimedOut),
    }
}
