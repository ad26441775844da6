//! Issues, their history, and scopes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State as From};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::params::Params;
use super::{Id, Problem, State};
use crate::domain::decision::Change;
use crate::domain::ids::{self, KeyId};
use crate::domain::issue::{ChangeKind, IssueType, KeyState, Related, ScopeView, Severity, State as IssueState, View};
use crate::domain::row::{Entry, Mark as RowMark};
use crate::domain::time::Time;
use crate::store::catalog::{Catalog, Field};
use crate::store::select::{Filter, Mark, Order, Page};

/// A page of a list.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// The page.
    pub data: Vec<T>,
    /// How many there are in all.
    pub total: u64,
    /// Most of a page.
    pub limit: usize,
    /// How many were left out.
    pub offset: usize,
    /// Give this as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

const FILTERS: &[&str] = &[
    "namespace",
    "state",
    "severity",
    "issueType",
    "resourceType",
    "resourceName",
    "resourceNamespace",
    "check",
    "project",
    "stage",
    "service",
    "keptnContext",
    "label.",
    "search",
    "detectedSince",
    "detectedUntil",
    "updatedSince",
];

fn filter(params: &Params) -> Result<Filter, Problem> {
    let mut fields = Vec::new();
    for (field, name) in [
        (Field::Namespace, "namespace"),
        (Field::ResourceType, "resourceType"),
        (Field::ResourceName, "resourceName"),
        (Field::ResourceNamespace, "resourceNamespace"),
        (Field::Check, "check"),
        (Field::Project, "project"),
        (Field::Stage, "stage"),
        (Field::Service, "service"),
        (Field::Context, "keptnContext"),
    ] {
        fields.push((field, params.many(name)));
    }
    let words = |all: Vec<String>| all;
    let states = params.words("state", IssueState::parse, IssueState::ALL)?;
    fields.push((Field::State, words(states.iter().map(ToString::to_string).collect())));
    let severities = params.words("severity", Severity::parse, Severity::ALL)?;
    fields.push((Field::Severity, words(severities.iter().map(ToString::to_string).collect())));
    let types = params.words("issueType", IssueType::parse, IssueType::ALL)?;
    fields.push((Field::IssueType, words(types.iter().map(ToString::to_string).collect())));
    let mut labels: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in params.prefixed("label.") {
        labels.entry(name).or_default().extend(value.split(',').map(|v| format!("{name}={}", v.trim())));
    }
    fields.extend(labels.into_values().map(|values| (Field::Label, values)));
    fields.retain(|(_, values)| !values.is_empty());
    Ok(Filter {
        fields,
        detected_since: params.time("detectedSince")?,
        detected_until: params.time("detectedUntil")?,
        updated_since: params.time("updatedSince")?,
        search: params.one(&["search"]).map(|(_, text)| text.to_owned()),
    })
}

fn page(params: &Params) -> Result<Page, Problem> {
    let (descending, order) = match params.one(&["sort"]) {
        None => (true, Order::DetectedAt),
        Some((_, text)) => {
            let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
            let order = match name.trim_start_matches('+').trim() {
                "detectedAt" => Order::DetectedAt,
                "updatedAt" => Order::UpdatedAt,
                "lastSeenAt" => Order::LastSeenAt,
                "number" => Order::Number,
                "severity" => Order::Severity,
                _ => {
                    let details = format!(
                        "{text:?} is not one of detectedAt, updatedAt, lastSeenAt, number, severity, with - before it for the greatest first"
                    );
                    return Err(Problem::parameter("sort", details));
                }
            };
            (descending, order)
        }
    };
    let after = match params.one(&["cursor"]) {
        None => None,
        Some((name, text)) => {
            let read = read_cursor(text);
            Some(read.ok_or_else(|| Problem::parameter(name, "is not a nextCursor of a list"))?)
        }
    };
    Ok(Page { order, descending, offset: params.offset()?, after, limit: params.limit(&["limit"])? })
}

const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn cursor(mark: Mark) -> Option<String> {
    postcard::to_allocvec(&(mark.time, mark.severity, mark.number)).ok().map(|bytes| BASE64.encode(bytes))
}

fn read_cursor(text: &str) -> Option<Mark> {
    let bytes = BASE64.decode(text).ok()?;
    let (time, severity, number) = postcard::from_bytes::<(Time, Severity, u32)>(&bytes).ok()?;
    Some(Mark { time, severity, number })
}

