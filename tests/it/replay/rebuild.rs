//! A store made anew from the stream is the store of the service, and answers nobody a second time.

use shipwatch::store::{Options, Store};

use super::{afternoon, replay};
use crate::support::{Shipwatch, World, task_finished};

#[tokio::test]
async fn a_rebuilt_folder_is_served_as_if_it_had_been_there_all_along() {
    let mut world = World::start().await;
    afternoon(&world).await;
    let shown = world.service().dump().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    let before = world.bus.read("shipwatch").await.len();

    let said = replay(&world, &["--rebuild", "anew", "-o", "json"]).await;
    assert_eq!(said.json()["summary"]["events"], before);
    assert!(said.err.contains(&format!("anew holds stream \"shipwatch\" up to sequence {before}")), "{}", said.err);
    let text = |folder: &str| {
        let store = Store::open(&world.folder(folder), Options::default()).unwrap();
        let mut text = Vec::new();
        store.reader().dump(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    let (old, new) = (text("data"), text("anew"));
    assert!(old == new, "--- service\n{old}\n--- rebuilt\n{new}");

    world.service = Some(Shipwatch::ready(world.command("anew")).await);
    assert_eq!(world.service().dump().await, shown);
    world.fold(task_finished("test").id("t9").run("r9").at(9)).await;
    world.rest().await;
    let replies = world.bus.replies("o1").await;
    assert_eq!(replies.len(), 2, "one started, one finished, and none again");
    let marks = world
        .bus
        .read("shipwatch")
        .await
        .iter()
        .filter(|m| m.json["id"].as_str().is_some_and(|id| id.starts_with("marker")))
        .count();
    assert!(marks > 0);
    assert_eq!(world.service().folded("t9").await["outcome"], "success");
}
