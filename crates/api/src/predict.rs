//! `POST /predict` and `POST /api/v1/predict`: one dry run, two envelopes.

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::backend::{PodQuery, PodSource};
use crate::dto::Prediction;
use crate::error::ApiError;
use crate::service::Service;

/// Which pod to predict for.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PredictBody {
    /// Name of the pod.
    pub pod_name: String,
    /// Namespace of the pod; `default` when left out.
    #[serde(default)]
    pub pod_namespace: Option<String>,
    /// The same, under the name that the scheduler service has for it.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its PodSpec; fields that are not known are ignored. The scheduler service takes the pod of that name from the
    /// cluster when it is left out.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub pod_spec: Option<Box<RawValue>>,
}

impl PredictBody {
    /// The question for the engine.
    pub(crate) fn query(self, spec_required: bool, record: bool) -> Result<PodQuery, ApiError> {
        let missing = |field: &str, why: &str| {
            ApiError::unprocessable("invalid_body", format!("{field}: {why}"))
                .with(serde_json::json!({ "field": field }))
        };
        if self.pod_name.is_empty() {
            return Err(missing("pod_name", "must not be empty"));
        }
        let source = match self.pod_spec {
            Some(spec) if spec.get().starts_with('{') => PodSource::Spec(spec),
            Some(_) => return Err(missing("pod_spec", "must be an object")),
            None if spec_required => return Err(missing("pod_spec", "is required")),
            None => PodSource::Cluster,
        };
        let namespace = self.pod_namespace.or(self.namespace).filter(|n| !n.is_empty());
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        Ok(PodQuery { namespace, name: self.pod_name, source, record })
    }
}

impl Service {
    /// Asks the engine.
    pub async fn predict(&self, query: PodQuery) -> Result<Prediction, ApiError> {
        self.backend.predict(query).await
    }
}
