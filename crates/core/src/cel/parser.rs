//! Tokens to an expression. Macros are expanded here.

use std::sync::Arc;

use super::lexer::{Token, tokens};
use super::value::Value;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Literal(Value),
    Ident(Arc<str>),
    /// `operand.field`, or `operand.?field`, or `has(operand.field)`.
    Select {
        operand: Box<Expr>,
        field: Arc<str>,
        how: Access,
    },
    /// `operand[index]`, or `operand[?index]`.
    Index {
        operand: Box<Expr>,
        index: Box<Expr>,
        how: Access,
    },
    Call {
        target: Option<Box<Expr>>,
        name: Arc<str>,
        args: Vec<Expr>,
    },
    /// Each with whether it is left out when it is an optional without value.
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr)>),
    /// All must hold.
    And(Vec<Expr>),
    /// One must hold.
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    If(Box<[Expr; 3]>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// A macro over the elements of `range`, named `variable` in the parts.
    Each {
        what: Each,
        range: Box<Expr>,
        variable: Arc<str>,
        parts: Vec<Expr>,
    },
    /// `cel.bind(variable, value, body)`.
    Bind {
        variable: Arc<str>,
        value: Box<Expr>,
        body: Box<Expr>,
    },
    /// `target.optMap(variable, body)`; flat if the body is an optional itself.
    OptionalMap {
        target: Box<Expr>,
        variable: Arc<str>,
        body: Box<Expr>,
        flat: bool,
    },
}

/// How a part of a value is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It has to be there.
    Plain,
    /// As an optional.
    Optional,
    /// Only whether it is there.
    Test,
}

/// Operators of two sides that need both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Plus,
    Minus,
    Times,
    Divided,
    Rest,
}

/// Macros over elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Each {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// How deep expressions may be nested, and how high their trees may be: bounds on the stack. Chains of `&&` and `||` are flat.
const DEEPEST: usize = 48;
const HIGHEST: usize = 96;

/// Words that are no names.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

pub(super) fn parse(text: &str) -> Result<Expr, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, depth: 0, end: text.len() };
    let node = parser.expr()?;
    match parser.tokens.get(parser.at) {
        None => Ok(node.expr),
        Some(_) => Err(parser.fail("what follows does not belong here")),
    }
}

/// An expression with the height of its tree.
struct Node {
    expr: Expr,
    height: usize,
}

type Parsed = Result<Node, String>;

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
    end: usize,
}

fn leaf(expr: Expr) -> Node {
    Node { expr, height: 1 }
}

fn tallest(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| node.height).max().unwrap_or(0)
}

fn exprs(nodes: Vec<Node>) -> Vec<Expr> {
    nodes.into_iter().map(|node| node.expr).collect()
}

impl Parser {
    fn fail(&self, what: &str) -> String {
        format!("byte {}: {what}", self.tokens.get(self.at).map_or(self.end, |(at, _)| *at))
    }

    /// A node above others of which the tallest has the given height.
    fn above(&self, height: usize, expr: Expr) -> Parsed {
        if height < HIGHEST { Ok(Node { expr, height: height + 1 }) } else { Err(self.fail("nested too deeply")) }
    }

