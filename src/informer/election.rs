//! One of several acts: whoever holds the Lease, for as long as it can prove so.
//!
//! A component that may run more than once (controller manager, scheduler) holds an [`Elector`] and
//! acts only while [`Elector::is_leader`]. Upstream: client-go `tools/leaderelection`.
//!
//! 1. A holder stops acting ten seconds after it *sent* its last successful renewal, on its own
//!    clock; others wait fifteen seconds after they *saw* it. So two never act at once, if clocks
//!    run at rates that differ by less than a half (I6, M91).
//! 2. Nobody compares its clock with a time written by another: expiry counts from the moment a
//!    candidate saw the record change (M92).
//! 3. The Lease is written with the revision it was read at: of two candidates one gets `Conflict`.
//!
//! Left out: releasing the lease on shutdown, and coordinated election by version.
//!
//! Book: `book/src/control-plane/leader-election.md`.

use core::time::Duration;
use std::sync::Arc;

use serde_json::{Value, json};

use wavetank_api::{Guard, Guards, KindId, Response, Time};

use crate::backoff::Chance;
use crate::client::{ApiError, Client, parse};
use crate::component::{CallId, CallIds, Input, Output};
use crate::view::Key;

/// Upstream's defaults (`--leader-elect-lease-duration` and its siblings).
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A leader that has not renewed for this long stops.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two tries.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// What an elector runs for, and as whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Lease, `kube-system/kube-controller-manager`.
    pub lease: Key,
    /// Different for every process that ever runs.
    pub identity: Arc<str>,
    /// Builds the requests.
    pub client: Client,
    /// Spreads tries in time.
    pub seed: u64,
    /// The guards that are kept.
    pub guards: Guards,
}

/// A change of role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The lease is ours: start.
    Elected,
    /// It is not ours any more, or cannot be proved to be: stop at once, forget everything.
    Deposed,
}

/// A call under way.
#[derive(Debug)]
enum Under {
    Get(CallId),
    /// Creating or updating, sent then.
    Put(CallId, Time),
}

/// A candidate, or the leader.
#[derive(Debug)]
pub struct Elector {
    config: Config,
    chance: Chance,
    /// The lease as last read or written, and when its spec was first seen so.
    seen: Option<(Value, Time)>,
    under: Option<Under>,
    /// When to try next.
    next_try: Option<Time>,
    /// When the last successful renewal was sent; set while leader.
    renewed: Option<Time>,
}

impl Elector {
    /// A candidate that has not started.
    pub fn new(config: Config) -> Self {
        Elector {
            chance: Chance::new(config.seed),
            config,
            seen: None,
            under: None,
            next_try: None,
            renewed: None,
        }
    }

    // ANCHOR: is_leader
    /// Whether this process may act at `now`.
    pub fn is_leader(&self, now: Time) -> bool {
        let in_time = |sent: Time| now.since(sent) < RENEW_DEADLINE;
        match self.renewed {
            Some(sent) => in_time(sent) || !self.config.guards.on(Guard::M91),
            None => false,
        }
    }
    // ANCHOR_END: is_leader

    /// When it wants to be called though nothing happened.
    pub fn next_wake(&self) -> Option<Time> {
        let deadline = self.renewed.map(|sent| sent + RENEW_DEADLINE);
        let deadline = deadline.filter(|_| self.config.guards.on(Guard::M91));
        self.next_try.into_iter().chain(deadline).min()
    }

    /// Takes an input; a change of role, if it brings one.
    pub fn handle<O, E>(
        &mut self,
        input: &Input<O>,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) -> Option<Turn> {
        if self.renewed.is_some() && !self.is_leader(now) {
            self.renewed = None;
            self.retry(now);
            return Some(Turn::Deposed);
        }
        match input {
            Input::Start => self.get(ids, out),
            Input::Response(call, response) if self.owns(*call) => {
                return self.answered(response, now, ids, out);
            }
            Input::Failed(call, _) if self.owns(*call) => {
                self.under = None;
                self.retry(now);
            }
            _ => {}
        }
        if self.next_try.is_some_and(|at| at <= now) && self.under.is_none() {
            self.next_try = None;
            match &self.seen {
                // The leader skips the read: nobody else has written while its lease ran.
                Some((lease, _)) if self.renewed.is_some() => {
                    let lease = lease.clone();
                    self.put(Some(lease), now, ids, out);
                }
                _ => self.get(ids, out),
            }
        }
        None
    }

    fn owns(&self, call: CallId) -> bool {
        match &self.under {
            Some(Under::Get(id) | Under::Put(id, _)) => *id == call,
            None => false,
        }
    }

