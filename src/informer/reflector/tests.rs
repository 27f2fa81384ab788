//! A reflector against a server that breaks streams, forgets history and lags.
//!
//! Book: `book/src/control-plane/informers.md`.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::component::{Failure, Nothing};
use crate::view::{HeaderOnly, Key, Object};

/// All changes ever made, and how much of them is forgotten.
#[derive(Default)]
struct Server {
    /// Type of event and object; the revision is the index plus one.
    log: Vec<(&'static str, Value)>,
    compacted: usize,
    /// A replica that lags answers from the state at this revision.
    frozen: Option<usize>,
}

impl Server {
    fn head(&self) -> usize {
        self.frozen.unwrap_or(self.log.len()).min(self.log.len())
    }

    fn state(&self) -> BTreeMap<String, Value> {
        let mut state = BTreeMap::new();
        for (what, object) in self.log.iter().take(self.head()) {
            let name = object["metadata"]["name"].as_str().unwrap().to_string();
            match *what {
                "DELETED" => _ = state.remove(&name),
                _ => _ = state.insert(name, object.clone()),
            }
        }
        state
    }

    fn write(&mut self, name: u8, delete: bool) {
        self.frozen = None;
        let known = self.state().get(&format!("p{name}")).cloned();
        let revision = self.log.len() + 1;
        let (what, uid) = match (&known, delete) {
            (None, true) => return,
            (None, false) => ("ADDED", json!(format!("uid-{revision}"))),
            (Some(object), true) => ("DELETED", object["metadata"]["uid"].clone()),
            (Some(object), false) => ("MODIFIED", object["metadata"]["uid"].clone()),
        };
        let object = json!({"metadata": {"namespace": "default", "name": format!("p{name}"),
            "uid": uid, "resourceVersion": revision.to_string()}});
        self.log.push((what, object));
    }

    fn list(&self) -> Response {
        let items: Vec<Value> = self.state().into_values().collect();
        let revision = self.head().to_string();
        let list = json!({"metadata": {"resourceVersion": revision}, "items": items});
        Response::new(200, "application/json", list.to_string())
    }
}

struct Rig {
    server: Server,
    reflector: Reflector<Object<HeaderOnly>>,
    ids: CallIds,
    now: Time,
    /// The list that was asked for and not answered.
    list: Option<CallId>,
    /// Whether that list may come from any server's cache, however old.
    takes_any: bool,
    /// The open watch, and the revision up to which it has sent.
    watch: Option<(CallId, usize)>,
    /// What the changes add up to.
    folded: BTreeMap<Key, (String, Revision)>,
}

impl Rig {
    fn new(guards: Guards) -> Self {
        let client = Client::new("test", "test");
        let config = Config::all(KindId::Pod, &client, 7, guards);
        let mut rig = Rig {
            server: Server::default(),
            reflector: Reflector::new(config),
            ids: CallIds::default(),
            now: Time::from_secs(1_000),
            list: None,
            takes_any: false,
            watch: None,
            folded: BTreeMap::new(),
        };
        rig.give(Input::Start);
        rig
    }

    fn give(&mut self, input: Input<Nothing>) {
        let mut out: Vec<Output<Nothing>> = Vec::new();
        let (now, ids) = (self.now, &mut self.ids);
        let changes = self.reflector.handle(&input, now, ids, &mut out);
        for change in changes {
            let object = change.object();
            let value = (object.meta.uid.to_string(), object.meta.resource_version);
            match change {
                Change::Deleted(_) => _ = self.folded.remove(&object.key()),
                _ => _ = self.folded.insert(object.key(), value),
            }
        }
        for output in out {
            match output {
                Output::Call(call, request) => {
                    self.list = Some(call);
                    self.takes_any = request.target.contains("resourceVersion=0");
                }
                Output::Cancel(_) => self.watch = None,
                Output::Watch(call, request) => {
                    let from = request.target.split("resourceVersion=").nth(1).unwrap();
                    let from = from.split('&').next().unwrap().parse().unwrap();
                    self.watch = Some((call, from));
                    if from < self.server.compacted {
                        self.watch = None;
                        let gone = r#"{"kind":"Status","reason":"Expired","code":410}"#;
                        // Refused, or accepted and ended by its first line, as the server does.
                        let line = format!("{{\"type\":\"ERROR\",\"object\":{gone}}}\n");
                        let gone = match call.0 % 2 {
                            0 => Response::new(410, "application/json", gone),
                            _ => Response::new(200, "application/json", line),
                        };
                        self.give(Input::Response(call, gone));
                    } else {
                        self.give(Input::Opened(call));
                    }
                }
                _ => {}
            }
        }
    }

    fn answer_list(&mut self, fails: bool) {
        if let Some(call) = self.list.take() {
            self.give(match fails {
                true => Input::Failed(call, Failure::TimedOut),
                false => Input::Response(call, self.server.list()),
            });
        }
    }

