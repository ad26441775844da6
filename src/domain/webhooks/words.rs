//! A command in one text, split as a shell splits words. Nothing is expanded; what stands in `{{…}}` is one piece.

use crate::domain::gotemplate::Wrong;
use crate::domain::yaml::problem::At;

/// A word and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub at: At,
}

/// Splits a text.
pub fn split(source: &str) -> Result<Vec<Word>, Wrong> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<(char, At)> = None;
    let mut at = At { line: 1, column: 1 };
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let place = at;
        let mut take = c.len_utf8();
        let mut push =
            |text: &str| word.get_or_insert_with(|| Word { text: String::new(), at: place }).text.push_str(text);
        if rest.starts_with("{{") {
            take = action(rest).ok_or_else(|| wrong(place, "template: action is not closed by }}"))?;
            push(&rest[..take]);
        } else {
            let next = rest[take..].chars().next();
            match (quote.map(|q| q.0), c) {
                (Some(open), c) if open == c => quote = None,
                (Some('\''), _) => push(&rest[..take]),
                (within, '\\') => {
                    // In double quotes a backslash escapes few characters, and before others stays.
                    let escapes = within.is_none() || next.is_none_or(|c| matches!(c, '"' | '\\' | '$' | '`' | '\n'));
                    if !escapes {
                        push("\\");
                    } else if let Some(next) = next {
                        take += next.len_utf8();
                        if next == '\r' && rest[take..].starts_with('\n') {
                            take += 1;
                        } else if next != '\n' {
                            push(next.encode_utf8(&mut [0; 4]));
                        }
                    }
                }
                (Some(_), _) => push(&rest[..take]),
                (None, '"' | '\'') => {
                    // Its text begins behind the quote.
                    let at = At { column: place.column + 1, ..place };
                    word.get_or_insert_with(|| Word { text: String::new(), at });
                    quote = Some((c, place));
                }
                (None, c) if c.is_whitespace() => words.extend(word.take()),
                (None, _) => push(&rest[..take]),
            }
        }
        for c in rest[..take].chars() {
            at = if c == '\n' { At { line: at.line + 1, column: 1 } } else { At { column: at.column + 1, ..at } };
        }
        rest = &rest[take..];
    }
    if let Some((open, at)) = quote {
        return Err(wrong(at, format!("text is not closed by {open}")));
    }
    words.extend(word);
    Ok(words)
}

fn wrong(at: At, message: impl Into<String>) -> Wrong {
    Wrong { at, message: message.into(), suggestion: None }
}

/// How long the action is that a text begins with; none where it does not end.
fn action(text: &str) -> Option<usize> {
    let inside = text[2..].trim_start_matches('-').trim_start();
    let from = if inside.starts_with("/*") { text.len() - inside.len() + inside.find("*/")? } else { 2 };
    let mut quote = None;
    let mut escaped = false;
    for (n, c) in text.char_indices().skip_while(|(n, _)| *n < from) {
        match (quote, c) {
            (Some('"'), _) if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(c),
            (None, '}') if text[n..].starts_with("}}") => return Some(n + 2),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, want) in [
            ("a  b\n c", vec!["a", "b", "c"]),
            (r#"'a "b' "c 'd" e"f g"'h i'"#, vec![r#"a "b"#, "c 'd", "ef gh i"]),
            (r#""a\"b\\c\d" \"e\ f"#, vec![r#"a"b\c\d"#, "\"e f"]),
            ("'' \"\"", vec!["", ""]),
            ("a \\\n b\\\nc \\\r\n d", vec!["a", "bc", "d"]),
            (
                "-d \"{\\\"a\\\": \\\"{{index .data \"b c\"}}\\\"}\" x",
                vec!["-d", "{\"a\": \"{{index .data \"b c\"}}\"}", "x"],
            ),
            ("'{{ printf \"}} '\" }} x' y", vec!["{{ printf \"}} '\" }} x", "y"]),
            ("{{/* don't \" */}}a {{- /* ` */ -}} b", vec!["{{/* don't \" */}}a", "{{- /* ` */ -}}", "b"]),
            ("$(a `b` $C | d; e&&f", vec!["$(a", "`b`", "$C", "|", "d;", "e&&f"]),
            ("é\u{a0}ü", vec!["é", "ü"]),
            ("", vec![]),
        ] {
            assert_eq!(words(text), want, "{text}");
        }
        let wrong = split("a\n 'b").unwrap_err();
        assert_eq!(wrong.at, At { line: 2, column: 2 });
        assert_eq!(split("a\n {{b \"}}").unwrap_err().at, At { line: 2, column: 2 });
        assert_eq!(split("a\n  'b' c").unwrap()[2].at, At { line: 2, column: 7 });
    }
}
