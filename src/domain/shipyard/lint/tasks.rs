//! Tasks: whether anybody answers them, and when they are sent.

use std::collections::HashSet;

use super::{Findings, Known, Level};
use crate::domain::shipyard::{Shipyard, duration};
use crate::domain::yaml::problem::did_you_mean;

/// The tasks that Keptn's own services answer, where those are installed.
const STANDARD: &[&str] =
    &["action", "approval", "deployment", "evaluation", "get-action", "get-sli", "release", "rollback", "test"];

pub(super) fn look(shipyard: &Shipyard, known: &Known, found: &mut Findings) {
    let mut told = HashSet::new();
    for task in shipyard.sequences().flat_map(|(_, sequence)| &sequence.tasks) {
        if let Some(after) = &task.triggered_after {
            let message = |what: &str| format!("triggeredAfter {:?} {what}", after.text);
            match duration::nanos(&after.text) {
                None => {
                    let message = message("cannot be read, so the task is sent at once");
                    found.suggest(Level::Error, after.at, message, "like 90s, 10m or 1h30m".to_owned());
                }
                Some(nanos) if nanos < 0 => {
                    found.add(Level::Warning, after.at, message("lies in the past, so the task is sent at once"));
                }
                Some(_) => {}
            }
        }
        let name = task.name.text.as_str();
        let answered = known.ours.iter().chain(&known.answered).any(|task| task == name);
        if answered || !told.insert(name) {
            continue;
        }
        if STANDARD.contains(&name) {
            found.add(
                Level::Note,
                task.name.at,
                format!("task {name:?} needs an executor, as Keptn's own services are"),
            );
            continue;
        }
        let message =
            format!("nobody is known to answer task {name:?}, so the sequence would end errored by its start timeout");
        let ours = known.ours.iter().chain(&known.answered).map(String::as_str);
        let names: Vec<&str> = ours.chain(STANDARD.iter().copied()).collect();
        found.suggest(Level::Warning, task.name.at, message, did_you_mean(name, &names));
    }
}
