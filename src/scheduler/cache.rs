//! What the scheduler believes: nodes, the pods bound to them, and those it has just decided about.
//!
//! Between the decision and the watch event that confirms it, a pod is *assumed*: counted on its
//! node as if it were bound. Without that, the next cycle would give the same room away again.
//! `engine` feeds observations and decisions in; a cycle begins with `update`.
//!
//! 1. The sums of each node equal the fold of its pods (H12).
//! 2. An assumed pod counts until it is confirmed, forgotten or gone (H14).
//! 3. Pods of a node that is unknown, or gone, stay counted under its name.
//! 4. Each change of a node has a higher generation than all before it, also across delete and
//!    create.
//!
//! Upstream: `pkg/scheduler/backend/cache/cache.go`. Left out: expiry of assumed pods, which
//! upstream has switched off.
//!
//! Book: `book/src/scheduler/cache.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wavetank_api::{Guard, Guards, Revision, Uid};

use crate::node::Node;
use crate::node_info::{Generation, NodeInfo};
use crate::pod::Pod;
use crate::snapshot::{NodeId, Snapshot};
use crate::zones::Zones;

/// A pod that counts on a node.
#[derive(Clone, Debug)]
struct Held {
    /// With `node_name` set.
    pod: Arc<Pod>,
    /// Decided by us, not yet seen bound.
    is_assumed: bool,
}

/// What `set_node` has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// The node is new.
    Added,
    /// It was different; the view before.
    Updated(Arc<Node>),
    /// It was the same to us: a heartbeat.
    Same,
}

/// The scheduler's cache.
#[derive(Debug, Default)]
pub struct Cache {
    /// By [`NodeId`]; a hole is on `free`.
    infos: Vec<Option<Arc<NodeInfo>>>,
    free: Vec<NodeId>,
    ids: BTreeMap<Arc<str>, NodeId>,
    /// Every info by its generation: what a snapshot has missed is the end of this.
    recent: BTreeSet<(Generation, NodeId)>,
    generation: Generation,
    /// Nodes that exist, by zone.
    zones: Zones,
    image_nodes: Arc<BTreeMap<Arc<str>, u32>>,
    pods: BTreeMap<Uid, Held>,
    guards: Guards,
}

impl Cache {
    /// An empty cache.
    pub fn new(guards: Guards) -> Self {
        Cache {
            guards,
            ..Cache::default()
        }
    }

    /// Number of nodes that exist.
    pub fn node_count(&self) -> usize {
        self.zones.len()
    }

    /// Whether a node of this name exists.
    pub fn has_node(&self, name: &str) -> bool {
        self.info(name).is_some_and(|info| info.node.is_some())
    }

    /// What is known under a node's name.
    pub fn info(&self, name: &str) -> Option<&NodeInfo> {
        self.infos.get(self.ids.get(name)?.at())?.as_deref()
    }

    /// The pod, when it counts on a node.
    pub fn pod(&self, uid: &Uid) -> Option<&Arc<Pod>> {
        self.pods.get(uid).map(|held| &held.pod)
    }

    /// Whether the pod is assumed and not yet confirmed.
    pub fn is_assumed(&self, uid: &Uid) -> bool {
        self.pods.get(uid).is_some_and(|held| held.is_assumed)
    }

