//! Folding events again: the same decisions and the same commits as the service, from another source and without effects.
//!
//! A [`Source`] hands out what a stream, a data folder or a file holds; a [`Fold`] makes a store of it, by default a throw-away
//! one. Nothing is published, and nothing is left on the broker. What the store then holds is what the service would show:
//! [`issues`]. Two folds of the same events under different rules are told apart by [`diff`], event by event.

pub mod again;
pub mod diff;
mod drive;
mod file;
mod filter;
mod fold;
mod history;
mod input;
mod journal;
mod rebuild;
mod source;
mod stream;
mod tally;

pub use drive::{Stopped, drive};
pub use file::Mistake;
pub use filter::{Filter, Range};
pub use fold::{Fold, Opening, Setup};
pub use history::{Change, changes};
pub use input::Input;
pub use rebuild::Rebuild;
pub use source::{Place, Plan, Source};
pub use tally::{Failing, Slowest, Tally};

use crate::domain::issue::View;
use crate::store::Reader;
use crate::store::catalog::select::{self, Order, Page};
use crate::store::catalog::view::view;

/// All issues of a store, in the order in which the query endpoint lists them.
pub fn issues(reader: &Reader) -> Vec<View> {
    let catalog = reader.catalog();
    let all = select::Filter::default();
    let limit = usize::try_from(catalog.counts(&all).total).unwrap_or(usize::MAX).max(1);
    let page = Page { order: Order::DetectedAt, descending: true, offset: 0, after: None, limit };
    catalog.select(&all, &page).issues.iter().filter_map(|state| view(&catalog, state)).collect()
}
