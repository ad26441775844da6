use serde_json::{Value, json};

use super::model::{Model, finished, minute, trigger};
use crate::domain::deadline::{Deadline, Passed};
use crate::domain::decision::{Decision, Fate};
use crate::domain::event::Event;
use crate::domain::issue::{ChangeKind, State};
use crate::domain::row::Entry;

/// `.triggered` of somebody else's task.
fn asked(id: &str, task: &str) -> Value {
    trigger(id, task, json!({}), 0)
}

fn reply(id: &str, task: &str, phase: &str, run: &str) -> Value {
    let mut event = finished(id, task, run, "pass", 5);
    event["type"] = format!("sh.keptn.event.{task}.{phase}").into();
    event
}

/// What the watcher publishes about a trigger.
fn passed(of: &Value, deadline: Deadline) -> Value {
    let trigger = Event::from_value(of.clone()).unwrap();
    let text = |member: &str| trigger.text(member).unwrap_or_default().to_owned();
    let passed = Passed {
        project: text("project"),
        stage: text("stage"),
        service: text("service"),
        task: trigger.ty.split('.').nth(3).unwrap().to_owned(),
        deadline,
        after: "10m".into(),
        triggered_at: minute(1000),
        started_at: (deadline == Deadline::Finished).then(|| minute(1000)),
    };
    passed.event(&trigger, minute(1010)).to_value()
}

fn decision(model: &mut Model, event: &Value) -> Decision {
    match model.feed(event).0.row.entry {
        Entry::Event(r) => r.decision,
        Entry::Own(own) => panic!("{own:?}"),
    }
}

fn kinds(model: &mut Model, event: &Value) -> Vec<ChangeKind> {
    decision(model, event).changes.iter().filter_map(|c| c.kind).collect()
}

/// State of the issue with the check `test/stuck`.
fn stuck(model: &Model) -> Option<State> {
    let state = model.keys.values().find(|s| s.key.check == "test/stuck")?;
    state.marks.issue.as_ref().map(|i| i.state)
}

#[test]
fn a_task_that_nobody_starts_is_an_issue_until_it_finishes() {
    let mut m = Model::default();
    let test = asked("t1", "test");
    m.feed(&test);
    let d = decision(&mut m, &passed(&test, Deadline::Started));
    assert_eq!(
        (d.fate, d.rule.as_deref(), d.changes[0].kind),
        (Fate::Applied, Some("stuck-task"), Some(ChangeKind::Opened))
    );
    let issue = m.issues()[0];
    assert_eq!(issue.title, "test is stuck: carts in shop/dev");
    assert!(issue.description.contains(&minute(1000).to_string()) && issue.description.contains("10m"), "{issue:?}");
    assert_eq!((issue.triggered_id.as_str(), issue.labels["build"].as_str()), ("t1", "7"));
    // Somebody takes it up late: it is not done with that.
    assert_eq!(kinds(&mut m, &reply("s", "test", "started", "t1")), []);
    // The outcome of the task is an issue beside it.
    assert_eq!(kinds(&mut m, &finished("f", "test", "t1", "fail", 5)), [ChangeKind::Opened, ChangeKind::Resolved]);
    assert_eq!(stuck(&m), Some(State::Resolved));
    assert_eq!(m.issues()[1].title, "failed f");
    // Once and for all.
    assert_eq!(decision(&mut m, &passed(&test, Deadline::Finished)).fate, Fate::Recorded);
}

#[test]
fn a_task_that_is_started_and_not_finished_is_an_issue_until_all_have_finished() {
    let mut m = Model::default();
    let test = asked("t1", "test");
    for event in [&test, &reply("a", "test", "started", "t1"), &reply("b", "test", "started", "t1")] {
        m.feed(event);
    }
    m.feed(&finished("fa", "test", "t1", "pass", 5));
    assert_eq!(decision(&mut m, &passed(&test, Deadline::Started)).why, "test has been answered by now");
    let d = decision(&mut m, &passed(&test, Deadline::Finished));
    assert_eq!(d.why, "opens the issue: 2 started test and 1 finished");
    // An abort is an end as well.
    let mut aborted = finished("fb", "test", "t1", "pass", 6);
    aborted["data"]["status"] = "aborted".into();
    let d = decision(&mut m, &aborted);
    assert_eq!(
        (d.fate, d.changes[0].kind, d.why.as_str()),
        (Fate::Recorded, Some(ChangeKind::Resolved), "aborted; test is no longer stuck")
    );
    assert_eq!(m.issues()[0].resolved_by.as_ref().unwrap().id, "fb");
}

