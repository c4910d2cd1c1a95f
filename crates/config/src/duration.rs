//! [`GoDuration`]: a length of time as Go writes it, as in `15s`, `1m30s` or `-2h`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: i64 = 1_000_000_000;
/// Units by name and nanoseconds, longer names before those that they begin with.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// A length of time in nanoseconds, of either sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

impl GoDuration {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> GoDuration {
        GoDuration(seconds.saturating_mul(SECOND))
    }

    /// As Go's `time.ParseDuration` reads it; `None` for what is no length of time or beyond 292 years.
    #[must_use]
    pub fn parse(text: &str) -> Option<GoDuration> {
        let (sign, mut rest) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        if rest == "0" {
            return Some(GoDuration(0));
        }
        if rest.is_empty() {
            return None;
        }
        let mut sum: i64 = 0;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            let (whole, part) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() && part.is_empty() || part.contains('.') {
                return None;
            }
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            let unit = UNITS.iter().find(|(unit, _)| *unit == name)?.1;
            let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            let part: f64 = if part.is_empty() { 0.0 } else { format!("0.{part}").parse().ok()? };
            sum = sum.checked_add(whole.checked_mul(unit)?)?.checked_add((part * unit as f64) as i64)?;
            rest = after;
        }
        Some(GoDuration(sign * sum))
    }

    /// The same length; at most 292 years.
    #[must_use]
    pub fn of(length: std::time::Duration) -> GoDuration {
        GoDuration(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
    }

    /// As a length of time; zero for a negative one.
    #[must_use]
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

/// The fraction without trailing zeros, with its point.
fn fraction(rest: u64, digits: usize) -> String {
    if rest == 0 {
        return String::new();
    }
    let text = format!("{rest:0digits$}");
    format!(".{}", text.trim_end_matches('0'))
}

impl std::fmt::Display for GoDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, nanos) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{nanos}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}{}µs", nanos / 1_000, fraction(nanos % 1_000, 3)),
            1_000_000..1_000_000_000 => {
                write!(f, "{sign}{}{}ms", nanos / 1_000_000, fraction(nanos % 1_000_000, 6))
            }
            _ => {
                let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
                let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                f.write_str(sign)?;
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if seconds >= 60 {
                    write!(f, "{minutes}m")?;
                }
                write!(f, "{}{}s", seconds % 60, fraction(rest, 9))
            }
        }
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        GoDuration::parse(&text).ok_or_else(|| D::Error::custom(format!("time: invalid duration {text:?}")))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written_as_go_does() {
        for (text, written) in [
            ("15s", "15s"),
            ("0", "0s"),
            ("-1s", "-1s"),
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            ("2h", "2h0m0s"),
            ("1.5h", "1h30m0s"),
            (".5s", "500ms"),
            ("1500ms", "1.5s"),
            ("+2us", "2µs"),
            ("7ns", "7ns"),
        ] {
            assert_eq!(GoDuration::parse(text).map(|d| d.to_string()).as_deref(), Some(written), "{text}");
        }
        for text in ["", "-", "s", "1", "1x", "1s2", ".s", "1.2.3s", "1d", "99999999999h", " 1s"] {
            assert_eq!(GoDuration::parse(text), None, "{text}");
        }
    }
}
