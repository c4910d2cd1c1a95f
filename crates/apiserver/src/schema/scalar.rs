//! Scalars with a form of their own on the wire: quantities, times and bytes, made canonical as the API server stores them.

use augur_notation::{Quantity, quote as go_quote};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::Offset;

/// The canonical form of base64 data (standard alphabet, padded).
pub(super) fn bytes(text: &str) -> Result<String, String> {
    match STANDARD.decode(text) {
        Ok(data) => Ok(STANDARD.encode(data)),
        Err(first) => {
            // Go skips line breaks within the data.
            let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            if joined.len() < text.len() {
                return STANDARD
                    .decode(&joined)
                    .map(|data| STANDARD.encode(data))
                    .map_err(|e| illegal_base64(&e, &joined));
            }
            Err(illegal_base64(&first, text))
        }
    }
}

fn illegal_base64(error: &base64::DecodeError, text: &str) -> String {
    let offset = match error {
        base64::DecodeError::InvalidByte(offset, _) | base64::DecodeError::InvalidLastSymbol(offset, _) => *offset,
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len() / 4 * 4,
    };
    format!("illegal base64 data at input byte {offset}")
}

/// A time in seconds, in UTC; fractions are dropped.
pub(super) fn time(text: &str) -> Result<String, String> {
    let parsed = parse_time(text, false)?;
    if parsed.plain_utc {
        return Ok(text.to_owned());
    }
    Ok(parsed.utc_seconds())
}

/// A time in microseconds, in UTC.
pub(super) fn micro_time(text: &str) -> Result<String, String> {
    let parsed = parse_time(text, true)?;
    let seconds = parsed.utc_seconds();
    Ok(format!("{}.{:06}Z", seconds.trim_end_matches('Z'), parsed.micros))
}

struct Parsed {
    civil: jiff::civil::DateTime,
    offset_minutes: i32,
    micros: u32,
    /// The text is already in the form in which it is shown.
    plain_utc: bool,
}

