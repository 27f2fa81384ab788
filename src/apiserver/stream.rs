//! Open watches: who is interested in what, and what each is still to be sent.
//!
//! The cache tells of changes; an index finds the watches that may be interested, so that a change
//! costs what its own audience costs: thousands of kubelets watch the pods of one node each.
//!
//! 1. A change's frame is built at most once per representation and shared by all watches (the
//!    bytes are reference counted).
//! 2. A bookmark's revision has been reached: everything before it was queued before it (A7).
//! 3. A watch that does not keep up is ended with what is queued, never with a gap: at most
//!    [`QUEUE_MAX`] frames wait.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use wavetank_api::selector::{FieldSelector, LabelSelector};
use wavetank_api::{Guard, Guards, KindId, Revision, Status, Time};

use crate::cache::Scope;
use crate::object::{Object, Stored};
use crate::present::Representation;
use crate::ring::Change;
use crate::rope::Rope;
use crate::step::{Drained, StreamId};

/// Most frames that wait for a slow client.
const QUEUE_MAX: usize = 10_000;
/// Most frames that one `drain` gives.
const DRAIN_FRAMES: usize = 1_000;
/// About how many bytes one `drain` gives at most.
const DRAIN_BYTES: usize = 1 << 20;
/// How often a quiet watch hears how far the store is (upstream's `bookmarkFrequency`).
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// What a watch wants to hear.
#[derive(Clone, Debug)]
pub(crate) struct Interest {
    /// Kind and namespace.
    pub scope: Scope,
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
    /// In which form.
    pub representation: Representation,
    /// Only changes after this revision.
    pub after: Revision,
    /// Whether bookmarks are wanted.
    pub bookmarks: bool,
    /// When the watch ends.
    pub deadline: Time,
}

/// The type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventType {
    Added,
    Modified,
    Deleted,
}

#[derive(Debug)]
struct Stream {
    interest: Interest,
    /// Objects of the state it starts from that are not yet sent.
    initial: std::vec::IntoIter<Arc<Object>>,
    /// Bookmark to be sent after `initial`: ends the initial events of `sendInitialEvents`.
    initial_end: Option<Revision>,
    /// Frames of changes, in order, to be sent after `initial`.
    queue: VecDeque<Bytes>,
    /// Whether column definitions have gone out (tables only).
    has_headers: bool,
    /// No more frames will come; ends once the queue is empty.
    is_over: bool,
    /// When the next bookmark is due.
    next_bookmark: Time,
    /// The revision of the last frame queued, so that bookmarks say something new.
    told: Revision,
}

/// All open watches.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    guards: Guards,
    next: u64,
    streams: BTreeMap<StreamId, Stream>,
    audience: BTreeMap<KindId, Audience>,
    /// Streams with something to send since `news` was last asked.
    news: BTreeSet<StreamId>,
    /// When each stream next wants to be looked at.
    wakes: BTreeSet<(Time, StreamId)>,
}

/// The watches of one kind by the narrowest thing they ask for.
#[derive(Debug, Default)]
struct Audience {
    all: BTreeSet<StreamId>,
    by_namespace: BTreeMap<Box<str>, BTreeSet<StreamId>>,
    by_name: BTreeMap<Box<str>, BTreeSet<StreamId>>,
    by_node: BTreeMap<Box<str>, BTreeSet<StreamId>>,
}

// ANCHOR: audience
impl Audience {
    /// Where a watch is listed.
    fn place(&mut self, interest: &Interest) -> &mut BTreeSet<StreamId> {
        if let Some(name) = interest.fields.exact("metadata.name") {
            return self.by_name.entry(name.into()).or_default();
        }
        if let Some(node) = interest.fields.exact("spec.nodeName") {
            return self.by_node.entry(node.into()).or_default();
        }
        match interest.scope.namespace.as_str() {
            "" => &mut self.all,
            namespace => self.by_namespace.entry(namespace.into()).or_default(),
        }
    }

    /// Everybody who may be interested in a change of this object.
    fn of(&self, change: &Change) -> BTreeSet<StreamId> {
        let mut found = self.all.clone();
        let sides = [change.before.as_ref(), change.now.as_ref()];
        for object in sides.into_iter().flatten() {
            let places = [
                self.by_namespace.get(object.namespace()),
                self.by_name.get(object.name()),
                self.by_node.get(object.field("spec.nodeName")),
            ];
            found.extend(places.into_iter().flatten().flatten());
        }
        found
    }
}
// ANCHOR_END: audience

