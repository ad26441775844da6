//! Events in files: one JSON object, an array of them, or one after the other (NDJSON).

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::event::{Event, is_array, is_valid_json};

/// An event that may be published.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    /// What it is.
    pub event: Event,
    /// Its JSON, as it was written.
    pub body: String,
}

/// Where and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub line: usize,
    pub message: String,
}

/// Reads all events of a file, or all its mistakes.
///
/// `fill` gives an event that lacks them an id and this time.
pub(super) fn read(text: &str, fill: Option<&str>) -> Result<Vec<Outgoing>, Vec<Mistake>> {
    let (mut events, mut mistakes) = (Vec::new(), Vec::new());
    let pieces = pieces(text);
    if pieces.is_empty() {
        mistakes.push(Mistake { line: 1, message: "holds no event".into() });
    }
    for (line, piece) in pieces {
        match piece.and_then(|json| one(json, fill)) {
            Ok(event) => events.push(event),
            Err(message) => mistakes.push(Mistake { line, message }),
        }
    }
    if mistakes.is_empty() { Ok(events) } else { Err(mistakes) }
}

fn one(json: &str, fill: Option<&str>) -> Result<Outgoing, String> {
    let body = match fill {
        Some(now) => filled(json, now),
        None => json.to_owned(),
    };
    let event = Event::from_json(body.as_bytes()).map_err(|e| e.to_string())?;
    let odd = |part: &str| part.is_empty() || part.contains(|c: char| c.is_whitespace() || matches!(c, '*' | '>'));
    if event.ty.split('.').any(odd) {
        return Err(format!("type {:?} cannot be a subject of NATS", event.ty));
    }
    Ok(Outgoing { event, body })
}

/// The JSON texts of a file with the line that each begins in.
fn pieces(text: &str) -> Vec<(usize, Result<&str, String>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_array(text.as_bytes()) {
        return match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => with_lines(text, items),
            Err(e) => vec![(e.line(), Err(e.to_string()))],
        };
    }
    let whole: Result<Vec<&RawValue>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    match whole {
        Ok(items) => with_lines(text, items),
        Err(e) if one_a_line(text) => {
            drop(e);
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines
                .map(|(i, line)| match serde_json::from_str::<&RawValue>(line) {
                    Ok(raw) => (i + 1, Ok(raw.get())),
                    // The reader would say "line 1" of each of them.
                    Err(e) => (i + 1, Err(format!("not JSON at column {}", e.column()))),
                })
                .collect()
        }
        Err(e) => vec![(e.line(), Err(e.to_string()))],
    }
}

/// Whether some line is a whole JSON object: then each should be one, and a broken one does not hide the others.
fn one_a_line(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.any(|line| line.starts_with('{') && is_valid_json(line.as_bytes())) && text.trim().lines().count() > 1
}

/// Parts of `text`, in their order, each with the line that it begins in.
fn with_lines<'t>(text: &'t str, parts: Vec<&'t RawValue>) -> Vec<(usize, Result<&'t str, String>)> {
    let (mut line, mut counted) = (1, 0);
    let place = |raw: &'t RawValue| {
        let part = raw.get();
        let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        line += text.as_bytes().get(counted..offset).unwrap_or_default().iter().filter(|b| **b == b'\n').count();
        counted = offset.max(counted);
        (line, Ok(part))
    };
    parts.into_iter().map(place).collect()
}

/// The object with id and time before what it has, where it lacks them; nothing else is touched.
fn filled(json: &str, now: &str) -> String {
    let Ok(members) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json) else {
        return json.to_owned();
    };
    let mut add = String::new();
    if !members.contains_key("id") {
        add += &format!("\"id\":\"{}\",", Uuid::new_v4());
    }
    if !members.contains_key("time") {
        add += &format!("\"time\":\"{now}\",");
    }
    match json.trim_start().strip_prefix('{') {
        Some(rest) if !add.is_empty() && !members.is_empty() => format!("{{{add}{rest}"),
        _ => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = r#"{"specversion":"1.0","id":"a","source":"s","type":"t.a","data":{"n":1.10}}"#;
    const B: &str = r#"{"specversion":"1.0","id":"b","source":"s","type":"t.b"}"#;

    fn ids(text: &str) -> Vec<String> {
        read(text, None).unwrap().into_iter().map(|o| o.event.id).collect()
    }

    fn mistakes(text: &str) -> Vec<(usize, String)> {
        read(text, None).unwrap_err().into_iter().map(|m| (m.line, m.message)).collect()
    }

    #[test]
    fn objects_arrays_and_lines_are_read() {
        assert_eq!(ids(A), ["a"]);
        assert_eq!(ids(&format!("{A}\n\n{B}\n")), ["a", "b"]);
        assert_eq!(ids(&format!("[{A},\n {B}]")), ["a", "b"]);
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(A).unwrap()).unwrap();
        assert_eq!(ids(&format!("{pretty}\n{pretty}")), ["a", "a"]);
        assert_eq!(read(A, None).unwrap()[0].body, A, "nothing is rewritten");
    }

    #[test]
    fn every_broken_event_is_named_by_its_line() {
        let found = mistakes(&format!("{A}\n{{\"specversion\":\n{B}\n{{\"specversion\":\"1.0\",\"id\":\"x\"}}\n"));
        assert_eq!(found.iter().map(|m| m.0).collect::<Vec<_>>(), [2, 4]);
        assert!(found[1].1.contains("\"source\" is missing"), "{found:?}");
        assert_eq!(mistakes(&format!("[{A},\n\n7]"))[0].0, 3);
        assert_eq!(mistakes("{\n\n oops }")[0].0, 3);
        assert_eq!(mistakes("\n"), [(1, "holds no event".to_owned())]);
        assert!(mistakes(&B.replace("t.b", "t..b"))[0].1.contains("cannot be a subject"));
    }

    #[test]
    fn only_what_is_missing_is_filled_in() {
        let bare = r#" {"specversion":"1.0","source":"s","type":"t","data":{"n":1.10}}"#;
        assert!(read(bare, None).is_err());
        let filled = &read(bare, Some("2026-01-02T03:04:05Z")).unwrap()[0];
        assert!(filled.event.time.is_some() && filled.event.id.len() == 36);
        assert!(filled.body.ends_with(r#""data":{"n":1.10}}"#), "{}", filled.body);
        let b = &read(B, Some("2026-01-02T03:04:05Z")).unwrap()[0];
        assert_eq!(b.event.id, "b");
        assert!(read("{}", Some("2026-01-02T03:04:05Z")).is_err());
    }
}
