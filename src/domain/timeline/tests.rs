use serde_json::{Value, json};

use super::*;
use crate::domain::decide::model::{Model, minute};
use crate::domain::row::{Entry, OwnKind};

/// A context being written, event by event; each a minute after the one before.
#[derive(Default)]
struct Story {
    model: Model,
    lines: Vec<Line>,
    minute: i64,
}

impl Story {
    fn tell(events: &[(&str, &str)]) -> Story {
        let mut story = Story::default();
        for (ty, words) in events {
            story.event(ty, words);
        }
        story
    }

    /// `words` are `id=…`, `to=…` (what it answers), `by=…` (source), `stage=…`, `status=…`, `result=…`, `message=…`, `at=…`.
    fn event(&mut self, ty: &str, words: &str) {
        self.minute += 1;
        let word = |name: &str| words.split(' ').find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
        let at = word("at").map_or(self.minute, |at| at.parse().unwrap());
        let mut event = json!({
            "specversion": "1.0", "source": word("by").unwrap_or("jmeter"), "type": format!("sh.keptn.{ty}"),
            "id": word("id").map_or(format!("event-{}", self.minute), str::to_owned), "time": minute(at),
            "shkeptncontext": "c", "data": {"project": "shop", "service": "carts", "stage": word("stage").unwrap_or("dev")},
        });
        event["triggeredid"] = word("to").map_or(Value::Null, Value::from);
        for member in ["status", "result", "message"] {
            event["data"][member] = word(member).map_or(Value::Null, Value::from);
        }
        self.put(&event);
    }

    /// Folds an event, and what Shipwatch says to it.
    fn put(&mut self, event: &Value) {
        let (decided, messages) = self.model.feed(event);
        let row = decided.row;
        let Entry::Event(recorded) = &row.entry else { panic!("{row:?}") };
        self.lines.extend(Line::of_event(row.position, row.stream_time, recorded, "c"));
        for message in messages.iter().filter(|m| !matches!(m.kind, OwnKind::Issue(_))) {
            self.lines.extend(Line::of_message(row.position, row.stream_time, message, "c"));
        }
    }

    fn timeline(&self) -> Timeline {
        let issue = |id| {
            let state = self.model.keys.get(&id)?;
            state.marks.issue.as_ref().map(|i| (i.number, i.title.clone()))
        };
        fold("c", self.lines.clone(), issue)
    }
}

fn only_task(events: &[(&str, &str)]) -> Task {
    let timeline = Story::tell(events).timeline();
    let tasks: Vec<_> =
        timeline.sequences().flat_map(|s| &s.tasks).chain(timeline.stages.iter().flat_map(|s| &s.tasks)).collect();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks[0].clone()
}

