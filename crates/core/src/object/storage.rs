//! Storage objects as the decision sees them: claims, volumes, classes, and what CSI drivers tell of nodes.
//!
//! All are parsed at the border and shared; [`Related`](super::Related) is one of any kind.

use std::sync::Arc;

use augur_notation::{LabelSelector, Quantity};

use super::{Labels, NodeName, NodeSelectorTerm, RelatedKey};

/// Ways of mounting a volume, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessModes(u8);

impl AccessModes {
    /// `ReadWriteOncePod`.
    pub const READ_WRITE_ONCE_POD: AccessModes = AccessModes(8);

    /// The modes of these names; unknown ones are a mode that no other object has.
    #[must_use]
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> AccessModes {
        AccessModes(names.into_iter().fold(0, |bits, name| {
            bits | match name {
                "ReadWriteOnce" => 1,
                "ReadOnlyMany" => 2,
                "ReadWriteMany" => 4,
                "ReadWriteOncePod" => 8,
                _ => 16,
            }
        }))
    }

    /// Whether all modes of the other are among these.
    #[must_use]
    pub fn contain(self, other: AccessModes) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A claim to a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct PersistentVolumeClaim {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
    /// Uid of the object that controls it.
    pub controller: Option<Arc<str>>,
    /// The storage class; empty for none.
    pub class: Arc<str>,
    /// The volume that it is bound to, or is to be bound to.
    pub volume: Option<Arc<str>>,
    /// Whether its binding is complete (annotation `pv.kubernetes.io/bind-completed`).
    pub bind_completed: bool,
    /// Whether its volume is gone (`status.phase: Lost`).
    pub lost: bool,
    /// Whether its deletion was asked for.
    pub terminating: bool,
    /// How it is to be mounted.
    pub access_modes: AccessModes,
    /// Whether it is to be a block device and not a file system.
    pub block: bool,
    /// The size that it asks for.
    pub requested: Option<Quantity>,
    /// Labels that the volume must have; `None` if any will do.
    pub selector: Option<LabelSelector>,
    /// The class of attributes; empty for none.
    pub attributes_class: Arc<str>,
    /// The node for which it is being provisioned (annotation `volume.kubernetes.io/selected-node`).
    pub selected_node: Option<NodeName>,
}

impl PersistentVolumeClaim {
    /// Whether it has a volume for good.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.volume.is_some() && self.bind_completed
    }
}

/// A volume.
#[derive(Debug, Clone, PartialEq)]
pub struct PersistentVolume {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// The storage class; empty for none.
    pub class: Arc<str>,
    /// The claim that it belongs to, or is reserved for.
    pub claim: Option<ClaimRef>,
    /// Its size.
    pub capacity: Quantity,
    /// How it can be mounted.
    pub access_modes: AccessModes,
    /// Whether it is a block device and not a file system.
    pub block: bool,
    /// The class of attributes; empty for none.
    pub attributes_class: Arc<str>,
    /// Nodes from which it can be reached, one of these terms; `None` for all.
    pub node_affinity: Option<Vec<NodeSelectorTerm>>,
    /// Whether it waits for a claim (`status.phase: Available`).
    pub available: bool,
    /// Whether its deletion was asked for.
    pub terminating: bool,
    /// What it is made of.
    pub source: VolumeSource,
}

impl PersistentVolume {
    /// Whether a node of these labels can reach it.
    #[must_use]
    pub fn reaches(&self, labels: &Labels) -> bool {
        // As kube-scheduler does, by labels alone: a term that pins a node by its name matches none.
        self.node_affinity.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches("", labels)))
    }

    /// Whether it belongs to the claim, or is reserved for it.
    #[must_use]
    pub fn is_of(&self, claim: &PersistentVolumeClaim) -> bool {
        self.claim.as_ref().is_some_and(|reference| {
            reference.name == claim.name
                && reference.namespace == claim.namespace
                && (reference.uid.is_empty() || reference.uid == claim.uid)
        })
    }
}

/// What a volume is made of, as far as nodes are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A volume of a CSI driver.
    Csi {
        /// The driver.
        driver: Arc<str>,
        /// The driver's name of it.
        handle: Arc<str>,
    },
    /// A volume of a plugin that was part of Kubernetes and that a CSI driver replaces.
    InTree(InTree),
    /// Anything else.
    Other,
}

