//! NATS messages as CloudEvents: which mode a message is in, and what it holds.
//!
//! Follows the NATS binding of CloudEvents (structured, and binary as in its 1.0.3 draft), the dialect of the Go SDK
//! (plain `content-type`, values not encoded), Keptn's habit of sending structured JSON without saying so, and JSON
//! batches. Binary messages go through the deserialiser traits of cloudevents-sdk; structured JSON is read by
//! [`Event::from_json`], which keeps what the SDK refuses (extensions that are floats or objects, content types with
//! parameters), and a test holds that both agree where both can read.

use std::borrow::Cow;

use bytes::Bytes;
use cloudevents::event::SpecVersion;
use cloudevents::message::{
    BinaryDeserializer, BinarySerializer, Encoding, Error as SdkError, MessageAttributeValue, MessageDeserializer,
    Result as SdkResult, StructuredDeserializer, StructuredSerializer,
};
use cloudevents::{AttributesReader as _, event::ExtensionValue};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Message;
use crate::domain::event::{Data, Event, Form, Invalid, is_array, json_from_bytes};
use crate::domain::ids::Position;

/// One element of a message.
#[derive(Clone, Debug)]
pub struct Reading {
    /// How it was carried.
    pub form: Form,
    /// Its place in a batch, 0 for a single event.
    pub element: u16,
    /// The event, or why there is none.
    pub event: Result<Event, Invalid>,
    /// The JSON as it came (binary messages in their JSON form), or the bytes that cannot be read.
    pub payload: Bytes,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Structured(Form),
    Binary,
    Batch,
}

/// Reads a message. Never empty: what cannot be read is one reading with the reason.
pub fn read(message: &Message, limit: usize) -> Vec<Reading> {
    let payload = &message.payload;
    let one = |form, event| vec![Reading { form, element: 0, event, payload: payload.clone() }];
    if payload.len() > limit {
        return one(Form::Unreadable, Err(Invalid::TooLarge { size: payload.len(), limit }));
    }
    match mode(message) {
        Mode::Structured(form) => one(form, Event::from_json(payload)),
        Mode::Binary => match read_binary(message) {
            Ok(event) => {
                let payload = Bytes::from(event.to_value().to_string());
                vec![Reading { form: Form::Binary, element: 0, event: Ok(event), payload }]
            }
            Err(invalid) => one(Form::Binary, Err(invalid)),
        },
        Mode::Batch => match read_batch(payload) {
            Ok(readings) => readings,
            Err(invalid) => one(Form::Batch, Err(invalid)),
        },
    }
}

/// A content type decides, then a `ce-specversion` header; other headers say nothing.
fn mode(message: &Message) -> Mode {
    let content_type = message.header("content-type").map(str::to_ascii_lowercase);
    match content_type {
        Some(c) if c.starts_with("application/cloudevents-batch") => Mode::Batch,
        Some(c) if c.starts_with("application/cloudevents") => Mode::Structured(Form::Structured),
        _ if message.header("ce-specversion").is_some() => Mode::Binary,
        _ if is_array(&message.payload) => Mode::Batch,
        _ => Mode::Structured(Form::Bare),
    }
}

fn read_batch(payload: &Bytes) -> Result<Vec<Reading>, Invalid> {
    let elements: Vec<&RawValue> = serde_json::from_slice(payload).map_err(|e| Invalid::Json(e.to_string()))?;
    if elements.is_empty() {
        return Err(Invalid::Other("a batch without events".into()));
    }
    if elements.len() > Position::MAX_BATCH {
        let most = Position::MAX_BATCH;
        return Err(Invalid::Other(format!("a batch of {} events is over the limit of {most}", elements.len())));
    }
    let read = |(index, raw): (usize, &&RawValue)| {
        let text = raw.get().as_bytes();
        let payload = payload.slice_ref(text);
        Reading { form: Form::Batch, element: index as u16, event: Event::from_json(text), payload }
    };
    Ok(elements.iter().enumerate().map(read).collect())
}

/// A message seen by cloudevents-sdk.
struct Binding<'m>(&'m Message);

impl StructuredDeserializer for Binding<'_> {
    fn deserialize_structured<R: Sized, V: StructuredSerializer<R>>(self, to: V) -> SdkResult<R> {
        to.set_structured_event(self.0.payload.to_vec())
    }
}

