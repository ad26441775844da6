//! The connection: made once, kept up by the client, one log line per outage.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerError, jetstream};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::denials::Denials;
use super::identity::{identify, readable, shown};
use super::settings::{Settings, without_secrets};
use super::{Error, Publisher};
use crate::backoff::Backoff;

/// How long the broker may take to answer a request of the JetStream API.
const ANSWER: Duration = Duration::from_secs(5);

/// How long what went out on an earlier connection may still be answered on the new one: either it was buffered and is
/// sent now, or it was lost and nothing will come.
const AFTER_RECONNECT: Duration = Duration::from_millis(500);

/// Whether to wait for a broker that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Keep trying: what a service does.
    Wait,
    /// One try: what a command does.
    FailFast,
}

/// A connection to the broker.
#[derive(Clone)]
pub struct Bus {
    pub(super) client: Client,
    pub(super) js: jetstream::Context,
    pub(super) patience: Patience,
    prefix: Arc<str>,
    link: Arc<Link>,
}

/// What the client's callback tells us about the connection.
struct Link {
    state: watch::Sender<LinkState>,
    /// The last permission the broker denied, with a count so that an equal text is news too.
    denied: watch::Sender<(u64, String)>,
    /// What was said of such denials.
    denials: Denials,
    outage: Mutex<Option<Outage>>,
    /// What is said where the broker does not let us in.
    refused: String,
}

/// Since when there is no connection, and whether it was said that the broker refuses us.
struct Outage {
    since: Instant,
    refused: bool,
}

/// The connection as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkState {
    pub connected: bool,
    /// Counts connections: what was in flight on an earlier one may be lost.
    pub epoch: u64,
}

