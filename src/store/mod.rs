//! The store: a fold of the stream, on disk. sled types do not leave this room.

pub mod catalog;
mod dump;
mod expiry;
mod postings;
mod reader;
mod record;
mod space;
mod staged;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use crate::domain::ids::Position;
use crate::domain::stream::Reached;
use catalog::Catalog;
use expiry::Expiry;
use postings::Postings;
use space::{JOURNAL, KEYS, META, PARKED, SCOPES, key};

pub use dump::dump;
pub use reader::Reader;
pub use staged::Staged;

/// Form of the data folder. Raised when an older binary could not read it.
const FORMAT: u32 = 1;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be used.
    #[error("data folder {path}: {problem}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The disk or sled failed.
    #[error("the store failed: {0}")]
    Sled(#[from] sled::Error),
    /// The disk failed.
    #[error("the store failed: {0}")]
    Io(#[from] io::Error),
    /// A record cannot be read or written.
    #[error("a record cannot be read: {0}")]
    Record(#[from] postcard::Error),
    /// What is stored makes no sense.
    #[error("the store is damaged: {0}")]
    Broken(String),
    /// An earlier commit failed; nobody knows what the disk holds.
    #[error("an earlier commit failed, so nothing more is written")]
    Poisoned,
}

/// How the store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long events are kept, by stream time.
    pub keep_events: Duration,
    /// How long resolved issues are kept, by stream time of their last change.
    pub keep_resolved: Duration,
    /// Bytes of sled's cache.
    pub cache: u64,
    /// Journal lines of an index segment.
    pub segment: u32,
}

impl Default for Options {
    fn default() -> Options {
        let day = Duration::from_secs(86_400);
        Options { keep_events: 30 * day, keep_resolved: 90 * day, cache: 48 << 20, segment: postings::SEGMENT }
    }
}

/// Small facts, stored together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meta {
    format: u32,
    reached: Option<Reached>,
    /// Sequences of streams folded before lie below this one, so that positions never repeat.
    next_number: u64,
    published: Position,
    /// Lines in the index tail, removed ones counted.
    tail_lines: u32,
    /// Lines in the journal.
    lines: u64,
    /// Retention has looked at everything before.
    oldest: Position,
    parked: u64,
}

/// What readers and the writer share.
#[derive(Debug)]
struct Shared {
    tree: Tree,
    catalog: RwLock<Catalog>,
    postings: RwLock<Postings>,
    meta: RwLock<Meta>,
    expiry: RwLock<Expiry>,
    options: Options,
}

/// The store, owned by its only writer.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    db: sled::Db,
    /// Second handle of sled's file: its own flush does not survive a power cut.
    file: File,
    poisoned: bool,
}

const META_KEY: [u8; 1] = [META];

