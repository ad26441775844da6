//! NATS messages and CloudEvents.
//!
//! Which form a message has is decided by its content type, else by `ce-specversion`, else by what the body looks
//! like; other headers, `Nats-Msg-Id` among them, say nothing. The JSON of a structured event is read by
//! [`Event::from_json`], binary mode through the traits of cloudevents-sdk (see `sdk`). Whatever comes, the answer is a
//! reading: an event, or the reason why there is none, with the bytes as they came.

mod binary;
mod sdk;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Headers, Message};
use crate::domain::event::{Event, Form, Invalid, is_array};
use crate::domain::ids::Position;

pub use sdk::{from_sdk, sdk_event, to_sdk};

/// One event of a message, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// How it was carried; [`Form::Unreadable`] where it is no event.
    pub form: Form,
    /// Its place within a batch, else 0.
    pub element: u16,
    /// The event.
    pub event: Result<Event, Invalid>,
    /// The event's JSON as it came; of a binary message its JSON form. Of an unreadable message the bytes.
    pub payload: Bytes,
}

/// The form that a message claims to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One event in the JSON format, said so.
    Structured,
    /// Attributes in headers.
    Binary,
    /// A JSON array of events.
    Batch,
    /// An event format of CloudEvents that is not JSON.
    Foreign,
    /// Nothing is said: an event in JSON, or raw JSON that a subject adapter may lift into one.
    Plain,
}

impl Mode {
    /// What headers and body say.
    pub fn of(headers: &Headers, payload: &[u8]) -> Mode {
        if !headers.is_empty() {
            if let Some(format) = headers.get("content-type").and_then(cloudevents_format) {
                return match format {
                    Format::Json => Mode::Structured,
                    Format::JsonBatch => Mode::Batch,
                    Format::Other => Mode::Foreign,
                };
            }
            if headers.get("ce-specversion").is_some() {
                return Mode::Binary;
            }
        }
        if is_array(payload) { Mode::Batch } else { Mode::Plain }
    }
}

enum Format {
    Json,
    JsonBatch,
    Other,
}

/// Reads `application/cloudevents…` in any letter case, with or without parameters.
fn cloudevents_format(content_type: &str) -> Option<Format> {
    const BASE: &str = "application/cloudevents";
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let base = essence.get(..BASE.len())?;
    if !base.eq_ignore_ascii_case(BASE) {
        return None;
    }
    let rest = essence[BASE.len()..].to_ascii_lowercase();
    Some(match rest.as_str() {
        "" | "+json" => Format::Json,
        "-batch" | "-batch+json" => Format::JsonBatch,
        _ => Format::Other,
    })
}

/// Reads the events of a message: one, or as many as a batch has. `limit` is the size of the body in bytes from which a
/// message is not looked into.
pub fn read(message: &Message, limit: usize) -> Vec<Reading> {
    let size = message.payload.len();
    if size > limit {
        return vec![unreadable(Invalid::TooLarge { size, limit }, message.payload.clone())];
    }
    let mode = Mode::of(&message.headers, &message.payload);
    match mode {
        Mode::Structured => vec![single(Form::Structured, &message.payload)],
        Mode::Plain => vec![single(Form::Bare, &message.payload)],
        Mode::Binary => vec![binary::read(message)],
        Mode::Batch => batch(&message.payload),
        Mode::Foreign => {
            let format = message.headers.get("content-type").unwrap_or_default();
            let problem = format!("event format {format:?} is not read, only JSON is");
            vec![unreadable(Invalid::Other(problem), message.payload.clone())]
        }
    }
}

fn single(form: Form, payload: &Bytes) -> Reading {
    match Event::from_json(payload) {
        Ok(event) => Reading { form, element: 0, event: Ok(event), payload: payload.clone() },
        Err(invalid) => unreadable(invalid, payload.clone()),
    }
}

fn batch(payload: &Bytes) -> Vec<Reading> {
    let elements: Vec<&RawValue> = match serde_json::from_slice(payload) {
        Ok(elements) => elements,
        Err(e) => return vec![unreadable(Invalid::Json(format!("batch: {e}")), payload.clone())],
    };
    let count = elements.len();
    if count == 0 {
        return vec![unreadable(Invalid::Other("empty batch".into()), payload.clone())];
    }
    if count > Position::MAX_BATCH {
        let problem = format!("batch of {count} events is over the limit of {}", Position::MAX_BATCH);
        return vec![unreadable(Invalid::Other(problem), payload.clone())];
    }
    (0..=u16::MAX)
        .zip(elements)
        .map(|(element, raw)| {
            // A slice of the message, not a copy.
            let json = payload.slice_ref(raw.get().as_bytes());
            Reading { element, ..single(Form::Batch, &json) }
        })
        .collect()
}