/// A volume plugin that was part of Kubernetes and that a CSI driver replaces on nodes that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InTree {
    /// Amazon Elastic Block Store.
    AwsEbs,
    /// Google Compute Engine's persistent disks.
    GcePd,
    /// Azure's disks.
    AzureDisk,
    /// OpenStack's block storage.
    Cinder,
    /// Portworx.
    Portworx,
}

impl InTree {
    const ALL: [InTree; 5] = [InTree::AwsEbs, InTree::GcePd, InTree::AzureDisk, InTree::Cinder, InTree::Portworx];

    /// The plugin's name, as provisioners and CSINodes write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            InTree::AwsEbs => "kubernetes.io/aws-ebs",
            InTree::GcePd => "kubernetes.io/gce-pd",
            InTree::AzureDisk => "kubernetes.io/azure-disk",
            InTree::Cinder => "kubernetes.io/cinder",
            InTree::Portworx => "kubernetes.io/portworx-volume",
        }
    }

    /// The plugin of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<InTree> {
        InTree::ALL.into_iter().find(|plugin| plugin.name() == name)
    }

    /// The CSI driver that replaces it.
    #[must_use]
    pub fn driver(self) -> &'static str {
        match self {
            InTree::AwsEbs => "ebs.csi.aws.com",
            InTree::GcePd => "pd.csi.storage.gke.io",
            InTree::AzureDisk => "disk.csi.azure.com",
            InTree::Cinder => "cinder.csi.openstack.org",
            InTree::Portworx => "pxd.portworx.com",
        }
    }
}

/// Names a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRef {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid; empty if any claim of the name is meant.
    pub uid: Arc<str>,
}

/// When a claim gets its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingMode {
    /// At once, whoever will use it.
    Immediate,
    /// When a pod that uses it is placed.
    WaitForFirstConsumer,
}

/// A class of volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageClass {
    /// Its name.
    pub name: Arc<str>,
    /// Who makes its volumes.
    pub provisioner: Arc<str>,
    /// When claims get theirs; `None` if the object does not say.
    pub binding_mode: Option<BindingMode>,
    /// Where volumes can be made: one of these must match, each by all its labels. Empty for everywhere.
    pub allowed_topologies: Vec<TopologyTerm>,
}

/// Labels that a node must have, each with one of the given values. Without any it matches no node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopologyTerm(pub Vec<(Arc<str>, Vec<Arc<str>>)>);

impl TopologyTerm {
    /// Whether a node of these labels matches.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let has = |(key, values): &(Arc<str>, Vec<Arc<str>>)| {
            labels.get(key).is_some_and(|value| values.iter().any(|allowed| **allowed == *value))
        };
        !self.0.is_empty() && self.0.iter().all(has)
    }
}

/// What CSI drivers tell of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsiNode {
    /// The node's name.
    pub name: NodeName,
    /// Drivers that tell how many volumes the node can have.
    pub limits: Vec<(Arc<str>, i64)>,
    /// Plugins that CSI drivers replace on the node.
    pub migrated: Vec<InTree>,
}

/// A CSI driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiDriver {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it tells how much room there is.
    pub storage_capacity: bool,
}

/// How much room there is for volumes of a class in a part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiStorageCapacity {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The storage class.
    pub class: Arc<str>,
    /// The nodes; `None` for no node.
    pub nodes: Option<LabelSelector>,
    /// The largest volume that can be made, in bytes; `None` if there is no room.
    pub limit: Option<i64>,
}

/// A volume that is attached to a node, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeAttachment {
    /// Its name.
    pub name: Arc<str>,
    /// The driver that attaches.
    pub attacher: Arc<str>,
    /// The node.
    pub node: NodeName,
    /// The volume.
    pub volume: Option<Arc<str>>,
}

/// A claim without a volume, as it was when the decision was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnboundClaim {
    /// The claim.
    pub key: RelatedKey,
    /// Its uid, so that a namesake created meanwhile is told apart.
    pub uid: Arc<str>,
}

