//! Changed files become a rule set in the stream. Nothing else happens here: the fold takes the set up where it meets it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::publish::{is_last, publish};
use crate::backoff::Backoff;
use crate::bus::{Bus, Error, StreamWish};
use crate::domain::loaded;
use crate::domain::rules::{Problem, RuleSet};
use crate::metrics;

/// How often the folder is looked at. A file counts as changed once it has stayed the same for one look.
const LOOK: Duration = Duration::from_secs(1);

/// Where rules come from while the service runs.
#[derive(Clone, Debug)]
pub struct Source {
    /// The `shipyard` folder.
    pub dir: PathBuf,
    /// Asks for a look at once.
    pub ask: Arc<Notify>,
}

/// Keeps the stream's newest rule set that of the folder.
pub struct Reloading {
    /// The broker.
    pub bus: Bus,
    /// The stream that is read.
    pub stream: String,
    /// What is wished of the stream; of other rules it may be more.
    pub wish: StreamWish,
    /// Where rules come from.
    pub source: Source,
    /// The rules of this start.
    pub given: RuleSet,
    /// What was said about the stream already.
    pub said: BTreeSet<String>,
}

/// What a look at the folder sees: paths, lengths, and times of change.
type Look = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// A rule set on its way.
struct Wanted {
    set: RuleSet,
    /// Somebody changed something, as against a mere start.
    changed: bool,
}

impl Reloading {
    /// Publishes the rules of this start, then those of each change, until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut loaded = self.given.clone();
        let mut wanted = Some(Wanted { set: loaded.clone(), changed: false });
        let mut seen = self.source.look().await;
        let mut before = seen.clone();
        let mut waits = Backoff::broker().waits();
        loop {
            let wait = match &wanted {
                None => LOOK,
                Some(want) => match self.put(want).await {
                    Ok(()) => {
                        wanted = None;
                        waits.reset();
                        LOOK
                    }
                    Err(error) if error.is_passing() => {
                        if waits.failures() == 0 {
                            tracing::warn!(%error, "the rules are not in the stream yet, trying again");
                        }
                        waits.next_delay()
                    }
                    Err(error) => {
                        tracing::error!(%error, rules = want.set.short_hash(), "the rules cannot be put into the stream, those before stay in force");
                        metrics::reload_failed();
                        wanted = None;
                        LOOK
                    }
                },
            };
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                () = self.source.ask.notified() => true,
                () = tokio::time::sleep(wait) => false,
            };
            let now = self.source.look().await;
            let settled = now != seen && now == before;
            before.clone_from(&now);
            if !asked && !settled {
                continue;
            }
            seen = now;
            let Some(set) = self.source.load().await else { continue };
            if asked || set.hash() != loaded.hash() {
                loaded = set.clone();
                wanted = Some(Wanted { set, changed: true });
                waits.reset();
            }
        }
    }

    /// Puts a set into the stream, unless it is the last one there.
    async fn put(&mut self, want: &Wanted) -> Result<(), Error> {
        let short = want.set.short_hash();
        if want.changed {
            self.widen(&want.set).await;
        }
        // Without the right to look, publishing once too often is the lesser evil.
        if permitted(is_last(&self.bus, &self.stream, &want.set).await)? == Some(true) {
            if want.changed {
                tracing::info!(rules = short, "reloaded; the rules are those that the stream has");
            }
            return Ok(());
        }
        if permitted(self.bus.holds(&self.stream, loaded::TYPE).await)? == Some(false) {
            // What was started with is in force without the stream, as was said at start.
            if want.set.hash() == self.given.hash() {
                return Ok(());
            }
            let why = format!("stream {:?} does not hold \"{}\"; start again to use them", self.stream, loaded::TYPE);
            return Err(Error::NoStream(why));
        }
        publish(&self.bus, &want.set).await?;
        tracing::info!(rules = short, "the rules are in the stream; they hold for the events behind");
        Ok(())
    }

    /// Before events of new subjects can be judged the stream has to hold them.
    async fn widen(&mut self, set: &RuleSet) {
        self.wish.subjects = set.subjects().to_vec();
        match self.bus.widen(&self.stream, &self.wish).await {
            Ok(notes) => {
                for note in notes {
                    if self.said.insert(note.clone()) {
                        tracing::warn!("{note}");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot see whether the stream holds all subjects of the rules"),
        }
    }
}

impl Source {
    async fn look(&self) -> Look {
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || look(&dir)).await.unwrap_or_default()
    }

    /// Reads and compiles; what is broken is said and counted.
    async fn load(&self) -> Option<RuleSet> {
        let dir = self.dir.clone();
        match tokio::task::spawn_blocking(move || super::load(&dir)).await {
            Ok(Ok(set)) => return Some(set),
            Ok(Err(wrong)) => broken(&wrong.0),
            Err(error) => {
                metrics::reload_failed();
                tracing::error!(%error, "the rules were not read to their end, those before stay in force");
            }
        }
        None
    }
}

/// Where there is no fold in this process: the rules are those of the files, read again when asked to.
pub async fn follow(source: Source, rules: watch::Sender<RuleSet>) {
    loop {
        source.ask.notified().await;
        if let Some(set) = source.load().await {
            tracing::info!(rules = set.short_hash(), "the rules have been read");
            rules.send_replace(set);
        }
    }
}

/// None where the account lacks the right to ask.
fn permitted<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::NotAllowed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn look(dir: &Path) -> Look {
    let entries = std::fs::read_dir(dir.join("rules")).into_iter().flatten().flatten();
    let about = |path: PathBuf| {
        // Through links: a mounted volume changes where they lead.
        let about = std::fs::metadata(&path).ok();
        let changed = about.as_ref().and_then(|a| a.modified().ok());
        (path, about.map_or(0, |a| a.len()), changed)
    };
    let mut look: Look = entries.map(|entry| about(entry.path())).collect();
    look.sort();
    look
}

fn broken(problems: &[Problem]) {
    metrics::reload_failed();
    for problem in problems {
        tracing::error!("{problem}");
    }
    tracing::error!(mistakes = problems.len(), "the changed rules are broken, those before stay in force");
}
