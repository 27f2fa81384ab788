//! Steps: one thing done to the cluster, at its time, and perhaps undone after a while.
//!
//! A step is a map with `at`, perhaps `for`, and one more key that names the [`Action`].
//!
//! 1. What is written reads back as the same step: `a_step_reads_back_as_it_was_written`.
//!
//! Book: `book/src/simulator/scenarios.md`.

use core::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, VariantAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wavetank_api::json::Value;

use super::span::Span;

// ANCHOR: step
/// One thing done to the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When, from the start of the run.
    pub at: Span,
    /// How long a fault lasts; without it, until a step or the calm undoes it.
    pub lasting: Option<Span>,
    /// What.
    pub action: Action,
}
// ANCHOR_END: step

/// What a step does. The first four are what a person does through the API; the others are
/// what networks, disks, clocks and processes do by themselves.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Objects are created, in order.
    Create(Vec<Value>),
    /// A merge patch of one object.
    Patch(Patch),
    /// An object is deleted.
    Delete(Deletion),
    /// An object is deleted, and when it is gone, one of the same name is created.
    Recreate(Recreation),

    /// A process is killed. A node loses its containers, an API server its connections.
    Fail(String),
    /// A process is started that was killed.
    Recover(String),
    /// A process is killed and started at once; a node's containers go on.
    Restart(String),
    /// A process is killed when so many of its writes have been committed from now on, before
    /// it hears of the last one; it starts again a second later.
    Crash(Crash),
    /// A process stands still: what reaches it meanwhile waits.
    Pause(String),
    /// A process's clock is wrong from now on.
    Clock(Clock),

    /// A process is cut off from the network.
    Cut(String),
    /// Nothing that a process sends arrives.
    Mute(String),
    /// Nothing that is sent to a process arrives.
    Deafen(String),
    /// A process is no longer cut off, mute or deaf.
    Heal(String),
    /// Each message of a process takes so much longer, either way.
    Slow(Delay),
    /// Watch events do not reach a process; they wait.
    Hold(Stream),
    /// They reach it, in order.
    Release(Stream),
    /// Watches of a process break; it opens them again.
    Break(Stream),
    /// The answers to so many requests of a process are lost: the requests take effect.
    Lose(Requests),
    /// So many requests of a process are answered by an error, and take no effect.
    Refuse(Requests),
    /// A process speaks to another API server from now on.
    Move(Move),

    /// Changes take so much longer to reach the watch cache of an API server.
    Lag(Delay),
    /// The store forgets all but the newest revision.
    Compact(Everything),
    /// The power of the control plane goes and comes back: API servers restart, and the store
    /// has what was on its disk.
    PowerCut(Everything),

    /// The program of a container ends.
    Exit(Exit),
}

/// A merge patch (RFC 7386) of one object.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Which: `deployments.apps/default/web`.
    pub object: String,
    /// The patch.
    pub merge: Value,
    /// Of a subresource: `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
}

/// An object to delete; in a file its name alone will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deletion {
    /// Which: `deployments.apps/default/web`.
    pub object: String,
    /// `gracePeriodSeconds`.
    pub grace: Option<u32>,
    /// `propagationPolicy`: Background, Foreground or Orphan.
    pub propagation: Option<String>,
}

/// A deletion with all its fields, as a file has it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FullDeletion {
    object: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grace: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    propagation: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenDeletion {
    Name(String),
    Full(FullDeletion),
}

impl<'de> Deserialize<'de> for Deletion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WrittenDeletion::deserialize(deserializer)? {
            WrittenDeletion::Name(object) => Deletion {
                object,
                ..Deletion::default()
            },
            WrittenDeletion::Full(full) => Deletion {
                object: full.object,
                grace: full.grace,
                propagation: full.propagation,
            },
        })
    }
}

impl Serialize for Deletion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.grace.is_none() && self.propagation.is_none() {
            return serializer.serialize_str(&self.object);
        }
        let full = FullDeletion {
            object: self.object.clone(),
            grace: self.grace,
            propagation: self.propagation.clone(),
        };
        full.serialize(serializer)
    }
}

/// An object to replace by another of its name.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recreation {
    /// Which: `pods/default/web-0`.
    pub object: String,
    /// `gracePeriodSeconds` of the deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// How the new one differs, as a merge patch of what the old one was created with.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub merge: Value,
}

/// A crash between two writes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Who: `controller-manager`.
    pub of: String,
    /// After how many writes, at least one.
    pub writes: u32,
}

/// A clock that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Whose.
    pub of: String,
    /// By how much it is ahead.
    #[serde(default)]
    pub ahead: Span,
    /// By how much it is behind.
    #[serde(default)]
    pub behind: Span,
    /// How much it gains, in microseconds a second; negative: it loses.
    #[serde(default)]
    pub drift: i32,
}

/// Something that takes longer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// Whose.
    pub of: String,
    /// How much longer; `0s` ends it.
    pub by: Span,
}

/// Watches of a process, or an API server's watch of the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Whose.
    pub of: String,
    /// Of which resource (`pods`, `replicasets.apps`); all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// Some of the next requests of a process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Whose.
    pub of: String,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`; every write when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// For which resource, with a subresource perhaps (`pods/binding`); any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// How many.
    #[serde(default = "one")]
    pub times: u32,
    /// The status of a refusal: 500 unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

fn one() -> u32 {
    1
}

/// A change of API server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// Who.
    pub of: String,
    /// To which: `apiserver-1`.
    pub to: String,
}

/// No choice: `{}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Everything {}

/// The end of a program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// Of which pod: `default/web-0`.
    pub pod: String,
    /// Of which container; the first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// With which code; 137 stands for the kernel's killing it for its memory.
    #[serde(default = "crashed")]
    pub code: i32,
}

fn crashed() -> i32 {
    1
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("at", &self.at)?;
        if let Some(lasting) = &self.lasting {
            map.serialize_entry("for", lasting)?;
        }
        // An enum's own form is a map with one entry: that entry goes beside `at`.
        let action = serde_json::to_value(&self.action).map_err(serde::ser::Error::custom)?;
        for (name, value) in action.as_object().into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step: at, perhaps for, and what is done")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let (mut at, mut lasting, mut actions) = (Span::default(), None, Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "at" => at = map.next_value()?,
                "for" => lasting = Some(map.next_value()?),
                name => actions.push(Action::deserialize(Entry {
                    name,
                    map: &mut map,
                })?),
            }
        }
        let count = actions.len();
        match actions.pop().filter(|_| count == 1) {
            Some(action) => Ok(Step {
                at,
                lasting,
                action,
            }),
            None => Err(serde::de::Error::custom(format!(
                "a step does exactly one thing; here are {count}"
            ))),
        }
    }
}

/// One entry of a map, read as a variant of an enum: the key names it, the value is what it holds.
struct Entry<'a, A> {
    name: &'a str,
    map: &'a mut A,
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Entry<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for Entry<'_, A> {
    type Error = A::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), A::Error> {
        let name = StrDeserializer::<A::Error>::new(self.name);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Entry<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.map.next_value()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.map.next_value_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, A::Error> {
        Err(serde::de::Error::custom("no action is a tuple"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, A::Error> {
        Err(serde::de::Error::custom("no action is a bare struct"))
    }
}
