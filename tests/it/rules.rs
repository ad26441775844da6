//! Teams' own rules in the running service: they travel through the stream, so each event is judged by those that held there.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shipwatch::domain::loaded;
use shipwatch::domain::rules::RuleSet;
use shipwatch::domain::time::Time;

use crate::support::{Bus, Keptn, Nats, Shipwatch, World, eventually, exit_of, repo, serve_command, task_finished};

const TYPE: &str = "dev.shipwatch.rules.loaded";

/// A rule about finished tests that gives its name to issues.
fn rule(name: &str) -> String {
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
    scope: {{resourceType: {name}, resourceName: \"{{{{ data.service }}}}\", resourceNamespace: shop}}
    run: \"{{{{ triggeredid | default(id) }}}}\"
    issue: {{issueType: test, title: \"{name}: {{{{ data.service }}}}\"}}
"
    )
}

/// Writes a rule file into a `shipyard` folder.
fn write(shipyard: &Path, file: &str, text: &str) {
    std::fs::create_dir_all(shipyard.join("rules")).unwrap();
    // As careful people do it: the file is never there in half.
    let part = shipyard.join("part");
    std::fs::write(&part, text).unwrap();
    std::fs::rename(part, shipyard.join("rules").join(file)).unwrap();
}

fn failure(id: &str) -> Keptn {
    task_finished("test").id(id).run(&format!("run of {id}")).result("fail").at(1)
}

/// A world whose service is not started yet, with one rule file.
async fn world_with(text: &str) -> World {
    let mut world = World::start().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    write(&world.folder("shipyard"), "team.yaml", text);
    world.start_service().await;
    loaded_sets(&world, 2).await;
    world.settle().await;
    world
}

/// Waits until the stream has so many rule sets, and gives their hashes.
async fn loaded_sets(world: &World, count: usize) -> Vec<String> {
    eventually(&format!("{count} rule sets are in the stream"), async || {
        let all = world.bus.read("shipwatch").await;
        let sets = all.iter().filter(|m| m.subject == TYPE && m.json["source"] == "shipwatch/control");
        let hashes: Vec<String> = sets.map(|m| m.json["data"]["hash"].as_str().unwrap().to_owned()).collect();
        (hashes.len() >= count).then_some(hashes)
    })
    .await
}

/// A second service that was started with other rules folds the stream to the same.
async fn assert_a_fresh_fold_with_other_rules_is_equal(world: &World) {
    let other = world.folder("other");
    write(&other, "team.yaml", &rule("another"));
    let sets = loaded_sets(world, 1).await.len();
    let mut command = world.command("fresh");
    command.args(["--durable", "fresh", "--shipyard-dir"]).arg(&other);
    let fresh = Shipwatch::ready(command).await;
    // It publishes its own rules behind all that is there; they hold for both from then on.
    loaded_sets(world, sets + 1).await;
    world.rest().await;
    let want = world.service().dump().await;
    let last = eventually("the fresh fold is as far", async || {
        let dump = fresh.dump().await;
        (dump.len() >= want.len()).then_some(dump)
    })
    .await;
    assert!(last == want, "--- got\n{last}\n--- want\n{want}");
    let ids = world.service().all("/api/v1/events").await;
    for id in ids.iter().filter_map(|e| e["id"].as_str()) {
        let (here, there) = (world.service().folded(id).await, fresh.folded(id).await);
        assert_eq!(here, there, "the decision about {id}");
    }
}

#[tokio::test]
async fn a_teams_rule_is_tried_before_the_built_in_ones() {
    let world = world_with(&rule("ours")).await;
    let decision = world.fold(failure("e1")).await;
    assert_eq!(decision["rule"], "ours", "{decision:#}");
    let issue = world.only_issue("").await;
    assert_eq!((&issue["title"], &issue["scope"]["resourceType"]), (&json!("ours: carts"), &json!("ours")));
    let other = world.fold(task_finished("build").result("fail")).await;
    assert_ne!(other["rule"], "ours", "what it does not name goes to the built-in ones");
}

#[tokio::test]
async fn a_set_is_in_the_stream_once_whatever_the_number_of_starts() {
    let mut world = World::start().await;
    let first = loaded_sets(&world, 1).await;
    for _ in 0..2 {
        assert!(world.service.take().unwrap().terminate().await.success());
        world.start_service().await;
        world.settle().await;
    }
    world.service().signal("-HUP");
    world.service().logged(&["reloaded", "those that the stream has"]).await;
    assert_eq!(loaded_sets(&world, 1).await, first);
    assert_eq!(first, [RuleSet::builtin().hash()]);
}

#[tokio::test]
async fn a_reload_under_load_loses_nothing_and_every_event_has_the_rules_of_its_place() {
    let world = world_with(&rule("before")).await;
    let (enough, mut told) = tokio::sync::watch::channel(false);
    let load = async {
        let mut sent = 0;
        // Until the change is there and as many again have come behind it.
        let mut behind = 0;
        while behind < 200 {
            world.bus.publish(failure(&format!("e{sent}"))).await;
            sent += 1;
            behind += usize::from(*told.borrow_and_update());
        }
        sent
    };
    let change = async {
        world.service().folded("e50").await;
        write(&world.folder("shipyard"), "team.yaml", &rule("after"));
        world.service().signal("-HUP");
        loaded_sets(&world, 3).await;
        enough.send(true).unwrap();
    };
    let (sent, ()) = tokio::join!(load, change);
    world.settle().await;

    let stream = world.bus.read("shipwatch").await;
    let change = stream.iter().rposition(|m| m.subject == TYPE).unwrap();
    let mut seen = 0;
    for (at, message) in stream.iter().enumerate().filter(|(_, m)| m.subject == "sh.keptn.event.test.finished") {
        let id = message.json["id"].as_str().unwrap();
        let (status, decision) = world.service().get_status(&format!("/api/v1/events/{id}")).await;
        assert_eq!(status, 200, "{id} is not lost");
        let wanted = if at < change { "before" } else { "after" };
        assert_eq!(decision["rule"], wanted, "{id} at {at}, the change is at {change}");
        seen += 1;
    }
    assert_eq!(seen, sent);
    let counted = async |name: &str| world.only_issue(&format!("resourceType={name}")).await["occurrences"].clone();
    let both = counted("before").await.as_u64().unwrap() + counted("after").await.as_u64().unwrap();
    assert_eq!(both, sent as u64);
    assert_a_fresh_fold_with_other_rules_is_equal(&world).await;
}

#[tokio::test]
async fn a_changed_file_is_enough() {
    let world = world_with(&rule("one")).await;
    let before = world.fold(failure("e1")).await;
    write(&world.folder("shipyard"), "team.yaml", &rule("two"));
    let sets = loaded_sets(&world, 3).await;
    let after = world.fold(failure("e2")).await;
    assert_eq!((&before["rule"], &after["rule"]), (&json!("one"), &json!("two")));
    assert_eq!(before["ruleSet"], sets[1][..12], "a decision says which set it was made with");
    assert_eq!(after["ruleSet"], sets[2][..12]);
}

#[tokio::test]
async fn a_broken_new_version_leaves_the_old_one_running() {
    let world = world_with(&rule("good")).await;
    assert_eq!(world.service().metric("shipwatch_reload_failures_total").await, 0.0);
    write(
        &world.folder("shipyard"),
        "team.yaml",
        &rule("good").replace("outcome:", "outcomes:").replace("issueType: test", "issueTyp: test"),
    );
    world.service().signal("-HUP");
    world.service().logged(&["team.yaml:7:", "outcomes", "did you mean"]).await;
    world.service().logged(&["team.yaml", "issueTyp", "did you mean"]).await;
    world.service().logged(&["error", "broken", "stay in force"]).await;
    assert!(world.service().metric("shipwatch_reload_failures_total").await >= 1.0);
    assert_eq!(world.fold(failure("e1")).await["rule"], "good");
    write(&world.folder("shipyard"), "team.yaml", &rule("mended"));
    world.service().signal("-HUP");
    loaded_sets(&world, 3).await;
    assert_eq!(world.fold(failure("e2")).await["rule"], "mended");
}

#[tokio::test]
async fn a_folder_that_vanishes_leaves_its_rules_in_force() {
    let world = world_with(&rule("ours")).await;
    std::fs::rename(world.folder("shipyard"), world.folder("gone")).unwrap();
    world.service().logged(&["error", "shipyard/rules", "is gone"]).await;
    assert_eq!(world.service().metric("shipwatch_reload_failures_total").await, 1.0);
    assert_eq!(world.fold(failure("e1")).await["rule"], "ours");
    // An empty folder is no mistake.
    std::fs::create_dir_all(world.folder("shipyard/rules")).unwrap();
    world.service().signal("-HUP");
    assert_eq!(loaded_sets(&world, 3).await[2], RuleSet::builtin().hash());
}

#[tokio::test]
async fn a_set_that_a_purge_took_in_part_or_whole_is_published_again() {
    let long = "# a remark\n".repeat(60_000);
    let world = world_with(&format!("{}{long}", rule("large"))).await;
    let stream = world.bus.jetstream.get_stream("shipwatch").await.unwrap();
    let hash = loaded_sets(&world, 3).await.pop().unwrap();
    for keep in [1, 0] {
        let all = world.bus.read("shipwatch").await;
        let parts = all.iter().filter(|m| m.subject == TYPE).count() as u64;
        assert!(parts >= 2, "the set has two parts");
        stream.purge().filter(TYPE).keep(keep).await.unwrap();
        world.service().signal("-HUP");
        let hashes = loaded_sets(&world, keep as usize + 2).await;
        assert!(hashes.iter().all(|h| *h == hash), "{hashes:?}");
    }
    let event = world.fold(failure("e1")).await;
    let other = world.second("fresh").await;
    assert_eq!(other.folded("e1").await["ruleSet"], event["ruleSet"]);
}

#[tokio::test]
async fn a_service_does_not_start_with_broken_rules() {
    let dir = tempfile::TempDir::new().unwrap();
    write(&dir.path().join("shipyard"), "a.yaml", &rule("a").replace("kind: RuleSet", "kind: RulesSet"));
    write(&dir.path().join("shipyard"), "b.yml", &rule("b").replace("    on:", "    onn:"));
    let (status, _, stderr) = exit_of(serve_command("nats://127.0.0.1:1", &dir.path().join("data"))).await;
    assert_eq!(status.code(), Some(2), "{stderr}");
    for part in ["a.yaml:2:", "RulesSet", "b.yml:6:", "onn"] {
        assert!(stderr.contains(part), "{part} in\n{stderr}");
    }
    let mut command = serve_command("nats://127.0.0.1:1", &dir.path().join("data"));
    command.args(["--shipyard-dir", "nowhere"]);
    let (status, _, stderr) = exit_of(command).await;
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("nowhere"), "{stderr}");
}

#[tokio::test]
async fn a_lost_store_is_folded_again_by_the_rules_of_the_stream() {
    let mut world = world_with(&rule("one")).await;
    world.fold(failure("e1")).await;
    write(&world.folder("shipyard"), "team.yaml", &rule("two"));
    loaded_sets(&world, 3).await;
    world.fold(failure("e2")).await;
    world.rest().await;
    let before = world.service().dump().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    std::fs::remove_dir_all(world.folder("data")).unwrap();
    world.start_service().await;
    eventually("the store is as it was", async || (world.service().dump().await == before).then_some(())).await;
    assert_a_fresh_fold_with_other_rules_is_equal(&world).await;
}

#[tokio::test]
async fn a_restart_goes_on_with_the_rules_in_force_and_old_lines_keep_theirs() {
    // Under `one` a test is about one thing, under `two` about another.
    let mut world = world_with(&rule("one")).await;
    world.fold(failure("e1")).await;
    world.fold(failure("e2").at(2)).await;
    write(&world.folder("shipyard"), "team.yaml", &rule("two"));
    loaded_sets(&world, 3).await;
    assert_eq!(world.fold(failure("e3")).await["rule"], "two");
    for end in ["terminate", "kill"] {
        match end {
            "terminate" => assert!(world.service.take().unwrap().terminate().await.success()),
            _ => world.kill(),
        }
        world.start_service().await;
        assert_eq!(world.fold(failure(&format!("after {end}"))).await["rule"], "two");
    }
    loaded_sets(&world, 3).await;
    let issue = async |name: &str| world.only_issue(&format!("resourceType={name}")).await;
    assert_eq!(issue("one").await["occurrences"], 2);
    // Taking one outcome back judges the other one again: by the rules it was judged by.
    world.fold(Keptn::new("sh.keptn.event.test.invalidated").id("i1").run("run of e1").at(3)).await;
    let one = issue("one").await;
    assert_eq!((&one["occurrences"], &one["openedBy"]["id"]), (&json!(1), &json!("e2")), "{one:#}");
    assert_a_fresh_fold_with_other_rules_is_equal(&world).await;
}

#[tokio::test]
async fn a_crash_where_the_rules_change_changes_nothing() {
    for point in ["before-commit:1", "after-commit:1", "before-commit:2"] {
        let mut world = world_with(&rule("one")).await;
        assert!(world.service.take().unwrap().terminate().await.success());
        let set = RuleSet::with_builtin(&[("rules/team.yaml", rule("two"))]).unwrap();
        world.bus.publish(failure("e1")).await;
        world.bus.publish(loaded::events(&set, "change", Time::EPOCH, loaded::PART).remove(0).to_value()).await;
        world.bus.publish(failure("e2")).await;
        // The files are those of the change, so that the next start brings no other rules.
        write(&world.folder("shipyard"), "team.yaml", &rule("two"));
        let mut command = world.command("data");
        command.env("SHIPWATCH_FAIL_POINT", point);
        let mut crashing = Shipwatch::start(command);
        assert!(!crashing.ended().await.success(), "it crashed {point}");
        drop(crashing);
        world.start_service().await;
        world.settle().await;
        for (id, rule) in [("e1", "one"), ("e2", "two")] {
            assert_eq!(world.service().folded(id).await["rule"], rule, "{id} after {point}");
        }
        assert_eq!(world.fold(failure("e3")).await["rule"], "two", "{point}");
        assert_a_fresh_fold_with_other_rules_is_equal(&world).await;
    }
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_is_the_first_for_both() {
    let nats = Nats::start().await;
    let dir = tempfile::TempDir::new().unwrap();
    let start = async |name: &str| {
        write(&dir.path().join(name), "team.yaml", &rule(name));
        let mut command = serve_command(&nats.url(), &dir.path().join(format!("{name}-data")));
        command.args(["--durable", name, "--shipyard-dir", name]);
        Shipwatch::ready(command).await
    };
    let bus = Bus::connect(&nats.url()).await;
    bus.create_stream("shipwatch", &[">"]).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(bus.publish(failure(&format!("e{n}"))).await);
    }
    let (one, two) = tokio::join!(start("one"), start("two"));
    for id in ids {
        let (here, there) = (one.folded(&id).await, two.folded(&id).await);
        assert_eq!((&here["rule"], &here["ruleSet"]), (&there["rule"], &there["ruleSet"]), "{id}");
    }
}

#[tokio::test]
async fn only_the_control_source_changes_the_rules() {
    let world = World::start().await;
    let set = RuleSet::with_builtin(&[("team.yaml", rule("forged"))]).unwrap();
    let event = loaded::events(&set, "forged", Time::EPOCH, loaded::PART).remove(0).to_value();
    for source in ["jenkins", "shipwatch", "shipwatch/gateway"] {
        let mut forged = event.clone();
        (forged["source"], forged["id"]) = (source.into(), format!("forged {}", source.replace('/', " ")).into());
        world.bus.publish(forged).await;
        assert_ne!(
            world.fold(failure(&format!("after {}", source.replace("/", " ")))).await["rule"],
            "forged",
            "{source}"
        );
    }
    // Neither does the right source on another subject, nor in a batch.
    world.bus.publish_json("dev.shipwatch.elsewhere", &event).await;
    world.bus.publish_json(TYPE, &json!([event])).await;
    assert_ne!(world.fold(failure("after batch")).await["rule"], "forged");
    // It is the event that is wrong, not the set: from the right source it works.
    let right = loaded::events(&set, "right", Time::EPOCH, loaded::PART).remove(0).to_value();
    world.bus.publish(right).await;
    assert_eq!(world.fold(failure("at last")).await["rule"], "forged");
    assert_a_fresh_fold_with_other_rules_is_equal(&world).await;
}

#[tokio::test]
async fn a_set_that_this_version_cannot_use_is_recorded_and_passed_over() {
    let world = World::start().await;
    let files = json!([{"name": "future.yaml", "text": "apiVersion: shipwatch.dev/v9\n"}]);
    let data = json!({"loading": "v9", "hash": "0".repeat(64), "part": 1, "parts": 1, "files": files});
    let event = json!({"specversion": "1.0", "id": "v9.1", "source": "shipwatch/control", "type": TYPE, "data": data});
    world.bus.publish(event).await;
    assert_eq!(world.fold(failure("e1")).await["ruleSet"], RuleSet::builtin().short_hash());
    world.service().folded("v9.1").await;
    world.service().logged(&["error", "cannot be used by this version", "future.yaml:1:"]).await;
}

#[tokio::test]
async fn a_large_set_goes_out_in_parts_and_a_restart_may_come_between_them() {
    let long = "# a remark\n".repeat(60_000);
    let mut world = world_with(&format!("{}{long}", rule("large"))).await;
    assert_eq!(world.fold(failure("e1")).await["rule"], "large");
    let sizes: Vec<_> = world.bus.read("shipwatch").await.into_iter().filter(|m| m.subject == TYPE).collect();
    assert!(sizes.iter().all(|m| m.json.to_string().len() < 600 << 10));
    assert_eq!(sizes.last().unwrap().json["data"]["parts"], 2);

    // Another one, of small parts, given in the wrong order and with a restart in between.
    let set = RuleSet::with_builtin(&[("team.yaml", rule("parts"))]).unwrap();
    let mut parts = loaded::events(&set, "small", Time::EPOCH, 16 << 10);
    assert!(parts.len() > 3);
    parts.reverse();
    let last = parts.pop().unwrap();
    for part in parts {
        world.bus.publish(part.to_value()).await;
    }
    assert_eq!(world.fold(failure("e2")).await["rule"], "large", "not before all of it is there");
    world.kill();
    world.start_service().await;
    world.bus.publish(last.to_value()).await;
    assert_eq!(world.fold(failure("e3")).await["rule"], "parts");
    assert_a_fresh_fold_with_other_rules_is_equal(&world).await;
}

#[tokio::test]
async fn the_readmes_rule_works_and_its_new_subject_widens_a_stream_of_ours() {
    let world = world_with(&rule("keptn-only")).await;
    let readme = std::fs::read_to_string(repo("README.md")).unwrap();
    let (_, section) = readme.split_once("## Rules of your own").unwrap();
    let example = section.split("```").nth(1).unwrap().strip_prefix("yaml\n").unwrap();
    write(&world.folder("shipyard"), "team.yaml", example);
    world.service().signal("-HUP");
    loaded_sets(&world, 3).await;
    let night = |id: &str, state: &str| {
        let event = Keptn::new("com.example.nightly.finished").id(id).run(id);
        event.data("state", state).data("job", "soak").data("team", "shop")
    };
    assert_eq!(world.fold(night("a1", "timed out").at(1)).await["rule"], "nightly");
    assert_eq!(world.only_issue("resourceName=soak").await["title"], "Nightly soak: timed out");
    world.fold(night("a2", "ok").at(2)).await;
    assert_eq!(world.only_issue("resourceName=soak").await["state"], "RESOLVED");
}

#[tokio::test]
async fn without_the_right_to_look_into_the_stream_rules_still_change() {
    let config = r#"authorization { users: [{user: u, password: p,
        permissions: {publish: {deny: ["$JS.API.STREAM.MSG.GET.>", "$JS.API.DIRECT.GET.>"]}}}, {user: admin, password: p}] }
        no_auth_user: admin
