//! Our messages behind the deserialiser traits of cloudevents-sdk, and its `Event` beside ours.

use cloudevents::event::{AttributesReader, AttributesWriter, ExtensionValue, SpecVersion};
use cloudevents::message::{
    BinaryDeserializer, BinarySerializer, Encoding, Error as SdkError, MessageAttributeValue, MessageDeserializer,
    Result as SdkResult, StructuredDeserializer, StructuredSerializer,
};
use cloudevents::{EventBuilder, EventBuilderV10};
use serde_json::{Map, Value};

use super::{Mode, binary};
use crate::bus::Message;
use crate::domain::event::{Data, Event, Invalid, json_from_bytes};
use crate::domain::time::Time;

/// A message of the stream as the SDK reads messages.
struct NatsMessage<'a>(&'a Message);

impl StructuredDeserializer for NatsMessage<'_> {
    fn deserialize_structured<R: Sized, V: StructuredSerializer<R>>(self, to: V) -> SdkResult<R> {
        to.set_structured_event(self.0.payload.to_vec())
    }
}

impl BinaryDeserializer for NatsMessage<'_> {
    fn deserialize_binary<R: Sized, V: BinarySerializer<R>>(self, mut to: V) -> SdkResult<R> {
        let attributes = binary::attributes(&self.0.headers).map_err(|e| SdkError::Other { source: Box::new(e) })?;
        let version = attributes.iter().find(|(name, _)| name == "specversion").map_or("", |(_, value)| value);
        let version = SpecVersion::try_from(version)?;
        let known = version.attribute_names();
        to = to.set_spec_version(version)?;
        for (name, value) in attributes {
            let value = MessageAttributeValue::String(value.into_owned());
            match name.as_str() {
                "specversion" => {}
                // The SDK would read it as an absolute URL and write it back normalised; we keep what was said.
                "dataschema" => to = to.set_extension(&name, value)?,
                name if known.contains(&name) => to = to.set_attribute(name, value)?,
                name => to = to.set_extension(name, value)?,
            }
        }
        if self.0.payload.is_empty() { to.end() } else { to.end_with_data(self.0.payload.to_vec()) }
    }
}

impl MessageDeserializer for NatsMessage<'_> {
    fn encoding(&self) -> Encoding {
        match Mode::of(&self.0.headers, &self.0.payload) {
            Mode::Structured | Mode::Plain => Encoding::STRUCTURED,
            Mode::Binary => Encoding::BINARY,
            Mode::Batch | Mode::Foreign => Encoding::UNKNOWN,
        }
    }
}

/// Reads a message of a single event the SDK's own way. Stricter than [`super::read`] in places, see `to_sdk`.
///
/// # Errors
/// What the SDK says.
pub fn sdk_event(message: &Message) -> Result<cloudevents::Event, SdkError> {
    MessageDeserializer::into_event(NatsMessage(message))
}

/// Reads a binary message through the SDK.
pub(super) fn read_binary(message: &Message) -> Result<Event, Invalid> {
    let event = BinaryDeserializer::into_event(NatsMessage(message)).map_err(invalid)?;
    from_sdk(event)
}

fn invalid(error: SdkError) -> Invalid {
    let attribute = |name: &str, problem: String| Invalid::Attribute { name: name.into(), problem };
    match error {
        SdkError::EventBuilderError {
            source: cloudevents::event::EventBuilderError::MissingRequiredAttribute { attribute_name },
        } => Invalid::Missing(attribute_name),
        SdkError::ParseTimeError { source } => attribute("time", format!("is not an RFC 3339 time: {source}")),
        SdkError::UnknownSpecVersion { source } => attribute("specversion", format!("is not 1.0: {source}")),
        other => Invalid::Other(other.to_string()),
    }
}

/// Our event of the SDK's, with all it holds.
///
/// # Errors
/// A rule of CloudEvents that the SDK does not check: empty or non-printable attributes, odd extension names, another
/// version than 1.0.
pub fn from_sdk(mut event: cloudevents::Event) -> Result<Event, Invalid> {
    if event.specversion() != SpecVersion::V10 {
        let problem = format!("is {:?}, only \"1.0\" is read", event.specversion().as_str());
        return Err(Invalid::Attribute { name: "specversion".into(), problem });
    }
    let time = event.time().map(|t| Time::from_unix(t.timestamp(), t.timestamp_subsec_nanos()));
    let time = time
        .map(|t| t.ok_or(()))
        .transpose()
        .map_err(|()| Invalid::Attribute { name: "time".into(), problem: "is out of range".into() })?;
    let mut extensions: Map<String, Value> = event
        .iter_extensions()
        .map(|(name, value)| {
            let value = match value {
                ExtensionValue::String(text) => Value::from(text.as_str()),
                ExtensionValue::Boolean(flag) => Value::from(*flag),
                ExtensionValue::Integer(number) => Value::from(*number),
            };
            (name.to_owned(), value)
        })
        .collect();
    let mut lift = |name: &str| match extensions.remove(name) {
        Some(Value::String(text)) => Ok(Some(text).filter(|t| !t.is_empty())),
        None => Ok(None),
        Some(_) => Err(Invalid::Attribute { name: name.into(), problem: "is not a string".into() }),
    };
    let context = lift("shkeptncontext")?;
    let triggered_id = lift("triggeredid")?;
    let keptn_type = lift("contenttype")?;
    let (id, source, ty) = (event.id().to_owned(), event.source().clone(), event.ty().to_owned());
    let subject = event.subject().map(str::to_owned);
    let (content_type, schema, data) = event.take_data();
    let content_type = content_type.or(keptn_type);
    if let Some(schema) = schema {
        extensions.insert("dataschema".into(), schema.to_string().into());
    }
    let data = match data {
        None => Data::None,
        Some(cloudevents::Data::Json(value)) => value.into(),
        Some(cloudevents::Data::String(text)) => Data::Json(text.into()),
        Some(cloudevents::Data::Binary(bytes)) => json_from_bytes(Data::Bytes(bytes), content_type.as_deref()),
    };
    Event { id, source, ty, time, subject, content_type, context, triggered_id, extensions, data }.check()
}

