//! Which tasks are under way and when their deadlines pass, as the fold has met them. No clock, no broker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use uuid::Uuid;

use crate::domain::deadline::{self, Deadline, Replies};
use crate::domain::ids::{self, Position};
use crate::domain::keptn::Phase;
use crate::domain::row::{Entry, Recorded, Row};
use crate::domain::time::Time;
use crate::units::Span;

/// How long what has passed is still worth saying: a fold that meets an old stream leaves older deadlines alone. Also how long
/// a task whose deadline was said is remembered.
pub const PAST: Duration = Duration::from_secs(24 * 60 * 60);

/// Tasks that are watched at a time; some 400 bytes each.
const MOST: usize = 100_000;

/// How long tasks may take; a span of zero means for ever.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// From `triggered` to the first answer.
    pub started: Span,
    /// From `started` to `finished`.
    pub finished: Span,
    /// Other spans for some tasks.
    pub tasks: BTreeMap<String, (Option<Span>, Option<Span>)>,
}

impl Spans {
    /// The span of a deadline of a task; none where it is not watched.
    pub fn of(&self, task: &str, deadline: Deadline) -> Option<Span> {
        let own = self.tasks.get(task);
        let span = match deadline {
            Deadline::Started => own.and_then(|o| o.0).unwrap_or(self.started),
            Deadline::Finished => own.and_then(|o| o.1).unwrap_or(self.finished),
        };
        Some(span).filter(|span| !span.is_zero())
    }

    /// The longest of all.
    pub fn longest(&self) -> Duration {
        let own = self.tasks.values().flat_map(|(a, b)| [*a, *b]).flatten();
        own.chain([self.started, self.finished]).max().unwrap_or_default().get()
    }
}

/// What a journal line means for deadlines.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A task is asked for.
    Asked {
        /// Id of the trigger.
        trigger: Arc<str>,
        /// The task.
        task: Box<str>,
        /// Where the trigger stands.
        position: Position,
        /// When the stream took it.
        at: Time,
        /// The sequence it belongs to, where it has a context.
        sequence: Option<Uuid>,
    },
    /// Somebody answers a trigger.
    Replied {
        /// Id of the trigger.
        trigger: Arc<str>,
        /// With what.
        phase: Phase,
        /// When the stream took it.
        at: Time,
    },
    /// A sequence is at its end, and all its tasks with it.
    Ended(Uuid),
    /// A deadline of this trigger has been said.
    Said(Arc<str>, Deadline),
}

impl Fact {
    /// What a line means; most mean nothing.
    pub fn of(row: &Row) -> impl Iterator<Item = Fact> {
        let recorded = match &row.entry {
            Entry::Event(recorded) => Some(&**recorded),
            Entry::Own(_) => None,
        };
        let at = row.stream_time;
        let replied = move |trigger: &str, phase| Fact::Replied { trigger: trigger.into(), phase, at };
        let ours = recorded.and_then(deadline::reply_of_ours).into_iter();
        let ours = ours.flat_map(move |(trigger, times, phase)| (0..times).map(move |_| replied(trigger, phase)));
        recorded.and_then(|recorded| Fact::of_others(row, recorded)).into_iter().chain(ours)
    }

    fn of_others(row: &Row, recorded: &Recorded) -> Option<Fact> {
        if let Some((trigger, phase)) = deadline::reply(recorded) {
            return Some(Fact::Replied { trigger: trigger.into(), phase, at: row.stream_time });
        }
        if let Some((head, task)) = deadline::asked(recorded) {
            return Some(Fact::Asked {
                trigger: head.origin.id.as_str().into(),
                task: task.into(),
                position: row.position,
                at: row.stream_time,
                sequence: head.context.as_deref().map(|context| sequence(context, &head.stage, &head.service)),
            });
        }
        if let Some((context, stage, service)) = deadline::ended(recorded) {
            return Some(Fact::Ended(sequence(context, stage, service)));
        }
        let (trigger, deadline) = deadline::said(recorded)?;
        Some(Fact::Said(trigger.into(), deadline))
    }
}

/// Names a sequence in little room.
fn sequence(context: &str, stage: &str, service: &str) -> Uuid {
    ids::derive("sequence", &[context, stage, service])
}

/// A task under way.
#[derive(Debug, PartialEq)]
struct Open {
    position: Position,
    sequence: Option<Uuid>,
    /// How long after a `started`; none: for ever.
    finished: Option<Duration>,
    replies: Replies,
    said: [bool; 2],
    /// When something happens to it, and which deadline that is; none: it is forgotten.
    next: (Time, Option<Deadline>),
}

/// All tasks under way.
#[derive(Debug)]
pub struct Watch {
    spans: Spans,
    open: HashMap<Arc<str>, Open>,
    sequences: HashMap<Uuid, SmallVec<[Arc<str>; 1]>>,
    order: BTreeSet<(Time, Arc<str>)>,
    newest: Time,
    live: bool,
    full: bool,
}

/// A deadline that has passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// Id of the trigger.
    pub trigger: Arc<str>,
    /// Where the trigger stands.
    pub position: Position,
    /// Which deadline.
    pub deadline: Deadline,
    /// When it passed.
    pub at: Time,
}

impl Watch {
    /// Nothing under way.
    pub fn new(spans: Spans) -> Watch {
        Watch {
            spans,
            newest: Time::EPOCH,
            open: HashMap::new(),
            sequences: HashMap::new(),
            order: BTreeSet::new(),
            live: false,
            full: false,
        }
    }

