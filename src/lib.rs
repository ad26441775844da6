//! Shipwatch turns the CloudEvents of a CI/CD estate into scoped issues, and answers the tasks it owns, exactly once.

pub mod app;
pub mod backoff;
pub mod bus;
pub mod cli;
pub mod config;
pub mod crash;
pub mod domain;
pub mod effects;
pub mod gateway;
pub mod http;
pub mod metrics;
pub mod outbound;
pub mod pipeline;
pub mod query;
pub mod replay;
pub mod rules;
pub mod secrets;
pub mod shipyard;
pub mod store;
pub mod units;
