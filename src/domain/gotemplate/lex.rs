//! Text into fixed pieces and the words of actions.

use serde_json::{Number, Value};

use super::Wrong;
use crate::domain::yaml::problem::At;

/// A piece of the text.
#[derive(Debug)]
pub enum Piece {
    Text(Box<str>),
    Action { tokens: Vec<Token>, at: At },
}

/// A word of an action.
#[derive(Clone, Debug)]
pub struct Token {
    pub word: Word,
    pub at: At,
    /// Whether white space stands before it.
    pub spaced: bool,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    Name(Box<str>),
    /// `.name`
    Field(Box<str>),
    Dot,
    /// Without the `$`; empty for the root.
    Var(Box<str>),
    Literal(Value),
    Open,
    Close,
    Pipe,
    Comma,
    Declare,
    Assign,
}

/// Splits a text.
pub fn pieces(source: &str) -> Result<Vec<Piece>, Wrong> {
    let places = Places::of(source);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let open = source[at..].find("{{").map(|n| at + n);
        let mut text = &source[at..open.unwrap_or(source.len())];
        let mut inner = open.map_or(source.len(), |open| open + 2);
        let trim = open.is_some() && is_marker(source[inner..].chars());
        if trim_next {
            text = text.trim_start_matches(is_space);
        }
        if trim {
            text = text.trim_end_matches(is_space);
            inner += 1;
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.into()));
        }
        let Some(open) = open else { return Ok(pieces) };
        let place = places.at(open);
        let body = source[inner..].trim_start_matches(is_space);
        if let Some(comment) = body.strip_prefix("/*") {
            let unclosed = || wrong(place, "comment is not closed by */ and }}");
            let end = comment.find("*/").ok_or_else(unclosed)?;
            let rest = &comment[end + 2..];
            let closed = rest.trim_start_matches(is_space);
            trim_next = closed.starts_with("-}}") && closed.len() < rest.len();
            let rest = if trim_next { &closed[1..] } else { closed };
            let rest = rest.strip_prefix("}}").ok_or_else(unclosed)?;
            at = source.len() - rest.len();
            continue;
        }
        let mut lexer = Lexer { source, at: inner, places: &places, tokens: Vec::new() };
        trim_next = lexer.run(place)?;
        at = lexer.at;
        pieces.push(Piece::Action { tokens: lexer.tokens, at: place });
    }
}

/// A hyphen with white space behind it.
fn is_marker(mut text: impl Iterator<Item = char>) -> bool {
    text.next() == Some('-') && text.next().is_some_and(is_space)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

pub fn wrong(at: At, message: impl Into<String>) -> Wrong {
    Wrong { at, message: message.into(), suggestion: None }
}

/// Where lines begin.
struct Places<'s> {
    source: &'s str,
    lines: Vec<usize>,
}

impl<'s> Places<'s> {
    fn of(source: &'s str) -> Places<'s> {
        let lines = std::iter::once(0).chain(source.match_indices('\n').map(|(n, _)| n + 1)).collect();
        Places { source, lines }
    }

    fn at(&self, byte: usize) -> At {
        let line = self.lines.partition_point(|start| *start <= byte);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.source[start..byte].chars().count() + 1;
        At { line: line as u32, column: column as u32 }
    }
}

struct Lexer<'s, 'p> {
    source: &'s str,
    at: usize,
    places: &'p Places<'s>,
    tokens: Vec<Token>,
}

impl Lexer<'_, '_> {
    /// Reads one action to its end; says whether the text behind it is to be trimmed.
    fn run(&mut self, open: At) -> Result<bool, Wrong> {
        loop {
            let rest = &self.source[self.at..];
            let trimmed = rest.trim_start_matches(is_space);
            let spaced = trimmed.len() < rest.len();
            self.at += rest.len() - trimmed.len();
            if trimmed.is_empty() {
                return Err(wrong(open, "action is not closed by }}"));
            }
            if spaced && trimmed.starts_with("-}}") {
                self.at += 3;
                return Ok(true);
            }
            if trimmed.starts_with("}}") {
                self.at += 2;
                return Ok(false);
            }
            let place = self.places.at(self.at);
            let (word, length) = self.word(trimmed, place)?;
            self.at += length;
            self.tokens.push(Token { word, at: place, spaced });
        }
    }

