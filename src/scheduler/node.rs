//! A node as scheduling sees it.
//!
//! Decoded once per revision; heartbeats change nothing in here, so an equal view means that
//! nothing happened. The cache keeps it, filters and scores read it.
//!
//! Left out: conditions (the node lifecycle controller turns them into taints), volumes attached.
//!
//! Book: `book/src/scheduler/cache.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use wavetank_api::{StringMap, Uid};
use wavetank_informer::intern::Pool;
use wavetank_informer::{Object, View};

use crate::resource::{Quantity, Resources};

/// What a taint does to pods that do not tolerate it (`v1.TaintEffect`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Effect {
    /// Not scheduled here.
    NoSchedule,
    /// Scheduled here only when nothing better is left.
    PreferNoSchedule,
    /// Not scheduled here, and evicted when already here.
    NoExecute,
}

/// `spec.taints[]` of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Taint {
    pub key: Arc<str>,
    #[serde(default)]
    pub value: Arc<str>,
    pub effect: Effect,
}

/// An image that is on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// One of its names, with tag or digest.
    pub name: Arc<str>,
    /// Bytes on disk.
    pub size: i64,
}

/// The view of a Node that the scheduler works with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.labels`.
    pub labels: StringMap,
    /// `spec.unschedulable`: cordoned.
    pub unschedulable: bool,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `status.allocatable`, or `status.capacity` when it is absent.
    pub allocatable: Resources,
    /// `status.allocatable.pods`.
    pub allowed_pods: i64,
    /// `status.images`, one entry for each name, sorted by name.
    pub images: Vec<Image>,
}

impl Node {
    /// Region and zone, the key of zone interleaving; empty when the node has neither label.
    pub fn zone(&self) -> Arc<str> {
        let label = |name: &str| self.labels.get(name).map_or("", |value| value.as_ref());
        let region = label("topology.kubernetes.io/region");
        let zone = label("topology.kubernetes.io/zone");
        if region.is_empty() && zone.is_empty() {
            return Arc::from("");
        }
        format!("{region}:\0:{zone}").into()
    }

    /// Builds the view from the decoded object.
    pub fn new(object: &Object<NodeObject>) -> Self {
        let Object { meta, view } = object;
        let status = &view.status;
        let is_reported = !status.allocatable.is_empty();
        let list = if is_reported {
            &status.allocatable
        } else {
            &status.capacity
        };
        let mut images: Vec<Image> = Vec::new();
        for image in &status.images {
            for name in &image.names {
                images.push(Image {
                    name: name.clone(),
                    size: image.size_bytes,
                });
            }
        }
        images.sort_by(|a, b| a.name.cmp(&b.name));
        images.dedup_by(|a, b| a.name == b.name);
        Node {
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            labels: meta.labels.clone(),
            unschedulable: view.spec.unschedulable,
            taints: view.spec.taints.clone(),
            allowed_pods: list.get("pods").map_or(0, Quantity::whole),
            allocatable: Resources::parse(list),
            images,
        }
    }
}

/// The fields of a Node object, beyond its header, that the view is made from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NodeObject {
    pub spec: NodeObjectSpec,
    pub status: NodeObjectStatus,
}

impl View for NodeObject {
    fn share(&mut self, pool: &mut Pool) {
        let images = self.status.images.iter_mut();
        images
            .flat_map(|image| &mut image.names)
            .for_each(|name| pool.share(name));
    }
}

/// `spec` of a [`NodeObject`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NodeObjectSpec {
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
}

/// `status` of a [`NodeObject`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NodeObjectStatus {
    pub capacity: BTreeMap<Arc<str>, Quantity>,
    pub allocatable: BTreeMap<Arc<str>, Quantity>,
    pub images: Vec<NodeObjectImage>,
}

/// `status.images[]` of a [`NodeObject`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NodeObjectImage {
    pub names: Vec<Arc<str>>,
    pub size_bytes: i64,
}
