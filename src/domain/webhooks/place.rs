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
        let column = |more: u32| value.column.saturating_add(more);
        if inner.line <= 1 {
            let quoted = line(value.line).chars().nth(value.column.saturating_sub(1) as usize);
            let quote = u32::from(matches!(quoted, Some('"' | '\'')));
            return At { column: column(inner.column.saturating_sub(1) + quote), ..value };
        }
        // A block begins below the line with its sign.
        let above = line(value.line.saturating_sub(1)).trim_end();
        let sign = above.rsplit([' ', '\t']).next().unwrap_or_default();
        let block = sign
            .strip_prefix('|')
            .is_some_and(|rest| rest.trim_matches(['+', '-']).parse::<u8>().is_ok() || rest.len() < 2);
        match block {
            // A block may end with a line break, behind which there is no line.
            true => At {
                line: (value.line + inner.line - 1).min(self.0.len() as u32),
                column: column(inner.column.saturating_sub(1)),
            },
            false => value,
        }
    }
}
