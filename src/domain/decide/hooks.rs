//! Tests of webhooks in the fold: which are called, and what their reports and the answers of receivers come to.

use serde_json::{Value, json};

use super::model::{Model, TestRules, finished, minute, trigger};
use super::{FINISHED, Judge, UNKNOWN};
use crate::domain::call::{CALLBACK, Delivery, Replies, delivery_id};
use crate::domain::deadline::{Deadline, Passed};
use crate::domain::decision::{Fate, Layer, Status};
use crate::domain::event::Event;
use crate::domain::feedback::GATEWAY;
use crate::domain::issue::{Origin, State};
use crate::domain::messages::Message;
use crate::domain::row::{Entry, OwnKind, Recorded};
use crate::domain::rules::Verdict;

/// The test rules, and a webhook for each of some types.
struct Hooks(Vec<(&'static str, &'static str, Replies)>);

impl Judge for Hooks {
    fn evaluate(&self, rule_set: &str, event: &Event) -> Verdict {
        TestRules.evaluate(rule_set, event)
    }
    fn current(&self) -> &str {
        "hooks"
    }
    fn calls_any(&self) -> bool {
        true
    }
    fn called(&self, event: &Event) -> Vec<(&str, Replies)> {
        self.0.iter().filter(|(ty, ..)| *ty == event.ty).map(|(_, name, replies)| (*name, *replies)).collect()
    }
}

struct World {
    model: Model,
    hooks: Hooks,
}

impl World {
    fn new(hooks: &[(&'static str, &'static str, Replies)]) -> World {
        World { model: Model::default(), hooks: Hooks(hooks.to_vec()) }
    }

    fn feed(&mut self, event: &Value) -> (Recorded, Vec<Message>) {
        let (decided, again) = self.model.judged(event.to_string().into(), &self.hooks);
        assert_eq!(decided.messages, again, "what is sent and what is made again are the same");
        match decided.row.entry {
            Entry::Event(recorded) => (*recorded, again),
            Entry::Own(own) => panic!("{own:?}"),
        }
    }

    /// Lets messages come back; each has to be known for our own.
    fn back(&mut self, messages: &[Message]) {
        for message in messages {
            let (decided, _) = self.model.judged(message.body.clone(), &self.hooks);
            assert!(matches!(decided.row.entry, Entry::Own(own) if own.kind == message.kind), "{decided:?}");
        }
    }

    fn report(&mut self, cause: &Value, subscription: &str, call: u32, status: Status) -> (Recorded, Vec<Message>) {
        let event = Event::from_value(cause.clone()).unwrap();
        let origin = Origin { source: event.source.clone(), id: event.id.clone() };
        let id = delivery_id(&origin, subscription, call);
        let delivery = Delivery {
            cause: origin,
            subscription: subscription.into(),
            webhook: subscription.into(),
            call,
            status,
            message: "answered with 201".into(),
            block: json!({"ticketId": "OPS-1"}).as_object().unwrap().clone(),
            attempts: Vec::new(),
        };
        self.feed(&delivery.event(&event, id, minute(3)))
    }

    fn answer_of(&mut self, id: &str, trigger: &str, subscription: &str, data: Value) -> (Recorded, Vec<Message>) {
        let mut own = json!({"source": "shipyard-controller", "subscription": subscription, "project": "shop", "stage": "dev",
            "service": "carts"});
        own.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        self.feed(&json!({"specversion": "1.0", "id": id, "source": GATEWAY, "type": CALLBACK, "triggeredid": trigger,
            "shkeptncontext": "ctx", "data": own}))
    }
}

const TICKET: &str = "sh.keptn.event.ticket.triggered";
const APPROVAL: &str = "sh.keptn.event.approval.triggered";

fn body(message: &Message) -> Value {
    serde_json::from_slice(&message.body).unwrap()
}

#[test]
fn a_call_with_both_replies_is_started_at_once_and_finished_by_its_report() {
    let mut w = World::new(&[(TICKET, "tracker", Replies::Both)]);
    let asked = trigger("t1", "ticket", json!({}), 1);
    let (recorded, started) = w.feed(&asked);
    assert_eq!(recorded.calls().collect::<Vec<_>>(), [OwnKind::Call(0)]);
    assert_eq!(started.iter().map(|m| m.kind).collect::<Vec<_>>(), [OwnKind::CallStarted(0)]);
    assert_eq!(started[0].subject, "sh.keptn.event.ticket.started");
    w.back(&started);

    let (recorded, done) = w.report(&asked, "tracker", 0, Status::Succeeded);
    assert_eq!(recorded.settles().map(|own| own.kind), Some(OwnKind::Call(0)));
    assert_eq!(done.len(), 1);
    let finished = body(&done[0]);
    assert_eq!(finished["type"], "sh.keptn.event.ticket.finished");
    assert_eq!((&finished["triggeredid"], &finished["shkeptncontext"]), (&json!("t1"), &json!("ctx")));
    assert_eq!(finished["data"]["ticket"], json!({"ticketId": "OPS-1"}));
    assert_eq!((&finished["data"]["result"], &finished["data"]["service"]), (&json!("pass"), &json!("carts")));
    w.back(&done);

    // The same report again, as after a crash: one finished is enough.
    let (recorded, done) = w.report(&asked, "tracker", 0, Status::Errored);
    assert_eq!((recorded.decision.fate, done.len()), (Fate::Duplicate(Layer::Id), 0));
    // And the same trigger again: one call is enough.
    let (recorded, again) = w.feed(&asked);
    assert_eq!((recorded.decision.calls.len(), again.len()), (0, 0));
}

