//! The caches that all controllers share: one per kind, filled once for everybody.
//!
//! The manager passes inputs on and gives the news to every controller; a controller reads the
//! caches while it decides. A new kind is one line of the table below and a view.
//!
//! 1. When news of a change is told, the caches show the change.
//! 2. No controller decides before every cache has had its first list.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::sync::Arc;

use wavetank_api::{KindId, Meta, Revision, Time, Uid};
use wavetank_informer::barrier::Caches;
use wavetank_informer::cache::{OWNERS, UID, owners, uid};
use wavetank_informer::reflector::Config;
use wavetank_informer::view::HeaderOnly;
use wavetank_informer::{
    CallIds, Change, Client, Guards, Input, Key, Nothing, Object, Output, Reflector,
};

use crate::views::{
    ConfigMap, Deployment, EndpointSlice, Endpoints, Lease, Namespace, Node, Pod, ReplicaSet,
    Service,
};

/// Index of pods by `spec.nodeName`.
pub const BY_NODE: &str = "node";
/// Index of pods and replica sets that have no controller, by namespace.
pub const ORPHANS: &str = "orphans";

/// Writes the struct of caches, the enum of news and what treats all kinds alike, from one table:
/// field, view, kind.
macro_rules! informers {
    ($($field:ident: $view:ty => $kind:ident,)*) => {
        /// A cache per kind.
        #[allow(missing_docs, reason = "the names are those of the kinds")]
        pub struct Informers {
            $(pub $field: Reflector<Object<$view>>,)*
        }

        /// One change of one cache.
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "the names are those of the kinds")]
        pub enum News {
            $($kind(Change<Object<$view>>),)*
        }

        impl Informers {
            /// Caches that have not started.
            pub fn new(client: &Client, seed: u64, guards: Guards) -> Self {
                let of = |kind: KindId| {
                    let seed = seed.wrapping_add(kind as u64 * 2);
                    Config::all(kind, client, seed, guards)
                };
                Informers {
                    $($field: Reflector::new(of(KindId::$kind)).with_index(OWNERS, owners),)*
                }
            }

            /// Passes an input to every cache; what changed.
            pub fn handle(
                &mut self,
                input: &Input<Nothing>,
                now: Time,
                ids: &mut CallIds,
                out: &mut Vec<Output<Nothing>>,
            ) -> Vec<News> {
                let mut news = Vec::new();
                $(
                    let changes = self.$field.handle(input, now, ids, out);
                    news.extend(changes.into_iter().map(News::$kind));
                )*
                news
            }

            /// Whether every cache has had its first list.
            pub fn is_synced(&self) -> bool {
                true $(&& self.$field.cache().is_synced())*
            }

            /// When a cache wants to be called though nothing happened.
            pub fn next_wake(&self) -> Option<Time> {
                let times = [$(self.$field.next_wake(),)*];
                times.into_iter().flatten().min()
            }

            /// Closes all streams.
            pub fn stop(&mut self, out: &mut Vec<Output<Nothing>>) {
                $(self.$field.stop(out);)*
            }

            /// The headers of all cached objects of a kind; nothing for a kind without a cache.
            pub fn headers(&self, kind: KindId) -> Vec<&Meta> {
                match kind {
                    $(KindId::$kind => self.$field.cache().iter().map(|o| &o.meta).collect(),)*
                    _ => Vec::new(),
                }
            }

            /// The header of one object.
            pub fn header(&self, kind: KindId, key: &Key) -> Option<&Meta> {
                match kind {
                    $(KindId::$kind => self.$field.cache().get(key).map(|o| &o.meta),)*
                    _ => None,
                }
            }

            /// The objects that name this uid among their owners.
            pub fn dependents(&self, uid: &Uid) -> Vec<(KindId, Key)> {
                let mut found = Vec::new();
                $(
                    let owned = self.$field.cache().owned_by(uid);
                    found.extend(owned.map(|object| (KindId::$kind, object.key())));
                )*
                found
            }

            /// The kinds that have a cache.
            pub const KINDS: &[KindId] = &[$(KindId::$kind,)*];
        }

        impl Caches for Informers {
            fn revision(&self, kind: KindId) -> Option<Revision> {
                match kind {
                    $(KindId::$kind => Some(self.$field.cache().revision()),)*
                    _ => None,
                }
            }

            fn shows(&self, kind: KindId, key: &Key, uid: &Uid) -> bool {
                let header = self.header(kind, key);
                header.is_some_and(|meta| meta.uid == *uid && !meta.is_terminating())
            }
        }

        impl News {
            /// The kind of the changed object.
            pub fn kind(&self) -> KindId {
                match self {
                    $(News::$kind(_) => KindId::$kind,)*
                }
            }

            /// The header of its newest known revision.
            pub fn meta(&self) -> &Meta {
                match self {
                    $(News::$kind(change) => &change.object().meta,)*
                }
            }

            /// The header of the revision known before.
            pub fn old_meta(&self) -> Option<&Meta> {
                match self {
                    $(News::$kind(change) => change.old().map(|old| &old.meta),)*
                }
            }

            /// Whether the object is gone.
            pub fn is_deleted(&self) -> bool {
                match self {
                    $(News::$kind(change) => change.is_deleted(),)*
                }
            }
        }
    };
}

informers! {
    namespaces: Namespace => Namespace,
    nodes: Node => Node,
    leases: Lease => Lease,
    pods: Pod => Pod,
    replica_sets: ReplicaSet => ReplicaSet,
    deployments: Deployment => Deployment,
    services: Service => Service,
    endpoints: Endpoints => Endpoints,
    endpoint_slices: EndpointSlice => EndpointSlice,
    config_maps: ConfigMap => ConfigMap,
    secrets: HeaderOnly => Secret,
    service_accounts: HeaderOnly => ServiceAccount,
    priority_classes: HeaderOnly => PriorityClass,
}

impl Informers {
    /// The same caches with the indexes that controllers ask for.
    pub fn with_indexes(mut self) -> Self {
        self.pods = self.pods.with_index(BY_NODE, |pod| {
            let node = &pod.view.spec.node_name;
            (!node.is_empty())
                .then(|| node.clone())
                .into_iter()
                .collect()
        });
        self.pods = self.pods.with_index(ORPHANS, orphan);
        self.replica_sets = self.replica_sets.with_index(ORPHANS, orphan);
        self.replica_sets = self.replica_sets.with_index(UID, uid);
        self.deployments = self.deployments.with_index(UID, uid);
        self
    }
}

fn orphan<T>(object: &Object<T>) -> Vec<Arc<str>> {
    match object.meta.controller() {
        Some(_) => Vec::new(),
        None => vec![object.meta.namespace.clone()],
    }
}
