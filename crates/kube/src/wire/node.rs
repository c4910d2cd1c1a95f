//! Nodes as the API writes them.

use serde::Deserialize;

use super::{Map, ObjectMeta, Text, null_is_default};

/// A node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node<'a> {
    /// Metadata.
    #[serde(borrow)]
    pub metadata: ObjectMeta<'a>,
    /// What is wanted of it.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub spec: NodeSpec<'a>,
    /// What it reports.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub status: NodeStatus<'a>,
}

/// `spec` of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec<'a> {
    /// Whether it is cordoned.
    pub unschedulable: Option<bool>,
    /// Taints.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub taints: Vec<Taint<'a>>,
}

/// A taint.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Taint<'a> {
    /// Key.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// Value.
    #[serde(borrow)]
    pub value: Text<'a>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[serde(borrow)]
    pub effect: Text<'a>,
}

/// `status` of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus<'a> {
    /// Amounts that pods may use; `capacity` stands in while it is missing.
    #[serde(borrow)]
    pub allocatable: Option<Map<'a>>,
    /// Amounts that the machine has.
    #[serde(borrow)]
    pub capacity: Option<Map<'a>>,
    /// Conditions.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub conditions: Vec<NodeCondition<'a>>,
    /// Images.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub images: Vec<ContainerImage<'a>>,
    /// Optional features of the kubelet.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub declared_features: Vec<Text<'a>>,
}

/// An image on a node.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerImage<'a> {
    /// All its names.
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub names: Vec<Text<'a>>,
    /// Its size in bytes.
    #[serde(deserialize_with = "null_is_default")]
    pub size_bytes: i64,
}

/// A condition of a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeCondition<'a> {
    /// `Ready`, `MemoryPressure`, ….
    #[serde(borrow)]
    pub r#type: Text<'a>,
    /// `True`, `False` or `Unknown`.
    #[serde(borrow)]
    pub status: Text<'a>,
    /// Why, in a word.
    #[serde(borrow)]
    pub reason: Text<'a>,
}
