//! One copy of what many objects share: strings, label sets, and the part of a pod that comes from
//! its template.
//!
//! A million pods come from a few thousand templates. Equal templates become one `Arc`, so that a
//! pod costs its names and a few pointers. The views call it while they decode.
//!
//! 1. Interning returns a value equal to the one given.
//! 2. After `sweep`, nothing stays that only the pool refers to.
//!
//! Book: `book/src/scheduler/cache.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::pod::PodSpec;

/// Labels of an object.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The shared values. One pool serves one scheduler.
#[derive(Debug, Default)]
pub struct Pool {
    strings: BTreeSet<Arc<str>>,
    labels: BTreeSet<Arc<Labels>>,
    specs: BTreeSet<Arc<PodSpec>>,
    /// Insertions since the last sweep; the sweep comes when they outnumber what it left.
    fresh: usize,
    kept: usize,
}

impl Pool {
    /// The shared copy of `text`.
    pub fn string(&mut self, text: Arc<str>) -> Arc<str> {
        share(&mut self.strings, text, &mut self.fresh)
    }

    /// The shared copy of a label set; its strings are shared too.
    pub fn labels(&mut self, labels: &Labels) -> Arc<Labels> {
        if let Some(known) = self.labels.get(labels) {
            return Arc::clone(known);
        }
        let shared = labels
            .iter()
            .map(|(k, v)| (self.string(k.clone()), self.string(v.clone())));
        let labels = shared.collect();
        share(&mut self.labels, Arc::new(labels), &mut self.fresh)
    }

    /// The shared copy of a pod's template part.
    pub fn spec(&mut self, spec: PodSpec) -> Arc<PodSpec> {
        if let Some(known) = self.specs.get(&spec) {
            return Arc::clone(known);
        }
        share(&mut self.specs, Arc::new(spec), &mut self.fresh)
    }

    /// Drops what nobody else refers to, when enough has come since the last time to pay for it.
    pub fn sweep(&mut self) {
        if self.fresh < 1024.max(self.kept) {
            return;
        }
        self.specs.retain(|spec| Arc::strong_count(spec) > 1);
        self.labels.retain(|labels| Arc::strong_count(labels) > 1);
        self.strings.retain(|text| Arc::strong_count(text) > 1);
        self.kept = self.specs.len() + self.labels.len() + self.strings.len();
        self.fresh = 0;
    }
}

fn share<T: Ord + ?Sized>(pool: &mut BTreeSet<Arc<T>>, value: Arc<T>, fresh: &mut usize) -> Arc<T> {
    if let Some(known) = pool.get(value.as_ref()) {
        return Arc::clone(known);
    }
    *fresh += 1;
    pool.insert(Arc::clone(&value));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweep_keeps_what_is_used_and_drops_the_rest() {
        let mut pool = Pool::default();
        let kept = pool.string("kept".into());
        for i in 0..2000 {
            drop(pool.string(format!("name-{i}").into()));
        }
        pool.sweep();
        assert_eq!(pool.strings.len(), 1);
        assert!(Arc::ptr_eq(&kept, &pool.string("kept".into())));
    }
}
