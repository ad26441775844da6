use serde_json::{Value, json};

use super::rebuild::rebuild;
use super::watch::{Due, Fact, Spans, Watch};
use super::{Deadlines, Feed};
use crate::domain::deadline::{Deadline, Passed};
use crate::domain::decide::model::{Model, finished, minute, trigger};
use crate::domain::event::Event;
use crate::domain::row::Row;
use crate::domain::stream::{Reached, StreamIdentity};
use crate::domain::time::Time;
use crate::store::{Options, Store};
use crate::units::Span;

/// Ten minutes to start, an hour to finish; approvals take as long as they take.
fn spans() -> Spans {
    let mut spans = Spans { started: Span::from_secs(600), finished: Span::from_hours(1), ..Spans::default() };
    spans.tasks.insert("approval".into(), (None, Some(Span::from_secs(0))));
    spans
}

fn asked(id: &str) -> Value {
    trigger(id, "test", json!({}), 0)
}

fn reply(id: &str, phase: &str, run: &str) -> Value {
    let mut event = finished(id, "test", run, "pass", 5);
    event["type"] = format!("sh.keptn.event.test.{phase}").into();
    event
}

fn said(trigger: &str, deadline: Deadline) -> Value {
    let passed = Passed {
        project: "shop".into(),
        stage: "dev".into(),
        service: "carts".into(),
        task: "test".into(),
        deadline,
        after: "10m".into(),
        triggered_at: minute(0),
        started_at: None,
    };
    passed.event(&Event::from_value(asked(trigger)).unwrap(), minute(0)).to_value()
}

fn end_of_sequence(id: &str) -> Value {
    let mut end = finished(id, "test", "s", "pass", 5);
    end["type"] = "sh.keptn.event.dev.delivery.finished".into();
    end
}

/// Folds events at these minutes; their lines.
fn lines(events: &[(i64, Value)]) -> Vec<Row> {
    let mut model = Model::default();
    events
        .iter()
        .map(|(at, event)| {
            model.now = minute(*at);
            model.feed(event).0.row
        })
        .collect()
}

fn watching(events: &[(i64, Value)]) -> Watch {
    let mut watch = Watch::new(spans());
    lines(events).iter().for_each(|row| {
        Fact::of(row).for_each(|fact| watch.take(fact));
        watch.reach(row.stream_time);
    });
    watch
}

/// All that is said up to a minute: trigger, deadline, minute at which it passed.
fn all_due(watch: &mut Watch, until: i64) -> Vec<(String, Deadline, i64)> {
    watch.go_live();
    let mut all = Vec::new();
    while let Some(Due { trigger, deadline, at, .. }) = watch.due(minute(until)) {
        watch.said(&trigger, deadline);
        all.push((trigger.to_string(), deadline, (at.seconds_since(minute(0)) / 60.0) as i64));
    }
    all
}

#[test]
fn deadlines_pass_for_what_is_open_and_for_nothing_else() {
    let mut watch = watching(&[
        (0, asked("never")),
        (0, asked("hangs")),
        (0, asked("ends")),
        (0, asked("two")),
        (1, reply("1", "started", "hangs")),
        (1, reply("2", "started", "ends")),
        (1, reply("3", "started", "two")),
        (2, reply("4", "started", "two")),
        (3, reply("5", "finished", "ends")),
        (3, reply("6", "finished", "two")),
        (4, trigger("approved", "approval", json!({}), 0)),
        (5, {
            let mut e = reply("7", "started", "approved");
            e["type"] = "sh.keptn.event.approval.started".into();
            e
        }),
        (5, asked("talks")),
        (6, reply("8", "status.changed", "talks")),
    ]);
    assert_eq!(watch.due(minute(1000)), None, "not before it is live");
    assert_eq!(all_due(&mut watch, 60), [("never".to_owned(), Deadline::Started, 10)]);
    assert_eq!(
        all_due(&mut watch, 1000),
        [("hangs".to_owned(), Deadline::Finished, 61), ("two".to_owned(), Deadline::Finished, 62)]
    );
}

#[test]
fn a_sequence_takes_its_tasks_with_it() {
    let mut watch =
        watching(&[(0, asked("t1")), (0, asked("t2")), (1, reply("1", "started", "t2")), (2, end_of_sequence("e"))]);
    assert_eq!((watch.len(), all_due(&mut watch, 1000)), (0, vec![]));
}

#[test]
fn what_stands_in_the_stream_is_not_said_again() {
    let mut watch = watching(&[
        (0, asked("t1")),
        (11, said("t1", Deadline::Started)),
        (12, reply("1", "started", "t1")),
        (13, asked("t2")),
        (14, {
            let mut forged = said("t2", Deadline::Started);
            forged["id"] = "x".into();
            forged
        }),
    ]);
    assert_eq!(
        all_due(&mut watch, 1000),
        [("t2".to_owned(), Deadline::Started, 23), ("t1".to_owned(), Deadline::Finished, 72)]
    );
}

