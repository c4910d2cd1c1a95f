//! [`Traces`]: each attempt at scheduling as spans for an OpenTelemetry collector, if the program is built with the feature `otel`
//! and the environment names a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`). Without the feature nothing of it is there.
//!
//! A trace is one attempt: `schedule` from when the pod was first seen waiting, in it `decide` and `bind`.

use augur_core::object::Pod;
use tokio::time::Instant;

/// An attempt that is over.
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "the feature reads it"))]
pub struct Attempt<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The node, if one was found.
    pub node: Option<&'a str>,
    /// When the pod was first seen waiting, if it was.
    pub since: Option<Instant>,
    /// From when to when its node was looked for.
    pub decided: (Instant, Instant),
    /// How often its node was looked for, where that is known.
    pub attempts: Option<u32>,
    /// Why it is not bound now.
    pub error: Option<&'a str>,
}

/// Where spans go. Telling never waits: what a collector does not take in time is dropped.
#[derive(Default)]
pub struct Traces {
    #[cfg(feature = "otel")]
    exporter: Option<otel::Exporter>,
}

impl Traces {
    /// To the collector that the environment names, if any.
    ///
    /// # Errors
    /// When the environment's settings cannot be used; the message names the variable.
    #[cfg_attr(not(feature = "otel"), expect(clippy::unnecessary_wraps, reason = "the feature can fail"))]
    pub fn from_env() -> anyhow::Result<Traces> {
        Ok(Traces {
            #[cfg(feature = "otel")]
            exporter: otel::Exporter::from_env()?,
        })
    }

    /// Tells of an attempt that ends now.
    pub fn tell(&self, attempt: &Attempt<'_>) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = &self.exporter {
            exporter.tell(attempt);
        }
        #[cfg(not(feature = "otel"))]
        let _ = (self, attempt);
    }
}

#[cfg(feature = "otel")]
mod otel {
    use std::time::{Duration, SystemTime};

