//! What would differ, and the event that makes it so.

use serde_json::{Value, json};

use super::{afternoon, replay, rule, write};
use crate::support::{World, task_finished};

#[tokio::test]
async fn other_rules_make_issues_appear_vanish_and_differ_by_the_event_that_is_named() {
    let world = World::start().await;
    afternoon(&world).await;
    // Another namespace: the built-in rule's issues vanish, those of the team's rule appear.
    write(&world.folder("new/rules/team.yaml"), &rule("ours", "critical"));
    let said = replay(&world, &["-o", "json", "--rules", "new", "--diff"]).await;
    assert_eq!(said.code, 3, "{}", said.err);
    let found: Value = serde_json::from_str(&said.out).unwrap();
    let diff = &found["diff"];
    let by = |side: &str| -> Vec<String> {
        let all = diff[side].as_array().unwrap().iter();
        all.map(|a| {
            format!(
                "{} {}",
                a["issue"]["scope"]["resourceNamespace"].as_str().unwrap(),
                a["event"]["id"].as_str().unwrap()
            )
        })
        .collect()
    };
    assert_eq!(
        (by("appear"), by("vanish")),
        (vec!["shop t1".to_owned()], vec!["shop-staging t1".to_owned(), "shop-staging t3".to_owned()]),
        "{diff:#}"
    );
    let cause = &diff["appear"][0]["event"];
    assert_eq!(
        (&cause["before"]["rule"], &cause["after"]["rule"]),
        (&json!("keptn-task"), &json!("ours")),
        "{cause:#}"
    );
    assert_eq!(cause["type"], "sh.keptn.event.test.finished");
    assert_eq!(cause["sequence"], world.service().folded("t1").await["sequence"]);
    assert_eq!(diff["same"], 3, "{diff:#}");
    let again = replay(&world, &["-o", "json", "--rules", "new", "--diff"]).await;
    assert_eq!(again.out, said.out);

    let text = replay(&world, &["--rules", "new", "--diff"]).await;
    assert_eq!(text.code, 3);
    for words in [
        "+ component/carts/shop ours critical RESOLVED \"carts is broken\", only under these rules",
        "      by sh.keptn.event.test.finished t1 of jmeter-service at ",
        "        as the rules were: failure by rule keptn-task",
        "        under these rules: failure by rule ours",
        "1 issue would appear, 2 vanish, 0 differ, 3 the same",
    ] {
        assert!(text.out.contains(words), "{words}\n{}", text.out);
    }
}

#[tokio::test]
async fn a_field_names_the_event_from_which_on_it_differs_for_good() {
    let mut world = World::start().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    write(&world.folder("shipyard/rules/team.yaml"), &rule("ours", "critical"));
    world.start_service().await;
    world.service().logged(&["the rules have changed"]).await;
    for (n, result) in [(1, "fail"), (2, "pass"), (3, "fail"), (4, "warning")] {
        let id = format!("t{n}");
        world.fold(task_finished("test").id(&id).run(&id).result(result).at(n)).await;
    }
    // A warning counts now, and the severity is another one for all of them.
    let changed = rule("ours", "minor").replace("data.result: fail", "data.result: [fail, warning]");
    write(&world.folder("new/rules/team.yaml"), &changed);
    let said = replay(&world, &["-o", "json", "--rules", "new", "--diff"]).await;
    let found: Value = serde_json::from_str(&said.out).unwrap();
    let fields = &found["diff"]["differ"][0]["fields"];
    let by: Vec<(&str, &str)> = fields
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["field"].as_str().unwrap(), f["event"]["id"].as_str().unwrap()))
        .collect();
    assert!(by.contains(&("severity", "t1")) && by.contains(&("occurrences", "t4")), "{by:?}");
    let occurrences = fields.as_array().unwrap().iter().find(|f| f["field"] == "occurrences").unwrap();
    assert_eq!((&occurrences["before"], &occurrences["after"]), (&json!(2), &json!(3)));
    assert_eq!(
        (&occurrences["event"]["before"]["outcome"], &occurrences["event"]["after"]["outcome"]),
        (&json!("neutral"), &json!("failure"))
    );
}

#[tokio::test]
async fn the_service_is_compared_with_what_a_replay_gives() {
    let world = World::start().await;
    afternoon(&world).await;
    let server = format!("http://{}", world.service().addr());
    let same = replay(&world, &["--against", &server]).await;
    assert_eq!((same.code, same.out.as_str()), (0, "no difference in 5 issues\n"), "{}", same.err);
    let same = replay(&world, &["--diff", "--server", &server, "-o", "json"]).await;
    assert_eq!(same.json()["diff"], json!({"appear": [], "vanish": [], "differ": [], "same": 5}));

    // Up to before the mending one issue differs, and what came later is not there.
    let before = world.service().folded("b1").await["sequence"].as_str().unwrap().to_owned();
    let said = replay(&world, &["--against", &server, "--to", &before, "-o", "json"]).await;
    assert_eq!(said.code, 3);
    let found: Value = serde_json::from_str(&said.out).unwrap();
    let diff = &found["diff"];
    let vanish: Vec<&str> =
        diff["vanish"].as_array().unwrap().iter().map(|a| a["event"]["id"].as_str().unwrap()).collect();
    assert_eq!(vanish.len(), 3, "{diff:#}");
    assert!(vanish.contains(&"o1") && vanish.contains(&"p1") && vanish.contains(&"t3"), "{vanish:?}");
    let differing = &diff["differ"][0];
    let state = differing["fields"].as_array().unwrap().iter().find(|f| f["field"] == "state").unwrap();
    assert_eq!(
        (&state["before"], &state["after"], &state["event"]["id"]),
        (&json!("RESOLVED"), &json!("ACTIVE"), &json!("t2")),
        "{diff:#}"
    );

    let nobody = replay(&world, &["--against", "http://127.0.0.1:9"]).await;
    assert!(nobody.code == 1 && nobody.out.is_empty(), "{}", nobody.err);
}
