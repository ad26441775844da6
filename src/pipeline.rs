//! The loop of the service: groups of messages in, one commit each, effects and acks after it.
//!
//! Three workers, joined by bounded channels. The *reader* pulls a group and decodes it while the *fold*, a thread of
//! its own, decides and commits the one before; the *settler* acknowledges. Publishing is `effects::publish`.

mod fold;
mod read;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::bus::{self, Inbox};
use crate::crash;
use crate::domain::decide::{Memory, Settings};
use crate::domain::stream::Reached;
use crate::domain::time::Time;
use crate::effects::deadlines::{Deadlines, Feed};
use crate::effects::deliver::CallDue;
use crate::effects::feedback::Asked;
use crate::effects::outbox::Outbox;
use crate::effects::publish::Due;
use crate::rules::RuleBook;
use crate::store::Store;
use fold::Fold;
use read::{Decoded, Reader, read};

pub use read::{GROUP, missed};

/// Messages of our own remembered so that they are recognised when they come back without a look into the journal, which
/// costs fifty times as much. They come back behind all that the stream held when they were sent; some 50 bytes each.
const MEMORY: usize = 256 * 1024;

/// What the loop is built from.
pub struct Pipeline {
    /// The store; the fold is its only writer.
    pub store: Store,
    /// Where messages come from.
    pub inbox: Inbox,
    /// The rules.
    pub rules: RuleBook,
    /// Configuration that decisions depend on.
    pub settings: Settings,
    /// Largest message that is read, in bytes.
    pub event_size: usize,
    /// What is owed to the stream.
    pub outbox: Arc<Outbox>,
    /// Messages that are due.
    pub due: mpsc::Sender<Vec<Due>>,
    /// Webhooks to call.
    pub calls: mpsc::Sender<Vec<CallDue>>,
    /// Events whose publishers wait to be told.
    pub asked: mpsc::Sender<Vec<Asked>>,
    /// The tasks under way.
    pub deadlines: Arc<Deadlines>,
    /// How far the fold is.
    pub progress: Arc<Progress>,
    /// Where reading begins.
    pub from: Reached,
    /// Sequence of the last message that an earlier life may have sent, as the stream was when the service started. Messages
    /// are sent only behind it. Set to 0 where that message will never come.
    pub end_at_start: Arc<AtomicU64>,
    /// Where the store has sent nothing yet: what the stream took before is history, about which nobody is called.
    pub history: Option<Time>,
}

/// How far the fold is, for readiness and metrics.
#[derive(Debug, Default)]
pub struct Progress {
    /// Stream sequence folded last.
    pub folded: Arc<AtomicU64>,
    /// Messages that the stream holds behind it.
    pub lag: AtomicU64,
}

impl Pipeline {
    /// Runs until `stop` is cancelled; then finishes the group in hand, and acknowledges it.
    ///
    /// # Errors
    /// Where the store cannot be read or written, or the broker refuses for good. The process ends then.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Pipeline {
            store,
            inbox,
            rules,
            settings,
            event_size,
            outbox,
            due,
            calls,
            asked,
            deadlines,
            progress,
            from,
            end_at_start,
            history,
        } = self;
        let (to_fold, groups) = mpsc::channel::<Decoded>(2);
        let (to_acks, acks) = mpsc::channel::<bus::Token>(16);
        let folded = from.sequence;
        let memory = Arc::new(Memory::new(MEMORY));
        let reader = Arc::new(Reader { rules: rules.current().clone(), memory: memory.clone(), event_size });
        let (tell, switched) = watch::channel((from.sequence, reader.clone()));
        progress.folded.store(folded, Ordering::Relaxed);
        let fold = Fold {
            store,
            rules,
            tell,
            settings,
            memory,
            reader,
            base: from.base,
            outbox,
            due,
            calls,
            asked,
            acks: to_acks,
            deadlines: Feed::new(deadlines),
            progress,
            live: folded >= end_at_start.load(Ordering::Relaxed),
            end_at_start,
            history,
        };
        let acker = inbox.acker();
        let runtime = tokio::runtime::Handle::current();
        let failed = stop.clone();
        let fold = std::thread::Builder::new().name("fold".into()).spawn(move || {
            let result = fold.run(&runtime, groups);
            failed.cancel();
            result
        })?;
        let settle = tokio::spawn(settle(acker, acks));
        let read = read(inbox, switched, from, to_fold, stop).await;
        let fold = tokio::task::spawn_blocking(move || fold.join()).await?;
        settle.await?;
        fold.map_err(|_| anyhow::anyhow!("the fold panicked"))?.and(read)
    }
}

/// Acknowledges what is committed. A lost ack costs a redelivery, which is recognised by its sequence.
async fn settle(acker: bus::Acker, mut acks: mpsc::Receiver<bus::Token>) {
    while let Some(token) = acks.recv().await {
        crash::point("before-ack");
        if let Err(error) = acker.ack(token).await {
            tracing::debug!(%error, "a group was not acknowledged and will be delivered again");
        }
        crash::point("after-ack");
    }
}
