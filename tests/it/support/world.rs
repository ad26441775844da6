//! A broker, a client and a service together: what most stories begin with.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::{Bus, Keptn, Nats, Shipwatch, eventually, serve_command};

/// Everything one story needs; gone without a trace when dropped, the service before the broker.
pub struct World {
    /// The service; none while it is stopped.
    pub service: Option<Shipwatch>,
    /// The client.
    pub bus: Bus,
    /// The broker.
    pub nats: Nats,
    dir: TempDir,
    config: Option<String>,
    markers: AtomicU32,
}

impl World {
    /// A fresh broker and a service that is ready.
    pub async fn start() -> World {
        World::on(Nats::start().await, None).await
    }

    /// The same with a configuration file.
    pub async fn with_config(yaml: &str) -> World {
        World::on(Nats::start().await, Some(yaml)).await
    }

    /// On a broker that runs already.
    pub async fn on(nats: Nats, config: Option<&str>) -> World {
        let mut world = World {
            service: None,
            bus: Bus::connect(&nats.url()).await,
            nats,
            dir: TempDir::new().unwrap(),
            config: config.map(str::to_owned),
            markers: AtomicU32::new(1),
        };
        world.start_service().await;
        world
    }

    /// A folder of this story.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command that [`World::start_service`] runs.
    pub fn command(&self, data: &str) -> Command {
        let mut command = serve_command(&self.nats.url(), &self.folder(data));
        if let Some(yaml) = &self.config {
            let file = self.folder("shipwatch.yaml");
            std::fs::write(&file, yaml).unwrap();
            command.arg("--config").arg(file);
        }
        command
    }

    /// Starts the service on its data folder and waits until it is ready.
    pub async fn start_service(&mut self) {
        assert!(self.service.is_none(), "it runs already");
        self.service = Some(Shipwatch::ready(self.command("data")).await);
    }

    /// A second service on the same stream, with an empty folder and a consumer of its own.
    pub async fn second(&self, name: &str) -> Shipwatch {
        let mut command = self.command(name);
        command.args(["--durable", name]);
        Shipwatch::ready(command).await
    }

    /// Kills the service with SIGKILL.
    pub fn kill(&mut self) {
        self.service.take().unwrap().kill9();
    }

    /// The running service.
    pub fn service(&self) -> &Shipwatch {
        self.service.as_ref().unwrap()
    }

    /// Publishes an event and waits until it is folded; its decision.
    pub async fn fold(&self, event: Keptn) -> Value {
        let id = self.bus.publish(event).await;
        self.service().folded(&id).await
    }

    /// Publishes an event that may be known already and waits until everything published so far is folded.
    pub async fn fold_again(&self, event: Keptn) {
        self.bus.publish(event).await;
        self.settle().await;
    }

    /// Waits until everything published so far is folded: publishes an event that decides nothing, and waits for that.
    pub async fn settle(&self) {
        let n = self.markers.fetch_add(1, Ordering::Relaxed);
        let marker = Keptn::new("sh.keptn.log.error").id(&format!("marker-{n}")).context("marker");
        self.fold(marker).await;
    }

    /// Waits until everything published so far is folded, and what follows from it is published and folded as well.
    pub async fn rest(&self) {
        self.settle().await;
        eventually("nothing is owed", async || {
            (self.service().metric("shipwatch_outbox_depth").await == 0.0).then_some(())
        })
        .await;
        self.settle().await;
    }

    /// The only issue that a query finds.
    pub async fn only_issue(&self, query: &str) -> Value {
        self.service().only_issue(query).await
    }
}
