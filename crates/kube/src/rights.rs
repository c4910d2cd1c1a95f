//! Rights that the API server denies. A refusal by the authorizer looks the same wherever it comes from, so that it is read once, on
//! its way through the client: logged with the rule that is missing, and counted. Entry point: [`Denials`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Either, Full};
use kube::client::Body;
use serde::Deserialize;
use tower::{BoxError, Layer, Service};

/// A denied right is logged again after this time.
const REPEAT: Duration = Duration::from_secs(600);

/// Rights that are kept apart. What this program asks for is far less; others would be of a server that words things anew.
const RIGHTS: usize = 128;

/// What a rule of a role would have to permit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Verb.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// `resource` or `resource/subresource`.
    pub resource: String,
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Right { verb, group, resource } = self;
        write!(f, "{verb} {resource}")?;
        if group.is_empty() { Ok(()) } else { write!(f, " of {group}") }
    }
}

#[derive(Debug)]
struct Denied {
    count: u64,
    logged: Instant,
}

/// The rights that were denied since the start. Cheap to clone; all clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Denials(Arc<Mutex<BTreeMap<Right, Denied>>>);

impl Denials {
    /// Each right with how often it was denied.
    #[must_use]
    pub fn counts(&self) -> Vec<(Right, u64)> {
        let denied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        denied.iter().map(|(right, denied)| (right.clone(), denied.count)).collect()
    }

    /// Takes in the message of a refusal, if it is the authorizer's.
    fn note(&self, message: &str) {
        let Some((user, right, scope)) = read(message) else { return };
        let now = Instant::now();
        let log = {
            let mut denied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let room = denied.len() < RIGHTS;
            match denied.get_mut(&right) {
                Some(known) => {
                    known.count += 1;
                    let due = now.duration_since(known.logged) >= REPEAT;
                    if due {
                        known.logged = now;
                    }
                    due
                }
                None if room => {
                    denied.insert(right.clone(), Denied { count: 1, logged: now });
                    true
                }
                None => false,
            }
        };
        if log {
            let Right { verb, group, resource } = &right;
            let role = if resource == "leases" { "Role for leader election" } else { "ClusterRole" };
            tracing::error!(
                verb,
                group,
                resource,
                user,
                "the API server denies a right: add verb {verb:?} on resource {resource:?} of apiGroup {group:?} to the {role} of \
                 {user}; it was denied {scope} (the chart's roles: templates/rbac.yaml)"
            );
        }
    }
}

/// User, right and scope of a refusal by kube-apiserver's authorizers.
fn read(message: &str) -> Option<(&str, Right, &str)> {
    let (before, rest) = message.rsplit_once("\" cannot ")?;
    let (_, user) = before.rsplit_once("User \"")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, scope) = rest.split_once("\" ")?;
    let right = Right { verb: verb.to_owned(), group: group.to_owned(), resource: resource.to_owned() };
    Some((user, right, scope))
}

/// A client's requests are looked at for refusals.
impl<S> Layer<S> for Denials {
    type Service = Noting<S>;

    fn layer(&self, inner: S) -> Noting<S> {
        Noting { inner, denials: self.clone() }
    }
}

/// A service whose refusals are noted.
#[derive(Debug, Clone)]
pub struct Noting<S> {
    inner: S,
    denials: Denials,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl<S, B> Service<Request<Body>> for Noting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (answer, denials) = (self.inner.call(request), self.denials.clone());
        async move {
            let response = answer.await.map_err(Into::into)?;
            // Some rights are asked for while an object is validated.
            if !matches!(response.status(), StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY) {
                return Ok(response.map(Either::Left));
            }
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.map_err(Into::into)?.to_bytes();
            if let Ok(refusal) = serde_json::from_slice::<Refusal>(&bytes) {
                denials.note(&refusal.message);
            }
            Ok(Response::from_parts(head, Either::Right(Full::new(bytes))))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_right_is_read_from_every_wording() {
        for (message, expected) in [
            (
                r#"pods "p" is forbidden: User "system:serviceaccount:augur:augur" cannot create resource "pods/binding" in API group "" in the namespace "default""#,
                Some(("system:serviceaccount:augur:augur", "create", "", "pods/binding")),
            ),
            (
                r#"csinodes.storage.k8s.io is forbidden: User "augur" cannot list resource "csinodes" in API group "storage.k8s.io" at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "augur" not found"#,
                Some(("augur", "list", "storage.k8s.io", "csinodes")),
            ),
            (
                r#"ResourceClaim.resource.k8s.io "c" is invalid: status.allocation: Forbidden: changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="patch" permission: resourceclaims.resource.k8s.io is forbidden: User "augur" cannot patch resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope"#,
                Some(("augur", "patch", "resource.k8s.io", "resourceclaims/binding")),
            ),
            (
                r#"pods "p" is forbidden: unable to create new content in namespace x because it is being terminated"#,
                None,
            ),
            (r#"forbidden: User "augur" cannot get path "/metrics""#, None),
        ] {
            let right = read(message).map(|(user, right, _)| (user, right));
            let expected = expected.map(|(user, verb, group, resource)| {
                let [verb, group, resource] = [verb, group, resource].map(str::to_owned);
                (user, Right { verb, group, resource })
            });
            assert_eq!(right, expected, "{message}");
        }
    }

    #[tokio::test]
    async fn refusals_are_counted_by_right_and_passed_on() {
        let denials = Denials::default();
        let message =
            r#"nodes is forbidden: User \"u\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"#;
        let service = tower::service_fn(move |request: Request<Body>| async move {
            let mut response =
                Response::new(Body::from(format!(r#"{{"code":403,"message":"{message}"}}"#).into_bytes()));
            if request.uri().path() == "/api/v1/nodes" {
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
            Ok::<_, std::io::Error>(response)
        });
        let client = crate::from_service(denials.layer(service));
        for (path, refused) in [("/api/v1/nodes", true), ("/api/v1/pods", false), ("/api/v1/nodes", true)] {
            let answer = client.request_text(Request::get(path).body(Vec::new()).unwrap()).await;
            assert_eq!(answer.is_err(), refused, "{path}");
        }
        let right = Right { verb: "list".to_owned(), group: String::new(), resource: "nodes".to_owned() };
        assert_eq!(denials.counts(), [(right, 2)]);
    }
}
