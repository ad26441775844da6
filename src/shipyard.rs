//! The files a team writes, as they lie in its shipyard folder.
//!
//! Reads and bounds; what the texts mean is for [`domain::rules`](crate::domain::rules).

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use crate::domain::rules::{Problem, RuleSet};
use crate::domain::webhooks;
use crate::secrets::Secrets;

/// The folder of rule files inside the shipyard folder.
const RULES: &str = "rules";

/// More files than any team has; a wrong folder, more likely.
const MOST_FILES: usize = 1000;

/// Most bytes of one file.
const MOST_BYTES: u64 = RuleSet::MOST_BYTES as u64;

/// Most bytes of all files together.
const MOST_BYTES_OF_ALL: u64 = 4 * MOST_BYTES;

/// A team's rule files, and its file of webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFiles {
    /// Name (`rules/builds.yaml` and `webhook.yaml`, wherever the shipyard folder lies) and text, in the order of the names.
    pub files: Vec<(String, String)>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Everything that is wrong with a team's rule files. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongRules(pub Vec<Problem>);

impl RuleFiles {
    /// Reads `rules/*.yaml`, `rules/*.yml` and `webhook.yaml` of a shipyard folder. Where there is no such folder, there are no
    /// team rules.
    ///
    /// Links are followed, since a mounted ConfigMap consists of them. Hidden files and folders inside are passed over.
    pub fn read(shipyard: &Path) -> RuleFiles {
        RuleFiles::read_folder(shipyard, false).with_webhooks(shipyard)
    }

    /// As [`RuleFiles::read`], but what `before` came from has to be there still: a folder that vanished, with a mount or by
    /// mistake, is a problem.
    pub fn read_again(shipyard: &Path, before: &RuleSet) -> RuleFiles {
        let had = |what: &str| before.texts().iter().any(|(name, _)| name.starts_with(what));
        let mut read = RuleFiles::read_folder(shipyard, had("rules/")).with_webhooks(shipyard);
        if had(webhooks::FILE) && !shipyard.is_dir() {
            read.problem(webhooks::FILE.into(), format!("folder {} is gone", shipyard.display()));
        }
        read
    }

    /// The webhooks of other systems that are called; without the file there are none.
    fn with_webhooks(mut self, shipyard: &Path) -> RuleFiles {
        match text(&shipyard.join(webhooks::FILE)) {
            Ok(text) => self.files.push((webhooks::FILE.into(), text)),
            Err(Unreadable { missing: true, .. }) => {}
            Err(Unreadable { line, column, message, .. }) => {
                self.problems.push(Problem { line, column, ..whole_file(webhooks::FILE.into(), message) });
            }
        }
        self
    }

    /// As [`RuleFiles::compile`]; for a process that calls webhooks with its secrets, which have to be there.
    ///
    /// # Errors
    /// As [`RuleFiles::compile`], and every secret that is not to be had.
    pub fn compile_with(self, secrets: Option<&Secrets>) -> Result<RuleSet, WrongRules> {
        let rules = self.compile()?;
        let Some(secrets) = secrets else { return Ok(rules) };
        let missing = rules.outgoing().secrets().filter_map(|wanted| {
            let error = secrets.read(&wanted.name, &wanted.key).err()?;
            Some(Problem { line: wanted.line, column: 1, ..whole_file(webhooks::FILE.into(), error.to_string()) })
        });
        let missing: Vec<Problem> = missing.collect();
        if missing.is_empty() { Ok(rules) } else { Err(WrongRules(missing)) }
    }

