//! Who may change state, asked of the cluster: a bearer token's user by TokenReview, and whether that user may `post` to the path by
//! SubjectAccessReview, as a delegating server of Kubernetes asks. Without an answer nobody is let in. Start at [`TokenReviewer`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use augur_api::{Reviewer, Verdict};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, header};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How long an answer holds: a token that is revoked opens nothing after this time.
const HOLDS: Duration = Duration::from_secs(10);
/// Answers that are kept. Whoever sends more tokens than that within [`HOLDS`] only costs the API server their reviews.
const KEPT: usize = 1024;

/// Answers with when they were given, by a hash of token and path.
type Known = HashMap<[u8; 32], (Instant, Verdict)>;

/// Asks the API server about bearer tokens.
#[derive(Clone)]
pub struct TokenReviewer {
    client: Client,
    timeout: Duration,
    /// By hash, so that no token is kept.
    known: Arc<Mutex<Known>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: UserInfo,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct UserInfo {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
}

#[derive(Deserialize)]
struct Review<T> {
    status: T,
}

impl TokenReviewer {
    /// Asks through this client; each of the two questions may take `timeout`.
    pub fn new(client: Client, timeout: Duration) -> TokenReviewer {
        TokenReviewer { client, timeout, known: Arc::default() }
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str, review: &Value) -> Result<T, String> {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(review.to_string().into_bytes()).map_err(|error| error.to_string())?;
        match tokio::time::timeout(self.timeout, self.client.request::<Review<T>>(request)).await {
            Ok(Ok(review)) => Ok(review.status),
            Ok(Err(kube::Error::Api(status))) => Err(status.message.clone()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the API server did not answer within {:?}", self.timeout)),
        }
    }

    async fn decide(&self, token: &str, path: &str) -> Result<Verdict, String> {
        let review =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token } });
        let TokenStatus { authenticated, user } =
            self.ask("/apis/authentication.k8s.io/v1/tokenreviews", &review).await?;
        if !authenticated {
            return Ok(Verdict::Unknown);
        }
        let mut spec = json!({
            "user": user.username, "uid": user.uid, "groups": user.groups,
            "nonResourceAttributes": { "path": path, "verb": "post" },
        });
        if user.extra.is_object() {
            spec["extra"] = user.extra;
        }
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec });
        let status: AccessStatus = self.ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await?;
        Ok(if status.allowed { Verdict::Allowed } else { Verdict::Forbidden(user.username) })
    }
}

impl Reviewer for TokenReviewer {
    fn review(&self, token: &str, path: &str) -> BoxFuture<'static, Result<Verdict, String>> {
        let (this, token, path) = (self.clone(), token.to_owned(), path.to_owned());
        async move {
            let mut hasher = Sha256::new();
            for part in [&token, &path] {
                hasher.update(part.len().to_le_bytes());
                hasher.update(part);
            }
            let key: [u8; 32] = hasher.finalize().into();
            let kept = |known: &Known| {
                known.get(&key).filter(|(at, _)| at.elapsed() < HOLDS).map(|(_, verdict)| verdict.clone())
            };
            if let Some(verdict) = kept(&this.known.lock().unwrap_or_else(PoisonError::into_inner)) {
                return Ok(verdict);
            }
            let verdict = this.decide(&token, &path).await?;
            let mut known = this.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= KEPT {
                known.retain(|_, (at, _)| at.elapsed() < HOLDS);
            }
            if known.len() < KEPT {
                known.insert(key, (Instant::now(), verdict.clone()));
            }
            Ok(verdict)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use augur_apiserver::access::read_token_file;
    use augur_apiserver::{ApiServer, ApiServerOptions, AuthorizationMode, DeleteOptions};
    use tower::ServiceExt;

    use super::*;

    const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";

    /// A cluster whose user `jane` may post to `/feedback`, and a reviewer in the name of `by` that counts its questions.
    fn cluster(by: &'static str) -> (ApiServer, TokenReviewer, Arc<AtomicU32>) {
        let users =
            read_token_file("root,root,1,system:masters\njane-token,jane,2,\"team,ops\"\njoe-token,joe,3\n").unwrap();
        let options = ApiServerOptions { users, authorization: AuthorizationMode::Rbac, ..ApiServerOptions::default() };
        let server = ApiServer::new(options).unwrap();
        let local = server.local("test");
        let role = json!({ "metadata": { "name": "feedback" },
            "rules": [{ "verbs": ["post"], "nonResourceURLs": ["/feedback"] }] });
        local.create(ROLES, "", role).unwrap();
        let group = "rbac.authorization.k8s.io";
        let binding = json!({ "metadata": { "name": "feedback" },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "feedback" },
            "subjects": [{ "apiGroup": group, "kind": "Group", "name": "ops" }] });
        local.create(&format!("clusterrolebindings.{group}"), "", binding).unwrap();
        let (router, questions) = (server.router(), Arc::new(AtomicU32::new(0)));
        let asked = questions.clone();
        let client = augur_kube::from_service(tower::service_fn(move |mut request: Request<kube::client::Body>| {
            asked.fetch_add(1, Ordering::SeqCst);
            request.headers_mut().insert("authorization", format!("Bearer {by}").parse().unwrap());
            router.clone().oneshot(request.map(axum::body::Body::new))
        }));
        (server, TokenReviewer::new(client, Duration::from_secs(30)), questions)
    }

    #[tokio::test]
    async fn the_cluster_says_who_may_change_state_and_is_asked_once_for_a_while() {
        let (server, reviewer, questions) = cluster("root");
        for _ in 0..2 {
            assert_eq!(reviewer.review("jane-token", "/feedback").await, Ok(Verdict::Allowed));
            assert_eq!(reviewer.review("jane-token", "/train").await, Ok(Verdict::Forbidden("jane".to_owned())));
            assert_eq!(reviewer.review("joe-token", "/feedback").await, Ok(Verdict::Forbidden("joe".to_owned())));
            assert_eq!(reviewer.review("stranger", "/feedback").await, Ok(Verdict::Unknown));
        }
        assert_eq!(questions.load(Ordering::SeqCst), 7, "two for each known token and path, one for a stranger");
        // What is no longer permitted is so for a reviewer that has not asked yet.
        server.local("test").delete(ROLES, "", "feedback", &DeleteOptions::default()).unwrap();
        assert_eq!(reviewer.review("jane-token", "/feedback").await, Ok(Verdict::Allowed), "the answer holds a while");
        reviewer.known.lock().unwrap().values_mut().for_each(|(at, _)| *at -= HOLDS);
        assert_eq!(reviewer.review("jane-token", "/feedback").await, Ok(Verdict::Forbidden("jane".to_owned())));
    }

    #[tokio::test]
    async fn without_an_answer_nobody_is_let_in() {
        // Whoever asks must have the right to.
        let (_, reviewer, questions) = cluster("joe-token");
        for asked in 1..3 {
            let error = reviewer.review("jane-token", "/feedback").await.unwrap_err();
            assert!(error.contains("cannot create resource \"tokenreviews\""), "{error}");
            assert_eq!(questions.load(Ordering::SeqCst), asked, "a failure is not kept");
        }
        let silent = augur_kube::from_service(tower::service_fn(|_: Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, std::io::Error>>()
        }));
        let reviewer = TokenReviewer::new(silent, Duration::from_millis(20));
        assert!(reviewer.review("jane-token", "/feedback").await.unwrap_err().contains("did not answer"));
    }
}
