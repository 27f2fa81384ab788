//! Reads our tables of facts: how fields merge, and what Go calls their types.
//!
//! The tables are text beside this file, because they are data that a reader wants to scan and a
//! maintainer wants to compare with upstream's `types.go`. They name types in short:
//! `core.v1.Pod` for `io.k8s.api.core.v1.Pod`.
//!
//! Book: `book/src/ground/wire.md`.

use std::collections::BTreeMap;

use super::{Merge, MergeKey, Patch};

static MERGE: &str = include_str!("merge.txt");
static GO_TYPES: &str = include_str!("gotypes.txt");

/// What the tables say of one field. The default is what holds for fields they do not name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fact {
    pub merge: Option<Merge>,
    pub patch: Patch,
    pub go_type: &'static str,
}

/// The tables, by short type name and field.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub atomic: Vec<&'static str>,
    pub fields: BTreeMap<(&'static str, &'static str), Fact>,
}

impl Facts {
    pub(super) fn read() -> Self {
        let mut facts = Facts::default();
        facts.read_merge();
        facts.read_go_types();
        facts
    }

    pub(super) fn of(&self, short: &str, field: &str) -> Fact {
        self.fields
            .get(&(short, field))
            .cloned()
            .unwrap_or_default()
    }

    fn read_merge(&mut self) {
        let mut owner = "";
        for line in lines(MERGE) {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            let second = words.next().unwrap_or_default();
            if !line.starts_with(' ') {
                owner = first;
                if second == "atomic" {
                    self.atomic.push(owner);
                }
                continue;
            }
            let fact = self.fields.entry((owner, first)).or_default();
            fact.merge = merge(second);
            fact.patch = patch(words.next().unwrap_or_default());
        }
    }

    fn read_go_types(&mut self) {
        for line in lines(GO_TYPES) {
            let Some((owner, pairs)) = line.split_once(": ") else {
                continue;
            };
            for (field, name) in pairs.split(' ').filter_map(|pair| pair.split_once('=')) {
                self.fields.entry((owner, field)).or_default().go_type = name;
            }
        }
    }
}

/// `core.v1.Pod` for `io.k8s.api.core.v1.Pod`, `meta.v1.Time` for
/// `io.k8s.apimachinery.pkg.apis.meta.v1.Time`.
pub(crate) fn short(definition: &str) -> &str {
    definition
        .strip_prefix("io.k8s.apimachinery.pkg.apis.")
        .or_else(|| definition.strip_prefix("io.k8s.api."))
        .unwrap_or(definition)
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn merge(word: &'static str) -> Option<Merge> {
    match word {
        "atomic" => Some(Merge::Atomic),
        "set" => Some(Merge::Set),
        _ => {
            let keys = word.strip_prefix("map(")?.strip_suffix(')')?;
            let key = |key: &'static str| match key.split_once('=') {
                Some((name, default)) => MergeKey {
                    name,
                    default: Some(default),
                },
                None => MergeKey {
                    name: key,
                    default: None,
                },
            };
            Some(Merge::Keyed(keys.split(',').map(key).collect()))
        }
    }
}

fn patch(word: &'static str) -> Patch {
    let mut patch = Patch::default();
    for part in word.split('+') {
        match part {
            "" => {}
            "merge" => patch.merge = true,
            "retainKeys" => patch.retain_keys = true,
            keyed => {
                patch.merge = true;
                patch.key = keyed
                    .strip_prefix("merge(")
                    .and_then(|k| k.strip_suffix(')'));
            }
        }
    }
    patch
}
