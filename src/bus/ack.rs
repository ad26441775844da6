//! Acknowledging: one for a whole group, confirmed, after its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, Subject};
use bytes::Bytes;

use super::Error;

const ACK: Bytes = Bytes::from_static(b"+ACK");
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);

/// What acknowledges one [`super::Group`].
#[derive(Debug)]
#[must_use = "a group that is not acknowledged is delivered again"]
pub struct Token {
    /// The last stream sequence of the group.
    pub(super) last: u64,
    /// Where acknowledgements go; one where the consumer takes one for all.
    pub(super) replies: Vec<Subject>,
}

/// Sends acknowledgements. Groups are acknowledged in the order they were handed out.
#[derive(Clone)]
pub struct Acker {
    client: Client,
    /// The highest sequence whose group is committed: what is delivered again at or below it is acknowledged at once.
    committed: Arc<AtomicU64>,
}

impl Acker {
    pub(super) fn new(client: Client, committed: u64) -> Acker {
        Acker { client, committed: Arc::new(AtomicU64::new(committed)) }
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// Acknowledges a group whose commit is done, and waits until the broker confirms it.
    ///
    /// # Errors
    /// The confirmation did not come. Nothing is lost by that and nothing has to be done: the broker delivers the group
    /// again, and the inbox, which knows that it is committed, acknowledges it without handing it out.
    pub async fn ack(&self, token: Token) -> Result<(), Error> {
        self.committed.fetch_max(token.last, Ordering::AcqRel);
        let Some((last, others)) = token.replies.split_last() else { return Ok(()) };
        for reply in others {
            self.send(reply.clone()).await;
        }
        // The broker handles the acknowledgements of a connection in order, so this one confirms all of them.
        let what = || "an acknowledgement".to_owned();
        match tokio::time::timeout(CONFIRMED_WITHIN, self.client.request(last.clone(), ACK)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::Broker { what: what(), why: error.to_string() }),
            Err(_) => Err(Error::TimedOut { what: what() }),
        }
    }

    /// Acknowledges without waiting for a word back.
    pub(super) async fn send(&self, reply: Subject) {
        if let Err(error) = self.client.publish(reply, ACK).await {
            tracing::debug!(%error, "an acknowledgement was not sent, the message will come again");
        }
    }
}
