//! The durable consumer: found or made, and its configuration read back before it is trusted.

use async_nats::jetstream::consumer::{AckPolicy, Config, Consumer, DeliverPolicy, FromConsumer, Info, pull};
use async_nats::jetstream::stream::{self, RetentionPolicy};
use async_nats::jetstream::{self, ErrorCode};
use serde_json::json;
use std::time::Duration;

use super::connect::{Asked, Bus};
use super::error::quoted;
use super::subjects::covers;
use super::{Error, StreamWish};

/// After this long without an acknowledgement the broker delivers again. What comes twice is told by its sequence.
const ACK_WAIT: Duration = Duration::from_secs(60);
/// Delivered and not acknowledged: room for what is buffered here and a few groups on their way through the fold.
const MAX_ACK_PENDING: i64 = 64 * 1024;
/// Messages of one pull request. The client asks again at half of it, so that the next group is already here.
const BATCH: usize = 4096;
/// Bytes of one pull request.
const BATCH_BYTES: usize = 16 << 20;
const HEARTBEAT: Duration = Duration::from_secs(5);
const EXPIRES: Duration = Duration::from_secs(30);

/// Which subjects of the stream a consumer sees; empty is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(pub Vec<String>);

impl Filter {
    fn of(config: &Config) -> Filter {
        let one = Some(config.filter_subject.clone()).filter(|f| !f.is_empty() && f != ">");
        Filter(one.into_iter().chain(config.filter_subjects.iter().cloned()).collect())
    }

    pub(super) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the filter into a configuration; brokers before 2.10 know one subject only.
    pub(super) fn apply(&self, config: &mut Config) {
        match self.0.as_slice() {
            [one] => config.filter_subject.clone_from(one),
            many => config.filter_subjects = many.to_vec(),
        }
    }
}

/// The durable as it was when it was looked at.
#[derive(Debug)]
pub(super) struct Durable {
    pub info: Info,
    pub filter: Filter,
    /// Made just now.
    pub made: bool,
}

impl Durable {
    pub(super) fn ack_policy(&self) -> AckPolicy {
        self.info.config.ack_policy
    }
}

/// Binds to the durable `name`, or makes it so that it delivers what comes behind `after`.
pub(super) async fn bind(bus: &Bus, stream: &stream::Info, name: &str, after: u64) -> Result<Durable, Error> {
    if name.is_empty() || name.contains(['.', '*', '>', ' ', '/', '\\']) {
        return Err(Error::Settings(format!("{name:?} is not a name for a durable consumer")));
    }
    let of = &stream.config.name;
    let asked: Result<Info, Asked> =
        bus.api(&format!("read consumer {name:?}"), format!("CONSUMER.INFO.{of}.{name}"), &json!({})).await;
    match asked {
        Ok(info) => {
            usable(&info)?;
            Ok(Durable { filter: Filter::of(&info.config), info, made: false })
        }
        Err(asked) if asked.is(ErrorCode::CONSUMER_NOT_FOUND) => {
            let info = make(bus, stream, name, after).await?;
            Ok(Durable { filter: Filter::default(), info, made: true })
        }
        Err(asked) => Err(asked.error),
    }
}

