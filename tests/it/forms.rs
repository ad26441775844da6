//! How events may be carried, and what becomes of messages that are none.

use serde_json::{Value, json};

use crate::support::{Keptn, Nats, World, task_finished};

const SUBJECT: &str = "sh.keptn.event.test.finished";

fn failure(service: &str) -> Keptn {
    task_finished("test").id(&format!("of-{service}")).service(service).result("fail")
}

/// The form that the decision names, once the event is folded and has opened its issue.
async fn form_of(world: &World, service: &str) -> Value {
    let decision = world.service().folded(&format!("of-{service}")).await;
    world.only_issue(&format!("service={service}")).await;
    decision["form"].clone()
}

#[tokio::test]
async fn an_event_counts_in_every_form() {
    let world = World::start().await;
    let publish = async |service: &str, headers: &[(&str, &str)], body: Value| {
        world.bus.publish_raw(SUBJECT, headers, body.to_string()).await;
        form_of(&world, service).await
    };
    assert_eq!(publish("bare", &[], failure("bare").into()).await, "bare");
    let unrelated = [("Nats-Msg-Id", "1"), ("X-Other", "ce")];
    assert_eq!(publish("headers", &unrelated, failure("headers").into()).await, "bare");
    for (service, content_type) in [
        ("plain", "application/cloudevents+json"),
        ("charset", "application/cloudevents+json; charset=UTF-8"),
        ("capitals", "Application/CloudEvents+JSON"),
    ] {
        assert_eq!(publish(service, &[("content-type", content_type)], failure(service).into()).await, "structured");
    }

    // Keptn's Go models say `contenttype`.
    let old = failure("old").without("datacontenttype").attribute("contenttype", "application/json");
    assert_eq!(publish("old", &[], old.into()).await, "bare");
    // Batches, with and without saying so.
    for (service, other, headers) in [
        ("batch-1", "batch-2", &[("Content-Type", "application/cloudevents-batch+json")][..]),
        ("batch-3", "batch-4", &[][..]),
    ] {
        let body = json!([failure(service).json(), failure(other).json()]);
        assert_eq!(publish(service, headers, body).await, "batch");
        assert_eq!(form_of(&world, other).await, "batch");
    }
}

#[tokio::test]
async fn a_publisher_on_core_nats_needs_no_change() {
    let world = World::start().await;
    world.bus.client.publish(SUBJECT, failure("carts").json().to_string().into()).await.unwrap();
    world.bus.client.flush().await.unwrap();
    assert_eq!(form_of(&world, "carts").await, "bare");
}

#[tokio::test]
async fn binary_mode_is_read_in_both_dialects() {
    let world = World::start().await;
    let data = |service: &str| failure(service).json()["data"].to_string();
    for (service, content_type, message) in [("spec", "ce-datacontenttype", "a%20b"), ("golang", "content-type", "a b")]
    {
        let id = format!("of-{service}");
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", id.as_str()),
            ("CE-Source", "jmeter-service"),
            ("ce-type", SUBJECT),
            ("ce-shkeptncontext", "c1"),
            ("ce-triggeredid", "r1"),
            ("ce-note", message),
            (content_type, "application/json"),
        ];
        world.bus.publish_raw(SUBJECT, &headers, data(service)).await;
        assert_eq!(form_of(&world, service).await, "binary");
        let issue = world.only_issue(&format!("service={service}")).await;
        assert_eq!(issue["keptnContext"], "c1");
        let decision = world.service().folded(&id).await;
        assert_eq!(decision["event"]["note"], "a b", "{decision:#}");
    }
}

#[tokio::test]
async fn the_type_counts_and_not_the_subject() {
    let world = World::start().await;
    world.bus.publish_json("sh.keptn.somewhere.else", failure("carts").json()).await;
    form_of(&world, "carts").await;
}

#[tokio::test]
async fn unknown_attributes_are_kept_and_odd_text_does_no_harm() {
    let world = World::start().await;
    let odd = "nul \u{0} bell \u{7} quote \" tag <b> emoji 🚢 \u{202e}";
    let event = failure("carts").attribute("myextension", "kept").attribute("mynumber", 1.5).message(odd);
    world.bus.publish(event).await;
    let decision = world.service().folded("of-carts").await;
    assert_eq!(decision["event"]["myextension"], "kept");
    assert_eq!(decision["event"]["mynumber"], 1.5);
    let issue = world.only_issue("").await;
    assert!(issue["description"].as_str().unwrap().contains("🚢"));
}

#[tokio::test]
async fn what_is_too_large_is_parked_and_the_next_event_is_handled() {
    let world = World::on(Nats::with_config("max_payload: 16MB\n").await, None).await;
    let many: serde_json::Map<String, Value> =
        (0..200_000).map(|n| (format!("label-{n:06}"), json!("x".repeat(40)))).collect();
    let event = failure("large").data("labels", Value::Object(many));
    assert!(event.json().to_string().len() > 10_000_000);
    let sequence = world.bus.publish_json(SUBJECT, event.json()).await;
    world.bus.publish(failure("next")).await;
    form_of(&world, "next").await;
    let parked = world.service().all("/api/v1/parked").await;
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0]["sequence"], sequence);
    assert!(parked[0]["reason"].as_str().unwrap().contains("limit"), "{}", parked[0]["reason"]);
    world.only_issue("").await;
}

#[tokio::test]
async fn many_labels_below_the_limit_are_fine() {
    let world = World::start().await;
    let many: serde_json::Map<String, Value> =
        (0..5_000).map(|n| (format!("label-{n}"), json!("x".repeat(50)))).collect();
    world.bus.publish(failure("carts").data("labels", Value::Object(many))).await;
    form_of(&world, "carts").await;
    let issue = world.only_issue(&format!("label.label-4999={}", "x".repeat(50))).await;
    assert_eq!(issue["labels"].as_object().unwrap().len(), 5_000);
}
