//! A Prometheus-compatible server as a source: [`Prometheus`] asks `/api/v1/query` and `/api/v1/query_range`, nothing else, so
//! that Prometheus, Thanos, Mimir and VictoriaMetrics all do.
//!
//! `usage` makes readings of it, the same as the Metrics API gives; `past` the facts of hours gone by.

mod answer;
mod labels;
mod past;
mod usage;

#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;
use kube::client::Body;
use kube::{Client, Config};

pub use answer::{Answer, Series};
pub use past::{PastHours, PastPod, PastPodEvent, PastPodNews};

/// More of an answer than this is not taken, packed or not: usage of 150,000 containers at one moment is about 30 MB.
const LIMIT: usize = 64 << 20;
/// Characters of an answer that is not understood which an error shows.
const SHOWN: usize = 120;
/// What a form is called.
const FORM: &str = "application/x-www-form-urlencoded";

/// Where and how the server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusOptions {
    /// Its address, with a path where there is one, as in `https://mimir.example.com/prometheus`.
    pub url: String,
    /// The file with the bearer token; read for each request, so that it can be changed at any time.
    pub bearer_token_file: Option<PathBuf>,
    /// The file with the certificates to trust; the system's without.
    pub ca_file: Option<PathBuf>,
    /// Takes any certificate.
    pub insecure_skip_verify: bool,
    /// The tenant of a server that has several, sent as `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// The label that names the node in series of cAdvisor and the node exporter; without, the usual ones are tried.
    pub node_label: Option<String>,
    /// Over how long CPU is averaged: at least twice the scrape interval.
    pub rate_window: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrometheusError {
    /// The settings cannot be used.
    #[error("cannot use {url}: {why}")]
    Settings {
        /// The address.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It did not answer in time.
    #[error("Prometheus did not answer within {0:?}")]
    Slow(Duration),
    /// It cannot be reached.
    #[error("Prometheus cannot be reached: {0}")]
    Unreachable(String),
    /// It refused.
    #[error("Prometheus answered {code}: {message}")]
    Status {
        /// The status code.
        code: u16,
        /// Its words.
        message: String,
    },
    /// It understood, and has no answer.
    #[error("Prometheus could not execute the query ({kind}): {message}")]
    Query {
        /// `bad_data`, `timeout`, `execution`, ….
        kind: String,
        /// Its words.
        message: String,
    },
    /// The answer is too long.
    #[error("the answer of Prometheus is longer than {0} bytes")]
    TooLarge(usize),
    /// The answer is none of the API's.
    #[error("Prometheus answered with something else than its API does: {0}")]
    Malformed(String),
}

impl PrometheusError {
    /// Whether a question about less would be answered.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        match self {
            PrometheusError::TooLarge(_) | PrometheusError::Slow(_) => true,
            // `query processing would load too many samples`, `exceeded maximum resolution of 11,000 points`, the limits of Mimir
            // and VictoriaMetrics: all are about size, and none has a code of its own.
            PrometheusError::Query { kind, message } => {
                kind == "timeout"
                    || ["too many", "maximum", "exceed", "limit"].iter().any(|word| message.contains(word))
            }
            PrometheusError::Status { code, .. } => matches!(code, 413 | 422 | 504),
            _ => false,
        }
    }
}

/// A Prometheus-compatible server. Cheap to clone.
#[derive(Clone)]
pub struct Prometheus {
    client: Client,
    name: Arc<str>,
    token_file: Option<Arc<Path>>,
    tenant: Option<Arc<str>>,
    node_label: Option<Arc<str>>,
    rate_window: Duration,
    timeout: Duration,
}

