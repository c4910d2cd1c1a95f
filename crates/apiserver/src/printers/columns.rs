//! The column definitions of each kind.

use serde_json::{Value, json};

/// One column.
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    priority: u8,
}

impl Column {
    const fn string(name: &'static str) -> Self {
        Column { name, kind: "string", format: "", priority: 0 }
    }

    /// Only shown by `-o wide`.
    const fn wide(name: &'static str) -> Self {
        Column { name, kind: "string", format: "", priority: 1 }
    }

    const fn integer(name: &'static str) -> Self {
        Column { name, kind: "integer", format: "", priority: 0 }
    }

    const fn boolean(name: &'static str) -> Self {
        Column { name, kind: "boolean", format: "", priority: 0 }
    }

    /// The definition as it is written.
    pub(super) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": description(self.name),
            "priority": self.priority,
        })
    }
}

fn description(name: &str) -> String {
    match name {
        "Name" => "Name of the object.".to_owned(),
        "Age" => "Time since the object was created.".to_owned(),
        "Created At" => "When the object was created.".to_owned(),
        other => format!("{other} of the object."),
    }
}

const NAME: Column = Column { name: "Name", kind: "string", format: "name", priority: 0 };
const AGE: Column = Column::string("Age");
const CONTAINERS: Column = Column::wide("Containers");
const IMAGES: Column = Column::wide("Images");
const SELECTOR: Column = Column::wide("Selector");

type Columns = &'static [Column];

pub(super) const NAME_AND_CREATED_AT: Columns =
    &[NAME, Column { name: "Created At", kind: "date", format: "", priority: 0 }];
pub(super) const NAME_AND_AGE: Columns = &[NAME, AGE];
pub(super) const POD: Columns = &[
    NAME,
    Column::string("Ready"),
    Column::string("Status"),
    Column::string("Restarts"),
    AGE,
    Column::wide("IP"),
    Column::wide("Node"),
    Column::wide("Nominated Node"),
    Column::wide("Readiness Gates"),
];
pub(super) const POD_TEMPLATE: Columns =
    &[NAME, Column::string("Containers"), Column::string("Images"), Column::string("Pod Labels")];
