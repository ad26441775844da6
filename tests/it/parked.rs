//! What is parked is not lost: it can be decided about again, or let go, and a fresh fold does the same.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Shipwatch, World, eventually, exit_of, task_finished};

/// A rule that needs a member of `data`.
fn rule(needs: &str) -> String {
    format!(
        "apiVersion: shipwatch.dev/v1
kind: RuleSet
metadata: {{name: team}}
rules:
  - name: team
    on: [sh.keptn.event.test.finished]
    outcome: {{failure: [{{match: {{data.result: fail}}}}]}}
    scope: {{resourceType: team, resourceName: \"{{{{ data.{needs} }}}}\", resourceNamespace: shop}}
    issue: {{issueType: test, title: \"{{{{ data.{needs} }}}} is broken\"}}
"
    )
}

fn write(shipyard: &Path, text: &str) {
    std::fs::create_dir_all(shipyard.join("rules")).unwrap();
    let part = shipyard.join("part");
    std::fs::write(&part, text).unwrap();
    std::fs::rename(part, shipyard.join("rules/team.yaml")).unwrap();
}

/// Runs `shipwatch parked …`; its exit code, and what it printed.
async fn parked(world: &World, args: &[&str]) -> (i32, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    command.arg("parked").args(args).args(["-o", "json", "--nats-url", &world.nats.url()]);
    command.arg("--server").arg(format!("http://{}", world.service().addr())).current_dir(world.folder(""));
    let (status, out, said) = exit_of(command).await;
    (status.code().unwrap(), serde_json::from_str(&out).unwrap_or_default(), said)
}

#[tokio::test]
async fn what_is_parked_is_decided_again_or_let_go_and_a_fresh_fold_does_the_same() {
    let mut world = World::start().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    let shipyard = world.folder("shipyard");
    write(&shipyard, &rule("version"));
    world.start_service().await;
    world.service().logged(&["the rules are in the stream"]).await;
    // Two that the rule cannot be applied to, and one that is no event.
    let first = world.fold(task_finished("test").id("f1").result("fail").at(1)).await;
    assert_eq!(first["outcome"], "parked", "{first:#}");
    world.fold(task_finished("test").id("f2").service("cart").result("fail").at(2)).await;
    let broken = world.bus.publish_raw("sh.keptn.event.test.finished", &[], "{broken").await;
    world.settle().await;
    let all = world.service().all("/api/v1/parked").await;
    assert_eq!(all.len(), 3);

    // The rules are as they were: nothing gets better, and it is said so.
    let id = first["sequence"].as_str().unwrap();
    let (code, done, _) = parked(&world, &["retry", id]).await;
    assert_eq!((code, &done[0]["outcome"], &done[0]["id"]), (1, &json!("parked"), &json!(id)));
    let place = done[0]["sequence"].as_str().unwrap().to_owned();
    assert_eq!(world.service().get_status(&format!("/api/v1/parked/{id}")).await.0, 404);
    assert_eq!(world.service().get(&format!("/api/v1/parked/{place}")).await["reason"], all[2]["reason"]);

    write(&shipyard, &rule("service"));
    world.service().signal("-HUP");
    eventually("the rule holds", async || {
        let probe = world.fold(task_finished("test").service("probe").result("pass")).await;
        (probe["rule"] == "team" && probe["ruleSet"] != first["ruleSet"]).then_some(())
    })
    .await;
    let (code, done, said) = parked(&world, &["retry", &place, &broken.to_string()]).await;
    assert_eq!(code, 1, "{said}");
    let outcomes: Vec<_> = done.as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["parked", "failure"], "what is no event stays none: {done:#}");
    let issue = world.only_issue("resourceType=team").await;
    assert_eq!((&issue["title"], &issue["openedBy"]["id"]), (&json!("carts is broken"), &json!("f1")));
    let decision = world.service().folded("f1").await;
    assert_eq!((&decision["change"], &decision["retry"]["of"]), (&json!("opened"), &json!(place)));
    let why = world.service().get("/api/v1/events/f1?explain=true").await;
    let tried = why["tried"].as_array().unwrap();
    let last = tried.last().unwrap();
    assert_eq!(
        (&last["rule"], &last["fits"], &last["outcomes"][0]["holds"]),
        (&json!("team"), &json!(true), &json!(true))
    );
    assert_eq!(last["outcomes"][0]["conditions"][0]["seen"], "\"fail\"", "{last:#}");
    let control = done[1]["controlId"].as_str().unwrap();
    assert_eq!(world.service().folded(control).await, decision, "who asked is told the same");

    let (code, done, said) = parked(&world, &["retry", "--all"]).await;
    assert_eq!((code, done.as_array().unwrap().len()), (1, 2), "{said}");
    assert_eq!(world.service().get("/api/v1/issues?resourceType=team").await["total"], 2);
    let (code, done, said) = parked(&world, &["drop", "--all"]).await;
    assert_eq!((code, &done[0]["outcome"]), (0, &json!("dropped")), "{said}");
    assert_eq!(world.service().get("/api/v1/parked").await["total"], 0);
    assert_eq!(parked(&world, &["retry", "--all"]).await.0, 0, "there is nothing to do");
    let (code, _, said) = parked(&world, &["drop", &broken.to_string()]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("nothing is parked under"), "{said}");

    world.rest().await;
    let want = world.service().dump().await;
    let mut command = world.command("fresh");
    command.args(["--durable", "fresh"]);
    let fresh = Shipwatch::ready(command).await;
    let got = eventually("the fresh fold is as far", async || {
        let dump = fresh.dump().await;
        (dump.len() >= want.len()).then_some(dump)
    })
    .await;
    assert!(got == want, "--- got\n{got}\n--- want\n{want}");
}
