//! The formats of names, labels, ports, paths and addresses; each check returns the texts of the rules that a value breaks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) use augur_notation::{
    dns_label_problems as label, dns_subdomain_problems as subdomain, label_value_problems as label_value,
    qualified_name_problems as qualified,
};

const SUBDOMAIN_UNDERSCORE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
    'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used \
    for validation is '[0-9]+%')";
const HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for \
    validation is '[-A-Za-z0-9]+')";
const ENV_NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";

/// Texts of broken rules; empty (and free) when all hold.
pub(crate) type Broken = Vec<String>;

/// How a kind's names are checked.
pub(crate) type NameCheck = fn(&str) -> Broken;

fn lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn limited(value: &str, max: usize, ok: bool, text: &str) -> Broken {
    let mut broken = Broken::new();
    if value.len() > max {
        broken.push(format!("must be no more than {max} characters"));
    }
    if !ok {
        broken.push(text.to_owned());
    }
    broken
}

/// RFC 1123 subdomain in which labels may have underscores.
pub(crate) fn subdomain_with_underscore(value: &str) -> Broken {
    let part = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        let bytes = label.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
        lower(*first) && lower(*last) && bytes.iter().all(|b| lower(*b) || matches!(b, b'-' | b'_'))
    };
    limited(value, 253, value.split('.').all(part), SUBDOMAIN_UNDERSCORE)
}

/// What a URL path segment may hold.
pub(crate) fn path_segment(value: &str) -> Broken {
    match value {
        "." | ".." => return vec![format!("may not be '{value}'")],
        _ => {}
    }
    ["/", "%"].iter().filter(|c| value.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// A prefix for generated names, whose last dash is not its end.
pub(crate) fn masked_prefix(value: &str) -> String {
    match value.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut kept: String = rest.to_owned();
            kept.pop();
            kept.push('a');
            kept
        }
        _ => value.to_owned(),
    }
}

/// Key in a config map or a secret.
pub(crate) fn config_key(value: &str) -> Broken {
    let ok = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let mut broken = limited(value, 253, ok, CONFIG_KEY);
    match value {
        "." | ".." => broken.push(format!("must not be '{value}'")),
        _ if value.starts_with("..") => broken.push("must not start with '..'".to_owned()),
        _ => {}
    }
    broken
}

/// Name of an environment variable.
pub(crate) fn env_name(value: &str) -> Broken {
    let mut broken = Broken::new();
    if value.is_empty() {
        broken.push("environment variable name must be non-empty".to_owned());
    }
    if value.bytes().any(|b| !(b' '..=b'~').contains(&b) || b == b'=') {
        broken.push(ENV_NAME.to_owned());
    }
    broken
}

/// A number of a port.
pub(crate) fn port_number(port: i64) -> Broken {
    in_range(port, 1, 65535)
}

/// A number within bounds.
pub(crate) fn in_range(value: i64, low: i64, high: i64) -> Broken {
    if (low..=high).contains(&value) { Broken::new() } else { vec![between(low, high)] }
}

/// The text of a broken range.
pub(crate) fn between(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// A name of a port.
pub(crate) fn port_name(value: &str) -> Broken {
    let mut broken = Broken::new();
    let mut rule = |broke: bool, text: &str| {
        if broke {
            broken.push(text.to_owned());
        }
    };
    let bytes = value.as_bytes();
    rule(value.len() > 15, "must be no more than 15 characters");
    rule(
        value.is_empty() || !bytes.iter().all(|b| lower(*b) || *b == b'-'),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    rule(!bytes.iter().any(u8::is_ascii_lowercase), "must contain at least one letter (a-z)");
    rule(value.contains("--"), "must not contain consecutive hyphens");
    rule(value.starts_with('-') || value.ends_with('-'), "must not begin or end with a hyphen");
    broken
}

/// A percentage, such as `25%`; its number, if it is one.
pub(crate) fn percent(value: &str) -> Option<i64> {
    let digits = value.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(i64::MAX))
}

/// The text of a broken percentage.
pub(crate) const NOT_PERCENT: &str = PERCENT;

/// Name of an HTTP header.
pub(crate) fn http_header(value: &str) -> Broken {
    let ok = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if ok { Broken::new() } else { vec![HEADER.to_owned()] }
}

/// An IP address; octets with leading zeros are read as decimal.
pub(crate) fn parse_ip(value: &str) -> Option<IpAddr> {
    if let Ok(ip) = value.parse::<Ipv6Addr>() {
        return Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4));
    }
    let mut octets = [0u8; 4];
    let mut parts = value.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    if parts.next().is_some() { None } else { Some(IpAddr::V4(Ipv4Addr::from(octets))) }
}

