//! Where in a file something in the text of a YAML value stands.

use crate::domain::yaml::problem::At;

/// The lines of a file.
pub struct Lines<'f>(Vec<&'f str>);

impl<'f> Lines<'f> {
    pub fn of(file: &'f str) -> Lines<'f> {
        Lines(file.lines().collect())
    }

    /// The place `inner` of the text of the value at `value`. Exact in literal blocks and in texts of one line without escapes,
    /// else near it.
    pub fn place(&self, value: At, inner: At) -> At {
        let line = |n: u32| n.checked_sub(1).and_then(|n| self.0.get(n as usize)).copied().unwrap_or_default();
        let mut begin = line(value.line).chars().skip(value.column.saturating_sub(1) as usize);
        match begin.next() {
            Some('|') => {
                let wanted = value.line + inner.line;
                let first = (value.line + 1..).map(line).take(self.0.len()).find(|l| !l.trim().is_empty());
                let indent = first.map_or(0, |l| l.len() - l.trim_start().len());
                At { line: wanted, column: indent as u32 + inner.column }
            }
            Some('"' | '\'') if inner.line == 1 => At { column: value.column + inner.column, ..value },
            _ if inner.line == 1 => At { column: value.column + inner.column.saturating_sub(1), ..value },
            _ => value,
        }
    }
}
