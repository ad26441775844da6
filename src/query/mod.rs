//! The query endpoint: read-only HTTP over the store (contract section 6), and the page for people. Holds no writer.

mod deliveries;
mod error;
mod events;
mod explain;
mod filter;
mod history;
mod issues;
mod list;
mod page;
mod pages;
mod params;
mod past;
mod runs;
mod scopes;
mod sequences;
mod status;
mod trend;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::decide::Settings;
use crate::domain::issue::{Severity, State as IssueState};
use crate::store::Reader;
use crate::{http, metrics};

use error::Id;
pub use error::Problem;
use pages::Pages;

/// Whether the service takes part, and why not.
#[derive(Clone)]
pub struct Readiness {
    inner: Arc<RwLock<Ready>>,
}

struct Ready {
    why_not: Option<String>,
    gap: Option<(u64, u64)>,
    /// Why the stream is not being read at this moment.
    stalled: Option<Box<dyn Fn() -> Option<&'static str> + Send + Sync>>,
}

impl Readiness {
    /// Not ready yet.
    pub fn new(why_not: &str) -> Readiness {
        let why_not = Some(why_not.to_owned());
        Readiness { inner: Arc::new(RwLock::new(Ready { why_not, gap: None, stalled: None })) }
    }

    /// The consumer runs, as long as `stalled` has nothing to say.
    pub fn ready(&self, stalled: impl Fn() -> Option<&'static str> + Send + Sync + 'static) {
        let mut inner = self.inner.write();
        inner.why_not = None;
        inner.stalled = Some(Box::new(stalled));
    }

    /// Not ready, for a reason.
    pub fn not(&self, why: &str) {
        self.inner.write().why_not = Some(why.to_owned());
    }

    /// The stream dropped messages before they were folded: the first and the last of them.
    pub fn gap(&self, from: u64, to: u64) {
        self.inner.write().gap = Some((from, to));
    }

    fn why_not(&self) -> Option<String> {
        let inner = self.inner.read();
        inner.why_not.clone().or_else(|| inner.stalled.as_ref()?().map(str::to_owned))
    }

    fn missing(&self) -> Option<(u64, u64)> {
        self.inner.read().gap
    }
}

/// Renders the metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    reader: Arc<RwLock<Option<Reader>>>,
}

impl Metrics {
    /// Over the recorder of this process.
    pub fn new(handle: PrometheusHandle) -> Metrics {
        Metrics { handle, reader: Arc::default() }
    }

    /// Takes gauges of the store from here.
    pub fn watch(&self, reader: Reader) {
        *self.reader.write() = Some(reader);
    }

    fn render(&self) -> String {
        if let Some(reader) = &*self.reader.read() {
            metrics::parked(reader.parked_count() as u64);
            let catalog = reader.catalog();
            for state in IssueState::ALL {
                for severity in Severity::ALL {
                    metrics::issues(*state, *severity, catalog.count(*state, *severity));
                }
            }
        }
        self.handle.run_upkeep();
        self.handle.render()
    }
}

/// What handlers read from.
#[derive(Clone)]
pub struct State {
    reader: Reader,
    settings: Arc<Settings>,
    readiness: Readiness,
    metrics: Metrics,
    pages: Arc<Pages>,
    pasts: Arc<past::Pasts>,
    sets: Arc<explain::Sets>,
    sequences: Arc<sequences::Recent>,
    counted: Arc<trend::Counted>,
    reads: Arc<Semaphore>,
    feed: Arc<watch::Feed>,
    ending: CancellationToken,
}

/// Requests that read the journal at once. A search through it is work for a processor, and the fold needs one too.
const READS: usize = 8;

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

impl State {
    /// Over a store.
    pub fn new(reader: Reader, settings: Settings, readiness: Readiness, metrics: Metrics) -> State {
        State {
            reader,
            settings: Arc::new(settings),
            readiness,
            metrics,
            pages: Arc::default(),
            pasts: Arc::default(),
            sets: Arc::default(),
            sequences: Arc::default(),
            counted: Arc::default(),
            reads: Arc::new(Semaphore::new(READS)),
            feed: Arc::default(),
            ending: CancellationToken::new(),
        }
    }

    /// Streams end as soon as `stop` says so; other requests are answered until [`serve`] ends.
    pub fn until(self, stop: CancellationToken) -> State {
        State { ending: stop, ..self }
    }

    /// Does work that reads from disk, away from the tasks that answer requests.
    async fn reading<T: Send + 'static>(
        self,
        work: impl FnOnce(&State) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.reads.clone().acquire_owned().await.map_err(|_| Problem::internal())?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&self)
        });
        done.await.map_err(|_| Problem::internal())?
    }
}

/// Title and version of the document at `/openapi.json`.
#[derive(OpenApi)]
#[openapi(info(title = "Shipwatch", description = "What is broken now, and why. Read-only."))]
struct Document;

fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(issues::list))
        .routes(routes!(issues::summary))
        .routes(routes!(watch::watch))
        .routes(routes!(runs::runs))
        .routes(routes!(trend::trend))
        .routes(routes!(issues::one))
        .routes(routes!(history::history))
        .routes(routes!(scopes::scopes))
        .routes(routes!(events::list))
        .routes(routes!(events::one))
        .routes(routes!(sequences::list))
        .routes(routes!(sequences::one))
        .routes(routes!(events::parked))
        .routes(routes!(events::parked_one))
        .routes(routes!(status::health))
        .routes(routes!(status::version))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics))
}

/// The OpenAPI document, made from the handlers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut document) = routes().split_for_parts();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    document
}

fn router(state: State) -> Router {
    let (router, _) = routes().split_for_parts();
    let document = Arc::new(serde_json::to_string(&openapi()).unwrap_or_default());
    router
        .route(
            "/openapi.json",
            axum::routing::get(move || {
                let document = document.clone();
                async move { ([(header::CONTENT_TYPE, "application/json")], (*document).clone()) }
            }),
        )
        .merge(page::routes())
        .fallback(page::lost)
        .method_not_allowed_fallback(error::not_allowed)
        .layer(middleware::from_fn(headers))
        .layer(CatchPanicLayer::custom(|_| Problem::internal().into_response()))
        .with_state(state)
}

/// Both `/x` and `/x/` are served, only reads are let in, and any page may read (as Kite's do).
async fn headers(request: Request<Body>, next: Next) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return error::not_allowed().await.into_response();
    }
    let answer = tokio::time::timeout(PATIENCE, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| Problem::late().into_response());
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

/// Serves until asked to stop; requests in hand are answered.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, state: State, stop: CancellationToken) -> std::io::Result<()> {
    http::serve(listener, router(state), stop).await
}

#[cfg(test)]
mod tests;
