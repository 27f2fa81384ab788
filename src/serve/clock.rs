//! The cluster's clock: the wall's, or one that runs faster.
//!
//! Everything in the cluster reads this one; TLS alone reads the wall.
//!
//! 1. It never goes back.
//!
//! Left out: time while the machine is suspended (it stands still then).
//!
//! Book: `book/src/control-plane/serving.md`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wavetank_api::Time;

/// Cluster time as a line: where it was at one moment of the wall, and how fast it runs since.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Instant,
    cluster: Time,
    speed: f64,
}

impl Clock {
    /// The wall's time at the wall's speed.
    pub fn wall() -> Self {
        Clock::new(wall_time(), 1.0)
    }

    /// A clock that shows `start` now and runs `speed` times as fast as the wall; `speed` must be
    /// greater than 0.
    pub fn new(start: Time, speed: f64) -> Self {
        assert!(speed.is_finite() && speed > 0.0, "a clock goes forward");
        Clock {
            wall: Instant::now(),
            cluster: start,
            speed,
        }
    }

    /// Cluster time now.
    pub fn now(&self) -> Time {
        self.cluster + self.wall.elapsed().mul_f64(self.speed)
    }

    /// When the wall will have come to this cluster time.
    pub fn instant(&self, at: Time) -> Instant {
        self.wall + self.on_wall(at.since(self.cluster))
    }

    /// How long a span of cluster time takes, at most thirty years.
    pub fn on_wall(&self, span: Duration) -> Duration {
        let seconds = span.as_secs_f64() / self.speed;
        Duration::from_secs_f64(seconds.min(1e9))
    }
}

/// The wall's time, for certificates and for the start of a clock.
pub fn wall_time() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time::EPOCH + since
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_times_as_fast_means_a_minute_is_a_second() {
        let start = Time::from_secs(1000);
        let clock = Clock::new(start, 60.0);
        let minute = start + Duration::from_secs(60);
        assert_eq!(clock.instant(minute) - clock.wall, Duration::from_secs(1));
        assert!(clock.now() >= start);
    }
}
