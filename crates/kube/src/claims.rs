//! Telling the API server of the devices chosen for a pod's claims: [`ClaimPreparer`].
//!
//! A claim gets its devices and is reserved for the pod in one update of its status, which the server takes only if nobody changed
//! the claim in between. What was written for a pod that fails halfway is taken back.

use std::sync::Arc;
use std::time::Duration;

use augur_core::object::{Amount, WrittenRequirement, WrittenSelector};
use augur_core::object::{
    ClaimAllocation, DeviceAllocation, DeviceToleration, ExactRequest, ExtendedClaim, PodDevices, RelatedKey,
};
use http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::Backoff;
use crate::events::PodRef;
use crate::prepare::{ATTEMPTS, LONGEST_PAUSE, PrepareError};
use crate::send::{Failure, Writer, create, get, send};

/// Attempts to take back what was written. More than for writing: devices stay taken otherwise until the pod is tried again.
const ATTEMPTS_TO_FREE: u32 = 8;

/// Keeps a claim from going while it has devices.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
const FOR_EXTENDED_RESOURCES: &str = "resource.kubernetes.io/extended-resource-claim";

const MERGE: &str = "application/merge-patch+json";

/// Prepares claims, a bounded number of pods at a time.
#[derive(Clone)]
pub struct ClaimPreparer {
    writer: Writer,
    in_flight: Arc<Semaphore>,
    timeout: Duration,
}

/// The change of a claim that is due, as merge patches of the object and of its status; `None` for what is as it should be.
struct Due {
    object: Option<Value>,
    status: Option<Value>,
}

impl Due {
    const NOTHING: Due = Due { object: None, status: None };
}

impl ClaimPreparer {
    /// A preparer for at most `in_flight` pods at once; each request is given `timeout`.
    #[must_use]
    pub fn new(writer: Writer, in_flight: usize, timeout: Duration) -> Self {
        ClaimPreparer { writer, in_flight: Arc::new(Semaphore::new(in_flight)), timeout }
    }

    /// Has the API server know which devices were chosen for the pod's claims, and that the claims are the pod's.
    ///
    /// # Errors
    /// See [`PrepareError`]. What was written before is taken back.
    pub async fn prepare(&self, pod: &PodRef, devices: &PodDevices, now: Timestamp) -> Result<(), PrepareError> {
        // The semaphore is never closed, so that the permit is always granted in the end.
        let _permit = self.in_flight.acquire().await;
        let mut written = Vec::new();
        let mut made = None;
        let result = self.write(pod, devices, now, &mut written, &mut made).await;
        if result.is_err() {
            for claim in &written {
                self.free_held(pod, claim, false).await;
            }
            if let Some(made) = &made {
                self.free_held(pod, made, true).await;
            }
        }
        result
    }

    async fn write(
        &self,
        pod: &PodRef,
        devices: &PodDevices,
        now: Timestamp,
        written: &mut Vec<RelatedKey>,
        made: &mut Option<RelatedKey>,
    ) -> Result<(), PrepareError> {
        for ClaimAllocation { claim, uid, allocation } in &devices.allocations {
            // An attempt whose answer is lost may have come through.
            written.push(claim.clone());
            let allocation = allocation_json(allocation, now);
            self.change(claim, ATTEMPTS, |seen| allocate(seen, uid, pod, &allocation)).await?;
        }
        for claim in &devices.reservations {
            written.push(claim.clone());
            self.change(claim, ATTEMPTS, |seen| reserve(seen, pod)).await?;
        }
        if let Some(extended) = &devices.extended {
            let claim = self.make(pod, extended).await?;
            *made = Some(claim.clone());
            let allocation = allocation_json(&extended.allocation, now);
            self.change(&claim, ATTEMPTS, |seen| {
                let uid = text(seen, "/metadata/uid").to_owned();
                allocate(seen, &uid, pod, &allocation)
            })
            .await?;
            self.tell_pod(pod, &claim, extended).await?;
        }
        Ok(())
    }

