//! Hiding secrets in text that comes from elsewhere, such as the answer of a server that repeats what it was sent.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::Secrets;

/// Shorter secrets are not looked for: they would be found everywhere, and hide what the text has to say.
const SHORTEST: usize = 4;

impl Secrets {
    /// `text` with `***` for each of `secrets`, also where one is spelled otherwise: percent-encoded (of a URL or form),
    /// escaped as in JSON or HTML, on one line, or in Base64, alone or as part of more (`user:password`). The beginning of
    /// a secret at the end of the text counts as well, because such text is cut off somewhere. Secrets under four bytes
    /// are left.
    pub fn mask(text: &str, secrets: &[impl AsRef<[u8]>]) -> String {
        let mut hidden = Vec::new();
        for secret in secrets.iter().map(|secret| secret.as_ref().trim_ascii()) {
            if secret.len() >= SHORTEST {
                hidden.extend(found(text.as_bytes(), secret, spellings));
                for core in base64_cores(secret) {
                    let ranges = found(text.as_bytes(), &core, base64_spelling);
                    hidden.extend(ranges.into_iter().map(|range| whole_word(text.as_bytes(), range)));
                }
            }
        }
        hidden.sort_unstable_by_key(|range| range.start);
        let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
        for range in hidden {
            if range.start >= at {
                shown.push_str(&text[at..text.floor_char_boundary(range.start)]);
                shown.push_str("***");
            }
            at = at.max(text.ceil_char_boundary(range.end));
        }
        shown.push_str(&text[at..]);
        shown
    }
}

/// Where `secret` is in `text`, each of its bytes spelled in one of the ways that `lengths` knows, or where it begins and
/// the text ends.
fn found(text: &[u8], secret: &[u8], lengths: fn(u8, &[u8], &mut Vec<usize>)) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = end_of(text, start, secret, lengths);
        ranges.extend(end.map(|end| start..end));
        start = end.unwrap_or(start + 1);
    }
    ranges
}

fn end_of(text: &[u8], start: usize, secret: &[u8], lengths: fn(u8, &[u8], &mut Vec<usize>)) -> Option<usize> {
    // A byte may be spelled in several ways at once (`%` and `%25`), so several ends are followed side by side.
    let (mut ends, mut ways) = (vec![start], Vec::new());
    for (matched, byte) in secret.iter().enumerate() {
        if matched >= SHORTEST && ends.contains(&text.len()) {
            return Some(text.len());
        }
        let mut next = Vec::new();
        for end in ends {
            ways.clear();
            lengths(*byte, &text[end..], &mut ways);
            next.extend(ways.iter().map(|length| end + length));
        }
        next.sort_unstable();
        next.dedup();
        ends = next;
        if ends.is_empty() {
            return None;
        }
    }
    ends.pop()
}

/// How many bytes at the beginning of `text` are `byte`, for each way to spell it.
fn spellings(byte: u8, text: &[u8], lengths: &mut Vec<usize>) {
    let hex = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    match text {
        [first, ..] if *first == byte => lengths.push(1),
        [b'+', ..] if byte == b' ' => lengths.push(1),
        // Line breaks are shown as spaces.
        [b' ', ..] if byte.is_ascii_control() => lengths.push(1),
        _ => {}
    }
    match text {
        [b'%', a, b, ..] if hex(&[*a, *b]) == Some(byte) => lengths.push(3),
        [b'\\', b'u', b'0', b'0', a, b, ..] if byte.is_ascii() && hex(&[*a, *b]) == Some(byte) => lengths.push(6),
        [b'\\', b'n', ..] if byte == b'\n' => lengths.push(2),
        [b'\\', b'r', ..] if byte == b'\r' => lengths.push(2),
        [b'\\', b't', ..] if byte == b'\t' => lengths.push(2),
        [b'\\', next, ..] if *next == byte && matches!(byte, b'"' | b'\\' | b'/' | b'\'') => lengths.push(2),
        _ => {}
    }
    let entities: &[&[u8]] = match byte {
        b'&' => &[b"&amp;", b"&#38;"],
        b'<' => &[b"&lt;", b"&#60;"],
        b'>' => &[b"&gt;", b"&#62;"],
        b'"' => &[b"&quot;", b"&#34;"],
        b'\'' => &[b"&apos;", b"&#39;", b"&#x27;"],
        b'/' => &[b"&#x2F;", b"&#x2f;", b"&#47;"],
        b'=' => &[b"&#x3D;", b"&#x3d;", b"&#61;"],
        _ => &[],
    };
    lengths.extend(entities.iter().filter(|entity| text.starts_with(entity)).map(|entity| entity.len()));
}

