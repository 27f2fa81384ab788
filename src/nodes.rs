//! `wavetank nodes`: simulated nodes on an API server that somebody else runs.
//!
//! Each node is the kubelet's own core over a simulated runtime, as in `up`; here its requests go
//! over the network, and all nodes share a few connections. It is what KWOK is for, with the
//! kubelet's protocol in place of stages.
//!
//! 1. A node that is not simulated is never taken over: its name is refused at the start.
//! 2. With `--delete-on-exit`, a node is deleted by the uid that was seen under its name.
//!
//! Left out: the kubelet's own HTTPS endpoint, and with it logs, exec, attach and port-forward;
//! other clocks than the wall's.
//!
//! Book: `book/src/simulator/nodes.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use wavetank_api::quantity::Quantity;
use wavetank_api::{KindId, Uid, names};
use wavetank_informer::client::{DeleteOptions, Selection, parse, parse_list};
use wavetank_informer::{ApiError, Client, Key};
use wavetank_kubelet::Kubelet;
use wavetank_serve::{Access, Clock, Driver, Remote, Transport, drive};
use wavetank_sim::scenario::ClusterSpec;

use crate::machines::{Hands, Place, machines};
use crate::refusals::Refusals;
use crate::told::{is_ready, told};

/// Most nodes of all processes on one cluster: that many have addresses of their own.
const NODES_MAX: u32 = 65_536;
/// Nodes a page of a list.
const PAGE: usize = 500;
/// Nodes that are deleted at a time.
const DELETES: usize = 32;
/// The longest wait for the cluster's first answers.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The wait for another look at the nodes when the watch of them has ended.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Options of `wavetank nodes`.
#[derive(Args)]
#[command(after_long_help = "\
The nodes have no HTTPS endpoint of their own: kubectl logs, exec, attach and port-forward answer \
with the API server's error that it cannot reach the node.")]
pub struct Arguments {
    /// The kubeconfig that says where the cluster is and who asks.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Which of its contexts [default: its current-context].
    #[arg(long)]
    context: Option<String>,
    /// Number of simulated nodes.
    #[arg(short, long, default_value_t = 5)]
    nodes: u32,
    /// What the nodes' names begin with; a number follows.
    #[arg(long, default_value = "wavetank-")]
    name_prefix: String,
    /// Number of the first node. Names and addresses follow from a node's number: processes that
    /// attach nodes to one cluster take numbers of their own.
    #[arg(long, default_value_t = 0)]
    first: u32,
    /// CPU of each node.
    #[arg(long, default_value = "8", value_parser = quantity)]
    cpu: String,
    /// Memory of each node.
    #[arg(long, default_value = "32Gi", value_parser = quantity)]
    memory: String,
    /// Most pods of each node.
    #[arg(long, default_value_t = 110)]
    pods: u32,
    /// Zones, given to the nodes in turn: a,b,c.
    #[arg(long, value_delimiter = ',', value_parser = zone)]
    zones: Vec<String>,
    /// Labels of each node: type=simulated,team=a.
    #[arg(long, value_delimiter = ',', value_parser = label)]
    node_labels: Vec<(String, String)>,
    /// Taints that each node is registered with, so that only pods that tolerate them come:
    /// simulated=true:NoSchedule.
    #[arg(long, value_delimiter = ',', value_parser = taint)]
    register_with_taints: Vec<Value>,
    /// Delete the nodes at the end; otherwise they stay and turn NotReady.
    #[arg(long)]
    delete_on_exit: bool,
}

