//! Requests that wait to be told what became of their event.
//!
//! The gateway listens on one subject of its own, below which every request has one that nobody can guess. The fold, in
//! this process or in another one, speaks on it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::bus::{Bus, Error, Heard};
use crate::domain::feedback::SUBJECT;

/// Everybody who waits.
#[derive(Clone, Default)]
pub struct Waiting {
    open: Arc<Mutex<HashMap<Uuid, oneshot::Sender<Bytes>>>>,
    /// What our subjects begin with.
    base: Arc<str>,
}

/// A place among those who wait; given up when dropped.
pub struct Ticket {
    id: Uuid,
    told: oneshot::Receiver<Bytes>,
    waiting: Waiting,
}

impl Waiting {
    /// Begins to listen; ends with the connection.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn listen(bus: &Bus) -> Result<Waiting, Error> {
        let base = format!("{SUBJECT}.{}", Uuid::new_v4().simple());
        let heard = bus.listen(&format!("{base}.*")).await?;
        let waiting = Waiting { base: base.into(), ..Waiting::default() };
        tokio::spawn(waiting.clone().hear(heard));
        Ok(waiting)
    }

    async fn hear(self, mut heard: Heard) {
        while let Some((subject, body)) = heard.next().await {
            let id = subject.rsplit('.').next().and_then(|id| id.parse::<Uuid>().ok());
            // Late, or somebody else's: nobody waits for it.
            let Some(open) = id.and_then(|id| self.open.lock().remove(&id)) else { continue };
            drop(open.send(body));
        }
    }

    /// Takes a place.
    pub fn ticket(&self) -> Ticket {
        let (tell, told) = oneshot::channel();
        let id = Uuid::new_v4();
        self.open.lock().insert(id, tell);
        Ticket { id, told, waiting: self.clone() }
    }
}

impl Ticket {
    /// The subject on which to be told.
    pub fn subject(&self) -> String {
        format!("{}.{}", self.waiting.base, self.id.simple())
    }

    /// Waits to be told. None where what was told could not be read.
    pub async fn told<T: DeserializeOwned>(&mut self) -> Option<T> {
        let body = (&mut self.told).await.ok()?;
        let told = serde_json::from_slice(&body);
        told.inspect_err(|error| tracing::warn!(%error, "a gateway was told in words of another version")).ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.open.lock().remove(&self.id);
    }
}