#[test]
fn a_delivery_through_two_stages() {
    let mut story = Story::tell(&[
        ("event.dev.delivery.triggered", "id=d by=ci"),
        ("event.deployment.triggered", "id=dd"),
        ("event.deployment.started", "to=dd by=helm"),
        ("event.deployment.status.changed", "to=dd by=helm message=half"),
        ("event.deployment.finished", "to=dd by=helm status=succeeded result=pass"),
        ("event.dev.delivery.finished", "to=d status=succeeded result=pass"),
        ("event.staging.delivery.triggered", "id=s stage=staging by=shipyard-controller"),
        ("event.test.triggered", "id=t stage=staging"),
        ("event.test.started", "to=t stage=staging by=jmeter"),
        ("event.test.started", "to=t stage=staging by=k6"),
        ("event.test.finished", "to=t stage=staging by=k6 status=succeeded result=pass"),
        ("event.test.finished", "to=t stage=staging by=jmeter status=succeeded result=fail message=slow"),
        ("log.error", "to=t by=jmeter message=trouble"),
    ]);
    let halfway = story.timeline();
    assert_eq!((halfway.state, halfway.result.as_deref()), (Some(State::Started), Some("pass")));
    assert_eq!(halfway.finished_at, None);
    story.event("event.staging.delivery.finished", "to=s stage=staging status=succeeded result=fail message=slow");
    let t = story.timeline();
    assert_eq!((t.name.as_deref(), &*t.project, &*t.service), (Some("delivery"), "shop", "carts"));
    assert_eq!((t.state, t.result.as_deref(), t.events), (Some(State::Finished), Some("fail"), 14));
    assert_eq!((t.triggered_at, t.finished_at, t.duration_seconds), (Some(minute(1)), Some(minute(14)), Some(780.0)));
    let stages: Vec<_> = t.stages.iter().map(|s| (&*s.name, s.state, s.sequences.len(), s.tasks.len())).collect();
    assert_eq!(stages, [("dev", Some(State::Finished), 1, 0), ("staging", Some(State::Finished), 1, 0)]);
    assert_eq!(t.stages[1].latest_event.as_ref().unwrap().ty, "sh.keptn.event.staging.delivery.finished");

    let dev = &t.stages[0].sequences[0];
    assert_eq!((dev.triggered_by.as_deref(), dev.triggered_id.as_deref()), (Some("ci"), Some("d")));
    assert_eq!((dev.duration_seconds, dev.result.as_deref()), (Some(300.0), Some("pass")));
    let helm = &dev.tasks[0].executors[0];
    assert_eq!((helm.started_at, helm.finished_at), (Some(minute(3)), Some(minute(5))));
    assert_eq!(helm.progress, [Progress { at: minute(4), message: Some("half".into()) }]);

    let test = &t.stages[1].sequences[0].tasks[0];
    assert!(test.complete);
    assert_eq!((test.status.as_deref(), test.result.as_deref()), (Some("succeeded"), Some("fail")));
    assert_eq!(
        (test.triggered_at, test.started_at, test.finished_at),
        (Some(minute(8)), Some(minute(9)), Some(minute(12)))
    );
    let executors: Vec<_> = test.executors.iter().map(|e| (&*e.source, e.result.as_deref().unwrap())).collect();
    assert_eq!(executors, [("jmeter", "fail"), ("k6", "pass")]);
    assert_eq!((test.issues[0].change, test.issues[0].number), (ChangeKind::Opened, Some(1)));
    assert_eq!(test.logs[0].message.as_deref(), Some("trouble"));
}

#[test]
fn a_task_is_complete_by_keptns_count() {
    let triggered = ("event.test.triggered", "id=t");
    let started = |by: &'static str| ("event.test.started", by);
    let pass = |by: &'static str| ("event.test.finished", by);
    let (a, b) = ("to=t by=a", "to=t by=b");
    let (pass_a, pass_b) = ("to=t by=a status=succeeded result=pass", "to=t by=b status=succeeded result=pass");
    for (events, state, complete) in [
        (&[triggered][..], State::Triggered, false),
        (&[triggered, started(a)], State::Started, false),
        (&[triggered, started(a), pass(pass_a)], State::Finished, true),
        (&[triggered, started(a), started(b), pass(pass_a)], State::Started, false),
        (&[triggered, started(a), started(b), pass(pass_a), pass(pass_b)], State::Finished, true),
        // Before its start.
        (&[triggered, pass(pass_a), started(a)], State::Finished, true),
        // Without any start, a second start, a second end.
        (&[triggered, pass(pass_a)], State::Started, false),
        (&[triggered, started(a), started(a), pass(pass_a)], State::Started, false),
        (&[triggered, started(a), started(b), pass(pass_a), pass(pass_a), pass(pass_b)], State::Finished, true),
    ] {
        let task = only_task(events);
        assert_eq!((task.state, task.complete), (state, complete), "{events:?}");
    }
    let task =
        only_task(&[triggered, started(a), pass(pass_a), started(b), ("event.test.finished", "to=t by=b result=fail")]);
    assert_eq!((task.result.as_deref(), task.executors[0].late, task.executors[1].late), (Some("pass"), false, true));
    assert_eq!(task.finished_at, Some(minute(3)));
    // The same event again is one event.
    let task = only_task(&[
        triggered,
        ("event.test.started", "id=x to=t by=a"),
        ("event.test.started", "id=x to=t by=a"),
        pass(pass_a),
    ]);
    assert!(task.complete && task.executors.len() == 1);
}

