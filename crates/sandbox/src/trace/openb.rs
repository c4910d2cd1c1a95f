//! The OpenB trace (Alibaba cluster-trace-gpu-v2023): its two CSV files, plain or gzipped, and what they become in
//! Kubernetes. [`read`] is the entry point; `docs/openb.md` documents the mapping and its limits.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use crate::scenario::Scenario;
use crate::sim::{Character, GIB, MIB, NodeSpec, Resources};

/// Whole GPUs.
pub const GPU: &str = "nvidia.com/gpu";
/// Thousandths of GPUs.
pub const GPU_MILLI: &str = "alibabacloud.com/gpu-milli";
/// Node label with the model of its GPUs.
pub const GPU_MODEL: &str = "alibabacloud.com/gpu-card-model";
/// Pod label with the class of service of the trace.
pub const QOS: &str = "alibabacloud.com/qos";

/// Pods that a node of the trace admits; the trace knows no such bound, and this one never binds.
const MAX_PODS: i64 = 4_096;

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be opened or read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
    /// The heading lacks a column.
    #[error("{}: line 1: the column `{column}` is missing; expected {expected}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The columns that are needed.
        expected: String,
    },
    /// A row cannot be understood.
    #[error("{}: line {line}: column `{column}`: `{value}` is not {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A row is no CSV, or has too few or too many fields.
    #[error("{}: {error}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        error: csv::Error,
    },
}

/// A machine of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceNode {
    /// Serial number, the name of the node.
    pub name: String,
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Mebibytes.
    pub memory_mib: i64,
    /// GPUs.
    pub gpus: i64,
    /// Their model; empty when there are none.
    pub model: String,
}

/// A pod of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracePod {
    /// Name.
    pub name: String,
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Mebibytes.
    pub memory_mib: i64,
    /// GPUs it wants a part of.
    pub gpus: i64,
    /// Thousandths that it wants of each.
    pub gpu_milli: i64,
    /// Models that it accepts; none: any.
    pub models: Vec<String>,
    /// Class of service (`LS`, `BE`, …); empty when the list has none.
    pub qos: String,
    /// Seconds from the start of the trace to its arrival and to its end; `None` in lists without times.
    pub times: Option<(i64, i64)>,
}

/// A trace: machines, and pods in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// Machines.
    pub nodes: Vec<TraceNode>,
    /// Pods.
    pub pods: Vec<TracePod>,
}

/// Reads the list of nodes and the list of pods.
///
/// # Errors
/// The first thing that is not understood, with file, line, column and what was expected.
pub fn read(nodes: &Path, pods: &Path) -> Result<Trace, TraceError> {
    Ok(Trace { nodes: read_nodes(nodes, open(nodes)?)?, pods: read_pods(pods, open(pods)?)? })
}

/// Opens a file, unpacked when it starts as gzip does.
fn open(path: &Path) -> Result<Box<dyn Read>, TraceError> {
    let failed = |error| TraceError::File { path: path.to_owned(), error };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut magic = [0; 2];
    let length = file.read(&mut magic).map_err(failed)?;
    let start = std::io::Cursor::new(magic).take(length as u64);
    let whole = BufReader::new(start.chain(file));
    Ok(if magic == [0x1f, 0x8b] { Box::new(GzDecoder::new(whole)) } else { Box::new(whole) })
}

/// A CSV file whose columns are found by their names.
struct Table<R: Read> {
    path: PathBuf,
    reader: csv::Reader<R>,
    columns: BTreeMap<String, usize>,
}

impl<R: Read> Table<R> {
    fn new(path: &Path, source: R, needed: &[&'static str]) -> Result<Self, TraceError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
        let heading = reader.headers().map_err(|error| TraceError::Row { path: path.to_owned(), error })?;
        let columns: BTreeMap<String, usize> =
            heading.iter().enumerate().map(|(i, name)| (name.to_owned(), i)).collect();
        if let Some(column) = needed.iter().copied().find(|column| !columns.contains_key(*column)) {
            return Err(TraceError::Column { path: path.to_owned(), column, expected: needed.join(",") });
        }
        Ok(Table { path: path.to_owned(), reader, columns })
    }

    fn next(&mut self) -> Result<Option<Row<'_>>, TraceError> {
        let mut record = csv::StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(Row { path: &self.path, columns: &self.columns, record })),
            Err(error) => Err(TraceError::Row { path: self.path.clone(), error }),
        }
    }
}

struct Row<'a> {
    path: &'a Path,
    columns: &'a BTreeMap<String, usize>,
    record: csv::StringRecord,
}

