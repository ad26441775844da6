//! Issues: lists, counts, single ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State as From};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::filter::{FILTERS, PAGE, cursor, filter, page};
use super::list::{List, body_of, bytes, json};
use super::params::Params;
use super::past::{self, Issue, Issues};
use super::{Id, Problem, State};
use crate::domain::ids::KeyId;
use crate::domain::issue::{IssueType, KeyState, Severity, State as IssueState, View};
use crate::store::catalog::view::{alone, view};

/// Issues, by any combination of filters. Values may repeat or be lists with commas; values of one filter are
/// alternatives, filters must all fit.
#[utoipa::path(get, path = "/api/v1/issues", tag = "issues",
    params(
        ("namespace" = Option<String>, Query), ("state" = Option<IssueState>, Query), ("severity" = Option<Severity>, Query),
        ("issueType" = Option<IssueType>, Query), ("resourceType" = Option<String>, Query),
        ("resourceName" = Option<String>, Query), ("resourceNamespace" = Option<String>, Query),
        ("check" = Option<String>, Query), ("project" = Option<String>, Query), ("stage" = Option<String>, Query),
        ("service" = Option<String>, Query), ("keptnContext" = Option<String>, Query),
        ("search" = Option<String>, Query, description = "stands in title or description, in any letter case"),
        ("label.{name}" = Option<String>, Query, description = "value of a label"),
        ("detectedSince" = Option<String>, Query), ("detectedUntil" = Option<String>, Query),
        ("updatedSince" = Option<String>, Query),
        ("sort" = Option<String>, Query, description = "detectedAt updatedAt lastSeenAt number severity, - for the greatest first; -detectedAt where not given"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000), ("offset" = Option<u32>, Query),
        ("cursor" = Option<String>, Query),
        ("at" = Option<String>, Query, description = "RFC 3339 or Unix seconds: the issues as they were when the stream had taken all up to this moment; filters, order and pages are those of then"),
        ("related" = Option<bool>, Query, description = "false leaves the relations of each issue out: a long list is far smaller")
    ),
    responses((status = 200, body = Issues, description = "`asOf` only with `at`"), (status = 400, body = Problem),
        (status = 410, body = Problem, description = "`at` is before what is kept")))]
pub async fn list(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let params = Params::read(Some(&query), &[FILTERS, PAGE, &["at", "related"]].concat())?;
    if let Some(at) = params.time("at")? {
        let (filter, page) = (filter(&params)?, page(&params)?);
        return Ok(json(&past::list(state, at, filter, page).await?));
    }
    let version = state.reader.catalog().version();
    if let Some(body) = state.pages.get(&query, version) {
        return Ok(body_of(body));
    }
    let (filter, page) = (filter(&params)?, page(&params)?);
    let related = params.flag("related", true)?;
    let (list, version) = {
        let catalog = state.reader.catalog();
        let selection = catalog.select(&filter, &page);
        let view = |state: &Arc<KeyState>| if related { view(&catalog, state) } else { alone(state) };
        let data = selection.issues.iter().filter_map(view).collect();
        let next_cursor = selection.next.map(|key| cursor(page.order, key));
        let list = List::<View> { data, total: selection.total, limit: page.limit, offset: page.offset, next_cursor };
        (list, catalog.version())
    };
    let body = bytes(&list)?;
    state.pages.keep(&query, version, &body);
    Ok(body_of(body))
}

/// Counts of issues.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Issues in all.
    pub total: u64,
    /// By state.
    pub state: BTreeMap<String, u64>,
    /// By severity.
    pub severity: BTreeMap<String, u64>,
    /// By type.
    pub issue_type: BTreeMap<String, u64>,
    /// By namespace.
    pub namespace: BTreeMap<String, u64>,
}

/// How many issues there are, by state, severity, type and namespace. Takes the filters of the list.
#[utoipa::path(get, path = "/api/v1/issues/summary", tag = "issues",
    responses((status = 200, body = Summary), (status = 400, body = Problem)))]
pub async fn summary(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Json<Summary>, Problem> {
    let params = Params::read(query.as_deref(), FILTERS)?;
    let filter = filter(&params)?;
    let counts = state.reader.catalog().counts(&filter);
    // Words of closed lists are there even where their count is nought, so that a reader need not ask.
    let words = |word: &dyn ToString, n: u64| (word.to_string(), n);
    let summary = Summary {
        total: counts.total,
        state: counts.states.iter().map(|(w, n)| words(w, *n)).collect(),
        severity: counts.severities.iter().map(|(w, n)| words(w, *n)).collect(),
        issue_type: counts.types.iter().map(|(w, n)| words(w, *n)).collect(),
        namespace: counts.namespaces,
    };
    Ok(Json(summary))
}

/// The key of the issue with an id or a number, if the namespace asked for is its own.
pub(super) fn find(state: &State, text: &str, params: &Params) -> Result<Arc<KeyState>, Problem> {
    let catalog = state.reader.catalog();
    find_in(text, params, |number| catalog.numbered(number), |id| catalog.get(id))
}

/// The same where numbers and records are found in these ways.
pub(super) fn find_in(
    text: &str,
    params: &Params,
    numbered: impl FnOnce(u64) -> Option<KeyId>,
    get: impl FnOnce(KeyId) -> Option<Arc<KeyState>>,
) -> Result<Arc<KeyState>, Problem> {
    let missing = || Problem::not_found("Issue not found", format!("no issue has the id or number {text:?}"));
    let id = match text.parse::<Uuid>() {
        Ok(id) => Some(KeyId(id)),
        Err(_) => text.trim_start_matches('#').parse().ok().and_then(numbered),
    };
    let found = id.and_then(get).filter(|s| s.marks.issue.is_some()).ok_or_else(missing)?;
    match params.one(&["namespace"]) {
        Some((_, namespace)) if namespace != found.key.namespace => {
            Err(Problem::denied(format!("the issue is not in namespace {namespace:?}")))
        }
        _ => Ok(found),
    }
}

/// One issue.
#[utoipa::path(get, path = "/api/v1/issues/{id}", tag = "issues",
    params(("id" = String, Path, description = "id or number"), ("namespace" = Option<String>, Query),
        ("at" = Option<String>, Query, description = "the issue as it was then, as for the list")),
    responses((status = 200, body = Issue, description = "`asOf` only with `at`"), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 410, body = Problem, description = "`at` is before what is kept")))]
pub async fn one(From(state): From<State>, Id(id): Id, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let params = Params::read(query.as_deref(), &["namespace", "at"])?;
    if let Some(at) = params.time("at")? {
        return Ok(json(&past::one(state, at, id, params).await?));
    }
    let found = find(&state, &id, &params)?;
    let view = view(&state.reader.catalog(), &found);
    view.map(|v| json(&v)).ok_or_else(Problem::internal)
}
