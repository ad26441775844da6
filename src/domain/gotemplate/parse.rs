//! From the words of actions to a tree.

use std::iter::Peekable;
use std::vec::IntoIter;

use serde_json::Value;

use super::Wrong;
use super::ast::{Base, Branch, Command, Kind, Named, Node, Operand, Parsed, Pipeline};
use super::funcs::{self, Func};
use super::lex::{Piece, Token, Word, pieces, wrong};
use super::printf;
use crate::domain::yaml::problem::{At, did_you_mean};

/// Blocks in blocks.
const MOST_BLOCKS: usize = 32;
/// Parentheses in parentheses.
const MOST_PARENS: usize = 32;

/// Parses a text.
pub fn parse(source: &str) -> Result<Parsed, Wrong> {
    let pieces = pieces(source)?.into_iter().peekable();
    let mut parser = Parser { pieces, vars: Vec::new(), named: Vec::new(), moved: 0, blocks: 0 };
    let (nodes, end) = parser.nodes()?;
    match end {
        Stop::Text => Ok(Parsed { nodes, named: parser.named.into() }),
        Stop::End(at) => Err(wrong(at, "end without if, range or with")),
        Stop::Else(at, _) => Err(wrong(at, "else without if, range or with")),
    }
}

/// What a list of nodes ends with.
enum Stop {
    Text,
    End(At),
    /// With the words behind it.
    Else(At, Words),
}

struct Parser {
    pieces: Peekable<IntoIter<Piece>>,
    vars: Vec<Box<str>>,
    named: Vec<Named>,
    /// How many blocks around have a dot of their own.
    moved: usize,
    blocks: usize,
}

/// The words of one action.
struct Words {
    tokens: Peekable<IntoIter<Token>>,
    /// Where the action begins.
    at: At,
    parens: usize,
}

impl Words {
    fn peek(&mut self) -> Option<&Word> {
        self.tokens.peek().map(|token| &token.word)
    }

    fn place(&mut self) -> At {
        self.tokens.peek().map_or(self.at, |token| token.at)
    }

    fn is_name(&mut self, name: &str) -> bool {
        matches!(self.peek(), Some(Word::Name(word)) if &**word == name)
    }
}

