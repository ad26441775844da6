//! An HTTP server that plays the other side of webhooks: it notes what it is sent and answers as it is told.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::eventually;

/// How one request is answered.
#[derive(Clone, Debug)]
pub enum Play {
    /// With a status and a body.
    Answer(u16, String),
    /// With a redirect.
    Redirect(String),
    /// After this time, with 200.
    Slow(Duration),
    /// Never: the connection is cut once the request is read.
    Reset,
    /// With what is no HTTP.
    Garbage,
    /// With 200 and this many bytes.
    Large(usize),
}

/// A request that was taken.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// Body.
    pub body: String,
}

impl Seen {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// The server; ends with the story.
pub struct Peer {
    addr: std::net::SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    plays: Mutex<HashMap<String, VecDeque<Play>>>,
    /// Requests being answered at this moment, and the most there were.
    busy: Mutex<(usize, usize)>,
}

impl Peer {
    /// Listens on a free port; answers everything with 200 and `{"ok":true}`.
    pub async fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    let _ = state.serve(stream).await;
                });
            }
        });
        Peer { addr, state, task }
    }

    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Plays these for requests of a path (without its query), one after the other; the last one goes on.
    pub fn on(&self, path: &str, plays: impl IntoIterator<Item = Play>) {
        self.state.plays.lock().unwrap().insert(path.to_owned(), plays.into_iter().collect());
    }

    /// Requests so far whose path begins with this.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.state.seen.lock().unwrap().iter().filter(|seen| seen.path.starts_with(path)).cloned().collect()
    }

    /// Waits for this many requests of a path.
    pub async fn requests(&self, path: &str, count: usize) -> Vec<Seen> {
        eventually(&format!("{count} requests of {path}"), async || {
            let seen = self.seen(path);
            (seen.len() >= count).then_some(seen)
        })
        .await
    }

    /// The most requests that were in hand at a time.
    pub fn most_at_once(&self) -> usize {
        self.state.busy.lock().unwrap().1
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(seen) = read(&mut stream).await? else { return Ok(()) };
        let path = seen.path.split('?').next().unwrap_or_default().to_owned();
        self.seen.lock().unwrap().push(seen.clone());
        let play = {
            let mut plays = self.plays.lock().unwrap();
            match plays.get_mut(&path) {
                Some(queue) if queue.len() > 1 => queue.pop_front(),
                Some(queue) => queue.front().cloned(),
                None => None,
            }
        };
        {
            let mut busy = self.busy.lock().unwrap();
            busy.0 += 1;
            busy.1 = busy.1.max(busy.0);
        }
        let done = self.play(&mut stream, &seen.method, play).await;
        self.busy.lock().unwrap().0 -= 1;
        done
    }

    async fn play(&self, stream: &mut TcpStream, method: &str, play: Option<Play>) -> std::io::Result<()> {
        let head = |status: u16, length: usize, more: &str| {
            format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n"
            )
        };
        match play.unwrap_or_else(|| Play::Answer(200, r#"{"ok":true}"#.into())) {
            Play::Answer(status, body) => {
                stream.write_all(head(status, body.len(), "").as_bytes()).await?;
                if method != "HEAD" {
                    stream.write_all(body.as_bytes()).await?;
                }
            }
            Play::Redirect(to) => stream.write_all(head(301, 0, &format!("location: {to}\r\n")).as_bytes()).await?,
            Play::Slow(time) => {
                tokio::time::sleep(time).await;
                stream.write_all((head(200, 2, "") + "{}").as_bytes()).await?;
            }
            Play::Reset => return Ok(()),
            Play::Garbage => stream.write_all(b"\x00\x01 this is no HTTP\r\n\r\n").await?,
            Play::Large(bytes) => {
                stream.write_all(head(200, bytes, "").as_bytes()).await?;
                let chunk = vec![b'x'; 64 << 10];
                let mut left = bytes;
                while left > 0 {
                    let part = left.min(chunk.len());
                    stream.write_all(&chunk[..part]).await?;
                    left -= part;
                }
            }
        }
        stream.shutdown().await
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Seen>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().to_owned());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
    Ok(Some(Seen { method, path, headers, body }))
}
