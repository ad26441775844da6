//! What a request asks of the issues, read from its parameters.

use std::collections::BTreeMap;

use base64::Engine as _;

use super::Problem;
use super::params::Params;
use crate::domain::issue::{IssueType, Severity, State};
use crate::store::catalog::Field;
use crate::store::catalog::select::{Filter, Order, Page};

/// Parameters that choose issues.
pub const FILTERS: &[&str] = &[
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

/// Parameters that choose a part of the list.
pub const PAGE: &[&str] = &["sort", "limit", "offset", "cursor"];

/// Which issues a request asks for.
pub fn filter(params: &Params) -> Result<Filter, Problem> {
    let fields = [
        (Field::Namespace, "namespace"),
        (Field::ResourceType, "resourceType"),
        (Field::ResourceName, "resourceName"),
        (Field::ResourceNamespace, "resourceNamespace"),
        (Field::Check, "check"),
        (Field::Project, "project"),
        (Field::Stage, "stage"),
        (Field::Service, "service"),
        (Field::Context, "keptnContext"),
    ];
    let fields = fields.into_iter().map(|(field, name)| (field, params.many(name)));
    let mut labels: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in params.prefixed("label.") {
        let values = value.split(',').map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned);
        labels.entry(name).or_default().extend(values);
    }
    Ok(Filter {
        states: params.words("state", State::parse, State::ALL)?,
        severities: params.words("severity", Severity::parse, Severity::ALL)?,
        types: params.words("issueType", IssueType::parse, IssueType::ALL)?,
        fields: fields.filter(|(_, values)| !values.is_empty()).collect(),
        labels: labels.into_iter().map(|(name, values)| (name.to_owned(), values)).collect(),
        detected_since: params.time("detectedSince")?,
        detected_until: params.time("detectedUntil")?,
        updated_since: params.time("updatedSince")?,
        search: params.whole("search"),
    })
}

/// Which part of the list a request asks for.
pub fn page(params: &Params) -> Result<Page, Problem> {
    let (descending, order) = match params.one(&["sort"]) {
        None => (true, Order::DetectedAt),
        Some((name, text)) => sort(text).ok_or_else(|| {
            let all = Order::ALL.map(Order::as_str).join(", ");
            Problem::parameter(name, format!("{text:?} is not one of {all}, with - before it for the greatest first"))
        })?,
    };
    let after = match params.one(&["cursor"]) {
        None => None,
        Some((name, text)) => match read_cursor(text) {
            None => return Err(Problem::parameter(name, "is not a nextCursor of a list of issues")),
            Some((other, _)) if other != order => {
                let details =
                    format!("comes from a list sorted by {}, this one is by {}", other.as_str(), order.as_str());
                return Err(Problem::parameter(name, details));
            }
            Some((_, key)) => Some(key),
        },
    };
    let offset = params.offset()?;
    if after.is_some() && offset > 0 {
        return Err(Problem::parameter("offset", "stands beside cursor; give one of them"));
    }
    Ok(Page { order, descending, offset, after, limit: params.limit(&["limit"])? })
}

fn sort(text: &str) -> Option<(bool, Order)> {
    let (descending, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
    // A plus sign that was not encoded arrives as a space.
    let name = name.trim_start_matches('+').trim();
    Order::ALL.into_iter().find(|o| o.as_str() == name).map(|order| (descending, order))
}

const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a client gives back for the next page.
pub fn cursor(order: Order, key: u128) -> String {
    let at = Order::ALL.iter().position(|o| *o == order).unwrap_or(0);
    let mut bytes = vec![at as u8];
    bytes.extend_from_slice(&key.to_be_bytes());
    BASE64.encode(bytes)
}

fn read_cursor(text: &str) -> Option<(Order, u128)> {
    let bytes = BASE64.decode(text).ok()?;
    let (order, key) = bytes.split_first()?;
    Some((*Order::ALL.get(*order as usize)?, u128::from_be_bytes(key.try_into().ok()?)))
}
