//! A CloudEvent as the fold sees it: parsed once, valid from then on.
//!
//! The binding to NATS headers lives in `bus::binding`; here is the JSON form and what makes an event acceptable.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::time::Time;

/// One CloudEvent 1.0 whose `id`, `source` and `type` are known to be non-empty and printable.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `id`: unique within `source`.
    pub id: String,
    /// `source`: who says so.
    pub source: String,
    /// `type`, for example `sh.keptn.event.test.finished`.
    pub ty: String,
    /// `time`: when it happened, where the sender says.
    pub time: Option<Time>,
    /// `subject`: what it is about.
    pub subject: Option<String>,
    /// `datacontenttype`, also read from Keptn's `contenttype`.
    pub content_type: Option<String>,
    /// Keptn's `shkeptncontext`: one id for a whole chain of sequences.
    pub context: Option<String>,
    /// Keptn's `triggeredid`: the id of the `.triggered` event that this one answers.
    pub triggered_id: Option<String>,
    /// All other attributes, `gitcommitid`, `traceparent` and unknown ones among them, as they came.
    pub extensions: Map<String, Value>,
    /// The payload.
    pub data: Data,
}

/// The payload of an [`Event`].
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Data {
    /// No `data` at all.
    #[default]
    None,
    /// JSON of any shape.
    Json(Value),
    /// Anything else, by `data_base64` or a non-JSON binary message.
    Bytes(Vec<u8>),
}

impl From<Value> for Data {
    /// Null is the same as no data.
    fn from(value: Value) -> Data {
        if value.is_null() { Data::None } else { Data::Json(value) }
    }
}

/// How an event was carried, shown in its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// JSON of the whole event with an `application/cloudevents+json` content type.
    Structured,
    /// JSON of the whole event without saying so, as Keptn sends it.
    Bare,
    /// Attributes in `ce-` headers, data in the body.
    Binary,
    /// One element of a JSON batch.
    Batch,
    /// A CDEvent or raw JSON lifted into a CloudEvent by a rule pack's subject adapter.
    Adapted,
    /// Not an event that can be read.
    Unreadable,
}

/// Why bytes are not an acceptable event. Shown as the reason of a parked message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The body is not JSON, or not a JSON object.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// A required attribute is absent.
    #[error("attribute {0:?} is missing")]
    Missing(&'static str),
    /// An attribute cannot be what it is.
    #[error("attribute {name:?} {problem}")]
    Attribute {
        /// The attribute.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The message is larger than the configured limit.
    #[error("message of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes of the body.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
    /// Anything else, said in full.
    #[error("{0}")]
    Other(String),
}

impl Event {
    /// Reads one event in the JSON format of CloudEvents 1.0.
    ///
    /// # Errors
    /// What the first broken rule says; see [`Invalid`].
    pub fn from_json(bytes: &[u8]) -> Result<Event, Invalid> {
        let draft: Draft = serde_json::from_slice(bytes).map_err(|e| Invalid::Json(e.to_string()))?;
        draft.finish()
    }

    /// Reads one event from JSON already parsed, as an element of a batch is.
    ///
    /// # Errors
    /// As [`Event::from_json`].
    pub fn from_value(value: Value) -> Result<Event, Invalid> {
        let draft = Draft::deserialize(value).map_err(|e| Invalid::Json(e.to_string()))?;
        draft.finish()
    }

    /// The JSON form of the whole event. Attribute order is fixed, so equal events give equal bytes.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                map.insert(name.into(), Value::from(value.as_str()));
            }
        };
        put("id", Some(&self.id));
        put("source", Some(&self.source));
        put("type", Some(&self.ty));
        put("subject", self.subject.as_ref());
        put("datacontenttype", self.content_type.as_ref());
        put("shkeptncontext", self.context.as_ref());
        put("triggeredid", self.triggered_id.as_ref());
        map.insert("specversion".into(), "1.0".into());
        if let Some(time) = self.time {
            map.insert("time".into(), time.to_string().into());
        }
        for (name, value) in &self.extensions {
            map.insert(name.clone(), value.clone());
        }
        match &self.data {
            Data::None => {}
            Data::Json(value) => {
                map.insert("data".into(), value.clone());
            }
            Data::Bytes(bytes) => {
                use base64::Engine as _;
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                map.insert("data_base64".into(), text.into());
            }
        }
        Value::Object(map)
    }

    /// An attribute by its CloudEvents name, for rules and templates.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, Value>> {
        let text = |s: &Option<String>| s.as_ref().map(|s| Cow::Owned(Value::from(s.as_str())));
        match name {
            "id" => Some(Cow::Owned(Value::from(self.id.as_str()))),
            "source" => Some(Cow::Owned(Value::from(self.source.as_str()))),
            "type" => Some(Cow::Owned(Value::from(self.ty.as_str()))),
            "specversion" => Some(Cow::Owned(Value::from("1.0"))),
            "time" => self.time.map(|t| Cow::Owned(Value::from(t.to_string()))),
            "subject" => text(&self.subject),
            "datacontenttype" | "contenttype" => text(&self.content_type),
            "shkeptncontext" => text(&self.context),
            "triggeredid" => text(&self.triggered_id),
            other => self.extensions.get(other).map(Cow::Borrowed),
        }
    }

    /// An extension that is a string.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.get(name).and_then(Value::as_str)
    }

    /// The data where it is JSON.
    pub fn json(&self) -> Option<&Value> {
        match &self.data {
            Data::Json(value) => Some(value),
            Data::None | Data::Bytes(_) => None,
        }
    }

    /// A string member of the data object; absent and empty are the same, as in Keptn's Go structs.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.json()?.get(member)?.as_str().filter(|s| !s.is_empty())
    }

    /// Keptn's `data.labels`; values that are not strings are written as JSON.
    pub fn labels(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let labels = self.json().and_then(|d| d.get("labels")).and_then(Value::as_object);
        labels.into_iter().flatten().map(|(name, value)| {
            let value = value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
            (name.as_str(), value)
        })
    }

    /// Checks what the JSON reader cannot: used by other bindings after they filled in the fields.
    ///
    /// # Errors
    /// The first attribute that is empty or holds a control character (CloudEvents 1.0.2, section 3.1).
    pub fn check(self) -> Result<Event, Invalid> {
        for (name, value) in [("id", &self.id), ("source", &self.source), ("type", &self.ty)] {
            if value.is_empty() {
                return Err(attribute(name, "is empty"));
            }
        }
        let optional = [
            ("subject", &self.subject),
            ("datacontenttype", &self.content_type),
            ("shkeptncontext", &self.context),
            ("triggeredid", &self.triggered_id),
        ];
        let required = [("id", &self.id), ("source", &self.source), ("type", &self.ty)];
        let given = optional.iter().filter_map(|(name, value)| value.as_ref().map(|v| (*name, v)));
        for (name, value) in required.into_iter().chain(given) {
            if value.chars().any(char::is_control) {
                return Err(attribute(name, "holds a control character"));
            }
        }
        for (name, value) in &self.extensions {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
                return Err(attribute(name, "has a name that is not lower-case letters and digits"));
            }
            if value.as_str().is_some_and(|v| v.chars().any(char::is_control)) {
                return Err(attribute(name, "holds a control character"));
            }
        }
        Ok(self)
    }
}

