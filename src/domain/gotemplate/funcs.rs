//! The functions.

use std::cmp::Ordering;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::eval::Eval;
use super::printf;
use super::value::{Fail, Val, other};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Func {
    And,
    Or,
    Not,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Len,
    Index,
    Printf,
    Print,
    Println,
    Js,
    Html,
    UrlQuery,
    Json,
    Default,
}

/// Name, function, and how many arguments it takes.
const ALL: &[(&str, Func, usize, usize)] = &[
    ("and", Func::And, 1, usize::MAX),
    ("or", Func::Or, 1, usize::MAX),
    ("not", Func::Not, 1, 1),
    ("eq", Func::Eq, 2, usize::MAX),
    ("ne", Func::Ne, 2, 2),
    ("lt", Func::Lt, 2, 2),
    ("le", Func::Le, 2, 2),
    ("gt", Func::Gt, 2, 2),
    ("ge", Func::Ge, 2, 2),
    ("len", Func::Len, 1, 1),
    ("index", Func::Index, 1, usize::MAX),
    ("printf", Func::Printf, 1, usize::MAX),
    ("print", Func::Print, 0, usize::MAX),
    ("println", Func::Println, 0, usize::MAX),
    ("js", Func::Js, 1, usize::MAX),
    ("html", Func::Html, 1, usize::MAX),
    ("urlquery", Func::UrlQuery, 1, usize::MAX),
    ("json", Func::Json, 1, 1),
    ("default", Func::Default, 2, 2),
];

/// The function of that name.
pub fn of(name: &str) -> Option<Func> {
    ALL.iter().find(|f| f.0 == name).map(|f| f.1)
}

/// All names.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|f| f.0).collect()
}

/// Whether a function takes so many arguments.
pub fn check_count(func: Func, given: usize) -> Result<(), String> {
    let Some((name, _, least, most)) = ALL.iter().find(|f| f.1 == func) else { return Ok(()) };
    if (*least..=*most).contains(&given) {
        return Ok(());
    }
    let wants = match (*least, *most) {
        (a, b) if a == b => format!("{a}"),
        (a, _) => format!("at least {a}"),
    };
    Err(format!("{name} takes {wants} argument{}, not {given}", if *least == 1 { "" } else { "s" }))
}

/// Calls a function whose arguments are all known; `and`, `or` and `default` look at theirs one by one in [`Eval`].
pub fn call<'v>(func: Func, args: &[Val<'v>], eval: &Eval<'v>) -> Result<Val<'v>, Fail> {
    let text = |made: String| Val::Text(made.into());
    let first = args.first();
    match func {
        Func::And => Ok(decided(args, false)),
        Func::Or => Ok(decided(args, true)),
        Func::Not => Ok(Val::Bool(!first.is_some_and(Val::truth))),
        Func::Eq => match args {
            [a, rest @ ..] => {
                for b in rest {
                    if a.equals(b).ok_or_else(|| incomparable(a, b))? {
                        return Ok(Val::Bool(true));
                    }
                }
                Ok(Val::Bool(false))
            }
            [] => Ok(Val::Bool(false)),
        },
        Func::Ne => match args {
            [a, b] => Ok(Val::Bool(!a.equals(b).ok_or_else(|| incomparable(a, b))?)),
            _ => Ok(Val::Bool(false)),
        },
        Func::Lt => compare(args, Ordering::is_lt),
        Func::Le => compare(args, Ordering::is_le),
        Func::Gt => compare(args, Ordering::is_gt),
        Func::Ge => compare(args, Ordering::is_ge),
        Func::Len => first.map_or_else(|| other("len of nothing"), |value| len(value, eval)),
        Func::Index => index(args, eval),
        Func::Printf => printf::format(args, eval),
        Func::Print => Ok(text(print(args, eval)?)),
        Func::Println => {
            let words: Result<Vec<_>, _> = args.iter().map(|arg| eval.text(arg)).collect();
            Ok(text(words?.join(" ") + "\n"))
        }
        Func::Js => {
            let plain = print(args, eval)?;
            Ok(Val::Js { escaped: js(&plain).into(), plain: plain.into() })
        }
        Func::Html => Ok(text(html(&print(args, eval)?))),
        Func::UrlQuery => {
            let made = utf8_percent_encode(&print(args, eval)?, UNRESERVED).to_string();
            // Go writes a space as a plus.
            Ok(Val::Url(made.replace("%20", "+").into()))
        }
        Func::Json => first.map_or_else(|| other("json of nothing"), |value| Ok(Val::Raw(eval.json(value)?.into()))),
        Func::Default => match args {
            [instead, value] => Ok(if value.is_nothing() { instead.clone() } else { value.clone() }),
            _ => other("default takes 2 arguments"),
        },
    }
}

