//! Properties of the engine against a model of the API server: any order of observations that lag,
//! answers that are lost, and bindings that arrive late.
//!
//! Book: `book/src/scheduler/binding.md`.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use wavetank_api::Revision;

use super::*;
use crate::plugins::{DEFAULT_SCHEDULER_NAME, default_profile};
use crate::pod::PodSpec;
use crate::queue::Place;
use crate::resource::{Bytes, MilliCpu, Resources};

/// Something the world does next; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Op {
    AddNode {
        name: u8,
        cpu: i64,
    },
    RemoveNode {
        name: u8,
    },
    AddPod {
        cpu: i64,
        priority: i32,
        is_gated: bool,
    },
    OpenGate {
        pod: usize,
    },
    DeletePod {
        pod: usize,
    },
    SeePods(usize),
    SeeNodes(usize),
    Cycle,
    Answer {
        bind: usize,
        how: How,
    },
    ArriveLate {
        ghost: usize,
    },
    Read {
        bind: usize,
    },
    Wait {
        millis: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum How {
    Commits,
    CommitsAnswerLost,
    RequestLost,
    RequestLate,
}

#[derive(Clone, Debug)]
struct Truth {
    uid: Uid,
    cpu: i64,
    priority: i32,
    is_gated: bool,
    node: Option<Arc<str>>,
}

/// The API server, its two watches, and the engine.
struct World {
    engine: Engine,
    now: Time,
    revision: u64,
    uids: u64,
    nodes: BTreeMap<Arc<str>, i64>,
    /// The most that a node of a name ever had: H1 supposes that allocatable does not shrink.
    sizes: BTreeMap<Arc<str>, i64>,
    pods: Vec<Truth>,
    pod_events: VecDeque<Event>,
    node_events: VecDeque<Event>,
    sent: Vec<Binding>,
    unknown: Vec<Binding>,
    ghosts: Vec<(Binding, Time)>,
    steps: Vec<Step>,
}

fn node(name: &Arc<str>, cpu: i64) -> Arc<Node> {
    let allocatable = Resources::of(MilliCpu(cpu), Bytes(1 << 40));
    Arc::new(Node {
        name: name.clone(),
        allocatable,
        allowed_pods: 110,
        ..Node::default()
    })
}

impl World {
    fn new(guards: Guards) -> Self {
        World {
            engine: Engine::new(vec![default_profile(DEFAULT_SCHEDULER_NAME)], 7, guards),
            now: Time::from_secs(1000),
            revision: 0,
            uids: 0,
            nodes: BTreeMap::new(),
            sizes: BTreeMap::new(),
            pods: Vec::new(),
            pod_events: VecDeque::new(),
            node_events: VecDeque::new(),
            sent: Vec::new(),
            unknown: Vec::new(),
            ghosts: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn view(&mut self, at: usize) -> Arc<Pod> {
        self.revision += 1;
        let truth = &self.pods[at];
        let gate = truth.is_gated.then(|| Arc::from("g"));
        let spec = PodSpec {
            scheduler_name: DEFAULT_SCHEDULER_NAME.into(),
            priority: truth.priority,
            requests: Resources::of(MilliCpu(truth.cpu), Bytes(0)),
            scheduling_gates: gate.into_iter().collect(),
            ..PodSpec::default()
        };
        Arc::new(Pod {
            namespace: "default".into(),
            name: truth.uid.0.clone(),
            uid: truth.uid.clone(),
            revision: Revision(self.revision),
            node_name: truth.node.clone(),
            spec: Arc::new(spec),
            ..Pod::default()
        })
    }

    fn changed(&mut self, at: usize) {
        let event = Event::Pod(self.view(at));
        self.pod_events.push_back(event);
    }

    /// The API server takes a binding: only an existing pod without a node can be bound.
    fn commit(&mut self, binding: &Binding) -> bool {
        let free = |pod: &Truth| pod.uid == binding.uid && pod.node.is_none();
        let Some(at) = self.pods.iter().position(free) else {
            return false;
        };
        self.pods[at].node = Some(binding.node.clone());
        self.changed(at);
        true
    }

    fn take(&mut self, step: Option<Step>) {
        if let Some(step) = step {
            if let Step::Bind(binding) = &step {
                self.sent.push(binding.clone());
            }
            self.steps.push(step);
        }
    }

    fn answer(&mut self, binding: Binding, how: How) {
        let outcome = match how {
            How::Commits if self.commit(&binding) => BindOutcome::Bound,
            // A conflict or not found; only the latter is final, so the shell reads first.
            How::Commits => BindOutcome::Unknown,
            How::CommitsAnswerLost => {
                self.commit(&binding);
                BindOutcome::Unknown
            }
            How::RequestLost => BindOutcome::Unknown,
            How::RequestLate => {
                self.ghosts.push((binding.clone(), self.now));
                BindOutcome::Unknown
            }
        };
        let step = self
            .engine
            .bind_done(&binding.uid, outcome.clone(), self.now);
        if outcome == BindOutcome::Unknown && step.is_none() {
            self.unknown.push(binding);
        }
        self.take(step);
    }

    fn read(&mut self, binding: Binding) {
        let pod = self.pods.iter().find(|pod| pod.uid == binding.uid);
        let shown = match pod {
            None => LiveRead::Gone,
            Some(Truth { node: None, .. }) => LiveRead::Unbound,
            Some(Truth {
                node: Some(node), ..
            }) => LiveRead::On(node.clone()),
        };
        let step = self.engine.live_read(&binding.uid, shown, self.now);
        if step.is_none() && self.engine.is_binding(&binding.uid) {
            self.unknown.push(binding);
        }
        self.take(step);
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::AddNode { name, cpu } => {
                let name: Arc<str> = format!("n{name}").into();
                let size = self.sizes.entry(name.clone()).or_default();
                let cpu = cpu.max(*size);
                *size = cpu;
                self.nodes.insert(name.clone(), cpu);
                self.node_events.push_back(Event::Node(node(&name, cpu)));
            }
            Op::RemoveNode { name } => {
                let name: Arc<str> = format!("n{name}").into();
                if self.nodes.remove(&name).is_some() {
                    self.node_events.push_back(Event::NodeGone(name));
                }
            }
            Op::AddPod {
                cpu,
                priority,
                is_gated,
            } => {
                self.uids += 1;
                let uid = Uid(format!("u{}", self.uids).into());
                self.pods.push(Truth {
                    uid,
                    cpu,
                    priority,
                    is_gated,
                    node: None,
                });
                self.changed(self.pods.len() - 1);
            }
            Op::OpenGate { pod } if !self.pods.is_empty() => {
                let at = pod % self.pods.len();
                self.pods[at].is_gated = false;
                self.changed(at);
            }
            Op::DeletePod { pod } if !self.pods.is_empty() => {
                let gone = self.pods.remove(pod % self.pods.len());
                self.pod_events.push_back(Event::PodGone(gone.uid));
            }
            Op::SeePods(count) => {
                for event in self.pod_events.drain(..count.min(self.pod_events.len())) {
                    self.engine.observe(event, self.now);
                }
            }
            Op::SeeNodes(count) => {
                for event in self.node_events.drain(..count.min(self.node_events.len())) {
                    self.engine.observe(event, self.now);
                }
            }
            Op::Cycle => {
                let step = self.engine.cycle(self.now);
                self.take(step);
            }
            Op::Answer { bind, how } if !self.sent.is_empty() => {
                let binding = self.sent.remove(bind % self.sent.len());
                self.answer(binding, how);
            }
            Op::ArriveLate { ghost } if !self.ghosts.is_empty() => {
                let (binding, sent) = self.ghosts.remove(ghost % self.ghosts.len());
                if self.now.since(sent) < REQUEST_LIFETIME {
                    self.commit(&binding);
                }
            }
            Op::Read { bind } if !self.unknown.is_empty() => {
                let binding = self.unknown.remove(bind % self.unknown.len());
                self.read(binding);
            }
            Op::Wait { millis } => self.now = self.now + Duration::from_millis(millis),
            _ => {}
        }
        self.check();
    }

    fn load(&self, name: &Arc<str>) -> i64 {
        let there = self
            .pods
            .iter()
            .filter(|pod| pod.node.as_ref() == Some(name));
        there.map(|pod| pod.cpu).sum()
    }

    fn check(&self) {
        for (name, cpu) in &self.nodes {
            assert!(
                self.load(name) <= *cpu,
                "H1: {name} holds {} of {cpu}",
                self.load(name)
            );
        }
        self.engine.queue.check();
        for queued in self.engine.queue.pods() {
            let is_flying = matches!(queued.place, Place::InFlight(_));
            let is_decided = self.engine.binding.contains_key(&queued.pod.uid);
            assert_eq!(is_flying, is_decided, "H11: {queued:?}");
        }
    }

    /// Lets everything that is under way come to an end. Takes less than the five minutes after
    /// which every pod is tried again anyway: whoever waits for that flush was forgotten.
    fn settle(&mut self) {
        for _ in 0..80 {
            self.apply(&Op::SeeNodes(usize::MAX));
            self.apply(&Op::SeePods(usize::MAX));
            self.apply(&Op::Cycle);
            while !self.sent.is_empty() {
                self.apply(&Op::Answer {
                    bind: 0,
                    how: How::Commits,
                });
            }
            while !self.ghosts.is_empty() {
                self.apply(&Op::ArriveLate { ghost: 0 });
            }
            for binding in std::mem::take(&mut self.unknown) {
                self.read(binding);
            }
            self.apply(&Op::Wait { millis: 2_000 });
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let how = prop_oneof![
        3 => Just(How::Commits),
        1 => Just(How::CommitsAnswerLost),
        1 => Just(How::RequestLost),
        1 => Just(How::RequestLate),
    ];
    let small = 0..6_usize;
    prop_oneof![
        2 => (0..3_u8, 1..5_i64).prop_map(|(name, cpu)| Op::AddNode { name, cpu: cpu * 1000 }),
        1 => (0..3_u8).prop_map(|name| Op::RemoveNode { name }),
        4 => (1..4_i64, 0..2_i32, prop::bool::weighted(0.2)).prop_map(
            |(cpu, priority, is_gated)| Op::AddPod { cpu: cpu * 500, priority, is_gated }),
        1 => small.clone().prop_map(|pod| Op::OpenGate { pod }),
        1 => small.clone().prop_map(|pod| Op::DeletePod { pod }),
        4 => small.clone().prop_map(Op::SeePods),
        3 => small.clone().prop_map(Op::SeeNodes),
        6 => Just(Op::Cycle),
        4 => (small.clone(), how).prop_map(|(bind, how)| Op::Answer { bind, how }),
        2 => small.clone().prop_map(|ghost| Op::ArriveLate { ghost }),
        2 => small.prop_map(|bind| Op::Read { bind }),
        2 => (0..1500_u64).prop_map(|millis| Op::Wait { millis }),
    ]
}

fn run(ops: &[Op], guards: Guards) -> World {
    let mut world = World::new(guards);
    for op in ops {
        world.apply(op);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(300)
    })]

    /// H1 and H11 are checked after each step.
    #[test]
    fn no_node_is_overcommitted_and_each_pod_has_one_place(
        ops in prop::collection::vec(op(), 1..80),
    ) {
        run(&ops, Guards::default());
    }

    /// H12 and L8 (within back-off, without the flush), once everything under way has come to an
    /// end.
    #[test]
    fn the_cache_becomes_the_truth_and_nobody_waits_beside_room(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = run(&ops, Guards::default());
        world.settle();
        for (name, cpu) in &world.nodes {
            let requested = world.engine.cache.info(name).map(|info| info.requested.cpu.0);
            prop_assert_eq!(requested, Some(world.load(name)), "H12: {}", name);
            for pod in world.pods.iter().filter(|pod| pod.node.is_none() && !pod.is_gated) {
                prop_assert!(world.load(name) + pod.cpu > *cpu, "L8: {:?} fits on {}", pod, name);
            }
        }
        prop_assert_eq!(world.engine.binds_in_flight(), 0);
    }

    /// H13.
    #[test]
    fn the_same_history_gives_the_same_decisions(ops in prop::collection::vec(op(), 1..60)) {
        let (a, b) = (run(&ops, Guards::default()), run(&ops, Guards::default()));
        prop_assert_eq!(a.steps, b.steps);
    }
}

/// A shortest history for each guard that H1 rests on.
#[test]
fn without_m42_two_pods_get_the_room_of_one() {
    let mut world = World::new(Guards::without(&[Guard::M42]));
    for op in [
        Op::AddNode { name: 0, cpu: 1000 },
        Op::AddPod {
            cpu: 1000,
            priority: 0,
            is_gated: false,
        },
        Op::AddPod {
            cpu: 1000,
            priority: 0,
            is_gated: false,
        },
        Op::SeeNodes(9),
        Op::SeePods(9),
        Op::Cycle,
        Op::Cycle,
    ] {
        world.apply(&op);
    }
    let binds = world
        .steps
        .iter()
        .filter(|step| matches!(step, Step::Bind(_)));
    assert_eq!(binds.count(), 2, "the second pod was given the same room");
}

#[test]
fn without_m47_a_node_created_again_looks_as_large_as_before() {
    for (guards, expected) in [(Guards::default(), 0), (Guards::without(&[Guard::M47]), 1)] {
        let mut world = World::new(guards);
        let name: Arc<str> = "n0".into();
        world
            .engine
            .observe(Event::Node(node(&name, 4000)), world.now);
        world.apply(&Op::AddPod {
            cpu: 9000,
            priority: 0,
            is_gated: false,
        });
        world.apply(&Op::SeePods(9));
        world.apply(&Op::Cycle);
        world
            .engine
            .observe(Event::NodeGone(name.clone()), world.now);
        world
            .engine
            .observe(Event::Node(node(&name, 1000)), world.now);
        world.apply(&Op::AddPod {
            cpu: 2000,
            priority: 0,
            is_gated: false,
        });
        world.apply(&Op::SeePods(9));
        world.apply(&Op::Cycle);
        assert_eq!(world.sent.len(), expected);
    }
}

#[test]
fn without_m48_a_node_created_again_looks_empty() {
    for (guards, expected) in [(Guards::default(), 0), (Guards::without(&[Guard::M48]), 1)] {
        let mut world = World::new(guards);
        let name: Arc<str> = "n0".into();
        world.apply(&Op::AddNode { name: 0, cpu: 1000 });
        world.apply(&Op::AddPod {
            cpu: 1000,
            priority: 0,
            is_gated: false,
        });
        world.pods[0].node = Some(name.clone());
        world.changed(0);
        world.apply(&Op::SeeNodes(9));
        world.apply(&Op::SeePods(9));
        world
            .engine
            .observe(Event::NodeGone(name.clone()), world.now);
        world
            .engine
            .observe(Event::Node(node(&name, 1000)), world.now);
        world.apply(&Op::AddPod {
            cpu: 1000,
            priority: 0,
            is_gated: false,
        });
        world.apply(&Op::SeePods(9));
        world.apply(&Op::Cycle);
        assert_eq!(world.sent.len(), expected);
    }
}

#[test]
fn without_m50_nobody_hears_that_there_is_room() {
    for (guards, is_bound) in [
        (Guards::default(), true),
        (Guards::without(&[Guard::M50]), false),
    ] {
        let mut world = World::new(guards);
        let whole_node = Op::AddPod {
            cpu: 1000,
            priority: 0,
            is_gated: false,
        };
        world.apply(&Op::AddNode { name: 0, cpu: 1000 });
        world.apply(&whole_node);
        world.settle();
        world.apply(&whole_node);
        world.apply(&Op::SeePods(9));
        world.apply(&Op::Cycle);
        world.apply(&Op::DeletePod { pod: 0 });
        world.settle();
        assert_eq!(world.pods[0].node.is_some(), is_bound);
    }
}

/// `n0` is being freed for a pod of high priority: one of its victims has gone, one is still there.
#[test]
fn without_m53_a_small_pod_takes_the_room_that_was_freed_for_a_large_one() {
    for (guards, expected) in [(Guards::default(), 0), (Guards::without(&[Guard::M53]), 1)] {
        let mut world = World::new(guards);
        let add = |world: &mut World, cpu: i64, priority: i32| {
            world.apply(&Op::AddPod {
                cpu,
                priority,
                is_gated: false,
            });
            world.pod_events.clear();
            world.pods.len() - 1
        };
        world.apply(&Op::AddNode { name: 0, cpu: 1000 });
        world.apply(&Op::SeeNodes(9));
        let victim = add(&mut world, 600, 0);
        world.pods[victim].node = Some("n0".into());
        let large = add(&mut world, 1000, 1);
        let nominated = Pod {
            nominated_node_name: Some("n0".into()),
            ..(*world.view(large)).clone()
        };
        world.changed(victim);
        world.pod_events.push_back(Event::Pod(nominated.into()));
        world.apply(&Op::SeePods(9));
        world.apply(&Op::Cycle);
        let small = add(&mut world, 400, 0);
        world.changed(small);
        world.apply(&Op::SeePods(9));
        world.apply(&Op::Cycle);
        assert_eq!(world.sent.len(), expected);
    }
}