/// The SDK's event of ours. The SDK knows extensions that are strings, booleans and integers: others become their JSON
/// text.
///
/// # Errors
/// A `dataschema` that is no absolute URL.
pub fn to_sdk(event: &Event) -> Result<cloudevents::Event, Invalid> {
    let mut builder = EventBuilderV10::new().id(&event.id).source(&event.source).ty(&event.ty);
    if let Some(time) = event.time {
        builder = builder.time(chrono::DateTime::<chrono::Utc>::from(time));
    }
    if let Some(subject) = &event.subject {
        builder = builder.subject(subject);
    }
    for (name, text) in [("shkeptncontext", &event.context), ("triggeredid", &event.triggered_id)] {
        if let Some(text) = text {
            builder = builder.extension(name, text.as_str());
        }
    }
    for (name, value) in &event.extensions {
        builder = match value {
            // The builder reads a URL only together with data; both are put in their place below.
            Value::String(text) if name == "dataschema" => builder.data_with_schema("", text.as_str(), Value::Null),
            Value::String(text) => builder.extension(name, text.as_str()),
            Value::Bool(flag) => builder.extension(name, *flag),
            Value::Number(number) if number.is_i64() => builder.extension(name, number.as_i64().unwrap_or_default()),
            other => builder.extension(name, other.to_string()),
        };
    }
    let mut built = builder.build().map_err(|e| Invalid::Other(e.to_string()))?;
    let (_, schema, _) = built.take_data();
    built.set_dataschema(schema);
    built.set_datacontenttype(event.content_type.as_deref());
    match &event.data {
        Data::None => {}
        Data::Json(value) => {
            built.set_data_unchecked(value.clone());
        }
        Data::Bytes(bytes) => {
            built.set_data_unchecked(bytes.clone());
        }
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::message;
    use super::*;

    /// Structured events that both readers take: the SDK refuses extensions of other kinds, and content types in other
    /// letter case make it refuse JSON data.
    fn some_event() -> impl Strategy<Value = Value> {
        let text = "[!-~ äöü€]{1,12}".prop_map(Value::from).boxed();
        let optional = |value: BoxedStrategy<Value>| proptest::option::of(value);
        let time = "20[0-9]{2}-0[1-9]-(1[0-9]|2[0-8])T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]0[0-9]:30)";
        let data = prop_oneof![Just(json!({"project": "shop", "n": 1.5})), Just(json!([1, "x"])), Just(json!("text"))];
        let extension = prop_oneof![
            "[a-z]{0,5}".prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from)
        ];
        (
            (text.clone(), text.clone(), text.clone()),
            (optional(text.clone()), optional(text.clone()), optional(text)),
            optional(time.prop_map(Value::from).boxed()),
            optional(data.boxed()),
            proptest::collection::btree_map("x[a-z0-9]{1,8}", extension, 0..4),
        )
            .prop_map(|((id, source, ty), (subject, context, triggered), time, data, extensions)| {
                let mut map = Map::from_iter([
                    ("specversion".to_owned(), json!("1.0")),
                    ("id".to_owned(), id),
                    ("source".to_owned(), source),
                    ("type".to_owned(), ty),
                    ("datacontenttype".to_owned(), json!("application/json")),
                ]);
                let optional = [
                    ("subject", subject),
                    ("shkeptncontext", context),
                    ("triggeredid", triggered),
                    ("time", time),
                    ("data", data),
                ];
                map.extend(optional.into_iter().filter_map(|(n, v)| Some((n.to_owned(), v?))));
                map.extend(extensions);
                Value::Object(map)
            })
    }

    proptest! {
        #[test]
        fn the_fast_reader_and_the_sdk_agree_on_valid_events(json in some_event()) {
            let bytes = json.to_string();
            let ours = Event::from_json(bytes.as_bytes()).unwrap();
            let theirs = sdk_event(&message(&[], bytes)).unwrap();
            prop_assert_eq!(&from_sdk(theirs.clone()).unwrap(), &ours);
            prop_assert_eq!(to_sdk(&ours).unwrap(), theirs.clone());
            // And what the SDK writes is read the same.
            let written = serde_json::to_vec(&theirs).unwrap();
            prop_assert_eq!(Event::from_json(&written).unwrap(), ours);
        }
    }

    #[test]
    fn there_and_back_keeps_everything() {
        let json = json!({
            "specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": "x",
            "time": "2026-01-02T03:04:05.123456789Z", "datacontenttype": "application/json",
            "dataschema": "https://example.com/schema", "shkeptncontext": "c", "triggeredid": "r", "gitcommitid": "g",
            "data": {"a": [1, 2.5, null]}
        });
        let event = Event::from_value(json).unwrap();
        assert_eq!(from_sdk(to_sdk(&event).unwrap()).unwrap(), event);
    }

    #[test]
    fn an_event_of_the_sdks_builder_is_taken() {
        let built = EventBuilderV10::new().id("1").source("s").ty("t").data("application/json", json!({"a": 1}));
        let event = from_sdk(built.extension("shkeptncontext", "c").build().unwrap()).unwrap();
        assert_eq!((event.context.as_deref(), event.json()), (Some("c"), Some(&json!({"a": 1}))));
        let bad = EventBuilderV10::new().id("").source("s").ty("t").build().unwrap();
        assert!(from_sdk(bad).unwrap_err().to_string().contains("is empty"));
    }
}