    /// Takes back what a claim has for the pod: its reservation, and the devices when nobody else uses them; or deletes the claim,
    /// if `delete`. Tried for some time; what is left then is found by the next decision on the pod.
    pub async fn free(&self, pod: &PodRef, claim: &RelatedKey, delete: bool) {
        let _permit = self.in_flight.acquire().await;
        self.free_held(pod, claim, delete).await;
    }

    async fn free_held(&self, pod: &PodRef, claim: &RelatedKey, delete: bool) {
        let freed = self.change(claim, ATTEMPTS_TO_FREE, |seen| Ok(release(seen, pod))).await;
        let result = match freed {
            Ok(()) if delete => {
                let path = path(claim);
                let body = b"{}".to_vec();
                send(&self.writer, Method::DELETE, &path, "application/json", body, self.timeout)
                    .await
                    .map_err(|failure| failed(claim, failure))
            }
            result => result,
        };
        if let Err(error) = result {
            tracing::warn!(pod = %format!("{}/{}", pod.namespace, pod.name), %error, "devices not given back");
        }
    }

    /// Looks at a claim and changes it as is due; again if it changed in between.
    async fn change(
        &self,
        claim: &RelatedKey,
        attempts: u32,
        due: impl Fn(&Value) -> Result<Due, String>,
    ) -> Result<(), PrepareError> {
        let path = path(claim);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut attempt = 1;
        loop {
            let failure = match self.try_change(&path, &due).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(change)) => return Err(PrepareError::Changed { object: object(claim), change }),
                Err(failure) => failure,
            };
            let again = failure.is_transient() || failure.code == Some(409);
            if !again || attempt == attempts {
                return Err(failed(claim, failure));
            }
            attempt += 1;
            let asked = failure.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
            tokio::time::sleep(backoff.pause().max(asked)).await;
        }
    }

    async fn try_change(
        &self,
        path: &str,
        due: &impl Fn(&Value) -> Result<Due, String>,
    ) -> Result<Result<(), String>, Failure> {
        // Finalizers, status, and a last look; each change is made with the version that the one before gave.
        for _ in 0..4 {
            let seen: Value = get(&self.writer, path, self.timeout).await?;
            let due = match due(&seen) {
                Ok(due) => due,
                Err(change) => return Ok(Err(change)),
            };
            let version = seen.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
            let patch = |mut patch: Value| {
                patch["metadata"]["resourceVersion"] = version.clone();
                patch.to_string().into_bytes()
            };
            if let Some(object) = due.object {
                send(&self.writer, Method::PATCH, path, MERGE, patch(object), self.timeout).await?;
                continue;
            }
            if let Some(status) = due.status {
                let path = format!("{path}/status");
                send(&self.writer, Method::PATCH, &path, MERGE, patch(status), self.timeout).await?;
                continue;
            }
            return Ok(Ok(()));
        }
        Ok(Err("is changed back again and again".to_owned()))
    }

    /// Makes the claim for extended resources.
    async fn make(&self, pod: &PodRef, extended: &ExtendedClaim) -> Result<RelatedKey, PrepareError> {
        let path = format!("/apis/resource.k8s.io/v1/namespaces/{}/resourceclaims", pod.namespace);
        let body = json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {
                "generateName": format!("{}-extended-resources-", pod.name), "namespace": &*pod.namespace,
                "annotations": { FOR_EXTENDED_RESOURCES: "true" },
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Pod", "name": &*pod.name, "uid": &*pod.uid, "controller": true,
                }],
            },
            "spec": { "devices": { "requests": extended.requests.iter().map(request_json).collect::<Vec<Value>>() } },
        });
        let named =
            |message| PrepareError::Failed { object: format!("claims of pod {}/{}", pod.namespace, pod.name), message };
        let made: Value =
            create(&self.writer, &path, &body, self.timeout).await.map_err(|failure| named(failure.message))?;
        match text(&made, "/metadata/name") {
            "" => Err(named("the claim that was made has no name".to_owned())),
            name => Ok(RelatedKey { namespace: pod.namespace.clone(), name: name.into() }),
        }
    }

    /// Tells in the pod's status which of its containers' resources the claim stands for.
    async fn tell_pod(&self, pod: &PodRef, claim: &RelatedKey, extended: &ExtendedClaim) -> Result<(), PrepareError> {
        let mapping = |(container, resource, request): &(Arc<str>, Arc<str>, Arc<str>)| json!({ "containerName": &**container, "resourceName": &**resource, "requestName": &**request });
        let mappings: Vec<Value> = extended.mappings.iter().map(mapping).collect();
        let patch = json!({
            "metadata": { "uid": &*pod.uid },
            "status": { "extendedResourceClaimStatus": {
                "requestMappings": mappings, "resourceClaimName": &*claim.name,
            } },
        });
        let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
        let sent = send(&self.writer, Method::PATCH, &path, MERGE, patch.to_string().into_bytes(), self.timeout).await;
        let object = || format!("pod \"{}/{}\"", pod.namespace, pod.name);
        sent.map_err(|failure| PrepareError::Failed { object: object(), message: failure.message })
    }
}