/// Comes back once there is another connection than that of `epoch`.
pub(super) async fn reconnected(link: &mut watch::Receiver<LinkState>, epoch: u64) {
    if link.wait_for(|state| state.connected && state.epoch != epoch).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Connects, and with [`Patience::Wait`] waits until a broker answers.
///
/// # Errors
/// Bad settings and refused credentials at once; an absent broker only with [`Patience::FailFast`].
pub async fn connect(settings: &Settings, name: &str, patience: Patience) -> Result<Bus, Error> {
    let context = settings.context.as_deref().filter(|_| !settings.has_identity());
    let settings = settings.resolved()?;
    let urls = settings.shown_urls();
    let who = shown(&settings, context);
    let refused = |why: ConnectErrorKind| Error::Refused { urls: urls.clone(), who: who.clone(), why: why.to_string() };
    let tls = |why: String| {
        let why = why.trim_start_matches("IO error: ").trim_start_matches("TLS error: ");
        Error::Settings(format!("TLS to {urls}: {why} ({})", settings.tls.shown()))
    };
    let link = Arc::new(Link {
        state: watch::Sender::new(LinkState { connected: true, epoch: 0 }),
        denied: watch::Sender::new((0, String::new())),
        denials: Denials::default(),
        outage: Mutex::new(None),
        refused: refused(ConnectErrorKind::AuthorizationViolation).to_string(),
    });
    let (options, servers) = options(&settings, name, &link).await?;
    let mut waits = Backoff::broker().waits();
    let client = loop {
        let error = match options.clone().connect(servers.clone()).await {
            Ok(client) => break client,
            Err(error) => error,
        };
        let why = error.to_string();
        match error.kind() {
            kind @ ConnectErrorKind::AuthorizationViolation => return Err(refused(kind)),
            ConnectErrorKind::Authentication => {
                return Err(Error::Settings(format!("{who} cannot be used to sign: its seed is damaged")));
            }
            ConnectErrorKind::ServerParse => return Err(Error::Settings(format!("broker address {urls}: {why}"))),
            ConnectErrorKind::Tls => return Err(tls(why)),
            _ if certificate_problem(&error) => return Err(tls(why)),
            _ if patience == Patience::FailFast => return Err(Error::Unreachable { urls, why }),
            _ => {}
        }
        if waits.failures() == 0 {
            tracing::warn!(broker = %urls, error = %why, "no NATS broker answers, waiting for it");
        }
        tokio::time::sleep(waits.next_delay()).await;
    };
    if waits.failures() > 0 {
        tracing::info!(broker = %urls, tries = waits.failures() + 1, "connected to the broker");
    }
    let (js, prefix) = jetstream_of(&client, &settings);
    Ok(Bus { client, js, patience, prefix, link })
}

impl Bus {
    /// Whether the connection is up at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// The version of the broker, for example `2.9.10`.
    pub fn server_version(&self) -> String {
        self.client.try_server_info().map(|info| info.version).unwrap_or_default()
    }

    /// Whether the broker is at least of this version; `false` where it does not say.
    pub(super) fn server_at_least(&self, major: u32, minor: u32) -> bool {
        let version = self.server_version();
        let mut parts = version.split('.').map_while(|p| p.parse::<u32>().ok());
        matches!((parts.next(), parts.next()), (Some(a), Some(b)) if (a, b) >= (major, minor))
    }

    /// The largest message the broker takes, in bytes.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Something to publish with.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self)
    }

    /// Sends out what is still buffered, for at most two seconds. The connection ends with the last clone.
    pub async fn flush(&self) {
        if tokio::time::timeout(Duration::from_secs(2), self.client.flush()).await.is_err() {
            tracing::debug!("buffered messages were not flushed in time");
        }
    }

    /// Follows the connection.
    pub(super) fn link(&self) -> watch::Receiver<LinkState> {
        self.link.state.subscribe()
    }

    /// What subjects of the JetStream API begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Asks the JetStream API. `what` completes "not allowed to …" and "did not answer …".
    pub(super) async fn api<V: DeserializeOwned>(
        &self,
        what: &str,
        subject: String,
        body: &impl Serialize,
    ) -> Result<V, Asked> {
        let denied = self.denied(&subject);
        let answer = tokio::select! {
            biased;
            answer = self.js.request(subject, body) => answer,
            why = denied => return Err(Error::NotAllowed { what: what.into(), why }.into()),
            () = self.outlived() => return Err(Error::TimedOut { what: what.into() }.into()),
        };
        match answer {
            Ok(Response::Ok(value)) => Ok(value),
            Ok(Response::Err { error }) => Err(Asked { code: error.error_code().0, error: server_error(what, &error) }),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => Error::NoJetStream(format!("no answer on {}", self.prefix)),
                RequestErrorKind::TimedOut => Error::TimedOut { what: what.into() },
                _ => Error::Broker { what: what.into(), why: error.to_string() },
            }
            .into()),
        }
    }

    /// Comes back when what was on its way at this moment has been lost with its connection.
    pub(super) fn outlived(&self) -> impl Future<Output = ()> + use<> {
        let mut link = self.link();
        let epoch = link.borrow().epoch;
        async move {
            reconnected(&mut link, epoch).await;
            tokio::time::sleep(AFTER_RECONNECT).await;
        }
    }

    /// Comes back when the broker denies this request, or any reply inbox, since the answer would then never come.
    fn denied(&self, subject: &str) -> impl Future<Output = String> + use<> {
        let mut denials = self.link.denied.subscribe();
        let subject = format!("{}.{subject}\"", self.prefix);
        async move {
            loop {
                if denials.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                let text = denials.borrow_and_update().1.clone();
                if text.contains(&subject) || (text.contains("ubscription") && text.contains("INBOX")) {
                    return text;
                }
            }
        }
    }
}

/// Why a question to the API was not answered as hoped, with the server's code where it gave one.
#[derive(Debug)]
pub(super) struct Asked {
    /// The server's error code, 0 where it gave none.
    pub code: u64,
    pub error: Error,
}

impl Asked {
    pub(super) fn is(&self, code: jetstream::ErrorCode) -> bool {
        self.code == code.0
    }
}

impl From<Error> for Asked {
    fn from(error: Error) -> Asked {
        Asked { code: 0, error }
    }
}

impl From<Asked> for Error {
    fn from(asked: Asked) -> Error {
        asked.error
    }
}

fn server_error(what: &str, error: &jetstream::Error) -> Error {
    use jetstream::ErrorCode as Code;
    let why = error.to_string();
    match error.error_code() {
        Code::JETSTREAM_NOT_ENABLED | Code::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => Error::NoJetStream(why),
        _ => Error::Broker { what: what.into(), why },
    }
}

fn jetstream_of(client: &Client, settings: &Settings) -> (jetstream::Context, Arc<str>) {
    let builder =
        || jetstream::context::ContextBuilder::new().timeout(ANSWER).ack_timeout(ANSWER).max_ack_inflight(16 * 1024);
    match (&settings.api_prefix, &settings.domain) {
        (Some(prefix), _) => {
            let prefix = prefix.trim_end_matches(['.', '>']).to_owned();
            (builder().api_prefix(prefix.clone()).build(client.clone()), prefix.into())
        }
        (None, Some(domain)) => {
            (builder().domain(domain.clone()).build(client.clone()), format!("$JS.{domain}.API").into())
        }
        (None, None) => (builder().build(client.clone()), "$JS.API".into()),
    }
}

