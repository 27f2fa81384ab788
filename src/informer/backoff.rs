//! How long to wait before trying again: exponential, capped, jittered from a seed.
//!
//! Reflectors and the leader elector wait with it; the workqueue has its own, per key.
//!
//! 1. A wait is at least the base and less than base plus jitter, and bases never exceed the cap.
//! 2. Equal seeds give equal waits.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::time::Duration;

use wavetank_api::Time;

/// A small stream of chance for jitter (SplitMix64: Steele, Lea and Flood 2014). Not for secrets,
/// and not for anything whose quality matters: it spreads clients out in time.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Chance { state: seed }
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A duration from zero up to, not including, `limit` (in whole microseconds).
    pub fn up_to(&mut self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.draw().checked_rem(micros).unwrap_or(0))
    }
}

/// The schedule of waits of one thing that keeps failing.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    /// A quiet time this long since the last failure starts the schedule anew.
    forget_after: Duration,
    chance: Chance,
    /// Written by `next`: the base of the wait given last, and when.
    last: Option<(Duration, Time)>,
}

impl Backoff {
    /// Waits of `first`, doubling up to `cap`, each with up to as much again as jitter.
    pub fn new(first: Duration, cap: Duration, forget_after: Duration, seed: u64) -> Self {
        Backoff {
            first,
            cap,
            forget_after,
            chance: Chance::new(seed),
            last: None,
        }
    }

    /// The reflector's: 800 ms to 30 s, forgotten after two minutes
    /// (client-go `tools/cache/reflector.go`).
    pub fn of_reflector(seed: u64) -> Self {
        let [first, cap, forget] = [800, 30_000, 120_000].map(Duration::from_millis);
        Backoff::new(first, cap, forget, seed)
    }

    /// Counts a failure at `now`; the wait before the next try.
    pub fn next(&mut self, now: Time) -> Duration {
        let base = match self.last {
            Some((base, at)) if now.since(at) < self.forget_after => (base * 2).min(self.cap),
            _ => self.first,
        };
        self.last = Some((base, now));
        base + self.chance.up_to(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_forgotten() {
        let mut backoff = Backoff::of_reflector(7);
        let mut base = Duration::from_millis(800);
        for _ in 0..10 {
            let wait = backoff.next(Time::EPOCH);
            assert!(wait >= base && wait < base * 2, "{wait:?} for {base:?}");
            base = (base * 2).min(Duration::from_secs(30));
        }
        let later = Time::from_secs(120);
        assert!(backoff.next(later) < Duration::from_millis(1600));
    }
}