/// An address as new objects must write it.
pub(crate) fn ip(value: &str) -> Broken {
    if parse_ip(value).is_none() {
        return vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()];
    }
    match value.parse::<IpAddr>() {
        Err(_) => vec!["must not have leading 0s".to_owned()],
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            vec!["must not be an IPv4-mapped IPv6 address".to_owned()]
        }
        Ok(_) => Broken::new(),
    }
}

/// Whether a value is an address block, such as `10.0.0.0/24`; the address and the length of the prefix.
pub(crate) fn parse_cidr(value: &str) -> Option<(IpAddr, u8)> {
    let (ip, length) = value.split_once('/')?;
    let ip = parse_ip(ip)?;
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let length: u8 = length.parse().ok()?;
    let max = if ip.is_ipv4() { 32 } else { 128 };
    (length <= max).then_some((ip, length))
}

/// An address block as new objects must write it.
pub(crate) fn cidr(value: &str) -> Broken {
    let text = match parse_cidr(value) {
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        Some((ip, length)) => {
            let written = value.split_once('/').map_or("", |(ip, _)| ip);
            let padded = value.rsplit('/').next().is_some_and(|l| l.len() > 1 && l.starts_with('0'));
            if written.parse::<IpAddr>().is_err() || padded {
                "must not have leading 0s in IP or prefix length"
            } else if written.contains(':') && ip.is_ipv4() {
                "must not have an IPv4-mapped IPv6 address"
            } else if has_host_bits(ip, length) {
                "must not have bits set beyond the prefix length"
            } else {
                return Broken::new();
            }
        }
    };
    vec![text.to_owned()]
}

fn has_host_bits(ip: IpAddr, length: u8) -> bool {
    let (bits, width) = match ip {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let host = width - u32::from(length);
    host > 0 && bits & (u128::MAX >> (128 - host)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_breaks_them() {
        for ok in ["a", "a-b", "0", "a.b", "web-0.db"] {
            assert!(subdomain(ok).is_empty(), "{ok}");
        }
        for bad in ["", "-a", "a-", "A", "a..b", "a_b", ".a"] {
            assert_eq!(subdomain(bad).len(), 1, "{bad}");
        }
        assert_eq!(label("a.b"), ["must not contain dots"]);
        assert_eq!(subdomain(&"a".repeat(254)), ["must be no more than 253 characters"]);
        assert!(qualified("example.com/My_name.1").is_empty());
        assert_eq!(qualified("/x"), ["prefix part must be non-empty"]);
        assert_eq!(qualified("a/b/c").len(), 1);
        assert_eq!(qualified("").len(), 2);
        assert!(label_value("").is_empty() && label_value("a_B.c").is_empty());
        assert_eq!(label_value("a b").len(), 1);
        assert_eq!(port_name("--").len(), 3);
        assert_eq!(masked_prefix("web-"), "wea");
        assert_eq!(percent("25%"), Some(25));
        assert_eq!(percent("%"), None);
        assert_eq!(parse_ip("010.1.2.3"), Some(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))));
        assert!(parse_ip("1.2.3").is_none() && parse_ip("::1").is_some());
        assert_eq!(parse_cidr("10.0.0.0/33"), None);
        assert_eq!(cidr("10.0.0.1/24"), ["must not have bits set beyond the prefix length"]);
        assert!(cidr("10.0.1.0/24").is_empty() && cidr("0.0.0.0/0").is_empty());
    }
}
