//! The ConfigMaps and Secrets that pods of this node refer to, each watched by its name.
//!
//! Held by `kubelet.rs`; read by `environment.rs` and `volumes.rs`. Upstream:
//! `pkg/kubelet/util/manager/watch_based_manager.go`.
//!
//! 1. An object is watched exactly while a worker that has not ended refers to it.
//! 2. Absence is known from a list, never guessed: before the first answer an object is neither
//!    there nor missing.
//!
//! Left out: that the watch of an immutable object is closed; secrets for image pulls.
//!
//! Book: `book/src/node/kubelet.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use wavetank_api::{KindId, Time};
use wavetank_informer::client::Selection;
use wavetank_informer::{CallIds, Input, Key, Object, Output, Reflector, View, reflector};

use crate::context::WorkerId;
use crate::effect::{Effect, Outcome};
use crate::pod::{Container, EnvSource, Pod};
use crate::volume_spec::Volume;

/// How long a pod waits for the first answer about an object before it says that it waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// A ConfigMap or a Secret.
pub(crate) type Reference = (KindId, Key);

/// `ConfigMap` or `Secret`: both hold values by key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Data {
    /// Text of a ConfigMap, base64 of a Secret.
    data: BTreeMap<Arc<str>, Arc<str>>,
    /// Base64; of a ConfigMap only, and for files only.
    #[serde(rename = "binaryData")]
    binary_data: BTreeMap<Arc<str>, Arc<str>>,
}

impl View for Data {}

/// All objects that are watched.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    watched: BTreeMap<Reference, Source>,
}

#[derive(Debug)]
struct Source {
    reflector: Reflector<Object<Data>>,
    /// When it was first asked for.
    since: Time,
    users: BTreeSet<WorkerId>,
}

impl Sources {
    /// Watches an object, as `how` says, for as long as a worker wants it.
    pub fn hold(
        &mut self,
        worker: WorkerId,
        reference: Reference,
        how: reflector::Config,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<Effect>>,
    ) {
        let source = self.watched.entry(reference).or_insert_with(|| Source {
            reflector: Reflector::new(how),
            since: now,
            users: BTreeSet::new(),
        });
        source.users.insert(worker);
        source.reflector.start(ids, out);
    }

    /// A worker has ended: what nobody else refers to is watched no longer.
    pub fn release(&mut self, worker: WorkerId, out: &mut Vec<Output<Effect>>) {
        self.watched.retain(|_, source| {
            if source.users.remove(&worker) && source.users.is_empty() {
                source.reflector.stop(out);
                return false;
            }
            true
        });
    }

    /// Hands an input to all reflectors; the workers that refer to what it told something about.
    pub fn handle(
        &mut self,
        input: &Input<Outcome>,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<Effect>>,
    ) -> BTreeSet<WorkerId> {
        let mut concerned = BTreeSet::new();
        for source in self.watched.values_mut() {
            let was_synced = source.reflector.cache().is_synced();
            let changes = source.reflector.handle(input, now, ids, out);
            let is_news = !changes.is_empty() || !was_synced;
            if is_news && source.reflector.cache().is_synced() {
                concerned.extend(&source.users);
            }
        }
        concerned
    }

    /// When a reflector wants to be called.
    pub fn next_wake(&self) -> Option<Time> {
        let sources = self.watched.values();
        sources.filter_map(|s| s.reflector.next_wake()).min()
    }

    /// Until when the answers that a worker waits for are worth waiting for; `None`: none is.
    pub fn awaited_until(&self, worker: WorkerId, now: Time) -> Option<Time> {
        let own = self.watched.values().filter(|s| s.users.contains(&worker));
        let open = own.filter(|s| !s.reflector.cache().is_synced());
        open.map(|s| s.since + PATIENCE)
            .filter(|until| now < *until)
            .max()
    }

