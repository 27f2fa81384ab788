//! `wavetank up`: the control plane served in real time, over simulated nodes.
//!
//! Book: `book/src/start/map.md`.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use k8s_openapi::api::core::v1::ServiceAccount;

use wavetank_apiserver::{Address, Config, StaticToken};
use wavetank_controllers::Manager;
use wavetank_informer::{Guards, Nothing};
use wavetank_kubelet::Kubelet;
use wavetank_scheduler::Scheduler;
use wavetank_serve::{
    Clock, Core, Driver, Es256, FileLog, Kubeconfig, Listener, Local, Outcomes, Pki, ServeError,
    drive, kept_token, listen, random_token, wall_time,
};
use wavetank_sim::scenario::{ClusterSpec, parse_span};

use crate::machines::{Hands, Machine, Machines, Place, machines};
use crate::told::{is_ready, told};

/// The user in the kubeconfig, and its group.
const ADMIN: (&str, &str) = ("kubernetes-admin", "system:masters");
/// How far behind the wall a faster clock starts: so long stays cluster time in the past, times the
/// speed.
const HEAD_START: Duration = Duration::from_secs(24 * 3600);
/// The longest wait for a cluster to settle before it is greeted all the same: thousands of nodes
/// take longer, and can be watched as they come.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Options of `wavetank up`.
#[derive(Args)]
pub struct Arguments {
    /// Number of simulated nodes.
    #[arg(long, default_value_t = 5)]
    nodes: u32,
    /// How many times faster than the wall the cluster's clock runs. Above 1, controllers outside
    /// this process may misbehave: use it to look, not to test.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Where the cluster is kept [default: $XDG_DATA_HOME/wavetank or ~/.local/share/wavetank].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// How long an Event is kept after its last change: 1h, 30m, 90s. 0s keeps all.
    #[arg(long, default_value = "1h", value_parser = span)]
    event_ttl: Duration,
    /// Where the API server listens.
    #[arg(long, default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// Where to write the kubeconfig [default: kubeconfig in the data directory].
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
}

/// Reads a span for a flag.
fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).ok_or_else(|| "a span is such as 90s, 1h30m or 250ms".to_owned())
}

/// Serves until Ctrl-C.
///
/// # Errors
/// When the data directory is in use or damaged, or the address cannot be listened on; the text
/// names the flag to change.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    if !(arguments.speed >= 1.0 && arguments.speed <= 1000.0) {
        bail!("--speed {}: from 1 to 1000", arguments.speed);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(arguments));
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

/// Everything that runs, in the order in which it is stopped.
struct Cluster {
    drivers: Vec<Driver>,
    listener: Listener,
    core: Core,
}

impl Cluster {
    async fn stop(self) {
        for driver in self.drivers {
            driver.stop().await;
        }
        // Watches and followed logs have no end of their own: the core ends its streams, and the
        // listener then has little left to wait for.
        tokio::join!(self.listener.stop(), self.core.stop());
    }
}

