//! The tools that the demo's webhooks call: a tracker with tickets, and a chat with a person who reads it.

use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{post, put};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Where the webhook file of the demo thinks they are.
const PLACE: &str = "http://tools.example";

/// Where tickets begin to be counted.
const FIRST: usize = 41;

/// The tools; gone with the demo.
pub(super) struct Tools {
    url: String,
    desk: Desk,
    serving: JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Desk {
    /// What happened, for the audience.
    said: Arc<Mutex<Vec<String>>>,
    /// States of tickets.
    tickets: Arc<Mutex<Vec<String>>>,
    http: reqwest::Client,
}

impl Tools {
    pub async fn start() -> anyhow::Result<Tools> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the tools of the demo")?;
        let url = format!("http://{}", listener.local_addr()?);
        let desk = Desk { http: reqwest::Client::builder().no_proxy().build()?, ..Desk::default() };
        let router = Router::new()
            .route("/api/tickets", post(open))
            .route("/api/tickets/{id}", put(close))
            .route("/chat", post(chat))
            .with_state(desk.clone());
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Tools { url, desk, serving })
    }

    /// A webhook file that leads here.
    pub fn placed(&self, file: &str) -> String {
        file.replace(PLACE, &self.url)
    }

    /// Gives what happened since it was asked last.
    pub fn teller(&self) -> impl Fn() -> Vec<String> + Send + use<> {
        let said = self.desk.said.clone();
        move || std::mem::take(&mut *said.lock())
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn open(State(desk): State<Desk>, Json(ticket): Json<Value>) -> (StatusCode, Json<Value>) {
    let number = {
        let mut tickets = desk.tickets.lock();
        tickets.push("open".to_owned());
        FIRST + tickets.len() - 1
    };
    let id = format!("OPS-{number}");
    desk.said.lock().push(format!("tracker: {id} opened: {}", text(&ticket, "title")));
    (StatusCode::CREATED, Json(json!({ "id": id, "state": "open" })))
}

async fn close(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    Json(change): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let index = id.strip_prefix("OPS-").and_then(|n| n.parse::<usize>().ok()).and_then(|n| n.checked_sub(FIRST));
    let mut tickets = desk.tickets.lock();
    let Some(state) = index.and_then(|index| tickets.get_mut(index)) else {
        return (StatusCode::NOT_FOUND, Json(json!({ "error": format!("no ticket {id}") })));
    };
    *state = text(&change, "state");
    desk.said.lock().push(format!("tracker: {id} {state}"));
    (StatusCode::OK, Json(json!({ "id": id, "state": *state })))
}

async fn chat(State(desk): State<Desk>, Json(message): Json<Value>) -> Json<Value> {
    desk.said.lock().push(format!("chat: {}", text(&message, "text")));
    let link = text(&message, "yes");
    if !link.is_empty() {
        tokio::spawn(async move {
            let told = desk.confirm(&link).await.unwrap_or_else(|error| format!("the link did not work: {error}"));
            desk.said.lock().push(format!("a person opens the link and confirms: {told}"));
        });
    }
    Json(json!({ "ok": true }))
}

impl Desk {
    /// What a person does: opens the page, which decides nothing, and presses the button.
    async fn confirm(&self, link: &str) -> Result<String, reqwest::Error> {
        self.http.get(link).send().await?.error_for_status()?;
        let answer = self.http.post(link).header("content-type", "application/x-www-form-urlencoded");
        let answer = answer.body("message=looks+good").send().await?;
        Ok(format!("HTTP {}", answer.status().as_u16()))
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}
