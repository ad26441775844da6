//! `shipwatch sequence run`: the control plane over a real broker, with real and with played executors.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::support::{Bus, Keptn, Nats, Ran, Stored, World, eventually, exit_of, task_finished};

/// A shipyard in a folder of its own, and a broker to run it on.
struct Yard {
    dir: TempDir,
    url: String,
}

impl Yard {
    /// Of stages as they stand below `stages:`, without indentation.
    fn new(url: &str, stages: &str) -> Yard {
        let dir = TempDir::new().unwrap();
        let head = "apiVersion: spec.keptn.sh/0.2.3\nkind: Shipyard\nmetadata: {name: shop}\nspec:\n  stages:\n";
        let body: String = stages.trim().lines().map(|line| format!("  {line}\n")).collect();
        std::fs::write(dir.path().join("shipyard.yaml"), format!("{head}{body}")).unwrap();
        Yard { dir, url: url.to_owned() }
    }

    fn command(&self, sequence: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHIPWATCH_")) {
            command.env_remove(name);
        }
        command.args(["sequence", "run", "shipyard.yaml", sequence, "--project", "shop", "--service", "carts"]);
        command.args(["--nats-url", &self.url]).args(args).current_dir(self.dir.path());
        command
    }

    /// Runs a sequence to its end.
    async fn run(&self, sequence: &str, args: &[&str]) -> Ran {
        Ran::of(self.start(sequence, args)).await
    }

    /// Starts a sequence and waits for nothing. It ends with the story, however that ends.
    fn start(&self, sequence: &str, args: &[&str]) -> Child {
        Ran::start(self.command(sequence, args))
    }
}

/// A broker whose stream holds what Keptn says.
async fn keptn_stream() -> (Nats, Bus) {
    let nats = Nats::start().await;
    let bus = Bus::connect(&nats.url()).await;
    bus.create_stream("keptn", &["sh.keptn.>"]).await;
    (nats, bus)
}

/// Waits for the trigger of a task in a stream.
async fn trigger_of(bus: &Bus, task: &str) -> Stored {
    let subject = format!("sh.keptn.event.{task}.triggered");
    eventually(&format!("{task} is triggered"), async || {
        bus.read("keptn").await.into_iter().rfind(|m| m.subject == subject)
    })
    .await
}

/// An answer to a trigger.
fn answer(trigger: &Stored, task: &str, phase: &str, source: &str) -> Keptn {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let answer = Keptn::new(&format!("sh.keptn.event.{task}.{phase}")).source(source);
    let stage = text(&trigger.json["data"]["stage"]);
    answer.run(&text(&trigger.json["id"])).context(&text(&trigger.json["shkeptncontext"])).stage(&stage)
}

const GATED: &str = "
- name: staging
  sequences:
    - name: delivery
      tasks: [{name: deployment, properties: {deploymentstrategy: direct}}, {name: test}, {name: check-issues, properties: {severity: major}}]
- name: production
  sequences:
    - name: delivery
      triggeredOn: [{event: staging.delivery.finished}]
      tasks: [{name: check-issues}, {name: deployment}]
";

