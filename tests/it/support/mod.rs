//! What the stories stand on: a real broker, a foreign client, and the real binary.

mod bus;
mod events;
mod gateway;
mod nats;
mod peer;
mod proxy;
mod ran;
mod service;
mod world;

use std::time::{Duration, Instant};

pub use bus::{Bus, Stored};
pub use events::{Keptn, from_now, problem, sequence, task_finished, task_triggered, time_at};
pub use gateway::{Answer, Gateway};
pub use nats::{Nats, program};
pub use peer::{Peer, Play, Seen};
pub use proxy::deaf_after;
pub use ran::Ran;
pub use service::{Shipwatch, exit_of, serve_command};
pub use world::World;

/// How long anything may take on a busy machine before a story is lost.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for a condition, never for a duration: asks `probe` again until it gives something.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < end, "still not true after {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// A file of the repository.
pub fn repo(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
