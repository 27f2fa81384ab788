//! Cluster time: a point on a clock that somebody else reads.
//!
//! Every core takes `now: Time` as an argument; the shells decide whether it is the wall clock or a
//! simulated one.
//!
//! 1. Text forms round-trip: seconds for `metav1.Time`, microseconds for `metav1.MicroTime`.
//!
//! Book: `book/src/ground/time.md`.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point of cluster time in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    micros: i64,
}

impl Time {
    /// The earliest time: 1970-01-01T00:00:00Z.
    pub const EPOCH: Time = Time { micros: 0 };

    /// The time `micros` microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Time { micros }
    }

    /// The time `seconds` seconds after the epoch.
    pub const fn from_secs(seconds: i64) -> Self {
        Time {
            micros: seconds * 1_000_000,
        }
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.micros
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.micros.div_euclid(1_000_000)
    }

    /// The same time cut to whole seconds, as it comes back from a `metav1.Time`.
    pub const fn cut_to_seconds(self) -> Self {
        Time::from_secs(self.as_secs())
    }

    // ANCHOR: since
    /// Time passed since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(
            u64::try_from(self.micros.saturating_sub(earlier.micros)).unwrap_or(0),
        )
    }
    // ANCHOR_END: since

    /// `2026-01-02T03:04:05Z`: the form of `metav1.Time`.
    pub fn to_rfc3339(self) -> String {
        self.text(false)
    }

    /// `2026-01-02T03:04:05.000006Z`: the form of `metav1.MicroTime`.
    pub fn to_rfc3339_micros(self) -> String {
        self.text(true)
    }

    /// Reads either form, with any fraction and offset that RFC 3339 allows; `None` for other text.
    pub fn parse(text: &str) -> Option<Self> {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        Some(Time {
            micros: timestamp.as_microsecond(),
        })
    }

    /// Written digit by digit: an object carries ten times, and a format string is read for each.
    fn text(self, with_micros: bool) -> String {
        let timestamp = jiff::Timestamp::from_microsecond(self.micros);
        let timestamp = timestamp.unwrap_or(jiff::Timestamp::MAX);
        let time = jiff::tz::Offset::UTC.to_datetime(timestamp);
        let mut text = String::with_capacity("2026-01-02T03:04:05.000006Z".len());
        if time.year() < 0 {
            text.push('-');
        }
        push_digits(4, u32::from(time.year().unsigned_abs()), &mut text);
        let rest = [
            ('-', time.month()),
            ('-', time.day()),
            ('T', time.hour()),
            (':', time.minute()),
            (':', time.second()),
        ];
        for (mark, number) in rest {
            text.push(mark);
            push_digits(2, u32::from(number.unsigned_abs()), &mut text);
        }
        if with_micros {
            text.push('.');
            push_digits(
                6,
                time.subsec_nanosecond().unsigned_abs() / 1_000,
                &mut text,
            );
        }
        text.push('Z');
        text
    }
}

/// Writes the last `count` digits of a number.
fn push_digits(count: u32, number: u32, to: &mut String) {
    for place in (0..count).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        to.push(char::from_digit(digit, 10).unwrap_or('0')); // a digit is below ten
    }
}

// ANCHOR: add
impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, by: Duration) -> Time {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Time {
            micros: self.micros.saturating_add(by),
        }
    }
}
// ANCHOR_END: add

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, by: Duration) -> Time {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Time {
            micros: self.micros.saturating_sub(by),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339_micros())
    }
}

/// As `metav1.Time`: whole seconds.
impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                Time::parse(text).ok_or_else(|| E::custom("not an RFC 3339 time"))
            }
        }
        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_text_forms_round_trip() {
        let time = Time::from_micros(1_767_323_045_000_006);
        assert_eq!(time.to_rfc3339(), "2026-01-02T03:04:05Z");
        assert_eq!(time.to_rfc3339_micros(), "2026-01-02T03:04:05.000006Z");
        assert_eq!(Time::parse("2026-01-02T03:04:05.000006Z"), Some(time));
        assert_eq!(
            Time::parse("2026-01-02T04:04:05+01:00"),
            Some(time.cut_to_seconds())
        );
        assert_eq!(Time::parse("yesterday"), None);
    }

    proptest::proptest! {
        #[test]
        fn digits_are_those_of_jiff_from_the_year_0_on(micros: i64, shift in 0..64_u32) {
            let year_0 = Time::parse("0000-01-01T00:00:00Z").unwrap();
            let time = Time::from_micros(micros >> shift).max(year_0);
            let theirs = jiff::Timestamp::from_microsecond(time.micros);
            let theirs = theirs.unwrap_or(jiff::Timestamp::MAX);
            let seconds = theirs.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            proptest::prop_assert_eq!(time.to_rfc3339(), seconds);
            let micros = theirs.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
            proptest::prop_assert_eq!(time.to_rfc3339_micros(), micros);
        }
    }
}
