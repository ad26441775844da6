//! The configuration: what was written ([`RawConfig`]) becomes one checked value ([`Config`]), and every mistake is
//! told at once with the place it was made in.
//!
//! Layers, the later over the earlier: defaults, the YAML file, `SHIPWATCH_*` variables, flags. [`KEYS`] lists what
//! there is to set.

mod check;
mod keys;
mod mistakes;
mod node;
mod raw;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

pub use check::check;
pub use keys::{KEYS, Key, misspelt_variables};
pub use mistakes::{Mistake, Mistakes, did_you_mean};
pub use node::{Name, Node, Origin, Value};
pub use raw::RawConfig;
pub use values::{Listen, NatsUrl, Secret, Target};

use crate::units::{Size, Span};

/// The folder of a team's files where none is named.
pub const SHIPYARD_DIR: &str = "./shipyard";

/// The checked configuration. Serialises to the file's form without secrets.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The broker.
    pub nats: Nats,
    /// Where the store lives.
    pub data_dir: PathBuf,
    /// Where a team's files are.
    pub shipyard_dir: PathBuf,
    /// The query endpoint.
    pub query: Query,
    /// The gateway.
    pub gateway: Gateway,
    /// Bounds on what comes in.
    pub limits: Limits,
    /// Names of the tasks Shipwatch owns.
    pub tasks: Tasks,
    /// Which changes of issues are published.
    pub issue_events: Vec<IssueEvent>,
    /// How long things are kept.
    pub retention: Retention,
    /// When something is stuck.
    pub deadlines: Deadlines,
    /// Calls to other systems.
    pub webhooks: Webhooks,
    /// Who may do what.
    pub auth: Auth,
    /// Certificates of both listeners.
    pub tls: Option<TlsFiles>,
    /// Logging.
    pub log: Log,
}

/// How to reach NATS.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nats {
    /// Servers; empty only where a context names them.
    pub urls: Vec<NatsUrl>,
    /// Path of a credentials file.
    pub creds: Option<PathBuf>,
    /// Path of a file with an nkey seed, or the seed.
    pub nkey: Option<Nkey>,
    /// User name.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Token.
    pub token: Option<Secret>,
    /// Context of the NATS command line.
    pub context: Option<String>,
    /// JetStream domain.
    pub domain: Option<String>,
    /// Prefix of the JetStream API.
    pub api_prefix: Option<String>,
    /// TLS towards the broker.
    pub tls: NatsTls,
    /// The stream to read; none to find or make one.
    pub stream: Option<String>,
    /// Name of the durable consumer.
    pub durable: String,
}

/// An nkey seed, or where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Nkey {
    /// The seed itself.
    Seed(Secret),
    /// Path of a file that holds it.
    File(PathBuf),
}

/// TLS towards the broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NatsTls {
    /// Certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate and key.
    #[serde(flatten)]
    pub client: Option<TlsFiles>,
    /// TLS before the broker's greeting.
    pub first: bool,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TlsFiles {
    /// Path of the certificate, PEM.
    pub cert: PathBuf,
    /// Path of its key, PEM.
    pub key: PathBuf,
}

/// The query endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// Where it listens.
    pub listen: Listen,
    /// Base of links in replies and messages, without a slash at its end.
    pub public_url: Option<String>,
}

/// The gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Where it listens; none: off.
    pub listen: Option<Listen>,
    /// Base of callback URLs, without a slash at its end.
    pub public_url: Option<String>,
    /// Largest body.
    pub max_body: Size,
    /// How long an answer waits for the fold.
    pub wait: Span,
    /// How many may wait at a time.
    pub max_waiting: u32,
}

/// Bounds on what comes in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Largest event; larger ones are parked.
    pub event_size: Size,
    /// Requests per second and token; 0: no limit.
    pub requests_per_second: u32,
}

/// Names of the tasks Shipwatch owns.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tasks {
    /// Opens or updates an issue.
    pub open_issue: String,
    /// Changes an issue.
    pub update_issue: String,
    /// Closes issues.
    pub close_issue: String,
    /// The gate.
    pub check_issues: String,
}

/// A change of an issue that can be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IssueEvent {
    /// It is new.
    Opened,
    /// It failed again.
    Updated,
    /// It broke again.
    Reopened,
    /// It is whole.
    Resolved,
}

/// How long things are kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Issues, after they were resolved.
    pub resolved_issues: Span,
    /// Journal lines; older events are stale.
    pub events: Span,
}

/// When something is stuck; a zero span means never.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deadlines {
    /// From `triggered` to the first answer.
    pub started: Span,
    /// From `started` to `finished`.
    pub finished: Span,
    /// Other spans for some tasks, by task name.
    pub tasks: BTreeMap<String, TaskDeadlines>,
}

/// Deadlines of one task; what is not given is as for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskDeadlines {
    /// From `triggered` to the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Span>,
    /// From `started` to `finished`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Span>,
}

/// Calls to other systems.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhooks {
    /// Where they may go although it is denied by default.
    pub allow: Vec<Target>,
    /// Where they may not go.
    pub deny: Vec<Target>,
    /// Of one request.
    pub timeout: Span,
    /// After connect errors, 429 and 5xx.
    pub retries: u32,
    /// Requests at a time.
    pub concurrency: u32,
    /// Most that is read of an answer.
    pub max_response: Size,
    /// Folder of secrets.
    pub secrets_dir: Option<PathBuf>,
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Auth {
    /// Tokens, by the hash of each.
    pub tokens: Vec<Token>,
    /// Whether other machines may connect without any.
    pub insecure: bool,
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Token {
    /// What logs call it.
    pub name: String,
    /// SHA-256 of the token.
    #[serde(serialize_with = "mask")]
    pub sha256: [u8; 32],
    /// Globs of the namespaces it may see.
    pub namespaces: Vec<String>,
    /// What it may do.
    pub roles: Vec<Role>,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read the query endpoint.
    Read,
    /// Send events to the gateway.
    Publish,
    /// Answer a webhook's callback.
    Callback,
    /// Read `/metrics`.
    Metrics,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Log {
    /// Form of a line.
    pub format: LogFormat,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

// Takes a reference because serde calls it so.
fn mask<S: serde::Serializer>(_: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str("***")
}

impl Config {
    /// The effective configuration as a YAML file, without secrets.
    ///
    /// # Errors
    /// When it cannot be written as YAML.
    pub fn dump(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }
}

#[cfg(test)]
mod tests;