fn unreadable(invalid: Invalid, payload: Bytes) -> Reading {
    Reading { form: Form::Unreadable, element: 0, event: Err(invalid), payload }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::event::Data;
    use crate::domain::time::Time;

    const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":1}}"#;
    const LIMIT: usize = 1 << 20;

    pub(super) fn message(headers: &[(&str, &str)], payload: impl Into<Bytes>) -> Message {
        Message {
            sequence: 7,
            subject: "x".into(),
            stream_time: Time::EPOCH,
            headers: Headers::from_pairs(headers.iter().copied()),
            payload: payload.into(),
        }
    }

    fn forms(headers: &[(&str, &str)], payload: &str) -> Vec<Form> {
        read(&message(headers, payload.to_owned()), LIMIT).iter().map(|r| r.form).collect()
    }

    #[test]
    fn the_form_is_what_content_type_then_specversion_then_the_body_say() {
        assert_eq!(forms(&[], EVENT), [Form::Bare]);
        assert_eq!(forms(&[("Nats-Msg-Id", "1"), ("x", "y")], EVENT), [Form::Bare]);
        assert_eq!(forms(&[("content-type", "application/json")], EVENT), [Form::Bare]);
        let says = "Application/CloudEvents+JSON; charset=utf-8";
        assert_eq!(forms(&[("CONTENT-TYPE", says)], EVENT), [Form::Structured]);
        // The content type wins over stray ce- headers.
        assert_eq!(forms(&[("content-type", says), ("ce-specversion", "1.0")], EVENT), [Form::Structured]);
        let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", "t")];
        assert_eq!(forms(&binary, "{}"), [Form::Binary]);
        assert_eq!(forms(&[], &format!(" [{EVENT},{EVENT}]")), [Form::Batch, Form::Batch]);
        assert_eq!(
            forms(&[("Content-Type", "application/cloudevents-batch+json")], &format!("[{EVENT}]")),
            [Form::Batch]
        );
    }

    #[test]
    fn a_format_that_is_not_json_is_named() {
        let headers = [("content-type", "application/cloudevents+protobuf")];
        let reading = &read(&message(&headers, "x"), LIMIT)[0];
        assert!(reading.event.as_ref().unwrap_err().to_string().contains("+protobuf"));
    }

    #[test]
    fn a_broken_element_is_alone_and_each_keeps_its_own_bytes() {
        let body = format!("[{EVENT}, {{\"id\":\"2\"}},7,\n{EVENT}]");
        let readings = read(&message(&[], body), LIMIT);
        assert_eq!(readings.len(), 4);
        assert_eq!(readings.iter().map(|r| r.event.is_ok()).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(readings.iter().map(|r| r.element).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(readings[0].payload, EVENT);
        assert_eq!(readings[1].payload, r#"{"id":"2"}"#);
        assert_eq!(readings[3].payload, EVENT);
    }

    #[test]
    fn what_cannot_be_read_is_one_reading_with_its_reason() {
        let say = |payload: Bytes| {
            let readings = read(&message(&[], payload.clone()), LIMIT);
            assert_eq!(readings.len(), 1);
            assert_eq!((readings[0].form, &readings[0].payload), (Form::Unreadable, &payload));
            readings[0].event.as_ref().unwrap_err().to_string()
        };
        assert_eq!(say("[]".into()), "empty batch");
        assert!(say("".into()).contains("not a JSON object"));
        assert!(say("[1,".into()).contains("batch"));
        assert!(say(format!("[{}1]", "1,".repeat(Position::MAX_BATCH)).into()).contains("65537"));
        assert!(say(Bytes::from_static(b"{\"id\":\"\xff\"}")).contains("not a JSON object"));
        assert!(say(format!("{}{}", r#"{"data":"#, "[".repeat(100_000)).into()).contains("recursion"));
        assert!(say("x".repeat(LIMIT + 1).into()).contains("over the limit"));
    }

    #[test]
    fn a_deeply_nested_element_is_alone() {
        let body = format!("[{EVENT},{}{}]", "[".repeat(5_000), "]".repeat(5_000));
        let readings = read(&message(&[], body), LIMIT);
        assert_eq!(readings.iter().map(|r| r.event.is_ok()).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_batch_of_the_largest_size_is_read() {
        let body = format!("[{}1]", "1,".repeat(Position::MAX_BATCH - 1));
        let readings = read(&message(&[], body), LIMIT);
        assert_eq!(readings.len(), Position::MAX_BATCH);
        assert_eq!(readings.last().unwrap().element, u16::MAX);
    }

    fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            r#"[\[\]{}":,a-z0-9. \\]{0,120}"#.prop_map(String::into_bytes),
            Just(EVENT.as_bytes().to_vec()),
        ]
    }

    fn some_headers() -> impl Strategy<Value = Vec<(String, String)>> {
        let name = prop_oneof![
            Just("ce-specversion".to_owned()),
            Just("content-type".to_owned()),
            "[cC][eE]-(id|source|type|time|data|dataschema|[a-z%]{0,6})",
            "\\PC{0,12}",
        ];
        let value = prop_oneof![
            Just("1.0".to_owned()),
            Just("application/cloudevents+json".to_owned()),
            Just("application/json".to_owned()),
            "[%a-fA-F0-9\"\\\\ ]{0,12}",
            "\\PC{0,12}",
        ];
        proptest::collection::vec((name, value), 0..8)
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(headers in some_headers(), payload in some_bytes()) {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let message = message(&headers, payload);
            let readings = read(&message, 150);
            prop_assert!(!readings.is_empty());
            prop_assert_eq!(&readings, &read(&message, 150));
            sdk_event(&message).ok();
            for reading in readings {
                prop_assert_eq!(reading.event.is_err(), reading.form == Form::Unreadable);
                if let Ok(event) = reading.event {
                    // What is kept reads back as the same event.
                    let again = Event::from_json(&reading.payload).unwrap();
                    let bytes_of_json_type = matches!(event.data, Data::Bytes(_));
                    prop_assert!(again == event || bytes_of_json_type, "{again:?} {event:?}");
                    to_sdk(&event).ok();
                }
            }
        }
    }
}
