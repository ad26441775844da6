//! When there is another attempt.

use std::time::Duration;

use shipwatch::outbound::{Limits, Method, Outcome};

use crate::peer::{Peer, Step, answer as says, nowhere, ok, redirect};
use crate::{answer, failure, open, post, request, retries};

fn statuses(outcome: &Outcome) -> Vec<Option<u16>> {
    outcome.attempts.iter().map(|attempt| attempt.status).collect()
}

fn even_so(retries: u32) -> Limits {
    Limits { retry_after_answer: true, ..crate::retries(retries) }
}

#[tokio::test]
async fn a_server_that_recovers() {
    let peer = Peer::new(vec![says("500 Oops", "", "broken"), ok("whole")]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &retries(3)).await;
    assert_eq!(answer(&outcome).body, "whole");
    assert_eq!(statuses(&outcome), [Some(500), Some(200)]);
    assert!(outcome.attempts[0].error.as_ref().unwrap().ends_with("broken"));
    assert!(outcome.attempts[0].started < outcome.attempts[1].started);
}

#[tokio::test]
async fn retries_end() {
    let peer = Peer::new(vec![says("503 Busy", "", "")]).await;
    let outcome = open().call(&request(Method::PUT, peer.url("/")), &retries(1)).await;
    assert_eq!(failure(&outcome).status, Some(503));
    assert_eq!((statuses(&outcome).len(), peer.requests().len()), (2, 2));
}

#[tokio::test]
async fn too_many_requests_come_back_when_they_were_asked_to() {
    let peer = Peer::new(vec![says("429 Slow Down", "Retry-After: 1\r\n", ""), ok("")]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &retries(1)).await;
    assert_eq!(statuses(&outcome), [Some(429), Some(200)]);
    let between = outcome.attempts[1].started - outcome.attempts[0].started;
    assert!(between.to_std().unwrap() >= Duration::from_secs(1), "{between}");
}

#[tokio::test]
async fn a_post_is_sent_again_after_an_answer_only_where_that_is_wanted() {
    for method in [Method::POST, Method::PATCH] {
        for status in ["429 Slow Down", "500 Oops"] {
            let peer = Peer::new(vec![says(status, "", ""), ok("")]).await;
            let outcome = open().call(&request(method.clone(), peer.url("/")), &retries(3)).await;
            assert_eq!((outcome.attempts.len(), peer.requests().len()), (1, 1), "{method} {status}");
            assert!(outcome.result.is_err());
        }
    }
    let peer = Peer::new(vec![says("500 Oops", "", ""), ok("whole")]).await;
    let outcome = open().call(&post(peer.url("/"), "body"), &even_so(3)).await;
    assert_eq!(answer(&outcome).body, "whole");
    assert!(peer.requests().iter().all(|seen| seen.ends_with("\r\n\r\nbody")), "{:?}", peer.requests());
}

#[tokio::test]
async fn a_wrong_request_is_not_sent_again() {
    for status in ["400 Bad", "401 Who", "404 Gone", "409 Conflict"] {
        let peer = Peer::new(vec![says(status, "", "")]).await;
        let outcome = open().call(&request(Method::GET, peer.url("/")), &even_so(3)).await;
        assert_eq!(outcome.attempts.len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_dead_server_is_tried_again_with_any_method() {
    let outcome = open().call(&post(nowhere().await, "body"), &retries(1)).await;
    assert_eq!(statuses(&outcome), [None, None]);
}

#[tokio::test]
async fn a_reset_after_sending_is_tried_again_only_where_that_does_no_harm() {
    let script = || vec![vec![Step::Reset], ok("whole")];
    let peer = Peer::new(script()).await;
    let outcome = open().call(&post(peer.url("/"), "body"), &retries(3)).await;
    assert_eq!((outcome.attempts.len(), peer.requests().len()), (1, 1));
    assert!(failure(&outcome).message.contains("no answer: "), "{:?}", outcome.result);

    let peer = Peer::new(script()).await;
    let outcome = open().call(&request(Method::DELETE, peer.url("/")), &retries(3)).await;
    assert_eq!((answer(&outcome).status, peer.requests().len()), (200, 2));

    let peer = Peer::new(script()).await;
    let outcome = open().call(&post(peer.url("/"), "body"), &even_so(3)).await;
    assert_eq!((answer(&outcome).status, peer.requests().len()), (200, 2));
}

#[tokio::test]
async fn a_time_that_ran_out_is_tried_again_only_where_that_does_no_harm() {
    let short = |limits| Limits { timeout: Duration::from_millis(500), ..limits };
    let peer = Peer::new(vec![vec![Step::Wait], ok("")]).await;
    let outcome = open().call(&post(peer.url("/"), "body"), &short(retries(3))).await;
    assert_eq!(outcome.attempts.len(), 1);
    let peer = Peer::new(vec![vec![Step::Wait], ok("")]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &short(retries(3))).await;
    assert_eq!(statuses(&outcome), [None, Some(200)]);
}

#[tokio::test]
async fn what_a_post_led_to_may_be_dead_but_the_post_was_handled() {
    let peer = Peer::new(vec![redirect(303, &nowhere().await)]).await;
    let limits = Limits { follow_redirects: 1, ..retries(3) };
    let outcome = open().call(&post(peer.url("/"), "body"), &limits).await;
    assert!(failure(&outcome).message.contains("no connection"), "{:?}", outcome.result);
    assert_eq!((outcome.attempts.len(), peer.requests().len()), (1, 1));
}
