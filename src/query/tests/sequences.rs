//! Sequences: the list, its pages and filters, and timelines.

use super::*;

/// An event of a context; `n` makes its id and time.
fn event(n: usize, ty: &str, context: &str, stage: &str, more: serde_json::Value) -> String {
    let mut event = json!({
        "specversion": "1.0", "id": format!("{context}-{n}"), "source": "ci", "type": format!("sh.keptn.event.{ty}"),
        "time": minute(n as i64), "shkeptncontext": context,
        "data": {"project": "shop", "service": "carts", "stage": stage},
    });
    for (name, value) in more.as_object().unwrap() {
        match name.as_str() {
            "triggeredid" | "source" => event[name] = value.clone(),
            _ => event["data"][name] = value.clone(),
        }
    }
    event.to_string()
}

/// A delivery with one task, in one stage; `result` none leaves it open.
fn delivery(n: usize, context: &str, stage: &str, result: Option<&str>) -> Vec<String> {
    let task = |n: usize| json!({ "triggeredid": format!("{context}-{n}"), "status": "succeeded", "result": result });
    let mut events = vec![
        event(n, &format!("{stage}.delivery.triggered"), context, stage, json!({})),
        event(n + 1, "test.triggered", context, stage, json!({})),
        event(n + 2, "test.started", context, stage, json!({ "triggeredid": format!("{context}-{}", n + 1) })),
    ];
    if result.is_some() {
        events.push(event(n + 3, "test.finished", context, stage, task(n + 1)));
        events.push(event(n + 4, &format!("{stage}.delivery.finished"), context, stage, task(n)));
    }
    events
}

fn names(list: &serde_json::Value) -> String {
    column(list, "keptnContext").join(" ")
}

#[tokio::test]
async fn contexts_are_listed_by_their_beginning_and_filtered() {
    let mut endpoint = Endpoint::new();
    endpoint.fold(&delivery(1, "a", "dev", Some("pass")));
    endpoint.fold(&delivery(10, "b", "dev", Some("fail")));
    endpoint.fold(&delivery(20, "c", "dev", None));
    // The oldest goes on to another stage: it stays where it was.
    endpoint.fold(&delivery(30, "a", "staging", Some("warning")));
    let other = json!({ "project": "bank", "service": "teller", "problem": {"problemTitle": "slow"} });
    endpoint.fold(&[
        event(40, "prod.remediation.triggered", "d", "prod", other),
        // No sequence: not in the list.
        event(41, "test.triggered", "e", "dev", json!({})),
        event(42, "project.create.finished", "f", "dev", json!({})),
        // Its trigger is not here.
        event(43, "dev.delivery.finished", "g", "dev", json!({"status": "aborted", "result": "pass"})),
    ]);
    let minute = |n| minute(n).to_string();
    for (query, wanted) in [
        (String::new(), "g d c b a"),
        ("?project=bank".into(), "d"),
        ("?service=carts,teller&stage=prod".into(), "d"),
        ("?stage=staging".into(), "a"),
        ("?sequence=delivery".into(), "g c b a"),
        ("?state=started".into(), "c"),
        ("?state=TRIGGERED,aborted".into(), "g d"),
        ("?result=fail".into(), "b"),
        ("?result=warning&state=finished".into(), "a"),
        ("?result=pass".into(), ""),
        ("?keptnContext=a,c,e,nobody,a".into(), "c a"),
        ("?keptnContext=a&state=started".into(), ""),
        (format!("?fromTime={}&beforeTime={}", minute(10), minute(40)), "c b"),
    ] {
        let list = endpoint.get(&format!("/api/v1/sequences{query}")).await;
        assert_eq!(names(&list), wanted, "{query}");
        assert_eq!(list["total"], column(&list, "name").len(), "{query}");
        assert_eq!(list["nextCursor"], json!(null), "{query}");
    }
    let list = endpoint.get("/api/v1/sequences").await;
    let a = &list["data"][4];
    assert_eq!((&a["name"], &a["project"], &a["service"]), (&json!("delivery"), &json!("shop"), &json!("carts")));
    assert_eq!((&a["triggeredAt"], &a["finishedAt"]), (&json!(minute(1)), &json!(minute(34))));
    assert_eq!(a["durationSeconds"], 33.0 * 60.0);
    assert_eq!(a["stages"][1]["name"], "staging");
    assert_eq!(a["stages"][0]["latestEvent"]["type"], "sh.keptn.event.dev.delivery.finished");
    assert_eq!((&list["data"][1]["problem"], &list["data"][1]["state"]), (&json!("slow"), &json!("triggered")));

    // What is added is seen, although the context was looked at before.
    let finish = json!({ "triggeredid": "c-20", "status": "succeeded", "result": "pass" });
    endpoint.fold(&[event(50, "dev.delivery.finished", "c", "dev", finish)]);
    assert_eq!(names(&endpoint.get("/api/v1/sequences?state=started").await), "");
    assert_eq!(names(&endpoint.get("/api/v1/sequences?result=pass").await), "c");
}