impl Store {
    /// Opens a data folder, making it where there is none.
    ///
    /// # Errors
    /// A folder that is locked, of a newer format, read-only or damaged, in plain words.
    pub fn open(path: &Path, options: Options) -> Result<Store, Error> {
        let folder = |problem: String| Error::Folder { path: path.to_owned(), problem };
        std::fs::create_dir_all(path).map_err(|e| folder(format!("cannot be made: {e}")))?;
        remove_unfinished_snapshots(path).map_err(|e| folder(format!("cannot be read: {e}")))?;
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(options.cache)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None)
            .print_profile_on_drop(false);
        let db = config.open().map_err(|e| folder(explain_open(&e)))?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(path.join("db"))
            .map_err(|e| folder(format!("cannot be written: {e}")))?;
        let tree: Tree = (*db).clone();
        let meta = match space::get(&tree, &META_KEY)? {
            Some(value) => read_meta(&value).map_err(folder)?,
            None => Meta {
                format: FORMAT,
                reached: None,
                next_number: 1,
                published: Position::new(0, 0),
                tail_lines: 0,
                lines: 0,
                oldest: Position::new(0, 0),
                parked: 0,
            },
        };
        let mut catalog = Catalog::default();
        for entry in space::scan(&tree, SCOPES) {
            let (key, value) = entry?;
            catalog.put_scope(
                crate::domain::ids::ScopeId(uuid_of(&key)?),
                Some(Arc::new(record::decode("scope", &value)?)),
            );
        }
        let mut expiry = Expiry::default();
        for entry in space::scan(&tree, KEYS) {
            let (key, value) = entry?;
            let id = crate::domain::ids::KeyId(uuid_of(&key)?);
            let state = record::decode("key", &value)?;
            expiry.put(id, Some(&state), &options);
            catalog.put(id, Some(Arc::new(state)));
        }
        let mut postings = Postings::open(&tree, options.segment)?;
        let behind = postings.sealed().map_or(Position::new(0, 0), |p| Position::from_u64(p.to_u64() + 1));
        for entry in tree.range(key(JOURNAL, &behind.to_u64().to_be_bytes())..key(JOURNAL + 1, &[])) {
            let (key, stored) = entry?;
            let position = position_of(&key)?;
            let (row, marks) = record::decode_row(position, &space::whole(&tree, &key, stored)?)?;
            match &row.entry {
                crate::domain::row::Entry::Own(_) => postings.note(position, &marks),
                crate::domain::row::Entry::Event(r) => {
                    let mut marks = crate::domain::decide::Marked::new();
                    r.marks(|m| marks.push(m.hash()));
                    postings.note(position, &marks);
                }
            }
        }
        postings.set_tail_lines(meta.tail_lines);
        let shared = Shared {
            tree,
            catalog: RwLock::new(catalog),
            postings: RwLock::new(postings),
            meta: RwLock::new(meta),
            expiry: RwLock::new(expiry),
            options,
        };
        Ok(Store { shared: Arc::new(shared), db, file, poisoned: false })
    }

    /// How far the fold is; none in a new folder.
    pub fn progress(&self) -> Option<Reached> {
        self.shared.meta.read().reached.clone()
    }

    /// The messages of all lines up to here are published.
    pub fn published(&self) -> Position {
        self.shared.meta.read().published
    }

    /// A read-only view for the query endpoint.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// An empty group of changes over the store.
    pub fn stage(&self) -> Staged {
        Staged::new(self.shared.clone())
    }

    /// Writes a group: one batch, one flush, one sync. Nothing may be acknowledged before it returns.
    ///
    /// # Errors
    /// Any error is final: what the disk holds is not known then.
    pub fn commit(&mut self, staged: Staged, reached: Reached) -> Result<(), Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        self.poisoned = true;
        let mut batch = Batch::default();
        let applied = staged.write(&mut batch, reached)?;
        self.write(batch)?;
        applied.publish(&self.shared);
        self.poisoned = false;
        Ok(())
    }

    /// Stores how far the outbox is, where that has changed.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn flush_published(&mut self, published: Position) -> Result<(), Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let mut meta = self.shared.meta.read().clone();
        if published <= meta.published {
            return Ok(());
        }
        meta.published = published;
        self.poisoned = true;
        let mut batch = Batch::default();
        space::put(&mut batch, &META_KEY, &record::encode(&meta)?, None);
        self.write(batch)?;
        *self.shared.meta.write() = meta;
        self.poisoned = false;
        Ok(())
    }

    fn write(&self, batch: Batch) -> Result<(), Error> {
        self.shared.tree.apply_batch(batch)?;
        self.db.flush()?;
        self.file.sync_data()?;
        Ok(())
    }
}

fn read_meta(value: &[u8]) -> Result<Meta, String> {
    let newer = |format: u32| {
        format!("was written by a newer Shipwatch (format {format}, this one reads up to {FORMAT}); use that version")
    };
    // The format stands first in every version, so that it can be told of any.
    match value {
        [1, rest @ ..] => {
            let (format, _) =
                postcard::take_from_bytes::<u32>(rest).map_err(|e| format!("meta cannot be read: {e}"))?;
            if format > FORMAT {
                return Err(newer(format));
            }
            postcard::from_bytes(rest).map_err(|e| format!("meta cannot be read: {e}"))
        }
        [version, ..] => Err(newer(u32::from(*version))),
        [] => Err("meta is empty".into()),
    }
}

/// A kill during start-up can leave one of these, after which sled does not open; the data is intact without it.
fn remove_unfinished_snapshots(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.starts_with("snap.") && text.ends_with(".generating") {
            std::fs::remove_file(path.join(&name))?;
        }
    }
    Ok(())
}

fn explain_open(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(e) if e.to_string().contains("lock") => {
            "is in use by another process; stop it, or give another folder with --data-dir".into()
        }
        sled::Error::Io(e) => format!("cannot be opened: {e}"),
        other => format!("cannot be opened: {other}"),
    }
}

fn uuid_of(key: &[u8]) -> Result<uuid::Uuid, Error> {
    uuid::Uuid::from_slice(&key[1..]).map_err(|_| Error::Broken("a key is not an id".into()))
}

fn position_of(key: &[u8]) -> Result<Position, Error> {
    let bytes: [u8; 8] = key[1..].try_into().map_err(|_| Error::Broken("a key is not a position".into()))?;
    Ok(Position::from_u64(u64::from_be_bytes(bytes)))
}

fn journal_key(position: Position) -> Vec<u8> {
    key(JOURNAL, &position.to_u64().to_be_bytes())
}

fn parked_key(position: Position) -> Vec<u8> {
    key(PARKED, &position.to_u64().to_be_bytes())
}

#[cfg(test)]
pub(crate) mod tests;
