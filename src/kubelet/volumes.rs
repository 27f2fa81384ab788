//! A pod's volumes: directories that its containers mount, made before its sandbox.
//!
//! Called by `sync.rs` before anything of a pod is made, by `container_config.rs` for mounts, and
//! by `worker.rs` at the end. Upstream: `pkg/kubelet/volumemanager`, `pkg/volume/{configmap,secret,
//! downwardapi,projected,emptydir,hostpath}`.
//!
//! 1. No container of a pod is made before each of its volumes is there.
//! 2. A volume that was there keeps its files when their source goes.
//! 3. The delay between two tries doubles, from half a second to two minutes.
//!
//! Left out: file modes and owners; size limits; `subPath` follows changes, which upstream's does
//! not; tokens, claims, and all other kinds of volumes.
//!
//! Book: `book/src/node/volumes.md`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::{KindId, Time};
use wavetank_cri::container::Mount;
use wavetank_informer::events::EventType::Warning;
use wavetank_informer::{Key, Output};

use crate::context::{Context, Shared};
use crate::downward;
use crate::effect::{Effect, Files};
use crate::environment::expand;
use crate::pod::{Container, Pod};
use crate::volume_spec::{Fields, Keys, Projected, Volume};
use crate::worker::Worker;

type Text = Arc<str>;

/// `nestedpendingoperations`' back-off (`exponential_backoff.go`).
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(122);

/// What a worker knows of its pod's volumes. Only a pod that has some has this.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// What was last written into each; nothing for a directory that is not ours to fill.
    held: BTreeMap<Text, Option<Files>>,
    /// Each was made at least once.
    are_there: bool,
    /// Pod and sources may say other than what was written. Written by `worker.rs` and
    /// `kubelet.rs` with each news.
    pub is_stale: bool,
    /// Failed tries in a row, and when the next is due.
    tries: u32,
    until: Time,
}

impl Volumes {
    /// Of a pod that is new here; none for a pod that has none.
    pub fn of(pod: &Pod) -> Option<Box<Self>> {
        let fresh = Volumes {
            is_stale: true,
            ..Volumes::default()
        };
        (!pod.spec().volumes.is_empty()).then(|| fresh.into())
    }
}

// ANCHOR: ensure
/// Makes what is missing and brings up to date what is there; whether containers may be
/// made.
pub(crate) fn ensure(worker: &mut Worker, cx: &mut Context<'_>) -> bool {
    let Some(mut volumes) = worker.volumes.take() else {
        return true;
    };
    let awaited = cx.shared.sources.awaited_until(cx.worker, cx.now);
    let until = awaited.unwrap_or(volumes.until);
    match (volumes.is_stale, cx.now < until) {
        (true, true) => cx.wake_at(until),
        (true, false) => set_up(worker, &mut volumes, cx),
        (false, _) => {}
    }
    let are_there = volumes.are_there;
    worker.volumes = Some(volumes);
    are_there
}
// ANCHOR_END: ensure

fn set_up(worker: &Worker, volumes: &mut Volumes, cx: &mut Context<'_>) {
    let mut failed = false;
    for volume in &worker.pod.spec().volumes {
        let name = &volume.name;
        let text = match content(worker, volume, cx.shared) {
            Ok(files) if volumes.held.get(name) == Some(&files) => continue,
            Ok(files) => {
                volumes.held.insert(name.clone(), files.clone());
                if volume.host_path.is_none() {
                    let path = path(&worker.pod, volume);
                    cx.out.push(Output::Effect(Effect::SetUp { path, files }));
                }
                continue;
            }
            Err(Failure::NoPlugin) => {
                let why = "no volume plugin matched";
                format!("MountVolume.FindPluginBySpec failed for volume \"{name}\" : {why}")
            }
            Err(Failure::SetUp(why)) => {
                format!("MountVolume.SetUp failed for volume \"{name}\" : {why}")
            }
        };
        cx.event(&worker.pod, Warning, "FailedMount", text);
        failed = true;
    }
    volumes.is_stale = failed;
    volumes.are_there |= !failed;
    if failed {
        let delay = FIRST_DELAY.saturating_mul(1 << volumes.tries.min(10));
        volumes.until = cx.now + delay.min(LONGEST_DELAY);
        volumes.tries += 1;
        cx.wake_at(volumes.until);
    } else {
        volumes.tries = 0;
    }
}

/// Nothing of the pod runs any more.
pub(crate) fn tear_down(worker: &mut Worker, cx: &mut Context<'_>) {
    if worker.volumes.take().is_some() {
        let path = directory(&worker.pod).into();
        cx.out.push(Output::Effect(Effect::TearDown { path }));
    }
}

/// Why a volume cannot be made.
enum Failure {
    NoPlugin,
    SetUp(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Failure::SetUp(why)
    }
}

