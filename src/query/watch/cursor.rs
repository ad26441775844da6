//! How far a watcher has been told: what its `Last-Event-ID` says.

use std::fmt;

use crate::domain::ids::Position;

/// A place between two changes: all lines before `line` are told, and of `line` this many of its changes.
///
/// The journal keeps its positions over restarts, and a fresh fold of the same stream gives the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub line: Position,
    pub told: u32,
}

impl Cursor {
    /// Behind a line; before the first one for none.
    pub fn behind(line: Option<Position>) -> Cursor {
        let next = line.map_or(0, |line| line.to_u64().saturating_add(1));
        Cursor { line: Position::from_u64(next), told: 0 }
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Cursor> {
        let (line, told) = text.split_once('-')?;
        Some(Cursor { line: Position::parse(line)?, told: told.parse().ok()? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.line, self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_is_written() {
        for (text, line, told) in [("17-0", Position::new(17, 0), 0), ("17.2-40", Position::new(17, 2), 40)] {
            let cursor = Cursor { line, told };
            assert_eq!((Cursor::parse(text), cursor.to_string()), (Some(cursor), text.to_owned()));
        }
        assert_eq!(Cursor::behind(Some(Position::new(17, 0))).to_string(), "17.1-0");
        assert_eq!(Cursor::behind(None).to_string(), "0-0");
        for bad in ["", "17", "-1", "x-0", "17-x", "17.99999-0", "17--1"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
