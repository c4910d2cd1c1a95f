//! Schedules of cron jobs: five fields (minute, hour, day of month, month, day of week), or `@hourly` and its kin, or
//! `@every 1h30m`. Entry point: [`Schedule::parse`].

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// When something happens again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Schedule {
    /// At the times that all fields allow.
    Fields(Box<Fields>),
    /// At this distance from the time before.
    Every(SignedDuration),
}

/// Which minutes, hours and days: one bit for each value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both fields of days are restricted: one of them has to hold, not both.
    either_day: bool,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// How far ahead a time is looked for: a schedule such as February 30 never comes.
const HORIZON_YEARS: i16 = 5;

impl Schedule {
    /// Reads a schedule. `None` for text that is none.
    pub fn parse(text: &str) -> Option<Schedule> {
        let text = text.trim();
        if let Some(span) = text.strip_prefix("@every ") {
            let span: SignedDuration = span.trim().parse().ok()?;
            let span = SignedDuration::from_secs(span.as_secs().max(1));
            return Some(Schedule::Every(span));
        }
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let words: Vec<&str> = fields.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = words.as_slice() else { return None };
        let sunday_twice = field(weekdays, 0, 7, &WEEKDAYS)?;
        let is_open = |word: &&str| word.starts_with('*') || word.starts_with('?');
        Some(Schedule::Fields(Box::new(Fields {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: (sunday_twice | sunday_twice >> 7) & 0x7f,
            either_day: !is_open(days) && !is_open(weekdays),
        })))
    }

    /// The first time after `time`; `None` if there is none in the next years.
    pub fn next_after(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Schedule::Every(span) => time.checked_add(*span).ok(),
            Schedule::Fields(fields) => fields.next_after(time, zone),
        }
    }

    /// The last time after `since` that is not after `now`.
    pub fn last_due(&self, since: Timestamp, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let Schedule::Every(span) = self {
            let rounds = now.duration_since(since).as_secs().checked_div(span.as_secs()).filter(|n| *n > 0)?;
            return since.checked_add(SignedDuration::from_secs(rounds * span.as_secs())).ok();
        }
        // Looks back further and further, so that few times have to be gone through.
        for hours in [1, 24, 24 * 32, 24 * 366, 24 * 366 * 5] {
            let from = now.checked_sub(SignedDuration::from_hours(hours)).map_or(since, |from| from.max(since));
            let mut last = None;
            let mut at = from;
            while let Some(next) = self.next_after(at, zone).filter(|next| *next <= now) {
                last = Some(next);
                at = next;
            }
            if last.is_some() || from == since {
                return last;
            }
        }
        None
    }
}

impl Fields {
    fn next_after(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = zone.to_datetime(time);
        let start = DateTime::from_parts(start.date(), Time::new(start.hour(), start.minute(), 0, 0).ok()?);
        let mut at = start.checked_add(1.minute()).ok()?;
        let last_year = at.year().checked_add(HORIZON_YEARS)?;
        while at.year() <= last_year {
            if !has(self.months, at.month()) {
                let first = at.date().first_of_month().checked_add(1.month()).ok()?;
                at = DateTime::from_parts(first, Time::midnight());
            } else if !self.has_day(at.date()) {
                at = DateTime::from_parts(at.date().tomorrow().ok()?, Time::midnight());
            } else if !has(self.hours, at.hour()) {
                let hour = Time::new(at.hour(), 0, 0, 0).ok()?;
                at = DateTime::from_parts(at.date(), hour).checked_add(1.hour()).ok()?;
            } else if !has(self.minutes, at.minute()) {
                at = at.checked_add(1.minute()).ok()?;
            } else {
                let found = zone.to_timestamp(at).ok()?;
                // Where clocks are put back, a time of day comes twice.
                if found > time {
                    return Some(found);
                }
                at = at.checked_add(1.minute()).ok()?;
            }
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.either_day { day || weekday } else { day && weekday }
    }
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set >> value & 1 == 1)
}

/// Reads one field: values, names, ranges, steps and lists of them.
fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Option<u64> {
    let value = |text: &str| -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let named = names.iter().position(|name| *name == lower).and_then(|i| u32::try_from(i).ok());
        named.map(|index| index + least).or_else(|| text.parse().ok()).filter(|v| (least..=most).contains(v))
    };
    let mut set = 0_u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range {
            "*" | "?" => (least, most),
            _ => match range.split_once('-') {
                Some((first, last)) => (value(first)?, value(last)?),
                None => {
                    let first = value(range)?;
                    (first, if step.is_some() { most } else { first })
                }
            },
        };
        if first > last {
            return None;
        }
        for value in (first..=last).step_by(usize::try_from(step.unwrap_or(1)).ok()?) {
            set |= 1 << value;
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> Option<String> {
        Schedule::parse(schedule)
            .unwrap_or_else(|| panic!("{schedule}"))
            .next_after(after.parse().unwrap(), &TimeZone::UTC)
            .map(|t| t.to_string())
    }

    #[test]
    fn the_next_time_of_a_schedule() {
        for (schedule, after, expected) in [
            ("* * * * *", "2024-01-01T00:00:30Z", "2024-01-01T00:01:00Z"),
            ("*/15 * * * *", "2024-01-01T00:45:00Z", "2024-01-01T01:00:00Z"),
            ("30 4 * * *", "2024-02-28T05:00:00Z", "2024-02-29T04:30:00Z"),
            ("0 0 1 */3 *", "2024-01-15T00:00:00Z", "2024-04-01T00:00:00Z"),
            ("0 9-17/4 * * MON-FRI", "2024-01-05T18:00:00Z", "2024-01-08T09:00:00Z"),
            ("0 0 13 * FRI", "2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z"),
            ("0 0 * * 7", "2024-01-01T00:00:00Z", "2024-01-07T00:00:00Z"),
            ("@hourly", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z"),
            ("@every 1m30s", "2024-01-01T00:00:00Z", "2024-01-01T00:01:30Z"),
        ] {
            assert_eq!(next(schedule, after).as_deref(), Some(expected), "{schedule}");
        }
        assert_eq!(next("0 0 30 2 *", "2024-01-01T00:00:00Z"), None);
        for wrong in ["", "* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "x * * * *", "@sometimes"] {
            assert_eq!(Schedule::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_time_that_is_due() {
        let due = |schedule: &str, since: &str, now: &str| {
            let schedule = Schedule::parse(schedule).unwrap();
            schedule.last_due(since.parse().unwrap(), now.parse().unwrap(), &TimeZone::UTC).map(|t| t.to_string())
        };
        assert_eq!(due("* * * * *", "2024-01-01T00:00:30Z", "2024-01-01T00:00:59Z"), None);
        assert_eq!(due("* * * * *", "2020-01-01T00:00:00Z", "2024-01-01T00:00:59Z").unwrap(), "2024-01-01T00:00:00Z");
        assert_eq!(due("0 0 1 1 *", "2020-06-01T00:00:00Z", "2024-06-01T00:00:00Z").unwrap(), "2024-01-01T00:00:00Z");
        assert_eq!(due("@every 1h", "2024-01-01T00:00:00Z", "2024-01-01T02:30:00Z").unwrap(), "2024-01-01T02:00:00Z");
    }
}
