//! From what was written to the checked value. Goes on after a mistake, so that all of them are told.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use super::mistakes::{Mistakes, did_you_mean};
use super::node::Node;
use super::raw::RawConfig;
use super::values::{Listen, NatsUrl, Secret, Target};
use super::{
    Auth, Config, Deadlines, Gateway, IssueEvent, Limits, Log, LogFormat, Nats, NatsTls, Nkey, Query, Retention, Role,
    SHIPYARD_DIR, TaskDeadlines, Tasks, TlsFiles, Token, Webhooks,
};
use crate::units::{Size, Span};

/// Checks a raw configuration.
///
/// # Errors
/// All mistakes: those in `found`, made while reading, and those found here.
pub fn check(raw: &RawConfig, found: Mistakes) -> Result<Config, Mistakes> {
    let mut checker = Checker { raw, mistakes: found };
    let config = checker.config();
    let mut mistakes = checker.mistakes;
    mistakes.sort();
    if mistakes.0.is_empty() { Ok(config) } else { Err(mistakes) }
}

struct Checker<'a> {
    raw: &'a RawConfig,
    mistakes: Mistakes,
}

impl<'a> Checker<'a> {
    fn config(&mut self) -> Config {
        Config {
            nats: self.nats(),
            data_dir: self.path("dataDir").unwrap_or_else(|| "./shipwatch-data".into()),
            shipyard_dir: self.path("shipyardDir").unwrap_or_else(|| SHIPYARD_DIR.into()),
            query: Query {
                listen: self.get("query.listen", listen).unwrap_or_else(default_listen),
                public_url: self.optional("query.publicUrl", base_url),
            },
            gateway: Gateway {
                listen: self.optional("gateway.listen", Listen::parse),
                public_url: self.optional("gateway.publicUrl", base_url),
                max_body: self.size("gateway.maxBody", 1 << 20),
                wait: self.span("gateway.wait", Span::from_secs(5)),
                max_waiting: self.number("gateway.maxWaiting", 1, 1024),
            },
            limits: Limits {
                event_size: self.size("limits.eventSize", 1 << 20),
                requests_per_second: self.number("limits.requestsPerSecond", 0, 0),
            },
            tasks: self.tasks(),
            issue_events: self
                .items("issueEvents", issue_event)
                .unwrap_or_else(|| vec![IssueEvent::Opened, IssueEvent::Reopened, IssueEvent::Resolved]),
            retention: Retention {
                resolved_issues: self.positive("retention.resolvedIssues", Span::from_days(90)),
                events: self.positive("retention.events", Span::from_days(30)),
            },
            deadlines: Deadlines {
                started: self.span("deadlines.started", Span::from_secs(600)),
                finished: self.span("deadlines.finished", Span::from_hours(1)),
                tasks: self.task_deadlines(),
            },
            webhooks: Webhooks {
                allow: self.items("webhooks.allow", Target::parse).unwrap_or_default(),
                deny: self.items("webhooks.deny", Target::parse).unwrap_or_default(),
                timeout: self.positive("webhooks.timeout", Span::from_secs(30)),
                retries: self.number("webhooks.retries", 0, 3),
                concurrency: self.number("webhooks.concurrency", 1, 32),
                max_response: self.size("webhooks.maxResponse", 1 << 20),
                secrets_dir: self.path("webhooks.secretsDir"),
            },
            auth: Auth { tokens: self.tokens(), insecure: self.flag("auth.insecure") },
            tls: self.tls_files("tls.cert", "tls.key"),
            log: Log { format: self.get("log.format", log_format).unwrap_or_default() },
        }
    }