/// Both alphabets of Base64.
fn base64_spelling(byte: u8, text: &[u8], lengths: &mut Vec<usize>) {
    let one = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    if text.first().is_some_and(|first| one(*first) == byte) {
        lengths.push(1);
    }
}

/// What the Base64 of anything that holds `secret` holds: one for each place that it can begin at in a group of three
/// bytes, without the characters that what is before and behind it has a part in.
fn base64_cores(secret: &[u8]) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|before| {
        let bytes = [&[0; 2][..before], secret].concat();
        let first = (before * 8).div_ceil(6);
        let end = bytes.len() * 8 / 6;
        STANDARD_NO_PAD.encode(&bytes).as_bytes()[first..end].to_vec()
    })
}

/// The range with all characters of Base64 around it.
fn whole_word(text: &[u8], range: Range<usize>) -> Range<usize> {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    let before = text[..range.start].iter().rev().take_while(|byte| inside(byte)).count();
    let behind = text[range.end..].iter().take_while(|byte| inside(byte)).count();
    range.start - before..range.end + behind
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn every_place_is_masked() {
        let mask = |text: &str| Secrets::mask(text, &["s3cret", "s3cret-2", "other"]);
        for (text, shown) in [
            ("", ""),
            ("nothing here", "nothing here"),
            ("s3cret", "***"),
            ("a s3cret, s3crets3cret and others", "a ***, ****** and ***s"),
            ("the longer s3cret-2 too", "the longer *** too"),
            ("ünï s3cret ünï", "ünï *** ünï"),
            ("s3cre7", "s3cre7"),
            // Cut off.
            ("it said s3cr", "it said ***"),
            ("it said s3c", "it said s3c"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }

    #[test]
    fn nothing_and_next_to_nothing_mask_nothing() {
        let none: [&str; 0] = [];
        assert_eq!(Secrets::mask("a text", &none), "a text");
        assert_eq!(Secrets::mask("a text", &["", " ", "a", "tex"]), "a text");
        assert_eq!(Secrets::mask("a text", &["text"]), "a ***");
    }

    #[test]
    fn other_spellings_are_masked() {
        let secret = "p&ss \"/w%rd'é\n<x=";
        for spelled in [
            "p%26ss%20%22%2Fw%25rd%27%C3%A9%0A%3Cx%3D",
            "p%26ss+%22%2fw%25rd%27%c3%a9%0a%3cx%3d",
            r#"p&ss \"/w%rd'é\n<x="#,
            r#"p\u0026ss \"\/w%rd\u0027é\n\u003cx="#,
            "p&amp;ss &quot;/w%rd&#39;é &lt;x=",
            "p&amp;ss &#34;&#x2F;w%rd&#x27;é\n&lt;x&#x3D;",
        ] {
            assert_eq!(Secrets::mask(&format!("<{spelled}>"), &[secret]), "<***>", "{spelled}");
        }
        assert_eq!(Secrets::mask("x%2525x %25x", &["%25x"]), "x*** ***");
        assert_eq!(Secrets::mask("token=\u{1F511}", &[[0xff, 0xfe, 0xfd, 0xfc]]), "token=\u{1F511}");
        assert_eq!(Secrets::mask("token=%FF%fe%FD%FC.", &[[0xff, 0xfe, 0xfd, 0xfc]]), "token=***.");
        // As it is in a header, where spaces at its ends are lost.
        assert_eq!(Secrets::mask("Bearer s3cret.", &[" s3cret \n"]), "Bearer ***.");
    }

    #[test]
    fn base64_is_masked_wherever_it_begins() {
        let secret = "s3cr?t>~\u{7f}";
        for before in ["", "a", "ab", "abc", "user:"] {
            for behind in ["", "x", "xy", "xyz"] {
                let all = format!("{before}{secret}{behind}");
                for word in [STANDARD.encode(&all), URL_SAFE_NO_PAD.encode(&all)] {
                    let text = format!("Basic {word}, said the server");
                    assert_eq!(Secrets::mask(&text, &[secret]), "Basic ***, said the server", "{all:?}");
                }
            }
        }
        assert_eq!(Secrets::mask(&STANDARD.encode("something else"), &[secret]), STANDARD.encode("something else"));
    }
}
