//! Ages and durations, as kubectl shows them.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A duration with two or three significant figures, such as `119s`, `5m3s`, `7h12m`, `3d4h`.
#[must_use]
pub fn human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |high: i64, unit: char, low: i64, low_unit: char| {
        if low == 0 { format!("{high}{unit}") } else { format!("{high}{unit}{low}{low_unit}") }
    };
    if seconds < 120 {
        format!("{}s", seconds.max(0))
    } else if minutes < 10 {
        two(minutes, 'm', seconds % 60, 's')
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, 'h', minutes % 60, 'm')
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 24 * 8 {
        two(days, 'd', hours % 24, 'h')
    } else if hours < 24 * 365 * 2 {
        format!("{days}d")
    } else if hours < 24 * 365 * 8 {
        two(years, 'y', days % 365, 'd')
    } else {
        format!("{years}y")
    }
}

/// A time stamp of an object; `None` when it is missing or null.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// How long ago a time stamp was; `<unknown>` when there is none.
pub(super) fn since(value: &Value, now: Timestamp) -> String {
    time(value).map_or_else(|| "<unknown>".to_owned(), |t| human_duration(now.duration_since(t)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_writes_them() {
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (303, "5m3s"),
            (599, "9m59s"),
            (600, "10m"),
            (179 * 60, "179m"),
            (180 * 60, "3h"),
            (7 * 3600 + 720, "7h12m"),
            (8 * 3600 + 720, "8h"),
            (47 * 3600, "47h"),
            (76 * 3600, "3d4h"),
            (72 * 3600, "3d"),
            (24 * 8 * 3600, "8d"),
            (24 * 365 * 2 * 3600, "2y"),
            ((24 * 365 * 2 + 25) * 3600, "2y1d"),
            (24 * 365 * 9 * 3600, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(SignedDuration::from_secs(seconds)), text, "{seconds} s");
        }
    }
}
