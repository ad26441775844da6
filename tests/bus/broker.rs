//! A nats-server of our own: free port, own folder, ended with the test.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use shipwatch::bus::{Bus, Patience, Settings, connect};

pub(crate) struct Broker {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    config: Option<String>,
}

impl Broker {
    /// Starts one with JetStream.
    pub(crate) fn start() -> Broker {
        Broker::launch(None)
    }

    /// Starts one with more configuration, in nats-server's own language.
    pub(crate) fn configured(config: &str) -> Broker {
        Broker::launch(Some(config.to_owned()))
    }

    fn launch(config: Option<String>) -> Broker {
        // `RUST_LOG=shipwatch=debug,async_nats=debug` shows what happens in a test that fails.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init().ok();
        // Between finding a free port and taking it another test may have taken it: then try another.
        for _ in 0..10 {
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let mut child = spawn(port, folder.path(), config.as_deref());
            if answers(port, &mut child) {
                return Broker { child, port, folder, config };
            }
            child.kill().ok();
            child.wait().ok();
        }
        panic!("nats-server does not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it without warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port and folder.
    pub(crate) fn again(&mut self) {
        for _ in 0..20 {
            self.child = spawn(self.port, self.folder.path(), self.config.as_deref());
            if answers(self.port, &mut self.child) {
                return;
            }
        }
        panic!("nats-server does not start again");
    }

    /// A patient connection, as the service has.
    pub(crate) async fn bus(&self) -> Bus {
        connect(&Settings::url(self.url()), "test", Patience::Wait).await.unwrap()
    }

    /// The plain client, for what other programs would do.
    pub(crate) async fn other(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(async_nats::connect(self.url()).await.unwrap())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(port: u16, folder: &Path, config: Option<&str>) -> Child {
    let binary = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".into());
    let mut command = Command::new(binary);
    command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(folder.join("js"));
    if let Some(config) = config {
        let file = folder.join("nats.conf");
        std::fs::write(&file, config).unwrap();
        command.arg("-c").arg(file);
    }
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is on PATH, or NATS_SERVER names it")
}

fn answers(port: u16, child: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if greets(port).is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// A port below those that the system gives to clients: while a server is down, a client that tries to connect to one of
/// those can end up connected to itself, and the server then finds its port taken.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16 % 90 * 128;
    loop {
        let port = 16_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 14_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whether a nats-server answers there, rather than anything else.
fn greets(port: u16) -> Option<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut greeting = [0; 4];
    socket.read_exact(&mut greeting).ok()?;
    (&greeting == b"INFO").then_some(())
}
