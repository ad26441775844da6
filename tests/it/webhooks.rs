//! Webhooks: what other systems are sent, and what sequences hear of it.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Gateway, Keptn, Nats, Peer, Play, World, eventually, task_finished, task_triggered};

/// A service with a webhook file, and a receiver that it may reach.
struct Hooked {
    world: World,
    peer: Peer,
    shipyard: TempDir,
}

/// Where `PEER` stands, the receiver's address goes.
fn file(webhooks: &str, peer: &Peer) -> String {
    let head = "apiVersion: webhookconfig.keptn.sh/v1beta1\nkind: WebhookConfig\nmetadata: {name: story}\nspec:\n  webhooks:\n";
    format!("{head}{}", webhooks.replace("PEER", &peer.url("")))
}

impl Hooked {
    async fn start(webhooks: &str) -> Hooked {
        Hooked::with(webhooks, "").await
    }

    async fn with(webhooks: &str, config: &str) -> Hooked {
        let (peer, shipyard) = (Peer::start().await, TempDir::new().unwrap());
        std::fs::write(shipyard.path().join("webhook.yaml"), file(webhooks, &peer)).unwrap();
        std::fs::create_dir_all(shipyard.path().join("secrets/tracker")).unwrap();
        std::fs::write(shipyard.path().join("secrets/tracker/token"), "s3cret-t0ken\n").unwrap();
        let more = if config.contains("webhooks:") {
            String::new()
        } else {
            format!(
                "webhooks: {{allow: [127.0.0.0/8], timeout: 2s, retries: 1, secretsDir: {:?}}}\n",
                shipyard.path().join("secrets")
            )
        };
        let config =
            format!("shipyardDir: {:?}\ngateway: {{listen: \"127.0.0.1:0\"}}\n{more}{config}", shipyard.path());
        let world = World::on(Nats::start().await, Some(&config)).await;
        Hooked { world, peer, shipyard }
    }

    /// Publishes a trigger and waits until all that follows is done; the decision about it.
    async fn done(&self, event: Keptn) -> Value {
        let id = self.world.bus.publish(event).await;
        self.world.service().folded(&id).await;
        self.world.rest().await;
        self.world.service().folded(&id).await
    }

    async fn replies(&self, trigger: &str) -> Vec<Value> {
        self.world.rest().await;
        self.world.bus.replies(trigger).await.into_iter().map(|stored| stored.json).collect()
    }
}

fn kinds(replies: &[Value]) -> Vec<&str> {
    replies.iter().map(|reply| reply["type"].as_str().unwrap().rsplit('.').next().unwrap()).collect()
}

const TICKET: &str = "
    - type: sh.keptn.event.open-ticket.triggered
      name: tracker
      sendStarted: true
      sendFinished: true
      envFrom: [{name: token, secretRef: {name: tracker, key: token}}]
      requests:
        - method: POST
          url: PEER/tickets
          headers: [{key: Authorization, value: 'Bearer {{.env.token}}'}]
          payload: '{\"title\":\"{{.data.service}} in {{.data.stage}}\",\"ref\":\"{{.shkeptncontext}}\"}'
          extract: {ticketId: $.id}
";

