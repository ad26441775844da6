//! The composition root: the only place that builds and joins the tasks of the service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bus::{self, Bus, Patience, StreamWish};
use crate::domain::call::{CALLBACK, DELIVERY};
use crate::domain::decide::Settings;
use crate::domain::ids::Position;
use crate::domain::messages;
use crate::domain::row::{Entry, Own};
use crate::domain::rules::RuleSet;
use crate::domain::stream::Reached;
use crate::domain::time::Time;
use crate::effects::callback::{Desk, Tokens};
use crate::effects::deadlines::{self, Deadlines};
use crate::effects::outbox::Outbox;
use crate::effects::{deliver, doubt, feedback, publish};
use crate::gateway;
use crate::outbound;
use crate::pipeline::{Pipeline, Progress, missed};
use crate::query;
use crate::rules::opening::opening;
use crate::rules::reload::{Reloading, Source};
use crate::rules::serving::Serving;
use crate::secrets::Secrets;
use crate::store::{self, Store};

/// Everything the service needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker.
    pub nats: bus::Settings,
    /// The stream to use as it is; none to find or make one.
    pub stream: Option<String>,
    /// Name of the durable consumer.
    pub durable: String,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Where the query endpoint listens.
    pub listen: (String, u16),
    /// Base of links in replies; empty for the address that the query endpoint has.
    pub public_url: String,
    /// Largest message that is read, in bytes.
    pub event_size: usize,
    /// The rules of this start. They hold once they are met in the stream.
    pub rules: RuleSet,
    /// Where changed rules come from.
    pub rules_from: Source,
    /// Told which rules the gateway answers by.
    pub rules_now: watch::Sender<RuleSet>,
    /// What decisions depend on besides.
    pub settings: Settings,
    /// How long tasks may take.
    pub deadlines: deadlines::Spans,
    /// How the store is opened.
    pub store: store::Options,
    /// The gateway; none: off.
    pub gateway: Option<gateway::Options>,
    /// How webhooks are called.
    pub outgoing: Outgoing,
}

/// How webhooks are called.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where calls may go.
    pub policy: outbound::Policy,
    /// What webhooks leave open.
    pub defaults: deliver::Defaults,
    /// Calls at a time.
    pub at_once: usize,
    /// Where secrets are.
    pub secrets: Secrets,
    /// Base of callback addresses; none for the address that the gateway has.
    pub callback_url: Option<String>,
}

/// Messages waiting for the publisher, in groups.
const DUE: usize = 64;

/// A store that has sent nothing yet meets the whole history of a stream. Whoever is to be called about it has been told by other means, or waits no
/// more; only what came lately may be waiting for a service that has lost its store.
const HISTORY: Duration = Duration::from_secs(60 * 60);

/// Room for the headers of a message, which count as it does.
const HEADERS: usize = 1024;

/// How long a stop may take before what is left is dropped.
const GRACE: Duration = Duration::from_secs(20);

/// A running service.
pub struct App {
    query: Option<SocketAddr>,
    gateway: Option<SocketAddr>,
    stop: CancellationToken,
    work: JoinHandle<anyhow::Result<()>>,
}

impl App {
    /// Opens the store, binds the listeners, and starts. The broker is waited for in the background.
    ///
    /// # Errors
    /// A data folder that cannot be used, an address that is taken.
    pub async fn start(config: Config, metrics: query::Metrics) -> anyhow::Result<App> {
        let options = config.store;
        let folder = config.data_dir.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(&folder, options)).await??;
        let (host, port) = &config.listen;
        let listener = TcpListener::bind((host.as_str(), *port))
            .await
            .with_context(|| format!("cannot listen on {host}:{port} (query.listen, --listen)"))?;
        let query = listener.local_addr()?;
        let mut config = config;
        let base = if config.public_url.is_empty() { format!("http://{query}") } else { config.public_url.clone() };
        base.trim_end_matches('/').clone_into(&mut config.settings.public_url);

