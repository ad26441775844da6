//! Which events of a source a replay takes.

use std::cmp::Ordering;

use crate::bus::Bound;
use crate::domain::event::Event;
use crate::domain::rules::Subject;
use crate::domain::time::Time;

/// From where to where, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its beginning.
    pub from: Bound,
    /// Its end.
    pub to: Bound,
}

impl Range {
    /// Everything.
    pub const ALL: Range = Range { from: Bound::Open, to: Bound::Open };

    /// Whether something stands before the range, in it, or behind it.
    pub fn place(&self, sequence: u64, time: Time) -> Ordering {
        let before = match self.from {
            Bound::Open => false,
            Bound::Sequence(from) => sequence < from,
            Bound::Time(from) => time < from,
        };
        let behind = match self.to {
            Bound::Open => false,
            Bound::Sequence(to) => sequence > to,
            Bound::Time(to) => time > to,
        };
        match (before, behind) {
            (true, _) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => Ordering::Equal,
        }
    }

    /// Whether nothing can lie in it.
    pub fn is_empty(&self) -> bool {
        match (self.from, self.to) {
            (Bound::Sequence(from), Bound::Sequence(to)) => from > to,
            (Bound::Time(from), Bound::Time(to)) => from > to,
            _ => false,
        }
    }
}

/// Attributes that events must have. Of each list one has to fit; an empty one asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `shkeptncontext`.
    pub contexts: Vec<String>,
    /// `type`, with wildcards.
    pub types: Vec<Subject>,
    /// `source`.
    pub sources: Vec<String>,
}

impl Filter {
    /// Whether everything fits.
    pub fn is_all(&self) -> bool {
        self.contexts.is_empty() && self.types.is_empty() && self.sources.is_empty()
    }

    /// Whether an event fits.
    pub fn takes(&self, event: &Event) -> bool {
        self.fits(event.context.as_deref(), &event.ty, &event.source)
    }

    /// Whether an event with these attributes fits.
    pub fn fits(&self, context: Option<&str>, ty: &str, source: &str) -> bool {
        (self.contexts.is_empty() || context.is_some_and(|c| self.contexts.iter().any(|want| want == c)))
            && (self.types.is_empty() || self.types.iter().any(|want| want.matches(ty)))
            && (self.sources.is_empty() || self.sources.iter().any(|want| want == source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_inside() {
        let range = Range { from: Bound::Sequence(3), to: Bound::Sequence(5) };
        let placed: Vec<i8> = (2..=6).map(|n| range.place(n, Time::EPOCH) as i8).collect();
        assert_eq!(placed, [-1, 0, 0, 0, 1]);
        let at = |s| Time::from_unix(s, 0).unwrap();
        let range = Range { from: Bound::Time(at(3)), to: Bound::Time(at(5)) };
        let placed: Vec<i8> = (2..=6).map(|s| range.place(1, at(s)) as i8).collect();
        assert_eq!(placed, [-1, 0, 0, 0, 1]);
        assert!(Range { from: Bound::Sequence(2), to: Bound::Sequence(1) }.is_empty());
    }

    #[test]
    fn of_each_list_one_fits() {
        let types = vec![Subject::any("sh.keptn.event.*.finished").unwrap()];
        let filter = Filter { contexts: vec!["a".into(), "b".into()], types, sources: vec![] };
        assert!(filter.fits(Some("b"), "sh.keptn.event.test.finished", "x"));
        assert!(!filter.fits(Some("c"), "sh.keptn.event.test.finished", "x"));
        assert!(!filter.fits(None, "sh.keptn.event.test.finished", "x"));
        assert!(!filter.fits(Some("a"), "sh.keptn.event.test.started", "x"));
        assert!(Filter::default().is_all() && Filter::default().fits(None, "", ""));
    }
}