"#;
    let world = World::on(Nats::with_config(config).await, Some("nats: {user: u, password: p}\n")).await;
    world.service().logged(&["warn", "the fold begins with those of this start"]).await;
    world.fold(failure("e1")).await;
    write(&world.folder("shipyard"), "team.yaml", &rule("ours"));
    world.service().signal("-HUP");
    loaded_sets(&world, 2).await;
    assert_eq!(world.fold(failure("e2")).await["rule"], "ours");
}

#[tokio::test]
async fn a_foreign_stream_of_small_messages_gets_the_rules_in_small_parts() {
    let nats = Nats::start().await;
    let bus = Bus::connect(&nats.url()).await;
    let config = async_nats::jetstream::stream::Config {
        name: "small".into(),
        subjects: vec!["sh.keptn.>".into(), "dev.shipwatch.>".into()],
        max_message_size: 64 << 10,
        ..Default::default()
    };
    bus.jetstream.create_stream(config).await.unwrap();
    let world = World::on(nats, Some("nats: {stream: small}\ngateway: {listen: '127.0.0.1:0'}\n")).await;
    write(&world.folder("shipyard"), "team.yaml", &rule("ours"));
    world.service().signal("-HUP");
    world.service().logged(&["the rules have changed"]).await;
    assert_eq!(world.fold(failure("e1")).await["rule"], "ours");
    let parts = bus.read("small").await.into_iter().filter(|m| m.subject == TYPE).count();
    assert!(parts >= 4, "two sets of two parts at least: {parts}");
    // Waiting does not help what this stream will never take.
    let event = failure("e2").data("log", "x".repeat(100 << 10));
    let json = [("content-type", "application/cloudevents+json")];
    let answer = world.service().gateway().await.events(&json, Value::from(event).to_string()).await;
    assert_eq!(answer.status, 413, "{answer:?}");
}

