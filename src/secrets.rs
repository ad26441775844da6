//! Secrets that rules and webhooks name: files of a folder, as Kubernetes mounts them, else variables of the environment.

mod mask;

pub use mask::Mask;

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// Where secrets are.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The folder, where there is one.
    pub dir: Option<PathBuf>,
}

/// A secret that cannot be had. Says where it was looked for, never what was found.
#[derive(Debug, thiserror::Error)]
#[error("secret {name}/{key} is not to be had: {why}")]
pub struct Missing {
    name: String,
    key: String,
    why: String,
}

impl Secrets {
    /// The secret `key` of `name`, without a line break at its end. Read each time, so that a changed one counts at once.
    ///
    /// # Errors
    /// Where it is neither in the folder nor in the environment, or is empty.
    pub fn read(&self, name: &str, key: &str) -> Result<Vec<u8>, Missing> {
        let missing = |why: String| Missing { name: name.to_owned(), key: key.to_owned(), why };
        let variable = variable(name, key);
        let secret = match self.file(name, key).map_err(&missing)? {
            Some(secret) => secret,
            None => match std::env::var_os(&variable) {
                Some(secret) => secret.into_encoded_bytes(),
                None => return Err(missing(format!("no such file in webhooks.secretsDir, and {variable} is not set"))),
            },
        };
        let end = secret.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
        if end == 0 { Err(missing("it is empty".into())) } else { Ok(secret[..end].to_vec()) }
    }

    fn file(&self, name: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(dir) = &self.dir else { return Ok(None) };
        if !is_plain(name) || !is_plain(key) {
            return Err("its name leads out of the folder".into());
        }
        match std::fs::read(dir.join(name).join(key)) {
            Ok(secret) => Ok(Some(secret)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// One step down, and nothing else.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
}

/// `SHIPWATCH_SECRET_TRACKER_TOKEN` for the key `token` of `tracker`.
fn variable(name: &str, key: &str) -> String {
    let word = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_uppercase();
    format!("SHIPWATCH_SECRET_{}_{}", word(name), word(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_folder_is_the_secret_and_nothing_outside_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("in/tracker")).unwrap();
        std::fs::write(dir.path().join("in/tracker/token"), "s3cret \n").unwrap();
        std::fs::write(dir.path().join("in/tracker/empty"), "\n").unwrap();
        std::fs::write(dir.path().join("outside"), "x").unwrap();
        let secrets = Secrets { dir: Some(dir.path().join("in")) };
        assert_eq!(secrets.read("tracker", "token").unwrap(), b"s3cret ");
        for (name, key) in [("..", "outside"), ("tracker", "../../outside"), ("", "tracker"), ("tracker", "empty")] {
            assert!(secrets.read(name, key).is_err(), "{name}/{key}");
        }
        let said = secrets.read("tracker", "other-key").unwrap_err().to_string();
        assert!(said.contains("SHIPWATCH_SECRET_TRACKER_OTHER_KEY"), "{said}");
    }
}