/// The JSON of an issue, with its relations.
pub fn view(catalog: &Catalog, state: &KeyState) -> Option<View> {
    let issue = state.marks.issue.as_ref()?;
    let mut view = issue.view(&state.key);
    for other in catalog.related(state) {
        let Some(end) = other.marks.issue.as_ref() else { continue };
        let newer = end.number > issue.number;
        let far = end.related_end(&other.key);
        let (source, target) = if newer { (view.id, far.id) } else { (far.id, view.id) };
        let relation = Related {
            id: ids::derive("relation", &[&source.to_string(), &target.to_string()]),
            source_id: source,
            target_id: target,
            issue: far,
        };
        if newer {
            view.related_from.push(relation);
        } else {
            view.related_to.push(relation);
        }
    }
    Some(view)
}

fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "a response cannot be written as JSON");
            Problem::internal().into_response()
        }
    }
}

/// Issues, by any combination of filters. Values may repeat or be lists with commas; values of one filter are
/// alternatives, filters must all fit.
#[utoipa::path(get, path = "/api/v1/issues", tag = "issues",
    params(
        ("namespace" = Option<String>, Query), ("state" = Option<IssueState>, Query), ("severity" = Option<Severity>, Query),
        ("issueType" = Option<IssueType>, Query), ("resourceType" = Option<String>, Query),
        ("resourceName" = Option<String>, Query), ("resourceNamespace" = Option<String>, Query),
        ("check" = Option<String>, Query), ("project" = Option<String>, Query), ("stage" = Option<String>, Query),
        ("service" = Option<String>, Query), ("keptnContext" = Option<String>, Query),
        ("search" = Option<String>, Query, description = "stands in title or description"),
        ("detectedSince" = Option<String>, Query), ("detectedUntil" = Option<String>, Query),
        ("updatedSince" = Option<String>, Query),
        ("sort" = Option<String>, Query, description = "detectedAt updatedAt lastSeenAt number severity, - for the greatest first; -detectedAt where not given"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000), ("offset" = Option<u32>, Query),
        ("cursor" = Option<String>, Query)
    ),
    responses((status = 200, body = List<View>), (status = 400, body = Problem)))]
pub async fn list(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let known = [FILTERS, &["sort", "limit", "offset", "cursor"]].concat();
    let params = Params::read(query.as_deref(), &known)?;
    let (filter, page) = (filter(&params)?, page(&params)?);
    let catalog = state.reader.catalog();
    let selection = catalog.select(&filter, &page);
    let data = selection.issues.iter().filter_map(|s| view(&catalog, s)).collect();
    drop(catalog);
    let offset = if page.after.is_some() { 0 } else { page.offset };
    let next_cursor = selection.next.and_then(cursor);
    Ok(json(&List::<View> { data, total: selection.total, limit: page.limit, offset, next_cursor }))
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
    let catalog = state.reader.catalog();
    let fit = catalog.fitting(&filter);
    let count = |field| {
        let counts = catalog.values(field).map(|(value, bits)| (value.to_owned(), bits.intersection_len(&fit)));
        counts.filter(|(_, n)| *n > 0).collect::<BTreeMap<_, _>>()
    };
    let mut summary = Summary {
        total: fit.len(),
        state: count(Field::State),
        severity: count(Field::Severity),
        issue_type: count(Field::IssueType),
        namespace: count(Field::Namespace),
    };
    // Words of closed lists are there even where their count is nought, so that a reader need not ask.
    IssueState::ALL.iter().for_each(|w| _ = summary.state.entry(w.to_string()).or_default());
    Severity::ALL.iter().for_each(|w| _ = summary.severity.entry(w.to_string()).or_default());
    IssueType::ALL.iter().for_each(|w| _ = summary.issue_type.entry(w.to_string()).or_default());
    Ok(Json(summary))
}

/// The key of the issue with an id or a number, if the namespace asked for is its own.
fn find(state: &State, text: &str, params: &Params) -> Result<Arc<KeyState>, Problem> {
    let missing = || Problem::not_found("Issue not found", format!("no issue has the id or number {text:?}"));
    let catalog = state.reader.catalog();
    let id = match text.parse::<Uuid>() {
        Ok(id) => Some(KeyId(id)),
        Err(_) => text.trim_start_matches('#').parse().ok().and_then(|n| catalog.numbered(n)),
    };
    let found = id.and_then(|id| catalog.get(id)).filter(|s| s.marks.issue.is_some()).cloned().ok_or_else(missing)?;
    match params.one(&["namespace"]) {
        Some((_, namespace)) if namespace != found.key.namespace => {
            Err(Problem::denied(format!("the issue is not in namespace {namespace:?}")))
        }
        _ => Ok(found),
    }
}

