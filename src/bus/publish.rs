//! Publishing into the stream, pipelined: the ack is a future of its own.

use std::future::IntoFuture as _;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use bytes::Bytes;

use super::Bus;

/// Publishes events.
#[derive(Clone, Debug)]
pub struct Publisher {
    bus: Bus,
}

/// Why a message is not in the stream.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No stream has this subject.
    #[error("no stream has the subject {0:?}")]
    NoStream(String),
    /// The message is larger than the broker takes.
    #[error("the message is larger than the broker takes")]
    TooLarge,
    /// The broker did not confirm it. It may be there all the same.
    #[error("the broker did not confirm the message: {0}")]
    Unconfirmed(String),
}

/// Where a message stands in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Stream.
    pub stream: String,
    /// Sequence.
    pub sequence: u64,
    /// The stream had a message with this id already.
    pub duplicate: bool,
}

impl Bus {
    /// A publisher on this connection.
    pub fn publisher(&self) -> Publisher {
        Publisher { bus: self.clone() }
    }
}

impl Publisher {
    /// Sends an event. The future that comes back is the broker's confirmation.
    ///
    /// `id` becomes the `Nats-Msg-Id`, by which the stream recognises what it has; without one every copy is stored.
    ///
    /// # Errors
    /// Where it could not even be sent.
    pub async fn publish(
        &self,
        subject: &str,
        id: Option<&str>,
        body: Bytes,
    ) -> Result<impl Future<Output = Result<Placed, PublishError>> + Send + 'static, PublishError> {
        let mut headers = HeaderMap::new();
        if let Some(id) = id {
            headers.insert("Nats-Msg-Id", id);
        }
        let jetstream = &self.bus.jetstream;
        let subject = subject.to_owned();
        let ack = match jetstream.publish_with_headers(subject.clone(), headers, body).await {
            Ok(ack) => ack.into_future(),
            Err(e) => return Err(explain(&subject, &e)),
        };
        Ok(async move {
            match ack.await {
                Ok(ack) => Ok(Placed { stream: ack.stream, sequence: ack.sequence, duplicate: ack.duplicate }),
                Err(e) => Err(explain(&subject, &e)),
            }
        })
    }

    /// Sends without a stream, for subjects that none has.
    ///
    /// # Errors
    /// Where it could not be sent.
    pub async fn publish_core(&self, subject: &str, body: Bytes) -> Result<(), PublishError> {
        self.bus.publish_core(subject, body).await.map_err(|e| PublishError::Unconfirmed(e.to_string()))
    }
}

fn explain(subject: &str, error: &async_nats::jetstream::context::PublishError) -> PublishError {
    match error.kind() {
        PublishErrorKind::StreamNotFound => PublishError::NoStream(subject.to_owned()),
        PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge,
        _ => PublishError::Unconfirmed(error.to_string()),
    }
}
