//! The clock of a machine: how its time differs from the world's.
//!
//! 1. A clock never runs backwards by itself; only to set it anew can take it back.
//!
//! Book: `book/src/simulator/faults.md`.

use wavetank_api::Time;

/// A clock, as a line through the world's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalClock {
    /// The world's time when it was set, in microseconds.
    set: i64,
    /// How far ahead of the world it was set, in microseconds; negative: behind.
    ahead: i64,
    /// What it gains each second, in microseconds; more than -1,000,000.
    drift: i64,
}

impl LocalClock {
    /// A clock set at `now` to be so far ahead, gaining so much a second.
    pub(crate) fn set(now: Time, ahead: i64, drift: i32) -> Self {
        LocalClock {
            set: now.as_micros(),
            ahead,
            drift: i64::from(drift).max(-900_000),
        }
    }

    /// What it shows at the world's time `now`.
    pub(crate) fn shows(self, now: Time) -> Time {
        let passed = now.as_micros().saturating_sub(self.set);
        let gained = i128::from(passed) * i128::from(self.drift) / 1_000_000;
        let gained = i64::try_from(gained).unwrap_or(0);
        Time::from_micros(
            now.as_micros()
                .saturating_add(self.ahead)
                .saturating_add(gained),
        )
    }

    /// The world's time at which it will show `local`, or the first at which it shows more.
    pub(crate) fn when(self, local: Time) -> Time {
        if self == LocalClock::default() {
            return local;
        }
        let passed = local
            .as_micros()
            .saturating_sub(self.ahead)
            .saturating_sub(self.set);
        let rate = 1_000_000 + i128::from(self.drift);
        let real = (i128::from(passed) * 1_000_000).div_euclid(rate);
        let mut at = Time::from_micros(self.set.saturating_add(i64::try_from(real).unwrap_or(0)));
        while self.shows(at) < local {
            at = at + core::time::Duration::from_micros(1);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_timer_goes_off_when_the_clock_shows_its_time(
            ahead in -100_000_000i64..100_000_000,
            drift in -200_000i32..200_000,
            after in 0u64..10_000_000_000,
        ) {
            let now = Time::from_secs(1_000_000);
            let clock = LocalClock::set(now, ahead, drift);
            let local = clock.shows(now) + Duration::from_micros(after);
            let at = clock.when(local);
            prop_assert!(clock.shows(at) >= local);
            prop_assert!(clock.shows(at) <= local + Duration::from_micros(2));
        }
    }
}
