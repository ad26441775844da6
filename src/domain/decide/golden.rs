//! Every sample in `events/`, with what it is decoded to and what is decided about it by the built-in packs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::Judge;
use super::model::Model;
use crate::domain::event::Event;
use crate::domain::row::Entry;
use crate::domain::rules::{RuleSet, Verdict};

struct Packs(RuleSet);

impl Judge for Packs {
    fn evaluate(&self, _: &str, event: &Event) -> Verdict {
        self.0.evaluate(event)
    }

    fn current(&self) -> &str {
        "packs"
    }
}

fn files(at: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let skipped = path.ends_with("broken") || path.ends_with("demo");
        if path.is_dir() && !skipped {
            files(&path, into);
        } else if path.extension().is_some_and(|e| e == "json") {
            into.push(path);
        }
    }
}

/// Each sample meets an empty store, so a success resolves nothing here and still shows its key.
#[test]
fn every_sample_is_decided_as_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut found = Vec::new();
    files(&root, &mut found);
    found.sort();
    let packs = Packs(RuleSet::builtin());
    let mut text = String::new();
    for file in found {
        let mut payload = fs::read(&file).unwrap();
        // Raw JSON comes to the decision as what an adapter makes of it.
        let subject = if file.parent().is_some_and(|f| f.ends_with("flux")) { "flux.prod" } else { "elsewhere" };
        if let Some(lifted) = packs.0.lift(subject, &serde_json::from_slice(&payload).unwrap()) {
            payload = lifted.unwrap().to_value().to_string().into();
        }
        let (decided, messages) = Model::default().judged(payload.into(), &packs);
        let Entry::Event(r) = decided.row.entry else { panic!("{}", file.display()) };
        let d = &r.decision;
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        let ty = r.head.as_ref().map_or("unreadable", |h| &h.ty);
        writeln!(
            text,
            "{name}\n  {ty}: {} {:?} by {}: {}",
            d.outcome_word(),
            d.fate,
            d.rule.as_deref().unwrap_or("-"),
            d.why
        )
        .unwrap();
        if let Some(key) = &d.key {
            writeln!(
                text,
                "  {} {} in {}, run {}",
                key.issue_type,
                key.check,
                key.scope,
                d.run.as_deref().unwrap_or("-")
            )
            .unwrap();
        }
        for (_, state) in &decided.keys {
            let issue = state.as_ref().and_then(|s| s.marks.issue.as_ref());
            if let Some(i) = issue {
                writeln!(text, "  #{} {} {}: {}", i.number, i.state, i.severity, i.title).unwrap();
            }
        }
        for message in messages {
            writeln!(text, "  causes {}", message.subject).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}