#[tokio::test]
async fn a_ticket_is_opened_and_its_number_comes_back_into_the_sequence() {
    let hooked = Hooked::start(TICKET).await;
    hooked.peer.on("/tickets", [Play::Answer(201, r#"{"id":"OPS-41","watchers":[1,2]}"#.into())]);
    let event = task_triggered("open-ticket").id("t1").context("c1").data("service", json!("ca\"rt"));
    let decision = hooked.done(event).await;

    let seen = hooked.peer.seen("/tickets");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["authorization"], "Bearer s3cret-t0ken");
    assert_eq!(seen[0].headers["content-type"], "application/json");
    assert!(!seen[0].headers["idempotency-key"].is_empty());
    assert_eq!(seen[0].json(), json!({"title": "ca\"rt in staging", "ref": "c1"}));

    let replies = hooked.replies("t1").await;
    assert_eq!(kinds(&replies), ["started", "finished"]);
    let data = &replies[1]["data"];
    assert_eq!((&data["status"], &data["result"]), (&json!("succeeded"), &json!("pass")), "{data:#}");
    assert_eq!(data["open-ticket"]["ticketId"], "OPS-41");
    assert_eq!(data["open-ticket"]["responses"], json!([{"id": "OPS-41", "watchers": [1, 2]}]));
    assert_eq!((&replies[1]["source"], &replies[1]["triggeredid"]), (&json!("shipwatch"), &json!("t1")));

    let delivery = &decision["deliveries"][0];
    assert_eq!((&delivery["webhook"], &delivery["state"]), (&json!("tracker"), &json!("succeeded")), "{decision:#}");
    assert_eq!(delivery["attempts"][0]["status"], 201);
    let kinds: Vec<_> = decision["replies"].as_array().unwrap().iter().map(|r| (&r["type"], &r["seen"])).collect();
    assert_eq!(kinds.len(), 2, "{decision:#}");
    assert!(kinds.iter().all(|(_, seen)| **seen == json!(true)), "{decision:#}");
    // The journal as a whole: no secret anywhere.
    let log = hooked.world.service().log();
    assert!(!hooked.world.service().dump().await.contains("s3cret") && !log.contains("s3cret"));
}

#[tokio::test]
async fn a_receiver_that_repeats_what_it_was_sent_gives_no_secret_away() {
    let webhook = TICKET.replace("{ticketId: $.id}", "{echo: $.echo, nested: $.nested}");
    let hooked = Hooked::start(&webhook.replace("'{\"title\"", "'{\"auth\":\"{{.env.token}}\",\"title\"")).await;
    let secret = r#"pa"ss\word1/c2VjcmV0=="#;
    std::fs::write(hooked.shipyard.path().join("secrets/tracker/token"), secret).unwrap();
    let sent = json!({ "auth": secret }).to_string();
    let php = sent.replace('/', "\\/").replace('=', "\\u003D");
    let answer = json!({"echo": sent, "nested": json!({"data": php}).to_string(), secret: [sent]});
    hooked.peer.on("/tickets", [Play::Answer(200, answer.to_string())]);
    hooked.done(task_triggered("open-ticket").id("t1")).await;
    assert_eq!(hooked.peer.seen("/tickets")[0].json()["auth"], secret);
    let replies = hooked.replies("t1").await;
    let block = &replies[1]["data"]["open-ticket"];
    let hidden = r#"{"auth":"***"}"#;
    assert_eq!((&block["echo"], &block["nested"]), (&json!(hidden), &json!(json!({"data": hidden}).to_string())));
    assert_eq!(block["responses"][0]["***"], json!([hidden]), "{block:#}");
    let log = hooked.world.service().log();
    assert!(!hooked.world.service().dump().await.contains("word1") && !log.contains("word1"));
}

#[tokio::test]
async fn what_the_sequence_hears_follows_the_flags_and_where_it_failed() {
    let mut webhooks = String::new();
    for (task, started, finished) in [("both", true, true), ("open", true, false), ("none", false, false)] {
        webhooks += &format!(
            "
    - type: sh.keptn.event.{task}.triggered
      sendStarted: {started}
      sendFinished: {finished}
      requests:
        - {{method: POST, url: PEER/{task}/1, payload: '{{\"n\":1}}'}}
        - {{method: PUT, url: PEER/{task}/2, payload: '{{\"n\":2}}'}}
        - {{method: GET, url: PEER/{task}/3}}
"
        );
    }
    let hooked = Hooked::start(&webhooks).await;
    for task in ["both", "open", "none"] {
        for fails_at in 0..=3 {
            for n in 1..=3 {
                let status = if n == fails_at { 418 } else { 200 };
                hooked.peer.on(&format!("/{task}/{n}"), [Play::Answer(status, "[1]".into())]);
            }
            let id = format!("{task}-{fails_at}");
            let before = hooked.peer.seen(&format!("/{task}/")).len();
            let decision = hooked.done(task_triggered(task).id(&id)).await;
            let made = hooked.peer.seen(&format!("/{task}/")).len() - before;
            assert_eq!(
                made,
                if fails_at == 0 { 3 } else { fails_at },
                "{id}: requests behind a failed one are not sent"
            );
            let replies = hooked.replies(&id).await;
            let want: &[&str] = match (task, fails_at) {
                ("none", _) => &[],
                ("open", 0) => &["started"],
                _ => &["started", "finished"],
            };
            assert_eq!(kinds(&replies), want, "{id}");
            if let Some(finished) = replies.get(1) {
                let data = &finished["data"];
                let (status, result) = if fails_at == 0 { ("succeeded", "pass") } else { ("errored", "fail") };
                assert_eq!((&data["status"], &data["result"]), (&json!(status), &json!(result)), "{id}: {data:#}");
                let responses = data[task]["responses"].as_array().map(Vec::len);
                assert_eq!(responses, (fails_at == 0).then_some(3), "{id}: {data:#}");
                if fails_at > 0 {
                    let message = data["message"].as_str().unwrap();
                    assert!(message.contains("418") && message.contains(&format!("request {fails_at}")), "{message}");
                }
            }
            let state = if fails_at == 0 { "succeeded" } else { "failed" };
            assert_eq!(decision["deliveries"][0]["state"], state, "{id}");
        }
    }
}

#[tokio::test]
async fn a_receiver_in_trouble_errors_the_task_and_names_what_happened() {
    let hooked = Hooked::start(
        "
    - type: sh.keptn.event.call.triggered
      sendFinished: true
      maxResponse: 64KiB
      timeout: 1s
      requests: [{method: GET, url: 'PEER/{{.data.how}}'}]
",
    )
    .await;
    let elsewhere = Peer::start().await;
    hooked.peer.on("/slow", [Play::Slow(Duration::from_secs(20))]);
    hooked.peer.on("/reset", [Play::Reset]);
    hooked.peer.on("/garbage", [Play::Garbage]);
    hooked.peer.on("/error", [Play::Answer(500, "boom".into())]);
    hooked.peer.on("/again", [Play::Answer(503, "busy".into()), Play::Answer(200, "fine".into())]);
    hooked.peer.on("/moved", [Play::Redirect(elsewhere.url("/target"))]);
    hooked.peer.on("/large", [Play::Large(100 << 20)]);
    for (how, words) in [
        ("slow", &["within"][..]),
        ("reset", &[]),
        ("garbage", &[]),
        ("error", &["500", "boom"]),
        ("moved", &["301"]),
        ("large", &["64kib"]),
    ] {
        hooked.done(task_triggered("call").id(how).data("how", json!(how))).await;
        let replies = hooked.replies(how).await;
        assert_eq!(kinds(&replies), ["started", "finished"], "{how}");
        let data = &replies[1]["data"];
        assert_eq!((&data["status"], &data["result"]), (&json!("errored"), &json!("fail")), "{how}");
        let message = data["message"].as_str().unwrap().to_lowercase();
        assert!(!message.is_empty() && words.iter().all(|word| message.contains(word)), "{how}: {message}");
    }
    assert!(elsewhere.seen("/").is_empty(), "a redirect that nobody asked for is not followed");
    hooked.done(task_triggered("call").id("again").data("how", json!("again"))).await;
    assert_eq!(hooked.replies("again").await[1]["data"]["call"]["responses"], json!(["fine"]));
    assert_eq!(hooked.peer.seen("/again").len(), 2);
}

#[tokio::test]
async fn addresses_of_the_inside_are_refused_unless_they_are_allowed() {
    let config = "webhooks: {allow: [], timeout: 2s, retries: 0}\n";
    let hooked = Hooked::with(
        "
    - type: sh.keptn.event.call.triggered
      sendFinished: true
      requests: [{method: GET, url: '{{.data.url}}'}]
",
        config,
    )
    .await;
    let urls = [
        hooked.peer.url("/x"),
        hooked.peer.url("/x").replace("127.0.0.1", "localhost"),
        hooked.peer.url("/x").replace("127.0.0.1", "2130706433"),
        hooked.peer.url("/x").replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        "http://169.254.169.254/latest/meta-data".into(),
        "http://10.0.0.1/".into(),
    ];
    for (n, url) in urls.iter().enumerate() {
        let id = format!("t{n}");
        hooked.done(task_triggered("call").id(&id).data("url", json!(url))).await;
        let data = hooked.replies(&id).await[1]["data"].clone();
        assert_eq!(data["status"], "errored", "{url}: {data:#}");
        assert!(data["message"].as_str().unwrap().contains("webhooks.allow"), "{url}: {data:#}");
    }
    assert!(hooked.peer.seen("/").is_empty());
}

#[tokio::test]
async fn a_template_that_fails_names_itself_and_nothing_is_sent() {
    let hooked = Hooked::start(
        "
    - type: sh.keptn.event.call.triggered
      name: chat
      sendFinished: true
      requests:
        - {method: POST, url: PEER/first, payload: '{}'}
        - {method: POST, url: PEER/second, payload: '{\"v\":\"{{.data.versoin}}\"}'}
",
    )
    .await;
    hooked.done(task_triggered("call").id("t1")).await;
    let data = hooked.replies("t1").await[1]["data"].clone();
    assert_eq!(data["status"], "errored");
    assert!(data["message"].as_str().unwrap().contains("versoin"), "{data:#}");
    assert!(hooked.peer.seen("/").is_empty(), "half of the requests would be worse than none");
}

#[tokio::test]
async fn filters_pick_events_and_chats_hear_of_issues() {
    let hooked = Hooked::start(
        "
    - type: sh.keptn.event.*.finished
      name: failed
      filter: {project: [shop], result: [fail], labels: {team: [checkout, cart]}}
      requests: [{method: POST, url: PEER/failed, payload: '{{json .}}'}]
    - type: dev.shipwatch.issue.opened
      requests: [{method: POST, url: PEER/opened, payload: {text: 'opened {{.data.title}}', number: '{{.data.number}}'}}]
    - type: dev.shipwatch.issue.resolved
      requests: [{method: POST, url: PEER/resolved, payload: {text: 'resolved {{.data.title}}'}}]
",
    )
    .await;
    let team = |team: &str| json!({ "team": team });
    hooked
        .done(task_finished("test").status("succeeded").result("fail").id("f1").run("r1").data("labels", team("cart")))
        .await;
    hooked
        .done(
            task_finished("test").status("succeeded").result("fail").id("f2").run("r2").data("labels", team("search")),
        )
        .await;
    hooked
        .done(task_finished("test").status("succeeded").result("pass").id("f3").run("r3").data("labels", team("cart")))
        .await;
    let failed = hooked.peer.requests("/failed", 1).await;
    assert_eq!(failed.iter().map(|seen| seen.json()["id"].clone()).collect::<Vec<_>>(), ["f1"]);
    let opened = hooked.peer.requests("/opened", 1).await;
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].json()["number"], 1, "a number stays a number");
    assert!(opened[0].json()["text"].as_str().unwrap().starts_with("opened "));
    assert_eq!(hooked.peer.requests("/resolved", 1).await.len(), 1);
    // Nobody asked for an answer, so nobody gets one.
    for id in ["f1", "f2", "f3", "r1", "r2", "r3"] {
        assert!(hooked.replies(id).await.iter().all(|reply| reply["source"] != "shipwatch"), "{id}");
    }
}

