use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::model::{Model, finished, minute, trigger};
use crate::domain::decision::Fate;
use crate::domain::messages;
use crate::domain::row::{Entry, OwnKind};

const ALL: [&str; 5] = ["active_issues", "active_critical", "reopened", "failure_rate", "mean_time_to_resolve_seconds"];

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A `get-sli` of ours over the minutes from `start` to `end`.
fn asked(start: i64, end: i64, more: Value) -> Value {
    let mut block = json!({"sliProvider": "shipwatch", "start": minute(start), "end": minute(end), "indicators": ALL});
    for (name, value) in more.as_object().unwrap() {
        block[name] = value.clone();
    }
    trigger(&format!("sli-{}", NEXT.fetch_add(1, Ordering::Relaxed)), "get-sli", block, 900)
}

/// `data` of the `finished`.
fn answer(model: &mut Model, event: &Value) -> Value {
    let (decided, messages) = model.feed(event);
    let Entry::Event(r) = &decided.row.entry else { panic!("{event}") };
    assert_eq!(r.decision.fate, Fate::Answered, "{event}: {}", r.decision.why);
    assert_eq!(messages.iter().map(|m| m.kind).collect::<Vec<_>>(), [OwnKind::Started, OwnKind::Finished]);
    assert_eq!(messages[1].subject, "sh.keptn.event.get-sli.finished");
    serde_json::from_slice::<Value>(&messages[1].body).unwrap()["data"].clone()
}

/// The values by metric, where all could be measured.
fn values(model: &mut Model, start: i64, end: i64, more: Value) -> Vec<f64> {
    let data = answer(model, &asked(start, end, more));
    assert_eq!((&data["status"], &data["result"]), (&json!("succeeded"), &json!("pass")), "{data:#}");
    let block = &data["get-sli"];
    assert_eq!((&block["start"], &block["end"]), (&json!(minute(start)), &json!(minute(end))));
    let values = block["indicatorValues"].as_array().unwrap();
    let metrics: Vec<_> = values.iter().map(|v| v["metric"].as_str().unwrap()).collect();
    assert_eq!(metrics, ALL);
    assert!(values.iter().all(|v| v["success"] == true && v["message"].is_string()), "{data:#}");
    values.iter().map(|v| v["value"].as_f64().unwrap()).collect()
}

fn of_service(mut event: Value, service: &str) -> Value {
    event["data"]["service"] = service.into();
    event
}

/// Broken at 10, whole at 20, broken again at 30, and another check broken at 25.
fn story() -> Model {
    let mut m = Model::default();
    for event in [
        finished("1", "test", "r1", "fail", 10),
        finished("2", "test", "r2", "pass", 20),
        finished("3", "deploy", "r3", "warning", 25),
        finished("4", "test", "r4", "fail", 30),
        of_service(finished("5", "test", "r5", "fail", 30), "checkout"),
    ] {
        m.feed(&event);
    }
    m
}

