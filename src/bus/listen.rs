//! Listening on core NATS, for what is said to whoever is there at this moment.

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{Bus, Error};

/// Messages as they come. Lasts across lost connections, though what is said meanwhile is not heard.
pub struct Heard(Subscriber);

impl Heard {
    /// The next message: its subject and its body. None once the connection is closed for good.
    pub async fn next(&mut self) -> Option<(String, Bytes)> {
        let message = self.0.next().await?;
        Some((message.subject.to_string(), message.payload))
    }
}

impl Bus {
    /// Listens on a subject, which may hold wildcards. What is published on this connection afterwards is heard.
    ///
    /// # Errors
    /// A subject that cannot be, or a connection that is closed.
    pub async fn listen(&self, subject: &str) -> Result<Heard, Error> {
        let failed = |why: String| Error::Broker { what: format!("a subscription to {subject:?}"), why };
        self.client.subscribe(subject.to_owned()).await.map(Heard).map_err(|e| failed(e.to_string()))
    }
}
