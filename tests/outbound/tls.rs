//! Calls of https. Which certificates the system trusts is read from its environment, so these calls are made by a
//! process of their own: this one again, with only the test [`the_calls`].

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use shipwatch::outbound::{Limits, Method};

use crate::peer::{Peer, ok};
use crate::{answer, failure, limits, open, request};

const URL: &str = "TEST_URL";
const EXPECT: &str = "TEST_EXPECT";

/// A server of https on this machine, and its certificate. `/down` leads to `down`.
fn server(down: String) -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config));
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, socket.unwrap()));
            let mut first = String::new();
            // Whoever does not trust us goes before the first line.
            if stream.read_line(&mut first).is_err() {
                continue;
            }
            let head =
                if first.contains("/down") { format!("302 Down\r\nLocation: {down}") } else { "200 OK".to_owned() };
            let said = format!("HTTP/1.1 {head}\r\nContent-Length: 7\r\nConnection: close\r\n\r\nprivate");
            stream.get_mut().write_all(said.as_bytes()).unwrap();
            stream.get_mut().flush().unwrap();
        }
    });
    (url, cert.pem())
}

#[tokio::test]
#[ignore = "runs inside the others"]
async fn the_calls() {
    let (url, expect) = (std::env::var(URL).unwrap(), std::env::var(EXPECT).unwrap());
    let follow = Limits { follow_redirects: 1, ..limits() };
    let outcome = open().call(&request(Method::GET, url), &follow).await;
    match expect.strip_prefix("failure: ") {
        Some(words) => assert!(failure(&outcome).message.contains(words), "{outcome:?}"),
        None => assert_eq!(answer(&outcome).body, expect),
    }
}

/// Makes a call where only the certificates of `trusted` are known, and proxy variables name a dead proxy.
fn call(url: &str, trusted: &Path, expect: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tls::the_calls", "--ignored", "--nocapture"]);
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, "http://127.0.0.1:1");
    }
    command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", trusted).env(URL, url).env(EXPECT, expect);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && stdout.contains("1 passed"), "{url}: {stdout}\n{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_system_trusts_we_trust_and_nobody_else() {
    let plain = Peer::new(vec![ok("plain")]).await;
    let (url, certificate) = server(plain.url("/"));
    let (_, stranger) = server(String::new());
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (known, unknown, none) = (file("known", &certificate), file("unknown", &stranger), file("none", ""));
    call(&url, &known, "private");
    call(&url.replace("127.0.0.1", "127.0.0.2"), &known, "failure: no connection: ");
    call(&url, &unknown, "failure: no connection: invalid peer certificate");
    // Without any certificate there is still http.
    call(&url, &none, "failure: https cannot be used: ");
    call(&plain.url("/"), &none, "plain");
    assert_eq!(plain.requests().len(), 1);
    // From https it does not go down to http.
    call(&format!("{url}/down"), &known, "failure: redirects from https to http://127.0.0.1:");
    assert_eq!(plain.requests().len(), 1);
}
