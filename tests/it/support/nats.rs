//! A real nats-server with JetStream, in its own folder, on a port of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;

/// One nats-server process; killed when dropped.
pub struct Nats {
    dir: TempDir,
    config: String,
    port: u16,
    child: Option<Child>,
}

impl Nats {
    /// Starts a server and waits until it takes connections.
    pub async fn start() -> Nats {
        Nats::with_config("").await
    }

    /// The same with more lines of server configuration.
    pub async fn with_config(config: &str) -> Nats {
        let mut nats = Nats::later(config);
        // The server chooses its port itself, so that parallel stories cannot take it away from each other.
        nats.port = 0;
        nats.restart().await;
        nats
    }

    /// A server that does not run yet; its address is known already. [`Nats::restart`] starts it.
    pub fn later(config: &str) -> Nats {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Nats { dir: TempDir::new().unwrap(), config: config.to_owned(), port, child: None }
    }

    /// Changes the lines of server configuration that hold from the next start on.
    pub fn configure(&mut self, config: &str) {
        config.clone_into(&mut self.config);
    }

    /// Waits until these words stand in the server's log at least so many times.
    pub async fn logged_times(&self, words: &str, times: usize) {
        let file = self.dir.path().join("nats.log");
        eventually(&format!("nats-server says {words:?} {times} times"), async || {
            (std::fs::read_to_string(&file).ok()?.matches(words).count() >= times).then_some(())
        })
        .await;
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("nats.log")).unwrap()
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port they connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server without giving it a chance to tidy up. What it had stored stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills the server if it runs, and starts it on the same port and folder.
    pub async fn restart(&mut self) {
        self.kill();
        let ports = self.dir.path().join("ports");
        let _ = std::fs::remove_dir_all(&ports);
        std::fs::create_dir(&ports).unwrap();
        let file = self.dir.path().join("nats.conf");
        std::fs::write(&file, &self.config).unwrap();
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut child = Command::new(program())
            .args(["-a", "127.0.0.1", "-p", &port, "-js"])
            .arg("-c")
            .arg(&file)
            .arg("-sd")
            .arg(self.dir.path().join("jetstream"))
            .arg("-l")
            .arg(self.dir.path().join("nats.log"))
            .arg("--ports_file_dir")
            .arg(&ports)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}; set NATS_SERVER", program().display()));
        self.port = eventually("nats-server writes down its port", async || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.dir.path().join("nats.log")).unwrap_or_default();
                panic!("nats-server ended with {status}\n{log}");
            }
            port_in(&ports)
        })
        .await;
        self.child = Some(child);
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server to use: `NATS_SERVER`, else the one on PATH, else where Debian's package puts it.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER").filter(|p| !p.is_empty()) {
        return path.into();
    }
    let packaged = Path::new("/usr/sbin/nats-server");
    if packaged.exists() { packaged.into() } else { "nats-server".into() }
}

/// The client port in the file that nats-server writes once it listens; none while there is no whole file.
fn port_in(dir: &Path) -> Option<u16> {
    let file = std::fs::read_dir(dir).ok()?.flatten().next()?;
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}
