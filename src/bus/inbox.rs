//! Reading the stream in order, in groups, with one ack for each.
//!
//! The broker remembers what was acknowledged, but it does not keep order for us: what was on its way to a process that
//! died comes again after the ack wait, behind newer messages. So order is made here. Messages that the consumer has
//! handed out and the store has not are read from the stream by a consumer of the moment, at start and whenever the
//! count of deliveries shows that some were lost; what comes again later is older than what was seen, and only acked.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::MessagesErrorKind;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::Acker as NatsAcker;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self};
use futures_util::{FutureExt as _, StreamExt as _};

use super::{Error, Message, stream};
use crate::backoff::Backoff;
use crate::domain::stream::StreamIdentity;

/// Where a group ends.
#[derive(Clone, Copy, Debug)]
pub struct GroupLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of bodies.
    pub bytes: usize,
}

/// The first message there is, and those already behind it.
pub struct Group {
    /// In stream order; never empty.
    pub messages: Vec<Message>,
    /// To be acknowledged once the group is stored.
    pub ack: AckToken,
    /// Messages that the stream holds behind it.
    pub pending: u64,
}

/// What acknowledges a group.
#[derive(Default)]
pub struct AckToken(Vec<NatsAcker>);

/// Acknowledges groups.
#[derive(Clone, Debug)]
pub struct Acker(());

impl Acker {
    /// One confirmed ack for a whole group.
    ///
    /// # Errors
    /// Where the broker did not confirm; the group is delivered again then.
    pub async fn ack(&self, token: AckToken) -> Result<(), Error> {
        for acker in token.0 {
            acker.double_ack().await.map_err(|e| Error::JetStream(e.to_string()))?;
        }
        Ok(())
    }
}

/// Messages in stream order.
pub struct Inbox {
    stream: Stream,
    identity: StreamIdentity,
    durable: String,
    /// Last stream sequence handed out.
    seen: u64,
    /// Deliveries of the consumer that have been accounted for; none where that is not known.
    delivered: Option<u64>,
    config: pull::Config,
    messages: Option<pull::Stream>,
    /// Messages lie before what the consumer hands out and have to be read first, up to this sequence.
    behind: Option<u64>,
    catching_up: Option<(pull::Stream, u64)>,
    /// A message that came while others were missing before it.
    held: Option<jetstream::Message>,
    outage: bool,
}

impl Inbox {
    pub(super) fn new(stream: Stream, identity: StreamIdentity, durable: String, folded: u64) -> Inbox {
        Inbox {
            stream,
            identity,
            durable,
            seen: folded,
            delivered: None,
            config: pull::Config::default(),
            messages: None,
            behind: None,
            catching_up: None,
            held: None,
            outage: false,
        }
    }

    /// The stream that is read.
    pub fn stream(&self) -> &StreamIdentity {
        &self.identity
    }

    /// Acknowledges groups of this inbox.
    pub fn acker(&self) -> Acker {
        Acker(())
    }

    /// Waits for the first message and adds those already there. May be dropped while it waits: what it has is kept.
    ///
    /// # Errors
    /// Only where waiting does not help; outages are waited out.
    pub async fn next_group(&mut self, limits: GroupLimits) -> Result<Group, Error> {
        loop {
            self.ready().await?;
            let first = match self.held.take() {
                Some(message) => message,
                None => match self.next().await? {
                    Some(message) => message,
                    None => continue,
                },
            };
            let mut group = Group { messages: Vec::new(), ack: AckToken::default(), pending: 0 };
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(message) = next.take() {
                bytes += message.payload.len();
                if !self.take(message, &mut group) || group.messages.len() >= limits.messages || bytes >= limits.bytes {
                    break;
                }
                next = self.at_hand();
            }
            if !group.messages.is_empty() {
                return Ok(group);
            }
            // Only what was seen before: acknowledge it, so that it does not come again.
            if !group.ack.0.is_empty() {
                let _ = self.acker().ack(group.ack).await;
            }
        }
    }

