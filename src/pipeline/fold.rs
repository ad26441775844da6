//! The fold: decides group after group, commits each at once, and hands on what is owed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};

use super::Progress;
use super::read::{Decoded, GROUP, Read, Reader, Switched};
use crate::bus::{self, Message};
use crate::crash;
use crate::domain::decide::{self, Decided, Memory, Settings};
use crate::domain::ids::Position;
use crate::domain::lookup::Lookup as _;
use crate::domain::messages;
use crate::domain::row::{Entry, Own, OwnKind};
use crate::domain::time::Time;
use crate::effects::deadlines::Feed;
use crate::effects::deliver::CallDue;
use crate::effects::feedback::{self, Asked};
use crate::effects::outbox::Outbox;
use crate::effects::publish::Due;
use crate::metrics;
use crate::rules::RuleBook;
use crate::store::{Staged, Store};

/// How long the fold waits for the next group before it stores how far the outbox is.
const IDLE: Duration = Duration::from_millis(250);

/// The only writer. One thread, strictly by stream position.
pub(super) struct Fold {
    pub(super) store: Store,
    pub(super) rules: RuleBook,
    pub(super) tell: watch::Sender<Switched>,
    pub(super) settings: Settings,
    pub(super) memory: Arc<Memory>,
    pub(super) reader: Arc<Reader>,
    pub(super) base: u64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) due: mpsc::Sender<Vec<Due>>,
    pub(super) calls: mpsc::Sender<Vec<CallDue>>,
    pub(super) asked: mpsc::Sender<Vec<Asked>>,
    pub(super) acks: mpsc::Sender<bus::Token>,
    pub(super) deadlines: Feed,
    pub(super) progress: Arc<Progress>,
    /// The fold has reached all that an earlier life may have sent, so what is owed is sent.
    pub(super) live: bool,
    pub(super) end_at_start: Arc<AtomicU64>,
    pub(super) history: Option<Time>,
}

/// What a group of events leads to once it is committed.
#[derive(Default)]
struct Effects {
    /// Messages to send.
    due: Vec<Due>,
    /// Webhooks to call.
    calls: Vec<CallDue>,
    /// All of these, by line.
    owed: Vec<(Position, OwnKind)>,
    /// What was owed and has been seen in the stream.
    seen: Vec<Own>,
}