    /// The next word and how many bytes it takes.
    fn word(&self, text: &str, at: At) -> Result<(Word, usize), Wrong> {
        let mut chars = text.chars();
        let first = chars.next().unwrap_or_default();
        let second = chars.next();
        let run = |from: usize| from + text[from..].find(|c| !is_word(c)).unwrap_or(text.len() - from);
        let one = |word| Ok((word, 1));
        match first {
            '(' => one(Word::Open),
            ')' => one(Word::Close),
            '|' => one(Word::Pipe),
            ',' => one(Word::Comma),
            ':' if second == Some('=') => Ok((Word::Declare, 2)),
            '=' => one(Word::Assign),
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => number(text, at),
            '.' => match run(1) {
                1 => one(Word::Dot),
                end => Ok((Word::Field(text[1..end].into()), end)),
            },
            '$' => {
                let end = run(1);
                Ok((Word::Var(text[1..end].into()), end))
            }
            '"' => quoted(text, at),
            '`' => {
                let end = text[1..].find('`').ok_or_else(|| wrong(at, "text is not closed by `"))?;
                Ok((Word::Literal(Value::from(&text[1..=end])), end + 2))
            }
            '+' | '-' if second.is_some_and(|c| c.is_ascii_digit() || c == '.') => number(text, at),
            '-' => {
                let mut error = wrong(at, "`-` is no part of a name here");
                error.suggestion =
                    Some("a key with a hyphen is read by index, as in {{index .data \"get-sli\"}}".into());
                Err(error)
            }
            c if c.is_ascii_digit() => number(text, at),
            c if is_word(c) => {
                let end = run(0);
                let word = match &text[..end] {
                    "true" => Word::Literal(Value::Bool(true)),
                    "false" => Word::Literal(Value::Bool(false)),
                    "nil" => Word::Literal(Value::Null),
                    name => Word::Name(name.into()),
                };
                Ok((word, end))
            }
            c => Err(wrong(at, format!("{c:?} cannot stand in an action"))),
        }
    }
}

fn number(text: &str, at: At) -> Result<(Word, usize), Wrong> {
    let part = |(n, c): (usize, char)| {
        let sign = matches!(c, '+' | '-') && (n == 0 || text[..n].ends_with(['e', 'E']));
        !(sign || c == '.' || is_word(c))
    };
    let end = text.char_indices().find(|c| part(*c)).map_or(text.len(), |(n, _)| n);
    let word = text[..end].trim_start_matches('+');
    let number = match word.parse::<i64>() {
        Ok(n) => Some(Number::from(n)),
        Err(_) => word.parse::<f64>().ok().and_then(Number::from_f64),
    };
    let number = number.ok_or_else(|| wrong(at, format!("{word:?} is not a number")))?;
    Ok((Word::Literal(Value::Number(number)), end))
}

/// Text in quotes, with the escapes of Go.
fn quoted(text: &str, at: At) -> Result<(Word, usize), Wrong> {
    let mut made = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((n, c)) = chars.next() {
        match c {
            '"' => return Ok((Word::Literal(Value::String(made)), n + 1)),
            '\n' => break,
            '\\' => {
                let Some((_, escape)) = chars.next() else { break };
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                if digits > 0 {
                    let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
                    let bad = || wrong(at, format!("escape {:?} is no character", format!("{escape}{hex}")));
                    made.push(code.and_then(char::from_u32).ok_or_else(bad)?);
                    continue;
                }
                made.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '\\' | '"' | '\'' => escape,
                    other => return Err(wrong(at, format!("escape {other:?} is unknown"))),
                });
            }
            c => made.push(c),
        }
    }
    Err(wrong(at, "text is not closed by \""))
}
