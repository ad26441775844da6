//! Peers that are dead, slow, broken or endless.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shipwatch::outbound::{Limits, Method};
use tokio::net::{TcpSocket, TcpStream};

use crate::peer::{Peer, Step, answer as says, nowhere, ok};
use crate::{answer, failure, header, limits, open, post, request};

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn short() -> Limits {
    Limits { timeout: Duration::from_millis(600), ..limits() }
}

#[tokio::test]
async fn a_good_answer_is_whole() {
    let peer =
        Peer::new(vec![says("201 Created", "Content-Type: application/json; x=y\r\n", r#"{"key":"A-1"}"#)]).await;
    let outcome = open().call(&header(post(peer.url("/x?y"), "hello"), "X-Token", "t"), &limits()).await;
    let answer = answer(&outcome);
    assert_eq!((answer.status, answer.content_type.as_deref()), (201, Some("application/json; x=y")));
    assert_eq!(answer.body, r#"{"key":"A-1"}"#);
    assert_eq!((outcome.attempts.len(), outcome.attempts[0].status, &outcome.attempts[0].error), (1, Some(201), &None));
    let seen = &peer.requests()[0];
    assert!(seen.starts_with("POST /x?y HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nhello"), "{seen}");
    assert!(seen.contains("x-token: t\r\n") && seen.contains("user-agent: shipwatch/"), "{seen}");
    assert!(!seen.contains("accept-encoding"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_do_not_wait_for_each_other() {
    let (slow, quick) = (Peer::new(vec![vec![Step::Wait]]).await, Peer::new(vec![ok("quick")]).await);
    let client = Arc::new(open());
    let call = |url: String| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.call(&request(Method::GET, url), &limits()).await })
    };
    let waiting: Vec<_> = (0..32).map(|_| call(slow.url("/"))).collect();
    slow.asked(32).await;
    for done in (0..200).map(|_| call(quick.url("/"))).collect::<Vec<_>>() {
        assert_eq!(answer(&done.await.unwrap()).body, "quick");
    }
    for call in waiting {
        assert!(!call.is_finished());
        call.abort();
    }
}

#[tokio::test]
async fn nobody_listens() {
    let outcome = open().call(&request(Method::GET, nowhere().await), &limits()).await;
    let said = &failure(&outcome).message;
    assert!(said.contains("no connection: ") && said.to_lowercase().contains("refused"), "{said}");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_ends_in_time() {
    // A backlog that is full takes no further connection and says nothing.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(at)).await {
        held.push(stream.unwrap());
    }
    let began = Instant::now();
    let outcome = open().call(&post(format!("http://{at}/"), "x"), &Limits { retries: 1, ..short() }).await;
    assert!(failure(&outcome).message.ends_with("no connection within 300ms"), "{:?}", outcome.result);
    assert_eq!(outcome.attempts.len(), 2, "nothing was sent, so even a POST is tried again");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_silent_peer_ends_in_time() {
    let peer = Peer::new(vec![vec![Step::Wait]]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &short()).await;
    assert!(failure(&outcome).message.ends_with("no answer within 600ms"), "{:?}", outcome.result);
    assert!(outcome.attempts[0].took >= Duration::from_millis(600));
    peer.left().await;
}

#[tokio::test]
async fn a_body_that_drips_ends_in_time() {
    let pause = Duration::from_millis(50);
    let peer = Peer::new(vec![vec![Step::Say(HEAD.into()), Step::Drip("1\r\nx\r\n", pause)]]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &short()).await;
    assert!(failure(&outcome).message.ends_with("the answer did not end within 600ms"), "{:?}", outcome.result);
    assert_eq!(outcome.attempts[0].status, Some(200));
    assert!(outcome.attempts[0].took < Duration::from_secs(5));
}

#[tokio::test]
async fn a_head_that_drips_ends_in_time() {
    let head = Step::Say("HTTP/1.1 200 OK\r\n".into());
    let peer = Peer::new(vec![vec![head, Step::Drip("X-A: b\r\n", Duration::from_millis(50))]]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &short()).await;
    assert!(failure(&outcome).message.ends_with("no answer within 600ms"), "{:?}", outcome.result);
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_body_is_a_failure() {
    let script = vec![Step::Say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".into())];
    let reset = [script.clone(), vec![Step::Reset]].concat();
    for script in [script, reset] {
        let peer = Peer::new(vec![script]).await;
        let outcome = open().call(&request(Method::GET, peer.url("/")), &limits()).await;
        let said = &failure(&outcome).message;
        assert!(said.contains("the answer broke off") || said.contains("no answer"), "{said}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_failure() {
    for garbage in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 abc\r\n\r\n", "\0\0\0", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]
    {
        let peer = Peer::new(vec![vec![Step::Say(garbage.into())]]).await;
        let outcome = open().call(&request(Method::GET, peer.url("/")), &limits()).await;
        assert!(failure(&outcome).message.contains("no answer: "), "{garbage:?}: {:?}", outcome.result);
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    const HUNDRED_MB: usize = 100 << 20;
    let sized = format!("HTTP/1.1 200 OK\r\nContent-Length: {HUNDRED_MB}\r\n\r\n");
    let chunked = format!("{HEAD}{HUNDRED_MB:x}\r\n");
    let open_end = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
    for head in [sized, chunked, open_end] {
        let peer = Peer::new(vec![vec![Step::Say(head.clone()), Step::Flood(HUNDRED_MB)]]).await;
        let outcome = open().call(&request(Method::GET, peer.url("/")), &Limits { retries: 3, ..limits() }).await;
        assert!(failure(&outcome).message.ends_with("the answer is larger than 1MiB"), "{:?}", outcome.result);
        assert_eq!(outcome.attempts.len(), 1, "it would be too large again");
        // What the sockets hold on the way is a few MB.
        assert!(peer.written() < 30 << 20, "{} bytes were taken", peer.written());
    }
}

#[tokio::test]
async fn the_limit_itself_still_fits() {
    let peer = Peer::new(vec![ok(&"x".repeat(1000))]).await;
    let most = |max_response| Limits { max_response, ..limits() };
    let outcome = open().call(&request(Method::GET, peer.url("/")), &most(1000)).await;
    assert_eq!(answer(&outcome).body.len(), 1000);
    let outcome = open().call(&request(Method::GET, peer.url("/")), &most(999)).await;
    assert!(failure(&outcome).message.ends_with("larger than 999B"), "{:?}", outcome.result);
}

#[tokio::test]
async fn nothing_is_unpacked() {
    let packed = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzzzz";
    let peer = Peer::new(vec![vec![Step::Say(packed.into())]]).await;
    let outcome = open().call(&header(request(Method::GET, peer.url("/")), "Accept-Encoding", "gzip"), &limits()).await;
    assert_eq!(answer(&outcome).body, "zzzz");
    assert!(!peer.requests()[0].contains("accept-encoding"));
}

#[tokio::test]
async fn a_failed_answer_keeps_its_status_and_the_beginning_of_its_body() {
    let long = format!("no such project\n{}", "x".repeat(5000));
    let peer = Peer::new(vec![says("404 Not Found", "", &long)]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/secret-path?token=secret")), &limits()).await;
    let failure = failure(&outcome);
    assert_eq!(failure.status, Some(404));
    assert!(failure.message.contains(": answered 404 Not Found: no such project xxx"), "{}", failure.message);
    assert!(failure.message.len() < 1200 && !failure.message.contains("secret"), "{}", failure.message);
}

#[tokio::test]
async fn a_failed_answer_keeps_its_status_although_its_body_does_not_end() {
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nnope";
    let peer = Peer::new(vec![vec![Step::Say(head.into()), Step::Wait]]).await;
    let outcome = open().call(&request(Method::GET, peer.url("/")), &short()).await;
    assert_eq!(failure(&outcome).status, Some(400));
    assert!(failure(&outcome).message.ends_with("answered 400 Bad Request: nope"), "{:?}", outcome.result);
}

#[tokio::test]
async fn no_failure_tells_a_secret() {
    let quiet = Peer::new(vec![vec![Step::Reset]]).await;
    let wrong = Peer::new(vec![says("500 Oops", "", "")]).await;
    let urls =
        [quiet.url("/s3cret?s3cret#s3cret"), wrong.url("/s3cret"), nowhere().await, "http://s3cret:s3cret@[".into()];
    let mut told = Vec::new();
    for url in urls {
        let url = url.replace("http://127", "http://joe:s3cret@127");
        for value in ["s3cret", "s3cret\n", "s3cret\u{0}"] {
            let call = header(post(&url, "s3cret"), "Authorization", value);
            told.push(format!("{:?}", open().call(&call, &limits()).await));
        }
        let proxied = Limits { proxy: Some("http://joe:s3cret@[".into()), ..limits() };
        told.push(format!("{:?}", open().call(&post(&url, "s3cret"), &proxied).await));
    }
    for text in told {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_lets_go_of_its_connection() {
    let peer = Peer::new(vec![vec![Step::Wait]]).await;
    let client = open();
    let (request, limits) = (request(Method::GET, peer.url("/")), limits());
    tokio::select! {
        outcome = client.call(&request, &limits) => panic!("{outcome:?}"),
        () = peer.asked(1) => {}
    }
    tokio::time::timeout(Duration::from_secs(5), peer.left()).await.expect("the connection is still open");
}
