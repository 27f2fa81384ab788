//! Node selectors: the requirements that a node's labels (or its name) must meet.
//!
//! `spec.nodeSelector` and both halves of `spec.affinity.nodeAffinity` become [`NodeSelector`]s
//! when a pod is decoded; the plugin NodeAffinity asks whether a node matches.
//!
//! 1. Terms are alternatives, requirements within a term are all needed, an empty term matches
//!    nothing.
//!
//! Upstream: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::sync::Arc;

use serde::Deserialize;

use crate::node::Node;

/// How a requirement compares (`v1.NodeSelectorOperator`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

/// One requirement on one key (`v1.NodeSelectorRequirement`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Requirement {
    pub key: Arc<str>,
    pub operator: Operator,
    #[serde(default)]
    pub values: Vec<Arc<str>>,
}

impl Requirement {
    /// Whether a value (`None`: the key is absent) meets the requirement.
    ///
    /// `NotIn` holds for an absent key; `Gt` and `Lt` compare as decimal integers and hold only
    /// when both sides are.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v.as_ref() == value);
        let bound = || self.values.first().and_then(|v| v.parse::<i64>().ok());
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => number()
                .zip(bound())
                .is_some_and(|(value, bound)| value > bound),
            Operator::Lt => number()
                .zip(bound())
                .is_some_and(|(value, bound)| value < bound),
        }
    }
}

/// Requirements that must all hold (`v1.NodeSelectorTerm`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Term {
    /// On labels.
    pub match_expressions: Vec<Requirement>,
    /// On fields; the API allows `metadata.name` only.
    pub match_fields: Vec<Requirement>,
}

impl Term {
    /// Whether the node meets every requirement; an empty term matches no node.
    pub fn matches(&self, node: &Node) -> bool {
        let field =
            |r: &Requirement| r.key.as_ref() == "metadata.name" && r.holds(Some(&node.name));
        let label = |r: &Requirement| r.holds(node.labels.get(&r.key).map(|v| v.as_ref()));
        let is_empty = self.match_expressions.is_empty() && self.match_fields.is_empty();
        !is_empty && self.match_fields.iter().all(field) && self.match_expressions.iter().all(label)
    }

    /// The node names this term is limited to, or `None` when it is not limited by name.
    pub fn node_names(&self) -> Option<Vec<Arc<str>>> {
        let mut names: Option<Vec<Arc<str>>> = None;
        for requirement in &self.match_fields {
            if requirement.key.as_ref() != "metadata.name" || requirement.operator != Operator::In {
                continue;
            }
            match &mut names {
                None => names = Some(requirement.values.clone()),
                Some(names) => names.retain(|name| requirement.values.contains(name)),
            }
        }
        names
    }
}

/// Alternatives (`v1.NodeSelector`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector {
    /// A node matches when one of these does.
    #[serde(default)]
    pub node_selector_terms: Vec<Term>,
}

impl NodeSelector {
    /// Whether one of the terms matches.
    pub fn matches(&self, node: &Node) -> bool {
        self.node_selector_terms
            .iter()
            .any(|term| term.matches(node))
    }
}

/// A term that earns a node points (`v1.PreferredSchedulingTerm`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Preference {
    /// 1 to 100.
    pub weight: i64,
    /// What the node must match to earn them.
    pub preference: Term,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_hold_as_documented() {
        use Operator::*;
        let rows: [(Operator, &[&str], Option<&str>, bool); 12] = [
            (In, &["a", "b"], Some("b"), true),
            (In, &["a"], None, false),
            (NotIn, &["a"], Some("a"), false),
            (NotIn, &["a"], None, true),
            (Exists, &[], Some(""), true),
            (Exists, &[], None, false),
            (DoesNotExist, &[], None, true),
            (DoesNotExist, &[], Some("x"), false),
            (Gt, &["3"], Some("4"), true),
            (Gt, &["3"], Some("x"), false),
            (Lt, &["3"], Some("2"), true),
            (Lt, &["3"], None, false),
        ];
        for (operator, values, value, expected) in rows {
            let values = values.iter().map(|v| Arc::from(*v)).collect();
            let requirement = Requirement {
                key: "k".into(),
                operator,
                values,
            };
            assert_eq!(
                requirement.holds(value),
                expected,
                "{requirement:?} on {value:?}"
            );
        }
    }
}
