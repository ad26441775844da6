//! A story for each kind of event that the built-in packs decide, told by the samples.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shipwatch::domain::rules::RuleSet;

use crate::samples::read;
use crate::support::{World, repo};

/// A failure, what is neutral about the same thing, and the success, by the names of their samples.
type Story = [&'static str; 3];

const KEPTN: &[Story] = &[
    ["build.finished.fail", "build.started", "build.finished.pass"],
    ["test.finished.fail", "test.finished.aborted", "test.finished.pass"],
    ["evaluation.finished.fail", "evaluation.triggered", "evaluation.finished.pass"],
    ["sequence.finished.fail", "sequence.finished.aborted", "sequence.finished.pass"],
    ["problem.open", "log.error", "problem.resolved"],
];
const KITE: &[Story] = &[
    ["pipeline.failure", "mintmaker-custom.no-logs", "pipeline.success"],
    ["release.failure", "mintmaker-custom.no-logs", "release.success"],
    ["build.failure", "mintmaker-custom.no-logs", "build.success"],
    ["deployment.failure", "mintmaker-custom.no-logs", "deployment.success"],
    ["security-scan.failure", "mintmaker-custom.no-logs", "security-scan.success"],
    ["mintmaker-custom.failure", "mintmaker-custom.no-logs", "mintmaker-custom.success"],
];
const TEKTON: &[Story] = &[
    ["pipelinerun.failed", "pipelinerun.cancelled", "pipelinerun.successful"],
    ["taskrun.failed", "taskrun.cancelled", "taskrun.successful"],
    ["customrun.failed", "customrun.cancelled", "customrun.successful"],
    ["run.failed", "run.cancelled", "run.successful"],
];
const CDEVENTS: &[Story] = &[
    ["pipelinerun.finished.failure", "pipelinerun.finished.cancel", "pipelinerun.finished.success"],
    ["pipelinerun.finished.failure.bare", "pipelinerun.finished.cancel.bare", "pipelinerun.finished.success.bare"],
    ["taskrun.finished.failure", "taskrun.finished.cancel", "taskrun.finished.success"],
    ["build.finished.failure", "build.finished.cancel", "build.finished"],
    ["testcaserun.finished.fail", "testcaserun.finished.cancel", "testcaserun.finished.success"],
    ["testsuiterun.finished.failure", "testsuiterun.finished.cancel", "testsuiterun.finished.success"],
    ["testcase.finished.failed", "testcase.finished.aborted", "testcase.finished.passed"],
    ["testsuite.finished.failed", "testsuite.finished.aborted", "testsuite.finished.passed"],
    ["service.rolledback", "ticket.created", "service.upgraded"],
    ["incident.reported", "ticket.created", "incident.resolved"],
    ["approval.closed.rejected", "approval.closed.cancelled", "approval.closed.approved"],
];
const GITHUB: &[Story] = &[
    ["workflow_run.failure", "workflow_run.cancelled", "workflow_run.success"],
    ["workflow_job.failure", "workflow_job.cancelled", "workflow_job.success"],
    ["check_run.failure", "check_run.skipped", "check_run.success"],
    ["check_suite.failure", "check_suite.stale", "check_suite.success"],
    ["deployment_status.failure", "deployment_status.inactive", "deployment_status.success"],
    ["status.failure", "status.pending", "status.success"],
];
const GITLAB: &[Story] =
    &[["pipeline.failed", "pipeline.canceled", "pipeline.success"], ["job.failed", "job.canceled", "job.success"]];
const ARGOCD: &[Story] = &[
    ["sync.failed", "sync.terminating", "sync.succeeded"],
    ["health.degraded", "health.progressing", "health.healthy"],
];
const FLUX: &[Story] = &[
    ["kustomization.failed", "kustomization.progressing", "kustomization.succeeded"],
    ["helmrelease.failed", "helmrelease.rolled-back", "helmrelease.succeeded"],
];
const KUBERNETES: &[Story] = &[
    ["event.warning", "event.normal", "event.warning.forgotten"],
    ["event.warning.newer", "event.normal", "event.warning.newer.forgotten"],
];

/// All stories, by pack.
const PACKS: [(&str, &[Story]); 9] = [
    ("keptn", KEPTN),
    ("kite", KITE),
    ("tekton", TEKTON),
    ("cdevents", CDEVENTS),
    ("github", GITHUB),
    ("gitlab", GITLAB),
    ("argocd", ARGOCD),
    ("flux", FLUX),
    ("kubernetes", KUBERNETES),
];

/// Publishes a sample as an event of a story's own, and waits for its decision.
async fn tell(world: &World, sample: &str, story: &str) -> Value {
    let mut event = read(&repo(&format!("events/{sample}.json")));
    // Stories that share a sample have each an event of their own.
    if let Some(id) = event["id"].as_str() {
        event["id"] = format!("{id} of {story}").into();
    }
    let subject = event["type"].as_str().or(event["context"]["type"].as_str()).unwrap_or("flux.prod");
    world.bus.publish_json(subject, &event).await;
    let id = match RuleSet::builtin().lift(subject, &event) {
        Some(lifted) => lifted.unwrap().id.to_string(),
        None => event["id"].as_str().unwrap().to_owned(),
    };
    let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    world.service().folded(&id.replace('+', "%20")).await
}

/// The failure opens an issue, what is neutral leaves it as it is, and the success resolves it.
#[tokio::test]
async fn in_every_pack_a_failure_opens_a_success_resolves_and_a_cancelled_run_changes_nothing() {
    // The samples have their times for ever, and none of them may be too old.
    let world = World::with_config("retention: {events: 36500d}\n").await;
    let mut decided = BTreeSet::new();
    for (pack, [failure, neutral, success]) in PACKS.iter().flat_map(|(pack, all)| all.iter().map(move |s| (pack, s))) {
        let at = |name: &str| format!("{pack}/{name}");
        let opening = tell(&world, &at(failure), failure).await;
        let id = opening["issueId"].as_str().unwrap_or_else(|| panic!("{pack}/{failure}: {opening:#}"));
        let issue = async || world.service().get(&format!("/api/v1/issues/{id}")).await;
        let opened = issue().await;
        assert_eq!(opening["outcome"], "failure", "{pack}/{failure}: {opening:#}");
        assert_eq!((&opened["state"], &opened["episodes"]), (&json!("ACTIVE"), &json!(1)), "{pack}/{failure}");

        let nothing = tell(&world, &at(neutral), failure).await;
        assert_eq!(nothing["outcome"], "neutral", "{pack}/{neutral}: {nothing:#}");
        assert_eq!(issue().await, opened, "{pack}/{neutral} changes nothing");

        let closing = tell(&world, &at(success), failure).await;
        assert_eq!(closing["outcome"], "success", "{pack}/{success}: {closing:#}");
        let resolved = issue().await;
        assert_eq!(resolved["state"], "RESOLVED", "{pack}/{success}: {resolved:#}");
        decided.extend([opening, closing].map(|decision| decision["rule"].as_str().unwrap().to_owned()));
    }
    // No rule is left out but those that say why something is neutral or does not matter.
    let words =
        ["-of-pipeline", "-pull-request", "-of-actions", "merge-request", "-other", "-progress", "-log", "-management"];
    let rules = RuleSet::builtin();
    let names = rules.rules().map(|rule| rule.name.to_owned());
    let all: BTreeSet<String> = names.filter(|name| !words.iter().any(|word| name.ends_with(word))).collect();
    assert_eq!(decided, all);
}
