//! The embedded store: the fold's state, durable, in one folder.
//!
//! One [`Store`] writes, any number of [`Reader`]s read. A group of events is staged ([`Staged`], which is also what deciding
//! looks at), then committed: one batch of one tree, one flush, one sync. Everything is atomic because it is one batch.
//!
//! What is on disk, by the first byte of the key: see `keyspace.rs`. Everything there is written in order of time and none of
//! it is updated in place, because with this engine a record more, or a write into the middle, costs more than all the rest:
//! journal lines go in blocks (`block.rs`), keys and scopes are a log of their newest states (`ledger.rs`) whose readable form
//! is in memory ([`catalog::Catalog`]), and the index from marks to lines grows by sorted segments (`index.rs`, `segment.rs`).
//!
//! There is no outbox beside the journal: what an event causes follows from its line, so all that is owed is the lines behind
//! [`Fold::published`].

mod block;
pub mod catalog;
mod chunks;
mod commit;
mod due;
mod dump;
mod error;
mod expire;
mod filter;
mod index;
mod journal;
mod journal_1;
mod journal_2;
mod keyspace;
mod ledger;
mod load;
mod packing;
mod reader;
mod recent;
mod record;
mod rulebook;
mod segment;
mod shared;
mod staged;
#[allow(clippy::module_inception)]
mod store;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use commit::Committed;
pub use due::Retention;
pub use error::Error;
pub use expire::Expired;
pub use journal::Marks;
pub use load::FORMAT;
pub use reader::{Direction, Journal, Kept, Reader};
pub use record::Fold;
pub use rulebook::RuleTexts;
pub use staged::Staged;
pub use store::{Options, Store};
