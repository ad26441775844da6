//! Messages that were sent so long ago that the stream may have them without still knowing their ids.
//!
//! A stream recognises a repeated id for a while only (its duplicate window). After a longer outage nobody can tell by sending
//! again whether a message arrived before it: so the fold first passes all that the stream holds on its subject, and strikes
//! off what it meets. What is owed then was never stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::publish::Due;
use crate::bus::{Bus, Error};

/// How often the fold is looked at while messages wait for it.
const LOOK: Duration = Duration::from_millis(50);

/// What is known of the stream that messages go to.
#[derive(Clone)]
pub struct Stream {
    /// The broker.
    pub bus: Bus,
    /// The stream's name.
    pub name: String,
    /// How long the stream recognises a repeated id.
    pub duplicate_window: Duration,
    /// Stream sequence folded last.
    pub folded: Arc<AtomicU64>,
}

impl Stream {
    /// Whether a message sent first at this time may be sent again just so. Half the window, since the clocks of two machines
    /// and what lies in buffers come on top.
    pub fn recognises(&self, first_sent: Instant) -> bool {
        first_sent.elapsed() < self.duplicate_window / 2
    }

    /// Comes back with the messages once the fold has passed everything that the stream holds on their subjects.
    ///
    /// # Errors
    /// The messages as they are, where the broker cannot be asked.
    pub async fn passed(self, doubted: Vec<Due>) -> Result<Vec<Due>, (Vec<Due>, Error)> {
        let mut subjects: Vec<String> = doubted.iter().map(|due| due.message.subject.clone()).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let end = match self.bus.last_of(&self.name, &subjects).await {
            Ok(end) => end,
            Err(error) => return Err((doubted, error)),
        };
        while self.folded.load(Ordering::Acquire) < end {
            tokio::time::sleep(LOOK).await;
        }
        Ok(doubted)
    }
}
