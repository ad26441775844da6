//! The matcher against one that follows the words of the language and knows no index: written rules on one side, the JSON of
//! an event on the other.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::path::View;
use super::{RuleSet, Verdict};
use crate::domain::event::Event;

/// A rule as somebody would write it.
#[derive(Clone, Debug)]
struct Written {
    on: Vec<&'static str>,
    matches: Match,
    /// None is `ignore`.
    outcomes: Option<Vec<(&'static str, Vec<Match>)>>,
}

/// Conditions by index into [`PATHS`].
type Match = BTreeMap<usize, Wants>;

/// The value of a condition.
#[derive(Clone, Debug)]
enum Wants {
    One(Word),
    AnyOf(Vec<Word>),
    Not(Vec<Word>, Option<bool>),
    Exists(bool),
}

/// A word as it stands in the file.
#[derive(Clone, Copy, Debug)]
enum Word {
    Text(&'static str),
    /// A number, and how JSON writes it.
    Number(&'static str, &'static str),
    Bool(bool),
}

/// A path and where it leads in the JSON of an event.
const PATHS: [(&str, &str); 11] = [
    ("data.p", "/data/p"),
    ("data.q", "/data/q"),
    ("data.p.q", "/data/p/q"),
    ("data.list[0]", "/data/list/0"),
    ("data[\"list\"][2].q", "/data/list/2/q"),
    ("data['a-b']", "/data/a-b"),
    ("data", "/data"),
    ("type", "/type"),
    ("subject", "/subject"),
    ("ext", "/ext"),
    ("ext.q", "/ext/q"),
];

const PATTERNS: [&str; 9] = ["a", "a.b", "a.>", "a.*", "a.*.b", "a.b.>", "b", "b.*", "b.>"];

const WORDS: [Word; 18] = [
    Word::Text("x"),
    Word::Text("xy"),
    Word::Text(""),
    Word::Text("é"),
    Word::Text("1"),
    Word::Text("true"),
    Word::Text("null"),
    Word::Text("[\"x\"]"),
    Word::Text("a.b"),
    Word::Text("x*"),
    Word::Text("?"),
    Word::Text("*y"),
    Word::Text("xy*"),
    Word::Text("{*"),
    Word::Text("*"),
    Word::Number("1", "1"),
    Word::Number("1.10", "1.1"),
    Word::Bool(true),
];

impl Word {
    fn yaml(self) -> String {
        match self {
            Word::Text(text) => json!(text).to_string(),
            Word::Number(written, _) => written.into(),
            Word::Bool(flag) => flag.to_string(),
        }
    }

    fn fits(self, text: &str) -> bool {
        match self {
            Word::Text(word) => glob(&word.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>()),
            Word::Number(written, json) => text == written || text == json,
            Word::Bool(flag) => text == flag.to_string(),
        }
    }
}

impl Wants {
    fn yaml(&self) -> String {
        let list = |words: &[Word]| format!("[{}]", words.iter().map(|w| w.yaml()).collect::<Vec<_>>().join(", "));
        match self {
            Wants::One(word) => word.yaml(),
            Wants::AnyOf(words) => list(words),
            Wants::Not(words, None) => format!("{{not: {}}}", list(words)),
            Wants::Not(words, Some(exists)) => format!("{{not: {}, exists: {exists}}}", list(words)),
            Wants::Exists(want) => format!("{{exists: {want}}}"),
        }
    }

