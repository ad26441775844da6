//! The part of the template language that nearly all templates need, evaluated straight on the event:
//! paths, quoted texts, `~`, `first(…)` and the filters `default`, `required`, `pick`, `unless`,
//! `trim`, `lower` and `upper`.
//! Whatever else a template holds goes to the engine, which knows these too.

use std::borrow::Cow;

use super::path::{Path, Seen, View};

/// One expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// The value at a path.
    Path(Path),
    /// A quoted text.
    Literal(Box<str>),
    /// `a ~ b`: texts one after the other.
    Concat(Box<[Expr]>),
    /// `first(a, b)`: the first that is there and not empty.
    First(Box<[Expr]>),
    /// `a | default(b)`: `b` where `a` is missing or empty.
    Default(Box<(Expr, Expr)>),
    /// `a | required`: missing and empty are mistakes of the event.
    Required(Box<Expr>),
    /// `a | pick({'x': 'y'}, b)`: the text beside `a`, else `b`, else `a` itself.
    Pick(Box<(Expr, Pairs, Option<Expr>)>),
    /// `a | unless(b)`: missing where `a` is the same text as `b`.
    Unless(Box<(Expr, Expr)>),
    /// `a | lower`.
    Lower(Box<Expr>),
    /// `a | upper`.
    Upper(Box<Expr>),
    /// `a | trim` or `a | trim('-')`: without these characters at both ends.
    Trim(Box<(Expr, Option<Box<str>>)>),
}

/// Words and the texts beside them.
pub type Pairs = Box<[(Box<str>, Box<str>)]>;

/// A value is missing: the path that leads nowhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing(pub String);

impl Expr {
    /// The value of the expression.
    pub fn eval<'v>(&'v self, view: &View<'v>) -> Result<Seen<'v>, Missing> {
        match self {
            Expr::Path(path) => view.get(path).ok_or_else(|| Missing(path.to_string())),
            Expr::Literal(text) => Ok(Seen::Text(Cow::Borrowed(text))),
            Expr::Concat(parts) => {
                let mut text = String::new();
                for part in parts {
                    text.push_str(&part.eval(view)?.text());
                }
                Ok(Seen::Text(Cow::Owned(text)))
            }
            Expr::First(parts) => {
                let mut found = parts.iter().filter_map(|p| p.present(view));
                found.next().ok_or_else(|| Missing(parts.iter().map(Expr::name).collect::<Vec<_>>().join(", ")))
            }
            Expr::Default(both) => both.0.present(view).map_or_else(|| both.1.eval(view), Ok),
            Expr::Required(inner) => match inner.eval(view)? {
                seen if seen.is_empty() => Err(Missing(inner.name())),
                seen => Ok(seen),
            },
            Expr::Pick(all) => {
                let (inner, words, other) = &**all;
                let seen = inner.eval(view);
                let beside = seen.as_ref().ok().and_then(|seen| {
                    let text = seen.text();
                    words.iter().find(|(word, _)| **word == *text).map(|(_, beside)| &**beside)
                });
                match (beside, other) {
                    (Some(text), _) => Ok(Seen::Text(Cow::Borrowed(text))),
                    (None, Some(other)) => other.eval(view),
                    (None, None) => seen,
                }
            }
            Expr::Lower(inner) => Ok(Seen::Text(Cow::Owned(inner.eval(view)?.text().to_lowercase()))),
            Expr::Upper(inner) => Ok(Seen::Text(Cow::Owned(inner.eval(view)?.text().to_uppercase()))),
            Expr::Unless(both) => {
                let seen = both.0.eval(view)?;
                match both.1.eval(view) {
                    Ok(other) if other.text() == seen.text() => Err(Missing(both.0.name())),
                    _ => Ok(seen),
                }
            }
            Expr::Trim(both) => {
                let text = both.0.eval(view)?.into_text();
                let trimmed = match &both.1 {
                    Some(ends) => text.trim_matches(|c| ends.contains(c)),
                    None => text.trim(),
                };
                Ok(Seen::Text(Cow::Owned(trimmed.to_owned())))
            }
        }
    }

    fn present<'v>(&'v self, view: &View<'v>) -> Option<Seen<'v>> {
        let seen = match self {
            // The common case without making words of what is missing.
            Expr::Path(path) => view.get(path),
            other => other.eval(view).ok(),
        };
        seen.filter(|seen| !seen.is_empty())
    }

    fn name(&self) -> String {
        match self {
            Expr::Path(path) => path.to_string(),
            Expr::Literal(text) => format!("{text:?}"),
            Expr::Concat(parts) | Expr::First(parts) => parts.iter().map(Expr::name).collect::<Vec<_>>().join(", "),
            Expr::Default(both) | Expr::Unless(both) => both.0.name(),
            Expr::Pick(all) => all.0.name(),
            Expr::Trim(both) => both.0.name(),
            Expr::Required(inner) | Expr::Lower(inner) | Expr::Upper(inner) => inner.name(),
        }
    }

