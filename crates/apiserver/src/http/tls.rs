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
use rustls::pki_types::pem::PemObject;
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
    /// A file holds something else than it should.
    #[error("this is no {what} in PEM: {why}")]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        why: String,
    },
    /// It cannot be used.
    #[error("cannot use the certificate: {0}")]
    Config(#[from] rustls::Error),
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, and those that vouch for it.
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: String,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity { chain: self.chain.clone(), key: self.key.clone_key(), pem: self.pem.clone() }
    }
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
        Ok(Identity { chain: vec![cert.der().clone()], key, pem: cert.pem() })
    }

    /// Certificate and key of such an identity as the texts of two files.
    ///
    /// # Errors
    /// A name cannot stand in a certificate.
    pub fn self_signed_pem(names: &[&str]) -> Result<(String, String), TlsError> {
        let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(owned)
            .map_err(|source| TlsError::Certificate { names: names.join(", "), source })?;
        Ok((cert.pem(), signing_key.serialize_pem()))
    }

    /// A certificate, with those that vouch for it after it, and its key, both in PEM.
    ///
    /// # Errors
    /// They hold something else, or do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let wrong = |what| move |why: rustls::pki_types::pem::Error| TlsError::Pem { what, why: why.to_string() };
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificates).collect::<Result<_, _>>().map_err(wrong("certificate"))?;
        if chain.is_empty() {
            return Err(TlsError::Pem { what: "certificate", why: "there is none".to_owned() });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(wrong("private key"))?;
        let identity = Identity { chain, key, pem: String::from_utf8_lossy(certificates).into_owned() };
        identity.config()?;
        Ok(identity)
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
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
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
