//! OpenAPI 3.1 of both services, and the page that shows it.

use std::sync::OnceLock;

use axum::response::{Html, IntoResponse, Response};
use http::header;
use utoipa::OpenApi;

use crate::{export, extender, learner, model, scheduler, what_if};

#[derive(OpenApi)]
#[openapi(
    info(title = "Augur scheduler", description = "Places pods, and says why."),
    paths(
        scheduler::health,
        scheduler::livez,
        scheduler::readyz,
        scheduler::configz,
        scheduler::prometheus_text,
        scheduler::metrics,
        scheduler::nodes,
        scheduler::node,
        scheduler::predict,
        learner::data_features,
        model::train_from_scheduler,
        scheduler::model_status,
        scheduler::decisions,
        scheduler::decision,
        scheduler::explain,
        scheduler::workloads,
        scheduler::workload,
        scheduler::events,
        scheduler::shadow_report,
        scheduler::usage,
        export::list,
        export::file,
        what_if::what_if,
        what_if::outlook,
        extender::filter,
        extender::prioritize,
        extender::preempt,
        extender::bind,
    )
)]
struct Scheduler;

#[derive(OpenApi)]
#[openapi(
    info(title = "Augur learner", description = "Learns from what became of placements."),
    paths(
        learner::health,
        learner::predict,
        learner::feedback,
        learner::recent_feedback,
        learner::performance,
        learner::metrics,
        model::model_info,
        model::model_snapshot,
        model::models,
        model::promote,
        model::rollback,
        model::train,
        model::online_update,
        model::job,
        learner::data_summary,
        learner::data_features,
        learner::examples,
    )
)]
struct Learner;

fn written(cell: &'static OnceLock<String>, make: impl FnOnce() -> utoipa::openapi::OpenApi) -> Response {
    // The description consists of strings and maps, which always serialise.
    let text = cell.get_or_init(|| make().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// `GET /openapi.json` of the scheduler.
pub(crate) async fn scheduler() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    written(&TEXT, Scheduler::openapi)
}

/// `GET /openapi.json` of the learner.
pub(crate) async fn learner() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    written(&TEXT, Learner::openapi)
}

/// `GET /docs`: the description as a page, without anything from elsewhere.
pub(crate) async fn docs() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

/// `GET /`: sends a browser to the page.
pub(crate) async fn index() -> Response {
    axum::response::Redirect::temporary("/docs").into_response()
}
