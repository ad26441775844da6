//! Query parameters: every value checked, every unknown name refused with a suggestion.

use super::Problem;
use crate::domain::time::Time;

/// The parameters of one request.
pub struct Params {
    pairs: Vec<(String, String)>,
}

/// Parameters that any request may carry and nobody reads.
const HARMLESS: &[&str] = &["_", "pretty"];

/// Values of one parameter, at most: a bound on the work of one request.
const MOST: usize = 1000;

impl Params {
    /// Reads a query string; names must be among `known` (`label.` stands for all that begin so).
    pub fn read(query: Option<&str>, known: &[&str]) -> Result<Params, Problem> {
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        if pairs.len() > MOST {
            return Err(Problem::bad("too many parameters", format!("{} are given, {MOST} are read", pairs.len())));
        }
        for (name, _) in &pairs {
            let fits = |k: &&str| match k.strip_suffix('.') {
                Some(_) => name.len() > k.len() && name.starts_with(*k),
                None => *k == name,
            };
            if !known.iter().any(fits) && !HARMLESS.contains(&name.as_str()) {
                let near = known.iter().map(|k| (strsim::jaro_winkler(&name.to_lowercase(), &k.to_lowercase()), k));
                let near = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
                let details = match near {
                    Some((_, k)) => format!("did you mean {k:?}?"),
                    None if known.is_empty() => "this page takes none".to_owned(),
                    None => format!("there are {}", known.join(", ")),
                };
                return Err(Problem::bad(format!("unknown parameter {name:?}"), details));
            }
        }
        Ok(Params { pairs })
    }

    /// The first value of a parameter, under any of its names.
    pub fn one(&self, names: &[&str]) -> Option<(&str, &str)> {
        let (name, value) = self.pairs.iter().find(|(n, v)| names.contains(&n.as_str()) && !v.is_empty())?;
        Some((name, value))
    }

    /// All values of a parameter: it may repeat, and a value may be a list with commas.
    pub fn many(&self, name: &str) -> Vec<String> {
        let values = self.pairs.iter().filter(|(n, _)| n == name).flat_map(|(_, v)| v.split(','));
        values.map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned).take(MOST).collect()
    }

    /// All values of a parameter that may hold commas.
    pub fn whole(&self, name: &str) -> Vec<String> {
        self.pairs.iter().filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone()).collect()
    }

    /// All values of a parameter that is a word of a closed list.
    pub fn words<T: Copy + std::fmt::Display>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        all: &[T],
    ) -> Result<Vec<T>, Problem> {
        let read = |value: &String| {
            parse(value).ok_or_else(|| {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                Problem::parameter(name, format!("{value:?} is not one of {}", all.join(", ")))
            })
        };
        self.many(name).iter().map(read).collect()
    }

    /// Names and values of parameters that begin with a prefix.
    pub fn prefixed<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs.iter().filter_map(move |(n, v)| Some((n.strip_prefix(prefix)?, v.as_str())))
    }

    /// A time.
    pub fn time(&self, name: &str) -> Result<Option<Time>, Problem> {
        let Some((_, value)) = self.one(&[name]) else { return Ok(None) };
        // A plus sign that was not encoded arrives as a space.
        let read = Time::parse(&value.replace(' ', "+"));
        read.map(Some).ok_or_else(|| {
            Problem::parameter(name, format!("{value:?} is neither RFC 3339 (2026-01-02T03:04:05Z) nor Unix seconds"))
        })
    }

    /// How many, 1 to 1000, 50 where it is not given.
    pub fn limit(&self, names: &[&str]) -> Result<usize, Problem> {
        self.number(names, 50, 1000)
    }

    /// A number from 1 to `most`.
    pub fn number(&self, names: &[&str], default: usize, most: usize) -> Result<usize, Problem> {
        let Some((name, value)) = self.one(names) else { return Ok(default) };
        let read = value.parse().ok().filter(|n| (1..=most).contains(n));
        read.ok_or_else(|| Problem::parameter(name, format!("{value:?} is not a number from 1 to {most}")))
    }

    /// Yes or no.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        let Some((name, value)) = self.one(&[name]) else { return Ok(default) };
        value.parse().map_err(|_| Problem::parameter(name, format!("{value:?} is neither true nor false")))
    }

    /// Where a page of a list begins that is counted off: `cursor` is the offset of the next page.
    pub fn start(&self) -> Result<usize, Problem> {
        match self.one(&["cursor"]) {
            None => self.offset(),
            Some((name, text)) => {
                let read = text.parse::<u32>().ok();
                read.map(|n| n as usize).ok_or_else(|| Problem::parameter(name, "is not a nextCursor of a list"))
            }
        }
    }

    /// How many to leave out.
    pub fn offset(&self) -> Result<usize, Problem> {
        let Some((name, value)) = self.one(&["offset"]) else { return Ok(0) };
        let read = value.parse::<u32>().ok();
        read.map(|n| n as usize).ok_or_else(|| Problem::parameter(name, format!("{value:?} is not a number from 0 on")))
    }
}
