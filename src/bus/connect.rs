//! Connecting, with whatever a site's NATS asks for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{ConnectErrorKind, ConnectOptions, Event};

use super::Error;
use crate::backoff::Backoff;

/// Where the broker is and how to be let in. Empty strings mean "not given".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `nats://host:port`, one or more.
    pub urls: Vec<String>,
    /// Credentials file (JWT and seed).
    pub creds: Option<PathBuf>,
    /// Seed of an nkey, or the path of a file that holds it.
    pub nkey: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Option<String>,
    /// Token.
    pub token: Option<String>,
    /// Name of a context of the NATS command line.
    pub context: Option<String>,
    /// JetStream domain.
    pub domain: Option<String>,
    /// JetStream API prefix.
    pub api_prefix: Option<String>,
    /// TLS.
    pub tls: Tls,
}

/// TLS to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authority.
    pub ca: Option<PathBuf>,
    /// Client certificate.
    pub cert: Option<PathBuf>,
    /// Key of the client certificate.
    pub key: Option<PathBuf>,
    /// Begin with TLS, before the server has said anything.
    pub first: bool,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(super) client: async_nats::Client,
    pub(super) jetstream: jetstream::Context,
}

impl Bus {
    /// Version of the server.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Publishes without JetStream; nobody says whether anything was listening.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn publish_core(&self, subject: &str, body: bytes::Bytes) -> Result<(), Error> {
        let failed = |e: &dyn std::fmt::Display| Error::JetStream(e.to_string());
        self.client.publish(subject.to_owned(), body).await.map_err(|e| failed(&e))?;
        self.client.flush().await.map_err(|e| failed(&e))
    }

    /// Waits until what was sent has left.
    pub async fn flush(&self) {
        let _ = self.client.flush().await;
    }
}

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects. With `wait`, an unreachable broker is waited for (one log line per outage); wrong credentials are final
/// either way.
///
/// # Errors
/// In plain words.
pub async fn connect(settings: &Settings, name: &str, wait: bool) -> Result<Bus, Error> {
    let settings = with_context(settings)?;
    let urls = if settings.urls.is_empty() { vec!["nats://127.0.0.1:4222".to_owned()] } else { settings.urls.clone() };
    let addresses: Vec<async_nats::ServerAddr> = urls
        .iter()
        .map(|url| url.parse().map_err(|e| Error::Refused(format!("{url:?} is not an address of a broker: {e}"))))
        .collect::<Result<_, _>>()?;
    let shown = urls.iter().map(|u| without_password(u)).collect::<Vec<_>>().join(", ");
    let mut backoff = Backoff::default();
    let mut told = false;
    loop {
        let error = match options(&settings, name).await?.connect(addresses.clone()).await {
            Ok(client) => {
                if told {
                    tracing::info!(urls = %shown, "connected to the broker");
                }
                let jetstream = context(&settings, client.clone());
                return Ok(Bus { client, jetstream });
            }
            Err(error) => error,
        };
        match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                return Err(Error::Refused(format!(
                    "the broker at {shown} does not accept these credentials: {error}"
                )));
            }
            ConnectErrorKind::ServerParse | ConnectErrorKind::Tls => {
                return Err(Error::Refused(format!("cannot connect to {shown}: {error}")));
            }
            _ if !wait => return Err(Error::Unreachable { urls: shown, problem: error.to_string() }),
            _ => {}
        }
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(urls = %shown, %error, "no broker yet, waiting for it");
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

fn context(settings: &Settings, client: async_nats::Client) -> jetstream::Context {
    let builder = jetstream::ContextBuilder::new()
        .timeout(Duration::from_secs(5))
        .ack_timeout(Duration::from_secs(10))
        .max_ack_inflight(16 * 1024);
    let _ = &builder;
    match (&settings.domain, &settings.api_prefix) {
        (Some(domain), _) => jetstream::with_domain(client, domain),
        (None, Some(prefix)) => jetstream::with_prefix(client, prefix),
        (None, None) => builder.build(client),
    }
}

