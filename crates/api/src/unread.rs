//! Bodies that a handler leaves unread are read to their end before it is answered ([`lend`], [`Rest::read`]).
//!
//! Over HTTP/2 an answer that comes before the end of the request has the server reset the stream, and some clients
//! (curl 7.88) then lose the answer: a refusal for want of a token became "stream error". HTTP/1.1 needs none of this,
//! and there a body that waits for "100 Continue" must not be asked for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use futures::StreamExt;
use http::Version;
use tokio::sync::oneshot;

/// More than this is not read for the sake of an answer; such a stream is reset.
const MOST_BYTES: usize = 1 << 20;
/// Nor is a client waited for any longer.
const LONGEST: Duration = Duration::from_secs(1);

/// A request's body, which comes back when whoever read it lets go of it.
struct Lent {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

/// Takes back what a handler left of a body.
pub(crate) struct Rest(Option<oneshot::Receiver<Body>>);

/// The request with its body lent, and the place where its rest comes back.
pub(crate) fn lend(request: Request) -> (Request, Rest) {
    if request.version() != Version::HTTP_2 || request.body().is_end_stream() {
        return (request, Rest(None));
    }
    let (back, rest) = oneshot::channel();
    (request.map(|body| Body::new(Lent { body, back: Some(back) })), Rest(Some(rest)))
}

impl Rest {
    /// Reads what is left, within bounds; to be called when the handler is done.
    pub(crate) async fn read(self) {
        // A handler that still holds the body reads it itself.
        let Some(Ok(body)) = self.0.map(|mut rest| rest.try_recv()) else { return };
        let mut chunks = body.into_data_stream();
        let all = async {
            let mut read = 0;
            while let Some(Ok(chunk)) = chunks.next().await {
                read += chunk.len();
                if read > MOST_BYTES {
                    break;
                }
            }
        };
        // Either way the answer goes out.
        let _ = tokio::time::timeout(LONGEST, all).await;
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(back) = self.back.take()
            && !self.body.is_end_stream()
        {
            // Nobody waits for it if the request was given up.
            let _ = back.send(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::response::IntoResponse;

    use super::*;

    /// A request of `chunks` pieces of 100 kB, and how many of them were asked for.
    fn request(version: Version, chunks: usize) -> (Request, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let pieces = futures::stream::iter(0..chunks).map(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Bytes::from_static(&[0; 100_000]))
        });
        (http::Request::builder().version(version).body(Body::from_stream(pieces)).unwrap(), asked)
    }

    async fn answered_unread(version: Version, chunks: usize) -> usize {
        let (request, asked) = request(version, chunks);
        let (request, rest) = lend(request);
        let _answer = async move { (http::StatusCode::UNAUTHORIZED, request.uri().to_string()).into_response() }.await;
        rest.read().await;
        asked.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn what_is_unread_is_read_over_http_2_only_and_within_bounds() {
        assert_eq!(answered_unread(Version::HTTP_2, 3).await, 3);
        assert_eq!(answered_unread(Version::HTTP_11, 3).await, 0);
        assert_eq!(answered_unread(Version::HTTP_2, 1_000).await, 11);
    }

    #[tokio::test]
    async fn a_body_passes_unchanged() {
        let (request, asked) = request(Version::HTTP_2, 4);
        let (request, rest) = lend(request);
        assert_eq!(axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap().len(), 400_000);
        rest.read().await;
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }
}
