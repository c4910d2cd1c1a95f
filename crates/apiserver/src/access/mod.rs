//! Who asks, and what they may do. A request passes [`ApiServer::admitted`] (authentication by bearer token, impersonation,
//! authorization) before anything else looks at it; reviews answer from the same [`ApiServer::authorize`].

mod attributes;
mod bootstrap;
mod rbac;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::{Arc, PoisonError, RwLock};

use http::header::{AUTHORIZATION, HeaderMap};
use jiff::Timestamp;
use serde_json::Value;

pub use attributes::{About, Attributes};
pub use rbac::Rule;
pub use tokens::{TokenFileError, read_token_file};

use crate::error::ApiError;
use crate::resource;
use crate::server::ApiServer;
use crate::verbs::{Target, meta_text};
use rbac::Policy;
use tokens::Signer;

/// What decides whether somebody may do what they ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthorizationMode {
    /// Everybody who is let in may do everything.
    #[default]
    AlwaysAllow,
    /// Roles and their bindings; members of `system:masters` may do everything.
    Rbac,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Identifier; may be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
}

const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";
const ACCOUNT: &str = "system:serviceaccount:";

impl User {
    fn new(name: &str, groups: &[&str]) -> User {
        User {
            name: name.to_owned(),
            uid: String::new(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        }
    }

    /// Whoever may do everything.
    #[must_use]
    pub fn admin() -> User {
        User::new("system:admin", &[MASTERS, AUTHENTICATED])
    }

    /// Whoever does not say who they are.
    #[must_use]
    pub fn anonymous() -> User {
        User::new(ANONYMOUS, &[UNAUTHENTICATED])
    }

    fn account_name(namespace: &str, name: &str) -> String {
        format!("{ACCOUNT}{namespace}:{name}")
    }

    /// A service account.
    #[must_use]
    pub fn of_service_account(namespace: &str, name: &str) -> User {
        let all = format!("{}s", ACCOUNT.trim_end_matches(':'));
        let here = format!("{all}:{namespace}");
        User::new(&User::account_name(namespace, name), &[&all, &here, AUTHENTICATED])
    }

    /// Namespace and name of the service account that the user is.
    #[must_use]
    pub fn service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(ACCOUNT)?.split_once(':')
    }

    fn authenticated(mut self) -> User {
        if !self.groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

/// What an authorizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is permitted.
    pub allowed: bool,
    /// Why; may be empty.
    pub reason: String,
}

/// What is kept for deciding about requests.
#[derive(Default)]
pub(crate) struct Access {
    /// Roles and bindings with the revisions that they were read at.
    policy: RwLock<Arc<([u64; 4], Policy)>>,
    /// `None` if there can be no tokens of service accounts.
    signer: Option<Signer>,
}

impl Access {
    pub(crate) fn new() -> Access {
        Access { signer: Signer::new(), policy: RwLock::default() }
    }
}

impl ApiServer {
    /// Makes sure that the roles are there that everybody lives by.
    pub(crate) fn bootstrap_roles(&self) -> Result<(), ApiError> {
        if self.0.options.authorization == AuthorizationMode::Rbac {
            for (qualified, object) in bootstrap::objects() {
                self.ensure(qualified, "", object)?;
            }
        }
        Ok(())
    }

    /// Who sent a request that may be carried out.
    ///
    /// # Errors
    /// 401 for a token that is not known, 403 for what the user may not do.
    pub(crate) fn admitted(&self, asked: &Attributes, headers: &HeaderMap) -> Result<User, ApiError> {
        let user = self.authenticate(bearer(headers))?;
        let user = self.impersonated(user, headers)?;
        self.permit(&user, asked)?;
        Ok(user)
    }

    /// The user of a request with this token, or without one.
    fn authenticate(&self, token: Option<&str>) -> Result<User, ApiError> {
        let known = token.and_then(|token| self.known(token));
        let options = &self.0.options;
        match known {
            Some((user, audiences)) if audiences.iter().any(|audience| audience == tokens::ISSUER) => Ok(user),
            None if self.is_open() => Ok(User::admin()),
            None if options.authorization == AuthorizationMode::Rbac && token.is_none() => Ok(User::anonymous()),
            _ => Err(ApiError::new(401, "Unauthorized", "Unauthorized")),
        }
    }

    /// Whether everybody is let in, whoever they are.
    fn is_open(&self) -> bool {
        let options = &self.0.options;
        options.authorization == AuthorizationMode::AlwaysAllow && options.tokens.is_empty() && options.users.is_empty()
    }

    /// The user of a token, and those of the audiences (the API itself if none is given) that the token is for.
    pub(crate) fn review_token(&self, token: &str, asked: &[&str]) -> Option<(User, Vec<String>)> {
        let asked = if asked.is_empty() { &[tokens::ISSUER][..] } else { asked };
        let open = || self.is_open().then(|| (User::admin(), vec![tokens::ISSUER.to_owned()]));
        let (user, mut audiences) = self.known(token).or_else(open)?;
        audiences.retain(|audience| asked.contains(&audience.as_str()));
        (!audiences.is_empty()).then_some((user, audiences))
    }

