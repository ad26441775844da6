//! The files of a team's `shipyard` folder, as text.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::domain::rules::Problem;

/// Bytes of all rule files together. Rules are read whole, and travel through the stream.
const LARGEST: u64 = 32 << 20;

/// Name and text of a file; the name is the one that mistakes are told with.
pub type File = (String, String);

/// The rule files: `rules/*.yaml` and `rules/*.yml`, in the order of their names. A folder that is not there has none.
///
/// # Errors
/// Every file that cannot be read, and why.
pub fn load(dir: &Path) -> Result<Vec<File>, Vec<Problem>> {
    let names = rule_files(dir).map_err(|e| vec![problem("rules", format!("the folder cannot be read: {e}"))])?;
    let (mut files, mut problems, mut size) = (Vec::new(), Vec::new(), 0);
    for path in names {
        let name = format!("rules/{}", path.file_name().unwrap_or_default().to_string_lossy());
        match read(&path, &mut size) {
            Ok(text) => files.push((name, text)),
            Err(why) => problems.push(problem(&name, why)),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// The paths of the rule files, in order. Hidden ones are what editors and mounted volumes keep for themselves.
fn rule_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir.join("rules")) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let yaml = path.extension().and_then(OsStr::to_str).is_some_and(|e| matches!(e, "yaml" | "yml"));
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if yaml && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path, size: &mut u64) -> Result<String, String> {
    let about = fs::metadata(path).map_err(|e| e.to_string())?;
    if !about.is_file() {
        return Err("is not a file".into());
    }
    *size += about.len();
    if *size > LARGEST {
        return Err(format!("the rule files together are over the limit of {} MiB", LARGEST >> 20));
    }
    fs::read_to_string(path).map_err(|e| match e.kind() {
        ErrorKind::InvalidData => "is not UTF-8".to_owned(),
        _ => e.to_string(),
    })
}

fn problem(file: &str, message: String) -> Problem {
    Problem { file: file.into(), line: 0, column: 0, message, suggestion: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_names_and_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), []);
        fs::create_dir(dir.path().join("rules")).unwrap();
        for name in ["b.yml", "a.yaml", ".hidden.yaml", "notes.md"] {
            fs::write(dir.path().join("rules").join(name), name).unwrap();
        }
        let files = load(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(names, [("rules/a.yaml", "a.yaml"), ("rules/b.yml", "b.yml")]);
    }

    #[test]
    fn every_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join("rules");
        fs::create_dir_all(rules.join("folder.yaml")).unwrap();
        fs::write(rules.join("binary.yaml"), b"\xff\xfe").unwrap();
        let problems: Vec<_> = load(dir.path()).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(problems, ["rules/binary.yaml: is not UTF-8", "rules/folder.yaml: is not a file"]);
    }
}