    /// Adds a message to the group. False where others are missing before it: the group ends, and they are read first.
    fn take(&mut self, message: jetstream::Message, group: &mut Group) -> bool {
        let Ok(info) = message.info() else { return true };
        let (sequence, count, pending) = (info.stream_sequence, info.consumer_sequence, info.pending);
        let published = info.published;
        if self.catching_up.is_none() {
            if sequence <= self.seen {
                self.delivered = self.delivered.map(|d| d.max(count));
                // Its ack may not take the place of a newer one, which covers it.
                if self.config.ack_policy != AckPolicy::All || group.ack.0.is_empty() {
                    group.ack.0.push(message.split().1);
                }
                return true;
            }
            let contiguous = self.delivered.is_some_and(|d| count == d + 1) || sequence == self.seen + 1;
            if !contiguous {
                self.behind = Some(sequence - 1);
                // Whatever it is that was lost is read now; counting goes on from here.
                self.delivered = Some(count - 1);
                self.held = Some(message);
                return false;
            }
            self.delivered = Some(count);
        } else if sequence <= self.seen {
            return true;
        }
        let wanted = |name: &str| name.starts_with("ce-") || name == "content-type";
        let headers = message.headers.iter().flat_map(|all| all.iter()).filter_map(|(name, values)| {
            let name = name.to_string().to_ascii_lowercase();
            wanted(&name).then(|| (name, values.first().map(ToString::to_string).unwrap_or_default()))
        });
        let headers = headers.collect();
        self.seen = sequence;
        group.pending = pending;
        let durable = self.catching_up.is_none();
        let (message, acker) = message.split();
        group.messages.push(Message {
            sequence,
            subject: message.subject.to_string(),
            stream_time: published.into(),
            headers,
            payload: message.payload,
        });
        if durable {
            self.acked(acker, group);
        }
        true
    }

    /// One ack for all where the consumer has it, else one for each.
    fn acked(&self, acker: NatsAcker, group: &mut Group) {
        if self.config.ack_policy == AckPolicy::All {
            group.ack.0.clear();
        }
        group.ack.0.push(acker);
    }

    /// The next message, if it is there already.
    fn at_hand(&mut self) -> Option<jetstream::Message> {
        let messages = match &mut self.catching_up {
            Some((messages, upto)) if self.seen < *upto => messages,
            Some(_) => return None,
            None => self.messages.as_mut()?,
        };
        match messages.next().now_or_never() {
            Some(Some(Ok(message))) => Some(message),
            _ => None,
        }
    }

    /// Sees to it that there is something to read from.
    async fn ready(&mut self) -> Result<(), Error> {
        if self.messages.is_none() {
            self.open().await?;
        }
        if self.catching_up.as_ref().is_some_and(|(_, upto)| self.seen >= *upto) {
            self.catching_up = None;
        }
        if let Some(upto) = self.behind.take()
            && upto > self.seen
        {
            match self.catch_up(upto).await {
                Ok(messages) => self.catching_up = messages.map(|m| (m, upto)),
                Err(error) => {
                    self.behind = Some(upto);
                    self.wait(&error).await;
                }
            }
        }
        Ok(())
    }

