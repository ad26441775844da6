//! What is taken out of a response: `$`, `$.ticket.id`, `$.items[0]["self-link"]`.

use serde_json::Value;

/// A path into a JSON response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    source: Box<str>,
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(Box<str>),
    Item(usize),
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Path, String> {
        let bad = |why: &str| format!("path {text:?} {why}; paths are as $.a.b, $.list[0] or $[\"a-b\"]");
        let mut rest = text.strip_prefix('$').ok_or_else(|| bad("does not begin with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let name = &after[..end];
                if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "*?()@'\"]".contains(c)) {
                    return Err(bad("has a step that is no name"));
                }
                steps.push(Step::Key(name.into()));
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let (step, after) =
                    bracket(after).ok_or_else(|| bad("has neither a number nor a quoted name in brackets"))?;
                steps.push(step);
                rest = after;
            } else {
                return Err(bad("has something between its steps"));
            }
        }
        Ok(Path { source: text.into(), steps: steps.into() })
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The value it leads to.
    pub fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.get(&**key),
            Step::Item(n) => value.get(n),
        })
    }
}

/// What stands in brackets, and what follows them.
fn bracket(text: &str) -> Option<(Step, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let (number, after) = text.split_once(']')?;
        return number
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| number.parse().ok())?
            .map(|n| (Step::Item(n), after));
    };
    let mut name = String::new();
    let mut chars = text[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            c if c == quote => return Some((Step::Key(name.into()), text[at + 2..].strip_prefix(']')?)),
            c => name.push(c),
        }
    }
    None
}
