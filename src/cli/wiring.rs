//! The one place where commands meet the service and the broker.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::exit::Usage;
use crate::app::{self, App};
use crate::bus::{self, Bus, Patience, Publisher};
use crate::config::{self, Config, IssueEvent, Nkey};
use crate::domain::decide::{Settings, TaskNames};
use crate::domain::event::Event;
use crate::domain::issue::ChangeKind;
use crate::domain::rules::RuleSet;
use crate::effects::deadlines::Spans;
use crate::effects::deliver;
use crate::rules::{self, reload::Source};
use crate::secrets::Secrets;
use crate::{gateway, metrics, outbound, query, replay, store};

/// What commands want of a broker. A trait, so that tests need none.
pub(super) trait Broker {
    /// Version of the server.
    fn version(&self) -> String;

    /// Whether there is JetStream for this account; the error says why not.
    async fn jetstream(&self) -> anyhow::Result<()>;

    /// The stream whose subjects hold this one, where there is one.
    async fn stream_of(&self, subject: &str) -> anyhow::Result<Option<String>>;

    /// The durable consumer of a stream, where it exists.
    async fn consumer(&self, stream: &str, durable: &str) -> anyhow::Result<Option<Consumer>>;

    /// Publishes with this message id, and waits until the stream has it. Where no stream holds the subject, publishes
    /// without JetStream.
    async fn publish(&self, subject: &str, id: &str, body: Bytes) -> anyhow::Result<Receipt>;

    /// Sends out what is still on its way.
    async fn flush(&self) -> anyhow::Result<()>;
}

/// A durable consumer as `doctor` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Consumer {
    /// Messages it has not been given yet.
    pub pending: u64,
    /// Messages it was given and has not acknowledged.
    pub unacknowledged: u64,
}

/// What became of a published message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// A stream has it.
    Stored {
        /// Which.
        stream: String,
        /// Where in it.
        sequence: u64,
        /// It had a message with this id already.
        duplicate: bool,
    },
    /// It was sent, but no stream keeps it.
    Sent,
}

/// A broker that was connected to.
struct Connected {
    bus: Bus,
    publisher: Publisher,
    /// Which subjects a stream holds, as far as they were asked for.
    stored: Mutex<HashMap<String, bool>>,
}

impl Connected {
    fn new(bus: Bus) -> Connected {
        Connected { publisher: bus.publisher(), bus, stored: Mutex::default() }
    }

    /// Whether a stream holds a subject. Who only listened could not tell us from the stream: a publish that waits for its word
    /// would wait in vain, and come twice for those who listen.
    async fn is_stored(&self, subject: &str) -> bool {
        let known = self.stored.lock().get(subject).copied();
        if let Some(known) = known {
            return known;
        }
        let stored = match self.bus.is_stored(subject).await {
            Ok(stored) => stored,
            Err(bus::Error::NoJetStream(_)) => false,
            // Then the publish itself has to show it.
            Err(_) => return true,
        };
        self.stored.lock().insert(subject.to_owned(), stored);
        stored
    }
}

impl Broker for Connected {
    fn version(&self) -> String {
        self.bus.server_version()
    }

    async fn jetstream(&self) -> anyhow::Result<()> {
        Ok(self.bus.jetstream().await?)
    }

    async fn stream_of(&self, subject: &str) -> anyhow::Result<Option<String>> {
        Ok(self.bus.stream_of(subject).await?)
    }

    async fn consumer(&self, stream: &str, durable: &str) -> anyhow::Result<Option<Consumer>> {
        let found = self.bus.consumer(stream, durable).await?;
        Ok(found.map(|(pending, unacknowledged)| Consumer { pending, unacknowledged }))
    }

