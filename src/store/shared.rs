//! What the writer and the readers of one data folder have in common.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sled::{Batch, IVec};
use tokio::sync::watch;

use super::block::Block;
use super::catalog::Catalog;
use super::chunks;
use super::due::Subject;
use super::error::Error;
use super::index::{ByMark, Index};
use super::journal::Line;
use super::keyspace;
use super::ledger::Ledger;
use super::recent::Recent;
use super::record::Fold;
use super::store::Options;
use crate::domain::ids::Position;
use crate::domain::row::Row;
use crate::domain::time::Time;

/// One open data folder.
pub struct Shared {
    pub dir: PathBuf,
    pub options: Options,
    pub tree: sled::Db,
    pub catalog: RwLock<Catalog>,
    pub state: RwLock<State>,
    /// The last line, told after each commit.
    pub committed: watch::Sender<Option<Position>>,
    /// The map of marks that the last group has emptied: growing one anew for every group costs more than filling it.
    pub scratch: Mutex<ByMark>,
    /// Held while lines move into their block, so that nobody looks for them in between.
    layout: RwLock<()>,
    poisoned: AtomicBool,
    /// A second handle of the database file: the engine's flush does not survive a power cut, `sync_data` on it does.
    file: File,
    /// Held as long as the folder is open.
    _lock: File,
}

/// What is kept in memory beside the catalog. Follows from the disk, and changes only after a commit is there.
#[derive(Default)]
pub struct State {
    pub fold: Fold,
    pub index: Index,
    pub recent: Recent,
    pub due: BTreeSet<(Time, Subject)>,
    pub parked: BTreeSet<Position>,
    /// The lines retention looks at next, with their stream times.
    pub ahead: VecDeque<(Position, Time)>,
    /// The lines whose block is not full, and in how many chunks each stands alone.
    pub open: Vec<(Line, u16)>,
    pub ledger: Ledger,
    /// Blocks before this one are gone, unless a parked line is in them.
    pub swept: Position,
    /// From where on each of the rule sets holds that are kept, in order.
    pub rules: Vec<Position>,
}

impl State {
    /// Whether retention has left a line.
    pub fn is_kept(&self, position: Position) -> bool {
        position >= self.fold.oldest || self.parked.contains(&position)
    }

    /// Moves a thing in the order of what is due.
    pub fn redue(&mut self, subject: Subject, before: Option<Time>, after: Option<Time>) {
        if before != after {
            before.map(|at| self.due.remove(&(at, subject)));
            self.due.extend(after.map(|at| (at, subject)));
        }
    }
}

impl Shared {
    /// Locks the folder and opens the database in it.
    pub fn open(dir: &Path, options: Options) -> Result<Shared, Error> {
        let folder = |what| move |e| Error::folder(dir, what, e);
        fs::create_dir_all(dir).map_err(folder("create it"))?;
        let lock = File::options().create(true).truncate(false).write(true).open(dir.join("lock"));
        let lock = lock.map_err(folder("open its lock file"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(dir.to_owned())),
            Err(TryLockError::Error(e)) => return Err(Error::folder(dir, "lock it", e)),
        }
        remove_half_snapshots(dir).map_err(folder("tidy it up"))?;
        // Flushes in the background would share the disk with our own and bring nothing: an event counts when its commit is flushed.
        let config = sled::Config::new().path(dir).cache_capacity(options.cache).flush_every_ms(None);
        let tree = open_engine(dir, &config)?;
        let file = File::options().write(true).open(dir.join("db")).map_err(folder("open its database file"))?;
        let shared = Shared {
            dir: dir.to_owned(),
            options,
            tree,
            catalog: RwLock::default(),
            state: RwLock::default(),
            committed: watch::Sender::default(),
            scratch: Mutex::default(),
            layout: RwLock::default(),
            poisoned: AtomicBool::new(false),
            file,
            _lock: lock,
        };
        // The names of new files have to survive a power cut as well.
        File::open(dir).and_then(|d| d.sync_all()).map_err(folder("sync it"))?;
        Ok(shared)
    }

    /// Writes one batch for good: atomic, flushed, and synced unless that is left to the end. After an error nothing more is
    /// read or written.
    pub fn write(&self, batch: Batch) -> Result<(), Error> {
        self.check()?;
        let applied = {
            let _moves = self.layout.write();
            self.tree.apply_batch(batch).map_err(|e| self.engine(e))
        };
        match applied {
            Ok(()) if self.options.sync => self.sync(),
            Ok(()) => Ok(()),
            Err(error) => {
                self.poison();
                Err(error)
            }
        }
    }

    /// Has the disk keep what was written. After an error nobody knows what it holds.
    pub fn sync(&self) -> Result<(), Error> {
        self.check()?;
        let flushed = self.tree.flush().map_err(|e| self.engine(e));
        let synced = flushed
            .and_then(|_| self.file.sync_data().map_err(|e| Error::folder(&self.dir, "sync its database file", e)));
        if synced.is_err() {
            self.poison();
        }
        synced
    }

