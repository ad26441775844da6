//! One request: a template, and what comes of it for an event.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::SecretRef;
use super::extract::Path;
use super::payload::Payload;
use super::url;
use crate::domain::gotemplate::{Kind, Named, Template};

/// Most bytes of a URL, a header or a proxy.
const MOST: usize = 16 << 10;

/// A request as its webhook describes it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which it is, in messages.
    pub(super) label: Arc<str>,
    /// The method, in capitals.
    pub method: &'static str,
    pub(super) url: Template,
    pub(super) headers: Vec<(Arc<str>, HeaderValue)>,
    pub(super) payload: Option<Payload>,
    pub(super) extract: Vec<(Arc<str>, Path)>,
    /// How it is sent: as its webhook says, or its own curl options.
    pub sending: Sending,
    pub(super) secrets: Vec<SecretRef>,
}

/// How a request is sent. What is not given is for the configuration to say.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How often it is sent again.
    pub retries: Option<u32>,
    /// How many redirects are followed.
    pub follow_redirects: Option<u32>,
    /// Most bytes of a response.
    pub max_response: Option<u64>,
    /// The proxy it goes through; none means none, whatever the environment says.
    pub proxy: Option<Template>,
}

/// The value of a header.
#[derive(Clone, Debug)]
pub enum HeaderValue {
    /// As it stands.
    Text(Template),
    /// User and password for `Authorization: Basic`.
    Basic(Template),
}

/// A request that can be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The method, in capitals.
    pub method: &'static str,
    /// The URL, `http` or `https`.
    pub url: String,
    /// Names and values, in order; a name may come twice.
    pub headers: Vec<(String, String)>,
    /// The body, where there is one.
    pub body: Option<Vec<u8>>,
    /// The URL of the proxy.
    pub proxy: Option<String>,
}

impl std::fmt::Debug for Prepared {
    /// Without values: there may be secrets in any of them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let body = self.body.as_ref().map(Vec::len);
        f.debug_struct("Prepared").field("method", &self.method).field("headers", &names).field("body", &body).finish()
    }
}

impl Sending {
    /// These, and of the other what these leave open.
    pub(super) fn or(self, other: &Sending) -> Sending {
        Sending {
            timeout: self.timeout.or(other.timeout),
            retries: self.retries.or(other.retries),
            follow_redirects: self.follow_redirects.or(other.follow_redirects),
            max_response: self.max_response.or(other.max_response),
            proxy: self.proxy.or_else(|| other.proxy.clone()),
        }
    }
}

impl Request {
    /// The request for a root: an event with `env`, `secret` and `callback` beside it, see [`super::root`].
    ///
    /// # Errors
    /// Which template of which webhook cannot be rendered and why. Names keys, never values.
    pub fn render(&self, root: &Value) -> Result<Prepared, String> {
        let within = |what: &str, why: &dyn std::fmt::Display| format!("{}: {what}: {why}", self.label);
        let url = self.url.render(root, MOST).map_err(|e| within("url", &e))?;
        url::check_rendered(&url).map_err(|e| format!("{}: url {e}", self.label))?;
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        for (name, value) in &self.headers {
            let what = || format!("header {name}");
            let value = value.render(root).map_err(|e| within(&what(), &e))?;
            headers.push((name.to_string(), value));
        }
        let body = self.payload.as_ref().map(|payload| payload.render(root)).transpose();
        let body = body.map_err(|e| within("payload", &e))?;
        if let Some(payload) = self.payload.as_ref().filter(|_| !has_content_type(&self.headers)) {
            headers.push(("Content-Type".into(), payload.content_type().into()));
        }
        let proxy = self.sending.proxy.as_ref().map(|proxy| proxy.render(root, MOST)).transpose();
        let proxy = proxy.map_err(|e| within("proxy", &e))?;
        if let Some(proxy) = &proxy {
            url::check_rendered(proxy).map_err(|e| format!("{}: proxy {e}", self.label))?;
        }
        Ok(Prepared { method: self.method, url, headers, body, proxy })
    }

    /// The fields that it takes out of a response.
    ///
    /// # Errors
    /// Which path the response lacks.
    pub fn extract(&self, response: &Value) -> Result<Map<String, Value>, String> {
        let found = self.extract.iter().map(|(field, path)| match path.get(response) {
            Some(value) => Ok((field.to_string(), value.clone())),
            None => {
                let path = path.as_str();
                Err(format!("{}: extract {field:?}: the response has no {path}", self.label))
            }
        });
        found.collect()
    }

    /// Whether anything is taken out of a response.
    pub fn has_extract(&self) -> bool {
        !self.extract.is_empty()
    }

    /// What its templates name of `.env`, `.secret` and `.callback`.
    pub fn named(&self) -> impl Iterator<Item = &Named> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.template().named());
        let payload = self.payload.iter().flat_map(Payload::named);
        let proxy = self.sending.proxy.iter().flat_map(Template::named);
        self.url.named().iter().chain(headers).chain(payload).chain(proxy)
    }

    /// The secrets that its templates name by `.secret`.
    pub fn secrets(&self) -> impl Iterator<Item = SecretRef> {
        self.secrets.iter().cloned()
    }
}

impl HeaderValue {
    /// The template in it.
    pub fn template(&self) -> &Template {
        match self {
            HeaderValue::Text(template) | HeaderValue::Basic(template) => template,
        }
    }

    fn render(&self, root: &Value) -> Result<String, String> {
        let text = self.template().render(root, MOST).map_err(|e| e.to_string())?;
        match self {
            HeaderValue::Basic(_) => Ok(format!("Basic {}", STANDARD.encode(text))),
            HeaderValue::Text(_) if text.chars().any(|c| c.is_control() && c != '\t') => {
                Err("the value holds a line break or another control character".into())
            }
            HeaderValue::Text(_) => Ok(text.trim().to_owned()),
        }
    }
}

/// Whether a content type is among the headers.
pub fn has_content_type(headers: &[(Arc<str>, HeaderValue)]) -> bool {
    headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
}

/// Whether a named value is a secret, as one.
pub fn secret_of(named: &Named, line: u32) -> Option<SecretRef> {
    match (named.kind, &*named.path) {
        (Kind::Secret, [name, key]) => Some(SecretRef { name: (**name).into(), key: (**key).into(), line }),
        _ => None,
    }
}
