//! `augur health`: asks a service whether it is well, for health checks in images without a shell.

use std::time::Duration;

use anyhow::{Context, bail};
use http::Uri;
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::cli::HealthArgs;
use crate::output;

/// More of an answer than this is not a health report.
const LIMIT: usize = 1 << 20;

/// Prints the answer; an error unless it is a success.
///
/// # Errors
/// When there is no answer in time, or it tells that the service is not well.
pub async fn run(args: HealthArgs) -> anyhow::Result<()> {
    let uri: Uri = args.url.parse().with_context(|| format!("--url {} is not a URL", args.url))?;
    if uri.scheme_str() != Some("http") {
        bail!("--url {uri}: only http:// is supported, as in http://127.0.0.1:8080/health");
    }
    let (status, body) = fetch(&uri, Duration::from_secs(args.timeout)).await?;
    output::line(&String::from_utf8_lossy(&body))?;
    if !status.is_success() {
        bail!("{uri} answered {status}");
    }
    Ok(())
}

/// What a service answers, whatever its status.
///
/// # Errors
/// When there is no answer in time, or a longer one than such answers are.
pub async fn fetch(uri: &Uri, timeout: Duration) -> anyhow::Result<(http::StatusCode, bytes::Bytes)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<http_body_util::Empty<bytes::Bytes>>();
    tokio::time::timeout(timeout, async {
        let answer = client.get(uri.clone()).await.with_context(|| format!("no answer from {uri}"))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LIMIT).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("reading the answer of {uri}: {error}"))?.to_bytes();
        anyhow::Ok((status, body))
    })
    .await
    .with_context(|| format!("no answer from {uri} within {} s", timeout.as_secs()))?
}