fn path(claim: &RelatedKey) -> String {
    format!("/apis/resource.k8s.io/v1/namespaces/{}/resourceclaims/{}", claim.namespace, claim.name)
}

fn object(claim: &RelatedKey) -> String {
    format!("resourceclaim \"{}/{}\"", claim.namespace, claim.name)
}

fn failed(claim: &RelatedKey, failure: Failure) -> PrepareError {
    PrepareError::Failed { object: object(claim), message: failure.message }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_going(seen: &Value) -> bool {
    seen.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string)
}

fn has_devices(seen: &Value) -> bool {
    seen.pointer("/status/allocation").is_some_and(Value::is_object)
}

fn is_reserved_for(seen: &Value, pod: &PodRef) -> bool {
    list(seen, "/status/reservedFor").iter().any(|consumer| consumer["uid"] == *pod.uid)
}

/// The consumers with the pod among them.
fn reserved_with(seen: &Value, pod: &PodRef) -> Value {
    let mut consumers = list(seen, "/status/reservedFor").to_vec();
    consumers.push(json!({ "resource": "pods", "name": &*pod.name, "uid": &*pod.uid }));
    Value::Array(consumers)
}

/// Drivers, pools and names of an allocation's devices.
fn devices(allocation: &Value) -> Vec<(&str, &str, &str)> {
    let of = |device| (text(device, "/driver"), text(device, "/pool"), text(device, "/device"));
    list(allocation, "/devices/results").iter().map(of).collect()
}

/// Gives a claim its devices and reserves it for the pod.
fn allocate(seen: &Value, uid: &str, pod: &PodRef, allocation: &Value) -> Result<Due, String> {
    if text(seen, "/metadata/uid") != uid {
        return Err("was deleted and created anew".to_owned());
    }
    if is_going(seen) {
        return Err("got deleted in the meantime".to_owned());
    }
    if has_devices(seen) {
        // An attempt before came through although its answer got lost.
        let ours = is_reserved_for(seen, pod) && devices(&seen["status"]["allocation"]) == devices(allocation);
        return if ours { Ok(Due::NOTHING) } else { Err("got allocated elsewhere in the meantime".to_owned()) };
    }
    let mut finalizers = list(seen, "/metadata/finalizers").to_vec();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.into());
        return Ok(Due { object: Some(json!({ "metadata": { "finalizers": finalizers } })), status: None });
    }
    let status = json!({ "status": { "allocation": allocation, "reservedFor": reserved_with(seen, pod) } });
    Ok(Due { object: None, status: Some(status) })
}

