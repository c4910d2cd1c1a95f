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

    #[test]
    fn only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let access = Access { server: "http://127.0.0.1:8001".into(), token: None, certificate: None };
        let path = write(folder.path(), &access).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
