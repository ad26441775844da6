//! After a restart: which tasks are under way, from the journal.

use std::sync::Arc;
use std::time::Duration;

use super::watch::{Fact, PAST, Spans, Watch};
use crate::domain::ids::Position;
use crate::domain::keptn::Phase;
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::{Entry, Mark, Row};
use crate::domain::time::Time;
use crate::store::{Direction, Reader};

/// The watch as the journal up to `last` leaves it.
///
/// Read back only as far as needed: what passed longer ago than [`PAST`] is left alone, so lines older than that and the
/// longest deadline say nothing any more, unless a task was started long after it was asked for. That one is looked up.
///
/// # Errors
/// Where the journal cannot be read; the watch then has what could be.
pub fn rebuild(reader: &Reader, last: Option<Position>, spans: Spans) -> (Watch, Result<(), Unreadable>) {
    let longest = spans.longest();
    let mut watch = Watch::new(spans);
    let result = last.map_or(Ok(()), |last| read_back(&mut watch, reader, last, longest));
    (watch, result)
}

fn read_back(watch: &mut Watch, reader: &Reader, last: Position, longest: Duration) -> Result<(), Unreadable> {
    let newest = reader.journal(..=last, Direction::Backward).next().transpose()?;
    let Some(newest) = newest else { return Ok(()) };
    let from = first_since(reader, last, newest.stream_time.minus(PAST + longest))?;
    for row in reader.journal(from..=last, Direction::Forward) {
        take(watch, reader, &*row?, from)?;
    }
    watch.reach(newest.stream_time);
    Ok(())
}

/// The place of the first line that the stream took at this time or later. Times grow with places, as a rule.
fn first_since(reader: &Reader, last: Position, time: Time) -> Result<Position, Unreadable> {
    let (mut low, mut high) = (0, last.to_u64());
    while low < high {
        let middle = low + (high - low) / 2;
        let line = reader.journal(Position::from_u64(middle)..=last, Direction::Forward).next().transpose()?;
        match line {
            Some(row) if row.stream_time < time => low = row.position.to_u64() + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(Position::from_u64(low))
}

/// Takes in one line; where it starts a task that was asked for before `from`, what came before as well.
fn take(watch: &mut Watch, lookup: &impl Lookup, row: &Row, from: Position) -> Result<(), Unreadable> {
    for fact in Fact::of(row) {
        if let Fact::Replied { trigger, phase: Phase::Started, .. } = &fact
            && !watch.knows(trigger)
        {
            before(watch, lookup, trigger, from)?;
        }
        watch.take(fact);
    }
    Ok(())
}

/// Takes in the trigger of this id and what was answered to it, as far as that stands before `from`.
fn before(watch: &mut Watch, lookup: &impl Lookup, trigger: &str, from: Position) -> Result<(), Unreadable> {
    let before = |row: &&Arc<Row>| row.position < from;
    let asks = |row: &Row| match &row.entry {
        Entry::Event(r) => r.head.as_ref().is_some_and(|h| h.origin.id == trigger),
        Entry::Own(_) => false,
    };
    let asked = lookup.first_after(Mark::EventId(trigger), Position::default(), &asks)?;
    let asked = asked.as_ref().filter(before).into_iter().flat_map(|row| Fact::of(row));
    if let Some(asked) = asked.into_iter().find(|fact| matches!(fact, Fact::Asked { .. })) {
        watch.take(asked);
        let earlier = lookup.newest_rows(Mark::Run(trigger), 256)?;
        earlier.iter().filter(before).flat_map(|row| Fact::of(row)).for_each(|fact| watch.take(fact));
    }
    Ok(())
}
