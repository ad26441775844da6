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

/// Whether standard output is for colours.
pub(super) fn is_styled() -> bool {
    std::io::stdout().is_terminal() && !no_color()
}

/// Whether the user's language settings say that more than ASCII can be shown.
pub(super) fn is_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    let locale = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Columns of standard output; a hundred where it is no terminal.
pub(super) fn width() -> usize {
    comfy_table::Table::new().width().map_or(100, usize::from)
}

/// A table for standard output: coloured and fitted to the width where that is a terminal.
pub(super) fn table(columns: &[&str]) -> Table {
    Table::new(columns, std::io::stdout().is_terminal(), is_styled())
}