pub(super) const POD_DISRUPTION_BUDGET: Columns = &[
    NAME,
    Column::string("Min Available"),
    Column::string("Max Unavailable"),
    Column::integer("Allowed Disruptions"),
    AGE,
];
pub(super) const REPLICAS: Columns = &[
    NAME,
    Column::integer("Desired"),
    Column::integer("Current"),
    Column::integer("Ready"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const DAEMON_SET: Columns = &[
    NAME,
    Column::integer("Desired"),
    Column::integer("Current"),
    Column::integer("Ready"),
    Column::integer("Up-to-date"),
    Column::integer("Available"),
    Column::string("Node Selector"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const JOB: Columns = &[
    NAME,
    Column::string("Status"),
    Column::string("Completions"),
    Column::string("Duration"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const CRON_JOB: Columns = &[
    NAME,
    Column::string("Schedule"),
    Column::string("Timezone"),
    Column::boolean("Suspend"),
    Column::integer("Active"),
    Column::string("Last Schedule"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const SERVICE: Columns = &[
    NAME,
    Column::string("Type"),
    Column::string("Cluster-IP"),
    Column::string("External-IP"),
    Column::string("Port(s)"),
    AGE,
    SELECTOR,
];
pub(super) const INGRESS: Columns =
    &[NAME, Column::string("Class"), Column::string("Hosts"), Column::string("Address"), Column::string("Ports"), AGE];
pub(super) const INGRESS_CLASS: Columns = &[NAME, Column::string("Controller"), Column::string("Parameters"), AGE];
pub(super) const STATEFUL_SET: Columns = &[NAME, Column::string("Ready"), AGE, CONTAINERS, IMAGES];
pub(super) const ENDPOINTS: Columns = &[NAME, Column::string("Endpoints"), AGE];
pub(super) const ENDPOINT_SLICE: Columns =
    &[NAME, Column::string("AddressType"), Column::string("Ports"), Column::string("Endpoints"), AGE];
pub(super) const NODE: Columns = &[
    NAME,
    Column::string("Status"),
    Column::string("Roles"),
    AGE,
    Column::string("Version"),
    Column::wide("Internal-IP"),
    Column::wide("External-IP"),
    Column::wide("OS-Image"),
    Column::wide("Kernel-Version"),
    Column::wide("Container-Runtime"),
];
pub(super) const EVENT: Columns = &[
    Column::string("Last Seen"),
    Column::string("Type"),
    Column::string("Reason"),
    Column::string("Object"),
    Column::wide("Subobject"),
    Column::wide("Source"),
    Column::string("Message"),
    Column::wide("First Seen"),
    Column::wide("Count"),
    Column { name: "Name", kind: "string", format: "name", priority: 1 },
];
pub(super) const NAMESPACE: Columns = &[NAME, Column::string("Status"), AGE];
pub(super) const SECRET: Columns = &[NAME, Column::string("Type"), Column::string("Data"), AGE];
pub(super) const CONFIG_MAP: Columns = &[NAME, Column::string("Data"), AGE];
pub(super) const PERSISTENT_VOLUME: Columns = &[
    NAME,
    Column::string("Capacity"),
    Column::string("Access Modes"),
    Column::string("Reclaim Policy"),
    Column::string("Status"),
    Column::string("Claim"),
    Column::string("StorageClass"),
    Column::string("VolumeAttributesClass"),
    Column::string("Reason"),
    AGE,
    Column::wide("VolumeMode"),
];
pub(super) const PERSISTENT_VOLUME_CLAIM: Columns = &[
    NAME,
    Column::string("Status"),
    Column::string("Volume"),
    Column::string("Capacity"),
    Column::string("Access Modes"),
    Column::string("StorageClass"),
    Column::string("VolumeAttributesClass"),
    AGE,
    Column::wide("VolumeMode"),
];
pub(super) const COMPONENT_STATUS: Columns =
    &[NAME, Column::string("Status"), Column::string("Message"), Column::string("Error")];
pub(super) const DEPLOYMENT: Columns = &[
    NAME,
    Column::string("Ready"),
    Column::string("Up-to-date"),
    Column::string("Available"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const NETWORK_POLICY: Columns = &[NAME, Column::string("Pod-Selector"), AGE];
pub(super) const ROLE_BINDING: Columns = &[
    NAME,
    Column::string("Role"),
    AGE,
    Column::wide("Users"),
    Column::wide("Groups"),
    Column::wide("ServiceAccounts"),
];
pub(super) const LEASE: Columns = &[NAME, Column::string("Holder"), AGE];
pub(super) const LEASE_CANDIDATE: Columns =
    &[NAME, Column::string("LeaseName"), Column::string("BinaryVersion"), Column::string("EmulationVersion"), AGE];
pub(super) const STORAGE_CLASS: Columns = &[
    NAME,
    Column::string("Provisioner"),
    Column::string("ReclaimPolicy"),
    Column::string("VolumeBindingMode"),
    Column::string("AllowVolumeExpansion"),
    AGE,
];
pub(super) const VOLUME_ATTRIBUTES_CLASS: Columns = &[NAME, Column::string("DriverName"), AGE];
pub(super) const CONTROLLER_REVISION: Columns = &[NAME, Column::string("Controller"), Column::string("Revision"), AGE];
pub(super) const RESOURCE_QUOTA: Columns = &[NAME, Column::string("Request"), Column::string("Limit"), AGE];
pub(super) const PRIORITY_CLASS: Columns =
    &[NAME, Column::integer("Value"), Column::boolean("Global-Default"), AGE, Column::string("PreemptionPolicy")];
pub(super) const RUNTIME_CLASS: Columns = &[NAME, Column::string("Handler"), AGE];
pub(super) const VOLUME_ATTACHMENT: Columns = &[
    NAME,
    Column { name: "Attacher", kind: "string", format: "name", priority: 0 },
    Column::string("PV"),
    Column::string("Node"),
    Column::boolean("Attached"),
    AGE,
];
pub(super) const CSI_NODE: Columns = &[NAME, Column::integer("Drivers"), AGE];
pub(super) const CSI_DRIVER: Columns = &[
    NAME,
    Column::boolean("AttachRequired"),
    Column::boolean("PodInfoOnMount"),
    Column::boolean("StorageCapacity"),
    Column::string("TokenRequests"),
    Column::boolean("RequiresRepublish"),
    Column::string("Modes"),
    AGE,
];
pub(super) const CSI_STORAGE_CAPACITY: Columns =
    &[NAME, Column::string("StorageClassName"), Column::string("Capacity")];
pub(super) const SCALE: Columns =
    &[Column::string("Name"), Column::integer("Desired"), Column::integer("Available"), AGE];
pub(super) const RESOURCE_CLAIM: Columns = &[NAME, Column::string("State"), AGE];
pub(super) const RESOURCE_SLICE: Columns =
    &[NAME, Column::string("Node"), Column::string("Driver"), Column::string("Pool"), AGE];
pub(super) const SERVICE_CIDR: Columns = &[NAME, Column::string("CIDRs"), AGE];
pub(super) const IP_ADDRESS: Columns = &[NAME, Column::string("ParentRef")];