#[test]
fn states_of_sequences() {
    let start = ("event.dev.delivery.triggered", "id=s");
    let (task, approval) = (("event.test.triggered", "id=t"), ("event.approval.triggered", "id=a"));
    let (asked, done) = (("event.test.started", "to=t"), ("event.test.finished", "to=t status=succeeded result=pass"));
    let approved =
        [("event.approval.started", "to=a"), ("event.approval.finished", "to=a status=succeeded result=pass")];
    let end = |words: &'static str| ("event.dev.delivery.finished", words);
    let (pass, abort, error) =
        ("to=s status=succeeded result=pass", "to=s status=aborted result=pass", "to=s status=errored result=fail");
    for (events, state) in [
        (&[start][..], State::Triggered),
        (&[start, task], State::Started),
        (&[start, task, asked, done, approval], State::WaitingForApproval),
        (&[start, task, asked, done, approval, approved[0], approved[1]], State::Started),
        (&[start, task, asked, done, end(pass)], State::Finished),
        (&[start, task, asked, end(abort)], State::Aborted),
        (&[start, task, end(error)], State::TimedOut),
        // Errored because of a task that was taken on, or because there is no such sequence.
        (&[start, task, asked, ("event.test.finished", "to=t status=errored"), end(error)], State::Finished),
        (&[start, end(error)], State::Finished),
        // An abort is sent for those as well that had ended.
        (&[start, task, asked, done, end(pass), end(abort)], State::Finished),
        // Its end names no trigger, or comes before it.
        (&[start, end("status=succeeded result=pass")], State::Finished),
        (&[end(pass), start], State::Finished),
    ] {
        let timeline = Story::tell(events).timeline();
        assert_eq!(timeline.state, Some(state), "{events:?}");
        assert_eq!(timeline.sequences().count(), 1, "{events:?}");
    }
}

#[test]
fn what_comes_after_an_abort_is_late() {
    let story = Story::tell(&[
        ("event.dev.delivery.triggered", "id=s"),
        ("event.test.triggered", "id=t"),
        ("event.test.started", "to=t"),
        ("event.dev.delivery.finished", "to=s status=aborted result=pass"),
        ("event.test.finished", "to=t status=succeeded result=fail"),
    ]);
    let timeline = story.timeline();
    let task = &timeline.stages[0].sequences[0].tasks[0];
    assert_eq!((task.state, task.complete, task.result.as_deref()), (State::Aborted, false, None));
    assert!(task.executors[0].late && task.executors[0].finished_at.is_some());
    assert_eq!(timeline.result, None, "an abort passes nothing");
}

#[test]
fn a_task_belongs_to_the_newest_sequence_that_is_open_in_its_stage() {
    let story = Story::tell(&[
        ("event.test.triggered", "id=t0"),
        ("event.dev.delivery.triggered", "id=s1"),
        ("event.test.triggered", "id=t1"),
        ("event.dev.rollback.triggered", "id=s2"),
        ("event.test.triggered", "id=t2"),
        ("event.dev.rollback.finished", "to=s2 status=succeeded result=pass"),
        // By the clock of its publisher this one is older than everything.
        ("event.test.triggered", "id=t3 at=0"),
        ("event.test.triggered", "id=t4 stage=staging"),
        ("event.dev.delivery.finished", "to=s1 status=succeeded result=pass"),
        // Late words find their task; a late trigger does not find an ended sequence.
        ("event.test.started", "to=t1"),
        ("event.test.triggered", "id=t5"),
    ]);
    let timeline = story.timeline();
    let ids = |tasks: &[Task]| tasks.iter().map(|t| t.triggered_id.clone().unwrap()).collect::<Vec<_>>().join(" ");
    let dev = &timeline.stages[0];
    let sequences: Vec<_> = dev.sequences.iter().map(|s| (&*s.name, ids(&s.tasks))).collect();
    assert_eq!(sequences, [("delivery", "t1 t3".to_owned()), ("rollback", "t2".to_owned())]);
    assert_eq!((ids(&dev.tasks), ids(&timeline.stages[1].tasks)), ("t0 t5".to_owned(), "t4".to_owned()));
    assert_eq!(timeline.state, Some(State::Finished), "plain tasks keep nothing open");
    let t1 = &dev.sequences[0].tasks[0];
    assert!(t1.state == State::Started && !t1.executors[0].late, "a publisher that does not wait is none of Keptn's");
}

