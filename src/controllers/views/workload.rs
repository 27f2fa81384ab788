//! What controllers read of ReplicaSets and Deployments.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use wavetank_api::selector::LabelSelector;
use wavetank_informer::View;

use super::{Condition, null_is_default};

fn nothing() -> LabelSelector {
    LabelSelector::NOTHING
}

/// A pod template as it is written: what is not a label stays JSON, to be copied into pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Template(pub Arc<Value>);

impl Template {
    /// The labels that pods get.
    pub fn labels(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        let labels = self.0["metadata"]["labels"].as_object();
        let labels = labels.into_iter().flatten();
        let text =
            |(key, value): (&String, &Value)| Some((key.as_str().into(), value.as_str()?.into()));
        labels.filter_map(text).collect()
    }
}

/// A label selector, and how it is written: a Deployment writes it into its replica sets, with one
/// label more.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub struct WrittenSelector {
    /// What it selects.
    pub selector: LabelSelector,
    /// Its object form.
    pub json: Arc<Value>,
}

impl Default for WrittenSelector {
    fn default() -> Self {
        WrittenSelector {
            selector: LabelSelector::NOTHING,
            json: Arc::default(),
        }
    }
}

impl TryFrom<Value> for WrittenSelector {
    type Error = wavetank_api::selector::Error;

    fn try_from(json: Value) -> Result<Self, Self::Error> {
        Ok(WrittenSelector {
            selector: LabelSelector::from_value(&json)?,
            json: json.into(),
        })
    }
}

/// A ReplicaSet (`k8s.io/api/apps/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ReplicaSet {
    pub spec: ReplicaSetSpec,
    pub status: ReplicaSetStatus,
}

impl View for ReplicaSet {}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ReplicaSetSpec {
    pub replicas: i64,
    pub min_ready_seconds: u64,
    pub selector: LabelSelector,
    pub template: Template,
}

impl Default for ReplicaSetSpec {
    fn default() -> Self {
        ReplicaSetSpec {
            replicas: 1,
            min_ready_seconds: 0,
            selector: nothing(),
            template: Template::default(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ReplicaSetStatus {
    pub replicas: i64,
    pub fully_labeled_replicas: i64,
    pub ready_replicas: i64,
    pub available_replicas: i64,
    pub observed_generation: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
}

/// A Deployment (`k8s.io/api/apps/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Deployment {
    pub spec: DeploymentSpec,
    pub status: DeploymentStatus,
}

impl View for Deployment {}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct DeploymentSpec {
    pub replicas: i64,
    pub min_ready_seconds: u64,
    pub selector: WrittenSelector,
    pub template: Template,
    pub strategy: Strategy,
    pub paused: bool,
    pub revision_history_limit: Option<usize>,
    pub progress_deadline_seconds: Option<u64>,
}

impl Default for DeploymentSpec {
    fn default() -> Self {
        DeploymentSpec {
            replicas: 1,
            min_ready_seconds: 0,
            selector: WrittenSelector::default(),
            template: Template::default(),
            strategy: Strategy::default(),
            paused: false,
            revision_history_limit: None,
            progress_deadline_seconds: None,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Strategy {
    pub r#type: Arc<str>,
    pub rolling_update: Option<RollingUpdate>,
}

/// Numbers, or percentages as text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct RollingUpdate {
    pub max_surge: Value,
    pub max_unavailable: Value,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct DeploymentStatus {
    pub observed_generation: i64,
    pub replicas: i64,
    pub updated_replicas: i64,
    pub ready_replicas: i64,
    pub available_replicas: i64,
    pub unavailable_replicas: i64,
    pub collision_count: Option<u32>,
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
}
