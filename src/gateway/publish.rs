//! Publishing one event and waiting for the fold's word about it.

use std::future::IntoFuture as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Link, Refusal, State};
use crate::bus::STRUCTURED;
use crate::domain::feedback::{Feedback, TELL};
use crate::domain::ids;

/// Most characters of an `Idempotency-Key`.
const LONGEST_KEY: usize = 255;

/// What makes a request the same as an earlier one.
pub struct Once {
    /// The id of its event.
    pub id: Uuid,
    /// The hash of its body, where a repeat is to be recognised.
    pub hash: Option<String>,
}

impl Once {
    /// A new request, or with a key the one that had this key: per `kind` and `place`.
    pub fn of(kind: &str, place: &[&str], key: Option<&str>, body: &[u8]) -> Result<Once, Refusal> {
        match key {
            None => Ok(Once { id: Uuid::new_v4(), hash: None }),
            Some(key) if key.is_empty() || key.len() > LONGEST_KEY => {
                let details = format!("it has {} characters, not 1 to {LONGEST_KEY}", key.len());
                Err(Refusal::bad("Bad header Idempotency-Key", details))
            }
            Some(key) => {
                let words: Vec<&str> = place.iter().copied().chain([key]).collect();
                let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
                Ok(Once { id: ids::derive(kind, &words), hash: Some(hash) })
            }
        }
    }
}

/// Publishes and waits: none where the stream has the event and the fold has not spoken in time.
pub async fn publish(state: &State, link: &Link, ty: &str, event: Bytes) -> Result<Option<Feedback>, Refusal> {
    let mut ticket = link.waiting.ticket();
    let tell = ticket.subject();
    // No `Nats-Msg-Id`: the stream would swallow a repeat, and the fold would not speak of it.
    let headers = [("Content-Type", STRUCTURED), (TELL, tell.as_str())];
    let receipt = link.publisher.publish_raw(ty, &headers, event).await?;
    let told = ticket.told();
    tokio::pin!(told);
    tokio::select! {
        biased;
        // Who folded it has it from the stream.
        feedback = &mut told => return Ok(feedback),
        stored = receipt.into_future() => drop(stored?),
    }
    tokio::select! {
        biased;
        feedback = &mut told => Ok(feedback),
        () = tokio::time::sleep(state.options.wait) => Ok(None),
        () = state.stop.cancelled() => Ok(None),
    }
}
