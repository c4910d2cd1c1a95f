//! Texts to tokens.

use std::sync::Arc;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Ident(Arc<str>),
    Int(i64),
    /// 2⁶³, which is a number only behind a minus.
    Least,
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longer ones first, so that none hides another.
const SIGNS: [&str; 27] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}", "=", "&", "|",
];

/// Takes a text apart; each token with the byte where it begins.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or_default();
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let fail = |what: &str| format!("byte {at}: {what}");
        let (token, length) = if let Some((text, length)) = quoted(rest).map_err(|what| fail(&what))? {
            (Token::Text(text.into()), length)
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number(rest).ok_or_else(|| fail("not a number"))?
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Token::Ident(rest[..end].into()), end)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| fail(&format!("unexpected {first:?}")))?;
            (Token::Sign(sign), sign.len())
        };
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

fn number(text: &str) -> Option<(Token, usize)> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        let value = u64::from_str_radix(&hex[..end], 16).ok()?;
        return if hex[end..].starts_with(['u', 'U']) {
            Some((Token::Uint(value), end + 3))
        } else {
            Some((integer(value)?, end + 2))
        };
    }
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = digits(text);
    let mut whole = true;
    if text[end..].starts_with('.') && text[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        end += 1 + digits(&text[end + 1..]);
        whole = false;
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(&text[end + 1 + sign..]);
        if exponent == 0 {
            return None;
        }
        end += 1 + sign + exponent;
        whole = false;
    }
    if !whole {
        return Some((Token::Double(text[..end].parse().ok()?), end));
    }
    let value: u64 = text[..end].parse().ok()?;
    if text[end..].starts_with(['u', 'U']) {
        return Some((Token::Uint(value), end + 1));
    }
    Some((integer(value)?, end))
}

fn integer(value: u64) -> Option<Token> {
    match i64::try_from(value) {
        Ok(value) => Some(Token::Int(value)),
        Err(_) => (value == 1 << 63).then_some(Token::Least),
    }
}

/// A text in quotes and how many bytes it takes; nothing if there is none here.
fn quoted(text: &str) -> Result<Option<(String, usize)>, String> {
    let raw = text.starts_with("r\"") || text.starts_with("r'") || text.starts_with("R\"") || text.starts_with("R'");
    if text.starts_with("b\"") || text.starts_with("b'") {
        return Err("bytes are not implemented".to_owned());
    }
    let start = usize::from(raw);
    let body = &text[start..];
    let Some(quote) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote)) else {
        return Ok(None);
    };
    let mut value = String::new();
    let mut at = quote.len();
    loop {
        let rest = &body[at..];
        if rest.starts_with(quote) {
            return Ok(Some((value, start + at + quote.len())));
        }
        let Some(next) = rest.chars().next() else { return Err("a text without end".to_owned()) };
        if next == '\n' && quote.len() == 1 {
            return Err("a text without end".to_owned());
        }
        if next == '\\' && !raw {
            let (unescaped, length) = escape(&rest[1..]).ok_or_else(|| "an illegal escape".to_owned())?;
            value.push(unescaped);
            at += 1 + length;
        } else {
            value.push(next);
            at += next.len_utf8();
        }
    }
}

fn escape(text: &str) -> Option<(char, usize)> {
    let first = text.chars().next()?;
    let code = |skip: usize, length: usize, radix: u32| {
        let digits = text.get(skip..skip + length)?;
        Some((char::from_u32(u32::from_str_radix(digits, radix).ok()?)?, skip + length))
    };
    let plain = match first {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '\'' | '"' | '`' | '?' => first,
        'x' | 'X' => return code(1, 2, 16),
        'u' => return code(1, 4, 16),
        'U' => return code(1, 8, 16),
        '0'..='3' => return code(0, 3, 8),
        _ => return None,
    };
    Some((plain, 1))
}
