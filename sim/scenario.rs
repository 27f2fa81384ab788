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

use core::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;
use thiserror::Error;
use wavetank_api::json::Value;

use wavetank_api::kinds::KindId;

/// A whole scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, for a person.
    #[serde(default)]
    pub about: String,
    /// The cluster at the start.
    #[serde(default)]
    pub cluster: ClusterSpec,
    /// What is done, in any order; each has its time.
    #[serde(default)]
    pub steps: Vec<Spanned<Step>>,
    /// What must hold.
    #[serde(default)]
    pub checks: Vec<Spanned<Check>>,
    /// How long the run lasts.
    pub until: Span,
}

/// Nodes and control plane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// Number of nodes, named `node-0`, `node-1`, …
    pub nodes: u32,
    /// Zones, given to the nodes in turn; none: no zone label.
    pub zones: Vec<String>,
    /// CPU of each node, a quantity.
    pub cpu: String,
    /// Memory of each node, a quantity.
    pub memory: String,
    /// Most pods of each node.
    pub pods: u32,
    /// API servers on the one store; components are spread over them.
    pub apiservers: u32,
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
        }
    }
}

// ANCHOR: step
/// One thing done to the cluster; exactly one of the fields beside `at`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// When.
    pub at: Span,
    /// Objects to create, in order.
    pub create: Vec<Value>,
    /// A merge patch of one object.
    pub patch: Option<Patch>,
    /// An object to delete: `deployments.apps/default/web`.
    pub delete: Option<String>,
    /// A process to kill: a node by name, an API server (`apiserver-1`), `scheduler`
    /// or `controller-manager`. A node loses its containers with it.
    pub fail: Option<String>,
    /// A process to start again.
    pub recover: Option<String>,
    /// A process to cut off from the network.
    pub cut: Option<String>,
    /// A process to join again.
    pub heal: Option<String>,
    /// An API server whose watch cache is to lag.
    pub lag: Option<Lag>,
}
// ANCHOR_END: step

/// How far an API server's watch cache lags behind the store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lag {
    /// Which: `apiserver-1`.
    pub of: String,
    /// How much longer than usual each change takes to reach it; `0s` ends it.
    pub by: Span,
}

/// A merge patch (RFC 7386) of one object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Which: `deployments.apps/default/web`.
    pub object: String,
    /// The patch.
    pub merge: Value,
}

/// Something that must hold at a time, or be true once before it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Check {
    /// Must hold exactly then.
    pub at: Option<Span>,
    /// Must hold at some whole second up to then.
    pub by: Option<Span>,
    /// Counts objects of this resource: `pods`, `deployments.apps`.
    pub count: Option<String>,
    /// Counts only objects of this namespace.
    pub namespace: Option<String>,
    /// Counts only objects whose labels match.
    pub selector: Option<String>,
    /// Counts only objects whose field has this value: `status.phase=Running`.
    pub field: Option<String>,
    /// Reads one object instead: `deployments.apps/default/web`; `field` then names the field.
    pub object: Option<String>,
    /// What the count or the field must be.
    pub equals: Value,
}

/// A span of time in a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map(Span).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is not a span such as 90s, 1h30m or 250ms"
            ))
        })
    }
}

