//! What deciding may look at: the state as of the event before, whoever keeps it.

use std::sync::Arc;

use super::ids::{KeyId, Position, ScopeId};
use super::issue::{KeyState, ScopeState};
use super::row::{Mark, Row};

/// Reads of the state. Implemented by the group's staged changes over the store, and by a map in tests.
///
/// What it returns is the state after the event before this one, so decisions depend on the stream alone.
pub trait Lookup {
    /// The record of a key.
    fn key(&self, id: KeyId) -> Option<Arc<KeyState>>;
    /// The record of a scope.
    fn scope(&self, id: ScopeId) -> Option<Arc<ScopeState>>;
    /// The key of the issue with this number.
    fn numbered(&self, number: u64) -> Option<KeyId>;
    /// All keys whose scope has these three parts, whatever their project and stage, in the order of their first event.
    fn keys_with_scope(&self, scope: &super::issue::Scope) -> Vec<KeyId>;
    /// All keys of a Keptn project and stage, in a fixed order. Looks at every scope there is, so not for every event.
    fn keys_of_stage(&self, project: &str, stage: &str) -> Vec<KeyId>;
    /// The number the next new issue gets.
    fn next_number(&self) -> u64;
    /// Journal lines that may carry this mark, oldest first. May hold lines that do not: compare.
    ///
    /// # Errors
    /// When the journal cannot be read; the fold stops then.
    fn rows(&self, mark: Mark<'_>) -> Result<Vec<Arc<Row>>, Unreadable>;
    /// The newest `limit` of [`Lookup::rows`], oldest first. Reads no more than it needs.
    ///
    /// # Errors
    /// As [`Lookup::rows`].
    fn newest_rows(&self, mark: Mark<'_>, limit: usize) -> Result<Vec<Arc<Row>>, Unreadable> {
        let mut rows = self.rows(mark)?;
        rows.drain(..rows.len().saturating_sub(limit));
        Ok(rows)
    }
    /// The first line behind `after` that may carry this mark and is the one wanted. Reads no more than it needs.
    ///
    /// # Errors
    /// As [`Lookup::rows`].
    fn first_after(
        &self,
        mark: Mark<'_>,
        after: Position,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Option<Arc<Row>>, Unreadable> {
        Ok(self.rows(mark)?.into_iter().find(|row| row.position > after && wanted(row)))
    }

    /// Whether the line at this place is parked.
    fn is_parked(&self, position: Position) -> bool;

    /// One journal line; none where it is not kept any more.
    ///
    /// # Errors
    /// As [`Lookup::rows`].
    fn row(&self, position: Position) -> Result<Option<Arc<Row>>, Unreadable>;
}

/// The state could not be read. Never guessed around: the process stops.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the store: {0}")]
pub struct Unreadable(pub String);