    fn nats(&mut self) -> Nats {
        let context = self.optional("nats.context", |text| Ok(text.to_owned()));
        let urls = self.items("nats.urls", NatsUrl::parse).filter(|urls| !urls.is_empty());
        let urls = urls.unwrap_or_else(|| match context {
            // The context names the server then.
            Some(_) => Vec::new(),
            None => NatsUrl::parse("nats://127.0.0.1:4222").into_iter().collect(),
        });
        let nats = Nats {
            urls,
            creds: self.path("nats.creds"),
            nkey: self
                .secret("nats.nkey")
                .map(|text| if is_seed(&text) { Nkey::Seed(Secret::new(text)) } else { Nkey::File(text.into()) }),
            user: self.optional("nats.user", |text| Ok(text.to_owned())),
            password: self.secret("nats.password").map(Secret::new),
            token: self.secret("nats.token").map(Secret::new),
            context,
            domain: self.optional("nats.domain", name),
            api_prefix: self.optional("nats.apiPrefix", subject),
            tls: NatsTls {
                ca: self.path("nats.tls.ca"),
                client: self.tls_files("nats.tls.cert", "nats.tls.key"),
                first: self.flag("nats.tls.first"),
            },
            stream: self.optional("nats.stream", name),
            durable: self.optional("nats.durable", name).unwrap_or_else(|| "shipwatch".into()),
        };
        self.only_one(&["nats.creds", "nats.nkey", "nats.user", "nats.token"]);
        self.only_one(&["nats.domain", "nats.apiPrefix"]);
        self.pair("nats.password", "nats.user");
        nats
    }

    fn tasks(&mut self) -> Tasks {
        let mut task =
            |path: &'static str, default: &str| self.optional(path, name).unwrap_or_else(|| default.to_owned());
        let tasks = Tasks {
            open_issue: task("tasks.openIssue", "open-issue"),
            update_issue: task("tasks.updateIssue", "update-issue"),
            close_issue: task("tasks.closeIssue", "close-issue"),
            check_issues: task("tasks.checkIssues", "check-issues"),
        };
        let all = [
            ("tasks.openIssue", &tasks.open_issue),
            ("tasks.updateIssue", &tasks.update_issue),
            ("tasks.closeIssue", &tasks.close_issue),
            ("tasks.checkIssues", &tasks.check_issues),
        ];
        for (i, (path, task)) in all.iter().enumerate() {
            let Some((other, _)) = all.iter().enumerate().find(|(j, (_, t))| *j != i && t == task).map(|(_, t)| t)
            else {
                continue;
            };
            if let Some(node) = self.written(path) {
                self.mistakes.add(node, path, format_args!("{task:?} is the name of {other} too"));
            }
        }
        tasks
    }

    fn task_deadlines(&mut self) -> BTreeMap<String, TaskDeadlines> {
        let path = "deadlines.tasks";
        let Some(entries) = self.get(path, |node| Ok(node.map()?.to_vec())) else { return BTreeMap::new() };
        let mut tasks = BTreeMap::new();
        for (task, node) in entries {
            let path = format!("{path}.{}", task.text);
            if let Err(problem) = name(&task.text) {
                self.mistakes.at(&task.origin, format!("{path}: {problem}"));
            }
            let fields = self.fields(&node, &path, &["started", "finished"]);
            let mut span = |field| {
                let node: &Node = fields.get(field)?;
                let read = node.scalar().and_then(|text| text.parse::<Span>().map_err(|e| e.to_string()));
                read.map_err(|problem| self.mistakes.add(node, &format!("{path}.{field}"), problem)).ok()
            };
            let deadlines = TaskDeadlines { started: span("started"), finished: span("finished") };
            tasks.insert(task.text, deadlines);
        }
        tasks
    }

