//! The broker's side: reachable, with JetStream, a stream and a consumer.

use super::report::{Check, Report};
use crate::cli::wiring::{self, Broker};
use crate::config::Config;

/// What the built-in rules read.
const SUBJECTS: &[&str] = &["sh.keptn.>", "dev.tekton.>", "dev.cdevents.>", "dev.shipwatch.>"];

/// The oldest server that is supported.
const OLDEST: (u32, u32) = (2, 9);

/// Checks the broker; gives it where it can be published to.
pub(super) async fn checks(config: &Config, report: &mut Report) -> Option<impl Broker + use<>> {
    let broker = match wiring::connect(&config.nats).await {
        Ok(broker) => broker,
        Err(error) => {
            let urls = config.nats.urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let advice = format!("is a nats-server running at {urls}? --nats-url or SHIPWATCH_NATS_URL names another");
            report.add(Check::fail("broker", format!("{error:#}"), advice));
            return None;
        }
    };
    inspect(&broker, config, report).await.then_some(broker)
}

async fn inspect(broker: &impl Broker, config: &Config, report: &mut Report) -> bool {
    let version = broker.version();
    if is_old(&version) {
        let advice = format!("nats-server {}.{} or newer is needed", OLDEST.0, OLDEST.1);
        report.add(Check::warn("broker", format!("connected, version {version}"), advice));
    } else {
        report.add(Check::ok("broker", format!("connected, version {version}")));
    }
    if let Err(error) = broker.jetstream().await {
        let advice = "start nats-server with -js, and allow it for this account";
        report.add(Check::fail("jetstream", format!("{error:#}"), advice));
        return false;
    }
    report.add(Check::ok("jetstream", "enabled"));
    match stream(broker, config, report).await {
        Ok(Some(name)) => consumer(broker, &name, config, report).await,
        Ok(None) => {}
        Err(error) => report.add(Check::fail("stream", format!("{error:#}"), "may this user list streams?")),
    }
    true
}

/// The stream that is read, as far as it can be told from outside.
async fn stream(broker: &impl Broker, config: &Config, report: &mut Report) -> anyhow::Result<Option<String>> {
    let mut held = Vec::new();
    for subject in SUBJECTS {
        held.push((subject, broker.stream_of(subject).await?));
    }
    let missing: Vec<&str> = held.iter().filter(|(_, stream)| stream.is_none()).map(|(subject, _)| **subject).collect();
    let names: Vec<&String> = held.iter().filter_map(|(_, stream)| stream.as_ref()).collect();
    let told = held
        .iter()
        .filter_map(|(subject, stream)| Some(format!("{subject} in {}", stream.as_ref()?)))
        .collect::<Vec<_>>()
        .join(", ");
    if !missing.is_empty() {
        let what = if told.is_empty() { "no stream holds our subjects".to_owned() } else { told };
        let advice = format!("`shipwatch serve` makes one for {}, where it may", missing.join(", "));
        report.add(Check::warn("stream", what, advice));
    } else {
        report.add(Check::ok("stream", told));
    }
    if config.nats.stream.is_none() && names.iter().any(|name| *name == "shipwatch") {
        let ours = held.iter().any(|(subject, name)| **subject == "sh.keptn.>" && name.as_deref() == Some("shipwatch"));
        if ours {
            let advice = "fine without Keptn; with it, remove the stream, let Keptn make its own and set nats.stream";
            report.add(Check::warn(
                "keptn",
                "the stream `shipwatch` holds sh.keptn.>: Keptn cannot make its own",
                advice,
            ));
        }
    }
    let default = || names.iter().find(|name| **name == "shipwatch").or(names.first()).map(|name| (*name).clone());
    Ok(config.nats.stream.clone().or_else(default))
}

async fn consumer(broker: &impl Broker, stream: &str, config: &Config, report: &mut Report) {
    let durable = &config.nats.durable;
    match broker.consumer(stream, durable).await {
        Ok(Some(found)) => {
            let what = format!(
                "{durable} on {stream}: {} not read yet, {} not acknowledged",
                found.pending, found.unacknowledged
            );
            report.add(Check::ok("consumer", what));
        }
        Ok(None) => {
            let advice = "`shipwatch serve` makes it; is --durable right?";
            report.add(Check::warn("consumer", format!("{stream} has no consumer {durable}"), advice));
        }
        Err(error) => report.add(Check::fail("consumer", format!("{error:#}"), "may this user look at consumers?")),
    }
}

/// Older than what is supported. A version that cannot be read is not held against it.
fn is_old(version: &str) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    matches!((parts.next(), parts.next()), (Some(major), Some(minor)) if (major, minor) < OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::FakeBroker;
    use crate::config::{Mistakes, RawConfig, check};

    #[tokio::test]
    async fn what_is_missing_is_said() {
        let config = check(&RawConfig::default(), Mistakes::default()).unwrap();
        let mut report = Report::default();
        assert!(inspect(&FakeBroker::default(), &config, &mut report).await);
        insta::assert_snapshot!(report.lines().join("\n"), @r###"
        broker Warn: connected, version 2.8.4
        jetstream Ok: enabled
        stream Warn: sh.keptn.> in kept
        consumer Ok: shipwatch on kept: 3 not read yet, 1 not acknowledged
        "###);
        assert!(report.is_good());
    }

    #[test]
    fn versions_before_2_9_are_old() {
        assert!(is_old("2.8.4") && is_old("1.0.0"));
        assert!(!is_old("2.9.10") && !is_old("2.12.0-RC.1") && !is_old(""));
    }
}
