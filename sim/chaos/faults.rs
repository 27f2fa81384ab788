//! Faults that chance may bring about.
//!
//! Book: `book/src/simulator/search.md`.

use core::time::Duration;

use super::Draft;
use crate::scenario::{Action, Clock, Crash, Delay, Everything, Exit, Move, Requests, Stream};

const MANAGER: &str = "controller-manager";
const SCHEDULER: &str = "scheduler";

impl Draft {
    /// A component of the control plane, or a node.
    fn process(&mut self) -> String {
        match self.chance.below(4) {
            0 => SCHEDULER.to_owned(),
            1 if self.cluster.nodes > 0 => self.node(),
            _ => MANAGER.to_owned(),
        }
    }

    /// From `least` to `most` seconds, mostly short.
    fn seconds(&mut self, least: u64, most: u64) -> Duration {
        let wide = self.chance.below(most - least + 1);
        let narrow = self.chance.below(wide + 1);
        Duration::from_secs(least + narrow)
    }

    fn server(&mut self) -> String {
        format!(
            "apiserver-{}",
            self.chance.below(u64::from(self.cluster.apiservers))
        )
    }
}

/// Watches whose events wait.
pub(crate) fn hold(draft: &mut Draft, at: Duration) {
    let resources: &[Option<&str>] = &[
        None,
        Some("pods"),
        Some("pods"),
        Some("replicasets.apps"),
        Some("deployments.apps"),
        Some("nodes"),
    ];
    let resource = draft.pick(resources).map(str::to_owned);
    let of = match &resource {
        Some(resource) if resource.ends_with("apps") => MANAGER.to_owned(),
        _ => draft.process(),
    };
    let lasting = draft.seconds(1, 40);
    draft.add_for(at, lasting, Action::Hold(Stream { of, resource }));
}

/// Pod events to the controllers wait for longer than anybody waits for them.
pub(crate) fn hold_long(draft: &mut Draft, at: Duration) {
    let of = MANAGER.to_owned();
    let resource = Some("pods".to_owned());
    let lasting = Duration::from_secs(310 + draft.chance.below(60));
    draft.add_for(at, lasting, Action::Hold(Stream { of, resource }));
}

/// Watches that break.
pub(crate) fn break_watches(draft: &mut Draft, at: Duration) {
    let of = draft.process();
    let resources = [None, Some("pods".to_owned()), Some("nodes".to_owned())];
    let resource = draft.pick(&resources).clone();
    draft.add(at, Action::Break(Stream { of, resource }));
}

/// A crash after one of the next writes.
pub(crate) fn crash(draft: &mut Draft, at: Duration) {
    let of = draft.process();
    let writes = 1 + draft.chance.below(6) as u32;
    draft.add(at, Action::Crash(Crash { of, writes }));
}

/// A component or a kubelet that is started anew.
pub(crate) fn restart(draft: &mut Draft, at: Duration) {
    let of = draft.process();
    draft.add(at, Action::Restart(of));
}

/// A process that is down for a while.
pub(crate) fn fail(draft: &mut Draft, at: Duration) {
    let of = match draft.chance.below(3) {
        0 => draft.server(),
        _ => draft.process(),
    };
    let lasting = draft.seconds(1, 60);
    draft.add_for(at, lasting, Action::Fail(of));
}

/// A process that stands still for a while.
pub(crate) fn pause(draft: &mut Draft, at: Duration) {
    let of = match draft.chance.below(4) {
        0 => draft.server(),
        _ => draft.process(),
    };
    let lasting = draft.seconds(1, 30);
    draft.add_for(at, lasting, Action::Pause(of));
}

/// A process that is cut off, in one direction or both.
pub(crate) fn cut(draft: &mut Draft, at: Duration) {
    let of = draft.process();
    let action = match draft.chance.below(3) {
        0 => Action::Mute(of),
        1 => Action::Deafen(of),
        _ => Action::Cut(of),
    };
    let lasting = draft.seconds(1, 60);
    draft.add_for(at, lasting, action);
}

/// Messages that take longer.
pub(crate) fn slow(draft: &mut Draft, at: Duration) {
    let of = draft.process();
    let by = Duration::from_millis(50 * (1 + draft.chance.below(40)));
    let by = crate::scenario::Span(by);
    let lasting = draft.seconds(1, 60);
    draft.add_for(at, lasting, Action::Slow(Delay { of, by }));
}

