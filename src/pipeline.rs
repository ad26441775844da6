//! The loop of the service: groups of messages in, one commit each, effects and acks after it.
//!
//! Three workers, joined by bounded channels. The *reader* pulls a group and decodes it while the *fold*, a thread of
//! its own, decides and commits the one before; the *settler* acknowledges. Publishing is `effects::publish`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::bus::{self, Inbox, Message};
use crate::crash;
use crate::domain::decide::{self, Decided, Incoming, Known, Memory, Settings};
use crate::domain::event::Form;
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::KeyState;
use crate::domain::loaded;
use crate::domain::lookup::Lookup as _;
use crate::domain::messages;
use crate::domain::row::{Entry, Head, Own};
use crate::domain::rules::Verdict;
use crate::domain::stream::Reached;
use crate::effects::feedback::{self, Asked};
use crate::effects::outbox::Outbox;
use crate::effects::publish::Due;
use crate::metrics;
use crate::rules::{RuleBook, RulesInForce, reading};
use crate::store::{Staged, Store};

/// Most messages of a group: most of what grouping gains is there by a few hundred.
pub const GROUP: usize = 1024;

/// Messages of our own remembered so that they are recognised when they come back without a look into the journal, which
/// costs fifty times as much. They come back behind all that the stream held when they were sent; some 50 bytes each.
const MEMORY: usize = 256 * 1024;

/// How long the fold waits for the next group before it stores how far the outbox is.
const IDLE: Duration = Duration::from_millis(250);

/// What the loop is built from.
pub struct Pipeline {
    /// The store; the fold is its only writer.
    pub store: Store,
    /// Where messages come from.
    pub inbox: Inbox,
    /// The rules.
    pub rules: RuleBook,
    /// Configuration that decisions depend on.
    pub settings: Settings,
    /// Largest message that is read, in bytes.
    pub event_size: usize,
    /// What is owed to the stream.
    pub outbox: Arc<Outbox>,
    /// Messages that are due.
    pub due: mpsc::Sender<Vec<Due>>,
    /// Events whose publishers wait to be told.
    pub asked: mpsc::Sender<Vec<Asked>>,
    /// How far the fold is.
    pub progress: Arc<Progress>,
    /// Where reading begins.
    pub from: Reached,
    /// Sequence of the last message that an earlier life may have sent, as the stream was when the service started. Messages
    /// are sent only behind it. Set to 0 where that message will never come.
    pub end_at_start: Arc<AtomicU64>,
}

/// How far the fold is, for readiness and metrics.
#[derive(Debug, Default)]
pub struct Progress {
    /// Stream sequence folded last.
    pub folded: AtomicU64,
    /// Messages that the stream holds behind it.
    pub lag: AtomicU64,
}

/// One event on its way to the fold.
enum Read {
    /// Decoded and judged.
    Event(Box<Incoming>),
    /// A message of ours that came back, recognised without decoding it.
    Own(Known, Message),
}

/// What reading needs to know. The same for all messages.
struct Reader {
    rules: RulesInForce,
    memory: Arc<Memory>,
    event_size: usize,
}

/// A group of messages, decoded and judged.
struct Decoded {
    incoming: Vec<Read>,
    reached: Reached,
    /// None where more of the same messages follow.
    ack: Option<bus::Token>,
    pending: u64,
    passed_over: u64,
    /// It ends with what may be other rules, and the reader waits for the fold's word about them.
    awaited: bool,
}

/// How to read behind a sequence of the stream: what the fold tells whoever reads ahead, since rules change in between.
type Switched = (u64, Arc<Reader>);

impl Pipeline {
    /// Runs until `stop` is cancelled; then finishes the group in hand, and acknowledges it.
    ///
    /// # Errors
    /// Where the store cannot be read or written, or the broker refuses for good. The process ends then.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Pipeline { store, inbox, rules, settings, event_size, outbox, due, asked, progress, from, end_at_start } =
            self;
        let (to_fold, groups) = mpsc::channel::<Decoded>(2);
        let (to_acks, acks) = mpsc::channel::<bus::Token>(16);
        let folded = from.sequence;
        let memory = Arc::new(Memory::new(MEMORY));
        let reader = Arc::new(Reader { rules: rules.current().clone(), memory: memory.clone(), event_size });
        let (tell, switched) = watch::channel((from.sequence, reader.clone()));
        progress.folded.store(folded, Ordering::Relaxed);
        let fold = Fold {
            store,
            rules,
            tell,
            settings,
            memory,
            reader,
            base: from.base,
            outbox,
            due,
            asked,
            acks: to_acks,
            progress,
            live: folded >= end_at_start.load(Ordering::Relaxed),
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
        let read = read(inbox, switched, from, to_fold, stop).await;
        let fold = tokio::task::spawn_blocking(move || fold.join()).await?;
        settle.await?;
        fold.map_err(|_| anyhow::anyhow!("the fold panicked"))?.and(read)
    }
}

