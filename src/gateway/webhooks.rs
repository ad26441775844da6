//! `POST /api/v1/webhooks/<name>-failure` and `<name>-success`: Kite's bodies, and those of any webhook a rule declares.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State as From};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::publish::{Once, publish};
use super::{Refusal, State, body, signature, text};
use crate::domain::event::{self, Event};
use crate::domain::feedback::{Feedback, GATEWAY};
use crate::domain::issue::{Outcome, Scope};
use crate::domain::rules::{RuleSet, Verdict, Webhook};

/// Kite's webhook that says neither failure nor success.
const MINTMAKER: &str = "mintmaker-custom";

/// What a webhook says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failure,
    Success,
}

/// Takes one webhook.
pub async fn take(
    From(state): From<State>,
    hook: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Path(hook) = hook.map_err(|e| Refusal::bad("bad path", e.body_text()))?;
    let rules = state.options.rules.borrow().clone();
    let (webhook, kind) = find(&rules, &hook)?;
    let _place = state.place()?;
    let bytes = body::read(&headers, body, state.options.max_body).await?;
    signature::check(webhook, &state.options.secrets, text(&headers, signature::HEADER)?, &bytes)?;
    let request = Request::read(&bytes)?;
    request.check(webhook, kind, query.as_deref().unwrap_or_default())?;
    let made = Made::new(webhook, kind, &hook, &request, text(&headers, "idempotency-key")?)?;
    made.check(&rules, state.options.event_size)?;
    let feedback = publish(&state, &state.link()?, &made.ty, made.json.clone()).await?;
    let mut response = answer(feedback, &made)?;
    if let Ok(id) = HeaderValue::from_str(&made.id.to_string()) {
        response.headers_mut().insert(HeaderName::from_static("shipwatch-event-id"), id);
    }
    Ok(response)
}

fn find<'r>(rules: &'r RuleSet, hook: &str) -> Result<(&'r Webhook, Kind), Refusal> {
    let (name, kind) = match (hook.strip_suffix("-failure"), hook.strip_suffix("-success")) {
        (Some(name), _) => (name, Kind::Failure),
        (_, Some(name)) => (name, Kind::Success),
        _ if hook == MINTMAKER => (hook, Kind::Failure),
        _ => ("", Kind::Failure),
    };
    let found = rules.webhooks().iter().find(|webhook| *webhook.name == *name);
    found.map(|webhook| (webhook, kind)).ok_or_else(|| {
        let names: Vec<&str> = rules.webhooks().iter().map(|webhook| &*webhook.name).collect();
        let details = format!("there is <name>-failure and <name>-success for {}", names.join(", "));
        Refusal::new(StatusCode::NOT_FOUND, "no such webhook", details)
    })
}

/// The body of a request, read.
struct Request<'b> {
    bytes: &'b Bytes,
    raw: &'b RawValue,
    json: Value,
}

impl<'b> Request<'b> {
    fn read(bytes: &'b Bytes) -> Result<Request<'b>, Refusal> {
        let bad = |e: serde_json::Error| Refusal::bad("Invalid request body", format!("not JSON: {e}"));
        let raw: &RawValue = serde_json::from_slice(bytes).map_err(bad)?;
        let json: Value = serde_json::from_str(raw.get()).map_err(bad)?;
        if json.is_object() {
            return Ok(Request { bytes, raw, json });
        }
        let details = format!("the body is {}, not a JSON object", event::kind(&json));
        Err(Refusal::bad("Invalid request body", details))
    }

    fn namespace(&self) -> &str {
        self.json.get("namespace").and_then(Value::as_str).unwrap_or_default()
    }

    fn check(&self, webhook: &Webhook, kind: Kind, query: &str) -> Result<(), Refusal> {
        let lacking = match kind {
            Kind::Failure => webhook.lacking_for_failure(&self.json),
            Kind::Success => webhook.lacking_for_success(&self.json),
        };
        if !lacking.is_empty() {
            return Err(Refusal::bad("Missing required fields", lacking.join(", ")));
        }
        let wrong = webhook.wrong_kinds(&self.json);
        if !wrong.is_empty() {
            return Err(Refusal::bad("Invalid request body", wrong.join(", ")));
        }
        if let Some(other) = self.json.get("namespace").filter(|n| !n.is_string() && !n.is_null()) {
            let details = format!("namespace is {}, not a string", event::kind(other));
            return Err(Refusal::bad("Invalid request body", details));
        }
        // It would be a namespace of its own beside the one that was meant.
        if self.namespace() != self.namespace().trim() {
            let details = format!("namespace {:?} begins or ends with white space", self.namespace());
            return Err(Refusal::bad("Invalid request body", details));
        }
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == "namespace" && value != self.namespace() {
                let details = format!("?namespace= says {value:?} and the body {:?}", self.namespace());
                return Err(Refusal::bad("Namespaces differ", details));
            }
        }
        Ok(())
    }
}