#[tokio::test]
async fn a_delivery_goes_through_two_stages_and_stops_at_a_gate() {
    let world = World::start().await;
    let yard = Yard::new(&world.nats.url(), GATED);
    std::fs::write(yard.dir.path().join("data.json"), r#"{"configurationChange": {"values": {"image": "carts:2"}}}"#)
        .unwrap();
    let played =
        ["--simulate", "deployment=pass", "--simulate", "test=pass", "--data", "data.json", "--label", "build=77"];

    let ran = yard.run("staging.delivery", &played).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(ran.ends(), ["staging.delivery succeeded pass", "production.delivery succeeded pass"]);
    let tasks = [
        "staging deployment",
        "staging test",
        "staging check-issues",
        "production check-issues",
        "production deployment",
    ];
    assert_eq!(ran.tasks(), tasks);
    let gates: Vec<_> =
        ran.steps.iter().filter(|s| s["step"] == "executor-finished" && s["task"] == "check-issues").collect();
    assert!(
        gates.len() == 2 && gates.iter().all(|s| s["source"] == "shipwatch" && s["result"] == "pass"),
        "{gates:#?}"
    );

    // Everything is in the stream as Keptn would have sent it.
    let mut stored = world.bus.read("shipwatch").await;
    stored.retain(|m| m.json["shkeptncontext"] == ran.context() && m.json["source"] == "shipyard-controller");
    assert_eq!(stored.len(), 9, "{stored:#?}");
    for message in &stored {
        assert_eq!(message.json["type"], message.subject.as_str());
        assert_eq!(message.msg_id.as_deref(), message.json["id"].as_str());
        assert_eq!(message.json["data"]["labels"], json!({"build": "77"}));
    }
    let last = &stored.iter().rfind(|m| m.subject == "sh.keptn.event.deployment.triggered").unwrap().json["data"];
    assert_eq!(last["configurationChange"]["values"]["image"], "carts:2");
    assert_eq!(
        (&last["stage"], &last["status"], &last["result"]),
        (&json!("production"), &json!("succeeded"), &json!("pass"))
    );
    let first = &stored.iter().find(|m| m.subject == "sh.keptn.event.deployment.triggered").unwrap().json["data"];
    assert_eq!(first["deployment"]["deploymentstrategy"], "direct");
    assert_eq!(last["check-issues"]["active"], 0, "the gate's answer goes on with the chain");

    // A problem that the delivery's own test does not heal.
    world.fold(task_finished("security-scan").result("fail")).await;
    let ran = yard.run("staging.delivery", &played).await;
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(ran.ends(), ["staging.delivery succeeded fail"], "and production is not reached");
}

#[tokio::test]
async fn a_failing_test_starts_the_branch_for_failures_which_is_waited_for() {
    let world = World::start().await;
    let yard = Yard::new(
        &world.nats.url(),
        "
- name: staging
  sequences:
    - {name: delivery, tasks: [{name: deployment}, {name: test}, {name: release}]}
    - name: on-failure
      triggeredOn: [{event: staging.delivery.finished, selector: {match: {result: fail}}}]
      tasks: [{name: open-issue, properties: {title: delivery of carts failed, severity: critical}}]
- name: production
  sequences: [{name: delivery, triggeredOn: [{event: staging.delivery.finished}], tasks: [{name: deployment}]}]
",
    );
    let ran = yard.run("staging.delivery", &["--simulate", "deployment=pass", "--simulate", "test=fail"]).await;
    assert_eq!(ran.code, Some(1), "the sequence asked for failed, though its branch passed: {ran:#?}");
    assert_eq!(ran.ends(), ["staging.delivery succeeded fail", "staging.on-failure succeeded pass"]);
    assert_eq!(ran.tasks(), ["staging deployment", "staging test", "staging open-issue"]);
    let issue = world.only_issue("search=delivery+of+carts").await;
    assert_eq!((&issue["severity"], &issue["keptnContext"]), (&json!("critical"), &json!(ran.context())));
}

#[tokio::test]
async fn two_executors_of_one_task_are_waited_for_and_their_answers_merged() {
    let (nats, bus) = keptn_stream().await;
    let yard = Yard::new(&nats.url(), "- {name: dev, sequences: [{name: s, tasks: [{name: test}, {name: report}]}]}");
    let running = yard.start("dev.s", &["--simulate", "report=pass"]);
    let trigger = trigger_of(&bus, "test").await;
    let block = |who: &str| json!({"by": who, "urls": [who]});
    bus.publish(answer(&trigger, "test", "started", "jmeter")).await;
    bus.publish(answer(&trigger, "test", "started", "cypress")).await;
    let done =
        |source: &str| answer(&trigger, "test", "finished", source).status("succeeded").data("test", block(source));
    // The same message twice is one to the stream, and so to the control plane: it does not stand for the other executor's.
    let first = Value::from(done("jmeter").result("warning"));
    let id = first["id"].as_str().unwrap();
    for _ in 0..2 {
        bus.publish_raw("sh.keptn.event.test.finished", &[("Nats-Msg-Id", id)], first.to_string()).await;
    }
    bus.publish(done("cypress").result("pass")).await;
    let ran = Ran::of(running).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let task = ran.steps.iter().find(|s| s["step"] == "task-finished" && s["task"] == "test").unwrap();
    assert_eq!((&task["status"], &task["result"]), (&json!("succeeded"), &json!("warning")));
    let next = trigger_of(&bus, "report").await;
    assert_eq!(next.json["data"]["test"], json!({"by": "cypress", "urls": ["cypress", "jmeter"]}));
    assert_eq!(next.json["data"]["result"], "warning");
}

#[tokio::test]
async fn played_executors_give_every_outcome() {
    let (nats, bus) = keptn_stream().await;
    let yard = Yard::new(&nats.url(), "- {name: dev, sequences: [{name: s, tasks: [{name: a}, {name: b}]}]}");
    for (how, code, end, tasks) in [
        ("pass", 0, "dev.s succeeded pass", 2),
        ("warning", 0, "dev.s succeeded pass", 2),
        ("fail", 1, "dev.s succeeded fail", 1),
        ("errored", 1, "dev.s errored fail", 1),
    ] {
        let ran = yard.run("dev.s", &["--simulate", &format!("a={how}"), "--simulate", "b=pass"]).await;
        assert_eq!((ran.code, ran.ends()), (Some(code), vec![end.to_owned()]), "{how}: {ran:#?}");
        assert_eq!(ran.tasks().len(), tasks, "{how}");
    }
    let warned = yard.run("dev.s", &["--simulate", "a=pass", "--simulate", "b=warning"]).await;
    assert_eq!((warned.code, warned.ends()), (Some(0), vec!["dev.s succeeded warning".to_owned()]));
    let played = bus.read("keptn").await.into_iter().filter(|m| m.json["source"] == "shipwatch-simulator").count();
    assert_eq!(played, 2 * (2 + 2 + 1 + 1 + 2), "a pair for each task that was triggered");
}

#[tokio::test]
async fn what_hangs_and_what_nobody_answers_ends_errored_in_time() {
    let (nats, bus) = keptn_stream().await;
    let yard = Yard::new(
        &nats.url(),
        "
- name: dev
  sequences:
    - {name: s, tasks: [{name: a}]}
    - {name: sorry, triggeredOn: [{event: dev.s.finished, selector: {match: {result: fail}}}], tasks: [{name: a}]}
",
    );
    for (args, why) in [
        (vec!["--simulate", "a=hang", "--finish-timeout", "300ms"], "to be finished: 1 started, 0 finished"),
        (vec!["--start-timeout", "300ms"], "to receive a correlating .started or .finished event"),
    ] {
        let ran = yard.run("dev.s", &args).await;
        assert_eq!((ran.code, ran.ends()), (Some(1), vec!["dev.s errored fail".to_owned()]), "{args:?}: {ran:#?}");
        let message = ran.steps.last().unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("sh.keptn.event.a.triggered") && message.ends_with(why), "{message}");
        let last = bus.read("keptn").await.pop().unwrap();
        assert_eq!(
            (last.subject.as_str(), &last.json["data"]["message"]),
            ("sh.keptn.event.dev.s.finished", &json!(message))
        );
    }
}

