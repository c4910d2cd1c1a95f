//! Extenders that pods are decided with: [`Extenders`] asks them, off the scheduler thread, and adds their answers up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use augur_api::SchedulerMetrics;
use augur_core::extender::{Advice, Eviction, Extender};
use augur_core::object::{NodeName, Pod, PodSpec};
use augur_core::scheduler::{Answer, Question};
use augur_kube::{
    Candidate, Change, ExtenderClient, ExtenderError, MALFORMED, Object, Skipped, Source, WatchStats, reflect,
};
use futures::StreamExt as _;
use kube::Client;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Changes of nodes that wait to be kept; when it is full the watch waits.
const NODE_CHANGES: usize = 64;

/// Lists of a node's pods under way for one question about evictions.
const LISTS_AT_ONCE: usize = 8;

/// An extender that is called.
#[derive(Clone)]
pub struct CalledExtender {
    /// What the decision knows of it.
    pub extender: Extender,
    /// The way to it.
    pub client: ExtenderClient,
    /// Whether it binds pods.
    pub binds: bool,
}

/// All extenders, in the order in which they are asked. Cheap to clone.
#[derive(Clone)]
pub struct Extenders {
    called: Arc<[CalledExtender]>,
    cluster: Client,
    nodes: Arc<Texts>,
    metrics: Arc<SchedulerMetrics>,
}

/// All nodes as the API server wrote them, for extenders that keep none; empty without such.
type Texts = Mutex<HashMap<String, Arc<RawValue>>>;

/// A node as the API server wrote it.
#[derive(Debug)]
struct NodeText {
    name: String,
    json: Arc<RawValue>,
}

#[derive(Deserialize)]
struct Head {
    metadata: HeadMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMeta {
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
}

impl Object for NodeText {
    fn read(json: &str) -> Result<(Self, String), Skipped> {
        let malformed = |error: serde_json::Error| Skipped::new(MALFORMED, error.to_string());
        let head: Head = serde_json::from_str(json).map_err(malformed)?;
        let json: Box<RawValue> = RawValue::from_string(json.to_owned()).map_err(malformed)?;
        Ok((NodeText { name: head.metadata.name, json: json.into() }, head.metadata.resource_version))
    }
}

impl Extenders {
    /// Extenders of this cluster. Nodes are watched as whole objects if one of them wants to be sent such.
    pub fn start(
        called: Vec<CalledExtender>,
        cluster: Client,
        runtime: &Handle,
        metrics: Arc<SchedulerMetrics>,
    ) -> Extenders {
        let nodes = Arc::new(Texts::default());
        if called.iter().any(|one| one.extender.judges_nodes() && !one.client.knows_nodes()) {
            let (changes, kept) = mpsc::channel(NODE_CHANGES);
            let (client, texts) = (cluster.clone(), Arc::downgrade(&nodes));
            let source = Source { path: "/api/v1/nodes", narrowed: String::new() };
            runtime.spawn(async move { reflect(client, source, changes, &WatchStats::default()).await });
            runtime.spawn(async move { keep(kept, &texts).await });
        }
        Extenders { called: called.into(), cluster, nodes, metrics }
    }

    /// The extenders as the decision knows them.
    pub fn known(&self) -> Vec<Extender> {
        self.called.iter().map(|one| one.extender.clone()).collect()
    }

    /// Who binds pods of this spec, if not Augur.
    pub fn binder(&self, spec: &PodSpec) -> Option<&CalledExtender> {
        self.called.iter().find(|one| one.binds && one.extender.is_interested(spec))
    }

    /// Counts a call.
    pub fn count(&self, one: &CalledExtender, verb: &'static str, answered: bool, began: Instant) {
        self.metrics.extender_call(&one.extender.name, verb, answered, began.elapsed());
    }

    /// Asks the extenders of the party about a pod of the cluster.
    ///
    /// # Errors
    /// What an extender says that cannot be done without, or why the pod could not be read.
    pub async fn ask(&self, pod: &Pod, party: &[usize], question: Question) -> Result<Answer, Arc<str>> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
        let text = self.get(&path).await?;
        match serde_json::from_str::<Head>(text.get()) {
            Ok(head) if head.metadata.uid == *pod.uid => {}
            _ => return Err("the pod is gone; there is another of its name".into()),
        }
        match question {
            Question::Nodes(nodes) => self.advise(&text, party, nodes).await.map(Answer::Nodes),
            Question::Evictions(evictions) => self.narrow(&text, party, evictions).await.map(Answer::Evictions),
        }
    }

