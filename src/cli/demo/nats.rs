//! The demo's broker.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// A nats-server for the demo; ends with it.
pub(super) struct Nats {
    child: Child,
    port: u16,
}

impl Nats {
    pub fn start(program: &Path, dir: &Path) -> anyhow::Result<Nats> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(program);
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(dir.join("jetstream"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().with_context(|| {
            format!("cannot start {}; install nats-server, or name it with --nats-server", program.display())
        })?;
        Ok(Nats { child, port })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
