//! The rows: one per resource, ordered by group as discovery shows them, then by name.

use super::{Group, Resource, Subresource, Verbs};

const RW: &[&str] = &["get", "patch", "update"];
const UPDATE: &[&str] = &["update"];
const CREATE: &[&str] = &["create"];
const GET: &[&str] = &["get"];
const CONNECT: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

/// The groups in the order in which discovery lists them.
pub const GROUPS: &[Group] = &[
    Group { name: "apps", version: "v1" },
    Group { name: "events.k8s.io", version: "v1" },
    Group { name: "authentication.k8s.io", version: "v1" },
    Group { name: "authorization.k8s.io", version: "v1" },
    Group { name: "batch", version: "v1" },
    Group { name: "networking.k8s.io", version: "v1" },
    Group { name: "policy", version: "v1" },
    Group { name: "rbac.authorization.k8s.io", version: "v1" },
    Group { name: "storage.k8s.io", version: "v1" },
    Group { name: "scheduling.k8s.io", version: "v1" },
    Group { name: "coordination.k8s.io", version: "v1" },
    Group { name: "node.k8s.io", version: "v1" },
    Group { name: "discovery.k8s.io", version: "v1" },
    Group { name: "resource.k8s.io", version: "v1" },
    Group { name: "metrics.k8s.io", version: "v1beta1" },
];

/// Number of shards in the store.
pub(crate) const SHARDS: usize = RESOURCES.len();