impl BinaryDeserializer for Binding<'_> {
    fn deserialize_binary<R: Sized, V: BinarySerializer<R>>(self, mut to: V) -> SdkResult<R> {
        let message = self.0;
        let version = message.header("ce-specversion").ok_or(SdkError::WrongEncoding {})?;
        to = to.set_spec_version(SpecVersion::try_from(version)?)?;
        for (header, raw) in &message.headers {
            let Some(name) = header.strip_prefix("ce-").filter(|n| *n != "specversion") else { continue };
            let value = MessageAttributeValue::String(decode(raw).map_err(|source| SdkError::Other { source })?);
            to = match name {
                "id" | "source" | "type" | "subject" | "time" | "datacontenttype" | "dataschema" => {
                    to.set_attribute(name, value)?
                }
                other => to.set_extension(other, value)?,
            };
        }
        if message.header("ce-datacontenttype").is_none()
            && let Some(plain) = message.header("content-type")
        {
            to = to.set_attribute("datacontenttype", MessageAttributeValue::String(plain.to_owned()))?;
        }
        if message.payload.is_empty() { to.end() } else { to.end_with_data(message.payload.to_vec()) }
    }
}

impl MessageDeserializer for Binding<'_> {
    fn encoding(&self) -> Encoding {
        match mode(self.0) {
            Mode::Binary => Encoding::BINARY,
            Mode::Structured(_) | Mode::Batch => Encoding::STRUCTURED,
        }
    }
}

/// Header values are percent-encoded by the specification and plain in the Go SDK. Quotes go first; what is no encoding
/// stays as it is.
fn decode(raw: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let raw = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')).unwrap_or(raw);
    let unquoted = if raw.contains('\\') { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) };
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(&unquoted).collect();
    String::from_utf8(bytes).map_err(|_| format!("header value {raw:?} is not UTF-8 once decoded").into())
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

fn read_binary(message: &Message) -> Result<Event, Invalid> {
    // The SDK would fill these in by itself.
    for (header, name) in [("ce-id", "id"), ("ce-source", "source"), ("ce-type", "type")] {
        if message.header(header).is_none() {
            return Err(Invalid::Missing(name));
        }
    }
    if message.header("ce-specversion") != Some("1.0") {
        let given = message.header("ce-specversion").unwrap_or_default();
        return Err(Invalid::Attribute {
            name: "specversion".into(),
            problem: format!("is {given:?}, only \"1.0\" is read"),
        });
    }
    let sdk = MessageDeserializer::into_event(Binding(message)).map_err(|e| Invalid::Other(e.to_string()))?;
    from_sdk(&sdk)
}

