//! All metrics, by name. Whoever measures calls a function here, so that a name is written once.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::domain::issue::{Severity, State};

/// Bounds of the histograms of time, in seconds.
const SECONDS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bounds of the histogram of group sizes.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Makes the recorder of this process and says what each metric is. The handle renders them for Prometheus.
///
/// # Errors
/// Where a recorder is there already.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Full("shipwatch_group_size".into()), SIZES)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|e| anyhow::anyhow!("metrics: {e}"))?;
    describe_counter!("shipwatch_events_total", "Events folded, by family of type and by outcome");
    describe_counter!("shipwatch_passed_over_total", "Messages on subjects that no pack, rule or adapter names");
    describe_counter!("shipwatch_missed_events_total", "Messages that the stream dropped before they were folded");
    describe_counter!("shipwatch_reload_failures_total", "Changed rules that were not taken");
    describe_gauge!("shipwatch_lag", "Messages that the stream holds behind the fold");
    describe_histogram!("shipwatch_group_size", "Events that shared one commit");
    describe_histogram!("shipwatch_commit_seconds", Unit::Seconds, "Time of one commit, flush and sync included");
    describe_histogram!("shipwatch_publish_seconds", Unit::Seconds, "Time from a publish to its ack");
    describe_gauge!("shipwatch_outbox_depth", "Messages owed to the stream");
    describe_counter!("shipwatch_deliveries_total", "Calls of webhooks, by whether they succeeded or failed");
    describe_gauge!("shipwatch_deliveries_pending", "Calls of webhooks that are owed");
    describe_gauge!("shipwatch_parked", "Messages that could not be handled");
    describe_gauge!("shipwatch_issues", "Issues, by state and severity");
    describe_gauge!("shipwatch_build_info", "1, with the version as label");
    gauge!("shipwatch_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    counter!("shipwatch_missed_events_total").absolute(0);
    counter!("shipwatch_reload_failures_total").absolute(0);
    counter!("shipwatch_passed_over_total").absolute(0);
    outbox_depth(0);
    calls_waiting(0);
    lag(0);
    parked(0);
    Ok(handle)
}

/// The family of an event, by its type.
pub fn family(ty: &str) -> &'static str {
    const FAMILIES: &[(&str, &str)] = &[
        ("sh.keptn.", "keptn"),
        ("dev.shipwatch.", "shipwatch"),
        ("dev.tekton.", "tekton"),
        ("dev.cdevents.", "cdevents"),
        ("com.github.", "github"),
        ("com.gitlab.", "gitlab"),
        ("io.argoproj.", "argo"),
        ("dev.knative.", "kubernetes"),
        ("io.fluxcd.", "flux"),
    ];
    FAMILIES.iter().find(|(prefix, _)| ty.starts_with(prefix)).map_or("other", |(_, family)| family)
}

/// An event was folded.
pub fn event(family: &'static str, outcome: &'static str) {
    counter!("shipwatch_events_total", "family" => family, "outcome" => outcome).increment(1);
}

/// A webhook was called, well or not.
pub fn delivery(ok: bool) {
    counter!("shipwatch_deliveries_total", "outcome" => if ok { "succeeded" } else { "failed" }).increment(1);
}

/// Calls that are owed.
pub fn calls_waiting(n: usize) {
    gauge!("shipwatch_deliveries_pending").set(n as f64);
}

/// Messages were passed over.
pub fn passed_over(n: u64) {
    if n > 0 {
        counter!("shipwatch_passed_over_total").increment(n);
    }
}

/// The stream dropped messages before they were folded.
pub fn missed(n: u64) {
    counter!("shipwatch_missed_events_total").increment(n);
}

/// Changed rules were not taken.
pub fn reload_failed() {
    counter!("shipwatch_reload_failures_total").increment(1);
}

/// A group was committed.
pub fn commit(size: usize, took: Duration) {
    histogram!("shipwatch_group_size").record(size as f64);
    histogram!("shipwatch_commit_seconds").record(took.as_secs_f64());
}

/// A message was taken by the stream.
pub fn publish_seconds(took: Duration) {
    histogram!("shipwatch_publish_seconds").record(took.as_secs_f64());
}

/// Messages behind the fold.
pub fn lag(n: u64) {
    gauge!("shipwatch_lag").set(n as f64);
}

/// Messages owed.
pub fn outbox_depth(n: usize) {
    gauge!("shipwatch_outbox_depth").set(n as f64);
}

/// Messages parked.
pub fn parked(n: u64) {
    gauge!("shipwatch_parked").set(n as f64);
}

/// Issues in a state with a severity.
pub fn issues(state: State, severity: Severity, n: u64) {
    gauge!("shipwatch_issues", "state" => state.as_str(), "severity" => severity.as_str()).set(n as f64);
}
