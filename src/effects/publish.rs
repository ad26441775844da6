//! The publisher: takes what the outbox owes and does not rest until the stream has it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::doubt::Stream;
use super::outbox::Outbox;
use crate::backoff::{Backoff, Waits};
use crate::bus::{Error, Publisher, Receipt};
use crate::crash;
use crate::domain::ids::Position;
use crate::domain::messages::{self, Message};
use crate::domain::row::{Own, OwnKind};
use crate::metrics;

/// A message that is owed, ready to be sent.
#[derive(Clone, Debug)]
pub struct Due {
    /// The line that owes it.
    pub of: Position,
    /// The message.
    pub message: Message,
    /// When it was sent for the first time.
    sent: Option<Instant>,
}

impl Due {
    /// A message that the line at `of` owes.
    pub fn new(of: Position, message: Message) -> Due {
        Due { of, message, sent: None }
    }

    fn own(&self) -> Own {
        Own { of: self.of, kind: self.message.kind }
    }
}

/// Messages sent and not yet acknowledged, at most.
const WINDOW: usize = 2048;

/// Publishes what comes in until the sender is dropped and all is acknowledged, or `stop` is cancelled.
///
/// Messages are sent in the order given, and a `finished` only once the stream has its `started`. One that was not acknowledged is sent
/// again under the same id, which the stream recognises; where it may not any more, `doubt` finds out first.
pub async fn run(
    outbox: Arc<Outbox>,
    publisher: Publisher,
    stream: Stream,
    mut due: mpsc::Receiver<Vec<Due>>,
    stop: CancellationToken,
) {
    let mut acks = FuturesUnordered::new();
    let mut queue: VecDeque<Due> = VecDeque::new();
    let mut again: Vec<Due> = Vec::new();
    // What a line causes waits for its `started`: sent together, a failure of the first would turn their order.
    let mut held: HashMap<Position, Vec<Due>> = HashMap::new();
    let mut doubted: Vec<Due> = Vec::new();
    let mut clearing = FuturesUnordered::new();
    let mut backoff = Backoff::broker().waits();
    let mut open = true;
    let mut outage = false;
    while open
        || !(queue.is_empty() && acks.is_empty() && again.is_empty() && doubted.is_empty() && clearing.is_empty())
    {
        if queue.is_empty() && clearing.is_empty() && !doubted.is_empty() {
            clearing.push(stream.clone().passed(std::mem::take(&mut doubted)));
        }
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
                    let taken = settle(settled, &outbox, &mut again, &mut backoff, &mut outage);
                    queue.extend(taken.and_then(|of| held.remove(&of)).into_iter().flatten());
                }
                Some(cleared) = clearing.next(), if !clearing.is_empty() => match cleared {
                    Ok(cleared) => queue.extend(cleared.into_iter().map(|due| Due { sent: None, ..due })),
                    Err((cleared, error)) => {
                        tracing::debug!(%error, "whether messages are in the stream is not known yet");
                        again.extend(cleared);
                    }
                },
                batch = due.recv(), if open && acks.len() < WINDOW && again.is_empty() => match batch {
                    Some(batch) => queue.extend(batch),
                    None => open = false,
                },
                () = stop.cancelled() => return,
            }
            continue;
        }
        let Some(mut due) = queue.pop_front() else { continue };
        if !outbox.owes(due.own()) {
            // Seen in the stream meanwhile; what waited for it may go.
            queue.extend(held.remove(&due.of).into_iter().flatten());
            continue;
        }
        if due.message.kind != OwnKind::Started && outbox.owes(Own { of: due.of, kind: OwnKind::Started }) {
            held.entry(due.of).or_default().push(due);
            continue;
        }
        if due.sent.is_some_and(|sent| !stream.recognises(sent)) {
            doubted.push(due);
            continue;
        }
        due.sent.get_or_insert_with(Instant::now);
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
                    let taken = settle(settled, &outbox, &mut again, &mut backoff, &mut outage);
                    queue.extend(taken.and_then(|of| held.remove(&of)).into_iter().flatten());
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
        // Sending it again would not make it smaller, and a sequence must not wait for what never comes.
        Err(Error::TooLarge { .. }) => {
            let Message { subject, id, .. } = &due.message;
            match messages::shortened(&due.message) {
                Some(short) => {
                    tracing::error!(%subject, %id, "a reply is larger than the broker takes; it goes out without what is in it");
                    let sent = publisher.publish(subject, &id.to_string(), short).await;
                    match sent {
                        Ok(receipt) => receipt.await.map(drop),
                        Err(error) => Err(error),
                    }
                }
                None => {
                    tracing::error!(%subject, %id, "a message is larger than the broker takes; it is given up");
                    Ok(())
                }
            }
        }
        other => other,
    };
    (due, started.elapsed(), result)
}

/// The line whose message is in the stream now; none where it has to be sent again.
fn settle(
    (due, took, result): (Due, Duration, Result<(), Error>),
    outbox: &Outbox,
    again: &mut Vec<Due>,
    backoff: &mut Waits,
    outage: &mut bool,
) -> Option<Position> {
    let taken = result.is_ok().then_some(due.of);
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
    taken
}