impl Row<'_> {
    /// The text in a column; empty where there is no such column.
    fn text(&self, column: &str) -> &str {
        self.columns.get(column).and_then(|i| self.record.get(*i)).unwrap_or("")
    }

    fn wrong(&self, column: &'static str, expected: &'static str) -> TraceError {
        TraceError::Value {
            path: self.path.to_owned(),
            line: self.record.position().map_or(0, csv::Position::line),
            column,
            value: self.text(column).to_owned(),
            expected,
        }
    }

    fn number(&self, column: &'static str, max: i64, expected: &'static str) -> Result<i64, TraceError> {
        let number: Option<i64> = self.text(column).parse().ok();
        number.filter(|n| (0..=max).contains(n)).ok_or_else(|| self.wrong(column, expected))
    }

    fn name(&self, column: &'static str) -> Result<String, TraceError> {
        let name = self.text(column);
        if augur_notation::dns_subdomain_problems(name).is_empty() {
            Ok(name.to_owned())
        } else {
            Err(self.wrong(column, "a name for a Kubernetes object (a DNS subdomain)"))
        }
    }
}

/// Bounds far above any machine, far below what could overflow.
const MAX_CPU: i64 = 10_000_000;
const MAX_MEMORY: i64 = 1 << 30;
const MAX_GPUS: i64 = 1_024;
const MAX_TIME: i64 = 1 << 40;

const CPU: &str = "a whole number of thousandths of a core";
const MEMORY: &str = "a whole number of mebibytes";
const GPUS: &str = "a whole number of GPUs";

