//! Scenario files: a cluster, what is done to it and when, and what must then hold.
//!
//! `sim run` reads one; tests and benches build the same values in Rust. Times are spans from the
//! start of the run, written as Go writes durations: `90s`, `1h30m`, `250ms`.
//!
//! ```yaml
//! cluster: { nodes: 3, zones: [a, b] }
//! steps:
//!   - at: 0s
//!     create: [{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }]
//!   - { at: 60s, fail: node-1 }
//! checks:
//!   - { by: 50s, count: nodes, equals: 3 }
//! until: 5m
//! ```
//!
//! 1. A scenario that parses names only nodes, kinds and components that exist.
//!
//! Book: `book/src/simulator/scenarios.md`.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_saphyr::Spanned;
use thiserror::Error;
use wavetank_api::guards::Guard;
use wavetank_api::json::Value;

mod name;
mod possible;
mod span;
mod step;

pub use name::ObjectName;
pub(crate) use name::{collection_path, manifest_kind, resource_kind};
pub use span::{Span, parse_span};
pub use step::{
    Action, Clock, Crash, Delay, Deletion, Everything, Exit, Move, Patch, Recreation, Requests,
    Step, Stream,
};

use crate::oracle::Invariant;

/// A whole scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Scenario {
    /// What it shows, for a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The guards that are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_guards")]
    pub without: Vec<Guard>,
    /// The invariants that must be seen broken; none: all must hold.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub breaks: BTreeSet<Invariant>,
    /// The cluster at the start.
    pub cluster: ClusterSpec,
    /// What is done, in any order; each has its time.
    pub steps: Vec<Step>,
    /// When all faults end; from then on the cluster must come to rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calm: Option<Span>,
    /// What must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// How long the run lasts.
    pub until: Span,
}

/// A scenario as it is read: with the lines of its steps and checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    #[serde(default)]
    about: String,
    #[serde(default, deserialize_with = "read_guards")]
    without: Vec<Guard>,
    #[serde(default)]
    breaks: BTreeSet<Invariant>,
    #[serde(default)]
    cluster: ClusterSpec,
    #[serde(default)]
    steps: Vec<Spanned<Step>>,
    #[serde(default)]
    calm: Option<Span>,
    #[serde(default)]
    checks: Vec<Spanned<Check>>,
    until: Span,
}

fn write_guards<S: Serializer>(guards: &[Guard], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(guards.iter().map(|guard| guard.name()))
}

fn read_guards<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Guard>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let guard = |name: &String| {
        Guard::parse(name).ok_or_else(|| serde::de::Error::custom(format!("no guard {name:?}")))
    };
    names.iter().map(guard).collect()
}

/// Nodes and control plane.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// Number of nodes, named `node-0`, `node-1`, …
    pub nodes: u32,
    /// Zones, given to the nodes in turn; none: no zone label.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// CPU of each node, a quantity.
    pub cpu: String,
    /// Memory of each node, a quantity.
    pub memory: String,
    /// Most pods of each node.
    pub pods: u32,
    /// API servers on the one store; components are spread over them.
    pub apiservers: u32,
    /// Controller managers: `controller-manager`, `controller-manager-1`, …
    pub managers: u32,
    /// Schedulers: `scheduler`, `scheduler-1`, …
    pub schedulers: u32,
    /// Whether the ReplicaSet controller counts expectations, as client-go does, instead of waiting
    /// for its caches to show its writes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expectations: bool,
    /// Whether managers and schedulers elect a leader; when absent, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election: Option<bool>,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        ClusterSpec {
            nodes: 5,
            zones: Vec::new(),
            cpu: "8".to_owned(),
            memory: "32Gi".to_owned(),
            pods: 110,
            apiservers: 1,
            managers: 1,
            schedulers: 1,
            expectations: false,
            election: None,
        }
    }
}

/// Something that must hold at a time, or be true once before it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Check {
    /// Must hold exactly then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Span>,
    /// Must hold at some whole second up to then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Span>,
    /// Counts objects of this resource: `pods`, `deployments.apps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// Counts only objects of this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Counts only objects whose labels match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Counts only objects whose field has this value: `status.phase=Running`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Reads one object instead: `deployments.apps/default/web`; `field` then names the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What the count or the field must be.
    pub equals: Value,
}

/// Why a scenario cannot be run.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Not YAML, or not of a scenario's form; the text names line, column and field.
    #[error("{0}")]
    Malformed(String),
    /// Of the right form, but it asks for something that does not exist.
    #[error("line {line}: {field}: {what}")]
    Impossible {
        /// Line of the step or check, counted from 1.
        line: u64,
        /// The field concerned: `steps[2].fail`.
        field: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Scenario {
    /// Reads and checks a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`], with line and field.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        let draft: Draft = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| ScenarioError::Malformed(error.to_string()))?;
        draft.check()?;
        Ok(Scenario {
            about: draft.about,
            without: draft.without,
            breaks: draft.breaks,
            cluster: draft.cluster,
            steps: draft.steps.into_iter().map(|step| step.value).collect(),
            calm: draft.calm,
            checks: draft.checks.into_iter().map(|check| check.value).collect(),
            until: draft.until,
        })
    }

    /// The same as text that [`Scenario::parse`] reads.
    ///
    /// # Errors
    /// When YAML cannot express it, which no scenario that was read is reason for.
    pub fn to_yaml(&self) -> Result<String, ScenarioError> {
        serde_saphyr::to_string(self).map_err(|error| ScenarioError::Malformed(error.to_string()))
    }
}

/// An object as YAML.
///
/// # Errors
/// When YAML cannot express it, which no object that was JSON is reason for.
pub fn to_yaml(value: &Value) -> Result<String, ScenarioError> {
    serde_saphyr::to_string(value).map_err(|error| ScenarioError::Malformed(error.to_string()))
}

