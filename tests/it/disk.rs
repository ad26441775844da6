//! A data folder that cannot be used is named with what to do, and what the disk refused is folded once there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use uuid::Uuid;

use crate::support::{Bus, Nats, Shipwatch, World, exit_of, serve_command, task_finished, task_triggered};

/// Nobody: the service has to end before it looks for a broker.
const NOWHERE: &str = "nats://127.0.0.1:1";

/// Starts a service that is expected to end by itself; checks that it failed, with one line that holds all of `words`.
async fn refuses(command: Command, words: &[&str]) {
    let (status, stdout, stderr) = exit_of(command).await;
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(stdout, "");
    assert_eq!(stderr.lines().count(), 1, "one line, not\n{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} in\n{stderr}");
    }
}

/// A file system of a few blocks, gone when dropped. Making one takes root.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// None where this machine does not let us mount.
    fn mounted(size: &str) -> Option<SmallDisk> {
        let dir = tempfile::TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(dir.path());
        let done = mount.output().is_ok_and(|o| o.status.success());
        if !done {
            println!("skipped: mounting a small file system takes root");
        }
        done.then_some(SmallDisk { dir })
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// `rw`, `ro`, `size=…`.
    fn remount(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.dir.path()).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

/// A data folder that a service has worked on, with one record changed by `change`.
async fn written_and_changed(record: &str, change: impl FnOnce(&mut Vec<u8>)) -> (World, PathBuf) {
    let mut world = World::start().await;
    world.settle().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    let data = world.folder("data");
    let database = sled::open(&data).unwrap();
    let mut bytes = database.get(record).unwrap().unwrap().to_vec();
    change(&mut bytes);
    database.insert(record, bytes).unwrap();
    database.flush().unwrap();
    (world, data)
}

#[tokio::test]
async fn a_folder_of_a_newer_version_is_named() {
    let (world, data) = written_and_changed("mformat", |format| format[3] += 1).await;
    let words = [data.to_str().unwrap(), "format 2", "reads up to format 1", "use a newer Shipwatch or another folder"];
    refuses(world.command("data"), &words).await;
}

#[tokio::test]
async fn a_folder_with_one_record_of_a_newer_version_is_named() {
    let (world, data) = written_and_changed("mfold", |fold| fold[0] += 1).await;
    let words =
        [data.to_str().unwrap(), "the state of the fold has version 2", "use a newer Shipwatch or another folder"];
    refuses(world.command("data"), &words).await;
}

#[tokio::test]
async fn a_damaged_folder_is_named_with_what_to_do() {
    let (world, data) = written_and_changed("mfold", |fold| fold.truncate(3)).await;
    let words = [data.to_str().unwrap(), "the state of the fold", "restore it from a backup"];
    refuses(world.command("data"), &words).await;
}

#[tokio::test]
async fn a_folder_in_use_is_named_with_what_to_do() {
    let world = World::start().await;
    let data = world.folder("data");
    let words = [data.to_str().unwrap(), "in use by another process", "--data-dir"];
    refuses(world.command("data"), &words).await;
    world.settle().await;
}

#[tokio::test]
async fn a_read_only_folder_is_named() {
    let Some(disk) = SmallDisk::mounted("8m") else { return };
    std::fs::create_dir(disk.data()).unwrap();
    disk.remount("ro");
    let data = disk.data();
    let words = [data.to_str().unwrap(), "Read-only file system", "make its disk writable"];
    refuses(serve_command(NOWHERE, &disk.data()), &words).await;
}

#[tokio::test]
async fn a_disk_without_any_room_is_named() {
    let Some(disk) = SmallDisk::mounted("16k") else { return };
    std::fs::write(disk.dir.path().join("filler"), vec![0; 16 << 10]).unwrap();
    refuses(serve_command(NOWHERE, &disk.data()), &[disk.data().to_str().unwrap(), "make room on its disk"]).await;
}

#[tokio::test]
async fn a_full_disk_ends_the_service_and_costs_nothing() {
    let Some(disk) = SmallDisk::mounted("700k") else { return };
    let nats = Nats::start().await;
    let service = Shipwatch::ready(serve_command(&nats.url(), &disk.data())).await;
    let load = overrun(&nats, service, &disk.data(), "make room on its disk and start again").await;
    // Started again and again without room, as a supervisor does.
    for _ in 0..2 {
        let (status, _, stderr) = exit_of(serve_command(&nats.url(), &disk.data())).await;
        assert!(status.code() == Some(1) && stderr.contains("make room on its disk"), "{stderr}");
    }
    disk.remount("size=64m");
    load.check_folded_once(Shipwatch::ready(serve_command(&nats.url(), &disk.data())).await).await;
}

#[tokio::test]
async fn a_limit_on_files_ends_the_service_and_costs_nothing() {
    let dir = tempfile::TempDir::new().unwrap();
    let data = dir.path().join("data");
    let nats = Nats::start().await;
    let free = serve_command(&nats.url(), &data);
    // Ignored here, since it kills a process that does not, and kills are the story of the kill loop.
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 1024; exec "$0" "$@""#]);
    limited.arg(free.get_program()).args(free.get_args()).current_dir(dir.path());
    free.get_envs().for_each(|(name, value)| {
        let _ = match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    });
    let service = Shipwatch::ready(limited).await;
    let load = overrun(&nats, service, &data, "raise the limit for the size of files").await;
    load.check_folded_once(Shipwatch::ready(free).await).await;
}

/// What was published while the disk filled up.
struct Load {
    bus: Bus,
    failures: u64,
    triggers: Vec<String>,
    /// Everything up to here is acknowledged.
    acknowledged: u64,
}

/// Publishes until the service cannot write any more; checks how it ends.
async fn overrun(nats: &Nats, mut service: Shipwatch, data: &Path, remedy: &str) -> Load {
    let bus = Bus::connect(&nats.url()).await;
    let (mut failures, mut triggers) = (0, Vec::new());
    while service.is_ready().await {
        let component = format!("service-{}", failures % 7);
        // Packing must not make it small.
        let noise: String = (0..60).map(|_| Uuid::new_v4().to_string()).collect();
        let failure = task_finished("test").id(&format!("failure-{failures}")).run(&format!("run-{failures}"));
        bus.publish(failure.service(&component).result("fail").message(&noise).at(1)).await;
        if failures % 20 == 0 {
            let trigger = task_triggered("open-issue").id(&format!("trigger-{failures}")).service(&component);
            let title = json!({"title": format!("broken {failures}")});
            triggers.push(bus.publish(trigger.data("open-issue", title).at(2)).await);
        }
        failures += 1;
        assert!(failures < 5_000, "the disk takes it all");
    }
    assert_eq!(service.ended().await.code(), Some(1), "{}", service.log());
    service.logged(&["shipwatch: the service ended", data.to_str().unwrap(), remedy]).await;
    let log = service.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "said once\n{log}");
    let stream = bus.jetstream.get_stream("shipwatch").await.unwrap();
    let info = stream.consumer_info("shipwatch").await.unwrap();
    Load { bus, failures, triggers, acknowledged: info.ack_floor.stream_sequence }
}

impl Load {
    /// Checks that a service that has room now holds everything once.
    async fn check_folded_once(self, service: Shipwatch) {
        let start = service.logged(&["reading the stream"]).await;
        let start: serde_json::Value = serde_json::from_str(&start).unwrap();
        let folded = start["folded"].as_u64().unwrap();
        assert!(folded >= self.acknowledged && self.acknowledged > 0, "{folded} {}", self.acknowledged);
        let last = self.bus.publish(task_triggered("check-issues").id("last").at(3)).await;
        self.bus.answer(&last).await;
        service.folded(&last).await;
        let mut occurrences = 0;
        for issue in service.all("/api/v1/issues?check=test").await {
            occurrences += issue["occurrences"].as_u64().unwrap();
        }
        assert_eq!(occurrences, self.failures, "every failure counted once");
        for trigger in &self.triggers {
            // Replies go out in order, so what is there when the last is answered is all.
            self.bus.answer(trigger).await;
        }
    }
}
