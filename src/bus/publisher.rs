//! Publishing into the stream: pipelined, each message with its id, so that a repeat is stored once.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use tokio::time::Instant;

use super::{Bus, Error};

/// What a structured event says of itself. Keptn needs no header; clients that follow the binding's draft do.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// How long the stream's word may take.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);

/// Publishes events. Clones share the connection and the bound of messages on their way.
#[derive(Clone)]
pub struct Publisher {
    bus: Bus,
}

impl Publisher {
    pub(super) fn new(bus: &Bus) -> Publisher {
        Publisher { bus: bus.clone() }
    }

    /// Sends a structured event and comes back as soon as it is on its way; the [`Receipt`] waits for the stream's word.
    /// The broker keeps one of several messages with the same `id` within the stream's duplicate window.
    ///
    /// Waits while very many messages are on their way. During an outage a few are buffered, then this times out.
    ///
    /// # Errors
    /// A subject that cannot be, a message larger than the broker takes, or no connection in time.
    pub async fn publish(&self, subject: &str, id: &str, body: Bytes) -> Result<Receipt, Error> {
        let mut headers = HeaderMap::new();
        let id: async_nats::HeaderValue =
            id.parse().map_err(|e| Error::Settings(format!("message id {id:?} cannot be a header: {e}")))?;
        headers.insert(NATS_MESSAGE_ID, id);
        headers.insert("Content-Type", STRUCTURED);
        self.send(subject, headers, body).await
    }

    /// Sends a message with headers of the caller's, for republishing what came in another form.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_raw(&self, subject: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Receipt, Error> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: Result<async_nats::HeaderName, _> = name.parse();
            let value: Result<async_nats::HeaderValue, _> = value.parse();
            match (name, value) {
                (Ok(name), Ok(value)) => map.append(name, value),
                _ => return Err(Error::Settings(format!("{headers:?} holds what cannot be a header"))),
            }
        }
        self.send(subject, map, body).await
    }

    /// Sends without a stream, for subjects that none has: whoever listens now hears it, nobody later.
    ///
    /// # Errors
    /// A subject that cannot be, or a connection that is closed.
    pub async fn publish_core(&self, subject: &str, body: Bytes) -> Result<(), Error> {
        if !publishable(subject) {
            return Err(Error::Settings(format!("{subject:?} is not a subject to publish on")));
        }
        let failed = |why: String| Error::Broker { what: format!("a publish on {subject:?}"), why };
        let client = self.bus.js.client();
        client.publish(subject.to_owned(), body).await.map_err(|e| failed(e.to_string()))?;
        client.flush().await.map_err(|e| failed(e.to_string()))
    }

    async fn send(&self, subject: &str, headers: HeaderMap, body: Bytes) -> Result<Receipt, Error> {
        if !publishable(subject) {
            return Err(Error::Settings(format!("{subject:?} is not a subject to publish on")));
        }
        let message = PublishMessage::build().headers(headers).payload(body);
        let (sent, lost) = (Instant::now(), Box::pin(self.bus.outlived()));
        match self.bus.js.send_publish(subject.to_owned(), message).await {
            Ok(ack) => Ok(Receipt { ack, subject: subject.into(), sent, lost }),
            Err(error) => Err(failed(subject, &error)),
        }
    }
}

/// Whether a subject can be published on: no pattern, no white space, and neither the broker's own (`$…`) nor somebody's
/// inbox, where a message would be a request or an answer and no event.
pub fn publishable(subject: &str) -> bool {
    !subject.is_empty()
        && !subject.starts_with('$')
        && !subject.starts_with("_INBOX")
        && subject.split('.').all(|token| {
            !token.is_empty()
                && token != "*"
                && token != ">"
                && !token.contains(|c: char| c.is_whitespace() || c.is_control())
        })
}

/// A message on its way; await it to know that the stream has it. Dropping it does not take the message back.
#[must_use = "only the receipt says that the stream has the message"]
pub struct Receipt {
    ack: PublishAckFuture,
    subject: Box<str>,
    sent: Instant,
    lost: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Where a published message was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The stream.
    pub stream: String,
    /// Its sequence there.
    pub sequence: u64,
    /// The stream had a message with this id already.
    pub duplicate: bool,
}

impl IntoFuture for Receipt {
    type Output = Result<Stored, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Receipt { ack, subject, sent, lost } = self;
            let answer = tokio::select! {
                biased;
                answer = ack.into_future() => answer,
                () = tokio::time::sleep_until(sent + CONFIRMED_WITHIN) => Err(PublishErrorKind::TimedOut.into()),
                () = lost => Err(PublishErrorKind::TimedOut.into()),
            };
            match answer {
                Ok(ack) => Ok(Stored { stream: ack.stream, sequence: ack.sequence, duplicate: ack.duplicate }),
                Err(error) => Err(failed(&subject, &error)),
            }
        })
    }
}

fn failed(subject: &str, error: &PublishError) -> Error {
    let what = || format!("a publish on {subject:?}");
    let too_large = || Error::TooLarge { subject: subject.to_owned(), why: error.to_string() };
    match error.kind() {
        _ if code(error) == Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM) => too_large(),
        PublishErrorKind::StreamNotFound => Error::NoStreamFor(subject.to_owned()),
        PublishErrorKind::MaxPayloadExceeded => too_large(),
        PublishErrorKind::TimedOut => Error::TimedOut { what: what() },
        _ => Error::Broker { what: what(), why: error.to_string() },
    }
}

/// The code of the stream's refusal, where it is one.
fn code(error: &PublishError) -> Option<ErrorCode> {
    let refusal = std::error::Error::source(error)?.downcast_ref::<async_nats::jetstream::Error>()?;
    Some(refusal.error_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_subjects_are_published_on() {
        assert!(publishable("sh.keptn.event.test.finished"));
        for bad in
            ["", "a..b", ".a", "a.", "a.*", "a.>", "a b", "a.b\r\nPUB x 0", "$JS.API.STREAM.PURGE.s", "_INBOX.a.b"]
        {
            assert!(!publishable(bad), "{bad:?}");
        }
    }
}
