//! Objects as controllers see them: metadata that all kinds share, pods reduced to what controllers decide on, everything
//! else as JSON. Entry point: [`Entry::read`].

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_notation::LabelSelector;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A reference to an owner.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owner {
    #[serde(default)]
    pub api_version: String,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub uid: Arc<str>,
    #[serde(default)]
    pub controller: Option<bool>,
    #[serde(default)]
    pub block_owner_deletion: Option<bool>,
}

/// What all objects have.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    #[serde(default)]
    pub namespace: Arc<str>,
    #[serde(default)]
    pub name: Arc<str>,
    #[serde(default)]
    pub uid: Arc<str>,
    #[serde(default, rename = "resourceVersion")]
    version: String,
    #[serde(default)]
    pub creation_timestamp: Option<Timestamp>,
    #[serde(default)]
    pub deletion_timestamp: Option<Timestamp>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub owner_references: Vec<Owner>,
    #[serde(default)]
    pub finalizers: Vec<String>,
}

impl Meta {
    /// The revision of the store at which this state was written.
    pub fn revision(&self) -> u64 {
        self.version.parse().unwrap_or(0)
    }

    /// Whether deletion has been asked for.
    pub fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The owner that manages the object.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether the object with this UID manages this one.
    pub fn controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|owner| &*owner.uid == uid)
    }

    /// A label's value; empty when it is missing.
    pub fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    /// Whether the finalizer is set.
    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|f| f == name)
    }

    /// Whether the selector matches the labels.
    pub fn matches(&self, selector: &LabelSelector) -> bool {
        selector.matches(|key| self.labels.get(key).map(String::as_str))
    }
}

/// A condition of a pod or node.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(default, rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub last_transition_time: Option<Timestamp>,
}

/// A toleration of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Toleration {
    pub key: String,
    pub operator: String,
    pub value: String,
    pub effect: String,
    pub toleration_seconds: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    restart_count: i64,
    state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Option<Arc<str>>,
    tolerations: Vec<Toleration>,
    affinity: Option<Value>,
    resource_claims: Vec<PodClaim>,
}

/// A claim to devices that a pod makes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodClaim {
    name: String,
    resource_claim_template_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    resource_claim_statuses: Vec<PodClaim>,
}

/// A pod, reduced to what controllers decide on.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Pod {
    pub metadata: Meta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

impl Pod {
    /// The node that the pod is bound to.
    pub fn node(&self) -> Option<&Arc<str>> {
        self.spec.node_name.as_ref().filter(|name| !name.is_empty())
    }

    /// The node that a daemon pod is meant for: the one it is bound to, or the one its node affinity names.
    pub fn target_node(&self) -> Option<&str> {
        if let Some(node) = self.node() {
            return Some(node);
        }
        let terms = &self.spec.affinity.as_ref()?["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        terms
            .as_array()?
            .iter()
            .flat_map(|term| term["matchFields"].as_array().into_iter().flatten())
            .find(|field| field["key"] == "metadata.name")
            .and_then(|field| field["values"][0].as_str())
    }

    /// The phase, such as `Running`.
    pub fn phase(&self) -> &str {
        &self.status.phase
    }

    /// Whether all containers have ended for good.
    pub fn finished(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// Whether the pod counts as a replica: neither ended nor being deleted.
    pub fn active(&self) -> bool {
        !self.finished() && !self.metadata.deleting()
    }

    fn ready_condition(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|c| c.kind == "Ready")
    }

    /// Whether the `Ready` condition holds.
    pub fn ready(&self) -> bool {
        self.ready_condition().is_some_and(|c| c.status == "True")
    }

    /// Since when the pod has been ready.
    pub fn ready_since(&self) -> Option<Timestamp> {
        self.ready_condition().filter(|c| c.status == "True").and_then(|c| c.last_transition_time)
    }

    /// When the pod has been (or will have been, if it stays ready) ready for `min_ready` seconds.
    pub fn available_at(&self, min_ready: i64) -> Option<Timestamp> {
        if !self.ready() {
            return None;
        }
        if min_ready == 0 {
            return Some(Timestamp::MIN);
        }
        self.ready_since()?.checked_add(jiff::SignedDuration::from_secs(min_ready)).ok()
    }

    /// Whether the pod has been ready for `min_ready` seconds.
    pub fn available(&self, min_ready: i64, now: Timestamp) -> bool {
        self.available_at(min_ready).is_some_and(|at| at <= now)
    }

    /// The highest restart count of a container.
    pub fn max_restarts(&self) -> i64 {
        self.status.container_statuses.iter().map(|c| c.restart_count).max().unwrap_or(0)
    }

    /// The sum of the restart counts.
    pub fn restarts(&self) -> i64 {
        self.status.container_statuses.iter().map(|c| c.restart_count).sum()
    }

    /// When the last container of a pod that has ended did end.
    pub fn finished_at(&self) -> Option<Timestamp> {
        let ends = self.status.container_statuses.iter().filter_map(|c| c.state.terminated.as_ref()?.finished_at);
        ends.max().or(self.metadata.deletion_timestamp).or_else(|| self.ready_condition()?.last_transition_time)
    }

    /// Claims that are to be made for the pod: its name of each and the template's.
    pub fn claims_from_templates(&self) -> impl Iterator<Item = (&str, &str)> {
        let claims = self.spec.resource_claims.iter();
        claims.filter_map(|claim| Some((&*claim.name, claim.resource_claim_template_name.as_deref()?)))
    }

    /// How many claims its status names as made for it.
    pub fn claims_told(&self) -> usize {
        self.status.resource_claim_statuses.len()
    }

    /// The pod's tolerations.
    pub fn tolerations(&self) -> &[Toleration] {
        &self.spec.tolerations
    }
}

/// What is kept of an object.
#[derive(Debug)]
pub(super) enum Body {
    /// A pod.
    Pod(Box<Pod>),
    /// The whole object.
    Whole(Meta, Value),
    /// Only its metadata.
    Meta(Meta),
}

/// How much of a resource's objects is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// As a [`Pod`].
    Pod,
    /// All of it.
    Whole,
    /// The metadata.
    Meta,
}