    fn retry(&mut self, now: Time) {
        // Candidates spread out; a leader keeps its beat.
        let jitter = match self.renewed {
            Some(_) => Duration::ZERO,
            None => self.chance.up_to(RETRY_PERIOD.mul_f64(1.2)),
        };
        self.next_try = Some(now + RETRY_PERIOD + jitter);
    }

    fn get<E>(&mut self, ids: &mut CallIds, out: &mut Vec<Output<E>>) {
        let call = ids.fresh();
        let get = self.config.client.get(KindId::Lease, &self.config.lease);
        out.push(Output::Call(call, get));
        self.under = Some(Under::Get(call));
    }

    fn answered<E>(
        &mut self,
        response: &Response,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) -> Option<Turn> {
        let answer = parse(response).and_then(|body| {
            let lease = serde_json::from_slice::<Value>(&body);
            lease.map_err(|_| ApiError::from_status(500, &body))
        });
        match (self.under.take()?, answer) {
            (Under::Get(_), Ok(lease)) => self.read(lease, now, ids, out),
            (Under::Get(_), Err(error)) if error.is_not_found() => {
                self.put(None, now, ids, out);
                None
            }
            (Under::Put(_, sent), Ok(lease)) => {
                self.saw(lease, now);
                let turn = self.renewed.is_none().then_some(Turn::Elected);
                self.renewed = Some(sent);
                self.retry(now);
                turn
            }
            // Conflict: somebody else has written. Look who, at once, if we thought it was us.
            (Under::Put(..), Err(error)) if error.is_conflict() && self.renewed.is_some() => {
                self.get(ids, out);
                None
            }
            (_, Err(_)) => {
                self.retry(now);
                None
            }
        }
    }

    /// Decides on the lease as it was just read.
    fn read<E>(
        &mut self,
        lease: Value,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) -> Option<Turn> {
        self.saw(lease.clone(), now);
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or("");
        let ours = holder == &*self.config.identity;
        if ours || holder.is_empty() || self.has_expired(&lease, now) {
            self.put(Some(lease), now, ids, out);
            return None;
        }
        let turn = self.renewed.take().map(|_| Turn::Deposed);
        self.retry(now);
        turn
    }

    // ANCHOR: has_expired
    /// Whether another's lease has run out. Counted from when we saw it change, never
    /// from the time it carries: that one was read from another clock.
    fn has_expired(&self, lease: &Value, now: Time) -> bool {
        let seconds = lease["spec"]["leaseDurationSeconds"].as_u64();
        let duration = seconds.map_or(LEASE_DURATION, Duration::from_secs);
        let written = lease["spec"]["renewTime"].as_str().and_then(Time::parse);
        let since = match &self.seen {
            Some((_, at)) if self.config.guards.on(Guard::M92) => *at,
            _ => written.unwrap_or(now),
        };
        since + duration <= now
    }
    // ANCHOR_END: has_expired

    fn saw(&mut self, lease: Value, now: Time) {
        let since = match &self.seen {
            Some((known, at)) if known["spec"] == lease["spec"] => *at,
            _ => now,
        };
        self.seen = Some((lease, since));
    }

    /// Takes or renews the lease; creates it when there is none.
    fn put<E>(
        &mut self,
        current: Option<Value>,
        now: Time,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) {
        let Config {
            lease: key,
            identity,
            client,
            ..
        } = &self.config;
        let exists = current.is_some();
        let mut lease = current.unwrap_or_else(|| {
            json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"namespace": &*key.namespace, "name": &*key.name},
            })
        });
        let held = lease["spec"]["holderIdentity"].as_str() == Some(identity);
        let transitions = lease["spec"]["leaseTransitions"].as_u64().unwrap_or(0);
        let mut spec = json!({
            "holderIdentity": &**identity,
            "leaseDurationSeconds": LEASE_DURATION.as_secs(),
            "renewTime": now.to_rfc3339_micros(),
        });
        spec["acquireTime"] = match held {
            true => lease["spec"]["acquireTime"].clone(),
            false => json!(now.to_rfc3339_micros()),
        };
        spec["leaseTransitions"] = match exists && !held {
            true => json!(transitions + 1),
            false => json!(transitions),
        };
        lease["spec"] = spec;
        let write = match exists {
            true => client.update(KindId::Lease, key, &lease),
            false => client.create(KindId::Lease, &key.namespace, &lease),
        };
        let call = ids.fresh();
        out.push(Output::Call(call, write.request));
        self.under = Some(Under::Put(call, now));
    }
}

#[cfg(test)]
mod tests;
