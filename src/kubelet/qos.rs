//! Quality of service class and resource requests of a pod.
//!
//! Called by `status.rs` and `admission.rs`. Upstream: `pkg/apis/core/v1/helper/qos`, and
//! `k8s.io/component-helpers/resource` (PodRequests).
//!
//! Book: `book/src/node/kubelet.md`.

use wavetank_api::Quantity;

use crate::config::Resources;
use crate::pod::{Kind, PodSpec, Strings};

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(crate) fn class(spec: &PodSpec) -> &'static str {
    let positive = |values: &Strings, name: &str| {
        values
            .get(name)
            .and_then(|t| Quantity::parse(t).ok())
            .filter(|q| q.signum() > 0)
    };
    let (mut any, mut guaranteed) = (false, true);
    for (kind, container) in spec.all() {
        if kind == Kind::Ephemeral {
            continue;
        }
        let r = &container.resources;
        for name in ["cpu", "memory"] {
            let (limit, request) = (positive(&r.limits, name), positive(&r.requests, name));
            any |= limit.is_some() || request.is_some();
            let equal = limit.is_some() && (request.is_none() || request == limit);
            guaranteed &= equal;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// What the pod requests: the sum of app containers and sidecars, or the most that an init
/// container needs beside the sidecars started before it, whichever is more; and the overhead.
pub(crate) fn requests(spec: &PodSpec) -> Resources {
    let (mut running, mut sidecars, mut most) = (
        Resources::default(),
        Resources::default(),
        Resources::default(),
    );
    for (kind, container) in spec.all() {
        let own = amounts(&container.resources.requests);
        match kind {
            Kind::App => running.add(&own),
            Kind::Sidecar => {
                running.add(&own);
                sidecars.add(&own);
                most.raise(&sidecars);
            }
            Kind::Init => {
                let mut with = own;
                with.add(&sidecars);
                most.raise(&with);
            }
            Kind::Ephemeral => {}
        }
    }
    running.raise(&most);
    running.replace(&spec.resources.requests);
    running.add(&amounts(&spec.overhead));
    running.pods = 1;
    running
}

fn amounts(values: &Strings) -> Resources {
    let mut amounts = Resources::default();
    amounts.replace(values);
    amounts
}

impl Resources {
    /// Sets what is named; text that is no quantity counts as nothing.
    fn replace(&mut self, values: &Strings) {
        for (name, text) in values {
            let Ok(quantity) = Quantity::parse(text) else {
                continue;
            };
            let value = quantity.value().unsigned_abs();
            match &**name {
                "cpu" => self.milli_cpu = quantity.milli_value().unsigned_abs(),
                "memory" => self.memory = value,
                "ephemeral-storage" => self.ephemeral_storage = value,
                "pods" => self.pods = value,
                _ => {
                    self.extended.insert(name.clone(), value);
                }
            }
        }
    }

    /// Adds amount by amount.
    pub(crate) fn add(&mut self, other: &Resources) {
        self.milli_cpu = self.milli_cpu.saturating_add(other.milli_cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.ephemeral_storage = self
            .ephemeral_storage
            .saturating_add(other.ephemeral_storage);
        self.pods = self.pods.saturating_add(other.pods);
        for (name, value) in &other.extended {
            let sum = self.extended.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*value);
        }
    }

    /// Takes the greater of each amount.
    fn raise(&mut self, other: &Resources) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, value) in &other.extended {
            let most = self.extended.entry(name.clone()).or_default();
            *most = (*most).max(*value);
        }
    }
}
