//! Telling the API server of the volumes chosen for a pod: [`VolumePreparer`].
//!
//! A volume gets its claim (`spec.claimRef`), a claim for which a volume is to be made gets the node (annotation
//! `volume.kubernetes.io/selected-node`). The persistent volume controller and the provisioners do the rest.

use std::sync::Arc;
use std::time::Duration;

use augur_core::object::{PodVolumes, StaticBinding, UnboundClaim};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::Backoff;
use crate::prepare::{ATTEMPTS, LONGEST_PAUSE, PrepareError};
use crate::send::{Writer, get, send};

const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// Prepares volumes, a bounded number of pods at a time.
#[derive(Clone)]
pub struct VolumePreparer {
    writer: Writer,
    in_flight: Arc<Semaphore>,
    timeout: Duration,
}

#[derive(Deserialize)]
struct Seen {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default)]
    annotations: Option<serde_json::Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    claim_ref: Option<ClaimRef>,
}

#[derive(Deserialize)]
struct ClaimRef {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
}

/// The change of an object that is due, as a merge patch; `None` if it is as it should be.
type Due = Result<Option<Value>, String>;

impl VolumePreparer {
    /// A preparer for at most `in_flight` pods at once; each request is given `timeout`.
    #[must_use]
    pub fn new(writer: Writer, in_flight: usize, timeout: Duration) -> Self {
        VolumePreparer { writer, in_flight: Arc::new(Semaphore::new(in_flight)), timeout }
    }

