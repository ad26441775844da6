use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::domain::decide::model::{TestRules, finished, minute, settings, trigger};
use crate::domain::decide::{Incoming, Judge as _, Memory, decide};
use crate::domain::event::{Event, Form};
use crate::domain::lookup::Lookup as _;
use crate::domain::row::Mark;
use crate::domain::rules::Verdict;
use crate::domain::stream::StreamIdentity;

fn small() -> Options {
    Options { segment: 16, ..Options::default() }
}

fn reached(sequence: u64) -> Reached {
    let stream = StreamIdentity { name: "s".into(), created: minute(0) };
    Reached { stream, sequence, time: minute(sequence as i64), base: 0 }
}

/// Folds payloads in groups of `size`, the n-th at minute n times `step`.
pub(crate) fn fold(store: &mut Store, payloads: &[String], size: usize, step: i64) {
    let mut sequence = store.progress().map_or(0, |r| r.sequence);
    for group in payloads.chunks(size) {
        let mut staged = store.stage();
        for payload in group {
            sequence += 1;
            let payload = Bytes::from(payload.clone());
            let event = Event::from_json(&payload);
            let verdict = event.as_ref().map_or(Verdict::NoRule, |e| TestRules.evaluate("", e));
            let incoming = Incoming {
                position: Position::new(sequence, 0),
                stream_time: minute(sequence as i64 * step),
                subject: "s".into(),
                form: Form::Bare,
                event,
                verdict,
                payload,
            };
            let decided = decide(incoming, &staged, &TestRules, &settings(), &Memory::new(0)).unwrap();
            staged.add(decided).unwrap();
        }
        store.commit(staged, reached(sequence)).unwrap();
    }
}

fn text(store: &Store) -> String {
    let mut out = Vec::new();
    dump(&store.reader(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn story(n: usize, step: i64) -> Vec<String> {
    let result = |i: usize| ["fail", "pass", "fail", "warning"][i % 4];
    (0..n)
        .map(|i| match i % 11 {
            7 => "{broken".to_owned(),
            8 => trigger(
                &format!("t{i}"),
                "open-issue",
                serde_json::json!({"check": format!("c{}", i % 3)}),
                i as i64 * step,
            )
            .to_string(),
            _ => {
                let mut e = finished(&format!("e{i}"), "test", &format!("r{}", i / 2), result(i), i as i64 * step);
                e["data"]["service"] = format!("service-{}", i % 5).into();
                e.to_string()
            }
        })
        .collect()
}

#[test]
fn a_reopened_store_is_the_same_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let all = story(90, 1);
    let mut store = Store::open(dir.path(), small()).unwrap();
    fold(&mut store, &all[..50], 7, 1);
    let before = text(&store);
    drop(store);
    let mut store = Store::open(dir.path(), small()).unwrap();
    assert_eq!(text(&store), before);
    assert_eq!(store.progress().unwrap().sequence, 50);
    fold(&mut store, &all[50..], 7, 1);
    let other = tempfile::tempdir().unwrap();
    let mut whole = Store::open(other.path(), small()).unwrap();
    fold(&mut whole, &all, 1, 1);
    assert_eq!(text(&store), text(&whole));
    let reader = store.reader();
    for id in ["e0", "e50", "e89"] {
        assert_eq!(reader.rows(Mark::EventId(id)).unwrap().len(), 1, "{id}");
    }
    assert!(reader.rows(Mark::EventId("e999")).unwrap().is_empty());
}

#[test]
fn retention_does_not_depend_on_grouping() {
    let options =
        Options { keep_events: Duration::from_secs(3600 * 3), keep_resolved: Duration::from_secs(3600 * 5), ..small() };
    let all = story(300, 10);
    let dumps: Vec<String> = [1, 7, 64, 300]
        .into_iter()
        .map(|size| {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path(), options).unwrap();
            fold(&mut store, &all, size, 10);
            let text = text(&store);
            drop(store);
            let store = Store::open(dir.path(), options).unwrap();
            assert_eq!(self::text(&store), text);
            text
        })
        .collect();
    assert!(dumps[0].matches("\"space\":\"journal\"").count() < 100, "old lines are gone");
    assert!(dumps[0].contains("{broken"), "parked lines stay");
    for other in &dumps[1..] {
        assert!(dumps[0] == *other);
    }
}

#[test]
fn a_large_event_is_kept_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), small()).unwrap();
    let mut event = finished("big", "test", "r", "fail", 1);
    let noise: String =
        (0..600_000u32).map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 13) as u8 % 26)).collect();
    event["data"]["message"] = noise.into();
    fold(&mut store, &[event.to_string()], 1, 1);
    drop(store);
    let store = Store::open(dir.path(), small()).unwrap();
    let row = store.reader().line(Position::new(1, 0)).unwrap().unwrap();
    let crate::domain::row::Entry::Event(recorded) = row.entry else { panic!() };
    assert_eq!(recorded.payload, event.to_string().as_bytes());
}

#[test]
fn a_folder_in_use_or_from_the_future_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small()).unwrap();
    let error = Store::open(dir.path(), small()).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    drop(store);
    {
        let db = sled::open(dir.path()).unwrap();
        let mut batch = Batch::default();
        space::put(&mut batch, &META_KEY, &[1, 9, 9, 9], None);
        db.apply_batch(batch).unwrap();
        db.flush().unwrap();
    }
    let error = Store::open(dir.path(), small()).unwrap_err().to_string();
    assert!(error.contains("newer Shipwatch (format 9"), "{error}");
}

#[test]
fn a_snapshot_that_was_being_written_does_not_keep_the_store_shut() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), small()).unwrap();
    fold(&mut store, &story(20, 1), 4, 1);
    let before = text(&store);
    drop(store);
    std::fs::write(dir.path().join("snap.0000000000000001.generating"), b"half").unwrap();
    assert_eq!(text(&Store::open(dir.path(), small()).unwrap()), before);
}
