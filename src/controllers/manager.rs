//! All controllers as one component: elected, over shared caches.
//!
//! A shell drives it; it drives the caches, the loops and the recorder of events.
//!
//! 1. It writes nothing (but the Lease) unless it is the leader (I5).
//! 2. A new leader begins with empty caches and consistent lists: it never acts on what it saw
//!    while another was writing.
//! 3. When it is deposed it cancels what is under way and forgets everything, as if restarted.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::sync::Arc;

use wavetank_api::Time;
use wavetank_informer::election::{self, Elector, Turn};
use wavetank_informer::events::Recorder;
use wavetank_informer::own_writes::ReadYourWrites;
use wavetank_informer::{CallIds, Client, Component, Guards, Input, Key, Note, Nothing, Output};

use crate::control_loop::{Desk, Loop};
use crate::controllers;
use crate::informers::Informers;

/// Name of the component, its lease and the field manager of its writes.
const NAME: &str = "kube-controller-manager";

/// How a manager runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Different for every process that ever runs: host name and a random part.
    pub identity: Arc<str>,
    /// Spreads retries in time.
    pub seed: u64,
    /// Whether others may run too, so that the Lease decides who acts.
    pub leader_elect: bool,
    /// The guards that are kept.
    pub guards: Guards,
    /// How the ReplicaSet controller reads its own writes; all others have the barrier.
    pub read_your_writes: ReadYourWrites,
    /// The controllers to run, by name; all when `None` (upstream's `--controllers`).
    pub only: Option<&'static [&'static str]>,
    /// The cluster's CA, PEM: published into every namespace.
    pub root_ca: Arc<str>,
}

/// What exists only while the process acts.
struct Acting {
    world: Informers,
    /// Each controller, with the client that names it.
    loops: Vec<(Client, Box<dyn Loop>)>,
    recorder: Recorder,
    /// Whether the caches were filled and the loops have been started.
    started: bool,
}

/// The controller manager.
pub struct Manager {
    config: Config,
    client: Client,
    ids: CallIds,
    elector: Elector,
    acting: Option<Acting>,
    /// Terms begun: each has streams of chance of its own.
    terms: u64,
    /// The wake-up asked for last.
    wake: Option<Time>,
}

impl Manager {
    /// A manager that waits for `Input::Start`.
    pub fn new(config: Config) -> Self {
        let client = Client::new(NAME, "system:kube-controller-manager");
        let elector = Elector::new(election::Config {
            lease: Key::new("kube-system", NAME),
            identity: config.identity.clone(),
            client: client.clone(),
            seed: config.seed,
            guards: config.guards,
        });
        Manager {
            config,
            client,
            ids: CallIds::default(),
            elector,
            acting: None,
            terms: 0,
            wake: None,
        }
    }

    /// Whether its controllers run: it is the leader, and has filled its caches.
    pub fn is_acting(&self) -> bool {
        self.acting.as_ref().is_some_and(|acting| acting.started)
    }

    /// The caches, while it acts.
    pub fn world(&self) -> Option<&Informers> {
        self.acting.as_ref().map(|acting| &acting.world)
    }

    fn elect(&mut self, input: &Input<Nothing>, now: Time, out: &mut Vec<Output<Nothing>>) {
        let turn = match self.config.leader_elect {
            true => self.elector.handle(input, now, &mut self.ids, out),
            false => matches!(input, Input::Start).then_some(Turn::Elected),
        };
        let because = match turn {
            None => return,
            Some(Turn::Elected) => {
                self.begin(now, out);
                "elected"
            }
            Some(Turn::Deposed) => {
                self.stop(out);
                "deposed"
            }
        };
        out.push(Output::Note(Note {
            by: NAME,
            about: self.config.identity.clone(),
            because,
        }));
    }

    fn begin(&mut self, now: Time, out: &mut Vec<Output<Nothing>>) {
        self.terms += 1;
        let seed = self.config.seed ^ self.terms.rotate_left(32);
        let guards = self.config.guards;
        let mut world = Informers::new(&self.client, seed, guards).with_indexes();
        world.handle(&Input::Start, now, &mut self.ids, out);
        self.acting = Some(Acting {
            world,
            loops: controllers::all(&self.config)
                .into_iter()
                .map(|each| (self.client.part(each.name()), each))
                .collect(),
            recorder: Recorder::new(&self.client, ""),
            started: false,
        });
    }

    fn stop(&mut self, out: &mut Vec<Output<Nothing>>) {
        if let Some(mut acting) = self.acting.take() {
            acting.world.stop(out);
            for (_, each) in &mut acting.loops {
                each.stop(out);
            }
        }
    }

    fn ask_for_wake(&mut self, was_tick: bool, out: &mut Vec<Output<Nothing>>) {
        let elector = self.config.leader_elect.then(|| self.elector.next_wake());
        let acting = self.acting.as_ref().map(Acting::next_wake);
        let times = [elector.flatten(), acting.flatten()];
        let wake = times.into_iter().flatten().min();
        if wake != self.wake || was_tick {
            out.extend(wake.map(Output::WakeAt));
            self.wake = wake;
        }
    }
}

impl Component for Manager {
    type Effect = Nothing;
    type Outcome = Nothing;

    fn handle(&mut self, input: Input<Nothing>, now: Time, out: &mut Vec<Output<Nothing>>) {
        self.elect(&input, now, out);
        if let Some(acting) = &mut self.acting {
            acting.handle(&input, now, &mut self.ids, out);
        }
        self.ask_for_wake(matches!(input, Input::Tick), out);
    }
}

impl Acting {
    // ANCHOR: handle
    /// One input, once around: caches, news to every controller, answers, work.
    fn handle(
        &mut self,
        input: &Input<Nothing>,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<Nothing>>,
    ) {
        for news in self.world.handle(input, now, ids, out) {
            for (_, each) in &mut self.loops {
                each.observe(&news, &self.world, now);
            }
        }
        let synced = self.world.is_synced();
        let starts = synced && !self.started;
        self.started |= synced;
        let (world, recorder) = (&self.world, &mut self.recorder);
        for (client, each) in &mut self.loops {
            let mut desk = Desk {
                world,
                client,
                recorder,
                now,
                ids,
                out,
            };
            if starts {
                each.start(now);
            }
            each.handle(input, &mut desk);
            if synced {
                each.run(&mut desk);
            }
        }
        self.recorder.handle(input, now, ids, out);
    }
    // ANCHOR_END: handle

    fn next_wake(&self) -> Option<Time> {
        let loops = self.loops.iter().filter_map(|(_, each)| each.next_wake());
        let others = [self.world.next_wake(), self.recorder.next_wake()];
        loops.chain(others.into_iter().flatten()).min()
    }
}
