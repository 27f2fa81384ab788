//! Oracles: the invariants of the cluster, looked at after every change of the truth.
//!
//! The truth is what the store has committed and what the simulated runtimes run: no component's
//! cache, and no component's word. The [`Watchman`] decodes each commit once into a [`Model`],
//! shows the change to every oracle, and keeps what they find. Oracles read and never write, so a
//! run with them has the same trace as one without.
//!
//! 1. Each oracle is incremental; where it counts, a test compares it with a scan of everything.
//! 2. An oracle knows no controller's code: it decodes what it needs by itself.
//!
//! Book: `book/src/simulator/oracles.md`.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wavetank_api::kinds::KindId;
use wavetank_api::{Revision, Time};

use crate::trace::EventId;

mod api;
mod binding;
mod facts;
mod intent;
mod invariant;
mod model;
mod owners;
mod pods;
mod replicas;
mod rest;
mod watchman;

pub use facts::{Body, Fact};
pub use invariant::Invariant;
pub use model::Model;
pub(crate) use watchman::{Known, Life, Views, Watchman, Writer};

/// An invariant that was seen broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When.
    pub at: Time,
    /// The event of the trace at which it was seen.
    pub event: EventId,
    /// On which object: its key in the store.
    pub about: String,
    /// What is wrong, in a sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.since(crate::world::BEGINNING).as_secs_f64();
        let (invariant, about, what) = (self.invariant.name(), &self.about, &self.what);
        write!(f, "{at:.3}s {invariant} {about}: {what}")
    }
}

// ANCHOR: change
/// One object as a commit changed it.
pub(crate) struct Change<'a> {
    /// The revision of the commit.
    pub revision: Revision,
    /// When it became durable.
    pub at: Time,
    pub key: &'a str,
    pub kind: KindId,
    /// The object before; nothing when it was created.
    pub before: Option<&'a Fact>,
    /// The object after; nothing when it was deleted.
    pub after: Option<&'a Fact>,
    /// Whose request it was; nobody when the API server or a lease did it.
    pub writer: Option<&'a Writer>,
}

/// Something that must hold.
pub(crate) trait Oracle {
    /// A commit changed an object; the model shows it already.
    fn changed(&mut self, _change: &Change, _model: &Model, _found: &mut Findings) {}

    /// A container began or ceased to run; the model shows it already.
    fn ran(&mut self, _life: &Life, _model: &Model, _found: &mut Findings) {}

    /// Faults have ended, and the time to converge is over.
    fn settled(&mut self, _model: &Model, _found: &mut Findings) {}
}
// ANCHOR_END: change

/// What oracles find.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) found: Vec<(Invariant, String, String)>,
}

impl Findings {
    /// Reports that an invariant does not hold for the object of this key.
    pub(crate) fn add(&mut self, invariant: Invariant, about: &str, what: String) {
        self.found.push((invariant, about.to_owned(), what));
    }
}

impl Serialize for Invariant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Invariant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = Invariant::all().find(|each| each.name() == text);
        found.ok_or_else(|| serde::de::Error::custom(format!("no invariant {text:?}")))
    }
}