/// Pulls, decodes, judges.
async fn read(
    mut inbox: Inbox,
    mut switched: watch::Receiver<Switched>,
    mut from: Reached,
    to_fold: mpsc::Sender<Decoded>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut reader = switched.borrow().1.clone();
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
        let mut token = Some(group.token);
        let mut parts = reading::cut(messages).into_iter().peekable();
        while let Some(part) = parts.next() {
            let awaited = part.last().filter(|m| m.subject == loaded::TYPE).map(|m| m.sequence);
            let last = parts.peek().is_none();
            let end = part.last().filter(|_| !last).map_or((sequence, time), |m| (m.sequence, m.stream_time));
            from.sequence = from.sequence.max(end.0);
            from.time = from.time.max(end.1);
            let (incoming, passed_over) = decode(part, &reader, from.base).await?;
            let (reached, ack) = (from.clone(), token.take_if(|_| last));
            let decoded = Decoded { incoming, reached, ack, pending, passed_over, awaited: awaited.is_some() };
            if to_fold.send(decoded).await.is_err() {
                return Ok(());
            }
            let Some(awaited) = awaited else { continue };
            let told = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                told = switched.wait_for(|(behind, _)| *behind >= awaited) => told,
            };
            // Where the fold has ended, it says itself why.
            let Ok(told) = told else { return Ok(()) };
            reader = told.1.clone();
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
async fn decode(messages: Vec<Message>, reader: &Arc<Reader>, base: u64) -> anyhow::Result<(Vec<Read>, u64)> {
    if messages.len() < 16 {
        return Ok(reader.read_all(messages, base));
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let size = messages.len().div_ceil(workers);
    let mut rest = messages;
    let mut tasks = Vec::new();
    while !rest.is_empty() {
        let tail = rest.split_off(size.min(rest.len()));
        let (part, reader) = (std::mem::replace(&mut rest, tail), reader.clone());
        tasks.push(tokio::task::spawn_blocking(move || reader.read_all(part, base)));
    }
    let mut all = (Vec::new(), 0);
    for task in tasks {
        let (incoming, passed_over) = task.await?;
        all.0.extend(incoming);
        all.1 += passed_over;
    }
    Ok(all)
}

impl Reader {
    fn read_all(&self, messages: Vec<Message>, base: u64) -> (Vec<Read>, u64) {
        let mut all = Vec::with_capacity(messages.len());
        let mut passed_over = 0;
        for message in messages {
            match self.memory.find(&message.payload) {
                Some(known) => all.push(Read::Own(known, message)),
                None => passed_over += self.read(&message, base, |incoming| all.push(Read::Event(Box::new(incoming)))),
            }
        }
        (all, passed_over)
    }

    /// Decodes and judges a message, and says how many of its events nobody names.
    fn read(&self, message: &Message, base: u64, mut each: impl FnMut(Incoming)) -> u64 {
        let named = self.rules.names(&message.subject);
        let mut passed_over = 0;
        for reading in reading::read(message, &self.rules, self.event_size) {
            // Where subject and type differ the type counts, so a type that somebody names is not passed over.
            if !named && !reading.event.as_ref().is_ok_and(|e| self.rules.names(&e.ty)) {
                passed_over += 1;
                continue;
            }
            let verdict = reading.event.as_ref().map_or(Verdict::NoRule, |e| self.rules.evaluate(e));
            each(Incoming {
                position: Position::new(base + message.sequence, reading.element),
                stream_time: message.stream_time,
                subject: message.subject.clone(),
                form: if reading.event.is_ok() { reading.form } else { Form::Unreadable },
                event: reading.event.map(|event| {
                    let head = Head::of(&event);
                    (event, head)
                }),
                verdict,
                payload: reading.payload,
                tell: feedback::wanted(message),
            });
        }
        passed_over
    }
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
    rules: RuleBook,
    tell: watch::Sender<Switched>,
    settings: Settings,
    memory: Arc<Memory>,
    reader: Arc<Reader>,
    base: u64,
    outbox: Arc<Outbox>,
    due: mpsc::Sender<Vec<Due>>,
    asked: mpsc::Sender<Vec<Asked>>,
    acks: mpsc::Sender<bus::Token>,
    progress: Arc<Progress>,
    /// The fold has reached all that an earlier life may have sent, so what is owed is sent.
    live: bool,
    end_at_start: Arc<AtomicU64>,
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
        let mut due = Vec::new();
        let mut own = Vec::new();
        let mut asked = Vec::new();
        let mut tokens = Vec::new();
        let mut reached = None;
        let mut size = 0;
        for group in groups {
            size += group.incoming.len();
            let mut passed_over = group.passed_over;
            for read in group.incoming {
                let mut incoming = match read {
                    Read::Event(incoming) => *incoming,
                    Read::Own(known, message) => {
                        let position = Position::new(self.base + message.sequence, 0);
                        let time = message.stream_time;
                        match decide::decide_known(position, time, &known, &staged, &self.settings)? {
                            Some(decided) => self.add(decided, &mut staged, &mut due, &mut own)?,
                            None => passed_over += self.read_again(&message, &mut staged, &mut due, &mut own)?,
                        }
                        continue;
                    }
                };
                asked.extend(Asked::by(&mut incoming));
                let decided = decide::decide(incoming, &staged, &self.rules, &self.settings, &self.memory)?;
                self.add(decided, &mut staged, &mut due, &mut own)?;
            }
            if group.awaited {
                self.tell.send_replace((group.reached.sequence, self.reader.clone()));
            }
            metrics::passed_over(passed_over);
            self.progress.lag.store(group.pending, Ordering::Relaxed);
            tokens.extend(group.ack);
            reached = Some(group.reached);
        }
        let Some(reached) = reached else { return Ok(()) };
        let (sequence, last) = (reached.sequence, reached.position(reached.sequence, u16::MAX));
        staged.set_published(self.outbox.cursor());
        crash::point("before-commit");
        let started = Instant::now();
        self.store
            .commit(staged, reached)
            .context("what could not be stored is not acknowledged, and is read again after the next start")?;
        metrics::commit(size, started.elapsed());
        crash::point("after-commit");
        self.progress.folded.store(sequence, Ordering::Relaxed);
        metrics::lag(self.progress.lag.load(Ordering::Relaxed));
        if self.live {
            feedback::ask(&self.asked, asked);
        }
        self.settle(due, own, sequence, last)?;
        for token in tokens {
            // Closed only where the service is stopping.
            let _ = self.acks.blocking_send(token);
        }
        Ok(())
    }

    fn add(
        &mut self,
        decided: Decided,
        staged: &mut Staged,
        due: &mut Vec<Due>,
        own: &mut Vec<Own>,
    ) -> anyhow::Result<()> {
        count(&decided);
        self.collect(&decided, due, own);
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
    fn read_again(
        &mut self,
        message: &Message,
        staged: &mut Staged,
        due: &mut Vec<Due>,
        own: &mut Vec<Own>,
    ) -> anyhow::Result<u64> {
        let mut read = Vec::new();
        let passed_over = self.reader.clone().read(message, self.base, |incoming| read.push(incoming));
        for incoming in read {
            let decided = decide::decide(incoming, staged, &self.rules, &self.settings, &self.memory)?;
            self.add(decided, staged, due, own)?;
        }
        Ok(passed_over)
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
                    self.memory.note(row.position, event.context.as_deref(), &message);
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
        if self.live && !due.is_empty() {
            let _ = self.due.blocking_send(due);
        }
        self.go_live(sequence)
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
        for position in self.outbox.lines() {
            let staged = self.store.stage();
            let Some(row) = staged.row(position)? else {
                tracing::error!(%position, "an event that is owed an answer is older than events are kept; it gets none");
                self.outbox.forget(position);
                continue;
            };
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
