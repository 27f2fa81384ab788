//! Simulated nodes as a process of their own, on an API server that they know only as a kubeconfig.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test of a whole system waits for it"
)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use cluster::{Cluster, free_port, kubectls};

#[path = "player/cluster.rs"]
mod cluster;

/// A running `wavetank nodes` that has said that all its nodes are Ready.
struct Nodes {
    process: Child,
    stderr: ChildStderr,
}

impl Nodes {
    fn attach(cluster: &Cluster, more: &[&str]) -> Self {
        let mut process = command(&cluster.folder.join("kubeconfig"), more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wavetank starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.starts_with("all are Ready")));
        std::thread::spawn(move || lines.for_each(drop));
        let stderr = process.stderr.take().expect("piped");
        assert!(ready, "the nodes join");
        Nodes { process, stderr }
    }

    /// Ctrl-C; what it says at the end.
    fn detach(mut self) -> String {
        let id = self.process.id().to_string();
        let killed = Command::new("kill").args(["-INT", &id]).status();
        assert!(killed.expect("kill runs").success());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("UTF-8");
        assert!(self.process.wait().expect("it ends").success(), "{said}");
        said
    }
}

fn command(kubeconfig: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavetank"));
    command
        .arg("nodes")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(more);
    command
}

/// What it says when it ends at once, and that it fails.
fn refused(kubeconfig: &Path, more: &[&str]) -> String {
    let output = command(kubeconfig, more).output().expect("wavetank runs");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!output.status.success(), "{said}");
    said
}

#[test]
fn a_deployment_rolls_out_on_the_nodes_of_another_process() {
    let Some((_, kubectl)) = kubectls().pop() else {
        return;
    };
    let cluster = Cluster::start("attached", 0);
    let zones = [
        "-n",
        "50",
        "--zones",
        "a,b",
        "--cpu",
        "4",
        "--node-labels",
        "type=simulated",
    ];
    let nodes = Nodes::attach(&cluster, &zones);
    let (ready, _) = cluster.run(
        &kubectl,
        "kubectl get nodes -l type=simulated | grep -c ' Ready '",
    );
    assert_eq!(ready.trim(), "50");
    let template = "{.metadata.labels.topology\\.kubernetes\\.io/zone} {.status.capacity.cpu}";
    let asked = format!("kubectl get node wavetank-49 -o jsonpath='{template}'");
    assert_eq!(cluster.run(&kubectl, &asked).0, "b 4");

    // Others join beside them, by names and addresses of their own.
    let taint = [
        "-n",
        "2",
        "--first",
        "50",
        "--register-with-taints",
        "a=b:NoSchedule",
    ];
    let mut with = taint.to_vec();
    with.push("--delete-on-exit");
    let tainted = Nodes::attach(&cluster, &with);
    let web = "kubectl create deployment web --image=nginx --replicas=100 && \
        kubectl rollout status deployment/web --timeout=60s";
    let (said, exit) = cluster.run(&kubectl, web);
    assert!(
        exit == 0 && said.contains("successfully rolled out"),
        "{said}"
    );
    let places = "kubectl get pods -o jsonpath='{range .items[*]}{.spec.nodeName} {end}'";
    let (places, _) = cluster.run(&kubectl, places);
    assert_eq!(places.split_whitespace().count(), 100);
    assert!(
        !places.contains("wavetank-50") && !places.contains("wavetank-51"),
        "{places}"
    );
    let said = tainted.detach();
    assert!(said.ends_with("2 nodes deleted\n"), "{said}");

    let said = nodes.detach();
    assert!(said.contains("50 nodes stay in the cluster"), "{said}");
    let (left, _) = cluster.run(&kubectl, "kubectl get nodes -o name | wc -l");
    assert_eq!(left.trim(), "50");
}

#[test]
fn what_cannot_be_attached_to_is_refused_at_once() {
    let cluster = Cluster::start("refusing", 0);
    let kubeconfig = cluster.folder.join("kubeconfig");
    let text = std::fs::read_to_string(&kubeconfig).expect("a kubeconfig");
    let other = cluster.folder.join("other");
    let with = |text: &str| std::fs::write(&other, text).expect("a file");

    let said = refused(&kubeconfig, &["--context", "prod"]);
    assert!(
        said.contains("context was not found for specified context: prod"),
        "{said}"
    );
    assert!(said.contains(&kubeconfig.display().to_string()), "{said}");
    let (before, after) = text.split_once("https://127.0.0.1:").expect("an address");
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    with(&format!("{before}https://127.0.0.1:{}{after}", free_port()));
    let said = refused(&other, &[]);
    assert!(
        said.contains("was refused - did you specify the right host or port?"),
        "{said}"
    );
    with("clusters: [{name: c, cluster: {server: \"https://localhost:1\"}}]\nusers: 7");
    let said = refused(&other, &[]);
    assert!(
        said.contains("error loading config file") && said.contains("users"),
        "{said}"
    );
    let said = refused(&kubeconfig, &["--nodes", "0"]);
    assert!(said.contains("at least one node"), "{said}");
    let said = refused(&kubeconfig, &["--name-prefix", "Node_"]);
    assert!(
        said.contains("--name-prefix \"Node_\": a lowercase RFC 1123 subdomain"),
        "{said}"
    );
    let said = refused(&kubeconfig, &["--cpu", "much"]);
    assert!(said.contains("--cpu"), "{said}");
}

#[test]
fn a_node_that_is_not_simulated_is_not_taken_over() {
    let Some((_, kubectl)) = kubectls().pop() else {
        return;
    };
    let cluster = Cluster::start("stranger", 0);
    let make = r#"echo '{"apiVersion":"v1","kind":"Node","metadata":{"name":"worker-1"}}' \
        | kubectl create -f -"#;
    let (said, exit) = cluster.run(&kubectl, make);
    assert_eq!(exit, 0, "{said}");
    let kubeconfig = cluster.folder.join("kubeconfig");
    let said = refused(&kubeconfig, &["--name-prefix", "worker-"]);
    assert!(
        said.contains("node \"worker-1\" exists and is not simulated"),
        "{said}"
    );
    assert!(said.contains("--name-prefix"), "{said}");
}
