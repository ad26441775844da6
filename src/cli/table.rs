//! Tables and colours for people.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, presets};

/// Lines of columns under a head, without rules between them, so that `awk` and `sort` can read them too.
pub(super) struct Table {
    table: comfy_table::Table,
    styled: bool,
}

/// What a cell says beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Notice,
    Bad,
    Worst,
}

impl Tone {
    /// The tone of a word that states, severities, outcomes, changes and checks are told with.
    pub fn of(word: &str) -> Tone {
        match word {
            "RESOLVED" | "resolved" | "success" | "pass" | "ok" => Tone::Good,
            "minor" | "warning" | "stale" | "warn" | "duplicate" => Tone::Notice,
            "ACTIVE" | "failure" | "opened" | "reopened" | "major" | "parked" | "fail" | "failed" | "error"
            | "errored" => Tone::Bad,
            "critical" => Tone::Worst,
            _ => Tone::Plain,
        }
    }
}

impl Table {
    /// A table with these heads. `fitted` wraps the last column at the width of the terminal.
    pub fn new(columns: &[&str], fitted: bool, styled: bool) -> Table {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(if fitted { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
        if styled {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let head = |name: &&str| {
            let cell = Cell::new(name);
            if styled { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(columns.iter().map(head));
        let last = columns.len().saturating_sub(1);
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if i == last { 0 } else { 2 }));
            if i != last {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        Table { table, styled }
    }

    /// Adds a line; words that mean something get their colour.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|text| {
            let text = one_line(&text);
            let tone = if self.styled { Tone::of(&text) } else { Tone::Plain };
            let cell = Cell::new(text);
            match tone {
                Tone::Plain => cell,
                Tone::Good => cell.fg(Color::Green),
                Tone::Notice => cell.fg(Color::Yellow),
                Tone::Bad => cell.fg(Color::Red),
                Tone::Worst => cell.fg(Color::Red).add_attribute(Attribute::Bold),
            }
        });
        self.table.add_row(cells);
    }

    /// Sets the numbers of this column below each other.
    pub fn right(mut self, column: usize) -> Table {
        if let Some(column) = self.table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        self
    }

    /// The whole table as text.
    pub fn text(&self) -> String {
        self.table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// Text in the colour of its tone, for a terminal.
pub(super) fn paint(text: &str, tone: Tone) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => "32",
        Tone::Notice => "33",
        Tone::Bad => "31",
        Tone::Worst => "1;31",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Text of strangers in one line: no line ends, and nothing that could steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text of strangers with its lines, and nothing else that could steer a terminal.
pub(super) fn lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_tables_have_no_escapes_and_no_trailing_blanks() {
        let mut table = Table::new(&["NO", "STATE", "TITLE"], false, false).right(0);
        table.row(["7".into(), "ACTIVE".into(), "bad \u{1b}[31m\nnews".into()]);
        table.row(["12".into(), "RESOLVED".into(), String::new()]);
        insta::assert_snapshot!(table.text(), @r###"
        NO  STATE     TITLE
         7  ACTIVE    bad  [31m news
        12  RESOLVED
        "###);
    }

    #[test]
    fn styled_tables_have() {
        let mut table = Table::new(&["STATE"], false, true);
        table.row(["ACTIVE".into()]);
        assert!(table.text().contains("\u{1b}["));
    }
}
