use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::domain::event::Data;

const DOCUMENTED: &str = include_str!("../shipyard/fixtures/documented.yaml");

/// A runner with a clock that stands until it is moved, and ids that count. What it publishes to start sequences comes back to it, as
/// over the bus.
struct Stage {
    runner: Runner,
    now: Time,
    next: u32,
    /// Everything published, in order.
    sent: Vec<Event>,
    /// Everything told, in order.
    steps: Vec<Step>,
    /// How much of `sent` was looked at.
    seen: usize,
}

impl Stage {
    fn with(shipyard: &str, options: Options) -> Stage {
        let shipyard = Shipyard::read("s", shipyard).unwrap();
        let now = Time::parse("2026-01-01T00:00:00Z").unwrap();
        Stage { runner: Runner::new(shipyard, options), now, next: 0, sent: vec![], steps: vec![], seen: 0 }
    }

    /// Of stages written in flow style.
    fn of(stages: &str) -> Stage {
        Stage::with(&format!("apiVersion: spec.keptn.sh/0.2.3\nspec: {{stages: [{stages}]}}"), Options::default())
    }

    /// One sequence of these tasks in stage dev, begun.
    fn tasks(tasks: &str) -> Stage {
        let mut stage = Stage::of(&format!("{{name: dev, sequences: [{{name: s, tasks: [{tasks}]}}]}}"));
        stage.ask("dev.s", json!({}));
        stage
    }