async fn options(
    settings: &Settings,
    name: &str,
    link: &Arc<Link>,
) -> Result<(ConnectOptions, Vec<async_nats::ServerAddr>), Error> {
    let mut servers = Vec::new();
    let mut embedded = None;
    for url in &settings.urls {
        let server: async_nats::ServerAddr = url
            .parse()
            .map_err(|e| Error::Settings(format!("broker address {:?} cannot be read: {e}", without_secrets(url))))?;
        if let Some(user) = server.username() {
            embedded.get_or_insert((user.to_owned(), server.password().map(str::to_owned)));
        }
        servers.push(server);
    }
    let events = link.clone();
    let backoff = Backoff::broker();
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(Duration::from_secs(10))
        .connection_timeout(Duration::from_secs(5))
        .reconnect_delay_callback(move |tries| match tries {
            0 | 1 => Duration::ZERO,
            n => backoff.jittered(u32::try_from(n - 1).unwrap_or(u32::MAX)),
        })
        .event_callback(move |event| {
            events.seen(event);
            std::future::ready(())
        });
    if let Some(prefix) = &settings.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    options = identify(options, settings, embedded).await?;
    let tls = &settings.tls;
    for file in [&tls.cert, &tls.key].into_iter().flatten() {
        readable(file, "TLS file").await?;
    }
    if let Some(ca) = &tls.ca {
        // The client takes a file without any for an authority that vouches for nobody.
        if !readable(ca, "TLS file").await?.contains("-----BEGIN") {
            return Err(Error::Settings(format!("TLS file {} holds no certificate (nats.tls.ca)", ca.display())));
        }
        options = options.add_root_certificates(ca.clone());
    }
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => options = options.add_client_certificate(cert.clone(), key.clone()),
        (None, None) => {}
        _ => return Err(Error::Settings("a TLS certificate needs its key, and a key its certificate".into())),
    }
    if tls.first {
        options = options.tls_first();
    }
    Ok((options, servers))
}

/// Whether the handshake failed on a certificate: waiting does not mend that.
fn certificate_problem(error: &async_nats::ConnectError) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || io.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        source = error.source();
    }
    false
}

impl Link {
    /// Called by the client for everything that happens to the connection. One line where an outage begins, one where
    /// it ends; the failed tries in between say nothing.
    fn seen(&self, event: Event) {
        match event {
            Event::Disconnected => {
                self.state.send_modify(|s| s.connected = false);
                let mut outage = self.outage.lock();
                if outage.is_none() {
                    *outage = Some(Outage { since: Instant::now(), refused: false });
                    tracing::warn!("connection to the broker lost, reconnecting");
                }
            }
            Event::Connected => {
                self.state.send_modify(|s| *s = LinkState { connected: true, epoch: s.epoch + 1 });
                if let Some(outage) = self.outage.lock().take() {
                    tracing::info!(
                        outage_ms = outage.since.elapsed().as_millis() as u64,
                        "connected to the broker again"
                    );
                }
            }
            // The client tries on: whoever took the right away may give it back.
            Event::ClientError(ClientError::Other(text))
                if text == ConnectErrorKind::AuthorizationViolation.to_string() =>
            {
                if let Some(outage) = self.outage.lock().as_mut().filter(|outage| !outage.refused) {
                    outage.refused = true;
                    tracing::error!("{}; trying again (changed settings are read at start only)", self.refused);
                }
            }
            Event::ServerError(ServerError::Other(text)) => {
                if text.to_ascii_lowercase().contains("permissions violation") {
                    self.denied.send_modify(|(count, last)| {
                        *count += 1;
                        last.clone_from(&text);
                    });
                    if let Some(missing) = self.denials.news(&text) {
                        tracing::warn!("the broker does not allow this account to {missing}");
                    }
                }
                tracing::debug!(error = %text, "the broker reports an error");
            }
            Event::SlowConsumer(subscription) => {
                // What was dropped here is read again: the inbox notices the missing sequence.
                tracing::debug!(subscription, "a client buffer ran over");
            }
            Event::LameDuckMode => tracing::info!("the broker is about to stop"),
            other => tracing::debug!(event = %other, "connection"),
        }
    }
}
