//! Amounts, shares and ages in kubectl's manner of writing.

use jiff::Timestamp;

/// What is not known.
pub const UNKNOWN: &str = "-";

/// Cores: `4`, or `1500m`.
pub fn cores(cores: f64) -> String {
    let milli = (cores * 1000.0).round();
    if milli % 1000.0 == 0.0 { format!("{}", milli / 1000.0) } else { format!("{milli}m") }
}

/// MiB: `1024Mi`.
pub fn mebibytes(mib: f64) -> String {
    format!("{}Mi", mib.round())
}

/// An amount with its share, as `kubectl describe node` writes it: `850m (21%)`.
pub fn of(amount: String, part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{amount} ({}%)", (part / whole * 100.0).round()) } else { amount }
}

/// A share of one as percent.
pub fn share(share: Option<f64>) -> String {
    share.map_or_else(|| UNKNOWN.to_owned(), |share| format!("{:.1}%", share * 100.0))
}

/// Percent.
pub fn percent(percent: Option<f64>) -> String {
    percent.map_or_else(|| UNKNOWN.to_owned(), |percent| format!("{}%", percent.round()))
}

/// A number with up to two digits.
pub fn points(points: f64) -> String {
    let text = format!("{points:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The time between two moments as kubectl's column `AGE` has it.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |first: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{first}{unit}") } else { format!("{first}{unit}{rest}{small}") }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

/// A kind as kubectl names resources: `deployment/web`.
pub fn resource(kind: &str, name: &str) -> String {
    format!("{}/{name}", kind.to_lowercase())
}

/// The first characters of a hash, enough to tell models apart.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_kubectl_does() {
        assert_eq!((cores(4.0).as_str(), cores(0.25).as_str(), cores(1.5).as_str()), ("4", "250m", "1500m"));
        assert_eq!(of(cores(0.85), 0.85, 4.0), "850m (21%)");
        assert_eq!(of(mebibytes(12.0), 12.0, 0.0), "12Mi");
        assert_eq!((points(3.0).as_str(), points(-0.001).as_str(), points(1.25).as_str()), ("3", "0", "1.25"));
        assert_eq!((share(Some(0.031)), percent(None)), ("3.1%".to_owned(), "-".to_owned()));
    }

    #[test]
    fn ages_are_written_as_kubectl_does() {
        let at = Timestamp::UNIX_EPOCH;
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (600, "10m"),
            (10_860, "3h1m"),
            (36_000, "10h"),
            (180_000, "2d2h"),
            (800_000, "9d"),
        ] {
            assert_eq!(age(at, Timestamp::from_second(seconds).unwrap()), text);
        }
    }
}
