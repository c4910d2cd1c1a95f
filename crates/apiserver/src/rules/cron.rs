//! The form of cron schedules: five fields, or a name such as `@daily`. Entry point: [`check`].

const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// Whether a schedule can be read; why not, if it cannot.
pub(crate) fn check(schedule: &str) -> Result<(), String> {
    let mut rest = schedule;
    if rest.starts_with("TZ=") || rest.starts_with("CRON_TZ=") {
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest.trim());
    }
    if let Some(name) = rest.strip_prefix('@') {
        return match name {
            "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly" => Ok(()),
            _ if name.starts_with("every ") => Ok(()),
            _ => Err(format!("unrecognized descriptor: {rest}")),
        };
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (field, (low, high, names)) in fields.iter().zip(FIELDS) {
        for part in field.split(',') {
            range(part, low, high, names)?;
        }
    }
    Ok(())
}

fn number(text: &str, names: &[&str], offset: u32) -> Result<u32, String> {
    let lower = text.to_lowercase();
    if let Some(i) = names.iter().position(|name| *name == lower) {
        return Ok(u32::try_from(i).unwrap_or(0) + offset);
    }
    match text.parse::<i64>() {
        Ok(value) => u32::try_from(value).map_err(|_| format!("negative number ({value}) not allowed: {text}")),
        Err(_) => Err(format!("failed to parse int from {text}: strconv.Atoi: parsing \"{text}\": invalid syntax")),
    }
}

fn range(part: &str, low: u32, high: u32, names: &[&str]) -> Result<(), String> {
    let (span, step) = match part.split_once('/') {
        Some((_, step)) if step.contains('/') => return Err(format!("too many slashes: {part}")),
        Some((span, step)) => (span, Some(step)),
        None => (part, None),
    };
    let (start, end) = match span {
        "*" | "?" => (low, high),
        span => match span.split_once('-') {
            Some((_, end)) if end.contains('-') => return Err(format!("too many hyphens: {part}")),
            Some((start, end)) => (number(start, names, low)?, number(end, names, low)?),
            None => {
                let start = number(span, names, low)?;
                (start, if step.is_some() { high } else { start })
            }
        },
    };
    if let Some(step) = step
        && number(step, &[], 0)? == 0
    {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    if start < low {
        return Err(format!("beginning of range ({start}) below minimum ({low}): {part}"));
    }
    if end > high {
        return Err(format!("end of range ({end}) above maximum ({high}): {part}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn schedules_and_what_is_wrong_with_them() {
        for ok in ["* * * * *", "*/5 0-6 1,15 jan-mar MON", "@daily", "@every 1h30m"] {
            assert_eq!(check(ok), Ok(()), "{ok}");
        }
        assert_eq!(check("* * *").unwrap_err(), "expected exactly 5 fields, found 3: [* * *]");
        assert_eq!(check("61 * * * *").unwrap_err(), "end of range (61) above maximum (59): 61");
        assert_eq!(check("@never").unwrap_err(), "unrecognized descriptor: @never");
    }
}
