//! Deadlines of tasks: the only part with a clock. When one passes, `dev.shipwatch.deadline.passed` goes into the stream, and
//! the fold, which has no clock, acts on that.
//!
//! What is under way is kept in memory, fed by the fold after each commit and read back from the journal after a restart.
//! Nothing about it is stored: a deadline that stands in the stream is met there, and one that was not published before a
//! crash is published after it, under the same id. What the fold meets twice it recognises by that id.

mod rebuild;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::bus::{Error, Publisher};
use crate::crash;
use crate::domain::deadline::{self, Passed, Replies};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::lookup::{Lookup as _, Unreadable};
use crate::domain::row::{Entry, Mark, Row};
use crate::domain::time::Time;
use crate::store::Reader;
pub use watch::Spans;
use watch::{Due, Fact, Watch};

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Facts that wait for the journal to be read back; the fold waits where there are more.
const WAITING: usize = 1 << 17;

/// Events of one trigger that are looked at before its deadline is published.
const REPLIES: usize = 4096;

/// The tasks under way, shared by the fold, which tells, and the clock.
#[derive(Debug)]
pub struct Deadlines {
    state: Mutex<State>,
    read_back: Condvar,
    spans: Spans,
}

#[derive(Debug)]
struct State {
    watch: Watch,
    /// What the fold told while the journal is read back; none once that is done.
    waiting: Option<Vec<Fact>>,
}

/// What the fold has met and not committed yet.
#[derive(Debug)]
pub struct Feed {
    to: Arc<Deadlines>,
    facts: Vec<Fact>,
    newest: Time,
}

impl Feed {
    /// A feed of these deadlines.
    pub fn new(to: Arc<Deadlines>) -> Feed {
        Feed { to, facts: Vec::new(), newest: Time::EPOCH }
    }

    /// Notes what a line means.
    pub fn note(&mut self, row: &Row) {
        self.newest = self.newest.max(row.stream_time);
        self.facts.extend(Fact::of(row));
    }

    /// The lines noted are committed.
    pub fn committed(&mut self) {
        self.to.feed(&mut self.facts, self.newest);
    }
}

impl Deadlines {
    /// Deadlines of these lengths; knows of nothing yet.
    pub fn new(spans: Spans) -> Arc<Deadlines> {
        let state = State { watch: Watch::new(spans.clone()), waiting: Some(Vec::new()) };
        Arc::new(Deadlines { state: Mutex::new(state), read_back: Condvar::new(), spans })
    }

    fn feed(&self, facts: &mut Vec<Fact>, newest: Time) {
        let mut state = self.state.lock();
        while state.waiting.as_ref().is_some_and(|waiting| waiting.len() >= WAITING) {
            self.read_back.wait(&mut state);
        }
        match &mut state.waiting {
            Some(waiting) => waiting.append(facts),
            None => {
                facts.drain(..).for_each(|fact| state.watch.take(fact));
                state.watch.reach(newest);
            }
        }
    }

    /// Goes on with what was read back from the journal, and with what the fold told meanwhile.
    fn begin(&self, mut watch: Watch) {
        let mut state = self.state.lock();
        state.waiting.take().into_iter().flatten().for_each(|fact| watch.take(fact));
        if watch.len() > 0 {
            tracing::info!(tasks = watch.len(), "tasks are under way from before");
        }
        state.watch = watch;
        self.read_back.notify_all();
    }
}

/// What the clock needs besides.
pub struct Clock {
    /// The journal.
    pub reader: Reader,
    /// The last line that the store had at start.
    pub last: Option<Position>,
    /// Where deadlines go.
    pub publisher: Publisher,
    /// Stream sequence folded last.
    pub folded: Arc<AtomicU64>,
    /// Nothing is published before the fold is here: behind everything that the stream held at start.
    pub live_behind: Arc<AtomicU64>,
}

