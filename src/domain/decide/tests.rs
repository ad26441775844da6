use serde_json::{Value, json};

use super::model::{Model, finished, minute, trigger};
use crate::domain::decision::{Fate, Layer};
use crate::domain::issue::{ChangeKind, State};
use crate::domain::row::{Entry, Mark, OwnKind};

fn fate(model: &mut Model, event: &Value) -> Fate {
    match model.feed(event).0.row.entry {
        Entry::Event(r) => r.decision.fate,
        Entry::Own(_) => Fate::Own,
    }
}

fn kinds(model: &mut Model, event: &Value) -> Vec<ChangeKind> {
    match model.feed(event).0.row.entry {
        Entry::Event(r) => r.decision.changes.iter().filter_map(|c| c.kind).collect(),
        Entry::Own(_) => vec![],
    }
}

#[test]
fn an_issue_opens_updates_resolves_and_reopens() {
    let mut m = Model::default();
    assert_eq!(kinds(&mut m, &finished("1", "test", "r1", "fail", 1)), [ChangeKind::Opened]);
    assert_eq!(kinds(&mut m, &finished("2", "test", "r2", "fail", 2)), [ChangeKind::Updated]);
    assert_eq!(kinds(&mut m, &finished("3", "test", "r3", "pass", 3)), [ChangeKind::Resolved]);
    assert_eq!(kinds(&mut m, &finished("4", "test", "r4", "pass", 4)), []);
    assert_eq!(kinds(&mut m, &finished("5", "test", "r5", "fail", 5)), [ChangeKind::Reopened]);
    let issue = m.issues()[0];
    assert_eq!((issue.number, issue.occurrences, issue.episodes, issue.state), (1, 3, 2, State::Active));
    assert_eq!(issue.detected_at, minute(5));
    assert_eq!(issue.resolved_at, None);
}

#[test]
fn late_events_lose() {
    let mut m = Model::default();
    m.feed(&finished("1", "test", "r1", "fail", 10));
    assert_eq!(fate(&mut m, &finished("2", "test", "r2", "pass", 9)), Fate::Stale);
    assert_eq!(m.issues()[0].state, State::Active);
    m.feed(&finished("3", "test", "r3", "pass", 12));
    assert_eq!(fate(&mut m, &finished("4", "test", "r4", "fail", 11)), Fate::Stale);
    assert_eq!(m.issues()[0].state, State::Resolved);
    assert_eq!(m.issues()[0].occurrences, 1);
}

#[test]
fn a_late_failure_opens_nothing_even_where_there_was_no_issue() {
    let mut m = Model::default();
    m.feed(&finished("1", "test", "r1", "pass", 10));
    assert_eq!(fate(&mut m, &finished("2", "test", "r2", "fail", 9)), Fate::Stale);
    assert!(m.issues().is_empty());
}

#[test]
fn the_same_thing_twice_counts_once() {
    let mut m = Model::default();
    let event = finished("1", "test", "r1", "fail", 1);
    m.feed(&event);
    assert_eq!(fate(&mut m, &event), Fate::Duplicate(Layer::Id));
    assert_eq!(fate(&mut m, &finished("other", "test", "r1", "fail", 2)), Fate::Duplicate(Layer::Run));
    assert_eq!(m.issues()[0].occurrences, 1);
}

#[test]
fn a_run_without_end_stays_what_it_was() {
    let mut m = Model::default();
    m.feed(&finished("first", "test", "r1", "fail", 1));
    for n in 0..200 {
        m.feed(&finished(&n.to_string(), "test", "r1", "pass", 2));
    }
    assert_eq!((m.issues()[0].state, m.issues()[0].occurrences), (State::Active, 1));
    assert_eq!(fate(&mut m, &finished("last", "test", "r1", "fail", 3)), Fate::Duplicate(Layer::Run));
}

#[test]
fn a_repeat_is_found_by_the_line_it_repeats() {
    let mut m = Model::default();
    let event = finished("1", "test", "r1", "fail", 1);
    let id = Mark::EventId("1").hash();
    assert!(m.feed(&event).0.marks.contains(&id));
    assert!(!m.feed(&event).0.marks.contains(&id));
    assert_eq!(fate(&mut m, &event), Fate::Duplicate(Layer::Id));
}

#[test]
fn executors_of_one_run_merge_whatever_their_order() {
    for order in [["pass", "fail"], ["fail", "pass"]] {
        let mut m = Model::default();
        m.feed(&finished("0", "test", "r0", "fail", 0));
        m.feed(&finished("1", "test", "r1", order[0], 1));
        m.feed(&finished("2", "test", "r1", order[1], 2));
        let issue = m.issues()[0];
        assert_eq!((issue.state, issue.occurrences, issue.episodes), (State::Active, 2, 1), "{order:?}");
        assert_eq!(issue.detected_at, minute(0));
        m.feed(&finished("3", "test", "r2", "pass", 3));
        assert_eq!(m.issues()[0].state, State::Resolved);
    }
}