const APPROVAL: &str = "
    - type: sh.keptn.event.approval.triggered
      name: ask-the-team
      requests:
        - method: POST
          url: PEER/chat
          payload: {yes: '{{.callback.passUrl}}', no: '{{.callback.failUrl}}', url: '{{.callback.url}}'}
";

fn path(url: &Value) -> String {
    let url = url.as_str().unwrap();
    let at = url.find("/api/").unwrap();
    url[at..].to_owned()
}

#[tokio::test]
async fn an_approval_is_given_once_by_whoever_has_the_link() {
    let hooked = Hooked::start(APPROVAL).await;
    let gateway: Gateway = hooked.world.service().gateway().await;
    let decision = hooked.done(task_triggered("approval").id("t1").context("c1")).await;
    assert_eq!(decision["deliveries"][0]["waiting"], true, "{decision:#}");
    assert_eq!(kinds(&hooked.replies("t1").await), ["started"]);
    let message = hooked.peer.requests("/chat", 1).await[0].json();
    let (yes, url) = (path(&message["yes"]), path(&message["url"]));
    assert!(message["yes"].as_str().unwrap().starts_with(&format!("http://{}", gateway.addr())));

    // A chat opens links to show what is behind them: that decides nothing.
    assert_eq!(gateway.send("GET", &yes, &[], "").await.status, 200);
    assert_eq!(gateway.send("GET", &url, &[], "").await.status, 405);
    assert_eq!(kinds(&hooked.replies("t1").await), ["started"]);

    for (path, status) in [
        ("/api/v1/callbacks/t1".to_owned(), 401),
        ("/api/v1/callbacks/t1?token=wrong".into(), 401),
        (url.replace("/t1?", "/t9?"), 404),
    ] {
        assert_eq!(gateway.send("POST", &path, &[], "{}").await.status, status, "{path}");
        let page = path.replace("?", "/pass?");
        let page = if page.contains('?') { page } else { format!("{page}/pass") };
        assert_eq!(gateway.send("GET", &page, &[], "").await.status, status, "{page}");
    }
    assert_eq!(gateway.send("POST", &url, &[], r#"{"resultt":"pass"}"#).await.status, 400);

    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(gateway.send("POST", &yes, &form, "message=looks+good").await.status, 200);
    let replies = hooked.replies("t1").await;
    assert_eq!(kinds(&replies), ["started", "finished"]);
    let data = &replies[1]["data"];
    assert_eq!((&data["result"], &data["message"]), (&json!("pass"), &json!("looks good")));
    assert_eq!((&data["project"], &replies[1]["shkeptncontext"]), (&json!("shop"), &json!("c1")));
    assert_eq!(gateway.send("POST", &path(&message["no"]), &form, "").await.status, 409);
    assert_eq!(gateway.send("POST", &url, &[], "{}").await.status, 409);
    assert_eq!(kinds(&hooked.replies("t1").await), ["started", "finished"]);
    let log = hooked.world.service().log();
    let token = url.rsplit('=').next().unwrap();
    assert!(!hooked.world.service().dump().await.contains(token) && !log.contains(token));
}

#[tokio::test]
async fn a_receiver_that_finishes_on_the_stream_is_not_waited_for_any_more() {
    let hooked = Hooked::start(APPROVAL).await;
    let waiting =
        async |trigger: &str| hooked.world.service().folded(trigger).await["deliveries"][0]["waiting"].clone();
    for trigger in ["t1", "t2"] {
        hooked.done(task_triggered("approval").id(trigger)).await;
        assert_eq!(waiting(trigger).await, true);
    }
    hooked.done(task_finished("approval").source("chat").run("t1")).await;
    assert_eq!((waiting("t1").await, waiting("t2").await), (json!(false), json!(true)));
    // Somebody else's pair closes itself, not ours: Keptn counts.
    for phase in ["started", "finished"] {
        hooked.done(Keptn::new(&format!("sh.keptn.event.approval.{phase}")).source("other").run("t2")).await;
    }
    assert_eq!(waiting("t2").await, true);
}

#[tokio::test]
async fn a_callback_carries_data_and_may_be_repeated_with_a_key() {
    let hooked = Hooked::start(APPROVAL).await;
    let gateway = hooked.world.service().gateway().await;
    hooked.done(task_triggered("approval").id("t1")).await;
    let url = path(&hooked.peer.requests("/chat", 1).await[0].json()["url"]);
    let key = [("idempotency-key", "k1"), ("content-type", "application/json")];
    let body = r#"{"result":"warning","message":"with a remark","data":{"by":"ada"}}"#;
    let first = gateway.send("POST", &url, &key, body).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(gateway.send("POST", &url, &key, body).await.status, 200);
    assert_eq!(gateway.send("POST", &url, &key, "{}").await.status, 409);
    let replies = hooked.replies("t1").await;
    assert_eq!(kinds(&replies), ["started", "finished"]);
    assert_eq!(replies[1]["data"]["approval"], json!({"by": "ada"}));
    assert_eq!(replies[1]["data"]["result"], "warning");
    // Many at once: one of them.
    hooked.done(task_triggered("approval").id("t2")).await;
    let url = path(&hooked.peer.requests("/chat", 2).await[1].json()["url"]);
    let all = (0..8).map(|_| gateway.send("POST", &url, &[], "{}"));
    let statuses: Vec<u16> = futures_util::future::join_all(all).await.into_iter().map(|a| a.status).collect();
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|s| [200, 409].contains(s)), "{statuses:?}");
    assert_eq!(kinds(&hooked.replies("t2").await), ["started", "finished"]);
}