/// The files of a volume; none for a directory that is not ours to fill.
fn content(worker: &Worker, volume: &Volume, shared: &Shared) -> Result<Option<Files>, Failure> {
    let mut files = BTreeMap::new();
    if let Some(host) = &volume.host_path {
        // What must be there already is not: nobody has put anything on this kubelet's machine.
        let is_made = ["", "DirectoryOrCreate", "FileOrCreate"].contains(&&*host.r#type);
        let what = match &*host.r#type {
            "Directory" => "directory",
            "File" => "file",
            "Socket" => "socket file",
            "CharDevice" => "character device",
            _ => "block device",
        };
        let why = || format!("hostPath type check failed: {} is not a {what}", host.path);
        return if is_made { Ok(None) } else { Err(why().into()) };
    }
    match volume {
        Volume {
            empty_dir: Some(_), ..
        } => return Ok(None),
        Volume {
            config_map: Some(keys),
            ..
        } => {
            add_keys(worker, KindId::ConfigMap, keys, shared, &mut files)?;
        }
        Volume {
            secret: Some(keys), ..
        } => {
            add_keys(worker, KindId::Secret, keys, shared, &mut files)?;
        }
        Volume {
            downward_api: Some(fields),
            ..
        } => {
            add_fields(worker, fields, shared, &mut files)?;
        }
        Volume {
            projected: Some(projected),
            ..
        } => project(worker, projected, shared, &mut files)?,
        _ => return Err(Failure::NoPlugin),
    }
    Ok(Some(Arc::new(files)))
}

type Content = BTreeMap<Text, Arc<[u8]>>;

fn add_keys(
    worker: &Worker,
    kind: KindId,
    keys: &Keys,
    shared: &Shared,
    files: &mut Content,
) -> Result<(), String> {
    let key = Key::new(worker.pod.meta().namespace.clone(), keys.name.clone());
    let Some(data) = shared.sources.find(&(kind, key), keys.optional)? else {
        return Ok(());
    };
    if keys.items.is_empty() {
        files.extend(data.files(kind));
        return Ok(());
    }
    for item in &keys.items {
        match data.file(kind, &item.key) {
            Some(bytes) => drop(files.insert(item.path.clone(), bytes)),
            None if keys.optional => {}
            None => {
                let what = if kind == KindId::Secret {
                    "secret"
                } else {
                    "config"
                };
                return Err(format!("references non-existent {what} key: {}", item.key));
            }
        }
    }
    Ok(())
}

fn add_fields(
    worker: &Worker,
    fields: &Fields,
    shared: &Shared,
    files: &mut Content,
) -> Result<(), String> {
    for item in &fields.items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(of), _) => downward::file(worker, &of.field_path, shared)
                .ok_or_else(|| format!("unsupported fieldPath: {}", of.field_path))?,
            (None, Some(of)) => downward::resource_field(worker, None, of, shared)?,
            (None, None) => continue,
        };
        files.insert(item.path.clone(), text.as_bytes().into());
    }
    Ok(())
}

/// What goes wrong is told of all sources at once (`utilerrors.NewAggregate`).
fn project(
    worker: &Worker,
    projected: &Projected,
    shared: &Shared,
    files: &mut Content,
) -> Result<(), String> {
    let mut errors = Vec::new();
    for source in &projected.sources {
        let added = if let Some(keys) = &source.config_map {
            add_keys(worker, KindId::ConfigMap, keys, shared, files)
        } else if let Some(keys) = &source.secret {
            add_keys(worker, KindId::Secret, keys, shared, files)
        } else if let Some(fields) = &source.downward_api {
            add_fields(worker, fields, shared, files)
        } else if source.service_account_token.is_some() {
            Err("failed to fetch token: this kubelet requests none".into())
        } else {
            Err("this kubelet knows no such source".into())
        };
        errors.extend(added.err());
    }
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.concat()),
        _ => Err(format!("[{}]", errors.join(", "))),
    }
}

/// The mounts of a container, or why it cannot have them.
pub(crate) fn mounts(
    worker: &Worker,
    spec: &Container,
    envs: &BTreeMap<Text, Text>,
) -> Result<Vec<Mount>, String> {
    let all = spec.volume_mounts.iter().map(|mount| {
        let mut volumes = worker.pod.spec().volumes.iter();
        let volume = volumes.find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| format!("cannot find volume \"{}\"", mount.name))?;
        let sub_path = match mount.sub_path_expr.is_empty() {
            true => mount.sub_path.clone(),
            false => expand(&mount.sub_path_expr, envs),
        };
        let path = path(&worker.pod, volume);
        let host_path = match sub_path.is_empty() {
            true => path,
            false => format!("{}/{sub_path}", path.trim_end_matches('/')).into(),
        };
        Ok(Mount {
            container_path: mount.mount_path.clone(),
            host_path,
            readonly: mount.read_only,
        })
    });
    all.collect()
}

/// The directory of a pod on this machine.
fn directory(pod: &Pod) -> String {
    format!("/var/lib/kubelet/pods/{}", pod.meta().uid)
}

/// Where a volume lies on this machine.
fn path(pod: &Pod, volume: &Volume) -> Text {
    let plugin = match volume {
        Volume {
            host_path: Some(host),
            ..
        } => return host.path.clone(),
        Volume {
            empty_dir: Some(_), ..
        } => "empty-dir",
        Volume {
            config_map: Some(_),
            ..
        } => "configmap",
        Volume {
            secret: Some(_), ..
        } => "secret",
        Volume {
            downward_api: Some(_),
            ..
        } => "downward-api",
        _ => "projected",
    };
    let (directory, name) = (directory(pod), &volume.name);
    format!("{directory}/volumes/kubernetes.io~{plugin}/{name}").into()
}
