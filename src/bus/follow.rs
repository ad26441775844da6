//! Following a subject from now on, without leaving anything behind.
//!
//! Where a stream holds the subject, it is read from the stream: in order, once each, and across lost connections. Else it is
//! listened to on core NATS, and what is said while the connection is lost is not heard.

use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::{Consumer, DeliverPolicy, pull};
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::connect::{LinkState, reconnected};
use super::reader::take;
use super::{Bus, Error, Headers, Message, stream};
use crate::domain::time::Time;

/// How often the client is asked again, though nothing has come: it does not wake for everything it has to do.
const LOOK: Duration = Duration::from_secs(1);

/// A subject being followed.
pub struct Followed(How);

enum How {
    Stream(Box<Tail>),
    Core { heard: Subscriber, subject: String },
}

/// The end of a stream.
struct Tail {
    bus: Bus,
    stream: String,
    subject: String,
    /// The last sequence that was handed out or that was there before.
    after: u64,
    live: Option<pull::Ordered>,
    link: watch::Receiver<LinkState>,
    epoch: u64,
}

impl Bus {
    /// Follows a subject, which may hold wildcards. What is published from now on, by whomever, is handed out.
    ///
    /// # Errors
    /// The connection is closed, or the broker does not answer.
    pub async fn follow(&self, subject: &str) -> Result<Followed, Error> {
        match self.tail(subject).await {
            Ok(Some(tail)) => return Ok(Followed(How::Stream(Box::new(tail)))),
            Ok(None) => {}
            // No JetStream, or not for this account: core NATS serves as well.
            Err(error) => tracing::debug!(%error, subject, "no stream is followed"),
        }
        let failed = |why: String| Error::Broker { what: format!("a subscription to {subject:?}"), why };
        let heard = self.client.subscribe(subject.to_owned()).await.map_err(|e| failed(e.to_string()))?;
        self.flush().await;
        Ok(Followed(How::Core { heard, subject: subject.to_owned() }))
    }

    async fn tail(&self, subject: &str) -> Result<Option<Tail>, Error> {
        let Some(name) = self.stream_of(subject).await? else { return Ok(None) };
        let after = stream::info(self, &name).await?.state.last_sequence;
        let (link, epoch) = (self.link(), self.link().borrow().epoch);
        let mut tail =
            Tail { bus: self.clone(), stream: name, subject: subject.into(), after, live: None, link, epoch };
        tail.start().await?;
        Ok(Some(tail))
    }
}

impl Followed {
    /// The stream that is followed; none on core NATS.
    pub fn stream(&self) -> Option<&str> {
        match &self.0 {
            How::Stream(tail) => Some(&tail.stream),
            How::Core { .. } => None,
        }
    }

    /// The next message. Safe to drop: a message is handed out or still to come.
    ///
    /// # Errors
    /// The stream is gone, or the connection is closed for good.
    pub async fn next(&mut self) -> Result<Message, Error> {
        match &mut self.0 {
            How::Stream(tail) => tail.next().await,
            How::Core { heard, subject } => {
                let closed =
                    || Error::Broker { what: format!("the subscription to {subject:?}"), why: "closed".into() };
                let message = heard.next().await.ok_or_else(closed)?;
                let (subject, headers) = (message.subject.into_string(), Headers::from(message.headers));
                Ok(Message { sequence: 0, subject, stream_time: Time::EPOCH, headers, payload: message.payload })
            }
        }
    }
}

impl Tail {
    async fn next(&mut self) -> Result<Message, Error> {
        loop {
            let Some(live) = &mut self.live else {
                match self.start().await {
                    Err(error) if error.is_passing() => tokio::time::sleep(LOOK).await,
                    started => started?,
                }
                continue;
            };
            let item = tokio::select! {
                biased;
                item = live.next() => item,
                () = reconnected(&mut self.link, self.epoch) => None,
                () = tokio::time::sleep(LOOK) => continue,
            };
            match item {
                Some(Ok(delivered)) => {
                    let Some((message, _)) = take(delivered) else { continue };
                    if message.sequence > self.after {
                        self.after = message.sequence;
                        return Ok(message);
                    }
                }
                other => {
                    tracing::debug!(error = ?other.map(|i| i.map(drop)), after = self.after, "following the stream again");
                    self.live = None;
                }
            }
        }
    }

    /// Begins behind the last message.
    async fn start(&mut self) -> Result<(), Error> {
        let failed = |why: String| Error::Broker { what: format!("a follower of stream {:?}", self.stream), why };
        let epoch = self.link.borrow().epoch;
        let config = pull::OrderedConfig {
            filter_subject: self.subject.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.after + 1 },
            ..Default::default()
        };
        let stream = self.bus.js.get_stream(&self.stream).await.map_err(|e| failed(e.to_string()))?;
        let consumer: Consumer<pull::OrderedConfig> =
            stream.create_consumer(config).await.map_err(|e| failed(e.to_string()))?;
        self.live = Some(consumer.messages().await.map_err(|e| failed(e.to_string()))?);
        self.epoch = epoch;
        Ok(())
    }
}