#[tokio::test]
async fn calls_of_one_scope_go_in_order_and_a_slow_one_holds_up_no_other() {
    let hooked = Hooked::with(
        "
    - type: sh.keptn.event.call.triggered
      sendFinished: true
      requests: [{method: POST, url: 'PEER/{{.data.service}}', payload: '{{json .data.n}}'}]
",
        "",
    )
    .await;
    hooked.peer.on("/slow", [Play::Slow(Duration::from_millis(400)), Play::Answer(200, "{}".into())]);
    for n in 0..5 {
        for service in ["slow", "quick"] {
            let event = task_triggered("call").id(&format!("{service}-{n}")).data("service", json!(service));
            hooked.world.bus.publish(event.data("n", json!(n))).await;
        }
    }
    hooked.peer.requests("/quick", 5).await;
    assert!(hooked.peer.seen("/slow").len() < 2, "the quick service did not wait for the slow one");
    for service in ["slow", "quick"] {
        let path = format!("/{service}");
        let order: Vec<_> = hooked.peer.requests(&path, 5).await.iter().map(|s| s.body.clone()).collect();
        assert_eq!(order, ["0", "1", "2", "3", "4"], "{service}");
    }
    for n in 0..5 {
        assert_eq!(kinds(&hooked.replies(&format!("slow-{n}")).await), ["started", "finished"]);
    }
}

