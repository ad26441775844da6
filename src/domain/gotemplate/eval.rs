//! Runs a template. Every step and every byte made counts against a budget.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Failure;
use super::ast::{Base, Branch, Command, Kind, Node, Operand, Pipeline};
use super::funcs::{self, Func};
use super::out::Out;
use super::value::{Fail, Val, number_text, other};

/// Steps of one rendering: an operand, a call, a turn of a loop, or so many bytes made.
const BUDGET: usize = 1_000_000;
const BYTES_OF_STEP: usize = 64;

/// One rendering.
pub struct Eval<'v> {
    root: &'v Value,
    dot: Val<'v>,
    vars: Vec<Val<'v>>,
    left: Cell<usize>,
    limit: usize,
}

impl<'v> Eval<'v> {
    pub fn new(root: &'v Value, limit: usize) -> Eval<'v> {
        Eval { root, dot: Val::Json(root), vars: Vec::new(), left: Cell::new(BUDGET), limit }
    }

    /// Writes what the nodes give.
    pub fn run(&mut self, nodes: &'v [Node], out: &mut Out) -> Result<(), Failure> {
        for node in nodes {
            match node {
                Node::Text(text) => {
                    out.fixed(text).map_err(|message| Failure { line: 0, message })?;
                    self.spend(1 + text.len() / BYTES_OF_STEP).map_err(|fail| fail.at(Default::default()))?;
                }
                Node::Print { pipeline, at } => {
                    let value = self.pipeline(pipeline).and_then(|value| out.value(&value, pipeline.trusted, self));
                    value.map_err(|fail| fail.at(*at))?;
                }
                Node::Set { slot, pipeline, at } => {
                    let value = self.pipeline(pipeline).map_err(|fail| fail.at(*at))?;
                    self.set(*slot, value);
                }
                Node::If { branches, otherwise } => {
                    let mut chosen = &**otherwise;
                    for branch in branches {
                        if self.condition(branch)?.truth() {
                            chosen = &branch.body;
                            break;
                        }
                    }
                    self.run(chosen, out)?;
                }
                Node::With { branch, otherwise } => {
                    let value = self.condition(branch)?;
                    if value.truth() {
                        self.with_dot(value, &branch.body, out)?;
                    } else {
                        self.run(otherwise, out)?;
                    }
                }
                Node::Range { key, value, over, body, otherwise, at } => {
                    let list = self.pipeline(over).and_then(|v| self.items(v)).map_err(|fail| fail.at(*at))?;
                    if list.is_empty() {
                        self.run(otherwise, out)?;
                    }
                    for (name, item) in list {
                        self.spend(1).map_err(|fail| fail.at(*at))?;
                        if let Some(slot) = key {
                            self.set(*slot, name);
                        }
                        if let Some(slot) = value {
                            self.set(*slot, item.clone());
                        }
                        self.with_dot(item, body, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn with_dot(&mut self, dot: Val<'v>, body: &'v [Node], out: &mut Out) -> Result<(), Failure> {
        let outer = std::mem::replace(&mut self.dot, dot);
        let done = self.run(body, out);
        self.dot = outer;
        done
    }

    fn condition(&mut self, branch: &'v Branch) -> Result<Val<'v>, Failure> {
        let value = self.pipeline(&branch.condition).map_err(|fail| fail.at(branch.at))?;
        if let Some(slot) = branch.slot {
            self.set(slot, value.clone());
        }
        Ok(value)
    }

    fn set(&mut self, slot: usize, value: Val<'v>) {
        if self.vars.len() <= slot {
            self.vars.resize(slot + 1, Val::Bool(false));
        }
        self.vars[slot] = value;
    }

    /// What `range` goes over, with the key of each.
    fn items(&self, value: Val<'v>) -> Result<Vec<(Val<'v>, Val<'v>)>, Fail> {
        match value {
            Val::Json(Value::Array(list)) => {
                self.spend(list.len() / BYTES_OF_STEP)?;
                Ok(list.iter().enumerate().map(|(n, item)| (Val::Count(n as u64), Val::Json(item))).collect())
            }
            Val::Json(json @ Value::Object(map)) => {
                self.spend(map.len() / BYTES_OF_STEP)?;
                let shown: BTreeMap<&str, &Value> = self.shown(json, map).collect();
                Ok(shown.into_iter().map(|(key, value)| (Val::Text(key.into()), Val::Json(value))).collect())
            }
            Val::Json(Value::Null) | Val::Absent(_) => Ok(Vec::new()),
            value => other(format!("range over {}", value.kind())),
        }
    }

    /// The value of a pipeline.
    pub fn pipeline(&mut self, pipeline: &'v Pipeline) -> Result<Val<'v>, Fail> {
        let mut value: Option<Val<'v>> = None;
        let mut missing: Option<String> = None;
        for command in &pipeline.commands {
            let rescues = matches!(command, Command::Call { func: Func::Default, .. });
            match missing.take() {
                // What is missing is an error unless a `default` follows.
                Some(which) if rescues => value = Some(Val::Absent(which.into())),
                Some(which) => {
                    missing = Some(which);
                    continue;
                }
                None => {}
            }
            match self.command(command, value.take()) {
                Ok(made) => value = Some(made),
                Err(Fail::Missing(which)) => missing = Some(which),
                Err(fail) => return Err(fail),
            }
        }
        match (missing, value) {
            (Some(which), _) => Err(Fail::Missing(which)),
            (None, Some(value)) => Ok(value),
            (None, None) => other("nothing"),
        }
    }

    fn command(&mut self, command: &'v Command, last: Option<Val<'v>>) -> Result<Val<'v>, Fail> {
        let (func, args) = match command {
            Command::Value(operand) => return self.operand(operand),
            Command::Call { func, args } => (*func, args),
        };
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in args {
            let value = match self.operand(arg) {
                Err(Fail::Missing(which)) if func == Func::Default => Val::Absent(which.into()),
                value => value?,
            };
            // The rest is not looked at.
            let decided = (func == Func::And && !value.truth()) || (func == Func::Or && value.truth());
            if decided {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(last);
        let made = funcs::call(func, &values, self)?;
        if let Some(text) = made.as_str().filter(|_| !matches!(made, Val::Json(_))) {
            self.fits(text.len())?;
            self.spend(text.len() / BYTES_OF_STEP)?;
        }
        Ok(made)
    }

    fn operand(&mut self, operand: &'v Operand) -> Result<Val<'v>, Fail> {
        self.spend(1)?;
        let (mut value, mut path) = match &operand.base {
            Base::Dot => (self.dot.clone(), String::new()),
            Base::Root => (Val::Json(self.root), "$".to_owned()),
            Base::Var { slot, name } => (self.vars.get(*slot).cloned().unwrap_or(Val::Bool(false)), format!("${name}")),
            Base::Literal(literal) => return Ok(Val::Json(literal)),
            Base::Named { kind, path } => return self.named(*kind, path),
            Base::Paren(inner) => (self.pipeline(inner)?, "(…)".to_owned()),
            Base::Call(func) => return funcs::call(*func, &[], self),
        };
        for name in &operand.fields {
            value = match &value {
                Val::Json(json @ Value::Object(_)) => match self.member(json, name) {
                    Some(found) => Val::Json(found),
                    None => return Err(Fail::Missing(format!("{path}.{name} is missing"))),
                },
                Val::Absent(which) => return Err(Fail::Missing(which.to_string())),
                value => {
                    let of = if path.is_empty() { "." } else { &path };
                    return Err(Fail::Missing(format!("{path}.{name} is missing: {of} is {}", value.kind())));
                }
            };
            path.push('.');
            path.push_str(name);
        }
        Ok(value)
    }

    /// A value that the operator gives.
    fn named(&self, kind: Kind, path: &[Box<str>]) -> Result<Val<'v>, Fail> {
        let mut value = self.root.get(kind.word());
        for word in path {
            value = value.and_then(|v| v.get(&**word));
        }
        let missing = || Fail::Missing(format!(".{}.{} is missing", kind.word(), path.join(".")));
        match value.ok_or_else(missing)? {
            // As text that was made, and not as a value of the event, which messages may show.
            Value::String(text) => Ok(Val::Text(text.as_str().into())),
            other => Ok(Val::Json(other)),
        }
    }

    /// Whether it is the root itself.
    pub fn is_root(&self, value: &Value) -> bool {
        std::ptr::eq(value, self.root)
    }

    /// How many members of an object nobody sees.
    pub fn hidden_in(&self, value: &Value) -> usize {
        let hidden = |kind: &Kind| value.get(kind.word()).is_some();
        if self.is_root(value) { Kind::ALL.iter().filter(|kind| hidden(kind)).count() } else { 0 }
    }

    /// A member of an object.
    pub fn member(&self, value: &'v Value, name: &str) -> Option<&'v Value> {
        if self.is_root(value) && Kind::of(name).is_some() { None } else { value.get(name) }
    }

    fn shown(&self, value: &Value, map: &'v Map<String, Value>) -> impl Iterator<Item = (&'v str, &'v Value)> {
        let root = self.is_root(value);
        map.iter().map(|(k, v)| (k.as_str(), v)).filter(move |(name, _)| !root || Kind::of(name).is_none())
    }

    /// A value as text.
    pub fn text<'t>(&self, value: &'t Val<'_>) -> Result<Cow<'t, str>, Fail> {
        if let Some(text) = value.as_str() {
            return Ok(Cow::Borrowed(text));
        }
        match (value.as_number(), value) {
            (Some(n), _) => Ok(Cow::Owned(number_text(&n))),
            (None, value) => self.json(value).map(Cow::Owned),
        }
    }

    /// A value as JSON.
    pub fn json(&self, value: &Val<'_>) -> Result<String, Fail> {
        let made = match value {
            Val::Json(json @ Value::Object(map)) if self.is_root(json) => to_json(&Event(map)),
            Val::Json(Value::Number(n)) => number_text(n),
            Val::Json(json) => to_json(json),
            Val::Bool(b) => b.to_string(),
            Val::Count(n) => n.to_string(),
            Val::Text(text) | Val::Url(text) | Val::Js { escaped: text, .. } => funcs::quote(text).to_string(),
            Val::Raw(text) => text.to_string(),
            Val::Absent(which) => return Err(Fail::Missing(which.to_string())),
        };
        self.spend(made.len() / BYTES_OF_STEP)?;
        Ok(made)
    }

    /// Whether so many bytes are within the limit.
    pub fn fits(&self, bytes: usize) -> Result<(), Fail> {
        if bytes > self.limit { other(over(self.limit)) } else { Ok(()) }
    }

    fn spend(&self, steps: usize) -> Result<(), Fail> {
        match self.left.get().checked_sub(steps) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => other("template takes too many steps"),
        }
    }
}

/// In words, that an output is too long.
pub fn over(limit: usize) -> String {
    format!("output is over the limit of {limit} bytes")
}

fn to_json(value: &impl Serialize) -> String {
    // A `Value` always has JSON.
    serde_json::to_string(value).unwrap_or_default()
}

/// The root without what is no part of the event.
struct Event<'m>(&'m Map<String, Value>);

impl Serialize for Event<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().filter(|(name, _)| Kind::of(name).is_none()))
    }
}