    /// Calls `each` with every path in the expression.
    pub fn paths(&self, each: &mut impl FnMut(&Path)) {
        match self {
            Expr::Path(path) => each(path),
            Expr::Literal(_) => {}
            Expr::Concat(parts) | Expr::First(parts) => parts.iter().for_each(|p| p.paths(each)),
            Expr::Default(both) | Expr::Unless(both) => {
                both.0.paths(each);
                both.1.paths(each);
            }
            Expr::Pick(all) => {
                all.0.paths(each);
                all.2.iter().for_each(|p| p.paths(each));
            }
            Expr::Trim(both) => both.0.paths(each),
            Expr::Required(inner) | Expr::Lower(inner) | Expr::Upper(inner) => inner.paths(each),
        }
    }

    /// Reads what stands after `{{`; returns what follows the closing braces.
    ///
    /// # Errors
    /// [`Stop::Other`] where the engine has to read it, [`Stop::Wrong`] where nobody can.
    pub fn read(text: &str) -> Result<(Expr, &str), Stop> {
        let mut reader = Reader { rest: text, depth: 0 };
        let expr = reader.concat()?;
        reader.space();
        let rest = reader.rest.strip_prefix("}}").ok_or(Stop::Other)?;
        Ok((expr, rest))
    }
}

/// Why an expression was not read here.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// It is beyond this small language.
    Other,
    /// It is a mistake: message and suggestion.
    Wrong(String, Option<String>),
}

struct Reader<'t> {
    rest: &'t str,
    depth: u32,
}

impl<'t> Reader<'t> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), Stop> {
        if self.take(token) { Ok(()) } else { Err(Stop::Other) }
    }

    fn word(&mut self) -> &'t str {
        self.space();
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn concat(&mut self) -> Result<Expr, Stop> {
        self.depth += 1;
        if self.depth > 16 {
            return Err(Stop::Wrong("expression is nested too deeply".into(), None));
        }
        let mut parts = vec![self.piped()?];
        while self.take("~") {
            parts.push(self.piped()?);
        }
        self.depth -= 1;
        Ok(match parts.len() {
            1 => parts.swap_remove(0),
            _ => Expr::Concat(parts.into()),
        })
    }

    fn piped(&mut self) -> Result<Expr, Stop> {
        let mut expr = self.primary()?;
        while self.take("|") {
            expr = match self.word() {
                "default" | "d" => {
                    self.expect("(")?;
                    let other = self.concat()?;
                    self.expect(")")?;
                    Expr::Default(Box::new((expr, other)))
                }
                "unless" => {
                    self.expect("(")?;
                    let other = self.concat()?;
                    self.expect(")")?;
                    Expr::Unless(Box::new((expr, other)))
                }
                "required" => Expr::Required(Box::new(expr)),
                "trim" => {
                    let ends = if self.take("(") {
                        let ends = self.literal()?;
                        self.expect(")")?;
                        Some(ends)
                    } else {
                        None
                    };
                    Expr::Trim(Box::new((expr, ends)))
                }
                "lower" => Expr::Lower(Box::new(expr)),
                "upper" => Expr::Upper(Box::new(expr)),
                "pick" => {
                    self.expect("(")?;
                    let words = self.words()?;
                    let other = if self.take(",") { Some(self.concat()?) } else { None };
                    self.expect(")")?;
                    Expr::Pick(Box::new((expr, words, other)))
                }
                _ => return Err(Stop::Other),
            };
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, Stop> {
        self.space();
        if self.rest.starts_with(['"', '\'']) {
            return Ok(Expr::Literal(self.literal()?));
        }
        if !self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(Stop::Other);
        }
        let before = self.rest;
        let word = self.word();
        if word == "first" && self.take("(") {
            let mut parts = vec![self.concat()?];
            while self.take(",") {
                parts.push(self.concat()?);
            }
            self.expect(")")?;
            return Ok(Expr::First(parts.into()));
        }
        if matches!(word, "true" | "false" | "none" | "True" | "False" | "None" | "not" | "loop" | "self")
            || self.rest.starts_with('(')
        {
            return Err(Stop::Other);
        }
        let (path, rest) = Path::take(before, false).map_err(|e| match before[word.len()..].starts_with('[') {
            // `data[name]` and slices are for the engine.
            true => Stop::Other,
            false => Stop::Wrong(e, None),
        })?;
        if rest.starts_with('-') && rest[1..].starts_with(|c: char| c.is_alphanumeric()) {
            let wrong = format!("in a template {path}-… is a subtraction");
            return Err(Stop::Wrong(wrong, Some("a name with a hyphen is written data[\"a-b\"]".into())));
        }
        if rest.starts_with(['(', '[', '.']) {
            return Err(Stop::Other);
        }
        self.rest = rest;
        Ok(Expr::Path(path))
    }

    fn literal(&mut self) -> Result<Box<str>, Stop> {
        self.space();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(Stop::Other)?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text.into());
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                    _ => return Err(Stop::Other),
                },
                c => text.push(c),
            }
        }
        Err(Stop::Wrong("a quoted text in the template does not end".into(), None))
    }

    fn words(&mut self) -> Result<Pairs, Stop> {
        self.expect("{")?;
        let mut words = Vec::new();
        while !self.take("}") {
            let word = self.literal()?;
            self.expect(":")?;
            words.push((word, self.literal()?));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(words.into())
    }
}
