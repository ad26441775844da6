//! Calls to other people's systems, each made safely: where it may go is checked on the address that is connected to,
//! it ends in time, and no more is read of an answer than was allowed.
//!
//! - [`Policy`] says where calls may go. It is asked about the host of every URL (`names` and `addresses` hold what is
//!   closed unless opened) and, inside the resolver hook, about every address that a name leads to. Only addresses that
//!   passed are handed to the connector, so a name cannot change its mind between check and use.
//! - [`Client::call`] makes the call: `attempt` is one go with its redirects, `retry` says whether and when there is
//!   another.
//! - What is told of a failure never holds headers, bodies that were sent, or more of a URL than scheme, host and port:
//!   the rest of the URL of a chat webhook is a secret. The beginning of the other side's answer is told, and may repeat
//!   a secret that was sent: whoever shows it masks it first ([`crate::secrets::Mask`]).
//!
//! Where a proxy is used, the proxy's address is checked like any other; the target is checked by its name or literal
//! address only, because it is the proxy that resolves the name. Proxy variables of the environment are not used.
//!
//! No connection is used twice. That costs a handshake, and saves a POST from going into a connection that the other
//! side has just closed, after which nobody knows whether it was handled.

mod addresses;
mod attempt;
mod body;
mod client;
mod headers;
mod names;
mod policy;
mod redirect;
mod resolve;
mod retry;
mod tell;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

pub use client::Client;
pub use policy::{Policy, Refused};
pub use reqwest::Method;

/// What to send. Has no `Debug`: nearly all of it may be secret.
#[derive(Clone)]
pub struct Request {
    /// Any but CONNECT.
    pub method: Method,
    /// http or https. A user name and password in it become an `Authorization` header.
    pub url: String,
    /// In their order. Those that belong to the connection (`Content-Length`, `Connection` and the like) and
    /// `Accept-Encoding` are left out: nothing that is compressed is unpacked.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Bytes,
}

/// What one call may take. Has no `Debug`: the proxy's URL may hold a password.
#[derive(Clone)]
pub struct Limits {
    /// Of each attempt, with redirects and all of the answer's body. Connecting gets half of it, 10 s at most.
    pub timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Most bytes of an answer's body.
    pub max_response: u64,
    /// How many redirects in a row are followed; with 0 a redirect is the answer.
    pub follow_redirects: u32,
    /// URL of a proxy, http or https.
    pub proxy: Option<String>,
    /// Whether a request that is not idempotent (POST, PATCH) is sent again although the other side may have handled it:
    /// after 429 and 5xx, and after a connection that broke or a time that ran out.
    pub retry_after_answer: bool,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Every attempt, in order; at least one.
    pub attempts: Vec<Attempt>,
    /// What the last one came to.
    pub result: Result<Answer, Failure>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub started: DateTime<Utc>,
    /// How long it took, to the end of the answer.
    pub took: Duration,
    /// Status of the answer, where there was one; of the last one where redirects were followed.
    pub status: Option<u16>,
    /// What went wrong; as in [`Failure::message`].
    pub error: Option<String>,
}

/// A whole answer with a status below 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// Its body as it came, never unpacked.
    pub body: Bytes,
}

/// Why there is no answer, or only one of 400 and above.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For people. Where there is a status, it ends with the first KiB of the answer's body.
    pub message: String,
    /// Status of the answer, where there was one.
    pub status: Option<u16>,
}
