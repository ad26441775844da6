//! The loop of the service: groups of messages in, one commit each, effects and acks after it.
//!
//! Three workers, joined by bounded channels. The *reader* pulls a group and decodes it while the *fold*, a thread of
//! its own, decides and commits the one before; the *settler* acknowledges. Publishing is `effects::publish`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::{self, Inbox, Message, binding};
use crate::crash;
use crate::domain::decide::{self, Decided, Incoming, Judge, Memory, Settings};
use crate::domain::event::{Event, Form};
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::KeyState;
use crate::domain::lookup::Lookup as _;
use crate::domain::messages;
use crate::domain::row::{Entry, Own};
use crate::domain::rules::{RuleSet, Subject, Verdict};
use crate::domain::stream::Reached;
use crate::effects::outbox::Outbox;
use crate::effects::publish::Due;
use crate::metrics;
use crate::store::Store;

/// Most messages of a group: most of what grouping gains is there by a few hundred.
pub const GROUP: usize = 1024;

/// Messages of our own remembered so that they are recognised when they come back.
const MEMORY: usize = 16 * 1024;

/// How long the fold waits for the next group before it stores how far the outbox is.
const IDLE: Duration = Duration::from_millis(250);

/// The rules in force, shared by the reader, which judges ahead, and the fold, which knows when they change.
#[derive(Clone, Debug)]
pub struct RulesInForce {
    current: RuleSet,
    subjects: Vec<Subject>,
    short: Arc<str>,
    earlier: HashMap<Arc<str>, RuleSet>,
}

impl RulesInForce {
    /// Begins with one rule set.
    pub fn new(rules: RuleSet) -> RulesInForce {
        let short: Arc<str> = rules.short_hash().into();
        let subjects = rules.subjects().iter().filter_map(|s| Subject::any(s)).collect();
        RulesInForce {
            current: rules.clone(),
            subjects,
            short: short.clone(),
            earlier: HashMap::from([(short, rules)]),
        }
    }

    /// Whether a pack, a rule or an adapter names this subject or type.
    fn names(&self, subject: &str) -> bool {
        self.subjects.iter().any(|s| s.matches(subject))
    }
}

impl Judge for RulesInForce {
    fn evaluate(&self, rule_set: &str, event: &Event) -> Verdict {
        self.earlier.get(rule_set).unwrap_or(&self.current).evaluate(event)
    }

    fn current(&self) -> &str {
        &self.short
    }
}

/// What the loop is built from.
pub struct Pipeline {
    /// The store; the fold is its only writer.
    pub store: Store,
    /// Where messages come from.
    pub inbox: Inbox,
    /// The rules.
    pub rules: RulesInForce,
    /// Configuration that decisions depend on.
    pub settings: Settings,
    /// Largest message that is read, in bytes.
    pub event_size: usize,
    /// What is owed to the stream.
    pub outbox: Arc<Outbox>,
    /// Messages that are due.
    pub due: mpsc::Sender<Vec<Due>>,
    /// How far the fold is.
    pub progress: Arc<Progress>,
    /// Where reading begins.
    pub from: Reached,
    /// Last sequence of the stream when the service started. What is owed from before is sent only behind it.
    pub end_at_start: u64,
}

/// How far the fold is, for readiness and metrics.
#[derive(Debug, Default)]
pub struct Progress {
    /// Stream sequence folded last.
    pub folded: AtomicU64,
    /// Messages that the stream holds behind it.
    pub lag: AtomicU64,
}

/// A group of messages, decoded and judged.
struct Decoded {
    incoming: Vec<Incoming>,
    reached: Reached,
    ack: bus::Token,
    pending: u64,
    passed_over: u64,
}

impl Pipeline {
    /// Runs until `stop` is cancelled; then finishes the group in hand, and acknowledges it.
    ///
    /// # Errors
    /// Where the store cannot be read or written, or the broker refuses for good. The process ends then.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Pipeline { store, inbox, rules, settings, event_size, outbox, due, progress, from, end_at_start } = self;
        let (to_fold, groups) = mpsc::channel::<Decoded>(2);
        let (to_acks, acks) = mpsc::channel::<bus::Token>(16);
        let folded = from.sequence;
        progress.folded.store(folded, Ordering::Relaxed);
        let fold = Fold {
            store,
            rules: rules.clone(),
            settings,
            memory: Memory::new(MEMORY),
            outbox,
            due,
            acks: to_acks,
            progress,
            live: folded >= end_at_start,
            end_at_start,
        };
        let acker = inbox.acker();
        let runtime = tokio::runtime::Handle::current();
        let failed = stop.clone();
        let fold = std::thread::Builder::new().name("fold".into()).spawn(move || {
            let result = fold.run(&runtime, groups);
            failed.cancel();
            result
        })?;
        let settle = tokio::spawn(settle(acker, acks));
        let read = read(inbox, rules, event_size, from, to_fold, stop).await;
        let fold = tokio::task::spawn_blocking(move || fold.join()).await?;
        settle.await?;
        fold.map_err(|_| anyhow::anyhow!("the fold panicked"))?.and(read)
    }
}

