//! Exponential back-off as the kubelet counts it, for restarts and for image pulls.
//!
//! 1. The first failure waits for nothing but sets the delay that the second one waits.
//! 2. A delay is doubled by each failure up to five minutes, and forgotten after ten good minutes.
//!
//! The rule is `k8s.io/client-go/util/flowcontrol/backoff.go` with the kubelet's figures (10 s,
//! 5 min). Upstream keeps a map for the whole process; here each container holds its own 16 bytes.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::time::Duration;

use wavetank_api::Time;

const FIRST_MS: u32 = 10_000;
const MOST_MS: u32 = 300_000;

/// The delay of the latest failure, and when it began. New: no failure yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    delay_ms: u32,
    updated: Time,
}

// ANCHOR: backoff
impl Backoff {
    /// The delay that stands.
    pub fn delay(self) -> Duration {
        Duration::from_millis(u64::from(self.delay_ms))
    }

    /// When the next try may start, for a failure at `failed`; `None`: now.
    pub fn until(self, failed: Time) -> Option<Time> {
        (self.delay_ms > 0 && !self.is_forgotten(failed)).then(|| failed + self.delay())
    }

    /// Counts a try that starts at `now` because of a failure at `failed`.
    pub fn next(&mut self, failed: Time, now: Time) {
        self.delay_ms = if self.delay_ms == 0 || self.is_forgotten(failed) {
            FIRST_MS
        } else {
            (self.delay_ms * 2).min(MOST_MS)
        };
        self.updated = now;
    }

    fn is_forgotten(self, failed: Time) -> bool {
        failed.since(self.updated) > Duration::from_millis(2 * u64::from(MOST_MS))
    }
}
// ANCHOR_END: backoff

#[cfg(test)]
mod tests {
    use super::*;

    /// Delays before the restarts of a program that lives for `life` seconds each time.
    fn delays(life: u64, times: usize) -> Vec<u64> {
        let (mut backoff, mut now) = (Backoff::default(), Time::from_secs(1_000_000));
        let mut seen = Vec::new();
        for _ in 0..times {
            let failed = now + Duration::from_secs(life);
            let at = backoff.until(failed).unwrap_or(failed);
            seen.push(at.since(failed).as_secs());
            backoff.next(failed, at);
            now = at;
        }
        seen
    }

    #[test]
    fn delays_double_from_ten_seconds_to_five_minutes() {
        assert_eq!(delays(1, 9), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn delays_are_forgotten_after_ten_good_minutes() {
        assert_eq!(delays(600, 4), [0, 10, 20, 40]);
        assert_eq!(delays(601, 4), [0, 0, 0, 0]);
    }
}
