//! One message of the stream, free of the client library's types.

use std::fmt;

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::domain::time::Time;

/// A message as the stream holds it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The NATS subject it was published on.
    pub subject: String,
    /// When the stream took it.
    pub stream_time: Time,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub payload: Bytes,
}

/// The headers of a [`Message`]. Names are compared ignoring case, as other clients write them in any.
#[derive(Clone, Default)]
pub struct Headers(Option<Box<HeaderMap>>);

impl Headers {
    /// No headers, as most publishers send.
    pub const fn none() -> Headers {
        Headers(None)
    }

    /// Headers by name and value. Names and values that NATS cannot carry are made so, never refused.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Headers {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name: String = name.chars().filter(|c| c.is_ascii_graphic() && *c != ':').collect();
            let value: String = value.chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }).collect();
            if let (Ok(name), Ok(value)) =
                (name.parse::<async_nats::HeaderName>(), value.parse::<async_nats::HeaderValue>())
            {
                map.append(name, value);
            }
        }
        Headers::from(Some(map))
    }

    /// The first value of a header, its name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Of two spellings the smaller one wins: the map has no order, and equal input must read equal.
        let named = self.iter_unordered().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.min_by(|a, b| a.0.cmp(b.0)).map(|(_, value)| value)
    }

    /// All names with their first values, ordered by name.
    pub fn sorted(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = self.iter_unordered().collect();
        all.sort_unstable();
        all
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn iter_unordered(&self) -> impl Iterator<Item = (&str, &str)> {
        let map = self.0.as_deref().into_iter().flat_map(HeaderMap::iter);
        map.filter_map(|(name, values)| Some((AsRef::<str>::as_ref(name), values.first()?.as_str())))
    }
}

impl From<Option<HeaderMap>> for Headers {
    fn from(map: Option<HeaderMap>) -> Headers {
        Headers(map.filter(|m| !m.is_empty()).map(Box::new))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.sorted()).finish()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.sorted() == other.sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_two_spellings_read_the_same_each_time() {
        let headers = Headers::from_pairs([("Ce-Id", "1"), ("ce-id", "2"), ("CONTENT-type", "a/b")]);
        assert_eq!(headers.get("content-type"), Some("a/b"));
        for _ in 0..20 {
            assert_eq!(headers.clone().get("CE-ID"), Some("1"));
        }
        assert!(Headers::from_pairs([]).is_empty());
    }
}
