//! Whether one issue fits a filter, for those that are not in the catalogue: as they were, or as they just became.

use super::Field;
use super::select::Filter;
use super::texts::Needle;
use crate::domain::issue::{Issue, Key};

/// A filter, made ready to be held against many issues. Says of each what [`super::Catalog::select`] would.
#[derive(Debug)]
pub struct Matcher {
    filter: Filter,
    needles: Vec<Needle>,
}

impl Matcher {
    /// Of a filter.
    pub fn new(filter: Filter) -> Matcher {
        let needles = filter.search.iter().filter(|text| !text.is_empty()).map(|text| Needle::new(text)).collect();
        Matcher { filter, needles }
    }

    /// Whether an issue fits.
    pub fn fits(&self, key: &Key, issue: &Issue) -> bool {
        let Filter { states, severities, types, fields, labels, .. } = &self.filter;
        any(states, &issue.state)
            && any(severities, &issue.severity)
            && any(types, &key.issue_type)
            && fields.iter().all(|(field, values)| values.is_empty() || has(values, *field, key, issue))
            && labels.iter().all(|(name, values)| {
                values.is_empty() || issue.labels.get(name).is_some_and(|value| values.contains(value))
            })
            && self.filter.detected_since.is_none_or(|since| issue.detected_at >= since)
            && self.filter.detected_until.is_none_or(|until| issue.detected_at <= until)
            && self.filter.updated_since.is_none_or(|since| issue.updated_at >= since)
            && self.has_text(issue)
    }

    fn has_text(&self, issue: &Issue) -> bool {
        let mut room = String::new();
        self.needles.is_empty() || self.needles.iter().any(|n| n.is_in(&issue.title, &issue.description, &mut room))
    }
}

fn any<T: PartialEq>(wanted: &[T], is: &T) -> bool {
    wanted.is_empty() || wanted.contains(is)
}

fn has(values: &[String], field: Field, key: &Key, issue: &Issue) -> bool {
    let is = match field {
        Field::Namespace => return values.contains(&key.namespace),
        Field::ResourceType => &key.scope.resource_type,
        Field::ResourceName => &key.scope.resource_name,
        Field::ResourceNamespace => &key.scope.resource_namespace,
        Field::Check => &key.check,
        Field::Project => &key.project,
        Field::Stage => &key.stage,
        Field::Service => &issue.service,
        Field::Context => &issue.context,
    };
    !is.is_empty() && values.contains(is)
}