#[test]
fn what_sequences_are_told_follows_the_flags_and_the_outcome() {
    for (replies, status, starts, finishes) in [
        (Replies::Both, Status::Succeeded, 1, Some("pass")),
        (Replies::Both, Status::Errored, 1, Some("fail")),
        (Replies::Started, Status::Succeeded, 1, None),
        (Replies::Started, Status::Errored, 1, Some("fail")),
        (Replies::None, Status::Succeeded, 0, None),
        (Replies::None, Status::Errored, 0, None),
    ] {
        let mut w = World::new(&[(TICKET, "tracker", replies)]);
        let asked = trigger("t1", "ticket", json!({}), 1);
        let (_, started) = w.feed(&asked);
        assert_eq!(started.len(), starts, "{replies:?}");
        let (recorded, done) = w.report(&asked, "tracker", 0, status);
        assert!(recorded.settles().is_some());
        assert_eq!(
            done.first().map(|m| body(m)["data"]["result"].clone()),
            finishes.map(Value::from),
            "{replies:?} {status:?}"
        );
    }
}

#[test]
fn a_receiver_finishes_once() {
    let mut w = World::new(&[(APPROVAL, "chat", Replies::Started)]);
    let asked = trigger("t1", "approval", json!({}), 1);
    w.feed(&asked);
    w.report(&asked, "chat", 0, Status::Succeeded);
    let (recorded, done) = w.answer_of("c0", "t0", "chat", json!({}));
    assert_eq!((recorded.decision.why.as_str(), done.len()), (UNKNOWN, 0));
    let (recorded, done) = w.answer_of("c0b", "t1", "other", json!({}));
    assert_eq!((recorded.decision.why.as_str(), done.len()), (UNKNOWN, 0));
    let (recorded, done) =
        w.answer_of("c1", "t1", "chat", json!({"result": "fail", "message": "no", "data": {"by": "ada"}}));
    assert_eq!(recorded.decision.fate, Fate::Answered);
    let finished = body(&done[0]);
    assert_eq!(finished["data"]["approval"], json!({"by": "ada"}));
    assert_eq!((&finished["data"]["result"], &finished["data"]["message"]), (&json!("fail"), &json!("no")));
    assert_eq!(finished["triggeredid"], "t1");
    w.back(&done);
    let (recorded, done) = w.answer_of("c2", "t1", "chat", json!({}));
    assert_eq!((recorded.decision.why.as_str(), done.len()), (FINISHED, 0));
}

#[test]
fn an_answer_that_overtakes_the_report_of_its_call_leaves_nothing_to_a_failure() {
    let mut w = World::new(&[(APPROVAL, "chat", Replies::Started)]);
    let asked = trigger("t1", "approval", json!({}), 1);
    w.feed(&asked);
    assert_eq!(w.answer_of("c1", "t1", "chat", json!({})).1.len(), 1);
    let (recorded, done) = w.report(&asked, "chat", 0, Status::Errored);
    assert!(recorded.settles().is_some() && done.is_empty());

    // The other way round: the call failed and the sequence was told, so the answer comes too late.
    let asked = trigger("t2", "approval", json!({}), 1);
    w.feed(&asked);
    assert_eq!(w.report(&asked, "chat", 0, Status::Errored).1.len(), 1);
    assert_eq!(w.answer_of("c2", "t2", "chat", json!({})).0.decision.why, FINISHED);
}

