//! The kubeconfig file of the embedded cluster, which `kubectl` is pointed at.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

/// How the embedded Kubernetes API is reached.
#[derive(Debug, Clone)]
pub struct Access {
    /// `http://` or `https://` with host and port.
    pub server: String,
    /// The bearer token, when one is asked for.
    pub token: Option<String>,
    /// The certificate to trust, in PEM, when the server was started with TLS.
    pub certificate: Option<String>,
}

/// Writes `kubeconfig` into the folder, readable by its owner only, and returns its path.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &Path, access: &Access) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join("kubeconfig");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text(access).as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(std::path::absolute(&path).unwrap_or(path))
}

/// The file's text. JSON is YAML, and clients read it as such.
fn text(access: &Access) -> String {
    let mut cluster = json!({ "server": access.server });
    if let Some(certificate) = &access.certificate {
        cluster["certificate-authority-data"] = json!(base64(certificate.as_bytes()));
    }
    let user = match &access.token {
        Some(token) => json!({ "token": token }),
        // Over TLS kubectl asks for a user name where there are no credentials; the server asks for none and ignores it.
        None if access.certificate.is_some() => json!({ "token": "anonymous" }),
        None => json!({}),
    };
    let file = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "augur",
        "clusters": [{ "name": "augur", "cluster": cluster }],
        "users": [{ "name": "augur", "user": user }],
        "contexts": [{ "name": "augur", "context": { "cluster": "augur", "user": "augur" } }],
    });
    format!("{file:#}\n")
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_read_it() {
        let access = Access {
            server: "https://127.0.0.1:8001".into(),
            token: Some("secret".into()),
            certificate: Some("pem".into()),
        };
        let config: kube::config::Kubeconfig = serde_json::from_str(&text(&access)).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("augur"));
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:8001"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("cGVt"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_at_once_share_a_connection_over_tls() {
        use std::collections::BTreeSet;
        use std::sync::{Arc, Mutex};

        let identity = augur_apiserver::Identity::self_signed(&["127.0.0.1"]).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        // Answers only once all requests are there, so that they are under way together.
        let together = Arc::new(tokio::sync::Barrier::new(100));
        let (versions, gate) = (seen.clone(), together.clone());
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            versions.lock().unwrap().insert(format!("{:?}", request.version()));
            let gate = gate.clone();
            async move {
                gate.wait().await;
                "{}"
            }
        });
        let certificate = identity.certificate_pem().to_owned();
        let serving = augur_apiserver::serve_tls(listener, router, &identity, std::future::pending());
        let access = Access { server: format!("https://{address}"), token: None, certificate: Some(certificate) };
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = write(folder.path(), &access).unwrap();
        let patience = std::time::Duration::from_secs(30);
        let client = augur_kube::from_kubeconfig(&kubeconfig, patience, &augur_kube::Denials::default()).await.unwrap();
        let asking = futures::future::join_all((0..100).map(|_| {
            let request = http::Request::get("/version").body(Vec::new()).unwrap();
            client.request_text(request)
        }));
        let answers = tokio::select! {
            answers = asking => answers,
            ended = serving => panic!("{ended:?}"),
        };
        for answer in answers {
            assert_eq!(answer.unwrap(), "{}");
        }
        assert_eq!(*seen.lock().unwrap(), BTreeSet::from(["HTTP/2.0".to_owned()]));
    }

    #[test]
    fn only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let access = Access { server: "http://127.0.0.1:8001".into(), token: None, certificate: None };
        let path = write(folder.path(), &access).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
