//! Texts of issues: bounded and printable, whatever an event says.

/// Bytes of a title.
pub const TITLE_LIMIT: usize = 1024;
/// Bytes of a description; the whole text stays in the journal.
pub const BODY_LIMIT: usize = 64 * 1024;

/// One line: control characters become spaces, what is over [`TITLE_LIMIT`] is cut.
pub fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(text.trim(), TITLE_LIMIT)
}

/// Several lines: control characters other than line breaks and tabs become spaces, what is over [`BODY_LIMIT`] is cut.
pub fn body(text: &str) -> String {
    let keep = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(keep) {
        return cut(text, BODY_LIMIT);
    }
    let text = text.replace("\r\n", "\n");
    let text: String = text.chars().map(|c| if keep(c) { c } else { ' ' }).collect();
    cut(&text, BODY_LIMIT)
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit - 3).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_printable() {
        assert_eq!(one_line("a\0b\nc"), "a b c");
        assert_eq!(body("a\r\nb\0c"), "a\nb c");
        let long = one_line(&"é".repeat(TITLE_LIMIT));
        assert!(long.len() <= TITLE_LIMIT && long.ends_with('…'));
    }
}
