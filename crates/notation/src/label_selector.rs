//! Label selectors: the string form of query parameters, and the `matchLabels`/`matchExpressions` form of objects.

use std::fmt;

use crate::names::qualified_name_problems;
use crate::quote;
use crate::requirement::{Operator, Requirement, SelectorError};

/// Conditions on labels that must all hold. Without conditions every object matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    /// By key.
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1,j<2`.
    ///
    /// # Errors
    /// Text that is no selector; the message is kube-apiserver's.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        let mut parser = Parser { tokens: tokens(text), next: 0 };
        parser.selector().map(LabelSelector::of)
    }

    /// The selector of the given conditions.
    #[must_use]
    pub fn of(mut requirements: Vec<Requirement>) -> LabelSelector {
        requirements.sort_by(|a, b| a.key().cmp(b.key()));
        LabelSelector { requirements }
    }

    /// The selector of an object: `matchLabels` and `matchExpressions` (key, operator, values) together. A selector
    /// that the object leaves out (`null`) matches nothing and is not represented here.
    ///
    /// # Errors
    /// An unknown operator, or a condition that [`Requirement::new`] refuses.
    pub fn structured<'a>(
        match_labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        match_expressions: impl IntoIterator<Item = (&'a str, &'a str, Vec<&'a str>)>,
    ) -> Result<LabelSelector, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in match_labels {
            requirements.push(Requirement::new(key, Operator::Equals, [value])?);
        }
        for (key, operator, values) in match_expressions {
            requirements.push(Requirement::new(key, Operator::of_label_selector(operator)?, values)?);
        }
        Ok(LabelSelector::of(requirements))
    }

    /// The conditions, by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether there are no conditions, so that everything matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the labels, given by a look-up of their values, satisfy all conditions.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(&lookup))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Bang,
    Comma,
    Open,
    Close,
    Binary(Operator),
    End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    kind: Kind,
    text: String,
}

fn is_special(byte: u8) -> bool {
    b"=!(),><".contains(&byte)
}

fn is_space(byte: u8) -> bool {
    b" \t\r\n".contains(&byte)
}

fn special(text: &str) -> Option<Kind> {
    Some(match text {
        ")" => Kind::Close,
        "," => Kind::Comma,
        "!" => Kind::Bang,
        "==" => Kind::Binary(Operator::DoubleEquals),
        "=" => Kind::Binary(Operator::Equals),
        ">" => Kind::Binary(Operator::GreaterThan),
        "<" => Kind::Binary(Operator::LessThan),
        "!=" => Kind::Binary(Operator::NotEquals),
        "(" => Kind::Open,
        _ => return None,
    })
}

/// Splits the text. The last token is [`Kind::End`]; a NUL byte ends the text.
fn tokens(text: &str) -> Vec<Token> {
    let text = text.split('\0').next().unwrap_or_default();
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        if is_space(byte) {
            at += 1;
        } else if is_special(byte) {
            // The longest operator that can be read from here: `!=` and `==` before `!` and `=`.
            let longest = [2, 1].into_iter().find_map(|length| {
                let piece = text.get(start..start + length)?;
                special(piece).map(|kind| (kind, length))
            });
            // Each special character is a token by itself, so that there always is one.
            let (kind, length) = longest.unwrap_or((Kind::Word, 1));
            at += length;
            tokens.push(Token { kind, text: text.get(start..at).unwrap_or_default().to_owned() });
        } else {
            at += bytes[at..].iter().take_while(|&&b| !is_special(b) && !is_space(b)).count();
            let word = text.get(start..at).unwrap_or_default();
            let kind = match word {
                "in" => Kind::Binary(Operator::In),
                "notin" => Kind::Binary(Operator::NotIn),
                _ => Kind::Word,
            };
            tokens.push(Token { kind, text: word.to_owned() });
        }
    }
    tokens.push(Token { kind: Kind::End, text: String::new() });
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

fn refuse<T>(message: impl Into<String>) -> Result<T, SelectorError> {
    Err(SelectorError::new(message))
}

impl Parser {
    /// The token at the front, past the end again and again the end. Where a value is expected, `in` and `notin` are
    /// plain words.
    fn peek(&self) -> (Kind, &str) {
        match self.tokens.get(self.next) {
            Some(Token { kind: Kind::Binary(Operator::In | Operator::NotIn), text }) => (Kind::Word, text),
            Some(token) => (token.kind, &token.text),
            None => (Kind::End, ""),
        }
    }

    fn take(&mut self) -> (Kind, String) {
        let (kind, text) = self.peek();
        let taken = (kind, text.to_owned());
        self.next += 1;
        taken
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Kind::End, _) => return Ok(requirements),
                (Kind::Word | Kind::Bang, _) => {}
                (_, text) => return refuse(format!("found '{text}', expected: !, identifier, or 'end of string'")),
            }
            let requirement = self
                .requirement()
                .map_err(|error| SelectorError::new(format!("unable to parse requirement: {error}")))?;
            requirements.push(requirement);
            match self.take() {
                (Kind::End, _) => return Ok(requirements),
                (Kind::Comma, _) => match self.peek() {
                    (Kind::Word | Kind::Bang, _) => {}
                    (_, text) => return refuse(format!("found '{text}', expected: identifier after ','")),
                },
                (_, text) => return refuse(format!("found '{text}', expected: ',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut kind, mut key) = self.take();
        let absent = kind == Kind::Bang;
        if absent {
            (kind, key) = self.take();
        }
        if kind != Kind::Word {
            return refuse(format!("found '{key}', expected: identifier"));
        }
        let problems = qualified_name_problems(&key);
        if !problems.is_empty() {
            // The path is of nothing here, and that is how the API prints it.
            return refuse(format!("<nil>: Invalid value: {}: {}", quote(&key), problems.join("; ")));
        }
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, [] as [String; 0]);
        }
        if matches!(self.peek().0, Kind::End | Kind::Comma) {
            return Requirement::new(key, Operator::Exists, [] as [String; 0]);
        }
        let operator = match self.tokens.get(self.next) {
            Some(Token { kind: Kind::Binary(operator), .. }) => *operator,
            other => {
                let text = other.map_or("", |token| &token.text);
                return refuse(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        self.next += 1;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            (Kind::End | Kind::Comma, _) => return Ok(String::new()),
            (Kind::Word, _) => {}
            (_, text) => return refuse(format!("found '{text}', expected: identifier")),
        }
        Ok(self.take().1)
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        match self.take() {
            (Kind::Open, _) => {}
            (_, text) => return refuse(format!("found '{text}' expected: '('")),
        }
        match self.peek() {
            (Kind::Close, _) => {
                self.next += 1;
                Ok(vec![String::new()])
            }
            (Kind::Word | Kind::Comma, _) => {
                let values = self.list()?;
                // The list ends in front of the parenthesis.
                self.next += 1;
                Ok(values)
            }
            (_, text) => refuse(format!("found '{text}', expected: ',', ')' or identifier")),
        }
    }

    /// A list in which values may be missing: `(,a,,b,)` holds `a`, `b` and the empty value.
    fn list(&mut self) -> Result<Vec<String>, SelectorError> {
        let mut values: Vec<String> = Vec::new();
        loop {
            match self.take() {
                (Kind::Word, text) => {
                    values.push(text);
                    match self.peek() {
                        (Kind::Comma, _) => {}
                        (Kind::Close, _) => return Ok(values),
                        (_, text) => return refuse(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Kind::Comma, _) => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek().0 {
                        Kind::Close => {
                            values.push(String::new());
                            return Ok(values);
                        }
                        Kind::Comma => {
                            self.next += 1;
                            values.push(String::new());
                        }
                        _ => {}
                    }
                }
                (_, text) => return refuse(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels<'a>(labels: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
        move |key| labels.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }

    #[test]
    fn the_string_form_is_read_and_printed_by_key() {
        for (text, printed) in [
            ("", ""),
            ("  ", ""),
            ("b=1,a=2", "a=2,b=1"),
            ("a == b", "a==b"),
            ("a!=b", "a!=b"),
            ("a in (y, x,y)", "a in (x,y)"),
            ("a notin ()", "a notin ()"),
            ("a in (,x)", "a in (,x)"),
            ("a in (x,,y)", "a in (,x,y)"),
            ("a", "a"),
            ("!a", "!a"),
            ("! a , b", "!a,b"),
            ("a>1,b<2", "a>1,b<2"),
            ("a=", "a="),
            ("a=,b", "a=,b"),
            ("in in (in)", "in in (in)"),
            ("notin", "notin"),
            ("a=in", "a=in"),
            ("example.com/x=y", "example.com/x=y"),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn illegal_selectors_are_refused_in_the_words_of_the_api() {
        for (text, message) in [
            ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in web", "unable to parse requirement: found 'web' expected: '('"),
            ("a=(", "unable to parse requirement: found '(', expected: identifier"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            ("a,", "found '', expected: identifier after ','"),
            ("a,,b", "found ',', expected: identifier after ','"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("!!a", "unable to parse requirement: found '!', expected: identifier"),
            ("!a=b", "found '=', expected: ',' or 'end of string'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
            ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a in (,", "unable to parse requirement: found '', expected: ',', or identifier"),
            ("a in (x,=", "unable to parse requirement: found '=', expected: ',', or identifier"),
            ("a in (=", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
            (
                "a/b/c",
                "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            ),
            (")", "found ')', expected: !, identifier, or 'end of string'"),
        ] {
            assert_eq!(
                LabelSelector::parse(text).map_err(|error| error.to_string()),
                Err(message.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_missing_label_satisfies_only_the_negative_conditions() {
        let some = [("a", "1"), ("b", "x")];
        for (text, expected) in [
            ("", true),
            ("a", true),
            ("c", false),
            ("!c", true),
            ("!a", false),
            ("c!=1", true),
            ("c notin (1)", true),
            ("c in (1)", false),
            ("a in (2,1)", true),
            ("a notin (2,1)", false),
            ("a>0", true),
            ("a<1", false),
            ("b>0", false),
            ("c<9", false),
            ("a=1,b=y", false),
            ("a==1,b=x", true),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(labels(&some)), expected, "{text}");
        }
    }

    #[test]
    fn the_structured_form_knows_four_operators() {
        let selector =
            LabelSelector::structured([("b", "x")], [("a", "In", vec!["1", "2"]), ("c", "DoesNotExist", vec![])])
                .unwrap();
        assert_eq!(selector.to_string(), "a in (1,2),b=x,!c");
        let error = LabelSelector::structured([], [("a", "Gt", vec!["1"])]).unwrap_err();
        assert_eq!(error.to_string(), "\"Gt\" is not a valid label selector operator");
        let error = LabelSelector::structured([], [("a", "In", vec![])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
        );
        assert!(LabelSelector::structured([], [("a", "Exists", vec!["1"])]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c=!<>(), in/notin\u{0}é-]{0,24}") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let again = LabelSelector::parse(&selector.to_string());
                prop_assert_eq!(again, Ok(selector));
            }
        }
    }
}
