//! Versions by Semantic Versioning 2.0.0.

use std::cmp::Ordering;

/// A version; build metadata is left out because it does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Semver {
    /// Major version.
    pub major: u64,
    /// Minor version.
    pub minor: u64,
    /// Patch version.
    pub patch: u64,
    /// Parts of what follows a hyphen; a version with any comes before the same without.
    before: Vec<Identifier>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(Box<str>),
}

/// A number without leading zeros.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Semver {
    /// Reads a version in its strict form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Semver> {
        let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return None;
        }
        let (core, before) = rest.split_once('-').map_or((rest, None), |(core, before)| (core, Some(before)));
        let mut numbers = core.split('.').map(number);
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        if numbers.next().is_some() {
            return None;
        }
        let identifier = |part: &str| {
            if !is_identifier(part) {
                None
            } else if part.bytes().all(|byte| byte.is_ascii_digit()) {
                number(part).map(Identifier::Number)
            } else {
                Some(Identifier::Text(part.into()))
            }
        };
        let before = before.map_or(Some(Vec::new()), |before| before.split('.').map(identifier).collect())?;
        Some(Semver { major, minor, patch, before })
    }

    /// Reads a version leniently: a leading `v`, missing minor and patch versions and leading zeros are fine.
    #[must_use]
    pub fn parse_lenient(text: &str) -> Option<Semver> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (core, rest) = text.split_at(end);
        let mut parts: Vec<String> = core
            .split('.')
            .map(|part| {
                let trimmed = part.trim_start_matches('0');
                if trimmed.is_empty() && !part.is_empty() { "0".to_owned() } else { trimmed.to_owned() }
            })
            .collect();
        while parts.len() < 3 {
            parts.push("0".to_owned());
        }
        Semver::parse(&format!("{}{rest}", parts.join(".")))
    }
}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Semver) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Semver {
    fn cmp(&self, other: &Semver) -> Ordering {
        let numbers = |version: &Semver| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.before.cmp(&other.before),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_each_other_as_the_standard_says() {
        let order =
            ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "1.2.0"];
        let read: Vec<Semver> = order.iter().filter_map(|text| Semver::parse(text)).collect();
        assert_eq!(read.len(), order.len());
        assert!(read.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn what_is_no_version() {
        for text in ["", "1", "1.0", "01.0.0", "1.0.0.0", "v1.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", "a.b.c"] {
            assert_eq!(Semver::parse(text), None, "{text}");
        }
        assert_eq!(Semver::parse_lenient("v1.02"), Semver::parse("1.2.0"));
        assert_eq!(Semver::parse("1.0.0+b1"), Semver::parse("1.0.0"));
    }
}
