//! `make bench`: what the transport can do alone, and what Shipwatch does on the same broker, in one run.
//!
//! Everything is real: a nats-server with JetStream on file storage, the release binary, its store on disk. Figures of a
//! shared machine drift, so only the ratios within one run say something; the median of several rounds is printed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer, stream};
use shipwatch::bus::{self, Bound, GroupLimits, Patience};
use shipwatch::domain::decide::{Settings, TaskNames};
use shipwatch::domain::rules::RuleSet;
use shipwatch::replay::{self, Filter, Fold, Opening, Place, Range, Setup, Source};
use shipwatch::store;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream::FuturesUnordered};

#[path = "support/events.rs"]
mod events;

use events::{finished, trigger};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Events of each measurement.
fn count() -> usize {
    std::env::var("BENCH_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(60_000)
}

fn rounds() -> usize {
    std::env::var("BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

/// Whether a part was asked for: `BENCH_PARTS=replies,outcomes,replay,latency`, or nothing for all.
fn wanted(part: &str) -> bool {
    std::env::var("BENCH_PARTS").map_or(true, |parts| parts.split(',').any(|p| p == part))
}

fn main() -> Result<()> {
    // `cargo test --benches` and the like pass flags; only `cargo bench` asks for a run.
    if !std::env::args().any(|a| a == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let n = count();
    println!(
        "{n} events of about 800 bytes, {} rounds, medians; broker, store and service share this machine\n",
        rounds()
    );
    let mut with_replies = Vec::new();
    let mut without = Vec::new();
    let mut memory = 0;
    let mut disk = 0.0f64;
    for _ in 0..rounds() {
        let dir = tempfile::tempdir()?;
        let broker = Broker::start(dir.path()).await?;
        let js = broker.jetstream().await?;
        for (part, rates, make) in [
            ("replies", &mut with_replies, trigger as fn(usize) -> (String, String)),
            ("outcomes", &mut without, finished),
        ] {
            if wanted(part) {
                let transport = transport(&js, n, part == "replies").await?;
                let (service, peak, bytes) = shipwatch(&broker, &js, dir.path(), part, n, make).await?;
                rates.push((transport, service));
                (memory, disk) = (memory.max(peak), disk.max(bytes));
            }
        }
    }
    println!("{:<44} {:>12} {:>12} {:>7}", "", "transport/s", "shipwatch/s", "ratio");
    report("triggers with two replies each", &mut with_replies);
    report("finished events without replies", &mut without);
    if wanted("replay") {
        let mut rates = Vec::new();
        for _ in 0..rounds() {
            let dir = tempfile::tempdir()?;
            let broker = Broker::start(dir.path()).await?;
            rates.push(replayed(&broker, dir.path(), n).await?);
        }
        println!("\n{:<44} {:>12} {:>12} {:>7}", "", "read/s", "replay/s", "ratio");
        report("replay of finished events", &mut rates);
    }
    if wanted("latency") {
        let dir = tempfile::tempdir()?;
        let broker = Broker::start(dir.path()).await?;
        latency(&broker, dir.path()).await?;
    }
    println!("\npeak memory of the service {} MB; {disk:.0} bytes on disk per event", memory / 1024);
    Ok(())
}

fn report(name: &str, rounds: &mut [(f64, f64)]) {
    rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let Some(&(transport, service)) = rounds.get(rounds.len() / 2) else { return };
    println!("{name:<44} {transport:>12.0} {service:>12.0} {:>7.2}", service / transport);
}

/// Pull, ack in groups, and where `replies` is set publish two messages with an id per event. No work.
async fn transport(js: &jetstream::Context, n: usize, replies: bool) -> Result<f64> {
    let name = if replies { "transport-replies" } else { "transport" };
    let stream = js
        .create_stream(stream::Config { name: name.into(), subjects: vec![format!("{name}.>")], ..Default::default() })
        .await?;
    fill(js, n, |i| (format!("{name}.in"), trigger(i).1)).await?;
    let config = consumer::pull::Config {
        durable_name: Some("bench".into()),
        ack_policy: consumer::AckPolicy::All,
        max_ack_pending: 100_000,
        filter_subject: format!("{name}.in"),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut messages = consumer.stream().max_messages_per_batch(1024).messages().await?;
    let start = Instant::now();
    let mut seen = 0;
    let mut acks = FuturesUnordered::new();
    while seen < n {
        let mut last = messages.next().await.ok_or("the consumer ended")??;
        let mut group = 1;
        loop {
            if replies {
                for kind in ["started", "finished"] {
                    let mut headers = async_nats::HeaderMap::new();
                    headers.insert("Nats-Msg-Id", format!("{kind}-{seen}-{group}"));
                    let subject = format!("{name}.out.{kind}");
                    acks.push(js.publish_with_headers(subject, headers, last.payload.clone()).await?.into_future());
                    while acks.len() > 4096 {
                        acks.try_next().await?;
                    }
                }
            }
            if group == 1024 {
                break;
            }
            match messages.next().now_or_never() {
                Some(Some(next)) => {
                    last = next?;
                    group += 1;
                }
                _ => break,
            }
        }
        seen += group;
        last.double_ack().await?;
    }
    while acks.try_next().await?.is_some() {}
    let rate = n as f64 / start.elapsed().as_secs_f64();
    js.delete_stream(name).await?;
    Ok(rate)
}

/// Fills a stream, starts the service on it, and waits until all is folded and answered. Rate, peak kB, bytes per event.
async fn shipwatch(
    broker: &Broker,
    js: &jetstream::Context,
    dir: &Path,
    name: &str,
    n: usize,
    make: fn(usize) -> (String, String),
) -> Result<(f64, u64, f64)> {
    let mut stream = keptn_stream(js).await?;
    fill(js, n, make).await?;
    let data = dir.join(name);
    let mut service = Service::start(broker, &data)?;
    // From the first acknowledged group on: starting the process is not what is measured.
    let floor = async |stream: &stream::Stream| {
        stream.consumer_info("shipwatch").await.map(|i| i.ack_floor.stream_sequence).unwrap_or(0)
    };
    let mut begun = (Instant::now(), 0);
    let deadline = Instant::now() + Duration::from_secs(300);
    let end = loop {
        let at = floor(&stream).await;
        if begun.1 == 0 {
            begun = (Instant::now(), at);
        }
        let last = stream.info().await?.state.last_sequence;
        let answered = name != "replies" || last >= 3 * n as u64;
        if at >= n as u64 && answered && at >= last {
            break Instant::now();
        }
        service.running()?;
        if Instant::now() > deadline {
            return Err(format!("not done after 300 s: acknowledged {at} of {last}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let rate = (n as f64 - begun.1 as f64).max(1.0) / (end - begun.0).as_secs_f64();
    let peak = service.peak_kilobytes()?;
    drop(service);
    let bytes = folder_size(&data)? as f64 / n as f64;
    js.delete_stream("bench").await?;
    Ok((rate, peak, bytes))
}

/// Reads a stream without work, then replays it into a throw-away store. Both rates.
async fn replayed(broker: &Broker, dir: &Path, n: usize) -> Result<(f64, f64)> {
    let js = broker.jetstream().await?;
    keptn_stream(&js).await?;
    fill(&js, n, finished).await?;
    let bus = bus::connect(&bus::Settings::url(broker.url()), "bench", Patience::FailFast).await?;
    let limits = GroupLimits { messages: 1024, bytes: 8 << 20 };
    let mut stream = bus::Replay::open(&bus, "bench", Bound::Open, Bound::Open).await?;
    let (start, mut read) = (Instant::now(), 0);
    loop {
        match stream.next_group(limits).await?.len() {
            0 => break,
            some => read += some,
        }
    }
    let plain = read as f64 / start.elapsed().as_secs_f64();
    let [open, update, close, check] = ["open-issue", "update-issue", "close-issue", "check-issues"].map(String::from);
    let settings = Settings {
        tasks: TaskNames { open, update, close, check },
        issue_events: Vec::new(),
        keep_events: Duration::from_secs(30 * 86_400),
        public_url: String::new(),
    };
    let setup = Setup { settings, event_size: 1 << 20, store: store::Options::default(), filter: Filter::default() };
    let source = Source::open(&Place::Stream(Box::new(bus), "bench".into()), Range::ALL, &setup).await?;
    let fold = Fold::begin(&dir.join("replay"), setup, source.from(), Opening::AsTheyCome(RuleSet::builtin()))?;
    let start = Instant::now();
    let folds = replay::drive(source, vec![fold], Default::default(), Default::default()).await?;
    let rate = n as f64 / start.elapsed().as_secs_f64();
    let folded = folds.first().map_or(0, |fold| fold.tally().events);
    if folded != n as u64 {
        return Err(format!("{folded} of {n} events were folded").into());
    }
    Ok((plain, rate))
}

async fn keptn_stream(js: &jetstream::Context) -> Result<stream::Stream> {
    let subjects = ["sh.keptn.>", "dev.>", "com.>", "io.>", "flux.>"].map(String::from).to_vec();
    Ok(js.create_stream(stream::Config { name: "bench".into(), subjects, ..Default::default() }).await?)
}

/// Publish to `finished`, at 100 events a second, beside an echo that does no work.
async fn latency(broker: &Broker, dir: &Path) -> Result<()> {
    let js = broker.jetstream().await?;
    let client = broker.client().await?;
    let mut echo = Vec::new();
    {
        let config = stream::Config { name: "echo".into(), subjects: vec!["echo.>".into()], ..Default::default() };
        let stream = js.create_stream(config).await?;
        let config = consumer::pull::Config {
            durable_name: Some("echo".into()),
            filter_subject: "echo.in".into(),
            ..Default::default()
        };
        let mut messages = stream.create_consumer(config).await?.messages().await?;
        let js2 = js.clone();
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                let _ = js2.publish("echo.out", message.payload.clone()).await;
                let _ = message.ack().await;
            }
        });
        let mut out = client.subscribe("echo.out").await?;
        for i in 0..latency_events() {
            paced(i, &mut echo, async {
                client.publish("echo.in", trigger(i).1.into()).await?;
                out.next().await.ok_or("echo ended")?;
                Ok(())
            })
            .await?;
        }
        task.abort();
        js.delete_stream("echo").await?;
    }
    keptn_stream(&js).await?;
    let service = Service::start(broker, &dir.join("latency"))?;
    let mut out = client.subscribe("sh.keptn.event.open-issue.finished").await?;
    client.flush().await?;
    let mut ours = Vec::new();
    for i in 0..latency_events() + 20 {
        let (subject, body) = trigger(i);
        let mut one = Vec::new();
        paced(i, &mut one, async {
            client.publish(subject, body.into()).await?;
            out.next().await.ok_or("replies ended")?;
            Ok(())
        })
        .await?;
        // The first ones wait for the service to start.
        if i >= 20 {
            ours.append(&mut one);
        }
    }
    let idle = service.peak_kilobytes()?;
    drop(service);
    let at = |samples: &mut Vec<f64>, p: f64| {
        samples.sort_by(f64::total_cmp);
        samples[((samples.len() - 1) as f64 * p) as usize]
    };
    println!("\n{:<44} {:>12} {:>12} {:>7}", "at 100 events/s, publish to reply", "echo ms", "shipwatch ms", "ratio");
    for (name, p) in [("p50", 0.5), ("p99", 0.99)] {
        let (e, o) = (at(&mut echo, p), at(&mut ours, p));
        println!("{name:<44} {e:>12.2} {o:>12.2} {:>7.2}", o / e);
    }
    println!("memory at this load {} MB", idle / 1024);
    Ok(())
}

fn latency_events() -> usize {
    1000
}

async fn paced(i: usize, samples: &mut Vec<f64>, work: impl Future<Output = Result<()>>) -> Result<()> {
    let start = Instant::now();
    tokio::time::timeout(Duration::from_secs(30), work).await.map_err(|_| format!("event {i} was not answered"))??;
    let took = start.elapsed();
    samples.push(took.as_secs_f64() * 1e3);
    tokio::time::sleep(Duration::from_millis(10).saturating_sub(took)).await;
    Ok(())
}

async fn fill(js: &jetstream::Context, n: usize, make: impl Fn(usize) -> (String, String)) -> Result<()> {
    let mut acks = FuturesUnordered::new();
    for i in 0..n {
        let (subject, body) = make(i);
        acks.push(js.publish(subject, body.into()).await?.into_future());
        while acks.len() > 2048 {
            acks.try_next().await?;
        }
    }
    while acks.try_next().await?.is_some() {}
    Ok(())
}

fn folder_size(dir: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        size += if meta.is_dir() { folder_size(&entry.path())? } else { meta.len() };
    }
    Ok(size)
}

/// A nats-server of this run.
struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    async fn start(dir: &Path) -> Result<Broker> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".into());
        let child = Command::new(program)
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
            .arg(dir.join("jetstream"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let broker = Broker { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while broker.client().await.is_err() {
            if Instant::now() > deadline {
                return Err("nats-server did not start".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(broker)
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    async fn client(&self) -> Result<async_nats::Client> {
        Ok(async_nats::connect(self.url()).await?)
    }

    async fn jetstream(&self) -> Result<jetstream::Context> {
        Ok(jetstream::new(self.client().await?))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The release binary.
struct Service(Child);

impl Service {
    fn start(broker: &Broker, data: &Path) -> Result<Service> {
        // Only triggers are answered here: events of issues would be replies by another name.
        let config = data.with_extension("yaml");
        std::fs::write(&config, if data.ends_with("outcomes") { "issueEvents: []\n" } else { "{}\n" })?;
        let program = PathBuf::from(env!("CARGO_BIN_EXE_shipwatch"));
        let child = Command::new(program)
            .args(["serve", "--nats-url", &broker.url(), "--stream", "bench", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .arg("--config")
            .arg(config)
            .env("RUST_LOG", "warn")
            // Not in the repository: what is in its `shipyard` folder would be a team's rules here.
            .current_dir(data.parent().ok_or("the data folder has no parent")?)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Service(child))
    }

    /// Ends the measurement where the service has ended.
    fn running(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the service has ended: {status}").into()),
        }
    }

    fn peak_kilobytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
        Ok(line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