    /// Has the API server know what was chosen for a pod on the node, one object after the other.
    ///
    /// # Errors
    /// See [`PrepareError`]. What was written before stays, as with kube-scheduler: a volume keeps its claim, and the next
    /// decision finds it so.
    pub async fn prepare(&self, volumes: &PodVolumes, node: &str) -> Result<(), PrepareError> {
        // The semaphore is never closed, so that the permit is always granted in the end.
        let _permit = self.in_flight.acquire().await;
        for StaticBinding { claim, volume } in &volumes.bindings {
            let path = format!("/api/v1/persistentvolumes/{volume}");
            self.change(&path, &format!("persistentvolume \"{volume}\""), |seen| bind(seen, claim)).await?;
        }
        for claim in &volumes.provisions {
            let (namespace, name) = (&claim.key.namespace, &claim.key.name);
            let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}");
            let object = format!("persistentvolumeclaim \"{namespace}/{name}\"");
            self.change(&path, &object, |seen| select(seen, claim, node)).await?;
        }
        Ok(())
    }

    /// Looks at an object and changes it as is due; again if it changed in between.
    async fn change(&self, path: &str, object: &str, due: impl Fn(&Seen) -> Due) -> Result<(), PrepareError> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut attempt = 1;
        loop {
            let failure = match get::<Seen>(&self.writer, path, self.timeout).await {
                Ok(seen) => {
                    let due = due(&seen);
                    let due = due.map_err(|change| PrepareError::Changed { object: object.to_owned(), change })?;
                    let Some(patch) = due else { return Ok(()) };
                    let body = patch.to_string().into_bytes();
                    let merge = "application/merge-patch+json";
                    match send(&self.writer, Method::PATCH, path, merge, body, self.timeout).await {
                        Ok(()) => return Ok(()),
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            let again = failure.is_transient() || failure.code == Some(409);
            if !again || attempt == ATTEMPTS {
                return Err(PrepareError::Failed { object: object.to_owned(), message: failure.message });
            }
            attempt += 1;
            let asked = failure.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
            tokio::time::sleep(backoff.pause().max(asked)).await;
        }
    }
}

/// Binds a volume to a claim.
fn bind(volume: &Seen, claim: &UnboundClaim) -> Due {
    let (namespace, name) = (&*claim.key.namespace, &*claim.key.name);
    let mut metadata = json!({ "resourceVersion": volume.metadata.resource_version });
    match &volume.spec.claim_ref {
        Some(of) if of.namespace == namespace && of.name == name && of.uid == *claim.uid => return Ok(None),
        // Reserved for a claim of this name by a person, who need not know its uid.
        Some(of) if of.namespace == namespace && of.name == name && of.uid.is_empty() => {}
        Some(of) => return Err(format!("is bound to claim {}/{} already", of.namespace, of.name)),
        None => metadata["annotations"] = json!({ BOUND_BY_CONTROLLER: "yes" }),
    }
    if volume.metadata.deletion_timestamp.is_some() {
        return Err("is being deleted".to_owned());
    }
    Ok(Some(json!({ "metadata": metadata, "spec": { "claimRef": {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": &*claim.uid,
    } } })))
}

/// Has a volume made for a claim on a node.
fn select(seen: &Seen, claim: &UnboundClaim, node: &str) -> Due {
    if seen.metadata.uid != *claim.uid {
        return Err("was deleted and created anew".to_owned());
    }
    if seen.metadata.deletion_timestamp.is_some() {
        return Err("is being deleted".to_owned());
    }
    let annotations = seen.metadata.annotations.as_ref();
    match annotations.and_then(|annotations| annotations.get(SELECTED_NODE)?.as_str()) {
        Some(selected) if selected == node => Ok(None),
        Some(other) => Err(format!("is being provisioned for node {other}")),
        None => {
            let version = &seen.metadata.resource_version;
            Ok(Some(json!({ "metadata": { "resourceVersion": version, "annotations": { SELECTED_NODE: node } } })))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use augur_core::object::RelatedKey;
    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    fn claim() -> UnboundClaim {
        UnboundClaim { key: RelatedKey { namespace: "shop".into(), name: "data".into() }, uid: "c1".into() }
    }

    fn seen(object: Value) -> Seen {
        serde_json::from_value(object).unwrap()
    }

    fn volume(claim_ref: &Value) -> Seen {
        seen(json!({ "metadata": { "name": "disk", "resourceVersion": "7" }, "spec": { "claimRef": claim_ref } }))
    }

    #[test]
    fn a_volume_gets_its_claim_unless_it_is_anothers() {
        let patch = bind(&volume(&Value::Null), &claim()).unwrap().unwrap();
        assert_eq!(
            patch,
            json!({
                "metadata": { "resourceVersion": "7", "annotations": { "pv.kubernetes.io/bound-by-controller": "yes" } },
                "spec": { "claimRef": { "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop",
                    "name": "data", "uid": "c1" } },
            })
        );
        let reserved = json!({ "namespace": "shop", "name": "data" });
        let patch = bind(&volume(&reserved), &claim()).unwrap().unwrap();
        assert_eq!(patch["metadata"], json!({ "resourceVersion": "7" }), "a person reserved it");
        let own = json!({ "namespace": "shop", "name": "data", "uid": "c1" });
        assert_eq!(bind(&volume(&own), &claim()), Ok(None));
        let others = json!({ "namespace": "shop", "name": "other", "uid": "c2" });
        assert_eq!(bind(&volume(&others), &claim()), Err("is bound to claim shop/other already".to_owned()));
    }

    #[test]
    fn a_claim_gets_its_node_unless_it_is_another_claim_or_has_one() {
        let with = |uid: &str, annotations: Value| {
            seen(json!({ "metadata": { "uid": uid, "resourceVersion": "7", "annotations": annotations } }))
        };
        let patch = select(&with("c1", Value::Null), &claim(), "n1").unwrap().unwrap();
        assert_eq!(patch["metadata"]["annotations"], json!({ "volume.kubernetes.io/selected-node": "n1" }));
        assert!(select(&with("c9", Value::Null), &claim(), "n1").is_err());
        let selected = json!({ "volume.kubernetes.io/selected-node": "n1" });
        assert_eq!(select(&with("c1", selected.clone()), &claim(), "n1"), Ok(None));
        assert!(select(&with("c1", selected), &claim(), "n2").is_err());
    }

    /// Prepares a volume against a server that answers these statuses in turn; the result and the requests.
    async fn prepare(answers: &'static [u16]) -> (Result<(), PrepareError>, Vec<String>) {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let mut log = log.lock().unwrap();
            let code = answers.get(log.len()).copied().unwrap_or(200);
            log.push(format!("{} {}", request.method(), request.uri().path()));
            let body = if code == 200 {
                json!({ "metadata": { "name": "disk", "resourceVersion": "7" }, "spec": {} })
            } else {
                json!({ "kind": "Status", "status": "Failure", "reason": "Any", "message": "told so", "code": code })
            };
            let mut response = Response::new(Body::from(body.to_string().into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            async move { Ok::<_, std::io::Error>(response) }
        });
        let preparer = VolumePreparer::new(crate::from_service(service).into(), 8, Duration::from_secs(5));
        let bindings = vec![StaticBinding { claim: claim(), volume: "disk".into() }];
        let result = preparer.prepare(&PodVolumes { bindings, provisions: Vec::new() }, "n1").await;
        let requests = requests.lock().unwrap().clone();
        (result, requests)
    }

    #[tokio::test]
    async fn an_object_that_changed_in_between_is_looked_at_again() {
        let (get, patch) = ("GET /api/v1/persistentvolumes/disk", "PATCH /api/v1/persistentvolumes/disk");
        let (result, requests) = prepare(&[200, 409]).await;
        assert_eq!((result, requests), (Ok(()), [get, patch, get, patch].map(str::to_owned).to_vec()));
        let (result, requests) = prepare(&[404]).await;
        assert_eq!(result.unwrap_err().to_string(), "cannot update persistentvolume \"disk\": told so");
        assert_eq!(requests, [get]);
        assert_eq!(prepare(&[503; 9]).await.1.len(), 4, "attempts are bounded");
    }
}