/// All resources.
pub static RESOURCES: &[Resource] = &[
    row(0, "", "v1", "bindings", "binding", "Binding", true).verbs(Verbs::Create),
    row(1, "", "v1", "configmaps", "configmap", "ConfigMap", true).short(&["cm"]).hash("qFsyl6wFWjQ="),
    row(2, "", "v1", "endpoints", "endpoints", "Endpoints", true).short(&["ep"]).hash("fWeeMqaN/OA="),
    row(3, "", "v1", "events", "event", "Event", true).short(&["ev"]).hash("r2yiGXH7wu8="),
    row(4, "", "v1", "limitranges", "limitrange", "LimitRange", true).short(&["limits"]).hash("EBKMFVe6cwo="),
    row(5, "", "v1", "namespaces", "namespace", "Namespace", false)
        .short(&["ns"])
        .verbs(Verbs::NoDeleteCollection)
        .parts(&[part("finalize", "Namespace", UPDATE), part("status", "Namespace", RW)])
        .hash("Q3oi5N2YM8M="),
    row(6, "", "v1", "nodes", "node", "Node", false)
        .short(&["no"])
        .parts(&[part("proxy", "NodeProxyOptions", PROXY), part("status", "Node", RW)])
        .hash("XwShjMxG9Fs="),
    row(7, "", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", true)
        .short(&["pvc"])
        .parts(&[part("status", "PersistentVolumeClaim", RW)])
        .hash("QWTyNDq0dC4="),
    row(8, "", "v1", "persistentvolumes", "persistentvolume", "PersistentVolume", false)
        .short(&["pv"])
        .parts(&[part("status", "PersistentVolume", RW)])
        .hash("HN/zwEC+JgM="),
    row(9, "", "v1", "pods", "pod", "Pod", true)
        .short(&["po"])
        .in_all()
        .parts(&[
            part("attach", "PodAttachOptions", CONNECT),
            part("binding", "Binding", CREATE),
            part("ephemeralcontainers", "Pod", RW),
            foreign("eviction", "policy", "v1", "Eviction", CREATE),
            part("exec", "PodExecOptions", CONNECT),
            part("log", "Pod", GET),
            part("portforward", "PodPortForwardOptions", CONNECT),
            part("proxy", "PodProxyOptions", PROXY),
            part("resize", "Pod", RW),
            part("status", "Pod", RW),
        ])
        .hash("xPOwRZ+Yhw8="),
    row(10, "", "v1", "podtemplates", "podtemplate", "PodTemplate", true).hash("LIXB2x4IFpk="),
    row(11, "", "v1", "replicationcontrollers", "replicationcontroller", "ReplicationController", true)
        .short(&["rc"])
        .in_all()
        .parts(&[foreign("scale", "autoscaling", "v1", "Scale", RW), part("status", "ReplicationController", RW)])
        .hash("Jond2If31h0="),
    row(12, "", "v1", "resourcequotas", "resourcequota", "ResourceQuota", true)
        .short(&["quota"])
        .parts(&[part("status", "ResourceQuota", RW)])
        .hash("8uhSgffRX6w="),
    row(13, "", "v1", "secrets", "secret", "Secret", true).hash("S6u1pOWzb84="),
    row(14, "", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", true)
        .short(&["sa"])
        .parts(&[foreign("token", "authentication.k8s.io", "v1", "TokenRequest", CREATE)])
        .hash("pbx9ZvyFpBE="),
    row(15, "", "v1", "services", "service", "Service", true)
        .short(&["svc"])
        .in_all()
        .parts(&[part("proxy", "ServiceProxyOptions", PROXY), part("status", "Service", RW)])
        .hash("0/CO1lhkEBI="),
    row(16, "apps", "v1", "controllerrevisions", "controllerrevision", "ControllerRevision", true).hash("85nkx63pcBU="),
    row(17, "apps", "v1", "daemonsets", "daemonset", "DaemonSet", true)
        .short(&["ds"])
        .in_all()
        .parts(&[part("status", "DaemonSet", RW)])
        .hash("dd7pWHUlMKQ="),
    row(18, "apps", "v1", "deployments", "deployment", "Deployment", true)
        .short(&["deploy"])
        .in_all()
        .parts(&[foreign("scale", "autoscaling", "v1", "Scale", RW), part("status", "Deployment", RW)])
        .hash("8aSe+NMegvE="),
    row(19, "apps", "v1", "replicasets", "replicaset", "ReplicaSet", true)
        .short(&["rs"])
        .in_all()
        .parts(&[foreign("scale", "autoscaling", "v1", "Scale", RW), part("status", "ReplicaSet", RW)])
        .hash("P1RzHs8/mWQ="),
    row(20, "apps", "v1", "statefulsets", "statefulset", "StatefulSet", true)
        .short(&["sts"])
        .in_all()
        .parts(&[foreign("scale", "autoscaling", "v1", "Scale", RW), part("status", "StatefulSet", RW)])
        .hash("H+vl74LkKdo="),
    row(3, "events.k8s.io", "v1", "events", "event", "Event", true).short(&["ev"]).hash("r2yiGXH7wu8="),
    row(22, "authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview", false)
        .verbs(Verbs::Create),
    row(23, "authentication.k8s.io", "v1", "tokenreviews", "tokenreview", "TokenReview", false).verbs(Verbs::Create),
    row(
        24,
        "authorization.k8s.io",
        "v1",
        "localsubjectaccessreviews",
        "localsubjectaccessreview",
        "LocalSubjectAccessReview",
        true,
    )
    .verbs(Verbs::Create),
    row(
        25,
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        "SelfSubjectAccessReview",
        false,
    )
    .verbs(Verbs::Create),
    row(
        26,
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        "SelfSubjectRulesReview",
        false,
    )
    .verbs(Verbs::Create),
    row(27, "authorization.k8s.io", "v1", "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview", false)
        .verbs(Verbs::Create),
    row(28, "batch", "v1", "cronjobs", "cronjob", "CronJob", true)
        .short(&["cj"])
        .in_all()
        .parts(&[part("status", "CronJob", RW)])
        .hash("sd5LIXh4Fjs="),
    row(29, "batch", "v1", "jobs", "job", "Job", true)
        .in_all()
        .parts(&[part("status", "Job", RW)])
        .hash("mudhfqk/qZY="),
    row(30, "networking.k8s.io", "v1", "ingressclasses", "ingressclass", "IngressClass", false).hash("l/iqIbDgFyQ="),
    row(31, "networking.k8s.io", "v1", "ingresses", "ingress", "Ingress", true)
        .short(&["ing"])
        .parts(&[part("status", "Ingress", RW)])
        .hash("39NQlfNR+bo="),
    row(32, "networking.k8s.io", "v1", "networkpolicies", "networkpolicy", "NetworkPolicy", true)
        .short(&["netpol"])
        .hash("YpfwF18m1G8="),
    row(33, "policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget", true)
        .short(&["pdb"])
        .parts(&[part("status", "PodDisruptionBudget", RW)])
        .hash("EVWiDmWqyJw="),
    row(
        34,
        "rbac.authorization.k8s.io",
        "v1",
        "clusterrolebindings",
        "clusterrolebinding",
        "ClusterRoleBinding",
        false,
    )
    .hash("48rxrgGMuB0="),
    row(35, "rbac.authorization.k8s.io", "v1", "clusterroles", "clusterrole", "ClusterRole", false)
        .hash("bYE5ZWDrJ44="),
    row(36, "rbac.authorization.k8s.io", "v1", "rolebindings", "rolebinding", "RoleBinding", true).hash("eGsCzGH6b1g="),
    row(37, "rbac.authorization.k8s.io", "v1", "roles", "role", "Role", true).hash("7FuwZcIIItM="),
    row(38, "storage.k8s.io", "v1", "csidrivers", "csidriver", "CSIDriver", false).hash("hL6j/rwBV5w="),
    row(39, "storage.k8s.io", "v1", "csinodes", "csinode", "CSINode", false).hash("Pe62DkZtjuo="),
    row(40, "storage.k8s.io", "v1", "csistoragecapacities", "csistoragecapacity", "CSIStorageCapacity", true),
    row(41, "storage.k8s.io", "v1", "storageclasses", "storageclass", "StorageClass", false)
        .short(&["sc"])
        .hash("K+m6uJwbjGY="),
    row(42, "storage.k8s.io", "v1", "volumeattachments", "volumeattachment", "VolumeAttachment", false)
        .parts(&[part("status", "VolumeAttachment", RW)])
        .hash("tJx/ezt6UDU="),
    row(43, "storage.k8s.io", "v1", "volumeattributesclasses", "volumeattributesclass", "VolumeAttributesClass", false)
        .short(&["vac"]),
    row(44, "scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass", false)
        .short(&["pc"])
        .hash("1QwjyaZjj3Y="),
    row(45, "coordination.k8s.io", "v1", "leases", "lease", "Lease", true).hash("gqkMMb/YqFM="),
    row(46, "node.k8s.io", "v1", "runtimeclasses", "runtimeclass", "RuntimeClass", false).hash("WQTu1GL3T2Q="),
    row(47, "discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice", true).hash("Nx3SIv6I0mE="),
    row(48, "resource.k8s.io", "v1", "deviceclasses", "deviceclass", "DeviceClass", false),
    row(49, "resource.k8s.io", "v1", "resourceclaims", "resourceclaim", "ResourceClaim", true).parts(&[part(
        "status",
        "ResourceClaim",
        RW,
    )]),
    row(50, "resource.k8s.io", "v1", "resourceclaimtemplates", "resourceclaimtemplate", "ResourceClaimTemplate", true),
    row(51, "resource.k8s.io", "v1", "resourceslices", "resourceslice", "ResourceSlice", false),
    row(52, "metrics.k8s.io", "v1beta1", "nodes", "", "NodeMetrics", false).verbs(Verbs::Read),
    row(53, "metrics.k8s.io", "v1beta1", "pods", "", "PodMetrics", true).verbs(Verbs::Read),
];

const fn part(name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, group: "", version: "", kind, verbs }
}

const fn foreign(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource { name, group, version, kind, verbs }
}

const fn row(
    shard: usize,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    namespaced: bool,
) -> Resource {
    Resource {
        group,
        version,
        plural,
        singular,
        kind,
        namespaced,
        short_names: &[],
        categories: &[],
        verbs: Verbs::All,
        subresources: &[],
        storage_version_hash: "",
        shard,
    }
}

impl Resource {
    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    const fn in_all(mut self) -> Self {
        self.categories = &["all"];
        self
    }

    const fn verbs(mut self, verbs: Verbs) -> Self {
        self.verbs = verbs;
        self
    }

    const fn parts(mut self, parts: &'static [Subresource]) -> Self {
        self.subresources = parts;
        self
    }

    const fn hash(mut self, hash: &'static str) -> Self {
        self.storage_version_hash = hash;
        self
    }
}