#[test]
fn one_of_two_that_hang_is_not_enough() {
    let mut m = Model::default();
    let test = asked("t1", "test");
    for event in [&test, &reply("a", "test", "started", "t1"), &reply("b", "test", "started", "t1")] {
        m.feed(event);
    }
    m.feed(&passed(&test, Deadline::Finished));
    let d = decision(&mut m, &finished("fa", "test", "t1", "pass", 5));
    assert!(d.why.ends_with("test is still stuck: 2 started, 1 finished"), "{}", d.why);
    assert_eq!(stuck(&m), Some(State::Active));
    m.feed(&finished("fb", "test", "t1", "pass", 5));
    assert_eq!(stuck(&m), Some(State::Resolved));
}

#[test]
fn both_deadlines_of_a_trigger_count_and_each_once() {
    let mut m = Model::default();
    let test = asked("t1", "test");
    m.feed(&test);
    let first = passed(&test, Deadline::Started);
    m.feed(&first);
    assert!(matches!(decision(&mut m, &first).fate, Fate::Duplicate(_)));
    m.feed(&reply("a", "test", "started", "t1"));
    assert_eq!(kinds(&mut m, &passed(&test, Deadline::Finished)), [ChangeKind::Updated]);
    assert!(m.issues()[0].description.contains("not finished"));
    assert_eq!(m.issues()[0].occurrences, 2);
    m.feed(&finished("f", "test", "t1", "pass", 5));
    assert_eq!(stuck(&m), Some(State::Resolved));
}

#[test]
fn the_last_trigger_that_spoke_decides() {
    let mut m = Model::default();
    let (one, two) = (asked("t1", "test"), asked("t2", "test"));
    for event in [&one, &two, &passed(&one, Deadline::Started), &passed(&two, Deadline::Started)] {
        m.feed(event);
    }
    m.feed(&finished("f1", "test", "t1", "pass", 5));
    assert_eq!(stuck(&m), Some(State::Active), "t2 is still open");
    m.feed(&finished("f2", "test", "t2", "pass", 5));
    assert_eq!(stuck(&m), Some(State::Resolved));
    let three = asked("t3", "test");
    m.feed(&three);
    assert_eq!(kinds(&mut m, &passed(&three, Deadline::Started)), [ChangeKind::Reopened]);
    // Closed by hand: what finishes then has nothing to say.
    m.feed(&trigger("c", "close-issue", json!({"check": "test/stuck"}), 9));
    assert_eq!(kinds(&mut m, &finished("f3", "test", "t3", "pass", 5)), []);
}

#[test]
fn nothing_is_stuck_in_a_sequence_that_has_ended() {
    let test = asked("t1", "test");
    let mut end = finished("end", "test", "s1", "pass", 6);
    end["type"] = "sh.keptn.event.dev.delivery.finished".into();
    end["data"]["status"] = "aborted".into();
    let mut other = end.clone();
    other["type"] = "sh.keptn.event.prod.delivery.finished".into();
    let why = |events: &[&Value]| {
        let mut m = Model::default();
        events.iter().for_each(|e| {
            m.feed(e);
        });
        decision(&mut m, &passed(&test, Deadline::Started)).why
    };
    assert_eq!(why(&[&test, &end]), "the sequence of test has ended with event end");
    assert_eq!(why(&[&test, &other]), "opens the issue: nobody has started test");
    // An earlier sequence of the same stage.
    assert_eq!(why(&[&end, &test]), "opens the issue: nobody has started test");
}

#[test]
fn a_deadline_that_no_watcher_would_publish_changes_nothing() {
    let test = asked("t1", "test");
    let right = passed(&test, Deadline::Started);
    let changed = |path: &str, value: Value| {
        let mut event = right.clone();
        *event.pointer_mut(path).unwrap() = value;
        event
    };
    let mut replayed = test.clone();
    replayed["shipwatchreplay"] = "p".into();
    let ours = asked("t1", "open-issue");
    let mut nowhere = test.clone();
    nowhere["data"]["service"] = "".into();
    for (trigger, event) in [
        (None, right.clone()),
        (Some(&test), changed("/id", "another".into())),
        (Some(&test), changed("/triggeredid", "t2".into())),
        (Some(&test), changed("/data/task", "deployment".into())),
        (Some(&test), changed("/data/stage", "prod".into())),
        (Some(&test), changed("/data/deadline", "finished".into())),
        (Some(&test), changed("/data/deadline", "never".into())),
        (Some(&test), changed("/data/triggeredAt", "soon".into())),
        (Some(&test), changed("/data", "text".into())),
        (Some(&test), changed("/source", "shipwatch".into())),
        (Some(&test), changed("/source", "somebody".into())),
        (Some(&replayed), right.clone()),
        (Some(&ours), passed(&ours, Deadline::Started)),
        (Some(&nowhere), passed(&nowhere, Deadline::Started)),
    ] {
        let mut m = Model::default();
        trigger.map(|t| m.feed(t));
        let before = m.keys.len();
        let d = decision(&mut m, &event);
        assert!(matches!(d.fate, Fate::Recorded | Fate::Own) && !d.why.is_empty(), "{event}: {d:?}");
        assert!(d.changes.is_empty() && m.keys.len() == before, "{event}");
    }
    let mut m = Model::default();
    m.feed(&test);
    assert_eq!(kinds(&mut m, &right), [ChangeKind::Opened], "and the right one does");
}

