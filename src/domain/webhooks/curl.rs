//! Reads a curl command, or its options alone, as data. No shell and no curl ever see it.

use std::time::Duration;

use super::words::{Word, split};
use crate::domain::gotemplate::Wrong;
use crate::domain::yaml::problem::{At, did_you_mean};

/// What a command says.
#[derive(Debug, Default)]
pub struct Curl {
    pub url: Option<Word>,
    pub method: Option<Word>,
    pub headers: Vec<(String, Word)>,
    /// All data, joined as curl does.
    pub data: Option<Word>,
    /// The data goes into the query.
    pub get: bool,
    pub head: bool,
    pub json: bool,
    /// User and password.
    pub user: Option<Word>,
    pub proxy: Option<Word>,
    pub follow: bool,
    pub max_redirs: Option<u32>,
    pub max_time: Option<Duration>,
    pub retry: Option<u32>,
    pub max_filesize: Option<u64>,
}

/// What an option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Method,
    Header,
    Data,
    /// Data that has no files.
    RawData,
    Json,
    User,
    Bearer,
    Proxy,
    Follow,
    MaxRedirs,
    MaxTime,
    Retry,
    MaxFilesize,
    Get,
    Head,
    Url,
    Agent,
    Referer,
    Cookie,
    /// Nothing that matters here; with a value or without.
    Nothing,
    NothingValue,
    /// A form of several parts.
    Form,
    Insecure,
    /// Reads or writes files; with a value or without.
    File,
    FileValue,
}

impl Does {
    fn takes_value(self) -> bool {
        !matches!(self, Does::Follow | Does::Get | Does::Head | Does::Nothing | Does::Insecure | Does::File)
    }
}

/// Long name, short name, and what it does.
const OPTIONS: &[(&str, char, Does)] = &[
    ("request", 'X', Does::Method),
    ("header", 'H', Does::Header),
    ("data", 'd', Does::Data),
    ("data-ascii", '\0', Does::Data),
    ("data-binary", '\0', Does::Data),
    ("data-raw", '\0', Does::RawData),
    ("json", '\0', Does::Json),
    ("user", 'u', Does::User),
    ("oauth2-bearer", '\0', Does::Bearer),
    ("proxy", 'x', Does::Proxy),
    ("location", 'L', Does::Follow),
    ("max-redirs", '\0', Does::MaxRedirs),
    ("max-time", 'm', Does::MaxTime),
    ("retry", '\0', Does::Retry),
    ("max-filesize", '\0', Does::MaxFilesize),
    ("get", 'G', Does::Get),
    ("head", 'I', Does::Head),
    ("url", '\0', Does::Url),
    ("user-agent", 'A', Does::Agent),
    ("referer", 'e', Does::Referer),
    ("cookie", 'b', Does::Cookie),
    ("silent", 's', Does::Nothing),
    ("show-error", 'S', Does::Nothing),
    ("fail", 'f', Does::Nothing),
    ("fail-with-body", '\0', Does::Nothing),
    ("fail-early", '\0', Does::Nothing),
    ("verbose", 'v', Does::Nothing),
    ("include", 'i', Does::Nothing),
    ("compressed", '\0', Does::Nothing),
    ("no-progress-meter", '\0', Does::Nothing),
    ("progress-bar", '#', Does::Nothing),
    ("insecure", 'k', Does::Insecure),
    ("proxy-insecure", '\0', Does::Insecure),
    ("remote-name", 'O', Does::File),
    ("remote-header-name", 'J', Does::File),
    ("netrc", 'n', Does::File),
    ("netrc-optional", '\0', Does::File),
    ("output", 'o', Does::FileValue),
    ("output-dir", '\0', Does::FileValue),
    ("form", 'F', Does::Form),
    ("form-string", '\0', Does::Form),
    ("upload-file", 'T', Does::FileValue),
    ("config", 'K', Does::FileValue),
    ("cookie-jar", 'c', Does::FileValue),
    ("dump-header", 'D', Does::FileValue),
    ("write-out", 'w', Does::NothingValue),
    ("cert", 'E', Does::FileValue),
    ("key", '\0', Does::FileValue),
    ("cacert", '\0', Does::FileValue),
    ("capath", '\0', Does::FileValue),
    ("netrc-file", '\0', Does::FileValue),
    ("unix-socket", '\0', Does::FileValue),
    ("trace", '\0', Does::FileValue),
    ("trace-ascii", '\0', Does::FileValue),
    ("stderr", '\0', Does::FileValue),
];

