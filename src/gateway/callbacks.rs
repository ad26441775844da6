//! `POST /api/v1/callbacks/<triggeredid>`: the receiver of a webhook says that its task is done (contract sections 7 and 11).
//!
//! The token in the address is all it needs. Whether the trigger waits is known to the fold alone, so it is asked first
//! ([`crate::domain::waiting`]); only then is anything published. A GET decides nothing: mail programs and chats open links.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State as From};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::publish::{Once, publish};
use super::{Link, Refusal, State, body, page, text};
use crate::domain::call::{CALLBACK, Callback};
use crate::domain::decision::{ResultWord, Status};
use crate::domain::event;
use crate::domain::feedback::{BODY_HASH, GATEWAY, Taken};
use crate::domain::waiting::{ASK, Question, Task, Waits};

/// What a body may say.
const FIELDS: [&str; 4] = ["result", "status", "message", "data"];

/// Takes one answer of a receiver.
pub async fn take(
    From(state): From<State>,
    trigger: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Path(trigger) = trigger.map_err(|e| Refusal::bad("bad path", e.body_text()))?;
    let _place = state.place()?;
    let bytes = body::read(&headers, body, state.options.max_body).await?;
    let callback = read(&bytes)?;
    let key = text(&headers, "idempotency-key")?;
    let (task, taken) = answer(&state, &trigger, query.as_deref(), callback, key, &bytes).await?;
    Ok(match taken {
        Some(()) => {
            let message = format!("{} of {} is finished", task.task, place(&task));
            Json(json!({ "status": "success", "message": message })).into_response()
        }
        None => {
            let message = "The answer is stored; the sequence will have it soon";
            (StatusCode::ACCEPTED, Json(json!({ "status": "accepted", "message": message }))).into_response()
        }
    })
}

/// Shows the page on which a person confirms.
pub async fn page(
    From(state): From<State>,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    let shown = async {
        let (trigger, result) = path_of(path)?;
        let _place = state.place()?;
        match ask(&state, &state.link()?, &trigger, query.as_deref()).await? {
            Waits::Yes(task) => Ok(page::question(&task, result)),
            waits => Err(refused(&waits)),
        }
    };
    shown.await.unwrap_or_else(|refusal| page::refusal(&refusal))
}

/// Takes what a person has confirmed.
pub async fn take_from_page(
    From(state): From<State>,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = async {
        let (trigger, result) = path_of(path)?;
        let _place = state.place()?;
        let bytes = body::read(&headers, body, state.options.max_body).await?;
        let said =
            form_urlencoded::parse(&bytes).find(|(name, _)| name == "message").map(|(_, said)| said.trim().to_owned());
        let callback =
            Callback { result: Some(result), message: said.filter(|said| !said.is_empty()), ..Callback::default() };
        let (task, _) = answer(&state, &trigger, query.as_deref(), callback, None, &bytes).await?;
        Ok(page::taken(&task, result))
    };
    taken.await.unwrap_or_else(|refusal| page::refusal(&refusal))
}

fn path_of(path: Result<Path<(String, String)>, PathRejection>) -> Result<(String, ResultWord), Refusal> {
    let Path((trigger, result)) = path.map_err(|e| Refusal::bad("bad path", e.body_text()))?;
    match result.as_str() {
        "pass" => Ok((trigger, ResultWord::Pass)),
        "fail" => Ok((trigger, ResultWord::Fail)),
        other => {
            Err(Refusal::new(StatusCode::NOT_FOUND, "no such page", format!("{other:?} is neither pass nor fail")))
        }
    }
}

