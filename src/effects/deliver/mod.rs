//! Calls of webhooks that journal lines owe: made after the commit, beside the fold.
//!
//! A call is owed until its report ([`crate::domain::call::Delivery`]) is in the stream. After a crash between the call and its
//! report it is made again, with the same `Idempotency-Key`; the report has one id, so the sequence gets one `finished`.

mod book;
mod make;
mod queue;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::Xxh3;

use crate::domain::ids::Position;
use crate::domain::row::{OwnKind, Recorded};
use crate::metrics;
use queue::Queue;

pub use book::{Book, subjects};
pub use make::{Caller, Defaults};

/// A call to be made. Small, as very many may wait: all else is read from the journal when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallDue {
    /// The line that owes it.
    pub of: Position,
    /// Which of its calls.
    pub call: u32,
    /// Who is called: calls of one webhook share the places that one receiver may have.
    pub target: u64,
    /// Calls with the same are made one after the other: those of one webhook about one scope.
    pub order: u64,
}

impl CallDue {
    /// The calls that a line owes.
    pub fn of(position: Position, recorded: &Recorded) -> impl Iterator<Item = CallDue> {
        recorded.decision.calls.iter().zip(0..).map(move |(call, index)| {
            let mut hash = Xxh3::new();
            hash.update(call.subscription.as_bytes());
            let target = hash.digest();
            match call.about {
                Some(OwnKind::Issue(change)) => {
                    let change = recorded.decision.changes.get(change as usize);
                    hash.update(change.map_or(&[], |change| change.key.0.as_bytes()));
                }
                _ => place(recorded, &mut hash),
            }
            CallDue { of: position, call: index, target, order: hash.digest() }
        })
    }
}

/// Makes the calls that come in, at most `at_once` at a time, until the sender is dropped; those in hand are finished then, unless
/// `stop` is cancelled. What was not made stays owed.
pub async fn run(caller: Arc<Caller>, at_once: usize, mut due: mpsc::Receiver<Vec<CallDue>>, stop: CancellationToken) {
    let mut queue = Queue::new(at_once);
    let mut making: JoinSet<CallDue> = JoinSet::new();
    let mut open = true;
    while open || !making.is_empty() {
        while open && let Some(call) = queue.next() {
            let caller = caller.clone();
            making.spawn(async move {
                // A defect in one call must not keep its place from the others.
                if AssertUnwindSafe(caller.make(call)).catch_unwind().await.is_err() {
                    tracing::error!(event = %call.of, "a call broke off; it is made again after the next start");
                }
                call
            });
        }
        metrics::calls_waiting(queue.len() + making.len());
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(made) = making.join_next(), if !making.is_empty() => {
                made.iter().for_each(|call| queue.done(call));
            }
            calls = due.recv(), if open => match calls {
                Some(calls) => calls.into_iter().for_each(|call| queue.push(call)),
                None => open = false,
            },
        }
    }
}

/// Where in the estate an event belongs: what Keptn says, else the scope that the rules gave it.
fn place(recorded: &Recorded, hash: &mut Xxh3) {
    let parts = recorded.head.as_ref().map(|head| [&head.project, &head.stage, &head.service]);
    match parts.filter(|parts| parts.iter().any(|part| !part.is_empty())) {
        Some(parts) => parts.iter().for_each(|part| {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }),
        None => {
            let scope = recorded.decision.key.as_ref().map(crate::domain::issue::Key::scope_id);
            scope.into_iter().for_each(|scope| hash.update(scope.0.as_bytes()));
        }
    }
}