async fn serve(arguments: Arguments) -> Result<ExitCode> {
    let data_dir = match &arguments.data_dir {
        Some(folder) => folder.clone(),
        None => default_data_dir()?,
    };
    let kubeconfig = arguments.kubeconfig.clone();
    let kubeconfig = kubeconfig.unwrap_or_else(|| data_dir.join("kubeconfig"));
    let clock = match arguments.speed {
        1.0 => Clock::wall(),
        speed => Clock::new(wall_time() - HEAD_START, speed),
    };
    let log = FileLog::open(data_dir.join("store")).map_err(named)?;
    let pki = Pki::open(data_dir.join("pki"))?;
    let token = kept_token(&pki, "admin")?;
    let config = apiserver(&arguments, &pki, &token)?;
    let core = Core::start(log, config, clock).map_err(named)?;

    let place = Place {
        prefix: "node-",
        numbers: 0..arguments.nodes,
    };
    let nodes = machines(&ClusterSpec::default(), place, clock);
    let by_name = |(config, machine): &Node| (config.node_name.to_string(), machine.clone());
    let machines = Machines(nodes.iter().map(by_name).collect());
    let listening = listen(arguments.listen, &pki, core.clone(), Arc::new(machines)).await;
    let listener = match listening {
        Ok(listener) => listener,
        Err(error) => {
            core.stop().await;
            return Err(named(error));
        }
    };
    let server = format!("https://{}", listener.address());
    write_kubeconfig(&kubeconfig, &server, &pki, &token)?;
    let cluster = Cluster {
        drivers: components(&core, &pki, nodes)?,
        listener,
        core,
    };
    let mut end = pin!(crate::interrupted());
    let outcome = tokio::select! {
        outcome = &mut end => outcome,
        () = settle(&cluster.core, arguments.nodes) => {
            greet(&arguments, &server, &kubeconfig);
            end.await
        }
    };
    eprintln!("stopping");
    cluster.stop().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// A kubelet's configuration, and the machine it is for.
type Node = (wavetank_kubelet::Config, Arc<Machine>);

fn write_kubeconfig(path: &Path, server: &str, pki: &Pki, token: &str) -> Result<()> {
    let identity = pki.client(ADMIN.0, &[ADMIN.1])?;
    let file = Kubeconfig {
        name: "wavetank",
        server,
        ca_pem: pki.ca_pem(),
        identity: &identity,
        token,
    };
    file.write(path).map_err(named)
}

fn apiserver(arguments: &Arguments, pki: &Pki, token: &str) -> Result<Config> {
    let mut seed = [0u8; 32];
    let text = random_token()?;
    for (byte, from) in seed.iter_mut().zip(text.bytes()) {
        *byte = from;
    }
    let mut config = Config::new("apiserver", seed, Box::new(Es256::open(pki)?));
    config.ca_pem = pki.ca_pem().to_owned();
    config.event_ttl = arguments.event_ttl;
    if let SocketAddr::V4(address) = arguments.listen {
        config.advertise = Address {
            ip: *address.ip(),
            port: address.port(),
        };
    }
    config.tokens.push(StaticToken {
        token: token.to_owned(),
        user: ADMIN.0.to_owned(),
        groups: vec![ADMIN.1.to_owned()],
    });
    Ok(config)
}

/// The controllers, the scheduler and the kubelets, each driven in this process.
fn components(core: &Core, pki: &Pki, kubelets: Vec<Node>) -> Result<Vec<Driver>> {
    let identity = identity(pki);
    let seed = u64::from(std::process::id());
    let manager = Manager::new(wavetank_controllers::Config {
        identity: identity.clone(),
        seed,
        leader_elect: true,
        guards: Guards::default(),
        read_your_writes: Default::default(),
        only: None,
        root_ca: pki.ca_pem().into(),
    });
    let scheduler = Scheduler::new(wavetank_scheduler::Config {
        elects_leader: true,
        ..wavetank_scheduler::Config::new(identity, seed)
    });
    let nothing = |never: Nothing, _: &Outcomes<Nothing>| match never {};
    let clock = core.clock();
    let way = |identity: String| Local::new(core, identity);
    let mut drivers = vec![
        drive(
            manager,
            clock,
            way("system:kube-controller-manager".into()),
            nothing,
        ),
        drive(
            scheduler,
            clock,
            way("system:kube-scheduler".into()),
            nothing,
        ),
    ];
    for (config, machine) in kubelets {
        let way = way(format!("system:node:{}", config.node_name));
        let kubelet = Kubelet::new(config);
        drivers.push(drive(kubelet, clock, way, Hands::new(machine)));
    }
    Ok(drivers)
}

/// Who holds the leases of controllers and scheduler: the same at every start on one data
/// directory, so that nobody waits for the lease of a process that is gone. The directory's lock
/// lets one process in at a time, and what another had under way ended with its API server.
fn identity(pki: &Pki) -> Arc<str> {
    let mut hasher = std::hash::DefaultHasher::new();
    pki.ca_pem().hash(&mut hasher);
    format!("wavetank_{:016x}", hasher.finish()).into()
}

/// Waits for what the first command may need: the account that its pods run as, and nodes.
async fn settle(core: &Core, nodes: u32) {
    let account = "namespaces/default/serviceaccounts?fieldSelector=metadata.name%3Ddefault";
    let own = Local::new(core, "wavetank");
    let has_account = told(&own, account, 1, |_: &ServiceAccount| true);
    let has_nodes = told(&own, "nodes", nodes as usize, is_ready);
    let both = async { tokio::join!(has_account, has_nodes) };
    if tokio::time::timeout(SETTLE_MAX, both).await.is_err() {
        eprintln!("the cluster is still coming up");
    }
}

fn greet(arguments: &Arguments, server: &str, kubeconfig: &Path) {
    println!(
        "{} simulated nodes at {server}; Ctrl-C stops them",
        arguments.nodes
    );
    if arguments.speed > 1.0 {
        println!(
            "the cluster's clock runs {} times as fast as yours: to look at, not to test with",
            arguments.speed
        );
    }
    println!();
    println!("  export KUBECONFIG={}", kubeconfig.display());
    println!();
    println!("then try");
    println!("  kubectl get nodes");
    println!("  kubectl create deployment web --image=nginx --replicas=3");
    println!("  kubectl get pods --watch");
}

fn default_data_dir() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_DATA_HOME").filter(|f| !f.is_empty()) {
        return Ok(PathBuf::from(folder).join("wavetank"));
    }
    let home = std::env::var_os("HOME").context("HOME is not set: name a --data-dir")?;
    Ok(PathBuf::from(home).join(".local/share/wavetank"))
}

/// Names the flag that helps.
fn named(error: ServeError) -> anyhow::Error {
    let flag = match &error {
        ServeError::InUse { .. } => "is another `wavetank up` running? name another --data-dir",
        ServeError::Listen { .. } => "name another address with --listen",
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(flag)
}