#[test]
fn a_time_frame_is_measured_from_the_history() {
    let mut m = story();
    assert_eq!(values(&mut m, 0, 60, json!({})), [2.0, 0.0, 1.0, 0.5, 600.0]);
    // As it was, not as it is.
    assert_eq!(values(&mut m, 0, 15, json!({})), [1.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(values(&mut m, 15, 22, json!({})), [0.0, 0.0, 0.0, 0.0, 600.0]);
    assert_eq!(values(&mut m, 22, 28, json!({})), [1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(values(&mut m, 40, 60, json!({})), [2.0, 0.0, 0.0, 0.0, 0.0]);
    let mut stage = asked(0, 60, json!({}));
    stage["data"]["service"] = "".into();
    let data = answer(&mut m, &stage);
    assert_eq!(data["get-sli"]["indicatorValues"][0]["value"], 3, "no service is the whole stage");
    let mut other = asked(0, 60, json!({}));
    other["data"]["stage"] = "prod".into();
    assert_eq!(answer(&mut m, &other)["get-sli"]["indicatorValues"][0]["value"], 0);
}

#[test]
fn filters_narrow_and_values_of_one_are_alternatives() {
    let mut m = story();
    let mut count = |filters: Value| values(&mut m, 0, 60, json!({"customFilters": filters}))[0];
    assert_eq!(count(json!([{"key": "check", "value": "test"}])), 1.0);
    assert_eq!(count(json!([{"key": "check", "value": "test"}, {"key": "check", "value": "deploy"}])), 2.0);
    assert_eq!(count(json!([{"key": "check", "value": "test"}, {"key": "severity", "value": "minor"}])), 0.0);
    assert_eq!(count(json!([{"key": "severity", "value": "minor"}])), 1.0);
    assert_eq!(count(json!([{"key": "issueType", "value": "test"}])), 2.0);
    assert_eq!(count(json!([{"key": "resourceType", "value": "component"}])), 2.0);
    assert_eq!(count(json!([{"key": "resourceName", "value": "checkout"}])), 0.0);
    assert_eq!(count(json!([{"key": "service", "value": "carts"}])), 2.0);
    assert_eq!(count(json!([{"key": "label.team", "value": "blue"}])), 0.0);
    m.feed(&trigger("u", "update-issue", json!({"number": 1, "severity": "critical", "labels": {"team": "blue"}}), 40));
    let blue = json!({"customFilters": [{"key": "label.team", "value": "blue"}]});
    assert_eq!(values(&mut m, 0, 60, blue), [1.0, 1.0, 1.0, 2.0 / 3.0, 600.0]);
}

#[test]
fn what_was_taken_back_is_not_measured() {
    let mut m = story();
    let invalidated = json!({"specversion":"1.0","id":"i","source":"user","type":"sh.keptn.event.test.invalidated",
        "triggeredid":"r4","data":{}});
    m.feed(&invalidated);
    assert_eq!(values(&mut m, 0, 60, json!({})), [1.0, 0.0, 0.0, 1.0 / 3.0, 600.0]);
}

#[test]
fn a_wrong_request_is_errored_and_names_the_field() {
    let mut m = story();
    for (more, names) in [
        (json!({"start": "yesterday"}), "start"),
        (json!({"end": 7}), "end"),
        (json!({"start": minute(70)}), "start"),
        (json!({"indicators": "reopened"}), "indicators"),
        (json!({"indicators": ["reopened", 1]}), "indicators[1]"),
        (json!({"customFilters": [{"key": "owner", "value": "x"}]}), "owner"),
        (json!({"customFilters": [{"key": "label.", "value": "x"}]}), "label."),
        (json!({"customFilters": [{"key": "check"}]}), "customFilters[0].value"),
        (json!({"customFilters": [{"key": "severity", "value": "awful"}]}), "awful"),
        (json!({"customFilters": {}}), "customFilters"),
    ] {
        let data = answer(&mut m, &asked(0, 60, more));
        assert_eq!((&data["status"], &data["result"]), (&json!("errored"), &json!("fail")), "{data:#}");
        assert!(data["message"].as_str().unwrap().contains(names), "{names} in {data:#}");
    }
    let mut no_stage = asked(0, 60, json!({}));
    no_stage["data"]["stage"] = Value::Null;
    assert_eq!(answer(&mut m, &no_stage)["message"], "data.stage is missing");
    let mut no_version = asked(0, 61, json!({}));
    no_version.as_object_mut().unwrap().remove("specversion");
    let (decided, messages) = m.feed(&no_version);
    assert!(decided.parked && messages.len() == 2, "it can still be told that it is ours");
}

#[test]
fn what_is_left_out_has_a_default_and_what_is_unknown_is_said() {
    let mut m = story();
    let block = json!({"sliProvider": "shipwatch", "indicators": ["reopened", "error_rate"], "start": "", "end": null});
    let data = answer(&mut m, &trigger("d", "get-sli", block, 40));
    let block = &data["get-sli"];
    assert_eq!((&block["end"], &block["start"]), (&json!(minute(40)), &json!(minute(40 - 24 * 60))));
    assert_eq!(data["result"], "pass");
    assert_eq!(
        (&block["indicatorValues"][0]["value"], &block["indicatorValues"][1]["success"]),
        (&json!(1), &json!(false))
    );
    assert!(block["indicatorValues"][1]["message"].as_str().unwrap().contains("mean_time_to_resolve_seconds"));
    let data = answer(&mut m, &asked(0, 60, json!({"indicators": ["error_rate"]})));
    assert_eq!((&data["status"], &data["result"]), (&json!("succeeded"), &json!("fail")));
    let data = answer(&mut m, &asked(0, 60, json!({"indicators": null})));
    assert_eq!((&data["result"], &data["get-sli"]["indicatorValues"]), (&json!("pass"), &json!([])));
}

#[test]
fn other_providers_are_none_of_our_business() {
    let mut m = story();
    for provider in [json!("prometheus"), json!(null), json!(["shipwatch"])] {
        let event = trigger(&provider.to_string(), "get-sli", json!({"sliProvider": provider}), 1);
        let (decided, messages) = m.feed(&event);
        let Entry::Event(r) = decided.row.entry else { panic!() };
        assert_eq!((r.decision.fate, messages.len()), (Fate::Recorded, 0));
    }
    assert!(messages::subjects(&super::model::settings()).contains(&"sh.keptn.event.get-sli.finished".to_owned()));
}

#[test]
fn a_history_that_is_too_long_is_said_and_a_short_frame_of_it_is_measured() {
    let mut m = Model::default();
    for n in 0..600 {
        m.now = minute(n);
        m.feed(&finished(&n.to_string(), "test", &format!("r{n}"), if n % 2 == 0 { "fail" } else { "pass" }, n));
    }
    let data = answer(&mut m, &asked(0, 600, json!({})));
    assert_eq!(data["status"], "errored");
    assert!(data["message"].as_str().unwrap().contains("customFilters"), "{data:#}");
    assert_eq!(values(&mut m, 500, 598, json!({})), [1.0, 0.0, 50.0, 50.0 / 99.0, 60.0]);
}

proptest::proptest! {
    #[test]
    fn the_measures_are_those_of_a_plain_computation(
        steps in proptest::collection::vec((0i64..60, 0u8..3), 0..25),
        (a, b) in (0i64..60, 0i64..60),
    ) {
        let (start, end) = (a.min(b), a.max(b));
        let mut m = Model::default();
        // One check whose newest outcome wins: its episodes as (from, until), and all outcomes.
        let (mut newest, mut episodes, mut failures, mut all) = (-1, Vec::<(i64, Option<i64>)>::new(), 0, 0);
        for (n, (at, result)) in steps.iter().enumerate() {
            let result = ["pass", "warning", "fail"][*result as usize];
            m.feed(&finished(&format!("e{n}"), "test", &format!("r{n}"), result, *at));
            if (start..=end).contains(at) {
                all += 1;
                failures += i32::from(result == "fail");
            }
            if *at < newest {
                continue;
            }
            newest = *at;
            let open = episodes.last().is_some_and(|(_, until)| until.is_none());
            match (result, open) {
                ("pass", true) => episodes.last_mut().unwrap().1 = Some(*at),
                ("pass", false) | (_, true) => {}
                (_, false) => episodes.push((*at, None)),
            }
        }
        let within = |at: i64| (start..=end).contains(&at);
        let active = episodes.iter().filter(|(from, until)| *from <= end && until.is_none_or(|u| u > end)).count();
        let reopened = episodes.iter().skip(1).filter(|(from, _)| within(*from)).count();
        let resolved: Vec<f64> = episodes.iter().filter_map(|(from, until)| {
            until.filter(|u| within(*u)).map(|u| ((u - from) * 60) as f64)
        }).collect();
        let mean = if resolved.is_empty() { 0.0 } else { resolved.iter().sum::<f64>() / resolved.len() as f64 };
        let rate = if all == 0 { 0.0 } else { f64::from(failures) / f64::from(all) };
        proptest::prop_assert_eq!(values(&mut m, start, end, json!({})), vec![active as f64, 0.0, reopened as f64, rate, mean]);
    }
}
