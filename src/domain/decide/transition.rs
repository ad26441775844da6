//! What one claim does to one key: the state machine of an issue, without any store.

use crate::domain::decision::{Fate, Layer};
use crate::domain::ids::Position;
use crate::domain::issue::{ChangeKind, Issue, Marks, Newest, Origin, Outcome, State};
use crate::domain::rules::Texts;
use crate::domain::time::Time;

/// Somebody says that a key is whole or broken.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Where the event stands.
    pub position: Position,
    /// When the stream took it.
    pub stream_time: Time,
    /// When it happened.
    pub at: Time,
    /// Id of the execution.
    pub run: &'a str,
    /// Success, warning or failure.
    pub outcome: Outcome,
    /// What the issue will show; present where the outcome is broken.
    pub texts: Option<&'a Texts>,
    /// Keptn service, or empty.
    pub service: &'a str,
    /// The rule, or the task of ours, that speaks.
    pub rule: &'a str,
    /// The event.
    pub origin: &'a Origin,
    /// `shkeptncontext`, or empty.
    pub context: &'a str,
    /// `triggeredid`, or empty.
    pub triggered_id: &'a str,
}

/// An earlier event of the same run about the same key.
#[derive(Clone, Copy, Debug)]
pub struct Prior {
    /// What it said.
    pub outcome: Outcome,
    /// When it happened.
    pub at: Time,
    /// Where it stands.
    pub position: Position,
    /// Whether it changed the key's record, so that a failure is not counted twice.
    pub counted: bool,
}

/// What a claim came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The record afterwards; none where nothing changes.
    pub marks: Option<Marks>,
    /// What happened to the issue.
    pub kind: Option<ChangeKind>,
    /// The fate of the event as far as this key goes.
    pub fate: Fate,
    /// In words.
    pub why: String,
}

impl Step {
    fn nothing(fate: Fate, why: impl Into<String>) -> Step {
        Step { marks: None, kind: None, fate, why: why.into() }
    }
}

/// Applies a claim to a key's record.
///
/// `prior` are earlier events of the same run about this key, withdrawn ones left out. `number` is what a new issue is
/// called. `texts_of` renders the texts of an earlier failure of the run; it is asked only when that failure has to
/// count although a success of the same run arrived after it.
///
/// Rules (contract sections 4 and 11): outcomes of one run merge to the worst; the run's time is that of its newest
/// event; the newest run wins, ties by stream position; what is older is stale.
pub fn claim(
    before: &Marks,
    prior: &[Prior],
    number: u64,
    c: &Claim<'_>,
    texts_of: impl FnOnce(Position) -> Option<Texts>,
) -> Step {
    let repeated = prior.iter().any(|p| p.outcome == c.outcome);
    let merged = prior.iter().fold(c.outcome, |all, p| all.merge(p.outcome));
    let (at, position) = prior.iter().fold((c.at, c.position), |newest, p| newest.max((p.at, p.position)));
    let newest = Newest { at, position, run: c.run.to_owned(), outcome: merged, seen: c.stream_time };

    if let Some(known) = before.newest.as_ref() {
        if known.run == c.run {
            return within_the_newest_run(before, known, newest, prior, number, c, repeated);
        }
        if (at, position) < (known.at, known.position) {
            return Step::nothing(
                if repeated { Fate::Duplicate(Layer::Run) } else { Fate::Stale },
                format!("late: run {} of {} has spoken since", known.run, known.at),
            );
        }
    }
    let mut marks = Marks { newest: Some(newest), issue: before.issue.clone() };
    let counted = prior.iter().any(|p| p.counted && p.outcome.is_broken());
    if !merged.is_broken() {
        let kind = resolve(&mut marks, c);
        let why = if kind.is_some() { "resolves the active issue" } else { "nothing was broken" };
        return Step { marks: Some(marks), kind, fate: Fate::Applied, why: why.to_owned() };
    }
    let rendered;
    let texts = match c.texts {
        Some(texts) if c.outcome == merged => Some(texts),
        _ => {
            let worst = prior.iter().filter(|p| p.outcome == merged).max_by_key(|p| p.position);
            rendered = worst.and_then(|p| texts_of(p.position));
            rendered.as_ref()
        }
    };
    let kind = texts.map(|texts| break_it(&mut marks, texts, number, c, !counted));
    let why = match kind {
        Some(kind) if c.outcome == merged => format!("{} the issue", verb(kind)),
        _ => "another event of the same run failed, and the run is the newest now".to_owned(),
    };
    Step { marks: Some(marks), kind, fate: Fate::Applied, why }
}

