//! What is wrong with a name, in the words of the API. No problem means that the name is legal.

const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
    regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
    regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const DNS_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
    regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

const LABEL_VALUE_LENGTH: usize = 63;
const NAME_PART_LENGTH: usize = 63;
const DNS_LABEL_LENGTH: usize = 63;
const DNS_SUBDOMAIN_LENGTH: usize = 253;

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

/// Parts of labels are measured in bytes, names in characters.
fn too_many_bytes(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// Letters, digits, `-`, `_` and `.`, a letter or digit at both ends; not empty.
fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    plain(first) && plain(last) && bytes.iter().all(|b| plain(b) || *b == b'-')
}

/// Why the text cannot be the value of a label.
#[must_use]
pub fn label_value_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > LABEL_VALUE_LENGTH {
        problems.push(too_many_bytes(LABEL_VALUE_LENGTH));
    }
    if !value.is_empty() && !is_name_part(value) {
        problems.push(LABEL_VALUE.to_owned());
    }
    problems
}

/// Why the text cannot be the key of a label, the name of a resource, or another `[prefix/]name`.
#[must_use]
pub fn qualified_name_problems(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let name = match name.split_once('/') {
        None => name,
        Some((_, rest)) if rest.contains('/') => {
            problems.push(format!(
                "a valid label key {QUALIFIED_NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
            return problems;
        }
        Some(("", name)) => {
            problems.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            if prefix.len() > DNS_SUBDOMAIN_LENGTH {
                problems.push(format!("prefix part {}", too_many_bytes(DNS_SUBDOMAIN_LENGTH)));
            }
            if !prefix.split('.').all(is_dns_label) {
                problems.push(format!("prefix part {DNS_SUBDOMAIN}"));
            }
            name
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > NAME_PART_LENGTH {
        problems.push(format!("name part {}", too_many_bytes(NAME_PART_LENGTH)));
    }
    if !is_name_part(name) {
        problems.push(format!("name part {QUALIFIED_NAME}"));
    }
    problems
}

/// Why the text cannot be a lowercase RFC 1123 subdomain, which most objects' names are.
#[must_use]
pub fn dns_subdomain_problems(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > DNS_SUBDOMAIN_LENGTH {
        problems.push(too_long(DNS_SUBDOMAIN_LENGTH));
    }
    if !name.split('.').all(is_dns_label) {
        problems.push(DNS_SUBDOMAIN.to_owned());
    }
    problems
}

/// Why the text cannot be a lowercase RFC 1123 label, which names of namespaces, containers and volumes are.
#[must_use]
pub fn dns_label_problems(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > DNS_LABEL_LENGTH {
        problems.push(too_long(DNS_LABEL_LENGTH));
    }
    if !is_dns_label(name) {
        let only_dots = name.split('.').all(is_dns_label);
        problems.push(if only_dots { "must not contain dots".to_owned() } else { DNS_LABEL.to_owned() });
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_or_not() {
        for name in ["a", "A.b_c-d", "example.com/Name", "kubernetes.io/hostname", "1"] {
            assert_eq!(qualified_name_problems(name), Vec::<String>::new(), "{name}");
        }
        for (name, problems) in
            [("", 2), ("/", 3), ("a/", 2), ("/a", 1), ("a/b/c", 1), ("-a", 1), ("A/b", 1), ("a b", 1), ("é", 1)]
        {
            assert_eq!(qualified_name_problems(name).len(), problems, "{name}");
        }
        assert_eq!(qualified_name_problems(&"a".repeat(64)), ["name part must be no more than 63 bytes"]);
        assert!(label_value_problems("").is_empty());
        assert!(label_value_problems("v1.2_3-x").is_empty());
        assert_eq!(label_value_problems(&format!("{}-", "a".repeat(63))).len(), 2);
        for name in ["a..b", ".", "", "a.", "A", "a_b", "-a.b"] {
            assert_eq!(dns_subdomain_problems(name).len(), 1, "{name}");
        }
        assert!(dns_subdomain_problems("a.b-c.0").is_empty());
        assert_eq!(dns_label_problems("a.b").len(), 1);
    }
}