#[tokio::test]
async fn no_more_calls_are_made_at_a_time_than_are_wanted() {
    let hooked = Hooked::with(
        "
    - type: sh.keptn.event.call.triggered
      name: one
      sendFinished: true
      requests: [{method: POST, url: PEER/one, payload: '{}'}]
    - type: sh.keptn.event.call.triggered
      name: two
      sendFinished: true
      requests: [{method: POST, url: PEER/two, payload: '{}'}]
",
        "webhooks: {allow: [127.0.0.0/8], concurrency: 4}\n",
    )
    .await;
    hooked.peer.on("/one", [Play::Slow(Duration::from_millis(60))]);
    hooked.peer.on("/two", [Play::Slow(Duration::from_millis(60))]);
    for n in 0..12 {
        let event = task_triggered("call").id(&format!("t{n}")).data("service", json!(format!("s{n}")));
        hooked.world.bus.publish(event).await;
    }
    for n in 0..12 {
        let replies = eventually("both are answered", async || {
            let replies = hooked.world.bus.replies(&format!("t{n}")).await;
            (replies.len() == 4).then_some(replies)
        })
        .await;
        let ids: std::collections::BTreeSet<_> = replies.iter().map(|r| r.json["id"].to_string()).collect();
        assert_eq!(ids.len(), 4, "a pair for each webhook");
    }
    let most = hooked.peer.most_at_once();
    assert!((3..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn killed_between_a_call_and_its_report_the_sequence_still_gets_one_pair() {
    for point in ["before-call", "after-call", "before-report", "after-publish:2"] {
        let (peer, shipyard) = (Peer::start().await, TempDir::new().unwrap());
        std::fs::write(shipyard.path().join("webhook.yaml"), file(TICKET, &peer)).unwrap();
        let config = format!("shipyardDir: {:?}\nwebhooks: {{allow: [127.0.0.0/8]}}\n", shipyard.path());
        let mut world = World::on(Nats::start().await, None).await;
        world.kill();
        std::fs::write(world.folder("w.yaml"), config).unwrap();
        let command = |fail: Option<&str>| {
            let mut command = world.command("data");
            command.arg("--config").arg(world.folder("w.yaml")).env("SHIPWATCH_SECRET_TRACKER_TOKEN", "t0p-s3cret");
            fail.map(|fail| command.env("SHIPWATCH_FAIL_POINT", fail));
            command
        };
        let mut dying = crate::support::Shipwatch::ready(command(Some(point))).await;
        // The webhooks hold for what comes behind them.
        dying.logged(&["the rules have changed"]).await;
        world.bus.publish(task_triggered("open-ticket").id("t1")).await;
        dying.ended().await;
        drop(dying);
        world.service = Some(crate::support::Shipwatch::ready(command(None)).await);
        world.rest().await;
        let replies: Vec<Value> = world.bus.replies("t1").await.into_iter().map(|r| r.json).collect();
        assert_eq!(kinds(&replies), ["started", "finished"], "{point}");
        let calls = peer.seen("/tickets");
        let expected = if ["after-call", "before-report"].contains(&point) { 2 } else { 1 };
        assert_eq!(calls.len(), expected, "{point}");
        let keys: std::collections::BTreeSet<_> = calls.iter().map(|c| c.headers["idempotency-key"].clone()).collect();
        assert_eq!(keys.len(), 1, "{point}: the receiver can tell that it is the same call");
        // A fresh fold of the stream comes to the same and calls nobody.
        let mut again = world.command("again");
        again
            .arg("--config")
            .arg(world.folder("w.yaml"))
            .env("SHIPWATCH_SECRET_TRACKER_TOKEN", "t0p-s3cret")
            .args(["--durable", "again"]);
        let again = crate::support::Shipwatch::ready(again).await;
        eventually("both folds are alike", async || (again.dump().await == world.service().dump().await).then_some(()))
            .await;
        assert_eq!(peer.seen("/tickets").len(), expected, "{point}");
    }
}

#[tokio::test]
async fn a_broken_webhook_file_is_told_whole_and_a_changed_one_takes_effect() {
    let hooked = Hooked::start(TICKET).await;
    let changed = TICKET.replace("PEER/tickets", "PEER/issues");
    std::fs::write(hooked.shipyard.path().join("webhook.yaml"), file(&changed, &hooked.peer)).unwrap();
    hooked.world.service().signal("-HUP");
    hooked.world.service().logged(&["the rules have changed"]).await;
    hooked.done(task_triggered("open-ticket").id("t1")).await;
    assert_eq!((hooked.peer.seen("/issues").len(), hooked.peer.seen("/tickets").len()), (1, 0));

    let broken =
        TICKET.replace("sendStarted: true", "sendStarted: false").replacen("name: tracker", "nmae: tracker", 1);
    let broken = format!("{broken}\n    - type: a.b\n      requests: [{{method: GET, url: '{{{{.data.x'}}]\n");
    std::fs::write(hooked.shipyard.path().join("webhook.yaml"), file(&broken, &hooked.peer)).unwrap();
    hooked.world.service().signal("-HUP");
    for words in [&["webhook.yaml:8", "nmae", "name"][..], &["sendFinished"], &["those before stay in force"]] {
        hooked.world.service().logged(words).await;
    }
    let mut command = hooked.world.command("other");
    command.args(["--durable", "other"]);
    let (status, _, error) = crate::support::exit_of(command).await;
    assert_eq!(status.code(), Some(2), "{error}");
    assert!(error.contains("webhook.yaml:8") && error.contains("sendFinished"), "{error}");

    // A secret that is not there is a mistake of the same kind.
    std::fs::write(
        hooked.shipyard.path().join("webhook.yaml"),
        file(&TICKET.replace("key: token", "key: tokn"), &hooked.peer),
    )
    .unwrap();
    let mut command = hooked.world.command("other");
    command.args(["--durable", "other"]);
    let (status, _, error) = crate::support::exit_of(command).await;
    assert_eq!(status.code(), Some(2), "{error}");
    assert!(error.contains("webhook.yaml:") && error.contains("tracker/tokn"), "{error}");
}

#[tokio::test]
async fn a_fresh_fold_of_many_calls_calls_nobody_and_answers_nothing_again() {
    let mut hooked = Hooked::start(TICKET).await;
    for n in 0..400 {
        let event = task_triggered("open-ticket").id(&format!("t{n}")).context(&format!("c{n}"));
        hooked.world.bus.publish(event.data("service", json!(format!("s{n}")))).await;
    }
    hooked.peer.requests("/tickets", 400).await;
    hooked.world.rest().await;
    let dump = hooked.world.service().dump().await;
    let replies = async |hooked: &Hooked| {
        let all = hooked.world.bus.read("shipwatch").await;
        all.iter().filter(|stored| stored.subject.starts_with("sh.keptn.event.open-ticket.")).count()
    };
    let stored = replies(&hooked).await;
    hooked.world.kill();
    std::fs::remove_dir_all(hooked.world.folder("data")).unwrap();
    hooked.world.start_service().await;
    eventually("the fold is where it was", async || (hooked.world.service().dump().await == dump).then_some(())).await;
    hooked.world.rest().await;
    assert_eq!(hooked.peer.seen("/tickets").len(), 400);
    assert_eq!((replies(&hooked).await, stored), (1200, 1200));
}

#[tokio::test]
async fn answers_of_every_shape_and_size_let_the_sequence_go_on() {
    let hooked = Hooked::start(
        "
    - type: sh.keptn.event.call.triggered
      sendFinished: true
      maxResponse: 4MiB
      requests: [{method: GET, url: 'PEER/{{.data.how}}'}]
",
    )
    .await;
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    hooked.peer.on("/deep", [Play::Answer(200, deep(125))]);
    hooked.peer.on("/large", [Play::Large(1_047_900)]);
    hooked.peer.on("/larger", [Play::Large(2 << 20)]);
    hooked.peer.on("/labelled", [Play::Large(600_000)]);
    for (how, status) in [("deep", "succeeded"), ("large", "errored"), ("larger", "errored"), ("labelled", "errored")] {
        let mut event = task_triggered("call").id(how).data("how", json!(how));
        if how == "labelled" {
            event = event.data("labels", json!({"big": "x".repeat(600_000)}));
        }
        hooked.done(event).await;
        let replies = hooked.replies(how).await;
        assert_eq!(kinds(&replies), ["started", "finished"], "{how}");
        let data = &replies[1]["data"];
        assert_eq!(data["status"], status, "{how}: {}", data["message"]);
        assert!(status == "succeeded" || data["message"].as_str().unwrap().contains("bytes"), "{how}");
    }
}

#[tokio::test]
async fn a_trigger_that_is_parked_is_answered_errored_and_calls_nobody_however_often_it_comes() {
    let hooked = Hooked::start(
        "
    - type: sh.keptn.event.call.triggered
      sendFinished: true
      requests: [{method: POST, url: PEER/x, payload: '{}'}]
    - type: sh.keptn.event.call.triggered
      sendStarted: false
      requests: [{method: POST, url: PEER/silent, payload: '{}'}]
",
    )
    .await;
    let odd = task_triggered("call").id("t1").data("service", json!(5));
    let broken = task_triggered("call").id("t2").attribute("specversion", "7");
    for (id, event) in [("t1", odd), ("t2", broken)] {
        for _ in 0..3 {
            hooked.world.fold_again(event.clone()).await;
        }
        let replies = hooked.replies(id).await;
        assert_eq!(kinds(&replies), ["started", "finished"], "{id}");
        let data = &replies[1]["data"];
        assert_eq!((&data["status"], &data["result"]), (&json!("errored"), &json!("fail")), "{id}");
        assert!(data["message"].as_str().unwrap().contains("parked"), "{data:#}");
    }
    assert!(hooked.peer.seen("/").is_empty());
}

#[tokio::test]
async fn two_receivers_with_one_key_finish_a_call_each_and_late_ones_stay_late() {
    let hooked = Hooked::start(
        "
    - {type: sh.keptn.event.approval.triggered, name: a, requests: [{method: POST, url: PEER/a, payload: {u: '{{.callback.url}}'}}]}
    - {type: sh.keptn.event.approval.triggered, name: b, requests: [{method: POST, url: PEER/b, payload: {u: '{{.callback.url}}'}}]}
",
    )
    .await;
    let gateway = hooked.world.service().gateway().await;
    hooked.done(task_triggered("approval").id("t1")).await;
    let urls = [
        path(&hooked.peer.requests("/a", 1).await[0].json()["u"]),
        path(&hooked.peer.requests("/b", 1).await[0].json()["u"]),
    ];
    for url in &urls {
        assert_eq!(gateway.send("POST", url, &[("idempotency-key", "k")], r#"{"result":"pass"}"#).await.status, 200);
    }
    assert_eq!(kinds(&hooked.replies("t1").await), ["started", "started", "finished", "finished"]);
    for n in 0..80 {
        let progress = Keptn::new("sh.keptn.event.approval.status.changed").id(&format!("p{n}")).run("t1");
        hooked.world.bus.publish(progress).await;
    }
    hooked.world.settle().await;
    for url in &urls {
        assert_eq!(gateway.send("POST", url, &[], "{}").await.status, 409);
    }
}

#[tokio::test]
async fn webhooks_are_refused_where_what_became_of_them_has_no_place() {
    let nats = Nats::start().await;
    let bus = crate::support::Bus::connect(&nats.url()).await;
    bus.create_stream("keptn", &["sh.keptn.>"]).await;
    let (peer, shipyard) = (Peer::start().await, TempDir::new().unwrap());
    std::fs::write(shipyard.path().join("webhook.yaml"), file(TICKET, &peer)).unwrap();
    let mut command = crate::support::serve_command(&nats.url(), &shipyard.path().join("data"));
    command.args(["--stream", "keptn", "--shipyard-dir"]).arg(shipyard.path());
    command.env("SHIPWATCH_SECRET_TRACKER_TOKEN", "t0p-s3cret");
    let (status, _, error) = crate::support::exit_of(command).await;
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(error.contains("dev.shipwatch.delivery.finished") && error.contains("keptn"), "{error}");
}

#[tokio::test]
async fn twelve_kills_while_webhooks_are_called_leave_one_pair_for_each_trigger() {
    const TRIGGERS: u64 = 240;
    let mut hooked = Hooked::start(&TICKET.replace("          extract: {ticketId: $.id}\n", "")).await;
    hooked.peer.on("/tickets", [Play::Slow(Duration::from_millis(15))]);
    hooked.world.settle().await;
    let bus = hooked.world.bus.clone();
    let load = async {
        for n in 0..TRIGGERS {
            let event = task_triggered("open-ticket").id(&format!("t{n}")).context(&format!("c{n}"));
            bus.publish(event.data("service", json!(format!("s{}", n % 9)))).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let kills = async {
        for n in 0..12u64 {
            // The moment is the point here.
            tokio::time::sleep(Duration::from_millis(40 + 37 * n % 160)).await;
            hooked.world.kill();
            hooked.world.start_service().await;
        }
    };
    tokio::join!(load, kills);
    hooked.world.rest().await;
    // A call says in its body whose it is, and in its key which it is.
    let mut keys: std::collections::BTreeMap<String, std::collections::BTreeSet<String>> = Default::default();
    for seen in hooked.peer.seen("/tickets") {
        let of = seen.json()["ref"].as_str().unwrap().to_owned();
        keys.entry(of).or_default().insert(seen.headers["idempotency-key"].clone());
    }
    assert_eq!(keys.len() as u64, TRIGGERS);
    assert!(keys.values().all(|keys| keys.len() == 1), "{keys:?}");
    let mut replies: std::collections::BTreeMap<String, Vec<String>> = Default::default();
    for stored in hooked.world.bus.read("shipwatch").await {
        if let Some(kind) =
            stored.subject.strip_prefix("sh.keptn.event.open-ticket.").filter(|kind| *kind != "triggered")
        {
            let trigger = stored.json["triggeredid"].as_str().unwrap().to_owned();
            replies.entry(trigger).or_default().push(kind.to_owned());
        }
    }
    assert_eq!(replies.len() as u64, TRIGGERS);
    for (trigger, kinds) in replies {
        assert_eq!(kinds, ["started", "finished"], "{trigger}");
    }
}
