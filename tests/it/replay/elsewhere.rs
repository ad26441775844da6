//! Events sent again for other consumers: marked, paced, and never back into what the service reads.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream::Config;
use serde_json::json;
use shipwatch::config::{self, Mistakes, RawConfig};
use shipwatch::domain::decide::{Settings, TaskNames};
use shipwatch::replay::{Filter, Setup};
use shipwatch::store;

use super::{replay, write};
use crate::support::{World, task_finished, time_at};

/// What a replay is set to where nothing is set.
pub(super) fn setup() -> Setup {
    let config = config::check(&RawConfig::default(), Mistakes::default()).unwrap();
    let tasks = TaskNames {
        open: config.tasks.open_issue.clone(),
        update: config.tasks.update_issue.clone(),
        close: config.tasks.close_issue.clone(),
        check: config.tasks.check_issues.clone(),
    };
    let keep_events = config.retention.events.get();
    let settings = Settings { tasks, issue_events: Vec::new(), keep_events, public_url: String::new() };
    Setup { settings, event_size: 1 << 20, store: store::Options::default(), filter: Filter::default() }
}

#[tokio::test]
async fn events_are_sent_below_a_prefix_and_marked_so_that_they_cause_nothing() {
    let world = World::start().await;
    for n in 1..=3 {
        world.fold(task_finished("test").id(&format!("t{n}")).run(&format!("r{n}")).result("fail").at(n)).await;
    }
    let issues = world.service().all("/api/v1/issues").await;
    world
        .bus
        .jetstream
        .create_stream(Config { name: "lab".into(), subjects: vec!["lab.>".into()], ..Config::default() })
        .await
        .unwrap();
    let only = ["--type", "sh.keptn.event.test.finished"];
    for round in 1..=2 {
        let said = replay(&world, &[&["--publish", "--subject-prefix", "lab.one"][..], &only].concat()).await;
        assert_eq!((said.code, said.out.as_str()), (0, "3 events sent below lab.one\n"), "{}", said.err);
        assert_eq!(world.bus.read("lab").await.len(), 3 * round, "a second replay is no repeat of the first");
    }
    let sent = world.bus.read("lab").await;
    let event = &sent[0];
    assert_eq!(event.subject, "lab.one.sh.keptn.event.test.finished");
    assert_eq!(
        (&event.json["id"], &event.json["shipwatchreplay"]),
        (&json!("t1"), &world.service().folded("t1").await["sequence"])
    );
    // Even where somebody brings them back.
    for message in &sent {
        world.bus.publish(message.json.clone()).await;
    }
    world.settle().await;
    assert_eq!(world.service().all("/api/v1/issues").await, issues);

    for wrong in ["", "sh.keptn", "sh", "dev.shipwatch.replay", "a b", "lab.>"] {
        let said = replay(&world, &["--publish", "--subject-prefix", wrong]).await;
        assert!(said.code == 2 && said.err.contains("--subject-prefix: "), "{wrong:?}: {} {}", said.code, said.err);
    }
    let unheard = replay(&world, &[&["--publish", "--subject-prefix", "nowhere"][..], &only].concat()).await;
    assert!(unheard.err.contains("no stream holds 9 of them"), "{}", unheard.err);
}

#[tokio::test]
async fn events_are_paced_by_their_own_time() {
    let world = World::start().await;
    let lines: Vec<String> =
        (1..=2).map(|n| task_finished("test").id(&format!("t{n}")).at(n).json().to_string()).collect();
    assert_ne!(time_at(1), time_at(2), "a minute lies between them");
    write(&world.folder("two.ndjson"), &lines.join("\n"));
    let began = Instant::now();
    let args = ["--file", "two.ndjson", "--publish", "--subject-prefix", "lab", "--speed", "60x"];
    let said = replay(&world, &args).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(began.elapsed() >= Duration::from_secs(1), "a minute sixty times as fast");
    let wrong = replay(&world, &["--publish", "--subject-prefix", "lab", "--speed", "fast"]).await;
    assert!(wrong.code == 2 && wrong.err.contains("a factor like 10x"), "{}", wrong.err);
}