    /// Opens the durable. What it has handed out and we have not seen is read first.
    async fn open(&mut self) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        loop {
            match self.try_open().await {
                Ok(()) => {
                    if std::mem::take(&mut self.outage) {
                        tracing::info!(stream = %self.identity.name, "reading the stream again");
                    }
                    return Ok(());
                }
                Err(error @ Error::Stream(_)) => return Err(error),
                Err(error) => {
                    if !std::mem::replace(&mut self.outage, true) {
                        tracing::warn!(stream = %self.identity.name, %error, "the stream cannot be read, trying again");
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    async fn try_open(&mut self) -> Result<(), Error> {
        let failed = |problem: String| Error::Consumer { name: self.durable.clone(), problem };
        let info = self.stream.get_info().await.map_err(|e| failed(e.to_string()))?;
        if self.identity.created != info.created.into() {
            return Err(Error::Stream(format!(
                "the stream {} was replaced by another of the same name; start again to begin a new count",
                self.identity.name
            )));
        }
        let mut notes = Vec::new();
        self.config = stream::consumer(&self.stream, &self.durable, self.seen, &mut notes).await?;
        let consumer =
            self.stream.get_consumer::<pull::Config>(&self.durable).await.map_err(|e| failed(e.to_string()))?;
        let state = consumer.cached_info();
        if state.delivered.stream_sequence > self.seen {
            self.behind = Some(state.delivered.stream_sequence);
        }
        self.delivered = Some(state.delivered.consumer_sequence);
        let messages = consumer
            .stream()
            .max_messages_per_batch(2048)
            .heartbeat(Duration::from_secs(5))
            .expires(Duration::from_secs(30))
            .messages()
            .await
            .map_err(|e| failed(e.to_string()))?;
        self.messages = Some(messages);
        Ok(())
    }

    /// Reads a part of the stream again. None where nothing of it is left.
    async fn catch_up(&self, upto: u64) -> Result<Option<pull::Stream>, Error> {
        let failed = |problem: String| Error::Consumer { name: "of the moment".into(), problem };
        let info = self.stream.get_info().await.map_err(|e| failed(e.to_string()))?;
        if info.state.first_sequence > upto || info.state.messages == 0 {
            return Ok(None);
        }
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.seen + 1 },
            ack_policy: AckPolicy::None,
            filter_subject: self.config.filter_subject.clone(),
            inactive_threshold: Duration::from_secs(60),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self.stream.create_consumer(config).await.map_err(|e| failed(e.to_string()))?;
        let pending = consumer.cached_info().num_pending;
        if pending == 0 {
            return Ok(None);
        }
        let messages = consumer.stream().max_messages_per_batch(1024).messages().await;
        Ok(Some(messages.map_err(|e| failed(e.to_string()))?))
    }

    /// The next message. None where something has to be set up again first.
    async fn next(&mut self) -> Result<Option<jetstream::Message>, Error> {
        if let Some((messages, upto)) = &mut self.catching_up {
            let upto = *upto;
            // The last messages of the range may have been deleted since; then newer ones come, or none.
            return match tokio::time::timeout(Duration::from_secs(5), messages.next()).await {
                Ok(Some(Ok(message))) => {
                    if message.info().is_ok_and(|i| i.stream_sequence > upto) {
                        self.seen = self.seen.max(upto);
                        self.catching_up = None;
                        return Ok(None);
                    }
                    Ok(Some(message))
                }
                Ok(_) => {
                    self.catching_up = None;
                    self.behind = Some(upto);
                    Ok(None)
                }
                Err(_) => {
                    self.catching_up = None;
                    self.behind = self.still_there(upto).await.then_some(upto);
                    Ok(None)
                }
            };
        }
        let Some(messages) = &mut self.messages else { return Ok(None) };
        match messages.next().await {
            Some(Ok(message)) => {
                if std::mem::take(&mut self.outage) {
                    tracing::info!(stream = %self.identity.name, "reading the stream again");
                }
                Ok(Some(message))
            }
            Some(Err(error)) => {
                let fatal = !matches!(error.kind(), MessagesErrorKind::MissingHeartbeat);
                if !std::mem::replace(&mut self.outage, true) {
                    tracing::warn!(stream = %self.identity.name, %error, "the stream is silent, waiting for it");
                }
                if fatal {
                    self.messages = None;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Ok(None)
            }
            None => {
                self.messages = None;
                Ok(None)
            }
        }
    }

    /// Whether messages behind what was seen are left in the stream, up to a sequence.
    async fn still_there(&self, upto: u64) -> bool {
        match self.stream.get_info().await {
            Ok(info) => {
                info.state.last_sequence >= upto && info.state.first_sequence <= upto && {
                    let next = self.stream.raw_message_builder().sequence(upto).send().await;
                    next.is_ok()
                }
            }
            Err(_) => true,
        }
    }

    async fn wait(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.outage, true) {
            tracing::warn!(stream = %self.identity.name, %error, "the stream cannot be read, trying again");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
