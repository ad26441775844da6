//! The names a template of the full language calls: its filters, tests and functions.
//!
//! The engine looks them up only when it runs; a rule must not fail on a typing mistake then.

/// A name and what it is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'t> {
    /// After `|`.
    Filter(&'t str),
    /// After `is`.
    Test(&'t str),
    /// Before `(`.
    Function(&'t str),
    /// Between `.` and `(`.
    Method(&'t str),
}

/// Calls `each` with every name between the braces of a template; texts in quotes are skipped.
pub fn names<'t>(source: &'t str, mut each: impl FnMut(Name<'t>)) {
    let mut rest = source;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let (open, inside) = rest[at..].split_at(2);
        rest = match open {
            "{#" => inside.split_once("#}").map_or("", |(_, after)| after),
            _ => code(inside, &mut each),
        };
    }
}

/// Reads up to the closing braces and returns what follows them.
fn code<'t>(source: &'t str, each: &mut impl FnMut(Name<'t>)) -> &'t str {
    #[derive(PartialEq)]
    enum After {
        Pipe,
        Is,
        Dot,
        Other,
    }
    let mut after = After::Other;
    let mut braces = 0u32;
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        if c == '"' || c == '\'' {
            rest = quoted(rest, c);
            after = After::Other;
        } else if c.is_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            rest = behind;
            let called = behind.trim_start().starts_with('(');
            match after {
                After::Pipe => each(Name::Filter(word)),
                After::Is if word == "not" => continue,
                After::Is => each(Name::Test(word)),
                After::Other if called && !WORDS.contains(&word) => each(Name::Function(word)),
                After::Dot if called => each(Name::Method(word)),
                After::Dot | After::Other => {}
            }
            after = if word == "is" && after == After::Other { After::Is } else { After::Other };
        } else {
            if braces == 0 && (rest.starts_with("}}") || rest.starts_with("%}")) {
                return &rest[2..];
            }
            match c {
                '{' => braces += 1,
                '}' => braces = braces.saturating_sub(1),
                _ => {}
            }
            after = match c {
                '|' => After::Pipe,
                '.' => After::Dot,
                c if c.is_whitespace() => after,
                _ => After::Other,
            };
            rest = &rest[c.len_utf8()..];
        }
    }
    rest
}

/// What may stand before an opening parenthesis and is no function.
const WORDS: &[&str] = &["if", "elif", "else", "in", "and", "or", "not", "for", "set", "with", "filter"];

fn quoted(source: &str, quote: char) -> &str {
    let mut chars = source.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return &source[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_called() {
        let mut found = Vec::new();
        let source = "a | b {{ x.y | f1(first(z), '| no') ~ q.method() }}{% if a is not t1 and ({'k': b} | f2) is t2 %}{# | c #}";
        names(source, |name| found.push(name));
        use Name::{Filter, Function, Method, Test};
        assert_eq!(found, [Filter("f1"), Function("first"), Method("method"), Test("t1"), Filter("f2"), Test("t2")]);
    }
}
