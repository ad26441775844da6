//! From requests as written to requests that can be rendered.

use std::sync::Arc;

use super::SecretRef;
use super::curl::{self, Curl};
use super::extract::Path;
use super::payload::{self, Payload, Tree};
use super::place::Lines;
use super::request::{HeaderValue, Request, Sending, has_content_type, secret_of};
use super::url;
use super::words::Word;
use crate::domain::gotemplate::{Format, Kind as Given, Named, Template, Wrong};
use crate::domain::yaml::fields::{Fields, Text, text};
use crate::domain::yaml::problem::{At, Problems};
use crate::domain::yaml::{Kind, Node};

/// What is known of the webhook that a request belongs to.
pub struct Builder<'b> {
    pub lines: &'b Lines<'b>,
    pub problems: &'b mut Problems,
    pub env: &'b [(Arc<str>, SecretRef)],
    /// Why `.callback` is not to be had.
    pub no_callback: Option<&'static str>,
    pub sending: &'b Sending,
    /// Whether requests are curl commands.
    pub is_curl: bool,
    /// Secrets that the request at hand names.
    pub secrets: Vec<SecretRef>,
}

/// Where a text stands: in the YAML value at the first place, there at the second.
#[derive(Clone, Copy)]
struct Spot(At, At);

/// The beginning of a YAML value.
const START: At = At { line: 1, column: 1 };

/// What goes to the pages of a callback.
const PAGES: &[&str] = &["url", "passUrl", "failUrl"];

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

