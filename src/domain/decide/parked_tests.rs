//! Parked messages that are decided about again, or let go.

use serde_json::{Value, json};

use super::model::{Model, TestRules, finished, minute, trigger};
use super::*;
use crate::domain::parked::{DROP, Line, RETRY};

/// Rules with a mistake in them: nothing can be judged by them.
struct BrokenRules;

impl Judge for BrokenRules {
    fn evaluate(&self, _: &str, _: &Event) -> Verdict {
        Verdict::Broken { rule: "odd".into(), reason: "data.x is missing".into() }
    }

    fn current(&self) -> &str {
        "broken"
    }
}

/// Rules that know what the raw text stands for.
struct Adapted;

impl Judge for Adapted {
    fn evaluate(&self, rules: &str, event: &Event) -> Verdict {
        TestRules.evaluate(rules, event)
    }

    fn current(&self) -> &str {
        "adapted"
    }

    fn read(&self, subject: &str, payload: &Bytes) -> Result<(Form, Event, Bytes), Invalid> {
        assert_eq!((subject, &payload[..]), ("s", &b"it broke"[..]));
        let payload = Bytes::from(finished("lifted", "test", "r", "fail", 3).to_string());
        Ok((Form::Adapted, Event::from_json(&payload)?, payload))
    }
}

fn at(sequence: u64) -> Position {
    Position::new(sequence, 0)
}

fn control(ty: &str, id: &str, of: u64) -> Bytes {
    Line::at(at(of)).event(ty, id.to_owned()).to_value().to_string().into()
}

fn line(decided: &Decided) -> &Recorded {
    recorded(&decided.row).unwrap()
}

fn json(event: &Value) -> Bytes {
    event.to_string().into()
}

#[test]
fn a_parked_failure_counts_where_it_is_retried_and_by_its_own_time() {
    let mut m = Model::default();
    let failure = finished("f1", "test", "r1", "fail", 7);
    assert!(m.judged(json(&failure), &BrokenRules).0.parked);
    m.now = minute(2000);
    let (decided, messages) = m.judged(control(RETRY, "c1", 1), &TestRules);
    let r = line(&decided);
    assert_eq!((decided.parked, decided.unparked), (false, Some(at(1))));
    assert_eq!((r.decision.fate, r.decision.at), (Fate::Applied, minute(7)));
    assert_eq!(r.head.as_ref().unwrap().origin.id, "f1");
    assert_eq!(r.retry.as_ref().map(|retry| (retry.of, retry.by.id.as_str())), Some((at(1), "c1")));
    assert_eq!(m.issues()[0].opened_by.id, "f1");
    assert_eq!(messages.len(), 1, "the life of the issue is told");
    assert!(m.parked.is_empty());

    // The same word twice, and the event itself once more, change nothing.
    for again in [control(RETRY, "c1", 1), json(&failure)] {
        let (decided, messages) = m.judged(again, &TestRules);
        assert_eq!(line(&decided).decision.fate, Fate::Duplicate(Layer::Id));
        assert!(messages.is_empty());
    }
    let (decided, _) = m.judged(control(RETRY, "c2", 1), &TestRules);
    let r = line(&decided);
    assert_eq!((r.decision.fate, r.decision.why.as_str()), (Fate::Own, "nothing is parked at 1"));
    assert_eq!((r.head.as_ref().unwrap().origin.id.as_str(), decided.unparked), ("c2", None));
    assert_eq!(m.issues()[0].occurrences, 1);
}

#[test]
fn a_parked_failure_that_is_late_by_now_is_stale() {
    let mut m = Model::default();
    m.judged(json(&finished("f1", "test", "r1", "fail", 1)), &BrokenRules);
    m.feed(&finished("s1", "test", "r2", "pass", 5));
    let (decided, _) = m.judged(control(RETRY, "c1", 1), &TestRules);
    assert_eq!(line(&decided).decision.fate, Fate::Stale);
    assert!(m.issues().is_empty() && m.parked.is_empty());
}