    fn turn(&mut self, act: impl FnOnce(&mut Runner, Time, Ids<'_>) -> Turn) {
        let next = &mut self.next;
        let mut ids = || {
            *next += 1;
            format!("id-{next}")
        };
        let turn = act(&mut self.runner, self.now, &mut ids);
        self.steps.extend(turn.steps);
        for event in turn.publish {
            self.sent.push(event.clone());
            self.take(&event);
        }
    }

    fn take(&mut self, event: &Event) {
        self.turn(|runner, now, ids| runner.take(event, now, ids));
    }

    /// Moves the clock and wakes the runner, as often as it wants to be woken.
    fn pass(&mut self, seconds: u64) {
        let until = self.now.plus(Duration::from_secs(seconds));
        while let Some(at) = self.runner.wake_at(self.now).filter(|at| *at <= until) {
            self.now = at;
            self.turn(Runner::wake);
        }
        self.now = until;
    }

    /// Asks for `stage.sequence` with more data; the trigger has the id `ask`.
    fn ask(&mut self, name: &str, more: Value) {
        self.ask_as("ask", name, more);
    }

    fn ask_as(&mut self, id: &str, name: &str, more: Value) {
        let stage = name.split('.').next().unwrap();
        let data = merge(json!({"project": "shop", "stage": stage, "service": "cart"}), more);
        self.take(&event(id, &format!("{name}.triggered"), None, data));
    }

    /// The id of the newest trigger of a task.
    fn trigger(&self, task: &str) -> String {
        let ty = task_type(task, Phase::Triggered);
        self.sent.iter().rfind(|e| e.ty == ty).unwrap_or_else(|| panic!("no trigger of {task}")).id.clone()
    }

    fn started(&mut self, task: &str) {
        let trigger = self.trigger(task);
        self.answer(task, "started", &trigger, json!({}));
    }

    fn finished(&mut self, task: &str, status: &str, result: &str) {
        self.finished_with(task, json!({"status": status, "result": result}));
    }

    fn finished_with(&mut self, task: &str, more: Value) {
        let trigger = self.trigger(task);
        self.answer(task, "finished", &trigger, more);
    }

    fn answer(&mut self, task: &str, phase: &str, trigger: &str, more: Value) {
        self.next += 1;
        let id = format!("answer-{}", self.next);
        let data = merge(json!({"project": "shop", "stage": "dev", "service": "cart"}), more);
        self.take(&event(&id, &format!("{task}.{phase}"), Some(trigger), data));
    }

    /// An executor does a task.
    fn does(&mut self, task: &str, result: &str) {
        self.started(task);
        self.finished(task, "succeeded", result);
    }

    /// The types of what was published since this was last asked, without what they begin with.
    fn news(&mut self) -> Vec<String> {
        let all: Vec<String> = self.sent[self.seen..].iter().map(|e| e.ty.replace("sh.keptn.event.", "")).collect();
        self.seen = self.sent.len();
        all
    }

    fn last(&self) -> &Value {
        self.sent.last().unwrap().json().unwrap()
    }

    /// The `data` of the newest event of a type.
    fn data(&self, ty: &str) -> &Value {
        let ty = format!("sh.keptn.event.{ty}");
        self.sent.iter().rfind(|e| e.ty == ty).unwrap_or_else(|| panic!("no {ty}")).json().unwrap()
    }

    /// Status and result of the sequence asked for, where it has ended.
    fn ending(&self) -> Option<(&'static str, &'static str)> {
        self.runner.ending("ask").map(|e| (e.status.as_str(), e.verdict.as_str()))
    }

    fn ignored(&self) -> Vec<&str> {
        self.steps.iter().filter(|s| s.step == What::Ignored).map(|s| s.message.as_str()).collect()
    }
}

fn event(id: &str, ty: &str, answers: Option<&str>, data: Value) -> Event {
    Event {
        id: id.into(),
        source: "somebody".into(),
        ty: format!("sh.keptn.event.{ty}"),
        time: None,
        subject: None,
        content_type: None,
        context: Some("c0ffee".into()),
        triggered_id: answers.map(str::to_owned),
        extensions: Map::new(),
        data: Data::Json(data),
    }
}

/// Section 3.3: several executors on one task, and what their order comes to.
#[test]
fn a_task_is_complete_when_as_many_finished_as_began() {
    // S and F are the started and finished of anybody; `warn` finishes with a warning.
    for (answers, complete) in [
        ("S F", true),
        ("S S F F", true),
        ("S F(warn) S F", true),
        ("S S F(warn) F", true),
        ("F S", true),
        ("F F S S", true),
        ("S", false),
        ("F", false),
        ("S S F", false),
        ("S S F S F", false),
    ] {
        let mut stage = Stage::tasks("{name: a}, {name: b}");
        let trigger = stage.trigger("a");
        for answer in answers.split(' ') {
            match answer {
                "S" => stage.answer("a", "started", &trigger, json!({})),
                "F" => stage.answer("a", "finished", &trigger, json!({"status": "succeeded", "result": "pass"})),
                _ => stage.answer("a", "finished", &trigger, json!({"status": "succeeded", "result": "warning"})),
            }
        }
        let triggered = stage.news();
        let want: &[&str] = if complete { &["a.triggered", "b.triggered"] } else { &["a.triggered"] };
        assert_eq!(triggered, want, "{answers}");
    }
}

#[test]
fn a_finished_that_comes_twice_hangs_the_task_unless_it_was_complete() {
    let mut stage = Stage::tasks("{name: a}, {name: b}");
    stage.started("a");
    stage.started("a");
    stage.finished("a", "succeeded", "pass");
    stage.finished("a", "succeeded", "pass");
    assert_eq!(stage.news(), ["a.triggered", "b.triggered"], "two began, one finished twice: taken for both");
    let mut stage = Stage::tasks("{name: a}, {name: b}");
    let trigger = stage.trigger("a");
    for phase in ["finished", "finished", "started"] {
        stage.answer("a", phase, &trigger, json!({"status": "succeeded", "result": "pass"}));
    }
    assert_eq!(stage.news(), ["a.triggered"]);
    assert_eq!(stage.runner.wake_at(stage.now), None, "and nothing will ever end it");
}

#[test]
fn what_comes_after_completion_is_ignored() {
    let mut stage = Stage::tasks("{name: a}, {name: b}");
    let trigger = stage.trigger("a");
    stage.does("a", "pass");
    stage.answer("a", "started", &trigger, json!({}));
    stage.answer("a", "finished", &trigger, json!({"status": "errored", "result": "fail"}));
    assert_eq!(stage.news(), ["a.triggered", "b.triggered"]);
    assert_eq!(stage.ignored(), ["no task \"a\" waits for an answer to this trigger"; 2]);
}

#[test]
fn the_trigger_alone_says_what_is_answered() {
    let mut stage = Stage::tasks("{name: a}, {name: b}");
    let trigger = stage.trigger("a");
    stage.answer("quite-another", "started", &trigger, json!({}));
    stage.answer("a", "finished", "some-other-trigger", json!({"status": "succeeded", "result": "pass"}));
    stage.answer("a", "finished", &trigger, json!({"project": "other", "status": "succeeded", "result": "pass"}));
    assert_eq!(stage.news(), ["a.triggered"]);
    stage.answer("b", "finished", &trigger, json!({"status": "succeeded", "result": "pass"}));
    assert_eq!(stage.news(), ["b.triggered"]);
}

#[test]
fn what_keptn_cannot_read_is_dropped_with_the_reason() {
    for (more, why) in [
        (json!({"labels": {"build": 17}}), "invalid type: integer `17`, expected a string"),
        (json!({"result": true}), "invalid type: boolean `true`, expected a string"),
        (json!({"service": ""}), "its data has no service"),
        (json!({"stage": null}), "its data has no stage"),
    ] {
        let mut stage = Stage::tasks("{name: a}");
        let trigger = stage.trigger("a");
        stage.answer("a", "started", &trigger, more.clone());
        assert!(stage.ignored()[0].contains(why), "{more}: {:?}", stage.ignored());
    }
}

/// Section 1.4: what a sequence ends with, and what goes on.
#[test]
fn outcomes_go_on_or_stop() {
    for (status, result, goes_on, ends) in [
        ("succeeded", "pass", true, ("succeeded", "pass")),
        ("succeeded", "warning", true, ("succeeded", "warning")),
        ("succeeded", "fail", false, ("succeeded", "fail")),
        ("errored", "pass", false, ("errored", "pass")),
        ("errored", "fail", false, ("errored", "fail")),
        ("aborted", "pass", true, ("aborted", "pass")),
        ("aborted", "fail", false, ("aborted", "fail")),
        ("unknown", "pass", false, ("unknown", "fail")),
        ("", "", false, ("unknown", "fail")),
    ] {
        let mut stage = Stage::tasks("{name: a}, {name: b}");
        stage.started("a");
        stage.finished("a", status, result);
        let want: &[&str] = if goes_on { &["a.triggered", "b.triggered"] } else { &["a.triggered", "dev.s.finished"] };
        assert_eq!(stage.news(), want, "{status} {result}");
        let mut stage = Stage::tasks("{name: a}");
        stage.started("a");
        stage.finished("a", status, result);
        assert_eq!(stage.ending(), Some(ends), "{status} {result}");
        assert_eq!((&stage.last()["status"], &stage.last()["result"]), (&json!(ends.0), &json!(ends.1)));
    }
}

#[test]
fn follow_ups_begin_by_the_result_alone() {
    let on = |selector: &str| {
        format!(
            "{{name: dev, sequences: [{{name: s, tasks: [{{name: a}}, {{name: b}}]}}, \
             {{name: next, triggeredOn: [{{event: dev.s.finished{selector}}}], tasks: [{{name: c}}]}}]}}"
        )
    };
    // What a and b end with; `-` where b is not reached.
    for (selector, outcomes, begins) in [
        ("", "succeeded/pass succeeded/pass", true),
        ("", "succeeded/pass succeeded/warning", true),
        ("", "succeeded/pass succeeded/fail", false),
        ("", "succeeded/pass errored/pass", true),
        ("", "errored/fail -", false),
        (", selector: {match: {result: pass}}", "succeeded/pass succeeded/pass", true),
        (", selector: {match: {result: pass}}", "succeeded/pass succeeded/warning", false),
        (", selector: {match: {result: warning}}", "succeeded/pass succeeded/warning", true),
        (", selector: {match: {result: fail}}", "succeeded/pass succeeded/fail", true),
        (", selector: {match: {result: fail}}", "succeeded/fail -", true),
        (", selector: {match: {result: failed}}", "succeeded/pass succeeded/fail", false),
        (", selector: {match: {b.result: fail}}", "succeeded/pass succeeded/fail", true),
        (", selector: {match: {b.result: fail}}", "succeeded/fail -", false),
        (", selector: {match: {a.result: fail}}", "succeeded/fail -", true),
        (", selector: {match: {a.result: pass}}", "succeeded/pass succeeded/pass", false),
        (", selector: {match: {result: fail, b.result: pass}}", "succeeded/pass succeeded/pass", true),
        (", selector: {match: {status: succeeded}}", "succeeded/pass succeeded/pass", false),
        (", selector: {match: {}}", "succeeded/pass succeeded/pass", false),
        (", selector: {}", "succeeded/pass succeeded/pass", true),
    ] {
        let mut stage = Stage::of(&on(selector));
        stage.ask("dev.s", json!({}));
        for (task, outcome) in ["a", "b"].into_iter().zip(outcomes.split(' ')).filter(|(_, o)| *o != "-") {
            let (status, result) = outcome.split_once('/').unwrap();
            stage.started(task);
            stage.finished(task, status, result);
        }
        let news = stage.news();
        assert_eq!(news.contains(&"dev.next.triggered".to_owned()), begins, "{selector} {outcomes}: {news:?}");
        assert_eq!(news.contains(&"c.triggered".to_owned()), begins);
        assert_eq!(stage.runner.is_idle(), !begins);
    }
}

#[test]
fn two_entries_that_fire_start_a_sequence_twice() {
    let mut stage = Stage::of(
        "{name: dev, sequences: [{name: s, tasks: [{name: a}]}]}, {name: prod, sequences: [{name: s, tasks: [{name: c}], \
         triggeredOn: [{event: dev.s.finished}, {event: dev.s.finished, selector: {match: {result: pass}}}]}]}",
    );
    stage.ask("dev.s", json!({}));
    stage.does("a", "pass");
    assert_eq!(stage.news().iter().filter(|ty| *ty == "prod.s.triggered").count(), 2);
}

#[test]
fn the_documented_rollback_needs_lenience() {
    for (lenient, want) in [
        (false, vec!["production.delivery.finished"]),
        (true, vec!["production.delivery.finished", "production.rollback.triggered", "rollback.triggered"]),
    ] {
        let mut stage = Stage::with(DOCUMENTED, Options { lenient, ..Options::default() });
        stage.ask("production.delivery", json!({}));
        stage.does("deployment", "pass");
        stage.news();
        stage.does("release", "fail");
        assert_eq!(stage.news(), want, "lenient: {lenient}");
    }
}

#[test]
fn the_documented_delivery_goes_through_both_stages() {
    let mut stage = Stage::with(DOCUMENTED, Options::default());
    stage.ask("staging.delivery", json!({"configurationChange": {"values": {"image": "cart:2"}}}));
    assert_eq!(stage.news(), ["deployment.triggered"]);
    let first = stage.sent[0].clone();
    assert_eq!(
        (first.source.as_str(), first.context.as_deref(), first.triggered_id.as_deref()),
        (SOURCE, Some("c0ffee"), None)
    );
    assert_eq!(first.extension("shkeptnspecversion"), Some("0.2.4"));
    stage.finished_with(
        "deployment",
        json!({"status": "succeeded", "result": "pass", "deployment": {"deploymentNames": ["direct"]}}),
    );
    stage.started("deployment");
    assert_eq!(stage.news(), ["test.triggered"]);
    stage.does("test", "pass");
    assert_eq!(stage.news(), [""; 0], "evaluation waits two minutes");
    assert_eq!(stage.steps.last().unwrap().step, What::TaskDelayed);
    stage.pass(119);
    assert_eq!(stage.news(), [""; 0]);
    stage.pass(1);
    assert_eq!(stage.news(), ["evaluation.triggered"]);
    assert_eq!(stage.sent.last().unwrap().time, Some(stage.now), "the time is that of sending");
    stage.does("evaluation", "warning");
    stage.does("release", "pass");
    assert_eq!(
        stage.news(),
        ["release.triggered", "staging.delivery.finished", "production.delivery.triggered", "deployment.triggered"]
    );
    let strategy = &stage.last()["deployment"];
    assert_eq!(strategy["deploymentstrategy"], "blue_green_service", "a string is overwritten");
    assert_eq!(strategy["deploymentNames"], json!(["direct"]), "and the rest of the chain is still there");
    assert_eq!(stage.last()["stage"], "production");
    stage.does("deployment", "pass");
    stage.does("release", "pass");
    assert_eq!(stage.ending(), Some(("succeeded", "pass")));
    assert!(stage.runner.is_idle());
}

/// Section 4.5: what a trigger carries.
#[test]
fn a_trigger_carries_all_that_came_before() {
    let mut stage = Stage::of(
        "{name: dev, sequences: [{name: s, tasks: [{name: a}, {name: b, properties: {text: new, number: 2, list: [2]}}]}]}",
    );
    stage.ask(
        "dev.s",
        json!({"message": "please", "labels": {"build": "1"}, "b": {"text": "old", "number": 1, "list": [1]}, "keep": 1}),
    );
    let first = stage.last();
    assert_eq!(first["message"], "", "emptied, not dropped");
    assert_eq!((first.get("status"), first.get("result")), (None, None), "nothing was done before");
    stage.started("a");
    let data = json!({"status": "succeeded", "result": "warning", "message": "42", "labels": {"ticket": "OPS-1"},
        "a": {"url": "x"}, "keep": 2});
    stage.finished_with("a", data);
    assert_eq!(
        *stage.last(),
        json!({"project": "shop", "stage": "dev", "service": "cart", "message": "", "status": "succeeded", "result": "warning",
            "labels": {"build": "1", "ticket": "OPS-1"}, "a": {"url": "x"}, "keep": 1,
            "b": {"text": "new", "number": 1, "list": [2, 1]}})
    );
}

#[test]
fn answers_of_all_executors_are_merged_in_the_order_they_came() {
    let mut stage = Stage::tasks("{name: a}, {name: b}");
    stage.started("a");
    stage.started("a");
    stage.finished_with(
        "a",
        json!({"status": "succeeded", "result": "pass", "a": {"who": "one", "n": 1, "urls": ["x"]}}),
    );
    stage.finished_with(
        "a",
        json!({"status": "succeeded", "result": "warning", "a": {"who": "two", "n": 2, "urls": ["y"]}}),
    );
    let data = stage.data("b.triggered");
    assert_eq!(data["a"], json!({"who": "two", "n": 1, "urls": ["y", "x"]}));
    assert_eq!(data["result"], "warning");
}

#[test]
fn the_end_of_a_sequence_carries_no_blocks_and_the_words_of_the_last_answer() {
    let mut stage = Stage::of("{name: dev, sequences: [{name: s, tasks: [{name: a}, {name: b}]}]}");
    stage.ask("dev.s", json!({"labels": {"build": "1"}, "gitcommit": "x"}));
    stage.started("a");
    stage.finished_with("a", json!({"status": "succeeded", "result": "pass", "labels": {"x": "1"}, "a": {"b": 1}}));
    stage.started("b");
    stage.finished_with(
        "b",
        json!({"status": "succeeded", "result": "pass", "message": "all well", "labels": {"y": "2"}}),
    );
    let end = stage.sent.last().unwrap().clone();
    assert_eq!((end.triggered_id.as_deref(), end.source.as_str()), (Some("ask"), SOURCE));
    assert_eq!(
        end.json().unwrap(),
        &json!({"project": "shop", "stage": "dev", "service": "cart", "labels": {"y": "2"}, "status": "succeeded",
            "result": "pass", "message": "all well"})
    );
}

#[test]
fn the_commit_goes_to_the_tasks_and_not_to_follow_ups() {
    let mut stage = Stage::of(
        "{name: dev, sequences: [{name: s, tasks: [{name: a}]}, {name: t, triggeredOn: [{event: dev.s.finished}], tasks: [{name: a}]}]}",
    );
    let mut ask = event("ask", "dev.s.triggered", None, json!({"project": "shop", "stage": "dev", "service": "cart"}));
    ask.extensions.insert("gitcommitid".into(), "9fceb02".into());
    stage.take(&ask);
    stage.does("a", "pass");
    let commits: Vec<_> = stage.sent.iter().map(|e| e.extension("gitcommitid")).collect();
    assert_eq!(commits, [Some("9fceb02"), None, None, None]);
}

#[test]
fn an_unknown_sequence_ends_errored_and_starts_nothing() {
    let follow = "{name: late, triggeredOn: [{event: dev.gone.finished, selector: {match: {result: fail}}}], tasks: [{name: a}]}";
    for (name, stages, message) in [
        ("dev.gone", format!("{{name: dev, sequences: [{follow}]}}"), "no sequence with name gone found in stage dev"),
        ("prod.gone", format!("{{name: dev, sequences: [{follow}]}}"), "no stage with name prod"),
        (
            "dev.empty",
            "{name: dev, sequences: [{name: empty}]}".to_owned(),
            "sequence empty does not contain any tasks",
        ),
    ] {
        let mut stage = Stage::of(&stages);
        stage.ask(name, json!({"labels": {"a": "b"}}));
        assert_eq!(stage.news(), [format!("{name}.finished")]);
        assert_eq!(stage.ending(), Some(("errored", "fail")));
        assert_eq!((&stage.last()["message"], &stage.last()["labels"]), (&json!(message), &json!({"a": "b"})));
        assert!(stage.runner.is_idle());
    }
}

#[test]
fn evaluation_is_there_without_being_written() {
    let mut stage = Stage::of("{name: dev}");
    stage.ask("dev.evaluation", json!({}));
    assert_eq!(stage.news(), ["evaluation.triggered"]);
    stage.does("evaluation", "pass");
    assert_eq!(stage.news(), ["dev.evaluation.finished"]);
}

#[test]
fn the_same_trigger_runs_once_and_management_is_no_sequence() {
    let mut stage = Stage::tasks("{name: a}");
    stage.ask("dev.s", json!({}));
    assert_eq!(stage.news(), ["a.triggered"]);
    stage.ask_as("other", "project.create", json!({}));
    assert_eq!(stage.news(), [""; 0]);
}

#[test]
fn a_trigger_that_nobody_answers_times_out_and_starts_no_branch() {
    let shipyard = "{name: dev, sequences: [{name: s, tasks: [{name: a}]}, \
        {name: sorry, triggeredOn: [{event: dev.s.finished, selector: {match: {result: fail}}}], tasks: [{name: b}]}]}";
    let mut stage = Stage::of(shipyard);
    stage.ask("dev.s", json!({}));
    stage.news();
    stage.pass(599);
    assert_eq!(stage.news(), [""; 0]);
    stage.pass(1);
    assert_eq!(stage.news(), ["dev.s.finished"]);
    assert_eq!(stage.ending(), Some(("errored", "fail")));
    let message = stage.last()["message"].as_str().unwrap();
    assert!(message.contains("sh.keptn.event.a.triggered"), "{message}");
    assert!(stage.runner.is_idle());
}

#[test]
fn any_answer_holds_off_the_start_timeout() {
    for phase in ["started", "finished", "status.changed"] {
        let mut stage = Stage::tasks("{name: a}");
        let trigger = stage.trigger("a");
        stage.answer("a", phase, &trigger, json!({"status": "succeeded", "result": "pass"}));
        stage.news();
        stage.pass(100_000);
        assert_eq!(stage.news(), [""; 0], "{phase}");
    }
}

#[test]
fn the_start_timeout_of_a_delayed_task_counts_from_its_sending() {
    let mut stage = Stage::tasks("{name: a, triggeredAfter: 1h}");
    assert_eq!(stage.news(), [""; 0]);
    stage.pass(3600 + 599);
    assert_eq!(stage.news(), ["a.triggered"]);
    stage.pass(1);
    assert_eq!(stage.news(), ["dev.s.finished"]);
}

#[test]
fn a_finish_timeout_ends_what_keptn_would_wait_for_for_ever() {
    let options = Options { finish_timeout: Some(Duration::from_secs(60)), ..Options::default() };
    let shipyard =
        "apiVersion: spec.keptn.sh/0.2.3\nspec: {stages: [{name: dev, sequences: [{name: s, tasks: [{name: a}]}]}]}";
    let mut stage = Stage::with(shipyard, options);
    stage.ask("dev.s", json!({}));
    stage.pass(10);
    stage.started("a");
    stage.news();
    stage.pass(59);
    assert_eq!(stage.news(), [""; 0]);
    stage.pass(1);
    assert_eq!(stage.news(), ["dev.s.finished"]);
    assert!(stage.last()["message"].as_str().unwrap().ends_with("to be finished: 1 started, 0 finished"));
}

#[test]
fn a_timeout_beyond_all_times_is_none() {
    let options = Options { start_timeout: Duration::MAX, ..Options::default() };
    let shipyard =
        "apiVersion: spec.keptn.sh/0.2.3\nspec: {stages: [{name: dev, sequences: [{name: s, tasks: [{name: a}]}]}]}";
    let mut stage = Stage::with(shipyard, options);
    stage.ask("dev.s", json!({}));
    assert_eq!(stage.runner.wake_at(stage.now), None);
}

#[test]
fn an_abort_ends_what_runs_and_starts_nothing() {
    let mut stage = Stage::of(
        "{name: dev, sequences: [{name: s, tasks: [{name: a}]}, {name: t, triggeredOn: [{event: dev.s.finished}], tasks: [{name: b}]}]}",
    );
    stage.ask("dev.s", json!({}));
    stage.news();
    stage.turn(Runner::abort);
    assert_eq!(stage.news(), ["dev.s.finished"]);
    assert_eq!(stage.ending(), Some(("aborted", "pass")));
    stage.does("a", "pass");
    assert_eq!(stage.news(), [""; 0], "what comes late is ignored");
    stage.turn(Runner::abort);
    assert_eq!(stage.news(), [""; 0], "what has ended does not end again");
}

#[test]
fn branches_in_two_stages_run_at_once_and_in_one_stage_one_after_the_other() {
    let on = "triggeredOn: [{event: dev.s.finished}]";
    let mut stage = Stage::of(&format!(
        "{{name: dev, sequences: [{{name: s, tasks: [{{name: a}}]}}]}}, \
         {{name: eu, sequences: [{{name: x, {on}, tasks: [{{name: x1}}, {{name: x2}}]}}, {{name: y, {on}, tasks: [{{name: y1}}]}}]}}, \
         {{name: us, sequences: [{{name: z, {on}, tasks: [{{name: z1}}]}}]}}"
    ));
    stage.ask("dev.s", json!({}));
    stage.does("a", "pass");
    assert_eq!(
        stage.news()[1..],
        ["dev.s.finished", "eu.x.triggered", "x1.triggered", "eu.y.triggered", "us.z.triggered", "z1.triggered"]
    );
    let held: Vec<_> = stage.steps.iter().filter(|s| s.step == What::TaskHeld).map(|s| s.task.as_str()).collect();
    assert_eq!(held, ["y1"]);
    stage.pass(5);
    stage.does("x1", "pass");
    assert_eq!(stage.news(), ["x2.triggered"], "what waits in the queue does not hold up the one it waits for");
    stage.does("z1", "pass");
    assert_eq!(stage.news(), ["us.z.finished"]);
    stage.does("x2", "fail");
    assert_eq!(stage.news(), ["eu.x.finished", "y1.triggered"]);
    assert!(!stage.runner.is_idle());
    stage.does("y1", "pass");
    assert_eq!(stage.news(), ["eu.y.finished"]);
    assert!(stage.runner.is_idle());
    let told: BTreeMap<&str, usize> =
        stage.steps.iter().filter(|s| s.step == What::SequenceFinished).fold(BTreeMap::new(), |mut all, s| {
            *all.entry(s.sequence.as_str()).or_default() += 1;
            all
        });
    assert_eq!(told, BTreeMap::from([("s", 1), ("x", 1), ("y", 1), ("z", 1)]));
}

#[test]
fn three_that_wait_for_one_stage_come_one_by_one_even_at_one_instant() {
    let mut stage = Stage::of("{name: dev, sequences: [{name: s, tasks: [{name: a}]}]}");
    for id in ["one", "two", "three"] {
        stage.ask_as(id, "dev.s", json!({}));
    }
    for _ in 0..3 {
        assert_eq!(stage.news().iter().filter(|ty| *ty == "a.triggered").count(), 1);
        stage.does("a", "pass");
    }
    assert!(stage.runner.is_idle());
}

#[test]
fn an_approval_holds_nobody_up() {
    let on = "triggeredOn: [{event: dev.s.finished}]";
    let mut stage = Stage::of(&format!(
        "{{name: dev, sequences: [{{name: s, tasks: [{{name: a}}]}}, {{name: x, {on}, tasks: [{{name: approval}}, {{name: x1}}]}}, \
         {{name: y, {on}, tasks: [{{name: y1}}]}}]}}"
    ));
    stage.ask("dev.s", json!({}));
    stage.does("a", "pass");
    assert_eq!(
        stage.news()[1..],
        ["dev.s.finished", "dev.x.triggered", "approval.triggered", "dev.y.triggered", "y1.triggered"]
    );
    stage.does("approval", "pass");
    assert_eq!(stage.news(), [""; 0], "x1 waits for y");
    stage.does("y1", "pass");
    assert_eq!(stage.news(), ["dev.y.finished", "x1.triggered"]);
}

#[test]
fn a_played_executor_answers_as_a_real_one_would() {
    let mut stage = Stage::tasks("{name: a}");
    let trigger = stage.sent[0].clone();
    let mut n = 0;
    let mut ids = || {
        n += 1;
        format!("played-{n}")
    };
    for (word, phases, ends) in [
        ("hang", vec!["a.started"], None),
        ("pass", vec!["a.started", "a.finished"], Some(("succeeded", "pass"))),
        ("warning", vec!["a.started", "a.finished"], Some(("succeeded", "warning"))),
        ("fail", vec!["a.started", "a.finished"], Some(("succeeded", "fail"))),
        ("errored", vec!["a.started", "a.finished"], Some(("errored", "fail"))),
    ] {
        let replies = simulate(&trigger, word.parse().unwrap(), stage.now, &mut ids);
        assert_eq!(replies.iter().map(|e| e.ty.replace("sh.keptn.event.", "")).collect::<Vec<_>>(), phases, "{word}");
        assert!(replies.iter().all(|e| e.source == SIMULATOR && e.triggered_id.as_ref() == Some(&trigger.id)));
        let mut stage = Stage::tasks("{name: a}");
        replies.iter().for_each(|reply| stage.take(reply));
        assert_eq!(stage.ending(), ends, "{word}");
    }
    assert!("boom".parse::<Play>().is_err());
    assert!(simulate(&event("x", "dev.s.triggered", None, json!({})), Play::Pass, stage.now, &mut ids).is_empty());
    stage.news();
}