impl Streams {
    pub fn new(guards: Guards) -> Self {
        Streams {
            guards,
            ..Streams::default()
        }
    }

    /// Opens a watch that begins with the objects of `initial` and then with `changes`, which are
    /// those the cache has seen since `interest.after`.
    pub fn open<'a>(
        &mut self,
        interest: Interest,
        initial: Vec<Arc<Object>>,
        initial_end: Option<Revision>,
        changes: impl Iterator<Item = &'a Change>,
        now: Time,
    ) -> StreamId {
        let id = StreamId(self.next);
        self.next += 1;
        let audience = self.audience.entry(interest.scope.kind).or_default();
        audience.place(&interest).insert(id);
        let mut stream = Stream {
            told: interest.after,
            has_headers: false,
            initial: initial.into_iter(),
            initial_end,
            queue: VecDeque::new(),
            is_over: false,
            next_bookmark: now + BOOKMARK_EVERY,
            interest,
        };
        for change in changes {
            stream.hear(change, &mut Frames::new(self.guards, now));
        }
        self.wakes.insert((stream.wake(), id));
        self.news.insert(id);
        self.streams.insert(id, stream);
        id
    }

    /// Tells everybody interested of a change.
    pub fn tell(&mut self, kind: KindId, change: &Change, now: Time) {
        let Some(audience) = self.audience.get(&kind) else {
            return;
        };
        let mut frames = Frames::new(self.guards, now);
        for id in audience.of(change) {
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            if stream.hear(change, &mut frames) {
                self.news.insert(id);
            }
        }
    }

    /// Streams with frames since the last call.
    pub fn news(&mut self) -> Vec<StreamId> {
        core::mem::take(&mut self.news).into_iter().collect()
    }

    /// Takes ready frames.
    pub fn drain(&mut self, id: StreamId, now: Time) -> Drained {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Drained {
                closed: true,
                ..Drained::default()
            };
        };
        let frames = stream.take(now);
        if stream.has_more() {
            self.news.insert(id);
            return Drained {
                frames,
                closed: false,
                more: true,
            };
        }
        let closed = stream.is_over;
        if closed {
            self.close(id);
        }
        Drained {
            frames,
            closed,
            more: false,
        }
    }

    /// Forgets a stream.
    pub fn close(&mut self, id: StreamId) {
        self.news.remove(&id);
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        self.wakes.remove(&(stream.wake(), id));
        self.leave(&stream.interest, id);
    }

    fn leave(&mut self, interest: &Interest, id: StreamId) {
        let Some(audience) = self.audience.get_mut(&interest.scope.kind) else {
            return;
        };
        let place = audience.place(interest);
        place.remove(&id);
        if place.is_empty() {
            audience.by_namespace.retain(|_, ids| !ids.is_empty());
            audience.by_name.retain(|_, ids| !ids.is_empty());
            audience.by_node.retain(|_, ids| !ids.is_empty());
        }
    }

    /// Ends all streams: the cache was filled anew, and what lies between is not known.
    pub fn end_all(&mut self) {
        for (id, stream) in &mut self.streams {
            stream.is_over = true;
            self.news.insert(*id);
        }
    }

    /// When `tick` has something to do.
    pub fn next_wake(&self) -> Option<Time> {
        self.wakes.first().map(|(time, _)| *time)
    }

    /// Ends watches whose time is up and sends bookmarks that are due.
    pub fn tick(&mut self, revision: Revision, now: Time) {
        while let Some((time, id)) = self.wakes.first().copied() {
            if time > now {
                break;
            }
            self.wakes.remove(&(time, id));
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            let is_over = stream.interest.deadline <= now;
            if stream.interest.bookmarks && revision > stream.told {
                stream.bookmark(revision);
                self.news.insert(id);
            }
            if is_over {
                stream.is_over = true;
                self.news.insert(id);
                let interest = stream.interest.clone();
                self.leave(&interest, id);
                continue;
            }
            stream.next_bookmark = now + BOOKMARK_EVERY;
            self.wakes.insert((stream.wake(), id));
        }
    }

    /// How many watches are open.
    pub fn count(&self) -> usize {
        self.streams.len()
    }
}

impl Stream {
    fn wake(&self) -> Time {
        match self.interest.bookmarks {
            true => self.next_bookmark.min(self.interest.deadline),
            false => self.interest.deadline,
        }
    }

    fn has_more(&self) -> bool {
        !self.queue.is_empty() || self.initial.len() > 0 || self.initial_end.is_some()
    }

