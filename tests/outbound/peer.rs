//! A peer that answers each connection by a script.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// One thing a peer does with a connection, after it has read the request.
#[derive(Clone)]
pub enum Step {
    /// Writes this.
    Say(String),
    /// Writes so many bytes, unless the other side goes.
    Flood(usize),
    /// Writes this again and again, with a pause between, until the other side goes.
    Drip(&'static str, Duration),
    /// Says nothing until the other side goes.
    Wait,
    /// Resets the connection.
    Reset,
}

/// A whole answer.
pub fn ok(body: &str) -> Vec<Step> {
    answer("200 OK", "", body)
}

/// A whole answer with a status, further header lines (each with its line break) and a body.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![Step::Say(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"))]
}

/// A redirect.
pub fn redirect(status: u16, to: &str) -> Vec<Step> {
    answer(&format!("{status} Elsewhere"), &format!("Location: {to}\r\n"), "")
}

pub struct Peer {
    at: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    written: AtomicUsize,
    /// Told of each request and of each connection that the other side closed.
    news: Notify,
    left: AtomicUsize,
}

impl Peer {
    /// The first connection gets the first of `scripts`, and so on; all further ones get the last.
    pub async fn new(scripts: Vec<Vec<Step>>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, seen) = (listener.local_addr().unwrap(), Arc::<Seen>::default());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            for turn in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let script = scripts[turn.min(scripts.len() - 1)].clone();
                tokio::spawn(serve(stream, script, Arc::clone(&shared)));
            }
        });
        Peer { at, seen }
    }

    pub fn port(&self) -> u16 {
        self.at.port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// Requests so far, head and body, the names of headers in lower case.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Bytes that were taken from it by floods.
    pub fn written(&self) -> usize {
        self.seen.written.load(Ordering::SeqCst)
    }

    /// Waits for so many requests.
    pub async fn asked(&self, times: usize) {
        while self.requests().len() < times {
            self.seen.news.notified().await;
        }
    }

    /// Waits for the other side to close a connection that is waiting.
    pub async fn left(&self) {
        while self.seen.left.load(Ordering::SeqCst) == 0 {
            self.seen.news.notified().await;
        }
    }
}

/// Where nothing listens.
pub async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

async fn serve(mut stream: TcpStream, script: Vec<Step>, seen: Arc<Seen>) {
    let Some(request) = read(&mut stream).await else { return };
    seen.requests.lock().unwrap().push(request);
    seen.news.notify_one();
    for step in script {
        let went = match step {
            Step::Say(text) => stream.write_all(text.as_bytes()).await,
            Step::Flood(bytes) => flood(&mut stream, bytes, &seen).await,
            Step::Drip(text, pause) => drip(&mut stream, text, pause).await,
            Step::Wait => {
                let _ = stream.read(&mut [0; 64]).await;
                seen.left.fetch_add(1, Ordering::SeqCst);
                seen.news.notify_one();
                Ok(())
            }
            Step::Reset => {
                // What is still unread or unsent is thrown away, and the other side gets a reset.
                stream.set_zero_linger().unwrap();
                return;
            }
        };
        if went.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
    // Closing with something unread would be a reset.
    let _ = stream.read(&mut [0; 64]).await;
}

async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..head]).into_owned();
            let length =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            if bytes.len() >= head.len() + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn flood(stream: &mut TcpStream, bytes: usize, seen: &Seen) -> std::io::Result<()> {
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..bytes / piece.len() {
        stream.write_all(&piece).await?;
        seen.written.fetch_add(piece.len(), Ordering::SeqCst);
    }
    Ok(())
}

async fn drip(stream: &mut TcpStream, text: &str, pause: Duration) -> std::io::Result<()> {
    loop {
        stream.write_all(text.as_bytes()).await?;
        tokio::time::sleep(pause).await;
    }
}
