//! Whether there is another attempt, and when.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::backoff::Backoff;

/// The longest wait that an answer can ask for with `Retry-After`.
const LONGEST: Duration = Duration::from_secs(60);

/// What a failed attempt says about another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It would fail in the same way.
    Never,
    /// Nothing of it was sent.
    Unsent,
    /// The other side may have handled it, whatever it answered.
    MayHaveBeenHandled,
}

impl Again {
    /// Whether a request of `method` is sent again; `even_so` is [`super::Limits::retry_after_answer`].
    pub(super) fn holds_for(self, method: &Method, even_so: bool) -> bool {
        match self {
            Again::Never => false,
            Again::Unsent => true,
            Again::MayHaveBeenHandled => method.is_idempotent() || even_so,
        }
    }
}

/// The wait after `failures` failures in a row, no shorter than the other side `asked` for.
pub(super) fn wait(failures: u32, asked: Option<Duration>) -> Duration {
    const BACKOFF: Option<Backoff> = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let backoff = BACKOFF.unwrap_or(Backoff::broker()).jittered(failures);
    backoff.max(asked.unwrap_or_default().min(LONGEST))
}

/// What `Retry-After` asks for: seconds, or a date.
pub(super) fn asked(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_handled_is_sent_again_only_where_that_does_no_harm() {
        for (method, plain, even_so) in [
            (Method::GET, true, true),
            (Method::HEAD, true, true),
            (Method::PUT, true, true),
            (Method::DELETE, true, true),
            (Method::POST, false, true),
            (Method::PATCH, false, true),
        ] {
            assert_eq!(Again::MayHaveBeenHandled.holds_for(&method, false), plain, "{method}");
            assert_eq!(Again::MayHaveBeenHandled.holds_for(&method, true), even_so, "{method}");
            assert!(Again::Unsent.holds_for(&method, false) && !Again::Never.holds_for(&method, true));
        }
    }

    #[test]
    fn retry_after_is_heard_up_to_a_cap() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let said = |text: &str| asked(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), now);
        assert_eq!(said("7"), Some(Duration::from_secs(7)));
        assert_eq!(said("Thu, 01 Jan 2026 00:00:09 GMT"), Some(Duration::from_secs(9)));
        assert_eq!(said("Wed, 31 Dec 2025 00:00:09 GMT"), Some(Duration::ZERO));
        for text in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(said(text), None, "{text}");
        }
        assert_eq!(wait(1, said("7")), Duration::from_secs(7));
        assert_eq!(wait(1, said("86400")), LONGEST);
        assert!(wait(1, None) <= Duration::from_millis(500) && wait(1, None) >= Duration::from_millis(400));
        assert!(wait(u32::MAX, said("0")) <= Duration::from_secs(30));
    }
}