#[test]
fn a_run_is_as_new_as_its_newest_event() {
    // The run fails at 5, another run passes at 7, and the first run's second executor ends at 9.
    let events = [("a", "r1", "fail", 5), ("b", "r2", "pass", 7), ("c", "r1", "pass", 9)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut m = Model::default();
        for i in order {
            let (id, run, result, at) = events[i];
            m.feed(&finished(id, "test", run, result, at));
        }
        assert_eq!(m.issues().first().map(|i| i.state), Some(State::Active), "{order:?}");
    }
}

#[test]
fn an_invalidated_outcome_is_as_if_it_had_never_been() {
    let invalidated = json!({"specversion":"1.0","id":"i","source":"user","type":"sh.keptn.event.test.invalidated",
        "time":minute(8),"triggeredid":"r2","data":{"project":"shop","stage":"dev","service":"carts"}});
    let story = [
        finished("1", "test", "r1", "fail", 1),
        finished("2", "test", "r2", "pass", 2),
        finished("3", "test", "r3", "fail", 3),
    ];
    let without = {
        let mut m = Model::default();
        m.feed(&story[0]);
        m.feed(&story[2]);
        m.issues()[0].clone()
    };
    assert_eq!((without.episodes, without.occurrences), (1, 2));
    for place in 0..=story.len() {
        let mut m = Model::default();
        for (i, event) in story.iter().enumerate() {
            if i == place {
                m.feed(&invalidated);
            }
            m.feed(event);
        }
        if place == story.len() {
            m.feed(&invalidated);
        }
        let mut issue = m.issues()[0].clone();
        issue.updated_at = without.updated_at;
        assert_eq!(issue, without, "invalidated at {place}");
    }
}

#[test]
fn invalidating_the_only_failure_leaves_no_issue() {
    let mut m = Model::default();
    m.feed(&finished("1", "test", "r2", "fail", 1));
    let invalidated = json!({"specversion":"1.0","id":"i","source":"user","type":"sh.keptn.event.test.invalidated",
        "triggeredid":"r2","data":{}});
    let (decided, messages) = m.feed(&invalidated);
    assert!(m.issues().is_empty());
    assert_eq!(decided.keys.len(), 1);
    assert_eq!(messages[0].subject, "dev.shipwatch.issue.resolved");
    m.feed(&finished("2", "test", "r3", "fail", 3));
    assert_eq!(m.issues()[0].number, 2, "numbers are never used again");
}

#[test]
fn open_update_check_and_close_answer_once() {
    let mut m = Model::default();
    let data = |messages: &[crate::domain::messages::Message]| {
        let kinds: Vec<_> = messages.iter().map(|m| m.kind).filter(|k| !matches!(k, OwnKind::Issue(_))).collect();
        assert_eq!(kinds, [OwnKind::Started, OwnKind::Finished]);
        serde_json::from_slice::<Value>(&messages[1].body).unwrap()["data"].clone()
    };
    let open = trigger("t1", "open-issue", json!({"title":"cart is down","severity":"critical","check":"load"}), 1);
    let (_, messages) = m.feed(&open);
    let reply = data(&messages);
    assert_eq!(reply["open-issue"]["number"], 1);
    assert_eq!(reply["open-issue"]["change"], "opened");
    assert_eq!(reply["labels"]["build"], "7");
    assert_eq!(messages[2].subject, "dev.shipwatch.issue.opened");
    assert!(m.feed(&open).1.is_empty(), "a second copy is not answered");

    let (_, messages) = m.feed(&trigger("t2", "update-issue", json!({"number":1,"title":"cart is slow"}), 2));
    assert_eq!(data(&messages)["update-issue"]["change"], "updated");
    let gate = |m: &mut Model, id: &str, severity: &str| {
        data(&m.feed(&trigger(id, "check-issues", json!({"severity":severity}), 3)).1)
    };
    let reply = gate(&mut m, "t3", "major");
    assert_eq!((reply["result"].as_str(), reply["check-issues"]["worst"].as_str()), (Some("fail"), Some("critical")));

    // The chain carries what open-issue answered.
    let mut close = trigger("t4", "close-issue", json!({}), 0);
    close["data"]["open-issue"] = json!({"id": m.keys.keys().next().unwrap().0, "number": 1, "state":"ACTIVE"});
    let reply = data(&m.feed(&close).1);
    assert_eq!(reply["close-issue"], json!({"closed":1,"numbers":[1]}));
    assert_eq!(m.issues()[0].state, State::Resolved);
    assert_eq!(gate(&mut m, "t5", "info")["result"], "pass");
}

