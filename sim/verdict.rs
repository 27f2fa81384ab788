//! Checks: what a scenario says must hold, looked at on the store's own state.
//!
//! Book: `book/src/simulator/scenarios.md`.

use core::time::Duration;

use wavetank_api::json::Value;

use wavetank_api::selector::LabelSelector;
use wavetank_api::{Revision, Time};
use wavetank_store::{KeyValue, ReadError};

use crate::scenario::{Check, ObjectName, resource_kind};
use crate::trace::{EventId, Mark};
use crate::world::{BEGINNING, Event, World};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Checks that held.
    pub passed: usize,
    /// What did not hold, and what the cluster refused: one sentence each.
    pub failures: Vec<String>,
}

impl Verdict {
    /// Whether everything held.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }
}

/// A check on its way to a verdict.
pub(crate) struct Watched {
    pub(crate) check: Check,
    pub(crate) outcome: Option<Result<(), String>>,
}

impl World {
    /// Looks at check `index` now, and again a second later while it may still come true.
    pub(crate) fn check(&mut self, index: usize, cause: EventId) {
        let mark = Mark {
            tag: b'v',
            who: index as u64,
            which: 0,
            bytes: &[],
        };
        self.current = self.trace.event(self.now, cause, &mark);
        let Some(watched) = self.checks.get(index) else {
            return;
        };
        let found = self.read(&watched.check);
        let held = found == watched.check.equals;
        let deadline = watched.check.by.map(|by| BEGINNING + by.0);
        let again = self.now + Duration::from_secs(1);
        let outcome = if held {
            Some(Ok(()))
        } else if deadline.is_some_and(|deadline| again <= deadline) {
            self.agenda.add(again, self.current, Event::Check(index));
            None
        } else {
            Some(Err(self.complaint(index, &watched.check, &found)))
        };
        self.checks[index].outcome = outcome;
    }

    fn complaint(&self, index: usize, check: &Check, found: &Value) -> String {
        let what = check
            .count
            .as_deref()
            .or(check.object.as_deref())
            .unwrap_or_default();
        let filters = [&check.namespace, &check.selector, &check.field];
        let filters: Vec<&str> = filters.into_iter().flatten().map(String::as_str).collect();
        let at = self.now.since(BEGINNING);
        let expected = &check.equals;
        format!(
            "check {index}: {what} {}: {found} after {}s, expected {expected}",
            filters.join(" "),
            at.as_secs()
        )
    }

    fn read(&self, check: &Check) -> Value {
        if let Some(object) = check
            .object
            .as_deref()
            .and_then(|o| ObjectName::parse(o).ok())
        {
            let found = self.object(&object.key());
            let field = check.field.as_deref().unwrap_or_default();
            return found
                .and_then(|value| lookup(&value, field).cloned())
                .unwrap_or_default();
        }
        let Some(kind) = check.count.as_deref().and_then(|c| resource_kind(c).ok()) else {
            return Value::Null;
        };
        let prefix = match &check.namespace {
            Some(namespace) => kind.namespace_prefix(namespace),
            None => kind.storage_prefix().to_owned(),
        };
        let selector = check
            .selector
            .as_deref()
            .and_then(|s| LabelSelector::parse(s).ok());
        let condition = check
            .field
            .as_deref()
            .and_then(|field| field.split_once('='));
        let all = self.range(&prefix);
        let counted = all.iter().filter(|kv| {
            let Ok(object) = serde_json::from_slice::<Value>(&kv.value) else {
                return false;
            };
            let selected = match (&selector, object.pointer("/metadata/labels")) {
                (None, _) => true,
                (Some(selector), Some(Value::Object(labels))) => selector.matches(labels),
                (Some(selector), _) => selector.matches(&wavetank_api::json::Map::new()),
            };
            let fits =
                condition.is_none_or(|(field, expected)| text(lookup(&object, field)) == expected);
            selected && fits
        });
        Value::from(counted.count())
    }

    /// An object as the store has it, decoded; nothing when there is none.
    pub fn object(&self, key: &str) -> Option<Value> {
        let found = self.disk.store.get(key, None).ok()??;
        serde_json::from_slice(&found.value).ok()
    }

    /// An object as it was at a revision, or as it is when none is named.
    ///
    /// # Errors
    /// When the store no longer holds that revision, or has not come to it.
    pub fn object_at(
        &self,
        key: &str,
        revision: Option<Revision>,
    ) -> Result<Option<Value>, ReadError> {
        let found = self.disk.store.get(key, revision)?;
        Ok(found.and_then(|kv| serde_json::from_slice(&kv.value).ok()))
    }

    /// All objects below a prefix of keys.
    pub fn range(&self, prefix: &str) -> Vec<std::sync::Arc<KeyValue>> {
        let mut end = prefix.trim_end_matches('/').to_owned();
        end.push('0'); // the byte after `/`
        let range = self.disk.store.range(prefix, Some(&end), None, 0);
        range.map(|range| range.kvs).unwrap_or_default()
    }

    /// What held and what did not.
    pub fn verdict(&self) -> Verdict {
        let mut failures = self.operator.refusals.clone();
        let mut passed = 0;
        for (index, watched) in self.checks.iter().enumerate() {
            match &watched.outcome {
                Some(Ok(())) => passed += 1,
                Some(Err(complaint)) => failures.push(complaint.clone()),
                None => failures.push(format!("check {index}: the run ended before it was due")),
            }
        }
        Verdict { passed, failures }
    }

    /// When a check is first looked at.
    pub(crate) fn first_look(check: &Check) -> Time {
        BEGINNING + check.at.map_or(Duration::from_secs(1), |at| at.0)
    }
}

fn lookup<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    field.split('.').try_fold(value, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.to_string(),
        Some(other) => other.to_string(),
    }
}
