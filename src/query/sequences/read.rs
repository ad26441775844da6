//! The journal lines of one context.

use crate::domain::ids::{KeyId, Position};
use crate::domain::messages::{self, Message};
use crate::domain::row::{Entry, Mark, OwnKind, Row};
use crate::domain::timeline::{Line, Timeline, fold};
use crate::query::{Problem, State};

/// Events of one context that are read, the newest.
pub const MOST: usize = 5_000;

/// Bytes of events of one context that are read.
const BYTES: usize = 64 << 20;

/// Events from the beginning of a longer context among which its first sequence is looked for.
const BEGINNING: usize = 1_000;

/// What was read of a context.
pub struct Lines {
    /// In the order of the stream.
    pub lines: Vec<Line>,
    /// There are older ones.
    pub truncated: bool,
    /// Journal lines that were looked at.
    pub looked: usize,
}

/// The newest events of a context, as many as are read of one. Before them, where there are more, that which its first
/// sequence began with.
pub fn lines(state: &State, context: &str) -> Result<Lines, Problem> {
    let positions = state.reader.newest_positions(Mark::Context(context).hash(), Position::MAX, MOST + 1)?;
    let mut found = Lines { lines: Vec::new(), truncated: false, looked: 0 };
    let mut bytes = 0;
    for position in positions.into_iter().rev() {
        if found.looked == MOST || bytes > BYTES {
            found.truncated = true;
            break;
        }
        let Some(row) = state.reader.row(position)? else { continue };
        found.looked += 1;
        if let Some((line, size)) = line(state, &row, context)? {
            bytes += size;
            found.lines.push(line);
        }
    }
    if found.truncated {
        let first = first_sequence(state, context, &mut found.looked)?;
        let oldest = found.lines.last().map(|line| line.position);
        found.lines.extend(first.filter(|first| Some(first.position) < oldest));
    }
    found.lines.reverse();
    Ok(found)
}

/// What a row says about a context, and its size.
fn line(state: &State, row: &Row, context: &str) -> Result<Option<(Line, usize)>, Problem> {
    let Row { position, stream_time, entry } = row;
    Ok(match entry {
        Entry::Event(recorded) => {
            let line = Line::of_event(*position, *stream_time, recorded, context);
            line.map(|line| (line, recorded.payload.len()))
        }
        // An issue event says what the line that caused it says already.
        Entry::Own(own) if matches!(own.kind, OwnKind::Issue(_)) => None,
        Entry::Own(own) => {
            let message = messages::of_own(*own, &state.reader, &state.settings)?;
            let line = |m: Message| Some((Line::of_message(*position, *stream_time, &m, context)?, m.body.len()));
            message.and_then(line)
        }
    })
}

fn first_sequence(state: &State, context: &str, looked: &mut usize) -> Result<Option<Line>, Problem> {
    let positions = state.reader.positions(Mark::Context(context).hash())?;
    let kept = positions.into_iter().filter_map(|position| state.reader.row(position).transpose());
    for row in kept.take(BEGINNING) {
        *looked += 1;
        if let Some((line, _)) = line(state, &*row?, context)?.filter(|(line, _)| line.is_of_sequence()) {
            return Ok(Some(line));
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
