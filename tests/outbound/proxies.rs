//! Calls through a proxy.

use shipwatch::outbound::{Limits, Method};

use crate::peer::{Peer, answer as says, ok};
use crate::{answer, client, failure, header, limits, open, request};

fn through(proxy: String) -> Limits {
    Limits { proxy: Some(proxy), ..limits() }
}

#[tokio::test]
async fn the_proxy_resolves_the_name() {
    let proxy = Peer::new(vec![ok("by proxy")]).await;
    let get = request(Method::GET, "http://hooks.example.invalid/x?y");
    let outcome = open().call(&get, &through(proxy.url("/").replace("//", "//joe:pw@"))).await;
    assert_eq!(answer(&outcome).body, "by proxy");
    let seen = &proxy.requests()[0];
    assert!(seen.starts_with("GET http://hooks.example.invalid/x?y HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("proxy-authorization: Basic "), "{seen}");
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_sees_no_headers() {
    let proxy = Peer::new(vec![says("403 Forbidden", "", "")]).await;
    let get = header(request(Method::GET, "https://hooks.example.invalid/x"), "Authorization", "s3cret");
    let outcome = open().call(&get, &Limits { retries: 1, ..through(proxy.url("/")) }).await;
    assert!(failure(&outcome).message.contains("https://hooks.example.invalid: no connection"), "{:?}", outcome.result);
    for seen in proxy.requests() {
        assert!(seen.starts_with("CONNECT hooks.example.invalid:443 HTTP/1.1\r\n"), "{seen}");
        assert!(!seen.contains("s3cret"), "{seen}");
    }
    assert_eq!(proxy.requests().len(), 2);
}

#[tokio::test]
async fn what_is_closed_is_closed_through_a_proxy_too() {
    let proxy = Peer::new(vec![ok("by proxy")]).await;
    for url in ["http://169.254.169.254/", "http://2852039166/", "http://10.0.0.1/", "https://kubernetes.default.svc/"]
    {
        let outcome = open().call(&request(Method::GET, url), &through(proxy.url("/"))).await;
        assert!(failure(&outcome).message.contains("webhooks.allow"), "{url}: {:?}", outcome.result);
    }
    assert!(proxy.requests().is_empty());
}

#[tokio::test]
async fn the_proxy_must_be_open_itself() {
    let proxy = Peer::new(vec![ok("by proxy")]).await;
    let get = request(Method::GET, "http://hooks.example.invalid/");
    let by_address = proxy.url("/");
    let by_name = format!("http://localhost:{}/", proxy.port());
    let resolved = client(&["localhost"], &["127.0.0.0/8", "::1"]);
    for (client, proxy) in [(client(&[], &[]), &by_address), (client(&[], &[]), &by_name), (resolved, &by_name)] {
        let said = failure(&client.call(&get, &through(proxy.clone())).await).message.clone();
        assert!(said.contains("webhooks."), "{proxy}: {said}");
    }
    assert!(proxy.requests().is_empty());
    for proxy in ["socks5://127.0.0.1:1080", "127.0.0.1:3128", ""] {
        let outcome = open().call(&get, &through(proxy.to_owned())).await;
        assert!(failure(&outcome).message.contains("the proxy's URL"), "{proxy}: {:?}", outcome.result);
    }
}
