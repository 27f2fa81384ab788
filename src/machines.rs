//! Simulated machines in real time: a container runtime each, shared by two users.
//!
//! Used by `up` and `nodes`. The kubelet's effects go to its machine's runtime, and what comes of
//! them comes back at the time the runtime says; `kubectl logs` and `exec` read the same runtime.
//!
//! 1. A machine's lock is held for one call, never across an await.
//!
//! Book: `book/src/simulator/nodes.md`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use wavetank_api::Time;
use wavetank_api::status::Status;
use wavetank_apiserver::{LogOptions, StdStreams, Tunnel, TunnelKind};
use wavetank_kubelet::{Effect, Kubelet, Outcome};
use wavetank_serve::{
    Clock, Effects, MESSAGES_QUEUED, NodeStream, NodeStreams, Outcomes, Process, ProcessInput,
    ProcessOutput,
};
use wavetank_sim::cluster::machine;
use wavetank_sim::runtime::logs;
use wavetank_sim::runtime::{NodeConfig, SimRuntime};
use wavetank_sim::scenario::ClusterSpec;

/// How often a followed log is looked at.
const FOLLOW: Duration = Duration::from_millis(200);
/// How old a container's first output may be for who attaches to see it still.
const IN_THE_PIPE: Duration = Duration::from_secs(5);
/// Why nobody can attach to a container that has ended.
const NOT_RUNNING: &str = "error attaching to container: container is in CONTAINER_EXITED state";

/// The client is gone.
struct Left;

/// One simulated machine.
pub struct Machine {
    runtime: Mutex<SimRuntime>,
    /// Told when the runtime may have something to say sooner than thought.
    changed: Notify,
    clock: Clock,
}

impl Machine {
    /// A machine whose runtime is driven by `clock`.
    pub fn new(runtime: SimRuntime, clock: Clock) -> Arc<Self> {
        Arc::new(Machine {
            runtime: Mutex::new(runtime),
            changed: Notify::new(),
            clock,
        })
    }