    fn read_folder(shipyard: &Path, needed: bool) -> RuleFiles {
        let mut read = RuleFiles::default();
        let names = match names(&shipyard.join(RULES)) {
            Ok(names) => names,
            Err(e) if e.kind() == ErrorKind::NotFound && !needed => return read,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let folder = shipyard.join(RULES);
                read.problem(
                    RULES.into(),
                    format!("folder {} is gone; an empty one means no rules of your own", folder.display()),
                );
                return read;
            }
            Err(e) => {
                read.problem(RULES.into(), format!("folder cannot be read: {e}"));
                return read;
            }
        };
        if names.len() > MOST_FILES {
            read.problem(RULES.into(), format!("{} rule files are over the limit of {MOST_FILES}", names.len()));
            return read;
        }
        let mut left = MOST_BYTES_OF_ALL;
        for name in names {
            let shown = format!("{RULES}/{}", name.display());
            match text(&shipyard.join(RULES).join(&name)) {
                Ok(text) if text.len() as u64 > left => {
                    let limit =
                        format!("the rule files up to this one are over the limit of {MOST_BYTES_OF_ALL} bytes");
                    read.problem(shown, limit);
                    return read;
                }
                Ok(text) => {
                    left -= text.len() as u64;
                    read.files.push((shown, text));
                }
                Err(Unreadable { line, column, message, .. }) => {
                    read.problems.push(Problem { line, column, ..whole_file(shown, message) });
                }
            }
        }
        read
    }

    /// The rules in force with these files: the team's before the packs in the binary.
    ///
    /// # Errors
    /// What could not be read, and every mistake of what could.
    pub fn compile(self) -> Result<RuleSet, WrongRules> {
        let mut problems = self.problems;
        match RuleSet::with_builtin(&self.files) {
            Ok(rules) if problems.is_empty() => Ok(rules),
            Ok(_) => Err(WrongRules(problems)),
            Err(more) => {
                problems.extend(more);
                problems.sort_by(|a, b| a.file.cmp(&b.file));
                Err(WrongRules(problems))
            }
        }
    }

    fn problem(&mut self, file: String, message: String) {
        self.problems.push(whole_file(file, message));
    }
}

/// Reads one file that a team wrote, within the same bounds.
///
/// # Errors
/// Why it has no text, with its place where there is one.
pub fn read_file(file: &Path) -> Result<String, Problem> {
    text(file).map_err(|Unreadable { line, column, message, .. }| Problem {
        line,
        column,
        ..whole_file(file.display().to_string(), message)
    })
}

fn whole_file(file: String, message: String) -> Problem {
    Problem { file: file.into(), line: 0, column: 0, message, suggestion: None }
}

/// The names of the rule files of a folder, in order.
fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let yaml = Path::new(&name).extension().is_some_and(|e| e == "yaml" || e == "yml");
        // Editors keep locks and backups in hidden files.
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if yaml && !hidden && !folder.join(&name).is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Why a file has no text.
struct Unreadable {
    line: u32,
    column: u32,
    message: String,
    /// There is no such file.
    missing: bool,
}

impl Unreadable {
    fn whole(message: String) -> Unreadable {
        Unreadable { line: 0, column: 0, message, missing: false }
    }
}

