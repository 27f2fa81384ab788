//! Candidates against a lease that a test holds in its hand.
//!
//! Book: `book/src/control-plane/leader-election.md`.

use super::*;
use crate::component::Nothing;
use wavetank_api::Method;

/// The server: one lease, and a revision.
#[derive(Default)]
struct Server {
    lease: Option<Value>,
    revision: u64,
}

impl Server {
    fn answer(&mut self, request: &wavetank_api::Request) -> Response {
        let status = |code: u16, reason: &str| {
            let body = json!({"kind": "Status", "reason": reason, "code": code, "message": ""});
            Response::new(code, "application/json", body.to_string())
        };
        if request.method == Method::Get {
            return match &self.lease {
                Some(lease) => Response::new(200, "application/json", lease.to_string()),
                None => status(404, "NotFound"),
            };
        }
        let mut sent: Value = serde_json::from_slice(&request.body).unwrap();
        if let Some(lease) = &self.lease
            && lease["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"]
        {
            return status(409, "Conflict");
        }
        self.revision += 1;
        sent["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.lease = Some(sent.clone());
        Response::new(200, "application/json", sent.to_string())
    }
}

struct Candidate {
    elector: Elector,
    ids: CallIds,
    /// Added to true time: this process's clock.
    skew: Duration,
    leads: bool,
}

impl Candidate {
    fn new(identity: &str, skew: Duration, guards: Guards) -> Self {
        Candidate {
            elector: Elector::new(Config {
                lease: Key::new("kube-system", "x"),
                identity: identity.into(),
                client: Client::new("test", "test"),
                seed: identity.len() as u64,
                guards,
            }),
            ids: CallIds::default(),
            skew,
            leads: false,
        }
    }

    /// Gives one input and answers all requests at once, while `reachable`.
    fn step(&mut self, input: Input<Nothing>, now: Time, server: &mut Server, reachable: bool) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out: Vec<Output<Nothing>> = Vec::new();
            let now = now + self.skew;
            match self.elector.handle(&input, now, &mut self.ids, &mut out) {
                Some(Turn::Elected) => self.leads = true,
                Some(Turn::Deposed) => self.leads = false,
                None => {}
            }
            for output in out {
                let Output::Call(call, request) = output else {
                    continue;
                };
                inputs.push(match reachable {
                    true => Input::Response(call, server.answer(&request)),
                    false => Input::Failed(call, crate::component::Failure::Unreachable),
                });
            }
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_second_takes_over_fifteen_seconds_after_it_saw_the_last_renewal() {
    let mut server = Server::default();
    let mut one = Candidate::new("a", Duration::ZERO, Guards::default());
    let mut two = Candidate::new("bb", Duration::ZERO, Guards::default());
    let start = Time::from_secs(1_000);
    one.step(Input::Start, start, &mut server, true);
    two.step(Input::Start, start, &mut server, true);
    assert!(one.leads && !two.leads);
    let mut now = start;
    let (mut stopped, mut took_over) = (None, None);
    for second in 1..60 {
        now = now + SECOND;
        one.step(Input::Tick, now, &mut server, second < 20); // cut off after 20 s
        two.step(Input::Tick, now, &mut server, true);
        assert!(!(one.leads && two.leads), "two leaders at {second}");
        stopped = stopped.or((!one.leads).then_some(second));
        took_over = took_over.or(two.leads.then_some(second));
    }
    let (stopped, took_over) = (stopped.unwrap(), took_over.unwrap());
    assert!((28..=30).contains(&stopped), "stopped at {stopped}");
    assert!((33..=42).contains(&took_over), "took over at {took_over}");
    let lease = server.lease.unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    assert_eq!(lease["spec"]["holderIdentity"], "bb");
}

#[test]
fn a_candidate_whose_clock_is_ahead_does_not_take_over() {
    for (guards, takes_over) in [
        (Guards::default(), false),
        (Guards::without(&[Guard::M92]), true),
    ] {
        let mut server = Server::default();
        let mut one = Candidate::new("a", Duration::ZERO, guards);
        let mut two = Candidate::new("bb", SECOND * 60, guards);
        let start = Time::from_secs(1_000);
        one.step(Input::Start, start, &mut server, true);
        two.step(Input::Start, start, &mut server, true);
        let mut both = two.leads;
        for second in 1..30 {
            let now = start + SECOND * second;
            one.step(Input::Tick, now, &mut server, true);
            two.step(Input::Tick, now, &mut server, true);
            both |= two.leads;
        }
        assert_eq!(both, takes_over);
    }
}

/// M91: the leader stands still until another has taken over; then it goes on, and would write.
#[test]
fn a_leader_that_was_paused_does_not_go_on_leading() {
    for (guards, both_lead) in [
        (Guards::default(), false),
        (Guards::without(&[Guard::M91]), true),
    ] {
        let mut server = Server::default();
        let mut one = Candidate::new("a", Duration::ZERO, guards);
        let mut two = Candidate::new("bb", Duration::ZERO, guards);
        let mut now = Time::from_secs(1_000);
        one.step(Input::Start, now, &mut server, true);
        two.step(Input::Start, now, &mut server, true);
        assert!(one.elector.is_leader(now));
        while !two.leads {
            now = now + SECOND;
            two.step(Input::Tick, now, &mut server, true);
        }
        assert_eq!(one.elector.is_leader(now), both_lead);
    }
}

proptest::proptest! {
    /// Invariant 1, for clocks that are wrong by a constant: whenever the one may act, the other
    /// may not.
    #[test]
    fn two_never_act_at_once(
        skews in proptest::array::uniform2(0u64..1_000),
        links in proptest::collection::vec(proptest::array::uniform2(0u8..4), 1..120),
    ) {
        let mut server = Server::default();
        let start = Time::from_secs(10_000);
        let mut all = [("a", skews[0]), ("bb", skews[1])].map(|(identity, skew)| {
            Candidate::new(identity, SECOND * skew as u32, Guards::default())
        });
        for one in &mut all {
            one.step(Input::Start, start, &mut server, true);
        }
        let mut now = start;
        for up in links {
            now = now + SECOND;
            for (one, up) in all.iter_mut().zip(up) {
                // A process may be paused: it is not even told the time.
                if up > 0 {
                    one.step(Input::Tick, now, &mut server, up > 1);
                }
            }
            let acts = all.iter().filter(|c| c.elector.is_leader(now + c.skew));
            proptest::prop_assert!(acts.count() < 2);
        }
    }
}