    fn hold(&self, seen: Option<&Value>) -> bool {
        let seen = seen.filter(|v| !v.is_null());
        let any = |words: &[Word]| {
            let text = seen.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
            text.is_some_and(|text| words.iter().any(|w| w.fits(&text)))
        };
        match self {
            Wants::One(word) => any(&[*word]),
            Wants::AnyOf(words) => any(words),
            Wants::Not(words, exists) => !any(words) && exists.is_none_or(|want| seen.is_some() == want),
            Wants::Exists(want) => seen.is_some() == *want,
        }
    }
}

impl Written {
    fn yaml(&self, name: &str) -> String {
        let matches = |m: &Match| {
            // Of two spellings of one path the first would be reported as standing twice.
            let by_path: BTreeMap<&str, &Wants> = m.iter().map(|(n, wants)| (PATHS[*n].0, wants)).collect();
            let lines: Vec<_> =
                by_path.iter().map(|(path, wants)| format!("{}: {}", json!(path), wants.yaml())).collect();
            format!("{{{}}}", lines.join(", "))
        };
        let action = match &self.outcomes {
            None => "ignore: true, reason: r".to_owned(),
            Some(outcomes) => {
                let entry = |m: &Match| format!("{{match: {}}}", matches(m));
                let lists = outcomes.iter().map(|(word, entries)| {
                    format!("{word}: [{}]", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
                });
                format!(
                    "outcome: {{{}}}, issue: {{title: t}}, \
                     scope: {{resourceType: a, resourceName: b, resourceNamespace: c}}",
                    lists.collect::<Vec<_>>().join(", ")
                )
            }
        };
        format!("  - {{name: {name}, on: {}, match: {}, {action}}}\n", json!(self.on), matches(&self.matches))
    }

    fn on_fits(&self, ty: &str) -> bool {
        let ty: Vec<_> = ty.split('.').collect();
        self.on.iter().any(|on| words(&on.split('.').collect::<Vec<_>>(), &ty))
    }

    fn fits(&self, event: &Value) -> bool {
        self.on_fits(event["type"].as_str().unwrap_or_default()) && all_hold(&self.matches, event)
    }

    fn outcome(&self, event: &Value) -> &'static str {
        let Some(outcomes) = &self.outcomes else { return "ignored" };
        let fits = |word: &str| {
            outcomes.iter().any(|(w, entries)| *w == word && entries.iter().any(|entry| all_hold(entry, event)))
        };
        ["neutral", "failure", "warning", "success"].into_iter().find(|word| fits(word)).unwrap_or("neutral")
    }
}

fn all_hold(matches: &Match, event: &Value) -> bool {
    matches.iter().all(|(n, wants)| wants.hold(event.pointer(PATHS[*n].1)))
}

fn glob(glob_left: &[char], text: &[char]) -> bool {
    match glob_left.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|n| glob(rest, &text[n..])),
        Some(('?', rest)) => !text.is_empty() && glob(rest, &text[1..]),
        Some((c, rest)) => text.first() == Some(c) && glob(rest, &text[1..]),
    }
}

fn words(pattern: &[&str], ty: &[&str]) -> bool {
    match (pattern, ty) {
        ([], []) => true,
        ([">"], [_, ..]) => true,
        ([want, pattern @ ..], [word, ty @ ..]) => (*want == "*" || want == word) && words(pattern, ty),
        _ => false,
    }
}

/// Any word; more often one with a plain beginning, by which the index looks rules up.
fn some_word() -> impl Strategy<Value = Word> {
    prop_oneof![
        select(&WORDS[..]),
        select(&[Word::Text("x"), Word::Text("x*"), Word::Text("xy*"), Word::Text("x?z")][..])
    ]
}

fn some_words() -> impl Strategy<Value = Vec<Word>> {
    prop::collection::vec(some_word(), 1..3)
}

/// Any pattern; more often one that many rules share.
fn some_pattern() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a.>"), select(&PATTERNS[..])]
}

fn some_match(most: usize) -> impl Strategy<Value = Match> {
    let wants = prop_oneof![
        3 => some_word().prop_map(Wants::One),
        2 => some_words().prop_map(Wants::AnyOf),
        2 => (some_words(), prop::option::of(any::<bool>())).prop_map(|(words, exists)| Wants::Not(words, exists)),
        1 => any::<bool>().prop_map(Wants::Exists),
    ];
    // The first one is a path that many rules have in common, as the index likes it.
    let path = prop_oneof![2 => Just(0), 1 => 0..PATHS.len()];
    prop::collection::btree_map(path, wants, 0..=most)
}

fn some_rule() -> impl Strategy<Value = Written> {
    let word = select(&["neutral", "failure", "warning", "success"][..]);
    let outcomes = prop::collection::btree_map(word, prop::collection::vec(some_match(2), 1..3), 1..=4);
    (
        prop::collection::vec(some_pattern(), 1..3),
        some_match(2),
        prop::option::of(outcomes.prop_map(|map| map.into_iter().collect())),
    )
        .prop_map(|(on, matches, outcomes)| Written { on, matches, outcomes })
}

