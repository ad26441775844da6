//! The bus: NATS with JetStream. async-nats types do not leave this room.

pub mod binding;
mod connect;
mod inbox;
mod publish;
mod stream;

use bytes::Bytes;

use crate::domain::time::Time;

pub use connect::{Bus, Settings, Tls, connect};
pub use inbox::{AckToken, Acker, Group, GroupLimits, Inbox};
pub use publish::{Placed, PublishError, Publisher};
pub use stream::{Attached, Found, StreamWish};

/// What can go wrong with the broker, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings that cannot work, wrong credentials among them. Waiting does not help.
    #[error("{0}")]
    Refused(String),
    /// The broker cannot be reached.
    #[error("no broker at {urls}: {problem}")]
    Unreachable {
        /// Where it was looked for.
        urls: String,
        /// What the client says.
        problem: String,
    },
    /// JetStream is off, or does not answer.
    #[error("JetStream does not answer: {0}")]
    JetStream(String),
    /// There is no stream that can be used.
    #[error("{0}")]
    Stream(String),
    /// The consumer cannot be used.
    #[error("consumer {name}: {problem}")]
    Consumer {
        /// Its name.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// A message of the stream.
#[derive(Clone, Debug)]
pub struct Message {
    /// Stream sequence.
    pub sequence: u64,
    /// NATS subject.
    pub subject: String,
    /// When the stream took it.
    pub stream_time: Time,
    /// Headers by lower-case name, first value of each.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub payload: Bytes,
}

impl Message {
    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