#[test]
fn wrong_requests_are_answered_errored_and_name_the_field() {
    let mut m = Model::default();
    for (block, names) in [
        (json!({"titel":"x"}), "title"),
        (json!({"severity":"terrible"}), "severity"),
        (json!({"labels":[1]}), "labels"),
        (json!("text"), "not an object"),
        (json!({"links":[{"href":"x"}]}), "links[0].href"),
        (json!({"scope":{"name":"x"}}), "scope.name"),
    ] {
        let id = block.to_string();
        let (_, messages) = m.feed(&trigger(&id, "open-issue", block, 1));
        let body: Value = serde_json::from_slice(&messages[1].body).unwrap();
        assert_eq!((body["data"]["status"].as_str(), body["data"]["result"].as_str()), (Some("errored"), Some("fail")));
        assert!(body["data"]["message"].as_str().unwrap().contains(names), "{body}");
    }
    let (_, messages) = m.feed(&trigger("c", "close-issue", json!({"number":99}), 1));
    assert!(String::from_utf8_lossy(&messages[1].body).contains("no issue #99"));
    let mut no_stage = trigger("s", "open-issue", json!({}), 1);
    no_stage["data"]["stage"] = Value::Null;
    assert!(String::from_utf8_lossy(&m.feed(&no_stage).1[1].body).contains("data.stage is missing"));
    let mut no_version = trigger("v", "open-issue", json!({}), 1);
    no_version.as_object_mut().unwrap().remove("specversion");
    let (decided, messages) = m.feed(&no_version);
    assert!(decided.parked);
    assert!(String::from_utf8_lossy(&messages[1].body).contains("specversion"));
    assert!(m.issues().is_empty());
}

#[test]
fn a_message_of_ours_comes_back_as_a_reference() {
    let mut m = Model::default();
    let (_, messages) = m.feed(&trigger("t1", "open-issue", json!({}), 1));
    assert_eq!(messages.len(), 3);
    for message in &messages {
        let (decided, caused) = m.feed_bytes(message.body.clone());
        assert!(matches!(decided.row.entry, Entry::Own(own) if own.kind == message.kind));
        assert!(caused.is_empty());
    }
    // A second copy causes nothing either.
    let (decided, caused) = m.feed_bytes(messages[0].body.clone());
    assert!(matches!(decided.row.entry, Entry::Event(r) if r.decision.fate == Fate::Duplicate(Layer::Id)));
    assert!(caused.is_empty());
}

#[test]
fn a_success_for_the_scope_resolves_all_checks_and_outlasts_late_failures() {
    let mut m = Model::default();
    m.feed(&finished("1", "test", "r1", "fail", 1));
    m.feed(&finished("2", "build", "r2", "fail", 2));
    let mut all = finished("3", "x", "r3", "pass", 5);
    all["type"] = "hook.success".into();
    assert_eq!(kinds(&mut m, &all), [ChangeKind::Resolved, ChangeKind::Resolved]);
    assert_eq!(fate(&mut m, &finished("4", "deploy", "r4", "fail", 4)), Fate::Stale);
    assert_eq!(fate(&mut m, &finished("5", "test", "r5", "fail", 4)), Fate::Stale);
    assert_eq!(m.issues().len(), 2);
    assert_eq!(kinds(&mut m, &finished("6", "deploy", "r6", "fail", 6)), [ChangeKind::Opened]);
}

#[test]
fn neutral_events_and_parked_ones_change_nothing() {
    let mut m = Model::default();
    let mut aborted = finished("1", "test", "r", "pass", 1);
    aborted["data"]["status"] = "aborted".into();
    assert_eq!(fate(&mut m, &aborted), Fate::Recorded);
    let mut started = finished("2", "test", "r", "fail", 1);
    started["type"] = "sh.keptn.event.test.started".into();
    assert_eq!(fate(&mut m, &started), Fate::Recorded);
    let mut text = finished("3", "test", "r", "fail", 1);
    text["data"] = "boom".into();
    assert_eq!(fate(&mut m, &text), Fate::Parked);
    assert!(m.feed_bytes("{not json".into()).0.parked);
    assert!(m.issues().is_empty());
    // A mended event may come again under the same id.
    assert_eq!(fate(&mut m, &finished("3", "test", "r", "fail", 1)), Fate::Applied);
}