fn some_requests(draft: &mut Draft) -> Requests {
    let wanted: &[(&str, Option<&str>, Option<&str>)] = &[
        (MANAGER, None, None),
        (MANAGER, Some("POST"), Some("pods")),
        (MANAGER, Some("DELETE"), Some("pods")),
        (MANAGER, Some("POST"), Some("replicasets.apps")),
        (MANAGER, Some("PATCH"), None),
        (MANAGER, Some("PUT"), None),
        (MANAGER, Some("GET"), None),
        (SCHEDULER, Some("POST"), Some("pods/binding")),
        (SCHEDULER, None, None),
        ("node", None, None),
    ];
    let (of, method, resource) = *draft.pick(wanted);
    let of = match of {
        "node" => draft.node(),
        of => of.to_owned(),
    };
    Requests {
        of,
        method: method.map(str::to_owned),
        resource: resource.map(str::to_owned),
        times: 1 + draft.chance.below(3) as u32,
        status: None,
    }
}

/// Answers that are lost.
pub(crate) fn lose(draft: &mut Draft, at: Duration) {
    let requests = some_requests(draft);
    draft.add(at, Action::Lose(requests));
}

/// Requests that are refused.
pub(crate) fn refuse(draft: &mut Draft, at: Duration) {
    let mut requests = some_requests(draft);
    requests.status = Some(*draft.pick(&[500, 503, 504, 429]));
    draft.add(at, Action::Refuse(requests));
}

/// An API server that lags behind the store.
pub(crate) fn lag(draft: &mut Draft, at: Duration) {
    let of = draft.server();
    let by = Duration::from_millis(100 * (1 + draft.chance.below(50)));
    let by = crate::scenario::Span(by);
    let lasting = draft.seconds(1, 60);
    draft.add_for(at, lasting, Action::Lag(Delay { of, by }));
}

/// A process that is started anew against an API server which has seen nothing for a while.
pub(crate) fn time_travel(draft: &mut Draft, at: Duration) {
    if draft.cluster.apiservers < 2 {
        return restart(draft, at);
    }
    let (stale, of) = (draft.server(), draft.process());
    let before = Duration::from_millis(500 * draft.chance.below(30));
    let frozen = Stream {
        of: stale.clone(),
        resource: None,
    };
    let lasting = before + draft.seconds(1, 30);
    let from = at.saturating_sub(before).max(super::FIRST);
    draft.add_for(from, lasting, Action::Hold(frozen));
    draft.add(
        at,
        Action::Move(Move {
            of: of.clone(),
            to: stale,
        }),
    );
    draft.add(at, Action::Restart(of));
}

/// A process that speaks to another API server.
pub(crate) fn move_over(draft: &mut Draft, at: Duration) {
    let (of, to) = (draft.process(), draft.server());
    draft.add(at, Action::Move(Move { of, to }));
}

/// A clock that is wrong.
pub(crate) fn clock(draft: &mut Draft, at: Duration) {
    let of = draft.process();
    let by = crate::scenario::Span(draft.seconds(1, 120));
    let none = crate::scenario::Span::default();
    let (ahead, behind) = match draft.chance.below(2) {
        0 => (by, none),
        _ => (none, by),
    };
    let clock = Clock {
        of,
        ahead,
        behind,
        drift: draft.chance.below(2000) as i32 - 1000,
    };
    draft.add(at, Action::Clock(clock));
}

/// The store forgets its past.
pub(crate) fn compact(draft: &mut Draft, at: Duration) {
    draft.add(at, Action::Compact(Everything {}));
}

/// The control plane loses its power.
pub(crate) fn power_cut(draft: &mut Draft, at: Duration) {
    draft.add(at, Action::PowerCut(Everything {}));
}

/// A program that ends.
pub(crate) fn exit(draft: &mut Draft, at: Duration) {
    let pods = ["default/web-*", "default/api-*", "default/*"];
    let pod = (*draft.pick(&pods)).to_owned();
    let code = *draft.pick(&[0, 1, 137]);
    let container = None;
    draft.add(
        at,
        Action::Exit(Exit {
            pod,
            container,
            code,
        }),
    );
}
