//! Where calls may go.

use crate::peer::{Peer, ok};
use crate::{answer, client, failure, limits, open, request, retries};
use shipwatch::outbound::Method;

#[tokio::test]
async fn no_spelling_of_this_machine_is_called() {
    let peer = Peer::new(vec![ok("secret")]).await;
    let client = client(&[], &[]);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "localhost",
        "localhost.",
        "app.localhost",
        "x@127.0.0.1",
        "example.com@127.0.0.1",
    ] {
        let url = format!("http://{host}:{}/latest", peer.port());
        let outcome = client.call(&request(Method::GET, url), &retries(3)).await;
        let said = &failure(&outcome).message;
        assert!(said.contains("webhooks.allow"), "{host}: {said}");
        assert_eq!(outcome.attempts.len(), 1, "{host}: would be refused again");
    }
    assert!(peer.requests().is_empty());
}

#[tokio::test]
async fn an_allowed_range_opens_every_spelling() {
    let peer = Peer::new(vec![ok("hello")]).await;
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", peer.port());
        let outcome = open().call(&request(Method::GET, url), &limits()).await;
        assert_eq!(answer(&outcome).body, "hello", "{host}");
    }
}

#[tokio::test]
async fn a_name_is_checked_by_the_address_it_leads_to() {
    let peer = Peer::new(vec![ok("hello")]).await;
    let url = format!("http://localhost:{}/", peer.port());
    let get = request(Method::GET, url);
    // The name alone is open here, so only the connection can know.
    let outcome = client(&["localhost"], &["127.0.0.0/8", "::1"]).call(&get, &retries(3)).await;
    let said = &failure(&outcome).message;
    assert!(said.contains("localhost leads to ") && said.ends_with(" in webhooks.deny"), "{said}");
    assert_eq!(outcome.attempts.len(), 1);
    assert!(peer.requests().is_empty());

    let outcome = open().call(&get, &limits()).await;
    assert!(failure(&outcome).message.contains("webhooks.allow names localhost"), "a range opens no closed name");
    let outcome = client(&["localhost"], &[]).call(&get, &limits()).await;
    assert_eq!(answer(&outcome).body, "hello");
}

#[tokio::test]
async fn what_is_no_web_address_is_not_called() {
    for url in
        ["", "hooks.example.com/x", "ftp://hooks.example.com", "file:///etc/passwd", "http://", "http://1.2.3.400"]
    {
        let outcome = open().call(&request(Method::GET, url), &retries(3)).await;
        let said = &failure(&outcome).message;
        assert!(said.starts_with("URL "), "{url}: {said}");
        assert_eq!(outcome.attempts.len(), 1, "{url}");
    }
}

#[tokio::test]
async fn a_method_that_opens_a_tunnel_is_not_called() {
    let peer = Peer::new(vec![ok("")]).await;
    let outcome = open().call(&request(Method::CONNECT, peer.url("/")), &limits()).await;
    assert!(failure(&outcome).message.contains("CONNECT"));
    assert!(peer.requests().is_empty());
}
