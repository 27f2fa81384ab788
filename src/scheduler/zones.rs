//! The order in which nodes are tried: zones take turns, so that a search that stops early has seen
//! all of them.
//!
//! `cache` keeps it; a snapshot copies the order when nodes have come or gone.
//!
//! 1. `order` holds each node once; among its first n·z entries each of z zones with at least n
//!    nodes has n.
//!
//! Upstream: `pkg/scheduler/backend/cache/node_tree.go`.
//!
//! Book: `book/src/scheduler/cache.md`.

use std::sync::Arc;

use crate::snapshot::NodeId;

/// Nodes by zone; zones and nodes in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    zones: Vec<(Arc<str>, Vec<NodeId>)>,
    count: usize,
    version: u64,
}

impl Zones {
    /// Number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Grows with each change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn add(&mut self, zone: &Arc<str>, id: NodeId) {
        match self.zones.iter_mut().find(|(name, _)| name == zone) {
            Some((_, nodes)) => nodes.push(id),
            None => self.zones.push((Arc::clone(zone), vec![id])),
        }
        self.count += 1;
        self.version += 1;
    }

    pub(crate) fn remove(&mut self, zone: &Arc<str>, id: NodeId) {
        let Some(at) = self.zones.iter().position(|(name, _)| name == zone) else {
            return;
        };
        let nodes = &mut self.zones[at].1;
        let Some(place) = nodes.iter().position(|known| *known == id) else {
            return;
        };
        nodes.remove(place);
        if nodes.is_empty() {
            self.zones.remove(at);
        }
        self.count -= 1;
        self.version += 1;
    }

    /// One node of each zone, then the next of each, until all are there.
    pub(crate) fn order(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.count);
        let deepest = self
            .zones
            .iter()
            .map(|(_, nodes)| nodes.len())
            .max()
            .unwrap_or(0);
        for row in 0..deepest {
            order.extend(self.zones.iter().filter_map(|(_, nodes)| nodes.get(row)));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_take_turns() {
        let mut zones = Zones::default();
        for (zone, id) in [("a", 0), ("a", 1), ("a", 2), ("b", 3), ("c", 4), ("c", 5)] {
            zones.add(&zone.into(), NodeId(id));
        }
        let order: Vec<u32> = zones.order().into_iter().map(|id| id.0).collect();
        assert_eq!(order, [0, 3, 4, 1, 5, 2]);
        zones.remove(&"b".into(), NodeId(3));
        let order: Vec<u32> = zones.order().into_iter().map(|id| id.0).collect();
        assert_eq!(order, [0, 4, 1, 5, 2]);
    }
}