#[test]
fn a_receiver_that_finishes_on_the_stream_itself_has_answered() {
    let mut w = World::new(&[(APPROVAL, "chat", Replies::Started)]);
    let asked = trigger("t1", "approval", json!({}), 1);
    w.feed(&asked);
    // Another executor with a pair of its own does not count.
    let mut started = finished("s1", "approval", "t1", "pass", 2);
    started["type"] = "sh.keptn.event.approval.started".into();
    w.feed(&started);
    // Nor does what was parked: mended, it comes again.
    let mut parked = finished("f0", "approval", "t1", "pass", 2);
    parked["data"]["service"] = 5.into();
    assert_eq!(w.feed(&parked).0.decision.fate, Fate::Parked);
    w.feed(&finished("f1", "approval", "t1", "pass", 2));
    assert!(matches!(w.report(&asked, "chat", 0, Status::Succeeded).0.decision.report, Some(r) if r.answer.is_none()));
    w.feed(&finished("f2", "approval", "t1", "pass", 3));
    assert_eq!(w.answer_of("c1", "t1", "chat", json!({})).0.decision.why, FINISHED);
}

#[test]
fn two_webhooks_on_one_trigger_have_a_pair_each() {
    let mut w = World::new(&[(TICKET, "a", Replies::Both), (TICKET, "b", Replies::Started)]);
    let asked = trigger("t1", "ticket", json!({}), 1);
    let (_, started) = w.feed(&asked);
    let (_, a) = w.report(&asked, "a", 0, Status::Succeeded);
    w.report(&asked, "b", 1, Status::Succeeded);
    let (_, b) = w.answer_of("c", "t1", "b", json!({}));
    let mut ids: Vec<_> = started.iter().chain(&a).chain(&b).map(|m| m.id).collect();
    assert_eq!(ids.len(), 4);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn events_that_ask_for_nothing_are_told_about_and_never_answered() {
    let ty = "sh.keptn.event.test.finished";
    let opened = "dev.shipwatch.issue.opened";
    let mut w = World::new(&[(ty, "chat", Replies::Both), (opened, "pager", Replies::Both)]);
    let (recorded, messages) = w.feed(&finished("f1", "test", "r1", "fail", 1));
    let about: Vec<_> = recorded.decision.calls.iter().map(|c| (c.subscription.as_str(), c.about, c.replies)).collect();
    assert_eq!(about, [("chat", None, Replies::None), ("pager", Some(OwnKind::Issue(0)), Replies::None)]);
    assert_eq!(messages.len(), 1);
    let (recorded, done) = w.report(&finished("f1", "test", "r1", "fail", 1), "pager", 1, Status::Succeeded);
    assert!(recorded.settles().is_some() && done.is_empty());
    // An update is not published, so nobody is called about it.
    let (recorded, _) = w.feed(&finished("f2", "test", "r2", "fail", 2));
    assert_eq!(recorded.decision.calls.len(), 1);
}

#[test]
fn reports_that_nobody_waits_for_cause_nothing() {
    let mut w = World::new(&[(TICKET, "tracker", Replies::Both)]);
    let asked = trigger("t1", "ticket", json!({}), 1);
    assert!(w.report(&asked, "tracker", 0, Status::Succeeded).1.is_empty());
    w.feed(&asked);
    for (subscription, call) in [("other", 0), ("tracker", 1)] {
        let (recorded, done) = w.report(&asked, subscription, call, Status::Succeeded);
        assert!(recorded.settles().is_none() && done.is_empty());
    }
    let mut replay = asked.clone();
    (replay["id"], replay["shipwatchreplay"]) = ("t2".into(), "1".into());
    assert!(w.feed(&replay).0.decision.calls.is_empty());
}

#[test]
fn an_approval_that_nobody_gives_is_stuck_until_it_is_given() {
    let mut w = World::new(&[(APPROVAL, "chat", Replies::Started)]);
    let asked = trigger("t1", "approval", json!({}), 1);
    w.feed(&asked);
    w.report(&asked, "chat", 0, Status::Succeeded);
    let passed = |deadline| {
        let passed = Passed {
            project: "shop".into(),
            stage: "dev".into(),
            service: "carts".into(),
            task: "approval".into(),
            deadline,
            after: "1h".into(),
            triggered_at: minute(1000),
            started_at: None,
        };
        passed.event(&Event::from_value(asked.clone()).unwrap(), minute(1060)).to_value()
    };
    // Our own started is as good as said.
    assert_eq!(w.feed(&passed(Deadline::Started)).0.decision.why, "approval has been answered by now");
    w.feed(&passed(Deadline::Finished));
    let stuck = |w: &World| w.model.issues().iter().map(|i| (i.title.clone(), i.state)).collect::<Vec<_>>();
    assert_eq!(stuck(&w), [("approval is stuck: carts in shop/dev".to_owned(), State::Active)]);
    let (recorded, messages) = w.answer_of("c1", "t1", "chat", json!({}));
    assert_eq!(stuck(&w)[0].1, State::Resolved, "{:?}", recorded.decision);
    assert_eq!(messages.iter().map(|m| m.kind).collect::<Vec<_>>(), [OwnKind::Finished, OwnKind::Issue(0)]);
    w.back(&messages);
}