/// All that a URL takes as it is.
pub const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The first value whose truth decides, else the last.
fn decided<'v>(args: &[Val<'v>], by: bool) -> Val<'v> {
    let found = args.iter().find(|arg| arg.truth() == by).or(args.last());
    found.cloned().unwrap_or(Val::Bool(false))
}

fn incomparable(a: &Val<'_>, b: &Val<'_>) -> Fail {
    Fail::Other(format!("{} and {} cannot be compared", a.kind(), b.kind()))
}

fn compare<'v>(args: &[Val<'v>], holds: fn(Ordering) -> bool) -> Result<Val<'v>, Fail> {
    let [a, b] = args else { return other("two values are compared") };
    match a.order(b) {
        Some(order) => Ok(Val::Bool(holds(order))),
        None => Err(incomparable(a, b)),
    }
}

fn len<'v>(value: &Val<'v>, eval: &Eval<'v>) -> Result<Val<'v>, Fail> {
    let length = match value {
        Val::Json(Value::Array(list)) => list.len(),
        Val::Json(json @ Value::Object(map)) => map.len() - eval.hidden_in(json),
        other_value => match other_value.as_str() {
            Some(text) => text.len(),
            None => return other(format!("{} has no length", value.kind())),
        },
    };
    Ok(Val::Count(length as u64))
}

fn index<'v>(args: &[Val<'v>], eval: &Eval<'v>) -> Result<Val<'v>, Fail> {
    let Some((base, keys)) = args.split_first() else { return other("index of nothing") };
    let mut at = base.clone();
    for key in keys {
        at = match (&at, key.as_str(), key.as_number()) {
            (Val::Json(json @ Value::Object(_)), Some(name), _) => match eval.member(json, name) {
                Some(value) => Val::Json(value),
                // A key that was made may hold a secret.
                None if matches!(key, Val::Json(_)) => Val::Absent(format!("index: no key {name:?}").into()),
                None => Val::Absent("index: no such key".into()),
            },
            (Val::Json(Value::Array(list)), _, Some(n)) => {
                let found = n.as_u64().and_then(|n| usize::try_from(n).ok()).and_then(|n| list.get(n));
                let missing = || Fail::Missing(format!("index: no item {n}, the list has {}", list.len()));
                Val::Json(found.ok_or_else(missing)?)
            }
            (Val::Absent(which), _, _) => return Err(Fail::Missing(which.to_string())),
            (Val::Json(Value::Null), _, _) => return Err(Fail::Missing("index of null".into())),
            (Val::Json(Value::Array(_)), _, _) => {
                return other(format!("a list is indexed by a number, not {}", key.kind()));
            }
            (Val::Json(Value::Object(_)), _, _) => {
                return other(format!("an object is indexed by a string, not {}", key.kind()));
            }
            (value, _, _) => return Err(Fail::Missing(format!("index of {}", value.kind()))),
        };
    }
    Ok(at)
}

/// As Go prints several values: with a space between two that are both no text.
pub fn print(args: &[Val<'_>], eval: &Eval<'_>) -> Result<String, Fail> {
    let mut made = String::new();
    let mut text_before = true;
    for arg in args {
        let is_text = arg.as_str().is_some();
        if !text_before && !is_text {
            made.push(' ');
        }
        text_before = is_text;
        made.push_str(&eval.text(arg)?);
        eval.fits(made.len())?;
    }
    Ok(made)
}

/// As Go's `JSEscapeString`.
fn js(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                made.push('\\');
                made.push(c);
            }
            '<' | '>' | '&' | '=' => made.push_str(&format!("\\u{:04X}", c as u32)),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                made.push_str(&format!("\\u{:04X}", c as u32));
            }
            c => made.push(c),
        }
    }
    made
}

/// As Go's `HTMLEscapeString`.
fn html(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => made.push_str("&#34;"),
            '\'' => made.push_str("&#39;"),
            '&' => made.push_str("&amp;"),
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '\0' => made.push('\u{FFFD}'),
            c => made.push(c),
        }
    }
    made
}

/// JSON text of a text.
pub fn quote(text: &str) -> Arc<str> {
    Value::from(text).to_string().into()
}
