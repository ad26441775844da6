//! Logs go to standard error; `RUST_LOG` says how much.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::exit::Usage;
use crate::config::LogFormat;

/// Starts logging. `level` holds where `RUST_LOG` does not say otherwise.
pub(super) fn init(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(&text).map_err(|e| Usage(format!("variable RUST_LOG: {text:?}: {e}")))?
        }
        // What the client says of its connection, and the engine of its disk, the bus and the store say in their own words.
        _ => EnvFilter::new(format!("{level},async_nats=off,sled=off")),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, as tests may make, changes nothing.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal() && !super::output::no_color()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}
