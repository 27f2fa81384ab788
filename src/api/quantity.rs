//! Resource quantities: `100m`, `1.5Gi`, `12e6`; exact decimal numbers with a remembered notation.
//!
//! Scheduler, kubelet and validation do sums with them; the API server stores them in upstream's
//! canonical form (`k8s.io/apimachinery/pkg/api/resource`).
//!
//! 1. What is parsed prints canonically, and the canonical text parses to the same number:
//!    `canonical_text_parses_to_the_same_number`.
//! 2. Order and sums are those of the numbers, whatever the notation: `order_and_sums_are_exact`.
//! 3. No text makes it panic: `any_text_is_an_answer_or_an_error`.
//!
//! Left out: numbers of more than 38 digits, which upstream keeps and we refuse. As upstream, what
//! is finer than a nano is rounded away from zero.
//!
//! Book: `book/src/ground/objects.md`.

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The notation a quantity was written in, which its canonical text keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `12M`, `100m`: powers of a thousand.
    DecimalSi,
    /// `12Mi`: powers of 1024.
    BinarySi,
    /// `12e6`.
    DecimalExponent,
}

/// Why a text is no quantity; the messages are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text has not the shape of a number and a suffix.
    #[error(
        "quantities must match the regular expression \
         '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The number has more digits than can be kept.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is not one of the known ones.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

// ANCHOR: quantity
/// An exact number `digits × 10^scale` of at most 38 digits, no finer than 10⁻⁹.
///
/// Two quantities are equal when their numbers are: `1Gi == 1073741824`.
#[derive(Clone, Copy)]
pub struct Quantity {
    /// Without trailing zeros, so that equal numbers have equal parts; less than 10^38.
    digits: i128,
    /// Zero when `digits` is; never below -9.
    scale: i32,
    format: Format,
}
// ANCHOR_END: quantity

const LIMIT: u128 = 10_u128.pow(38);
const NANO: i32 = -9;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

impl Quantity {
    /// Zero, in decimal notation.
    pub const ZERO: Quantity = Quantity {
        digits: 0,
        scale: 0,
        format: Format::DecimalSi,
    };

    /// The whole number `value`.
    pub fn from_value(value: i64, format: Format) -> Self {
        Quantity::new(value < 0, value.unsigned_abs().into(), 0, format).unwrap_or(Quantity::ZERO)
    }

    /// `value` thousandths: what CPU is counted in.
    pub fn from_milli(value: i64) -> Self {
        Quantity::new(
            value < 0,
            value.unsigned_abs().into(),
            -3,
            Format::DecimalSi,
        )
        .unwrap_or(Quantity::ZERO)
    }

    /// Reads any notation upstream reads.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Parts::split(text)?.quantity()
    }

    /// The text an API server stores for `text`: the canonical form, except for those texts that
    /// upstream's parser believes canonical already and keeps (`1.005`, `+5`).
    pub fn canonical(text: &str) -> Result<Cow<'_, str>, Error> {
        let parts = Parts::split(text)?;
        let quantity = parts.quantity()?;
        if parts.is_kept() {
            Ok(Cow::Borrowed(text))
        } else {
            Ok(Cow::Owned(quantity.to_string()))
        }
    }

    /// The notation its text has.
    pub fn format(self) -> Format {
        self.format
    }

    /// Whether the number is zero.
    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// -1, 0 or 1.
    pub fn signum(self) -> i32 {
        self.digits.signum() as i32
    }

    /// The number in whole units, rounded away from zero, cut to what an `i64` holds.
    pub fn value(self) -> i64 {
        self.scaled(0)
    }

    /// The number in thousandths, rounded away from zero, cut to what an `i64` holds.
    pub fn milli_value(self) -> i64 {
        self.scaled(-3)
    }

    /// The number in units of `10^scale`, rounded away from zero, cut to what an `i64` holds.
    pub fn scaled(self, scale: i32) -> i64 {
        let magnitude = rescale(self.digits.unsigned_abs(), self.scale.saturating_sub(scale));
        let magnitude = i64::try_from(magnitude.unwrap_or(u128::MAX)).unwrap_or(i64::MAX);
        if self.digits < 0 {
            -magnitude
        } else {
            magnitude
        }
    }

    /// The nearest float; for weighing and printing, never for accounting.
    pub fn as_f64(self) -> f64 {
        // Parsing decimal text is correctly rounded on every machine; `powi` is not.
        format!("{}e{}", self.digits, self.scale)
            .parse()
            .unwrap_or(0.0)
    }

    /// From a sign, a magnitude and a scale of any size: rounded up to a nano, without trailing
    /// zeros; `None` if that needs more than 38 digits.
    fn new(negative: bool, magnitude: u128, scale: i32, format: Format) -> Option<Self> {
        let (mut magnitude, mut scale) = if scale < NANO {
            (rescale(magnitude, scale.saturating_sub(NANO))?, NANO)
        } else {
            (magnitude, scale)
        };
        if magnitude == 0 {
            return Some(Quantity {
                digits: 0,
                scale: 0,
                format,
            });
        }
        while magnitude.is_multiple_of(10) && scale < i32::MAX {
            magnitude /= 10;
            scale += 1;
        }
        let digits = i128::try_from(magnitude)
            .ok()
            .filter(|_| magnitude < LIMIT)?;
        Some(Quantity {
            digits: if negative { -digits } else { digits },
            scale,
            format,
        })
    }

    /// `self + other` on one scale; when that needs more than 38 digits, the smaller number is
    /// rounded away from zero at the last digit there is room for.
    fn sum(self, other: Quantity, format: Format) -> Quantity {
        let (high, low) = if self.scale >= other.scale {
            (self, other)
        } else {
            (other, self)
        };
        if high.is_zero() || low.is_zero() {
            let kept = if high.is_zero() { low } else { high };
            return Quantity { format, ..kept };
        }
        let room = 37 - digit_count(high.digits.unsigned_abs());
        let scale = low.scale.max(high.scale.saturating_sub(room));
        let at = |q: Quantity| -> i128 {
            let magnitude = rescale(q.digits.unsigned_abs(), q.scale.saturating_sub(scale));
            let magnitude = i128::try_from(magnitude.unwrap_or(LIMIT)).unwrap_or(i128::MAX / 2);
            magnitude.min(i128::MAX / 2) * q.digits.signum()
        };
        let total = at(high) + at(low);
        let largest = Quantity {
            digits: LIMIT as i128 - 1,
            scale: i32::MAX,
            format,
        };
        Quantity::new(total < 0, total.unsigned_abs(), scale, format).unwrap_or(largest)
    }
}

