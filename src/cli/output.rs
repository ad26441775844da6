//! Where data goes and in which form.

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};

use super::json::Json;
use super::table::Table;

/// In which form data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// Exactly what the service returned; indented on a terminal.
    Json,
    /// The same as YAML.
    Yaml,
}

/// `-o`.
#[derive(Clone, Debug, Args)]
pub(super) struct OutputArgs {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Whether the user asked for no colours (<https://no-color.org>).
pub(super) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
}

/// Prints JSON in the form asked for; `table` makes the form for people.
pub(super) fn print(format: Format, body: &str, table: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
    let text = match format {
        Format::Table => table()?,
        Format::Json if !std::io::stdout().is_terminal() => body.to_owned(),
        Format::Json => serde_json::to_string_pretty(&serde_json::from_str::<Json>(body)?)?,
        Format::Yaml => serde_saphyr::to_string(&serde_json::from_str::<Json>(body)?)?,
    };
    write(&text)
}

/// Writes text to standard output, with a line end behind it.
pub(super) fn write(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// A table for standard output: coloured and fitted to the width where that is a terminal.
pub(super) fn table(columns: &[&str]) -> Table {
    let terminal = std::io::stdout().is_terminal();
    Table::new(columns, terminal, terminal && !no_color())
}