    async fn publish(&self, subject: &str, id: &str, body: Bytes) -> anyhow::Result<Receipt> {
        if !self.is_stored(subject).await {
            self.publisher.publish_core(subject, body).await?;
            return Ok(Receipt::Sent);
        }
        let receipt = self.publisher.publish(subject, id, body.clone()).await?;
        match receipt.await {
            Ok(bus::Stored { stream, sequence, duplicate }) => Ok(Receipt::Stored { stream, sequence, duplicate }),
            Err(bus::Error::NoStreamFor(_)) => {
                self.publisher.publish_core(subject, body).await?;
                Ok(Receipt::Sent)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn flush(&self) -> anyhow::Result<()> {
        self.bus.flush().await;
        Ok(())
    }
}

/// Connects to the broker, without waiting for one that does not answer.
pub(super) async fn connect(nats: &config::Nats) -> anyhow::Result<impl Broker + use<>> {
    let bus = bus::connect(&settings(nats), "shipwatch-cli", Patience::FailFast).await.map_err(usage)?;
    Ok(Connected::new(bus))
}

/// Connects to the broker, and follows a subject from then on.
pub(super) async fn connect_and_follow(
    nats: &config::Nats,
    subject: &str,
) -> anyhow::Result<(impl Broker + use<>, Following)> {
    let bus = bus::connect(&settings(nats), "shipwatch-cli", Patience::FailFast).await.map_err(usage)?;
    let followed = bus.follow(subject).await.map_err(usage)?;
    Ok((Connected::new(bus), Following { followed, read: VecDeque::new() }))
}

/// Events as they come.
pub(super) struct Following {
    followed: bus::Followed,
    read: VecDeque<Event>,
}

impl Following {
    /// The stream they are read from; none where they are heard on core NATS, and a gap in the connection is a gap in them.
    pub fn stream(&self) -> Option<&str> {
        self.followed.stream()
    }

    /// The next event. What is no event is passed over.
    pub async fn next(&mut self) -> anyhow::Result<Event> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(event);
            }
            let message = self.followed.next().await?;
            self.read.extend(bus::binding::read(&message, usize::MAX).into_iter().filter_map(|r| r.event.ok()));
        }
    }
}

/// Whether what failed may work when it is tried again.
pub(super) fn passes(error: &anyhow::Error) -> bool {
    error.downcast_ref::<bus::Error>().is_some_and(bus::Error::is_passing)
}

/// Settings that cannot work are wrong usage.
fn usage(error: bus::Error) -> anyhow::Error {
    match error.kind() {
        bus::Kind::Usage => Usage(error.to_string()).into(),
        _ => error.into(),
    }
}

fn settings(nats: &config::Nats) -> bus::Settings {
    bus::Settings {
        urls: nats.urls.iter().map(|u| u.reveal().to_owned()).collect(),
        creds: nats.creds.clone(),
        nkey: nats.nkey.as_ref().map(|nkey| match nkey {
            Nkey::Seed(seed) => seed.reveal().to_owned(),
            Nkey::File(path) => path.display().to_string(),
        }),
        user: nats.user.clone(),
        password: nats.password.as_ref().map(|p| p.reveal().to_owned()),
        token: nats.token.as_ref().map(|t| t.reveal().to_owned()),
        context: nats.context.clone(),
        domain: nats.domain.clone(),
        api_prefix: nats.api_prefix.clone(),
        inbox_prefix: None,
        tls: bus::Tls {
            ca: nats.tls.ca.clone(),
            cert: nats.tls.client.as_ref().map(|c| c.cert.clone()),
            key: nats.tls.client.as_ref().map(|c| c.key.clone()),
            first: nats.tls.first,
        },
    }
}

/// The checked configuration as the application takes it.
fn application(config: &Config, reload: Arc<Notify>) -> anyhow::Result<app::Config> {
    let (host, port) = config.query.listen.host_and_port();
    let secrets = Secrets { dir: config.webhooks.secrets_dir.clone() };
    let given = rules(&config.shipyard_dir, Some(&secrets))?;
    let rules_now = watch::Sender::new(given.clone());
    Ok(app::Config {
        nats: settings(&config.nats),
        stream: config.nats.stream.clone(),
        durable: config.nats.durable.clone(),
        data_dir: config.data_dir.clone(),
        listen: (host.to_owned(), port),
        public_url: config.query.public_url.clone().unwrap_or_default(),
        event_size: config.limits.event_size.bytes() as usize,
        rules: given,
        rules_from: Source { dir: config.shipyard_dir.clone(), ask: reload, secrets: Some(secrets) },
        settings: decisions(config),
        deadlines: deadlines(&config.deadlines),
        store: kept(config),
        gateway: gateway(config, &rules_now),
        rules_now,
        outgoing: outgoing(config),
    })
}

