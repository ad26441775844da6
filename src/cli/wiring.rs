//! The one place where commands meet the service and the broker.

use std::process::ExitCode;

use bytes::Bytes;

use super::demo;
use crate::config::{self, Config};

/// What commands want of a broker. A trait, so that tests need none.
pub(super) trait Broker {
    /// Version of the server.
    fn version(&self) -> String;

    /// Whether there is JetStream for this account; the error says why not.
    async fn jetstream(&self) -> anyhow::Result<()>;

    /// The stream whose subjects hold this one, where there is one.
    async fn stream_of(&self, subject: &str) -> anyhow::Result<Option<String>>;

    /// The durable consumer of a stream, where it exists.
    async fn consumer(&self, stream: &str, durable: &str) -> anyhow::Result<Option<Consumer>>;

    /// Publishes with this message id, and waits until the stream has it. Where no stream holds the subject, publishes
    /// without JetStream.
    async fn publish(&self, subject: &str, id: &str, body: Bytes) -> anyhow::Result<Receipt>;

    /// Sends out what is still on its way.
    async fn flush(&self) -> anyhow::Result<()>;
}

/// A durable consumer as `doctor` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Consumer {
    /// Messages it has not been given yet.
    pub pending: u64,
    /// Messages it was given and has not acknowledged.
    pub unacknowledged: u64,
}

/// What became of a published message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "made by the broker that is not wired yet"))]
pub(super) enum Receipt {
    /// A stream has it.
    Stored {
        /// Which.
        stream: String,
        /// Where in it.
        sequence: u64,
        /// It had a message with this id already.
        duplicate: bool,
    },
    /// It was sent, but no stream keeps it.
    Sent,
}

/// A broker that cannot exist: this build has none to connect to.
enum Absent {}

impl Broker for Absent {
    fn version(&self) -> String {
        match *self {}
    }

    async fn jetstream(&self) -> anyhow::Result<()> {
        match *self {}
    }

    async fn stream_of(&self, _: &str) -> anyhow::Result<Option<String>> {
        match *self {}
    }

    async fn consumer(&self, _: &str, _: &str) -> anyhow::Result<Option<Consumer>> {
        match *self {}
    }

    async fn publish(&self, _: &str, _: &str, _: Bytes) -> anyhow::Result<Receipt> {
        match *self {}
    }

    async fn flush(&self) -> anyhow::Result<()> {
        match *self {}
    }
}

/// Connects to the broker, without waiting for one that does not answer.
pub(super) async fn connect(_: &config::Nats) -> anyhow::Result<impl Broker + use<>> {
    unwired::<Absent>("the broker")
}

/// Runs the service until it is told to stop.
pub(super) async fn serve(_: Config) -> anyhow::Result<ExitCode> {
    unwired("the service")
}

/// Plays the demo.
pub(super) async fn demo(_: &demo::Args) -> anyhow::Result<ExitCode> {
    unwired("the demo")
}

fn unwired<T>(what: &str) -> anyhow::Result<T> {
    anyhow::bail!("{what} is not part of this build")
}
