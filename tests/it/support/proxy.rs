//! A broker's connection that loses what the broker says, and then breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Passes connections on to a broker. Once, when a client sends `words`, that connection is deaf from then on; it breaks after
/// `outage`, and until then nobody else gets through either.
pub async fn deaf_after(port: u16, words: &'static str, outage: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let (spent, out) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            if out.load(Ordering::SeqCst) {
                continue;
            }
            let broker = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(pass(client, broker, words, outage, spent.clone(), out.clone()));
        }
    });
    url
}

async fn pass(
    client: TcpStream,
    broker: TcpStream,
    words: &str,
    outage: Duration,
    spent: Arc<AtomicBool>,
    out: Arc<AtomicBool>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let deaf = Arc::new(AtomicBool::new(false));
    let hears = deaf.clone();
    let down = tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from_broker.read(&mut bytes).await {
            if !hears.load(Ordering::SeqCst) && to_client.write_all(&bytes[..n]).await.is_err() {
                break;
            }
        }
    });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
        let sent = &bytes[..n];
        if sent.windows(words.len()).any(|w| w == words.as_bytes()) && !spent.swap(true, Ordering::SeqCst) {
            out.store(true, Ordering::SeqCst);
            deaf.store(true, Ordering::SeqCst);
            let _ = to_broker.write_all(sent).await;
            tokio::time::sleep(outage).await;
            out.store(false, Ordering::SeqCst);
            break;
        }
        if to_broker.write_all(sent).await.is_err() {
            break;
        }
    }
    down.abort();
}