/// Reads a whole command.
///
/// # Errors
/// Every mistake in it.
pub fn command(source: &str) -> Result<Curl, Vec<Wrong>> {
    let words = split(source).map_err(|wrong| vec![wrong])?;
    let Some((first, words)) = words.split_first() else {
        return Err(vec![wrong(At { line: 1, column: 1 }, "request is empty")]);
    };
    let mut reader = Reader::default();
    if first.text != "curl" {
        reader.wrong.push(wrong(first.at, format!("request begins with {:?}, not with curl", shown(&first.text))));
    }
    reader.read(words);
    if reader.curl.url.is_none() {
        reader.wrong.push(wrong(first.at, "curl command has no URL"));
    }
    reader.finish()
}

/// Reads options that go with a request whose URL, method and payload are given elsewhere.
///
/// # Errors
/// Every mistake in them.
pub fn options(source: &str) -> Result<Curl, Vec<Wrong>> {
    let words = split(source).map_err(|wrong| vec![wrong])?;
    let mut reader = Reader { beside_keys: true, ..Reader::default() };
    reader.read(&words);
    let Curl { url, method, data, .. } = &reader.curl;
    for (word, key) in [(url, "url"), (method, "method"), (data, "payload")] {
        if let Some(word) = word {
            reader.wrong.push(wrong(word.at, format!("options give what {key} gives")));
        }
    }
    reader.finish()
}

fn wrong(at: At, message: impl Into<String>) -> Wrong {
    Wrong { at, message: message.into(), suggestion: None }
}

/// A word cut to a readable length.
fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

#[derive(Default)]
struct Reader {
    curl: Curl,
    /// The request has a key for its method.
    beside_keys: bool,
    wrong: Vec<Wrong>,
}

impl Reader {
    fn finish(self) -> Result<Curl, Vec<Wrong>> {
        if self.wrong.is_empty() { Ok(self.curl) } else { Err(self.wrong) }
    }

    fn refuse(&mut self, at: At, message: impl Into<String>) {
        self.wrong.push(wrong(at, message));
    }

    fn read(&mut self, words: &[Word]) {
        let mut words = words.iter();
        let mut options = true;
        while let Some(word) = words.next() {
            match word.text.strip_prefix('-') {
                Some("-") if options => options = false,
                Some(long) if options && long.starts_with('-') => self.long(&long[1..], word, &mut words),
                Some(short) if options && !short.is_empty() => self.short(short, word, &mut words),
                _ => self.url(word.clone()),
            }
        }
    }