/// An event of cloudevents-sdk as the fold sees it.
///
/// # Errors
/// What [`Event::check`] refuses.
pub fn from_sdk(sdk: &cloudevents::Event) -> Result<Event, Invalid> {
    let mut extensions = Map::new();
    let (mut context, mut triggered_id, mut contenttype) = (None, None, None);
    for (name, value) in sdk.iter_extensions() {
        let value = match value {
            ExtensionValue::String(text) => Value::from(text.as_str()),
            ExtensionValue::Boolean(b) => Value::from(*b),
            ExtensionValue::Integer(n) => Value::from(*n),
        };
        match (name, &value) {
            ("shkeptncontext", Value::String(text)) => context = Some(text.clone()),
            ("triggeredid", Value::String(text)) => triggered_id = Some(text.clone()),
            ("contenttype", Value::String(text)) => contenttype = Some(text.clone()),
            _ => {
                extensions.insert(name.to_owned(), value);
            }
        }
    }
    if let Some(schema) = sdk.dataschema() {
        extensions.insert("dataschema".into(), schema.as_str().into());
    }
    let content_type = sdk.datacontenttype().map(str::to_owned).or(contenttype);
    let data = match sdk.data() {
        None => Data::None,
        Some(cloudevents::Data::Json(value)) => Data::Json(value.clone()),
        Some(cloudevents::Data::String(text)) => {
            json_from_bytes(Data::Bytes(text.clone().into_bytes()), content_type.as_deref())
        }
        Some(cloudevents::Data::Binary(bytes)) => json_from_bytes(Data::Bytes(bytes.clone()), content_type.as_deref()),
    };
    Event {
        id: sdk.id().to_owned(),
        source: sdk.source().to_string(),
        ty: sdk.ty().to_owned(),
        time: sdk.time().map(|t| (*t).into()),
        subject: sdk.subject().map(str::to_owned),
        content_type,
        context: context.filter(|c| !c.is_empty()),
        triggered_id: triggered_id.filter(|t| !t.is_empty()),
        extensions,
        data,
    }
    .check()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Time;

    fn message(headers: &[(&str, &str)], body: &str) -> Message {
        Message {
            sequence: 1,
            subject: "s".into(),
            stream_time: Time::EPOCH,
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            payload: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","shkeptncontext":"c","time":"2026-01-02T03:04:05Z","x":"y","data":{"a":1}}"#;

    fn single(message: &Message) -> (Form, Event) {
        let mut readings = read(message, 1 << 20);
        assert_eq!(readings.len(), 1);
        let reading = readings.remove(0);
        (reading.form, reading.event.unwrap())
    }

    #[test]
    fn structured_with_and_without_a_content_type() {
        let (form, bare) = single(&message(&[("nats-msg-id", "x")], EVENT));
        assert_eq!(form, Form::Bare);
        let (form, said) = single(&message(&[("content-type", "Application/CloudEvents+JSON; charset=utf-8")], EVENT));
        assert_eq!(form, Form::Structured);
        assert_eq!(bare, said);
    }

    #[test]
    fn binary_in_both_dialects() {
        let spec = message(
            &[
                ("ce-specversion", "1.0"),
                ("ce-id", "caf%C3%A9%201"),
                ("ce-source", "/s"),
                ("ce-type", "t"),
                ("ce-time", "2026-01-02T03:04:05Z"),
                ("ce-datacontenttype", "application/json"),
                ("ce-shkeptncontext", "c"),
                ("ce-x", "y"),
            ],
            r#"{"a":1}"#,
        );
        let (form, event) = single(&spec);
        assert_eq!((form, event.id.as_str(), event.context.as_deref()), (Form::Binary, "café 1", Some("c")));
        assert_eq!(event.data, Data::Json(serde_json::json!({"a":1})));
        assert_eq!(event.extension("x"), Some("y"));
        let payload = read(&spec, 1 << 20).remove(0).payload;
        assert_eq!(Event::from_json(&payload).unwrap(), event, "the stored form reads as the same event");
        let mut go = spec.clone();
        go.headers.retain(|(n, _)| n != "ce-datacontenttype");
        go.headers.push(("content-type".into(), "application/json".into()));
        assert_eq!(single(&go).1, event);
    }

    #[test]
    fn a_batch_is_taken_apart_and_a_broken_element_fails_alone() {
        let batch = message(&[], &format!(" [{EVENT},{{\"id\":1}},{EVENT}]"));
        let readings = read(&batch, 1 << 20);
        assert_eq!(readings.iter().map(|r| r.event.is_ok()).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(readings[2].payload, EVENT.as_bytes());
        assert_eq!(readings[2].element, 2);
        assert!(read(&message(&[], "[]"), 100)[0].event.is_err());
    }

    #[test]
    fn what_is_missing_in_a_binary_message_is_named() {
        let no_id = message(&[("ce-specversion", "1.0"), ("ce-source", "/s"), ("ce-type", "t")], "{}");
        assert_eq!(read(&no_id, 100)[0].event, Err(Invalid::Missing("id")));
        let large = message(&[], EVENT);
        assert!(matches!(read(&large, 10)[0].event, Err(Invalid::TooLarge { .. })));
    }

    #[test]
    fn our_reader_and_the_sdk_agree_where_both_can_read() {
        let ours = Event::from_json(EVENT.as_bytes()).unwrap();
        let sdk = MessageDeserializer::into_event(Binding(&message(&[], EVENT))).unwrap();
        assert_eq!(from_sdk(&sdk).unwrap(), ours);
    }

    proptest::proptest! {
        #[test]
        fn no_message_panics(
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            values in proptest::collection::vec("\\PC*", 6),
        ) {
            let names = ["ce-specversion", "ce-id", "ce-source", "ce-type", "content-type", "ce-time"];
            let headers: Vec<(&str, &str)> = names.iter().copied().zip(values.iter().map(String::as_str)).collect();
            for some in [&headers[..], &headers[1..], &headers[..1], &[]] {
                let mut m = message(some, "");
                m.payload = Bytes::from(body.clone());
                proptest::prop_assert!(!read(&m, 150).is_empty());
            }
        }
    }
}
