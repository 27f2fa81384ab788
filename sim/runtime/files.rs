//! What a simulated program finds on its disk: the volumes it mounts, and the few files that every
//! container has.
//!
//! Read by `exec.rs`; volumes are written by the kubelet's effects.
//!
//! 1. The longest mount that leads to a path decides; what an image holds is behind it.
//!
//! Left out: what programs write; symbolic links; modes.
//!
//! Book: `book/src/node/volumes.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wavetank_kubelet::Files;

use super::exec::Surroundings;

/// Directories of a host that its kubelet made, by path.
pub type Volumes = BTreeMap<Arc<str>, Files>;

const DIRECTORIES: [&str; 10] = [
    "/bin", "/dev", "/etc", "/home", "/proc", "/root", "/sys", "/tmp", "/usr", "/var",
];

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file with this content.
    File(String),
    /// A directory with these names in it, in order.
    Directory(Vec<String>),
}

/// Removes a directory with all in it.
pub fn remove(volumes: &mut Volumes, directory: &str) {
    volumes.retain(|path, _| below(path, directory).is_none());
}

/// What a program finds at a path, from its working directory if it is relative.
pub fn find(path: &str, around: &Surroundings<'_>) -> Option<Found> {
    let path = absolute(path, around);
    let mounts = around.config.mounts.iter();
    let leading = mounts.filter_map(|mount| {
        let point = mount.container_path.trim_end_matches('/');
        Some((point.len(), below(&path, point)?, mount))
    });
    match leading.max_by_key(|(length, ..)| *length) {
        Some((_, rest, mount)) => {
            let host = mount.host_path.trim_end_matches('/');
            on_host(&format!("{host}{rest}"), rest.is_empty(), around.volumes)
        }
        None => in_image(&path, around),
    }
}

/// Without `.` and a slash at the end; the root is empty.
fn absolute(path: &str, around: &Surroundings<'_>) -> String {
    let directory = &*around.config.working_dir;
    let all = match path.starts_with('/') {
        true => path.to_string(),
        false => format!("{directory}/{path}"),
    };
    let parts = all
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    parts.fold(String::new(), |so_far, part| so_far + "/" + part)
}

/// The rest of a path that leads into a directory: empty, or it begins with a slash.
fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(directory)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// What lies at a path of the host. What is mounted is there, if only as an empty directory.
fn on_host(path: &str, is_mounted: bool, volumes: &Volumes) -> Option<Found> {
    let mut all = volumes.iter();
    let held = all.find_map(|(volume, files)| Some((below(path, volume)?, files)));
    let names = match held {
        None => Vec::new(),
        Some((rest, files)) => {
            let name = rest.trim_start_matches('/');
            if let Some(bytes) = files.get(name) {
                return Some(Found::File(String::from_utf8_lossy(bytes).into_owned()));
            }
            children(name, files.keys().map(|file| &**file))
        }
    };
    (is_mounted || !names.is_empty()).then_some(Found::Directory(names))
}

/// What lies at a path of the image, with the mount points below it.
fn in_image(path: &str, around: &Surroundings<'_>) -> Option<Found> {
    let files = [
        "/etc/hostname",
        "/etc/hosts",
        "/etc/os-release",
        "/proc/version",
        "/dev/null",
    ];
    let host = around.sandbox.hostname;
    let text = match path {
        "/etc/hostname" => format!("{host}\n"),
        "/etc/hosts" => {
            let ip = around.sandbox.ip;
            let own = ip.map_or(String::new(), |ip| format!("{ip}\t{host}\n"));
            format!("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n{own}")
        }
        "/etc/os-release" => "NAME=\"Wavetank\"\nID=wavetank\n".to_string(),
        "/proc/version" => "Linux version 6.12.0-wavetank\n".to_string(),
        "/dev/null" => String::new(),
        _ => {
            let points = around
                .config
                .mounts
                .iter()
                .map(|mount| &*mount.container_path);
            let all = DIRECTORIES.into_iter().chain(files).chain(points);
            let names = children(path, all);
            let is_there = path.is_empty() || DIRECTORIES.contains(&path) || !names.is_empty();
            return is_there.then_some(Found::Directory(names));
        }
    };
    Some(Found::File(text))
}

/// The names in a directory, from all paths that there are.
fn children<'a>(directory: &str, all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names = all.filter_map(|path| {
        let rest = match directory.is_empty() {
            true => path.trim_start_matches('/'),
            false => below(path, directory)?.trim_start_matches('/'),
        };
        rest.split('/').next().filter(|name| !name.is_empty())
    });
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().map(str::to_string).collect()
}