/// Reads a body. None at all is a pass, as Keptn's own tools take it.
fn read(bytes: &Bytes) -> Result<Callback, Refusal> {
    let bad = |details: String| Refusal::bad("Invalid request body", details);
    if bytes.trim_ascii().is_empty() {
        return Ok(Callback::default());
    }
    let body: Value = serde_json::from_slice(bytes).map_err(|e| bad(format!("not JSON: {e}")))?;
    let Value::Object(body) = body else {
        return Err(bad(format!("the body is {}, not a JSON object", event::kind(&body))));
    };
    let mut callback = Callback::default();
    for (name, value) in body.into_iter().filter(|(_, value)| !value.is_null()) {
        let not = |wanted: &str| bad(format!("{name} is {}, not {wanted}", event::kind(&value)));
        match name.as_str() {
            "result" => callback.result = Some(word(&name, &value, &["pass", "warning", "fail"])?),
            "status" => callback.status = Some(word(&name, &value, &["succeeded", "errored"])?),
            "message" => callback.message = Some(value.as_str().ok_or_else(|| not("a string"))?.to_owned()),
            "data" => callback.data = Some(value.as_object().ok_or_else(|| not("an object"))?.clone()),
            _ => return Err(bad(format!("{name:?} is not a field of an answer; it has {}", FIELDS.join(", ")))),
        }
    }
    if callback.status == Some(Status::Errored) && callback.result.is_some_and(|result| result != ResultWord::Fail) {
        return Err(bad("status errored goes with result fail".into()));
    }
    Ok(callback)
}

fn word<T: serde::de::DeserializeOwned>(name: &str, value: &Value, words: &[&str]) -> Result<T, Refusal> {
    serde_json::from_value(value.clone()).map_err(|_| {
        Refusal::bad("Invalid request body", format!("{name} is {value}, not one of {}", words.join(", ")))
    })
}

/// Asks, publishes, waits. None where the fold has not spoken in time.
async fn answer(
    state: &State,
    trigger: &str,
    query: Option<&str>,
    callback: Callback,
    key: Option<&str>,
    body: &Bytes,
) -> Result<(Task, Option<()>), Refusal> {
    let link = state.link()?;
    let task = match ask(state, &link, trigger, query).await? {
        Waits::Yes(task) => task,
        // The fold knows whether this is the request that finished it.
        Waits::Finished(task) if key.is_some() => task,
        waits => return Err(refused(&waits)),
    };
    // Several receivers of one trigger share the path.
    let once = Once::of("callback", &[trigger, &task.source, &task.subscription], key, body)?;
    let callback = Callback { source: task.source.clone(), subscription: task.subscription.clone(), ..callback };
    let json = envelope(&task, trigger, callback, &once)?;
    if json.len() > state.options.event_size {
        let limit = state.options.event_size;
        return Err(Refusal::too_large(format!("an event may have {limit} bytes (limits.eventSize)")));
    }
    let Some(told) = publish(state, &link, CALLBACK, json).await? else { return Ok((task, None)) };
    if told.repeated && told.body_hash != once.hash {
        let details = "a request with this key, for the same trigger, had another body";
        return Err(Refusal::new(StatusCode::CONFLICT, "Idempotency-Key was used before", details));
    }
    match told.callback {
        Some(Taken::Finishes) => Ok((task, Some(()))),
        Some(Taken::TooLate) => Err(refused(&Waits::Finished(task))),
        Some(Taken::Unknown) => Err(refused(&Waits::Unknown)),
        None => Err(Refusal::bad("Invalid request body", told.why)),
    }
}

/// Asks the fold whether the trigger waits for whoever has this token.
async fn ask(state: &State, link: &Link, trigger: &str, query: Option<&str>) -> Result<Waits, Refusal> {
    let query = query.unwrap_or_default();
    let token =
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token").map(|(_, token)| token.into_owned());
    let mut ticket = link.waiting.ticket();
    let question =
        Question { triggered_id: trigger.to_owned(), token: token.unwrap_or_default(), tell: ticket.subject() };
    let question = serde_json::to_vec(&question).map_err(|_| Refusal::internal())?;
    link.publisher.publish_core(ASK, question.into()).await?;
    let nobody =
        || Refusal::later(5, "The answer could not be taken", "the service that folds the events does not answer");
    tokio::select! {
        told = ticket.told() => told.ok_or_else(nobody),
        () = tokio::time::sleep(state.options.wait) => Err(nobody()),
        () = state.stop.cancelled() => Err(nobody()),
    }
}