    /// An object, or why a pod that refers to it must wait; `None`: it may be missing, and is.
    pub fn find(&self, reference: &Reference, optional: bool) -> Result<Option<&Data>, String> {
        let (kind, key) = reference;
        let word = match kind {
            KindId::Secret => "secret",
            _ => "configmap",
        };
        let cache = self.watched.get(reference).map(|s| s.reflector.cache());
        let Some(cache) = cache.filter(|cache| cache.is_synced()) else {
            let why = "timed out waiting for the condition";
            return Err(format!("failed to sync {word} cache: {why}"));
        };
        match cache.get(key) {
            Some(object) => Ok(Some(&object.view)),
            None if optional => Ok(None),
            None => Err(format!("{word} \"{}\" not found", key.name)),
        }
    }
}

impl Data {
    /// The value of a variable: bytes that are no text are replaced.
    pub fn text(&self, kind: KindId, key: &str) -> Option<Arc<str>> {
        let text = self.data.get(key)?;
        if kind != KindId::Secret {
            return Some(text.clone());
        }
        let bytes = BASE64_STANDARD.decode(&**text).ok()?;
        Some(String::from_utf8_lossy(&bytes).into())
    }

    /// The content of a file.
    pub fn file(&self, kind: KindId, key: &str) -> Option<Arc<[u8]>> {
        let decode = |text: &Arc<str>| BASE64_STANDARD.decode(&**text).ok().map(Into::into);
        match self.data.get(key) {
            Some(text) if kind == KindId::Secret => decode(text),
            Some(text) => Some(text.as_bytes().into()),
            None => self.binary_data.get(key).and_then(decode),
        }
    }

    /// All keys as files.
    pub fn files(&self, kind: KindId) -> impl Iterator<Item = (Arc<str>, Arc<[u8]>)> {
        let keys = self.data.keys().chain(self.binary_data.keys());
        keys.filter_map(move |key| Some((key.clone(), self.file(kind, key)?)))
    }

    /// All keys that variables can be made of.
    pub fn text_keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.data.keys()
    }
}

/// Every ConfigMap and Secret that a pod's containers and volumes name
/// (`pkg/api/v1/pod/util.go`, VisitPodConfigmapNames and VisitPodSecretNames).
pub(crate) fn references(pod: &Pod) -> BTreeSet<Reference> {
    let namespace = &pod.meta().namespace;
    let mut all = BTreeSet::new();
    let mut add = |kind: KindId, name: &Arc<str>| {
        all.insert((kind, Key::new(namespace.clone(), name.clone())));
    };
    for (_, container) in pod.spec().all() {
        visit_environment(container, &mut add);
    }
    for (config_map, secret) in pod.spec().volumes.iter().flat_map(Volume::keys) {
        config_map
            .iter()
            .for_each(|of| add(KindId::ConfigMap, &of.name));
        secret.iter().for_each(|of| add(KindId::Secret, &of.name));
    }
    all
}

fn visit_environment(container: &Container, add: &mut impl FnMut(KindId, &Arc<str>)) {
    for from in &container.env_from {
        let config_map = from.config_map_ref.iter();
        config_map.for_each(|of| add(KindId::ConfigMap, &of.name));
        let secret = from.secret_ref.iter();
        secret.for_each(|of| add(KindId::Secret, &of.name));
    }
    for source in container.env.iter().filter_map(|e| e.value_from.as_deref()) {
        match source {
            EnvSource::ConfigMapKeyRef(key) => add(KindId::ConfigMap, &key.name),
            EnvSource::SecretKeyRef(key) => add(KindId::Secret, &key.name),
            EnvSource::FieldRef(_) | EnvSource::ResourceFieldRef(_) => {}
        }
    }
}

/// The one object of this name.
pub(crate) fn selection(key: &Key) -> Selection {
    Selection {
        namespace: key.namespace.to_string(),
        fields: format!("metadata.name={}", key.name),
        ..Selection::default()
    }
}
