//! Bearer tokens: those of a file in the format of kube-apiserver's `--token-auth-file`, and those of service accounts, JSON Web
//! Tokens signed with a key that the process makes at start and keeps to itself. Entry points: [`read_token_file`], [`Signer`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::User;

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It is no CSV.
    #[error("token file: {0}")]
    Csv(#[from] csv::Error),
    /// A line is too short.
    #[error(
        "token file, line {line}: must have at least 3 columns (token, user name, user uid), and has {columns}; groups come in a \
         fourth, as in secret,jane,1001,\"dev,ops\""
    )]
    Columns {
        /// The line, from 1.
        line: u64,
        /// What it has.
        columns: usize,
    },
    /// A line has no token.
    #[error("token file, line {line}: the token is empty")]
    Empty {
        /// The line, from 1.
        line: u64,
    },
}

/// Tokens and their users, of lines `token,user,uid` or `token,user,uid,"group1,group2"`.
///
/// # Errors
/// The line that is no such line. A token that comes twice is the later line's.
pub fn read_token_file(text: &str) -> Result<Vec<(String, User)>, TokenFileError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut tokens: Vec<(String, User)> = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let (Some(token), Some(name), Some(uid)) = (record.get(0), record.get(1), record.get(2)) else {
            return Err(TokenFileError::Columns { line, columns: record.len() });
        };
        if token.is_empty() {
            return Err(TokenFileError::Empty { line });
        }
        let groups = record.get(3).unwrap_or_default().split(',').filter(|group| !group.is_empty());
        let user = User { name: name.to_owned(), uid: uid.to_owned(), groups: groups.map(str::to_owned).collect() };
        tokens.retain(|(other, _)| other != token);
        tokens.push((token.to_owned(), user));
    }
    Ok(tokens)
}

/// What a service account's token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    sub: String,
    /// Who may accept it.
    pub(crate) aud: Vec<String>,
    /// The account.
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The account's UID: one that is made anew under the same name is another.
    pub(crate) uid: String,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
    /// Makes two tokens of one second differ.
    jti: String,
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// Who issues tokens, and the audience that the API itself is.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Signs tokens and knows its own signatures.
pub(crate) struct Signer(hmac::Key);

impl Signer {
    /// A signer with a new key; `None` if the system has no randomness.
    pub(crate) fn new() -> Option<Signer> {
        hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new()).ok().map(Signer)
    }

    /// A token for an account, given by namespace, name and UID, that holds from `now` to `until`.
    pub(crate) fn sign(
        &self,
        [namespace, name, uid]: [&str; 3],
        now: Timestamp,
        until: Timestamp,
        audiences: Vec<String>,
        id: String,
    ) -> String {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: User::account_name(namespace, name),
            aud: audiences,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            iat: now.as_second(),
            exp: until.as_second(),
            jti: id,
        };
        // Texts and numbers always serialise.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let tag = hmac::sign(&self.0, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// What a token says that was signed here and has not ended.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let (signed, tag) = token.rsplit_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, signed.as_bytes(), &tag).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        (now.as_second() < claims.exp).then_some(claims)
    }
}
