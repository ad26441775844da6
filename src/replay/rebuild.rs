//! A data folder made anew from the stream: there whole, or not at all.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

/// A folder under way. Dropped before its end it is gone.
pub struct Rebuild {
    folder: PathBuf,
    beside: TempDir,
}

impl Rebuild {
    /// Begins beside the folder, on the same disk, so that the end is one step.
    ///
    /// # Errors
    /// Where there is something in the folder already, or nothing can be written beside it.
    pub fn begin(folder: &Path) -> anyhow::Result<Rebuild> {
        match fs::read_dir(folder) {
            Ok(mut entries) => anyhow::ensure!(
                entries.next().is_none(),
                "{} is not empty: name a new folder, or move that one away",
                folder.display()
            ),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| format!("{} is not a folder to write into", folder.display())),
        }
        let folder = std::path::absolute(folder).with_context(|| folder.display().to_string())?;
        let parent = folder.parent().with_context(|| format!("{} cannot be a data folder", folder.display()))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cannot = || format!("cannot write beside {}", folder.display());
        fs::create_dir_all(parent).with_context(cannot)?;
        let beside = tempfile::Builder::new().prefix(&format!(".{name}.")).tempdir_in(parent).with_context(cannot)?;
        Ok(Rebuild { folder, beside })
    }

    /// Where the store is written meanwhile.
    pub fn beside(&self) -> &Path {
        self.beside.path()
    }

    /// Puts the folder in its place. The store in it has to be closed.
    ///
    /// # Errors
    /// Where somebody has put something there meanwhile, or the disk fails.
    pub fn finish(self) -> anyhow::Result<()> {
        let Rebuild { folder, beside } = self;
        let sync = |path: &Path| fs::File::open(path).and_then(|dir| dir.sync_all());
        let placed = sync(beside.path()).and_then(|()| fs::rename(beside.path(), &folder));
        placed.with_context(|| format!("cannot put the new store in place of {}", folder.display()))?;
        // Nothing is left there to tidy up.
        let _ = beside.keep();
        let parent = folder.parent().unwrap_or(&folder);
        sync(parent).with_context(|| format!("cannot write {}", parent.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let dir = TempDir::new().unwrap();
        let folder = dir.path().join("new");
        let names = || fs::read_dir(dir.path()).unwrap().count();
        let rebuild = Rebuild::begin(&folder).unwrap();
        fs::write(rebuild.beside().join("db"), "x").unwrap();
        assert!(!folder.exists());
        drop(rebuild);
        assert_eq!(names(), 0, "what was not finished is gone");

        fs::create_dir(&folder).unwrap();
        let rebuild = Rebuild::begin(&folder).unwrap();
        fs::write(rebuild.beside().join("db"), "x").unwrap();
        rebuild.finish().unwrap();
        assert_eq!(fs::read(folder.join("db")).unwrap(), b"x");
        assert_eq!(names(), 1);
        let refused = Rebuild::begin(&folder).map(drop).unwrap_err().to_string();
        assert!(refused.contains("is not empty"), "{refused}");
        let file = Rebuild::begin(&folder.join("db")).map(drop).unwrap_err();
        assert!(format!("{file:#}").contains("is not a folder"), "{file:#}");
    }
}
