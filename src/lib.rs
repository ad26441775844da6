//! Shipwatch turns the CloudEvents of a CI/CD estate into scoped issues, and answers the tasks it owns, exactly once.

pub mod domain;
pub mod store;