#[test]
fn replies_before_their_trigger_and_answers_to_nothing() {
    let story = Story::tell(&[
        ("event.dev.delivery.triggered", "id=s"),
        ("event.test.started", "to=t by=a"),
        ("event.test.triggered", "id=t"),
        ("event.test.finished", "to=t by=a status=succeeded result=warning"),
        ("event.build.finished", "by=ci status=succeeded result=pass"),
        ("event.evaluation.invalidated", "to=nothing"),
    ]);
    let timeline = story.timeline();
    let tasks: Vec<_> =
        timeline.stages[0].sequences[0].tasks.iter().map(|t| (&*t.name, t.complete, t.result.as_deref())).collect();
    assert_eq!(tasks, [("test", true, Some("warning")), ("build", false, Some("pass")), ("evaluation", false, None)]);
    assert!(timeline.stages[0].sequences[0].tasks[2].invalidated_at.is_some());
    assert_eq!(timeline.stages[0].sequences[0].tasks[0].triggered_at, Some(minute(3)));
}

#[test]
fn shipwatch_is_an_executor_too() {
    let mut story = Story::tell(&[("event.dev.delivery.triggered", "id=s")]);
    let mut trigger = crate::domain::decide::model::trigger("o", "open-issue", json!({ "title": "bad" }), 2);
    trigger["shkeptncontext"] = "c".into();
    story.put(&trigger);
    let timeline = story.timeline();
    let task = &timeline.stages[0].sequences[0].tasks[0];
    assert!(task.complete && task.executors.len() == 1 && task.executors[0].by_shipwatch, "{task:?}");
    assert_eq!(task.result.as_deref(), Some("pass"));
    assert_eq!(task.issues[0].title.as_deref(), Some("bad"));
    assert!(task.executors[0].message.is_some());
}

#[test]
fn contexts_without_a_sequence_and_strange_data() {
    let mut story = Story::tell(&[("event.test.finished", "to=t status=succeeded result=fail")]);
    for data in
        [json!("text"), json!([1]), json!({"result": 7, "problem": "x", "stage": 5}), json!({"message": "a\nb"})]
    {
        let id = format!("odd-{data}");
        story.put(&json!({"specversion": "1.0", "id": id, "source": "s", "type": "sh.keptn.event.test.finished",
            "shkeptncontext": "c", "data": data}));
    }
    let timeline = story.timeline();
    assert_eq!((timeline.name, timeline.state, timeline.result), (None, None, None));
    assert_eq!(timeline.stages[0].tasks[0].issues.len(), 1);
    assert_eq!((&*timeline.stages[1].name, timeline.stages[1].tasks.len()), ("", 1));
    // Three of the four are parked, and have not been said.
    assert_eq!(timeline.stages[1].tasks[0].executors.len(), 1);
    assert_eq!(timeline.stages[1].tasks[0].executors[0].message.as_deref(), Some("a b"));

    story.put(&json!({"specversion": "1.0", "id": "p", "source": "s", "type": "sh.keptn.events.problem",
        "shkeptncontext": "c", "data": {"State": "OPEN", "ProblemTitle": "slow"}}));
    story.put(
        &json!({"specversion": "1.0", "id": "r", "source": "s", "type": "sh.keptn.event.dev.remediation.triggered",
        "shkeptncontext": "other", "data": {"problem": {"problemTitle": "other"}}}),
    );
    let timeline = story.timeline();
    assert_eq!((timeline.problem.as_deref(), timeline.events), (Some("slow"), 3));
    assert_eq!(fold("c", [], |_| None).events, 0);
}
