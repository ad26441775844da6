//! One story told in whole: everything that is shown after each step, as a reviewed snapshot.

use serde_json::json;

use crate::support::{World, problem, sequence, task_finished, task_triggered};

#[tokio::test]
async fn a_delivery_that_fails_and_is_repaired() {
    let world = World::start().await;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]");
    settings.add_filter(r"127\.0\.0\.1:\d+", "[address]");
    settings.add_filter(r#""ruleSet": "[0-9a-f]+""#, r#""ruleSet": "[hash]""#);
    settings.add_filter(r"[0-9a-f-]{36}\.1", "[loading].1");
    settings.add_filter(r#""data": "[0-9a-f]{64}""#, r#""data": "[hash]""#);
    let show = async |step: &str| {
        world.settle().await;
        let dump = world.service().dump().await;
        settings.bind(|| insta::assert_snapshot!(step, dump));
    };
    let event = |task: &str, n: u32| task_finished(task).id(&format!("{task}-{n}")).run(&format!("{task}-run-{n}"));
    world.fold(event("test", 1).result("fail").message("3 of 9 checks failed").at(1)).await;
    let delivery = sequence("staging", "delivery", "finished").id("delivery-1").run("delivery-run-1");
    world.fold(delivery.clone().result("fail").at(2)).await;
    let request = json!({"title": "carts cannot be delivered", "severity": "critical"});
    world.bus.ask(task_triggered("open-issue").id("open-1").data("open-issue", request).at(3)).await;
    world.fold(problem("P-1", "OPEN").id("problem-1").at(4)).await;
    show("broken").await;

    world.fold(event("test", 2).at(11)).await;
    world.fold(delivery.id("delivery-2").run("delivery-run-2").at(12)).await;
    world.bus.ask(task_triggered("close-issue").id("close-1").data("open-issue", json!({"number": 3})).at(13)).await;
    world.fold(problem("P-1", "RESOLVED").id("problem-2").at(14)).await;
    world.fold(event("test", 3).result("fail").at(5)).await;
    show("repaired").await;
}