impl Parser {
    fn nodes(&mut self) -> Result<(Box<[Node]>, Stop), Wrong> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (tokens, at) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action { tokens, at } => (tokens, at),
            };
            let mut words = Words { tokens: tokens.into_iter().peekable(), at, parens: 0 };
            let Some(first) = words.peek() else { return Err(wrong(at, "action is empty")) };
            let keyword = if let Word::Name(name) = first { name.to_string() } else { String::new() };
            match keyword.as_str() {
                "if" | "with" | "range" | "else" | "end" => {
                    words.tokens.next();
                }
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(wrong(at, format!("{keyword} is not supported")));
                }
                _ => {}
            }
            match keyword.as_str() {
                "end" => {
                    finish(&mut words)?;
                    return Ok((nodes.into(), Stop::End(at)));
                }
                "else" => return Ok((nodes.into(), Stop::Else(at, words))),
                "if" => nodes.push(self.block(at, |p| p.if_(words, at))?),
                "with" => nodes.push(self.block(at, |p| p.with(words, at))?),
                "range" => nodes.push(self.block(at, |p| p.range(words, at))?),
                _ => nodes.push(self.action(words, at)?),
            }
        }
        Ok((nodes.into(), Stop::Text))
    }

    /// Variables of a block end with it.
    fn block(&mut self, at: At, read: impl FnOnce(&mut Parser) -> Result<Node, Wrong>) -> Result<Node, Wrong> {
        self.blocks += 1;
        if self.blocks > MOST_BLOCKS {
            return Err(wrong(at, format!("more than {MOST_BLOCKS} blocks in one another")));
        }
        let vars = self.vars.len();
        let node = read(self);
        self.vars.truncate(vars);
        self.blocks -= 1;
        node
    }

    /// What a block holds.
    fn body(&mut self, moves: bool) -> Result<(Box<[Node]>, Stop), Wrong> {
        let vars = self.vars.len();
        self.moved += usize::from(moves);
        let body = self.nodes();
        self.moved -= usize::from(moves);
        self.vars.truncate(vars);
        body
    }

    fn if_(&mut self, mut words: Words, at: At) -> Result<Node, Wrong> {
        let mut branches = Vec::new();
        let mut place = at;
        loop {
            let (slot, condition) = self.condition(&mut words, "if")?;
            let (body, end) = self.body(false)?;
            branches.push(Branch { slot, condition, body, at: place });
            match end {
                Stop::End(_) => return Ok(Node::If { branches: branches.into(), otherwise: Box::default() }),
                Stop::Text => return Err(wrong(at, "if is not closed by end")),
                Stop::Else(next, mut rest) => {
                    if rest.is_name("if") {
                        rest.tokens.next();
                        (words, place) = (rest, next);
                        continue;
                    }
                    let otherwise = self.otherwise(rest, "if", at)?;
                    return Ok(Node::If { branches: branches.into(), otherwise });
                }
            }
        }
    }

    fn with(&mut self, mut words: Words, at: At) -> Result<Node, Wrong> {
        let (slot, condition) = self.condition(&mut words, "with")?;
        let (body, end) = self.body(true)?;
        let otherwise = self.after(end, "with", at)?;
        Ok(Node::With { branch: Branch { slot, condition, body, at }, otherwise })
    }

    fn range(&mut self, mut words: Words, at: At) -> Result<Node, Wrong> {
        let names = self.declared(&mut words, "range")?;
        let over = self.pipeline(&mut words)?;
        finish(&mut words)?;
        let mut slots = names.into_iter().map(|name| self.declare(name));
        let (first, second) = (slots.next(), slots.next());
        // One variable alone is the value.
        let (key, value) = if second.is_some() { (first, second) } else { (None, first) };
        let (body, end) = self.body(true)?;
        let otherwise = self.after(end, "range", at)?;
        Ok(Node::Range { key, value, over, body, otherwise, at })
    }

    /// The part behind the first one, where there is one.
    fn after(&mut self, end: Stop, what: &str, at: At) -> Result<Box<[Node]>, Wrong> {
        match end {
            Stop::End(_) => Ok(Box::default()),
            Stop::Text => Err(wrong(at, format!("{what} is not closed by end"))),
            Stop::Else(_, rest) => self.otherwise(rest, what, at),
        }
    }

    fn otherwise(&mut self, mut words: Words, what: &str, at: At) -> Result<Box<[Node]>, Wrong> {
        finish(&mut words)?;
        match self.body(false)? {
            (body, Stop::End(_)) => Ok(body),
            (_, Stop::Text) => Err(wrong(at, format!("{what} is not closed by end"))),
            (_, Stop::Else(at, _)) => Err(wrong(at, "a second else")),
        }
    }

    /// A pipeline that may be given a name.
    fn condition(&mut self, words: &mut Words, what: &str) -> Result<(Option<usize>, Pipeline), Wrong> {
        let names = self.declared(words, what)?;
        if names.len() > 1 {
            return Err(wrong(words.at, format!("{what} declares one variable, not two")));
        }
        let condition = self.pipeline(words)?;
        finish(words)?;
        Ok((names.into_iter().next().map(|name| self.declare(name)), condition))
    }

    fn action(&mut self, mut words: Words, at: At) -> Result<Node, Wrong> {
        let mut ahead = words.tokens.clone();
        let first = ahead.next().map(|token| token.word);
        let node = match (first, ahead.next().map(|token| token.word)) {
            (Some(Word::Var(name)), Some(word @ (Word::Declare | Word::Assign))) if !name.is_empty() => {
                words.tokens.nth(1);
                let pipeline = self.pipeline(&mut words)?;
                let slot = if word == Word::Declare { self.declare(name) } else { self.slot(&name, at)? };
                Node::Set { slot, pipeline, at }
            }
            _ => Node::Print { pipeline: self.pipeline(&mut words)?, at },
        };
        finish(&mut words)?;
        Ok(node)
    }

    /// `$x :=` or `$i, $x :=` at the beginning of an action.
    fn declared(&mut self, words: &mut Words, what: &str) -> Result<Vec<Box<str>>, Wrong> {
        let mut ahead = words.tokens.clone();
        let mut names = Vec::new();
        let mut taken = 0;
        while let (Some(Token { word: Word::Var(name), .. }), Some(next)) = (ahead.next(), ahead.next()) {
            taken += 2;
            names.push(name);
            match next.word {
                Word::Comma => {}
                Word::Declare if names.len() <= 2 && names.iter().all(|name| !name.is_empty()) => {
                    words.tokens.nth(taken - 1);
                    return Ok(names);
                }
                Word::Declare => return Err(wrong(next.at, format!("{what} cannot declare these variables"))),
                _ => break,
            }
        }
        Ok(Vec::new())
    }

    fn declare(&mut self, name: Box<str>) -> usize {
        self.vars.push(name);
        self.vars.len() - 1
    }

    fn slot(&self, name: &str, at: At) -> Result<usize, Wrong> {
        self.vars
            .iter()
            .rposition(|var| &**var == name)
            .ok_or_else(|| wrong(at, format!("variable ${name} is not declared")))
    }

    fn pipeline(&mut self, words: &mut Words) -> Result<Pipeline, Wrong> {
        let mut commands = Vec::new();
        let mut trusted = true;
        loop {
            let at = words.place();
            commands.push(self.command(words, commands.is_empty(), &mut trusted, at)?);
            match words.peek() {
                Some(Word::Pipe) => {
                    words.tokens.next();
                }
                _ => return Ok(Pipeline { commands: commands.into(), trusted }),
            }
        }
    }

    fn command(&mut self, words: &mut Words, first: bool, trusted: &mut bool, at: At) -> Result<Command, Wrong> {
        let Some(Word::Name(name)) = words.peek() else {
            let operand = self.operand(words, trusted)?;
            if !first {
                return Err(wrong(at, "what stands behind `|` is not a function"));
            }
            return match words.peek() {
                None | Some(Word::Pipe | Word::Close) => Ok(Command::Value(operand)),
                _ => Err(wrong(words.place(), "a value is followed by another, and is not a function")),
            };
        };
        let func = function(name, at)?;
        words.tokens.next();
        let mut args = Vec::new();
        while !matches!(words.peek(), None | Some(Word::Pipe | Word::Close)) {
            let place = words.place();
            if words.tokens.peek().is_some_and(|token| !token.spaced) {
                return Err(wrong(place, "a space is missing before this"));
            }
            args.push(self.operand(words, trusted)?);
        }
        funcs::check_count(func, args.len() + usize::from(!first)).map_err(|message| wrong(at, message))?;
        if func == Func::Printf
            && let Some(Operand { base: Base::Literal(Value::String(format)), .. }) = args.first()
        {
            let given = args.len() - 1 + usize::from(!first);
            printf::check(format, given).map_err(|message| wrong(at, message))?;
        }
        if func == Func::Index
            && let Some(operand) = self.index_of_named(&args)
        {
            return if first { Ok(Command::Value(operand)) } else { Err(wrong(at, "this value takes no argument")) };
        }
        if let Some(Operand { base: Base::Named { kind, .. }, .. }) =
            args.iter().find(|arg| matches!(&arg.base, Base::Named { kind, path } if path.len() < kind.words()))
        {
            return Err(whole(*kind, at));
        }
        Ok(Command::Call { func, args: args.into() })
    }

    /// `index .secret "tracker" "api-token"` is `.secret.tracker.api-token`.
    fn index_of_named(&mut self, args: &[Operand]) -> Option<Operand> {
        let (Operand { base: Base::Named { kind, path }, fields }, keys) = args.split_first()? else { return None };
        if !fields.is_empty() || path.len() + keys.len() != kind.words() {
            return None;
        }
        let mut path = path.to_vec();
        for key in keys {
            let Operand { base: Base::Literal(Value::String(key)), fields } = key else { return None };
            path.push(key.as_str().into());
            if !fields.is_empty() {
                return None;
            }
        }
        let path: Box<[Box<str>]> = path.into();
        // The first mention was noted without its keys.
        let noted = self.named.iter_mut().rev().find(|named| named.kind == *kind && named.path.len() < kind.words())?;
        noted.path = path.clone();
        Some(Operand { base: Base::Named { kind: *kind, path }, fields: Box::default() })
    }

    fn operand(&mut self, words: &mut Words, trusted: &mut bool) -> Result<Operand, Wrong> {
        let at = words.place();
        let Some(Token { word, .. }) = words.tokens.next() else { return Err(wrong(at, "a value is missing")) };
        let mut base = match word {
            Word::Dot => Base::Dot,
            Word::Field(name) => {
                let mut fields = vec![name];
                fields.extend(attached(words));
                return self.rooted(Base::Dot, self.moved == 0, fields, words, at, trusted);
            }
            Word::Var(name) if name.is_empty() => {
                let fields = attached(words);
                return self.rooted(Base::Root, true, fields, words, at, trusted);
            }
            Word::Var(name) => Base::Var { slot: self.slot(&name, at)?, name },
            Word::Literal(value) => Base::Literal(value),
            Word::Open => {
                words.parens += 1;
                if words.parens > MOST_PARENS {
                    return Err(wrong(at, format!("more than {MOST_PARENS} parentheses in one another")));
                }
                let inner = self.pipeline(words)?;
                if words.tokens.next().is_none_or(|token| token.word != Word::Close) {
                    return Err(wrong(at, "parenthesis is not closed"));
                }
                words.parens -= 1;
                *trusted &= inner.trusted;
                Base::Paren(Box::new(inner))
            }
            Word::Name(name) => {
                let func = function(&name, at)?;
                funcs::check_count(func, 0)
                    .map_err(|_| wrong(at, format!("{name} with its arguments needs parentheses here")))?;
                Base::Call(func)
            }
            Word::Close => return Err(wrong(at, "`)` without `(`")),
            Word::Pipe => return Err(wrong(at, "a value is missing before `|`")),
            Word::Comma | Word::Declare | Word::Assign => return Err(wrong(at, "this cannot stand here")),
        };
        *trusted &= matches!(base, Base::Literal(_) | Base::Paren(_));
        let fields = attached(words);
        if let (Base::Literal(_), [field, ..]) = (&base, &*fields) {
            return Err(wrong(at, format!("a constant has no member .{field}")));
        }
        spaced(words)?;
        // Parentheses around nothing but a value change nothing.
        if let Base::Paren(inner) = &mut base
            && let [Command::Value(Operand { base: Base::Named { kind, path }, .. })] = &*inner.commands
            && path.len() < kind.words()
        {
            return Err(whole(*kind, at));
        }
        Ok(Operand { base, fields: fields.into() })
    }

    /// An operand that begins at the dot or the root, which may be one of those known at load.
    fn rooted(
        &mut self,
        base: Base,
        is_root: bool,
        fields: Vec<Box<str>>,
        words: &mut Words,
        at: At,
        trusted: &mut bool,
    ) -> Result<Operand, Wrong> {
        spaced(words)?;
        let kind = fields.first().filter(|_| is_root).and_then(|word| Kind::of(word));
        let Some(kind) = kind else {
            *trusted = false;
            return Ok(Operand { base, fields: fields.into() });
        };
        let given = fields.len() - 1;
        if given > kind.words() {
            return Err(wrong(at, format!("{} is text and has no member .{}", shape(kind), fields[given])));
        }
        let indexed = !matches!(words.peek(), None | Some(Word::Pipe | Word::Close));
        if given < kind.words() && !indexed {
            return Err(whole(kind, at));
        }
        let path: Box<[Box<str>]> = fields[1..].into();
        self.named.push(Named { kind, path: path.clone(), at });
        Ok(Operand { base: Base::Named { kind, path }, fields: Box::default() })
    }
}

