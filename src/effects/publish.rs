//! The publisher: takes what the outbox owes and does not rest until the stream has it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::outbox::Outbox;
use crate::backoff::{Backoff, Waits};
use crate::bus::{Error, Publisher, Receipt};
use crate::crash;
use crate::domain::ids::Position;
use crate::domain::messages::Message;
use crate::domain::row::Own;
use crate::metrics;

/// A message that is owed, ready to be sent.
#[derive(Clone, Debug)]
pub struct Due {
    /// The line that owes it.
    pub of: Position,
    /// The message.
    pub message: Message,
}

impl Due {
    fn own(&self) -> Own {
        Own { of: self.of, kind: self.message.kind }
    }
}

/// Messages sent and not yet acknowledged, at most.
const WINDOW: usize = 2048;

/// Publishes what comes in until the sender is dropped and all is acknowledged, or `stop` is cancelled.
///
/// Messages are sent in the order given, so `started` goes out before `finished`. One that was not acknowledged is sent
/// again under the same id, which the stream recognises.
pub async fn run(
    outbox: Arc<Outbox>,
    publisher: Publisher,
    mut due: mpsc::Receiver<Vec<Due>>,
    stop: CancellationToken,
) {
    let mut acks = FuturesUnordered::new();
    let mut queue: VecDeque<Due> = VecDeque::new();
    let mut again: Vec<Due> = Vec::new();
    let mut backoff = Backoff::broker().waits();
    let mut open = true;
    let mut outage = false;
    while open || !queue.is_empty() || !acks.is_empty() || !again.is_empty() {
        if queue.is_empty() && acks.is_empty() && !again.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => queue.extend(again.drain(..)),
                () = stop.cancelled() => return,
            }
        }
        // What is on its way is listened to all the while: the broker's client bounds it as well.
        if queue.is_empty() || acks.len() >= WINDOW {
            tokio::select! {
                biased;
                Some(settled) = acks.next(), if !acks.is_empty() => {
                    settle(settled, &outbox, &mut again, &mut backoff, &mut outage);
                }
                batch = due.recv(), if open && acks.len() < WINDOW && again.is_empty() => match batch {
                    Some(batch) => queue.extend(batch),
                    None => open = false,
                },
                () = stop.cancelled() => return,
            }
            continue;
        }
        let Some(due) = queue.pop_front() else { continue };
        if !outbox.owes(due.own()) {
            continue;
        }
        crash::point("before-publish");
        let Message { subject, id, body, .. } = &due.message;
        let id = id.to_string();
        let sending = publisher.publish(subject, &id, body.clone());
        tokio::pin!(sending);
        let sent = loop {
            tokio::select! {
                biased;
                sent = &mut sending => break sent,
                Some(settled) = acks.next(), if !acks.is_empty() => {
                    settle(settled, &outbox, &mut again, &mut backoff, &mut outage);
                }
                () = stop.cancelled() => return,
            }
        };
        acks.push(confirmed(publisher.clone(), due.clone(), sent));
    }
}

/// Waits for the stream's word about a message that is on its way.
async fn confirmed(publisher: Publisher, due: Due, sent: Result<Receipt, Error>) -> (Due, Duration, Result<(), Error>) {
    let started = Instant::now();
    let result = match sent {
        Ok(receipt) => receipt.await.map(|_| ()),
        Err(error) => Err(error),
    };
    let result = match result {
        // A foreign stream without the subject: whoever listens now hears it, nobody later.
        Err(Error::NoStreamFor(_)) => publisher.publish_core(&due.message.subject, due.message.body.clone()).await,
        // Sending it again would not make it smaller.
        Err(Error::TooLarge { .. }) => {
            let Message { subject, id, .. } = &due.message;
            tracing::error!(%subject, %id, "a message is larger than the broker takes; it is given up");
            Ok(())
        }
        other => other,
    };
    (due, started.elapsed(), result)
}

fn settle(
    (due, took, result): (Due, Duration, Result<(), Error>),
    outbox: &Outbox,
    again: &mut Vec<Due>,
    backoff: &mut Waits,
    outage: &mut bool,
) {
    match result {
        Ok(()) => {
            crash::point("after-publish");
            metrics::publish_seconds(took);
            outbox.settle(due.own());
            backoff.reset();
            if std::mem::take(outage) {
                tracing::info!(owed = outbox.depth(), "the stream takes messages again");
            }
        }
        Err(error) => {
            if !std::mem::replace(outage, true) {
                tracing::warn!(subject = %due.message.subject, %error, "a message was not taken by the stream, sending it again");
            }
            again.push(due);
        }
    }
    metrics::outbox_depth(outbox.depth());
}
