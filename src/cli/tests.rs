//! The definition of the command line, and a broker for tests.

use bytes::Bytes;
use clap::CommandFactory as _;
use parking_lot::Mutex;

use super::wiring::{Broker, Consumer, Receipt};

#[test]
fn the_definition_holds_together() {
    super::Cli::command().debug_assert();
}

/// A broker whose stream `kept` holds `kept.>` and `sh.keptn.>`; what ends in `fails` cannot be published.
#[derive(Default)]
pub(super) struct FakeBroker {
    published: Mutex<Vec<(String, String, Bytes)>>,
}

impl Broker for FakeBroker {
    fn version(&self) -> String {
        "2.8.4".into()
    }

    async fn jetstream(&self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn stream_of(&self, subject: &str) -> anyhow::Result<Option<String>> {
        Ok((subject.starts_with("kept.") || subject.starts_with("sh.keptn.")).then(|| "kept".into()))
    }

    async fn consumer(&self, _: &str, durable: &str) -> anyhow::Result<Option<Consumer>> {
        Ok((durable == "shipwatch").then_some(Consumer { pending: 3, unacknowledged: 1 }))
    }

    async fn publish(&self, subject: &str, id: &str, body: Bytes) -> anyhow::Result<Receipt> {
        anyhow::ensure!(!subject.ends_with("fails"), "the disk of the broker is full");
        let Some(stream) = self.stream_of(subject).await? else { return Ok(Receipt::Sent) };
        let mut published = self.published.lock();
        let duplicate = published.iter().any(|(_, known, _)| known == id);
        published.push((subject.into(), id.into(), body));
        Ok(Receipt::Stored { stream, sequence: published.len() as u64, duplicate })
    }

    async fn flush(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
