//! Query parameters: decoded once, then read as the options of each verb, with the errors that the API gives.

use serde_json::{Value, json};

use crate::error::{ApiError, FieldError};
use crate::schema::FieldValidation;

/// The parameters of a request, in order.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string.
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        });
        Query(pairs.collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// The first value, empty if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// A flag: everything but `false`, `0` and the like counts as set, as in Kubernetes.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))),
        }
    }

    /// Whether the answer is to be indented.
    pub(super) fn pretty(&self, user_agent: &str) -> bool {
        match self.get("pretty") {
            Some(_) => self.flag("pretty"),
            None => ["curl", "Wget", "Mozilla/5.0"].iter().any(|browser| user_agent.starts_with(browser)),
        }
    }

    /// The options of a write; `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`.
    pub(super) fn write_options(&self, kind: &str, apply: bool) -> Result<Write, ApiError> {
        let mut errors = Vec::new();
        let dry_run: Vec<&str> = self.all("dryRun").filter(|v| !v.is_empty()).collect();
        if dry_run.iter().any(|v| *v != "All") {
            errors.push(FieldError::not_supported("dryRun", &json!(dry_run), &["All"]));
        }
        let manager = self.text("fieldManager");
        if kind == "PatchOptions" && apply && manager.is_empty() {
            errors.push(FieldError::required("fieldManager", "is required for apply patch"));
        }
        if kind == "PatchOptions" && !apply && self.get("force").is_some() {
            errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
        }
        if manager.len() > 128 {
            errors.push(FieldError::too_long("fieldManager", 128));
        }
        if manager.chars().any(char::is_control) {
            errors.push(FieldError::invalid(
                "fieldManager",
                &json!(manager),
                "should only contain printable characters",
            ));
        }
        let validation = match self.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                errors.push(FieldError::not_supported(
                    "fieldValidation",
                    &json!(other),
                    &["", "Ignore", "Strict", "Warn"],
                ));
                FieldValidation::Warn
            }
        };
        if !errors.is_empty() {
            return Err(ApiError::invalid("meta.k8s.io", kind, "", &errors));
        }
        Ok(Write { dry_run: !dry_run.is_empty(), manager: manager.to_owned(), validation, force: self.flag("force") })
    }

    /// `DeleteOptions` as a body would give them.
    pub(super) fn delete_options(&self) -> Result<Value, ApiError> {
        let mut options = json!({});
        if let Some(seconds) = self.number("gracePeriodSeconds")? {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(policy) = self.get("propagationPolicy").filter(|v| !v.is_empty()) {
            options["propagationPolicy"] = json!(policy);
        }
        if self.get("orphanDependents").is_some() {
            options["orphanDependents"] = json!(self.flag("orphanDependents"));
        }
        let dry_run: Vec<&str> = self.all("dryRun").filter(|v| !v.is_empty()).collect();
        if !dry_run.is_empty() {
            options["dryRun"] = json!(dry_run);
        }
        Ok(options)
    }

    /// The options of a list or watch.
    pub(super) fn list_options(&self, watch_path: bool) -> Result<List<'_>, ApiError> {
        let limit = self.number("limit")?;
        let timeout = self.number("timeoutSeconds")?;
        let list = List {
            watch: watch_path || self.flag("watch"),
            labels: self.text("labelSelector"),
            fields: self.text("fieldSelector"),
            limit: limit.filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok()),
            continues: self.text("continue"),
            version: self.text("resourceVersion"),
            version_match: self.text("resourceVersionMatch"),
            initial_events: self.get("sendInitialEvents").map(|_| self.flag("sendInitialEvents")),
            bookmarks: self.flag("allowWatchBookmarks"),
            timeout_seconds: timeout.filter(|n| *n > 0).and_then(|n| u64::try_from(n).ok()),
        };
        let errors = list.problems();
        if errors.is_empty() { Ok(list) } else { Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &errors)) }
    }
}

/// The options of a write.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) dry_run: bool,
    /// Empty: taken from the user agent.
    pub(super) manager: String,
    pub(super) validation: FieldValidation,
    pub(super) force: bool,
}

/// The options of a list or watch.
#[derive(Debug)]
pub(super) struct List<'a> {
    pub(super) watch: bool,
    pub(super) labels: &'a str,
    pub(super) fields: &'a str,
    pub(super) limit: Option<usize>,
    pub(super) continues: &'a str,
    pub(super) version: &'a str,
    pub(super) version_match: &'a str,
    pub(super) initial_events: Option<bool>,
    pub(super) bookmarks: bool,
    pub(super) timeout_seconds: Option<u64>,
}

impl List<'_> {
    fn problems(&self) -> Vec<FieldError> {
        const MATCH: &str = "resourceVersionMatch";
        let mut errors = Vec::new();
        let found = self.version_match;
        let unsupported = |supported| FieldError::not_supported(MATCH, &json!(found), supported);
        if self.watch {
            if self.initial_events.is_some() && found != "NotOlderThan" {
                let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                errors.push(FieldError::forbidden(MATCH, detail));
            }
            if !found.is_empty() {
                if self.initial_events.is_none() {
                    let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                    errors.push(FieldError::forbidden(MATCH, detail));
                }
                if found != "NotOlderThan" {
                    errors.push(unsupported(&["NotOlderThan"]));
                }
                if !self.continues.is_empty() {
                    let detail = "resourceVersionMatch is forbidden when continue is provided";
                    errors.push(FieldError::forbidden(MATCH, detail));
                }
            }
            return errors;
        }
        if !found.is_empty() {
            if self.version.is_empty() {
                let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.push(FieldError::forbidden(MATCH, detail));
            }
            if !self.continues.is_empty() {
                let detail = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(FieldError::forbidden(MATCH, detail));
            }
            if !matches!(found, "Exact" | "NotOlderThan") {
                errors.push(unsupported(&["Exact", "NotOlderThan", ""]));
            }
            if found == "Exact" && self.version == "0" {
                let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(FieldError::forbidden(MATCH, detail));
            }
        }
        if self.initial_events.is_some() {
            errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        errors
    }
}

/// Undoes percent encoding; in a query string `+` is a space.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' if plus => bytes.push(b' '),
            b'%' => {
                let digits = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
                match digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) => {
                        bytes.push(byte);
                        rest = &tail[2..];
                    }
                    None => bytes.push(b'%'),
                }
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("labelSelector=app+in+%28a%2Cb%29&watch=maybe&limit=-1&pretty=false&x=%zz");
        assert_eq!(query.text("labelSelector"), "app in (a,b)");
        assert!(query.flag("watch") && !query.pretty("curl/8"));
        assert_eq!(query.list_options(false).unwrap().limit, None);
        assert_eq!(query.text("x"), "%zz");
        assert!(Query::parse("").pretty("curl/8"));
    }

    #[test]
    fn bad_parameters_are_refused() {
        assert_eq!(
            Query::parse("limit=abc").list_options(false).unwrap_err().message,
            "strconv.ParseInt: parsing \"abc\": invalid syntax"
        );
        assert_eq!(
            Query::parse("dryRun=true").write_options("CreateOptions", false).unwrap_err().message,
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"true\"]: supported values: \"All\""
        );
        let query = Query::parse("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact");
        assert_eq!(query.list_options(false).unwrap_err().details["causes"].as_array().unwrap().len(), 2);
    }
}
