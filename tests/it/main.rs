//! Stories: the real binary against a real nats-server. One file per group, names are statements.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod broker_auth;
mod deploy;
mod disk;
mod duplicates;
mod forms;
mod gateway;
mod issues;
mod kill_loop;
mod packs;
mod parked;
mod readme;
mod recipes;
mod refusals;
mod replay;
mod replies;
mod restarts;
mod rules;
mod samples;
mod sequence_run;
mod sequences;
mod stuck;
mod support;
mod watch;
mod webhooks;
mod whole_store;