#[tokio::test]
async fn an_interrupt_ends_the_sequence_aborted() {
    let (nats, bus) = keptn_stream().await;
    let yard = Yard::new(&nats.url(), "- {name: dev, sequences: [{name: s, tasks: [{name: a}]}]}");
    for signal in ["-INT", "-TERM"] {
        let running = yard.start("dev.s", &["--simulate", "a=hang"]);
        let process = running.id().unwrap().to_string();
        eventually("somebody works on it", async || {
            let started = |m: &Stored| m.subject == "sh.keptn.event.a.started";
            bus.read("keptn").await.last().is_some_and(started).then_some(())
        })
        .await;
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
        let ran = Ran::of(running).await;
        assert_eq!((ran.code, ran.ends()), (Some(1), vec!["dev.s aborted pass".to_owned()]), "{ran:#?}");
        let last = bus.read("keptn").await.pop().unwrap();
        assert_eq!(last.subject, "sh.keptn.event.dev.s.finished");
        assert_eq!((&last.json["data"]["status"], &last.json["data"]["result"]), (&json!("aborted"), &json!("pass")));
    }
}

#[tokio::test]
async fn a_second_control_plane_is_noticed() {
    let (nats, bus) = keptn_stream().await;
    let yard = Yard::new(&nats.url(), "- {name: dev, sequences: [{name: s, tasks: [{name: a}]}]}");
    let running = yard.start("dev.s", &[]);
    let trigger = trigger_of(&bus, "a").await;
    let second = answer(&trigger, "a", "triggered", "shipyard-controller").without("triggeredid").id("not-ours");
    bus.publish(second).await;
    bus.publish(answer(&trigger, "a", "started", "x")).await;
    bus.publish(answer(&trigger, "a", "finished", "x").status("succeeded").result("pass")).await;
    let ran = Ran::of(running).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let said = "another control plane answers this sequence too (sh.keptn.event.a.triggered not-ours)";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[tokio::test]
async fn it_runs_without_any_stream() {
    let nats = Nats::start().await;
    let bus = Bus::connect(&nats.url()).await;
    let mut heard = bus.hear("sh.keptn.event.>").await;
    let yard = Yard::new(&nats.url(), "- {name: dev, sequences: [{name: s, tasks: [{name: a}]}]}");
    let ran = yard.run("dev.s", &["--simulate", "a=pass"]).await;
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(ran.stderr.contains("no stream holds"), "{}", ran.stderr);
    let mut subjects = Vec::new();
    while subjects.len() < 5 {
        let message = futures_util::StreamExt::next(&mut heard).await.unwrap();
        subjects.push(message.subject.replace("sh.keptn.event.", ""));
    }
    assert_eq!(subjects, ["dev.s.triggered", "a.triggered", "a.started", "a.finished", "dev.s.finished"]);
}

#[tokio::test]
async fn answers_given_while_the_connection_is_lost_are_not_missed() {
    let mut nats = Nats::later("");
    nats.restart().await;
    let bus = Bus::connect(&nats.url()).await;
    bus.create_stream("keptn", &["sh.keptn.>"]).await;
    let yard = Yard::new(&nats.url(), "- {name: dev, sequences: [{name: s, tasks: [{name: a}, {name: b}]}]}");
    let running = yard.start("dev.s", &["--simulate", "b=pass"]);
    let trigger = trigger_of(&bus, "a").await;
    bus.publish(answer(&trigger, "a", "started", "somebody")).await;
    nats.restart().await;
    bus.publish(answer(&trigger, "a", "finished", "somebody").status("succeeded").result("pass")).await;
    let ran = Ran::of(running).await;
    assert_eq!((ran.code, ran.ends()), (Some(0), vec!["dev.s succeeded pass".to_owned()]), "{ran:#?}");
    let ends = bus.read("keptn").await.iter().filter(|m| m.subject == "sh.keptn.event.dev.s.finished").count();
    assert_eq!(ends, 1);
}

#[tokio::test]
async fn the_documented_rollback_runs_only_leniently() {
    let (nats, _bus) = keptn_stream().await;
    let yard = Yard::new(
        &nats.url(),
        "
- name: production
  sequences:
    - {name: delivery, tasks: [{name: deployment}]}
    - name: rollback
      triggeredOn: [{event: production.delivery.finished, selector: {match: {result: failed}}}]
      tasks: [{name: rollback}]
",
    );
    let played = ["--simulate", "deployment=fail", "--simulate", "rollback=pass"];
    let strict = yard.run("production.delivery", &played).await;
    assert_eq!(strict.ends(), ["production.delivery succeeded fail"]);
    assert!(strict.stderr.contains("shipyard.yaml:10:88: error: \"failed\" never fires"), "{}", strict.stderr);
    let lenient = yard.run("production.delivery", &[&played[..], &["--lenient"]].concat()).await;
    assert_eq!(lenient.ends(), ["production.delivery succeeded fail", "production.rollback succeeded pass"]);
    assert_eq!((strict.code, lenient.code), (Some(1), Some(1)));
}

#[tokio::test]
async fn what_cannot_be_run_is_told_before_anything_is_sent() {
    let yard = Yard::new(
        "nats://127.0.0.1:1",
        "- {name: dev, sequences: [{name: delivery, tasks: [{name: test}]}, {name: empty}]}",
    );
    for (name, text) in [("list.json", "[1]"), ("broken.json", "{"), ("labels.json", r#"{"labels": 1}"#)] {
        std::fs::write(yard.dir.path().join(name), text).unwrap();
    }
    for (sequence, args, code, said) in [
        (
            "dev.delivry",
            vec![],
            2,
            "there is no sequence \"delivry\" of stage \"dev\" in shipyard.yaml (did you mean \"dev.delivery\"?)",
        ),
        ("prod.delivery", vec![], 2, "there is no stage \"prod\" in shipyard.yaml"),
        ("delivery", vec![], 2, "\"delivery\" is not STAGE.SEQUENCE"),
        (
            "dev.delivery",
            vec!["--simulate", "tset=pass"],
            2,
            "there is no task \"tset\" in shipyard.yaml (did you mean \"test\"?)",
        ),
        ("dev.delivery", vec!["--simulate", "test=boom"], 2, "none of pass, warning, fail, errored, hang"),
        ("dev.delivery", vec!["--simulate", "test"], 2, "not KEY=VALUE"),
        ("dev.delivery", vec!["--data", "list.json"], 2, "list.json holds an array, not an object"),
        ("dev.delivery", vec!["--data", "broken.json"], 2, "broken.json is not JSON"),
        ("dev.delivery", vec!["--data", "gone.json"], 2, "gone.json: cannot be read"),
        ("dev.delivery", vec!["--data", "labels.json", "--label", "a=b"], 2, "labels is no object"),
        ("dev.delivery", vec!["--start-timeout", "soon"], 2, "not a length of time"),
        ("dev.delivery", vec![], 1, "no NATS broker answers at nats://127.0.0.1:1"),
    ] {
        let ran = yard.run(sequence, &args).await;
        assert_eq!(ran.code, Some(code), "{sequence} {args:?}: {ran:#?}");
        assert!(ran.stderr.contains(said), "{said:?} in {}", ran.stderr);
        assert_eq!(ran.steps, [Value::Null; 0]);
    }
}

#[tokio::test]
async fn steps_can_be_read_as_lines_of_words_and_as_yaml() {
    let (nats, _bus) = keptn_stream().await;
    let yard = Yard::new(&nats.url(), "- {name: dev, sequences: [{name: s, tasks: [{name: a}]}]}");
    let text = async |form: &str| {
        let (status, stdout, _) = exit_of(yard.command("dev.s", &["--simulate", "a=warning", "-o", form])).await;
        assert_eq!(status.code(), Some(0));
        stdout
    };
    let words = text("table").await;
    let words: Vec<&str> = words.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(
        words,
        [
            "dev.s started",
            "dev.s a triggered",
            "dev.s a started (shipwatch-simulator)",
            "dev.s a finished (shipwatch-simulator) warning - simulated",
            "dev.s a finished warning",
            "dev.s finished warning - simulated",
        ]
    );
    let documents = text("yaml").await;
    assert_eq!(documents.matches("---\n").count(), 6, "{documents}");
    assert!(documents.contains("step: sequence-finished"), "{documents}");
}