    /// Sends some of what the watch has not had, and a bookmark behind it.
    fn deliver(&mut self, most: usize, bookmark: bool) {
        let Some((call, sent)) = self.watch else {
            return;
        };
        let upto = sent.saturating_add(most).min(self.server.head()).max(sent);
        let mut lines = String::new();
        for (what, object) in self.server.log.iter().take(upto).skip(sent) {
            // A deleted object carries the revision of its delete.
            lines += &json!({"type": what, "object": object}).to_string();
            lines += "\n";
        }
        if bookmark {
            let mark = json!({"metadata": {"resourceVersion": upto.to_string()}});
            lines += &json!({"type": "BOOKMARK", "object": mark}).to_string();
        }
        self.watch = Some((call, upto));
        self.give(Input::Frame(call, lines.into()));
    }

    fn close(&mut self) {
        if let Some((call, _)) = self.watch.take() {
            self.give(Input::Closed(call));
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.give(Input::Tick);
    }

    fn cached(&self) -> BTreeMap<Key, (String, Revision)> {
        let row = |o: &std::sync::Arc<Object<HeaderOnly>>| {
            (o.key(), (o.meta.uid.to_string(), o.meta.resource_version))
        };
        self.reflector.cache().iter().map(row).collect()
    }

    fn settle(&mut self) {
        self.server.frozen = None;
        for _ in 0..5 {
            self.pass(100);
            self.answer_list(false);
            self.deliver(usize::MAX, false);
        }
    }

    fn equals_server(&self) -> bool {
        let of = |object: &Value| {
            let meta = &object["metadata"];
            let uid = meta["uid"].as_str().unwrap().to_string();
            let revision = meta["resourceVersion"].as_str().unwrap().parse().unwrap();
            (uid, Revision(revision))
        };
        let state = self.server.state();
        let server: Vec<_> = state.values().map(of).collect();
        self.cached().into_values().collect::<Vec<_>>() == server
    }
}

#[derive(Clone, Debug)]
enum Act {
    Write(u8, bool),
    List(bool),
    Deliver(usize, bool),
    Close,
    Compact,
    Freeze(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4u8, any::<bool>()).prop_map(|(name, delete)| Act::Write(name, delete)),
        4 => any::<bool>().prop_map(Act::List),
        4 => (0..4usize, any::<bool>()).prop_map(|(most, mark)| Act::Deliver(most, mark)),
        1 => Just(Act::Close),
        1 => Just(Act::Compact),
        1 => (0..20usize).prop_map(Act::Freeze),
        2 => (0..40u64).prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariants 1, 2, 4 and 5, and L20: when the world is quiet the cache equals the server.
    #[test]
    fn the_cache_never_goes_back_and_ends_equal_to_the_server(
        acts in prop::collection::vec(act(), 0..80)
    ) {
        let mut rig = Rig::new(Guards::default());
        let mut revision = Revision(0);
        for act in acts {
            match act {
                Act::Write(name, delete) => rig.server.write(name, delete),
                Act::List(fails) => rig.answer_list(fails),
                Act::Deliver(most, bookmark) => rig.deliver(most, bookmark),
                Act::Close => rig.close(),
                Act::Compact => rig.server.compacted = rig.server.log.len(),
                Act::Freeze(at) => rig.server.frozen = Some(at),
                Act::Pass(seconds) => rig.pass(seconds),
            }
            prop_assert!(rig.reflector.cache().revision() >= revision, "went back");
            revision = rig.reflector.cache().revision();
            prop_assert_eq!(&rig.folded, &rig.cached());
            prop_assert!(rig.list.is_none() || rig.watch.is_none());
        }
        rig.settle();
        prop_assert!(rig.equals_server());
    }
}

/// M84: a delete that falls between two streams is seen by its absence.
#[test]
fn a_missed_delete_is_told_at_the_next_list() {
    for (guards, equal) in [
        (Guards::default(), true),
        (Guards::without(&[Guard::M84]), false),
    ] {
        let mut rig = Rig::new(guards);
        rig.server.write(1, false);
        rig.answer_list(false);
        rig.pass(10);
        rig.server.write(1, true);
        rig.server.compacted = rig.server.log.len();
        rig.close();
        rig.settle();
        assert_eq!(rig.equals_server(), equal);
        assert_eq!(rig.folded.is_empty(), equal);
    }
}

/// M85: the list comes from a server that lags.
#[test]
fn a_list_of_the_past_is_not_taken_in() {
    for (guards, revision) in [(Guards::default(), 2), (Guards::without(&[Guard::M85]), 1)] {
        let mut rig = Rig::new(guards);
        rig.server.write(1, false);
        rig.server.write(1, true);
        rig.answer_list(false);
        rig.server.compacted = 3; // the watch must list again
        rig.pass(10);
        rig.close();
        rig.pass(100);
        rig.server.frozen = Some(1);
        rig.answer_list(false);
        assert_eq!(rig.reflector.cache().revision(), Revision(revision));
    }
}

/// M70: a kubelet starts anew, beside a server that lags: the pod it is told of is long deleted
/// (#59848).
#[test]
fn a_component_that_starts_anew_does_not_see_the_past() {
    for (guards, pods) in [(Guards::default(), 0), (Guards::without(&[Guard::M70]), 1)] {
        let mut rig = Rig::new(guards);
        rig.server.write(1, false);
        rig.server.write(1, true);
        rig.server.frozen = rig.takes_any.then_some(1);
        rig.answer_list(false);
        assert_eq!(rig.cached().len(), pods);
    }
}
