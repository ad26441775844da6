//! What `deploy/` ships works as it stands there: the rights of the accounts are enough, and without one it shows.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Bus, Gateway, Nats, Peer, Shipwatch, eventually, repo, serve_command, task_finished, task_triggered,
};

const PASSWORD: &str = "s3cret";

/// A broker with the shipped accounts and stream.
struct Site {
    nats: Nats,
    admin: Bus,
    dir: TempDir,
}

/// The shipped accounts with passwords, and without the line of a right.
fn accounts(without: Option<&str>) -> String {
    let text = std::fs::read_to_string(repo("deploy/nats/accounts.conf")).unwrap();
    let is_gone = |line: &str| without.is_some_and(|right| line.trim() == format!("{right:?}"));
    assert!(without.is_none() || text.lines().any(is_gone), "there is no right {without:?}");
    let words = |line: &str| {
        let (before, variable) = line.split_once('$').filter(|(before, _)| before.ends_with("password: "))?;
        let name: String = variable.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
        Some(format!("{before}{PASSWORD}{}", &variable[name.len()..]))
    };
    let lines = text.lines().filter(|line| !is_gone(line)).map(|line| words(line).unwrap_or_else(|| line.into()));
    lines.collect::<Vec<_>>().join("\n")
}

impl Site {
    async fn start(without: Option<&str>) -> Site {
        // Room as the shipped server has it, however small this disk is.
        let nats = Nats::with_config(&format!("jetstream {{max_file_store: 40GB}}\n{}", accounts(without))).await;
        let admin = Bus::connect_as(&nats.url(), "deliveries-admin", PASSWORD).await;
        let stream = std::fs::read(repo("deploy/nats/stream.json")).unwrap();
        let made = admin.client.request("$JS.API.STREAM.CREATE.shipwatch", stream.into()).await.unwrap();
        let made: Value = serde_json::from_slice(&made.payload).unwrap();
        assert!(made["error"].is_null(), "{made:#}");
        let dir = TempDir::new().unwrap();
        std::fs::create_dir_all(dir.path().join("shipyard/rules")).unwrap();
        Site { nats, admin, dir }
    }

    fn command(&self, user: &str, config: &str) -> std::process::Command {
        let file = self.dir.path().join(format!("{user}.yaml"));
        let shipyard = self.dir.path().join("shipyard");
        std::fs::write(&file, format!("shipyardDir: {shipyard:?}\n{config}")).unwrap();
        let mut command = serve_command(&self.nats.url(), &self.dir.path().join("data"));
        command.args(["--stream", "shipwatch", "--config"]).arg(file);
        command.env("SHIPWATCH_NATS_USER", user).env("SHIPWATCH_NATS_PASSWORD", PASSWORD);
        command
    }

    /// A gateway of its own, with its own user.
    async fn gateway(&self) -> (Shipwatch, Gateway) {
        let mut command = self.command("shipwatch-gateway", "gateway: {listen: '127.0.0.1:0'}\n");
        command.arg("--no-fold");
        let service = Shipwatch::start(command);
        let gateway = service.gateway().await;
        eventually("the gateway is ready", async || {
            (gateway.send("GET", "/readyz", &[], "").await.status == 200).then_some(())
        })
        .await;
        (service, gateway)
    }

    fn denials(&self) -> Vec<String> {
        self.nats.log().lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect()
    }
}

/// The path of a callback's address.
fn path(url: &Value) -> String {
    let url = url.as_str().unwrap();
    url[url.find("/api/").unwrap()..].to_owned()
}

const WEBHOOKS: &str = "apiVersion: webhookconfig.keptn.sh/v1beta1
kind: WebhookConfig
metadata: {name: story}
spec:
  webhooks:
    - type: sh.keptn.event.approval.triggered
      requests: [{method: POST, url: PEER/chat, payload: {url: '{{.callback.url}}'}}]
    - type: dev.shipwatch.issue.opened
      requests: [{method: POST, url: PEER/opened, payload: {text: '{{.data.title}}'}}]
";

const RULE: &str = "apiVersion: shipwatch.dev/v1
kind: RuleSet
metadata: {name: backup}
rules:
  - name: backup
    webhook: {name: backup, required: {failure: [database], success: [database]}}
    on: [dev.shipwatch.webhook.backup.*]
    outcome: {failure: [{match: {type: '*.failure'}}], success: [{match: {type: '*.success'}}]}
    scope: {resourceType: database, resourceName: '{{ data.database }}', resourceNamespace: ops}
    issue: {issueType: pipeline, title: 'Backup failed: {{ data.database }}'}
";