/// The event made from a request.
struct Made {
    id: Uuid,
    ty: String,
    json: Bytes,
    /// Of the request's body, where a repeat is to be recognised.
    hash: Option<String>,
}

/// Its JSON. Without `time`: it counts from when the stream takes it, so that requests count in the order they came in
/// whatever the clocks of several gateways say.
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: Uuid,
    source: &'static str,
    #[serde(rename = "type")]
    ty: &'a str,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipwatchbodyhash: Option<&'a str>,
    data: &'a RawValue,
}

impl Made {
    fn new(webhook: &Webhook, kind: Kind, hook: &str, of: &Request<'_>, key: Option<&str>) -> Result<Made, Refusal> {
        let Once { id, hash } = Once::of("webhook", &[&webhook.name, of.namespace(), hook], key, of.bytes)?;
        let ty = match kind {
            Kind::Failure => webhook.failure_type(),
            Kind::Success => webhook.success_type(),
        };
        let envelope = Envelope {
            specversion: "1.0",
            id,
            source: GATEWAY,
            ty: &ty,
            datacontenttype: "application/json",
            shipwatchbodyhash: hash.as_deref(),
            data: of.raw,
        };
        let json = serde_json::to_vec(&envelope).map_err(|e| {
            tracing::error!(error = %e, "an event could not be written");
            Refusal::internal()
        })?;
        Ok(Made { id, ty, json: json.into(), hash })
    }

    /// What the fold would park is refused here, so that the caller hears why.
    fn check(&self, rules: &RuleSet, event_size: usize) -> Result<(), Refusal> {
        if self.json.len() > event_size {
            return Err(Refusal::too_large(format!("an event may have {event_size} bytes (limits.eventSize)")));
        }
        let event = Event::from_json(&self.json).map_err(|e| Refusal::bad("Invalid request body", e.to_string()))?;
        match rules.evaluate(&event) {
            Verdict::Broken { reason, .. } => Err(Refusal::bad("Invalid request body", reason.to_string())),
            _ => Ok(()),
        }
    }
}

fn answer(feedback: Option<Feedback>, made: &Made) -> Result<Response, Refusal> {
    let Some(told) = feedback else {
        let message = "The event is stored; what it leads to is not known yet";
        let body = json!({ "status": "accepted", "message": message, "eventId": made.id });
        return Ok((StatusCode::ACCEPTED, Json(body)).into_response());
    };
    if told.repeated && told.body_hash != made.hash {
        let details = "a request with this key, for the same webhook and namespace, had another body";
        return Err(Refusal::new(StatusCode::CONFLICT, "Idempotency-Key was used before", details));
    }
    if told.parked {
        return Err(Refusal::bad("Invalid request body", told.why));
    }
    Ok(Json(told_as_json(told)).into_response())
}

/// Kite's answers.
fn told_as_json(told: Feedback) -> Value {
    let Feedback { outcome, why, scope, issue, resolved, .. } = told;
    match (outcome, issue, scope) {
        (Outcome::Failure | Outcome::Warning, Some(issue), _) => json!({ "status": "success", "issue": issue }),
        (Outcome::Success, _, Some(Scope { resource_type, resource_name, .. })) => {
            let thing = if resource_type == "pipelinerun" { "pipeline" } else { &resource_type };
            let message = format!("Resolved {resolved} issue(s) for {thing} {resource_name}");
            json!({ "status": "success", "message": message })
        }
        (Outcome::Neutral, ..) => json!({ "info": sentence(&why) }),
        _ => json!({ "status": "success", "message": sentence(&why) }),
    }
}

/// With a capital letter at its beginning.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