    /// Takes the sign if it comes next.
    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some((_, Token::Sign(next))) if *next == sign);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(self.fail(&format!("expected {sign:?}"))) }
    }

    fn expr(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.fail("nested too deeply"));
        }
        let condition = self.or()?;
        let node = if self.take("?") {
            let yes = self.or()?;
            self.need(":")?;
            let no = self.expr()?;
            let height = condition.height.max(yes.height).max(no.height);
            self.above(height, Expr::If(Box::new([condition.expr, yes.expr, no.expr])))?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    fn or(&mut self) -> Parsed {
        self.junction("||", Parser::and, Expr::Or)
    }

    fn and(&mut self) -> Parsed {
        self.junction("&&", Parser::relation, Expr::And)
    }

    fn junction(&mut self, sign: &str, part: fn(&mut Parser) -> Parsed, join: fn(Vec<Expr>) -> Expr) -> Parsed {
        let first = part(self)?;
        if !self.take(sign) {
            return Ok(first);
        }
        let mut nodes = vec![first, part(self)?];
        while self.take(sign) {
            nodes.push(part(self)?);
        }
        self.above(tallest(&nodes), join(exprs(nodes)))
    }

    fn relation(&mut self) -> Parsed {
        self.chain(
            &[
                ("==", Operator::Equal),
                ("!=", Operator::NotEqual),
                ("<=", Operator::LessOrEqual),
                (">=", Operator::GreaterOrEqual),
                ("<", Operator::Less),
                (">", Operator::Greater),
            ],
            Parser::sum,
        )
    }

    fn sum(&mut self) -> Parsed {
        self.chain(&[("+", Operator::Plus), ("-", Operator::Minus)], Parser::product)
    }

    fn product(&mut self) -> Parsed {
        self.chain(&[("*", Operator::Times), ("/", Operator::Divided), ("%", Operator::Rest)], Parser::unary)
    }

    fn chain(&mut self, signs: &[(&str, Operator)], part: fn(&mut Parser) -> Parsed) -> Parsed {
        let mut left = part(self)?;
        while let Some(operator) = self.operator(signs) {
            let right = part(self)?;
            let height = left.height.max(right.height);
            left = self.above(height, Expr::Binary(operator, Box::new(left.expr), Box::new(right.expr)))?;
        }
        Ok(left)
    }

    fn operator(&mut self, signs: &[(&str, Operator)]) -> Option<Operator> {
        if let Some((_, Token::Ident(name))) = self.tokens.get(self.at)
            && &**name == "in"
            && signs.iter().any(|(sign, _)| *sign == "==")
        {
            self.at += 1;
            return Some(Operator::In);
        }
        signs.iter().find(|(sign, _)| self.take(sign)).map(|(_, operator)| *operator)
    }

    fn unary(&mut self) -> Parsed {
        let (mut not, mut negative) = (0, 0);
        while self.take("!") {
            not += 1;
        }
        while not == 0 && self.take("-") {
            negative += 1;
        }
        if negative % 2 == 1 {
            let literal = match self.tokens.get(self.at) {
                Some((_, Token::Int(value))) => Some(Value::Int(-value)),
                Some((_, Token::Least)) => Some(Value::Int(i64::MIN)),
                Some((_, Token::Double(value))) => Some(Value::Double(-value)),
                _ => None,
            };
            if let Some(literal) = literal {
                self.at += 1;
                return self.members(leaf(Expr::Literal(literal)));
            }
        }
        let primary = self.primary()?;
        let mut node = self.members(primary)?;
        // Two are not nothing: they still ask for the type.
        for _ in 0..(2 - not % 2) * usize::from(not > 0) {
            node = self.above(node.height, Expr::Not(Box::new(node.expr)))?;
        }
        for _ in 0..(2 - negative % 2) * usize::from(negative > 0) {
            node = self.above(node.height, Expr::Negative(Box::new(node.expr)))?;
        }
        Ok(node)
    }

    fn members(&mut self, mut node: Node) -> Parsed {
        loop {
            if self.take(".") {
                let how = if self.take("?") { Access::Optional } else { Access::Plain };
                let name = self.name()?;
                if how == Access::Plain && self.take("(") {
                    let args = self.list(")")?;
                    let height = node.height.max(tallest(&args));
                    let expr = self.method(node.expr, name, exprs(args))?;
                    node = self.above(height, expr)?;
                } else {
                    node = self.above(node.height, Expr::Select { operand: Box::new(node.expr), field: name, how })?;
                }
            } else if self.take("[") {
                let how = if self.take("?") { Access::Optional } else { Access::Plain };
                let index = self.expr()?;
                self.need("]")?;
                let height = node.height.max(index.height);
                let expr = Expr::Index { operand: Box::new(node.expr), index: Box::new(index.expr), how };
                node = self.above(height, expr)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn name(&mut self) -> Result<Arc<str>, String> {
        match self.tokens.get(self.at) {
            Some((_, Token::Ident(name))) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.fail("expected a name")),
        }
    }

    /// Expressions between commas, up to the closing sign.
    fn list(&mut self, close: &str) -> Result<Vec<Node>, String> {
        let mut items = Vec::new();
        loop {
            if self.take(close) {
                return Ok(items);
            }
            items.push(self.expr()?);
            if !self.take(",") {
                self.need(close)?;
                return Ok(items);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let Some((_, token)) = self.tokens.get(self.at).cloned() else { return Err(self.fail("expected more")) };
        self.at += 1;
        let literal = |value| Ok(leaf(Expr::Literal(value)));
        match token {
            Token::Int(value) => literal(Value::Int(value)),
            Token::Uint(value) => literal(Value::Uint(value)),
            Token::Double(value) => literal(Value::Double(value)),
            Token::Text(text) => literal(Value::Text(text)),
            Token::Ident(name) => self.named(name),
            Token::Sign("(") => {
                let node = self.expr()?;
                self.need(")")?;
                Ok(node)
            }
            Token::Sign("[") => self.list_literal(),
            Token::Sign("{") => self.map_literal(),
            // A leading point only says that a name is absolute.
            Token::Sign(".") => {
                let name = self.name()?;
                self.named(name)
            }
            Token::Least | Token::Sign(_) => {
                self.at -= 1;
                Err(self.fail("expected a value"))
            }
        }
    }

    fn list_literal(&mut self) -> Parsed {
        let (mut items, mut height) = (Vec::new(), 0);
        loop {
            if self.take("]") {
                return self.above(height, Expr::List(items));
            }
            let optional = self.take("?");
            let item = self.expr()?;
            height = height.max(item.height);
            items.push((item.expr, optional));
            if !self.take(",") {
                self.need("]")?;
                return self.above(height, Expr::List(items));
            }
        }
    }

    fn map_literal(&mut self) -> Parsed {
        let (mut entries, mut height) = (Vec::new(), 0);
        loop {
            if self.take("}") {
                return self.above(height, Expr::Map(entries));
            }
            let key = self.expr()?;
            self.need(":")?;
            let value = self.expr()?;
            height = height.max(key.height).max(value.height);
            entries.push((key.expr, value.expr));
            if !self.take(",") {
                self.need("}")?;
                return self.above(height, Expr::Map(entries));
            }
        }
    }

    fn named(&mut self, name: Arc<str>) -> Parsed {
        if self.take("(") {
            let args = self.list(")")?;
            let height = tallest(&args);
            let expr = self.function(name, exprs(args))?;
            return self.above(height, expr);
        }
        match &*name {
            "true" => Ok(leaf(Expr::Literal(Value::Bool(true)))),
            "false" => Ok(leaf(Expr::Literal(Value::Bool(false)))),
            "null" => Ok(leaf(Expr::Literal(Value::Null))),
            reserved if reserved == "in" || RESERVED.contains(&reserved) => {
                self.at -= 1;
                Err(self.fail(&format!("{reserved:?} is no name")))
            }
            _ => Ok(leaf(Expr::Ident(name))),
        }
    }

    fn function(&self, name: Arc<str>, mut args: Vec<Expr>) -> Result<Expr, String> {
        if &*name == "has" {
            return match (args.pop(), args.is_empty()) {
                (Some(Expr::Select { operand, field, how: Access::Plain }), true) => {
                    Ok(Expr::Select { operand, field, how: Access::Test })
                }
                _ => Err(self.fail("has() takes one field")),
            };
        }
        Ok(Expr::Call { target: None, name, args })
    }

    /// A call on a target: a macro, a function of a namespace, or a method.
    fn method(&self, target: Expr, name: Arc<str>, mut args: Vec<Expr>) -> Result<Expr, String> {
        let variable = |args: &[Expr]| match args.first() {
            Some(Expr::Ident(name)) => Some(name.clone()),
            _ => None,
        };
        let each = match (&*name, args.len()) {
            ("all", 2) => Some(Each::All),
            ("exists", 2) => Some(Each::Exists),
            ("exists_one" | "existsOne", 2) => Some(Each::ExistsOne),
            ("filter", 2) => Some(Each::Filter),
            ("map", 2 | 3) => Some(Each::Map),
            _ => None,
        };
        if let Some(what) = each {
            let variable = variable(&args).ok_or_else(|| self.fail("a macro names its variable first"))?;
            let parts = args.split_off(1);
            return Ok(Expr::Each { what, range: Box::new(target), variable, parts });
        }
        if let Expr::Ident(space) = &target
            && let "cel" | "sets" | "optional" = &**space
        {
            if &**space == "cel" && &*name == "bind" && args.len() == 3 {
                let variable = variable(&args).ok_or_else(|| self.fail("cel.bind() names its variable first"))?;
                let (Some(body), Some(value)) = (args.pop(), args.pop()) else { return Err(self.fail("cel.bind()")) };
                return Ok(Expr::Bind { variable, value: Box::new(value), body: Box::new(body) });
            }
            return Ok(Expr::Call { target: None, name: format!("{space}.{name}").into(), args });
        }
        if let ("optMap" | "optFlatMap", 2) = (&*name, args.len()) {
            let variable = variable(&args).ok_or_else(|| self.fail("a macro names its variable first"))?;
            let Some(body) = args.pop() else { return Err(self.fail("optMap()")) };
            let flat = &*name == "optFlatMap";
            return Ok(Expr::OptionalMap { target: Box::new(target), variable, body: Box::new(body), flat });
        }
        Ok(Expr::Call { target: Some(Box::new(target)), name, args })
    }
}
