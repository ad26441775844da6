//! Lengths of time as Go writes them: `90s`, `1h30m`, `1.5h`, `-2m`.

/// The nanoseconds of a duration; none where Go would not read it either.
pub(super) fn nanos(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        sum = sum.checked_add(scaled(number, factor(unit)?)?)?;
        rest = behind;
    }
    i64::try_from(if negative { -sum } else { sum }).ok()
}

/// A decimal number times a whole one, cut off behind the point.
fn scaled(number: &str, factor: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More digits than these are below a nanosecond of the largest unit.
    let fraction = &fraction[..fraction.len().min(15)];
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(factor)?.checked_add(part * factor / 10i128.pow(fraction.len() as u32))
}

fn factor(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        const S: i64 = 1_000_000_000;
        for (text, want) in [
            ("10m", 600 * S),
            ("90s", 90 * S),
            ("1h30m", 5400 * S),
            ("1.5h", 5400 * S),
            (".5s", S / 2),
            ("1.s", S),
            ("-2m", -120 * S),
            ("+1s", S),
            ("5s5s", 10 * S),
            ("0", 0),
            ("0s", 0),
            ("3us", 3_000),
            ("3\u{b5}s", 3_000),
            ("0.0000000001h", 360),
        ] {
            assert_eq!(nanos(text), Some(want), "{text}");
        }
        for text in
            ["", "-", "10", "m", "1d", "1 h", "ten minutes", ".s", "1..5s", "1h30", "9999999h", "10min", "1\u{e9}"]
        {
            assert_eq!(nanos(text), None, "{text}");
        }
    }
}
