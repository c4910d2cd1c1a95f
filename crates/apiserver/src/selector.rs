//! Selectors of lists and watches: what is kept of each object to answer them ([`Facts`]), and the field labels each kind
//! supports. Entry points: [`Selector::parse`], [`facts`].

mod fields;

use augur_notation::{FieldSelector, LabelSelector};
use serde_json::Value;

use crate::error::ApiError;
use crate::resource::Resource;

/// What selectors look at, kept beside each stored object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
}

impl Facts {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
    }

    /// The labels as an object's metadata show them.
    pub(crate) fn labels_json(&self) -> Value {
        self.labels.iter().map(|(k, v)| (String::from(&**k), Value::from(&**v))).collect()
    }

    /// The value of the kind's `index`-th selectable field.
    pub(crate) fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", |v| v)
    }
}

/// Reads off an object what selectors look at.
pub(crate) fn facts(resource: &Resource, object: &Value) -> Facts {
    let labels = match object.pointer("/metadata/labels") {
        Some(Value::Object(map)) => {
            map.iter().map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or_default().into())).collect()
        }
        _ => Box::default(),
    };
    Facts { labels, fields: fields::values(resource, object) }
}

/// A parsed label and field selector of one resource.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    labels: LabelSelector,
    fields: Vec<fields::Condition>,
}

impl Selector {
    /// Parses both texts; empty texts select everything.
    ///
    /// # Errors
    /// 400 with the text that kube-apiserver gives.
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, ApiError> {
        let bad = |e: augur_notation::SelectorError| ApiError::bad_request(e.to_string());
        let labels = LabelSelector::parse(labels).map_err(bad)?;
        let fields = FieldSelector::parse(fields).map_err(bad)?;
        let fields = fields::conditions(resource, &fields).map_err(ApiError::bad_request)?;
        Ok(Selector { labels, fields })
    }

    /// Whether it selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object passes; `key` is `namespace/name`, or the name of a cluster-scoped one.
    pub(crate) fn matches(&self, key: &str, facts: &Facts) -> bool {
        self.fields.iter().all(|c| c.holds(key, facts)) && self.labels.matches(|label| facts.label(label))
    }
}
