//! Asking the service's query endpoint.

use std::time::Duration;

use clap::Args;
use reqwest::{RequestBuilder, StatusCode, Url};
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
    /// This server, without a token.
    pub fn of(server: &str) -> ServerArgs {
        ServerArgs { server: server.to_owned(), token: None }
    }
}

/// A client of one service.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
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
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("shipwatch/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Client { http, base, token: args.token.clone().filter(|t| !t.is_empty()) })
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

    async fn good(&self, mut request: RequestBuilder, url: Url) -> Result<String, Error> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|e| {
            let why = cause(&e);
            if e.is_timeout() && !e.is_connect() {
                Error::Broken { url: self.base.clone(), why }
            } else {
                Error::Unreachable { url: self.base.clone(), why }
            }
        })?;
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
