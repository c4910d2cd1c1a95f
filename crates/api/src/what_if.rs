//! `POST /api/v1/what-if` and the outlook of one pod: questions that are answered on a copy of the cluster.

use axum::extract::{Path, Request, State};
use axum::response::Response;

use crate::dto::{MOST_PODS, Outlook, WhatIfAnswer, WhatIfBody};
use crate::error::{ApiError, ErrorBody};
use crate::service::{BODY_LIMIT, Shared, body, json};

/// Where many pods would go, and what draining nodes would do. A dry run on a copy of the cluster: nothing is changed.
#[utoipa::path(post, path = "/api/v1/what-if", tag = "predict", request_body = WhatIfBody,
    responses((status = 200, body = WhatIfAnswer), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn what_if(State(service): Shared, request: Request) -> Result<Response, ApiError> {
    let question: WhatIfBody = body(request, BODY_LIMIT).await?;
    if question.workloads.is_empty() && question.drain.is_empty() {
        let message = "nothing is asked: name workloads, or nodes to drain";
        return Err(ApiError::unprocessable("invalid_body", message));
    }
    let pods: u64 = question.workloads.iter().map(|workload| u64::from(workload.replicas)).sum();
    if pods > u64::from(MOST_PODS) {
        let message = format!("{pods} pods are asked for; at most {MOST_PODS} are placed in one dry run");
        return Err(ApiError::unprocessable("too_many_pods", message));
    }
    let answer = service.backend.what_if(question).await?;
    json(&answer, 1_024 + 256 * answer.pods.len() + 256 * answer.nodes.len())
}

/// Where a pod would go if it were placed now, what keeps it from each node, and what would change that. Binds nothing.
#[utoipa::path(get, path = "/api/v1/pods/{namespace}/{name}/outlook", tag = "decisions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Outlook), (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn outlook(
    State(service): Shared,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let outlook = service.backend.outlook(namespace, name).await?;
    json(&outlook, 1_024 + 512 * outlook.nodes.len())
}
