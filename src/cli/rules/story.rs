//! An explanation as people read it.

use std::fmt::Write as _;

use crate::cli::table::{lines, one_line};
use crate::cli::words::count;
use crate::domain::event::Event;
use crate::domain::issue::Link;
use crate::domain::rules::{Checked, Explanation, Said, Told, Tried};

/// What happened, in the order the rules were tried.
pub(super) fn story(event: &Event, told: &Explanation) -> String {
    let mut story = String::new();
    tell(&mut story, "event", &event.ty);
    tell(&mut story, "", &format!("{} of {}", event.id, event.source));
    let in_force = count(told.rules as u64, "rule");
    tell(&mut story, "rules", &format!("{in_force} in force, {} of them for other types", told.passed_over));
    for tried in &told.tried {
        story.push('\n');
        rule(&mut story, tried);
    }
    story.push('\n');
    result(&mut story, &told.result);
    story
}

fn tell(story: &mut String, head: &str, what: &str) {
    let _ = writeln!(story, "{head:<14}{}", one_line(what));
}

fn rule(story: &mut String, tried: &Tried) {
    let Tried { rule, file, line, conditions, fits, outcomes } = tried;
    tell(story, if *fits { "fits" } else { "does not fit" }, &format!("{rule} ({file}:{line})"));
    conditions.iter().for_each(|condition| check(story, condition));
    let decides = outcomes.iter().position(|entry| entry.holds);
    for (n, entry) in outcomes.iter().enumerate() {
        let how = match decides {
            Some(first) if n == first => "decides",
            Some(first) if n > first => "not asked",
            _ => "does not hold",
        };
        tell(story, "", &format!("{} {how}", entry.outcome));
        entry.conditions.iter().for_each(|condition| check(story, condition));
    }
}

fn check(story: &mut String, condition: &Checked) {
    let Checked { path, wants, seen, holds } = condition;
    let mark = if *holds { "yes" } else { "no " };
    let seen = seen.as_deref().unwrap_or("absent");
    tell(story, "", &format!("  {mark} {path} is {seen}, wanted: {wants}"));
}

fn result(story: &mut String, told: &Told) {
    let Told { outcome, rule, why, signal } = told;
    let means = match *outcome {
        "failure" | "warning" => ": opens, updates or reopens an issue",
        "success" => ": resolves",
        "neutral" => ": is recorded and changes no issue",
        "ignored" => ": a rule says that it does not matter",
        "broken" => ": the rule cannot be applied, the event would be parked",
        _ => "",
    };
    tell(story, "outcome", &format!("{outcome}{means}"));
    for (head, what) in [("rule", rule), ("why", why)] {
        if !what.is_empty() {
            tell(story, head, what);
        }
    }
    if let Some(said) = signal {
        signalled(story, said);
    }
}

fn signalled(story: &mut String, said: &Said) {
    let Said { namespace, scope, project, stage, service, issue_type, check, run, .. } = said;
    let Said { at, resolves, severity, title, description, links, .. } = said;
    let issue_type = issue_type.to_string();
    let severity = severity.map(|s| s.to_string()).unwrap_or_default();
    let resolves = match (title, *resolves) {
        (Some(_), _) => "",
        (None, "scope") => "every issue of the scope",
        (None, _) => "the issue of this check",
    };
    let at = at.as_deref().unwrap_or("when the message came, since the event does not say");
    for (head, what) in [
        ("namespace", namespace.as_str()),
        ("scope", scope),
        ("project", project),
        ("stage", stage),
        ("service", service),
        ("issueType", &issue_type),
        ("check", check),
        ("run", run),
        ("at", at),
        ("resolves", resolves),
        ("severity", &severity),
        ("title", title.as_deref().unwrap_or_default()),
    ] {
        if !what.is_empty() {
            tell(story, head, what);
        }
    }
    for (n, Link { title, url }) in links.iter().enumerate() {
        tell(story, if n == 0 { "links" } else { "" }, &format!("{title} {url}"));
    }
    if let Some(description) = description.as_deref().filter(|text| !text.is_empty()) {
        let _ = write!(story, "\n{}", lines(description));
    }
}