fn attribute(name: &str, problem: impl Into<String>) -> Invalid {
    Invalid::Attribute { name: name.chars().take(64).collect(), problem: problem.into() }
}

/// The JSON object as written, before it is known to be an event.
#[derive(Default)]
struct Draft {
    specversion: Option<Value>,
    id: Option<Value>,
    source: Option<Value>,
    ty: Option<Value>,
    time: Option<Value>,
    subject: Option<Value>,
    datacontenttype: Option<Value>,
    contenttype: Option<Value>,
    context: Option<Value>,
    triggered_id: Option<Value>,
    data: Option<Value>,
    data_base64: Option<Value>,
    extensions: Map<String, Value>,
}

impl Draft {
    fn finish(self) -> Result<Event, Invalid> {
        match self.specversion {
            None => return Err(Invalid::Missing("specversion")),
            Some(Value::String(v)) if v == "1.0" => {}
            Some(other) => return Err(attribute("specversion", format!("is {other}, only \"1.0\" is read"))),
        }
        let time = match optional("time", self.time)? {
            None => None,
            Some(text) => {
                let read = Time::parse(&text).filter(|_| text.contains(['T', 't', ' ']));
                Some(read.ok_or_else(|| attribute("time", format!("is {text:?}, not an RFC 3339 time")))?)
            }
        };
        let data = match (self.data, self.data_base64) {
            (Some(_), Some(_)) => return Err(attribute("data_base64", "stands beside data")),
            (None, None) => Data::None,
            (Some(value), None) => value.into(),
            (None, Some(text)) => from_base64(text)?,
        };
        let content_type = match optional("datacontenttype", self.datacontenttype)? {
            Some(text) => Some(text),
            None => optional("contenttype", self.contenttype)?,
        };
        Event {
            id: required("id", self.id)?,
            source: required("source", self.source)?,
            ty: required("type", self.ty)?,
            time,
            subject: optional("subject", self.subject)?,
            context: optional("shkeptncontext", self.context)?.filter(|s| !s.is_empty()),
            triggered_id: optional("triggeredid", self.triggered_id)?.filter(|s| !s.is_empty()),
            data: json_from_bytes(data, content_type.as_deref()),
            content_type,
            extensions: self.extensions,
        }
        .check()
    }
}

/// JSON that came as bytes is JSON all the same, where its content type says so.
pub fn json_from_bytes(data: Data, content_type: Option<&str>) -> Data {
    match data {
        Data::Bytes(bytes) if is_json(content_type) => match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) => value.into(),
            Err(_) => Data::Bytes(bytes),
        },
        other => other,
    }
}