    /// All pods that count, in the order of their uids.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values().map(|held| &held.pod)
    }

    /// Takes in a node, new or changed.
    pub fn set_node(&mut self, node: Arc<Node>) -> NodeChange {
        let id = self.id_of(&node.name);
        let before = self.infos[id.at()]
            .as_ref()
            .and_then(|info| info.node.clone());
        if before.as_ref() == Some(&node) {
            return NodeChange::Same;
        }
        if let Some(before) = &before {
            self.zones.remove(&before.zone(), id);
            self.count_images(before, false);
        }
        self.zones.add(&node.zone(), id);
        self.count_images(&node, true);
        self.change(id, |info| info.node = Some(node));
        // M47: if generations began again with each node, a node re-created within one snapshot
        // period would look unchanged, and pods would be put on the old, larger one (#63262).
        if before.is_none() && !self.guards.on(Guard::M47) {
            self.stamp(id, Generation::default());
        }
        before.map_or(NodeChange::Added, NodeChange::Updated)
    }

    /// Takes a node out; its pods stay counted under its name until they go themselves.
    pub fn remove_node(&mut self, name: &str) -> Option<Arc<Node>> {
        let id = *self.ids.get(name)?;
        let node = self.infos[id.at()].as_ref()?.node.clone()?;
        self.zones.remove(&node.zone(), id);
        self.count_images(&node, false);
        // M48: the pods' watch may lag behind the nodes'. If the node comes back before they are
        // seen to go, it must not look empty (#93938, #106102).
        let keeps_pods = self.guards.on(Guard::M48);
        self.change(id, |info| {
            info.node = None;
            if !keeps_pods {
                *info = NodeInfo::new(Arc::clone(&info.name));
            }
        });
        self.drop_if_empty(id);
        Some(node)
    }

    // ANCHOR: assume
    /// Counts a pod on the node that was chosen for it, before anybody else knows.
    pub fn assume(&mut self, pod: Arc<Pod>) {
        assert!(
            !self.pods.contains_key(&pod.uid),
            "a pod is assumed once: {}",
            pod.full_name()
        );
        // M42: what is not counted is given away again by the next cycle (#106361).
        if self.guards.on(Guard::M42) {
            self.count_in(&pod);
        }
        self.pods.insert(
            pod.uid.clone(),
            Held {
                pod,
                is_assumed: true,
            },
        );
    }

    /// Stops counting an assumed pod whose binding is known not to happen.
    pub fn forget(&mut self, uid: &Uid) -> Option<Arc<Pod>> {
        if !self.is_assumed(uid) {
            return None;
        }
        self.remove_pod(uid)
    }
    // ANCHOR_END: assume

    /// Takes in a bound pod as the API server has it: confirms an assumption, or adds, or updates.
    /// Answers the pod as it was counted before.
    pub fn set_pod(&mut self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        let before = self.pods.get(&pod.uid).map(|held| Arc::clone(&held.pod));
        if let Some(before) = &before {
            self.count_out(before);
        }
        self.count_in(&pod);
        self.pods.insert(
            pod.uid.clone(),
            Held {
                pod,
                is_assumed: false,
            },
        );
        before
    }

    /// Takes a pod out, assumed or not.
    pub fn remove_pod(&mut self, uid: &Uid) -> Option<Arc<Pod>> {
        let held = self.pods.remove(uid)?;
        self.count_out(&held.pod);
        Some(held.pod)
    }

    /// The revision at which a pod was last seen bound.
    pub fn revision_of(&self, uid: &Uid) -> Option<Revision> {
        self.pods
            .get(uid)
            .filter(|held| !held.is_assumed)
            .map(|held| held.pod.revision)
    }

    // ANCHOR: update
    /// Brings a snapshot up to date: one pointer for each node that changed since.
    pub fn update(&self, snapshot: &mut Snapshot) {
        snapshot.infos.resize(self.infos.len(), None);
        let missed = (Generation(snapshot.generation.0 + 1), NodeId::default())..;
        for &(_, id) in self.recent.range(missed) {
            snapshot.infos[id.at()].clone_from(&self.infos[id.at()]);
        }
        if snapshot.layout != self.zones.version() {
            snapshot.order = self.zones.order();
            snapshot.by_name.clone_from(&self.ids);
            for (seen, known) in snapshot.infos.iter_mut().zip(&self.infos) {
                if seen.is_none() != known.is_none() {
                    seen.clone_from(known);
                }
            }
            snapshot.layout = self.zones.version();
        }
        snapshot.image_nodes = Arc::clone(&self.image_nodes);
        snapshot.generation = self.generation;
    }
    // ANCHOR_END: update

    fn count_in(&mut self, pod: &Arc<Pod>) {
        if let Some(node) = &pod.node_name {
            let id = self.id_of(node);
            self.change(id, |info| info.add_pod(Arc::clone(pod)));
        }
    }

    fn count_out(&mut self, pod: &Pod) {
        let Some(id) = pod
            .node_name
            .as_ref()
            .and_then(|node| self.ids.get(node).copied())
        else {
            return;
        };
        self.change(id, |info| {
            info.remove_pod(&pod.uid);
        });
        self.drop_if_empty(id);
    }

    /// Changes one info under a fresh generation; a snapshot that shares it keeps the old content.
    fn change(&mut self, id: NodeId, change: impl FnOnce(&mut NodeInfo)) {
        let Some(info) = &mut self.infos[id.at()] else {
            return;
        };
        change(Arc::make_mut(info));
        self.generation.0 += 1;
        self.stamp(id, self.generation);
    }

    fn stamp(&mut self, id: NodeId, generation: Generation) {
        let Some(info) = &mut self.infos[id.at()] else {
            return;
        };
        self.recent.remove(&(info.generation, id));
        Arc::make_mut(info).generation = generation;
        self.recent.insert((generation, id));
    }

    /// The place of a name, made when there is none.
    fn id_of(&mut self, name: &Arc<str>) -> NodeId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.infos.push(None);
            NodeId(u32::try_from(self.infos.len() - 1).unwrap_or(u32::MAX))
        });
        let info = NodeInfo::new(Arc::clone(name));
        self.recent.insert((info.generation, id));
        self.infos[id.at()] = Some(Arc::new(info));
        self.ids.insert(Arc::clone(name), id);
        id
    }

    /// Frees the place of a name that has neither node nor pods.
    fn drop_if_empty(&mut self, id: NodeId) {
        let Some(info) = &self.infos[id.at()] else {
            return;
        };
        if info.node.is_some() || !info.pods.is_empty() {
            return;
        }
        self.recent.remove(&(info.generation, id));
        self.ids.remove(&info.name);
        self.infos[id.at()] = None;
        self.free.push(id);
    }

    fn count_images(&mut self, node: &Node, is_present: bool) {
        if node.images.is_empty() {
            return;
        }
        let counts = Arc::make_mut(&mut self.image_nodes);
        for image in &node.images {
            let count = counts.entry(Arc::clone(&image.name)).or_default();
            *count = if is_present {
                *count + 1
            } else {
                count.saturating_sub(1)
            };
            if *count == 0 {
                counts.remove(&image.name);
            }
        }
    }
}