    fn lock(&self) -> MutexGuard<'_, SimRuntime> {
        // A panic while it was held has already been reported; the runtime's state is still whole.
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends outcomes at the times the runtime gives; never ends.
    async fn report(self: Arc<Self>, outcomes: Outcomes<Outcome>) {
        loop {
            let due = self.lock().due();
            let asleep = async {
                match due {
                    Some(at) => tokio::time::sleep_until(self.clock.instant(at).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = asleep => {}
                () = self.changed.notified() => continue,
            }
            let happened = self.lock().poll(self.clock.now());
            for outcome in happened {
                outcomes.send(outcome);
            }
        }
    }
}

/// What `cat` does: its input is its output, up to the end of the input or of the client.
async fn copy(inputs: &mut mpsc::Receiver<ProcessInput>, outputs: &mpsc::Sender<ProcessOutput>) {
    while let Some(input) = inputs.recv().await {
        let sent = match input {
            ProcessInput::Stdin(bytes) => outputs.send(ProcessOutput::Stdout(bytes)).await,
            ProcessInput::Eof => return,
            ProcessInput::Resize { .. } => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Takes a kubelet's effects to its machine.
pub struct Hands {
    machine: Arc<Machine>,
    reports: bool,
}

impl Hands {
    /// The hands of the kubelet on `machine`.
    pub fn new(machine: Arc<Machine>) -> Self {
        Hands {
            machine,
            reports: false,
        }
    }
}

impl Effects<Kubelet> for Hands {
    fn perform(&mut self, effect: Effect, outcomes: &Outcomes<Outcome>) {
        if !self.reports {
            self.reports = true;
            tokio::spawn(self.machine.clone().report(outcomes.clone()));
        }
        self.machine.lock().effect(effect, self.machine.clock.now());
        self.machine.changed.notify_one();
    }
}

/// Which nodes: their names are the prefix and a number, their addresses follow from the number.
pub struct Place<'a> {
    /// What their names begin with.
    pub prefix: &'a str,
    /// Their numbers.
    pub numbers: Range<u32>,
}

/// A machine for each number, and what its kubelet is told of it.
pub fn machines(
    spec: &ClusterSpec,
    place: Place<'_>,
    clock: Clock,
) -> Vec<(wavetank_kubelet::Config, Arc<Machine>)> {
    let make = |number: u32| {
        let seed = u64::from(number) + 1;
        let (mut config, _) = machine(spec, number, seed);
        config.node_name = format!("{}{number}", place.prefix).into();
        let (first, bits) = config.pod_cidr.split_once('/').unwrap_or_default();
        let runtime = SimRuntime::new(NodeConfig {
            name: config.node_name.clone(),
            pod_cidr: (
                first.parse().unwrap_or(Ipv4Addr::UNSPECIFIED),
                bits.parse().unwrap_or(0),
            ),
            seed,
        });
        (config, Machine::new(runtime, clock))
    };
    place.numbers.map(make).collect()
}

/// All machines by the names of their nodes.
#[derive(Default)]
pub struct Machines(pub BTreeMap<String, Arc<Machine>>);

impl NodeStreams for Machines {
    fn open(&self, tunnel: Tunnel, reply: oneshot::Sender<Result<NodeStream, Box<Status>>>) {
        let Some(machine) = self.0.get(&tunnel.node).cloned() else {
            let status = Status::service_unavailable(format!("no node {:?}", tunnel.node));
            return drop(reply.send(Err(Box::new(status))));
        };
        // The client may have left: then nobody wants the stream.
        let _ = reply.send(machine.open(&tunnel).map_err(Box::new));
    }
}

impl Machine {
    fn open(self: &Arc<Self>, tunnel: &Tunnel) -> Result<NodeStream, Status> {
        let uid = wavetank_api::Uid(tunnel.uid.as_str().into());
        let previous = matches!(&tunnel.kind, TunnelKind::Log(options) if options.previous);
        let Some(id) = self.lock().find(&uid, &tunnel.container, previous) else {
            let Tunnel { container, pod, .. } = tunnel;
            let what = if previous {
                "previous terminated container"
            } else {
                "container"
            };
            let message = format!("{what} {container:?} in pod {pod:?} not found");
            return Err(Status::bad_request(message));
        };
        match &tunnel.kind {
            TunnelKind::Log(options) => self.log(id, options),
            TunnelKind::Exec { command, streams } => Ok(self.exec(&id, command, *streams)),
            TunnelKind::Attach { streams } => Ok(self.attach(id, *streams)),
            TunnelKind::PortForward { .. } => {
                let message =
                    "simulated nodes carry no network traffic: port-forward needs a real one";
                Err(Status::service_unavailable(message))
            }
        }
    }

    fn log(
        self: &Arc<Self>,
        id: wavetank_cri::ContainerId,
        options: &LogOptions,
    ) -> Result<NodeStream, Status> {
        let now = self.clock.now();
        let ago = options
            .since_seconds
            .map(|seconds| now - Duration::from_secs(seconds));
        let mut wanted = logs::LogOptions {
            tail_lines: options.tail_lines,
            since: options.since_time.or(ago),
            timestamps: options.timestamps,
            limit_bytes: options.limit_bytes.and_then(|n| usize::try_from(n).ok()),
        };
        let first = self
            .lock()
            .logs(&id, &wanted, now)
            .map_err(|error| Status::internal_error(&error.to_string()))?;
        let (lines, stream) = mpsc::channel(MESSAGES_QUEUED);
        let follow = options.follow;
        let machine = self.clone();
        wanted.tail_lines = None;
        tokio::spawn(async move {
            let mut shown = now;
            let mut bytes = first;
            loop {
                if !bytes.is_empty() && lines.send(Bytes::from(bytes)).await.is_err() {
                    return; // the client is gone
                }
                if !follow || !machine.is_running(&id) {
                    return;
                }
                tokio::time::sleep(FOLLOW).await;
                let now = machine.clock.now();
                wanted.since = Some(shown + Duration::from_micros(1));
                shown = now;
                bytes = machine.lock().logs(&id, &wanted, now).unwrap_or_default();
            }
        });
        Ok(NodeStream::Log(stream))
    }

    fn is_running(&self, id: &wavetank_cri::ContainerId) -> bool {
        let runtime = self.lock();
        runtime
            .instance(id)
            .is_some_and(|instance| instance.running_since().is_some())
    }

    /// Whether its program has ended, or nothing is known of it any more.
    fn has_ended(&self, id: &wavetank_cri::ContainerId) -> bool {
        let runtime = self.lock();
        runtime.instance(id).is_none_or(|it| it.ended.is_some())
    }

    fn exec(
        &self,
        id: &wavetank_cri::ContainerId,
        command: &[String],
        streams: StdStreams,
    ) -> NodeStream {
        let argv: Vec<Arc<str>> = command.iter().map(|word| word.as_str().into()).collect();
        let answer = self.lock().exec(id, &argv, self.clock.now());
        let (input, inputs) = mpsc::channel(MESSAGES_QUEUED);
        let (outputs, output) = mpsc::channel(MESSAGES_QUEUED);
        let clock = self.clock;
        tokio::spawn(async move {
            let mut inputs: mpsc::Receiver<ProcessInput> = inputs;
            let answer = match answer {
                Ok(answer) if !answer.is_missing => answer,
                refused => {
                    let why = refused.map_or_else(|e| e.to_string(), |answer| answer.stderr);
                    let why = format!("error executing command in container: {why}");
                    let _ = outputs.send(ProcessOutput::Failed(why)).await;
                    return;
                }
            };
            let takes = answer.takes.map(|takes| clock.on_wall(takes));
            let mut parts = Vec::new();
            if streams.stdout && !answer.stdout.is_empty() {
                parts.push(ProcessOutput::Stdout(answer.stdout.into()));
            }
            if streams.stderr && !answer.stderr.is_empty() {
                parts.push(ProcessOutput::Stderr(answer.stderr.into()));
            }
            for part in parts {
                if outputs.send(part).await.is_err() {
                    return;
                }
            }
            if streams.stdin && answer.copies_input {
                copy(&mut inputs, &outputs).await;
            }
            let ended = async {
                match takes {
                    Some(takes) => tokio::time::sleep(takes).await,
                    None => std::future::pending().await,
                }
            };
            let left = async { while inputs.recv().await.is_some() {} };
            tokio::select! {
                () = ended => {
                    let _ = outputs.send(ProcessOutput::Exit(answer.exit_code)).await;
                }
                () = left => {}
            }
        });
        NodeStream::Process(Process { input, output })
    }

    /// From when on an attached client sees output: what a container said just after its start
    /// still lies in its pipe, as `kubectl run -i` relies on.
    fn attached_from(&self, id: &wavetank_cri::ContainerId) -> Time {
        let now = self.clock.now();
        let runtime = self.lock();
        let since = runtime.instance(id).and_then(|it| it.running_since());
        since
            .filter(|since| now.since(*since) < IN_THE_PIPE)
            .unwrap_or(now)
    }

    fn attach(self: &Arc<Self>, id: wavetank_cri::ContainerId, streams: StdStreams) -> NodeStream {
        let (input, inputs) = mpsc::channel(MESSAGES_QUEUED);
        let (outputs, output) = mpsc::channel(MESSAGES_QUEUED);
        let machine = self.clone();
        tokio::spawn(async move {
            let last = match machine.has_ended(&id) {
                true => ProcessOutput::Failed(NOT_RUNNING.into()),
                // As upstream, whatever the container's own exit code is.
                false => match machine.attached(&id, streams, inputs, &outputs).await {
                    Ok(()) => ProcessOutput::Exit(0),
                    Err(Left) => return,
                },
            };
            // The client may have left: then nobody wants to know.
            let _ = outputs.send(last).await;
        });
        NodeStream::Process(Process { input, output })
    }

    /// Carries a client's input to a container and what the container writes to the client, until
    /// the container ends, the client leaves, or its input ends: that is the end of the container's
    /// input too with `stdinOnce`, else of the client's visit only (`pkg/kubelet/cri`, and Attach
    /// in containerd's `internal/cri/io/container_io.go`).
    async fn attached(
        &self,
        id: &wavetank_cri::ContainerId,
        streams: StdStreams,
        mut inputs: mpsc::Receiver<ProcessInput>,
        outputs: &mpsc::Sender<ProcessOutput>,
    ) -> Result<(), Left> {
        let from = self.attached_from(id);
        let mut seen = self.lock().seen_before(id, from);
        let mut is_last = false;
        loop {
            is_last |= self.has_ended(id);
            let bytes = self.lock().output(id, &mut seen, self.clock.now());
            if streams.stdout && !bytes.is_empty() {
                let part = ProcessOutput::Stdout(bytes.into());
                outputs.send(part).await.map_err(|_| Left)?;
            }
            if is_last {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(FOLLOW) => {}
                input = inputs.recv() => match input.ok_or(Left)? {
                    ProcessInput::Stdin(bytes) if streams.stdin => self.write_stdin(id, &bytes),
                    ProcessInput::Eof if streams.stdin => is_last = !self.close_stdin(id),
                    _ => {}
                },
            }
        }
    }

    fn write_stdin(&self, id: &wavetank_cri::ContainerId, bytes: &[u8]) {
        self.lock().write_stdin(id, bytes, self.clock.now());
        self.changed.notify_one();
    }

    /// A client's input has ended; whether the client still waits for the container's end.
    fn close_stdin(&self, id: &wavetank_cri::ContainerId) -> bool {
        let mut runtime = self.lock();
        let config = runtime.instance(id).map(|instance| &instance.config);
        let is_once = config.is_some_and(|config| config.stdin_once && !config.tty);
        if is_once {
            runtime.close_stdin(id, self.clock.now());
            self.changed.notify_one();
        }
        is_once
    }
}
