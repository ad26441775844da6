//! The fold of a replay: the decisions and commits of the service, and nothing sent.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use crate::bus::Message;
use crate::bus::binding::Reading;
use crate::domain::decide::{self, Decided, Incoming, Known, Memory, Settings};
use crate::domain::event::{Event, Form};
use crate::domain::ids::Position;
use crate::domain::loaded;
use crate::domain::row::Entry;
use crate::domain::rules::{RuleSet, Verdict};
use crate::domain::stream::Reached;
use crate::rules::{RuleBook, RulesInForce, reading};
use crate::store::{self, Reader, Staged, Store};

use super::{Filter, Input, Slowest, Tally};

/// Messages of our own that are recognised without a look into the journal.
const MEMORY: usize = 64 * 1024;

/// Messages from which on a second thread pays for itself.
const PARALLEL: usize = 64;

/// What a fold is set to, whatever its rules.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What decisions depend on.
    pub settings: Settings,
    /// Largest message that is read, in bytes.
    pub event_size: usize,
    /// How the store is opened.
    pub store: store::Options,
    /// Which events are folded.
    pub filter: Filter,
}

/// The rules of a fold.
#[derive(Clone, Debug)]
pub enum Opening {
    /// This set, and from then on those that the events bring.
    AsTheyCome(RuleSet),
    /// This set, and each of these for what stands behind its position.
    Scheduled(RuleSet, VecDeque<(Position, RuleSet)>),
    /// This set for everything.
    Fixed(RuleSet),
}

enum Changes {
    Met,
    At(VecDeque<(Position, RuleSet)>),
    None,
}

/// One fold.
pub struct Fold {
    store: Store,
    book: RuleBook,
    changes: Changes,
    settings: Settings,
    event_size: usize,
    filter: Filter,
    memory: Memory,
    reached: Reached,
    tally: Tally,
    slowest: Slowest,
}

/// One event on its way.
enum Read {
    /// The event, and whether it is one of those asked for.
    Event(Box<Incoming>, bool),
    /// A message of ours, recognised by its bytes, at this place of the part.
    Own(Known, usize),
}

/// What reading a part of a group gave.
#[derive(Default)]
struct Part {
    reads: Vec<Read>,
    passed_over: u64,
    slowest: Slowest,
}

