//! Failures as the API shows them: a `Status` with the reason, code, details and causes that clients act on.

use serde_json::{Value, json};

use crate::resource::Resource;

/// What is wrong with one field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The machine-readable reason, such as `FieldValueInvalid`.
    pub reason: &'static str,
    /// The path, such as `spec.containers[0].name`.
    pub field: String,
    /// The text without the path, such as `Required value: must not be empty`.
    pub message: String,
}

impl FieldError {
    fn new(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        FieldError { reason, field: field.into(), message }
    }

    /// A value that is missing.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueRequired", field, with_detail("Required value", detail))
    }

    /// A value that breaks a rule; shown as Go's `%v`/`%q` would show it (strings quoted).
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new("FieldValueInvalid", field, with_detail(&format!("Invalid value: {}", shown(value)), detail))
    }

    /// The same for a value that is shown as `text`, whose members have an order of their own.
    pub fn invalid_text(field: impl Into<String>, text: &str, detail: &str) -> Self {
        Self::new("FieldValueInvalid", field, with_detail(&format!("Invalid value: {text}"), detail))
    }

    /// A value that breaks a rule and is not shown.
    pub fn invalid_unshown(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueInvalid", field, with_detail("Invalid value", detail))
    }

    /// A value of the wrong type.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new("FieldValueTypeInvalid", field, with_detail(&format!("Invalid value: {}", shown(value)), detail))
    }

    /// A value outside a fixed set; `supported` in the order in which it is to be shown.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("\"{s}\"")).collect();
        let detail = if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        Self::new(
            "FieldValueNotSupported",
            field,
            with_detail(&format!("Unsupported value: {}", shown(value)), &detail),
        )
    }

    /// A value that occurs twice.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueDuplicate", field, format!("Duplicate value: {}", shown(value)))
    }

    /// A value that occurs twice and is shown as `text`, whose members have an order of their own.
    pub fn duplicate_text(field: impl Into<String>, text: &str) -> Self {
        Self::new("FieldValueDuplicate", field, format!("Duplicate value: {text}"))
    }

    /// A value that may not be given here.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, with_detail("Forbidden", detail))
    }

    /// A value that is too long; `max` in bytes.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        Self::new("FieldValueTooLong", field, format!("Too long: may not be more than {max} bytes"))
    }

    /// A list with too many items.
    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> Self {
        let items = if max == 1 { "item" } else { "items" };
        Self::new("FieldValueTooMany", field, format!("Too many: {actual}: must have at most {max} {items}"))
    }

    /// A reference to something that does not exist.
    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueNotFound", field, format!("Not found: {}", shown(value)))
    }

    fn line(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

fn with_detail(head: &str, detail: &str) -> String {
    if detail.is_empty() { head.to_owned() } else { format!("{head}: {detail}") }
}

fn shown(value: &Value) -> String {
    value.to_string()
}

/// A failure of a request.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// HTTP status.
    pub code: u16,
    /// Machine-readable reason; empty where the API gives none.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// `details` of the `Status`; null when there are none.
    pub details: Value,
    /// `metadata.continue` of the `Status`: where a list that expired can go on.
    pub continues: Option<String>,
}

impl ApiError {
    /// A failure without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        ApiError { code, reason, message: message.into(), details: Value::Null, continues: None }
    }

    /// The same with `details`.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// The same with a continue token.
    #[must_use]
    pub fn with_continue(mut self, token: String) -> Self {
        self.continues = Some(token);
        self
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404 for an object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", resource.qualified()))
            .with_details(named(resource, name))
    }

    /// 409 for a name that is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", resource.qualified()))
            .with_details(named(resource, name))
    }

    /// 409 for a stale or contradicted write.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        Self::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified()),
        )
        .with_details(named(resource, name))
    }

    /// 403.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} \"{name}\" is forbidden: {why}", resource.qualified()))
            .with_details(named(resource, name))
    }

    /// 422 with its causes, in order.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut lines: Vec<String> = Vec::new();
        for error in errors {
            let line = error.line();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let text = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes: Vec<Value> =
            errors.iter().map(|e| json!({ "reason": e.reason, "message": e.message, "field": e.field })).collect();
        let mut details = json!({ "kind": kind, "causes": causes });
        if !name.is_empty() {
            details["name"] = json!(name);
        }
        if !group.is_empty() {
            details["group"] = json!(group);
        }
        Self::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {text}")).with_details(details)
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(token) = &self.continues {
            status["metadata"]["continue"] = json!(token);
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

fn named(resource: &Resource, name: &str) -> Value {
    let mut details = json!({ "name": name, "kind": resource.plural });
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    details
}
