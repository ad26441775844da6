use super::*;

fn known() -> Known {
    let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
    Known {
        ours: words(&["open-issue", "update-issue", "close-issue", "check-issues"]),
        answered: words(&["a", "b", "c"]),
    }
}

fn of(source: &str) -> Vec<String> {
    let shipyard = Shipyard::read("s", source).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let tell = |f: Finding| {
        let level = serde_json::to_value(f.level).unwrap();
        let suggestion = f.suggestion.map(|s| format!(" ({s})")).unwrap_or_default();
        format!("{}:{} {}: {}{suggestion}", f.line, f.column, level.as_str().unwrap(), f.message)
    };
    lint(&shipyard, &known()).into_iter().map(tell).collect()
}

/// Findings about stages written in flow style below a fine head, with the line counted from the first of them.
fn stages(stages: &str) -> Vec<String> {
    of(&format!("{HEAD}{stages}")).into_iter().map(|f| f.split_once(' ').unwrap().1.to_owned()).collect()
}

const HEAD: &str = "apiVersion: spec.keptn.sh/0.2.3\nkind: Shipyard\nmetadata: {name: shop}\nspec:\n  stages:\n";

/// A delivery of tasks a and b in dev, and behind it what is given.
fn behind(trigger: &str) -> Vec<String> {
    stages(&format!(
        "  - name: dev\n    sequences:\n    - {{name: delivery, tasks: [{{name: a}}, {{name: b}}]}}\n    - name: next\n      \
         triggeredOn: [{trigger}]\n      tasks: [{{name: c}}]\n"
    ))
}

#[test]
fn a_fine_shipyard_has_nothing_to_say() {
    assert_eq!(behind("{event: dev.delivery.finished}"), [""; 0]);
    assert_eq!(behind("{event: dev.delivery.finished, selector: {match: {result: fail}}}"), [""; 0]);
    assert_eq!(behind("{event: dev.delivery.finished, selector: {match: {b.result: warning}}}"), [""; 0]);
    assert_eq!(behind("{event: dev.delivery.finished, selector: {}}"), [""; 0], "no match is no selector");
    assert_eq!(behind("{event: dev.evaluation.finished}"), [""; 0], "Keptn provides it");
}

#[test]
fn the_documented_rollback_never_fires() {
    let found = of(include_str!("../fixtures/documented.yaml"));
    let errors: Vec<_> = found.iter().filter(|f| f.contains(" error: ")).collect();
    assert_eq!(
        errors,
        ["35:27 error: \"failed\" never fires: it is compared as it is written (the result is \"fail\")"]
    );
    let rest: Vec<_> = found.iter().filter(|f| !f.contains(" error: ")).collect();
    assert_eq!(rest.len(), 5, "one note for each standard task: {found:#?}");
    assert!(rest.iter().all(|f| f.contains(" note: task ") && f.contains("needs an executor")), "{found:#?}");
}

#[test]
fn what_never_fires_is_said() {
    let never = "is compared as it is written";
    for (trigger, want) in [
        ("{event: dev.delivery.finished, selector: {match: {result: failed}}}", format!("error: \"failed\" never fires: it {never} (the result is \"fail\")")),
        ("{event: dev.delivery.finished, selector: {match: {b.result: passed}}}", format!("error: \"passed\" never fires: it {never} (the result is \"pass\")")),
        ("{event: dev.delivery.finished, selector: {match: {result: wraning}}}", format!("error: \"wraning\" never fires: it {never} (did you mean \"warning\"?)")),
        ("{event: dev.delivery.finished, selector: {match: {result: }}}", format!("error: \"\" never fires: it {never} (known: pass, warning, fail)")),
        ("{event: dev.delivery.finished, selector: {match: {}}}", "error: an empty match never fires; without a selector the results pass and warning fire".into()),
        ("{event: dev.delivery.finished, selector: {match: {reslt: fail}}}", "error: key \"reslt\" does not count (did you mean \"result\"?)".into()),
        ("{event: dev.delivery.finished, selector: {match: {a.result: pass}}}", "error: \"a.result\" does not count: \"a\" is not the last task of its sequence (result, or b.result)".into()),
        ("{event: dev.delivery.finished, selector: {match: {a.result: fail}}}", "note: fires only where \"a\" itself fails, as the last task that was run".into()),
        ("{event: dev.delivery.finished, selector: {match: {b.result: fail}}}", "note: does not fire where a task before \"b\" fails (result: fail fires for all of them)".into()),
        ("{event: dev.delivery.finished, selector: {match: {result: pass, b.result: warning}}}", "warning: its keys are compared with the same result of the whole sequence, and any of them suffices".into()),
        ("{event: dev.delivry.finished}", "error: event \"dev.delivry.finished\" never comes: there is no such sequence (did you mean \"dev.delivery.finished\"?)".into()),
        ("{event: sh.keptn.event.dev.delivery.finished}", "error: event \"sh.keptn.event.dev.delivery.finished\" never starts a sequence, only the end of another one does (\"dev.delivery.finished\")".into()),
        ("{event: test.finished}", "error: event \"test.finished\" never starts a sequence, only the end of another one does (<stage>.<sequence>.finished)".into()),
        ("{event: dev.delivery.triggered}", "error: event \"dev.delivery.triggered\" never starts a sequence, only the end of another one does (<stage>.<sequence>.finished)".into()),
        ("{event: dev.delivery.finished}, {event: dev.delivery.finished, selector: {match: {result: pass}}}", "error: starts dev.next a second time, beside line 10".into()),
    ] {
        assert_eq!(behind(trigger), [want], "{trigger}");
    }
    let fine = "{event: dev.delivery.finished, selector: {match: {result: pass}}}, {event: dev.delivery.finished, selector: {match: {result: fail}}}";
    assert_eq!(behind(fine), [""; 0]);
}

