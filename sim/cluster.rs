//! Building a world: a scenario's cluster, from nothing, with a seed.
//!
//! Book: `book/src/simulator/world.md`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use wavetank_api::quantity::Quantity;
use wavetank_apiserver::{ApiServer, Config, TokenSigner};
use wavetank_controllers::Manager;
use wavetank_informer::Guards;
use wavetank_informer::own_writes::ReadYourWrites;
use wavetank_kubelet::Kubelet;
use wavetank_scheduler::Scheduler;
use wavetank_store::WatchId;

use crate::agenda::Agenda;
use crate::chance::Seed;
use crate::disk::Disk;
use crate::faults::Faults;
use crate::network::{Latencies, Network, ProcessId};
use crate::operator::Operator;
use crate::process::{News, Process, Role, SimNode};
use crate::runtime::{NodeConfig, SimRuntime};
use crate::scenario::{ClusterSpec, Scenario};
use crate::server::Server;
use crate::trace::{Trace, What};
use crate::verdict::Watched;
use crate::world::{BEGINNING, COMPACTION, Event, World};

/// Everything under which the API server stores objects.
const REGISTRY: (&str, &str) = ("/registry/", "/registry0");

/// Signs tokens by hashing: nobody in a simulation forges one, and the same claims must give the
/// same token in every run.
struct HashSigner {
    seed: u64,
}

impl HashSigner {
    fn digest(&self, claims: &str) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(claims.as_bytes(), self.seed)
    }
}

impl TokenSigner for HashSigner {
    fn sign(&self, claims: &str) -> String {
        let digest = self.digest(claims);
        let hex: String = claims.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("sim.{hex}.{digest:016x}")
    }

    fn verify(&self, token: &str) -> Option<String> {
        let (hex, digest) = token.strip_prefix("sim.")?.split_once('.')?;
        let pairs = hex.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| {
            std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        let claims = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
        (format!("{:016x}", self.digest(&claims)) == digest).then_some(claims)
    }
}

impl World {
    /// A cluster that is about to start. `recording` keeps the story as well as the hash.
    pub fn new(scenario: &Scenario, seed: Seed, recording: bool) -> Self {
        let steps = scenario.steps.clone();
        let checks = scenario.checks.iter();
        let mut world = World {
            now: BEGINNING,
            agenda: Agenda::new(),
            trace: Trace::new(recording),
            network: Network::new(Latencies::default(), seed.stream("network")),
            disk: Disk::new(BEGINNING, Guards::without(&scenario.without)),
            faults: Faults::new(seed.stream("faults")),
            servers: Vec::new(),
            processes: Vec::new(),
            by_name: BTreeMap::new(),
            operator: Operator::new(steps),
            checks: checks
                .map(|c| Watched {
                    check: c.clone(),
                    outcome: None,
                })
                .collect(),
            seed,
            current: 0,
            spec: scenario.cluster.clone(),
            guards: Guards::without(&scenario.without),
            watchman: None,
            intents: BTreeMap::new(),
        };
        world.add_servers();
        for name in scenario.cluster.processes() {
            world.add_process(&name);
        }
        for (index, step) in scenario.steps.iter().enumerate() {
            world
                .agenda
                .add(BEGINNING + step.at.0, 0, Event::Step(index));
        }
        for (index, check) in scenario.checks.iter().enumerate() {
            world
                .agenda
                .add(World::first_look(check), 0, Event::Check(index));
        }
        if let Some(calm) = scenario.calm {
            world.agenda.add(BEGINNING + calm.0, 0, Event::Calm);
        }
        let compact = Event::Compact {
            at: world.disk.store.revision(),
        };
        world.agenda.add(BEGINNING + COMPACTION, 0, compact);
        world
    }

    /// Runs the scenario to its end.
    pub fn finish(&mut self, scenario: &Scenario) {
        self.run_until(BEGINNING + scenario.until.0);
    }

    fn add_servers(&mut self) {
        for number in 0..self.spec.apiservers as usize {
            let Some((api, watch)) = self.make_server(number, 0) else {
                continue; // an empty store has not been compacted
            };
            self.servers.push(Server::new(api, watch, BEGINNING));
            let host = &mut self.servers[number].api;
            let bootstrap = match number {
                0 => host.bootstrap(BEGINNING),
                _ => Vec::new(),
            };
            host.join(BEGINNING);
            for step in bootstrap {
                self.act(number, None, step);
            }
            self.after(number);
        }
    }

    /// An API server that knows what the store holds now, and its watch from there.
    fn make_server(&mut self, number: usize, incarnation: u32) -> Option<(ApiServer, WatchId)> {
        let name = format!("apiserver-{number}");
        let seed = self.seed.number("tokens");
        let life = match incarnation {
            0 => name.clone(),
            _ => format!("{name}/{incarnation}"),
        };
        let seed_of_life = self.seed.bytes(&life);
        let mut config = Config::new(name, seed_of_life, Box::new(HashSigner { seed }));
        config.guards = self.guards;
        // 192.168.0.1 and so on.
        let base = u32::from(Ipv4Addr::new(192, 168, 0, 1));
        config.advertise.ip = Ipv4Addr::from(base + u32::try_from(number).ok()?);
        let mut api = ApiServer::new(config);
        let ((start, end), store) = (REGISTRY, &mut self.disk.store);
        let snapshot = store.range(start, Some(end), None, 0).ok()?;
        let watch = store.watch(snapshot.revision).ok()?;
        api.sync(&snapshot, self.now);
        Some((api, watch))
    }