#[tokio::test]
async fn the_shipped_accounts_have_every_right_that_is_needed() {
    let site = Site::start(None).await;
    let peer = Peer::start().await;
    std::fs::write(site.dir.path().join("shipyard/webhook.yaml"), WEBHOOKS.replace("PEER", &peer.url(""))).unwrap();
    let (_alone, gateway) = site.gateway().await;
    let config = format!(
        "deadlines: {{started: 1s, finished: 1h}}\nwebhooks: {{allow: [127.0.0.0/8]}}\ngateway: {{publicUrl: 'http://{}'}}\n",
        gateway.addr()
    );
    let command = || site.command("shipwatch", &config);
    let service = Shipwatch::ready(command()).await;
    let publisher = Bus::connect_as(&site.nats.url(), "publisher", PASSWORD).await;

    // An issue, with its event and a call about it.
    let failed = publisher.publish(task_finished("test").id("f1").result("fail").at(1)).await;
    assert_eq!(service.folded(&failed).await["change"], "opened");
    peer.requests("/opened", 1).await;
    // A task of ours.
    publisher.publish(task_triggered("check-issues").id("gate").at(2)).await;
    assert_eq!(site.admin.answer("gate").await["data"]["result"], "fail");
    // A task of a webhook, answered by a callback.
    publisher.publish(task_triggered("approval").id("ask")).await;
    let callback = path(&peer.requests("/chat", 1).await[0].json()["url"]);
    eventually("the callback is expected", async || (site.admin.replies("ask").await.len() == 1).then_some(())).await;
    assert_eq!(gateway.send("POST", &callback, &[], r#"{"result":"pass"}"#).await.status, 200);
    assert_eq!(site.admin.answer("ask").await["data"]["result"], "pass");
    // A task that nobody starts.
    publisher.publish(task_triggered("deployment").id("stuck")).await;
    eventually("the deadline opens an issue", async || {
        let found = service.get("/api/v1/issues?check=deployment/stuck").await;
        (found["total"] == 1).then_some(())
    })
    .await;
    // Webhooks that are taken, events over HTTP, and a rule that comes while all run.
    std::fs::write(site.dir.path().join("shipyard/rules/backup.yaml"), RULE).unwrap();
    service.logged(&["the rules have changed"]).await;
    let answer = eventually("the gateway has the rule", async || {
        Some(gateway.hook("backup-failure", &json!({"database": "orders"})).await).filter(|a| a.status == 200)
    })
    .await;
    assert_eq!(answer.json["issue"]["title"], "Backup failed: orders", "told by the fold");
    let event = |ty: &str| json!({"specversion": "1.0", "id": ty, "source": "ci", "type": ty}).to_string();
    assert_eq!(gateway.events(&[], event("sh.keptn.log.error")).await.status, 202);
    assert_eq!(gateway.events(&[], event("dev.tekton.event.unheard.of.v1")).await.status, 202, "no rule, but a stream");

    // After a restart, and after the loss of the store, it is as before.
    let issues = service.get("/api/v1/issues/summary").await;
    assert!(service.terminate().await.success());
    let service = Shipwatch::ready(command()).await;
    assert_eq!(service.get("/api/v1/issues/summary").await, issues);
    assert!(service.terminate().await.success());
    std::fs::remove_dir_all(site.dir.path().join("data")).unwrap();
    let service = Shipwatch::ready(command()).await;
    eventually("the stream is folded again", async || {
        (service.get("/api/v1/issues/summary").await == issues).then_some(())
    })
    .await;
    publisher.publish(task_triggered("check-issues").id("again").at(3)).await;
    site.admin.answer("again").await;
    assert_eq!(site.denials(), Vec::<String>::new());
}

/// Starts the service without one right, publishes what makes it need all of them, and waits for the line that names the right.
async fn says(right: &str, words: &[&str]) {
    let site = Site::start(Some(right)).await;
    let service = Shipwatch::start(site.command("shipwatch", ""));
    let publisher = Bus::connect_as(&site.nats.url(), "publisher", PASSWORD).await;
    publisher.publish(task_finished("test").id("f1").result("fail")).await;
    publisher.publish(task_triggered("check-issues").id("gate")).await;
    let line = service.logged(words).await;
    assert!(!line.contains(r#""level":"INFO""#), "{line}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    tokio::join!(
        says("$JS.API.STREAM.INFO.shipwatch", &["not allowed to read stream"]),
        says("$JS.API.STREAM.MSG.GET.shipwatch", &["not allowed to read a message"]),
        says("$JS.API.CONSUMER.INFO.shipwatch.shipwatch", &["not allowed to read consumer"]),
        says("$JS.API.CONSUMER.CREATE.shipwatch.shipwatch", &["not allowed to create consumer", "nats consumer add"]),
        says("$JS.API.CONSUMER.MSG.NEXT.shipwatch.*", &["publish on", "CONSUMER.MSG.NEXT.shipwatch.shipwatch"]),
        says("$JS.ACK.shipwatch.shipwatch.>", &["publish on", "$JS.ACK.shipwatch.shipwatch.>"]),
        says("sh.keptn.event.*.started", &["publish on", "sh.keptn.event.check-issues.started"]),
        says("sh.keptn.event.*.finished", &["publish on", "sh.keptn.event.check-issues.finished"]),
        says("dev.shipwatch.rules.loaded", &["publish on", "dev.shipwatch.rules.loaded"]),
        says("dev.shipwatch.issue.*", &["publish on", "dev.shipwatch.issue.opened"]),
        says("shipwatch.ask.callback", &["subscribe to", "shipwatch.ask.callback"]),
    );
}