    // ANCHOR: hear
    /// Queues the frame of a change of interest: an object that comes to match is
    /// added, one that ceases to match is deleted, whatever the store did with it (A5).
    fn hear(&mut self, change: &Change, frames: &mut Frames) -> bool {
        let Interest {
            scope,
            labels,
            fields,
            after,
            ..
        } = &self.interest;
        if self.is_over || change.revision <= *after {
            return false;
        }
        let is_wanted = |object: &&Arc<Object>| {
            (scope.namespace.is_empty() || scope.namespace == object.namespace())
                && object.is_selected(labels, fields)
        };
        let before = change.before.as_ref().filter(is_wanted);
        let after = change.now.as_ref().filter(is_wanted);
        let (event, object) = match (before, after) {
            (None, None) => return false,
            (None, Some(object)) => (EventType::Added, object),
            (Some(_), Some(object)) => (EventType::Modified, object),
            (Some(object), None) => (EventType::Deleted, object),
        };
        if self.queue.len() >= QUEUE_MAX {
            self.is_over = true;
            return true;
        }
        let representation = self.representation();
        let object = match event {
            // M86: else a client that comes back begins in the past (#58545).
            EventType::Deleted if !frames.guards.on(Guard::M86) => object.stored(),
            _ => object.stored_at(change.revision),
        };
        self.queue
            .push_back(frames.frame(event, object, representation));
        self.told = change.revision;
        true
    }
    // ANCHOR_END: hear

    /// The form of the next frame: only a table's first has column definitions.
    fn representation(&mut self) -> Representation {
        let full = self.interest.representation;
        if core::mem::replace(&mut self.has_headers, true) {
            full.without_headers()
        } else {
            full
        }
    }

    fn bookmark(&mut self, revision: Revision) {
        self.queue.push_back(self.bookmark_frame(revision, false));
        self.told = revision;
    }

    fn bookmark_frame(&self, revision: Revision, ends_initial: bool) -> Bytes {
        let form = self.interest.representation.without_headers();
        frame("BOOKMARK", |out| {
            form.write_bookmark(out, revision, ends_initial);
        })
    }

    fn take(&mut self, now: Time) -> Vec<Bytes> {
        let mut frames = Vec::new();
        let mut size = 0;
        while frames.len() < DRAIN_FRAMES && size < DRAIN_BYTES {
            let Some(frame) = self.next_frame(now) else {
                break;
            };
            size += frame.len();
            frames.push(frame);
        }
        frames
    }

    fn next_frame(&mut self, now: Time) -> Option<Bytes> {
        if let Some(object) = self.initial.next() {
            let form = self.representation();
            return Some(change_frame(EventType::Added, &object.stored(), form, now));
        }
        if let Some(revision) = self.initial_end.take() {
            return Some(self.bookmark_frame(revision, true));
        }
        self.queue.pop_front()
    }
}

/// The frames already built of one change.
struct Frames {
    guards: Guards,
    now: Time,
    built: Vec<(EventType, Revision, usize, Representation, Bytes)>,
}

impl Frames {
    fn new(guards: Guards, now: Time) -> Self {
        Frames {
            guards,
            now,
            built: Vec::new(),
        }
    }

    fn frame(&mut self, event: EventType, object: Stored, representation: Representation) -> Bytes {
        let (revision, bytes) = (object.revision, object.bytes.as_ptr() as usize);
        let known = self.built.iter().find(|(e, rev, ptr, r, _)| {
            (*e, *rev, *ptr, *r) == (event, revision, bytes, representation)
        });
        if let Some((.., frame)) = known {
            return frame.clone();
        }
        let frame = change_frame(event, &object, representation, self.now);
        self.built
            .push((event, revision, bytes, representation, frame.clone()));
        frame
    }
}

fn change_frame(event: EventType, object: &Stored, form: Representation, now: Time) -> Bytes {
    let event = match event {
        EventType::Added => "ADDED",
        EventType::Modified => "MODIFIED",
        EventType::Deleted => "DELETED",
    };
    frame(event, |out| form.write(out, object, now))
}

/// One line of a watch.
fn frame(event: &str, write_object: impl FnOnce(&mut Rope)) -> Bytes {
    let mut out = Rope::default();
    out.text(&format!(r#"{{"type":"{event}","object":"#));
    write_object(&mut out);
    out.text("}\n");
    out.chunks().concat().into()
}

/// The one frame of a watch that cannot begin: an ERROR event with this status.
pub(crate) fn error_frame(status: &Status) -> Bytes {
    frame("ERROR", |out| out.share(status.to_bytes()))
}
