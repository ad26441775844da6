//! The journal lines of one context.

use crate::domain::ids::{KeyId, Position};
use crate::domain::messages;
use crate::domain::row::{Entry, Mark, OwnKind, Row};
use crate::domain::timeline::{Line, Timeline, fold};
use crate::query::{Problem, State};

/// Events of one context that are read, the newest.
const MOST: usize = 5_000;

/// The same in [`cost`]: less where they are large.
const COST: usize = 6_000;

/// Bytes that cost as much as an event.
const LARGE: usize = 16 << 10;

/// How much of the beginning of a longer context its first sequence is looked for in, by [`cost`].
const BEGINNING: usize = 1_000;

/// What was read of a context.
pub struct Lines {
    /// In the order of the stream.
    pub lines: Vec<Line>,
    /// There are older ones.
    pub truncated: bool,
    /// What reading it has cost, by [`cost`].
    pub cost: usize,
}

/// What reading a line costs: one, and more where it is large.
pub fn cost(row: &Row) -> usize {
    match &row.entry {
        Entry::Event(recorded) => 1 + recorded.payload.len() / LARGE,
        Entry::Own(_) => 1,
    }
}

/// The newest events of a context, as many as are read of one. Before them, where there are more, that which its first
/// sequence began with.
pub fn lines(state: &State, context: &str) -> Result<Lines, Problem> {
    let positions = state.reader.newest_positions(Mark::Context(context).hash(), Position::MAX, MOST + 1)?;
    let mut found = Lines { lines: Vec::new(), truncated: false, cost: 0 };
    for (n, position) in positions.into_iter().rev().enumerate() {
        if n == MOST || found.cost >= COST {
            found.truncated = true;
            break;
        }
        let Some(row) = state.reader.row(position)? else { continue };
        found.cost += cost(&row);
        found.lines.extend(line(state, &row, context)?);
    }
    if found.truncated {
        let first = first_sequence(state, context, &mut found.cost)?;
        let oldest = found.lines.last().map(|line| line.position);
        found.lines.extend(first.filter(|first| Some(first.position) < oldest));
    }
    found.lines.reverse();
    Ok(found)
}

/// What a row says about a context.
fn line(state: &State, row: &Row, context: &str) -> Result<Option<Line>, Problem> {
    let Row { position, stream_time, entry } = row;
    Ok(match entry {
        Entry::Event(recorded) => Line::of_event(*position, *stream_time, recorded, context),
        // An issue event says what the line that caused it says already.
        Entry::Own(own) if matches!(own.kind, OwnKind::Issue(_)) => None,
        Entry::Own(own) => {
            let message = messages::of_own(*own, &state.reader, &state.settings)?;
            message.and_then(|m| Line::of_message(*position, *stream_time, &m, context))
        }
    })
}

fn first_sequence(state: &State, context: &str, spent: &mut usize) -> Result<Option<Line>, Problem> {
    let end = *spent + BEGINNING;
    for position in state.reader.positions(Mark::Context(context).hash())? {
        let Some(row) = state.reader.row(position)? else { continue };
        *spent += cost(&row);
        if let Some(line) = line(state, &row, context)?.filter(Line::is_of_sequence) {
            return Ok(Some(line));
        }
        if *spent >= end {
            break;
        }
    }
    Ok(None)
}

/// The timeline that these lines make.
pub fn timeline(state: &State, context: &str, lines: Lines) -> Timeline {
    let issue = |id: KeyId| {
        let known = state.reader.catalog().get(id)?;
        known.marks.issue.as_ref().map(|issue| (issue.number, issue.title.clone()))
    };
    let mut timeline = fold(context, lines.lines, issue);
    timeline.truncated = lines.truncated;
    timeline
}
