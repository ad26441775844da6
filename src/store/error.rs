//! What can go wrong with the data folder.

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::ids::Position;
use crate::domain::lookup::Unreadable;

/// Anything the store cannot do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process works on the folder.
    #[error("data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A newer Shipwatch wrote the folder.
    #[error(
        "data folder {} has store format {found}, this Shipwatch reads up to format {reads}: use a newer Shipwatch or another folder",
        .dir.display()
    )]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// The format written there.
        found: u32,
        /// The newest format this build reads.
        reads: u32,
    },
    /// The folder holds a database of something else.
    #[error("data folder {} holds a database that Shipwatch did not write", .0.display())]
    Foreign(PathBuf),
    /// The file system refused.
    #[error("data folder {}: cannot {what}", .dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The database engine failed.
    #[error("data folder {}: the database failed", .dir.display())]
    Engine {
        /// The folder.
        dir: PathBuf,
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record cannot be read back.
    #[error("{what} cannot be read: {problem}")]
    Corrupt {
        /// Which record.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An earlier commit failed, so nobody knows what the disk holds.
    #[error("data folder {} must be opened again: an earlier write failed", .0.display())]
    Poisoned(PathBuf),
    /// A journal line does not lie behind the last one.
    #[error("position {position} does not lie behind {last}, the last one folded")]
    OutOfOrder {
        /// The new line.
        position: Position,
        /// The last line.
        last: Position,
    },
    /// The staged changes were made on a state that is not the newest.
    #[error("the staged changes stand on an older state than the store's")]
    Outdated,
}

impl Error {
    /// Whether the process has to end: going on could lose or double something.
    ///
    /// Only what is found before anything was written is not fatal.
    pub fn is_fatal(&self) -> bool {
        match self {
            Error::Folder { .. } | Error::Engine { .. } | Error::Corrupt { .. } | Error::Poisoned(_) => true,
            Error::InUse(_) | Error::Newer { .. } | Error::Foreign(_) => false,
            Error::OutOfOrder { .. } | Error::Outdated => false,
        }
    }

    pub(super) fn engine(dir: &Path, source: sled::Error) -> Error {
        Error::Engine { dir: dir.to_owned(), source: Box::new(source) }
    }

    pub(super) fn folder(dir: &Path, what: &'static str, source: io::Error) -> Error {
        Error::Folder { dir: dir.to_owned(), what, source }
    }
}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Unreadable {
        let cause = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
        Unreadable(format!("{error}{cause}"))
    }
}
