//! Hiding secrets in text that comes from elsewhere, such as the answer of a server that repeats what it was sent.

mod search;
mod spelling;

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

use search::Needle;

/// Shorter secrets are not looked for: they would be found everywhere, and hide what the text has to say.
const SHORTEST: usize = 4;

/// Secrets that no text may show.
#[derive(Default)]
pub struct Mask {
    secrets: Vec<Hidden>,
}

/// What is looked for because of one secret.
struct Hidden {
    plain: Needle,
    base64: [Needle; 3],
}

impl Mask {
    /// A mask of these secrets. Those under four bytes are left, and so is white space at their ends.
    pub fn of(secrets: &[impl AsRef<[u8]>]) -> Mask {
        let secrets = secrets.iter().map(|secret| secret.as_ref().trim_ascii());
        Mask { secrets: secrets.filter(|secret| secret.len() >= SHORTEST).map(Hidden::new).collect() }
    }

    /// `text` with `***` for each of the secrets, also where one is spelled otherwise: percent-encoded (of a URL or form),
    /// escaped as in JSON or HTML, all of that more than once, on one line, or in Base64, alone or as part of more
    /// (`user:password`). The beginning of a secret at the end of the text counts as well, because such text may be cut off.
    pub fn text(&self, text: &str) -> String {
        self.masked(text, Some(SHORTEST))
    }

    /// An answer as its JSON, or as a text where it is none, without the secrets. Texts and keys are looked through as they
    /// are in the answer and once more as they are read: JSON may spell a spelling.
    pub fn answer(&self, answer: &[u8]) -> Value {
        let text = self.text(&String::from_utf8_lossy(answer));
        match serde_json::from_str(&text) {
            Ok(value) => self.value(value),
            Err(_) => Value::String(text),
        }
    }

