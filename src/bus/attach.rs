//! From a connection to messages: choose the stream, compare it with the store, open the inbox.

use std::time::{Duration, Instant};

use super::connect::{Bus, Patience};
use super::inbox::older_copy;
use super::stream::{self, Chosen};
use super::{Error, Gap, Inbox, consumer};
use crate::backoff::Backoff;
use crate::domain::stream::StreamIdentity;
use crate::domain::time::Time;

/// A broker that just started has no JetStream for a moment; one that has none after this long will not get it.
const JETSTREAM_COMES_WITHIN: Duration = Duration::from_secs(30);

/// Which stream to read, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamWish {
    /// The stream to use as it is; without, one is found or made.
    pub named: Option<String>,
    /// Wait for the named stream where it does not exist yet.
    pub wait_for: bool,
    /// The name of a stream of our own.
    pub create_as: String,
    /// The subjects it should hold.
    pub subjects: Vec<String>,
    /// The name of the durable consumer.
    pub durable: String,
}

impl Default for StreamWish {
    fn default() -> StreamWish {
        StreamWish {
            named: None,
            wait_for: false,
            create_as: "shipwatch".into(),
            subjects: Vec::new(),
            durable: "shipwatch".into(),
        }
    }
}

/// How far the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The stream it folded; none for an empty store.
    pub stream: Option<StreamIdentity>,
    /// The last sequence folded.
    pub sequence: u64,
    /// The stream time of that message, where it is known: it tells a restored stream from the one that was folded.
    pub time: Option<Time>,
}

/// Where the fold goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The store is empty: from the beginning.
    Empty,
    /// Behind the store's sequence.
    Continue,
    /// The stream is not the one the store folded: a new count begins with its first message.
    NewCount {
        /// What differs.
        why: String,
    },
}

/// A stream that is being read.
pub struct Attached {
    /// Which stream it is.
    pub stream: StreamIdentity,
    /// Where the fold goes on.
    pub start: Start,
    /// The first sequence the stream still has.
    pub first_sequence: u64,
    /// Its last sequence at start.
    pub last_sequence: u64,
    /// How long the stream recognises a repeated message id.
    pub duplicate_window: Duration,
    /// What the stream no longer holds and the store has not folded.
    pub missed: Vec<Gap>,
    /// Worth a log line each, and printed by `doctor`.
    pub notes: Vec<String>,
    /// The messages.
    pub inbox: Inbox,
}

/// Finds or makes the stream and the consumer, and opens the inbox behind what the store has.
///
/// # Errors
/// What someone has to change at the broker or in the settings. With [`Patience::Wait`] an outage is waited for.
pub async fn attach(bus: &Bus, wish: &StreamWish, store: &Reached) -> Result<Attached, Error> {
    let begun = Instant::now();
    let mut waits = Backoff::broker().waits();
    loop {
        let error = match try_attach(bus, wish, store).await {
            Ok(attached) => return Ok(attached),
            Err(error) => error,
        };
        let waiting_for_stream = wish.wait_for && wish.named.is_some() && matches!(error, Error::NoStream(_));
        let helps = match &error {
            Error::NoStream(_) => waiting_for_stream,
            Error::NoJetStream(_) => begun.elapsed() < JETSTREAM_COMES_WITHIN,
            Error::StreamChanged(_) => true,
            other => other.is_passing(),
        };
        if bus.patience == Patience::FailFast || !helps {
            return Err(error);
        }
        if waits.failures() == 0 {
            tracing::warn!(%error, "the stream cannot be read yet, waiting");
        }
        tokio::time::sleep(waits.next_delay()).await;
    }
}

async fn try_attach(bus: &Bus, wish: &StreamWish, store: &Reached) -> Result<Attached, Error> {
    let chosen = stream::choose(bus, wish, store.stream.as_ref().map(|s| s.name.as_str())).await?;
    let stream = chosen.identity();
    let start = compare(bus, &chosen, store).await?;
    let (position, time) = match start {
        Start::Continue => (store.sequence, store.time),
        Start::Empty | Start::NewCount { .. } => (0, None),
    };
    let mut inbox = Inbox::new(bus, stream.clone(), &wish.durable, position, time);
    inbox.open().await?;
    let mut notes = chosen.notes;
    notes.extend(consumer::unseen(bus, &stream.name, wish).await?);
    Ok(Attached {
        stream,
        start,
        first_sequence: chosen.info.state.first_sequence,
        last_sequence: chosen.info.state.last_sequence,
        duplicate_window: chosen.info.config.duplicate_window,
        missed: inbox.take_missed(),
        notes,
        inbox,
    })
}

async fn compare(bus: &Bus, chosen: &Chosen, store: &Reached) -> Result<Start, Error> {
    let now = chosen.identity();
    match &store.stream {
        None => Ok(Start::Empty),
        Some(folded) if folded.name != now.name => {
            Ok(Start::NewCount { why: format!("the store folded stream {:?}, this is {:?}", folded.name, now.name) })
        }
        Some(folded) if folded.created != now.created => Ok(Start::NewCount {
            why: format!(
                "stream {:?} was made at {}, the one the store folded at {}",
                now.name, now.created, folded.created
            ),
        }),
        Some(_) => Ok(match older_copy(bus, &chosen.info, store.sequence, store.time).await? {
            Some(why) => Start::NewCount { why },
            None => Start::Continue,
        }),
    }
}

/// The stream that [`attach`] would read, as it is now and without making or changing anything.
///
/// # Errors
/// There is none, or the broker cannot be asked.
pub async fn find(bus: &Bus, wish: &StreamWish) -> Result<(StreamIdentity, Vec<String>), Error> {
    let chosen = stream::look(bus, wish).await?;
    Ok((chosen.identity(), chosen.notes))
}