/// Reads `1h30m`: whole numbers with the units h, m, s and ms; `None` for other text.
pub fn parse_span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(u32::try_from(number).ok()?)?)?;
        rest = &rest[end..];
    }
    Some(total)
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
        let scenario: Scenario = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| ScenarioError::Malformed(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        if self.cluster.apiservers == 0 {
            return Err(impossible(1, "cluster.apiservers", "at least one"));
        }
        for (at, step) in self.steps.iter().enumerate() {
            let line = step.defined.line();
            self.check_step(&step.value).map_err(|(field, what)| {
                let field = if field.is_empty() {
                    String::new()
                } else {
                    format!(".{field}")
                };
                impossible(line, format!("steps[{at}]{field}"), what)
            })?;
        }
        for (at, check) in self.checks.iter().enumerate() {
            check.value.well_formed().map_err(|(field, what)| {
                impossible(check.defined.line(), format!("checks[{at}].{field}"), what)
            })?;
        }
        Ok(())
    }

    fn check_step(&self, step: &Step) -> Result<(), (&'static str, String)> {
        let actions = usize::from(!step.create.is_empty())
            + usize::from(step.patch.is_some())
            + usize::from(step.delete.is_some())
            + usize::from(step.fail.is_some())
            + usize::from(step.recover.is_some())
            + usize::from(step.cut.is_some())
            + usize::from(step.heal.is_some())
            + usize::from(step.lag.is_some());
        if actions != 1 {
            let one_of = "one of create, patch, delete, fail, recover, cut, heal, lag";
            return Err(("", format!("exactly {one_of}; here are {actions}")));
        }
        for object in &step.create {
            manifest_kind(object).map_err(|what| ("create", what))?;
        }
        if let Some(patch) = &step.patch {
            ObjectName::parse(&patch.object).map_err(|what| ("patch.object", what))?;
        }
        if let Some(name) = &step.delete {
            ObjectName::parse(name).map_err(|what| ("delete", what))?;
        }
        let processes = [
            ("fail", &step.fail),
            ("recover", &step.recover),
            ("cut", &step.cut),
            ("heal", &step.heal),
        ];
        if let Some(lag) = &step.lag
            && self.server_number(&lag.of).is_none()
        {
            return Err(("lag.of", format!("no API server {:?}", lag.of)));
        }
        for (field, name) in processes {
            let is_server = name
                .as_deref()
                .and_then(|n| self.server_number(n))
                .is_some();
            if is_server && matches!(field, "fail" | "recover") {
                continue;
            }
            if let Some(name) = name {
                self.check_process(name).map_err(|what| (field, what))?;
            }
        }
        Ok(())
    }

    /// The number in `apiserver-1`, if there is such a server.
    fn server_number(&self, name: &str) -> Option<usize> {
        server_number(name).filter(|number| *number < self.cluster.apiservers as usize)
    }

    fn check_process(&self, name: &str) -> Result<(), String> {
        if name == "scheduler" || name == "controller-manager" {
            return Ok(());
        }
        let number = name
            .strip_prefix("node-")
            .and_then(|n| n.parse::<u32>().ok());
        match (number, self.cluster.nodes) {
            (Some(number), nodes) if number < nodes => Ok(()),
            (_, 0) => Err(format!("no process {name:?}; the cluster has no nodes")),
            (_, nodes) => Err(format!(
                "no process {name:?}; there are scheduler, controller-manager and node-0 to \
                 node-{}",
                nodes - 1
            )),
        }
    }
}

/// The number in `apiserver-1`.
pub(crate) fn server_number(name: &str) -> Option<usize> {
    name.strip_prefix("apiserver-")?.parse().ok()
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

/// The kind of a manifest.
pub(crate) fn manifest_kind(object: &Value) -> Result<KindId, String> {
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    KindId::by_kind(api_version, kind)
        .ok_or_else(|| format!("no matches for kind {kind:?} in version {api_version:?}"))
}

/// The kind of a resource name: `pods`, `deployments.apps`.
pub(crate) fn resource_kind(resource: &str) -> Result<KindId, String> {
    KindId::all()
        .find(|kind| kind.info().group_resource() == resource)
        .ok_or_else(|| {
            format!("no resource {resource:?} (write plural.group, as deployments.apps)")
        })
}

/// One object in a scenario: `pods/default/web-0`, `nodes/node-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Its kind.
    pub kind: KindId,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    /// Reads `resource/namespace/name`, or `resource/name` for cluster-scoped kinds.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let kind = resource_kind(parts.next().unwrap_or_default())?;
        let rest: Vec<&str> = parts.collect();
        let (namespace, name) = match (kind.info().namespaced, rest.as_slice()) {
            (true, [namespace, name]) => (*namespace, *name),
            (false, [name]) => ("", *name),
            (true, _) => return Err(format!("{text:?} is not resource/namespace/name")),
            (false, _) => return Err(format!("{text:?} is not resource/name")),
        };
        Ok(ObjectName {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Where it is stored.
    pub fn key(&self) -> String {
        self.kind.key(&self.namespace, &self.name)
    }

    /// Where the API serves it.
    pub fn path(&self) -> String {
        format!(
            "{}/{}",
            collection_path(self.kind, &self.namespace),
            self.name
        )
    }
}

/// Where the API serves the objects of a kind: of one namespace, or of all when it is empty.
pub(crate) fn collection_path(kind: KindId, namespace: &str) -> String {
    let info = kind.info();
    let root = info.root_path();
    if info.namespaced && !namespace.is_empty() {
        format!("{root}/namespaces/{namespace}/{}", info.plural)
    } else {
        format!("{root}/{}", info.plural)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_go_writes_them() {
        assert_eq!(parse_span("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_span("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "5", "s", "5 s", "-1s", "1d", "99999999999999h"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }

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
                "until: 5m\nsteps:\n  - {at: 1s, delete: pods/web}",
                "is not resource/namespace/name",
            ),
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
}