#[test]
fn taking_an_outcome_back_does_not_make_its_task_stuck_again() {
    let invalidated = json!({"specversion":"1.0","id":"i","source":"user","type":"sh.keptn.event.test.invalidated",
        "triggeredid":"t1","data":{}});
    let mut m = Model::default();
    let test = asked("t1", "test");
    for event in [&test, &passed(&test, Deadline::Started), &finished("f", "test", "t1", "fail", 5)] {
        m.feed(event);
    }
    assert_eq!(kinds(&mut m, &invalidated), [ChangeKind::Withdrawn], "the failure of the test, and no more");
    assert_eq!(stuck(&m), Some(State::Resolved));
}

#[test]
fn what_was_said_of_stuck_tasks_outlasts_a_success_that_is_taken_back() {
    let invalidated = json!({"specversion":"1.0","id":"i","source":"user","type":"sh.keptn.event.all.invalidated",
        "triggeredid":"r","data":{}});
    let (one, two) = (asked("t1", "test"), asked("t2", "test"));
    let all = finished("all", "all", "r", "pass", 2000);
    let mut m = Model::default();
    for event in [&one, &passed(&one, Deadline::Started), &all] {
        m.feed(event);
    }
    assert_eq!(stuck(&m), Some(State::Resolved), "by the success for the whole scope");
    m.feed(&two);
    m.feed(&passed(&two, Deadline::Started));
    m.feed(&finished("f2", "test", "t2", "pass", 5));
    m.feed(&invalidated);
    // Without it, t2 spoke last and has finished.
    assert_eq!((stuck(&m), m.issues()[0].occurrences, m.issues()[0].episodes), (Some(State::Resolved), 2, 1));
}

proptest::proptest! {
    #[test]
    fn whatever_the_order_only_what_is_open_at_a_deadline_is_stuck(
        order in proptest::collection::vec(0usize..1000, 7),
        len in 1usize..=7,
    ) {
        let test = asked("t1", "test");
        // The trigger, two executors, and both deadlines in any order, cut off anywhere.
        let mut all = vec![
            test.clone(), reply("a", "test", "started", "t1"), reply("b", "test", "started", "t1"),
            finished("fa", "test", "t1", "pass", 5), finished("fb", "test", "t1", "fail", 5),
            passed(&test, Deadline::Started), passed(&test, Deadline::Finished),
        ];
        for i in (1..all.len()).rev() {
            all.swap(i, order[i] % (i + 1));
        }
        all.truncate(len);
        // The rules, counted by hand.
        let (mut known, mut heard, mut started, mut ended, mut done, mut want) = (false, false, 0, 0, false, None);
        for event in &all {
            let ty = event["type"].as_str().unwrap();
            if ty.ends_with("triggered") {
                known = true;
            } else if ty.ends_with("passed") {
                let missed = match event["data"]["deadline"].as_str() {
                    Some("started") => !heard,
                    _ => started > ended && !done,
                };
                if known && missed {
                    want = Some(State::Active);
                }
            } else if !done {
                heard = true;
                if ty.ends_with("started") { started += 1 } else { ended += 1 }
                done = ended > 0 && ended >= started;
                if done && want.is_some() {
                    want = Some(State::Resolved);
                }
            }
        }
        let mut m = Model::default();
        all.iter().for_each(|e| { m.feed(e); });
        proptest::prop_assert_eq!(stuck(&m), want, "{:#?}", all);
        // Everything once more changes nothing.
        all.iter().for_each(|e| { m.feed(e); });
        proptest::prop_assert_eq!(stuck(&m), want);
    }
}