    fn tokens(&mut self) -> Vec<Token> {
        let path = "auth.tokens";
        let Some(nodes) = self.get(path, Node::list) else { return Vec::new() };
        let mut names: Vec<String> = Vec::new();
        let mut tokens = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            let path = format!("{path}[{i}]");
            let before = self.mistakes.0.len();
            let fields = self.fields(node, &path, &["name", "sha256", "namespaces", "roles"]);
            if self.mistakes.0.len() > before && fields.is_empty() {
                continue;
            }
            for field in ["name", "sha256", "namespaces", "roles"] {
                if !fields.contains_key(field) {
                    self.mistakes.add(node, &path, format_args!("{field} is missing"));
                }
            }
            let called = self.field(&fields, &path, "name", |node| {
                let text = node.text()?;
                let twice = names.iter().any(|n| n == text);
                if twice { Err(format!("{text:?} is there twice")) } else { Ok(name(text)?) }
            });
            names.extend(called.clone());
            let sha256 = self.field(&fields, &path, "sha256", |node| {
                // Never repeats what stands there: it may be the token itself, put in the wrong place.
                hash(node.scalar().unwrap_or_default())
                    .ok_or_else(|| "is not the SHA-256 of a token, 64 hexadecimal digits".to_owned())
            });
            let namespaces = self.field(&fields, &path, "namespaces", |node| some(node, |text| Ok(text.to_owned())));
            let roles = self.field(&fields, &path, "roles", |node| some(node, role));
            if let (Some(name), Some(sha256), Some(namespaces), Some(roles)) = (called, sha256, namespaces, roles) {
                tokens.push(Token { name, sha256, namespaces, roles });
            }
        }
        tokens
    }

    /// The members of a map that may have only these names. Empty ones count as not there.
    fn fields(&mut self, node: &Node, path: &str, known: &[&'static str]) -> BTreeMap<&'static str, Node> {
        let entries = match node.map() {
            Ok(entries) => entries,
            Err(problem) => {
                self.mistakes.add(node, path, problem);
                return BTreeMap::new();
            }
        };
        let mut fields = BTreeMap::new();
        for (name, value) in entries {
            match known.iter().find(|k| **k == name.text) {
                Some(known) if !value.is_null() => {
                    fields.insert(*known, value.clone());
                }
                Some(_) => {}
                None => {
                    let hint = did_you_mean(&name.text, known.iter().copied());
                    self.mistakes.at(&name.origin, format!("unknown key \"{path}.{}\"{hint}", name.text));
                }
            }
        }
        fields
    }

    fn field<T>(
        &mut self,
        fields: &BTreeMap<&'static str, Node>,
        path: &str,
        name: &str,
        read: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        let node = fields.get(name)?;
        read(node).map_err(|problem| self.mistakes.add(node, &format!("{path}.{name}"), problem)).ok()
    }

    fn get<T>(&mut self, path: &str, read: impl FnOnce(&Node) -> Result<T, String>) -> Option<T> {
        let node = self.raw.get(path)?;
        read(node).map_err(|problem| self.mistakes.add(node, path, problem)).ok()
    }

    /// Text where the empty one means "not set", as in the documented file.
    fn optional<T>(&mut self, path: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.get(path, |node| match node.text()? {
            "" => Ok(None),
            text => read(text).map(Some),
        })
        .flatten()
    }

    /// As [`Checker::optional`], but a mistake does not repeat what was written.
    fn secret(&mut self, path: &str) -> Option<String> {
        self.get(path, |node| match node.text() {
            Ok(text) => Ok(Some(text.to_owned()).filter(|t| !t.is_empty())),
            Err(_) => Err("is not text; put it in quotes".to_owned()),
        })
        .flatten()
    }

    fn path(&mut self, path: &str) -> Option<PathBuf> {
        self.optional(path, |text| {
            if text.contains('\0') { Err("holds a NUL character".to_owned()) } else { Ok(PathBuf::from(text)) }
        })
    }

    fn items<T>(&mut self, path: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let nodes = self.get(path, Node::list)?;
        let mut items = Vec::new();
        for node in &nodes {
            match node.text().and_then(&read) {
                Ok(item) => items.push(item),
                Err(problem) => self.mistakes.add(node, path, problem),
            }
        }
        Some(items)
    }

    fn span(&mut self, path: &str, default: Span) -> Span {
        self.get(path, |node| node.scalar()?.parse().map_err(|e| say(&e))).unwrap_or(default)
    }

    fn positive(&mut self, path: &str, default: Span) -> Span {
        let read = |node: &Node| {
            let span: Span = node.scalar()?.parse().map_err(|e| say(&e))?;
            if span.is_zero() { Err("may not be zero".to_owned()) } else { Ok(span) }
        };
        self.get(path, read).unwrap_or(default)
    }

    /// A size that fits into a message of NATS.
    fn size(&mut self, path: &str, default: u64) -> Size {
        let read = |node: &Node| {
            let size: Size = node.scalar()?.parse().map_err(|e| say(&e))?;
            if (1 << 10..=64 << 20).contains(&size.bytes()) {
                Ok(size)
            } else {
                Err(format!("{size} is not between 1KiB and 64MiB"))
            }
        };
        self.get(path, read).unwrap_or(Size::from_bytes(default))
    }

    fn number(&mut self, path: &str, least: u32, default: u32) -> u32 {
        self.get(path, |node| node.number(least)).unwrap_or(default)
    }

    fn flag(&mut self, path: &str) -> bool {
        self.get(path, Node::flag).unwrap_or(false)
    }

    fn tls_files(&mut self, cert: &str, key: &str) -> Option<TlsFiles> {
        self.pair(cert, key);
        self.pair(key, cert);
        Some(TlsFiles { cert: self.path(cert)?, key: self.path(key)? })
    }

    /// `path` makes no sense without `other`.
    fn pair(&mut self, path: &str, other: &str) {
        if let (Some(node), None) = (self.written(path), self.written(other)) {
            self.mistakes.add(node, path, format_args!("{other} is missing beside it"));
        }
    }

    fn only_one(&mut self, paths: &[&str]) {
        let mut set = paths.iter().filter_map(|path| Some((path, self.written(path)?))).collect::<Vec<_>>();
        if let Some((last, node)) = set.pop().filter(|_| !set.is_empty()) {
            let others = set.iter().map(|(path, _)| **path).collect::<Vec<_>>().join(" and ");
            self.mistakes.add(node, last, format_args!("cannot stand beside {others}"));
        }
    }

    /// What was written for a key, unless it is empty.
    fn written(&self, path: &str) -> Option<&'a Node> {
        self.raw.get(path).filter(|node| !matches!(&node.value, super::Value::Text(text) if text.is_empty()))
    }
}

