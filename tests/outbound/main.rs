//! Calls to peers that behave badly. Every peer is a real socket on this machine.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod failing;
mod peer;
mod places;
mod proxies;
mod redirects;
mod retries;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use shipwatch::config::Target;
use shipwatch::outbound::{Answer, Client, Failure, Limits, Method, Outcome, Policy, Request};

/// A client under `allow` and `deny`.
fn client(allow: &[&str], deny: &[&str]) -> Client {
    let targets = |texts: &[&str]| texts.iter().map(|text| Target::parse(text).unwrap()).collect();
    Client::new(Policy { allow: targets(allow), deny: targets(deny) }).unwrap()
}

/// One that may call this machine.
fn open() -> Client {
    client(&["127.0.0.0/8"], &[])
}

fn request(method: Method, url: impl Into<String>) -> Request {
    Request { method, url: url.into(), headers: Vec::new(), body: Bytes::new() }
}

fn post(url: impl Into<String>, body: &'static str) -> Request {
    Request { body: Bytes::from_static(body.as_bytes()), ..request(Method::POST, url) }
}

fn header(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

/// No retries, no redirects, 10 s.
fn limits() -> Limits {
    Limits {
        timeout: Duration::from_secs(10),
        retries: 0,
        max_response: 1 << 20,
        follow_redirects: 0,
        proxy: None,
        retry_after_answer: false,
    }
}

fn retries(retries: u32) -> Limits {
    Limits { retries, ..limits() }
}

#[track_caller]
fn answer(outcome: &Outcome) -> &Answer {
    outcome.result.as_ref().unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn failure(outcome: &Outcome) -> &Failure {
    outcome.result.as_ref().expect_err("it should have failed")
}
