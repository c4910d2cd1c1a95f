//! How the embedded Kubernetes API is protected: TLS, tokens, users and roles. Start at [`ApiSecurity::options`].

use std::path::PathBuf;

use anyhow::{Context, bail};
use augur_apiserver::access::read_token_file;
use augur_apiserver::{ApiServerOptions, AuthorizationMode};
use clap::{Args, ValueEnum};

/// The group whose members may do everything.
const MASTERS: &str = "system:masters";

/// How the embedded Kubernetes API is protected.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Protection of the Kubernetes API")]
pub struct ApiSecurity {
    /// Serves the Kubernetes API over TLS, with a certificate made at start. kubectl sends no token without it.
    #[arg(long)]
    pub tls: bool,
    /// Serves the Kubernetes API only to clients with this bearer token, or one of --token-auth-file; whoever has it may do everything.
    #[arg(long, env = "AUGUR_API_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Users and their bearer tokens, in kube-apiserver's format: lines of `token,user,uid` or `token,user,uid,"group1,group2"`.
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// What decides who may do what: nothing, or roles and their bindings (rbac.authorization.k8s.io); the group
    /// `system:masters` may do everything.
    #[arg(long, value_enum, default_value_t)]
    pub authorization_mode: Authorization,
}

/// What decides who may do what, under kube-apiserver's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Authorization {
    /// Everybody who is let in may do everything.
    #[default]
    #[value(name = "AlwaysAllow")]
    AlwaysAllow,
    /// Roles and their bindings.
    #[value(name = "RBAC")]
    Rbac,
}

impl ApiSecurity {
    /// The server's options, and the token with which everything may be done, if one is needed.
    ///
    /// # Errors
    /// When the token file cannot be used, or nobody could do anything.
    pub fn options(&self) -> anyhow::Result<(ApiServerOptions, Option<String>)> {
        let users = match &self.token_auth_file {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("--token-auth-file {}", path.display()))?;
                read_token_file(&text).with_context(|| format!("--token-auth-file {}", path.display()))?
            }
            None => Vec::new(),
        };
        let master = users.iter().find(|(_, user)| user.groups.iter().any(|group| group == MASTERS));
        let token = self.token.clone().or_else(|| master.map(|(token, _)| token.clone()));
        let authorization = match self.authorization_mode {
            Authorization::AlwaysAllow => AuthorizationMode::AlwaysAllow,
            Authorization::Rbac => AuthorizationMode::Rbac,
        };
        if authorization == AuthorizationMode::Rbac && token.is_none() {
            bail!(
                "--authorization-mode RBAC: nobody could grant anything; give an administrator a token with --token, or with a line \
                 of --token-auth-file whose groups have {MASTERS}"
            );
        }
        let token = token.or_else(|| users.first().map(|(token, _)| token.clone()));
        let tokens = self.token.clone().into_iter().collect();
        Ok((ApiServerOptions { tokens, users, authorization, ..ApiServerOptions::default() }, token))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        api: ApiSecurity,
    }

    fn options(flags: &[&str]) -> anyhow::Result<(ApiServerOptions, Option<String>)> {
        Flags::try_parse_from([&["augur"], flags].concat())?.api.options()
    }

    #[test]
    fn somebody_can_always_do_something() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (users, masters) =
            (file("users", "u,jane,1\n"), file("masters", "u,jane,1\nm,root,2,\"x,system:masters\"\n"));
        let (open, token) = options(&[]).unwrap();
        assert!(open.users.is_empty() && open.authorization == AuthorizationMode::AlwaysAllow && token.is_none());
        let rbac = "--authorization-mode=RBAC";
        assert_eq!(options(&["--token-auth-file", &users]).unwrap().1.as_deref(), Some("u"));
        assert_eq!(options(&[rbac, "--token-auth-file", &masters]).unwrap().1.as_deref(), Some("m"));
        assert_eq!(options(&[rbac, "--token", "t", "--token-auth-file", &users]).unwrap().1.as_deref(), Some("t"));
        for flags in [&[rbac][..], &[rbac, "--token-auth-file", &users]] {
            let error = options(flags).unwrap_err().to_string();
            assert!(error.contains("system:masters"), "{error}");
        }
        let absent = format!("{:#}", options(&["--token-auth-file", &file("short", "a,b\n")]).unwrap_err());
        assert!(absent.contains("short: token file, line 1"), "{absent}");
    }
}