fn say(error: &impl Display) -> String {
    error.to_string()
}

fn default_listen() -> Listen {
    Listen::loopback(8080)
}

fn listen(node: &Node) -> Result<Listen, String> {
    Listen::parse(node.text()?)
}

/// A list with at least one item.
fn some<T>(node: &Node, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let items = node.list()?;
    if items.is_empty() {
        return Err("is empty".to_owned());
    }
    items.iter().map(|item| read(item.text()?)).collect()
}

/// A name that NATS takes as one part of a subject: streams, consumers, domains, tasks.
fn name(text: &str) -> Result<String, String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>' | '/' | '\\');
    match text.chars().find(|c| odd(*c)) {
        Some(c) => Err(format!("{text:?} holds {c:?}, which a name may not")),
        None if text.is_empty() => Err("is empty".to_owned()),
        None => Ok(text.to_owned()),
    }
}

fn subject(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    text.split('.').try_for_each(|part| name(part).map(drop)).map_err(|_| format!("{text:?} is not a subject"))?;
    Ok(text.to_owned())
}

fn base_url(text: &str) -> Result<String, String> {
    let bad = || format!("{text:?} is not a URL like https://shipwatch.example.com");
    let url = reqwest::Url::parse(text).map_err(|_| bad())?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if plain && url.has_host() { Ok(text.trim_end_matches('/').to_owned()) } else { Err(bad()) }
}

/// Seeds of NATS begin with `S` and their kind, and have 58 characters of base32.
fn is_seed(text: &str) -> bool {
    let base32 = text.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b));
    text.len() == 58 && text.starts_with('S') && base32
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn word<T: Copy>(text: &str, known: &[(&'static str, T)]) -> Result<T, String> {
    known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let all = known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        format!("{text:?} is not one of {all}")
    })
}

fn issue_event(text: &str) -> Result<IssueEvent, String> {
    use IssueEvent::{Opened, Reopened, Resolved, Updated};
    word(text, &[("opened", Opened), ("updated", Updated), ("reopened", Reopened), ("resolved", Resolved)])
}

fn role(text: &str) -> Result<Role, String> {
    use Role::{Callback, Metrics, Publish, Read};
    word(text, &[("read", Read), ("publish", Publish), ("callback", Callback), ("metrics", Metrics)])
}

fn log_format(node: &Node) -> Result<LogFormat, String> {
    word(node.text()?, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}
