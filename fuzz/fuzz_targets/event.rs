//! Any bytes as a message: each reading is an event or a reason, and nothing of what came is lost.
//!
//! An input that begins with `NATS/1.0` and a line break is a message as NATS writes it, headers, an empty line and the body.
//! Every other input is a body, and is tried under headers of each kind.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use shipwatch::bus::binding::{Mode, Reading, read, sdk_event, to_sdk};
use shipwatch::bus::{Headers, Message};
use shipwatch::domain::event::{Data, Event, Form};
use shipwatch::domain::rules::RuleSet;
use shipwatch::domain::time::Time;

/// Size from which a message is not looked into.
const LIMIT: usize = 1 << 20;

/// Kinds of headers for a body that brings none.
const HEADERS: [&[(&str, &str)]; 5] = [
    &[],
    &[("Content-Type", "application/cloudevents+json; charset=utf-8")],
    &[("content-type", "application/cloudevents-batch+json")],
    &[
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "s"),
        ("ce-type", "a.b"),
        ("content-type", "application/json"),
    ],
    &[
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "s"),
        ("ce-type", "a.b"),
        ("ce-datacontenttype", "text/x"),
    ],
];

static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::builtin);

fuzz_target!(|bytes: &[u8]| {
    if let Some((headers, body)) = message_of(bytes) {
        return try_message(&headers, body);
    }
    for headers in HEADERS {
        try_message(headers, bytes);
    }
    // The other way in: a body that was parsed already, as the gateway and the tests of rule files have it.
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        let _ = RULES.lift("flux.prod", &value).map(|lifted| lifted.map(|event| RULES.evaluate(&event)));
        if let (Ok(one), Ok(other)) = (Event::from_json(bytes), Event::from_value(value)) {
            assert_eq!(one, other, "two readers of the same JSON");
        }
    }
});

/// Headers by name and value.
type Pairs<'i> = Vec<(&'i str, &'i str)>;

/// Headers and body of an input that has both.
fn message_of(input: &[u8]) -> Option<(Pairs<'_>, &[u8])> {
    let rest = input.strip_prefix(b"NATS/1.0\n")?;
    let end = rest.windows(2).position(|two| two == b"\n\n").unwrap_or(rest.len());
    let (head, body) = (&rest[..end], rest.get(end + 2..).unwrap_or_default());
    let head = std::str::from_utf8(head).ok()?;
    let pairs = head.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()));
    Some((pairs.collect(), body))
}

fn try_message(headers: &[(&str, &str)], body: &[u8]) {
    let message = Message {
        sequence: 7,
        subject: "a.b".into(),
        stream_time: Time::EPOCH,
        headers: Headers::from_pairs(headers.iter().copied()),
        payload: Bytes::copy_from_slice(body),
    };
    let readings = read(&message, LIMIT);
    assert!(!readings.is_empty(), "a message without a reading");
    assert_eq!(readings, read(&message, LIMIT), "read twice, and not the same");
    for reading in &readings {
        try_reading(&message, reading, readings.len());
    }
    let _ = sdk_event(&message);
}

fn try_reading(message: &Message, reading: &Reading, of: usize) {
    assert_eq!(reading.event.is_err(), reading.form == Form::Unreadable);
    let binary = Mode::of(&message.headers, &message.payload) == Mode::Binary;
    let kept = &reading.payload;
    if binary {
        // Written anew: one JSON object that holds the body.
        let json: Value = serde_json::from_slice(kept).expect("a binary message is kept as JSON");
        let holds = ["data", "data_base64"].iter().any(|name| json.get(name).is_some());
        // Null is the same as no data.
        let null = serde_json::from_slice::<Value>(&message.payload).is_ok_and(|body| body.is_null());
        assert!(holds || null || message.payload.is_empty(), "the body of a binary message is kept");
    } else if reading.event.is_err() && of == 1 && reading.element == 0 && kept.len() == message.payload.len() {
        assert_eq!(kept, &message.payload, "the bytes that nobody could read are kept");
    } else {
        // An element of a batch is a slice of the message, everything else is the message.
        let within = message.payload.as_ptr_range();
        let part = kept.as_ptr_range();
        assert!(within.start <= part.start && part.end <= within.end, "kept bytes are those of the message");
        let whole = Mode::of(&message.headers, &message.payload) != Mode::Batch;
        assert!(!whole || kept == &message.payload, "all bytes are kept");
    }
    let Ok(event) = &reading.event else {
        let reason = reading.event.as_ref().map(drop).map_err(ToString::to_string).expect_err("an error");
        assert!(!reason.is_empty(), "not readable, and no reason");
        return;
    };
    // What is kept reads back as the same event, but for bytes that claim to be JSON.
    let again = Event::from_json(kept).expect("what is kept reads back");
    assert!(again == *event || (binary && matches!(event.data, Data::Bytes(_))), "{again:?} is not {event:?}");
    let written = Event::from_value(event.to_value()).expect("what is written reads back");
    assert_eq!(written.id, event.id);
    let verdict = RULES.evaluate(event);
    assert_eq!(verdict, RULES.evaluate(event), "judged twice, and not the same");
    let _ = (RULES.explain(event), to_sdk(event));
}