        let stop = CancellationToken::new();
        let gateway = match config.gateway.take() {
            Some(options) => Some(Gateway::open(options, stop.clone()).await?),
            None => None,
        };
        let gateway_addr = gateway.as_ref().map(|g| g.addr);
        let reachable = gateway_addr.filter(|addr| !addr.ip().is_unspecified()).map(|addr| format!("http://{addr}"));
        let callback_url = config.outgoing.callback_url.take().or(reachable);
        config.outgoing.callback_url = callback_url.map(|url| url.trim_end_matches('/').to_owned());
        let readiness = query::Readiness::new("connecting to the broker");
        let reader = store.reader();
        metrics.watch(reader.clone());
        let state = query::State::new(reader, config.settings.clone(), readiness.clone(), metrics).until(stop.clone());
        // The endpoint outlives the fold, so that probes see why it is not ready.
        let closed = CancellationToken::new();
        let serving = tokio::spawn(query::serve(listener, state, closed.clone()));
        tracing::info!(addr = %query, "query endpoint listening");
        let token = stop.clone();
        let work = tokio::spawn(async move {
            let state = gateway.as_ref().map(|g| g.state.clone());
            let mut result = work(config, store, readiness.clone(), state, token.clone()).await;
            readiness.not("stopping");
            token.cancel();
            if let Some(gateway) = gateway {
                result = result.and(gateway.close().await);
            }
            closed.cancel();
            let served = serving.await.context("the query endpoint panicked")?;
            result.and(served.context("the query endpoint failed"))
        });
        Ok(App { query: Some(query), gateway: gateway_addr, stop, work })
    }

    /// Starts nothing but the gateway: the fold is another process.
    ///
    /// # Errors
    /// An address that is taken.
    pub async fn gateway_alone(nats: bus::Settings, options: gateway::Options) -> anyhow::Result<App> {
        let stop = CancellationToken::new();
        let gateway = Gateway::open(options, stop.clone()).await?;
        let (addr, token) = (gateway.addr, stop.clone());
        let work = tokio::spawn(async move {
            let connected = async {
                let bus = bus::connect(&nats, "shipwatch-gateway", Patience::Wait).await?;
                gateway.state.connect(&bus).await
            };
            let result = tokio::select! {
                result = connected => result,
                () = token.cancelled() => Ok(()),
            };
            if result.is_ok() {
                token.cancelled().await;
            }
            token.cancel();
            result.map_err(anyhow::Error::from).and(gateway.close().await)
        });
        Ok(App { query: None, gateway: Some(addr), stop, work })
    }

    /// Where the query endpoint listens; none where the gateway is alone.
    pub fn query_addr(&self) -> Option<SocketAddr> {
        self.query
    }

    /// Where the gateway listens; none where it is off.
    pub fn gateway_addr(&self) -> Option<SocketAddr> {
        self.gateway
    }

    /// Asks the service to stop: it finishes the group in hand.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why it ended, if not because it was asked to.
    pub async fn join(self) -> anyhow::Result<()> {
        self.work.await.context("the service panicked")?
    }

    /// Asks the service to stop and waits for it.
    ///
    /// # Errors
    /// As [`App::join`].
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.join().await
    }
}

