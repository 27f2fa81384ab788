//! Tells people what happened: Event objects, counted rather than repeated.
//!
//! A component says what it did about which object; what reaches the server is thinned out so that
//! a crash loop does not fill the store. Upstream: client-go `tools/record/events_cache.go`.
//!
//! 1. The same event again becomes a higher `count` of the first, not a new object.
//! 2. More than ten different messages of one reason in ten minutes become one combined event.
//! 3. An object gets 25 events in a burst from one source, then one in five minutes.
//! 4. At most `QUEUE` wait to be sent; the rest are dropped, never the component's work.
//!
//! Left out: `series` of events.k8s.io; upstream's cache is bounded by recency, ours by name order.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use wavetank_api::{KindId, Meta, Time, Uid};

use crate::client::{Client, Patch, Write, parse};
use crate::component::{CallId, CallIds, Input, Output};
use crate::queue::Bucket;
use crate::view::Key;

/// Most events that wait to be sent, and most that are remembered (as upstream).
const QUEUE: usize = 1000;
const REMEMBERED: usize = 4096;

/// Different messages of one reason before they are combined, and in which time.
const SIMILAR_MAX: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);

/// Events of one source about one object: a burst, then one each five minutes.
const SPAM_BURST: u32 = 25;
const SPAM_EVERY: Duration = Duration::from_secs(300);

/// An event whose sending fails is tried this often, with this pause.
const TRIES: u32 = 12;
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Whether an event is a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum EventType {
    Normal,
    Warning,
}

/// The object that an event is about (`ObjectReference`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// Its kind.
    pub kind: KindId,
    /// Its name.
    pub key: Key,
    /// Its uid; empty for a Node as upstream's kubelet names it.
    pub uid: Uid,
    /// Part of the object: `spec.containers{web}`; empty for the whole.
    pub field_path: String,
}

impl About {
    /// The object with this header.
    pub fn object(kind: KindId, meta: &Meta) -> Self {
        About {
            kind,
            key: Key::new(meta.namespace.clone(), meta.name.clone()),
            uid: meta.uid.clone(),
            field_path: String::new(),
        }
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who tells it: `replicaset-controller`.
    pub component: &'static str,
    /// About which object.
    pub about: About,
    /// Normal or Warning.
    pub r#type: EventType,
    /// One CamelCase word: `SuccessfulCreate`.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// Events that are alike but for their message.
type Similar = (&'static str, About, EventType, &'static str);

/// An event object on the server.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    count: u64,
    first: Time,
}

/// Sends the events of one component, thinned out.
#[derive(Debug)]
pub struct Recorder {
    client: Client,
    /// `source.host`: the node of a kubelet; empty for others.
    host: Arc<str>,
    waiting: VecDeque<(Event, Time)>,
    /// Messages of the last minutes by likeness.
    similar: BTreeMap<Similar, (Time, BTreeSet<String>)>,
    known: BTreeMap<(Similar, String), Known>,
    spam: BTreeMap<(&'static str, About), Bucket>,
    under: Option<Sending>,
    /// Makes names of events of the same microsecond differ.
    sequence: u64,
}

/// The event being sent.
#[derive(Debug)]
struct Sending {
    slot: (Similar, String),
    event: Event,
    at: Time,
    known: Known,
    /// Set while a call is open; else the event is tried again at `again`.
    call: Option<CallId>,
    again: Time,
    tries: u32,
}

impl Recorder {
    /// A recorder of events from `host`, which is empty for all but kubelets.
    pub fn new(client: &Client, host: impl Into<Arc<str>>) -> Self {
        Recorder {
            client: client.clone(),
            host: host.into(),
            waiting: VecDeque::new(),
            similar: BTreeMap::new(),
            known: BTreeMap::new(),
            spam: BTreeMap::new(),
            under: None,
            sequence: 0,
        }
    }

    /// Notes an event to be sent; call [`Recorder::handle`] or [`Recorder::send`] afterwards.
    pub fn record(&mut self, event: Event, now: Time) {
        if self.waiting.len() < QUEUE {
            self.waiting.push_back((event, now));
        }
    }

    /// When it wants to be called though nothing happened.
    pub fn next_wake(&self) -> Option<Time> {
        let sending = self.under.as_ref()?;
        sending.call.is_none().then_some(sending.again)
    }

    /// Takes an input of the component, and sends what waits.
    pub fn handle<O, E>(
        &mut self,
        input: &Input<O>,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) {
        match input {
            Input::Response(call, response) if self.owns(*call) => match parse(response) {
                Ok(_) => self.sent(),
                // The event it wanted to count up has been cleaned away: make a new one.
                Err(error) if error.is_not_found() => self.start_over(now),
                Err(error) if error.is_server_error() || error.is_too_many_requests() => {
                    self.try_again(now);
                }
                Err(_) => self.under = None,
            },
            Input::Failed(call, _) if self.owns(*call) => self.try_again(now),
            _ => {}
        }
        self.send(now, ids, out);
    }

    /// Sends the next event if none is under way.
    pub fn send<E>(&mut self, now: Time, ids: &mut CallIds, out: &mut Vec<Output<E>>) {
        while self.under.is_none() {
            let Some((event, at)) = self.waiting.pop_front() else {
                return;
            };
            self.under = self.correlate(event, at);
        }
        let host = self.host.clone();
        let client = self.client.clone();
        let due = |s: &&mut Sending| s.call.is_none() && s.again <= now;
        if let Some(sending) = self.under.as_mut().filter(due) {
            let call = ids.fresh();
            let write = sending.write(&client, &host);
            out.push(Output::Call(call, write.request));
            sending.call = Some(call);
        }
    }

