//! How the services are protected: TLS, and who may change state. Start at [`ServingArgs`].

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context;
use augur_api::Access;
use augur_apiserver::Identity;
use clap::Args;

/// Protection of the services.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Serving")]
pub struct ServingArgs {
    /// Serves over TLS, with a certificate made at start unless one is given.
    #[arg(long)]
    pub tls: bool,
    /// The certificate to serve with, in PEM, with those that vouch for it after it.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// What a client must send as a bearer token to change state, when the services listen beyond loopback.
    #[arg(long, env = "AUGUR_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    pub token: Option<String>,
    /// A file with that token. It is read at each request, so that the token can be changed at any time.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl ServingArgs {
    /// The certificate to serve with; `None` to serve without TLS.
    ///
    /// # Errors
    /// When the files cannot be read or hold something else; the message names the file.
    pub fn identity(&self, host: IpAddr) -> anyhow::Result<Option<Identity>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert_file, &self.tls_private_key_file) else {
            let host = host.to_string();
            return Ok(self.tls.then(|| Identity::self_signed(&["localhost", "127.0.0.1", &host])).transpose()?);
        };
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let identity = Identity::from_pem(&read(certificate)?, &read(key)?);
        Ok(Some(identity.with_context(|| format!("in {} or {}", certificate.display(), key.display()))?))
    }

    /// The token that is presented to the other service, which has the same.
    ///
    /// # Errors
    /// When its file cannot be read; the message names it.
    pub fn bearer(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = self.token_file.as_ref().filter(|_| self.token.is_none()) else {
            return Ok(self.token.clone());
        };
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Some(text.trim().to_owned()))
    }

    /// Who may change state on a service that listens at this address.
    pub fn access(&self, listens: IpAddr) -> Access {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Access::Token(token.clone()),
            (None, Some(file)) => Access::TokenFile(file.clone()),
            (None, None) if listens.is_loopback() => Access::Loopback,
            (None, None) => Access::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_certificates_are_taken_and_others_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (certificate, key) = Identity::self_signed_pem(&["scheduler.example"]).unwrap();
        std::fs::write(path("tls.crt"), certificate).unwrap();
        std::fs::write(path("tls.key"), key).unwrap();
        let args = |certificate: &str| ServingArgs {
            tls_cert_file: Some(path(certificate)),
            tls_private_key_file: Some(path("tls.key")),
            ..ServingArgs::default()
        };
        let host = IpAddr::from([127, 0, 0, 1]);
        assert!(args("tls.crt").identity(host).unwrap().is_some());
        assert!(ServingArgs::default().identity(host).unwrap().is_none());
        for wrong in ["tls.key", "absent"] {
            let error = format!("{:#}", args(wrong).identity(host).unwrap_err());
            assert!(error.contains(wrong), "{error}");
        }
    }
}
