//! The gateway: HTTP in, events out (contract section 7). Publishes into the stream and waits for the fold's word, which
//! may be in another process. Keeps nothing.

mod body;
mod callbacks;
mod error;
mod events;
mod page;
mod publish;
mod signature;
mod waiting;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as From;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::bus::{Bus, Error, Publisher};
use crate::domain::rules::RuleSet;
use crate::http;
use crate::secrets::Secrets;

pub use error::Refusal;
use waiting::Waiting;

/// What the gateway is set to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Host and port to listen on.
    pub listen: (String, u16),
    /// Largest body, in bytes.
    pub max_body: usize,
    /// Largest event, in bytes: what the fold would not read is not published.
    pub event_size: usize,
    /// How long an answer waits for the fold.
    pub wait: Duration,
    /// Requests in hand at a time.
    pub max_waiting: u32,
    /// The rules in force, which declare the webhooks.
    pub rules: watch::Receiver<RuleSet>,
    /// Where the secrets are that sign webhooks.
    pub secrets: Secrets,
}

/// What requests are served with.
#[derive(Clone)]
pub struct State {
    options: Arc<Options>,
    link: Arc<RwLock<Option<Link>>>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

/// The broker, once there is one.
#[derive(Clone)]
struct Link {
    bus: Bus,
    publisher: Publisher,
    waiting: Waiting,
}

impl State {
    /// Not connected yet: everything is refused with 503. Who still waits for the fold when `stop` is cancelled is let go.
    pub fn new(options: Options, stop: CancellationToken) -> State {
        let places = Arc::new(Semaphore::new(options.max_waiting as usize));
        State { options: Arc::new(options), link: Arc::default(), places, stop }
    }

    /// From now on events are published on this connection.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn connect(&self, bus: &Bus) -> Result<(), Error> {
        let waiting = Waiting::listen(bus).await?;
        *self.link.write() = Some(Link { bus: bus.clone(), publisher: bus.publisher(), waiting });
        Ok(())
    }

    /// The broker, or why nothing can be stored.
    fn link(&self) -> Result<Link, Refusal> {
        let link = self.link.read().clone().filter(|link| link.bus.is_connected());
        link.ok_or_else(|| Refusal::later(5, "The event could not be stored", "the broker cannot be reached"))
    }

    /// A place among the requests in hand, kept until it is dropped.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let busy = || {
            let details = format!("{} requests are in hand (gateway.maxWaiting)", self.options.max_waiting);
            Refusal::later(1, "Too many requests wait", details)
        };
        self.places.clone().try_acquire_owned().map_err(|_| busy())
    }
}

fn router(state: State) -> Router {
    Router::new()
        .route("/api/v1/webhooks/{hook}", post(webhooks::take))
        .route("/api/v1/events", post(events::take))
        .route("/api/v1/callbacks/{trigger}", post(callbacks::take))
        .route("/api/v1/callbacks/{trigger}/{result}", get(callbacks::page).post(callbacks::take_from_page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::map_response(headers))
        .layer(CatchPanicLayer::custom(|_| Refusal::internal().into_response()))
        .with_state(state)
}

async fn ready(From(state): From<State>) -> Response {
    match state.link() {
        Ok(_) => "ready\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready: the broker cannot be reached\n").into_response(),
    }
}

async fn nothing_here() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no such page",
        "there is POST /api/v1/webhooks/<name>-failure, /api/v1/webhooks/<name>-success, /api/v1/events and /api/v1/callbacks/<triggeredid>",
    )
}

async fn not_allowed(method: Method) -> Response {
    let post = method == Method::GET || method == Method::HEAD;
    let details = if post { "events are taken by POST" } else { "only POST, and GET for /healthz and /readyz" };
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", details).into_response()
}

async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The text of a header; none where it is absent.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.all(|other| other == value) => Ok(Some(text)),
        Ok(_) => Err(Refusal::bad(format!("Bad header {name}"), "it is given more than once")),
        Err(_) => Err(Refusal::bad(format!("Bad header {name}"), "it holds what is not printable ASCII")),
    }
}

/// Serves until asked to stop; requests in hand are answered.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, state: State) -> std::io::Result<()> {
    let stop = state.stop.clone();
    http::serve(listener, router(state), stop).await
}
