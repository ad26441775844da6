//! Rules: what an event says about which thing. Written in YAML, compiled once, matched without state.
//!
//! The path of a file: `yaml` reads it into a tree that knows its places, `raw` takes the tree apart, `compile` turns
//! it into `rule`s, `set` holds them behind an `index`. Every mistake of every file comes back at once, as [`Problem`]s.
//!
//! # The language
//!
//! A file has `apiVersion: shipwatch.dev/v1`, `kind: RuleSet`, `metadata: {name}`, `rules`, and where wanted `tests` and
//! `subjects` (further NATS subjects whose events are recorded even where no rule fits). A rule has
//!
//! | key | meaning |
//! |---|---|
//! | `name` | stands in decisions; unique among a team's files |
//! | `on` | event types, NATS wildcards: `*` one word, `>` the rest; begins with a word |
//! | `match` | conditions that must all hold |
//! | `require` | paths that must not be missing or empty, else the event is parked |
//! | `ignore`, `reason` | the event does not matter, and why |
//! | `outcome` | lists `neutral`, `failure`, `warning`, `success`, tried in this order; an entry is `{match, reason}`, all its conditions must hold, the first entry that fits decides |
//! | `scope` | templates `resourceType`, `resourceName`, `resourceNamespace` |
//! | `namespace`, `project`, `stage`, `service` | templates; the namespace is by default that of the scope |
//! | `check`, `run`, `at` | templates; by default the rule's name, the event's id, the event's time |
//! | `issue` | templates `issueType` (`pipeline`), `severity` (`major`, of warnings `minor`), `title`, `description`, `links: [{title, url}]` |
//! | `resolves` | what a success closes: `check` (default) or `scope` |
//! | `webhook` | `name`, `required: {failure, success}`, `text` and `lists` (fields of that kind), `hmac: {secretRef: {name, key}}` |
//! | `adapter` | `subject`, and templates `id`, `type`, `time`, `source` over a raw body as `data` |
//!
//! A condition is a path and a value: exact, a list (any of), a glob (`*`, `?`), `{not: …}`, `{exists: true}`. Paths are `type`,
//! `source`, any attribute, `data.a.b`, `data["a-b"]`, `data.list[0]`, and `keptn.kind|task|stage|sequence|phase`, which are
//! read from the type. What is not text compares by its JSON. Null is absent.
//!
//! Templates are Jinja. A path that leads nowhere is a mistake of the event unless `default('…')` follows or it stands in
//! `first(a, b)`; the empty text counts as nothing for both. Beyond Jinja's own filters there are `required`, `pick({'a': 'b'},
//! 'else')`, `unless(other)`, `json`, `quote`, `truncate(n)`; in an issue's templates `outcome` is known. A missing `run` is the
//! event's id, and a link whose URL is missing is left out.

mod adapter;
mod compile;
mod condition;
mod engine;
mod explain;
mod expr;
mod glob;
mod index;
mod lint;
mod names;
mod path;
mod proof;
mod raw;
mod rivals;
mod rule;
mod set;
mod subject;
mod template;
mod webhook;

pub use super::yaml::problem::{At, Problem};
pub use adapter::Adapter;
pub use explain::{Checked, Entry, Explanation, Said, Told, Tried};
pub use lint::{Finding, FindingKind, lint};
pub use proof::{TestOutcome, run_tests};
pub use set::{Listed, RuleSet};
pub use subject::Subject;
pub use webhook::{SecretRef, Webhook};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::issue::{Key, Link, Outcome, Severity};
use super::time::Time;
use super::yaml::{self, fields, problem};

/// What a rule made of one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It says success, warning or failure of a check.
    Signal(Box<Signal>),
    /// A rule fits, and the event decides nothing.
    Neutral {
        /// The rule that fits.
        rule: Arc<str>,
        /// Which condition made it neutral, in words.
        why: String,
    },
    /// A rule says to ignore it.
    Ignored {
        /// The rule.
        rule: Arc<str>,
        /// The reason it gives.
        reason: String,
    },
    /// No rule fits.
    NoRule,
    /// A rule fits and cannot be applied, for example because a path its templates need is missing. The event is parked.
    Broken {
        /// The rule.
        rule: Arc<str>,
        /// What is missing or wrong, by name.
        reason: String,
    },
}

/// A decisive event: its outcome, the key it speaks of, and the texts of the issue where it is a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The rule that matched.
    pub rule: Arc<str>,
    /// Success, warning or failure; never neutral.
    pub outcome: Outcome,
    /// Which issue.
    pub key: Key,
    /// Id of one execution; outcomes of one run merge.
    pub run: String,
    /// When it happened: the rule's `at`, else the event's time; none where neither is given (then the stream's time holds).
    pub at: Option<Time>,
    /// What a success resolves.
    pub resolves: Resolves,
    /// Keptn service, or empty.
    pub service: String,
    /// The texts; present for failure and warning.
    pub texts: Option<Texts>,
}

/// What a success resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolves {
    /// The issue with the same key.
    Check,
    /// Every active issue of the scope.
    Scope,
}

/// What an issue shows, rendered from an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Texts {
    /// One line.
    pub title: String,
    /// As much as the event says.
    pub description: String,
    /// How bad.
    pub severity: Severity,
    /// Links that have a URL.
    pub links: Vec<Link>,
    /// Labels of the event.
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
