//! Layers of settings, and the checked value they come to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::keys::{KEYS, Key, Kind, variable};
use super::{Config, Deadlines, Gateway, Mistakes};
use crate::bus;
use crate::domain::decide::TaskNames;
use crate::domain::issue::ChangeKind;
use crate::domain::rules::problem::Problems;
use crate::domain::rules::yaml::{self, Kind as NodeKind, Node};
use crate::units;

/// A value, and where it was given.
#[derive(Clone, Debug)]
struct Given {
    value: Value,
    origin: String,
}

/// Settings so far; a later layer takes the place of an earlier one, key by key.
#[derive(Debug, Default)]
pub struct Layers {
    given: BTreeMap<&'static str, Given>,
    mistakes: Vec<String>,
}

impl Layers {
    /// Adds a YAML file.
    pub fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => self.yaml(&name, &text),
            Err(e) => self.mistakes.push(format!("{name}: {e}")),
        }
    }

    fn yaml(&mut self, name: &str, text: &str) {
        let file: Arc<str> = name.into();
        let mut problems = Problems::of(file);
        if !text.trim().is_empty()
            && let Some(node) = yaml::read(text, &mut problems)
        {
            match &node.kind {
                NodeKind::Map(_) => self.walk(name, "", &node, &mut problems),
                NodeKind::Null => {}
                _ => problems.add(node.at, format!("the file is {}, not a mapping", node.kind_word())),
            }
        }
        self.mistakes.extend(problems.into_list().iter().map(ToString::to_string));
    }

    fn walk(&mut self, file: &str, prefix: &str, node: &Node, problems: &mut Problems) {
        let NodeKind::Map(entries) = &node.kind else { return };
        for (key, value) in entries {
            let path = if prefix.is_empty() { key.name.clone() } else { format!("{prefix}.{}", key.name) };
            let below = format!("{path}.");
            if let Some(known) = KEYS.iter().find(|k| k.path == path) {
                if !matches!(value.kind, NodeKind::Null) {
                    let origin = format!("{file}:{}:{}", value.at.line, value.at.column);
                    self.given.insert(known.path, Given { value: plain(value), origin });
                }
            } else if KEYS.iter().any(|k| k.path.starts_with(&below)) {
                match value.kind {
                    NodeKind::Map(_) => self.walk(file, &path, value, problems),
                    NodeKind::Null => {}
                    _ => problems.add(value.at, format!("{path} is {}, not a mapping", value.kind_word())),
                }
            } else {
                let start = if prefix.is_empty() { String::new() } else { format!("{prefix}.") };
                let mut siblings: Vec<&str> =
                    KEYS.iter().filter_map(|k| k.path.strip_prefix(&start)?.split('.').next()).collect();
                siblings.dedup();
                problems.unknown(key.at, "key", &path_word(&path, &key.name), &siblings);
            }
        }
    }

    /// Adds the `SHIPWATCH_*` variables.
    pub fn environment(&mut self, get: impl Fn(&str) -> Option<String>) {
        for key in KEYS {
            let names = [Some(variable(key.path)), key.variable.map(str::to_owned)];
            for name in names.into_iter().flatten() {
                if let Some(text) = get(&name).filter(|t| !t.is_empty()) {
                    self.given.insert(key.path, Given { value: Value::from(text), origin: name });
                }
            }
        }
    }

    /// Adds a flag.
    pub fn flag(&mut self, path: &str, flag: &str, text: impl Into<String>) {
        if let Some(key) = KEYS.iter().find(|k| k.path == path) {
            self.given.insert(key.path, Given { value: Value::from(text.into()), origin: flag.to_owned() });
        }
    }

    /// Checks everything.
    ///
    /// # Errors
    /// All mistakes of all layers.
    pub fn check(mut self) -> Result<Config, Mistakes> {
        let mut read = Checked { given: &self.given, mistakes: Vec::new() };
        let config = read.config();
        let mistakes = read.mistakes;
        self.mistakes.extend(mistakes);
        match config {
            Some(config) if self.mistakes.is_empty() => Ok(config),
            _ => Err(Mistakes(self.mistakes)),
        }
    }

    /// What holds, as YAML text, without secrets.
    pub fn effective(&self) -> Value {
        let mut root = Map::new();
        for key in KEYS {
            let value = match self.given.get(key.path) {
                Some(given) => shown(key, &given.value),
                None => shown(key, &Value::from(key.default)),
            };
            put(&mut root, key.path, value);
        }
        Value::Object(root)
    }
}