#[tokio::test]
async fn pages_of_two_thousand_contexts_follow_each_other() {
    let mut endpoint = Endpoint::new();
    let results = [Some("pass"), Some("fail"), None, Some("warning")];
    let events: Vec<_> = (0..2_000).flat_map(|n| delivery(n, &format!("c{n:04}"), "dev", results[n % 4])).collect();
    endpoint.fold_by(500, &events);
    let wanted =
        |fits: fn(usize) -> bool| (0..2_000).rev().filter(|n| fits(*n)).map(|n| format!("c{n:04}")).collect::<Vec<_>>();
    for (query, want) in [
        ("limit=300", wanted(|_| true)),
        ("limit=120&state=started", wanted(|n| n % 4 == 2)),
        ("limit=50&result=fail,warning", wanted(|n| n % 4 == 1 || n % 4 == 3)),
        ("limit=1000&stage=staging", Vec::new()),
    ] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = endpoint.get(&format!("/api/v1/sequences?{query}{cursor}")).await;
            found.extend(column(&page, "keptnContext"));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, want, "{query}");
    }
    let skipped = endpoint.get("/api/v1/sequences?limit=2&offset=3").await;
    assert_eq!((names(&skipped), &skipped["offset"]), ("c1996 c1995".into(), &json!(3)));
    let newest = endpoint.get("/api/v1/sequences?limit=1").await;
    assert_eq!((&newest["data"][0]["keptnContext"], &newest["total"]), (&json!("c1999"), &json!(1)));
}

#[tokio::test]
async fn a_request_looks_at_a_bounded_part_of_the_journal() {
    let mut endpoint = Endpoint::new();
    // Contexts with more events than are read, then one with a few.
    let long = |context: &str| {
        let mut events = vec![event(0, "dev.delivery.triggered", context, "dev", json!({}))];
        let progress = json!({ "triggeredid": format!("{context}-0") });
        events.extend((1..5_100).map(|n| event(n, "test.status.changed", context, "dev", progress.clone())));
        events
    };
    endpoint.fold_by(500, &long("long"));
    endpoint.fold(&delivery(7_000, "short", "dev", Some("pass")));
    let timeline = endpoint.get("/api/v1/sequences/long").await;
    assert_eq!((&timeline["truncated"], &timeline["events"]), (&json!(true), &json!(5_001)));
    assert_eq!(timeline["triggeredAt"], json!(minute(0)), "how it began is not left out");
    assert_eq!(endpoint.get("/api/v1/sequences/short").await["truncated"], json!(false));
    assert_eq!(names(&endpoint.get("/api/v1/sequences").await), "short long");
    assert_eq!(endpoint.get("/api/v1/sequences?state=started").await["total"], 1);

    let end = json!({ "triggeredid": "long-0", "status": "succeeded", "result": "pass" });
    endpoint.fold(&[event(8_000, "dev.delivery.finished", "long", "dev", end)]);
    assert_eq!(names(&endpoint.get("/api/v1/sequences").await), "short long", "it stands where it began");

    // One request reads four of them; the rest comes with the next.
    for context in ["l2", "l3", "l4", "l5"] {
        endpoint.fold_by(500, &long(context));
    }
    let page = endpoint.get("/api/v1/sequences").await;
    assert_eq!((names(&page), &page["limit"]), ("l5 l4 l3 l2".into(), &json!(50)));
    let next = page["nextCursor"].as_str().unwrap();
    assert_eq!(names(&endpoint.get(&format!("/api/v1/sequences?cursor={next}")).await), "short long");
    // What was read is not read again.
    assert_eq!(names(&endpoint.get("/api/v1/sequences").await), "l5 l4 l3 l2 short long");
    // Those that have changed are, and all at once they are too many.
    let more = ["l2", "l3", "l4", "l5"].map(|context| event(9_000, "test.started", context, "dev", json!({})));
    endpoint.fold(&more);
    let refused = endpoint.ask("GET", "/api/v1/sequences?keptnContext=l2,l3,l4,l5,short").await;
    assert!(
        refused.status == StatusCode::BAD_REQUEST && refused.text().contains("fewer at once"),
        "{}",
        refused.text()
    );
}

#[tokio::test]
async fn a_timeline_has_tasks_executors_issues_and_answers_of_ours() {
    let mut endpoint = Endpoint::new();
    let mut events = delivery(1, "a", "dev", Some("fail"));
    let rest = events.split_off(2);
    events.push(event(9, "open-issue.triggered", "a", "dev", json!({ "open-issue": {"title": "bad"} })));
    endpoint.fold(&events);
    let reader = endpoint.store.reader();
    let rows: Vec<_> = reader.journal(.., Direction::Forward).map(|row| row.unwrap()).collect();
    let caused = rows.iter().flat_map(|row| messages::again(row, &reader, &settings()).unwrap());
    let caused: Vec<_> = caused.map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect();
    endpoint.fold(&caused);
    endpoint.fold(&rest);

    let timeline = endpoint.get("/api/v1/sequences/a").await;
    let sequence = &timeline["stages"][0]["sequences"][0];
    assert_eq!((&timeline["state"], &timeline["result"]), (&json!("finished"), &json!("fail")));
    assert_eq!(column(&json!({ "data": sequence["tasks"] }), "name"), ["test", "open-issue"]);
    let (test, ours) = (&sequence["tasks"][0], &sequence["tasks"][1]);
    assert_eq!((&test["issues"][0]["number"], &test["issues"][0]["change"]), (&json!(2), &json!("opened")));
    assert_eq!((&ours["complete"], &ours["executors"][0]["byShipwatch"]), (&json!(true), &json!(true)));
    assert_eq!(ours["executors"].as_array().unwrap().len(), 1);
    assert_eq!((&ours["issues"][0]["number"], &ours["issues"][0]["title"]), (&json!(1), &json!("bad")));

    let plain = event(60, "test.finished", "plain", "dev", json!({ "status": "succeeded", "result": "pass" }));
    endpoint.fold(&[plain]);
    let timeline = endpoint.get("/api/v1/sequences/plain/").await;
    assert_eq!((&timeline["name"], &timeline["state"]), (&json!(null), &json!(null)));
    assert_eq!(timeline["stages"][0]["tasks"][0]["executors"][0]["result"], "pass");
}
