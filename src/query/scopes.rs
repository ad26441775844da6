//! Scopes: the things that can be broken.

use axum::extract::{RawQuery, State as From};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::list::{List, json};
use super::params::Params;
use super::{Problem, State};
use crate::domain::issue::ScopeView;

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
        ("resourceName" = Option<String>, Query), ("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query),
        ("cursor" = Option<String>, Query)),
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
        let (active, resolved) = catalog.counts_of(id);
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
    Ok(json(&List::cut(all, limit, offset)))
}
