//! The last runs of a check: how it went lately, in a few marks.

use axum::extract::{RawQuery, State as From};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::list::json;
use super::params::Params;
use super::{Problem, State};
use crate::domain::decision::{Decision, Fate};
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{ChangeKind, Outcome};
use crate::domain::row::{Entry, Mark, Row};
use crate::domain::time::Time;

/// Issues one request may ask about.
const ISSUES: usize = 100;

/// Runs of each where the request does not say.
const FEW: usize = 16;

/// Runs of each, at most.
const MOST: usize = 50;

/// Journal lines read for each run that is wanted: several events may speak of one run.
const LINES: usize = 2;

/// The checks of several issues.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Runs {
    /// In the order asked for; ids that no issue has are left out.
    pub data: Vec<RunsOfIssue>,
}

/// The last runs of the check behind an issue.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunsOfIssue {
    /// The issue.
    pub id: Uuid,
    /// Its runs, oldest first.
    pub runs: Vec<Run>,
}

/// One run of a check.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The run's time, by its newest event.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The worst that was said of it.
    pub outcome: Outcome,
    /// It came behind a newer run, so it changed nothing.
    pub late: bool,
    /// The event that said so.
    pub event_id: String,
    /// That event's source.
    pub event_source: String,
    #[serde(skip)]
    run: Option<String>,
}

/// How the checks behind some issues went lately: `?id=` with up to 100 ids (repeated or with commas), `?limit=` runs of each (16,
/// at most 50). Repeats, neutral events and outcomes that were taken back are no runs. Only the newest lines about a check are
/// looked at, two for each run asked for.
#[utoipa::path(get, path = "/api/v1/issues/runs", tag = "issues",
    params(("id" = String, Query, description = "ids of issues"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 50)),
    responses((status = 200, body = Runs), (status = 400, body = Problem)))]
pub async fn runs(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let params = Params::read(query.as_deref(), &["id", "limit"])?;
    let limit = params.number(&["limit"], FEW, MOST)?;
    let ids = params.many("id");
    if ids.is_empty() || ids.len() > ISSUES {
        return Err(Problem::parameter("id", format!("{} are given, 1 to {ISSUES} are read", ids.len())));
    }
    let id = |text: &String| {
        let id = text.parse::<Uuid>();
        id.map(KeyId).map_err(|_| Problem::parameter("id", format!("{text:?} is not the id of an issue")))
    };
    let ids = ids.iter().map(id).collect::<Result<Vec<_>, _>>()?;
    let data = state.reading(move |state| {
        let known = |id: &KeyId| state.reader.catalog().get(*id).is_some_and(|key| key.marks.issue.is_some());
        let of = |id: KeyId| Ok(RunsOfIssue { id: id.0, runs: newest(state, id, limit)? });
        ids.into_iter().filter(known).map(of).collect::<Result<Vec<_>, Problem>>()
    });
    Ok(json(&Runs { data: data.await? }))
}

fn newest(state: &State, id: KeyId, limit: usize) -> Result<Vec<Run>, Problem> {
    let mut runs: Vec<Run> = Vec::new();
    for position in state.reader.newest_positions(Mark::Key(id).hash(), Position::MAX, limit * LINES)? {
        let Some(row) = state.reader.row(position)? else { continue };
        let Some(run) = run_of(&row, id) else { continue };
        let same = |r: &&mut Run| r.run.is_some() && r.run == run.run;
        match runs.iter_mut().find(same) {
            Some(met) => {
                met.outcome = met.outcome.max(run.outcome);
                met.at = met.at.max(run.at);
                met.late = met.late && run.late;
            }
            None => runs.push(run),
        }
    }
    runs.sort_by_key(|run| run.at);
    Ok(runs.split_off(runs.len().saturating_sub(limit)))
}

/// What a line says of a key, where it says anything.
fn run_of(row: &Row, id: KeyId) -> Option<Run> {
    let Entry::Event(recorded) = &row.entry else { return None };
    let decision = &recorded.decision;
    let origin = &recorded.head.as_ref()?.origin;
    let outcome = outcome_of(decision, id)?;
    Some(Run {
        at: decision.at,
        outcome,
        late: decision.fate == Fate::Stale,
        event_id: origin.id.clone(),
        event_source: origin.source.clone(),
        run: decision.run.clone(),
    })
}

fn outcome_of(decision: &Decision, id: KeyId) -> Option<Outcome> {
    match decision.fate {
        Fate::Applied | Fate::Stale => Some(decision.outcome).filter(|outcome| *outcome != Outcome::Neutral),
        // A sequence opened or closed it by a task of ours.
        Fate::Answered => match decision.changes.iter().find(|c| c.key == id)?.kind? {
            ChangeKind::Resolved => Some(Outcome::Success),
            ChangeKind::Opened | ChangeKind::Reopened => Some(Outcome::Failure),
            ChangeKind::Updated | ChangeKind::Withdrawn => None,
        },
        Fate::Recorded | Fate::Ignored | Fate::Duplicate(_) | Fate::Withdrawn | Fate::Own | Fate::Parked => None,
    }
}