#[test]
fn an_old_stream_neither_fills_the_memory_nor_is_answered() {
    let day = 24 * 60;
    let events: Vec<_> = (0..200).map(|n| (n * day / 20, asked(&format!("t{n}")))).collect();
    let mut watch = Watch::new(spans());
    let mut most = 0;
    for row in lines(&events) {
        Fact::of(&row).for_each(|fact| watch.take(fact));
        watch.reach(row.stream_time);
        most = most.max(watch.len());
    }
    assert_eq!(most, 21, "a day's worth");
    let all = all_due(&mut watch, 11 * day);
    assert_eq!((all.len(), all[0].0.as_str()), (21, "t179"));
    // What nobody ever takes up is forgotten in the end.
    assert_eq!(watch.due(minute(13 * day)), None);
    assert_eq!(watch.len(), 0);
}

#[test]
fn a_story_told_in_another_order_is_put_right_from_the_journal() {
    let events =
        [(0, reply("1", "started", "t1")), (1, asked("t1")), (1, asked("t2")), (2, reply("2", "finished", "t2"))];
    let mut watch = watching(&events);
    let due = {
        watch.go_live();
        watch.due(minute(11)).unwrap()
    };
    assert_eq!((&*due.trigger, due.deadline), ("t1", Deadline::Started));
    let rows = lines(&events);
    let (replies, started_at) = crate::domain::deadline::Replies::of("t1", &rows);
    assert!(!replies.misses(Deadline::Started));
    watch.correct(&due.trigger, replies, started_at);
    assert_eq!(all_due(&mut watch, 1000), [("t1".to_owned(), Deadline::Finished, 60)]);
}

/// A store with these events.
fn stored(events: &[(i64, Value)]) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Options::default()).unwrap();
    let mut model = Model::default();
    let mut staged = store.stage();
    for (at, event) in events {
        model.now = minute(*at);
        staged.add(model.feed(event).0).unwrap();
    }
    let sequence = events.len() as u64;
    let stream = StreamIdentity { name: "shipwatch".into(), created: Time::EPOCH };
    store.commit(staged, Reached { stream, sequence, base: 0, time: model.now }).unwrap();
    (dir, store)
}

#[test]
fn a_task_started_long_after_it_was_asked_for_is_found_again() {
    let day = 24 * 60;
    let mut events = vec![(0, asked("t1")), (0, asked("done")), (1, reply("0", "finished", "done"))];
    events.extend((1..20).map(|n| (n * day / 4, finished(&format!("f{n}"), "other", "r", "pass", 0))));
    events.push((5 * day, reply("1", "started", "t1")));
    events.push((5 * day, reply("2", "started", "done")));
    let (_dir, store) = stored(&events);
    let (mut watch, read) = rebuild(&store.reader(), store.progress().last, spans());
    read.unwrap();
    assert_eq!(all_due(&mut watch, 6 * day), [("t1".to_owned(), Deadline::Finished, 5 * day + 60)]);
}

#[test]
fn what_the_fold_tells_while_the_journal_is_read_comes_behind_it() {
    let before = [(0, asked("t1")), (0, asked("t2"))];
    let (_dir, store) = stored(&before);
    let deadlines = Deadlines::new(spans());
    let mut feed = Feed::new(deadlines.clone());
    let all = [before.as_slice(), &[(1, reply("1", "started", "t1")), (2, reply("2", "finished", "t2"))]].concat();
    lines(&all)[2..].iter().for_each(|row| feed.note(row));
    feed.committed();
    let (watch, read) = rebuild(&store.reader(), store.progress().last, spans());
    read.unwrap();
    deadlines.begin(watch);
    let watch = &mut deadlines.state.lock().watch;
    assert_eq!(all_due(watch, 1000), [("t1".to_owned(), Deadline::Finished, 61)]);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    #[test]
    fn a_restart_anywhere_knows_the_same(
        steps in proptest::collection::vec((0u8..6, 0u8..4, 0i64..36), 1..40),
        cut in 0usize..40,
    ) {
        let mut at = 0;
        let events: Vec<(i64, Value)> = steps.iter().enumerate().map(|(n, (what, which, minutes))| {
            at += minutes;
            let (run, id) = (format!("t{which}"), format!("e{n}"));
            let event = match what {
                0 => asked(&run),
                1 | 2 => reply(&id, "started", &run),
                3 => reply(&id, "finished", &run),
                4 => said(&run, if minutes % 2 == 0 { Deadline::Started } else { Deadline::Finished }),
                _ => end_of_sequence(&id),
            };
            (at, event)
        }).collect();
        let cut = cut.min(events.len());
        let (_dir, store) = stored(&events[..cut]);
        let (mut after, read) = rebuild(&store.reader(), store.progress().last, spans());
        read.unwrap();
        for row in &lines(&events)[cut..] {
            Fact::of(row).for_each(|fact| after.take(fact));
            after.reach(row.stream_time);
        }
        let mut straight = watching(&events);
        let until = at + 10_000;
        proptest::prop_assert_eq!(all_due(&mut after, until), all_due(&mut straight, until));
    }
}
