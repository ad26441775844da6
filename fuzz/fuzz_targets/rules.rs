//! Any bytes as a team's rule file: they are read, or refused with reasons; what is read can be linted, tested, and asked
//! about any event, with the same answer each time.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use shipwatch::domain::event::Event;
use shipwatch::domain::rules::{RuleSet, Told, lint, run_tests};
use shipwatch::shipyard::RuleFiles;

/// The shipyard that the bytes are put into.
static SHIPYARD: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("shipwatch-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("rules")).expect("a folder for the rule file");
    folder
});

/// A few real events.
static EVENTS: LazyLock<Vec<Event>> = LazyLock::new(|| {
    let files: [&[u8]; 4] = [
        include_bytes!("../../events/keptn/build.finished.fail.json"),
        include_bytes!("../../events/tekton/pipelinerun.failed.json"),
        include_bytes!("../../events/cdevents/pipelinerun.finished.failure.json"),
        include_bytes!("../../events/kite/build.failure.json"),
    ];
    files.iter().map(|json| Event::from_json(json).expect("the events are tested")).collect()
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(SHIPYARD.join("rules/a.yaml"), bytes).expect("the rule file is written");
    let read = RuleFiles::read(&SHIPYARD);
    let Some((name, text)) = read.files.first() else {
        assert!(std::str::from_utf8(bytes).is_err() && read.problems.len() == 1, "{:?}", read.problems);
        return;
    };
    let team = match RuleSet::compile(&[(name, text)]) {
        Ok(team) => team,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let lines = 1 + text.matches(['\n', '\r']).count();
            for problem in problems {
                assert!(problem.line as usize <= lines && !problem.to_string().contains('\n'), "{problem}");
            }
            return;
        }
    };
    let _ = (lint(&team), run_tests(&team));
    let mut sets = vec![team.clone()];
    // The packs take longer than everything else, so only one of sixteen files is put before them.
    if team.hash().starts_with('0') {
        let all = read.compile().expect("what is right alone is right before the packs");
        assert_eq!(all.rules().len(), team.rules().len() + RuleSet::builtin().rules().len());
        sets.push(all);
    }
    let events = events_for(&team);
    for set in &sets {
        EVENTS.iter().chain(&events).for_each(|event| try_event(set, event));
    }
    for adapter in team.adapters() {
        let subject = word_for(adapter.subject());
        let _ = team.lift(&subject, &body()).map(|lifted| lifted.map(|event| team.evaluate(&event)));
    }
});

/// An event is judged the same each time, and `explain` tells the same.
fn try_event(set: &RuleSet, event: &Event) {
    let verdict = set.evaluate(event);
    assert_eq!(verdict, set.evaluate(event), "judged twice, and not the same");
    let explained = set.explain(event);
    assert_eq!(explained.result, Told::of(&verdict));
    // `explain` tries every rule of the type, `evaluate` only those that the index finds.
    let decides = explained.tried.last().filter(|tried| tried.fits).map_or("", |tried| &*tried.rule);
    assert_eq!(decides, explained.result.rule);
}

/// One event for each of the first patterns of a set, so that its rules have something to decide.
fn events_for(team: &RuleSet) -> Vec<Event> {
    let on = team.rules().flat_map(|rule| rule.on).take(8);
    let event = |on: &str| {
        let event = json!({"specversion": "1.0", "id": "1", "source": "s", "type": word_for(on), "data": body()});
        Event::from_value(event).ok()
    };
    on.filter_map(event).collect()
}

/// A type or subject that fits a pattern.
fn word_for(pattern: &str) -> String {
    let word = |word| if matches!(word, "*" | ">") { "finished" } else { word };
    pattern.split('.').map(word).collect::<Vec<_>>().join(".")
}

/// A payload with values of every kind under the names that rules like.
fn body() -> Value {
    json!({
        "job": "soak", "team": "shop", "state": "failed", "status": "errored", "result": "fail", "message": "3 of 9 failed",
        "project": "shop", "stage": "dev", "service": "carts", "name": "", "namespace": "team-a", "id": 7, "time": 1.5e9,
        "ok": false, "none": null, "list": ["a", {"b": null}, [1, -0.5]], "labels": {"a-b": "c", "é": "\u{1f680}"},
        "severity": "critical", "url": "https://example.com/?q=%20", "long": "x".repeat(300),
    })
}
