//! Field selectors: `metadata.name=x,spec.nodeName!=y`, with `\` before a `,`, `=` or `\` in a value.

use std::fmt;

use crate::requirement::SelectorError;

/// One condition of a field selector.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// The field's path, such as `spec.nodeName`.
    pub field: String,
    /// Whether the field must have the value (`=`, `==`) or must not (`!=`).
    pub equals: bool,
    /// The value, without escapes.
    pub value: String,
}

/// Conditions on fields that must all hold. Without conditions every object matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Reads a field selector. Whether a kind has the field is for the caller to say.
    ///
    /// # Errors
    /// Text that is no selector; the message is kube-apiserver's.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut terms = split(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|term| !term.is_empty()) {
            let Some((field, equals, value)) = operator(term) else {
                return Err(SelectorError::new(format!("invalid selector: '{text}'; can't understand '{term}'")));
            };
            requirements.push(FieldRequirement { field: field.to_owned(), equals, value: unescape(value)? });
        }
        Ok(FieldSelector { requirements })
    }

    /// The conditions.
    #[must_use]
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether there are no conditions, so that everything matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the fields, given by a look-up of their values, satisfy all conditions. An absent field is empty.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| {
            (lookup(&requirement.field).unwrap_or_default() == requirement.value) == requirement.equals
        })
    }

    /// The value that the field must have, if the selector requires one.
    #[must_use]
    pub fn required(&self, field: &str) -> Option<&str> {
        let mut matching = self.requirements.iter().filter(|r| r.equals && r.field == field);
        matching.next().map(|requirement| requirement.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldRequirement { field, equals, value }) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if *equals { "=" } else { "!=" };
            write!(f, "{comma}{field}{operator}")?;
            for c in value.chars() {
                let escape = if matches!(c, '\\' | ',' | '=') { "\\" } else { "" };
                write!(f, "{escape}{c}")?;
            }
        }
        Ok(())
    }
}

/// The terms between commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let mut escaped = false;
    let separator = |c: char| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    };
    text.split(separator).collect()
}

/// Splits a term at its first operator.
fn operator(term: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in term.char_indices() {
        let (field, rest) = term.split_at(at);
        for (operator, equals) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((field, equals, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                other => {
                    let sequence: String = ['\\'].into_iter().chain(other).collect();
                    return Err(SelectorError::new(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            ',' | '=' => {
                // The API prints the character's number.
                return Err(SelectorError::new(format!(
                    "invalid field selector: unescaped character in value: {}",
                    c as u32
                )));
            }
            c => plain.push(c),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terms_are_split_at_the_first_operator() {
        let selector = FieldSelector::parse(r"spec.nodeName!=,metadata.name==a\,b\=c,,x=").unwrap();
        assert_eq!(selector.to_string(), r"metadata.name=a\,b\=c,spec.nodeName!=,x=");
        assert_eq!(selector.required("metadata.name"), Some("a,b=c"));
        let fields = |key: &str| match key {
            "metadata.name" => Some("a,b=c"),
            "spec.nodeName" => Some("n"),
            _ => None,
        };
        assert!(selector.matches(fields));
        assert!(!selector.matches(|key| if key == "spec.nodeName" { None } else { fields(key) }));
    }

    #[test]
    fn illegal_selectors_are_refused_in_the_words_of_the_api() {
        for (text, message) in [
            ("spec.nodeName", "invalid selector: 'spec.nodeName'; can't understand 'spec.nodeName'"),
            ("status.phase in (a)", "invalid selector: 'status.phase in (a)'; can't understand 'status.phase in (a)'"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
            (r"a=b\x", r"invalid field selector: invalid escape sequence: \x"),
            ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ] {
            assert_eq!(
                FieldSelector::parse(text).map_err(|error| error.to_string()),
                Err(message.to_owned()),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r"[ab=!,\\é]{0,16}") {
            if let Ok(selector) = FieldSelector::parse(&text) {
                let again = FieldSelector::parse(&selector.to_string()).expect("what is printed can be read");
                prop_assert_eq!(again.requirements().len(), selector.requirements().len());
            }
        }
    }
}
