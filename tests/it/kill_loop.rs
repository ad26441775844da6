//! Killed with SIGKILL thirty times under load: nothing acknowledged is missing, no reply is missing, none is doubled.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use crate::support::{Shipwatch, World, eventually, task_finished, task_triggered};

const KILLS: u32 = 30;
const SERVICES: u32 = 7;

/// Small and repeatable; which moments are hit is up to the machine anyway.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[tokio::test]
async fn thirty_kills_lose_and_double_nothing() {
    let mut world = World::start().await;
    world.settle().await;
    let (bus, over) = (world.bus.clone(), Cell::new(false));

    // The load goes on through all kills: the stream takes what nobody reads yet.
    let load = async {
        let mut n = 0_u32;
        while !over.get() {
            let service = format!("service-{}", n % SERVICES);
            let failure = task_finished("test").id(&format!("failure-{n}")).run(&format!("run-{n}"));
            let trigger = task_triggered("open-issue").id(&format!("trigger-{n}")).service(&service);
            bus.publish(failure.service(&service).result("fail").at(1)).await;
            bus.publish(trigger.data("open-issue", json!({"title": format!("broken {n}")})).at(2)).await;
            n += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        n
    };
    let kills = async {
        let mut dice = Dice(20_260_102);
        for _ in 0..KILLS {
            // The moment is the point here: from the middle of the start to the middle of a group.
            tokio::time::sleep(Duration::from_millis(dice.below(120))).await;
            world.kill();
            if dice.below(3) == 0 {
                // Not even ready when it is hit again.
                let starting = Shipwatch::start(world.command("data"));
                tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
                starting.kill9();
            }
            world.start_service().await;
        }
        over.set(true);
    };
    let (published, ()) = tokio::join!(load, kills);
    world.settle().await;

    let mut occurrences = 0;
    for issue in world.service().all("/api/v1/issues?check=test").await {
        occurrences += issue["occurrences"].as_u64().unwrap();
    }
    assert_eq!(occurrences, u64::from(published), "every failure counted once");

    let replies = eventually("every trigger is answered", async || {
        let mut replies: HashMap<String, Vec<String>> = HashMap::new();
        for message in world.bus.read("shipwatch").await {
            if message.json["source"] == "shipwatch" && message.subject.starts_with("sh.keptn.event.open-issue.") {
                let trigger = message.json["triggeredid"].as_str().unwrap().to_owned();
                replies.entry(trigger).or_default().push(message.subject.rsplit('.').next().unwrap().to_owned());
            }
        }
        let whole = replies.values().filter(|r| r.iter().any(|k| k == "finished")).count();
        (whole >= published as usize).then_some(replies)
    })
    .await;
    assert_eq!(replies.len(), published as usize);
    for (trigger, kinds) in replies {
        assert_eq!(kinds, ["started", "finished"], "{trigger}");
    }
}
