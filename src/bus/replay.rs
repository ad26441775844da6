//! Reading part of a stream for its own sake, without leaving state on the broker.

use std::pin::pin;

use async_nats::jetstream::ErrorCode;
use futures_util::FutureExt;

use super::connect::{Asked, Bus};
use super::consumer::Filter;
use super::reader::Reader;
use super::{Error, GroupLimits, Message, stream};
use crate::domain::time::Time;

/// Where a replay begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The stream's own first or last message.
    Open,
    /// This sequence, itself included.
    Sequence(u64),
    /// This time of the stream, itself included.
    Time(Time),
}

/// Part of a stream, read without leaving state on the broker. It ends at the message that was the last at its start.
pub struct Replay {
    reader: Reader,
    to: Option<Time>,
    /// The first sequence the stream still has.
    pub first_sequence: u64,
    /// The stream's last sequence when the replay began.
    pub last_sequence: u64,
}

impl Replay {
    /// Begins to read the stream `name`.
    ///
    /// # Errors
    /// The stream does not exist or cannot be asked.
    pub async fn open(bus: &Bus, name: &str, from: Bound, to: Bound) -> Result<Replay, Error> {
        let info = stream::info(bus, name).await.map_err(|asked| match asked {
            Asked { code, .. } if code == ErrorCode::STREAM_NOT_FOUND.0 => {
                Error::NoStream(format!("stream {name:?} does not exist"))
            }
            Asked { error, .. } => error,
        })?;
        let (first, last) = (info.state.first_sequence, info.state.last_sequence);
        let (until, to) = match to {
            Bound::Open => (last, None),
            Bound::Sequence(sequence) => (sequence.min(last), None),
            Bound::Time(time) => (last, Some(time)),
        };
        let after = match from {
            Bound::Sequence(sequence) => sequence.saturating_sub(1),
            Bound::Open | Bound::Time(_) => 0,
        };
        let mut reader = Reader::new(bus, name, Filter::default(), after.max(first.saturating_sub(1)), until);
        if let Bound::Time(time) = from {
            reader = reader.since(time);
        }
        Ok(Replay { reader, to, first_sequence: first, last_sequence: last })
    }

    /// The next messages: waits for one, adds those already here. Empty at the end.
    ///
    /// # Errors
    /// The stream is gone, or for a command the broker no longer answers.
    pub async fn next_group(&mut self, limits: GroupLimits) -> Result<Vec<Message>, Error> {
        let mut messages = Vec::new();
        let mut bytes = 0;
        let Some(first) = self.reader.next().await? else { return Ok(messages) };
        let mut next = Some(first);
        while let Some(message) = next.take() {
            if self.to.is_some_and(|to| message.stream_time > to) {
                self.reader.finish().await;
                break;
            }
            bytes += message.payload.len();
            messages.push(message);
            if messages.len() >= limits.messages || bytes >= limits.bytes || !self.reader.flows() {
                break;
            }
            let mut more = pin!(tokio::task::unconstrained(self.reader.next()));
            next = match more.as_mut().now_or_never() {
                Some(Ok(message)) => message,
                // An error comes again with the next call.
                Some(Err(_)) | None => None,
            };
        }
        Ok(messages)
    }
}