/// Checks an amount.
fn quantity(text: &str) -> Result<String, String> {
    match Quantity::parse(text) {
        Ok(amount) if amount > Quantity::ZERO => Ok(text.to_owned()),
        Ok(_) => Err("more than zero".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Checks what becomes the value of a label.
fn zone(text: &str) -> Result<String, String> {
    fine(names::label_value(text)).map(|()| text.to_owned())
}

/// Reads `key=value`.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is such as key=value")?;
    fine(names::qualified_name(key))?;
    fine(names::label_value(value))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads `key=value:effect` or `key:effect`.
fn taint(text: &str) -> Result<Value, String> {
    let what = "a taint is such as key=value:NoSchedule";
    let (pair, effect) = text.rsplit_once(':').ok_or(what)?;
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(format!(
            "{effect}: NoSchedule, PreferNoSchedule or NoExecute"
        ));
    }
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    fine(names::qualified_name(key))?;
    fine(names::label_value(value))?;
    Ok(json!({"key": key, "value": value, "effect": effect}))
}

fn fine(complaints: names::Complaints) -> Result<(), String> {
    match complaints.into_iter().next() {
        Some(complaint) => Err(complaint),
        None => Ok(()),
    }
}

/// Attaches nodes until Ctrl-C.
///
/// # Errors
/// When the kubeconfig cannot be used, the cluster cannot be reached or does not let this user see
/// its nodes, or a name is taken.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    if arguments.nodes == 0 || arguments.first.saturating_add(arguments.nodes) > NODES_MAX {
        bail!("--first and --nodes: at least one node, and numbers below {NODES_MAX}");
    }
    let longest = format!("{}{}", arguments.name_prefix, NODES_MAX);
    if let Some(complaint) = names::dns1123_subdomain(&longest).first() {
        bail!("--name-prefix {:?}: {complaint}", arguments.name_prefix);
    }
    let access = Access::open(&arguments.kubeconfig, arguments.context.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(attach(arguments, access));
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

async fn attach(arguments: Arguments, access: Access) -> Result<ExitCode> {
    let server = access.server();
    let fleet = Fleet::new(Remote::connect(access).await?);
    fleet.refuse_strangers(&arguments).await?;

    let refusals = Arc::new(Refusals::default());
    let heard = refusals.clone();
    let witnessed = fleet.remote.witnessed(move |what| heard.hear(what));
    let began = Instant::now();
    let drivers = start(&arguments, &witnessed);
    let Arguments {
        nodes,
        first,
        name_prefix,
        ..
    } = &arguments;
    let last = first + nodes - 1;
    println!("{nodes} simulated nodes, {name_prefix}{first} to {name_prefix}{last}, on {server}");
    let ended = tokio::select! {
        ended = crate::interrupted() => ended,
        () = fleet.joined(&arguments) => {
            let seconds = began.elapsed().as_secs_f64();
            println!("all are Ready after {seconds:.1} s; Ctrl-C detaches them");
            crate::interrupted().await
        }
    };
    for driver in drivers {
        driver.stop().await;
    }
    for line in refusals.summary() {
        eprintln!("{line}");
    }
    ended?;
    tokio::select! {
        left = fleet.leave(&arguments) => left,
        ended = crate::interrupted() => {
            ended?;
            bail!("interrupted: some of the nodes are left");
        }
    }
}

/// Starts a kubelet for each node.
fn start(arguments: &Arguments, remote: &Remote) -> Vec<Driver> {
    let spec = ClusterSpec {
        cpu: arguments.cpu.clone(),
        memory: arguments.memory.clone(),
        pods: arguments.pods,
        zones: arguments.zones.clone(),
        ..ClusterSpec::default()
    };
    let place = Place {
        prefix: &arguments.name_prefix,
        numbers: arguments.first..arguments.first + arguments.nodes,
    };
    let clock = Clock::wall();
    let drivers = machines(&spec, place, clock).into_iter();
    let drivers = drivers.map(|(mut config, machine)| {
        let labels = arguments.node_labels.iter();
        let labels = labels.map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        config.labels.extend(labels);
        config.taints.clone_from(&arguments.register_with_taints);
        let kubelet = Kubelet::new(config);
        drive(kubelet, clock, remote.clone(), Hands::new(machine))
    });
    drivers.collect()
}

/// All nodes as the cluster has them.
struct Fleet {
    remote: Remote,
    client: Client,
}

impl Fleet {
    fn new(remote: Remote) -> Self {
        let client = Client::new("wavetank", "wavetank");
        Fleet { remote, client }
    }

    /// Looks for nodes that have our names and are not simulated.
    async fn refuse_strangers(&self, arguments: &Arguments) -> Result<()> {
        let ours = self.ours(arguments);
        let ours = tokio::time::timeout(ANSWER_MAX, ours).await;
        let ours = ours.context("the server did not list its nodes in time")??;
        let is_stranger = |kubelet: &str| kubelet != wavetank_kubelet::VERSION;
        match ours
            .into_iter()
            .find(|(_, (_, kubelet))| is_stranger(kubelet))
        {
            Some((name, (_, kubelet))) => bail!(
                "node {name:?} exists and is not simulated (its kubelet is {kubelet:?}): name \
                 others with --name-prefix or --first"
            ),
            None => Ok(()),
        }
    }

    /// The nodes that have our names: uid and the kubelet's version.
    async fn ours(&self, arguments: &Arguments) -> Result<BTreeMap<String, (Uid, String)>> {
        let mut found = BTreeMap::new();
        let mut token = String::new();
        loop {
            let all = Selection::default();
            let request = self.client.list(KindId::Node, &all, None, PAGE, &token);
            let answer = self.remote.call(request).await;
            let answer = answer.ok().context("the server did not list its nodes")?;
            let decode = |text: &[u8]| serde_json::from_slice::<Node>(text);
            let page = parse_list(&answer, decode).map_err(refused)?;
            for node in page.items {
                let name = node.metadata.name.unwrap_or_default();
                let uid = Uid(node.metadata.uid.unwrap_or_default().into());
                let info = node.status.and_then(|status| status.node_info);
                if is_ours(arguments, &name) {
                    let kubelet = info.map(|info| info.kubelet_version).unwrap_or_default();
                    found.insert(name, (uid, kubelet));
                }
            }
            token = page.continue_token;
            if token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Returns when all are Ready.
    async fn joined(&self, arguments: &Arguments) {
        let fits = |node: &Node| {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            is_ours(arguments, name) && is_ready(node)
        };
        while !told(&self.remote, "nodes", arguments.nodes as usize, fits).await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Deletes the nodes if that was asked for, and says what becomes of them.
    async fn leave(self, arguments: &Arguments) -> Result<ExitCode> {
        if !arguments.delete_on_exit {
            eprintln!(
                "{} nodes stay in the cluster and turn NotReady when their leases are old; \
                 --delete-on-exit deletes them",
                arguments.nodes
            );
            return Ok(ExitCode::SUCCESS);
        }
        let ours = self.ours(arguments).await?;
        let number = ours.len();
        let mut deletes = JoinSet::new();
        for (name, (uid, _)) in ours {
            while deletes.len() >= DELETES {
                ended(deletes.join_next().await)?;
            }
            let delete = DeleteOptions::of(&uid);
            let delete = self
                .client
                .delete(KindId::Node, &Key::cluster(name), &delete);
            let remote = self.remote.clone();
            deletes.spawn(async move {
                let answer = remote.call(delete.request).await;
                let answer = answer.ok().context("the server did not answer")?;
                match parse(&answer) {
                    Err(error) if !error.is_not_found() => Err(refused(error)),
                    _ => Ok(()),
                }
            });
        }
        while let Some(end) = deletes.join_next().await {
            ended(Some(end))?;
        }
        eprintln!("{number} nodes deleted");
        Ok(ExitCode::SUCCESS)
    }
}

fn ended(end: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    end.map_or(Ok(()), |end| end?.context("delete a node"))
}

/// Whether a node of this name is one of this process.
fn is_ours(arguments: &Arguments, name: &str) -> bool {
    let number = name.strip_prefix(arguments.name_prefix.as_str());
    let number = number.filter(|digits| *digits == "0" || !digits.starts_with(['0', '+']));
    let number = number.and_then(|digits| digits.parse::<u32>().ok());
    number.is_some_and(|it| (arguments.first..arguments.first + arguments.nodes).contains(&it))
}

/// A refusal in kubectl's words.
fn refused(error: ApiError) -> anyhow::Error {
    match error.code {
        401 => anyhow::anyhow!("you must be logged in to the server ({})", error.reason),
        _ => anyhow::anyhow!("error from server ({}): {}", error.reason, error.message),
    }
}
