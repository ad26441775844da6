//! Reading part of a stream for its own sake, without leaving state on the broker.

use std::pin::pin;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::DeliverPolicy;
use bytes::Bytes;
use futures_util::FutureExt;

use super::connect::{Asked, Bus};
use super::consumer::{self, Filter};
use super::reader::{Reader, refuses_readers};
use super::{Error, GroupLimits, Message, stream};
use crate::domain::stream::StreamIdentity;
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
    bus: Bus,
    from: DeliverPolicy,
    to: Option<Time>,
    /// Which stream it is.
    pub stream: StreamIdentity,
    /// The subjects it takes.
    pub subjects: Vec<String>,
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
        let after = after.max(first.saturating_sub(1));
        let mut reader = Reader::new(bus, name, Filter::default(), after, until);
        let mut start = DeliverPolicy::ByStartSequence { start_sequence: after + 1 };
        if let Bound::Time(time) = from {
            reader = reader.since(time);
            start = DeliverPolicy::ByStartTime { start_time: time.into() };
        }
        let (stream, subjects) = (stream::identity(&info), info.config.subjects);
        let bus = bus.clone();
        Ok(Replay { reader, bus, from: start, to, stream, subjects, first_sequence: first, last_sequence: last })
    }

    /// How many messages there are to read; none where the stream takes no reading consumer, so that nobody knows.
    ///
    /// # Errors
    /// The stream is gone, or cannot be asked.
    pub async fn count(&self) -> Result<Option<u64>, Error> {
        let behind = match self.to {
            Some(to) => DeliverPolicy::ByStartTime { start_time: to.plus(Duration::from_nanos(1)).into() },
            None => DeliverPolicy::ByStartSequence { start_sequence: self.reader.until() + 1 },
        };
        let Some(all) = self.pending(self.from).await? else { return Ok(None) };
        let Some(behind) = self.pending(behind).await? else { return Ok(None) };
        Ok(Some(all.saturating_sub(behind)))
    }

    /// Messages from a place on.
    async fn pending(&self, from: DeliverPolicy) -> Result<Option<u64>, Error> {
        let name = &self.stream.name;
        match consumer::ephemeral(&self.bus, name, &Filter::default(), from).await {
            Ok(info) => {
                let subject = format!("{}.CONSUMER.DELETE.{name}.{}", self.bus.prefix(), info.name);
                self.bus.client.publish(subject, Bytes::new()).await.ok();
                Ok(Some(info.num_pending))
            }
            Err(asked) if refuses_readers(&asked) => Ok(None),
            Err(asked) => Err(asked.error),
        }
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
