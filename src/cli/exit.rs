//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check found something.

use std::io::ErrorKind;
use std::process::ExitCode;

use super::client;
use crate::config::Mistakes;
use crate::shipyard::WrongRules;

/// A check looked through something and found something.
pub(super) const FOUND: u8 = 3;

/// The command was asked for in a way that cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub String);

/// Tells an error on standard error, and gives the exit code that fits it.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    // `shipwatch issues list | head` has all it wanted.
    if error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>()).any(|e| e.kind() == ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("shipwatch: {error:#}");
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    let wrong = error.chain().any(|e| {
        e.is::<Usage>()
            || e.is::<Mistakes>()
            || e.is::<WrongRules>()
            || e.downcast_ref::<client::Error>().is_some_and(client::Error::is_usage)
    });
    if wrong { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn usage_is_recognised_below_its_context() {
        assert_eq!(code(&anyhow!("no")), 1);
        assert_eq!(code(&anyhow::Error::from(Usage("no".into()))), 2);
        let found: anyhow::Result<()> = Err(Mistakes::default()).context("reading");
        assert_eq!(code(&found.unwrap_err()), 2);
    }
}
