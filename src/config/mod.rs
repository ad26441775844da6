//! Configuration: defaults < file < `SHIPWATCH_*` variables < flags, checked once, all mistakes reported together.

mod keys;
mod layers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::bus;
use crate::domain::decide::TaskNames;
use crate::domain::issue::ChangeKind;

pub use layers::{Layers, dump};

/// Mistakes in the configuration, each with where it stands.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Mistakes(pub Vec<String>);

/// The configuration, checked. Nothing behind it looks at strings again.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker.
    pub nats: bus::Settings,
    /// The stream to use as it is.
    pub stream: Option<String>,
    /// Name of the durable consumer.
    pub durable: String,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Rules, webhooks and shipyards of the team.
    pub shipyard_dir: PathBuf,
    /// Where the query endpoint listens.
    pub listen: SocketAddr,
    /// Base of links in replies and messages; empty for the address that the endpoint has.
    pub public_url: String,
    /// The gateway; none where it is off.
    pub gateway: Option<Gateway>,
    /// Largest message that is read, in bytes.
    pub event_size: usize,
    /// Requests a second per token; 0 for no limit.
    pub requests_per_second: u32,
    /// What the tasks are called.
    pub tasks: TaskNames,
    /// Which changes of issues are published.
    pub issue_events: Vec<ChangeKind>,
    /// How long resolved issues are kept.
    pub keep_resolved: Duration,
    /// How long events are kept.
    pub keep_events: Duration,
    /// When a task counts as stuck.
    pub deadlines: Deadlines,
    /// JSON instead of text in the log.
    pub json_log: bool,
}

/// Where webhooks come in.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Base of its addresses as others see them.
    pub public_url: String,
    /// Largest body, in bytes.
    pub max_body: usize,
    /// How long an answer waits for the fold.
    pub wait: Duration,
    /// Requests waiting at once.
    pub max_waiting: usize,
}

/// When a task counts as stuck.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// From `triggered` to `started`.
    pub started: Duration,
    /// From `started` to `finished`.
    pub finished: Duration,
    /// Other ones for some tasks: `started` and `finished`.
    pub tasks: BTreeMap<String, (Option<Duration>, Option<Duration>)>,
}
