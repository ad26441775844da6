//! Changed files become a rule set in the stream. Nothing else happens here: the fold takes the set up where it meets it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::InForce;
use super::opening::has_any;
use super::publish::{publish, where_last};
use crate::backoff::Backoff;
use crate::bus::{Bus, Error, StreamWish};
use crate::domain::loaded;
use crate::domain::rules::{Problem, RuleSet};
use crate::domain::webhooks;
use crate::metrics;
use crate::secrets::Secrets;

/// How often the folder is looked at. A file counts as changed once it has stayed the same for one look.
const LOOK: Duration = Duration::from_secs(1);

/// How often is looked whether the stream still has rules.
const CHECK: Duration = Duration::from_secs(60);

/// Where rules come from while the service runs.
#[derive(Clone, Debug)]
pub struct Source {
    /// The `shipyard` folder.
    pub dir: PathBuf,
    /// Asks for a look at once.
    pub ask: Arc<Notify>,
    /// Where the secrets of webhooks are; none where this process calls none.
    pub secrets: Option<Secrets>,
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
    /// Stream sequence folded last.
    pub folded: Arc<AtomicU64>,
    /// The fold's word about its rules.
    pub in_force: watch::Receiver<InForce>,
    /// Cancelled where the rules of this start do not get into the stream.
    pub refused: CancellationToken,
    /// Told once the rules of this start are in the stream, or have not got there at first.
    pub tried: Option<oneshot::Sender<()>>,
    /// What was said about the stream already.
    pub said: BTreeSet<String>,
}

/// What a look at the folder sees: paths, lengths, and times of change.
type Look = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// The looks so far.
struct Looks {
    /// The one that was acted on.
    seen: Look,
    /// The latest one.
    before: Look,
}

impl Looks {
    async fn begin(source: &Source) -> Looks {
        let seen = source.look().await;
        Looks { before: seen.clone(), seen }
    }

    /// Looks again: whether something has changed and then stayed the same for one look.
    async fn settled(&mut self, source: &Source) -> bool {
        let now = source.look().await;
        let settled = now != self.seen && now == self.before;
        if settled {
            self.seen.clone_from(&now);
        }
        self.before = now;
        settled
    }
}

/// A rule set on its way.
struct Wanted {
    set: RuleSet,
    /// Somebody changed something, as against a mere start.
    changed: bool,
    /// Where the stream had it as its last one already.
    last_at: Option<u64>,
}