async fn options(settings: &Settings, name: &str) -> Result<ConnectOptions, Error> {
    // One line per outage: the client tells of every try.
    let down = Arc::new(AtomicBool::new(false));
    let mut options = ConnectOptions::new()
        .name(name)
        .connection_timeout(TIMEOUT)
        .request_timeout(Some(Duration::from_secs(10)))
        .client_capacity(8192)
        .subscription_capacity(256 * 1024)
        .event_callback(move |event| {
            let down = down.clone();
            async move {
                match event {
                    Event::Disconnected if !down.swap(true, Ordering::Relaxed) => {
                        tracing::warn!("the connection to the broker is lost, trying to get it back");
                    }
                    Event::Connected if down.swap(false, Ordering::Relaxed) => {
                        tracing::info!("the connection to the broker is back");
                    }
                    Event::ServerError(error) => tracing::warn!(%error, "the broker complains"),
                    Event::LameDuckMode => tracing::info!("the broker is about to shut down"),
                    _ => {}
                }
            }
        });
    let tls = &settings.tls;
    if let Some(ca) = &tls.ca {
        options = options.add_root_certificates(readable("tls.ca", ca)?).require_tls(true);
    }
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            options = options.add_client_certificate(readable("tls.cert", cert)?, readable("tls.key", key)?);
        }
        (None, None) => {}
        _ => return Err(Error::Refused("nats.tls needs both cert and key, or neither".into())),
    }
    if tls.first {
        options = options.tls_first().require_tls(true);
    }
    if let Some(creds) = &settings.creds {
        let refused = |e| Error::Refused(format!("credentials file {}: {e}", creds.display()));
        options = options.credentials_file(creds).await.map_err(refused)?;
    }
    if let Some(nkey) = &settings.nkey {
        options = options.nkey(seed(nkey)?);
    }
    if let Some(user) = &settings.user {
        options = options.user_and_password(user.clone(), settings.password.clone().unwrap_or_default());
    }
    if let Some(token) = &settings.token {
        options = options.token(token.clone());
    }
    Ok(options)
}

fn readable(what: &str, path: &Path) -> Result<PathBuf, Error> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(path.to_owned()),
        Err(e) => Err(Error::Refused(format!("nats.{what} {}: {e}", path.display()))),
    }
}

/// A seed begins with `S` and is 58 characters long; anything else is the path of a file with one.
fn seed(text: &str) -> Result<String, Error> {
    if text.starts_with('S') && text.len() == 58 {
        return Ok(text.to_owned());
    }
    let file = std::fs::read_to_string(text).map_err(|e| Error::Refused(format!("nkey file {text}: {e}")))?;
    let seed = file.lines().map(str::trim).find(|l| l.starts_with('S') && l.len() == 58);
    seed.map(str::to_owned).ok_or_else(|| Error::Refused(format!("nkey file {text} holds no seed")))
}

/// A context of the NATS command line, as it stores them; what the settings say themselves comes first.
#[derive(serde::Deserialize)]
struct Context {
    #[serde(default)]
    url: String,
    #[serde(default)]
    creds: String,
    #[serde(default)]
    nkey: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    ca: String,
    #[serde(default)]
    cert: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    jetstream_domain: String,
    #[serde(default)]
    jetstream_api_prefix: String,
    #[serde(default)]
    tls_first: bool,
}

fn with_context(settings: &Settings) -> Result<Settings, Error> {
    let Some(name) = &settings.context else { return Ok(settings.clone()) };
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(Error::Refused(format!("{name:?} is not the name of a NATS context")));
    }
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")))
        .unwrap_or_default();
    let path = base.join("nats/context").join(format!("{name}.json"));
    let refused = |e: &dyn std::fmt::Display| Error::Refused(format!("NATS context {name} ({}): {e}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|e| refused(&e))?;
    let context: Context = serde_json::from_str(&text).map_err(|e| refused(&e))?;
    let given = |text: String| (!text.is_empty()).then_some(text);
    let mut all = settings.clone();
    if all.urls.is_empty() {
        all.urls = context.url.split(',').map(str::trim).filter(|u| !u.is_empty()).map(str::to_owned).collect();
    }
    all.creds = all.creds.or(given(context.creds).map(PathBuf::from));
    all.nkey = all.nkey.or(given(context.nkey));
    if all.user.is_none() {
        all.user = given(context.user);
        all.password = given(context.password);
    }
    all.token = all.token.or(given(context.token));
    all.domain = all.domain.or(given(context.jetstream_domain));
    all.api_prefix = all.api_prefix.or(given(context.jetstream_api_prefix));
    all.tls.ca = all.tls.ca.or(given(context.ca).map(PathBuf::from));
    all.tls.cert = all.tls.cert.or(given(context.cert).map(PathBuf::from));
    all.tls.key = all.tls.key.or(given(context.key).map(PathBuf::from));
    all.tls.first |= context.tls_first;
    Ok(all)
}

/// An address as it may be shown.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &url[..scheme + 3], &url[at + 1..]),
        _ => url.to_owned(),
    }
}
