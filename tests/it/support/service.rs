//! The real binary as a child process.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;

use super::{Gateway, eventually};

/// The HTTP client of all stories. Its TLS library wants a provider even where nothing is encrypted.
static HTTP: LazyLock<()> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
});

/// A running `shipwatch serve`; killed when dropped, and its log printed where the story failed.
pub struct Shipwatch {
    child: Child,
    base: String,
    log: Arc<Mutex<Vec<String>>>,
    http: reqwest::Client,
}

/// `shipwatch serve` on a broker and a data folder, on a port of its own choice and with nothing of this machine's settings.
pub fn serve_command(nats_url: &str, data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHIPWATCH_")) {
        command.env_remove(name);
    }
    command
        .args(["serve", "--nats-url", nats_url, "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"])
        .arg(data_dir)
        // Links in replies are part of what is folded, and the port differs from start to start.
        .env("SHIPWATCH_PUBLIC_URL", "http://shipwatch.test")
        // Not in the repository: its `shipyard` folder is documentation, not this service's rules.
        .current_dir(data_dir.parent().unwrap());
    command
}

/// Runs a command that is expected to end by itself; returns its status, its standard output and its standard error.
pub async fn exit_of(mut command: Command) -> (ExitStatus, String, String) {
    let run = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap());
    let output = tokio::time::timeout(super::DEADLINE, run).await.expect("the command ends by itself").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

impl Shipwatch {
    /// Starts a command made from [`serve_command`] and waits until it is ready.
    pub async fn ready(command: Command) -> Shipwatch {
        let mut service = Shipwatch::listening(command).await;
        service.wait_ready().await;
        service
    }

    /// Starts it and waits until its query endpoint listens; there may be no broker yet.
    pub async fn listening(command: Command) -> Shipwatch {
        let mut service = Shipwatch::start(command);
        let log = Arc::clone(&service.log);
        let addr = eventually("the query endpoint listens", async || {
            let found = log.lock().unwrap().iter().find_map(|line| listen_address(line, "query endpoint listening"));
            service.assert_running(found.is_some());
            found
        })
        .await;
        service.base = format!("http://{addr}");
        service
    }

    /// The address of its query endpoint.
    pub fn addr(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Waits until its gateway listens, and gives a client of it.
    pub async fn gateway(&self) -> Gateway {
        let line = self.logged(&["gateway listening"]).await;
        Gateway::at(&listen_address(&line, "gateway listening").unwrap())
    }

    /// Starts it and waits for nothing.
    pub fn start(mut command: Command) -> Shipwatch {
        LazyLock::force(&HTTP);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, sink) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| sink.lock().unwrap().push(line)));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Shipwatch { child, base: String::new(), log, http }
    }

    fn assert_running(&mut self, fine: bool) {
        if !fine && let Some(status) = self.child.try_wait().unwrap() {
            panic!("shipwatch ended with {status}\n{}", self.log());
        }
    }

    /// Waits until `/readyz` says yes.
    pub async fn wait_ready(&mut self) {
        eventually("the service is ready", async || {
            let ready = self.is_ready().await;
            self.assert_running(ready);
            ready.then_some(())
        })
        .await;
    }

    /// Whether `/readyz` says yes.
    pub async fn is_ready(&self) -> bool {
        self.http.get(format!("{}/readyz", self.base)).send().await.is_ok_and(|r| r.status().is_success())
    }

    /// The status of a request with another method than GET.
    pub async fn status_of(&self, method: &str, path: &str) -> u16 {
        let method = method.parse().unwrap();
        self.http.request(method, format!("{}{path}", self.base)).send().await.unwrap().status().as_u16()
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits until a line of the log holds all of `words`, in any letter case; returns the line.
    pub async fn logged(&self, words: &[&str]) -> String {
        eventually(&format!("the log says {words:?}"), async || {
            let log = self.log.lock().unwrap();
            let fits = |line: &&String| {
                let line = line.to_lowercase();
                words.iter().all(|word| line.contains(&word.to_lowercase()))
            };
            log.iter().find(fits).cloned()
        })
        .await
    }

    /// Kills it with SIGKILL.
    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.ended().await
    }

    /// Sends a signal, named as `kill` wants it.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the process ends", async || self.child.try_wait().unwrap()).await
    }

    /// GETs a path; status and JSON (null where the body is none).
    pub async fn get_status(&self, path: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// GETs a path that must answer 200 with JSON.
    pub async fn get(&self, path: &str) -> Value {
        let (status, json) = self.get_status(path).await;
        assert_eq!(status, 200, "GET {path}: {json}");
        json
    }

    /// GETs a path that must answer 200; the text.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "GET {path}");
        answer.text().await.unwrap()
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.text("/metrics").await;
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until an event is folded; its decision.
    pub async fn folded(&self, id: &str) -> Value {
        eventually(&format!("{id} is folded"), async || {
            let (status, json) = self.get_status(&format!("/api/v1/events/{id}")).await;
            (status == 200).then_some(json)
        })
        .await
    }

    /// Every item of a list, over all its pages.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{mark}limit=1000{cursor}")).await;
            items.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// The only issue that a query finds.
    pub async fn only_issue(&self, query: &str) -> Value {
        let mut found = self.get(&format!("/api/v1/issues?{query}")).await;
        assert_eq!(found["total"], 1, "issues with {query}: {found:#}");
        found["data"][0].take()
    }

    /// Everything the query endpoint shows, as text in a fixed order: issues, their history, scopes, the journal, parked messages.
    pub async fn dump(&self) -> String {
        let mut text = String::new();
        let issues = self.all("/api/v1/issues?sort=number").await;
        for issue in &issues {
            let history = self.all(&format!("/api/v1/issues/{}/history", issue["number"])).await;
            writeln!(text, "issue {issue:#}\nhistory {:#}", Value::from(history)).unwrap();
        }
        for path in ["/api/v1/scopes", "/api/v1/events", "/api/v1/parked"] {
            let mut all = self.all(path).await;
            // The texts of all rules would bury the rest; their hash says as much.
            for rules in all.iter_mut().filter(|e| e["type"] == "dev.shipwatch.rules.loaded") {
                rules["data"] = rules["data"]["hash"].take();
            }
            writeln!(text, "{path} {:#}", Value::from(all)).unwrap();
        }
        text
    }
}

impl Drop for Shipwatch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of shipwatch\n{}", self.log());
        }
    }
}

/// The address in the line with these words, in text and JSON logs alike.
fn listen_address(line: &str, words: &str) -> Option<String> {
    let (_, rest) = line.contains(words).then(|| line.split_once("127.0.0.1:"))??;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("127.0.0.1:{port}"))
}