/// Reserves a claim that has devices for the pod.
fn reserve(seen: &Value, pod: &PodRef) -> Result<Due, String> {
    if is_going(seen) {
        return Err("got deleted in the meantime".to_owned());
    }
    if !has_devices(seen) {
        return Err("got deallocated elsewhere in the meantime".to_owned());
    }
    if is_reserved_for(seen, pod) {
        return Ok(Due::NOTHING);
    }
    Ok(Due { object: None, status: Some(json!({ "status": { "reservedFor": reserved_with(seen, pod) } })) })
}

/// Takes the pod's reservation back, then the devices if nobody has one, then what keeps the claim from going.
fn release(seen: &Value, pod: &PodRef) -> Due {
    let mut consumers = list(seen, "/status/reservedFor").to_vec();
    let before = consumers.len();
    consumers.retain(|consumer| consumer["uid"] != *pod.uid);
    if consumers.is_empty() && (has_devices(seen) || before > 0) {
        let nothing = json!({ "allocation": null, "reservedFor": null, "devices": null });
        return Due { object: None, status: Some(json!({ "status": nothing })) };
    }
    if consumers.len() != before {
        return Due { object: None, status: Some(json!({ "status": { "reservedFor": consumers } })) };
    }
    let mut finalizers = list(seen, "/metadata/finalizers").to_vec();
    if !has_devices(seen) && finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        return Due { object: Some(json!({ "metadata": { "finalizers": finalizers } })), status: None };
    }
    Due::NOTHING
}

fn toleration_json(toleration: &DeviceToleration) -> Value {
    let mut json = Map::new();
    let fields = [
        ("key", &toleration.key),
        ("operator", &toleration.operator),
        ("value", &toleration.value),
        ("effect", &toleration.effect),
    ];
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        json.insert(name.to_owned(), (&**value).into());
    }
    if let Some(seconds) = toleration.seconds {
        json.insert("tolerationSeconds".to_owned(), seconds.into());
    }
    Value::Object(json)
}

fn texts(list: &[Arc<str>]) -> Value {
    list.iter().map(|text| Value::from(&**text)).collect()
}

fn request_json(request: &ExactRequest) -> Value {
    let count = match request.amount {
        Amount::Count(count) => count,
        Amount::All | Amount::Unknown(_) => 0,
    };
    json!({ "name": &*request.name, "exactly": {
        "deviceClassName": &*request.class, "allocationMode": "ExactCount", "count": count,
    } })
}

fn selector_json(selector: &WrittenSelector) -> Value {
    let requirements = |list: &[WrittenRequirement]| -> Value {
        list.iter()
            .map(|(key, operator, values)| json!({ "key": &**key, "operator": &**operator, "values": texts(values) }))
            .collect()
    };
    let terms = selector.written().iter().map(|term| {
        let mut json = Map::new();
        for (name, list) in [("matchExpressions", &term.expressions), ("matchFields", &term.fields)] {
            if !list.is_empty() {
                json.insert(name.to_owned(), requirements(list));
            }
        }
        Value::Object(json)
    });
    json!({ "nodeSelectorTerms": terms.collect::<Vec<Value>>() })
}

