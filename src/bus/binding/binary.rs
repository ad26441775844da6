//! Binary mode: attributes in `ce-` headers, data in the body.
//!
//! Two dialects are spoken. The NATS binding's draft writes the data's type as `ce-datacontenttype` and percent-encodes
//! values; the Go SDK writes a plain `content-type` and encodes nothing. The content type's header tells them apart.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{Reading, sdk, unreadable};
use crate::bus::{Headers, Message};
use crate::domain::event::{Form, Invalid};

const PREFIX: &str = "ce-";

/// Reads a message of [`super::Mode::Binary`].
pub(super) fn read(message: &Message) -> Reading {
    let event = attributes(&message.headers).and_then(|_| sdk::read_binary(message));
    match event {
        Ok(event) => {
            let json = event.to_value().to_string();
            Reading { form: Form::Binary, element: 0, event: Ok(event), payload: json.into() }
        }
        Err(invalid) => unreadable(invalid, whole(message).into()),
    }
}

/// The attributes by lower-case name, decoded, `datacontenttype` among them.
pub(super) fn attributes(headers: &Headers) -> Result<Vec<(String, Cow<'_, str>)>, Invalid> {
    let mut found: Vec<(String, Cow<'_, str>)> = Vec::new();
    let plain_type = headers.get("content-type");
    let encoded = plain_type.is_none() || headers.get("ce-datacontenttype").is_some();
    for (header, value) in headers.sorted() {
        let Some(name) = attribute_name(header) else { continue };
        if found.iter().any(|(n, _)| *n == name) {
            // The same attribute in another spelling of the header; the smaller spelling came first and counts.
            continue;
        }
        if name.is_empty() || matches!(name.as_str(), "data" | "data_base64") {
            return Err(Invalid::Attribute { name, problem: "is not a name for an attribute".into() });
        }
        let value = if encoded { decode(&name, value)? } else { Cow::Borrowed(value) };
        found.push((name, value));
    }
    if let (Some(plain), false) = (plain_type, found.iter().any(|(n, _)| n == "datacontenttype")) {
        found.push(("datacontenttype".into(), Cow::Borrowed(plain)));
    }
    Ok(found)
}

fn attribute_name(header: &str) -> Option<String> {
    let prefix = header.get(..PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then(|| header[PREFIX.len()..].to_ascii_lowercase())
}

/// Undoes double quotes, then one round of percent-encoding.
fn decode<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, Invalid> {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let unquoted: Cow<'a, str> = match inner {
        Some(inner) if inner.contains('\\') => Cow::Owned(unescape(inner)),
        Some(inner) => Cow::Borrowed(inner),
        None => Cow::Borrowed(value),
    };
    if !unquoted.contains('%') {
        return Ok(unquoted);
    }
    match percent_decode_str(&unquoted).decode_utf8() {
        Ok(text) => Ok(Cow::Owned(text.into_owned())),
        Err(_) => Err(Invalid::Attribute {
            name: name.chars().take(64).collect(),
            problem: "is percent-encoded, but not as UTF-8".into(),
        }),
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

/// An unreadable binary message as one JSON object, headers and body: a body alone would not say what it was.
fn whole(message: &Message) -> String {
    use base64::Engine as _;
    let mut map = Map::new();
    match attributes(&message.headers) {
        Ok(attributes) => map.extend(attributes.into_iter().map(|(n, v)| (n, Value::from(v.into_owned())))),
        Err(_) => map.extend(message.headers.sorted().into_iter().map(|(n, v)| (n.to_owned(), Value::from(v)))),
    }
    if !message.payload.is_empty() {
        match serde_json::from_slice::<Value>(&message.payload) {
            Ok(json) => map.insert("data".into(), json),
            Err(_) => {
                let text = base64::engine::general_purpose::STANDARD.encode(&message.payload);
                map.insert("data_base64".into(), text.into())
            }
        };
    }
    Value::Object(map).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::message;
    use super::*;
    use crate::domain::event::{Data, Event};

    const REQUIRED: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

    fn reading(more: &[(&str, &str)], payload: &str) -> Reading {
        let headers: Vec<_> = REQUIRED.iter().chain(more).copied().collect();
        read(&message(&headers, payload.to_owned()))
    }

    fn event(more: &[(&str, &str)], payload: &str) -> Event {
        reading(more, payload).event.unwrap()
    }

    #[test]
    fn the_drafts_dialect_is_decoded() {
        let event = event(
            &[
                ("ce-datacontenttype", "application/json"),
                ("ce-subject", "Euro%20%E2%82%AC%20%f0%9f%98%80"),
                ("Ce-ShKeptnContext", "ctx"),
                ("CE-TRIGGEREDID", "tr"),
                ("ce-traceparent", "\"00%2D1 \\\"q\\\"\""),
                ("ce-time", "2026-01-02T05:04:05.123456789+02:00"),
                ("ce-dataschema", "http://example.com"),
            ],
            r#"{"project":"shop"}"#,
        );
        assert_eq!(event.subject.as_deref(), Some("Euro € 😀"));
        assert_eq!((event.context.as_deref(), event.triggered_id.as_deref()), (Some("ctx"), Some("tr")));
        assert_eq!(event.extension("traceparent"), Some("00-1 \"q\""));
        assert_eq!(event.extension("dataschema"), Some("http://example.com"));
        assert_eq!(event.time.unwrap().to_string(), "2026-01-02T03:04:05.123456789Z");
        assert_eq!(event.data, Data::Json(json!({"project":"shop"})));
    }

    #[test]
    fn the_go_dialect_is_taken_literally() {
        let event = event(&[("content-type", "application/json"), ("ce-subject", "100%20\"")], "[1]");
        assert_eq!(event.subject.as_deref(), Some("100%20\""));
        assert_eq!(event.content_type.as_deref(), Some("application/json"));
        assert_eq!(event.data, Data::Json(json!([1])));
    }

    #[test]
    fn data_is_what_its_type_says() {
        assert_eq!(event(&[], "").data, Data::None);
        assert_eq!(event(&[], "{}").data, Data::Json(json!({})));
        assert_eq!(event(&[("ce-datacontenttype", "text/plain")], "{}").data, Data::Bytes(b"{}".to_vec()));
        let vendor = [("content-type", "Application/vnd.x+JSON; charset=utf-8")];
        assert_eq!(event(&vendor, "{\"a\":1}").data, Data::Json(json!({"a":1})));
        assert_eq!(event(&[("content-type", "application/json")], "{").data, Data::Bytes(b"{".to_vec()));
    }

    #[test]
    fn the_json_form_is_kept_as_payload() {
        // A number of which a quick parser misses the last bit, too, and what is the same as no data.
        for data in [r#"{"a":1}"#, "-5.01e89", "null"] {
            let reading = reading(&[("ce-myext", "x")], data);
            assert_eq!(Event::from_json(&reading.payload).unwrap(), reading.event.unwrap());
        }
    }

    #[test]
    fn broken_messages_say_why_and_keep_their_headers() {
        let say = |headers: &[(&str, &str)]| {
            let reading = read(&message(headers, "{}"));
            assert_eq!(reading.form, Form::Unreadable);
            (reading.event.unwrap_err().to_string(), String::from_utf8(reading.payload.to_vec()).unwrap())
        };
        let (why, whole) = say(&[("ce-specversion", "1.0"), ("ce-source", "s"), ("ce-type", "t")]);
        assert_eq!(why, r#"attribute "id" is missing"#);
        assert!(whole.contains(r#""source":"s""#) && whole.contains(r#""data":{}"#), "{whole}");
        let with = |more: &[(&str, &str)]| say(&REQUIRED.iter().chain(more).copied().collect::<Vec<_>>()).0;
        assert!(with(&[("ce-time", "yesterday")]).contains("\"time\""));
        assert!(with(&[("ce-time", "9999-12-31T23:59:59-23:00")]).contains("\"time\""));
        assert!(with(&[("ce-subject", "%ff")]).contains("UTF-8"));
        assert!(with(&[("ce-subject", "%00")]).contains("control character"));
        assert!(with(&[("ce-data", "x")]).contains("not a name"));
        assert!(with(&[("ce-bad-name", "x")]).contains("bad-name"));
        let (why, _) = say(&[("ce-specversion", "0.3"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", "t")]);
        assert!(why.contains("0.3"), "{why}");
        let (why, _) = say(&[("ce-specversion", "1.0"), ("ce-id", ""), ("ce-source", "s"), ("ce-type", "t")]);
        assert!(why.contains("is empty"), "{why}");
    }
}
