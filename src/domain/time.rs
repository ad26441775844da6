//! Instants as events carry them. The fold never reads a clock: every [`Time`] comes from an event or from the stream.

use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in UTC with nanosecond precision.
///
/// Reads as RFC 3339 in JSON and YAML; in stored records it is seconds and nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(DateTime<Utc>);

impl Time {
    /// 1970-01-01T00:00:00Z, the time of "never" in comparisons.
    pub const EPOCH: Time = Time(DateTime::UNIX_EPOCH);

    /// The instant `nanos` nanoseconds after 1970.
    pub fn from_unix_nanos(nanos: i64) -> Time {
        Time(DateTime::from_timestamp_nanos(nanos))
    }

    /// The instant `seconds` and `nanos` after 1970; `None` outside of what RFC 3339 can write.
    pub fn from_unix(seconds: i64, nanos: u32) -> Option<Time> {
        DateTime::from_timestamp(seconds, nanos).filter(|t| in_rfc3339(*t)).map(Time)
    }

    /// Whole seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        self.0.timestamp()
    }

    /// Nanoseconds within the second.
    pub fn nanos(self) -> u32 {
        self.0.timestamp_subsec_nanos()
    }

    /// Milliseconds since 1970.
    pub fn unix_millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// Reads RFC 3339 (any offset), or Unix seconds with an optional fraction, as contract section 11 says for `at`.
    pub fn parse(text: &str) -> Option<Time> {
        let text = text.trim();
        if let Ok(t) = DateTime::parse_from_rfc3339(text) {
            let t = t.with_timezone(&Utc);
            return in_rfc3339(t).then_some(Time(t));
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if whole.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let nanos: u32 = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}")[..9].parse().ok()? };
        Time::from_unix(seconds, nanos)
    }

    /// This instant moved back by `span`; the earliest possible instant where that would overflow.
    pub fn minus(self, span: std::time::Duration) -> Time {
        let back = TimeDelta::from_std(span).ok().and_then(|d| self.0.checked_sub_signed(d));
        Time(back.filter(|t| in_rfc3339(*t)).unwrap_or(DateTime::UNIX_EPOCH))
    }

    /// This instant moved on by `span`; unchanged where that would overflow.
    pub fn plus(self, span: std::time::Duration) -> Time {
        let on = TimeDelta::from_std(span).ok().and_then(|d| self.0.checked_add_signed(d));
        Time(on.filter(|t| in_rfc3339(*t)).unwrap_or(self.0))
    }

    /// Seconds from `earlier` to this instant; negative where it lies behind.
    pub fn seconds_since(self, earlier: Time) -> f64 {
        (self.0 - earlier.0).num_microseconds().map_or(0.0, |us| us as f64 / 1e6)
    }
}

/// RFC 3339 has four-digit years; anything else could not be written back.
fn in_rfc3339(t: DateTime<Utc>) -> bool {
    use chrono::Datelike;
    (0..=9999).contains(&t.year())
}

impl From<DateTime<Utc>> for Time {
    fn from(t: DateTime<Utc>) -> Time {
        if in_rfc3339(t) { Time(t) } else { Time::EPOCH }
    }
}

impl From<Time> for DateTime<Utc> {
    fn from(t: Time) -> DateTime<Utc> {
        t.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            (self.0.timestamp(), self.0.timestamp_subsec_nanos()).serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        if from.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
            Time::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not an RFC 3339 time")))
        } else {
            let (seconds, nanos) = <(i64, u32)>::deserialize(from)?;
            Time::from_unix(seconds, nanos).ok_or_else(|| de::Error::custom("time out of range"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rfc3339_and_unix_seconds() {
        for (text, want) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T05:04:05.5+02:00", "2026-01-02T03:04:05.500Z"),
            ("1767323045", "2026-01-02T03:04:05Z"),
            ("1767323045.25", "2026-01-02T03:04:05.250Z"),
        ] {
            assert_eq!(Time::parse(text).unwrap().to_string(), want);
        }
        for text in ["", "soon", "2026-13-01T00:00:00Z", "1e9", "99999999999999", ".5", "-"] {
            assert!(Time::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn stored_form_keeps_nanoseconds() {
        let t = Time::parse("2026-01-02T03:04:05.123456789Z").unwrap();
        let bytes = postcard::to_allocvec(&t).unwrap();
        assert_eq!(postcard::from_bytes::<Time>(&bytes).unwrap(), t);
    }
}