/// What decisions depend on; the base of links only where one is set.
fn decisions(config: &Config) -> Settings {
    let change = |event: &IssueEvent| match event {
        IssueEvent::Opened => ChangeKind::Opened,
        IssueEvent::Updated => ChangeKind::Updated,
        IssueEvent::Reopened => ChangeKind::Reopened,
        IssueEvent::Resolved => ChangeKind::Resolved,
    };
    Settings {
        tasks: TaskNames {
            open: config.tasks.open_issue.clone(),
            update: config.tasks.update_issue.clone(),
            close: config.tasks.close_issue.clone(),
            check: config.tasks.check_issues.clone(),
        },
        issue_events: config.issue_events.iter().map(change).collect(),
        keep_events: config.retention.events.get(),
        public_url: String::new(),
    }
}

/// How long things are kept.
fn kept(config: &Config) -> store::Options {
    store::Options {
        retention: store::Retention {
            events: Some(config.retention.events.get()),
            resolved_issues: Some(config.retention.resolved_issues.get()),
        },
        ..store::Options::default()
    }
}

/// How a replay folds: as the service that is set up like this does, so links begin as its links do. `aged`: what is older than
/// events are kept is stale.
pub(super) fn replaying(config: &Config, filter: replay::Filter, aged: bool) -> replay::Setup {
    let (host, port) = config.query.listen.host_and_port();
    let base = config.query.public_url.clone().unwrap_or_else(|| format!("http://{host}:{port}"));
    let mut settings = decisions(config);
    base.trim_end_matches('/').clone_into(&mut settings.public_url);
    if !aged {
        settings.keep_events = std::time::Duration::MAX;
    }
    replay::Setup { settings, event_size: config.limits.event_size.bytes() as usize, store: kept(config), filter }
}

/// The stream that the service reads or would read, to read it as well.
pub(super) async fn stream(config: &Config, rules: &RuleSet) -> anyhow::Result<replay::Place> {
    let bus = bus::connect(&settings(&config.nats), "shipwatch-cli", Patience::FailFast).await.map_err(usage)?;
    let name = match &config.nats.stream {
        Some(name) => name.clone(),
        None => {
            let wish = bus::StreamWish { subjects: rules.subjects().to_vec(), ..bus::StreamWish::default() };
            bus::find(&bus, &wish).await.map_err(usage)?.0.name
        }
    };
    Ok(replay::Place::Stream(Box::new(bus), name))
}

/// How long tasks may take.
fn deadlines(config: &config::Deadlines) -> Spans {
    let own = config.tasks.iter().map(|(task, own)| (task.clone(), (own.started, own.finished)));
    Spans { started: config.started, finished: config.finished, tasks: own.collect() }
}

/// The rules of this start: a service does not begin with broken ones.
pub(super) fn rules(shipyard_dir: &Path, secrets: Option<&Secrets>) -> anyhow::Result<RuleSet> {
    // The default folder need not be there; one that somebody named has to.
    if shipyard_dir != Path::new(config::SHIPYARD_DIR) && !shipyard_dir.is_dir() {
        return Err(Usage(format!("shipyardDir: folder {} does not exist", shipyard_dir.display())).into());
    }
    rules::load(shipyard_dir, secrets).with_context(|| format!("shipyard folder {}", shipyard_dir.display()))
}