/// `application/json`, `text/json` and `…+json`, in any letter case and with parameters; absent counts as JSON.
pub fn is_json(content_type: Option<&str>) -> bool {
    let Some(text) = content_type else { return true };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty() || essence.ends_with("/json") || essence.ends_with("+json")
}

fn required(name: &'static str, value: Option<Value>) -> Result<String, Invalid> {
    optional(name, value)?.ok_or(Invalid::Missing(name))
}

fn optional(name: &'static str, value: Option<Value>) -> Result<Option<String>, Invalid> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(attribute(name, format!("is {}, not a string", kind(&other)))),
    }
}

fn from_base64(value: Value) -> Result<Data, Invalid> {
    use base64::Engine as _;
    match value {
        Value::Null => Ok(Data::None),
        Value::String(text) => match base64::engine::general_purpose::STANDARD.decode(text.as_bytes()) {
            Ok(bytes) => Ok(Data::Bytes(bytes)),
            Err(e) => Err(attribute("data_base64", format!("is not base64: {e}"))),
        },
        other => Err(attribute("data_base64", format!("is {}, not a string", kind(&other)))),
    }
}

/// The JSON kind of a value, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Draft, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Draft;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CloudEvent, which is a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draft, A::Error> {
                let mut draft = Draft::default();
                while let Some(name) = map.next_key_seed(Name)? {
                    let slot = match &*name {
                        "specversion" => &mut draft.specversion,
                        "id" => &mut draft.id,
                        "source" => &mut draft.source,
                        "type" => &mut draft.ty,
                        "time" => &mut draft.time,
                        "subject" => &mut draft.subject,
                        "datacontenttype" => &mut draft.datacontenttype,
                        "contenttype" => &mut draft.contenttype,
                        "shkeptncontext" => &mut draft.context,
                        "triggeredid" => &mut draft.triggered_id,
                        "data" => &mut draft.data,
                        "data_base64" => &mut draft.data_base64,
                        other => {
                            let value = map.next_value::<Value>()?;
                            if !value.is_null() {
                                draft.extensions.insert(other.to_owned(), value);
                            }
                            continue;
                        }
                    };
                    *slot = Some(map.next_value()?);
                }
                Ok(draft)
            }

            fn visit_unit<E>(self) -> Result<Draft, E>
            where
                E: serde::de::Error,
            {
                Err(E::custom("null is not a CloudEvent"))
            }
        }
        from.deserialize_map(Members)
    }
}

/// A member name, borrowed where the JSON allows it.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Cow<'de, str>, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        from.deserialize_str(Text)
    }
}

/// Whether JSON looks like a batch, that is, an array.
pub fn is_array(bytes: &[u8]) -> bool {
    bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[')
}

/// Only checks that bytes are JSON, without building anything.
pub fn is_valid_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;

    fn with(member: &str) -> Result<Event, Invalid> {
        Event::from_json(format!("{},{member}}}", &SMALL[..SMALL.len() - 1]).as_bytes())
    }

    #[test]
    fn keptn_spelling_of_the_content_type_is_read() {
        assert_eq!(with(r#""contenttype":"application/json""#).unwrap().content_type.unwrap(), "application/json");
    }

    #[test]
    fn unknown_attributes_of_any_json_kind_are_kept() {
        let event = with(r#""score":1.5,"tags":["a"],"traceparent":"00-1""#).unwrap();
        assert_eq!(event.extensions.len(), 3);
        assert_eq!(Event::from_value(event.to_value()).unwrap(), event);
    }

    #[test]
    fn base64_json_becomes_json() {
        let event = with(r#""data_base64":"eyJhIjoxfQ==""#).unwrap();
        assert_eq!(event.data, Data::Json(serde_json::json!({"a":1})));
        let event = with(r#""datacontenttype":"text/plain","data_base64":"aGk=""#).unwrap();
        assert_eq!(event.data, Data::Bytes(b"hi".to_vec()));
    }

    #[test]
    fn broken_events_name_what_is_wrong() {
        let say = |text: &str| Event::from_json(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(say(r#"{"specversion":"1.0","source":"s","type":"t"}"#), r#"attribute "id" is missing"#);
        assert_eq!(say(r#"{"id":"1","source":"s","type":"t"}"#), r#"attribute "specversion" is missing"#);
        assert!(say(r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#).contains("0.3"));
        assert!(say(r#"{"specversion":"1.0","id":"","source":"s","type":"t"}"#).contains("is empty"));
        assert!(say(r#"{"specversion":"1.0","id":7,"source":"s","type":"t"}"#).contains("a number, not a string"));
        assert!(
            say("{\"specversion\":\"1.0\",\"id\":\"a\\u0000\",\"source\":\"s\",\"type\":\"t\"}").contains("control")
        );
        assert!(say("[]").contains("not a JSON object"));
        assert!(with(r#""time":"yesterday""#).unwrap_err().to_string().contains("time"));
        assert!(with(r#""Bad-Name":"x""#).is_err());
        assert!(with(r#""data":1,"data_base64":"""#).is_err());
    }
}