/// The configuration as YAML, without secrets.
///
/// # Errors
/// Where it cannot be written, which does not happen.
pub fn dump(layers: &Layers) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(&layers.effective())?)
}

fn path_word(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { path.to_owned() }
}

/// A node without its place.
fn plain(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Bool(b) => Value::from(*b),
        NodeKind::Number(n, _) => Value::Number(n.clone()),
        NodeKind::Text(text) => Value::from(text.as_str()),
        NodeKind::List(items) => Value::Array(items.iter().map(plain).collect()),
        NodeKind::Map(entries) => Value::Object(entries.iter().map(|(k, v)| (k.name.clone(), plain(v))).collect()),
    }
}

fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            map.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = map.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn shown(key: &Key, value: &Value) -> Value {
    let text = scalar(value);
    match key.kind {
        Kind::Secret => Value::from(if text.as_deref().unwrap_or_default().is_empty() { "" } else { "***" }),
        Kind::List | Kind::Words(_) => {
            let items = list(value)
                .into_iter()
                .map(|item| if key.path == "nats.urls" { without_password(&item) } else { item });
            Value::from(items.collect::<Vec<_>>())
        }
        Kind::Flag => Value::from(text.as_deref() == Some("true")),
        Kind::Number => text.and_then(|t| t.parse::<u64>().ok()).map_or(Value::Null, Value::from),
        Kind::TaskDeadlines => {
            if value.is_object() {
                value.clone()
            } else {
                Value::Object(Map::new())
            }
        }
        Kind::Tokens => {
            let mut tokens = value.clone();
            for token in tokens.as_array_mut().into_iter().flatten() {
                if let Some(hash) = token.get_mut("sha256") {
                    *hash = Value::from("***");
                }
            }
            if tokens.is_array() { tokens } else { Value::Array(Vec::new()) }
        }
        _ => Value::from(text.unwrap_or_default()),
    }
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}***{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A list, or a text with commas.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(scalar).collect(),
        other => {
            let text = scalar(other).unwrap_or_default();
            text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
        }
    }
}

/// Reads checked values, and collects what is wrong.
struct Checked<'g> {
    given: &'g BTreeMap<&'static str, Given>,
    mistakes: Vec<String>,
}