/// How a value known at load is written.
fn shape(kind: Kind) -> &'static str {
    match kind {
        Kind::Env => ".env.<name>",
        Kind::Secret => ".secret.<name>.<key>",
        Kind::Callback => ".callback.<page>",
    }
}

fn whole(kind: Kind, at: At) -> Wrong {
    let suggestion = format!("write {}, or index with constant names", shape(kind));
    Wrong { at, message: format!(".{} is not a value as a whole", kind.word()), suggestion: Some(suggestion) }
}

fn function(name: &str, at: At) -> Result<Func, Wrong> {
    funcs::of(name).ok_or_else(|| {
        let suggestion = did_you_mean(name, &funcs::names());
        Wrong { at, message: format!("function {name:?} is unknown"), suggestion }
    })
}

/// The fields that follow without a space.
fn attached(words: &mut Words) -> Vec<Box<str>> {
    let mut fields = Vec::new();
    while let Some(Token { word: Word::Field(name), .. }) =
        words.tokens.next_if(|token| !token.spaced && matches!(token.word, Word::Field(_)))
    {
        fields.push(name);
    }
    fields
}

/// Between two values stands a space.
fn spaced(words: &mut Words) -> Result<(), Wrong> {
    match words.tokens.peek() {
        Some(token) if !token.spaced && !matches!(token.word, Word::Pipe | Word::Close | Word::Comma) => {
            Err(wrong(token.at, "a space is missing before this"))
        }
        _ => Ok(()),
    }
}

/// Nothing may be left of an action.
fn finish(words: &mut Words) -> Result<(), Wrong> {
    let at = words.place();
    match words.peek() {
        None => Ok(()),
        Some(Word::Close) => Err(wrong(at, "`)` without `(`")),
        Some(Word::Declare) => Err(wrong(at, "`:=` stands behind something that is not a new variable")),
        Some(_) => Err(wrong(at, "this is too much")),
    }
}
