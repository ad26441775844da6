//! What all watchers share: each stretch of the journal is read and written as JSON once, whoever asks for it first.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::changes::{self, Batch};
use super::cursor::Cursor;
use crate::query::{Problem, State};

/// Batches kept. Watchers that have caught up all ask for the same one; a slow one finds its own in the journal.
const KEPT: usize = 8;

/// Watchers at once. Each holds a connection, of which others want some too.
const WATCHERS: usize = 1024;

/// The batches that were read last.
pub struct Feed {
    kept: Mutex<VecDeque<Arc<Batch>>>,
    /// One reads at a time, so that those who want the same find it done.
    reading: tokio::sync::Mutex<()>,
    pub(in crate::query) places: Arc<Semaphore>,
}

impl Default for Feed {
    fn default() -> Feed {
        let places = Arc::new(Semaphore::new(WATCHERS));
        Feed { kept: Mutex::default(), reading: tokio::sync::Mutex::default(), places }
    }
}

impl Feed {
    fn get(&self, from: Cursor) -> Option<Arc<Batch>> {
        self.kept.lock().iter().find(|batch| batch.from == from).cloned()
    }

    /// What comes behind a cursor; there must be a line.
    pub(super) async fn behind(&self, state: &State, from: Cursor) -> Result<Arc<Batch>, Problem> {
        if let Some(batch) = self.get(from) {
            return Ok(batch);
        }
        let _turn = self.reading.lock().await;
        if let Some(batch) = self.get(from) {
            return Ok(batch);
        }
        let batch = state.clone().reading(move |state| changes::read(&state.reader, from)).await?;
        let batch = Arc::new(batch);
        let mut kept = self.kept.lock();
        kept.push_back(batch.clone());
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(batch)
    }
}
