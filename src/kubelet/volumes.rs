//! A pod's volumes: directories that its containers mount, made before its sandbox.
//!
//! Called by `sync.rs` before anything of a pod is made, by `container_config.rs` for mounts, and
//! by `worker.rs` at the end. Upstream: `pkg/kubelet/volumemanager`, `pkg/volume/{configmap,secret,
//! downwardapi,projected,emptydir,hostpath}`; what each volume waits between two tries,
//! `pkg/volume/util/nestedpendingoperations`.
//!
//! 1. No container of a pod is made before each of its volumes is there.
//! 2. A volume that was there keeps its files when their source goes.
//! 3. The delay between two tries of a volume doubles, from half a second to two minutes, and
//!    holds no other volume back.
//!
//! Left out: file modes and owners; size limits; `subPath` follows changes, which upstream's does
//! not; tokens, claims, and all other kinds of volumes.
//!
//! Book: `book/src/node/volumes.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
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
use crate::sandbox::RETRY;
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
    /// Those that failed the last time they were tried.
    failing: BTreeMap<Text, Failing>,
}

/// A volume that cannot be made.
#[derive(Clone, Copy, Debug)]
struct Failing {
    /// The wait after the last try, and when the next is due.
    delay: Duration,
    until: Time,
}

impl Failing {
    fn after(delay: Duration, now: Time) -> Self {
        let until = now + delay;
        Failing { delay, until }
    }

    /// After one more failure (`ExponentialBackoff.Update`).
    fn again(before: Option<Failing>, now: Time) -> Self {
        let delay = before.map_or(FIRST_DELAY, |before| before.delay * 2);
        Failing::after(delay.min(LONGEST_DELAY), now)
    }
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
    match cx.shared.sources.awaited_until(cx.worker, cx.now) {
        Some(until) => cx.wake_at(until),
        None => volumes.set_up(worker, cx),
    }
    let are_there = volumes.are_there;
    worker.volumes = Some(volumes);
    are_there
}
// ANCHOR_END: ensure

impl Volumes {
    /// Tries what may have changed, and what failed and is due.
    fn set_up(&mut self, worker: &Worker, cx: &mut Context<'_>) {
        let now = cx.now;
        let is_due = |failing: &Failing| failing.until <= now;
        if self.is_stale || self.failing.values().any(is_due) {
            let is_tried = |volume: &&Volume| self.failing.get(&volume.name).is_none_or(is_due);
            let tried: Vec<_> = used(&worker.pod).filter(is_tried).collect();
            let unknown = self.make(&tried, worker, cx);
            let missing = used(&worker.pod).filter(|v| !self.held.contains_key(&v.name));
            let missing: BTreeSet<_> = missing.map(|volume| &volume.name).collect();
            if !unknown.is_empty() {
                let text = refusal(&missing, &unknown);
                cx.event(&worker.pod, Warning, "FailedMount", text);
            }
            self.are_there = missing.is_empty();
            self.is_stale = false;
        }
        if let Some(until) = self.failing.values().map(|failing| failing.until).min() {
            cx.wake_at(until);
        }
    }

    /// Makes volumes, and notes when to try those again that cannot be made; the names of those
    /// whose kind is not known.
    fn make<'a>(
        &mut self,
        tried: &[&'a Volume],
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> BTreeSet<&'a Text> {
        let mut unknown = BTreeSet::new();
        for volume in tried {
            let name = &volume.name;
            let before = self.failing.remove(name);
            let failing = match content(worker, volume, cx.shared) {
                Ok(files) => {
                    self.hold(&worker.pod, volume, files, cx);
                    continue;
                }
                Err(Failure::SetUp(why)) => {
                    let text = format!("MountVolume.SetUp failed for volume \"{name}\" : {why}");
                    cx.event(&worker.pod, Warning, "FailedMount", text);
                    Failing::again(before, cx.now)
                }
                Err(Failure::NoPlugin) => {
                    unknown.insert(name);
                    Failing::after(RETRY, cx.now)
                }
            };
            self.failing.insert(name.clone(), failing);
        }
        unknown
    }

    /// Asks for a volume's files to be written, if they are not what was written last.
    fn hold(&mut self, pod: &Pod, volume: &Volume, files: Option<Files>, cx: &mut Context<'_>) {
        if self.held.get(&volume.name) == Some(&files) {
            return;
        }
        self.held.insert(volume.name.clone(), files.clone());
        if volume.host_path.is_none() {
            let path = path(pod, volume);
            cx.out.push(Output::Effect(Effect::SetUp { path, files }));
        }
    }
}

/// Those that a container mounts or has as a device; nobody misses the others
/// (`processPodVolumes`).
fn used(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let is_used = |volume: &&Volume| {
        pod.spec().all().any(|(_, container)| {
            let mounts = container.volume_mounts.iter().map(|mount| &mount.name);
            let devices = container.volume_devices.iter().map(|device| &device.name);
            mounts.chain(devices).any(|name| *name == volume.name)
        })
    };
    pod.spec().volumes.iter().filter(is_used)
}

/// What the pod's worker says of volumes of unknown kinds (`WaitForAttachAndMount`).
fn refusal(missing: &BTreeSet<&Text>, unknown: &BTreeSet<&Text>) -> String {
    let list = |names: &BTreeSet<&Text>| names.iter().map(|n| &***n).collect::<Vec<_>>().join(" ");
    let why = |name: &&Text| {
        let why = "no volume plugin matched";
        format!("failed to get Plugin from volumeSpec for volume \"{name}\" err={why}")
    };
    format!(
        "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[], \
         failed to process volumes=[{}]: {}",
        list(missing),
        list(unknown),
        unknown.iter().map(why).collect::<Vec<_>>().join("; ")
    )
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
                let what = match kind {
                    KindId::Secret => "references non-existent secret key",
                    _ => "configmap references non-existent config key",
                };
                return Err(format!("{what}: {}", item.key));
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
        errors.extend(added.err().filter(|error| !errors.contains(error)));
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