/// The gateway, listening.
struct Gateway {
    addr: SocketAddr,
    state: gateway::State,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Gateway {
    async fn open(options: gateway::Options, stop: CancellationToken) -> anyhow::Result<Gateway> {
        let (host, port) = &options.listen;
        let listener = TcpListener::bind((host.as_str(), *port))
            .await
            .with_context(|| format!("cannot listen on {host}:{port} (gateway.listen, --gateway-listen)"))?;
        let addr = listener.local_addr()?;
        let state = gateway::State::new(options, stop);
        let serving = tokio::spawn(gateway::serve(listener, state.clone()));
        tracing::info!(%addr, "gateway listening");
        Ok(Gateway { addr, state, serving })
    }

    /// Waits for its end.
    async fn close(self) -> anyhow::Result<()> {
        self.serving.await.context("the gateway panicked")?.context("the gateway failed")
    }
}

/// Connects, catches up, and folds until asked to stop.
async fn work(
    config: Config,
    store: Store,
    readiness: query::Readiness,
    gateway: Option<gateway::State>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let wish = StreamWish {
        named: config.stream.clone(),
        wait_for: config.stream.is_some(),
        create_as: "shipwatch".into(),
        subjects: config.rules.subjects().to_vec(),
        durable: config.durable.clone(),
    };
    let reached = store.progress().reached;
    let known = bus::Reached {
        stream: reached.as_ref().map(|r| r.stream.clone()),
        sequence: reached.as_ref().map_or(0, |r| r.sequence),
        time: reached.as_ref().map(|r| r.time),
    };
    let connected = async {
        let bus = bus::connect(&config.nats, "shipwatch", Patience::Wait).await?;
        readiness.not("looking for the stream");
        let attached = bus::attach(&bus, &wish, &known).await?;
        Ok::<_, bus::Error>((bus, attached))
    };
    let (bus, attached) = tokio::select! {
        connected = connected => connected?,
        () = stop.cancelled() => return Ok(()),
    };
    for note in &attached.notes {
        tracing::warn!("{note}");
    }
    // What became of a call has to come back: without that the sequence would wait for ever.
    if !config.rules.outgoing().is_empty() {
        for subject in [DELIVERY, CALLBACK] {
            let stream = &attached.stream.name;
            anyhow::ensure!(
                bus.holds(stream, subject).await?,
                "webhooks need {subject} in the stream, and {stream} does not hold it: add dev.shipwatch.> to its subjects, or start \
                 without --stream, so that Shipwatch makes a stream of its own beside it"
            );
        }
    }
    let never_live = store.progress().published.is_none();
    let history = never_live.then(|| Time::from(chrono::Utc::now()).minus(HISTORY));
    let from = begin(reached, &attached);
    for gap in &attached.missed {
        missed(*gap);
        readiness.gap(gap.first, gap.last);
    }
    readiness.not("looking for the rules in the stream");
    let kept = store.reader().rules()?;
    let rules = tokio::select! {
        rules = opening(&bus, &from, kept, &config.rules) => rules,
        () = stop.cancelled() => return Ok(()),
    };
    tracing::info!(
        stream = %attached.stream.name, folded = from.sequence, last = attached.last_sequence,
        rules = &**rules.current().short(), "reading the stream"
    );
    let in_force = rules.watch();
    let refused = CancellationToken::new();
    let serving = Serving {
        in_force: in_force.clone(),
        end_at_start: from.base + attached.last_sequence,
        refused: refused.clone(),
        to: config.rules_now.clone(),
    };
    tokio::spawn(serving.run());

    let outbox = Arc::new(owed(&store, &config.settings)?);
    let (due, to_publish) = mpsc::channel(DUE);
    let (calls, to_call) = mpsc::channel(DUE);
    let (asked, to_tell) = mpsc::channel(feedback::WAITING);
    let tokens = Tokens::open(&config.data_dir, &config.outgoing.secrets).context("the key of callback addresses")?;
    let desk = Desk::new(store.reader(), tokens.clone());
    let desk = tokio::spawn(desk.run(bus.publisher(), Desk::listen(&bus).await?));
    let caller = deliver::Caller {
        reader: store.reader(),
        settings: config.settings.clone(),
        book: deliver::Book::new(store.reader()),
        outbox: outbox.clone(),
        publisher: bus.publisher(),
        client: outbound::Client::new(config.outgoing.policy.clone()).context("TLS of calls")?,
        secrets: config.outgoing.secrets.clone(),
        tokens,
        callback_url: config.outgoing.callback_url.clone(),
        defaults: config.outgoing.defaults,
        largest: config.event_size.min(bus.max_payload().saturating_sub(HEADERS)),
    };
    let telling = tokio::spawn(feedback::run(store.reader(), bus.publisher(), to_tell));
    let progress = Arc::new(Progress::default());
    let attached_status = attached.inbox.status();
    let end_at_start = Arc::new(AtomicU64::new(end_of_ours(&bus, &attached, &config, &store.reader()).await));
    // Deadlines wait for everything that stands in the stream, ours or not.
    let live_behind = Arc::new(AtomicU64::new(attached.last_sequence));
    let watched = Deadlines::new(config.deadlines.clone());
    let clock = deadlines::Clock {
        reader: store.reader(),
        last: store.progress().last,
        publisher: bus.publisher(),
        folded: progress.folded.clone(),
        live_behind: live_behind.clone(),
    };
    let watching = deadlines::run(watched.clone(), clock, stop.clone());
    let watching = tokio::spawn(async move {
        if let Err(error) = watching.await {
            tracing::error!(error = format!("{error:#}"), "deadlines of tasks are not watched");
        }
    });
    let pipeline = Pipeline {
        rules,
        settings: config.settings.clone(),
        event_size: config.event_size,
        outbox: outbox.clone(),
        due,
        calls,
        asked,
        deadlines: watched,
        progress: progress.clone(),
        end_at_start: end_at_start.clone(),
        history,
        from,
        inbox: attached.inbox,
        store,
    };
    let target = doubt::Stream {
        bus: bus.clone(),
        name: attached.stream.name.clone(),
        duplicate_window: attached.duplicate_window,
        folded: progress.folded.clone(),
    };
    let catching_up = [end_at_start, live_behind].map(|end| {
        let stream = attached.stream.name.clone();
        tokio::spawn(caught_up(bus.clone(), config.clone(), end, progress.clone(), stream))
    });
    let (trying, tried) = oneshot::channel();
    let reloading = Reloading {
        bus: bus.clone(),
        stream: attached.stream.name,
        wish,
        source: config.rules_from.clone(),
        given: config.rules.clone(),
        folded: progress.folded.clone(),
        in_force,
        refused,
        tried: Some(trying),
        said: attached.notes.into_iter().collect(),
    };
    let reloading = tokio::spawn(reloading.run(stop.clone()));
    if let Some(gateway) = &gateway {
        // What it takes comes behind the rules that it answers by.
        tokio::select! {
            _ = tried => gateway.connect(&bus).await?,
            () = stop.cancelled() => {}
        }
    }
    let gave_up = CancellationToken::new();
    let publishing = tokio::spawn(publish::run(outbox, bus.publisher(), target, to_publish, gave_up.clone()));
    let calling = tokio::spawn(deliver::run(Arc::new(caller), config.outgoing.at_once, to_call, gave_up.clone()));
    // Counted from the request to stop: a fold that waits for a publisher that cannot publish is let go as well.
    let (stopping, giving_up) = (stop.clone(), gave_up.clone());
    let grace = tokio::spawn(async move {
        stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
        giving_up.cancel();
    });
    let (status, link) = (attached_status, bus.clone());
    readiness.ready(move || match (link.is_connected(), status.running()) {
        (false, _) => Some("the broker cannot be reached"),
        (true, false) => Some("the consumer is not running"),
        (true, true) => None,
    });
    let result = pipeline.run(stop).await;
    readiness.not("stopping");
    // What is owed stays owed in the store: a stop does not wait for a broker that is gone.
    let mut finishing = tokio::spawn(async move { (publishing.await, calling.await) });
    if tokio::time::timeout(GRACE, &mut finishing).await.is_err() {
        gave_up.cancel();
        tracing::warn!("stopped with messages or calls owed; they are sent and made after the next start");
        let _ = finishing.await;
    }
    desk.abort();
    let _ = desk.await;
    // Whoever waits is let go; the folder is not, while somebody reads from it.
    telling.abort();
    let _ = telling.await;
    grace.abort();
    catching_up.iter().for_each(JoinHandle::abort);
    reloading.abort();
    watching.abort();
    bus.flush().await;
    result
}

/// Where the last message stands that an earlier life may have sent. Up to there nothing is sent, since it may be there
/// already; behind it nobody has answered yet. Where the broker does not say, that is the end of the stream.
async fn end_of_ours(bus: &Bus, attached: &bus::Attached, config: &Config, reader: &store::Reader) -> u64 {
    match last_of_ours(bus, attached, config, reader).await {
        Ok(Some(last)) => last,
        Ok(None) => attached.last_sequence,
        Err(error) => {
            tracing::debug!(%error, "the last message of ours is not known; what is owed waits for the end of the stream");
            attached.last_sequence
        }
    }
}

/// None where it could be on any subject.
async fn last_of_ours(
    bus: &Bus,
    attached: &bus::Attached,
    config: &Config,
    reader: &store::Reader,
) -> anyhow::Result<Option<u64>> {
    let stream = &attached.stream.name;
    let kept = reader.rules()?;
    let reported = bus.last_of(stream, &[DELIVERY.to_owned()]).await?;
    // A store that knows no rules does not know either which webhooks an earlier life had.
    if kept.is_empty() && (reported > 0 || !config.rules.outgoing().is_empty()) {
        return Ok(None);
    }
    let Some(of_webhooks) = deliver::subjects(&kept) else { return Ok(None) };
    let mut subjects = messages::subjects(&config.settings);
    subjects.extend(of_webhooks);
    Ok(Some(bus.last_of(stream, &subjects).await?.max(reported)))
}

/// The last message of the stream may be deleted, or one that the consumer does not see: then it never comes, and what is
/// owed must not wait for it. Ends the waiting once the broker has nothing more for us and all it gave is folded.
async fn caught_up(bus: Bus, config: Config, end_at_start: Arc<AtomicU64>, progress: Arc<Progress>, stream: String) {
    let folded = || progress.folded.load(Ordering::Relaxed);
    while folded() < end_at_start.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let nothing_left = bus.nothing_left(&stream, &config.durable, folded()).await;
        if nothing_left.is_ok_and(|left| left) {
            end_at_start.store(0, Ordering::Relaxed);
            return;
        }
    }
}

