//! Publishes the cluster's CA certificate into every namespace, for pods to trust the API server.
//!
//! Upstream: `pkg/controller/certificates/rootcacertpublisher/publisher.go`.
//!
//! 1. In a namespace that is not being deleted, ConfigMap `kube-root-ca.crt` holds the CA.
//!
//! Book: `book/src/controllers/small.md`.

use std::sync::Arc;

use serde_json::{Value, json};

use wavetank_api::{KindId, Time};
use wavetank_informer::Key;
use wavetank_informer::client::Patch;
use wavetank_informer::executor::{Outcome, Plan};
use wavetank_informer::queue::Queue;

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{Informers, News};

/// The ConfigMap's name, and the key in it.
const NAME: &str = "kube-root-ca.crt";
const FIELD: &str = "ca.crt";

/// See the file's header.
pub struct RootCaPublisher {
    /// The certificate, PEM.
    pub root_ca: Arc<str>,
}

impl Controller for RootCaPublisher {
    type Key = Key;
    type Memory = ();

    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Namespace
    }

    fn workers(&self) -> usize {
        5
    }

    fn observe(&mut self, news: &News, _: &Informers, _: Time, keys: &mut Queue<Key>) {
        match news {
            News::Namespace(change) if !change.is_deleted() => {
                keys.add(change.object().key(), "namespace changed");
            }
            News::ConfigMap(change) if &*change.object().meta.name == NAME => {
                let namespace = change.object().meta.namespace.clone();
                keys.add(Key::cluster(namespace), "its CA config map changed");
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cx: &mut Context<'_>) -> Step<()> {
        let Some(namespace) = cx.world.namespaces.cache().get(key) else {
            return Step::Done;
        };
        if namespace.meta.is_terminating() {
            return Step::Done;
        }
        let name = Key::new(key.name.clone(), NAME);
        let write = match cx.world.config_maps.cache().get(&name) {
            None => cx
                .client
                .create(KindId::ConfigMap, &key.name, &self.config_map(key)),
            Some(map)
                if map
                    .view
                    .data
                    .get(FIELD)
                    .is_some_and(|pem| **pem == *self.root_ca) =>
            {
                return Step::Done;
            }
            Some(map) => {
                let patch = json!({
                    "metadata": { "uid": &*map.meta.uid.0 },
                    "data": { FIELD: &*self.root_ca },
                });
                cx.client
                    .patch(KindId::ConfigMap, &name, "", Patch::Merge, &patch)
            }
        };
        Step::Plan(Plan::one(write), ())
    }

    fn resume(&mut self, _: &Key, (): (), answers: Answers, _: &mut Context<'_>) -> Step<()> {
        let written = answers.written();
        let ended = written.iter().all(|write| match &write.outcome {
            Outcome::Refused(error) => error.is_namespace_terminating(),
            outcome => outcome.is_done(),
        });
        if ended {
            return Step::Done;
        }
        Step::Retry(first_error(&written).unwrap_or_default())
    }
}

impl RootCaPublisher {
    fn config_map(&self, key: &Key) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": &*key.name,
                "annotations": {
                    "kubernetes.io/description":
                        "Contains a CA bundle that can be used to verify the kube-apiserver when \
                         using internal endpoints such as the internal service IP or \
                         kubernetes.default.svc. No other usage is guaranteed across distributions \
                         of Kubernetes clusters.",
                },
            },
            "data": { FIELD: &*self.root_ca },
        })
    }
}
