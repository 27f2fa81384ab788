//! The watch cache: the newest state of every kind, and its recent past.
//!
//! Fed by the store's watch through `ApiServer::observe`; read by every GET, LIST and WATCH. It
//! shares each version's bytes with the store, so that an object costs a header and two pointers.
//!
//! 1. The state of every kind is that of one revision, `revision()`: batches end between revisions.
//! 2. The revision never goes back (a `sync` from an older snapshot is ignored).
//! 3. A list at revision r holds exactly what the store held at r, or is refused (A4, A8).
//!
//! Left out: snapshots of the past (upstream keeps cloned B-trees; we undo the ring instead).
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use core::cell::RefCell;
use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wavetank_api::json::Value;

use wavetank_api::kinds::KINDS;
use wavetank_api::{Guards, KindId, Revision, Time};
use wavetank_store::{Event, Key, KeyValue, Range, prefix_end};

use crate::object::{Object, decode};
use crate::ring::{Change, Expired, Ring};
use crate::strategy::View;
use crate::trees::Trees;

/// Below this lie allocated cluster IPs and node ports: one key each.
pub(crate) const RANGES: &str = "/registry/ranges/";

/// All kinds at one revision.
#[derive(Debug)]
pub(crate) struct Cache {
    revision: Revision,
    /// Whether there has been a first `sync`.
    ready: bool,
    /// Indexed by `KindId`; kinds that are stored as others stay empty.
    kinds: Vec<KindCache>,
    /// Keys below [`RANGES`].
    allocated: BTreeSet<Key>,
    /// Decoded objects, for the writes that come next.
    trees: RefCell<Trees>,
    guards: Guards,
}

#[derive(Debug, Default)]
struct KindCache {
    objects: BTreeMap<Key, Arc<Object>>,
    ring: Ring,
}

/// What a list found: at most `limit` objects, and how many more there are.
#[derive(Debug)]
pub(crate) struct Page {
    /// In order of keys.
    pub objects: Vec<Arc<Object>>,
    /// Whether objects were left out because of the limit.
    pub more: bool,
}

/// Which objects of a kind a list or watch is about, before selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The kind, as stored.
    pub kind: KindId,
    /// Only this namespace, unless empty.
    pub namespace: String,
}

impl Cache {
    pub fn new(guards: Guards) -> Self {
        let kinds = KINDS.iter().map(|_| KindCache::default()).collect();
        Cache {
            revision: Revision(0),
            ready: false,
            kinds,
            allocated: BTreeSet::new(),
            trees: RefCell::default(),
            guards,
        }
    }

    /// The revision whose state this is.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether it has been filled.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Replaces everything. False, and nothing done, when the snapshot is older than the cache.
    pub fn sync(&mut self, snapshot: &Range) -> bool {
        if self.ready && snapshot.revision < self.revision {
            return false;
        }
        self.ready = true;
        self.revision = snapshot.revision;
        self.allocated.clear();
        self.trees = RefCell::default();
        for kind in &mut self.kinds {
            kind.objects.clear();
            kind.ring.reset(snapshot.revision);
        }
        for kv in &snapshot.kvs {
            if kv.key.starts_with(RANGES) {
                self.allocated.insert(kv.key.clone());
                continue;
            }
            let Some((kind, ..)) = KindId::of_key(&kv.key) else {
                continue;
            };
            let Some(object) = Object::read(kind, kv.clone()) else {
                continue;
            };
            if let Some(cache) = self.kinds.get_mut(kind as usize) {
                cache.objects.insert(kv.key.clone(), Arc::new(object));
            }
        }
        true
    }

    /// Takes one event of the store; answers the change it makes to a kind, if any.
    pub fn apply(&mut self, event: &Event) -> Option<(KindId, Change)> {
        if event.key.starts_with(RANGES) {
            match &event.now {
                Some(kv) => self.allocated.insert(kv.key.clone()),
                None => self.allocated.remove(&event.key),
            };
            return None;
        }
        let (kind, ..) = KindId::of_key(&event.key)?;
        let cache = self.kinds.get_mut(kind as usize)?;
        let trees = self.trees.get_mut();
        let read = |kv: &Arc<KeyValue>| match trees.get(kv) {
            Some(tree) => {
                debug_assert_eq!(Some(&**tree), decode(&kv.value, kv.mod_revision).as_ref());
                Some(Object::from_value(kind, kv.clone(), tree))
            }
            None => Object::read(kind, kv.clone()),
        };
        let now = event.now.as_ref().and_then(read).map(Arc::new);
        let before = match &now {
            Some(object) => cache.objects.insert(object.kv.key.clone(), object.clone()),
            None => cache.objects.remove(&event.key),
        };
        let change = Change {
            revision: event.revision,
            now,
            before,
        };
        change.object()?;
        cache.ring.push(change.clone());
        Some((kind, change))
    }

    /// Everything up to here has been applied.
    pub fn advance(&mut self, upto: Revision) {
        self.revision = self.revision.max(upto);
    }

    /// One object.
    pub fn get(&self, kind: KindId, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        let kind = kind.stored_as();
        self.kinds
            .get(kind as usize)?
            .objects
            .get(kind.key(namespace, name).as_str())
    }