impl Prometheus {
    /// A connection by these settings; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, or a file cannot be read.
    pub fn new(options: &PrometheusOptions) -> Result<Self, PrometheusError> {
        let refused = |why: String| PrometheusError::Settings { url: options.url.clone(), why };
        let uri: Uri = options.url.parse().map_err(|error| refused(format!("it is not a URL ({error})")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
            return Err(refused("it must begin with http:// or https:// and name a host".to_owned()));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refused("credentials belong into bearer_token_file, not into the URL".to_owned()));
        }
        for path in options.bearer_token_file.iter().chain(&options.ca_file) {
            std::fs::File::open(path).map_err(|error| refused(format!("cannot read {}: {error}", path.display())))?;
        }
        if uri.scheme_str() == Some("http") && options.bearer_token_file.is_some() {
            tracing::warn!(url = %options.url, "the bearer token for Prometheus goes over plain HTTP");
        }
        let name = format!("Prometheus at {}", options.url);
        let mut config = Config::new(uri);
        config.root_cert_file.clone_from(&options.ca_file);
        config.accept_invalid_certs = options.insecure_skip_verify;
        // Prometheus has no roles.
        let client = crate::client::build(config, options.timeout, &crate::Denials::default())
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self::over(client, &name, options))
    }

    /// A connection through a client that is there already, under a name for messages.
    fn over(client: Client, name: &str, options: &PrometheusOptions) -> Self {
        Prometheus {
            client,
            name: name.into(),
            token_file: options.bearer_token_file.as_deref().map(Into::into),
            tenant: options.tenant.as_deref().map(Into::into),
            node_label: options.node_label.as_deref().map(Into::into),
            rate_window: options.rate_window,
            timeout: options.timeout,
        }
    }

    /// Its name for messages, with its address.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What holds at the server's own present.
    ///
    /// # Errors
    /// See [`PrometheusError`].
    pub async fn query(&self, promql: &str) -> Result<Answer, PrometheusError> {
        self.ask("query", form(&[("query", promql), ("timeout", &seconds(self.timeout))])).await
    }

    /// What held from `start` to `end`, both included, at every `step`.
    ///
    /// # Errors
    /// See [`PrometheusError`].
    pub async fn query_range(
        &self,
        promql: &str,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
    ) -> Result<Answer, PrometheusError> {
        let at = |at: Timestamp| format!("{:.3}", at.as_millisecond() as f64 / 1000.0);
        let pairs = [
            ("query", promql),
            ("start", &at(start)),
            ("end", &at(end)),
            ("step", &seconds(step)),
            ("timeout", &seconds(self.timeout)),
        ];
        self.ask("query_range", form(&pairs)).await
    }

    async fn ask(&self, endpoint: &str, form: String) -> Result<Answer, PrometheusError> {
        let asked = async {
            let (status, text) = self.send(Method::POST, endpoint, &form).await?;
            match status {
                // A proxy that lets nothing but reading through.
                StatusCode::METHOD_NOT_ALLOWED => self.send(Method::GET, endpoint, &form).await,
                _ => Ok((status, text)),
            }
        };
        let (status, text) =
            tokio::time::timeout(self.timeout, asked).await.map_err(|_| PrometheusError::Slow(self.timeout))??;
        match answer::read(&text) {
            Err(PrometheusError::Malformed(_)) if !status.is_success() => {
                Err(PrometheusError::Status { code: status.as_u16(), message: shown(&text) })
            }
            Ok(_) if !status.is_success() => {
                Err(PrometheusError::Status { code: status.as_u16(), message: "without a reason".to_owned() })
            }
            read => read,
        }
    }

    /// What its file holds now, as a header.
    async fn token(&self) -> Result<Option<HeaderValue>, PrometheusError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let refused = |why: String| PrometheusError::Settings { url: path.display().to_string(), why };
        let token = tokio::fs::read_to_string(path).await.map_err(|error| refused(error.to_string()))?;
        let header = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut header = header.map_err(|_| refused("a token has no such characters".to_owned()))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    async fn send(&self, method: Method, endpoint: &str, form: &str) -> Result<(StatusCode, Vec<u8>), PrometheusError> {
        let unreachable = |error: &dyn std::error::Error| PrometheusError::Unreachable(chain(error));
        let path = format!("/api/v1/{endpoint}");
        let mut request = match method {
            Method::GET => Request::get(format!("{path}?{form}")),
            _ => Request::post(path).header(header::CONTENT_TYPE, FORM),
        }
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "gzip");
        if let Some(tenant) = &self.tenant {
            request = request.header("X-Scope-OrgID", &**tenant);
        }
        if let Some(token) = self.token().await? {
            request = request.header(header::AUTHORIZATION, token);
        }
        let body = if method == Method::GET { Vec::new() } else { form.as_bytes().to_vec() };
        let request = request.body(Body::from(body)).map_err(|error| unreachable(&error))?;
        let response = self.client.send(request).await.map_err(|error| unreachable(&error))?;
        let (parts, body) = response.into_parts();
        let bytes = match Limited::new(body, LIMIT).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(PrometheusError::TooLarge(LIMIT));
            }
            Err(error) => return Err(unreachable(&*error)),
        };
        Ok((parts.status, unpacked(&parts.headers, &bytes)?))
    }
}

/// The bytes that were sent, unpacked if they are packed, whether that was announced or not.
fn unpacked(headers: &HeaderMap, bytes: &[u8]) -> Result<Vec<u8>, PrometheusError> {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let packed = bytes.starts_with(&[0x1f, 0x8b]);
    match encoding {
        "" | "identity" | "gzip" | "x-gzip" if !packed => Ok(bytes.to_vec()),
        "" | "identity" | "gzip" | "x-gzip" => {
            let mut text = Vec::new();
            MultiGzDecoder::new(bytes)
                .take(LIMIT as u64 + 1)
                .read_to_end(&mut text)
                .map_err(|error| PrometheusError::Malformed(format!("it cannot be unpacked ({error})")))?;
            if text.len() > LIMIT { Err(PrometheusError::TooLarge(LIMIT)) } else { Ok(text) }
        }
        other => Err(PrometheusError::Malformed(format!("content encoding {other}, which was not asked for"))),
    }
}

/// An error with all its causes: the outermost one seldom names the reason.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// The beginning of an answer that is not understood.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect()
}

/// A duration as PromQL writes it, to the millisecond.
fn promql(span: Duration) -> String {
    format!("{}ms", span.as_millis().max(1))
}

fn seconds(span: Duration) -> String {
    format!("{:.3}", span.as_secs_f64())
}

/// Pairs as a form.
fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => form.push(char::from(byte)),
                _ => form.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    form
}