/// The last stream sequence that the durable delivered to anybody.
pub(super) async fn delivered(bus: &Bus, stream: &str, name: &str) -> Result<u64, Error> {
    let info: Info =
        bus.api(&format!("read consumer {name:?}"), format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await?;
    Ok(info.delivered.stream_sequence)
}

/// What a durable that somebody made with a filter does not let through.
pub(super) async fn unseen(bus: &Bus, stream: &str, wish: &StreamWish) -> Result<Option<String>, Error> {
    let name = &wish.durable;
    let info: Info =
        bus.api(&format!("read consumer {name:?}"), format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await?;
    let filter = Filter::of(&info.config);
    let lacks: Vec<_> = wish.subjects.iter().filter(|w| !filter.0.iter().any(|f| covers(f, w))).collect();
    Ok((!filter.is_all() && !lacks.is_empty()).then(|| {
        format!(
            "consumer {name:?} on stream {stream:?} has a filter that lacks {}: those events are not seen",
            quoted(lacks)
        )
    }))
}

async fn make(bus: &Bus, stream: &stream::Info, name: &str, after: u64) -> Result<Info, Error> {
    let of = &stream.config.name;
    // A work queue gives each message to one acknowledgement, and only from its head.
    let queue = stream.config.retention == RetentionPolicy::WorkQueue;
    let cap = stream.config.consumer_limits.as_ref().map_or(0, |l| l.max_ack_pending);
    let wanted = Config {
        durable_name: Some(name.to_owned()),
        name: Some(name.to_owned()),
        description: Some("Shipwatch: how far the stream is folded".into()),
        deliver_policy: match after {
            _ if queue => DeliverPolicy::All,
            0 => DeliverPolicy::All,
            _ => DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
        },
        ack_policy: if queue { AckPolicy::Explicit } else { AckPolicy::All },
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: if cap > 0 { MAX_ACK_PENDING.min(cap) } else { MAX_ACK_PENDING },
        ..Config::default()
    };
    let what = format!("create consumer {name:?} on stream {of:?}");
    let body = json!({"stream_name": of, "config": wanted, "action": "create"});
    let made: Result<Info, Asked> = bus.api(&what, format!("CONSUMER.CREATE.{of}.{name}"), &body).await;
    let made = made.map_err(|asked| match asked.error {
        Error::NotAllowed { why, .. } => Error::Consumer(format!(
            "not allowed to {what} ({why}); have it done with: \
             nats consumer add {of} {name} --pull --ack all --deliver all --defaults"
        )),
        other => other,
    })?;
    let got = &made.config;
    let mut differs = Vec::new();
    if got.ack_policy != wanted.ack_policy {
        differs.push(format!("ack policy {:?} instead of {:?}", got.ack_policy, wanted.ack_policy));
    }
    if !Filter::of(got).is_all() {
        differs.push(format!("a filter on {}", quoted(Filter::of(got).0)));
    }
    if got.deliver_policy != wanted.deliver_policy {
        differs.push(format!("deliver policy {:?} instead of {:?}", got.deliver_policy, wanted.deliver_policy));
    }
    if got.max_deliver > 0 {
        differs.push(format!("at most {} deliveries", got.max_deliver));
    }
    if got.durable_name.as_deref() != Some(name) {
        differs.push("no durable name".into());
    }
    if !differs.is_empty() {
        return Err(Error::Consumer(format!(
            "the broker ({}) made consumer {name:?} on stream {of:?} differently from what was asked: {}",
            bus.server_version(),
            differs.join(", ")
        )));
    }
    usable(&made)?;
    tracing::info!(stream = %of, consumer = name, after, "created the durable consumer");
    Ok(made)
}

/// Whether a consumer, perhaps made by somebody else, can be read from.
fn usable(info: &Info) -> Result<(), Error> {
    let (name, stream, config) = (&info.name, &info.stream_name, &info.config);
    let refuse = |why: &str| {
        Err(Error::Consumer(format!(
            "consumer {name:?} on stream {stream:?} {why}; use another name with --durable, or delete it with: \
             nats consumer rm {stream} {name}"
        )))
    };
    if config.deliver_subject.is_some() {
        return refuse("is a push consumer, a pull consumer is needed");
    }
    if config.headers_only {
        return refuse("delivers headers without bodies");
    }
    if config.durable_name.is_none() {
        return refuse("is not durable");
    }
    Ok(())
}

/// Begins to pull from a consumer, durable or not.
pub(super) async fn pull(bus: &Bus, info: &Info) -> Result<pull::Stream, Error> {
    let broken = |e: &dyn std::fmt::Display| Error::Consumer(format!("consumer {:?}: {e}", info.name));
    let limits = &info.config;
    let config = pull::Config::try_from_consumer_config(limits.clone()).map_err(|e| broken(&e))?;
    let cap = |wish: usize, limit: i64| usize::try_from(limit).ok().filter(|l| *l > 0).map_or(wish, |l| wish.min(l));
    // A request smaller than a message would never be answered.
    let bytes = BATCH_BYTES.max(bus.max_payload().saturating_mul(2));
    let expires = if limits.max_expires.is_zero() { EXPIRES } else { EXPIRES.min(limits.max_expires) };
    let consumer: Consumer<pull::Config> = Consumer::new(config, info.clone(), bus.js.clone());
    let messages = consumer
        .stream()
        .max_messages_per_batch(cap(BATCH, limits.max_batch))
        .max_bytes_per_batch(cap(bytes, limits.max_bytes))
        .heartbeat(HEARTBEAT.min(expires / 2))
        .expires(expires)
        .messages();
    messages.await.map_err(|e| Error::Broker { what: format!("a pull from {:?}", info.name), why: e.to_string() })
}

/// Makes a consumer that leaves no trace: in memory, without acknowledgement, gone 30 seconds after its last use.
pub(super) async fn ephemeral(
    bus: &Bus,
    stream: &str,
    filter: &Filter,
    deliver_policy: DeliverPolicy,
) -> Result<Info, Asked> {
    let mut config = jetstream::consumer::Config {
        deliver_policy,
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(30),
        memory_storage: true,
        num_replicas: 1,
        ..Config::default()
    };
    filter.apply(&mut config);
    let what = format!("create a reading consumer on stream {stream:?}");
    let body = json!({"stream_name": stream, "config": config, "action": "create"});
    let info: Info = bus.api(&what, format!("CONSUMER.CREATE.{stream}"), &body).await?;
    if Filter::of(&info.config) != *filter {
        return Err(Error::Consumer(format!(
            "the broker ({}) does not keep the filter {} of a consumer on stream {stream:?}",
            bus.server_version(),
            quoted(&filter.0)
        ))
        .into());
    }
    Ok(info)
}