impl Checked<'_> {
    /// The value of a key with where it was given, or its default.
    fn value(&self, path: &str) -> (Value, String) {
        match self.given.get(path) {
            Some(given) => (given.value.clone(), given.origin.clone()),
            None => {
                let default = KEYS.iter().find(|k| k.path == path).map_or("", |k| k.default);
                (Value::from(default), "default".into())
            }
        }
    }

    fn wrong(&mut self, origin: &str, path: &str, problem: impl std::fmt::Display) {
        self.mistakes.push(format!("{origin}: {path}: {problem}"));
    }

    fn text(&mut self, path: &str) -> String {
        let (value, origin) = self.value(path);
        scalar(&value).unwrap_or_else(|| {
            self.wrong(&origin, path, format!("{} is not text", crate::domain::event::kind(&value)));
            String::new()
        })
    }

    fn given_text(&mut self, path: &str) -> Option<String> {
        Some(self.text(path)).filter(|t| !t.is_empty())
    }

    fn path(&mut self, path: &str) -> Option<PathBuf> {
        self.given_text(path).map(PathBuf::from)
    }

    fn read<T>(&mut self, path: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(path);
        let origin = self.value(path).1;
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.wrong(&origin, path, problem);
                None
            }
        }
    }

    fn texts(&mut self, path: &str) -> Vec<String> {
        let (value, origin) = self.value(path);
        if value.is_object() {
            self.wrong(&origin, path, "is an object, not a list");
        }
        list(&value)
    }

    fn url(&mut self, path: &str) -> Option<String> {
        self.read(path, |text| match text {
            "" => Ok(String::new()),
            t if t.starts_with("http://") || t.starts_with("https://") => Ok(t.trim_end_matches('/').to_owned()),
            other => Err(format!("{other:?} does not begin with http:// or https://")),
        })
    }

    fn number(&mut self, path: &str) -> Option<u64> {
        self.read(path, |text| text.parse().map_err(|_| format!("{text:?} is not a whole number")))
    }

    fn flag(&mut self, path: &str) -> Option<bool> {
        self.read(path, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(format!("{other:?} is not true or false")),
        })
    }

    fn address(&mut self, path: &str) -> Option<std::net::SocketAddr> {
        self.read(path, address)
    }

    /// All keys are read before anything is given up, so that every mistake is found.
    fn config(&mut self) -> Option<Config> {
        let nats = bus::Settings {
            urls: self.urls(),
            creds: self.path("nats.creds"),
            nkey: self.given_text("nats.nkey"),
            user: self.given_text("nats.user"),
            password: self.given_text("nats.password"),
            token: self.given_text("nats.token"),
            context: self.given_text("nats.context"),
            domain: self.given_text("nats.domain"),
            api_prefix: self.given_text("nats.apiPrefix"),
            tls: bus::Tls {
                ca: self.path("nats.tls.ca"),
                cert: self.path("nats.tls.cert"),
                key: self.path("nats.tls.key"),
                first: self.flag("nats.tls.first").unwrap_or_default(),
            },
        };
        self.pair(nats.tls.cert.is_some(), nats.tls.key.is_some(), "nats.tls.cert", "nats.tls.key");
        let (cert, key) = (self.path("tls.cert").is_some(), self.path("tls.key").is_some());
        self.pair(cert, key, "tls.cert", "tls.key");
        if nats.domain.is_some() && nats.api_prefix.is_some() {
            let origin = self.value("nats.domain").1;
            self.wrong(&origin, "nats.domain", "stands beside nats.apiPrefix; give one of them");
        }
        let stream = self.name("nats.stream");
        let durable = self.name("nats.durable");
        let listen = self.address("query.listen");
        let public_url = self.url("query.publicUrl");
        let event_size = self.read("limits.eventSize", units::size);
        let per_second = self.number("limits.requestsPerSecond");
        let tasks = self.tasks();
        let issue_events = self.issue_events();
        let keep_resolved = self.read("retention.resolvedIssues", units::duration);
        let keep_events = self.read("retention.events", units::duration);
        let deadlines = self.deadlines();
        let gateway = self.gateway();
        let json_log = self.read("log.format", |text| match text {
            "text" => Ok(false),
            "json" => Ok(true),
            other => Err(format!("{other:?} is not text or json")),
        });
        self.outside();
        Some(Config {
            nats,
            stream: stream.filter(|s| !s.is_empty()),
            durable: durable?,
            data_dir: self.path("dataDir")?,
            shipyard_dir: self.path("shipyardDir")?,
            listen: listen?,
            public_url: public_url?,
            gateway: gateway?,
            event_size: event_size?,
            requests_per_second: u32::try_from(per_second?).unwrap_or(u32::MAX),
            tasks: tasks?,
            issue_events,
            keep_resolved: keep_resolved?,
            keep_events: keep_events?,
            deadlines: deadlines?,
            json_log: json_log?,
        })
    }

    fn pair(&mut self, a: bool, b: bool, first: &str, second: &str) {
        if a != b {
            let (given, missing) = if a { (first, second) } else { (second, first) };
            let origin = self.value(given).1;
            self.wrong(&origin, given, format!("needs {missing} as well"));
        }
    }

    /// A given list of addresses; empty where a context tells them.
    fn urls(&mut self) -> Vec<String> {
        if !self.given.contains_key("nats.urls") && self.given.contains_key("nats.context") {
            return Vec::new();
        }
        let urls = self.texts("nats.urls");
        let origin = self.value("nats.urls").1;
        for url in &urls {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme);
            if !matches!(scheme, None | Some("nats" | "tls" | "ws" | "wss")) {
                self.wrong(
                    &origin,
                    "nats.urls",
                    format!("{:?} does not begin with nats:// or tls://", without_password(url)),
                );
            }
        }
        if urls.is_empty() {
            self.wrong(&origin, "nats.urls", "no address of a broker");
        }
        urls
    }

    /// Names of streams and consumers have no dots, spaces or wildcards.
    fn name(&mut self, path: &str) -> Option<String> {
        self.read(path, |text| match text.find(|c: char| c.is_whitespace() || ".*>/\\".contains(c)) {
            Some(_) => Err(format!("{text:?} is not a name: no spaces, dots, slashes or wildcards")),
            None => Ok(text.to_owned()),
        })
    }

    fn tasks(&mut self) -> Option<TaskNames> {
        let task = |text: &str| match text {
            "" => Err("is empty".to_owned()),
            t if t.contains(|c: char| c == '.' || c.is_whitespace() || c == '*' || c == '>') => {
                Err(format!("{t:?} is not a task: the name is one word of an event type, without dots"))
            }
            t => Ok(t.to_owned()),
        };
        let open = self.read("tasks.openIssue", task);
        let update = self.read("tasks.updateIssue", task);
        let close = self.read("tasks.closeIssue", task);
        let check = self.read("tasks.checkIssues", task);
        let names = TaskNames { open: open?, update: update?, close: close?, check: check? };
        let all = [&names.open, &names.update, &names.close, &names.check];
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        if unique.len() < all.len() {
            self.mistakes.push("tasks: two tasks have the same name".into());
        }
        Some(names)
    }

    fn issue_events(&mut self) -> Vec<ChangeKind> {
        let words = self.texts("issueEvents");
        let origin = self.value("issueEvents").1;
        let mut kinds = Vec::new();
        for word in words {
            match ChangeKind::parse(&word).filter(|k| *k != ChangeKind::Withdrawn) {
                Some(kind) => kinds.push(kind),
                None => self.wrong(
                    &origin,
                    "issueEvents",
                    format!("{word:?} is not one of opened, updated, reopened, resolved"),
                ),
            }
        }
        kinds
    }

    fn deadlines(&mut self) -> Option<Deadlines> {
        let started = self.read("deadlines.started", units::duration);
        let finished = self.read("deadlines.finished", units::duration);
        let (value, origin) = self.value("deadlines.tasks");
        let mut tasks = BTreeMap::new();
        match value {
            Value::Object(map) => {
                for (task, limits) in map {
                    let path = format!("deadlines.tasks.{task}");
                    let Value::Object(limits) = limits else {
                        self.wrong(&origin, &path, "is not a mapping with started and finished");
                        continue;
                    };
                    let mut both = (None, None);
                    for (which, limit) in limits {
                        let read = units::duration(&scalar(&limit).unwrap_or_default());
                        match (which.as_str(), read) {
                            ("started", Ok(d)) => both.0 = Some(d),
                            ("finished", Ok(d)) => both.1 = Some(d),
                            ("started" | "finished", Err(e)) => self.wrong(&origin, &format!("{path}.{which}"), e),
                            _ => self.wrong(
                                &origin,
                                &format!("{path}.{which}"),
                                "unknown key; there are started and finished",
                            ),
                        }
                    }
                    tasks.insert(task, both);
                }
            }
            Value::String(text) if text.is_empty() => {}
            _ => self.wrong(&origin, "deadlines.tasks", "is not a mapping of tasks"),
        }
        Some(Deadlines { started: started?, finished: finished?, tasks })
    }

    fn gateway(&mut self) -> Option<Option<Gateway>> {
        let listen = self.given_text("gateway.listen");
        let public_url = self.url("gateway.publicUrl");
        let max_body = self.read("gateway.maxBody", units::size);
        let wait = self.read("gateway.wait", units::duration);
        let max_waiting = self.number("gateway.maxWaiting");
        if listen.is_none() {
            return Some(None);
        }
        let listen = self.address("gateway.listen");
        Some(Some(Gateway {
            listen: listen?,
            public_url: public_url?,
            max_body: max_body?,
            wait: wait?,
            max_waiting: usize::try_from(max_waiting?).unwrap_or(usize::MAX),
        }))
    }

    /// Keys of parts that read them at start themselves are checked here, so that a mistake shows now.
    fn outside(&mut self) {
        self.read("webhooks.timeout", units::duration);
        self.read("webhooks.maxResponse", units::size);
        self.number("webhooks.retries");
        self.number("webhooks.concurrency");
        self.flag("auth.insecure");
        self.texts("webhooks.allow");
        self.texts("webhooks.deny");
        let (value, origin) = self.value("auth.tokens");
        let tokens = match value {
            Value::Array(tokens) => tokens,
            Value::String(text) if text.is_empty() => return,
            _ => return self.wrong(&origin, "auth.tokens", "is not a list"),
        };
        for (n, token) in tokens.iter().enumerate() {
            let path = format!("auth.tokens[{n}]");
            let Value::Object(token) = token else {
                self.wrong(&origin, &path, "is not a mapping");
                continue;
            };
            for key in token.keys().filter(|k| !["name", "sha256", "namespaces", "roles"].contains(&k.as_str())) {
                self.wrong(&origin, &path, format!("unknown key {key:?}; there are name, sha256, namespaces, roles"));
            }
            let hash = token.get("sha256").and_then(Value::as_str).unwrap_or_default();
            if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                self.wrong(&origin, &format!("{path}.sha256"), "is not the 64 hex digits of a SHA-256");
            }
            for role in token.get("roles").map(list).unwrap_or_default() {
                if !["read", "publish", "callback", "metrics"].contains(&role.as_str()) {
                    self.wrong(
                        &origin,
                        &format!("{path}.roles"),
                        format!("{role:?} is not one of read, publish, callback, metrics"),
                    );
                }
            }
        }
    }
}