    fn value(&self, value: Value) -> Value {
        match value {
            // Whole as it is: the beginning of a secret at its end is a word of its own.
            Value::String(text) => self.masked(&text, None).into(),
            Value::Array(list) => list.into_iter().map(|value| self.value(value)).collect(),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(key, value)| (self.masked(&key, None), self.value(value)));
                Value::Object(fields.collect())
            }
            value => value,
        }
    }

    fn masked(&self, text: &str, cut: Option<usize>) -> String {
        // A character that was cut in two is not the text's own.
        let bytes = text.trim_end_matches(char::REPLACEMENT_CHARACTER).as_bytes();
        let mut hidden: Vec<_> = self.secrets.iter().flat_map(|secret| secret.find(bytes, cut)).collect();
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

impl Hidden {
    fn new(secret: &[u8]) -> Hidden {
        // Line breaks are shown as spaces.
        let plain = Needle::new(secret, |read, byte| read == byte || read == b' ' && byte.is_ascii_control());
        // Both alphabets of Base64.
        let either = |read, byte| read == byte || matches!((read, byte), (b'-', b'+') | (b'_', b'/'));
        Hidden { plain, base64: base64_cores(secret).map(|core| Needle::new(&core, either)) }
    }

    fn find(&self, text: &[u8], cut: Option<usize>) -> Vec<Range<usize>> {
        let mut ranges = self.plain.find(text, cut);
        for core in &self.base64 {
            let mut behind = 0;
            for range in core.find(text, cut) {
                // A word may hold it many times.
                if range.start >= behind {
                    let word = whole_word(text, range);
                    behind = word.end;
                    ranges.push(word);
                }
            }
        }
        ranges
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
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_is_masked() {
        let mask = |text: &str| Mask::of(&["s3cret", "s3cret-2", "other"]).text(text);
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
        assert_eq!(Mask::of(&none).text("a text"), "a text");
        assert_eq!(Mask::of(&["", " ", "a", "tex"]).text("a text"), "a text");
        assert_eq!(Mask::of(&["text"]).text("a text"), "a ***");
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
            assert_eq!(Mask::of(&[secret]).text(&format!("<{spelled}>")), "<***>", "{spelled}");
        }
        assert_eq!(Mask::of(&["%25x"]).text("x%2525x %25x"), "x*** ***");
        assert_eq!(Mask::of(&[[0xff, 0xfe, 0xfd, 0xfc]]).text("token=\u{1F511}"), "token=\u{1F511}");
        assert_eq!(Mask::of(&[[0xff, 0xfe, 0xfd, 0xfc]]).text("token=%FF%fe%FD%FC."), "token=***.");
        // As it is in a header, where spaces at its ends are lost.
        assert_eq!(Mask::of(&[" s3cret \n"]).text("Bearer s3cret."), "Bearer ***.");
    }

    #[test]
    fn base64_is_masked_wherever_it_begins() {
        let secret = "s3cr?t>~\u{7f}";
        for before in ["", "a", "ab", "abc", "user:"] {
            for behind in ["", "x", "xy", "xyz"] {
                let all = format!("{before}{secret}{behind}");
                for word in [STANDARD.encode(&all), URL_SAFE_NO_PAD.encode(&all)] {
                    let text = format!("Basic {word}, said the server");
                    assert_eq!(Mask::of(&[secret]).text(&text), "Basic ***, said the server", "{all:?}");
                }
            }
        }
        assert_eq!(Mask::of(&[secret]).text(&STANDARD.encode("something else")), STANDARD.encode("something else"));
    }

    #[test]
    fn what_was_escaped_twice_is_masked() {
        for (secret, spelled) in [
            ("pa\"ss\\word1", r#"pa\\\"ss\\\\word1"#),
            ("pa\"ss\\word1", r#"pa\\\\\\\"ss\\\\\\\\word1"#),
            ("pa\"ss\\word1", "pa%5C%22ss%5C%5Cword1"),
            ("pa\"ss\\word1", "pa%255C%2522ss%255c%255cword1"),
            ("pa\"ss\\word1", r#"pa\&quot;ss\\word1"#),
            ("pa\"ss\\word1", "pa&amp;quot;ss\\word1"),
            ("dG9rZW4/c2VjcmV0", r"dG9rZW4\/c2VjcmV0"),
            ("dG9rZW4/c2VjcmV0", r"dG9rZW4\\\/c2VjcmV0"),
            ("dG9rZW4/c2VjcmV0==", r"dG9rZW4\u002fc2VjcmV0\u003D\u003d"),
            ("dG9rZW4/c2VjcmV0==", r"dG9rZW4\\u002Fc2VjcmV0\\\\u003D\\u003d"),
            ("über\u{1f511}", r"\u00fcber\ud83d\udd11"),
            ("über\u{1f511}", r"\\u00FCber\\uD83D\\uDD11"),
            ("über\u{1f511}", "&#252;ber&#x1F511;"),
            ("tw\no l\tines", r"tw\\no l\\\\tines"),
        ] {
            let shown = Mask::of(&[secret]).text(&format!(r#"{{\"a\":\"{spelled}\"}}"#));
            assert_eq!(shown, r#"{\"a\":\"***\"}"#, "{spelled}");
        }
        // Not everything behind a backslash is an escape.
        assert_eq!(Mask::of(&["nabc"]).text(r"C:\nabc C:\\nabc"), r"C:\*** C:\\***");
        assert_eq!(Mask::of(&["abcd"]).text(r"a\bcd %61bc ab\u006"), r"a\bcd %61bc ab\u006");
    }

    #[test]
    fn a_secret_that_was_cut_within_an_escape_is_masked() {
        for cut in [r"s3cr\", r"s3cr\\\", r"s3cr\u00", r"s3cr\\u", "s3cr%", "s3cr%2", "s3cr&quo", "s3cr\u{fffd}"] {
            let shown = Mask::of(&["s3cr\"éx"]).text(&format!("it said {cut}"));
            assert_eq!(shown.trim_end_matches('\u{fffd}'), "it said ***", "{cut}");
        }
    }

    #[test]
    fn answers_are_masked_as_they_are_read_too() {
        let mask = Mask::of(&["pa\"ss\\word1", "prod-1<2"]);
        let body = json!({"n": 1, "token": "pa\"ss\\word1"}).to_string();
        let twice =
            json!({"data": body, "body": json!({ "data": body }).to_string(), "pa\"ss\\word1": ["prod", 12.5, null]});
        let shown = mask.answer(twice.to_string().as_bytes());
        assert_eq!(
            shown,
            json!({"data": r#"{"n":1,"token":"***"}"#, "body": json!({"data": r#"{"n":1,"token":"***"}"#}).to_string(),
                "***": ["prod", 12.5, null]})
        );
        // JSON around HTML: only what was read shows it.
        assert_eq!(mask.answer(br#"["said prod-1\u0026lt;2."]"#), json!(["said ***."]));
        assert_eq!(mask.answer(b"no JSON: prod-1<2\xff."), json!("no JSON: ***\u{fffd}."));
        assert_eq!(mask.answer(b"[1, 2"), json!("[1, 2"));
    }

    /// In a debug build such a text took 25 s when each beginning was followed by itself; all of these take 2 s of a core now.
    #[test]
    fn a_text_that_begins_a_secret_everywhere_is_looked_through_once() {
        let (secret, text) = (format!("{}y", "x".repeat(999)), "x".repeat(1 << 20));
        let mask = Mask::of(&[&secret]);
        assert_eq!(mask.text(&format!("{text}yx")), format!("{}***x", &text[999..]));
        let text = &text[..100_000];
        assert_eq!(mask.text(&format!("{text}z")), format!("{text}z"));
        assert_eq!(mask.text(text), format!("{}***", &text[999..]));
        assert_eq!(mask.text(&secret.repeat(100)), "***".repeat(100));
        let mask = Mask::of(&["\\x\"y/z", &"x".repeat(64)]);
        for some in ["\\", "%25", "&amp;", "%5c", "\\ud800", "xxx\\\""] {
            let text = some.repeat(100_000 / some.len());
            assert_eq!(mask.text(&format!("{text}.")), format!("{text}."), "{some}");
        }
        // One word of Base64 that has the secret everywhere.
        assert_eq!(mask.text(&format!("{}.", "eHh4".repeat(25_000))), "***.");
    }

    proptest! {
        /// However text was carried, and in whatever, nothing of the secret is left, and nothing else is missing.
        #[test]
        fn what_carriers_make_of_a_secret_is_masked(
            secret in "[a-zA-Z][a-zA-Z0-9\"\\\\/'&<>%+= é\u{1f511}\n]{3,40}[a-zA-Z]",
            layers in proptest::collection::vec(0..4_usize, 0..4),
            html in any::<bool>(),
        ) {
            let mut spelled = secret.clone();
            for layer in layers {
                spelled = match layer {
                    0 => quoted(&spelled),
                    1 => quoted(&spelled).replace('/', "\\/").replace('&', "\\u0026").replace('<', "\\u003C"),
                    2 => quoted(&spelled).encode_utf16().map(|unit| match u8::try_from(unit) {
                        Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                        _ => format!("\\u{unit:04x}"),
                    }).collect(),
                    _ => percent_encoding::utf8_percent_encode(&spelled, percent_encoding::NON_ALPHANUMERIC).to_string(),
                };
            }
            if html {
                spelled = spelled.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;").replace('<', "&lt;");
            }
            let mask = Mask::of(&[&secret]);
            prop_assert_eq!(mask.text(&format!("[{spelled}] and {spelled}, {{")), "[***] and ***, {", "{}", spelled);
        }

        /// Ranges lie where characters begin and end, whatever the text.
        #[test]
        fn no_text_is_too_much(
            words in proptest::collection::vec(
                prop_oneof![4 => proptest::sample::select(vec!["\\", "u00", "u0022", "\"", "%", "25", "22", "&", "amp;", "quot;", "#34;", "#000038;",
                    "ab\"", "cd", "\u{1f511}", "é", "+", " ", "ud83d", "udd11", "YWIiY2Q"]).prop_map(str::to_owned), 1 => ".{0,3}"],
                0..40,
            )
        ) {
            let text = words.concat();
            let secrets = ["ab\"cd", "\u{1f511}é +", "\\\\\\\\"];
            let shown = Mask::of(&secrets).text(&text);
            prop_assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{}", shown);
        }
    }

    /// As it is within a string of JSON.
    fn quoted(text: &str) -> String {
        let quoted = Value::from(text).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    }
}