    fn owns(&self, call: CallId) -> bool {
        let under = self.under.as_ref();
        under.is_some_and(|sending| sending.call == Some(call))
    }

    fn sent(&mut self) {
        if let Some(sending) = self.under.take() {
            if self.known.len() >= REMEMBERED {
                self.known.pop_first();
            }
            self.known.insert(sending.slot, sending.known);
        }
    }

    fn start_over(&mut self, now: Time) {
        let tries_left = self.under.as_ref().is_some_and(|s| s.known.count > 1);
        if !tries_left {
            self.under = None; // not even the namespace exists
        } else if let Some(sending) = &mut self.under {
            sending.known.count = 1;
            sending.known.first = sending.at;
            sending.call = None;
            sending.again = now;
        }
    }

    fn try_again(&mut self, now: Time) {
        if let Some(sending) = &mut self.under {
            sending.tries += 1;
            sending.call = None;
            sending.again = now + TRY_AGAIN;
            if sending.tries >= TRIES {
                self.under = None;
            }
        }
    }

    /// Combines, counts and filters, in this order; `None` when the event is dropped.
    fn correlate(&mut self, mut event: Event, at: Time) -> Option<Sending> {
        let about = event.about.clone();
        let likeness: Similar = (event.component, about, event.r#type, event.reason);
        if self.is_one_of_many(&likeness, &event.message, at) {
            let message = &event.message;
            event.message = format!("(combined from similar events): {message}");
        }
        // Combined events share one slot: their messages differ by nature.
        let slot_message = match event.message.starts_with("(combined") {
            true => String::new(),
            false => event.message.clone(),
        };
        let slot = (likeness, slot_message);
        let known = match self.known.get(&slot) {
            Some(known) => Known {
                count: known.count + 1,
                ..known.clone()
            },
            None => Known {
                name: self.fresh_name(&event.about.key, at),
                count: 1,
                first: at,
            },
        };
        if self.spam.len() >= REMEMBERED {
            self.spam.pop_first();
        }
        let source = (event.component, event.about.clone());
        let bucket = self.spam.entry(source);
        let bucket = bucket.or_insert_with(|| Bucket::new(SPAM_EVERY, SPAM_BURST));
        let sending = Sending {
            slot,
            event,
            at,
            known,
            call: None,
            again: at,
            tries: 0,
        };
        bucket.take(at).then_some(sending)
    }

    fn is_one_of_many(&mut self, likeness: &Similar, message: &str, at: Time) -> bool {
        if self.similar.len() >= REMEMBERED {
            self.similar.pop_first();
        }
        let entry = self.similar.entry(likeness.clone());
        let (last, messages) = entry.or_insert_with(|| (at, BTreeSet::new()));
        if at.since(*last) > SIMILAR_WITHIN {
            messages.clear();
        }
        *last = at;
        if messages.len() < SIMILAR_MAX || messages.contains(message) {
            messages.insert(message.to_string());
        }
        messages.len() >= SIMILAR_MAX
    }

    fn fresh_name(&mut self, about: &Key, at: Time) -> String {
        self.sequence += 1;
        let nanos = at.as_micros().saturating_mul(1000);
        let nanos = nanos.saturating_add((self.sequence % 1000) as i64);
        format!("{}.{nanos:x}", about.name)
    }
}

impl Sending {
    fn write(&self, client: &Client, host: &str) -> Write {
        let about = &self.event.about.key;
        let namespace: Arc<str> = match about.namespace.is_empty() {
            true => "default".into(),
            false => about.namespace.clone(),
        };
        if self.known.count == 1 {
            let object = self.object(&namespace, host);
            return client.create(KindId::Event, &namespace, &object);
        }
        let patch = json!({
            "count": self.known.count,
            "lastTimestamp": self.at.to_rfc3339(),
            "message": self.event.message,
        });
        let key = Key::new(namespace, &*self.known.name);
        client.patch(KindId::Event, &key, "", Patch::Strategic, &patch)
    }

    fn object(&self, namespace: &str, host: &str) -> Value {
        let Event { about, .. } = &self.event;
        let info = about.kind.info();
        let mut involved = json!({
            "apiVersion": info.api_version,
            "kind": info.kind,
            "name": &*about.key.name,
            "uid": &*about.uid.0,
        });
        if !about.key.namespace.is_empty() {
            involved["namespace"] = json!(&*about.key.namespace);
        }
        if !about.field_path.is_empty() {
            involved["fieldPath"] = json!(about.field_path);
        }
        let mut source = json!({"component": self.event.component});
        if !host.is_empty() {
            source["host"] = json!(host);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": namespace, "name": self.known.name},
            "involvedObject": involved,
            "reason": self.event.reason,
            "message": self.event.message,
            "source": source,
            "firstTimestamp": self.known.first.to_rfc3339(),
            "lastTimestamp": self.at.to_rfc3339(),
            "count": 1,
            "type": format!("{:?}", self.event.r#type),
            "reportingComponent": self.event.component,
            "reportingInstance": host,
        })
    }
}

#[cfg(test)]
mod tests;
