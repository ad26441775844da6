//! Differences between two results, for people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::table::one_line;
use crate::cli::words::count;
use crate::domain::issue::View;
use crate::replay::diff::{Became, Cause, Diff, Differing, Field};

/// All of them; `before` and `after` name the two sides.
pub(super) fn text(diff: &Diff, before: &str, after: &str) -> String {
    let mut text = String::new();
    for (mark, side, alone) in [('+', after, &diff.appear), ('-', before, &diff.vanish)] {
        for alone in alone {
            let _ = writeln!(text, "{mark} {}, only {side}", shown(&alone.issue));
            cause(&mut text, alone.event.as_ref(), before, after);
        }
    }
    for Differing { issue, fields } in &diff.differ {
        let _ = writeln!(text, "~ {}", shown(issue));
        let mut fields = fields.iter().peekable();
        while let Some(field) = fields.next() {
            let Field { field, before: old, after: new, event } = field;
            let _ = writeln!(text, "    {field}: {} -> {}", value(old), value(new));
            // What one event has done is told once.
            if fields.peek().is_none_or(|next| next.event != *event) {
                cause(&mut text, event.as_ref(), before, after);
            }
        }
    }
    let Diff { appear, vanish, differ, same } = diff;
    if diff.is_empty() {
        let _ = writeln!(text, "no difference in {}", count(*same, "issue"));
    } else {
        let _ = writeln!(
            text,
            "{} would appear, {} vanish, {} differ, {same} the same",
            count(appear.len() as u64, "issue"),
            vanish.len(),
            differ.len()
        );
    }
    text
}

fn shown(issue: &View) -> String {
    let scope = &issue.scope;
    let scope = format!("{}/{}/{}", scope.resource_type, scope.resource_name, scope.resource_namespace);
    let View { severity, state, check, title, .. } = issue;
    format!("{scope} {check} {severity} {state} {:?}", one_line(title))
}

fn value(value: &Value) -> String {
    one_line(&value.to_string())
}

fn cause(text: &mut String, cause: Option<&Cause>, before: &str, after: &str) {
    let Some(Cause { id, source, ty, sequence, before: was, after: is }) = cause else {
        let _ = writeln!(text, "      by an event that is not kept any more");
        return;
    };
    let id = one_line(id);
    let _ = writeln!(text, "      by {ty} {id} of {} at {sequence}", one_line(source));
    for (side, became) in [(before, was), (after, is)] {
        let Some(Became { outcome, rule, why }) = became else { continue };
        let rule = rule.as_ref().map(|rule| format!(" by rule {rule}")).unwrap_or_default();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", one_line(why)) };
        let _ = writeln!(text, "        {side}: {outcome}{rule}{why}");
    }
}
