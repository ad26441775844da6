//! YAML as a tree that knows where each value stands, so that one pass can report every mistake of a file.
//!
//! Deserialising straight into structs would stop at the first unknown key. All files that a team writes are read through here.

pub mod fields;
pub mod problem;

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Spanned};

use problem::{At, Problems};

/// One value of a YAML file.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: At,
    /// What it is.
    pub kind: Kind,
    /// The byte it begins at, also where an alias stands for it.
    from: Option<usize>,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`; `yes`, `no`, `on` and `off` are words.
    Bool(bool),
    /// A number, and how it is written.
    Number(Number, String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file; keys may stand twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where it stands.
    pub at: At,
    /// The key.
    pub name: String,
}

/// No rule file of a person comes near; a generated one of a thousand rules does not either.
pub const MOST_BYTES: usize = 16 << 20;

/// Reads one YAML document. Notes what is wrong and returns nothing where it is not YAML.
pub fn read(text: &str, problems: &mut Problems) -> Option<Node> {
    if text.len() > MOST_BYTES {
        problems.add(At::default(), format!("file of {} bytes is over the limit of {MOST_BYTES}", text.len()));
        return None;
    }
    if let Some((n, line)) = text.lines().enumerate().find(|(_, l)| l.contains('\0')) {
        let column = line.split('\0').next().unwrap_or_default().chars().count() as u32 + 1;
        problems.add(At { line: n as u32 + 1, column }, "NUL character in the file");
        return None;
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 48, max_documents: 2, max_aliases: 10_000, max_nodes: 2_000_000, max_events: 5_000_000 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000, max_replay_stack_depth: 16, max_alias_expansions_per_anchor: 10_000 },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(mut node) => {
            spell_numbers(&mut node, text);
            Some(node)
        }
        Err(error) => {
            let at = error.location().map(At::from).unwrap_or_default();
            problems.add(at, plain_message(&error));
            None
        }
    }
}

/// The message without the place, which is reported beside it, and as one line.
fn plain_message(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let line = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
    let end = line.rfind(" at line ").unwrap_or(line.len());
    format!("not valid YAML: {}", line[..end].trim_end_matches([':', ',']))
}

impl From<serde_saphyr::Location> for At {
    fn from(at: serde_saphyr::Location) -> At {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        At { line: small(at.line()), column: small(at.column()) }
    }
}

impl Node {
    /// The word for its kind in messages.
    pub fn kind_word(&self) -> &'static str {
        match self.kind {
            Kind::Null => "empty",
            Kind::Bool(_) => "a boolean",
            Kind::Number(..) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// As JSON; of keys that stand twice the last one counts.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n, _) => Value::Number(n.clone()),
            Kind::Text(t) => Value::String(t.clone()),
            Kind::List(list) => list.iter().map(Node::to_json).collect(),
            Kind::Map(map) => {
                Value::Object(map.iter().map(|(k, v)| (k.name.clone(), v.to_json())).collect::<Map<_, _>>())
            }
        }
    }
}

/// `1.10` is the number 1.1 to YAML and a version to people: keeps how it is written.
fn spell_numbers(node: &mut Node, text: &str) {
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match &mut node.kind {
            Kind::Number(n, spelled) => {
                let rest = node.from.and_then(|from| text.get(from..)).unwrap_or_default();
                let word = rest.split([' ', ',', ']', '}', '\t', '\r', '\n']).next().unwrap_or_default();
                let same = word.parse::<f64>().ok() == n.as_f64();
                *spelled = if same { word.to_owned() } else { n.to_string() };
            }
            Kind::List(list) => open.extend(list.iter_mut()),
            Kind::Map(map) => open.extend(map.iter_mut().map(|(_, v)| v)),
            Kind::Null | Kind::Bool(_) | Kind::Text(_) => {}
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Node, D::Error> {
        let Spanned { value, referenced, defined, .. } = Spanned::<Kind>::deserialize(from)?;
        let from = defined.span().byte_offset().and_then(|byte| usize::try_from(byte).ok());
        Ok(Node { at: referenced.into(), kind: value, from })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<String>::deserialize(from)?;
        Ok(Key { at: referenced.into(), name: value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Kind, D::Error> {
        from.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Kind, D::Error> {
        Kind::deserialize(from)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Kind, E> {
        Ok(Kind::Number(v.into(), String::new()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Kind, E> {
        Ok(Kind::Number(v.into(), String::new()))
    }

    fn visit_i128<E>(self, v: i128) -> Result<Kind, E> {
        Ok(Kind::Text(v.to_string()))
    }

    fn visit_u128<E>(self, v: u128) -> Result<Kind, E> {
        Ok(Kind::Text(v.to_string()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Kind, E> {
        Ok(Number::from_f64(v).map_or_else(|| Kind::Text(v.to_string()), |n| Kind::Number(n, String::new())))
    }

    fn visit_str<E>(self, v: &str) -> Result<Kind, E> {
        Ok(Kind::Text(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Kind, E> {
        Ok(Kind::Text(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Kind::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        let mut problems = Problems::of("f.yaml".into());
        read(text, &mut problems);
        problems.into_list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_value_knows_its_place() {
        let text = "a: 1\nb:\n  - x\n  - {c: 1.10, on: yes}\n";
        let mut problems = Problems::of("f".into());
        let node = read(text, &mut problems).unwrap();
        let Kind::Map(map) = &node.kind else { panic!("{node:?}") };
        assert_eq!((map[1].0.at, map[1].0.name.as_str()), (At { line: 2, column: 1 }, "b"));
        let Kind::List(list) = &map[1].1.kind else { panic!("{node:?}") };
        assert_eq!(list[0].at, At { line: 3, column: 5 });
        let Kind::Map(inner) = &list[1].kind else { panic!("{node:?}") };
        assert_eq!(inner[0].1.at, At { line: 4, column: 9 });
        assert!(matches!(&inner[0].1.kind, Kind::Number(_, spelled) if spelled == "1.10"), "{inner:?}");
        assert!(matches!(&inner[1].1.kind, Kind::Text(t) if t == "yes"));
        assert_eq!(inner[1].0.name, "on");
    }

    #[test]
    fn numbers_keep_how_they_are_written() {
        let spelled = |text: &str| {
            let Some(node) = read(text, &mut Problems::of("f".into())) else { panic!("{text}") };
            let Kind::List(list) = node.kind else { panic!("{text}") };
            list.into_iter()
                .map(|n| if let Kind::Number(_, s) = n.kind { s } else { panic!("{text}") })
                .collect::<Vec<_>>()
        };
        assert_eq!(spelled("[1.10,2.0 , 3]"), ["1.10", "2.0", "3"]);
        assert_eq!(spelled("- 1.10\r\n- 2.20\n"), ["1.10", "2.20"]);
        assert_eq!(spelled("[1.10] # \u{e9}"), ["1.10"]);
        assert_eq!(spelled("# \u{e9}\u{1f680}\n[ &a 1.10, *a]"), ["1.10", "1.10"]);
        assert_eq!(spelled("\u{feff}[1.10]"), ["1.10"]);
    }

    #[test]
    fn broken_yaml_is_one_line_with_its_place() {
        let got = problems_of("a: [1, 2\nb: 3\n");
        assert_eq!(got.len(), 1);
        assert!(got[0].starts_with("f.yaml:"), "{got:?}");
        assert!(!got[0].contains('\n'), "{got:?}");
        assert!(!problems_of("a: 1\n---\nb: 2\n").is_empty());
        assert!(problems_of("a: \0")[0].starts_with("f.yaml:1:4: NUL"));
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
        {
            bomb += &format!("{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n");
        }
        assert_eq!(problems_of(&bomb).len(), 1);
        assert_eq!(problems_of("a: &a [*a]\n").len(), 1);
        assert_eq!(problems_of(&"[".repeat(100_000)).len(), 1);
        assert_eq!(problems_of(&"- ".repeat(100_000)).len(), 1);
    }
}