/// `magnitude × 10^by`, rounded up; `None` when it does not fit.
fn rescale(magnitude: u128, by: i32) -> Option<u128> {
    if magnitude == 0 {
        return Some(0);
    }
    let factor = 10_u128.checked_pow(by.unsigned_abs());
    match (by >= 0, factor) {
        (true, factor) => magnitude.checked_mul(factor?),
        (false, Some(factor)) => Some(magnitude.div_ceil(factor)),
        (false, None) => Some(1),
    }
}

fn digit_count(magnitude: u128) -> i32 {
    magnitude.checked_ilog10().map_or(1, |log| log as i32 + 1)
}

/// A text taken apart, before its number is made.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
    format: Format,
    /// Of ten, or of two in [`Format::BinarySi`].
    exponent: i64,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Format);
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or_default()),
            Some(b'+') => (false, text.get(1..).unwrap_or_default()),
            _ => (false, text),
        };
        let (whole, rest) = take_while(rest, |b| b.is_ascii_digit());
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => take_while(rest, |b| b.is_ascii_digit()),
            None => ("", rest),
        };
        let (_, tail) = take_while(suffix, |b| b"eEinumkKMGTP".contains(&b));
        let tail = tail.strip_prefix(['-', '+']).unwrap_or(tail);
        if !tail.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::Format);
        }
        let (format, exponent) = read_suffix(suffix).ok_or(Error::Suffix)?;
        Ok(Parts {
            negative,
            whole: whole.trim_start_matches('0'),
            fraction,
            format,
            exponent,
        })
    }

    fn quantity(&self) -> Result<Quantity, Error> {
        let fraction = self.fraction.trim_end_matches('0');
        let mut magnitude: u128 = 0;
        for digit in self.whole.bytes().chain(fraction.bytes()) {
            let next = magnitude
                .checked_mul(10)
                .and_then(|m| m.checked_add((digit - b'0').into()));
            magnitude = next.ok_or(Error::Numeric)?;
        }
        let places = i64::try_from(fraction.len()).map_err(|_| Error::Numeric)?;
        if self.format != Format::BinarySi {
            let scale = self
                .exponent
                .saturating_sub(places)
                .max(i64::from(i32::MIN));
            let scale = i32::try_from(scale).map_err(|_| Error::Suffix)?;
            return Quantity::new(self.negative, magnitude, scale, self.format)
                .ok_or(Error::Numeric);
        }
        // Beyond 2^63-1 upstream cuts binary quantities, and below one it prints them in decimal.
        let scale = -i32::try_from(places).map_err(|_| Error::Numeric)?;
        let product = magnitude.checked_shl(self.exponent.try_into().map_err(|_| Error::Suffix)?);
        let whole = product
            .filter(|p| p >> self.exponent == magnitude)
            .ok_or(Error::Numeric)?;
        let most = Quantity::from_value(i64::MAX, Format::BinarySi);
        let most = if self.negative {
            Quantity {
                digits: -most.digits,
                ..most
            }
        } else {
            most
        };
        let read = Quantity::new(self.negative, whole, scale, self.format).unwrap_or(most);
        if read.abs() > most.abs() {
            return Ok(most);
        }
        let below_one = !read.is_zero() && read.abs() < Quantity::from_value(1, Format::DecimalSi);
        Ok(if below_one {
            Quantity {
                format: Format::DecimalSi,
                ..read
            }
        } else {
            read
        })
    }

    /// Whether upstream's fast path keeps the text as written (`ParseQuantity`).
    fn is_kept(&self) -> bool {
        let first = if self.whole.is_empty() { b'0' } else { b'1' };
        let digits = self.whole.len().max(1) + self.fraction.len();
        if self.format == Format::BinarySi {
            let room = 15 - self.whole.len().max(1) as i64 - self.exponent * 3 / 10 - 1;
            let last = self.whole.parse::<i64>().unwrap_or(0);
            return self.fraction.is_empty() && room >= 0 && last & 7 != 0;
        }
        let scale = self.exponent.saturating_sub(self.fraction.len() as i64);
        let zeros = format!("{}{}", self.whole, self.fraction).ends_with("000");
        digits <= 18 && scale >= NANO.into() && scale % 3 == 0 && !zeros && first != b'0'
    }
}

