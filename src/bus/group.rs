//! What the inbox hands out, and what it says of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Message, Token};

/// How large a group may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of bodies; the message that reaches it is the last one.
    pub bytes: usize,
}

/// Messages that are folded together.
#[derive(Debug)]
pub struct Group {
    /// In stream order; at least one.
    pub messages: Vec<Message>,
    /// What acknowledges them.
    pub token: Token,
    /// What the stream no longer holds and was not folded, before or between these messages.
    pub missed: Vec<Gap>,
    /// Messages of the stream behind the last one, as the broker counted when it delivered.
    pub lag: u64,
}

/// Sequences that the stream no longer holds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// What health and metrics want to know, readable from any task.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<StatusCells>);

#[derive(Debug, Default)]
struct StatusCells {
    running: AtomicBool,
    lag: AtomicU64,
}

impl Status {
    /// Whether the stream is being read.
    pub fn running(&self) -> bool {
        self.0.running.load(Ordering::Relaxed)
    }

    /// Messages behind the last group.
    pub fn lag(&self) -> u64 {
        self.0.lag.load(Ordering::Relaxed)
    }

    pub(super) fn set_running(&self, running: bool) {
        self.0.running.store(running, Ordering::Relaxed);
    }

    pub(super) fn set_lag(&self, lag: u64) {
        self.0.lag.store(lag, Ordering::Relaxed);
    }
}