/// The run that spoke last speaks again: another executor of the task, or the same thing sent twice.
fn within_the_newest_run(
    before: &Marks,
    known: &Newest,
    newest: Newest,
    prior: &[Prior],
    number: u64,
    c: &Claim<'_>,
    repeated: bool,
) -> Step {
    let merged = known.outcome.merge(newest.outcome);
    let (at, position) = (newest.at, newest.position).max((known.at, known.position));
    let mut marks = Marks {
        newest: Some(Newest { at, position, outcome: merged, seen: newest.seen, run: newest.run }),
        issue: before.issue.clone(),
    };
    if merged == known.outcome {
        let moved = (at, position) != (known.at, known.position);
        let (fate, why) = if repeated || known.outcome == c.outcome {
            (Fate::Duplicate(Layer::Run), format!("run {} has said {} before", c.run, c.outcome))
        } else {
            (Fate::Applied, format!("run {} has failed already, which a {} does not undo", c.run, c.outcome))
        };
        return Step { marks: moved.then_some(marks), kind: None, fate, why };
    }
    // The run turns out worse than it looked: what its success resolved is open again, in the same episode.
    let Some(texts) = c.texts else {
        return Step { marks: Some(marks), kind: None, fate: Fate::Applied, why: "the run got worse".into() };
    };
    let counted = prior.iter().any(|p| p.counted && p.outcome.is_broken());
    let undone = match marks.issue.as_mut() {
        Some(issue) if issue.state == State::Resolved && issue.resolved_run.as_deref() == Some(c.run) => {
            issue.state = State::Active;
            issue.resolved_at = None;
            issue.resolved_by = None;
            issue.resolved_run = None;
            true
        }
        _ => false,
    };
    let kind = break_it(&mut marks, texts, number, c, !counted);
    let kind = if undone { ChangeKind::Reopened } else { kind };
    Step { marks: Some(marks), kind: Some(kind), fate: Fate::Applied, why: format!("{} the issue", verb(kind)) }
}

/// The past tense reads as what the event did.
pub fn verb(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Opened => "opens",
        ChangeKind::Updated => "updates",
        ChangeKind::Reopened => "reopens",
        ChangeKind::Resolved => "resolves",
        ChangeKind::Withdrawn => "withdraws",
    }
}

fn resolve(marks: &mut Marks, c: &Claim<'_>) -> Option<ChangeKind> {
    let issue = marks.issue.as_mut().filter(|issue| issue.state == State::Active)?;
    issue.state = State::Resolved;
    issue.resolved_at = Some(c.at);
    issue.resolved_by = Some(c.origin.clone());
    issue.resolved_run = Some(c.run.to_owned());
    issue.updated_at = c.stream_time;
    issue.rule = c.rule.to_owned();
    Some(ChangeKind::Resolved)
}

fn break_it(marks: &mut Marks, texts: &Texts, number: u64, c: &Claim<'_>, counts: bool) -> ChangeKind {
    let once = u64::from(counts);
    let Some(issue) = marks.issue.as_mut() else {
        marks.issue = Some(Issue {
            number,
            state: State::Active,
            severity: texts.severity,
            title: texts.title.clone(),
            description: texts.description.clone(),
            links: texts.links.clone(),
            detected_at: c.at,
            resolved_at: None,
            created_at: c.stream_time,
            updated_at: c.stream_time,
            occurrences: 1,
            episodes: 1,
            last_seen_at: c.at,
            last_run: c.run.to_owned(),
            context: c.context.to_owned(),
            triggered_id: c.triggered_id.to_owned(),
            service: c.service.to_owned(),
            labels: texts.labels.clone(),
            rule: c.rule.to_owned(),
            opened_by: c.origin.clone(),
            resolved_by: None,
            resolved_run: None,
        });
        return ChangeKind::Opened;
    };
    let kind = match issue.state {
        State::Active => ChangeKind::Updated,
        State::Resolved => {
            issue.state = State::Active;
            issue.episodes += 1;
            issue.detected_at = c.at;
            issue.opened_by = c.origin.clone();
            issue.resolved_at = None;
            issue.resolved_by = None;
            issue.resolved_run = None;
            ChangeKind::Reopened
        }
    };
    issue.severity = texts.severity;
    issue.title.clone_from(&texts.title);
    issue.description.clone_from(&texts.description);
    issue.links.clone_from(&texts.links);
    issue.labels.clone_from(&texts.labels);
    issue.occurrences += once;
    issue.last_seen_at = c.at;
    c.run.clone_into(&mut issue.last_run);
    c.context.clone_into(&mut issue.context);
    c.triggered_id.clone_into(&mut issue.triggered_id);
    if !c.service.is_empty() {
        c.service.clone_into(&mut issue.service);
    }
    c.rule.clone_into(&mut issue.rule);
    issue.updated_at = c.stream_time;
    kind
}