    /// Starts a server that was down.
    pub(crate) fn start_server(&mut self, number: usize) {
        let incarnation = self.servers[number].incarnation;
        let Some((mut api, watch)) = self.make_server(number, incarnation) else {
            return; // the newest revision is never compacted
        };
        api.join(self.now);
        let mut fresh = Server::new(api, watch, self.now);
        fresh.incarnation = incarnation;
        self.servers[number] = fresh;
    }

    fn add_process(&mut self, name: &str) {
        let name: Arc<str> = name.into();
        let id = ProcessId(u32::try_from(self.processes.len()).unwrap_or(u32::MAX));
        let server = self.processes.len() % self.servers.len().max(1);
        self.by_name.insert(name.clone(), id);
        self.processes
            .push(Process::new(name.clone(), None, server));
        let role = self.make_role(id);
        self.processes[id.0 as usize].role = role;
        self.trace
            .record(0, 0, BEGINNING, || What::Started { process: name });
        let start = Event::Hear {
            process: id,
            incarnation: 0,
            news: News::Start,
        };
        self.agenda.add(BEGINNING, 0, start);
    }

    /// A fresh component for a process that starts: it remembers nothing.
    pub(crate) fn make_role(&mut self, id: ProcessId) -> Option<Role> {
        let process = self.processes.get_mut(id.0 as usize)?;
        let life = format!("{}/{}", process.name, process.incarnation);
        let seed = self.seed.number(&life);
        let election = |several| self.spec.election.unwrap_or(several);
        if process.name.starts_with("controller-manager") {
            let config = wavetank_controllers::Config {
                identity: life.into(),
                seed,
                leader_elect: election(self.spec.managers > 1),
                guards: self.guards,
                read_your_writes: match self.spec.expectations {
                    true => ReadYourWrites::Expectations,
                    false => ReadYourWrites::Barrier,
                },
                only: None,
                root_ca: "simulated".into(),
            };
            return Some(Role::Manager(Box::new(Manager::new(config))));
        }
        if process.name.starts_with("scheduler") {
            let config = wavetank_scheduler::Config {
                elects_leader: election(self.spec.schedulers > 1),
                guards: self.guards,
                ..wavetank_scheduler::Config::new(life, seed)
            };
            return Some(Role::Scheduler(Box::new(Scheduler::new(config))));
        }
        let number = process.name.strip_prefix("node-")?.parse().ok()?;
        let (mut config, mut fresh) = machine(&self.spec, number, seed);
        config.guards = self.guards;
        if self.watchman.is_some() {
            fresh.keep_journal();
        }
        Some(Role::Node(Box::new(SimNode {
            kubelet: Kubelet::new(config),
            runtime: process.machine.take().unwrap_or(fresh),
        })))
    }

    pub(crate) fn name_of(&self, id: ProcessId) -> Arc<str> {
        let process = self.processes.get(id.0 as usize);
        process.map_or_else(|| "operator".into(), |process| process.name.clone())
    }
}

/// The machine of node `number`, named `node-<number>`: what its kubelet is told, and its container
/// runtime. Its addresses follow from its number.
pub fn machine(
    spec: &ClusterSpec,
    number: u32,
    seed: u64,
) -> (wavetank_kubelet::Config, SimRuntime) {
    // The network itself has the address that ends in 0.0.
    let [_, high, middle, low] = (number + 1).to_be_bytes();
    // Nodes in 172.16.0.0/12 and pods in 10.0.0.0/8: 128 pod addresses a node, 131,072 nodes.
    let address = format!("172.{}.{middle}.{low}", 16 + (high & 0x0f));
    let first = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) | (number << 7));
    let name = format!("node-{number}");
    let mut config = wavetank_kubelet::Config::new(name.as_str(), address, format!("{first}/25"));
    let amount = |text: &str| Quantity::parse(text).unwrap_or(Quantity::ZERO);
    config.capacity.milli_cpu = u64::try_from(amount(&spec.cpu).milli_value()).unwrap_or(0);
    config.capacity.memory = u64::try_from(amount(&spec.memory).value()).unwrap_or(0);
    config.capacity.pods = u64::from(spec.pods);
    config.allocatable = config.capacity.clone();
    config.seed = seed;
    if !spec.zones.is_empty() {
        let zone = &spec.zones[number as usize % spec.zones.len()];
        config.zone = Some(zone.as_str().into());
    }
    let node = NodeConfig {
        name: name.into(),
        pod_cidr: (first, 25),
        seed,
    };
    (config, SimRuntime::new(node))
}
