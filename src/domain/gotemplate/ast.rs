//! A template as a tree.

use serde_json::Value;

use super::funcs::Func;
use crate::domain::yaml::problem::At;

/// What a text was parsed into.
#[derive(Debug)]
pub struct Parsed {
    pub nodes: Box<[Node]>,
    pub named: Box<[Named]>,
}

/// A use of `.env`, `.secret` or `.callback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which of them.
    pub kind: Kind,
    /// What follows: one word, of a secret two.
    pub path: Box<[Box<str>]>,
    /// Where in the text.
    pub at: At,
}

/// The members of the root that are no part of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `.env.<name>`.
    Env,
    /// `.secret.<name>.<key>`.
    Secret,
    /// `.callback.<page>`.
    Callback,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Env, Kind::Secret, Kind::Callback];

    /// The word in a template.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Env => "env",
            Kind::Secret => "secret",
            Kind::Callback => "callback",
        }
    }

    /// How many words follow.
    pub(super) fn words(self) -> usize {
        if self == Kind::Secret { 2 } else { 1 }
    }

    /// Reads the word.
    pub(super) fn of(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One piece of a template.
#[derive(Debug)]
pub enum Node {
    /// Text as it stands.
    Text(Box<str>),
    /// `{{pipeline}}`.
    Print { pipeline: Pipeline, at: At },
    /// `{{$x := pipeline}}` or `{{$x = pipeline}}`.
    Set { slot: usize, pipeline: Pipeline, at: At },
    /// `{{if}}`: the first branch whose condition holds, else the last part.
    If { branches: Box<[Branch]>, otherwise: Box<[Node]> },
    /// `{{with}}`.
    With { branch: Branch, otherwise: Box<[Node]> },
    /// `{{range}}`.
    Range {
        key: Option<usize>,
        value: Option<usize>,
        over: Pipeline,
        body: Box<[Node]>,
        otherwise: Box<[Node]>,
        at: At,
    },
}

/// A condition and what it guards.
#[derive(Debug)]
pub struct Branch {
    /// Where the value of the condition is kept.
    pub slot: Option<usize>,
    pub condition: Pipeline,
    pub body: Box<[Node]>,
    pub at: At,
}

/// Commands, each with the value of the one before as its last argument.
#[derive(Debug)]
pub struct Pipeline {
    pub commands: Box<[Command]>,
    /// Whether nothing of the event is in it, only what the template or the operator says.
    pub trusted: bool,
}

/// One command.
#[derive(Debug)]
pub enum Command {
    Value(Operand),
    Call { func: Func, args: Box<[Operand]> },
}

/// One operand, with the fields that are taken of it.
#[derive(Debug)]
pub struct Operand {
    pub base: Base,
    pub fields: Box<[Box<str>]>,
}

/// Where an operand begins.
#[derive(Debug)]
pub enum Base {
    Dot,
    Root,
    Var {
        slot: usize,
        name: Box<str>,
    },
    Named {
        kind: Kind,
        path: Box<[Box<str>]>,
    },
    Literal(Value),
    Paren(Box<Pipeline>),
    /// A function without arguments where a value is expected.
    Call(Func),
}

/// The fixed text that is written first, without white space before it; of alternatives the first.
pub fn lead(nodes: &[Node]) -> &str {
    for node in nodes {
        let found = match node {
            Node::Set { .. } => "",
            Node::Text(text) => text.trim_start(),
            Node::Print { .. } => return "",
            Node::If { branches, .. } => branches.first().map_or("", |branch| lead(&branch.body)),
            Node::With { branch, .. } => lead(&branch.body),
            Node::Range { body, .. } => lead(body),
        };
        // White space alone and assignments come before the beginning; what a block writes is its own matter.
        if !found.is_empty() || !matches!(node, Node::Set { .. } | Node::Text(_)) {
            return found;
        }
    }
    ""
}

/// Whether every pipeline is without anything of the event.
pub fn is_trusted(nodes: &[Node]) -> bool {
    let branch = |branch: &Branch| branch.condition.trusted && is_trusted(&branch.body);
    nodes.iter().all(|node| match node {
        Node::Text(_) => true,
        Node::Print { pipeline, .. } | Node::Set { pipeline, .. } => pipeline.trusted,
        Node::If { branches, otherwise } => branches.iter().all(branch) && is_trusted(otherwise),
        Node::With { branch: with, otherwise } => branch(with) && is_trusted(otherwise),
        Node::Range { over, body, otherwise, .. } => over.trusted && is_trusted(body) && is_trusted(otherwise),
    })
}

/// Whether any text of the template is such.
pub fn has_text(nodes: &[Node], is: &impl Fn(&str) -> bool) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(text) => is(text),
        Node::Print { .. } | Node::Set { .. } => false,
        Node::If { branches, otherwise } => {
            branches.iter().any(|branch| has_text(&branch.body, is)) || has_text(otherwise, is)
        }
        Node::With { branch, otherwise } => has_text(&branch.body, is) || has_text(otherwise, is),
        Node::Range { body, otherwise, .. } => has_text(body, is) || has_text(otherwise, is),
    })
}