fn allocation_json(allocation: &DeviceAllocation, now: Timestamp) -> Value {
    let results = allocation.devices.iter().map(|device| {
        let id = &device.id;
        let mut json = json!({
            "request": &*device.request, "driver": &*id.pool.driver, "pool": &*id.pool.pool, "device": &*id.device,
        });
        if let Some(admin) = device.admin_access {
            json["adminAccess"] = admin.into();
        }
        if !device.tolerations.is_empty() {
            json["tolerations"] = device.tolerations.iter().map(toleration_json).collect();
        }
        let conditions = [
            ("bindingConditions", &device.binding_conditions),
            ("bindingFailureConditions", &device.binding_failure_conditions),
        ];
        for (name, list) in conditions.into_iter().filter(|(_, list)| !list.is_empty()) {
            json[name] = texts(list);
        }
        if let Some(share) = &device.share {
            json["shareID"] = (&**share).into();
        }
        for (name, amount) in &device.consumed {
            json["consumedCapacity"][name.as_str()] = amount.to_string().into();
        }
        json
    });
    let config = allocation.config.iter().map(|config| {
        json!({
            "source": if config.from_class { "FromClass" } else { "FromClaim" },
            "requests": texts(&config.requests),
            // It was read from an object of the API server.
            "opaque": serde_json::from_str::<Value>(&config.parameters).unwrap_or_default(),
        })
    });
    let mut json = json!({ "devices": { "results": results.collect::<Vec<Value>>() } });
    let config: Vec<Value> = config.collect();
    if !config.is_empty() {
        json["devices"]["config"] = config.into();
    }
    if let Some(nodes) = &allocation.nodes {
        json["nodeSelector"] = selector_json(nodes);
    }
    // The API keeps whole seconds.
    let at = now.round(jiff::Unit::Second).unwrap_or(now);
    json["allocationTimestamp"] = at.to_string().into();
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodRef {
        PodRef { namespace: "a".into(), name: "p".into(), uid: "pod-uid".into() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers make the values for this")]
    fn claim(status: Value) -> Value {
        json!({ "metadata": { "uid": "u", "resourceVersion": "1", "finalizers": [FINALIZER] }, "status": status })
    }

    fn allocation(device: &str) -> Value {
        json!({ "devices": { "results": [{ "driver": "d", "pool": "p", "device": device, "request": "r" }] } })
    }

    fn due(due: Result<Due, String>) -> Value {
        due.map_or_else(Value::from, |due| due.status.or(due.object).unwrap_or_default())
    }

    #[test]
    fn a_claim_gets_its_devices_once() {
        let ours = allocation("g0");
        let first = due(allocate(&claim(json!({})), "u", &pod(), &ours));
        assert_eq!(first["status"]["allocation"], ours);
        assert_eq!(first["status"]["reservedFor"][0]["uid"], "pod-uid");
        let done = json!({ "allocation": ours, "reservedFor": [{ "uid": "pod-uid" }] });
        assert_eq!(due(allocate(&claim(done), "u", &pod(), &ours)), Value::Null, "the answer had got lost");
        let other = json!({ "allocation": allocation("g1"), "reservedFor": [{ "uid": "pod-uid" }] });
        assert_eq!(due(allocate(&claim(other), "u", &pod(), &ours)), "got allocated elsewhere in the meantime");
        assert_eq!(due(allocate(&claim(json!({})), "v", &pod(), &ours)), "was deleted and created anew");
        let bare = json!({ "metadata": { "uid": "u" } });
        assert_eq!(due(allocate(&bare, "u", &pod(), &ours))["metadata"]["finalizers"], json!([FINALIZER]));
    }

    #[test]
    fn devices_are_given_back_when_nobody_else_has_them() {
        let shared = json!({ "allocation": allocation("g0"), "reservedFor": [{ "uid": "pod-uid" }, { "uid": "x" }] });
        assert_eq!(due(Ok(release(&claim(shared), &pod()))), json!({ "status": { "reservedFor": [{ "uid": "x" }] } }));
        let own = json!({ "allocation": allocation("g0"), "reservedFor": [{ "uid": "pod-uid" }] });
        assert_eq!(due(Ok(release(&claim(own), &pod())))["status"]["allocation"], Value::Null);
        let free = due(Ok(release(&claim(json!({})), &pod())));
        assert_eq!(free, json!({ "metadata": { "finalizers": [] } }));
        let others = json!({ "allocation": allocation("g0"), "reservedFor": [{ "uid": "x" }] });
        assert_eq!(due(Ok(release(&claim(others), &pod()))), Value::Null);
    }

    #[test]
    fn a_claim_with_devices_is_reserved_for_one_more() {
        let status = json!({ "allocation": allocation("g0"), "reservedFor": [{ "uid": "x" }] });
        let reserved = due(reserve(&claim(status), &pod()));
        assert_eq!(reserved["status"]["reservedFor"].as_array().map(Vec::len), Some(2));
        assert_eq!(due(reserve(&claim(json!({})), &pod())), "got deallocated elsewhere in the meantime");
    }
}