/// An object in the cache.
#[derive(Debug)]
pub(super) struct Entry {
    body: Body,
}

#[derive(Deserialize)]
struct OnlyMeta {
    metadata: Meta,
}

impl Entry {
    /// Reads an object from its JSON text.
    ///
    /// # Errors
    /// Text that is not an object of the API.
    pub fn read(bytes: &[u8], depth: Depth) -> Result<Entry, serde_json::Error> {
        let body = match depth {
            Depth::Pod => Body::Pod(serde_json::from_slice(bytes)?),
            Depth::Whole => return Entry::of(serde_json::from_slice(bytes)?, depth),
            Depth::Meta => Body::Meta(serde_json::from_slice::<OnlyMeta>(bytes)?.metadata),
        };
        Ok(Entry { body })
    }

    /// Takes in an object.
    ///
    /// # Errors
    /// A value that is not an object of the API.
    pub fn of(value: Value, depth: Depth) -> Result<Entry, serde_json::Error> {
        let body = match depth {
            Depth::Pod => Body::Pod(Box::new(Pod::deserialize(value)?)),
            Depth::Whole => {
                let mut value = value;
                // Nothing here looks at field ownership, and it is the largest part of many objects.
                if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("managedFields");
                }
                let meta = Meta::deserialize(&value["metadata"])?;
                Body::Whole(meta, value)
            }
            Depth::Meta => Body::Meta(OnlyMeta::deserialize(value)?.metadata),
        };
        Ok(Entry { body })
    }

    /// The metadata.
    pub fn meta(&self) -> &Meta {
        match &self.body {
            Body::Pod(pod) => &pod.metadata,
            Body::Whole(meta, _) | Body::Meta(meta) => meta,
        }
    }

    /// The pod, if it is one.
    pub fn pod(&self) -> Option<&Pod> {
        match &self.body {
            Body::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// The whole object; null where only a part is kept.
    pub fn value(&self) -> &Value {
        match &self.body {
            Body::Whole(_, value) => value,
            _ => &Value::Null,
        }
    }
}

/// A `LabelSelector` member of an object. `None` for one that is missing or malformed, which selects nothing.
pub(crate) fn selector_of(value: &Value) -> Option<LabelSelector> {
    let object = value.as_object()?;
    let labels = object.get("matchLabels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
    let expressions = object.get("matchExpressions").and_then(Value::as_array);
    let expressions = expressions.into_iter().flatten().map(|e| {
        let values = e["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        (e["key"].as_str().unwrap_or_default(), e["operator"].as_str().unwrap_or_default(), values)
    });
    LabelSelector::structured(labels, expressions).ok()
}

/// A whole number member; `other` when it is missing.
pub(super) fn number(value: &Value, other: i64) -> i64 {
    value.as_i64().unwrap_or(other)
}

/// A string member; empty when it is missing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of an array member; none when it is missing.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A number, or a percentage of `whole`, as `maxSurge` and its kin are written; `other` when it is missing.
pub(super) fn int_or_percent(value: &Value, whole: i64, round_up: bool, other: i64) -> i64 {
    if let Some(number) = value.as_i64() {
        return number;
    }
    let Some(percent) = value.as_str().and_then(|t| t.strip_suffix('%')).and_then(|t| t.parse::<i64>().ok()) else {
        return other;
    };
    let scaled = percent.saturating_mul(whole);
    if round_up { scaled.saturating_add(99) / 100 } else { scaled / 100 }
}

/// A time as the API writes it, in whole seconds.
pub(super) fn written(time: Timestamp) -> Value {
    let seconds = Timestamp::from_second(time.as_second()).unwrap_or(time);
    Value::String(seconds.to_string())
}

/// A time member.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}
