//! Serving over TLS with a certificate made at start. Entry points: [`Identity::self_signed`], [`serve_tls`].

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

/// How long connections may take to end once the server stops; open watches are cut off then.
const GRACE: Duration = Duration::from_millis(500);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be made.
    #[error("cannot make a certificate for {names}: {source}")]
    Certificate {
        /// The names that it was to have.
        names: String,
        /// What the maker says.
        source: rcgen::Error,
    },
    /// It cannot be used.
    #[error("cannot use the certificate: {0}")]
    Config(#[from] rustls::Error),
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pem: String,
}

impl Identity {
    /// A certificate that vouches for itself, for host names and addresses.
    ///
    /// # Errors
    /// A name cannot stand in a certificate.
    pub fn self_signed(names: &[&str]) -> Result<Self, TlsError> {
        let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(owned)
            .map_err(|source| TlsError::Certificate { names: names.join(", "), source })?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        Ok(Identity { certificate: cert.der().clone(), key, pem: cert.pem() })
    }

    /// The certificate in PEM, for clients to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    fn config(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Serves over TLS until `shutdown` completes, then lets connections finish what they are at for half a second.
///
/// # Errors
/// The certificate cannot be used, or the listener fails for good.
pub async fn serve_tls(
    listener: TcpListener,
    router: Router,
    identity: &Identity,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let config = RustlsConfig::from_config(Arc::new(identity.config().map_err(io::Error::other)?));
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener.into_std()?, config)?.handle(handle.clone());
    let serving = server.serve(router.into_make_service());
    tokio::pin!(serving);
    tokio::select! {
        outcome = serving.as_mut() => return outcome,
        () = shutdown => handle.graceful_shutdown(Some(GRACE)),
    }
    serving.await
}