#[test]
fn circles_are_told_once() {
    let round = |result: &str| {
        stages(&format!(
            "  - name: dev\n    sequences:\n    - {{name: x, triggeredOn: [{{event: dev.z.finished}}], tasks: [{{name: a}}]}}\n    \
             - {{name: y, triggeredOn: [{{event: dev.x.finished}}], tasks: [{{name: a}}]}}\n    \
             - {{name: z, triggeredOn: [{{event: dev.y.finished, selector: {{match: {{result: {result}}}}}}}], tasks: [{{name: a}}]}}\n"
        ))
    };
    assert_eq!(round("pass"), ["error: runs for ever: dev.x → dev.y → dev.z → dev.x, as long as all of them pass"]);
    assert_eq!(
        round("fail"),
        ["warning: may run for ever: dev.x → dev.y → dev.z → dev.x, as long as the failure stays"]
    );
    assert_eq!(round("failed").len(), 1, "what never fires closes no circle: {:?}", round("failed"));
    let own = stages(
        "  - name: dev\n    sequences:\n    - {name: x, triggeredOn: [{event: dev.x.finished}], tasks: [{name: a}]}\n",
    );
    assert_eq!(own, ["error: runs for ever: dev.x → dev.x, as long as all of them pass"]);
}

#[test]
fn long_chains_are_looked_through() {
    let mut text = String::from("  - name: dev\n    sequences:\n");
    for n in 0..300 {
        let before = if n == 0 { 299 } else { n - 1 };
        text +=
            &format!("    - {{name: s{n}, triggeredOn: [{{event: dev.s{before}.finished}}], tasks: [{{name: a}}]}}\n");
    }
    assert_eq!(stages(&text).len(), 1);
}

#[test]
fn names_are_looked_at() {
    let name = |stage: &str, sequence: &str, task: &str| {
        stages(&format!("  - name: {stage}\n    sequences:\n    - {{name: {sequence}, tasks: [{{name: {task}}}]}}\n"))
    };
    assert_eq!(name("dev-1", "s", "a"), [""; 0]);
    let stage = "error: stage \"Dev\": Keptn takes lower-case letters, digits and hyphens, a letter first (for example \"dev\")";
    assert_eq!(name("Dev", "s", "a"), [stage]);
    assert_eq!(name("1dev", "s", "a").len(), 1);
    let dot = "error: sequence \"s.t\": with a dot the event type has one part too many, and nobody takes its events (for example \"s-t\")";
    assert_eq!(name("dev", "s.t", "a"), [dot]);
    let subject = "error: sequence \"my s\" cannot be part of a NATS subject, so its events cannot be published (for example \"my-s\")";
    assert_eq!(name("dev", "my s", "a"), [subject]);
    let case = "warning: sequence \"Canary_Roll\": lower-case letters, digits and hyphens are what all tools take (for example \"canary-roll\")";
    assert_eq!(name("dev", "Canary_Roll", "a"), [case]);
    let dots = name("dev", "s", "x.y");
    assert!(dots[0].starts_with("error: task \"x.y\": with a dot"), "{dots:?}");
    let management = "error: project.create is the name of a management event, so it is never taken for a sequence";
    assert_eq!(name("project", "create", "a"), [management]);
}