/// Pulls, decodes, judges.
async fn read(
    mut inbox: Inbox,
    rules: RulesInForce,
    event_size: usize,
    mut from: Reached,
    to_fold: mpsc::Sender<Decoded>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let rules = Arc::new(rules);
    let limits = bus::GroupLimits { messages: GROUP, bytes: 8 << 20 };
    loop {
        let group = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            group = inbox.next_group(limits) => group.context("reading the stream")?,
        };
        let Some(last) = group.messages.last() else { continue };
        let (sequence, time, pending) = (last.sequence, last.stream_time, group.lag);
        for gap in &group.missed {
            missed(*gap);
        }
        // Delivered again after a crash or a lost ack: the store has it, only the ack is missing.
        let messages: Vec<Message> = group.messages.into_iter().filter(|m| m.sequence > from.sequence).collect();
        from.sequence = from.sequence.max(sequence);
        from.time = from.time.max(time);
        let (incoming, passed_over) = decode(messages, &rules, event_size, from.base).await?;
        let reached = from.clone();
        let decoded = Decoded { incoming, reached, ack: group.token, pending, passed_over };
        if to_fold.send(decoded).await.is_err() {
            return Ok(());
        }
    }
}

/// Says that the stream dropped messages before they were folded.
pub fn missed(gap: bus::Gap) {
    let bus::Gap { first, last } = gap;
    tracing::error!(
        first,
        last,
        "the stream no longer holds events that were not folded; the fold goes on behind them"
    );
    metrics::missed(last - first + 1);
}