proptest::proptest! {
    #[test]
    fn any_arrival_order_ends_in_the_same_state(
        events in proptest::collection::vec((0u8..4, 0u8..3), 1..9),
        seed in proptest::collection::vec(0usize..100, 9),
    ) {
        let all: Vec<Value> = events.iter().enumerate().map(|(i, (run, result))| {
            let result = ["pass", "warning", "fail"][*result as usize];
            finished(&i.to_string(), "test", &format!("run{run}"), result, i as i64)
        }).collect();
        let mut shuffled = all.clone();
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, seed[i] % (i + 1));
        }
        let state = |events: &[Value]| {
            let mut m = Model::default();
            events.iter().for_each(|e| { m.feed(e); });
            m.issues().first().map(|i| (i.state, i.severity)).filter(|(s, _)| *s == State::Active)
        };
        proptest::prop_assert_eq!(state(&all), state(&shuffled));
    }

    #[test]
    fn redeliveries_change_nothing(
        events in proptest::collection::vec((0u8..4, 0u8..3), 1..7),
        again in proptest::collection::vec(0usize..7, 0..12),
    ) {
        let all: Vec<Value> = events.iter().enumerate().map(|(i, (run, result))| {
            let result = ["pass", "warning", "fail"][*result as usize];
            finished(&i.to_string(), "test", &format!("run{run}"), result, i as i64)
        }).collect();
        let mut once = Model::default();
        all.iter().for_each(|e| { once.feed(e); });
        let mut twice = Model::default();
        for (i, event) in all.iter().enumerate() {
            twice.feed(event);
            for j in again.iter().filter(|j| **j <= i) {
                twice.feed(&all[*j]);
            }
        }
        let plain = |m: &Model| m.keys.values().map(|s| {
            let mut s = (**s).clone();
            std::sync::Arc::make_mut(&mut s.marks).newest.as_mut().unwrap().position = crate::domain::ids::Position::new(0, 0);
            s
        }).collect::<Vec<_>>();
        proptest::prop_assert_eq!(plain(&once), plain(&twice));
    }
}

#[test]
fn a_parked_or_replayed_invalidation_takes_nothing_back() {
    let base = json!({"specversion":"1.0","id":"i","source":"user","type":"sh.keptn.event.test.invalidated",
        "triggeredid":"r1","data":{}});
    let mut parked = base.clone();
    parked["data"] = "text".into();
    let mut replayed = base;
    replayed["shipwatchreplay"] = "p".into();
    for invalidated in [parked, replayed] {
        let mut m = Model::default();
        m.feed(&invalidated);
        assert_eq!(fate(&mut m, &finished("1", "test", "r1", "fail", 1)), Fate::Applied);
    }
}

#[test]
fn a_replayed_copy_causes_nothing_and_stands_in_nobodys_way() {
    let mut m = Model::default();
    let mut copy = trigger("t", "open-issue", json!({}), 1);
    copy["shipwatchreplay"] = "p".into();
    assert!(m.feed(&copy).1.is_empty());
    copy.as_object_mut().unwrap().remove("specversion");
    assert!(m.feed(&copy).1.is_empty());
    assert_eq!(m.feed(&trigger("t", "open-issue", json!({}), 1)).1.len(), 3);
}

fn invalidated(task: &str, trigger: &str) -> Value {
    json!({"specversion":"1.0","id":format!("i-{trigger}"),"source":"user","type":format!("sh.keptn.event.{task}.invalidated"),
        "triggeredid":trigger,"data":{}})
}

#[test]
fn an_outcome_whose_rule_has_its_own_run_is_taken_back_by_its_trigger() {
    let mut event = finished("1", "test", "t1", "fail", 1);
    event["data"]["buildId"] = "b1".into();
    let mut m = Model::default();
    m.feed(&event);
    assert_eq!(m.issues().len(), 1);
    m.feed(&invalidated("test", "t1"));
    assert!(m.issues().is_empty());
    let mut m = Model::default();
    m.feed(&invalidated("test", "t1"));
    assert_eq!(fate(&mut m, &event), Fate::Withdrawn);
}

#[test]
fn a_success_for_the_scope_that_is_taken_back_holds_nothing_up_any_more() {
    let mut m = Model::default();
    m.feed(&finished("1", "test", "r1", "fail", 1));
    m.feed(&finished("2", "all", "r2", "pass", 3));
    assert_eq!(m.issues()[0].state, State::Resolved);
    assert_eq!(fate(&mut m, &finished("3", "deploy", "r3", "fail", 2)), Fate::Stale);
    m.feed(&invalidated("all", "r2"));
    assert_eq!(m.issues()[0].state, State::Active);
    assert_eq!(fate(&mut m, &finished("4", "build", "r4", "fail", 2)), Fate::Applied);
}

#[test]
fn what_is_taken_back_was_before_a_later_success_of_the_scope() {
    let mut m = Model::default();
    m.feed(&finished("1", "test", "r1", "fail", 1));
    m.feed(&finished("2", "test", "r2", "fail", 2));
    m.feed(&finished("3", "all", "r3", "pass", 3));
    m.feed(&invalidated("test", "r1"));
    let issue = m.issues()[0];
    assert_eq!((issue.state, issue.occurrences, issue.detected_at), (State::Resolved, 1, minute(2)));
}