impl Builder<'_> {
    /// Reads one request; what is wrong is noted.
    pub fn request(&mut self, node: &Node, label: Arc<str>) -> Option<Request> {
        self.secrets.clear();
        match (&node.kind, self.is_curl) {
            (Kind::Text(source), true) => self.command(node.at, source, label),
            (_, true) => {
                self.problems.suggest(
                    node.at,
                    format!("request is {}, not a curl command", node.kind_word()),
                    "requests with url and method need apiVersion webhookconfig.keptn.sh/v1beta1",
                );
                None
            }
            (Kind::Text(source), false) if source.trim_start().starts_with("curl") => {
                let message = "request is a curl command, not a mapping";
                self.problems.suggest(
                    node.at,
                    message,
                    "curl commands need apiVersion webhookconfig.keptn.sh/v1alpha1",
                );
                None
            }
            (_, false) => self.structured(node, label),
        }
    }

    fn structured(&mut self, node: &Node, label: Arc<str>) -> Option<Request> {
        let mut f = Fields::of(node, "request", self.problems)?;
        let method = f.require_text("method", self.problems);
        let method = method.and_then(|text| self.method(&text.text, text.at));
        let url = f.require_text("url", self.problems);
        let mut headers = Vec::new();
        for item in f.items("headers") {
            headers.extend(self.key_value(item));
        }
        let payload = f.get("payload");
        let options = f.text("options", self.problems);
        let extract = f.get("extract").map(|n| self.extract(n)).unwrap_or_default();
        f.finish(self.problems);
        let given = options.map(|options| {
            let read =
                curl::options(&options.text).map_err(|wrong| self.note_all(options.at, wrong)).unwrap_or_default();
            (options.at, read)
        });
        let url = url.and_then(|url| self.url(&url.text, Spot(url.at, START)));
        let (at, curl) = given.unwrap_or((node.at, Curl::default()));
        headers.extend(self.curl_headers(at, &curl));
        let sending = self.curl_sending(at, &curl);
        let payload = payload.and_then(|node| self.payload(node, &headers));
        Some(Request {
            label,
            method: method?,
            url: url?,
            headers,
            payload,
            extract,
            sending,
            secrets: std::mem::take(&mut self.secrets),
        })
    }

    fn command(&mut self, at: At, source: &str, label: Arc<str>) -> Option<Request> {
        let curl = curl::command(source).map_err(|wrong| self.note_all(at, wrong)).ok()?;
        let default = match (&curl.data, curl.get, curl.head) {
            (_, _, true) => "HEAD",
            (Some(_), false, _) => "POST",
            _ => "GET",
        };
        let method = match &curl.method {
            Some(word) => self.method(&word.text, self.lines.place(at, word.at)),
            None => Some(default),
        };
        let mut url = curl.url.clone()?;
        let mut headers = self.curl_headers(at, &curl);
        let mut payload = None;
        match &curl.data {
            Some(data) if curl.get || curl.head => {
                url.text.push(if url.text.contains('?') { '&' } else { '?' });
                url.text.push_str(&data.text);
            }
            Some(data) => {
                if curl.json {
                    for name in ["Content-Type", "Accept"] {
                        if !headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                            let value = self.template("application/json", Spot(at, data.at), Format::Text);
                            headers.extend(value.map(|value| (name.into(), HeaderValue::Text(value))));
                        }
                    }
                }
                payload = self.text_payload(&data.text, Spot(at, data.at), &headers);
            }
            None => {}
        }
        let url = self.url(&url.text, Spot(at, url.at));
        let sending = self.curl_sending(at, &curl);
        let (method, url) = (method?, url?);
        let secrets = std::mem::take(&mut self.secrets);
        Some(Request { label, method, url, headers, payload, extract: Vec::new(), sending, secrets })
    }

    fn method(&mut self, word: &str, at: At) -> Option<&'static str> {
        let found = METHODS.iter().find(|method| method.eq_ignore_ascii_case(word)).copied();
        if found.is_none() {
            self.problems.unknown(at, "method", word, METHODS);
        }
        found
    }

    fn url(&mut self, text: &str, spot: Spot) -> Option<Template> {
        let template = self.template(text.trim(), spot, Format::Url)?;
        if let Err(why) = url::check(&template) {
            self.problems.add(self.place(spot, START), format!("url {why}"));
        }
        Some(template)
    }

    fn key_value(&mut self, node: &Node) -> Option<(Arc<str>, HeaderValue)> {
        let mut f = Fields::of(node, "header", self.problems)?;
        let (key, value) = (f.require_text("key", self.problems), f.require_text("value", self.problems));
        f.finish(self.problems);
        let (key, value) = (key?, value?);
        self.header(&key.text, key.at, &value.text, Spot(value.at, START))
    }

    fn header(&mut self, name: &str, at: At, value: &str, spot: Spot) -> Option<(Arc<str>, HeaderValue)> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            let name: String = name.chars().take(40).collect();
            self.problems.add(at, format!("{name:?} is no name of a header"));
            return None;
        }
        if ["host", "content-length", "transfer-encoding", "connection"]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
        {
            self.problems.add(at, format!("header {name} follows from the request and cannot be given"));
            return None;
        }
        let template = self.template(value, spot, Format::Text)?;
        if template.fixed().is_some_and(|fixed| fixed.trim().chars().any(|c| c.is_control() && c != '\t')) {
            self.problems.add(self.place(spot, START), format!("value of header {name} holds a control character"));
        }
        Some((name.into(), HeaderValue::Text(template)))
    }

    fn curl_headers(&mut self, at: At, curl: &Curl) -> Vec<(Arc<str>, HeaderValue)> {
        let mut headers = Vec::new();
        for (name, value) in &curl.headers {
            let place = self.lines.place(at, value.at);
            headers.extend(self.header(name, place, &value.text, Spot(at, value.at)));
        }
        if let Some(user) = &curl.user {
            let template = self.template(&user.text, Spot(at, user.at), Format::Text);
            headers.extend(template.map(|t| ("Authorization".into(), HeaderValue::Basic(t))));
        }
        headers
    }

    fn curl_sending(&mut self, at: At, curl: &Curl) -> Sending {
        let proxy = curl.proxy.as_ref().and_then(|word: &Word| self.proxy(&word.text, Spot(at, word.at)));
        // As many as a browser follows, where nobody says how many.
        let follow = curl.follow.then(|| curl.max_redirs.unwrap_or(10));
        let sending = Sending {
            timeout: curl.max_time,
            retries: curl.retry,
            follow_redirects: follow,
            max_response: curl.max_filesize,
            proxy,
        };
        sending.or(self.sending)
    }

    /// A proxy that the operator names, and not the event.
    fn proxy(&mut self, text: &str, spot: Spot) -> Option<Template> {
        let template = self.template(text.trim(), spot, Format::Url)?;
        if let Err(why) = url::check(&template) {
            self.problems.add(self.place(spot, START), format!("proxy {why}"));
        }
        if !template.is_trusted() {
            let message = "proxy depends on the event; only .env and .secret may stand in it";
            self.problems.add(self.place(spot, START), message);
        }
        Some(template)
    }

    /// The `proxy` of a webhook.
    pub fn webhook_proxy(&mut self, text: &Text) -> Option<Template> {
        self.proxy(&text.text, Spot(text.at, START))
    }

    fn payload(&mut self, node: &Node, headers: &[(Arc<str>, HeaderValue)]) -> Option<Payload> {
        match &node.kind {
            Kind::List(_) | Kind::Map(_) => self.tree(node).map(Payload::Tree),
            _ => {
                let text = text(node, "payload", self.problems)?;
                self.text_payload(&text.text, Spot(text.at, START), headers)
            }
        }
    }

    fn text_payload(&mut self, text: &str, spot: Spot, headers: &[(Arc<str>, HeaderValue)]) -> Option<Payload> {
        let template = self.template(text, spot, Format::Text)?;
        let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let given = given.filter(|_| has_content_type(headers)).map(|(_, value)| value.template().source());
        let format = payload::format(given, &template);
        let payload = Payload::Text(template.with_format(format));
        if let Err(why) = payload.check() {
            self.problems.add(self.place(spot, START), format!("payload: {why}"));
        }
        Some(payload)
    }

    fn tree(&mut self, node: &Node) -> Option<Tree> {
        match &node.kind {
            Kind::Text(text) if text.contains("{{") => {
                self.template(text, Spot(node.at, START), Format::Text).map(Tree::Leaf)
            }
            Kind::List(list) => {
                let trees: Vec<_> = list.iter().map(|item| self.tree(item)).collect();
                trees.into_iter().collect::<Option<_>>().map(Tree::List)
            }
            Kind::Map(map) => {
                let mut pairs = Vec::with_capacity(map.len());
                for (key, value) in map {
                    if key.name.contains("{{") {
                        self.problems.add(key.at, "a key of a payload cannot be a template");
                    }
                    if pairs.iter().any(|(name, _)| *name == key.name) {
                        self.problems.add(key.at, format!("key {:?} stands twice", key.name));
                    }
                    pairs.push((key.name.clone(), self.tree(value)));
                }
                let pairs = pairs.into_iter().map(|(name, tree)| Some((name, tree?)));
                pairs.collect::<Option<_>>().map(Tree::Map)
            }
            _ => Some(Tree::Fixed(node.to_json())),
        }
    }

    fn extract(&mut self, node: &Node) -> Vec<(Arc<str>, Path)> {
        let Kind::Map(entries) = &node.kind else {
            let message = format!("extract is {}, not a mapping of fields to paths", node.kind_word());
            self.problems.add(node.at, message);
            return Vec::new();
        };
        let mut paths: Vec<(Arc<str>, Path)> = Vec::new();
        for (key, value) in entries {
            if key.name.is_empty() || paths.iter().any(|(name, _)| **name == *key.name) {
                self.problems.add(key.at, format!("field {:?} is empty or stands twice", key.name));
            }
            let Some(path) = text(value, "path", self.problems) else { continue };
            match Path::parse(&path.text) {
                Ok(read) => paths.push((key.name.as_str().into(), read)),
                Err(why) => self.problems.add(path.at, why),
            }
        }
        paths
    }

    fn template(&mut self, text: &str, spot: Spot, format: Format) -> Option<Template> {
        match Template::parse(text, format) {
            Ok(template) => {
                template.named().iter().for_each(|named| self.named(named, spot));
                Some(template)
            }
            Err(wrong) => {
                let wrong = Wrong { message: format!("template: {}", wrong.message), ..wrong };
                self.note(spot, wrong);
                None
            }
        }
    }

    /// Whether what a template names is there.
    fn named(&mut self, named: &Named, spot: Spot) {
        let at = self.place(spot, named.at);
        let first = named.path.first().map(|word| &**word).unwrap_or_default();
        match named.kind {
            Given::Env if !self.env.iter().any(|(name, _)| **name == *first) => {
                let known: Vec<&str> = self.env.iter().map(|(name, _)| &**name).collect();
                match known.is_empty() {
                    true => self.problems.add(at, format!("template: {first:?} of .env stands in no envFrom")),
                    false => self.problems.unknown(at, "template: .env name", first, &known),
                }
            }
            Given::Env => {}
            Given::Secret => {
                let secret = secret_of(named, at.line);
                if !named.path.iter().all(|word| is_plain(word)) {
                    self.problems.add(at, "template: name or key of the secret is not one word of a path");
                }
                self.secrets.extend(secret);
            }
            Given::Callback if !PAGES.contains(&first) => {
                self.problems.unknown(at, "template: .callback name", first, PAGES);
            }
            Given::Callback => {
                if let Some(why) = self.no_callback {
                    self.problems.add(at, format!("template: .callback.{first} {why}"));
                }
            }
        }
    }

    fn place(&self, Spot(value, word): Spot, inner: At) -> At {
        let within = match inner.line {
            0 | 1 => At { line: word.line, column: word.column + inner.column.saturating_sub(1) },
            line => At { line: word.line + line - 1, column: inner.column },
        };
        self.lines.place(value, within)
    }

    fn note(&mut self, spot: Spot, wrong: Wrong) {
        let at = self.place(spot, wrong.at);
        match wrong.suggestion {
            Some(suggestion) => self.problems.suggest(at, wrong.message, suggestion),
            None => self.problems.add(at, wrong.message),
        }
    }

    fn note_all(&mut self, at: At, all: Vec<Wrong>) {
        all.into_iter().for_each(|wrong| self.note(Spot(at, START), wrong));
    }
}

/// Whether a name of a secret or its key is one step down a folder.
pub fn is_plain(word: &str) -> bool {
    !word.is_empty() && !matches!(word, "." | "..") && !word.contains(['/', '\\', '\0'])
}
