//! What makes a step impossible: names of things that do not exist, and no sense.
//!
//! Book: `book/src/simulator/scenarios.md`.

use super::name::{ObjectName, manifest_kind, resource_kind};
use super::step::{Action, Deletion, Requests, Step, Stream};
use super::{ClusterSpec, Patch, Recreation};
use wavetank_api::kinds::KindId;

/// The field concerned, and what is wrong with it.
type Complaint = (String, String);

impl Step {
    /// Says what this cluster does not have, or what makes no sense.
    pub(super) fn check(&self, cluster: &ClusterSpec) -> Result<(), Complaint> {
        if self.lasting.is_some() && !self.action.can_last() {
            let what = "only a fault lasts: fail, pause, clock, cut, mute, deafen, slow, hold, lag";
            return Err(("for".to_owned(), what.to_owned()));
        }
        let in_field = |field: &'static str| move |what| (field.to_owned(), what);
        let process = |field, name: &str| cluster.knows_process(name).map_err(in_field(field));
        let server = |field, name: &str| match cluster.server_number(name) {
            Some(_) => Ok(()),
            None => Err(named((field, format!("no API server {name:?}")))),
        };
        match &self.action {
            Action::Create(objects) => objects
                .iter()
                .try_for_each(|object| manifest_kind(object).map(|_| ()))
                .map_err(in_field("create")),
            Action::Patch(Patch { object, .. }) => an_object("patch.object", object),
            Action::Delete(deletion) => deletion.check(),
            Action::Recreate(Recreation { object, .. }) => an_object("recreate.object", object),
            Action::Fail(name) if cluster.server_number(name).is_some() => Ok(()),
            Action::Recover(name) if cluster.server_number(name).is_some() => Ok(()),
            Action::Pause(name) if cluster.server_number(name).is_some() => Ok(()),
            Action::Fail(name) => process("fail", name),
            Action::Recover(name) => process("recover", name),
            Action::Restart(name) => process("restart", name),
            Action::Crash(crash) if crash.writes == 0 => {
                Err(named(("crash.writes", "at least one".to_owned())))
            }
            Action::Crash(crash) => process("crash.of", &crash.of),
            Action::Pause(name) => process("pause", name),
            Action::Clock(clock) => process("clock.of", &clock.of),
            Action::Cut(name) => process("cut", name),
            Action::Mute(name) => process("mute", name),
            Action::Deafen(name) => process("deafen", name),
            Action::Heal(name) => process("heal", name),
            Action::Slow(delay) => process("slow.of", &delay.of),
            Action::Hold(stream) => stream.check("hold", cluster),
            Action::Release(stream) => stream.check("release", cluster),
            Action::Break(stream) => stream.check("break", cluster),
            Action::Lose(requests) => requests.check("lose", cluster),
            Action::Refuse(requests) => requests.check("refuse", cluster),
            Action::Move(to) => process("move.of", &to.of).and(server("move.to", &to.to)),
            Action::Lag(delay) => server("lag.of", &delay.of),
            Action::Compact(_) | Action::PowerCut(_) => Ok(()),
            Action::Exit(exit) => an_object("exit.pod", &format!("pods/{}", exit.pod)),
        }
    }
}

fn named((field, what): (&str, String)) -> Complaint {
    (field.to_owned(), what)
}

fn an_object(field: &str, text: &str) -> Result<(), Complaint> {
    match ObjectName::parse(text) {
        Ok(_) => Ok(()),
        Err(what) => Err((field.to_owned(), what)),
    }
}

impl Action {
    /// Whether it is a state that can end, and not an event.
    pub fn can_last(&self) -> bool {
        matches!(
            self,
            Action::Fail(_)
                | Action::Pause(_)
                | Action::Clock(_)
                | Action::Cut(_)
                | Action::Mute(_)
                | Action::Deafen(_)
                | Action::Slow(_)
                | Action::Hold(_)
                | Action::Lag(_)
        )
    }
}

impl Deletion {
    fn check(&self) -> Result<(), Complaint> {
        let policies = ["Background", "Foreground", "Orphan"];
        if let Some(policy) = &self.propagation
            && !policies.contains(&policy.as_str())
        {
            let what = format!("{policy:?} is none of {}", policies.join(", "));
            return Err(("delete.propagation".to_owned(), what));
        }
        an_object("delete", &self.object)
    }
}

impl Stream {
    fn check(&self, field: &str, cluster: &ClusterSpec) -> Result<(), Complaint> {
        if cluster.server_number(&self.of).is_none() {
            let known = cluster.knows_process(&self.of);
            known.map_err(|what| (format!("{field}.of"), what))?;
        }
        match &self.resource {
            Some(resource) => resource_kind(resource)
                .map(|_| ())
                .map_err(|what| (format!("{field}.resource"), what)),
            None => Ok(()),
        }
    }
}

impl Requests {
    fn check(&self, field: &str, cluster: &ClusterSpec) -> Result<(), Complaint> {
        let known = cluster.knows_process(&self.of);
        known.map_err(|what| (format!("{field}.of"), what))?;
        if let Some(method) = &self.method
            && !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str())
        {
            return Err((format!("{field}.method"), format!("no method {method:?}")));
        }
        if self
            .status
            .is_some_and(|status| !(400..600).contains(&status))
        {
            let what = "a refusal has a status from 400 to 599";
            return Err((format!("{field}.status"), what.to_owned()));
        }
        self.kind()
            .map_err(|what| (format!("{field}.resource"), what))?;
        Ok(())
    }

    /// The kind and subresource that are meant.
    pub(crate) fn kind(&self) -> Result<Option<(KindId, &str)>, String> {
        let Some(resource) = &self.resource else {
            return Ok(None);
        };
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Ok(Some((resource_kind(resource)?, subresource)))
    }
}

impl ClusterSpec {
    /// The number in `apiserver-1`, if there is such a server.
    pub(crate) fn server_number(&self, name: &str) -> Option<usize> {
        let number: usize = name.strip_prefix("apiserver-")?.parse().ok()?;
        (number < self.apiservers as usize).then_some(number)
    }

    /// The names of all processes but API servers, in the order in which they start.
    pub(crate) fn processes(&self) -> impl Iterator<Item = String> {
        let several = |name: &'static str, count| {
            (0..count).map(move |number| match number {
                0 => name.to_owned(),
                _ => format!("{name}-{number}"),
            })
        };
        several("controller-manager", self.managers)
            .chain(several("scheduler", self.schedulers))
            .chain((0..self.nodes).map(|number| format!("node-{number}")))
    }

    fn knows_process(&self, name: &str) -> Result<(), String> {
        let numbered = |prefix: &str, count: u32| {
            let number = name
                .strip_prefix(prefix)
                .and_then(|n| n.parse::<u32>().ok());
            number.is_some_and(|number| number < count)
        };
        let is_known = name == "scheduler"
            || name == "controller-manager"
            || numbered("node-", self.nodes)
            || (numbered("scheduler-", self.schedulers) && name != "scheduler-0")
            || (numbered("controller-manager-", self.managers) && name != "controller-manager-0");
        match (is_known, self.nodes) {
            (true, _) => Ok(()),
            (false, 0) => Err(format!("no process {name:?}; the cluster has no nodes")),
            (false, nodes) => Err(format!(
                "no process {name:?}; there are scheduler, controller-manager and node-0 to \
                 node-{}",
                nodes - 1
            )),
        }
    }
}
