//! The bus: NATS JetStream in, NATS JetStream out. The client library's types do not leave this module.
//!
//! The store's sequence is the truth. The [`Inbox`] hands out messages strictly by stream sequence from there on,
//! whatever the broker delivers: the durable consumer is the fast path and carries the acknowledgement, and whenever
//! anything it should have delivered is missing (a crash, a lost connection, a restored store, a deleted consumer),
//! the inbox reads that range again from the stream itself, before it goes on.

mod ack;
mod ask;
mod attach;
pub mod binding;
mod by_subject;
mod connect;
mod consumer;
mod denials;
mod error;
mod follow;
mod group;
mod identity;
mod inbox;
mod listen;
mod message;
mod plan;
mod publisher;
mod reader;
mod replay;
mod settings;
mod stream;
mod subjects;

pub use crate::domain::stream::StreamIdentity;
pub use ack::{Acker, Token};
pub use attach::{Attached, Reached, Start, StreamWish, attach, find};
pub use connect::{Bus, Patience, connect};
pub use error::{Error, Kind};
pub use follow::Followed;
pub use group::{Gap, Group, GroupLimits, Status};
pub use inbox::Inbox;
pub use listen::Heard;
pub use message::{Headers, Message};
pub use publisher::{Publisher, Receipt, STRUCTURED, Stored, publishable};
pub use replay::{Bound, Replay};
pub use settings::{Settings, Tls};
pub use subjects::intersection;
