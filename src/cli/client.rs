//! Asking the service's query endpoint.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::exit::Usage;

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Where the service is and who asks.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerArgs {
    /// URL of the service
    #[arg(long, env = "SHIPWATCH_SERVER", value_name = "URL", default_value = DEFAULT_SERVER)]
    server: String,
    /// Bearer token
    #[arg(long, env = "SHIPWATCH_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl ServerArgs {
    /// Another server, with the same token.
    pub fn at(&self, server: &str) -> ServerArgs {
        ServerArgs { server: server.to_owned(), token: self.token.clone() }
    }

    /// This server, without a token.
    pub fn of(server: &str) -> ServerArgs {
        ServerArgs { server: server.to_owned(), token: None }
    }
}

/// How long a stream may be silent before it is taken to be lost: three times what the service lets pass.
const SILENCE: Duration = Duration::from_secs(45);

/// An answer without an end.
pub(super) struct Stream {
    answer: Response,
    url: Url,
}

impl Stream {
    /// The next piece.
    pub async fn next(&mut self) -> Result<Bytes, Error> {
        match self.answer.chunk().await {
            Ok(Some(piece)) => Ok(piece),
            Ok(None) => Err(Error::Broken { url: self.url.clone(), why: "it closed the stream".into() }),
            Err(e) => Err(Error::Broken { url: self.url.clone(), why: cause(&e) }),
        }
    }
}

/// A client of one service.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    /// For answers without an end.
    streams: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nobody answers there.
    #[error(
        "no service answers at {url} ({why}); name it with --server or SHIPWATCH_SERVER, or start one with `shipwatch serve`"
    )]
    Unreachable { url: Url, why: String },
    /// An answer, but not in time or cut short.
    #[error("the service at {url} did not finish its answer: {why}")]
    Broken { url: Url, why: String },
    /// The service says no.
    #[error("{}", refusal(*.status, .error, .details))]
    Refused { status: StatusCode, error: String, details: String },
    /// Something else listens there.
    #[error("{url} answered {status}, but not as Shipwatch does; is --server or SHIPWATCH_SERVER right?")]
    Stranger { url: Url, status: StatusCode },
}

impl Error {
    /// The request itself was wrong.
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Refused { status: StatusCode::BAD_REQUEST, .. })
    }

    /// What was asked for was there once.
    pub fn is_gone(&self) -> bool {
        matches!(self, Error::Refused { status: StatusCode::GONE, .. })
    }

    /// The same request may be answered later.
    pub fn may_pass(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Broken { .. } => true,
            Error::Refused { status, .. } | Error::Stranger { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }

    /// There is no such thing.
    pub fn is_absent(&self) -> bool {
        matches!(self, Error::Refused { status: StatusCode::NOT_FOUND, .. })
    }
}

fn refusal(status: StatusCode, error: &str, details: &str) -> String {
    let mut text = super::table::one_line(error);
    if !details.is_empty() && details != error {
        text = format!("{text}: {}", super::table::one_line(details));
    }
    match status {
        StatusCode::UNAUTHORIZED => format!("{text}; give a token with --token or SHIPWATCH_TOKEN"),
        StatusCode::FORBIDDEN => format!("{text}; the token does not allow this"),
        _ => text,
    }
}

/// What the service sends with anything but 200.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    details: Option<String>,
}

impl Client {
    /// A client of the service that `args` name.
    pub fn new(args: &ServerArgs) -> anyhow::Result<Client> {
        // A variable that is set to nothing, as compose files do, counts as not set.
        let server = Some(args.server.as_str()).filter(|s| !s.is_empty()).unwrap_or(DEFAULT_SERVER);
        let base = Url::parse(server).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or_else(|| Usage(format!("server {server:?} is not a URL like {DEFAULT_SERVER}")))?;
        let builder = || {
            reqwest::Client::builder()
                .no_proxy()
                .connect_timeout(Duration::from_secs(5))
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("shipwatch/", env!("CARGO_PKG_VERSION")))
        };
        let http = builder().timeout(Duration::from_secs(30)).build()?;
        let streams = builder().read_timeout(SILENCE).build()?;
        Ok(Client { http, streams, base, token: args.token.clone().filter(|t| !t.is_empty()) })
    }

    /// Where it asks.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The body of a good answer. `path` is taken part by part, so ids may hold anything.
    pub async fn get(&self, path: &[&str], query: &[(String, String)]) -> Result<String, Error> {
        let mut url = self.below(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.good(self.http.get(url.clone()), url).await
    }

    /// Posts to a webhook of the gateway; the body of a good answer. The same `key` again is a retry.
    pub async fn webhook(&self, hook: &str, key: &str, body: &serde_json::Value) -> Result<String, Error> {
        let url = self.below(&["api", "v1", "webhooks", hook]);
        self.good(self.http.post(url.clone()).header("Idempotency-Key", key).json(body), url).await
    }

    fn below(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // A base with a host can always carry a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Opens a stream of events below `/api/v1`, behind the one with this id.
    pub async fn stream(
        &self,
        path: &[&str],
        query: &[(String, String)],
        last_id: Option<&str>,
    ) -> Result<Stream, Error> {
        let mut url = self.below(&["api", "v1"]);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.streams.get(url.clone());
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let answer = self.send(request).await?;
        if answer.status() == StatusCode::OK {
            return Ok(Stream { answer, url: self.base.clone() });
        }
        match self.body(answer, url.clone()).await {
            Err(error) => Err(error),
            Ok(_) => Err(Error::Stranger { url, status: StatusCode::OK }),
        }
    }

    async fn good(&self, request: RequestBuilder, url: Url) -> Result<String, Error> {
        let answer = self.send(request).await?;
        self.body(answer, url).await
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<Response, Error> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.map_err(|e| {
            let why = cause(&e);
            if e.is_timeout() && !e.is_connect() {
                Error::Broken { url: self.base.clone(), why }
            } else {
                Error::Unreachable { url: self.base.clone(), why }
            }
        })
    }

    async fn body(&self, answer: Response, url: Url) -> Result<String, Error> {
        let status = answer.status();
        let body = answer.text().await.map_err(|e| Error::Broken { url: self.base.clone(), why: cause(&e) })?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        match serde_json::from_str(&body) {
            Ok(Refusal { error, details }) => {
                Err(Error::Refused { status, error, details: details.unwrap_or_default() })
            }
            Err(_) => Err(Error::Stranger { url, status }),
        }
    }

    /// [`Client::get`] below `/api/v1`, where everything is JSON.
    pub async fn api(&self, path: &[&str], query: &[(String, String)]) -> Result<String, Error> {
        let path: Vec<&str> = ["api", "v1"].into_iter().chain(path.iter().copied()).collect();
        let body = self.get(&path, query).await?;
        if crate::domain::event::is_valid_json(body.as_bytes()) {
            Ok(body)
        } else {
            Err(Error::Stranger { url: self.base.clone(), status: StatusCode::OK })
        }
    }
}

/// The innermost reason, which is the one that helps: `connection refused` rather than `error sending request`.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
