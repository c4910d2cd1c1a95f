//! Calling extenders: kube-scheduler's HTTP protocol from its own side. [`ExtenderClient`] is one extender; what its answers mean
//! for a pod is `augur_core::extender`'s affair.
//!
//! Objects are passed on as the API server wrote them. Go structs without JSON names: keys are capitalised.

use std::collections::BTreeMap;
use std::time::Duration;

use augur_core::extender::{Eviction, FilterAnswer};
use augur_core::object::NodeName;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Binding;

/// More of an answer than this is not taken: 5,000 nodes as whole objects are about 50 MB.
const LIMIT: usize = 128 << 20;

/// What an extender is called with.
#[derive(Debug, Clone, Default)]
pub struct ExtenderOptions {
    /// Its address, to which verbs are appended.
    pub url_prefix: String,
    /// Verbs of the calls; empty for none.
    pub filter_verb: String,
    /// See `filter_verb`.
    pub prioritize_verb: String,
    /// See `filter_verb`.
    pub preempt_verb: String,
    /// See `filter_verb`.
    pub bind_verb: String,
    /// How long a call may take.
    pub timeout: Duration,
    /// Whether it is sent names and uids instead of objects.
    pub node_cache_capable: bool,
    /// Whether any certificate of the server is believed.
    pub insecure: bool,
    /// The name that its certificate has to have, if it is not that of the address; else empty.
    pub server_name: String,
    /// Files or PEM in base64, which count before files; empty for none: certificates to check the server's against.
    pub ca: FileOrData,
    /// The certificate that is shown to it.
    pub cert: FileOrData,
    /// The key of that.
    pub key: FileOrData,
}

/// A file, or what would be in it as base64. Both empty for nothing.
#[derive(Clone, Default)]
pub struct FileOrData {
    /// The path.
    pub file: String,
    /// The content as base64; counts before the file.
    pub data: String,
}

impl std::fmt::Debug for FileOrData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may be a key.
        f.write_str(if self.data.is_empty() { &self.file } else { "(data)" })
    }
}

impl FileOrData {
    fn file(&self) -> Option<String> {
        (self.data.is_empty() && !self.file.is_empty()).then(|| self.file.clone())
    }

    fn data(&self) -> Option<String> {
        (!self.data.is_empty()).then(|| self.data.clone())
    }
}

