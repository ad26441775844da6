//! Where the broker is and who we are there, with the NATS command line's contexts.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Error;

/// How to reach the broker. An empty list of URLs means the context's, else `nats://127.0.0.1:4222`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Servers, each `nats://host:port` or `tls://…`, with or without `user:password@`.
    pub urls: Vec<String>,
    /// A credentials file.
    pub creds: Option<PathBuf>,
    /// An nkey seed, or the path of a file that holds one.
    pub nkey: Option<String>,
    /// User name.
    pub user: Option<String>,
    /// Password of `user`.
    pub password: Option<String>,
    /// Token.
    pub token: Option<String>,
    /// Name of a context of the NATS command line; settings given here win over it.
    pub context: Option<String>,
    /// JetStream domain.
    pub domain: Option<String>,
    /// Prefix of the JetStream API, where an account imports it under another name.
    pub api_prefix: Option<String>,
    /// Prefix of reply subjects, where `_INBOX` is not allowed.
    pub inbox_prefix: Option<String>,
    /// TLS.
    pub tls: Tls,
}

/// TLS towards the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates to trust, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Begin with TLS, before the broker's greeting.
    pub first: bool,
}

impl Tls {
    /// The settings as they are, for a message about a handshake that failed.
    pub(super) fn shown(&self) -> String {
        let file = |file: &Option<PathBuf>, none: &str| {
            file.as_ref().map_or_else(|| none.to_owned(), |file| file.display().to_string())
        };
        format!(
            "nats.tls.ca: {}, nats.tls.cert: {}, nats.tls.first: {}",
            file(&self.ca, "the system's"),
            file(&self.cert, "none"),
            self.first
        )
    }
}

impl Settings {
    /// Settings for one URL and nothing else.
    pub fn url(url: impl Into<String>) -> Settings {
        Settings { urls: vec![url.into()], ..Settings::default() }
    }

    /// The URLs without user names and passwords, for messages.
    pub fn shown_urls(&self) -> String {
        self.urls.iter().map(|url| without_secrets(url)).collect::<Vec<_>>().join(", ")
    }

    /// Whether these settings themselves say who we are.
    pub(super) fn has_identity(&self) -> bool {
        self.creds.is_some() || self.nkey.is_some() || self.user.is_some() || self.token.is_some()
    }

    /// Fills gaps from the context, if one is named, and the URL from the default.
    pub(super) fn resolved(&self) -> Result<Settings, Error> {
        let mut settings = self.clone();
        if let Some(name) = self.context.as_deref().filter(|n| !n.is_empty()) {
            let folder = context_folder().ok_or_else(|| {
                Error::Settings(format!("context {name:?}: neither XDG_CONFIG_HOME nor HOME says where contexts are"))
            })?;
            settings.fill(Context::read(&folder, name)?);
        }
        if settings.urls.is_empty() {
            settings.urls.push("nats://127.0.0.1:4222".into());
        }
        Ok(settings)
    }

    /// Takes what is not set from the context. Who we are is taken whole or not at all: a user of ours with a token of
    /// the context's would be nobody.
    fn fill(&mut self, context: Context) {
        if !self.has_identity() {
            self.creds = path(context.creds);
            self.nkey = text(context.nkey);
            self.user = text(context.user);
            self.password = self.password.take().or(text(context.password));
            self.token = text(context.token);
        }
        if self.urls.is_empty() {
            self.urls = context.url.split(',').map(str::trim).filter(|u| !u.is_empty()).map(Into::into).collect();
        }
        let tls = &mut self.tls;
        tls.ca = tls.ca.take().or(path(context.ca));
        if tls.cert.is_none() && tls.key.is_none() {
            tls.cert = path(context.cert);
            tls.key = path(context.key);
        }
        tls.first |= context.tls_first;
        if self.domain.is_none() && self.api_prefix.is_none() {
            self.domain = text(context.jetstream_domain);
            self.api_prefix = text(context.jetstream_api_prefix);
        }
        self.inbox_prefix = self.inbox_prefix.take().or(text(context.inbox_prefix));
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |s: &Option<String>| s.as_ref().map(|_| "…");
        f.debug_struct("Settings")
            .field("urls", &self.shown_urls())
            .field("creds", &self.creds)
            .field("nkey", &hidden(&self.nkey))
            .field("user", &self.user)
            .field("password", &hidden(&self.password))
            .field("token", &hidden(&self.token))
            .field("context", &self.context)
            .field("domain", &self.domain)
            .field("api_prefix", &self.api_prefix)
            .field("inbox_prefix", &self.inbox_prefix)
            .field("tls", &self.tls)
            .finish()
    }
}

/// A URL with `user:password@` taken out.
pub(super) fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    }
}

/// What a context file of the NATS command line holds, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    url: String,
    creds: String,
    nkey: String,
    user: String,
    password: String,
    token: String,
    cert: String,
    key: String,
    ca: String,
    tls_first: bool,
    jetstream_domain: String,
    jetstream_api_prefix: String,
    inbox_prefix: String,
}

impl Context {
    fn read(folder: &Path, name: &str) -> Result<Context, Error> {
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(Error::Settings(format!("context {name:?} is not a name")));
        }
        let file = folder.join(format!("{name}.json"));
        let problem = |what: String| Error::Settings(format!("context {name:?} in {}: {what}", file.display()));
        let bytes = std::fs::read(&file).map_err(|e| problem(e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| problem(e.to_string()))
    }
}

fn context_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(config.join("nats").join("context"))
}

fn text(value: String) -> Option<String> {
    (!value.is_empty()).then_some(value)
}

fn path(value: String) -> Option<PathBuf> {
    text(value).map(|v| at_home(&v))
}

/// `~/x` as the shell reads it.
pub(super) fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_fills_the_gaps_and_never_mixes_identities() {
        let folder = tempfile::tempdir().unwrap();
        let context =
            r#"{"description":"x","url":"nats://a:1, nats://b:2","token":"t","jetstream_domain":"hub","ca":"ca.pem"}"#;
        std::fs::write(folder.path().join("prod.json"), context).unwrap();
        let read = || Context::read(folder.path(), "prod").unwrap();

        let mut settings = Settings::default();
        settings.fill(read());
        assert_eq!(settings.urls, ["nats://a:1", "nats://b:2"]);
        assert_eq!((settings.token.as_deref(), settings.domain.as_deref()), (Some("t"), Some("hub")));

        let mut settings = Settings { user: Some("u".into()), ..Settings::url("nats://mine") };
        settings.fill(read());
        assert_eq!((settings.urls[0].as_str(), settings.token), ("nats://mine", None));
    }

    #[test]
    fn a_missing_or_odd_context_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let say = |name| Context::read(folder.path(), name).unwrap_err().to_string();
        assert!(say("nope").contains("nope.json"));
        assert!(say("../x").contains("not a name"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = Settings { token: Some("s3cret".into()), ..Settings::url("nats://u:p4ss@host:4222") };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("p4ss") && shown.contains("host:4222"), "{shown}");
    }
}