    /// Asks on which of the nodes a pod may run, each extender about what the one before let pass, and how good those are.
    ///
    /// # Errors
    /// See [`Extenders::ask`].
    pub async fn advise(&self, pod: &RawValue, party: &[usize], nodes: Vec<NodeName>) -> Result<Advice, Arc<str>> {
        let mut advice = Advice::about(nodes);
        for one in self.of(party).filter(|one| one.extender.filters) {
            if advice.passing().is_empty() {
                break;
            }
            let began = Instant::now();
            let nodes = advice.passing().to_vec();
            let whole = self.whole(one, &nodes).await?;
            let whole: Vec<&RawValue> = whole.iter().map(|node| &**node).collect();
            let answer = one.client.filter(pod, &nodes, &whole).await;
            let taken = answer
                .map_err(|error| error.to_string())
                .and_then(|answer| advice.filtered(&one.extender.name, &answer));
            self.count(one, "filter", taken.is_ok(), began);
            skip_or_fail(one, taken)?;
        }
        // With one node there is nothing to compare.
        if advice.passing().len() < 2 {
            return Ok(advice);
        }
        let nodes = advice.passing().to_vec();
        let scores = self.of(party).filter(|one| one.extender.prioritizes).map(|one| {
            let nodes = &nodes;
            async move {
                let began = Instant::now();
                let whole = self.whole(one, nodes).await.map_err(|error| ExtenderError::Said(error.to_string()))?;
                let whole: Vec<&RawValue> = whole.iter().map(|node| &**node).collect();
                let answer = one.client.prioritize(pod, nodes, &whole).await;
                self.count(one, "prioritize", answer.is_ok(), began);
                answer
            }
        });
        let scores = futures::future::join_all(scores).await;
        for (one, scores) in self.of(party).filter(|one| one.extender.prioritizes).zip(scores) {
            match scores {
                Ok(scores) => advice.prioritized(&one.extender, &scores),
                Err(error) => tracing::info!(extender = %one.extender.name, %error, "gives no scores"),
            }
        }
        Ok(advice)
    }

    /// Asks where room may be made, each extender about what the one before left.
    async fn narrow(
        &self,
        pod: &RawValue,
        party: &[usize],
        mut evictions: Vec<Eviction>,
    ) -> Result<Vec<Eviction>, Arc<str>> {
        for one in self.of(party).filter(|one| one.extender.preempts) {
            if evictions.is_empty() {
                break;
            }
            let candidates = match one.client.knows_nodes() {
                true => evictions.iter().cloned().map(|eviction| Candidate { eviction, pods: Vec::new() }).collect(),
                false => self.with_pods(&evictions).await?,
            };
            let began = Instant::now();
            let answer = one.client.preempt(pod, &candidates).await;
            let left = answer.map_err(|error| error.to_string()).and_then(|mut left| {
                if one.extender.ignorable {
                    left.retain(|eviction| !eviction.victims.is_empty());
                }
                match left.iter().find(|eviction| eviction.victims.is_empty()) {
                    Some(none) => Err(format!("expected at least one victim pod on node {:?}", &*none.node)),
                    None => Ok(left),
                }
            });
            self.count(one, "preempt", left.is_ok(), began);
            if let Some(left) = skip_or_fail(one, left)? {
                evictions = left;
            }
        }
        Ok(evictions)
    }

    fn of<'a>(&'a self, party: &'a [usize]) -> impl Iterator<Item = &'a CalledExtender> {
        party.iter().filter_map(|at| self.called.get(*at))
    }

    /// The nodes themselves, for an extender that does not know them.
    async fn whole(&self, one: &CalledExtender, nodes: &[NodeName]) -> Result<Vec<Arc<RawValue>>, Arc<str>> {
        if one.client.knows_nodes() {
            return Ok(Vec::new());
        }
        let known = |name: &NodeName| {
            let texts = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            texts.get(&**name).cloned()
        };
        let mut whole = Vec::with_capacity(nodes.len());
        for name in nodes {
            whole.push(match known(name) {
                Some(text) => text,
                // It is newer than what this watch has told of.
                None => self.get(&format!("/api/v1/nodes/{name}")).await?.into(),
            });
        }
        Ok(whole)
    }

    /// The candidates with the pods themselves.
    async fn with_pods(&self, evictions: &[Eviction]) -> Result<Vec<Candidate>, Arc<str>> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Box<RawValue>>,
        }
        let read = |eviction: Eviction| async move {
            let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", eviction.node);
            let list: List = serde_json::from_str(self.get(&path).await?.get()).map_err(|error| error.to_string())?;
            let is_victim = |pod: &RawValue| {
                let head = serde_json::from_str::<Head>(pod.get());
                head.is_ok_and(|head| eviction.victims.iter().any(|uid| **uid == *head.metadata.uid))
            };
            let pods = list.items.into_iter().filter(|pod| is_victim(pod)).collect();
            Ok::<_, Arc<str>>(Candidate { eviction, pods })
        };
        let reads = futures::stream::iter(evictions.iter().cloned().map(read)).buffered(LISTS_AT_ONCE);
        reads.collect::<Vec<_>>().await.into_iter().collect()
    }

    /// An object of the cluster as it is written.
    async fn get(&self, path: &str) -> Result<Box<RawValue>, Arc<str>> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        let text = self.cluster.request_text(request).await;
        let text = text.map_err(|error| format!("cannot read {path} for extenders: {error}"))?;
        Ok(RawValue::from_string(text).map_err(|error| error.to_string())?)
    }
}

/// What an extender answered; `None` if it failed and can be done without.
fn skip_or_fail<T>(one: &CalledExtender, answer: Result<T, String>) -> Result<Option<T>, Arc<str>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if one.extender.ignorable => {
            tracing::info!(extender = %one.extender.name, %error, "skipped, as it may be");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps the nodes that the watch tells of, as long as anybody wants them.
async fn keep(mut changes: mpsc::Receiver<Change<NodeText>>, texts: &std::sync::Weak<Texts>) {
    while let Some(change) = changes.recv().await {
        let Some(texts) = texts.upgrade() else { return };
        let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Reset(all) => *texts = all.into_iter().map(|node| (node.name, node.json)).collect(),
            Change::Applied(node) => drop(texts.insert(node.name, node.json)),
            Change::Deleted(key, _) => drop(texts.remove(&key.name)),
        }
    }
}
