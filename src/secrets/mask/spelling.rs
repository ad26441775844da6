//! The ways in which text that is carried inside other text spells a byte.
//!
//! Each carrier may lie in another (JSON in a string of JSON, a form of JSON), so an escape is read however often it was
//! escaped itself: any run of backslashes before it, `%2522` for `%22`, `&amp;quot;` for `&quot;`.

/// No reading is longer; a run of backslashes is a reading for each of them.
pub(super) const LONGEST: usize = 32;

/// How often `%` and `&` are escaped once more.
const LAYERS: usize = 4;

/// What a reading begins or ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Between two characters.
    Plain = 0,
    /// Behind backslashes that escape what comes.
    Escaping = 1,
}

/// One way to read what begins at a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'r> {
    pub from: State,
    pub to: State,
    /// How much of the text it takes.
    pub length: usize,
    /// What it stands for: a character, or nothing where it only leads on.
    pub bytes: &'r [u8],
}

/// Calls `each` with every reading of what begins at `at`.
pub(super) fn readings(text: &[u8], at: usize, mut each: impl FnMut(Reading<'_>)) {
    use State::{Escaping, Plain};
    let rest = &text[at..];
    let mut unit = |bytes: &[u8], length: usize| {
        each(Reading { from: Plain, to: Plain, length, bytes });
        if let [byte] = bytes {
            if *byte == b'\\' {
                each(Reading { from: Plain, to: Escaping, length, bytes: &[] });
                each(Reading { from: Escaping, to: Escaping, length, bytes: &[] });
            }
            if let Some(meant) = meant(*byte) {
                each(Reading { from: Escaping, to: Plain, length, bytes: &[meant] });
            }
        }
    };
    let Some(first) = rest.first() else { return };
    unit(&[*first], 1);
    match first {
        b'%' => percent(rest, &mut unit),
        b'&' => entity(rest, &mut unit),
        b'+' => unit(b" ", 1),
        b'u' | b'x' => by_number(rest, &mut |bytes, length| each(Reading { from: Escaping, to: Plain, length, bytes })),
        _ => {}
    }
    if is_cut(rest) {
        let from = if matches!(first, b'u' | b'x') { Escaping } else { Plain };
        each(Reading { from, to: Plain, length: rest.len(), bytes: &[] });
    }
}

/// What a byte means behind a backslash.
fn meant(byte: u8) -> Option<u8> {
    Some(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'f' => 0x0c,
        b'"' | b'\'' | b'/' | b'\\' => byte,
        _ => return None,
    })
}

/// `%22`, also as `%2522`.
fn percent(rest: &[u8], unit: &mut impl FnMut(&[u8], usize)) {
    let mut at = 1;
    for _ in 0..LAYERS {
        let Some(byte) = rest.get(at..at + 2).and_then(hex) else { return };
        at += 2;
        unit(&[byte as u8], at);
        if byte != u32::from(b'%') {
            return;
        }
    }
}

/// `&quot;`, `&#34;` and `&#x22;`, also as `&amp;quot;`.
fn entity(rest: &[u8], unit: &mut impl FnMut(&[u8], usize)) {
    let mut at = 1;
    for _ in 0..LAYERS {
        let within = &rest[at..];
        let Some(end) = within.iter().take(LONGEST / 3).position(|byte| *byte == b';') else { return };
        let name = &within[..end];
        let character = match name {
            b"amp" => Some('&'),
            b"lt" => Some('<'),
            b"gt" => Some('>'),
            b"quot" => Some('"'),
            b"apos" => Some('\''),
            [b'#', b'x' | b'X', digits @ ..] => hex(digits).and_then(char::from_u32),
            [b'#', digits @ ..] => number(digits, 10).and_then(char::from_u32),
            _ => None,
        };
        let Some(character) = character else { return };
        at += end + 1;
        unit(character.encode_utf8(&mut [0; 4]).as_bytes(), at);
        if name != b"amp" {
            return;
        }
    }
}

/// `x22`, and `u0022` behind its backslashes. Of the two that some characters need, each is read as its half of the bytes.
fn by_number(rest: &[u8], each: &mut impl FnMut(&[u8], usize)) {
    let length = if rest.first() == Some(&b'x') { 3 } else { 5 };
    let Some(unit) = rest.get(1..length).and_then(hex) else { return };
    let low = |shift: u32| 0x80 | (unit >> shift & 0x3f) as u8;
    match unit {
        0xd800..0xdc00 => {
            let first = char::from_u32(0x10000 + ((unit - 0xd800) << 10));
            first.into_iter().for_each(|first| each(&first.encode_utf8(&mut [0; 4]).as_bytes()[..2], length));
        }
        // The two bits between are those of the first half, whatever they were.
        0xdc00..0xe000 => (0..4).for_each(|bits| each(&[low(6) & 0x8f | bits << 4, low(0)], length)),
        _ => {
            let character = char::from_u32(unit);
            character.into_iter().for_each(|character| each(character.encode_utf8(&mut [0; 4]).as_bytes(), length));
        }
    }
}

/// Whether the text ends within something that may be an escape.
fn is_cut(rest: &[u8]) -> bool {
    match rest {
        [b'%'] | [b'%', _] => true,
        [b'u' | b'x', digits @ ..] => digits.len() < 4 && digits.iter().all(u8::is_ascii_hexdigit),
        [b'&', name @ ..] => name.len() < 8 && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'#'),
        _ => false,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    number(digits, 16)
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let plain = digits.iter().all(|byte| (*byte as char).is_digit(radix));
    std::str::from_utf8(digits).ok().filter(|_| plain).and_then(|digits| u32::from_str_radix(digits, radix).ok())
}