    /// Tasks under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether this trigger is known.
    pub fn knows(&self, trigger: &str) -> bool {
        self.open.contains_key(trigger)
    }

    /// Takes in what a line means. Constant work, but for the order of what is due.
    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Asked { trigger, task, position, at, sequence } => {
                self.newest = self.newest.max(at);
                let started = self.spans.of(&task, Deadline::Started);
                let finished = self.spans.of(&task, Deadline::Finished).map(Span::get);
                if (started.is_none() && finished.is_none()) || self.open.contains_key(&trigger) || self.is_full() {
                    return;
                }
                let next = match started {
                    Some(span) => (at.plus(span.get()), Some(Deadline::Started)),
                    None => (at.plus(PAST), None),
                };
                if let Some(sequence) = sequence {
                    self.sequences.entry(sequence).or_default().push(trigger.clone());
                }
                self.order.insert((next.0, trigger.clone()));
                let open = Open { position, sequence, finished, replies: Replies::default(), said: [false; 2], next };
                self.open.insert(trigger, open);
            }
            Fact::Replied { trigger, phase, at } => {
                self.newest = self.newest.max(at);
                let Some(open) = self.open.get_mut(&trigger) else { return };
                open.replies.add(phase);
                if open.replies.done() {
                    self.forget(&trigger);
                    return;
                }
                let said = open.said[Deadline::Finished as usize];
                let next = match (phase, open.finished.filter(|_| !said)) {
                    (Phase::Started, Some(span)) => (at.plus(span), Some(Deadline::Finished)),
                    // Progress before any `started` takes the first deadline away.
                    _ if open.next.1 == Some(Deadline::Started) => (at.plus(PAST), None),
                    _ => return,
                };
                self.set_next(&trigger, next);
            }
            Fact::Ended(sequence) => {
                for trigger in self.sequences.remove(&sequence).unwrap_or_default() {
                    self.forget(&trigger);
                }
            }
            Fact::Said(trigger, deadline) => self.said(&trigger, deadline),
        }
    }

    /// A deadline stands in the stream. The other one may still come.
    pub fn said(&mut self, trigger: &Arc<str>, deadline: Deadline) {
        let Some(open) = self.open.get_mut(trigger) else { return };
        open.said[deadline as usize] = true;
        if let (at, Some(next)) = open.next
            && next == deadline
        {
            self.set_next(trigger, (at.plus(PAST), None));
        }
    }

    /// What the journal has of a trigger, where it was met without its whole story: before its trigger, for example.
    pub fn correct(&mut self, trigger: &Arc<str>, replies: Replies, started_at: Option<Time>) {
        let Some(open) = self.open.get_mut(trigger) else { return };
        open.replies = replies;
        let (at, _) = open.next;
        let said = open.said[Deadline::Finished as usize];
        match (open.finished.filter(|_| !said), started_at) {
            _ if replies.done() => self.forget(trigger),
            (Some(span), Some(started_at)) => self.set_next(trigger, (started_at.plus(span), Some(Deadline::Finished))),
            _ => self.set_next(trigger, (at.plus(PAST), None)),
        }
    }

    /// Time goes on with the stream. While it is caught up with, what is too old to be said leaves, so that an old stream
    /// with thousands of abandoned tasks neither fills the memory nor is answered with thousands of deadlines.
    pub fn reach(&mut self, newest: Time) {
        self.newest = self.newest.max(newest);
        if !self.live {
            let since = self.newest.minus(PAST);
            while let Some((_, trigger)) = self.order.first().filter(|(at, _)| *at < since).cloned() {
                self.forget(&trigger);
            }
        }
    }

    /// Everything that the stream held at start has been met.
    pub fn go_live(&mut self) {
        self.reach(self.newest);
        self.live = true;
    }

    /// The first deadline that has passed by now, where deadlines are said already.
    pub fn due(&mut self, now: Time) -> Option<Due> {
        while self.live {
            let (at, trigger) = self.order.first().filter(|(at, _)| *at <= now)?.clone();
            let open = self.open.get(&trigger);
            match open.and_then(|open| Some((open.next.1?, open.position))) {
                Some((deadline, position)) => return Some(Due { trigger, position, deadline, at }),
                None => self.forget(&trigger),
            }
        }
        None
    }

    fn set_next(&mut self, trigger: &Arc<str>, next: (Time, Option<Deadline>)) {
        let Some(open) = self.open.get_mut(trigger) else { return };
        let before = std::mem::replace(&mut open.next, next);
        self.order.remove(&(before.0, trigger.clone()));
        self.order.insert((next.0, trigger.clone()));
    }

    /// Nothing can be said of this trigger any more.
    pub fn forget(&mut self, trigger: &Arc<str>) {
        let Some(open) = self.open.remove(trigger) else { return };
        self.order.remove(&(open.next.0, trigger.clone()));
        if let Some(sequence) = open.sequence
            && let Some(all) = self.sequences.get_mut(&sequence)
        {
            all.retain(|t| t != trigger);
            if all.is_empty() {
                self.sequences.remove(&sequence);
            }
        }
    }

    fn is_full(&mut self) -> bool {
        let full = self.open.len() >= MOST;
        if full && !self.full {
            tracing::warn!(tasks = MOST, "too many tasks are under way; the deadlines of further ones are not watched");
        }
        self.full = full;
        full
    }
}
