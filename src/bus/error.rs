//! What can go wrong on the bus, and whether waiting helps.

use std::fmt;

/// An error of the bus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot work: a bad URL, an unreadable credentials file, an unknown context.
    #[error("{0}")]
    Settings(String),
    /// The broker does not let us in.
    #[error("the broker at {urls} refuses {who}: {why}")]
    Refused {
        /// Where it was tried.
        urls: String,
        /// Which credentials, and the settings they come from.
        who: String,
        /// The broker's word.
        why: String,
    },
    /// No broker answers.
    #[error("no NATS broker answers at {urls}: {why}")]
    Unreachable {
        /// Where it was tried.
        urls: String,
        /// The last failure.
        why: String,
    },
    /// The broker runs without JetStream, or this account may not use it.
    #[error(
        "JetStream is not available on the broker ({0}): start nats-server with -js, or enable it for this account"
    )]
    NoJetStream(String),
    /// The account lacks a permission.
    #[error("not allowed to {what}: {why}")]
    NotAllowed {
        /// What was tried.
        what: String,
        /// The broker's word.
        why: String,
    },
    /// There is no stream to read, and none was made.
    #[error("{0}")]
    NoStream(String),
    /// A consumer that cannot serve, with the remedy.
    #[error("{0}")]
    Consumer(String),
    /// The stream that was read is gone, or another one now has its name: attach again.
    #[error("{0}")]
    StreamChanged(String),
    /// The broker did not answer in time.
    #[error("the broker did not answer {what} in time")]
    TimedOut {
        /// The question.
        what: String,
    },
    /// The broker's answer is an error that no rule of ours covers.
    #[error("the broker answered {what} with: {why}")]
    Broker {
        /// The question.
        what: String,
        /// The answer.
        why: String,
    },
    /// No stream takes the subject of a publish.
    #[error("no stream takes the subject {0:?}")]
    NoStreamFor(String),
    /// A message is larger than the broker or the stream takes.
    #[error("message for {subject:?} is larger than the broker takes: {why}")]
    TooLarge {
        /// Its subject.
        subject: String,
        /// The sizes.
        why: String,
    },
}

/// What a caller does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mistake in the settings: exit code 2.
    Usage,
    /// Someone has to change something at the broker: exit code 1.
    Final,
    /// It may work later: try again.
    Passing,
    /// The stream is another one: attach again, from the start of its count.
    Attach,
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Settings(_) => Kind::Usage,
            Error::Refused { .. }
            | Error::NoJetStream(_)
            | Error::NotAllowed { .. }
            | Error::NoStream(_)
            | Error::Consumer(_)
            | Error::TooLarge { .. } => Kind::Final,
            Error::Unreachable { .. } | Error::TimedOut { .. } | Error::Broker { .. } | Error::NoStreamFor(_) => {
                Kind::Passing
            }
            Error::StreamChanged(_) => Kind::Attach,
        }
    }

    /// Whether trying the same again may work.
    pub fn is_passing(&self) -> bool {
        self.kind() == Kind::Passing
    }
}

/// Names in quotes, for messages.
pub(super) fn quoted<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ")
}
