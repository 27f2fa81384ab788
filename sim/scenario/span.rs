//! Spans of time as Go writes them: `90s`, `1h30m`, `250ms`.
//!
//! Book: `book/src/simulator/scenarios.md`.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map(Span).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is not a span such as 90s, 1h30m or 250ms"
            ))
        })
    }
}

/// Reads `1h30m`: whole numbers with the units h, m, s and ms; `None` for other text.
pub fn parse_span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(u32::try_from(number).ok()?)?)?;
        rest = &rest[end..];
    }
    Some(total)
}

/// Prints what [`parse_span`] reads; what is finer than a millisecond is left out.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let parts = [
            (millis / 3_600_000, "h"),
            (millis / 60_000 % 60, "m"),
            (millis / 1000 % 60, "s"),
            (millis % 1000, "ms"),
        ];
        let shown = parts.iter().filter(|(number, _)| *number > 0);
        for (number, unit) in shown {
            write!(f, "{number}{unit}")?;
        }
        if millis == 0 {
            f.write_str("0s")?;
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_go_writes_them() {
        assert_eq!(parse_span("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_span("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "5", "s", "5 s", "-1s", "1d", "99999999999999h"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
        for text in ["1h30m", "250ms", "0s", "6m1s", "1s1ms"] {
            assert_eq!(Span(parse_span(text).unwrap()).to_string(), text);
        }
    }
}
