//! Sequences: deliveries and other chains of tasks, one entry for each `shkeptncontext`, and the timeline of each.

mod list;
mod read;
mod recent;
mod view;

use axum::extract::{RawQuery, State as From};
use axum::response::Response;

use super::list::{List, json};
use super::params::Params;
use super::{Id, Problem, State};
use crate::domain::ids::Position;
use crate::domain::timeline::{State as SequenceState, Timeline};

pub use recent::Recent;
use view::SequenceView;

/// Results as Keptn writes them.
const RESULTS: &[&str] = &["pass", "warning", "fail"];

/// Contexts in which a sequence was asked for or has ended, the one that began last first.
///
/// A page is as dear as the contexts that it meets have events: those are read, unless the context was looked at lately and
/// nothing has been added. A request reads 20,000 events at most, fewer where they are large, and at most the newest 5,000 of one
/// context; then `nextCursor` goes on behind the contexts it has met, even where the page is not full. `total` counts what has been met up to the
/// end of the page, and is exact where `nextCursor` is null.
#[utoipa::path(get, path = "/api/v1/sequences", tag = "sequences",
    params(("project" = Option<String>, Query), ("stage" = Option<String>, Query), ("service" = Option<String>, Query),
        ("sequence" = Option<String>, Query, description = "name of the sequence that the context began with"),
        ("state" = Option<SequenceState>, Query), ("result" = Option<String>, Query, description = "pass, warning or fail"),
        ("keptnContext" = Option<String>, Query), ("fromTime" = Option<String>, Query), ("beforeTime" = Option<String>, Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000), ("offset" = Option<u32>, Query),
        ("cursor" = Option<String>, Query)),
    responses((status = 200, body = List<SequenceView>), (status = 400, body = Problem)))]
pub async fn list(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let known = [
        "project",
        "stage",
        "service",
        "sequence",
        "state",
        "result",
        "keptnContext",
        "fromTime",
        "beforeTime",
        "limit",
        "offset",
        "cursor",
    ];
    let params = Params::read(query.as_deref(), &known)?;
    let result = |word: &str| RESULTS.iter().copied().find(|w| w.eq_ignore_ascii_case(word));
    let wanted = list::Wanted {
        contexts: params.many("keptnContext"),
        projects: params.many("project"),
        stages: params.many("stage"),
        services: params.many("service"),
        names: params.many("sequence"),
        states: params.words("state", SequenceState::parse, SequenceState::ALL)?,
        results: params.words("result", result, RESULTS)?,
        from: params.time("fromTime")?,
        before: params.time("beforeTime")?,
    };
    let (limit, offset) = (params.limit(&["limit"])?, params.offset()?);
    let after = match params.one(&["cursor"]) {
        None => None,
        Some((name, text)) => {
            Some(Position::parse(text).ok_or_else(|| Problem::parameter(name, "is not a nextCursor of a list"))?)
        }
    };
    let found = state.reading(move |state| list::list(state, &wanted, limit, offset, after)).await?;
    Ok(json(&found))
}

/// The timeline of a context: its stages, sequences, tasks and executors, in the order of the stream, and the issues that its
/// events changed. Made of its newest 5,000 events, and of the one its first sequence began with; `truncated` says where there are
/// more. Any context will do, also one without a sequence.
#[utoipa::path(get, path = "/api/v1/sequences/{keptnContext}", tag = "sequences",
    params(("keptnContext" = String, Path)),
    responses((status = 200, body = Timeline), (status = 404, body = Problem)))]
pub async fn one(From(state): From<State>, Id(context): Id, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    Params::read(query.as_deref(), &[])?;
    let timeline = state.reading(move |state| {
        let lines = read::lines(state, &context)?;
        if lines.lines.is_empty() {
            let details = format!("no event with the shkeptncontext {context:?} is kept");
            return Err(Problem::not_found("Sequence not found", details));
        }
        Ok(read::timeline(state, &context, lines))
    });
    Ok(json(&timeline.await?))
}
