//! Effects: what leaves the service because of what was folded. Only after the commit, and only from the outbox.

pub mod outbox;
pub mod publish;
