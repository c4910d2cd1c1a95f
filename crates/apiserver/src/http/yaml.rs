//! Answers in YAML, as Go's encoder writes them: members sorted, lists not indented, texts quoted only where they must be.

use serde_json::Value;

/// Writes a document.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => node(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => node(&mut out, value, 0),
        scalar => {
            inline(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n(' ', depth * 2));
}

/// Writes the members or elements of something that is not empty, one per line.
fn node(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            for (i, (key, value)) in sorted.into_iter().enumerate() {
                // The first member of a list's element stands behind the dash.
                if i > 0 || !out.ends_with("- ") {
                    indent(out, depth);
                }
                text(out, key, depth);
                out.push(':');
                below(out, value, depth);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 || !out.ends_with("- ") {
                    indent(out, depth);
                }
                out.push_str("- ");
                match item {
                    Value::Object(members) if !members.is_empty() => node(out, item, depth + 1),
                    Value::Array(items) if !items.is_empty() => node(out, item, depth + 1),
                    scalar => {
                        inline(out, scalar, depth + 1);
                        out.push('\n');
                    }
                }
            }
        }
        _ => {}
    }
}

/// Writes what stands behind a key.
fn below(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            out.push('\n');
            node(out, value, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            node(out, value, depth);
        }
        scalar => {
            out.push(' ');
            inline(out, scalar, depth + 1);
            out.push('\n');
        }
    }
}

fn inline(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(s) => text(out, s, depth),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

fn text(out: &mut String, text: &str, depth: usize) {
    let lines =
        text.contains('\n') && !text.starts_with([' ', '\n']) && text.chars().all(|c| c == '\n' || !c.is_control());
    if lines {
        // A block keeps its line breaks; the sign says how many end it.
        out.push_str(match text.bytes().rev().take_while(|b| *b == b'\n').count() {
            0 => "|-",
            1 => "|",
            _ => "|+",
        });
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            out.push('\n');
            if !line.is_empty() {
                indent(out, depth);
                out.push_str(line);
            }
        }
    } else if text.chars().any(char::is_control) {
        // JSON's escapes are YAML's.
        out.push_str(&Value::from(text).to_string());
    } else if reads_as_something_else(text) {
        out.push('"');
        out.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
        out.push('"');
    } else if is_plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

/// Whether the text without quotes would be read as a number, a time or a word of YAML.
fn reads_as_something_else(text: &str) -> bool {
    const WORDS: &[&str] =
        &["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "-.inf", "+.inf"];
    let number = text.trim_start_matches(['+', '-']).replace('_', "");
    let digits = number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let prefixed = |prefix: &str, radix| {
        number.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_digit(radix)))
    };
    let date = text.len() >= 8
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.get(4..5) == Some("-")
        && text.bytes().all(|b| b.is_ascii_digit() || b"-:TtZz. +".contains(&b));
    let base60 = digits && number.contains(':') && number.split(':').all(|n| n.parse::<f64>().is_ok());
    WORDS.contains(&text.to_ascii_lowercase().as_str())
        || (digits && number.parse::<f64>().is_ok())
        || prefixed("0x", 16)
        || prefixed("0o", 8)
        || prefixed("0b", 2)
        || date
        || base60
}

fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return false };
    let second = chars.next();
    let opens = match first {
        '-' | '?' | ':' => second.is_none_or(|c| c == ' '),
        ' ' | ',' | '[' | ']' | '{' | '}' | '#' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' | '=' => {
            true
        }
        _ => false,
    };
    !opens
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_looks_like_that_of_go() {
        let value = json!({
            "b": [{ "x": 1, "a": { "k": "v" } }, "two"], "a": "true", "c": {}, "d": [], "e": null,
            "time": "2024-01-01T00:00:00Z", "colon": "a: b", "lines": "one\ntwo\n", "n": "10", "dash": "-x",
            "f:x": { ".": {} },
        });
        let expected = "a: \"true\"\nb:\n- a:\n    k: v\n  x: 1\n- two\nc: {}\ncolon: 'a: b'\nd: []\ndash: -x\ne: null\n\
                        f:x:\n  .: {}\nlines: |\n  one\n  two\n\"n\": \"10\"\ntime: \"2024-01-01T00:00:00Z\"\n";
        assert_eq!(write(&value), expected);
        assert_eq!(crate::schema::parse_yaml(expected.as_bytes()).unwrap().0, value);
    }
}