fn refused(waits: &Waits) -> Refusal {
    match waits {
        Waits::WrongToken => Refusal::new(
            StatusCode::UNAUTHORIZED,
            "Wrong token",
            "the address of a callback holds the token that its webhook was given",
        ),
        Waits::Finished(task) => Refusal::new(
            StatusCode::CONFLICT,
            "The task is finished",
            format!("{} of {} has its finished event already", task.task, place(task)),
        ),
        Waits::Unknown | Waits::Yes(_) => {
            Refusal::new(StatusCode::NOT_FOUND, "no such trigger", "no webhook waits for an answer to this trigger")
        }
    }
}

/// Where a task belongs, in words.
pub fn place(task: &Task) -> String {
    let parts = [&task.project, &task.stage, &task.service];
    let parts: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

/// The event of an answer. Without `time`: it counts from when the stream takes it.
fn envelope(task: &Task, trigger: &str, callback: Callback, once: &Once) -> Result<Bytes, Refusal> {
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
    put("specversion", "1.0".into());
    put("id", once.id.to_string().into());
    put("source", GATEWAY.into());
    put("type", CALLBACK.into());
    put("datacontenttype", "application/json".into());
    if !task.context.is_empty() {
        put("shkeptncontext", task.context.clone().into());
    }
    put("triggeredid", trigger.into());
    if let Some(hash) = &once.hash {
        put(BODY_HASH, hash.clone().into());
    }
    let mut data = Map::new();
    for (member, value) in [("project", &task.project), ("stage", &task.stage), ("service", &task.service)] {
        data.insert(member.to_owned(), value.clone().into());
    }
    // What a receiver sends may be anything, but it is valid JSON.
    if let Ok(Value::Object(own)) = serde_json::to_value(callback) {
        data.extend(own);
    }
    put("data", data.into());
    serde_json::to_vec(&event).map(Bytes::from).map_err(|_| Refusal::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> Result<Callback, String> {
        read(&Bytes::from(body.to_owned())).map_err(|refusal| format!("{refusal:?}"))
    }

    #[test]
    fn an_answer_may_be_short() {
        assert_eq!(said("").unwrap(), Callback::default());
        assert_eq!(said(" {} ").unwrap(), Callback::default());
        let full = said(r#"{"result":"warning","status":"succeeded","message":"m","data":{"a":1},"x":null}"#);
        let full = full.unwrap();
        assert_eq!((full.result, full.status), (Some(ResultWord::Warning), Some(Status::Succeeded)));
        let errored = said(r#"{"status":"errored"}"#).unwrap().answer("t");
        assert_eq!((errored.status, errored.result), (Status::Errored, ResultWord::Fail));
        let passed = said("{}").unwrap().answer("t");
        assert_eq!((passed.status, passed.result), (Status::Succeeded, ResultWord::Pass));
    }

    #[test]
    fn a_wrong_answer_is_refused_by_the_name_of_its_field() {
        for (body, says) in [
            ("[]", "an array"),
            ("{", "not JSON"),
            (r#"{"result":"passed"}"#, "result is"),
            (r#"{"status":"pass"}"#, "status is"),
            (r#"{"message":7}"#, "message is a number"),
            (r#"{"data":[1]}"#, "data is an array"),
            (r#"{"resultt":"pass"}"#, "resultt"),
            (r#"{"status":"errored","result":"pass"}"#, "goes with"),
        ] {
            let refusal = said(body).unwrap_err();
            assert!(refusal.contains("status: 400") && refusal.contains(says), "{body}: {refusal}");
        }
    }
}
