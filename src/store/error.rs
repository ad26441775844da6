//! What can go wrong with the data folder.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::domain::ids::Position;
use crate::domain::lookup::Unreadable;

/// Anything the store cannot do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process works on the folder.
    #[error("data folder {} is in use by another process: stop that, or name another folder (dataDir, --data-dir)", .0.display())]
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
    #[error("data folder {} holds a database that Shipwatch did not write: name another folder (dataDir, --data-dir)", .0.display())]
    Foreign(PathBuf),
    /// The file system refused.
    #[error("data folder {}: cannot {what}: {why}{}", .dir.display(), remedy(.why.kind()))]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// The database engine failed.
    #[error("data folder {}: the database failed", .dir.display())]
    Engine {
        /// The folder.
        dir: PathBuf,
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is in the folder cannot be taken in at start.
    #[error(
        "data folder {} cannot be loaded: {problem}; {}",
        .dir.display(),
        if matches!(**problem, Error::NewerRecord { .. }) { "use a newer Shipwatch or another folder" }
        else { "restore it from a backup, or move it away: an empty folder folds the stream again" }
    )]
    Unloadable {
        /// The folder.
        dir: PathBuf,
        /// What is wrong there.
        problem: Box<Error>,
    },
    /// A newer Shipwatch wrote a record.
    #[error("{what} has version {found}, this Shipwatch reads up to {reads}")]
    NewerRecord {
        /// Which record.
        what: String,
        /// The version written there.
        found: u8,
        /// The newest version this build reads.
        reads: u8,
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
            Error::Folder { .. } | Error::Engine { .. } | Error::Poisoned(_) => true,
            Error::Corrupt { .. } | Error::NewerRecord { .. } => true,
            Error::InUse(_) | Error::Newer { .. } | Error::Foreign(_) | Error::Unloadable { .. } => false,
            Error::OutOfOrder { .. } | Error::Outdated => false,
        }
    }

    pub(super) fn engine(dir: &Path, source: sled::Error) -> Error {
        match source {
            // The engine hands on what the system said as a text in its own notation; the kind says the same in words.
            sled::Error::Io(e) if !remedy(e.kind()).is_empty() => {
                Error::folder(dir, "write its database", e.kind().into())
            }
            source => Error::Engine { dir: dir.to_owned(), source: Box::new(source) },
        }
    }

    pub(super) fn folder(dir: &Path, what: &'static str, why: io::Error) -> Error {
        Error::Folder { dir: dir.to_owned(), what, why }
    }

    /// What a record of a version that this build does not know is; `newest` is the newest it does.
    pub(super) fn version(what: String, found: u8, newest: u8) -> Error {
        match found > newest {
            true => Error::NewerRecord { what, found, reads: newest },
            false => Error::Corrupt { what, problem: format!("version {found} is unknown") },
        }
    }
}

/// What to do about a refusal of the system, as the end of a line; empty where nothing can be said in general.
fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull => "; make room on its disk and start again",
        ErrorKind::QuotaExceeded => "; raise the quota of the user that runs Shipwatch and start again",
        ErrorKind::FileTooLarge => "; raise the limit for the size of files and start again",
        ErrorKind::ReadOnlyFilesystem => "; make its disk writable, or name another folder (dataDir, --data-dir)",
        ErrorKind::PermissionDenied => {
            "; let the user that runs Shipwatch write there, or name another folder (dataDir, --data-dir)"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "; name a folder (dataDir, --data-dir)",
        _ => "",
    }
}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Unreadable {
        let cause = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
        Unreadable(format!("{error}{cause}"))
    }
}