/// Where reading begins. Another stream, or another one under the same name, begins a new count; issues stay.
fn begin(reached: Option<Reached>, attached: &bus::Attached) -> Reached {
    let stream = attached.stream.clone();
    match (reached, &attached.start) {
        (Some(reached), bus::Start::Continue) => reached,
        (Some(old), bus::Start::NewCount { why }) => {
            tracing::warn!(%why, "another stream than the one folded so far; its events are folded from its beginning");
            Reached { stream, sequence: 0, time: old.time, base: old.base + old.sequence }
        }
        (Some(old), bus::Start::Empty) => {
            Reached { stream, sequence: 0, time: old.time, base: old.base + old.sequence }
        }
        (None, _) => Reached { stream, sequence: 0, time: Time::EPOCH, base: 0 },
    }
}

/// What an earlier life still owes: messages of the lines behind the cursor that have not been seen in the stream.
fn owed(store: &Store, settings: &Settings) -> anyhow::Result<Outbox> {
    let published = store.progress().published.unwrap_or_default();
    let outbox = Outbox::starting_at(published);
    let reader = store.reader();
    let mut seen: Vec<Own> = Vec::new();
    for row in reader.rows_from(Position::from_u64(published.to_u64() + 1)) {
        let row = row?;
        match &row.entry {
            Entry::Own(own) => seen.push(*own),
            Entry::Event(recorded) => {
                let kinds = messages::again(&row, &reader, settings)?.into_iter().map(|m| m.kind);
                outbox.owe(row.position, kinds.chain(recorded.calls()));
                seen.extend(recorded.settles());
            }
        }
    }
    seen.into_iter().for_each(|own| outbox.settle(own));
    if outbox.depth() > 0 {
        tracing::info!(
            messages = outbox.depth(),
            "messages are owed from before; they are sent once the fold has caught up"
        );
    }
    Ok(outbox)
}
