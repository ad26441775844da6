//! How an issue came to be what it is.

use axum::extract::{RawQuery, State as From};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::issues::find;
use super::list::{List, json};
use super::params::Params;
use super::{Id, Problem, State};
use crate::domain::decision::Change;
use crate::domain::ids::KeyId;
use crate::domain::issue::{ChangeKind, State as IssueState};
use crate::domain::row::{Entry, Mark};
use crate::domain::time::Time;

/// One change of an issue.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryItem {
    /// When it happened, by the event's own time.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// What happened.
    pub change: ChangeKind,
    /// The event.
    pub event_id: String,
    /// The event's source.
    pub event_source: String,
    /// The rule, or the task, that decided.
    pub rule: String,
    /// The state afterwards.
    pub state: IssueState,
}

/// Every change of an issue, oldest first, as far back as events are kept.
#[utoipa::path(get, path = "/api/v1/issues/{id}/history", tag = "issues",
    params(("id" = String, Path, description = "id or number"), ("namespace" = Option<String>, Query),
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = List<HistoryItem>), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn history(From(state): From<State>, Id(id): Id, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let params = Params::read(query.as_deref(), &["namespace", "limit", "offset", "cursor"])?;
    let (limit, offset) = (params.limit(&["limit"])?, params.start()?);
    let id = find(&state, &id, &params)?.key.id();
    let items = state.reading(move |state| history_of(state, id)).await?;
    Ok(json(&List::cut(items, limit, offset)))
}

fn history_of(state: &State, id: KeyId) -> Result<Vec<HistoryItem>, Problem> {
    let mut items = Vec::new();
    // Line by line: of each only a few words are kept, and there may be many.
    for position in state.reader.positions(Mark::Key(id).hash())? {
        let Some(row) = state.reader.row(position)? else { continue };
        let Entry::Event(recorded) = &row.entry else { continue };
        let Some(head) = &recorded.head else { continue };
        let decision = &recorded.decision;
        let mine = |c: &&Change| c.key == id;
        let Some(change) = decision.changes.iter().find(mine).and_then(|c| c.kind) else { continue };
        let state = match change {
            ChangeKind::Resolved | ChangeKind::Withdrawn => IssueState::Resolved,
            ChangeKind::Opened | ChangeKind::Reopened => IssueState::Active,
            ChangeKind::Updated => {
                let before = decision.changes.iter().find(mine).and_then(|c| c.before.as_ref()?.issue.as_ref());
                before.map_or(IssueState::Active, |i| i.state)
            }
        };
        let task = decision.answer.as_ref().map(|a| a.task.clone());
        items.push(HistoryItem {
            at: decision.at,
            change,
            event_id: head.origin.id.clone(),
            event_source: head.origin.source.clone(),
            rule: decision.rule.clone().or(task).unwrap_or_default(),
            state,
        });
    }
    Ok(items)
}