/// One issue.
#[utoipa::path(get, path = "/api/v1/issues/{id}", tag = "issues",
    params(("id" = String, Path, description = "id or number"), ("namespace" = Option<String>, Query)),
    responses((status = 200, body = View), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn one(From(state): From<State>, Id(id): Id, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let params = Params::read(query.as_deref(), &["namespace"])?;
    let found = find(&state, &id, &params)?;
    let view = view(&state.reader.catalog(), &found);
    view.map(|v| json(&v)).ok_or_else(Problem::internal)
}

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
        ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query)),
    responses((status = 200, body = List<HistoryItem>), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn history(From(state): From<State>, Id(id): Id, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let params = Params::read(query.as_deref(), &["namespace", "limit", "offset", "cursor"])?;
    let (limit, offset) = (params.limit(&["limit"])?, params.start()?);
    let found = find(&state, &id, &params)?;
    let items = tokio::task::spawn_blocking(move || history_of(&state, found.key.id())).await;
    let items = items.map_err(|_| Problem::internal())??;
    let total = items.len() as u64;
    let data: Vec<_> = items.into_iter().skip(offset).take(limit).collect();
    Ok(json(&counted(data, total, limit, offset)))
}

fn history_of(state: &State, id: KeyId) -> Result<Vec<HistoryItem>, Problem> {
    let mut items = Vec::new();
    for row in state.reader.rows(RowMark::Key(id).hash())? {
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

/// A scope with counts of its issues.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScopeCount {
    /// The scope.
    #[serde(flatten)]
    pub scope: ScopeView,
    /// Active issues.
    pub active: u64,
    /// Resolved issues.
    pub resolved: u64,
}

/// Scopes that have had issues, in the order of type, name, namespace.
#[utoipa::path(get, path = "/api/v1/scopes", tag = "issues",
    params(("namespace" = Option<String>, Query), ("resourceType" = Option<String>, Query),
        ("resourceName" = Option<String>, Query), ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query)),
    responses((status = 200, body = List<ScopeCount>), (status = 400, body = Problem)))]
pub async fn scopes(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let known = ["namespace", "resourceType", "resourceName", "resourceNamespace", "limit", "offset", "cursor"];
    let params = Params::read(query.as_deref(), &known)?;
    let (limit, offset) = (params.limit(&["limit"])?, params.start()?);
    let (types, names) = (params.many("resourceType"), params.many("resourceName"));
    let spaces = [params.many("resourceNamespace"), params.many("namespace")].concat();
    let fits = |wanted: &[String], value: &String| wanted.is_empty() || wanted.contains(value);
    let catalog = state.reader.catalog();
    let mut all: Vec<ScopeCount> = Vec::new();
    for (id, scope) in catalog.scopes() {
        let s = &scope.scope;
        if !fits(&types, &s.resource_type) || !fits(&names, &s.resource_name) || !fits(&spaces, &s.resource_namespace) {
            continue;
        }
        let states = scope.keys.iter().filter_map(|k| catalog.get(*k)?.marks.issue.as_ref().map(|i| i.state));
        let (mut active, mut resolved) = (0, 0);
        for state in states {
            match state {
                IssueState::Active => active += 1,
                IssueState::Resolved => resolved += 1,
            }
        }
        if active + resolved == 0 {
            continue;
        }
        let view = ScopeView {
            id: id.0,
            resource_type: s.resource_type.clone(),
            resource_name: s.resource_name.clone(),
            resource_namespace: s.resource_namespace.clone(),
        };
        all.push(ScopeCount { scope: view, active, resolved });
    }
    drop(catalog);
    let key = |s: &ScopeCount| {
        let v = &s.scope;
        (v.resource_type.clone(), v.resource_name.clone(), v.resource_namespace.clone(), v.id)
    };
    all.sort_by_cached_key(key);
    let total = all.len() as u64;
    let data: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
    Ok(json(&counted(data, total, limit, offset)))
}

/// A page of a list that is counted off.
fn counted<T>(data: Vec<T>, total: u64, limit: usize, offset: usize) -> List<T> {
    let next = offset + data.len();
    let next_cursor = ((next as u64) < total && !data.is_empty()).then(|| next.to_string());
    List { data, total, limit, offset, next_cursor }
}

/// Writes any list.
pub(super) fn write<T: Serialize>(list: &List<T>) -> Response {
    json(list)
}
