//! Every key there is: its place in the file, what it may hold, its default, and its variables.

/// What a key may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A path.
    Path,
    /// `host:port`.
    Address,
    /// `host:port`, or nothing.
    OptionalAddress,
    /// `http://…` or `https://…`, or nothing.
    Url,
    /// `90s 10m 1h 30d`.
    Duration,
    /// `64KiB 1MiB`.
    Size,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    List,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A list of some words.
    Words(&'static [&'static str]),
    /// The name of a Keptn task: one word without dots.
    Task,
    /// Deadlines of single tasks.
    TaskDeadlines,
    /// Bearer tokens.
    Tokens,
}

/// One key.
pub struct Key {
    /// Dotted path in the file.
    pub path: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// The default, as one would write it.
    pub default: &'static str,
    /// The variable that a flag of the same name has, besides the one made from the path.
    pub variable: Option<&'static str>,
}

const fn key(path: &'static str, kind: Kind, default: &'static str) -> Key {
    Key { path, kind, default, variable: None }
}

const fn flagged(path: &'static str, kind: Kind, default: &'static str, variable: &'static str) -> Key {
    Key { path, kind, default, variable: Some(variable) }
}

/// All keys, in the order in which they are printed.
pub const KEYS: &[Key] = &[
    flagged("nats.urls", Kind::List, "nats://127.0.0.1:4222", "SHIPWATCH_NATS_URL"),
    key("nats.creds", Kind::Path, ""),
    key("nats.nkey", Kind::Secret, ""),
    key("nats.user", Kind::Text, ""),
    key("nats.password", Kind::Secret, ""),
    key("nats.token", Kind::Secret, ""),
    key("nats.context", Kind::Text, ""),
    key("nats.domain", Kind::Text, ""),
    key("nats.apiPrefix", Kind::Text, ""),
    key("nats.tls.ca", Kind::Path, ""),
    key("nats.tls.cert", Kind::Path, ""),
    key("nats.tls.key", Kind::Path, ""),
    key("nats.tls.first", Kind::Flag, "false"),
    flagged("nats.stream", Kind::Text, "", "SHIPWATCH_STREAM"),
    flagged("nats.durable", Kind::Text, "shipwatch", "SHIPWATCH_DURABLE"),
    key("dataDir", Kind::Path, "./shipwatch-data"),
    key("shipyardDir", Kind::Path, "./shipyard"),
    flagged("query.listen", Kind::Address, "127.0.0.1:8080", "SHIPWATCH_LISTEN"),
    key("query.publicUrl", Kind::Url, ""),
    key("gateway.listen", Kind::OptionalAddress, ""),
    key("gateway.publicUrl", Kind::Url, ""),
    key("gateway.maxBody", Kind::Size, "1MiB"),
    key("gateway.wait", Kind::Duration, "5s"),
    key("gateway.maxWaiting", Kind::Number, "1024"),
    key("limits.eventSize", Kind::Size, "1MiB"),
    key("limits.requestsPerSecond", Kind::Number, "0"),
    key("tasks.openIssue", Kind::Task, "open-issue"),
    key("tasks.updateIssue", Kind::Task, "update-issue"),
    key("tasks.closeIssue", Kind::Task, "close-issue"),
    key("tasks.checkIssues", Kind::Task, "check-issues"),
    key("issueEvents", Kind::Words(&["opened", "updated", "reopened", "resolved"]), "opened,reopened,resolved"),
    key("retention.resolvedIssues", Kind::Duration, "90d"),
    key("retention.events", Kind::Duration, "30d"),
    key("deadlines.started", Kind::Duration, "10m"),
    key("deadlines.finished", Kind::Duration, "1h"),
    key("deadlines.tasks", Kind::TaskDeadlines, ""),
    key("webhooks.allow", Kind::List, ""),
    key("webhooks.deny", Kind::List, ""),
    key("webhooks.timeout", Kind::Duration, "30s"),
    key("webhooks.retries", Kind::Number, "3"),
    key("webhooks.concurrency", Kind::Number, "32"),
    key("webhooks.maxResponse", Kind::Size, "1MiB"),
    key("webhooks.secretsDir", Kind::Path, ""),
    key("auth.tokens", Kind::Tokens, ""),
    key("auth.insecure", Kind::Flag, "false"),
    key("tls.cert", Kind::Path, ""),
    key("tls.key", Kind::Path, ""),
    flagged("log.format", Kind::Word(&["text", "json"]), "text", "SHIPWATCH_LOG_FORMAT"),
];

/// The variable of a key: `query.publicUrl` is `SHIPWATCH_QUERY_PUBLIC_URL`.
pub fn variable(path: &str) -> String {
    let mut name = String::from("SHIPWATCH_");
    for c in path.chars() {
        match c {
            '.' => name.push('_'),
            c if c.is_ascii_uppercase() => {
                name.push('_');
                name.push(c);
            }
            c => name.push(c.to_ascii_uppercase()),
        }
    }
    name
}
