//! Answers that lead on.

use shipwatch::outbound::{Limits, Method};

use crate::peer::{Peer, nowhere, ok, redirect};
use crate::{answer, client, failure, header, limits, open, post, request};

fn follow(follow_redirects: u32) -> Limits {
    Limits { follow_redirects, retries: 3, ..limits() }
}

#[tokio::test]
async fn a_redirect_is_the_answer_unless_it_is_to_be_followed() {
    let peer = Peer::new(vec![redirect(302, "/next"), ok("there")]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &limits()).await;
    assert_eq!((answer(&outcome).status, peer.requests().len()), (302, 1));
    let peer = Peer::new(vec![redirect(302, "/next"), ok("there")]).await;
    let outcome = open().call(&header(request(Method::GET, peer.url("/a")), "X-Key", "k"), &follow(1)).await;
    assert_eq!(answer(&outcome).body, "there");
    assert_eq!(outcome.attempts.len(), 1, "it is one attempt");
    let next = &peer.requests()[1];
    assert!(next.starts_with("GET /next HTTP/1.1\r\n") && next.contains("x-key: k\r\n"), "{next}");
}

#[tokio::test]
async fn a_redirect_to_a_closed_place_is_not_followed() {
    let inside = Peer::new(vec![ok("secret")]).await;
    for (place, deny) in [
        ("http://169.254.169.254/latest/meta-data", &[][..]),
        ("http://10.0.0.1/", &[]),
        ("http://kubernetes.default.svc/", &[]),
        (&format!("http://127.0.0.2:{}/", inside.port()), &["127.0.0.2"]),
        (&format!("//0x7f.2:{}/", inside.port()), &["127.0.0.2"]),
    ] {
        let peer = Peer::new(vec![redirect(301, place)]).await;
        let outcome = client(&["127.0.0.0/8"], deny).call(&request(Method::GET, peer.url("/")), &follow(5)).await;
        let said = &failure(&outcome).message;
        assert!(said.contains("webhooks.allow") || said.contains("webhooks.deny"), "{place}: {said}");
        assert_eq!((outcome.attempts.len(), peer.requests().len()), (1, 1), "{place}");
    }
    assert!(inside.requests().is_empty());
}

#[tokio::test]
async fn a_loop_ends() {
    let peer = Peer::new(vec![redirect(307, "/again")]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &follow(4)).await;
    assert!(failure(&outcome).message.ends_with("more than 4 redirects in a row"), "{:?}", outcome.result);
    assert_eq!((outcome.attempts.len(), peer.requests().len()), (1, 5));
}

#[tokio::test]
async fn secrets_do_not_go_along_to_another_place() {
    let other = Peer::new(vec![ok("there")]).await;
    let peer = Peer::new(vec![redirect(302, &other.url("/x"))]).await;
    let mut call = post(peer.url("/").replace("//", "//joe:s3cret@"), "s3cret");
    for (name, value) in [("Cookie", "s3cret"), ("X-Api-Key", "s3cret"), ("Accept", "text/plain")] {
        call = header(call, name, value);
    }
    let outcome = open().call(&call, &follow(1)).await;
    assert_eq!(answer(&outcome).body, "there");
    let first = &peer.requests()[0];
    assert!(first.contains("authorization: Basic ") && first.contains("x-api-key: s3cret"), "{first}");
    let next = &other.requests()[0];
    assert!(next.starts_with("GET /x ") && next.contains("accept: text/plain"), "{next}");
    assert!(!next.contains("s3cret") && !next.contains("authorization"), "{next}");
}

#[tokio::test]
async fn a_body_goes_along_on_the_same_host_only() {
    let other = Peer::new(vec![ok("there")]).await;
    let peer = Peer::new(vec![redirect(307, &other.url("/x"))]).await;
    let outcome = open().call(&post(peer.url("/"), "body"), &follow(1)).await;
    assert_eq!(answer(&outcome).body, "there");
    assert!(other.requests()[0].ends_with("\r\n\r\nbody"));

    let elsewhere = format!("http://127.0.0.2:{}/", other.port());
    let peer = Peer::new(vec![redirect(307, &elsewhere)]).await;
    let outcome = open().call(&post(peer.url("/"), "body"), &follow(1)).await;
    assert!(failure(&outcome).message.contains("asks for the body there"), "{:?}", outcome.result);
    assert_eq!(failure(&outcome).status, Some(307));
}

#[tokio::test]
async fn a_redirect_to_a_dead_place_names_it() {
    let dead = nowhere().await;
    let peer = Peer::new(vec![redirect(302, &dead)]).await;
    let limits = Limits { retries: 0, ..follow(1) };
    let outcome = open().call(&request(Method::GET, peer.url("/")), &limits).await;
    assert!(failure(&outcome).message.starts_with(dead.trim_end_matches('/')), "{:?}", outcome.result);
}