fn text(file: &Path) -> Result<String, Unreadable> {
    let failed = |e: io::Error| {
        let missing = e.kind() == ErrorKind::NotFound && fs::symlink_metadata(file).is_err();
        Unreadable { missing, ..Unreadable::whole(format!("cannot be read: {e}")) }
    };
    // Opening a pipe would wait for somebody to write into it.
    if !fs::metadata(file).map_err(failed)?.is_file() {
        return Err(Unreadable::whole("cannot be read: it is no plain file".into()));
    }
    let mut bytes = Vec::new();
    fs::File::open(file).and_then(|f| f.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Unreadable::whole(format!("file is over the limit of {MOST_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()]);
        let line = 1 + good.matches('\n').count() as u32;
        let column = 1 + good.rsplit('\n').next().unwrap_or_default().chars().count() as u32;
        Unreadable { line, column, message: "is not UTF-8".into(), missing: false }
    })
}

impl fmt::Display for WrongRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "rules: {one}"),
            many => {
                write!(f, "rules: {} mistakes", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for WrongRules {}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM: &str = "apiVersion: shipwatch.dev/v1\nkind: RuleSet\nmetadata: {name: a}\nrules:\n  - {name: a, on: [a.b], ignore: true, reason: r}\n";

    fn shipyard(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(RULES)).unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(RULES).join(name), bytes).unwrap();
        }
        folder
    }

    fn said(read: &RuleFiles) -> Vec<String> {
        read.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rule_files_come_in_the_order_of_their_names_and_nothing_else_does() {
        let folder =
            shipyard(&[("b.yml", b"2"), ("a.yaml", b"1"), (".c.yaml", b"3"), ("d.yaml~", b"4"), ("e.txt", b"5")]);
        fs::create_dir(folder.path().join("rules/f.yaml")).unwrap();
        let read = RuleFiles::read(folder.path());
        let files = [("rules/a.yaml".to_owned(), "1".to_owned()), ("rules/b.yml".to_owned(), "2".to_owned())];
        assert_eq!(read, RuleFiles { files: files.into(), problems: Vec::new() });
    }

    #[test]
    fn no_folder_is_no_team_rules() {
        let folder = tempfile::tempdir().unwrap();
        for shipyard in [folder.path(), &folder.path().join("gone")] {
            let read = RuleFiles::read(shipyard);
            assert_eq!(read, RuleFiles::default());
            assert_eq!(read.compile(), Ok(RuleSet::builtin()));
            let had = RuleSet::with_builtin(&[("rules/a.yaml", TEAM)]).unwrap();
            let again = said(&RuleFiles::read_again(shipyard, &had));
            assert!(said(&RuleFiles::read_again(shipyard, &RuleSet::builtin())).is_empty());
            assert!(again[0].starts_with("rules: folder ") && again[0].contains("is gone"), "{again:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_beside_the_mistakes_of_the_rest() {
        let folder = shipyard(&[("a.yaml", b"a: b\nc: caf\xe9\n"), ("b.yaml", b"[]")]);
        let rules = folder.path().join(RULES);
        std::os::unix::fs::symlink(rules.join("gone"), rules.join("c.yaml")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", rules.join("d.yaml")).unwrap();
        fs::File::create(rules.join("e.yaml")).unwrap().set_len(MOST_BYTES + 1).unwrap();
        let read = RuleFiles::read(folder.path());
        let said = said(&read);
        assert_eq!(said[0], "rules/a.yaml:2:7: is not UTF-8");
        assert!(said[1].starts_with("rules/c.yaml: cannot be read: No such file"), "{said:?}");
        assert_eq!(said[2], "rules/d.yaml: cannot be read: it is no plain file");
        assert_eq!(said[3], format!("rules/e.yaml: file is over the limit of {MOST_BYTES} bytes"));
        let wrong = read.compile().unwrap_err().to_string();
        assert!(wrong.starts_with("rules: 5 mistakes\n  rules/a.yaml:2:7"), "{wrong}");
        assert!(wrong.contains("rules/b.yaml:1:1: rule file is a list"), "{wrong}");
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(RULES), "").unwrap();
        assert!(said(&RuleFiles::read(folder.path()))[0].starts_with("rules: folder cannot be read: Not a directory"));
    }

    #[test]
    fn too_many_files_and_too_many_bytes_are_refused() {
        let folder = shipyard(&[]);
        let rules = folder.path().join(RULES);
        for n in 0..5 {
            fs::File::create(rules.join(format!("{n}.yaml"))).unwrap().set_len(MOST_BYTES).unwrap();
        }
        let read = RuleFiles::read(folder.path());
        assert_eq!(read.files.len(), 4);
        assert!(
            said(&read)[0].starts_with("rules/4.yaml: the rule files up to this one are over"),
            "{:?}",
            said(&read)
        );
        for n in 0..=MOST_FILES {
            fs::write(rules.join(format!("{n}.yaml")), "").unwrap();
        }
        assert_eq!(said(&RuleFiles::read(folder.path())), ["rules: 1001 rule files are over the limit of 1000"]);
    }
}
