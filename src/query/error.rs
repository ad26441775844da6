//! Errors as JSON: `{"error": "…", "details": "…"}`.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    #[serde(skip, default)]
    status: Status,
    /// What, in a few words.
    pub error: String,
    /// Which parameter or thing, and what would be right.
    pub details: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status(StatusCode);

impl Default for Status {
    fn default() -> Status {
        Status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>, details: impl Into<String>) -> Problem {
        Problem { status: Status(status), error: error.into(), details: details.into() }
    }

    /// 400, naming the parameter.
    pub fn parameter(name: &str, details: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, format!("bad value of parameter {name:?}"), details)
    }

    /// 400.
    pub fn bad(error: impl Into<String>, details: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, error, details)
    }

    /// 404.
    pub fn not_found(error: impl Into<String>, details: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, error, details)
    }

    /// 403.
    pub fn denied(details: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "Access denied to this namespace", details)
    }

    /// 410.
    pub fn gone(error: impl Into<String>, details: impl Into<String>) -> Problem {
        Problem::new(StatusCode::GONE, error, details)
    }

    /// 503, for now.
    pub fn unavailable(error: impl Into<String>, details: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, details)
    }

    /// 503, because others are served.
    pub fn late() -> Problem {
        let details = "the service is busy; ask again, or for less";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long", details)
    }

    /// 500, which is a defect or a broken disk.
    pub fn internal() -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", "the log of the service says more")
    }
}

impl From<crate::store::Error> for Problem {
    fn from(error: crate::store::Error) -> Problem {
        tracing::error!(%error, "a query could not read the store");
        Problem::internal()
    }
}

impl From<crate::domain::lookup::Unreadable> for Problem {
    fn from(error: crate::domain::lookup::Unreadable) -> Problem {
        tracing::error!(%error, "a query could not read the store");
        Problem::internal()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status.0, Json(self)).into_response()
    }
}

/// The `{id}` of a path. axum's own extractor answers what is no UTF-8 in plain text.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Id, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        path.map(|path| Id(path.0)).map_err(|e| Problem::bad("bad path", e.to_string()))
    }
}

/// 405 for everything that is not a read.
pub async fn not_allowed() -> impl IntoResponse {
    let problem =
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", "this endpoint is read-only: GET or HEAD");
    ([(header::ALLOW, HeaderValue::from_static("GET, HEAD"))], problem)
}