impl Fold {
    /// Begins a fold into an empty folder. `from` says of which stream, and behind what.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub fn begin(dir: &Path, setup: Setup, from: Reached, opening: Opening) -> Result<Fold, store::Error> {
        // Nobody needs half of it: the disk is waited for at the end, where the folder is kept.
        let store = Store::open(dir, store::Options { sync: false, ..setup.store })?;
        let behind = from.position(from.sequence, u16::MAX);
        let (set, changes) = match opening {
            Opening::AsTheyCome(set) => (set, Changes::Met),
            Opening::Scheduled(set, at) => (set, Changes::At(at)),
            Opening::Fixed(set) => (set, Changes::None),
        };
        Ok(Fold {
            store,
            book: RuleBook::begin(set, behind, Vec::new()),
            changes,
            settings: setup.settings,
            event_size: setup.event_size,
            filter: setup.filter,
            memory: Memory::new(MEMORY),
            reached: from,
            tally: Tally::new(),
            slowest: Slowest::default(),
        })
    }

    /// What it came to so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Where the time went.
    pub fn slowest(&self) -> &Slowest {
        &self.slowest
    }

    /// What it holds.
    pub fn reader(&self) -> Reader {
        self.store.reader()
    }

    /// Ends it, and has the disk keep its folder.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn close(self) -> Result<(), store::Error> {
        self.store.sync()
    }

    /// Folds a group: all of it or, after an error, nothing.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub fn take(&mut self, inputs: &[Input]) -> anyhow::Result<()> {
        let Some(last) = inputs.last() else { return Ok(()) };
        let mut staged = self.store.stage();
        self.book.take_unstored().into_iter().for_each(|texts| staged.put_rules(texts));
        let mut rest = inputs;
        while let Some(first) = rest.first() {
            self.switch(first.position(), &mut staged);
            let (part, behind) = rest.split_at(self.judged_alike(rest));
            let Part { reads, passed_over, slowest } = self.read(part);
            self.tally.passed_over += passed_over;
            self.slowest.merge(slowest);
            for read in reads {
                match read {
                    Read::Event(incoming, asked) => self.decide(*incoming, asked, &mut staged)?,
                    Read::Own(known, at) => self.own(&known, &part[at], &mut staged)?,
                }
            }
            rest = behind;
        }
        self.reached.sequence = self.reached.sequence.max(last.message.sequence);
        self.reached.time = self.reached.time.max(last.message.stream_time);
        self.store.commit(staged, self.reached.clone())?;
        Ok(())
    }

    /// Takes up the sets that hold at a position.
    fn switch(&mut self, position: Position, staged: &mut Staged) {
        let Changes::At(next) = &mut self.changes else { return };
        while let Some((from, set)) = next.pop_front_if(|(from, _)| *from < position) {
            let texts = self.book.switch(set, from);
            staged.put_rules(texts);
        }
    }

    /// How many of these are judged by the rules in force: behind one that may bring others, those are asked.
    fn judged_alike(&self, inputs: &[Input]) -> usize {
        let end = match &self.changes {
            Changes::Met => inputs.iter().position(|i| i.message.subject == loaded::TYPE).map(|at| at + 1),
            Changes::At(next) => {
                let from = next.front().map(|(from, _)| *from);
                from.and_then(|from| inputs.iter().position(|i| i.position() > from))
            }
            Changes::None => None,
        };
        end.unwrap_or(inputs.len())
    }

    /// Decodes and judges, on all cores where it is much.
    fn read(&self, inputs: &[Input]) -> Part {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        if inputs.len() < PARALLEL || threads == 1 {
            return self.read_here(inputs, 0);
        }
        let size = inputs.len().div_ceil(threads);
        let parts: Vec<Part> = std::thread::scope(|scope| {
            let read = |(n, part)| scope.spawn(move || self.read_here(part, n * size));
            let running: Vec<_> = inputs.chunks(size).enumerate().map(read).collect();
            let joined = running.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut all = Part::default();
        for part in parts {
            all.reads.extend(part.reads);
            all.passed_over += part.passed_over;
            all.slowest.merge(part.slowest);
        }
        all
    }

    fn read_here(&self, inputs: &[Input], offset: usize) -> Part {
        let mut part = Part { reads: Vec::with_capacity(inputs.len()), ..Part::default() };
        for (n, input) in inputs.iter().enumerate() {
            let known = if self.filter.is_all() && input.within && input.reading.is_none() {
                self.memory.find(&input.message.payload)
            } else {
                None
            };
            match known {
                Some(known) => part.reads.push(Read::Own(known, offset + n)),
                None => self.read_one(input, &mut part),
            }
        }
        part
    }

    fn read_one(&self, input: &Input, part: &mut Part) {
        let rules = self.book.current();
        let Part { reads, passed_over, slowest } = part;
        let readings = self.readings(input, rules);
        let judge = |event: &Event| {
            let begun = Instant::now();
            let verdict = rules.evaluate(event);
            match &verdict {
                Verdict::Signal(signal) => slowest.note(&signal.rule, begun.elapsed()),
                Verdict::Neutral { rule, .. } | Verdict::Ignored { rule, .. } | Verdict::Broken { rule, .. } => {
                    slowest.note(rule, begun.elapsed());
                }
                Verdict::NoRule => {}
            }
            verdict
        };
        let named = input.kept || rules.names(&input.message.subject);
        let each = |incoming: Incoming| {
            let asked = input.within && self.fits(incoming.event.as_ref().ok().map(|(event, _)| event));
            reads.push(Read::Event(Box::new(incoming), asked));
        };
        *passed_over += reading::judged(&input.message, readings, 0, named, rules, judge, each);
    }

    /// The events of a message that are folded. Rules are, whatever is asked for: the others are judged by them.
    fn readings(&self, input: &Input, rules: &RulesInForce) -> Vec<Reading> {
        let mut readings = match &input.reading {
            // What nobody could read then may be what an adapter of these rules knows.
            Some(known) if known.event.is_err() && matches!(self.changes, Changes::None) => {
                let again = reading::read(&input.message, rules, self.event_size);
                let lifted = again.into_iter().find(|r| r.form == Form::Adapted);
                vec![lifted.map_or_else(|| known.clone(), |r| Reading { element: known.element, ..r })]
            }
            Some(known) => vec![known.clone()],
            None => reading::read(&input.message, rules, self.event_size),
        };
        if input.message.subject != loaded::TYPE {
            readings.retain(|r| input.within && self.fits(r.event.as_ref().ok()));
        }
        readings
    }

    /// Whether an event, or what is none, is asked for.
    fn fits(&self, event: Option<&Event>) -> bool {
        self.filter.is_all() || event.is_some_and(|event| self.filter.takes(event))
    }

    /// A message of ours that comes back for the first time is a reference, else it is an event like any other.
    fn own(&mut self, known: &Known, input: &Input, staged: &mut Staged) -> anyhow::Result<()> {
        let Message { sequence, stream_time, .. } = input.message;
        let position = Position::new(sequence, 0);
        if let Some(decided) = decide::decide_known(position, stream_time, known, staged, &self.settings)? {
            return self.add(decided, true, staged);
        }
        let mut part = Part::default();
        self.read_one(input, &mut part);
        for read in part.reads {
            if let Read::Event(incoming, asked) = read {
                self.decide(*incoming, asked, staged)?;
            }
        }
        Ok(())
    }

    fn decide(&mut self, incoming: Incoming, asked: bool, staged: &mut Staged) -> anyhow::Result<()> {
        let decided = decide::decide(incoming, staged, &self.book, &self.settings, &self.memory)?;
        self.add(decided, asked, staged)
    }

    fn add(&mut self, mut decided: Decided, asked: bool, staged: &mut Staged) -> anyhow::Result<()> {
        let position = decided.row.position;
        if asked {
            self.tally.add(position, &decided);
        }
        if let Entry::Event(_) = &decided.row.entry {
            let context = decided.event.as_ref().and_then(|event| event.context.as_deref());
            for message in std::mem::take(&mut decided.messages) {
                self.memory.note(position, context, &message);
            }
        }
        let changed = match self.changes {
            Changes::Met => self.book.meet(&decided, staged)?,
            Changes::At(_) | Changes::None => None,
        };
        staged.add(decided)?;
        changed.into_iter().for_each(|texts| staged.put_rules(texts));
        Ok(())
    }
}
