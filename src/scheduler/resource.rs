//! Amounts of what a node has and a pod asks for, as integers.
//!
//! Filters compare and scores divide these for every pair of pod and node, so quantities are parsed
//! once, when an object is decoded. The views call it; `node_info` keeps the sums.
//!
//! 1. `add` and `subtract` of the same amounts leave the sum as it was, and no zero entry behind.
//!
//! Left out: limits, and claims of DynamicResources.
//!
//! Book: `book/src/scheduler/cache.md`.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::Arc;

use wavetank_api::quantity;

/// CPU in thousandths of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilliCpu(pub i64);

/// Memory or storage in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub i64);

macro_rules! amounts {
    ($($unit:ident),*) => {$(
        impl Add for $unit {
            type Output = Self;
            fn add(self, by: Self) -> Self { $unit(self.0.saturating_add(by.0)) }
        }
        impl Sub for $unit {
            type Output = Self;
            fn sub(self, by: Self) -> Self { $unit(self.0.saturating_sub(by.0)) }
        }
        impl AddAssign for $unit {
            fn add_assign(&mut self, by: Self) { *self = *self + by; }
        }
        impl SubAssign for $unit {
            fn sub_assign(&mut self, by: Self) { *self = *self - by; }
        }
    )*};
}
amounts!(MilliCpu, Bytes);

/// A vector of resources: three that every pod has, and a short sorted list of the rest
/// (`nvidia.com/gpu`, `hugepages-2Mi` …), empty for most.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    /// `cpu`.
    pub cpu: MilliCpu,
    /// `memory`.
    pub memory: Bytes,
    /// `ephemeral-storage`.
    pub ephemeral_storage: Bytes,
    /// Everything else by name, sorted; no entry is zero.
    extended: Vec<(Arc<str>, i64)>,
}

impl Resources {
    /// CPU and memory, nothing else.
    pub fn of(cpu: MilliCpu, memory: Bytes) -> Self {
        Resources {
            cpu,
            memory,
            ..Resources::default()
        }
    }

    /// Reads a `ResourceList`; quantities are rounded up as upstream's `MilliValue` and `Value` do.
    /// A quantity that cannot be read counts as zero: the API server admits none.
    pub fn parse(list: &BTreeMap<Arc<str>, Quantity>) -> Self {
        let mut resources = Resources::default();
        for (name, quantity) in list {
            match name.as_ref() {
                "cpu" => resources.cpu = MilliCpu(quantity.milli()),
                "memory" => resources.memory = Bytes(quantity.whole()),
                "ephemeral-storage" => resources.ephemeral_storage = Bytes(quantity.whole()),
                "pods" => {}
                _ => resources.set_extended(name, quantity.whole()),
            }
        }
        resources
    }

    /// The amount of an extended resource; zero when absent.
    pub fn extended(&self, name: &str) -> i64 {
        self.position(name).map_or(0, |at| self.extended[at].1)
    }

    /// All extended resources with their amounts, sorted by name.
    pub fn extended_iter(&self) -> impl Iterator<Item = (&Arc<str>, i64)> {
        self.extended.iter().map(|(name, amount)| (name, *amount))
    }

    /// Whether nothing at all is asked for.
    pub fn is_zero(&self) -> bool {
        *self == Resources::default()
    }

    /// Adds each amount of `other`.
    pub fn add(&mut self, other: &Resources) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.ephemeral_storage += other.ephemeral_storage;
        for (name, amount) in &other.extended {
            self.set_extended(name, self.extended(name).saturating_add(*amount));
        }
    }

    /// Takes each amount of `other` away.
    pub fn subtract(&mut self, other: &Resources) {
        self.cpu -= other.cpu;
        self.memory -= other.memory;
        self.ephemeral_storage -= other.ephemeral_storage;
        for (name, amount) in &other.extended {
            self.set_extended(name, self.extended(name).saturating_sub(*amount));
        }
    }

    /// Raises each amount to that of `other` where that is larger.
    pub fn raise_to(&mut self, other: &Resources) {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, amount) in &other.extended {
            self.set_extended(name, self.extended(name).max(*amount));
        }
    }

    /// Whether each amount is at most that of `room`.
    pub fn fits_in(&self, room: &Resources) -> bool {
        self.cpu <= room.cpu
            && self.memory <= room.memory
            && self.ephemeral_storage <= room.ephemeral_storage
            && self
                .extended
                .iter()
                .all(|(name, amount)| *amount <= room.extended(name))
    }

    /// Sets one extended resource; zero removes the entry.
    pub fn set_extended(&mut self, name: &Arc<str>, amount: i64) {
        let at = self
            .extended
            .binary_search_by(|(n, _)| n.as_ref().cmp(name));
        match (at, amount) {
            (Ok(at), 0) => drop(self.extended.remove(at)),
            (Ok(at), _) => self.extended[at].1 = amount,
            (Err(_), 0) => {}
            (Err(at), _) => self.extended.insert(at, (Arc::clone(name), amount)),
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.extended
            .binary_search_by(|(n, _)| n.as_ref().cmp(name))
            .ok()
    }
}

/// A quantity as it stands in JSON: a string, or (as some clients write it) a bare number.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// `"100m"`, `"1Gi"`.
    Text(Arc<str>),
    /// `2`.
    Number(serde_json::Number),
}

impl Quantity {
    fn parsed(&self) -> quantity::Quantity {
        let parsed = match self {
            Quantity::Text(text) => quantity::Quantity::parse(text),
            Quantity::Number(number) => quantity::Quantity::parse(&number.to_string()),
        };
        parsed.unwrap_or(quantity::Quantity::ZERO)
    }

    fn milli(&self) -> i64 {
        self.parsed().milli_value()
    }

    /// The amount, rounded up to a whole number.
    pub fn whole(&self) -> i64 {
        self.parsed().value()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resources() -> impl Strategy<Value = Resources> {
        let extended = prop::collection::btree_map("[abc]", 0..5_i64, 0..3);
        (0..1000_i64, 0..1000_i64, extended).prop_map(|(cpu, memory, extended)| {
            let mut resources = Resources {
                cpu: MilliCpu(cpu),
                memory: Bytes(memory),
                ..Resources::default()
            };
            for (name, amount) in extended {
                resources.set_extended(&name.into(), amount);
            }
            resources
        })
    }

    proptest! {
        #[test]
        fn subtract_undoes_add(mut sum in resources(), other in resources()) {
            let before = sum.clone();
            sum.add(&other);
            prop_assert!(before.fits_in(&sum) && other.fits_in(&sum));
            sum.subtract(&other);
            prop_assert_eq!(sum, before);
        }
    }

    #[test]
    fn quantities_round_up() {
        let list = r#"{"cpu":"1500u","memory":"100m","pods":"110","nvidia.com/gpu":2}"#;
        let list: BTreeMap<Arc<str>, Quantity> = serde_json::from_str(list).unwrap();
        let resources = Resources::parse(&list);
        assert_eq!(resources.cpu, MilliCpu(2));
        assert_eq!(resources.memory, Bytes(1));
        assert_eq!(resources.extended("nvidia.com/gpu"), 2);
        assert_eq!(resources.extended("pods"), 0);
    }
}
