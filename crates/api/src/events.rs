//! `GET /api/v1/events`: decisions and outcomes as server-sent events.

use augur_history::{HistoryEvent, HistoryHandle};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::dto::{DecisionView, OutcomeView};
use crate::error::ApiError;

/// Events that may wait for a slow client: half a second of full speed. What comes beyond is dropped for this client, and
/// it is told how many were.
const WAITING: usize = 1_024;

#[derive(Serialize)]
struct Missed {
    missed: u64,
}

/// Follows history until the client goes away.
pub(crate) fn stream(history: &HistoryHandle) -> Result<Response, ApiError> {
    let (sender, receiver) = mpsc::channel::<Event>(WAITING);
    let mut missed = 0u64;
    let subscribed = history.subscribe(move |event| {
        if missed > 0
            && let Ok(event) = Event::default().event("missed").json_data(Missed { missed })
            && sender.try_send(event).is_ok()
        {
            missed = 0;
        }
        let event = match event {
            HistoryEvent::Decision(record) => {
                Event::default().event("decision").json_data(DecisionView::new(record, None))
            }
            HistoryEvent::Outcome(outcome) => Event::default().event("outcome").json_data(OutcomeView::from(outcome)),
        };
        // Views consist of strings and numbers, which always serialise.
        let Ok(event) = event else { return true };
        match sender.try_send(event) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                missed += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    });
    if !subscribed {
        return Err(ApiError::unavailable("history_busy", "history is busy; connect again"));
    }
    let events = futures::stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}
