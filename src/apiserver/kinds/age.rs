//! How long ago, in kubectl's words: `45s`, `2m10s`, `5h`, `3d4h`, `2y90d`.
//!
//! Used by every row of a table. Source: `k8s.io/apimachinery/pkg/util/duration` (HumanDuration).
//!
//! 1. A text never has more than two units.
//!
//! Book: `book/src/control-plane/kinds.md`.

use core::time::Duration;

use wavetank_api::Time;
use wavetank_api::json::Value;

use super::edit;

/// The age of an object: the time since its creationTimestamp, or `<unknown>`.
pub fn of_object(object: &Value, now: Time) -> String {
    since(edit::text(object, &["metadata", "creationTimestamp"]), now)
}

/// The time since an RFC 3339 time stamp, or `<unknown>` when there is none.
pub fn since(stamp: &str, now: Time) -> String {
    Time::parse(stamp).map_or_else(|| "<unknown>".into(), |then| human(now.since(then)))
}

/// A duration as people read it: two units at most, the smaller one only where it still matters.
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let years = days / 365;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_kubectl() {
        let minute = 60;
        let hour = 60 * minute;
        let day = 24 * hour;
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 10, "2m10s"),
            (10 * minute + 30, "10m"),
            (3 * hour - 1, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 5 * minute, "3h5m"),
            (8 * hour + 5 * minute, "8h"),
            (47 * hour, "47h"),
            (2 * day + 2 * hour, "2d2h"),
            (8 * day + 2 * hour, "8d"),
            (729 * day, "729d"),
            (2 * 365 * day + 3 * day, "2y3d"),
            (9 * 365 * day, "9y"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), text);
        }
    }
}
