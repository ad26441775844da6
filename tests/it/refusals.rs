//! What it cannot work with it says in one clear line, with the exit code of the contract.

use std::process::Command;

use crate::support::{Nats, Shipwatch, World, exit_of, serve_command};

fn folder() -> tempfile::TempDir {
    tempfile::TempDir::new().unwrap()
}

#[tokio::test]
async fn a_bad_configuration_names_every_mistake_at_once() {
    let dir = folder();
    let file = dir.path().join("bad.yaml");
    let yaml = "
nats: {urlz: [\"nats://127.0.0.1:1\"]}
query: {listen: nowhere}
retention: {events: 30 parsecs, resolvedIssues: 90d}
limits: {eventSize: huge}
issueEvents: [opened, exploded]
";
    std::fs::write(&file, yaml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    command.args(["serve", "--config"]).arg(&file).current_dir(dir.path());
    let (status, stdout, stderr) = exit_of(command).await;
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert_eq!(stdout, "");
    for mistake in ["urlz", "nowhere", "30 parsecs", "huge", "exploded"] {
        assert!(stderr.contains(mistake), "{mistake} in\n{stderr}");
    }
    assert!(!dir.path().join("shipwatch-data").exists(), "nothing was begun");
}

#[tokio::test]
async fn unknown_flags_are_wrong_usage() {
    let dir = folder();
    let mut command = serve_command("nats://127.0.0.1:1", &dir.path().join("data"));
    command.arg("--colour-of-the-bikeshed");
    let (status, _, stderr) = exit_of(command).await;
    assert_eq!(status.code(), Some(2), "{stderr}");
}

#[tokio::test]
async fn a_data_folder_in_use_is_named() {
    let world = World::start().await;
    let mut command = serve_command(&world.nats.url(), &world.folder("data"));
    command.args(["--durable", "another"]);
    let (status, _, stderr) = exit_of(command).await;
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(world.folder("data").to_str().unwrap()), "{stderr}");
    world.settle().await;
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_named() {
    let dir = folder();
    let data = dir.path().join("data");
    std::fs::write(&data, "not a folder").unwrap();
    let (status, _, stderr) = exit_of(serve_command("nats://127.0.0.1:1", &data)).await;
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(data.to_str().unwrap()), "{stderr}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let dir = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    command.args(["serve", "--nats-url", "nats://127.0.0.1:1", "--listen", &addr, "--data-dir"]);
    command.arg(dir.path().join("data")).current_dir(dir.path());
    let (status, _, stderr) = exit_of(command).await;
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&addr), "{stderr}");
}

#[tokio::test]
async fn a_broker_that_refuses_the_credentials_is_named() {
    let nats = Nats::with_config("authorization {user: ann, password: secret}\n").await;
    let dir = folder();
    let service = Shipwatch::start(serve_command(&nats.url(), &dir.path().join("data")));
    let line = service.logged(&["authoriz"]).await;
    assert!(line.contains(&nats.url()) || line.contains("127.0.0.1"), "{line}");
}

#[tokio::test]
async fn a_stream_that_may_not_be_created_is_named_with_its_subjects() {
    let config = "authorization {users: [{user: ann, password: secret,
        permissions: {publish: {deny: [\"$JS.API.STREAM.CREATE.>\", \"$JS.API.STREAM.UPDATE.>\"]}}}]}\n";
    let nats = Nats::with_config(config).await;
    let dir = folder();
    let url = nats.url().replace("nats://", "nats://ann:secret@");
    let service = Shipwatch::start(serve_command(&url, &dir.path().join("data")));
    let line = service.logged(&["stream", "sh.keptn.>"]).await;
    assert!(line.contains("shipwatch"), "{line}");
    assert!(!service.log().contains("secret"), "no secrets in the log");
}
