//! What cannot be replayed is said in words that help, and nothing is printed as if it were a result.

use async_nats::jetstream::stream::Config;
use serde_json::json;
use shipwatch::bus::{self, Patience, Settings};
use shipwatch::replay::{Place, Range, Source};

use super::{arg, replay, write};
use crate::support::{World, task_finished};

const GOOD: &str = r#"{"specversion":"1.0","id":"a","source":"s","type":"sh.keptn.event.test.finished","time":"2026-01-02T03:04:05Z","data":{"project":"p","stage":"s","service":"c","result":"fail","status":"succeeded"}}"#;

#[tokio::test]
async fn lines_that_are_no_events_stop_it_before_anything_is_printed_or_are_parked() {
    let world = World::start().await;
    let cut = &GOOD[..90];
    write(&world.folder("mixed.ndjson"), &format!("{GOOD}\nhello\n\n{{\"id\":\"x\"}}\n{cut}"));
    let said = replay(&world, &["-o", "json", "--file", "mixed.ndjson"]).await;
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
    for words in ["3 mistakes", "line 2: ", "line 4: attribute \"specversion\" is missing", "line 5: ", "--keep-going"]
    {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    let said = replay(&world, &["-o", "json", "--file", "mixed.ndjson", "--keep-going"]).await;
    let found = said.json();
    assert_eq!((&found["summary"]["parked"], &found["summary"]["active"]), (&json!(3), &json!(1)), "{found:#}");
    assert!(said.err.contains("3 mistakes, parked") && said.err.contains("line 5: "), "{}", said.err);
}

#[tokio::test]
async fn what_is_not_there_is_said_plainly() {
    let world = World::start().await;
    world.fold(task_finished("test").id("t1").result("fail").at(1)).await;
    write(&world.folder("empty.ndjson"), "\n");
    std::fs::create_dir(world.folder("nothing")).unwrap();
    for (args, code, words) in [
        (&["--from", "900"][..], 1, "no event matches in stream \"shipwatch\", which holds sequences 1 to 3"),
        (&["--to", "2001-01-01T00:00:00Z"], 1, "no event matches in stream \"shipwatch\""),
        (&["--source", "nobody"], 1, "no event matches"),
        (&["--stream", "other"], 1, "stream \"other\" does not exist"),
        (&["--file", "empty.ndjson"], 1, "no event matches in empty.ndjson, which has 1 line"),
        (&["--file", "nowhere.ndjson"], 1, "cannot read nowhere.ndjson"),
        (&["--journal", "nothing"], 1, "nothing is not the data folder of a service"),
        (&["--journal", "nowhere"], 1, "nowhere is not the data folder of a service"),
        (&["--rules", "nowhere"], 2, "cannot read the folder nowhere"),
        (&["--from", "9", "--to", "8"], 2, "--from lies behind --to"),
        (&["--from", "soon"], 2, "neither a time like"),
        (&["--publish"], 2, "--subject-prefix"),
        (&["--rebuild", "x", "--from", "2"], 2, "cannot be used with"),
        (&["--keep-going"], 2, "--file"),
    ] {
        let said = replay(&world, args).await;
        assert!(
            said.code == code && said.out.is_empty() && said.err.contains(words),
            "{args:?}: {} {}",
            said.code,
            said.err
        );
    }
    assert!(!world.folder("nowhere").exists() && std::fs::read_dir(world.folder("nothing")).unwrap().count() == 0);
}

#[tokio::test]
async fn a_journal_of_another_version_is_not_guessed_at() {
    let mut world = World::start().await;
    world.fold(task_finished("test").id("t1").result("fail").at(1)).await;
    assert!(world.service.take().unwrap().terminate().await.success());
    for (format, words) in [(9_u32, "has store format 9, this Shipwatch reads up to format 1"), (0, "did not write")] {
        // The one record that never moves says which version it is.
        let db = sled::open(world.folder("data")).unwrap();
        db.insert(b"mformat", &format.to_be_bytes()).unwrap();
        db.flush().unwrap();
        drop(db);
        let said = replay(&world, &["--journal", "data"]).await;
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        assert!(said.err.contains(words), "{}", said.err);
    }
}

#[tokio::test]
async fn rules_that_fail_on_old_events_are_counted_and_named() {
    let world = World::start().await;
    for id in ["t1", "t2"] {
        world.fold(task_finished("test").id(id).run(id).result("fail").at(1)).await;
    }
    let broken = super::rule("fragile", "major").replace("data.service", "data.nothing");
    write(&world.folder("new/rules/team.yaml"), &broken);
    let said = replay(&world, &["-o", "json", "--rules", "new"]).await;
    let failing = &said.json()["summary"]["failingRules"]["fragile"];
    assert_eq!((&failing["events"], &failing["eventId"]), (&json!(2), &json!("t1")), "{failing:#}");
    assert!(failing["why"].as_str().unwrap().contains("nothing"), "{failing:#}");
    let table = replay(&world, &["--rules", "new"]).await.out;
    assert!(table.contains("failing  rule fragile on 2 events, first on t1 at "), "{table}");
}

#[tokio::test]
async fn a_stream_that_drops_what_is_still_to_be_read_gives_no_result() {
    let world = World::start().await;
    let config = Config { name: "small".into(), subjects: vec!["small.>".into()], ..Config::default() };
    let stream = world.bus.jetstream.create_stream(config).await.unwrap();
    for n in 0..5 {
        world.bus.publish_raw("small.x", &[], format!("{{\"n\":{n}}}")).await;
    }
    let connected = bus::connect(&Settings::url(world.nats.url()), "story", Patience::FailFast).await.unwrap();
    let setup = super::elsewhere::setup();
    let mut source =
        Source::open(&Place::Stream(Box::new(connected), "small".into()), Range::ALL, &setup).await.unwrap();
    stream.purge().sequence(4).await.unwrap();
    let mut read = 0;
    let error = loop {
        match source.next().await {
            Ok(group) => read += group.len(),
            Err(error) => break error,
        }
        assert!(read <= 2, "what is gone cannot be read");
    };
    assert!(error.to_string().contains("the stream dropped 3 of 5 events while they were read"), "{error:#}");
}

#[tokio::test]
async fn a_data_folder_is_written_to_an_empty_place_or_not_at_all() {
    let world = World::start().await;
    world.fold(task_finished("test").id("t1").result("fail").at(1)).await;
    let kept = write(&world.folder("full/file"), "mine");
    let said = replay(&world, &["--rebuild", "full"]).await;
    assert!(said.code == 1 && said.err.contains("full is not empty"), "{}", said.err);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "mine");
    let said = replay(&world, &["--rebuild", arg(&kept)]).await;
    assert!(said.code == 1 && said.err.contains("is not a folder"), "{}", said.err);
    let names = || std::fs::read_dir(world.folder("")).unwrap().count();
    let before = names();
    let said = replay(&world, &["--rebuild", "new", "--stream", "other"]).await;
    assert_eq!((said.code, names()), (1, before), "{}", said.err);
}
