//! `printf` as far as templates of webhooks need it.

use serde_json::{Number, Value};

use super::eval::Eval;
use super::funcs::quote;
use super::value::{Fail, Val, number_text, other};

/// Widest field, and most digits behind the point.
const WIDEST: usize = 1000;

/// A piece of a format.
#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Verb(Verb),
}

#[derive(Debug, Default, PartialEq)]
struct Verb {
    left: bool,
    plus: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

const LETTERS: &str = "vsdqtfFgGeExXc";

fn parts(format: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut chars = format.chars().peekable();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            text.push('%');
            continue;
        }
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '0' | ' ' | '#')) {
            match flag {
                '-' => verb.left = true,
                '+' => verb.plus = true,
                '0' => verb.zeros = true,
                other => return Err(format!("printf: flag {other:?} is not supported")),
            }
        }
        let mut number = || -> Result<Option<usize>, String> {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            match digits.parse() {
                Ok(n) if n <= WIDEST => Ok(Some(n)),
                Err(_) if digits.is_empty() => Ok(None),
                _ => Err(format!("printf: {digits} is over the limit of {WIDEST}")),
            }
        };
        verb.width = number()?.unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let precision = if digits.is_empty() { Some(0) } else { digits.parse().ok().filter(|n| *n <= WIDEST) };
            verb.precision = Some(precision.ok_or_else(|| format!("printf: {digits} is over the limit of {WIDEST}"))?);
        }
        verb.letter = match chars.next() {
            Some(letter) if LETTERS.contains(letter) => letter,
            Some(letter) => return Err(format!("printf: verb {letter:?} is not supported")),
            None => return Err("printf: format ends with %".into()),
        };
        parts.push(Part::Verb(verb));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// Checks a format that is known when the template is compiled.
pub fn check(format: &str, given: usize) -> Result<(), String> {
    let verbs = parts(format)?.iter().filter(|part| matches!(part, Part::Verb(_))).count();
    count(verbs, given)
}

fn count(verbs: usize, given: usize) -> Result<(), String> {
    if verbs == given { Ok(()) } else { Err(format!("printf: the format has {verbs} verbs for {given} values")) }
}

/// `printf`. A format of one verb for a number, a boolean or `%q` gives what JSON can hold as it is.
pub fn format<'v>(args: &[Val<'v>], eval: &Eval<'v>) -> Result<Val<'v>, Fail> {
    let Some((format, args)) = args.split_first() else { return other("printf without a format") };
    let Some(format) = format.as_str() else { return other(format!("printf: the format is {}", format.kind())) };
    let parts = parts(format).map_err(Fail::Other)?;
    let verbs = parts.iter().filter(|part| matches!(part, Part::Verb(_))).count();
    count(verbs, args.len()).map_err(Fail::Other)?;
    let mut made = String::new();
    let mut args = args.iter();
    for part in &parts {
        match (part, part_value(part, &mut args)) {
            (Part::Verb(verb), Some(value)) => made.push_str(&verb.write(value, eval)?),
            (Part::Text(text), _) => made.push_str(text),
            (Part::Verb(_), None) => {}
        }
        eval.fits(made.len())?;
    }
    let alone = matches!(&*parts, [Part::Verb(verb)] if !matches!(verb.letter, 'v' | 's' | 'c' | 'x' | 'X'));
    let is_json = alone && serde_json::from_str::<Value>(&made).is_ok();
    Ok(if is_json { Val::Raw(made.into()) } else { Val::Text(made.into()) })
}

fn part_value<'a, 'v>(part: &Part, args: &mut impl Iterator<Item = &'a Val<'v>>) -> Option<&'a Val<'v>>
where
    'v: 'a,
{
    if matches!(part, Part::Verb(_)) { args.next() } else { None }
}

impl Verb {
    fn write(&self, value: &Val<'_>, eval: &Eval<'_>) -> Result<String, Fail> {
        let number = value.as_number();
        let unfit = || Fail::Other(format!("printf: %{} of {}", self.letter, value.kind()));
        let made = match (self.letter, &number) {
            ('v' | 's', None) => self.cut(&eval.text(value)?),
            ('v' | 's', Some(n)) => self.sign(number_text(n)),
            ('q', _) => quote(&self.cut(value.as_str().ok_or_else(unfit)?)).to_string(),
            ('t', _) => value.as_bool().ok_or_else(unfit)?.to_string(),
            ('c', Some(n)) => {
                let code = n.as_u64().and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32);
                code.ok_or_else(unfit)?.to_string()
            }
            ('d', Some(n)) => self.sign(
                whole(n).ok_or_else(|| Fail::Other("printf: %d of a number with a fraction".into()))?.to_string(),
            ),
            ('x' | 'X', Some(n)) => {
                let n = whole(n).ok_or_else(|| Fail::Other("printf: %x of a number with a fraction".into()))?;
                let (sign, n) = (if n < 0 { "-" } else { "" }, n.unsigned_abs());
                self.sign(if self.letter == 'x' { format!("{sign}{n:x}") } else { format!("{sign}{n:X}") })
            }
            ('f' | 'F' | 'g' | 'G' | 'e' | 'E', Some(n)) => self.sign(self.float(n.as_f64().ok_or_else(unfit)?)),
            _ => return Err(unfit()),
        };
        Ok(self.pad(made, number.is_some()))
    }

    /// Without exponent for `%g`, as everywhere in these templates.
    fn float(&self, n: f64) -> String {
        match (self.letter, self.precision) {
            ('f' | 'F', precision) => format!("{n:.*}", precision.unwrap_or(6)),
            ('e', precision) => exponent(&format!("{n:.*e}", precision.unwrap_or(6)), 'e'),
            ('E', precision) => exponent(&format!("{n:.*e}", precision.unwrap_or(6)), 'E'),
            (_, Some(precision)) => {
                // So many digits that count, in all.
                let rounded = format!("{n:.*e}", precision.saturating_sub(1)).parse::<f64>().unwrap_or(n);
                rounded.to_string()
            }
            (_, None) => n.to_string(),
        }
    }

    fn sign(&self, made: String) -> String {
        if self.plus && !made.starts_with('-') { format!("+{made}") } else { made }
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.to_owned(),
        }
    }

    fn pad(&self, made: String, is_number: bool) -> String {
        let missing = self.width.saturating_sub(made.chars().count());
        match (self.left, self.zeros && is_number) {
            (true, _) => made + &" ".repeat(missing),
            (false, true) => {
                let digits = made.trim_start_matches(['-', '+']);
                let sign = &made[..made.len() - digits.len()];
                format!("{sign}{}{digits}", "0".repeat(missing))
            }
            (false, false) => " ".repeat(missing) + &made,
        }
    }
}

/// `1.5e7` as Go writes it: `1.5e+07`.
fn exponent(made: &str, letter: char) -> String {
    let (digits, power) = made.split_once('e').unwrap_or((made, "0"));
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}{letter}{sign}{power:0>2}")
}

/// The number, where it has no fraction.
fn whole(n: &Number) -> Option<i128> {
    n.as_i128().or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e30).map(|f| f as i128))
}