#[test]
fn what_fails_again_is_parked_again_at_the_new_place() {
    let mut m = Model::default();
    m.feed_bytes("it broke".into());
    let (decided, _) = m.judged(control(RETRY, "c1", 1), &BrokenRules);
    let r = line(&decided);
    assert_eq!((decided.parked, decided.unparked, r.form), (true, Some(at(1)), Form::Unreadable));
    assert_eq!((&r.payload[..], r.head.as_ref()), (&b"it broke"[..], None));
    assert!(r.decision.why.contains("not a JSON object"), "{}", r.decision.why);
    assert_eq!(m.parked, [at(2)].into());
    // Its first word is used up; the next one is about the new place, and the rules may know more by then.
    assert_eq!(line(&m.judged(control(RETRY, "c1", 2), &Adapted).0).decision.fate, Fate::Duplicate(Layer::Id));
    let (decided, _) = m.judged(control(RETRY, "c2", 2), &Adapted);
    let r = line(&decided);
    assert_eq!((r.form, r.decision.fate, r.decision.rule_set.as_str()), (Form::Adapted, Fate::Applied, "adapted"));
    assert_eq!(m.issues()[0].opened_by.id, "lifted");
    assert!(m.parked.is_empty());
}

#[test]
fn what_is_dropped_is_not_parked_any_more_and_nothing_else() {
    let mut m = Model::default();
    m.feed_bytes("it broke".into());
    let (decided, messages) = m.feed_bytes(control(DROP, "c1", 1));
    let r = line(&decided);
    assert_eq!((decided.unparked, decided.parked, r.decision.fate), (Some(at(1)), false, Fate::Own));
    assert!(r.decision.why.starts_with("lets go what was parked at 1: not a JSON object"), "{}", r.decision.why);
    assert!(messages.is_empty() && m.parked.is_empty());
    assert_eq!(line(&m.feed_bytes(control(DROP, "c2", 1)).0).decision.why, "nothing is parked at 1");
}

#[test]
fn a_trigger_that_was_answered_when_it_was_parked_is_not_answered_twice() {
    let mut m = Model::default();
    let mut asked = trigger("t1", "open-issue", json!({"title": "x"}), 1);
    asked["data"] = "text".into();
    let (decided, messages) = m.feed(&asked);
    assert_eq!((decided.parked, messages.len()), (true, 2));
    let (decided, messages) = m.feed_bytes(control(RETRY, "c1", 1));
    assert_eq!(line(&decided).decision.fate, Fate::Duplicate(Layer::Id));
    assert!(messages.is_empty() && m.parked.is_empty());
}

#[test]
fn a_trigger_that_was_not_answered_is_answered_by_the_retry() {
    let mut m = Model::default();
    // As an earlier version may have parked it: without an answer.
    let asked = trigger("t1", "open-issue", json!({"title": "x"}), 1);
    let (mut decided, _) = m.feed_bytes("{".into());
    let Entry::Event(r) = &mut decided.row.entry else { unreachable!() };
    r.payload = json(&asked);
    m.rows.insert(at(1), Arc::new(decided.row));
    let (decided, messages) = m.feed_bytes(control(RETRY, "c1", 1));
    assert_eq!(line(&decided).decision.fate, Fate::Answered);
    let kinds: Vec<_> = messages.iter().map(|message| message.subject.as_str()).collect();
    assert_eq!(kinds[..2], ["sh.keptn.event.open-issue.started", "sh.keptn.event.open-issue.finished"]);
    // Made again from the line, as after a crash, they are the same.
    assert_eq!(decided.messages, messages);
}

#[test]
fn only_a_control_event_acts_and_one_inside_another_does_not() {
    let mut m = Model::default();
    m.feed_bytes("it broke".into());
    let mut foreign: Value = serde_json::from_slice(&control(DROP, "c1", 1)).unwrap();
    foreign["source"] = "somebody".into();
    m.feed(&foreign);
    for odd in [json!({}), json!({"id": "x", "sequence": 1}), json!("1")] {
        let mut event: Value = serde_json::from_slice(&control(DROP, "c", 1)).unwrap();
        event["id"] = odd.to_string().into();
        event["data"] = odd;
        let (decided, _) = m.feed(&event);
        assert!(line(&decided).decision.why.starts_with("names no parked message"), "{}", line(&decided).decision.why);
    }
    assert_eq!(m.parked, [at(1)].into());
    // A parked message that is such a word itself is only what it is.
    let inner = control(DROP, "inner", 1);
    let (mut decided, _) = m.feed_bytes("{".into());
    let Entry::Event(r) = &mut decided.row.entry else { unreachable!() };
    r.payload = inner;
    let place = decided.row.position;
    m.rows.insert(place, Arc::new(decided.row));
    let (decided, _) = m.feed_bytes(control(RETRY, "outer", place.sequence()));
    assert_eq!(line(&decided).decision.fate, Fate::Own);
    assert_eq!(m.parked, [at(1)].into());
}
