//! `dev.shipwatch.rules.loaded`: a rule set on its way through the stream. It holds for the events behind it.
//!
//! A set goes out in one message, a large one in numbered parts; it counts from the last of its parts on. Parts of one
//! publishing have ids that follow from each other, so that each finds the others in the journal.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::decide::REPLAY;
use super::decision::Fate;
use super::event::{Data, Event, Form};
use super::lookup::{Lookup, Unreadable};
use super::messages::CONTROL;
use super::row::{Entry, Mark, Recorded};
use super::rules::RuleSet;
use super::time::Time;

/// The type, and the only subject on which such an event counts.
pub const TYPE: &str = "dev.shipwatch.rules.loaded";

/// Bytes of texts in one message.
pub const PART: usize = 512 << 10;

/// The largest message of this kind that is read, whatever the limit for other events is.
pub const LARGEST: usize = 1 << 20;

/// Parts that a set may have.
const MOST_PARTS: u32 = 4096;

/// One message of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Names this publishing of the set.
    loading: String,
    /// SHA-256 of the whole set.
    pub hash: String,
    /// Which part, from 1.
    part: u32,
    /// Of how many.
    parts: u32,
    files: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Piece {
    name: String,
    text: String,
    /// The text goes on in the next part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl Part {
    /// What a message of the stream is a part of; none where it does not count: another source, a batch, a replay.
    pub fn read(subject: &str, form: Form, event: &Event) -> Option<Result<Part, String>> {
        let whole = matches!(form, Form::Structured | Form::Bare | Form::Binary);
        if subject != TYPE || event.ty != TYPE || event.source != CONTROL || !whole {
            return None;
        }
        if event.extensions.contains_key(REPLAY) {
            return None;
        }
        let Data::Json(data) = &event.data else { return Some(Err("it has no data".into())) };
        let part = Part::deserialize(data).map_err(|e| format!("data: {e}"));
        Some(part.and_then(|part| {
            let numbered = (1..=part.parts).contains(&part.part) && part.parts <= MOST_PARTS;
            let right = numbered && event.id == id(&part.loading, part.part);
            if right { Ok(part) } else { Err("its number or its id is not that of a part".into()) }
        }))
    }

    /// Whether the set ends with this part.
    pub fn is_last(&self) -> bool {
        self.part == self.parts
    }

    /// All parts of the set, this one among them, where `find` has them; it is asked by the id of the event.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn gather<E>(&self, mut find: impl FnMut(&str) -> Result<Option<Part>, E>) -> Result<Option<Vec<Part>>, E> {
        let mut all = Vec::new();
        for number in 1..=self.parts {
            let found = if number == self.part { Some(self.clone()) } else { find(&id(&self.loading, number))? };
            match found.filter(|p| p.hash == self.hash && p.parts == self.parts) {
                Some(part) => all.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    /// As [`Part::gather`], from the journal.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub fn gather_from(&self, lookup: &impl Lookup) -> Result<Option<Vec<Part>>, Unreadable> {
        self.gather(|id| {
            let rows = lookup.rows(Mark::EventId(id))?;
            Ok(rows.iter().find_map(|row| match &row.entry {
                Entry::Event(recorded) => recorded_part(recorded, id),
                Entry::Own(_) => None,
            }))
        })
    }
}

fn recorded_part(recorded: &Recorded, id: &str) -> Option<Part> {
    let ours = recorded.decision.fate == Fate::Own && recorded.head.as_ref().is_some_and(|h| h.origin.id == id);
    let event = Event::from_json(&recorded.payload).ok().filter(|_| ours)?;
    Part::read(&recorded.subject, recorded.form, &event)?.ok()
}

/// Compiles the set that these parts, in order, make up.
///
/// # Errors
/// Every reason why it is not one that this version can use.
pub fn compile(parts: &[Part]) -> Result<RuleSet, Vec<String>> {
    let mut files: Vec<(&str, String)> = Vec::new();
    let mut goes_on = false;
    for piece in parts.iter().flat_map(|p| &p.files) {
        match files.last_mut().filter(|_| goes_on) {
            Some((_, text)) => text.push_str(&piece.text),
            None => files.push((&piece.name, piece.text.clone())),
        }
        goes_on = piece.more;
    }
    let set = RuleSet::compile(&files).map_err(|p| p.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    match parts.first() {
        Some(part) if part.hash == set.hash() => Ok(set),
        _ => Err(vec!["its hash is not that of its texts".into()]),
    }
}

/// The events that carry a set, in the order to publish them. `loading` names this publishing and no other, `size` is how
/// many bytes of texts one of them may have.
pub fn events(set: &RuleSet, loading: &str, time: Time, size: usize) -> Vec<Event> {
    let mut parts = vec![Vec::new()];
    let mut room = size;
    for (name, text) in set.texts() {
        let mut rest: &str = text;
        loop {
            let mut head = fitting(rest, room.saturating_sub(name.len()));
            if head.is_empty() && room == size {
                // Room for nothing at all would never end.
                head = &rest[..rest.chars().next().map_or(0, char::len_utf8)];
            }
            let more = head.len() < rest.len();
            if let Some(part) = parts.last_mut().filter(|_| !head.is_empty() || !more) {
                part.push(json!(Piece { name: name.to_string(), text: head.to_owned(), more }));
            }
            if !more {
                room = room.saturating_sub(name.len() + escaped(head));
                break;
            }
            rest = &rest[head.len()..];
            parts.push(Vec::new());
            room = size;
        }
    }
    let of = parts.len();
    let data = |number: usize, files: Vec<Value>| json!({"loading": loading, "hash": set.hash(), "part": number, "parts": of, "files": files});
    let event = |(n, files): (usize, Vec<Value>)| Event {
        id: id(loading, n as u32 + 1),
        source: CONTROL.into(),
        ty: TYPE.into(),
        time: Some(time),
        subject: None,
        content_type: Some("application/json".into()),
        context: None,
        triggered_id: None,
        extensions: Map::new(),
        data: Data::Json(data(n + 1, files)),
    };
    parts.into_iter().enumerate().map(event).collect()
}

fn id(loading: &str, part: u32) -> String {
    format!("{loading}.{part}")
}

/// Bytes that a character has in JSON.
fn cost(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

fn escaped(text: &str) -> usize {
    text.chars().map(cost).sum()
}

/// As much of the beginning of a text as has room.
fn fitting(text: &str, room: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += cost(*c);
        used > room
    });
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn rule(name: &str, title: &str) -> String {
        format!(
            "apiVersion: shipwatch.dev/v1\nkind: RuleSet\nmetadata: {{name: {name}}}\nrules:\n  - name: {name}\n    \
             on: [acme.{name}]\n    outcome: {{failure: [{{match: {{data.ok: false}}}}]}}\n    scope: {{resourceType: a, resourceName: b, \
             resourceNamespace: c}}\n    issue: {{title: \"{title}\"}}\n"
        )
    }

    fn set() -> RuleSet {
        let files = [("a", rule("one", "Ärger, \\\"so\\\" 🚢")), ("b", rule("two", &"x".repeat(3000)))];
        RuleSet::compile(&files).unwrap()
    }

    fn read(event: &Event) -> Part {
        Part::read(TYPE, Form::Bare, event).unwrap().unwrap()
    }

    #[test]
    fn a_set_comes_back_out_of_parts_of_any_size() {
        let set = set();
        for size in [40, 41, 42, 43, 44, 100, 999, 3500, PART] {
            let events = events(&set, "l", Time::EPOCH, size);
            assert!(events.len() == 1 || size < PART, "{size}");
            let parts: Vec<Part> = events.iter().map(read).collect();
            assert!(parts.iter().all(|p| !p.files.is_empty()), "{size}");
            assert!(events.iter().all(|e| e.to_value().to_string().len() < size + 500), "{size}");
            assert_eq!(compile(&parts).unwrap(), set, "{size}");
            // Whichever comes last finds the others.
            let find = |id: &str| Ok::<_, Infallible>(events.iter().find(|e| e.id == id).map(read));
            for part in &parts {
                assert_eq!(part.gather(find).unwrap().unwrap(), parts);
            }
            assert!(parts.len() == 1 || parts[0].gather(|_| Ok::<_, Infallible>(None)).unwrap().is_none());
        }
    }

    #[test]
    fn only_the_control_source_counts_and_only_alone_in_its_message() {
        let event = events(&set(), "l", Time::EPOCH, PART).remove(0);
        let counts = |subject: &str, form, event: &Event| Part::read(subject, form, event).is_some();
        assert!(counts(TYPE, Form::Structured, &event));
        assert!(!counts("dev.shipwatch.other", Form::Structured, &event));
        assert!(!counts(TYPE, Form::Batch, &event));
        for source in ["shipwatch", "shipwatch/gateway", "shipwatch/control/x", "jenkins"] {
            assert!(!counts(TYPE, Form::Bare, &Event { source: source.into(), ..event.clone() }), "{source}");
        }
        let mut replay = event;
        replay.extensions.insert(REPLAY.into(), "1".into());
        assert!(!counts(TYPE, Form::Bare, &replay));
    }

    #[test]
    fn what_is_not_a_set_says_why() {
        let event = events(&set(), "l", Time::EPOCH, PART).remove(0);
        let say = |change: &dyn Fn(&mut Value)| {
            let Data::Json(mut data) = event.data.clone() else { unreachable!() };
            change(&mut data);
            match Part::read(TYPE, Form::Bare, &Event { data: Data::Json(data), ..event.clone() }).unwrap() {
                Ok(part) => compile(&[part]).unwrap_err().join("; "),
                Err(why) => why,
            }
        };
        assert!(say(&|d| d["part"] = json!(0)).contains("number"));
        assert!(say(&|d| d["loading"] = json!("other")).contains("id"));
        assert!(say(&|d| d["files"] = json!(7)).contains("data"));
        assert!(say(&|d| d["hash"] = json!("0")).contains("hash"));
        assert!(say(&|d| d["files"][0]["text"] = json!("rules: 7")).contains("a:1"));
    }
}
