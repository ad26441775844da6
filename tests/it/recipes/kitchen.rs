//! A recipe of the repository, served and run as its page says, with a peer in the place of its tools.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use crate::support::{Answer, Gateway, Nats, Peer, Ran, Seen, World, repo};

/// The folder of all recipes, as the pages write it.
pub const RECIPES: &str = "shipyard/recipes";

/// A recipe being served.
pub struct Recipe {
    /// Broker, client, service.
    pub world: World,
    /// All its tools.
    pub peer: Peer,
    name: &'static str,
    home: TempDir,
}

impl Recipe {
    /// Copies a recipe, puts the peer into the place of its hosts, and serves it.
    pub async fn serve(name: &'static str) -> Recipe {
        let (peer, home) = (Peer::start().await, TempDir::new().unwrap());
        let folder = home.path().join(RECIPES).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(repo(RECIPES).join(name)).unwrap() {
            let entry = entry.unwrap();
            let mut text = std::fs::read_to_string(entry.path()).unwrap();
            for host in hosts(&text) {
                text = text.replace(&host, &peer.url(""));
            }
            std::fs::write(folder.join(entry.file_name()), text).unwrap();
        }
        let secrets = home.path().join("secrets");
        for (name, key) in secrets_of(&std::fs::read_to_string(folder.join("webhook.yaml")).unwrap()) {
            std::fs::create_dir_all(secrets.join(&name)).unwrap();
            let value = if key == "url" { peer.url(&format!("/{name}")) } else { secret(&name, &key) };
            std::fs::write(secrets.join(&name).join(&key), value).unwrap();
        }
        let config = format!(
            "shipyardDir: {folder:?}\ngateway: {{listen: \"127.0.0.1:0\"}}\n\
             webhooks: {{allow: [127.0.0.0/8], timeout: 5s, retries: 0, secretsDir: {secrets:?}}}\n"
        );
        let world = World::on(Nats::start().await, Some(&config)).await;
        Recipe { world, peer, name, home }
    }

    /// Begins the sequence of the page's command of this number, with some of its words replaced.
    pub fn begin(&self, number: usize, replace: &[(&str, &str)]) -> Child {
        let page = std::fs::read_to_string(repo(RECIPES).join(self.name).join("README.md")).unwrap();
        let runs = commands(&page).into_iter().filter(|words| words.starts_with(&["sequence".into(), "run".into()]));
        let mut words = runs.collect::<Vec<_>>().swap_remove(number);
        for (from, to) in replace {
            let word = words.iter_mut().find(|word| word == from).unwrap_or_else(|| panic!("no {from} on the page"));
            (*to).clone_into(word);
        }
        let mut command = shipwatch(self.home.path());
        command.args(words).args(["--nats-url", &self.world.nats.url(), "--start-timeout", "20s"]);
        Ran::start(command)
    }

    /// Runs it to its end, and waits until all that follows is done.
    pub async fn run(&self, number: usize, replace: &[(&str, &str)]) -> Ran {
        self.end(self.begin(number, replace)).await
    }

    /// Waits for the end of a run and of all that follows.
    pub async fn end(&self, run: Child) -> Ran {
        let ran = Ran::of(run).await;
        self.world.rest().await;
        ran
    }

    /// Waits for the n-th request of a path, whose query does not matter.
    pub async fn request(&self, path: &str, n: usize) -> Seen {
        let of = |seen: &Seen| seen.path.split('?').next() == Some(path);
        crate::support::eventually(&format!("request {n} of {path}"), async || {
            self.peer.seen(path).into_iter().filter(of).nth(n - 1)
        })
        .await
    }

    /// What a tool posts to a callback address that it was given.
    pub async fn call_back(&self, url: &Value, body: &str) -> Answer {
        let (gateway, path) = self.behind(url).await;
        gateway.send("POST", &path, &[], body.to_owned()).await
    }

    /// The gateway that a callback address leads to, and the path there.
    pub async fn behind(&self, url: &Value) -> (Gateway, String) {
        let gateway = self.world.service().gateway().await;
        let path = url.as_str().unwrap().strip_prefix(&gateway.url("")).expect("it is on the gateway").to_owned();
        (gateway, path)
    }

    /// `data` of the last event of a type in a run.
    pub async fn data(&self, ran: &Ran, ty: &str) -> Value {
        let mut all = self.world.bus.read("shipwatch").await;
        all.retain(|m| m.subject == format!("sh.keptn.event.{ty}") && m.json["shkeptncontext"] == ran.context());
        all.pop().unwrap_or_else(|| panic!("no {ty} in {ran:#?}")).json["data"].take()
    }
}

/// The value of a secret of a story, where it is no address.
pub fn secret(name: &str, key: &str) -> String {
    format!("s3cret-{name}-{key}")
}

/// The binary, in a folder and with nothing of this machine's settings.
pub fn shipwatch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHIPWATCH_")) {
        command.env_remove(name);
    }
    command.current_dir(folder);
    command
}

/// The words of every `shipwatch` command on a page, without the name.
pub fn commands(page: &str) -> Vec<Vec<String>> {
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let text = blocks.collect::<String>().replace("\\\n", " ");
    let of =
        |line: &str| line.strip_prefix("shipwatch ").map(|rest| rest.split_whitespace().map(str::to_owned).collect());
    text.lines().filter_map(of).collect()
}

/// The hosts of tools that a text names, each with its scheme.
pub fn hosts(text: &str) -> BTreeSet<String> {
    let urls = text.split("https://").skip(1);
    let ends = |c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c);
    let hosts = urls.map(|rest| rest.split(ends).next().unwrap()).filter(|host| host.ends_with(".example"));
    hosts.map(|host| format!("https://{host}")).collect()
}

/// Name and key of every secret that a webhook file names.
pub fn secrets_of(webhooks: &str) -> BTreeSet<(String, String)> {
    let named = webhooks.split("secretRef: {name: ").skip(1);
    let pairs = named.map(|rest| rest.split('}').next().unwrap().split_once(", key: ").unwrap());
    pairs.map(|(name, key)| (name.to_owned(), key.to_owned())).collect()
}