fn some_value() -> impl Strategy<Value = Value> {
    const TEXTS: &[&str] = &["", "x", "xy", "xyz", "y", "é", "1", "1.10", "true", "null", "a.b", "x*"];
    prop_oneof![
        6 => select(TEXTS).prop_map(Value::from),
        1 => Just(Value::Null),
        2 => select(vec![json!(1), json!(1.1), json!(true), json!(["x"]), json!({}), json!({"q": null})]),
        2 => select(TEXTS).prop_map(|text| json!({ "q": text })),
    ]
}

fn some_event() -> impl Strategy<Value = Value> {
    let data = prop::collection::btree_map(select(&["p", "q", "a-b"][..]), some_value(), 0..4);
    let list = prop::option::of(prop::collection::vec(some_value(), 0..4));
    let data = prop_oneof![
        9 => (data, list).prop_map(|(data, list)| {
            let mut data = json!(data);
            if let Some(list) = list { data["list"] = json!(list); }
            data
        }),
        1 => some_value(),
    ];
    let ty = "[ab](\\.[ab]){0,3}";
    (ty, prop::option::of(data), prop::option::of("[xy]{1,2}"), prop::option::of(some_value())).prop_map(
        |(ty, data, subject, ext)| {
            let mut event = json!({"specversion": "1.0", "id": "e", "source": "s", "type": ty});
            for (name, value) in [("data", data), ("subject", subject.map(Value::from)), ("ext", ext)] {
                if let Some(value) = value {
                    event[name] = value;
                }
            }
            event
        },
    )
}

/// The rule and the outcome in one word each.
fn said(verdict: &Verdict) -> Option<(String, &'static str)> {
    match verdict {
        Verdict::Signal(signal) => Some((signal.rule.to_string(), signal.outcome.as_str())),
        Verdict::Neutral { rule, .. } => Some((rule.to_string(), "neutral")),
        Verdict::Ignored { rule, .. } => Some((rule.to_string(), "ignored")),
        Verdict::Broken { rule, .. } => Some((rule.to_string(), "broken")),
        Verdict::NoRule => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_first_rule_that_fits_decides_with_its_first_outcome_that_fits(
        rules in prop::collection::vec(some_rule(), 1..60),
        events in prop::collection::vec(some_event(), 20),
    ) {
        let lines: String = rules.iter().enumerate().map(|(n, rule)| rule.yaml(&format!("r{n}"))).collect();
        let text = format!("apiVersion: shipwatch.dev/v1\nkind: RuleSet\nmetadata: {{name: t}}\nrules:\n{lines}");
        let set = RuleSet::compile(&[("t.yaml", &text)]).unwrap();
        for json in events {
            let event = Event::from_value(json.clone()).unwrap();
            let first = rules.iter().position(|rule| rule.fits(&json));
            let want = first.map(|n| (format!("r{n}"), rules[n].outcome(&json)));
            prop_assert_eq!(&said(&set.evaluate(&event)), &want, "{} in\n{}", json, text);
            let told = set.explain(&event).tried.pop().filter(|t| t.fits).map(|t| t.rule);
            prop_assert_eq!(told, want.map(|(rule, _)| rule));
            // What the index offers: all rules of the type for `explain`, and for `evaluate` none too few of those that fit.
            let numbers = |fits: &dyn Fn(&Written) -> bool| {
                (0u32..).zip(&rules).filter(|(_, rule)| fits(rule)).map(|(n, _)| n).collect::<Vec<_>>()
            };
            let of_type = numbers(&|rule| rule.on_fits(&event.ty));
            prop_assert_eq!(set.inner.index.for_type(&event.ty).to_vec(), of_type.clone());
            let offered = set.inner.index.candidates(&View::of(&event));
            prop_assert!(offered.is_sorted() && offered.iter().all(|n| of_type.contains(n)), "{offered:?} {of_type:?}");
            prop_assert!(numbers(&|rule| rule.fits(&json)).iter().all(|n| offered.contains(n)), "{json} in\n{text}");
        }
    }
}
