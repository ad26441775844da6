//! Templates of rules: `{{ … }}` in text.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::engine::{Engine, Failure, cut};
use super::expr::{Expr, Missing, Stop};
use super::path::{Path, View};

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<str>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// No expression at all.
    Fixed,
    /// Expressions of the small language between fixed texts.
    Parts(Box<[Part]>),
    /// For the engine, under its own text.
    Engine,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    Expr(Expr),
}

/// Longest template of a rule.
const LONGEST: usize = 16 << 10;

/// What is wrong with a template: message, suggestion, line within the template.
pub type Wrong = (String, Option<String>, usize);

impl Template {
    /// Compiles a template; what the small language lacks is added to `engine`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(source: &str, engine: &mut Engine) -> Result<Template, Wrong> {
        if source.len() > LONGEST {
            return Err((format!("template of {} bytes is over the limit of {LONGEST}", source.len()), None, 1));
        }
        // One line end is the YAML block's, not the text's.
        let source = source.strip_suffix('\n').unwrap_or(source);
        let source: Arc<str> = source.into();
        if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
            return Ok(Template { source, form: Form::Fixed });
        }
        let form = match parts(&source) {
            Ok(parts) => Form::Parts(parts),
            Err(Stop::Wrong(message, suggestion)) => return Err((message, suggestion, 1)),
            Err(Stop::Other) => {
                engine.add(&source).map_err(|(message, line)| (message, None, line.unwrap_or(1)))?;
                Form::Engine
            }
        };
        Ok(Template { source, form })
    }

    /// The template as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text, where it is the same for every event.
    pub fn fixed(&self) -> Option<&str> {
        matches!(self.form, Form::Fixed).then_some(&*self.source)
    }

    /// The text for an event, cut at `limit` bytes.
    ///
    /// # Errors
    /// A path that leads nowhere and has no default, or what the engine says.
    pub fn render(&self, view: &View<'_>, engine: &Engine, limit: usize) -> Result<String, Failure> {
        match &self.form {
            Form::Fixed => Ok(cut(&self.source, limit).to_owned()),
            Form::Engine => engine.render(&self.source, view, limit),
            Form::Parts(parts) => {
                let missing = |Missing(path)| Failure::Missing(path);
                if let [Part::Expr(only)] = &**parts {
                    let mut text = only.eval(view).map_err(missing)?.into_text().into_owned();
                    text.truncate(text.floor_char_boundary(limit));
                    return Ok(text);
                }
                let mut text = String::with_capacity(self.source.len());
                for part in parts {
                    let room = limit - text.len().min(limit);
                    match part {
                        Part::Text(fixed) => text.push_str(cut(fixed, room)),
                        Part::Expr(expr) => text.push_str(cut(&expr.eval(view).map_err(missing)?.text(), room)),
                    }
                }
                Ok(text)
            }
        }
    }

    /// The paths whose values it writes as they are, or as JSON where they are no text. What the engine runs may count and
    /// join, and is left out.
    pub fn written(&self) -> BTreeSet<Path> {
        let mut paths = BTreeSet::new();
        if let Form::Parts(parts) = &self.form {
            for part in parts {
                if let Part::Expr(expr) = part {
                    expr.paths(&mut |path| {
                        paths.insert(path.clone());
                    });
                }
            }
        }
        paths
    }

    /// The paths it looks at, as written in rules.
    pub fn paths(&self, engine: &Engine) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        match &self.form {
            Form::Fixed => {}
            Form::Engine => paths = engine.paths(&self.source),
            Form::Parts(parts) => {
                for part in parts {
                    if let Part::Expr(expr) = part {
                        expr.paths(&mut |path| {
                            paths.insert(path.to_string());
                        });
                    }
                }
            }
        }
        paths
    }
}

