//! What it cannot work with it says in one clear line, with the exit code of the contract.

use std::process::Command;

use crate::support::{exit_of, serve_command};

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