fn read_nodes(path: &Path, source: impl Read) -> Result<Vec<TraceNode>, TraceError> {
    let mut table = Table::new(path, source, &["sn", "cpu_milli", "memory_mib", "gpu", "model"])?;
    let mut nodes = Vec::new();
    let mut names = std::collections::HashSet::new();
    while let Some(row) = table.next()? {
        let node = TraceNode {
            name: row.name("sn")?,
            cpu_milli: row.number("cpu_milli", MAX_CPU, CPU)?,
            memory_mib: row.number("memory_mib", MAX_MEMORY, MEMORY)?,
            gpus: row.number("gpu", MAX_GPUS, GPUS)?,
            model: row.text("model").to_owned(),
        };
        if !augur_notation::label_value_problems(&node.model).is_empty() {
            return Err(row.wrong("model", "a model of GPU that can be a label's value"));
        }
        if node.gpus > 0 && node.model.is_empty() {
            return Err(row.wrong("model", "a model, which a node with GPUs needs"));
        }
        if !names.insert(node.name.clone()) {
            return Err(row.wrong("sn", "a new name: it was there before"));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

fn read_pods(path: &Path, source: impl Read) -> Result<Vec<TracePod>, TraceError> {
    let mut table = Table::new(path, source, &["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"])?;
    let timed = table.columns.contains_key("creation_time") && table.columns.contains_key("deletion_time");
    let mut pods = Vec::new();
    let mut names = std::collections::HashSet::new();
    while let Some(row) = table.next()? {
        let seconds = "a whole number of seconds from the start of the trace";
        let times = if timed {
            let created = row.number("creation_time", MAX_TIME, seconds)?;
            let deleted = row.number("deletion_time", MAX_TIME, seconds)?;
            if deleted < created {
                return Err(row.wrong("deletion_time", "at or after creation_time"));
            }
            Some((created, deleted))
        } else {
            None
        };
        let gpus = row.number("num_gpu", MAX_GPUS, GPUS)?;
        let gpu_milli = row.number("gpu_milli", 1_000, "a whole number of thousandths of a GPU, at most 1000")?;
        if gpus > 1 && gpu_milli != 1_000 {
            return Err(row.wrong("gpu_milli", "1000, which a pod with several GPUs needs"));
        }
        if gpus == 1 && gpu_milli == 0 {
            return Err(row.wrong("gpu_milli", "more than 0, which a pod with a GPU needs"));
        }
        let mut models: Vec<String> =
            row.text("gpu_spec").split('|').filter(|m| !m.is_empty()).map(str::to_owned).collect();
        models.sort_unstable();
        models.dedup();
        if models.iter().any(|model| !augur_notation::label_value_problems(model).is_empty()) {
            return Err(row.wrong("gpu_spec", "a list of models of GPU separated by |"));
        }
        let qos = row.text("qos").to_owned();
        if !augur_notation::label_value_problems(&qos).is_empty() {
            return Err(row.wrong("qos", "a class of service that can be a label's value"));
        }
        let pod = TracePod {
            name: row.name("name")?,
            cpu_milli: row.number("cpu_milli", MAX_CPU, CPU)?,
            memory_mib: row.number("memory_mib", MAX_MEMORY, MEMORY)?,
            gpus,
            gpu_milli: if gpus == 0 { 0 } else { gpu_milli },
            models,
            qos,
            times,
        };
        if !names.insert(pod.name.clone()) {
            return Err(row.wrong("name", "a new name: it was there before"));
        }
        pods.push(pod);
    }
    Ok(pods)
}

impl TraceNode {
    /// What the machine offers to pods.
    #[must_use]
    pub fn capacity(&self) -> Resources {
        let mut extended = Vec::new();
        if self.gpus > 0 {
            extended.push((Arc::from(GPU), self.gpus));
            extended.push((Arc::from(GPU_MILLI), self.gpus * 1_000));
        }
        Resources { cpu_milli: self.cpu_milli, memory: self.memory_mib * MIB, extended }
    }

    fn spec(&self) -> NodeSpec {
        let mut labels = BTreeMap::from(
            [("kubernetes.io/hostname", &*self.name), ("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        if !self.model.is_empty() {
            labels.insert(GPU_MODEL.to_owned(), self.model.clone());
        }
        NodeSpec {
            name: Arc::from(self.name.as_str()),
            labels,
            taints: Vec::new(),
            capacity: self.capacity(),
            pods: MAX_PODS,
            reserved_memory: 0,
            disk: 1_000 * GIB,
            images: Vec::new(),
            character: Character::Healthy,
        }
    }
}

impl TracePod {
    /// What the pod requests: whole GPUs count as GPUs and as thousandths, a share only as thousandths.
    #[must_use]
    pub fn requests(&self) -> Resources {
        let mut extended = Vec::new();
        if self.gpus > 0 {
            if self.gpu_milli == 1_000 {
                extended.push((Arc::from(GPU), self.gpus));
            }
            extended.push((Arc::from(GPU_MILLI), self.gpus * self.gpu_milli));
        }
        Resources { cpu_milli: self.cpu_milli, memory: self.memory_mib * MIB, extended }
    }

    /// The pod as it is created.
    #[must_use]
    pub fn object(&self, namespace: &str, scheduler_name: &str) -> Value {
        let mut requests = Map::new();
        requests.insert("cpu".to_owned(), json!(format!("{}m", self.cpu_milli)));
        requests.insert("memory".to_owned(), json!(format!("{}Mi", self.memory_mib)));
        let mut limits = Map::new();
        for (name, amount) in self.requests().extended {
            requests.insert(name.to_string(), json!(amount.to_string()));
            limits.insert(name.to_string(), json!(amount.to_string()));
        }
        let mut resources = json!({ "requests": requests });
        if !limits.is_empty() {
            resources["limits"] = Value::Object(limits);
        }
        let mut metadata = json!({ "name": self.name, "namespace": namespace });
        if !self.qos.is_empty() {
            metadata["labels"] = json!({ QOS: self.qos });
        }
        let mut spec = json!({
            "schedulerName": scheduler_name,
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "main", "image": "registry.example/openb:1", "resources": resources }],
        });
        if !self.models.is_empty() {
            spec["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": [
                    { "key": GPU_MODEL, "operator": "In", "values": self.models },
                ] }],
            } } });
        }
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec })
    }
}

impl Trace {
    /// The machines as a scenario without workloads; the pods are fed by [`super::replay`].
    #[must_use]
    pub fn scenario(&self) -> Scenario {
        Scenario {
            description: format!("OpenB: {} nodes, {} pods", self.nodes.len(), self.pods.len()),
            nodes: self.nodes.iter().map(TraceNode::spec).collect(),
            workloads: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// More pods than this cannot be placed at once by anybody: for each resource, the smallest requests are counted until
    /// the sum over all nodes is used up. Fragmentation and affinity can only lower it.
    #[must_use]
    pub fn feasible_bound(&self) -> usize {
        let mut capacity = Resources::default();
        for node in &self.nodes {
            capacity.add(&node.capacity(), 1);
        }
        type Amount = fn(&Resources) -> i64;
        let kinds: [Amount; 4] = [|r| r.cpu_milli, |r| r.memory, |r| r.extended(GPU), |r| r.extended(GPU_MILLI)];
        let bound = |amount: Amount| {
            let mut wanted: Vec<i64> = self.pods.iter().map(|pod| amount(&pod.requests())).collect();
            wanted.sort_unstable();
            let mut left = amount(&capacity);
            wanted
                .into_iter()
                .take_while(|want| {
                    left -= want;
                    left >= 0
                })
                .count()
        };
        kinds.into_iter().map(bound).min().unwrap_or(0)
    }
}
