//! Refusals as JSON: `{"error": "…", "details": "…"}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::bus;

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    error: String,
    details: String,
    /// Seconds after which the same request may fare better.
    again_after: Option<u16>,
}

impl Refusal {
    /// With this status: what, in a few words, and what would be right.
    pub fn new(status: StatusCode, error: impl Into<String>, details: impl Into<String>) -> Refusal {
        Refusal { status, error: error.into(), details: details.into(), again_after: None }
    }

    /// 400.
    pub fn bad(error: impl Into<String>, details: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, error, details)
    }

    /// 413.
    pub fn too_large(details: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large", details)
    }

    /// 503: the request may be sent again after some seconds.
    pub fn later(seconds: u16, error: impl Into<String>, details: impl Into<String>) -> Refusal {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, details);
        Refusal { again_after: Some(seconds), ..refusal }
    }

    /// Its status, what, and what would be right.
    pub fn parts(&self) -> (StatusCode, &str, &str) {
        (self.status, &self.error, &self.details)
    }

    /// 500, which is a defect.
    pub fn internal() -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", "the log of the service says more")
    }
}

/// The event is not known to be in the stream, and the caller must hear it.
impl From<bus::Error> for Refusal {
    fn from(error: bus::Error) -> Refusal {
        match error {
            bus::Error::TooLarge { .. } => Refusal::too_large(error.to_string()),
            bus::Error::Settings(why) => Refusal::bad("Not a CloudEvent that can be published", why),
            other => {
                tracing::warn!(error = %other, "an event could not be stored");
                Refusal::later(5, "The event could not be stored", other.to_string())
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.error, "details": self.details }));
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.again_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