    /// The user of a token, and whom the token is for.
    fn known(&self, token: &str) -> Option<(User, Vec<String>)> {
        let options = &self.0.options;
        let here = || vec![tokens::ISSUER.to_owned()];
        if options.tokens.iter().any(|known| known == token) {
            return Some((User::admin(), here()));
        }
        if let Some((_, user)) = options.users.iter().find(|(known, _)| known == token) {
            return Some((user.clone().authenticated(), here()));
        }
        let claims = self.0.access.signer.as_ref()?.verify(token, self.now())?;
        let accounts = resource::by_qualified("serviceaccounts")?;
        let account = self.get(Target::new(accounts, &claims.namespace, &claims.name)).ok()?.value();
        if meta_text(&account, "uid") != claims.uid || account["metadata"].get("deletionTimestamp").is_some() {
            return None;
        }
        let user = User { uid: claims.uid, ..User::of_service_account(&claims.namespace, &claims.name) };
        Some((user, claims.aud))
    }

    /// A token for a service account that is there, for the audiences (the API itself if none is given).
    pub(crate) fn sign_token(
        &self,
        account: &Value,
        audiences: Vec<String>,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<String> {
        let audiences = if audiences.is_empty() { vec![tokens::ISSUER.to_owned()] } else { audiences };
        let of = |member| meta_text(account, member);
        let [a, b] = self.random();
        let account = [of("namespace"), of("name"), of("uid")];
        Some(self.0.access.signer.as_ref()?.sign(account, now, until, audiences, format!("{a:016x}{b:016x}")))
    }

    /// The user that `Impersonate-User` and `Impersonate-Group` name, if the one who asks may act as them.
    fn impersonated(&self, user: User, headers: &HeaderMap) -> Result<User, ApiError> {
        let all = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.map(str::to_owned).filter(|value| !value.is_empty()).collect()
        };
        let (name, mut groups) = (all("impersonate-user").into_iter().next(), all("impersonate-group"));
        let Some(name) = name else {
            if groups.is_empty() {
                return Ok(user);
            }
            let text = "requested [{Group    }] without impersonating a user";
            return Err(ApiError::new(500, "InternalError", format!("Internal error occurred: {text}")));
        };
        let wanted = User::new(&name, &[]);
        let act_as = |resource: &str, namespace: &str, name: &str| Attributes {
            verb: "impersonate".to_owned(),
            about: About::Resource {
                group: String::new(),
                resource: resource.to_owned(),
                subresource: String::new(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
        };
        match wanted.service_account() {
            Some((namespace, account)) => {
                self.permit(&user, &act_as("serviceaccounts", namespace, account))?;
                if groups.is_empty() {
                    groups = User::of_service_account(namespace, account).groups;
                    groups.pop();
                } else {
                    self.permit_groups(&user, &groups, act_as)?;
                }
            }
            None => {
                self.permit(&user, &act_as("users", "", &name))?;
                self.permit_groups(&user, &groups, act_as)?;
            }
        }
        let wanted = User { groups, ..wanted };
        Ok(if name == ANONYMOUS { User::anonymous() } else { wanted.authenticated() })
    }

    fn permit_groups(
        &self,
        user: &User,
        groups: &[String],
        act_as: impl Fn(&str, &str, &str) -> Attributes,
    ) -> Result<(), ApiError> {
        groups.iter().try_for_each(|group| self.permit(user, &act_as("groups", "", group)))
    }

    fn permit(&self, user: &User, asked: &Attributes) -> Result<(), ApiError> {
        let decision = self.authorize(user, asked);
        if decision.allowed {
            return Ok(());
        }
        tracing::debug!(user = user.name, ?asked, reason = decision.reason, "forbidden");
        Err(asked.forbidden(user, &decision.reason))
    }

    /// Whether a user may do something.
    #[must_use]
    pub fn authorize(&self, user: &User, asked: &Attributes) -> Decision {
        let privileged = user.groups.iter().any(|group| group == MASTERS);
        match self.0.options.authorization {
            AuthorizationMode::AlwaysAllow => Decision { allowed: true, reason: String::new() },
            AuthorizationMode::Rbac if privileged => Decision { allowed: true, reason: String::new() },
            AuthorizationMode::Rbac => self.policy().1.decide(user, asked),
        }
    }

    /// The rules that hold for a user in a namespace.
    pub(crate) fn rules_of(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let all = |rule: Rule| Rule { verbs: vec!["*".to_owned()], ..rule };
        let star = || vec!["*".to_owned()];
        match self.0.options.authorization {
            AuthorizationMode::AlwaysAllow => vec![
                all(Rule { api_groups: star(), resources: star(), ..Rule::default() }),
                all(Rule { non_resource_urls: star(), ..Rule::default() }),
            ],
            AuthorizationMode::Rbac => self.policy().1.rules_of(user, namespace).into_iter().cloned().collect(),
        }
    }

    /// Roles and bindings as they are; read again only when one of them has changed.
    fn policy(&self) -> Arc<([u64; 4], Policy)> {
        let revisions = rbac::RESOURCES
            .map(|name| resource::by_qualified(name).map_or(0, |resource| self.store().revision_of(resource)));
        let known = Arc::clone(&self.0.access.policy.read().unwrap_or_else(PoisonError::into_inner));
        if known.0 == revisions {
            return known;
        }
        // What is written meanwhile raises a revision again, so that it is read by the next request.
        let new = Arc::new((revisions, Policy::read(self)));
        *self.0.access.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        new
    }
}

/// The bearer token that a request carries.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}
