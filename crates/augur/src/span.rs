//! [`Span`]: a length of time in the configuration, as in `30s`, `1h30m` or `168h`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units, longer names first so that `ms` is not read as minutes.
const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// A length of time above zero, written as numbers with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Option<Duration> {
        let mut rest = text;
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..digits].parse().ok()?;
            let (unit, length) = UNITS.iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
            seconds += number * length;
            rest = &rest[digits + unit.len()..];
        }
        Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Span::parse(text)
            .map(Span)
            .ok_or_else(|| format!("`{text}` is no length of time; write it as in 500ms, 30s, 1h30m or 168h"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        let mut text = String::new();
        for (amount, unit) in
            [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (millis.into(), "ms")]
        {
            if amount > 0 {
                text.push_str(&format!("{amount}{unit}"));
            }
        }
        serializer.serialize_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written_alike() {
        for text in ["30s", "168h", "1h30m", "500ms", "1m1s250ms"] {
            let span: Span = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(serde_json::to_string(&span).unwrap(), format!("\"{text}\""));
        }
        assert_eq!(serde_json::from_str::<Span>("\"1.5s\"").unwrap(), Span(Duration::from_millis(1500)));
    }

    #[test]
    fn what_is_no_length_is_named() {
        for text in ["", "30", "s", "5 s", "-1s", "1d", "0s", "1..5s", "99999999999999999999h"] {
            let error = serde_json::from_str::<Span>(&format!("\"{text}\"")).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