/// Decodes and judges; large groups on all cores.
async fn decode(
    messages: Vec<Message>,
    rules: &Arc<RulesInForce>,
    event_size: usize,
    base: u64,
) -> anyhow::Result<(Vec<Incoming>, u64)> {
    if messages.len() < 16 {
        return Ok(read_messages(messages, rules, event_size, base));
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let size = messages.len().div_ceil(workers);
    let mut rest = messages;
    let mut tasks = Vec::new();
    while !rest.is_empty() {
        let tail = rest.split_off(size.min(rest.len()));
        let (part, rules) = (std::mem::replace(&mut rest, tail), rules.clone());
        tasks.push(tokio::task::spawn_blocking(move || read_messages(part, &rules, event_size, base)));
    }
    let mut all = (Vec::new(), 0);
    for task in tasks {
        let (incoming, passed_over) = task.await?;
        all.0.extend(incoming);
        all.1 += passed_over;
    }
    Ok(all)
}

fn read_messages(messages: Vec<Message>, rules: &RulesInForce, event_size: usize, base: u64) -> (Vec<Incoming>, u64) {
    let mut all = Vec::with_capacity(messages.len());
    let mut passed_over = 0;
    for message in messages {
        let named = rules.names(&message.subject);
        for reading in binding::read(&message, event_size) {
            // Where subject and type differ the type counts, so a type that somebody names is not passed over.
            if !named && !reading.event.as_ref().is_ok_and(|e| rules.names(&e.ty)) {
                passed_over += 1;
                continue;
            }
            let verdict = reading.event.as_ref().map_or(Verdict::NoRule, |e| rules.current.evaluate(e));
            all.push(Incoming {
                position: Position::new(base + message.sequence, reading.element),
                stream_time: message.stream_time,
                subject: message.subject.clone(),
                form: if reading.event.is_ok() { reading.form } else { Form::Unreadable },
                event: reading.event,
                verdict,
                payload: reading.payload,
            });
        }
    }
    (all, passed_over)
}

/// Acknowledges what is committed. A lost ack costs a redelivery, which is recognised by its sequence.
async fn settle(acker: bus::Acker, mut acks: mpsc::Receiver<bus::Token>) {
    while let Some(token) = acks.recv().await {
        crash::point("before-ack");
        if let Err(error) = acker.ack(token).await {
            tracing::debug!(%error, "a group was not acknowledged and will be delivered again");
        }
        crash::point("after-ack");
    }
}

/// The only writer. One thread, strictly by stream position.
struct Fold {
    store: Store,
    rules: RulesInForce,
    settings: Settings,
    memory: Memory,
    outbox: Arc<Outbox>,
    due: mpsc::Sender<Vec<Due>>,
    acks: mpsc::Sender<bus::Token>,
    progress: Arc<Progress>,
    /// The fold has reached the end that the stream had at start, so what is owed is sent.
    live: bool,
    end_at_start: u64,
}

impl Fold {
    fn run(mut self, runtime: &tokio::runtime::Handle, mut groups: mpsc::Receiver<Decoded>) -> anyhow::Result<()> {
        if self.live {
            self.send_what_is_owed()?;
        }
        loop {
            let next = runtime.block_on(async { tokio::time::timeout(IDLE, groups.recv()).await });
            let first = match next {
                Ok(Some(group)) => group,
                Ok(None) => break,
                Err(_) => {
                    self.store_cursor()?;
                    continue;
                }
            };
            // What is decoded already shares the flush.
            let mut together = vec![first];
            let mut size = together[0].incoming.len();
            while size < GROUP
                && let Ok(group) = groups.try_recv()
            {
                size += group.incoming.len();
                together.push(group);
            }
            self.fold(together)?;
        }
        self.store_cursor()
    }

    fn fold(&mut self, groups: Vec<Decoded>) -> anyhow::Result<()> {
        let mut staged = self.store.stage();
        let mut due = Vec::new();
        let mut own = Vec::new();
        let mut tokens = Vec::new();
        let mut reached = None;
        let mut size = 0;
        for group in groups {
            size += group.incoming.len();
            for incoming in group.incoming {
                let decided = decide::decide(incoming, &staged, &self.rules, &self.settings, &self.memory)?;
                count(&decided);
                self.collect(&decided, &mut due, &mut own);
                staged.add(decided)?;
            }
            metrics::passed_over(group.passed_over);
            self.progress.lag.store(group.pending, Ordering::Relaxed);
            tokens.push(group.ack);
            reached = Some(group.reached);
        }
        let Some(reached) = reached else { return Ok(()) };
        let (sequence, last) = (reached.sequence, reached.position(reached.sequence, u16::MAX));
        staged.set_published(self.outbox.cursor());
        crash::point("before-commit");
        let started = Instant::now();
        self.store
            .commit(staged, reached)
            .context("the store could not be written; stopping, nothing was acknowledged")?;
        metrics::commit(size, started.elapsed());
        crash::point("after-commit");
        self.progress.folded.store(sequence, Ordering::Relaxed);
        metrics::lag(self.progress.lag.load(Ordering::Relaxed));
        self.settle(due, own, sequence, last)?;
        for token in tokens {
            // Closed only where the service is stopping.
            let _ = self.acks.blocking_send(token);
        }
        Ok(())
    }

    /// Makes the messages that a decision causes, and notes which message of ours it is.
    fn collect(&mut self, decided: &Decided, due: &mut Vec<Due>, own: &mut Vec<Own>) {
        match &decided.row.entry {
            Entry::Own(seen) => own.push(*seen),
            Entry::Event(recorded) => {
                let Some(event) = &decided.event else { return };
                let after = |id: KeyId| -> Option<KeyState> {
                    decided.keys.iter().find(|(key, _)| *key == id).and_then(|(_, state)| state.clone())
                };
                let row = &decided.row;
                for message in messages::caused_by(row.stream_time, recorded, event, after, &self.settings) {
                    self.memory.note(row.position, &message);
                    due.push(Due { of: row.position, message });
                }
            }
        }
    }

    /// After the commit: what is owed is noted, what came back is struck off, and the rest is sent.
    fn settle(&mut self, due: Vec<Due>, own: Vec<Own>, sequence: u64, last: Position) -> anyhow::Result<()> {
        for line in due.chunk_by(|a, b| a.of == b.of) {
            self.outbox.owe(line[0].of, line.iter().map(|d| d.message.kind));
        }
        self.outbox.owe(last, []);
        for seen in own {
            self.outbox.settle(seen);
        }
        metrics::outbox_depth(self.outbox.depth());
        if self.live {
            if !due.is_empty() {
                let _ = self.due.blocking_send(due);
            }
        } else if sequence >= self.end_at_start {
            self.live = true;
            self.send_what_is_owed()?;
        }
        Ok(())
    }

    /// Sends what an earlier life left, in order; made again from the journal.
    fn send_what_is_owed(&mut self) -> anyhow::Result<()> {
        for position in self.outbox.lines() {
            let staged = self.store.stage();
            let Some(row) = staged.row(position)? else { continue };
            let made = messages::again(&row, &staged, &self.settings)?;
            let due = made.into_iter().map(|message| Due { of: position, message });
            let _ = self.due.blocking_send(due.collect());
        }
        Ok(())
    }

    /// Stores how far the outbox is, when nothing else is to be stored.
    fn store_cursor(&mut self) -> anyhow::Result<()> {
        self.store.flush_published(self.outbox.cursor()).context("the store could not be written")
    }
}

fn count(decided: &Decided) {
    match &decided.row.entry {
        Entry::Own(_) => metrics::event("shipwatch", "own"),
        Entry::Event(r) => {
            let ty = r.head.as_ref().map_or("", |h| h.ty.as_str());
            metrics::event(metrics::family(ty), r.decision.outcome_word());
        }
    }
}
