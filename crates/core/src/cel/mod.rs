//! Selectors of devices: the part of the Common Expression Language that `resource.k8s.io` uses.
//!
//! [`Program::parse`] reads an expression, [`Program::matches`] asks it about a device. Types are checked while it runs, not before:
//! the API server has checked what it stored. What is not implemented fails the expression by name.

mod eval;
mod functions;
mod lexer;
mod parser;
mod semver;
mod strings;
mod value;

#[cfg(test)]
mod tests;

use crate::object::{AttributeValue, Device};
pub use semver::Semver;
use value::Value;

/// The most bytes of an expression that the API takes.
const LONGEST: usize = 10 * 1024;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Program(parser::Expr);

impl Program {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is no expression; what is wrong and at which byte.
    pub fn parse(text: &str) -> Result<Program, String> {
        if text.len() > LONGEST {
            return Err(format!("the expression has more than {LONGEST} bytes"));
        }
        parser::parse(text).map(Program)
    }

    /// Whether the device of the driver satisfies the expression.
    ///
    /// # Errors
    /// The expression asks for what is not there, costs too much or gives no boolean; what went wrong.
    pub fn matches(&self, driver: &str, device: &Device) -> Result<bool, String> {
        for attribute in &device.attributes {
            match &attribute.value {
                AttributeValue::Version(text) if Semver::parse(text).is_none() => {
                    return Err(format!("attribute {}: parse semantic version: \"{text}\"", attribute.name));
                }
                AttributeValue::Unsupported => {
                    return Err(format!("attribute {}: unsupported attribute value", attribute.name));
                }
                _ => {}
            }
        }
        match eval::run(&self.0, driver, device)? {
            Value::Bool(matches) => Ok(matches),
            other => Err(format!("CEL result of type {} could not be converted to bool", other.type_name())),
        }
    }
}