impl Draft {
    fn check(&self) -> Result<(), ScenarioError> {
        let cluster = &self.cluster;
        let counts = [
            ("apiservers", cluster.apiservers),
            ("managers", cluster.managers),
            ("schedulers", cluster.schedulers),
        ];
        for (field, count) in counts {
            if count == 0 {
                return Err(impossible(1, format!("cluster.{field}"), "at least one"));
            }
        }
        if self.calm.is_some_and(|calm| calm > self.until) {
            return Err(impossible(1, "calm", "comes after the end of the run"));
        }
        for (at, step) in self.steps.iter().enumerate() {
            let line = step.defined.line();
            step.value
                .check(cluster)
                .map_err(|(field, what)| impossible(line, format!("steps[{at}].{field}"), what))?;
        }
        for (at, check) in self.checks.iter().enumerate() {
            check.value.well_formed().map_err(|(field, what)| {
                impossible(check.defined.line(), format!("checks[{at}].{field}"), what)
            })?;
        }
        Ok(())
    }
}

fn impossible(line: u64, field: impl Into<String>, what: impl Into<String>) -> ScenarioError {
    ScenarioError::Impossible {
        line,
        field: field.into(),
        what: what.into(),
    }
}

impl Check {
    fn well_formed(&self) -> Result<(), (&'static str, String)> {
        if self.at.is_some() == self.by.is_some() {
            return Err(("at", "exactly one of at and by".to_owned()));
        }
        match (&self.count, &self.object) {
            (Some(resource), None) => {
                resource_kind(resource).map_err(|what| ("count", what))?;
                if let Some(field) = &self.field
                    && !field.contains('=')
                {
                    return Err(("field", "with count, a condition such as a.b=c".to_owned()));
                }
                if let Some(selector) = &self.selector {
                    wavetank_api::selector::LabelSelector::parse(selector)
                        .map_err(|error| ("selector", error.to_string()))?;
                }
                Ok(())
            }
            (None, Some(object)) => {
                ObjectName::parse(object).map_err(|what| ("object", what))?;
                match &self.field {
                    Some(_) => Ok(()),
                    None => Err(("field", "with object, the field to read".to_owned())),
                }
            }
            _ => Err(("count", "exactly one of count and object".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_asks_for_the_impossible_says_where() {
        let cases = [
            ("until: 5 minutes", "is not a span"),
            ("until: 5m\nclutser: {}", "clutser"),
            (
                "until: 5m\nsteps:\n  - {at: 1s, fail: node-9}",
                "line 3: steps[0].fail: no process",
            ),
            ("until: 5m\nsteps:\n  - {at: 1s}", "here are 0"),
            (
                "until: 5m\nsteps:\n  - {at: 1s, fail: node-1, cut: node-1}",
                "here are 2",
            ),
            ("until: 5m\nsteps:\n  - {at: 1s, fial: node-1}", "fial"),
            (
                "until: 5m\nsteps:\n  - {at: 1s, delete: pods/web}",
                "is not resource/namespace/name",
            ),
            (
                "until: 5m\nsteps:\n  - {at: 1s, hold: {of: scheduler, resource: podz}}",
                "steps[0].hold.resource: no resource",
            ),
            (
                "until: 5m\nsteps:\n  - {at: 1s, for: 1m, create: []}",
                "steps[0].for: ",
            ),
            (
                "until: 5m\nsteps:\n  - {at: 1s, crash: {of: scheduler, writes: 0}}",
                "steps[0].crash.writes: ",
            ),
            ("until: 5m\ncalm: 6m", "calm: comes after"),
            ("until: 5m\nwithout: [M99]", "M99"),
            ("until: 5m\nbreaks: [C99]", "C99"),
            (
                "until: 5m\nchecks:\n  - {by: 1s, count: podz, equals: 1}",
                "checks[0].count",
            ),
            (
                "until: 5m\nsteps:\n  - {at: 1s, create: [{kind: Pod}]}",
                "no matches for kind",
            ),
        ];
        for (text, expected) in cases {
            let error = Scenario::parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_step_reads_back_as_it_was_written() {
        let text = "
without: [M03]
breaks: [C1]
cluster: { nodes: 3, apiservers: 2 }
steps:
  - { at: 1s, create: [{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }] }
  - { at: 2s, patch: { object: pods/default/web-0, merge: { metadata: null } } }
  - { at: 2s, delete: pods/default/web-0 }
  - { at: 3s, delete: { object: pods/default/web-0, grace: 0, propagation: Orphan } }
  - { at: 3s, recreate: { object: pods/default/web-0, grace: 0 } }
  - { at: 4s, for: 1m, fail: node-1 }
  - { at: 5s, crash: { of: controller-manager, writes: 2 } }
  - { at: 6s, clock: { of: node-0, ahead: 1m, drift: 50 } }
  - { at: 7s, for: 5m1s, hold: { of: controller-manager, resource: pods } }
  - { at: 8s, lose: { of: scheduler, method: POST, resource: pods/binding, times: 2 } }
  - { at: 9s, move: { of: node-2, to: apiserver-1 } }
  - { at: 9s, lag: { of: apiserver-1, by: 2s } }
  - { at: 10s, power-cut: {} }
  - { at: 11s, exit: { pod: default/web-0, code: 137 } }
calm: 1m
until: 5m
";
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.steps.len(), 14);
        let written = scenario.to_yaml().unwrap();
        let again = Scenario::parse(&written).unwrap();
        assert_eq!(again.steps, scenario.steps, "{written}");
        assert_eq!(again.to_yaml().unwrap(), written);
    }
}
