//! What was found, with advice.

use serde::Serialize;

use crate::cli::output::{self, Format};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    Warn,
    Fail,
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    name: &'static str,
    verdict: Verdict,
    detail: String,
    /// What to do; empty where there is nothing to do.
    advice: String,
}

impl Check {
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Ok, detail: detail.into(), advice: String::new() }
    }

    pub fn warn(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Warn, detail: detail.into(), advice: advice.into() }
    }

    pub fn fail(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Fail, detail: detail.into(), advice: advice.into() }
    }

    pub fn skipped(name: &'static str, detail: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Skipped, detail: detail.into(), advice: String::new() }
    }
}

/// All checks in the order they were made.
#[derive(Debug, Default)]
pub(super) struct Report {
    checks: Vec<Check>,
}

impl Report {
    pub fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Nothing failed.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.verdict != Verdict::Fail)
    }

    pub fn print(&self, format: Format) -> anyhow::Result<()> {
        let body = serde_json::to_string(&self.checks)?;
        output::print(format, &body, || {
            let mut table = output::table(&["CHECK", "", "FOUND"]);
            for check in &self.checks {
                let word = match check.verdict {
                    Verdict::Ok => "ok",
                    Verdict::Warn => "warn",
                    Verdict::Fail => "fail",
                    Verdict::Skipped => "-",
                };
                table.row([check.name.to_owned(), word.to_owned(), check.detail.clone()]);
                if !check.advice.is_empty() {
                    table.row([String::new(), String::new(), format!("→ {}", check.advice)]);
                }
            }
            Ok(table.text())
        })
    }

    #[cfg(test)]
    pub fn lines(&self) -> Vec<String> {
        self.checks.iter().map(|c| format!("{} {:?}: {}", c.name, c.verdict, c.detail)).collect()
    }
}