/// Publishes deadlines as they pass, until `stop`.
///
/// # Errors
/// Where the journal cannot be read.
pub async fn run(deadlines: Arc<Deadlines>, clock: Clock, stop: CancellationToken) -> anyhow::Result<()> {
    let (spans, reader, last) = (deadlines.spans.clone(), clock.reader.clone(), clock.last);
    let read = tokio::task::spawn_blocking(move || rebuild::rebuild(&reader, last, spans)).await;
    // The fold waits for this, whatever came of it.
    let (watch, read) = read.unwrap_or_else(|_| (Watch::new(deadlines.spans.clone()), Ok(())));
    deadlines.begin(watch);
    read?;
    let mut waits = Backoff::broker().waits();
    let mut live = false;
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return Ok(()),
        }
        wait = LOOK;
        if !live {
            live = clock.folded.load(Ordering::Acquire) >= clock.live_behind.load(Ordering::Relaxed);
            if !live {
                continue;
            }
            deadlines.state.lock().watch.go_live();
        }
        let due = deadlines.state.lock().watch.due(Time::from(chrono::Utc::now()));
        let Some(due) = due else { continue };
        let Some(event) = deadlines.look(&clock.reader, &due)? else {
            wait = Duration::ZERO;
            continue;
        };
        crash::point("before-deadline");
        match publish(&clock.publisher, &event).await {
            Ok(()) => {
                crash::point("after-deadline");
                tracing::info!(trigger = %due.trigger, deadline = %due.deadline, "a deadline has passed");
            }
            // Sending it again would not make it smaller, nor the stream another one.
            Err(error @ (Error::TooLarge { .. } | Error::NoStreamFor(_))) => {
                tracing::error!(trigger = %due.trigger, %error, "a deadline cannot be published; it is given up");
            }
            Err(error) => {
                if waits.failures() == 0 {
                    tracing::warn!(trigger = %due.trigger, %error, "a deadline was not taken by the stream, sending it again");
                }
                wait = waits.next_delay();
                continue;
            }
        }
        waits.reset();
        deadlines.state.lock().watch.said(&due.trigger, due.deadline);
        wait = Duration::ZERO;
    }
}

impl Deadlines {
    /// The event that says so, where the journal agrees; else what the watch has of this trigger is put right.
    fn look(&self, reader: &Reader, due: &Due) -> Result<Option<Event>, Unreadable> {
        let rows = reader.newest_rows(Mark::Run(&due.trigger), REPLIES)?;
        let (replies, started_at) = Replies::of(&due.trigger, rows.iter().map(|row| &**row));
        let event = match reader.row(due.position)? {
            Some(row) if replies.misses(due.deadline) => self.event(&row, due, started_at),
            _ => None,
        };
        match &event {
            Some(_) => {}
            // Retention has removed the trigger.
            None if replies.misses(due.deadline) => self.state.lock().watch.forget(&due.trigger),
            None => self.state.lock().watch.correct(&due.trigger, replies, started_at),
        }
        Ok(event)
    }

    fn event(&self, row: &Row, due: &Due, started_at: Option<Time>) -> Option<Event> {
        let Entry::Event(recorded) = &row.entry else { return None };
        let trigger = Event::from_json(&recorded.payload).ok()?;
        let (head, task) = deadline::asked(recorded)?;
        let passed = Passed {
            project: head.project.clone(),
            stage: head.stage.clone(),
            service: head.service.clone(),
            task: task.to_owned(),
            deadline: due.deadline,
            after: self.spans.of(task, due.deadline)?.to_string(),
            triggered_at: row.stream_time,
            started_at: started_at.filter(|_| due.deadline == deadline::Deadline::Finished),
        };
        Some(passed.event(&trigger, due.at))
    }
}

/// Into the stream, and no sooner back than it is there.
async fn publish(publisher: &Publisher, event: &Event) -> Result<(), Error> {
    let body = Bytes::from(event.to_value().to_string());
    publisher.publish(deadline::TYPE, &event.id, body).await?.await?;
    Ok(())
}
