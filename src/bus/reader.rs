//! Reading a range of the stream again, in order and without leaving a trace on the broker.
//!
//! A reader ends where the range ends or the stream has no more. It survives lost connections, lost deliveries and
//! deleted consumers by starting again behind the last message it handed out. A message that cannot come that way at
//! all (headers that are not UTF-8 break the client's connection each time) is fetched by its sequence.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::message::Message as Delivered;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::connect::{Asked, Bus, LinkState, Patience, reconnected};
use super::consumer::{self, Filter};
use super::{Error, Headers, Message};
use crate::backoff::{Backoff, Waits};
use crate::domain::time::Time;

/// Messages of a range are there already, so this long without one means that they went astray.
const STALL: Duration = Duration::from_secs(3);
/// Starts without a single message before a message is fetched by its sequence.
const FRUITLESS: u32 = 2;
/// Failures in a row after which a command gives up.
const GIVE_UP: u32 = 6;

/// Reads `(after, until]`.
pub(super) struct Reader {
    bus: Bus,
    stream: String,
    filter: Filter,
    after: u64,
    until: u64,
    /// Where the range begins by time and nothing was read yet.
    since: Option<Time>,
    live: Option<Live>,
    link: watch::Receiver<LinkState>,
    waits: Waits,
    /// The stream takes no reading consumer: fetch everything by sequence.
    single: bool,
    done: bool,
}

struct Live {
    messages: pull::Stream,
    consumer: String,
    /// Consumer sequence of the last delivery; the next one is one more, or something went astray.
    delivered: u64,
    epoch: u64,
}

impl Reader {
    pub(super) fn new(bus: &Bus, stream: &str, filter: Filter, after: u64, until: u64) -> Reader {
        Reader {
            bus: bus.clone(),
            stream: stream.to_owned(),
            filter,
            after,
            until,
            since: None,
            live: None,
            link: bus.link(),
            waits: Backoff::broker().waits(),
            single: false,
            done: false,
        }
    }

    /// Begins at the first message of `time` or later, instead of behind a sequence.
    pub(super) fn since(mut self, time: Time) -> Reader {
        self.since = Some(time);
        self
    }

    /// The end of the range.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// Whether a message may be here already.
    pub(super) fn flows(&self) -> bool {
        self.live.is_some() || self.done || self.after >= self.until
    }

    /// The next message; `None` at the end. Safe to drop: a message is handed out or still to come.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if self.done || self.after >= self.until {
                self.finish().await;
                return Ok(None);
            }
            let Some(live) = &mut self.live else {
                match self.start().await {
                    Ok(None) => continue,
                    Ok(Some(message)) => return Ok(Some(message)),
                    Err(error) if self.bears(&error) => {
                        tracing::debug!(%error, stream = %self.stream, "reading the stream failed, trying again");
                        self.pause().await;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            };
            // Deliveries first: the rest is looked at only where none is there.
            let item = tokio::select! {
                biased;
                item = live.messages.next() => item,
                () = reconnected(&mut self.link, live.epoch) => None,
                () = tokio::time::sleep(STALL) => None,
            };
            let Some(Ok(delivered)) = item else {
                let why = item.map(|i| i.map(drop));
                tracing::debug!(?why, after = self.after, "reading stopped, starting again");
                if self.bus.patience == Patience::FailFast && self.waits.failures() >= GIVE_UP {
                    return Err(Error::TimedOut { what: format!("a read of stream {:?}", self.stream) });
                }
                self.pause().await;
                continue;
            };
            let Some((message, facts)) = take(delivered) else { continue };
            let expected = live.delivered + 1;
            live.delivered = facts.delivery;
            if facts.delivery != expected {
                tracing::debug!(after = self.after, delivery = facts.delivery, expected, "a delivery is missing");
                self.pause().await;
                continue;
            }
            self.done = facts.pending == 0;
            if let Some(message) = self.accept(message) {
                return Ok(Some(message));
            }
        }
    }

    fn accept(&mut self, message: Message) -> Option<Message> {
        if message.sequence > self.until {
            self.done = true;
            return None;
        }
        if message.sequence <= self.after {
            return None;
        }
        self.after = message.sequence;
        self.since = None;
        self.waits.reset();
        Some(message)
    }

    /// Starts a consumer behind the last message, or after fruitless starts fetches the one that does not come.
    async fn start(&mut self) -> Result<Option<Message>, Error> {
        if self.single || self.waits.failures() >= FRUITLESS && self.since.is_none() {
            return Ok(match fetch_next(&self.bus, &self.stream, self.after + 1).await? {
                Some(message) => self.accept(message),
                None => {
                    self.done = true;
                    None
                }
            });
        }
        let epoch = self.link.borrow().epoch;
        let policy = match self.since {
            Some(time) => DeliverPolicy::ByStartTime { start_time: time.into() },
            None => DeliverPolicy::ByStartSequence { start_sequence: self.after + 1 },
        };
        let info = match consumer::ephemeral(&self.bus, &self.stream, &self.filter, policy).await {
            Ok(info) => info,
            Err(asked) if asked.is(ErrorCode::STREAM_NOT_FOUND) => {
                return Err(Error::StreamChanged(format!("stream {:?} is gone", self.stream)));
            }
            // A work queue, a stream whose number of consumers is used up, or an account without the right.
            Err(asked) if refuses_readers(&asked) && self.since.is_none() && self.filter.is_all() => {
                self.single = true;
                return Ok(None);
            }
            Err(asked) => return Err(asked.error),
        };
        if info.num_pending == 0 {
            self.done = true;
        }
        let messages = consumer::pull(&self.bus, &info).await?;
        self.live = Some(Live { messages, consumer: info.name, delivered: 0, epoch });
        Ok(None)
    }

    fn bears(&self, error: &Error) -> bool {
        let patient = self.bus.patience == Patience::Wait || self.waits.failures() < GIVE_UP;
        patient && (error.is_passing() || matches!(error, Error::NoJetStream(_)))
    }

    /// Waits before the next start, longer each time.
    async fn pause(&mut self) {
        self.stop().await;
        tokio::time::sleep(self.waits.next_delay()).await;
    }

    /// Takes the consumer off the broker; it would go by itself, a little later.
    pub(super) async fn finish(&mut self) {
        self.done = true;
        self.stop().await;
    }

    async fn stop(&mut self) {
        if let Some(live) = &self.live {
            let subject = format!("{}.CONSUMER.DELETE.{}.{}", self.bus.prefix(), self.stream, live.consumer);
            self.bus.client.publish(subject, Bytes::new()).await.ok();
            self.live = None;
        }
    }
}

