//! One attempt of a call: send, follow redirects, read the answer, all before one deadline.

use std::time::Duration;

use chrono::Utc;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};
use tokio::time::{Instant, timeout_at};

use super::redirect::{self, Hop};
use super::retry::{self, Again};
use super::tell::{cause, one_line, place, refusal};
use super::{Answer, Failure, Limits, Policy, body};
use crate::units::Size;

/// How much of a failed answer's body is told.
const TOLD: usize = 1024;

/// The longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest that an attempt may take; beyond it clocks run over.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// A failed attempt.
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) again: Again,
    /// The wait that the other side asked for.
    pub(super) wait: Option<Duration>,
}

impl Failed {
    /// One that would fail in the same way again.
    pub(super) fn for_good(message: String) -> Failed {
        Failed { failure: Failure { message, status: None }, again: Again::Never, wait: None }
    }

    fn at(url: &Url, again: Again, what: impl std::fmt::Display) -> Failed {
        Failed { again, ..Failed::for_good(format!("{}: {what}", place(url))) }
    }
}

/// How long connecting may take of an attempt. Less than all of it, so that a connection that does not come about is
/// told apart from an answer that does not come: only after the former a POST can be sent again.
pub(super) fn connect_timeout(limits: &Limits) -> Duration {
    (limits.timeout / 2).min(CONNECT)
}

/// Makes the attempt. `http` follows no redirects, resolves through the policy and knows the proxy.
pub(super) async fn attempt(
    http: &reqwest::Client,
    policy: &Policy,
    broken_tls: Option<&str>,
    first: Hop,
    limits: &Limits,
) -> Result<Answer, Failed> {
    let until = Instant::now() + limits.timeout.min(LONGEST);
    let (mut hop, mut followed) = (first, 0);
    loop {
        policy.check(&hop.url).map_err(|why| Failed::at(&hop.url, Again::Never, why))?;
        if let Some(why) = broken_tls.filter(|_| hop.url.scheme() == "https") {
            return Err(Failed::at(&hop.url, Again::Never, format_args!("https cannot be used: {why}")));
        }
        let response = send(http, &hop, followed > 0, until, limits).await?;
        let status = response.status();
        match redirect::location(status, response.headers()) {
            Some(_) if limits.follow_redirects > 0 && followed == limits.follow_redirects => {
                let what = format_args!("more than {} redirects in a row", limits.follow_redirects);
                return Err(with_status(Failed::at(&hop.url, Again::Never, what), &response));
            }
            Some(location) if limits.follow_redirects > 0 => {
                let from = hop.url.clone();
                let next = hop.follow(status, location);
                hop = next.map_err(|why| with_status(Failed::at(&from, Again::Never, why), &response))?;
            }
            _ => return read(response, &hop.url, until, limits).await,
        }
        followed += 1;
    }
}

async fn send(
    http: &reqwest::Client,
    hop: &Hop,
    redirected: bool,
    until: Instant,
    limits: &Limits,
) -> Result<Response, Failed> {
    let request = http.request(hop.method.clone(), hop.url.clone()).headers(hop.headers.clone());
    let request = if hop.body.is_empty() { request } else { request.body(hop.body.clone()) };
    let Ok(sent) = timeout_at(until, request.send()).await else {
        let what = format_args!("no answer within {:?}", limits.timeout);
        return Err(Failed::at(&hop.url, Again::MayHaveBeenHandled, what));
    };
    sent.map_err(|e| {
        if let Some(refused) = refusal(&e) {
            Failed::at(&hop.url, Again::Never, refused)
        } else if e.is_builder() {
            Failed::at(&hop.url, Again::Never, cause(&e))
        } else if e.is_connect() {
            // Behind a redirect the first place has had the request already.
            let again = if redirected { Again::MayHaveBeenHandled } else { Again::Unsent };
            let what = if e.is_timeout() {
                format!("no connection within {:?}", connect_timeout(limits))
            } else {
                format!("no connection: {}", cause(&e))
            };
            Failed::at(&hop.url, again, what)
        } else {
            Failed::at(&hop.url, Again::MayHaveBeenHandled, format_args!("no answer: {}", cause(&e)))
        }
    })
}

async fn read(mut response: Response, url: &Url, until: Instant, limits: &Limits) -> Result<Answer, Failed> {
    let status = response.status();
    if status.as_u16() >= 400 {
        let again =
            if status.is_server_error() || status.as_u16() == 429 { Again::MayHaveBeenHandled } else { Again::Never };
        let wait = retry::asked(response.headers(), Utc::now());
        let said = one_line(&body::beginning(&mut response, TOLD, until).await);
        let colon = if said.is_empty() { "" } else { ": " };
        let failed = Failed::at(url, again, format_args!("answered {status}{colon}{said}"));
        return Err(Failed { wait, ..with_status(failed, &response) });
    }
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let body = body::whole(&mut response, limits.max_response, until).await.map_err(|cut| {
        let failed = match cut {
            body::Cut::TooLarge => {
                let what = format_args!("the answer is larger than {}", Size::from_bytes(limits.max_response));
                Failed::at(url, Again::Never, what)
            }
            body::Cut::Late => {
                let what = format_args!("the answer did not end within {:?}", limits.timeout);
                Failed::at(url, Again::MayHaveBeenHandled, what)
            }
            body::Cut::Broken(e) => {
                Failed::at(url, Again::MayHaveBeenHandled, format_args!("the answer broke off: {}", cause(&e)))
            }
        };
        with_status(failed, &response)
    })?;
    Ok(Answer { status: status.as_u16(), content_type, body })
}

fn with_status(mut failed: Failed, response: &Response) -> Failed {
    failed.failure.status = Some(response.status().as_u16());
    failed
}