impl Reloading {
    /// Publishes the rules of this start, then those of each change, until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut loaded = self.given.clone();
        let mut wanted = Some(Wanted { set: loaded.clone(), changed: false, last_at: None });
        let mut looks = Looks::begin(&self.source).await;
        let mut next_check = Instant::now();
        let mut waits = Backoff::broker().waits();
        loop {
            let wait = match &mut wanted {
                None => LOOK,
                Some(want) => match self.put(want).await {
                    Ok(done) => {
                        if done {
                            wanted = None;
                        }
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
                        self.refused.cancel();
                        wanted = None;
                        LOOK
                    }
                },
            };
            if let Some(tried) = self.tried.take() {
                // Nobody waits where there is no gateway.
                let _ = tried.send(());
            }
            if wanted.is_none() && next_check <= Instant::now() {
                next_check = Instant::now() + CHECK;
                self.keep().await;
            }
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                () = self.source.ask.notified() => true,
                () = tokio::time::sleep(wait) => false,
            };
            if asked {
                next_check = Instant::now();
            }
            if !looks.settled(&self.source).await && !asked {
                continue;
            }
            let Some(set) = self.source.load(&loaded).await else { continue };
            if asked || set.hash() != loaded.hash() {
                loaded = set.clone();
                wanted = Some(Wanted { set, changed: true, last_at: None });
                waits.reset();
            }
        }
    }

    /// Puts a set into the stream, unless it is the last one there and in force. False where the fold has yet to tell.
    async fn put(&mut self, want: &mut Wanted) -> Result<bool, Error> {
        let short = want.set.short_hash().to_owned();
        if want.changed && want.last_at.is_none() {
            self.widen(&want.set).await;
        }
        // Looked at before the stream is, so that nobody's newer set is taken for the fold's word about this one.
        let folded = self.folded.load(Ordering::Acquire);
        let holds = self.in_force.borrow().set.hash() == want.set.hash();
        // Without the right to look, publishing once too often is the lesser evil.
        let last = permitted(where_last(&self.bus, &self.stream, &want.set).await)?.flatten();
        if want.last_at.is_some() && want.last_at != last {
            // It was there, and somebody else has put another one behind it.
            return Ok(true);
        }
        want.last_at = last;
        if let Some(at) = last {
            if folded < at {
                return Ok(false);
            }
            // The fold passes over one that was published twice; so what the stream has last need not hold.
            if holds {
                if want.changed {
                    tracing::info!(rules = short, "reloaded; the rules are those that the stream has");
                }
                return Ok(true);
            }
        }
        if permitted(self.bus.holds(&self.stream, loaded::TYPE).await)? == Some(false) {
            // What was started with is in force without the stream, as was said at start.
            if want.set.hash() == self.given.hash() {
                return Ok(true);
            }
            let why = format!("stream {:?} does not hold \"{}\"; start again to use them", self.stream, loaded::TYPE);
            return Err(Error::NoStream(why));
        }
        publish(&self.bus, &self.stream, &want.set).await?;
        tracing::info!(rules = short, "the rules are in the stream; they hold for the events behind");
        Ok(true)
    }

    /// Retention or a purge may take the set in force out of the stream; a fold that begins anew needs it there.
    async fn keep(&self) {
        match self.is_lost().await {
            Ok(false) => {}
            Ok(true) => {
                let set = self.in_force.borrow().set.clone();
                match publish(&self.bus, &self.stream, &set).await {
                    Ok(()) => tracing::info!(
                        rules = set.short_hash(),
                        "the stream had lost the rules in force, they are there again"
                    ),
                    Err(error) => tracing::warn!(%error, "the stream has lost the rules in force"),
                }
            }
            Err(error) => tracing::debug!(%error, "cannot see whether the stream still has the rules in force"),
        }
    }

    /// Whether the stream should have rules and has none. The set in force is the last one there, so it is lost only with all.
    async fn is_lost(&self) -> Result<bool, Error> {
        let travels = permitted(self.bus.holds(&self.stream, loaded::TYPE).await)? == Some(true);
        Ok(travels && permitted(has_any(&self.bus, &self.stream).await)? == Some(false))
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

    /// Reads and compiles; what is broken is said and counted. A folder that is gone is broken, if rules came from it before.
    async fn load(&self, before: &RuleSet) -> Option<RuleSet> {
        let dir = self.dir.clone();
        let (secrets, before) = (self.secrets.clone(), before.clone());
        let load = move || super::load_again(&dir, secrets.as_ref(), &before);
        match tokio::task::spawn_blocking(load).await {
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

/// Where there is no fold in this process: the rules are those of the files, read again when they change and when asked to.
pub async fn follow(source: Source, rules: watch::Sender<RuleSet>) {
    let mut looks = Looks::begin(&source).await;
    let mut loaded = rules.borrow().clone();
    loop {
        let asked = tokio::select! {
            () = source.ask.notified() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        if !looks.settled(&source).await && !asked {
            continue;
        }
        let Some(set) = source.load(&loaded).await else { continue };
        if asked || set.hash() != loaded.hash() {
            tracing::info!(rules = set.short_hash(), "the rules have been read");
            loaded = set.clone();
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
    let entries = std::fs::read_dir(dir.join("rules")).into_iter().flatten().flatten().map(|entry| entry.path());
    let about = |path: PathBuf| {
        // Through links: a mounted volume changes where they lead.
        let about = std::fs::metadata(&path).ok();
        let changed = about.as_ref().and_then(|a| a.modified().ok());
        (path, about.map_or(0, |a| a.len()), changed)
    };
    let mut look: Look = entries.chain([dir.join(webhooks::FILE)]).map(about).collect();
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