pub(super) fn refuses_readers(asked: &Asked) -> bool {
    use ErrorCode as Code;
    let codes = [
        Code::CONSUMER_WQ_REQUIRES_EXPLICIT_ACK,
        Code::CONSUMER_WQ_MULTIPLE_UNFILTERED,
        Code::CONSUMER_WQ_CONSUMER_NOT_UNIQUE,
        Code::CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL,
        Code::CONSUMER_PULL_REQUIRES_ACK,
        Code::MAXIMUM_CONSUMERS_LIMIT,
    ];
    matches!(asked.error, Error::NotAllowed { .. }) || codes.into_iter().any(|code| asked.is(code))
}

/// What a delivery says beside the message.
pub(super) struct Facts {
    /// Counts the deliveries of the consumer, repeated ones too.
    pub delivery: u64,
    /// Messages of the stream behind this one.
    pub pending: u64,
    /// Where the acknowledgement goes.
    pub reply: Option<async_nats::Subject>,
}

/// Splits a delivery; `None` for something that no JetStream consumer sent.
pub(super) fn take(delivered: Delivered) -> Option<(Message, Facts)> {
    let info = match delivered.info() {
        Ok(info) => info,
        Err(error) => {
            tracing::debug!(%error, "passed over a message that is not a delivery");
            return None;
        }
    };
    let (sequence, stream_time) = (info.stream_sequence, info.published.into());
    let (delivery, pending) = (info.consumer_sequence, info.pending);
    let message = delivered.message;
    let facts = Facts { delivery, pending, reply: message.reply };
    let headers = Headers::from(message.headers);
    let subject = message.subject.into_string();
    Some((Message { sequence, subject, stream_time, headers, payload: message.payload }, facts))
}

/// Fetches the first message at or behind `sequence` by the API that carries headers as text the client cannot choke on.
pub(super) async fn fetch_next(bus: &Bus, stream: &str, sequence: u64) -> Result<Option<Message>, Error> {
    // A sequence that exists is asked for as it is: brokers differ in what they make of both members together.
    match fetch(bus, stream, json!({"seq": sequence})).await? {
        None => fetch(bus, stream, json!({"seq": sequence, "next_by_subj": ">"})).await,
        found => Ok(found),
    }
}

/// Fetches one message by its sequence; `None` where it is gone.
pub(super) async fn fetch_at(bus: &Bus, stream: &str, sequence: u64) -> Result<Option<Message>, Error> {
    fetch(bus, stream, json!({"seq": sequence})).await
}

/// Fetches the last message on a subject; `None` where there is none.
pub(super) async fn fetch_last(bus: &Bus, stream: &str, subject: &str) -> Result<Option<Message>, Error> {
    fetch(bus, stream, json!({"last_by_subj": subject})).await
}

/// Fetches one message of a stream, as the API is asked for it.
pub(super) async fn fetch(bus: &Bus, stream: &str, which: serde_json::Value) -> Result<Option<Message>, Error> {
    #[derive(Deserialize)]
    struct Answer {
        message: Stored,
    }
    #[derive(Deserialize)]
    struct Stored {
        subject: String,
        seq: u64,
        #[serde(default)]
        hdrs: String,
        #[serde(default)]
        data: String,
        time: Time,
    }
    let what = format!("read a message of stream {stream:?}");
    let asked: Result<Answer, Asked> = bus.api(&what, format!("STREAM.MSG.GET.{stream}"), &which).await;
    let stored = match asked {
        Ok(answer) => answer.message,
        Err(asked) if asked.is(ErrorCode::NO_MESSAGE_FOUND) => return Ok(None),
        Err(asked) if asked.is(ErrorCode::STREAM_NOT_FOUND) => {
            return Err(Error::StreamChanged(format!("stream {stream:?} is gone")));
        }
        Err(asked) => return Err(asked.error),
    };
    let decode = |text: &str| {
        STANDARD.decode(text).map_err(|e| Error::Broker { what: what.clone(), why: format!("base64: {e}") })
    };
    Ok(Some(Message {
        sequence: stored.seq,
        subject: stored.subject,
        stream_time: stored.time,
        headers: headers_of(&decode(&stored.hdrs)?),
        payload: decode(&stored.data)?.into(),
    }))
}

/// Reads a header block with whatever is in it; bytes that are not text become the replacement character.
fn headers_of(block: &[u8]) -> Headers {
    let text = String::from_utf8_lossy(block);
    Headers::from_pairs(text.split("\r\n").skip(1).filter_map(|line| line.split_once(':')).map(|(n, v)| (n, v.trim())))
}
