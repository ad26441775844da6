//! Telling those who published an event and wait what became of it: the gateway, which may be another process.
//!
//! Best effort, on core NATS, after the commit. Who is not told in time knows that the stream has the event, and asks the
//! query endpoint. Nothing is told about events of long ago: a fold that catches up would talk to nobody.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::bus::{Message, Publisher};
use crate::domain::call::CALLBACK;
use crate::domain::decide::Incoming;
use crate::domain::feedback::{Feedback, GATEWAY, SUBJECT, TELL};
use crate::domain::ids::Position;
use crate::domain::row::{Entry, Row};
use crate::domain::time::Time;
use crate::store::Reader;

/// Groups of events waiting here.
pub const WAITING: usize = 64;

/// What the subjects begin with that are asked about.
const WEBHOOKS: &str = "dev.shipwatch.webhook.";

/// An event older than this is not told about. Generous, as the broker's clock may not be ours.
const RECENT: Duration = Duration::from_secs(5 * 60);

/// One event whose publisher waits.
#[derive(Clone, Debug)]
pub struct Asked {
    of: Position,
    tell: Box<str>,
}

impl Asked {
    /// Takes the question out of an event on its way into the fold.
    pub fn by(incoming: &mut Incoming) -> Option<Asked> {
        let tell = incoming.tell.take()?;
        Some(Asked { of: incoming.position, tell })
    }
}

/// Where the publisher of a message waits. Only below [`SUBJECT`]: whoever may publish must not make us publish anywhere else.
pub fn wanted(message: &Message) -> Option<Box<str>> {
    // Most messages are nobody's question, and looking through headers costs.
    if !message.subject.starts_with(WEBHOOKS) && message.subject != CALLBACK {
        return None;
    }
    let to = message.headers.get(TELL)?;
    let below = to.strip_prefix(SUBJECT)?.strip_prefix('.')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (!below.is_empty() && below.len() <= 128 && below.chars().all(plain)).then(|| to.into())
}

/// Hands committed events over. Never waits: where too many are in hand, these are not told about.
pub fn ask(to: &mpsc::Sender<Vec<Asked>>, asked: Vec<Asked>) {
    if !asked.is_empty() && to.try_send(asked).is_err() {
        tracing::debug!("publishers of events were not told what became of them, too many wait");
    }
}

/// Tells until the sender is dropped.
pub async fn run(reader: Reader, publisher: Publisher, mut asked: mpsc::Receiver<Vec<Asked>>) {
    while let Some(group) = asked.recv().await {
        for Asked { of, tell } in group {
            if let Err(error) = told(&reader, &publisher, of, &tell).await {
                tracing::debug!(%error, position = %of, "the publisher of an event was not told what became of it");
            }
        }
    }
}

async fn told(reader: &Reader, publisher: &Publisher, of: Position, tell: &str) -> anyhow::Result<()> {
    let Some(row) = reader.row(of)?.filter(|row| by_the_gateway(row) && is_recent(row)) else { return Ok(()) };
    if let Some(feedback) = Feedback::of(&row, reader)? {
        publisher.publish_core(tell, serde_json::to_vec(&feedback)?.into()).await?;
    }
    Ok(())
}

fn by_the_gateway(row: &Row) -> bool {
    match &row.entry {
        Entry::Event(recorded) => recorded.head.as_ref().is_some_and(|head| head.origin.source == GATEWAY),
        Entry::Own(_) => false,
    }
}

fn is_recent(row: &Row) -> bool {
    row.stream_time > Time::from(chrono::Utc::now()).minus(RECENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Headers;

    fn asked(subject: &str, tell: &str) -> Option<Box<str>> {
        wanted(&Message {
            sequence: 1,
            subject: subject.into(),
            stream_time: Time::EPOCH,
            headers: Headers::from_pairs([(TELL, tell)]),
            payload: "{}".into(),
        })
    }

    #[test]
    fn nobody_makes_us_publish_anywhere_but_where_publishers_wait() {
        let hook = "dev.shipwatch.webhook.pipeline.failure";
        let good = format!("{SUBJECT}.0a1b.2c3d");
        assert_eq!(asked(hook, &good).as_deref(), Some(good.as_str()));
        assert_eq!(asked("sh.keptn.event.test.finished", &good), None);
        let long = format!("{good}{}", "x".repeat(200));
        for bad in
            ["", "$JS.API.STREAM.DELETE.shipwatch", SUBJECT, "shipwatch.feedbacks.a", "shipwatch.feedback.", &long]
        {
            assert_eq!(asked(hook, bad), None, "{bad:?}");
        }
        for bad in
            ["shipwatch.feedback.>", "shipwatch.feedback.*", "shipwatch.feedback.a b", "shipwatch.feedback.a\r\nb"]
        {
            assert_eq!(asked(hook, bad), None, "{bad:?}");
        }
    }
}