    use anyhow::Context as _;
    use async_trait::async_trait;
    use http_body_util::{BodyExt, Full, Limited};
    use hyper_util::client::legacy::{Client, connect::HttpConnector};
    use hyper_util::rt::TokioExecutor;
    use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider as _};
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
    use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
    use tokio::runtime::Handle;

    use super::{Attempt, Instant};

    /// Of OpenTelemetry's specification of exporters.
    const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

    /// How long a collector may take for a batch.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// The most that is read of a collector's answer.
    const ANSWER_LIMIT: usize = 64 * 1024;

    /// Sends spans in batches on a thread of its own; what waits is sent when this is dropped.
    pub struct Exporter {
        tracer: SdkTracer,
        provider: SdkTracerProvider,
    }

    impl Exporter {
        pub fn from_env() -> anyhow::Result<Option<Exporter>> {
            let named = ENDPOINTS.iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
            let Some((name, endpoint)) = named.filter(|(_, endpoint)| !endpoint.is_empty()) else { return Ok(None) };
            if !endpoint.starts_with("http://") {
                anyhow::bail!("{name}={endpoint}: spans go over plain HTTP; name a collector as http://HOST:4318");
            }
            let exporter = SpanExporter::builder()
                .with_http()
                .with_http_client(Post::new())
                .build()
                .with_context(|| format!("{name}={endpoint} names no collector"))?;
            Ok(Some(Exporter::new(exporter)))
        }

        fn new(exporter: SpanExporter) -> Exporter {
            let resource = Resource::builder().with_service_name("augur-scheduler");
            let resource = resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
            let provider =
                SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
            Exporter { tracer: provider.tracer("augur"), provider }
        }

        pub fn tell(&self, attempt: &Attempt<'_>) {
            let (now, clock) = (Instant::now(), SystemTime::now());
            let at = |instant: Instant| clock - now.saturating_duration_since(instant);
            let (began, decided) = attempt.decided;
            let pod = attempt.pod;
            let mut attributes = vec![
                KeyValue::new("k8s.namespace.name", pod.namespace.to_string()),
                KeyValue::new("k8s.pod.name", pod.name.to_string()),
                KeyValue::new("k8s.pod.uid", pod.uid.to_string()),
                KeyValue::new("augur.scheduler", pod.spec.scheduler_name.to_string()),
            ];
            attributes.extend(attempt.attempts.map(|attempts| KeyValue::new("augur.attempts", i64::from(attempts))));
            attributes.extend(attempt.node.map(|node| KeyValue::new("k8s.node.name", node.to_owned())));
            let span = self.tracer.span_builder("schedule").with_kind(SpanKind::Internal).with_attributes(attributes);
            let span = span.with_start_time(at(attempt.since.unwrap_or(began))).start(&self.tracer);
            let parent = Context::new().with_span(span);
            let child = |name: &'static str, from: Instant, to: Instant| {
                let part = self.tracer.span_builder(name).with_start_time(at(from));
                part.start_with_context(&self.tracer, &parent).end_with_timestamp(at(to));
            };
            child("decide", began, decided);
            if attempt.node.is_some() {
                child("bind", decided, now);
            }
            if let Some(error) = attempt.error {
                parent.span().set_status(Status::error(error.to_owned()));
            }
            parent.span().end_with_timestamp(clock);
        }
    }

    impl Drop for Exporter {
        fn drop(&mut self) {
            if let Err(error) = self.provider.shutdown() {
                tracing::warn!(%error, "the last spans were not sent");
            }
        }
    }

    /// The way to the collector: requests run on the program's runtime, for the exporter's thread has none.
    #[derive(Debug)]
    struct Post {
        client: Client<HttpConnector, Full<Bytes>>,
        runtime: Handle,
    }

    impl Post {
        fn new() -> Post {
            Post { client: Client::builder(TokioExecutor::new()).build_http(), runtime: Handle::current() }
        }
    }

    #[async_trait]
    impl HttpClient for Post {
        async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let client = self.client.clone();
            let post = async move {
                let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
                let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
                Ok(Response::from_parts(head, body))
            };
            self.runtime.spawn(async { tokio::time::timeout(TIMEOUT, post).await }).await??
        }
    }

    #[cfg(test)]
    mod tests {
        use std::sync::Arc;

        use augur_core::object::PodSpec;
        use axum::Router;
        use axum::routing::post;
        use tokio::sync::mpsc;

        use super::*;
        use crate::engine::traces::Traces;

        #[tokio::test(flavor = "multi_thread")]
        async fn a_collector_is_told_of_an_attempt() {
            let (tell, mut told) = mpsc::unbounded_channel();
            let collector = post(move |body: Bytes| {
                let _ = tell.send(body);
                std::future::ready(())
            });
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async { axum::serve(listener, Router::new().route("/v1/traces", collector)).await });

            let exporter = SpanExporter::builder().with_http().with_http_client(Post::new());
            let exporter =
                opentelemetry_otlp::WithExportConfig::with_endpoint(exporter, format!("http://{address}/v1/traces"));
            let traces = Traces { exporter: Some(Exporter::new(exporter.build().unwrap())) };
            let spec = PodSpec { scheduler_name: "augur".into(), ..PodSpec::default() };
            let pod = augur_core::object::Pod::new("u-1", "shop", "web-1", Arc::new(spec));
            let now = Instant::now();
            let (node, error) = (Some("node-7"), Some("the API server was away"));
            traces.tell(&Attempt { pod: &pod, node, since: Some(now), decided: (now, now), attempts: Some(2), error });
            tokio::task::spawn_blocking(move || drop(traces)).await.unwrap();
            // Text of a protobuf message is there as it is.
            let body = told.recv().await.unwrap();
            let has = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
            for text in ["augur-scheduler", "schedule", "decide", "bind", "web-1", "node-7", "the API server was away"]
            {
                assert!(has(text), "{text}");
            }
        }
    }
}