fn parts(source: &str) -> Result<Box<[Part]>, Stop> {
    if source.contains("{%") || source.contains("{#") {
        return Err(Stop::Other);
    }
    let mut parts = Vec::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{{") {
        if !before.is_empty() {
            parts.push(Part::Text(before.into()));
        }
        let (expr, after) = Expr::read(after)?;
        parts.push(Part::Expr(expr));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    Ok(parts.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;

    fn event() -> Event {
        Event::from_json(
            br#"{"specversion":"1.0","id":"1","source":"s","type":"sh.keptn.event.test.finished",
                "data":{"a":"x","e":"","n":null,"num":3,"o":{"k":[1,true]},"list":["p","q"],"get-sli":{"v":"w"},"big":"0123456789"}}"#,
        )
        .unwrap()
    }

    fn render(source: &str) -> Result<String, Failure> {
        let mut engine = Engine::new();
        let template = Template::parse(source, &mut engine).map_err(|w| Failure::Other(format!("parse: {}", w.0)))?;
        template.render(&View::of(&event()), &engine, 1000)
    }

    /// Forces the engine by a comment, so that both ways can be compared.
    fn by_engine(source: &str) -> Result<String, Failure> {
        render(&format!("{source}{{# #}}"))
    }

    #[test]
    fn both_ways_say_the_same() {
        for (source, want) in [
            ("fixed", "fixed"),
            ("a {{ data.a }} b", "a x b"),
            ("{{ data.num }}{{ data.o }}", r#"3{"k":[1,true]}"#),
            ("{{ data.o.k[1] }}", "true"),
            ("{{ data.z.z | default('d') }}", "d"),
            ("{{ data.e | default(\"d\") }}{{ data.n | default('n') }}", "dn"),
            ("{{ data.e }}", ""),
            ("{{ first(data.z, data.e, data.a) }}", "x"),
            ("{{ data.z | default('r ' ~ first(data.q, 'none') ~ '.') }}", "r none."),
            ("{{ keptn.task | pick({'test': 'T', 'b': 'B'}, 'other') }}", "T"),
            ("{{ data.a | pick({'y': 'Y'}, 'other') }}", "other"),
            ("{{ data.z | pick({'y': 'Y'}, 'other') }}", "other"),
            ("{{ data.a | pick({'y': 'Y'}) }}", "x"),
            ("{{ data[\"get-sli\"].v }}", "w"),
            ("{{ data.a | upper | lower }}", "x"),
            ("{{ 'it\\'s' }}", "it's"),
            ("{{ type }}", "sh.keptn.event.test.finished"),
            ("{{ data.a | required }}", "x"),
            ("{{ data.q['b-c'] | default('d') }}{{ data.o['k'][0] }}", "d1"),
            ("{{ first(data.a | unless('x'), data.num | unless('x')) }}", "3"),
            ("{{ '-a-' | trim('-') }}{{ ' b ' | trim }}", "ab"),
        ] {
            assert_eq!(render(source).as_deref(), Ok(want), "{source}");
            assert_eq!(by_engine(source).as_deref(), Ok(want), "{source} by the engine");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (source, path) in [
            ("x {{ data.z }}", "data.z"),
            ("{{ data.n }}", "data.n"),
            ("{{ data.o.p.q }}", "data.o.p.q"),
            ("{{ subject }}", "subject"),
            ("{{ 'a' ~ data.z }}", "data.z"),
            ("{{ data.z | upper }}", "data.z"),
        ] {
            assert_eq!(render(source), Err(Failure::Missing(path.into())), "{source}");
            assert_eq!(by_engine(source), Err(Failure::Missing(path.into())), "{source} by the engine");
        }
        assert_eq!(render("{{ data.e | required }}"), Err(Failure::Missing("data.e".into())));
        assert_eq!(render("{{ first(data.y, data.z) }}"), Err(Failure::Missing("data.y, data.z".into())));
        assert!(matches!(by_engine("{{ first(data.y, data.z) }}"), Err(Failure::Missing(_))));
    }

    #[test]
    fn the_engine_knows_the_rest() {
        for (source, want) in [
            ("{% if data.z %}no{% else %}yes{% endif %}", "yes"),
            ("{{ 'u ' ~ data.url if data.url is defined else 'none' }}", "none"),
            ("{{ data.list | join(', ') }} {{ data.list | length }}", "p, q 2"),
            ("{% for l in data.list %}[{{ l }}]{% endfor %}", "[p][q]"),
            ("{{ data.o | json }} {{ data.a | quote }}", r#"{"k":[1,true]} "x""#),
            ("{{ data.big | truncate(3) }}", "012…"),
            ("{{ data.big | replace('0', 'o') }}", "o123456789"),
            ("{{ data.list | first }}", "p"),
        ] {
            assert_eq!(render(source).as_deref(), Ok(want), "{source}");
        }
    }

    #[test]
    fn growth_is_bounded() {
        assert!(render("{{ 'a' * 1000000000 }}").is_err());
        assert!(
            render("{% for i in range(100000) %}{% for j in range(100000) %}{{ data.a }}{% endfor %}{% endfor %}")
                .is_ok_and(|t| t.len() <= 1000)
        );
        assert!(render("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}").is_err());
        assert!(render("{% set x = 'aaaaaaaa' %}{% for i in range(99) %}{% set x = x ~ x ~ x %}{% endfor %}").is_ok());
        assert!(render(&format!("{{{{ {}data.a{} }}}}", "(".repeat(3000), ")".repeat(3000))).is_err());
        assert!(render(&format!("{{{{ {}data.a{} }}}}", "first(".repeat(2000), ")".repeat(2000))).is_err());
        assert_eq!(render(&"é".repeat(900)).unwrap().len(), 1000);
        assert!(render("{{ data.big").is_err());
        assert!(
            render("{{ data.get-sli }}").is_err_and(|e| matches!(e, Failure::Other(m) if m.contains("subtraction")))
        );
    }
}
