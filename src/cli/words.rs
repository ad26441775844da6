//! How long ago, in a word.

use chrono::Utc;

use crate::domain::time::Time;

/// `5m` for an RFC 3339 time five minutes ago; the text itself where it is none.
pub(super) fn age(text: &str) -> String {
    let now = Time::from(Utc::now());
    Time::parse(text).map_or_else(|| text.to_owned(), |time| span(now.seconds_since(time)))
}

fn span(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..=119 => format!("{s}s"),
        120..=7_199 => format!("{}m", s / 60),
        7_200..=172_799 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// How long something took, with what is left of the unit below: `1m 5s`.
pub(super) fn took(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    let two = |large: u64, unit: &str, small: u64, below: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{below}"),
    };
    match s {
        0 if seconds > 0.0 => format!("{}ms", (seconds * 1000.0) as u64),
        0..=59 => format!("{s}s"),
        60..=3_599 => two(s / 60, "m", s % 60, "s"),
        3_600..=86_399 => two(s / 3600, "h", s % 3600 / 60, "m"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// A time as the endpoint takes it: RFC 3339, or a span back from now like `2h`.
///
/// # Errors
/// Says what it should look like.
pub(super) fn moment(text: &str) -> Result<String, String> {
    if let Ok(span) = text.parse::<crate::units::Span>() {
        return Ok(Time::from(Utc::now()).minus(span.get()).to_string());
    }
    match Time::parse(text).filter(|_| text.contains('-')) {
        Some(time) => Ok(time.to_string()),
        None => Err(format!("{text:?} is neither a time like 2026-01-02T03:04:05Z nor a span like 2h")),
    }
}

/// `n` things, in words.
pub(super) fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, want) in [(-5.0, "0s"), (90.0, "90s"), (600.0, "10m"), (7200.0, "2h"), (200_000.0, "2d")] {
            assert_eq!(span(seconds), want);
        }
    }

    #[test]
    fn what_took_long_is_told_in_two_units() {
        for (seconds, want) in [
            (-1.0, "0s"),
            (0.0, "0s"),
            (0.25, "250ms"),
            (59.9, "59s"),
            (60.0, "1m"),
            (3_599.0, "59m 59s"),
            (7_260.0, "2h 1m"),
            (90_000.0, "1d 1h"),
        ] {
            assert_eq!(took(seconds), want);
        }
    }

    #[test]
    fn moments_are_times_or_spans() {
        assert_eq!(moment("2026-01-02T03:04:05+01:00").unwrap(), "2026-01-02T02:04:05Z");
        assert!(Time::parse(&moment("2h").unwrap()).is_some());
        assert!(moment("soon").is_err());
    }
}
