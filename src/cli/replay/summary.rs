//! What a replay came to, in words and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::output;
use crate::cli::words::count;
use crate::domain::issue::{State, View};
use crate::replay::{Failing, Fold, Tally, issues};

/// The counts of a replay, and of the issues behind it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    #[serde(flatten)]
    tally: Tally,
    /// Issues that are broken at the end.
    active: u64,
    /// Issues that are mended at the end.
    resolved: u64,
}

impl Summary {
    pub fn of(fold: &Fold) -> Summary {
        let issues = issues(&fold.reader());
        let active = issues.iter().filter(|issue| issue.state == State::Active).count() as u64;
        Summary { tally: fold.tally().clone(), active, resolved: issues.len() as u64 - active }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Tally { events, passed_over, outcomes, issues, parked, failing_rules } = &self.tally;
        let list = |counts: &std::collections::BTreeMap<&str, u64>| {
            let words: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
            words.join(", ")
        };
        let mut text = String::new();
        let _ = writeln!(text, "events   {events}: {}", list(outcomes));
        let _ = writeln!(text, "issues   {}; now {} active, {} resolved", list(issues), self.active, self.resolved);
        if *parked > 0 {
            let _ = writeln!(text, "parked   {}", count(*parked, "event"));
        }
        for (rule, Failing { events, first, event_id, why }) in failing_rules {
            let events = count(*events, "event");
            let why = crate::cli::table::one_line(why);
            let _ = writeln!(text, "failing  rule {rule} on {events}, first on {event_id} at {first}: {why}");
        }
        if *passed_over > 0 {
            let _ =
                writeln!(text, "passed   over {} that no pack, rule or adapter names", count(*passed_over, "event"));
        }
        text
    }
}

/// The issues, with a gap behind them; their times are absolute, so equal input gives equal output.
pub(super) fn table(issues: &[View]) -> String {
    if issues.is_empty() {
        return String::new();
    }
    let mut table =
        output::table(&["NO", "STATE", "SEVERITY", "CHECK", "SCOPE", "SEEN", "DETECTED", "TITLE"]).right(0).right(5);
    for issue in issues {
        let scope = &issue.scope;
        table.row([
            issue.number.to_string(),
            issue.state.to_string(),
            issue.severity.to_string(),
            issue.check.clone(),
            format!("{}/{}/{}", scope.resource_type, scope.resource_name, scope.resource_namespace),
            issue.occurrences.to_string(),
            issue.detected_at.to_string(),
            issue.title.clone(),
        ]);
    }
    format!("{}\n\n", table.text().trim_end())
}

/// Where the time went: for people only, since it differs from run to run.
pub(super) fn tell_time(fold: &Fold) {
    if let Some((rule, events, took)) = fold.slowest().rule() {
        let each = took.as_secs_f64() * 1e6 / events.max(1) as f64;
        eprintln!(
            "slowest rule: {rule}, {:.1} ms for {}, {each:.1} µs each",
            took.as_secs_f64() * 1e3,
            count(events, "event")
        );
    }
}
