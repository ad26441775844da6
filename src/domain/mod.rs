//! The pure centre: events in, decisions out. No clock, no randomness, no store, no broker.

pub mod call;
pub mod deadline;
pub mod decide;
pub mod decision;
pub mod event;
pub mod feedback;
pub mod gotemplate;
pub mod ids;
pub mod issue;
pub mod keptn;
pub mod loaded;
pub mod lookup;
pub mod messages;
pub mod parked;
pub mod row;
pub mod rules;
pub mod runner;
pub mod shipyard;
pub mod stream;
pub mod text;
pub mod time;
pub mod timeline;
pub mod waiting;
pub mod webhooks;
pub mod yaml;
