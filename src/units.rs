//! Lengths of time and amounts of bytes as people write them: `90s`, `1h`, `30d`, `64KiB`, `1MiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A length of time. Written as whole numbers with a unit, `90s`, or several of them, `1h30m`; `0` needs none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// An amount of bytes. Written with a unit, `64KiB`, or as a plain number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Why text is not a [`Span`] or a [`Size`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a length of time.
    #[error("{0:?} is not a length of time like 500ms, 90s, 10m, 1h30m or 30d")]
    Span(String),
    /// Not an amount of bytes.
    #[error("{0:?} is not a size like 64KiB, 1MiB or a number of bytes")]
    Size(String),
}

/// Largest first, so that what is written is as short as can be.
const TIMES: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Span {
    /// So many milliseconds.
    pub const fn from_millis(n: u64) -> Span {
        Span(Duration::from_millis(n))
    }

    /// So many seconds.
    pub const fn from_secs(n: u64) -> Span {
        Span(Duration::from_secs(n))
    }

    /// So many hours.
    pub const fn from_hours(n: u64) -> Span {
        Span::from_secs(n * 3600)
    }

    /// So many days.
    pub const fn from_days(n: u64) -> Span {
        Span::from_secs(n * 86_400)
    }

    /// As the standard library has it.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl Size {
    /// So many bytes.
    pub const fn from_bytes(n: u64) -> Size {
        Size(n)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Span, Error> {
        let bad = || Error::Span(text.to_owned());
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Span::default());
        }
        let (mut millis, mut smallest) = (0u64, u64::MAX);
        while !rest.is_empty() {
            let (n, unit, behind) = part(rest).ok_or_else(bad)?;
            let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
            // Units go down, so that 1m1h or 5s5s is seen as the slip it is.
            if *factor >= smallest {
                return Err(bad());
            }
            smallest = *factor;
            millis = n.checked_mul(*factor).and_then(|n| millis.checked_add(n)).ok_or_else(bad)?;
            rest = behind;
        }
        if smallest == u64::MAX { Err(bad()) } else { Ok(Span::from_millis(millis)) }
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Size, Error> {
        let bad = || Error::Size(text.to_owned());
        let (n, unit, behind) = part(text.trim()).ok_or_else(bad)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        match n.checked_mul(*factor) {
            Some(bytes) if behind.is_empty() => Ok(Size(bytes)),
            _ => Err(bad()),
        }
    }
}

/// The number and the unit that `text` begins with, and what is behind them.
fn part(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, behind) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, behind))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        // 90s stays 90s and 30d stays 30d: the largest unit that divides it, as a person would have written it.
        if let Some((name, factor)) = TIMES.iter().find(|(_, factor)| rest.is_multiple_of(*factor)) {
            let n = rest / factor;
            if n < 1000 {
                return write!(f, "{n}{name}");
            }
        }
        for (name, factor) in TIMES {
            if rest >= *factor {
                write!(f, "{}{name}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = SIZES.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (name, factor) = found.unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / factor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_back() {
        for (text, millis, back) in [
            ("500ms", 500, "500ms"),
            ("90s", 90_000, "90s"),
            ("10m", 600_000, "10m"),
            ("60m", 3_600_000, "1h"),
            ("1h30m", 5_400_000, "90m"),
            ("30d", 2_592_000_000, "30d"),
            ("1d2h3m4s5ms", 93_784_005, "1d2h3m4s5ms"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span, Span::from_millis(millis), "{text}");
            assert_eq!(span.to_string(), back);
            assert_eq!(back.parse::<Span>().unwrap(), span);
        }
        for text in ["", "10", "m", "1.5h", "-1s", "1w", "1m1h", "5s5s", "99999999999999999999s", "9999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_back() {
        for (text, bytes, back) in [
            ("64KiB", 65_536, "64KiB"),
            ("1MiB", 1 << 20, "1MiB"),
            ("1024", 1024, "1KiB"),
            ("1000B", 1000, "1000B"),
            ("0", 0, "0B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size, Size::from_bytes(bytes), "{text}");
            assert_eq!(size.to_string(), back);
        }
        for text in ["", "MiB", "1MB", "1.5MiB", "-1", "1MiB1KiB", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