/// `host:port`; a name is looked up, and port 0 lets the system choose.
fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    use std::net::ToSocketAddrs as _;
    let text = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    let wrong = |e: String| format!("{text:?} is not an address such as 127.0.0.1:8080{e}");
    match text.to_socket_addrs() {
        Ok(mut found) => found.next().ok_or_else(|| wrong(String::new())),
        Err(e) => Err(wrong(format!(" ({e})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(yaml: &str) -> String {
        let mut layers = Layers::default();
        layers.yaml("c.yaml", yaml);
        layers.check().unwrap_err().to_string()
    }

    #[test]
    fn a_later_layer_wins_key_by_key() {
        let mut layers = Layers::default();
        layers.yaml("c.yaml", "dataDir: /from/file\nnats: {durable: file, urls: ['nats://a', 'nats://b']}\n");
        layers.environment(|name| (name == "SHIPWATCH_NATS_DURABLE").then(|| "variable".into()));
        layers.flag("query.listen", "--listen", "127.0.0.1:0");
        let config = layers.check().unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/from/file"));
        assert_eq!(config.durable, "variable");
        assert_eq!(config.nats.urls, ["nats://a", "nats://b"]);
        assert_eq!(config.listen.port(), 0);
        assert!(Layers::default().check().is_ok(), "the defaults are right");
    }

    #[test]
    fn all_mistakes_are_told_at_once_each_with_its_place() {
        let text = mistakes(
            "retention: {events: soon}\nquery:\n  listen: nowhere\n  listne: x\ntasks: {openIssue: a.b}\nissueEvents: [opned]\nlog: {format: xml}\n",
        );
        for part in ["c.yaml:1:21", "retention.events", "nowhere", "listne", "listen", "a.b", "opned", "xml"] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
        assert_eq!(text.lines().count(), 6, "{text}");
    }

    #[test]
    fn what_holds_is_shown_without_secrets() {
        let mut layers = Layers::default();
        let hash = "ab".repeat(32);
        layers.yaml("c.yaml", &format!("nats: {{user: u, password: hunter2, urls: ['nats://u:hunter2@h']}}\nauth: {{tokens: [{{name: ci, sha256: {hash}}}]}}\n"));
        let text = dump(&layers).unwrap();
        assert!(!text.contains("hunter2") && !text.contains(&hash), "{text}");
        assert!(text.contains("durable: shipwatch"));
        let mut again = Layers::default();
        again.yaml("dump.yaml", &text.replace("\"***\"", "\"\"").replace("***", ""));
        assert_eq!(again.given.len(), KEYS.len(), "{text}");
    }
}