    fn long<'w>(&mut self, name: &str, word: &Word, words: &mut impl Iterator<Item = &'w Word>) {
        let Some((_, _, does)) = OPTIONS.iter().find(|option| option.0 == name) else {
            let known: Vec<&str> = OPTIONS.iter().map(|option| option.0).collect();
            let (plain, equals) = name.split_once('=').map_or((name, false), |(plain, _)| (plain, true));
            let suggestion = match equals && known.contains(&plain) {
                true => Some(format!("the value of --{plain} is a word of its own")),
                false => did_you_mean(name, &known),
            };
            let message = format!("curl option {:?} is not read here", shown(&word.text));
            self.wrong.push(Wrong { at: word.at, message, suggestion });
            return;
        };
        let shown = format!("--{name}");
        if does.takes_value() {
            self.valued(*does, &shown, word, words.next().cloned());
        } else {
            self.plain(*does, &shown, word.at);
        }
    }

    /// Short options together; the first that takes a value takes the rest.
    fn short<'w>(&mut self, letters: &str, word: &Word, words: &mut impl Iterator<Item = &'w Word>) {
        for (n, letter) in letters.char_indices() {
            let shown = format!("-{letter}");
            let Some((_, _, does)) = OPTIONS.iter().find(|option| option.1 == letter && letter != '\0') else {
                self.refuse(word.at, format!("curl option {shown:?} is not read here"));
                return;
            };
            if does.takes_value() {
                let rest = &letters[n + letter.len_utf8()..];
                let value =
                    if rest.is_empty() { words.next().cloned() } else { Some(Word { text: rest.into(), at: word.at }) };
                self.valued(*does, &shown, word, value);
                return;
            }
            self.plain(*does, &shown, word.at);
        }
    }

    fn plain(&mut self, does: Does, shown: &str, at: At) {
        match does {
            Does::Follow => self.curl.follow = true,
            Does::Get | Does::Head if self.beside_keys => {
                self.refuse(at, format!("curl option {shown} is refused in options: the key method gives the method"));
            }
            Does::Get => self.curl.get = true,
            Does::Head => self.curl.head = true,
            Does::Insecure => {
                self.refuse(at, format!("curl option {shown} is refused: certificates are always verified"))
            }
            Does::File => self.refuse(at, format!("curl option {shown} is refused: it reads or writes files")),
            _ => {}
        }
    }

    fn valued(&mut self, does: Does, shown: &str, word: &Word, value: Option<Word>) {
        if does == Does::FileValue {
            return self.refuse(word.at, format!("curl option {shown} is refused: it reads or writes files"));
        }
        if does == Does::Form {
            return self.refuse(
                word.at,
                format!("curl option {shown} is refused: it may read files, and forms of parts are not sent"),
            );
        }
        let Some(value) = value else {
            return self.refuse(word.at, format!("curl option {shown} has no value"));
        };
        let is_file = |text: &str| text.starts_with('@');
        if matches!(does, Does::Data | Does::Json | Does::Header | Does::NothingValue) && is_file(&value.text) {
            return self.refuse(value.at, format!("curl option {shown} is refused with `@`: it reads a file"));
        }
        match does {
            Does::Method => self.curl.method = Some(value),
            Does::Header => self.header(value),
            Does::Data | Does::RawData => self.data(value, "&"),
            Does::Json => {
                self.curl.json = true;
                self.data(value, "");
            }
            Does::User => self.curl.user = Some(value),
            Does::Bearer => self.curl.headers.push(("Authorization".into(), before("Bearer ", value))),
            Does::Proxy => {
                let scheme = value.text.contains("://") || value.text.starts_with("{{");
                self.curl.proxy = Some(if scheme { value } else { before("http://", value) });
            }
            Does::MaxRedirs => self.curl.max_redirs = self.number(shown, &value, 20),
            Does::Retry => self.curl.retry = self.number(shown, &value, 20),
            Does::MaxFilesize => match value.text.parse() {
                Ok(size) => self.curl.max_filesize = Some(size),
                Err(_) => self.refuse(value.at, format!("value of curl option {shown} is not a number of bytes")),
            },
            Does::MaxTime => match value.text.parse::<f64>().ok().filter(|s| (0.001..=86_400.0).contains(s)) {
                Some(seconds) => self.curl.max_time = Some(Duration::from_secs_f64(seconds)),
                None => self.refuse(value.at, format!("value of curl option {shown} is not a number of seconds")),
            },
            Does::Url => self.url(value),
            Does::Agent => self.curl.headers.push(("User-Agent".into(), value)),
            Does::Referer => self.curl.headers.push(("Referer".into(), value)),
            Does::Cookie if value.text.contains('=') || value.text.contains("{{") => {
                self.curl.headers.push(("Cookie".into(), value));
            }
            Does::Cookie => {
                self.refuse(value.at, format!("curl option {shown} is refused without `=`: it reads a file"))
            }
            _ => {}
        }
    }

    fn number(&mut self, shown: &str, value: &Word, most: u32) -> Option<u32> {
        let number = value.text.parse().ok().filter(|n| *n <= most);
        if number.is_none() {
            self.refuse(value.at, format!("value of curl option {shown} is not a number up to {most}"));
        }
        number
    }

    fn data(&mut self, value: Word, between: &str) {
        match &mut self.curl.data {
            Some(data) => {
                data.text.push_str(between);
                data.text.push_str(&value.text);
            }
            None => self.curl.data = Some(value),
        }
    }

    fn header(&mut self, value: Word) {
        let Word { text, at } = value;
        match text.split_once(':') {
            // `Name:` takes away a header of curl's own; here there are none.
            Some((_, rest)) if rest.trim().is_empty() => {}
            Some((name, rest)) => {
                let trimmed = rest.trim_start();
                let before = (text.len() - trimmed.len()) as u32;
                let at = At { column: at.column + before, ..at };
                self.curl.headers.push((name.trim().to_owned(), Word { text: trimmed.trim_end().to_owned(), at }));
            }
            None => match text.strip_suffix(';') {
                Some(name) => self.curl.headers.push((name.trim().to_owned(), Word { text: String::new(), at })),
                None => self.refuse(at, format!("header {:?} has no `:`", shown(&text))),
            },
        }
    }

    fn url(&mut self, word: Word) {
        if self.curl.url.is_none() {
            self.curl.url = Some(word);
            return;
        }
        let mut error = wrong(word.at, format!("{:?} is one word too much: a request has one URL", shown(&word.text)));
        if word.text.starts_with(['|', ';', '>', '<', '&']) || word.text.starts_with("$(") || word.text.starts_with('`')
        {
            error.suggestion = Some("there is no shell here".into());
        }
        self.wrong.push(error);
    }
}

fn before(text: &str, word: Word) -> Word {
    Word { text: format!("{text}{}", word.text), ..word }
}
