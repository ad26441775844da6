//! The writer of a data folder. There is one.

use std::path::Path;
use std::sync::Arc;

use sled::Batch;

use super::commit::{self, Committed};
use super::due::Retention;
use super::error::Error;
use super::keyspace;
use super::load;
use super::reader::Reader;
use super::record::{self, Fold};
use super::shared::Shared;
use super::staged::Staged;
use crate::domain::ids::Position;
use crate::domain::stream::Reached;

/// What the store is told at start.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long things are kept.
    pub retention: Retention,
    /// Bytes of pages the engine keeps in memory.
    pub cache: u64,
    /// Lines in one sealed segment of the index. Part of what makes two stores equal, so only tests set it.
    pub segment_rows: u64,
    /// Newest journal lines that stay whatever their age.
    pub keep_rows: u64,
    /// Whether a commit survives a power cut. Without, only [`Store::sync`] makes it so: for a store that is thrown away, or
    /// that is put in its place when all of it is there.
    pub sync: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { retention: Retention::default(), cache: 16 << 20, segment_rows: 1 << 15, keep_rows: 1000, sync: true }
    }
}

/// One open data folder, and the right to write to it.
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Opens the folder, making it where there is none.
    ///
    /// # Errors
    /// Where another process has it, a newer version wrote it, or it cannot be read or written.
    pub fn open(dir: &Path, options: Options) -> Result<Store, Error> {
        let shared = Shared::open(dir, options)?;
        load::load(&shared).map_err(|error| match error {
            Error::Corrupt { .. } | Error::NewerRecord { .. } => {
                Error::Unloadable { dir: dir.to_owned(), problem: Box::new(error) }
            }
            other => other,
        })?;
        Ok(Store { shared: Arc::new(shared) })
    }

    /// Begins a group on the newest state.
    pub fn stage(&self) -> Staged {
        Staged::new(self.shared.clone())
    }

    /// Writes a group for good: after `Ok` it survives a power cut, unless [`Options::sync`] is off. `reached` is the last message of the stream it covers.
    ///
    /// # Errors
    /// After a fatal one nobody knows what the disk holds: every later call fails, and the process has to end.
    pub fn commit(&mut self, staged: Staged, reached: Reached) -> Result<Committed, Error> {
        commit::commit(&self.shared, staged, reached)
    }

    /// Writes for good that all effects of the lines up to `position` are done, outside of any group.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn flush_published(&mut self, position: Position) -> Result<(), Error> {
        let mut fold = self.shared.state.read().fold.clone();
        if fold.published >= Some(position) {
            return self.shared.check();
        }
        fold.published = Some(position);
        let mut batch = Batch::default();
        batch.insert(keyspace::FOLD, record::encode(&fold));
        self.shared.write(batch)?;
        self.shared.state.write().fold.published = fold.published;
        Ok(())
    }

    /// Makes all that was committed survive a power cut.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn sync(&self) -> Result<(), Error> {
        self.shared.sync()
    }

    /// How far the fold is.
    pub fn progress(&self) -> Fold {
        self.shared.state.read().fold.clone()
    }

    /// A handle that can read and nothing else.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// What a failed write does.
    #[cfg(test)]
    pub(super) fn poison(&self) {
        self.shared.poison();
    }
}