const LUNCH: &str = "apiVersion: shipwatch.dev/v1
kind: RuleSet
metadata: {name: lunch}
rules:
  - name: lunch
    webhook: {name: lunch, required: {failure: [dish], success: [dish]}}
    on: [dev.shipwatch.webhook.lunch.*]
    outcome:
      failure: [{match: {type: \"*.failure\"}}]
      success: [{match: {type: \"*.success\"}}]
    scope: {resourceType: dish, resourceName: \"{{ data.dish }}\", resourceNamespace: \"{{ data.namespace }}\"}
    issue: {title: \"No {{ data.dish }}\"}
";

#[tokio::test]
async fn a_webhook_of_reloaded_rules_is_served() {
    let world = World::with_config("gateway: {listen: '127.0.0.1:0'}\n").await;
    let body = json!({"dish": "soup", "namespace": "canteen"});
    let gateway = world.service().gateway().await;
    // One more without a fold: it has only the files to go by.
    let mut alone = world.command("nothing");
    alone.arg("--no-fold");
    let alone = Shipwatch::start(alone);
    let other = alone.gateway().await;
    eventually("it is ready", async || (other.send("GET", "/readyz", &[], "").await.status == 200).then_some(())).await;
    assert_eq!(gateway.hook("lunch-failure", &body).await.status, 404);
    assert_eq!(other.hook("lunch-failure", &body).await.status, 404);
    write(&world.folder("shipyard"), "lunch.yaml", LUNCH);
    world.service().signal("-HUP");
    let answer = eventually("the webhook is served", async || {
        let answer = gateway.hook("lunch-failure", &body).await;
        (answer.status != 404).then_some(answer)
    })
    .await;
    assert_eq!((answer.status, &answer.json["issue"]["title"]), (200, &json!("No soup")), "{answer:?}");
    // Nobody told this one; it looks by itself.
    eventually("the webhook is served there as well", async || {
        (other.hook("lunch-success", &body).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(world.only_issue("").await["state"], "RESOLVED");
}

#[tokio::test]
async fn a_webhook_is_served_while_the_fold_is_still_among_older_rules() {
    let world = World::with_config("gateway: {listen: '127.0.0.1:0'}\n").await;
    for n in 0..500 {
        world.bus.publish(failure(&format!("e{n}"))).await;
    }
    let other = world.folder("other");
    write(&other, "lunch.yaml", LUNCH);
    let mut command = world.command("fresh");
    command.args(["--durable", "fresh", "--shipyard-dir"]).arg(&other);
    let fresh = Shipwatch::start(command);
    let gateway = fresh.gateway().await;
    let body = json!({"dish": "soup", "namespace": "canteen"});
    let answer = eventually("the gateway has its broker", async || {
        let answer = gateway.hook("lunch-failure", &body).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    eventually("nothing taken is lost", async || {
        let issues = world.service().all("/api/v1/issues?resourceType=dish").await;
        (!issues.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_set_published_twice_does_not_pass_for_the_one_in_force() {
    let world = world_with(&rule("two")).await;
    let again = world.bus.read("shipwatch").await.into_iter().rfind(|m| m.subject == TYPE).unwrap();
    write(&world.folder("shipyard"), "team.yaml", &rule("three"));
    loaded_sets(&world, 3).await;
    world.bus.publish_json(TYPE, &again.json).await;
    assert_eq!(world.fold(failure("e1")).await["rule"], "three");
    write(&world.folder("shipyard"), "team.yaml", &rule("two"));
    loaded_sets(&world, 5).await;
    assert_eq!(world.fold(failure("e2")).await["rule"], "two");
    assert_a_fresh_fold_with_other_rules_is_equal(&world).await;
}

#[tokio::test]
async fn a_foreign_stream_is_left_alone_and_said_what_it_lacks() {
    let nats = Nats::start().await;
    Bus::connect(&nats.url()).await.create_stream("keptn", &["sh.keptn.>"]).await;
    let mut world = World::on(nats, Some("nats: {stream: keptn}\n")).await;
    let keptn = world.bus.jetstream.get_stream("keptn").await.unwrap().cached_info().config.clone();
    world.service().logged(&["does not hold", TYPE, "a reload has no effect"]).await;
    write(&world.folder("shipyard"), "team.yaml", &rule("ours"));
    world.service().signal("-HUP");
    world.service().logged(&["error", "start again to use them"]).await;
    assert_ne!(world.fold(failure("e1")).await["rule"], "ours");
    assert!(world.service.take().unwrap().terminate().await.success());
    world.start_service().await;
    assert_eq!(world.fold(failure("e2")).await["rule"], "ours");
    assert_eq!(world.bus.jetstream.get_stream("keptn").await.unwrap().cached_info().config, keptn);
}

fn sample(path: &str) -> Value {
    let file: PathBuf = repo(&format!("events/{path}"));
    serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

#[tokio::test]
async fn flux_and_bare_cdevents_are_lifted_into_events() {
    let world = World::start().await;
    let journal = async |ty: &str| world.service().all(&format!("/api/v1/events?type={ty}")).await;
    for (file, state) in [("failed", "ACTIVE"), ("progressing", "ACTIVE"), ("succeeded", "RESOLVED")] {
        world.bus.publish_json("flux.prod", &sample(&format!("flux/kustomization.{file}.json"))).await;
        world.settle().await;
        let issue = world.only_issue("resourceType=kustomization").await;
        assert_eq!(issue["state"], state, "after {file}: {issue:#}");
    }
    let errors = journal("io.fluxcd.event.error").await;
    assert_eq!((errors.len(), &errors[0]["form"]), (1, &json!("adapted")));

    let bare = sample("cdevents/pipelinerun.finished.failure.bare.json");
    let ty = bare["context"]["type"].as_str().unwrap();
    world.bus.publish_json(ty, &bare).await;
    // The type counts, so the subject may be any that the stream holds.
    let mut again = bare.clone();
    again["context"]["id"] = "another".into();
    world.bus.publish_json("dev.shipwatch.somewhere", &again).await;
    world.settle().await;
    let lifted = journal(ty).await;
    assert_eq!(lifted.len(), 2);
    assert!(lifted.iter().all(|e| e["form"] == "adapted"), "{lifted:#?}");
    assert_eq!(world.only_issue("resourceType=pipelinerun").await["state"], "ACTIVE");

    // What cannot be lifted is parked with the reason.
    let mut broken = bare.clone();
    broken["context"].as_object_mut().unwrap().remove("source");
    world.bus.publish_json(ty, &broken).await;
    world.bus.publish_json("flux.prod", &json!({"message": "no object"})).await;
    world.settle().await;
    let parked = world.service().all("/api/v1/parked").await;
    let reasons: Vec<&str> = parked.iter().map(|p| p["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().any(|r| r.contains("context.source")), "{reasons:?}");
    assert!(reasons.iter().any(|r| r.contains("adapter flux")), "{reasons:?}");
}
