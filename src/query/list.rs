//! The envelope of lists, and JSON as a response.

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::Problem;

/// A page of a list.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// The page.
    pub data: Vec<T>,
    /// How many there are in all.
    pub total: u64,
    /// Most of a page.
    pub limit: usize,
    /// How many were left out.
    pub offset: usize,
    /// Give this as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// One page of a list that is all there; its cursors are offsets ([`super::params::Params::start`]).
    pub fn cut(all: Vec<T>, limit: usize, offset: usize) -> List<T> {
        let total = all.len() as u64;
        let data: Vec<T> = all.into_iter().skip(offset).take(limit).collect();
        let next = offset + data.len();
        let next_cursor = ((next as u64) < total && !data.is_empty()).then(|| next.to_string());
        List { data, total, limit, offset, next_cursor }
    }
}

/// A value as a response.
pub fn json<T: Serialize>(value: &T) -> Response {
    match bytes(value) {
        Ok(body) => body_of(body),
        Err(problem) => problem.into_response(),
    }
}

/// A value as JSON.
pub fn bytes<T: Serialize>(value: &T) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "a response cannot be written as JSON");
        Problem::internal()
    })
}

/// JSON that is written already, as a response.
pub fn body_of(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}
