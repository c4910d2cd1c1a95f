//! HTTP calls between the two services: [`HttpClient`].

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// More of an answer than this is not taken: a model of a few megabytes is the largest.
const LIMIT: usize = 64 << 20;

/// An answer.
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Calls one service. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    token: Option<HeaderValue>,
    timeout: Duration,
}

impl HttpClient {
    /// A client for a service at this address, as in `http://127.0.0.1:5000`, that presents a token if there is one.
    ///
    /// # Errors
    /// When the address is none, or not of plain HTTP.
    pub fn new(url: &str, token: Option<&str>, timeout: Duration) -> anyhow::Result<HttpClient> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            bail!("{url}: must be an http:// URL, as in http://127.0.0.1:5000");
        }
        let token = match token {
            Some(token) => {
                Some(HeaderValue::from_str(&format!("Bearer {token}")).context("the token is no header value")?)
            }
            None => None,
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(HttpClient { client, base: url.trim_end_matches('/').to_owned(), token, timeout })
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Calls a path. `token` goes before the client's own.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, HeaderValue)],
        body: Bytes,
    ) -> anyhow::Result<Answered> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let given = headers.iter().any(|(name, _)| *name == header::AUTHORIZATION);
        if let Some(token) = self.token.as_ref().filter(|_| !given) {
            request = request.header(header::AUTHORIZATION, token);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).with_context(|| format!("{}{path}", self.base))?;
        let url = format!("{}{path}", self.base);
        tokio::time::timeout(self.timeout, async {
            let answer = self.client.request(request).await.with_context(|| format!("no answer from {url}"))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, LIMIT).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("reading the answer of {url}: {error}"))?.to_bytes();
            anyhow::Ok(Answered { status: parts.status, headers: parts.headers, body })
        })
        .await
        .with_context(|| format!("no answer from {url} within {:?}", self.timeout))?
    }
}
