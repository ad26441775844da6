//! Health, readiness, version, metrics: what probes and scrapers ask for.

use axum::Json;
use axum::extract::State as From;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::State;

/// Health in the shape that Kite's clients read.
#[utoipa::path(get, path = "/api/v1/health", tag = "status", responses((status = 200), (status = 503)))]
pub async fn health(From(state): From<State>) -> Response {
    let started = std::time::Instant::now();
    let issues = state.reader.catalog().issues();
    let why_not = state.readiness.why_not();
    let took = started.elapsed().as_secs_f64();
    let up = why_not.is_none();
    let word = |up: bool| if up { "UP" } else { "DOWN" };
    let progress = state.reader.progress().reached;
    let gap: Option<Value> = state.readiness.missing().map(|(from, to)| json!({ "from": from, "to": to }));
    let body = json!({
        "status": word(up),
        "message": if up { "All systems operational" } else { "One or more components are unhealthy" },
        "timestamp": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "components": {
            "api": { "status": "UP", "message": "answering", "details": { "version": env!("CARGO_PKG_VERSION") } },
            "database": {
                "status": "UP", "message": "reading",
                "details": {
                    "connection_status": "embedded", "response_time_seconds": took,
                    "open_connections": 1, "idle_connections": 0, "max_open_connections": 1,
                    "issues": issues, "events": state.reader.journal_len(), "parked": state.reader.parked_count(),
                },
            },
            "stream": {
                "status": word(up),
                "message": why_not.unwrap_or_else(|| "folding".into()),
                "details": {
                    "stream": progress.as_ref().map(|r| r.stream.name.clone()),
                    "sequence": progress.as_ref().map(|r| r.sequence), "missed": gap,
                },
            },
            "response_time": { "status": "UP", "message": "measured", "details": { "seconds": took } },
        },
    });
    let status = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// Which Shipwatch this is.
#[utoipa::path(get, path = "/api/v1/version", tag = "status", responses((status = 200)))]
pub async fn version() -> Json<Value> {
    Json(json!({
        "name": "Shipwatch",
        "description": env!("CARGO_PKG_DESCRIPTION"),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "status", responses((status = 200)))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// The fold runs.
#[utoipa::path(get, path = "/readyz", tag = "status", responses((status = 200), (status = 503)))]
pub async fn readyz(From(state): From<State>) -> Response {
    match state.readiness.why_not() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

/// For Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "status", responses((status = 200)))]
pub async fn metrics(From(state): From<State>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render()).into_response()
}
