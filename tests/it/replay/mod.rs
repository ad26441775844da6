//! Folding again: what a replay shows is what the service shows, and what it would show under other rules.

mod bad_input;
mod differences;
mod elsewhere;
mod rebuild;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{Keptn, World, eventually, exit_of, problem, task_finished, task_triggered};

/// What a replay printed.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

/// `shipwatch replay` in the folder of a story, as somebody types it there.
fn command(world: &World, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHIPWATCH_")) {
        command.env_remove(name);
    }
    command.env("SHIPWATCH_PUBLIC_URL", "http://shipwatch.test").env("SHIPWATCH_NATS_URL", world.nats.url());
    command.current_dir(world.folder("")).arg("replay").args(args);
    command
}

async fn replay(world: &World, args: &[&str]) -> Said {
    let (status, out, err) = exit_of(command(world, args)).await;
    Said { code: status.code().unwrap(), out, err }
}

/// Writes a file of the story.
fn write(path: &Path, text: &str) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    path.to_owned()
}

/// A rule about finished tests of the team's own.
fn rule(name: &str, severity: &str) -> String {
    format!(
        "apiVersion: shipwatch.dev/v1
kind: RuleSet
metadata: {{name: {name}}}
rules:
  - name: {name}
    on: [sh.keptn.event.test.finished]
    outcome:
      failure: [{{match: {{data.result: fail}}}}]
      success: [{{match: {{data.result: pass}}}}]
    scope: {{resourceType: component, resourceName: \"{{{{ data.service }}}}\", resourceNamespace: shop}}
    run: \"{{{{ triggeredid | default(id) }}}}\"
    issue: {{issueType: test, severity: {severity}, title: \"{{{{ data.service }}}} is broken\"}}
"
    )
}

/// An afternoon: things break and are mended, a task of ours is answered, a message cannot be read.
async fn afternoon(world: &World) {
    let event = |task: &str, id: &str| task_finished(task).id(id).run(&format!("run of {id}"));
    world.bus.publish(event("test", "t1").result("fail").at(1)).await;
    world.bus.publish(event("build", "b1").result("fail").at(2)).await;
    world.bus.publish(event("test", "t2").at(3)).await;
    world.bus.ask(task_triggered("open-issue").id("o1").data("open-issue", json!({"title": "by hand"})).at(4)).await;
    world.bus.publish_raw("sh.keptn.event.test.finished", &[], "{broken").await;
    world.bus.publish(problem("P-1", "OPEN").id("p1").at(5)).await;
    world.bus.publish(event("test", "t3").service("orders").result("warning").at(6)).await;
    world.bus.publish(event("build", "b1").result("fail").at(2)).await;
    world.rest().await;
}

async fn shown(world: &World) -> Vec<Value> {
    world.service().all("/api/v1/issues").await
}

fn arg(path: &Path) -> &str {
    OsStr::to_str(path.as_os_str()).unwrap()
}

/// The consumers of the stream.
async fn consumers(world: &World) -> Vec<String> {
    let stream = world.bus.jetstream.get_stream("shipwatch").await.unwrap();
    stream.consumer_names().map(Result::unwrap).collect().await
}

#[tokio::test]
async fn a_replay_of_the_stream_gives_what_the_service_shows_and_the_same_each_time() {
    let world = World::start().await;
    afternoon(&world).await;
    let before = world.bus.read("shipwatch").await.len();
    let there = consumers(&world).await;
    let first = replay(&world, &["-o", "json"]).await;
    let found = first.json();
    assert_eq!(found["issues"], json!(shown(&world).await));
    let raw = world.service().text("/api/v1/issues?limit=1000").await;
    let (live, _) = raw.strip_prefix("{\"data\":").unwrap().rsplit_once(",\"total\"").unwrap();
    assert!(first.out.starts_with(&format!("{{\"issues\":{live}")), "byte for byte");
    let summary = &found["summary"];
    assert_eq!(summary["issues"], json!({"opened": 5, "updated": 0, "reopened": 0, "resolved": 1}), "{summary:#}");
    assert_eq!((&summary["parked"], &summary["active"]), (&json!(1), &json!(4)));
    assert_eq!(summary["outcomes"]["duplicate"], 1);
    assert_eq!(summary["events"], before);

    assert_eq!(
        first.err.lines().next().unwrap(),
        format!("{before} events match: stream \"shipwatch\", which holds sequences 1 to {before}")
    );
    assert!(first.err.contains("slowest rule: ") && !first.out.contains("slowest"), "{}", first.err);
    for format in ["json", "yaml", "table"] {
        let (one, two) = (replay(&world, &["-o", format]).await, replay(&world, &["-o", format]).await);
        assert!(one.out == two.out && one.code == 0, "{format}");
        assert!(one.out.contains("is broken") || one.out.contains("by hand"), "{}", one.out);
    }
    let left: Vec<String> = consumers(&world).await.into_iter().filter(|name| !there.contains(name)).collect();
    assert!(left.is_empty(), "nothing is left on the broker: {left:?}");
    assert_eq!(world.bus.read("shipwatch").await.len(), before, "nothing was published");
}

#[tokio::test]
async fn ranges_are_closed_and_filters_choose_by_attribute() {
    let world = World::start().await;
    afternoon(&world).await;
    let events = world.bus.read("shipwatch").await;
    let sequence = |id: &str| 1 + events.iter().position(|m| m.json["id"] == id).unwrap();
    let ids = |said: &Said| {
        let found = said.json();
        let issues = found["issues"].as_array().unwrap();
        let mut ids: Vec<String> = issues.iter().map(|i| i["openedBy"]["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let (from, to) = (sequence("t1").to_string(), sequence("b1").to_string());
    let said = replay(&world, &["-o", "json", "--from", &from, "--to", &to]).await;
    assert_eq!(ids(&said), ["b1", "t1"]);
    assert!(said.err.starts_with("2 events match"), "{}", said.err);
    assert_eq!(said.json()["summary"]["events"], 2);
    // The same by the time at which the stream took them.
    let decision = world.service().folded("t3").await;
    let time = decision["streamTime"].as_str().unwrap();
    assert_eq!(ids(&replay(&world, &["-o", "json", "--from", time, "--to", time]).await), ["t3"]);

    let said =
        replay(&world, &["-o", "json", "--type", "sh.keptn.event.*.finished", "--source", "jmeter-service"]).await;
    assert!(said.err.starts_with("5 events match"), "{}", said.err);
    assert_eq!(ids(&said), ["b1", "t1", "t3"]);
    let said = replay(&world, &["-o", "json", "--context", "marker"]).await;
    assert_eq!(said.json()["summary"]["outcomes"]["neutral"], said.json()["summary"]["events"], "{}", said.out);
    let said = replay(&world, &["-o", "json", "--context", "marker", "--type", "sh.keptn.events.problem"]).await;
    assert_eq!((said.code, said.out.as_str()), (1, ""), "no problem has that context");
}

/// Waits until the rules have changed for the second time since the service started.
async fn changed_twice(world: &World) {
    eventually("the rules have changed again", async || {
        (world.service().log().matches("the rules have changed").count() >= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn rules_hold_from_where_they_came_into_the_stream_on_whatever_the_range_and_the_filter() {
    let mut world = World::start().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    write(&world.folder("shipyard/rules/team.yaml"), &rule("ours", "critical"));
    world.start_service().await;
    world.service().logged(&["the rules have changed"]).await;
    world.fold(task_finished("test").id("t1").run("r1").result("fail").at(1)).await;
    write(&world.folder("shipyard/rules/team.yaml"), &rule("theirs", "info"));
    world.service().signal("-HUP");
    changed_twice(&world).await;
    world.fold(task_finished("test").id("t2").run("r2").service("orders").result("fail").at(2)).await;
    world.rest().await;
    let rules = |said: &Said| -> Vec<String> {
        let found = said.json();
        let issues = found["issues"].as_array().unwrap();
        issues.iter().map(|i| format!("{} {}", i["rule"].as_str().unwrap(), i["severity"].as_str().unwrap())).collect()
    };
    assert_eq!(rules(&replay(&world, &["-o", "json"]).await), ["theirs info", "ours critical"]);
    let sequence = world.service().folded("t2").await["sequence"].as_str().unwrap().to_owned();
    assert_eq!(rules(&replay(&world, &["-o", "json", "--from", &sequence]).await), ["theirs info"]);
    let filtered = ["-o", "json", "--type", "sh.keptn.event.test.finished"];
    let said = replay(&world, &filtered).await;
    assert_eq!(rules(&said), ["theirs info", "ours critical"]);
    assert_eq!(said.json()["summary"]["events"], 2, "rules are not asked for");
    write(&world.folder("new/rules/team.yaml"), &rule("new", "major"));
    assert_eq!(rules(&replay(&world, &["-o", "json", "--rules", "new"]).await), ["new major", "new major"]);
}

#[tokio::test]
async fn a_stopped_services_journal_and_a_file_give_the_same_as_the_stream() {
    let mut world = World::start().await;
    afternoon(&world).await;
    let issues = json!(shown(&world).await);
    let running = replay(&world, &["--journal", "data"]).await;
    assert_eq!((running.code, running.out.as_str()), (1, ""));
    assert!(running.err.contains("a service runs on data folder data: ask it"), "{}", running.err);

    assert!(world.service.take().unwrap().terminate().await.success());
    let stream = replay(&world, &["-o", "json"]).await.json();
    let journal = replay(&world, &["-o", "json", "--journal", "data"]).await;
    assert_eq!(journal.json(), stream);
    assert_eq!(journal.json()["issues"], issues);
    assert!(journal.err.contains("a journal that holds sequences 1 to"), "{}", journal.err);
    assert_eq!(replay(&world, &["-o", "json", "--journal", "data"]).await.out, journal.out);

    let lines: Vec<String> =
        world.bus.read("shipwatch").await.iter().filter(|m| m.json.is_object()).map(|m| m.json.to_string()).collect();
    write(&world.folder("events.ndjson"), &format!("{}\n", lines.join("\n")));
    let file = replay(&world, &["-o", "json", "--file", "events.ndjson"]).await.json();
    let essence = |issues: &Value| -> Vec<Value> {
        let issues = issues.as_array().unwrap().iter();
        issues
            .map(|i| json!([i["id"], i["number"], i["title"], i["state"], i["occurrences"], i["openedBy"], i["rule"]]))
            .collect()
    };
    assert_eq!(essence(&file["issues"]), essence(&issues));
    // Standard input is a file like any other.
    let mut piped = command(&world, &["-o", "json", "--file", "-"]);
    piped.stdin(std::fs::File::open(world.folder("events.ndjson")).unwrap());
    let output = piped.output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), file);
}

#[tokio::test]
async fn nothing_in_a_file_is_stale_for_its_age() {
    let world = World::start().await;
    let old = |id: &str, year: u32| {
        task_finished("test")
            .id(id)
            .run(id)
            .service(id)
            .result("fail")
            .attribute("time", format!("{year}-01-01T00:00:00Z"))
    };
    let events: [Keptn; 3] = [old("a", 1999), old("b", 2026), old("c", 2005)];
    let lines: Vec<String> = events.into_iter().map(|e| e.json().to_string()).collect();
    write(&world.folder("old.ndjson"), &lines.join("\n"));
    let found = replay(&world, &["-o", "json", "--file", "old.ndjson"]).await.json();
    assert_eq!((&found["summary"]["active"], &found["summary"]["outcomes"]), (&json!(3), &json!({"failure": 3})));
}