    /// From here on nothing is read or written.
    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// An error once a write has failed.
    pub fn check(&self) -> Result<(), Error> {
        match self.poisoned.load(Ordering::Acquire) {
            true => Err(Error::Poisoned(self.dir.clone())),
            false => Ok(()),
        }
    }

    /// A failure of the engine.
    pub fn engine(&self, error: sled::Error) -> Error {
        Error::engine(&self.dir, error)
    }

    /// A journal line, wherever it is quickest to have.
    pub fn row(&self, position: Position) -> Result<Option<Arc<Row>>, Error> {
        self.check()?;
        {
            let state = self.state.read();
            // A line is in the engine a moment before its issues are in the catalog: it is not there yet.
            if !state.is_kept(position) || Some(position) > state.fold.last {
                return Ok(None);
            }
            if let Some(row) = state.recent.get(position) {
                return Ok(Some(row.clone()));
            }
        }
        let Some((block, bytes)) = self.block_before(Some(position))? else { return Ok(None) };
        Ok(block.rows(&bytes, |p| p == position)?.pop().map(|(row, _)| row))
    }

    /// The last block that begins at `position` or before it; the last of all for none.
    pub fn block_before(&self, position: Option<Position>) -> Result<Option<(Block, Vec<u8>)>, Error> {
        let _stays = self.layout.read();
        let after = position.and_then(|p| p.to_u64().checked_add(1));
        let end =
            after.map_or_else(|| vec![keyspace::JOURNAL + 1], |n| keyspace::journal(Position::from_u64(n)).to_vec());
        let last = self.tree.range(vec![keyspace::JOURNAL]..end).next_back().transpose().map_err(|e| self.engine(e))?;
        last.map_or(Ok(None), |(key, value)| self.block(&key, value))
    }

    /// The block that holds `position`, or the first behind it.
    pub fn block_from(&self, position: Position) -> Result<Option<(Block, Vec<u8>)>, Error> {
        let _stays = self.layout.read();
        let here = keyspace::journal(position);
        let failed = |e| self.engine(e);
        let before =
            self.tree.range(vec![keyspace::JOURNAL]..=here.to_vec()).next_back().transpose().map_err(failed)?;
        if let Some((key, value)) = before
            && let Some(found) = self.block(&key, value)?.filter(|(block, _)| block.last() >= position)
        {
            return Ok(Some(found));
        }
        // Chunks of the block before may lie in between.
        for entry in self.tree.range(here.to_vec()..vec![keyspace::JOURNAL + 1]) {
            let (key, value) = entry.map_err(failed)?;
            if key.len() == keyspace::JOURNAL_LEN {
                return self.block(&key, value);
            }
        }
        Ok(None)
    }

    /// The block of a record, given any of its chunks.
    fn block(&self, key: &[u8], value: IVec) -> Result<Option<(Block, Vec<u8>)>, Error> {
        let Some(at) = keyspace::position(key) else { return Ok(None) };
        let start = keyspace::journal(at);
        let first = match key.len() == start.len() {
            true => Some(value),
            false => self.tree.get(start).map_err(|e| self.engine(e))?,
        };
        let Some(first) = first else { return Ok(None) };
        let bytes = chunks::read(&self.tree, &start, &first).map_err(|e| self.engine(e))?.into_owned();
        Ok(Some((Block::head(at, &bytes)?, bytes)))
    }

    /// The lines that may carry a mark.
    pub fn find(&self, mark: u64) -> Result<Vec<Position>, Error> {
        self.check()?;
        self.state.read().index.find(&self.tree, mark).map_err(|e| self.engine(e))
    }

    /// The newest `limit` lines before `before` that may carry a mark, in order.
    pub fn find_newest(&self, mark: u64, before: Position, limit: usize) -> Result<Vec<Position>, Error> {
        self.check()?;
        self.state.read().index.find_newest(&self.tree, mark, before, limit).map_err(|e| self.engine(e))
    }
}

/// A store closed in this process may hold the engine's own lock a moment longer than ours: its last jobs run on threads.
fn open_engine(dir: &Path, config: &sled::Config) -> Result<sled::Db, Error> {
    let locked = |e: &sled::Error| matches!(e, sled::Error::Io(e) if e.to_string().contains("could not acquire lock"));
    for _ in 0..1000 {
        match config.open() {
            Err(e) if locked(&e) => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened.map_err(|e| Error::engine(dir, e)),
        }
    }
    Err(Error::InUse(dir.to_owned()))
}

/// A kill during start-up can leave `snap.*.generating` behind, with which the engine never opens again. The data is intact.
fn remove_half_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
