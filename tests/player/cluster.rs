//! A cluster to type at: `wavetank up` in a folder of its own, and the kubectls of this machine.
//!
//! Used by `tests/kubectl.rs` (transcripts) and `tests/book.rs` (the consoles that the book shows).

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `wavetank up` with a folder of its own, both gone when it is dropped.
pub struct Cluster {
    process: Child,
    pub folder: PathBuf,
    /// What it said until it was ready.
    pub greeting: String,
}

impl Cluster {
    /// Between the choice of a free port and its use another process may take it: then another.
    pub fn start(name: &str, nodes: u32) -> Self {
        let mut attempts = (0..5).filter_map(|_| Self::try_start(name, nodes));
        attempts.next().expect("wavetank up serves")
    }

    fn try_start(name: &str, nodes: u32) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("wavetank-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a temporary folder");
        let mut process = Command::new(env!("CARGO_BIN_EXE_wavetank"))
            .args(["up", "--nodes", &nodes.to_string()])
            .args(["--listen", &format!("127.0.0.1:{}", free_port())])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .arg("--kubeconfig")
            .arg(folder.join("kubeconfig"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("wavetank starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut greeting = String::new();
        for line in lines.by_ref().map_while(Result::ok) {
            greeting.push_str(&line);
            greeting.push('\n');
            if line.contains("export KUBECONFIG=") {
                break;
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        let cluster = Cluster {
            process,
            folder,
            greeting,
        };
        let ready = cluster.greeting.contains("export KUBECONFIG=");
        ready.then_some(cluster)
    }

    pub fn run(&self, kubectl: &Path, line: &str) -> (String, i32) {
        let bin = self.folder.join("bin");
        fs::create_dir_all(&bin).expect("a folder for the link");
        let link = bin.join("kubectl");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(kubectl, &link).expect("a link to kubectl");
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .arg("-c")
            .arg(line)
            .current_dir(&self.folder)
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", &self.folder)
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("EDITOR", "sed -i s/before/after/")
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .output()
            .expect("sh runs");
        let text = [output.stdout, output.stderr].concat();
        (
            String::from_utf8_lossy(&text).into_owned(),
            output.status.code().unwrap_or(-1),
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT, as Ctrl-C: leaving nothing behind is part of what is tested.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

/// The kubectls beside the one on PATH: `kubectl.1.31` and on; else the one itself.
pub fn kubectls() -> Vec<(String, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|p| p.join("kubectl"))
        .find(|p| p.is_file());
    let Some(kubectl) = found.and_then(|p| fs::canonicalize(p).ok()) else {
        let what = "skipped: kubectl is not on PATH";
        assert!(std::env::var_os("WAVETANK_REQUIRE_ALL").is_none(), "{what}");
        eprintln!("{what}");
        return Vec::new();
    };
    let beside = |version: &str| {
        let name = format!("{}.{version}", kubectl.file_name()?.to_str()?);
        let path = kubectl.with_file_name(name);
        path.is_file().then(|| (version.to_owned(), path))
    };
    let versions: Vec<_> = ["1.31", "1.32", "1.33"]
        .into_iter()
        .filter_map(beside)
        .collect();
    if versions.is_empty() {
        vec![("path".to_owned(), kubectl)]
    } else {
        versions
    }
}