    /// All objects in scope, in order of keys.
    pub fn objects(&self, scope: &Scope) -> impl Iterator<Item = &Arc<Object>> {
        self.objects_after(scope, None).map(|(_, object)| object)
    }

    /// How many objects are in scope.
    pub fn count(&self, scope: &Scope) -> usize {
        match scope.namespace.is_empty() {
            true => self
                .kinds
                .get(scope.kind as usize)
                .map_or(0, |cache| cache.objects.len()),
            false => self.objects(scope).count(),
        }
    }

    fn objects_after<'a>(
        &'a self,
        scope: &Scope,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Object>)> {
        let prefix = scope.kind.namespace_prefix(&scope.namespace);
        let end = prefix_end(&prefix).unwrap_or_default();
        let start = match after.filter(|after| **after > *prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix.as_str()),
        };
        let is_empty = after.is_some_and(|after| *after >= *end);
        let bounds = (start, Bound::Excluded(end.as_str()));
        let objects = self
            .kinds
            .get(scope.kind as usize)
            .map(|cache| &cache.objects);
        objects
            .filter(|_| !is_empty)
            .map(|objects| objects.range::<str, _>(bounds))
            .into_iter()
            .flatten()
    }

    // ANCHOR: page
    /// A list at `revision`: the objects after key `after` that `wanted` accepts, `limit` at most
    /// (0: all). Recent changes are undone from the ring, so that every page of one list shows the
    /// same revision.
    pub fn page(
        &self,
        scope: &Scope,
        revision: Revision,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(&Object) -> bool,
    ) -> Result<Page, Expired> {
        let ring = self.kinds.get(scope.kind as usize).map(|cache| &cache.ring);
        let then = ring.map_or(Ok(BTreeMap::new()), |ring| ring.undo(revision, self.guards))?;
        let prefix = scope.kind.namespace_prefix(&scope.namespace);
        let in_range = |key: &str| key.starts_with(&prefix) && after.is_none_or(|a| key > a);
        let now = self
            .objects_after(scope, after)
            .filter(|(key, _)| !then.contains_key(*key));
        let then = then.iter().filter(|(key, _)| in_range(key));
        let then = then.filter_map(|(key, object)| Some((key, object.as_ref()?)));
        let mut page = Page {
            objects: Vec::new(),
            more: false,
        };
        let both = Merge {
            left: now.peekable(),
            right: then.peekable(),
        };
        for (_, object) in both {
            if !wanted(object) {
                continue;
            }
            if limit > 0 && page.objects.len() == limit {
                page.more = true;
                break;
            }
            page.objects.push(object.clone());
        }
        Ok(page)
    }
    // ANCHOR_END: page

    /// The changes of a kind after `revision`, in order.
    pub fn since(
        &self,
        kind: KindId,
        revision: Revision,
    ) -> Result<impl Iterator<Item = &Change>, Expired> {
        let ring = self
            .kinds
            .get(kind as usize)
            .map(|cache| cache.ring.since(revision, self.guards));
        Ok(ring.transpose()?.into_iter().flatten())
    }

    /// A version in decoded form; `None` for bytes that are no object.
    pub fn tree(&self, kv: &KeyValue) -> Option<Arc<Value>> {
        let mut trees = self.trees.borrow_mut();
        if let Some(tree) = trees.get(kv) {
            return Some(tree.clone());
        }
        let tree = Arc::new(decode(&kv.value, kv.mod_revision)?);
        trees.remember(&kv.key, kv.mod_revision, tree.clone());
        Some(tree)
    }

    /// Keeps what was just written in decoded form: the next write begins from there.
    pub fn remember(&self, key: &Key, revision: Revision, tree: Value, now: Time) {
        let mut trees = self.trees.borrow_mut();
        trees.pass(now);
        trees.remember(key, revision, Arc::new(tree));
    }

    /// Whether an address or port is taken: whether the key below [`RANGES`] exists.
    pub fn is_allocated(&self, key: &str) -> bool {
        self.allocated.contains(key)
    }
}

/// Two iterators in order of keys, as one.
struct Merge<L: Iterator, R: Iterator> {
    left: core::iter::Peekable<L>,
    right: core::iter::Peekable<R>,
}

impl<K: Ord, V, L: Iterator<Item = (K, V)>, R: Iterator<Item = (K, V)>> Iterator for Merge<L, R> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        match (self.left.peek(), self.right.peek()) {
            (Some((left, _)), Some((right, _))) if right < left => self.right.next(),
            (Some(_), _) => self.left.next(),
            (None, _) => self.right.next(),
        }
    }
}

impl View for Cache {
    fn object(&self, kind: KindId, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.tree(&self.get(kind, namespace, name)?.kv)
    }

    fn objects(&self, kind: KindId, namespace: &str) -> Vec<Arc<Value>> {
        let scope = Scope {
            kind: kind.stored_as(),
            namespace: namespace.to_string(),
        };
        Cache::objects(self, &scope)
            .filter_map(|object| self.tree(&object.kv))
            .collect()
    }
}