/// What has to be done about a pod's claims before it can run on its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodVolumes {
    /// Volumes that are to be bound to claims.
    pub bindings: Vec<StaticBinding>,
    /// Claims for which a volume is to be made that the node reaches.
    pub provisions: Vec<UnboundClaim>,
}

impl PodVolumes {
    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.provisions.is_empty()
    }
}

/// A volume that is to be bound to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticBinding {
    /// The claim.
    pub claim: UnboundClaim,
    /// The volume's name.
    pub volume: Arc<str>,
}

/// A disk named in a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Disk {
    /// A persistent disk of Google Compute Engine.
    GcePd {
        /// Its name.
        name: Arc<str>,
        /// Whether it is only read.
        read_only: bool,
    },
    /// A volume of Amazon Elastic Block Store, by id.
    AwsEbs(Arc<str>),
    /// A disk of Azure, by URI.
    AzureDisk(Arc<str>),
    /// A volume of OpenStack, by id.
    Cinder(Arc<str>),
    /// An image of Ceph.
    Rbd {
        /// Its monitors.
        monitors: Vec<Arc<str>>,
        /// Its pool.
        pool: Arc<str>,
        /// Its name.
        image: Arc<str>,
        /// Whether it is only read.
        read_only: bool,
    },
    /// A block device over the network.
    Iscsi {
        /// The target's name.
        iqn: Arc<str>,
        /// Whether it is only read.
        read_only: bool,
    },
    /// A volume of Portworx, by id.
    Portworx(Arc<str>),
}

impl Disk {
    /// Whether two pods with these cannot be on one node.
    #[must_use]
    pub fn conflicts_with(&self, other: &Disk) -> bool {
        match (self, other) {
            (Disk::GcePd { name: a, read_only: r }, Disk::GcePd { name: b, read_only: s })
            | (Disk::Iscsi { iqn: a, read_only: r }, Disk::Iscsi { iqn: b, read_only: s }) => a == b && !(*r && *s),
            (Disk::AwsEbs(a), Disk::AwsEbs(b)) => a == b,
            (
                Disk::Rbd { monitors, pool, image, read_only },
                Disk::Rbd { monitors: of_other, pool: pool_b, image: image_b, read_only: read_b },
            ) => {
                pool == pool_b
                    && image == image_b
                    && !(*read_only && *read_b)
                    && monitors.iter().any(|monitor| of_other.contains(monitor))
            }
            _ => false,
        }
    }

    /// The plugin whose disk it is, if a CSI driver can replace it, and the disk's name.
    #[must_use]
    pub fn migratable(&self) -> Option<(InTree, &Arc<str>)> {
        match self {
            Disk::GcePd { name, .. } => Some((InTree::GcePd, name)),
            Disk::AwsEbs(id) => Some((InTree::AwsEbs, id)),
            Disk::AzureDisk(uri) => Some((InTree::AzureDisk, uri)),
            Disk::Cinder(id) => Some((InTree::Cinder, id)),
            Disk::Portworx(id) => Some((InTree::Portworx, id)),
            Disk::Rbd { .. } | Disk::Iscsi { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_conflict_unless_all_only_read() {
        let gce = |name: &str, read_only| Disk::GcePd { name: name.into(), read_only };
        assert!(gce("a", true).conflicts_with(&gce("a", false)));
        assert!(!gce("a", true).conflicts_with(&gce("a", true)));
        assert!(!gce("a", false).conflicts_with(&gce("b", false)));
        let rbd = |monitors: &[&str]| Disk::Rbd {
            monitors: monitors.iter().map(|monitor| (*monitor).into()).collect(),
            pool: "p".into(),
            image: "i".into(),
            read_only: false,
        };
        assert!(rbd(&["x", "y"]).conflicts_with(&rbd(&["y"])));
        assert!(!rbd(&["x"]).conflicts_with(&rbd(&["y"])));
        assert!(!Disk::AwsEbs("a".into()).conflicts_with(&Disk::Cinder("a".into())));
    }

    #[test]
    fn plugins_are_found_by_name() {
        for plugin in InTree::ALL {
            assert_eq!(InTree::of_name(plugin.name()), Some(plugin));
        }
        assert_eq!(InTree::of_name("csi.example.com"), None);
    }
}