fn take_while(text: &str, is_part: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|b| !is_part(b)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn read_suffix(suffix: &str) -> Option<(Format, i64)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::DecimalSi, i64::from(*exponent)));
    }
    if let Some(power) = BINARY.iter().position(|name| *name == suffix) {
        return Some((Format::BinarySi, power as i64 * 10));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Format::DecimalExponent, exponent))
}

impl Quantity {
    fn abs(self) -> Self {
        Quantity {
            digits: self.digits.abs(),
            ..self
        }
    }

    /// The number over a power of 1024 that leaves it whole, and that power.
    fn binary_text(self) -> Option<(i128, &'static str)> {
        let magnitude = self
            .digits
            .checked_mul(10_i128.checked_pow(self.scale.try_into().ok()?)?)?;
        if magnitude.abs() < 1024 {
            return None;
        }
        let powers = BINARY.iter().enumerate().rev();
        powers
            .filter_map(|(power, name)| Some((1_i128.checked_shl(power as u32 * 10)?, name)))
            .find(|(unit, _)| magnitude % unit == 0)
            .map(|(unit, name)| (magnitude / unit, *name))
    }
}

// ANCHOR: display
impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that needs none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi
            && let Some((number, suffix)) = self.binary_text()
        {
            return write!(f, "{number}{suffix}");
        }
        let extra = self.scale.rem_euclid(3);
        let exponent = self.scale - extra;
        write!(f, "{}{:0<2$}", self.digits, "", extra as usize)?;
        let decimal = self.format != Format::DecimalExponent;
        match DECIMAL.iter().find(|(_, power)| *power == exponent) {
            Some((suffix, _)) if decimal || suffix.is_empty() => f.write_str(suffix),
            _ => write!(f, "e{exponent}"),
        }
    }
}
// ANCHOR_END: display

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Quantity {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Quantity::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        (self.digits, self.scale) == (other.digits, other.scale)
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |q: &Quantity| (i64::from(digit_count(q.digits.unsigned_abs())), q.scale);
        let ((a_count, a_scale), (b_count, b_scale)) = (size(self), size(other));
        let signs = self.digits.signum().cmp(&other.digits.signum());
        let magnitudes = (a_count + i64::from(a_scale)).cmp(&(b_count + i64::from(b_scale)));
        // Of equal length and sign: on the finer scale both have as many digits as the longer one.
        let aligned = |q: &Quantity| {
            let by = i64::from(q.scale) - i64::from(a_scale.min(b_scale));
            rescale(
                q.digits.unsigned_abs(),
                i32::try_from(by).unwrap_or(i32::MAX),
            )
        };
        match (signs, self.digits.signum()) {
            (Ordering::Equal, 0) => Ordering::Equal,
            (Ordering::Equal, 1) => magnitudes.then_with(|| aligned(self).cmp(&aligned(other))),
            (Ordering::Equal, _) => magnitudes
                .then_with(|| aligned(self).cmp(&aligned(other)))
                .reverse(),
            (signs, _) => signs,
        }
    }
}

/// The sum keeps the notation of the left side, or of the right one when the left is zero.
impl core::ops::Add for Quantity {
    type Output = Quantity;
    fn add(self, other: Quantity) -> Quantity {
        self.sum(
            other,
            if self.is_zero() {
                other.format
            } else {
                self.format
            },
        )
    }
}

impl core::ops::Sub for Quantity {
    type Output = Quantity;
    fn sub(self, other: Quantity) -> Quantity {
        self + Quantity {
            digits: -other.digits,
            ..other
        }
    }
}

impl core::ops::AddAssign for Quantity {
    fn add_assign(&mut self, other: Quantity) {
        *self = *self + other;
    }
}

impl core::ops::SubAssign for Quantity {
    fn sub_assign(&mut self, other: Quantity) {
        *self = *self - other;
    }
}

impl core::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Quantity>>(items: I) -> Quantity {
        items.fold(Quantity::ZERO, |total, item| total + item)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// From a string, or from a bare number as in `cpu: 2`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match crate::json::Value::deserialize(deserializer)? {
            crate::json::Value::String(text) => Quantity::parse(&text),
            crate::json::Value::Number(number) => Quantity::parse(&number.to_string()),
            crate::json::Value::Null => Ok(Quantity::ZERO),
            _ => Err(Error::Format),
        }
        .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