impl Parsed {
    fn utc_seconds(&self) -> String {
        let shift = jiff::SignedDuration::from_mins(i64::from(-self.offset_minutes));
        let utc = self.civil.saturating_add(shift);
        utc.to_zoned(Offset::UTC.to_time_zone()).map_or_else(
            |_| self.civil.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
    }
}

/// Parses RFC 3339 as Go's `time.Parse` does; with `micro`, exactly six digits of a fraction are required.
fn parse_time(text: &str, micro: bool) -> Result<Parsed, String> {
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let wrong = |rest: usize, element: &str| {
        let rest = text.get(rest..).unwrap_or("");
        format!(
            "parsing time {} as {}: cannot parse {} as {}",
            go_quote(text),
            go_quote(layout),
            go_quote(rest),
            go_quote(element)
        )
    };
    let out_of_range = |what: &str| format!("parsing time {}: {what} out of range", go_quote(text));
    let data = text.as_bytes();
    let number = |at: usize, len: usize, element: &str| -> Result<i32, String> {
        let digits = data.get(at..at + len).filter(|d| d.iter().all(u8::is_ascii_digit));
        let digits = digits.ok_or_else(|| wrong(at, element))?;
        Ok(digits.iter().fold(0, |n, d| n * 10 + i32::from(d - b'0')))
    };
    let mark = |at: usize, mark: u8| -> Result<(), String> {
        if data.get(at) == Some(&mark) { Ok(()) } else { Err(wrong(at, &char::from(mark).to_string())) }
    };
    let year = number(0, 4, "2006")?;
    mark(4, b'-')?;
    let month = number(5, 2, "01")?;
    if !(1..=12).contains(&month) {
        return Err(out_of_range("month"));
    }
    mark(7, b'-')?;
    let day = number(8, 2, "02")?;
    mark(10, b'T')?;
    let hour = number(11, 2, "15")?;
    if hour > 23 {
        return Err(out_of_range("hour"));
    }
    mark(13, b':')?;
    let minute = number(14, 2, "04")?;
    if minute > 59 {
        return Err(out_of_range("minute"));
    }
    mark(16, b':')?;
    let second = number(17, 2, "05")?;
    if second > 59 {
        return Err(out_of_range("second"));
    }
    let mut at = 19;
    let mut micros = 0;
    if data.get(at) == Some(&b'.') && data.get(at + 1).is_some_and(u8::is_ascii_digit) {
        let digits = data[at + 1..].iter().take_while(|d| d.is_ascii_digit()).count();
        if micro && digits != 6 {
            return Err(wrong(at, ".000000"));
        }
        for place in 0..6 {
            micros = micros * 10 + data[at + 1..at + 1 + digits].get(place).map_or(0, |d| u32::from(d - b'0'));
        }
        at += 1 + digits;
    } else if micro {
        return Err(wrong(at, ".000000"));
    }
    let fraction_free = at == 19;
    let (offset_minutes, end) = match data.get(at) {
        Some(b'Z') => (0, at + 1),
        Some(sign @ (b'+' | b'-')) => {
            let hours = number(at + 1, 2, "Z07:00").map_err(|_| wrong(at, "Z07:00"))?;
            if data.get(at + 3) != Some(&b':') {
                return Err(wrong(at, "Z07:00"));
            }
            let minutes = number(at + 4, 2, "Z07:00").map_err(|_| wrong(at, "Z07:00"))?;
            if hours > 24 || minutes >= 60 {
                return Err(out_of_range("time zone offset"));
            }
            let total = hours * 60 + minutes;
            (if *sign == b'-' { -total } else { total }, at + 6)
        }
        _ => return Err(wrong(at, "Z07:00")),
    };
    if end < data.len() {
        let extra = text.get(end..).unwrap_or("");
        return Err(format!("parsing time {}: extra text: {}", go_quote(text), go_quote(extra)));
    }
    let small = |n: i32| i8::try_from(n).unwrap_or(0);
    let civil = jiff::civil::DateTime::new(
        i16::try_from(year).unwrap_or(0),
        small(month),
        small(day),
        small(hour),
        small(minute),
        small(second),
        0,
    )
    .map_err(|_| out_of_range("day"))?;
    Ok(Parsed { civil, offset_minutes, micros, plain_utc: fraction_free && data.last() == Some(&b'Z') })
}

/// The form of a quantity that is kept; `resource` for the values of resource lists.
pub(super) fn quantity(text: &str, resource: bool) -> Result<String, String> {
    let stored = if resource { Quantity::as_stored_resource(text.trim()) } else { Quantity::as_stored(text.trim()) };
    stored.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(time("2024-01-01T00:00:00Z").unwrap(), "2024-01-01T00:00:00Z");
        assert_eq!(time("2024-01-01T00:30:00.75+02:00").unwrap(), "2023-12-31T22:30:00Z");
        assert_eq!(micro_time("2024-01-01T00:00:00.123456Z").unwrap(), "2024-01-01T00:00:00.123456Z");
        assert_eq!(micro_time("2024-01-01T01:00:00.000001+01:00").unwrap(), "2024-01-01T00:00:00.000001Z");
    }

    #[test]
    fn wrong_times_are_refused_in_the_words_of_go() {
        let layout = "\"2006-01-02T15:04:05Z07:00\"";
        for (text, expected) in [
            ("x", format!("parsing time \"x\" as {layout}: cannot parse \"x\" as \"2006\"")),
            ("", format!("parsing time \"\" as {layout}: cannot parse \"\" as \"2006\"")),
            ("2024-01-01", format!("parsing time \"2024-01-01\" as {layout}: cannot parse \"\" as \"T\"")),
            ("2024-13-01T00:00:00Z", "parsing time \"2024-13-01T00:00:00Z\": month out of range".to_owned()),
            ("2024-02-30T00:00:00Z", "parsing time \"2024-02-30T00:00:00Z\": day out of range".to_owned()),
            ("2024-01-01T00:00:00Zx", "parsing time \"2024-01-01T00:00:00Zx\": extra text: \"x\"".to_owned()),
        ] {
            assert_eq!(time(text).unwrap_err(), expected);
        }
        assert!(micro_time("2024-01-01T00:00:00Z").unwrap_err().ends_with("cannot parse \"Z\" as \".000000\""));
    }

    #[test]
    fn bytes_are_checked() {
        assert_eq!(bytes("aGVs\nbG8=").unwrap(), "aGVsbG8=");
        assert_eq!(bytes("a?b=").unwrap_err(), "illegal base64 data at input byte 1");
    }
}
