//! `events/` is true: every sample is what it says, every broken one is parked or answered as its list says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shipwatch::domain::event::Event;

use crate::support::{World, from_now, repo, task_finished};

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(repo(folder)).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

/// The JSON of a file.
pub fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

#[test]
fn every_sample_is_a_valid_event_and_stands_in_the_table() {
    let table = std::fs::read_to_string(repo("events/README.md")).unwrap();
    for folder in
        ["keptn", "shipwatch", "tekton", "cdevents", "github", "gitlab", "argocd", "kubernetes", "kite", "flux"]
    {
        for file in files(&format!("events/{folder}")) {
            let name = format!("{folder}/{}", file.file_name().unwrap().to_str().unwrap());
            assert!(table.contains(&format!("({name})")), "{name} stands in events/README.md");
            if folder == "flux" || name.ends_with(".bare.json") {
                assert!(Event::from_value(read(&file)).is_err(), "{name} is raw JSON");
                continue;
            }
            let events = match read(&file) {
                Value::Array(batch) => batch,
                one => vec![one],
            };
            for event in events {
                let event = Event::from_value(event).unwrap_or_else(|e| panic!("{name}: {e}"));
                // What the gateway makes counts from when the stream takes it.
                let timed = event.time.is_some() || event.source == shipwatch::domain::feedback::GATEWAY;
                assert!(timed && event.json().is_some(), "{name} has a time and data");
            }
        }
    }
}

#[tokio::test]
async fn broken_samples_are_parked_or_answered_and_never_in_the_way() {
    let world = World::start().await;
    let reasons: BTreeMap<String, Value> = serde_json::from_value(read(&repo("events/broken/reasons.json"))).unwrap();
    let mut sent = Vec::new();
    for file in files("events/broken") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "README.md" || name == "reasons.json" {
            continue;
        }
        let wanted = reasons.get(&name).unwrap_or_else(|| panic!("{name} has a reason"));
        let bytes = std::fs::read(&file).unwrap();
        assert!(bytes.len() < 100_000, "{name} is small");
        let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let subject = json["type"].as_str().unwrap_or("sh.keptn.event.test.finished");
        let sequence = world.bus.publish_raw(subject, &[], bytes).await;
        sent.push((name, sequence, wanted, json["id"].as_str().map(str::to_owned)));
    }
    assert_eq!(sent.len(), reasons.len(), "every reason has its file");
    world.fold(task_finished("test").service("next").result("fail")).await;
    world.only_issue("service=next").await;

    let parked = world.service().all("/api/v1/parked").await;
    for (name, sequence, wanted, id) in sent {
        let text = if wanted["fate"] == "errored" {
            let answer = world.bus.answer(&id.unwrap()).await;
            assert_eq!(answer["data"]["status"], "errored", "{name}: {answer:#}");
            assert_eq!(answer["data"]["result"], "fail", "{name}");
            answer["data"]["message"].clone()
        } else {
            let row = parked.iter().find(|p| p["sequence"] == sequence).unwrap_or_else(|| panic!("{name} is parked"));
            row["reason"].clone()
        };
        let mentions = wanted["mentions"].as_str().unwrap();
        assert!(text.as_str().unwrap().contains(mentions), "{name}: {text} mentions {mentions}");
    }
}

#[tokio::test]
async fn the_afternoon_of_the_demo_ends_as_its_acts_say() {
    let world = World::with_config("gateway: {listen: '127.0.0.1:0'}\n").await;
    let gateway = world.service().gateway().await;
    let count =
        async |state: &str| world.service().get(&format!("/api/v1/issues?state={state}")).await["total"].clone();
    for file in files("events/demo") {
        // The shipyard and the webhooks of the acts that run sequences.
        if file.extension().is_some_and(|e| e == "yaml") {
            continue;
        }
        let act = read(&file);
        // Sequences are run by the demo itself; a story of its own sees to that.
        if !act["runs"].is_null() {
            continue;
        }
        for event in act["events"].as_array().unwrap() {
            world.bus.publish(filled(event.clone())).await;
        }
        for post in act["posts"].as_array().into_iter().flatten() {
            let text = |member: &str| post[member].as_str().unwrap();
            assert_eq!(gateway.hook_once(text("hook"), text("key"), &post["body"]).await.status, 200, "{post}");
        }
        world.settle().await;
        let title = act["title"].as_str().unwrap();
        assert_eq!(count("ACTIVE").await, act["then"]["active"], "active after: {title}");
        assert_eq!(count("RESOLVED").await, act["then"]["resolved"], "resolved after: {title}");
    }
    let gates = [("demo-03-check-issues-triggered", "fail"), ("demo-08-check-issues-triggered", "pass")];
    for (trigger, result) in gates {
        assert_eq!(world.bus.answer(trigger).await["data"]["result"], result, "{trigger}");
    }
}

#[tokio::test]
async fn the_demo_plays_to_its_end() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHIPWATCH_")) {
        command.env_remove(name);
    }
    command.args(["demo", "--oneshot", "--nats-server"]).arg(crate::support::program()).current_dir(dir.path());
    let (status, out, error) = crate::support::exit_of(command).await;
    assert!(status.success(), "{out}\n{error}");
    for said in [
        "tracker: OPS-41 opened: catalogue failed in staging",
        "tracker: OPS-41 closed",
        "chat: May catalogue go to production?",
        "confirms: HTTP 200",
        "production.delivery check-issues finished pass",
        "2 active, 8 resolved",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
}

/// Replaces `{{-3600s}}` by the instant an hour ago, everywhere.
fn filled(value: Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix("{{").and_then(|t| t.strip_suffix("s}}")) {
            Some(seconds) => from_now(seconds.parse().unwrap()).into(),
            None => Value::String(text),
        },
        Value::Array(items) => items.into_iter().map(filled).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, filled(value))).collect(),
        other => other,
    }
}