/// Why an extender has not answered as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtenderError {
    /// Its settings cannot be used.
    #[error("cannot use the extender at {url}: {why}")]
    Settings {
        /// Its address.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It did not answer in time.
    #[error("extender at {url} did not answer within {timeout:?}")]
    Slow {
        /// The address of the call.
        url: String,
        /// How long it had.
        timeout: Duration,
    },
    /// It cannot be reached, or its answer was cut off.
    #[error("extender at {url} cannot be reached: {why}")]
    Unreachable {
        /// The address of the call.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It refused.
    #[error("failed {verb} with extender at URL {url}, code {code}")]
    Status {
        /// The verb.
        verb: String,
        /// The address of the call.
        url: String,
        /// The status code.
        code: u16,
    },
    /// Its answer is none of the protocol's.
    #[error("extender at {url} answered something else than {what}: {why}")]
    Malformed {
        /// The address of the call.
        url: String,
        /// What was expected.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It says itself that it could not answer.
    #[error("{0}")]
    Said(String),
}

/// A candidate for room to be made, with whole pods for an extender that wants them.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The node and who would have to go.
    pub eviction: Eviction,
    /// The pods that would have to go, as the API server wrote them.
    pub pods: Vec<Box<RawValue>>,
}

/// One extender. Cheap to clone.
#[derive(Clone)]
pub struct ExtenderClient {
    client: Client,
    options: std::sync::Arc<ExtenderOptions>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Args<'a> {
    pod: &'a RawValue,
    nodes: Option<NodeList<'a>>,
    node_names: Option<&'a [NodeName]>,
}

#[derive(Serialize)]
struct NodeList<'a> {
    metadata: BTreeMap<(), ()>,
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterResult {
    #[serde(default)]
    nodes: Option<NamedList>,
    #[serde(default)]
    node_names: Option<Vec<String>>,
    #[serde(default)]
    failed_nodes: Option<BTreeMap<String, String>>,
    #[serde(default)]
    failed_and_unresolvable_nodes: Option<BTreeMap<String, String>>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct NamedList {
    #[serde(default)]
    items: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostPriority {
    host: String,
    #[serde(default)]
    score: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PreemptionArgs<'a> {
    pod: &'a RawValue,
    node_name_to_victims: Option<BTreeMap<&'a str, Victims<'a>>>,
    node_name_to_meta_victims: Option<BTreeMap<&'a str, MetaVictims>>,
}

#[derive(Serialize)]
struct Victims<'a> {
    #[serde(rename = "Pods")]
    pods: &'a [Box<RawValue>],
    #[serde(rename = "NumPDBViolations")]
    violations: usize,
}

#[derive(Serialize, Deserialize)]
struct MetaVictims {
    #[serde(rename = "Pods", default)]
    pods: Option<Vec<MetaPod>>,
    #[serde(rename = "NumPDBViolations", default)]
    violations: i64,
}

#[derive(Serialize, Deserialize)]
struct MetaPod {
    #[serde(rename = "UID")]
    uid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PreemptionResult {
    #[serde(default)]
    node_name_to_meta_victims: Option<BTreeMap<String, Option<MetaVictims>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BindingArgs<'a> {
    pod_name: &'a str,
    pod_namespace: &'a str,
    #[serde(rename = "PodUID")]
    pod_uid: &'a str,
    node: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BindingResult {
    #[serde(default)]
    error: Option<String>,
}

impl ExtenderClient {
    /// An extender by these settings; nothing is asked yet.
    ///
    /// # Errors
    /// When address, certificates or keys cannot be used.
    pub async fn new(options: ExtenderOptions) -> Result<ExtenderClient, ExtenderError> {
        let refused = |why: String| ExtenderError::Settings { url: options.url_prefix.clone(), why };
        let name = "extender".to_owned();
        let cluster = Cluster {
            server: Some(options.url_prefix.trim_end_matches('/').to_owned()),
            insecure_skip_tls_verify: Some(options.insecure),
            certificate_authority: options.ca.file(),
            certificate_authority_data: options.ca.data(),
            tls_server_name: (!options.server_name.is_empty()).then(|| options.server_name.clone()),
            ..Cluster::default()
        };
        let user = AuthInfo {
            client_certificate: options.cert.file(),
            client_certificate_data: options.cert.data(),
            client_key: options.key.file(),
            client_key_data: options.key.data().map(Into::into),
            ..AuthInfo::default()
        };
        let context = Context { cluster: name.clone(), user: Some(name.clone()), ..Context::default() };
        let kubeconfig = Kubeconfig {
            current_context: Some(name.clone()),
            clusters: vec![NamedCluster { name: name.clone(), cluster: Some(cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo { name: name.clone(), auth_info: Some(user), ..NamedAuthInfo::default() }],
            contexts: vec![NamedContext { name, context: Some(context), ..NamedContext::default() }],
            ..Kubeconfig::default()
        };
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.map_err(|error| refused(error.to_string()))?;
        // An extender has no roles.
        let client = crate::client::build(config, options.timeout, &crate::Denials::default())
            .map_err(|error| refused(chain(&error)))?;
        Ok(ExtenderClient { client, options: options.into() })
    }

    /// Its address, by which messages and metrics name it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.url_prefix
    }

    /// Whether it is sent names and uids instead of objects.
    #[must_use]
    pub fn knows_nodes(&self) -> bool {
        self.options.node_cache_capable
    }

    /// Asks on which of the nodes the pod may run. `whole` are the nodes themselves, in the same order, for an extender that does
    /// not know them.
    ///
    /// # Errors
    /// See [`ExtenderError`].
    pub async fn filter(
        &self,
        pod: &RawValue,
        nodes: &[NodeName],
        whole: &[&RawValue],
    ) -> Result<FilterAnswer, ExtenderError> {
        let verb = &self.options.filter_verb;
        let answer: FilterResult = self.call(verb, &self.args(pod, nodes, whole), "an ExtenderFilterResult").await?;
        if let Some(error) = answer.error.filter(|error| !error.is_empty()) {
            return Err(ExtenderError::Said(error));
        }
        let passed = match (answer.node_names, answer.nodes) {
            (Some(names), _) if self.knows_nodes() => names,
            (_, Some(nodes)) => nodes.items.unwrap_or_default().into_iter().map(|node| node.metadata.name).collect(),
            // kube-scheduler takes no list for an empty one.
            (_, None) => Vec::new(),
        };
        let (failed, unresolvable) = (answer.failed_nodes, answer.failed_and_unresolvable_nodes);
        Ok(FilterAnswer { passed, failed: failed.unwrap_or_default(), unresolvable: unresolvable.unwrap_or_default() })
    }

    /// Asks how good the nodes are, 0 to 10 each. As [`ExtenderClient::filter`] otherwise.
    ///
    /// # Errors
    /// See [`ExtenderError`].
    pub async fn prioritize(
        &self,
        pod: &RawValue,
        nodes: &[NodeName],
        whole: &[&RawValue],
    ) -> Result<Vec<(String, i64)>, ExtenderError> {
        let verb = &self.options.prioritize_verb;
        let args = self.args(pod, nodes, whole);
        let answer: Option<Vec<HostPriority>> = self.call(verb, &args, "a HostPriorityList").await?;
        Ok(answer.unwrap_or_default().into_iter().map(|node| (node.host, node.score)).collect())
    }

    /// Asks on which of the nodes room may be made, and who has to go.
    ///
    /// # Errors
    /// See [`ExtenderError`]; also when it names a node that it was not asked about.
    pub async fn preempt(&self, pod: &RawValue, candidates: &[Candidate]) -> Result<Vec<Eviction>, ExtenderError> {
        let knows = self.knows_nodes();
        let by_uid = |Candidate { eviction, .. }: &Candidate| MetaVictims {
            pods: Some(eviction.victims.iter().map(|uid| MetaPod { uid: uid.to_string() }).collect()),
            violations: i64::try_from(eviction.budget_violations).unwrap_or(i64::MAX),
        };
        let args = PreemptionArgs {
            pod,
            node_name_to_victims: (!knows).then(|| {
                let victims = candidates.iter().map(|candidate| {
                    let Candidate { eviction, pods } = candidate;
                    (&*eviction.node, Victims { pods, violations: eviction.budget_violations })
                });
                victims.collect()
            }),
            node_name_to_meta_victims: knows
                .then(|| candidates.iter().map(|candidate| (&*candidate.eviction.node, by_uid(candidate))).collect()),
        };
        let verb = &self.options.preempt_verb;
        let answer: PreemptionResult = self.call(verb, &args, "an ExtenderPreemptionResult").await?;
        let mut evictions = Vec::new();
        for (name, victims) in answer.node_name_to_meta_victims.unwrap_or_default() {
            let Some(asked) = candidates.iter().find(|candidate| *candidate.eviction.node == *name) else {
                let why = format!(
                    "extender {:?} claims to preempt on node {name:?} that it was not asked about",
                    self.name()
                );
                return Err(ExtenderError::Said(why));
            };
            let victims = victims.unwrap_or(MetaVictims { pods: None, violations: 0 });
            evictions.push(Eviction {
                node: asked.eviction.node.clone(),
                victims: victims.pods.unwrap_or_default().into_iter().map(|pod| pod.uid.into()).collect(),
                budget_violations: usize::try_from(victims.violations).unwrap_or(0),
            });
        }
        Ok(evictions)
    }

    /// Has it bind the pod.
    ///
    /// # Errors
    /// See [`ExtenderError`]. The pod may be bound nevertheless.
    pub(crate) async fn bind(&self, binding: &Binding) -> Result<(), ExtenderError> {
        let args = BindingArgs {
            pod_name: &binding.name,
            pod_namespace: &binding.namespace,
            pod_uid: &binding.uid,
            node: &binding.node,
        };
        let answer: BindingResult = self.call(&self.options.bind_verb, &args, "an ExtenderBindingResult").await?;
        match answer.error.filter(|error| !error.is_empty()) {
            Some(error) => Err(ExtenderError::Said(error)),
            None => Ok(()),
        }
    }

    fn args<'a>(&self, pod: &'a RawValue, nodes: &'a [NodeName], whole: &[&'a RawValue]) -> Args<'a> {
        let knows = self.knows_nodes();
        Args {
            pod,
            nodes: (!knows).then(|| NodeList { metadata: BTreeMap::new(), items: whole.to_vec() }),
            node_names: knows.then_some(nodes),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        verb: &str,
        args: &impl Serialize,
        what: &'static str,
    ) -> Result<T, ExtenderError> {
        let url = format!("{}/{verb}", self.options.url_prefix.trim_end_matches('/'));
        let malformed = |why: String| ExtenderError::Malformed { url: url.clone(), what, why };
        let unreachable = |why: String| ExtenderError::Unreachable { url: url.clone(), why };
        let body = serde_json::to_vec(args).map_err(|error| malformed(error.to_string()))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/{verb}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|error| unreachable(error.to_string()))?;
        let timeout = self.options.timeout;
        let answer = async {
            let response = self.client.send(request).await.map_err(|error| unreachable(chain(&error)))?;
            let (head, body) = response.into_parts();
            if head.status != StatusCode::OK {
                let code = head.status.as_u16();
                return Err(ExtenderError::Status { verb: verb.to_owned(), url: url.clone(), code });
            }
            let read = Limited::new(body, LIMIT).collect().await;
            Ok(read.map_err(|error| unreachable(chain(&*error)))?.to_bytes())
        };
        let answer = tokio::time::timeout(timeout, answer).await;
        let answer = answer.map_err(|_| ExtenderError::Slow { url: url.clone(), timeout })??;
        serde_json::from_slice(&answer).map_err(|error| malformed(error.to_string()))
    }
}

/// An error with what caused it, which HTTP libraries leave out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