#[test]
fn doubles_and_empty_ones_are_told() {
    let found = of(&format!(
        "{HEAD}  - name: dev\n    sequences:\n    - {{name: s, tasks: [{{name: a}}]}}\n    - {{name: s, tasks: [{{name: a}}]}}\n    \
         - name: t\n  - name: dev\n"
    ));
    assert_eq!(
        found,
        [
            "9:14 error: sequence \"s\" stands twice; only the first, in line 8, is ever run",
            "10:13 error: sequence \"t\" has no tasks, so it counts as missing and ends errored",
            "11:11 error: stage \"dev\" stands twice; only the first, in line 6, is ever run",
            "11:11 warning: stage \"dev\" has no sequences",
        ]
    );
}

#[test]
fn tasks_that_nobody_answers_and_bad_delays_are_told() {
    let tasks = |tasks: &str| stages(&format!("  - name: dev\n    sequences:\n    - {{name: s, tasks: [{tasks}]}}\n"));
    assert_eq!(tasks("{name: open-issue}, {name: a, triggeredAfter: 1h30m}"), [""; 0]);
    let nobody = "so the sequence would end errored by its start timeout";
    assert_eq!(
        tasks("{name: opne-issue}, {name: jump}, {name: jump}"),
        [
            format!("warning: nobody is known to answer task \"opne-issue\", {nobody} (did you mean \"open-issue\"?)"),
            format!("warning: nobody is known to answer task \"jump\", {nobody}"),
        ]
    );
    assert_eq!(tasks("{name: get-sli}"), ["note: task \"get-sli\" needs an executor, as Keptn's own services are"]);
    assert_eq!(
        tasks("{name: a, triggeredAfter: 10 minutes}, {name: b, triggeredAfter: -1m}, {name: c, triggeredAfter: 10}"),
        [
            "error: triggeredAfter \"10 minutes\" cannot be read, so the task is sent at once (like 90s, 10m or 1h30m)",
            "warning: triggeredAfter \"-1m\" lies in the past, so the task is sent at once",
            "error: triggeredAfter \"10\" cannot be read, so the task is sent at once (like 90s, 10m or 1h30m)",
        ]
    );
}

#[test]
fn properties_that_stay_are_told() {
    let found = of(&format!(
        "{HEAD}  - name: dev\n    sequences:\n    - name: s\n      tasks:\n      \
         - {{name: a, properties: {{n: 1, deep: {{flag: true, same: 2}}, text: x, list: [1]}}}}\n      \
         - {{name: b, properties: {{n: 2}}}}\n      \
         - {{name: a, properties: {{n: 2, deep: {{flag: false, same: 2}}, text: y, list: [2]}}}}\n  \
         - name: prod\n    sequences:\n    - {{name: s, triggeredOn: [{{event: dev.s.finished}}], tasks: [{{name: b, properties: {{n: '3'}}}}]}}\n"
    ));
    assert_eq!(
        found,
        [
            "12:35 warning: properties of \"a\" › n: 1 of line 10 stays where an executor gives it back, for a number or a boolean is never overwritten (a string, like \"1\", is)",
            "12:51 warning: properties of \"a\" › deep › flag: true of line 10 stays where an executor gives it back, for a number or a boolean is never overwritten (a string, like \"true\", is)",
            "12:83 note: properties of \"a\" › list: put before the list of line 10, not in its place, where an executor gives that back",
            "15:91 warning: properties of \"b\" › n: 2 of line 11 stays where an executor gives it back, for a number or a boolean is never overwritten (a string, like \"2\", is)",
        ]
    );
}

#[test]
fn the_head_is_held_against_the_schema() {
    let body = "spec: {stages: [{name: dev, sequences: [{name: s, tasks: [{name: a}]}]}]}";
    assert_eq!(
        of(&format!("apiVersion: 0.2.3\nkind: Shippyard\nmetadata: {{name: x}}\n{body}")),
        [
            "1:13 warning: apiVersion \"0.2.3\" is not as the schema has it (\"spec.keptn.sh/0.2.3\")",
            "2:7 warning: kind is \"Shippyard\" (the schema has \"Shipyard\")",
        ]
    );
    let bare = of(&format!("apiVersion: spec.keptn.sh/0.2.3\n{body}"));
    assert_eq!(bare.len(), 2, "{bare:?}");
}