impl Fold {
    pub(super) fn run(
        mut self,
        runtime: &tokio::runtime::Handle,
        mut groups: mpsc::Receiver<Decoded>,
    ) -> anyhow::Result<()> {
        if self.live {
            self.send_what_is_owed()?;
        }
        loop {
            let next = runtime.block_on(async { tokio::time::timeout(IDLE, groups.recv()).await });
            let first = match next {
                Ok(Some(group)) => group,
                Ok(None) => break,
                Err(_) => {
                    self.go_live(self.progress.folded.load(Ordering::Relaxed))?;
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
        self.rules.take_unstored().into_iter().for_each(|texts| staged.put_rules(texts));
        let mut group = Effects::default();
        let mut asked = Vec::new();
        let mut tokens = Vec::new();
        let mut reached = None;
        let mut size = 0;
        for decoded in groups {
            size += decoded.incoming.len();
            let mut passed_over = decoded.passed_over;
            for read in decoded.incoming {
                let mut incoming = match read {
                    Read::Event(incoming) => *incoming,
                    Read::Own(known, message) => {
                        let position = Position::new(self.base + message.sequence, 0);
                        let time = message.stream_time;
                        match decide::decide_known(position, time, &known, &staged, &self.settings)? {
                            Some(decided) => self.add(decided, &mut staged, &mut group)?,
                            None => passed_over += self.read_again(&message, &mut staged, &mut group)?,
                        }
                        continue;
                    }
                };
                asked.extend(Asked::by(&mut incoming));
                let decided = decide::decide(incoming, &staged, &self.rules, &self.settings, &self.memory)?;
                self.add(decided, &mut staged, &mut group)?;
            }
            if decoded.awaited {
                self.tell.send_replace((decoded.reached.sequence, self.reader.clone()));
            }
            metrics::passed_over(passed_over);
            self.progress.lag.store(decoded.pending, Ordering::Relaxed);
            tokens.extend(decoded.ack);
            reached = Some(decoded.reached);
        }
        let Some(reached) = reached else { return Ok(()) };
        let (sequence, last) = (reached.sequence, reached.position(reached.sequence, u16::MAX));
        // Until the fold is live nothing was sent; that the store says nothing of it tells a first fold that was interrupted.
        if self.live {
            staged.set_published(self.outbox.cursor());
        }
        crash::point("before-commit");
        let started = Instant::now();
        self.store
            .commit(staged, reached)
            .context("what could not be stored is not acknowledged, and is read again after the next start")?;
        metrics::commit(size, started.elapsed());
        crash::point("after-commit");
        metrics::lag(self.progress.lag.load(Ordering::Relaxed));
        if self.live {
            feedback::ask(&self.asked, asked);
        }
        self.settle(group, sequence, last)?;
        for token in tokens {
            // Closed only where the service is stopping.
            let _ = self.acks.blocking_send(token);
        }
        Ok(())
    }

    fn add(&mut self, mut decided: Decided, staged: &mut Staged, group: &mut Effects) -> anyhow::Result<()> {
        count(&decided);
        self.collect(&mut decided, group);
        self.deadlines.note(&decided.row);
        let changed = self.rules.meet(&decided, staged)?;
        staged.add(decided)?;
        if let Some(texts) = changed {
            staged.put_rules(texts);
            let Reader { memory, event_size, .. } = &*self.reader;
            let rules = self.rules.current().clone();
            self.reader = Arc::new(Reader { rules, memory: memory.clone(), event_size: *event_size });
        }
        Ok(())
    }

    /// A message of ours that has come back before is an event like any other.
    fn read_again(&mut self, message: &Message, staged: &mut Staged, group: &mut Effects) -> anyhow::Result<u64> {
        let mut read = Vec::new();
        let passed_over = self.reader.clone().read(message, self.base, |incoming| read.push(incoming));
        for incoming in read {
            let decided = decide::decide(incoming, staged, &self.rules, &self.settings, &self.memory)?;
            self.add(decided, staged, group)?;
        }
        Ok(passed_over)
    }

    /// Takes the messages that a decision causes and the calls it asks for, and notes which of those owed has come back.
    fn collect(&mut self, decided: &mut Decided, group: &mut Effects) {
        let position = decided.row.position;
        match &decided.row.entry {
            Entry::Own(seen) => group.seen.push(*seen),
            Entry::Event(recorded) => {
                group.seen.extend(recorded.settles());
                group.owed.extend(recorded.calls().map(|kind| (position, kind)));
                group.calls.extend(CallDue::of(position, recorded));
                let context = decided.event.as_ref().and_then(|event| event.context.as_deref());
                for message in std::mem::take(&mut decided.messages) {
                    self.memory.note(position, context, &message);
                    group.owed.push((position, message.kind));
                    group.due.push(Due::new(position, message));
                }
            }
        }
    }

    /// After the commit: what is owed is noted, what came back is struck off, and the rest is sent.
    fn settle(&mut self, group: Effects, sequence: u64, last: Position) -> anyhow::Result<()> {
        self.deadlines.committed();
        for line in group.owed.chunk_by(|a, b| a.0 == b.0) {
            self.outbox.owe(line[0].0, line.iter().map(|(_, kind)| *kind));
        }
        self.outbox.owe(last, []);
        for seen in group.seen {
            self.outbox.settle(seen);
        }
        // Only now: who waits for a sequence takes it that what came back up to there is struck off, and that the rules which
        // came with it hold.
        self.progress.folded.store(sequence, Ordering::Release);
        metrics::outbox_depth(self.outbox.depth());
        if self.live {
            self.send(group.due, group.calls);
        }
        self.go_live(sequence)
    }

    fn send(&self, due: Vec<Due>, calls: Vec<CallDue>) {
        // Closed only where the service is stopping.
        if !due.is_empty() {
            let _ = self.due.blocking_send(due);
        }
        if !calls.is_empty() {
            let _ = self.calls.blocking_send(calls);
        }
    }

    /// Behind all that an earlier life may have sent, messages are sent; first what it still owed.
    fn go_live(&mut self, folded: u64) -> anyhow::Result<()> {
        if self.live || folded < self.end_at_start.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.live = true;
        self.send_what_is_owed()
    }

    /// Sends what an earlier life left, in order; made again from the journal.
    fn send_what_is_owed(&mut self) -> anyhow::Result<()> {
        let mut left_alone = 0;
        for position in self.outbox.lines() {
            let staged = self.store.stage();
            let Some(row) = staged.row(position)? else {
                tracing::error!(%position, "an event that is owed an answer is older than events are kept; it gets none");
                self.outbox.forget(position);
                continue;
            };
            let mut made = messages::again(&row, &staged, &self.settings)?;
            let mut calls: Vec<CallDue> = match &row.entry {
                Entry::Event(recorded) => CallDue::of(position, recorded).collect(),
                Entry::Own(_) => Vec::new(),
            };
            let answered: Vec<u32> = made
                .iter()
                .filter_map(|message| match message.kind {
                    OwnKind::CallStarted(call) => Some(call),
                    _ => None,
                })
                .collect();
            if self.history.is_some_and(|before| row.stream_time < before) {
                // One whose `started` stands in the stream was begun by an earlier life, and its sequence waits for the end.
                let begun = |call: &CallDue| {
                    let started = Own { of: position, kind: OwnKind::CallStarted(call.call) };
                    answered.contains(&call.call) && !self.outbox.owes(started)
                };
                for call in calls.extract_if(.., |call| !begun(call)) {
                    left_alone += 1;
                    let (start, call) = (OwnKind::CallStarted(call.call), OwnKind::Call(call.call));
                    // A task that is not carried out is not begun either.
                    made.retain(|message| message.kind != start);
                    [start, call].into_iter().for_each(|kind| self.outbox.settle(Own { of: position, kind }));
                }
            }
            let due = made.into_iter().map(|message| Due::new(position, message));
            self.send(due.collect(), calls);
        }
        if left_alone > 0 {
            tracing::warn!(
                calls = left_alone,
                "events that the stream held for more than an hour before this first start call no webhook"
            );
        }
        Ok(())
    }

    /// Stores how far the outbox is, when nothing else is to be stored.
    fn store_cursor(&mut self) -> anyhow::Result<()> {
        if !self.live {
            return Ok(());
        }
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
