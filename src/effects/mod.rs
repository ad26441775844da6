//! Effects: what leaves the service because of what was folded. Only after the commit. What others rely on
//! leaves from the outbox; `feedback` is a courtesy to those who wait at this moment.

pub mod callback;
pub mod deadlines;
pub mod deliver;
pub mod doubt;
pub mod feedback;
pub mod outbox;
pub mod publish;
