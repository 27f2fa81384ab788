//! Gives every namespace its ServiceAccount `default`.
//!
//! Upstream: `pkg/controller/serviceaccount/serviceaccounts_controller.go`. Admission puts this
//! account on every pod that names none, so no pod can be created before it exists.
//!
//! 1. A namespace that is not being deleted has a ServiceAccount `default` within one reconcile.
//!
//! Book: `book/src/controllers/small.md`.

use serde_json::json;

use wavetank_api::{KindId, Time};
use wavetank_informer::Key;
use wavetank_informer::executor::{Outcome, Plan};
use wavetank_informer::queue::Queue;

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{Informers, News};

/// The account's name.
const NAME: &str = "default";

/// See the file's header.
pub struct ServiceAccountController;

impl Controller for ServiceAccountController {
    type Key = Key;
    type Memory = ();

    fn name(&self) -> &'static str {
        "serviceaccount-controller"
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
            News::ServiceAccount(change) if change.is_deleted() => {
                let meta = &change.object().meta;
                if &*meta.name == NAME {
                    keys.add(
                        Key::cluster(meta.namespace.clone()),
                        "service account was deleted",
                    );
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cx: &mut Context<'_>) -> Step<()> {
        let Some(namespace) = cx.world.namespaces.cache().get(key) else {
            return Step::Done;
        };
        let account = Key::new(key.name.clone(), NAME);
        let exists = cx.world.service_accounts.cache().get(&account).is_some();
        if namespace.meta.is_terminating() || exists {
            return Step::Done;
        }
        let object = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": NAME, "namespace": &*key.name },
        });
        let create = cx.client.create(KindId::ServiceAccount, &key.name, &object);
        Step::Plan(Plan::one(create), ())
    }

    fn resume(&mut self, _: &Key, (): (), answers: Answers, _: &mut Context<'_>) -> Step<()> {
        let written = answers.written();
        let there = written.iter().all(|write| match &write.outcome {
            Outcome::Refused(error) => {
                error.is_already_exists() || error.is_namespace_terminating()
            }
            outcome => outcome.is_done(),
        });
        if there {
            return Step::Done;
        }
        Step::Retry(first_error(&written).unwrap_or_default())
    }
}