/// How webhooks are called.
fn outgoing(config: &Config) -> app::Outgoing {
    let config::Webhooks { allow, deny, timeout, retries, concurrency, max_response, secrets_dir } = &config.webhooks;
    app::Outgoing {
        policy: outbound::Policy { allow: allow.clone(), deny: deny.clone() },
        defaults: deliver::Defaults { timeout: timeout.get(), retries: *retries, max_response: max_response.bytes() },
        at_once: *concurrency as usize,
        secrets: Secrets { dir: secrets_dir.clone() },
        callback_url: config.gateway.public_url.clone(),
    }
}

/// What the gateway is set to; none: off.
fn gateway(config: &Config, rules: &watch::Sender<RuleSet>) -> Option<gateway::Options> {
    let config::Gateway { listen, max_body, wait, max_waiting, .. } = &config.gateway;
    let (host, port) = listen.as_ref()?.host_and_port();
    Some(gateway::Options {
        listen: (host.to_owned(), port),
        max_body: max_body.bytes() as usize,
        event_size: config.limits.event_size.bytes() as usize,
        wait: wait.get(),
        max_waiting: *max_waiting,
        rules: rules.subscribe(),
        secrets: Secrets { dir: config.webhooks.secrets_dir.clone() },
    })
}

/// Starts the service in this process; `reload` makes it look at its rule files.
pub(super) async fn start(config: &Config, reload: Arc<Notify>) -> anyhow::Result<App> {
    let application = application(config, reload)?;
    let metrics = query::Metrics::new(metrics::install()?);
    App::start(application, metrics).await
}

/// Starts nothing but the gateway, whose webhooks are those of the rule files.
async fn start_gateway(config: &Config, reload: Arc<Notify>) -> anyhow::Result<App> {
    // The fold calls the webhooks, so only it needs their secrets.
    let source = Source { dir: config.shipyard_dir.clone(), ask: reload, secrets: None };
    let rules_now = watch::Sender::new(rules(&source.dir, None)?);
    let Some(options) = gateway(config, &rules_now) else {
        return Err(Usage("--no-fold leaves only the gateway: give --gateway-listen".into()).into());
    };
    tokio::spawn(rules::reload::follow(source, rules_now));
    App::gateway_alone(settings(&config.nats), options).await
}

/// What is read from the configuration and not there yet. Somebody who sets it relies on it.
fn not_there_yet(config: &Config) -> Result<(), Usage> {
    let wanted = [
        ("auth.tokens", !config.auth.tokens.is_empty()),
        ("tls", config.tls.is_some()),
        ("limits.requestsPerSecond", config.limits.requests_per_second > 0),
    ];
    match wanted.into_iter().find(|(_, set)| *set) {
        None => Ok(()),
        Some((key, _)) => Err(Usage(format!(
            "{key} is set, and this version does not act on it yet: leave it out, and put a proxy in front of the listeners"
        ))),
    }
}

/// Runs the service, or nothing but its gateway, until it is told to stop.
pub(super) async fn serve(config: Config, fold: bool) -> anyhow::Result<ExitCode> {
    not_there_yet(&config)?;
    let reload = reload_on_signal();
    let app = if fold { start(&config, reload).await? } else { start_gateway(&config, reload).await? };
    stop_on_signal(app.stop_token());
    let result = app.join().await;
    if let Err(error) = result {
        return match error.downcast::<bus::Error>() {
            Ok(error) => Err(usage(error)),
            Err(error) => Err(error).context("the service ended"),
        };
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The first SIGTERM or SIGINT asks for an orderly end, the second leaves at once.
pub(super) fn stop_on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        signal().await;
        tracing::info!("stopping: finishing what is in hand; once more leaves at once");
        stop.cancel();
        signal().await;
        std::process::exit(1);
    });
}

/// SIGHUP asks for a look at the rule files, from now on. Where the system has no such signal, a changed file is enough.
fn reload_on_signal() -> Arc<Notify> {
    let ask = Arc::new(Notify::new());
    #[cfg(unix)]
    if let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        let ask = ask.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                tracing::info!("reloading the rules");
                ask.notify_one();
            }
        });
    }
    ask
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
