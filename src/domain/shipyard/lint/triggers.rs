//! `triggeredOn`: what never fires, fires twice, or never ends.

use super::chain::{Chain, Link, RESULTS};
use super::{Findings, Level};
use crate::domain::shipyard::{Match, Sequence, Text, Trigger};
use crate::domain::yaml::problem::did_you_mean;

pub(super) fn look(chain: &Chain<'_>, found: &mut Findings) {
    for (_, sequence) in &chain.nodes {
        for trigger in &sequence.triggered_on {
            match trigger.of() {
                Some((stage, name)) if chain.exists(stage, name) => {
                    let from = chain.find(stage, name).map(|node| chain.nodes[node].1);
                    trigger.matches.iter().for_each(|matches| selector(matches, from, found));
                }
                Some(_) => unknown(trigger, chain, found),
                None => form(trigger, found),
            }
        }
    }
    twice(chain, found);
    cycles(chain, found);
}

/// Only the end of a sequence starts another one.
fn form(trigger: &Trigger, found: &mut Findings) {
    let event = &trigger.event;
    let right = event.text.strip_prefix("sh.keptn.event.").filter(|rest| {
        rest.strip_suffix(".finished").is_some_and(|rest| rest.split('.').filter(|w| !w.is_empty()).count() == 2)
    });
    let suggestion = right.map_or_else(|| "<stage>.<sequence>.finished".to_owned(), |right| format!("{right:?}"));
    let message = format!("event {:?} never starts a sequence, only the end of another one does", event.text);
    found.suggest(Level::Error, event.at, message, suggestion);
}

fn unknown(trigger: &Trigger, chain: &Chain<'_>, found: &mut Findings) {
    let names: Vec<String> = (0..chain.nodes.len()).map(|n| format!("{}.finished", chain.name(n))).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = format!("event {:?} never comes: there is no such sequence", trigger.event.text);
    found.suggest(Level::Error, trigger.event.at, message, did_you_mean(&trigger.event.text, &known));
}

/// `from` is the sequence whose end is waited for; none where Keptn provides it.
fn selector(matches: &Match, from: Option<&Sequence>, found: &mut Findings) {
    if matches.pairs.is_empty() {
        let message = "an empty match never fires; without a selector the results pass and warning fire";
        found.add(Level::Error, matches.at, message);
    }
    let mut counting: Vec<&Text> = Vec::new();
    for (key, value) in &matches.pairs {
        if key_counts(key, value, from, found) {
            counting.push(value);
            value_fires(value, found);
        }
    }
    if counting.iter().any(|value| value.text != counting[0].text) {
        let message = "its keys are compared with the same result of the whole sequence, and any of them suffices";
        found.add(Level::Warning, matches.at, message);
    }
}

fn value_fires(value: &Text, found: &mut Findings) {
    let text = value.text.as_str();
    if RESULTS.contains(&text) {
        return;
    }
    let suggestion = match text {
        "failed" | "failure" | "errored" => "the result is \"fail\"".to_owned(),
        "passed" | "succeeded" | "success" => "the result is \"pass\"".to_owned(),
        _ => did_you_mean(text, &RESULTS).unwrap_or_else(|| "known: pass, warning, fail".to_owned()),
    };
    found.suggest(Level::Error, value.at, format!("{text:?} never fires: it is compared as it is written"), suggestion);
}

/// Whether Keptn looks at a key at all.
fn key_counts(key: &Text, value: &Text, from: Option<&Sequence>, found: &mut Findings) -> bool {
    if key.text == "result" {
        return true;
    }
    let tasks: Vec<&str> = match from {
        Some(sequence) => sequence.tasks.iter().map(|t| t.name.text.as_str()).collect(),
        None => vec![crate::domain::shipyard::EVALUATION],
    };
    let (Some(last), task) = (tasks.last().copied(), key.text.strip_suffix(".result")) else { return true };
    match task {
        Some(task) if task == last => {
            if tasks.len() > 1 && value.text == "fail" {
                let message = format!("does not fire where a task before {last:?} fails");
                found.suggest(Level::Note, key.at, message, "result: fail fires for all of them".to_owned());
            }
            true
        }
        Some(task) if tasks.contains(&task) && value.text == "fail" => {
            let message = format!("fires only where {task:?} itself fails, as the last task that was run");
            found.add(Level::Note, key.at, message);
            true
        }
        Some(task) if tasks.contains(&task) => {
            let message = format!("{:?} does not count: {task:?} is not the last task of its sequence", key.text);
            found.suggest(Level::Error, key.at, message, format!("result, or {last}.result"));
            false
        }
        _ => {
            let right = format!("{last}.result");
            let suggestion = did_you_mean(&key.text, &["result", &right]).unwrap_or(format!("known: result, {right}"));
            found.suggest(Level::Error, key.at, format!("key {:?} does not count", key.text), suggestion);
            false
        }
    }
}

/// Keptn goes through the entries one by one, and each that fires starts the sequence.
fn twice(chain: &Chain<'_>, found: &mut Findings) {
    for (n, link) in chain.links.iter().enumerate() {
        let both = |other: &&Link<'_>| {
            other.from == link.from && other.to == link.to && (0..3).any(|r| other.fires[r] && link.fires[r])
        };
        if let Some(first) = chain.links[..n].iter().find(both) {
            let message =
                format!("starts {} a second time, beside line {}", chain.name(link.to), first.trigger.event.at.line);
            found.add(Level::Error, link.trigger.event.at, message);
        }
    }
}

/// Follows the links from each sequence and tells each that leads back to where it came from.
fn cycles(chain: &Chain<'_>, found: &mut Findings) {
    let mut done = vec![false; chain.nodes.len()];
    for start in 0..chain.nodes.len() {
        // The way to the present node, as links; a stack of its own, since a file may hold very long chains.
        let mut way: Vec<&Link<'_>> = Vec::new();
        let mut open: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((node, next)) = open.last_mut() {
            let node = *node;
            let link = if done[node] { None } else { chain.links.iter().filter(|l| l.from == node).nth(*next) };
            *next += 1;
            let Some(link) = link else {
                done[node] = true;
                open.pop();
                way.pop();
                continue;
            };
            match open.iter().position(|(n, _)| *n == link.to) {
                Some(at) => cycle(chain, &way[at..], link, found),
                None => {
                    way.push(link);
                    open.push((link.to, 0));
                }
            }
        }
    }
}

fn cycle(chain: &Chain<'_>, way: &[&Link<'_>], last: &Link<'_>, found: &mut Findings) {
    let mut names: Vec<String> = way.iter().map(|l| chain.name(l.from)).collect();
    names.push(chain.name(last.from));
    names.push(chain.name(last.to));
    let round = names.join(" → ");
    let at = last.trigger.event.at;
    if way.iter().copied().chain([last]).all(|l| l.fires[0] || l.fires[1]) {
        found.add(Level::Error, at, format!("runs for ever: {round}, as long as all of them pass"));
    } else {
        found.add(Level::Warning, at, format!("may run for ever: {round}, as long as the failure stays"));
    }
}
