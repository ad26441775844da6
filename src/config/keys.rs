//! Every key of the configuration: its path in the file, its variable, its flag.

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Path in the file, parts joined by dots.
    pub path: &'static str,
    /// Variable of the environment; none where a list of objects does not fit into one.
    pub variable: Option<&'static str>,
    /// Flag of `serve`, with its dashes.
    pub flag: Option<&'static str>,
}

const fn key(path: &'static str, variable: &'static str) -> Key {
    Key { path, variable: Some(variable), flag: None }
}

const fn flagged(path: &'static str, variable: &'static str, flag: &'static str) -> Key {
    Key { path, variable: Some(variable), flag: Some(flag) }
}

const fn file_only(path: &'static str) -> Key {
    Key { path, variable: None, flag: None }
}

/// All of them, in the order of the documentation and of `--dump-config`.
pub const KEYS: &[Key] = &[
    flagged("nats.urls", "SHIPWATCH_NATS_URL", "--nats-url"),
    flagged("nats.creds", "SHIPWATCH_NATS_CREDS", "--nats-creds"),
    key("nats.nkey", "SHIPWATCH_NATS_NKEY"),
    key("nats.user", "SHIPWATCH_NATS_USER"),
    key("nats.password", "SHIPWATCH_NATS_PASSWORD"),
    key("nats.token", "SHIPWATCH_NATS_TOKEN"),
    flagged("nats.context", "SHIPWATCH_NATS_CONTEXT", "--nats-context"),
    key("nats.domain", "SHIPWATCH_NATS_DOMAIN"),
    key("nats.apiPrefix", "SHIPWATCH_NATS_API_PREFIX"),
    key("nats.tls.ca", "SHIPWATCH_NATS_TLS_CA"),
    key("nats.tls.cert", "SHIPWATCH_NATS_TLS_CERT"),
    key("nats.tls.key", "SHIPWATCH_NATS_TLS_KEY"),
    key("nats.tls.first", "SHIPWATCH_NATS_TLS_FIRST"),
    flagged("nats.stream", "SHIPWATCH_STREAM", "--stream"),
    flagged("nats.durable", "SHIPWATCH_DURABLE", "--durable"),
    flagged("dataDir", "SHIPWATCH_DATA_DIR", "--data-dir"),
    flagged("shipyardDir", "SHIPWATCH_SHIPYARD_DIR", "--shipyard-dir"),
    flagged("query.listen", "SHIPWATCH_LISTEN", "--listen"),
    key("query.publicUrl", "SHIPWATCH_PUBLIC_URL"),
    flagged("gateway.listen", "SHIPWATCH_GATEWAY_LISTEN", "--gateway-listen"),
    key("gateway.publicUrl", "SHIPWATCH_GATEWAY_PUBLIC_URL"),
    key("gateway.maxBody", "SHIPWATCH_GATEWAY_MAX_BODY"),
    key("gateway.wait", "SHIPWATCH_GATEWAY_WAIT"),
    key("gateway.maxWaiting", "SHIPWATCH_GATEWAY_MAX_WAITING"),
    key("limits.eventSize", "SHIPWATCH_LIMITS_EVENT_SIZE"),
    key("limits.requestsPerSecond", "SHIPWATCH_LIMITS_REQUESTS_PER_SECOND"),
    key("tasks.openIssue", "SHIPWATCH_TASKS_OPEN_ISSUE"),
    key("tasks.updateIssue", "SHIPWATCH_TASKS_UPDATE_ISSUE"),
    key("tasks.closeIssue", "SHIPWATCH_TASKS_CLOSE_ISSUE"),
    key("tasks.checkIssues", "SHIPWATCH_TASKS_CHECK_ISSUES"),
    key("issueEvents", "SHIPWATCH_ISSUE_EVENTS"),
    key("retention.resolvedIssues", "SHIPWATCH_RETENTION_RESOLVED_ISSUES"),
    key("retention.events", "SHIPWATCH_RETENTION_EVENTS"),
    key("deadlines.started", "SHIPWATCH_DEADLINES_STARTED"),
    key("deadlines.finished", "SHIPWATCH_DEADLINES_FINISHED"),
    file_only("deadlines.tasks"),
    key("webhooks.allow", "SHIPWATCH_WEBHOOKS_ALLOW"),
    key("webhooks.deny", "SHIPWATCH_WEBHOOKS_DENY"),
    key("webhooks.timeout", "SHIPWATCH_WEBHOOKS_TIMEOUT"),
    key("webhooks.retries", "SHIPWATCH_WEBHOOKS_RETRIES"),
    key("webhooks.concurrency", "SHIPWATCH_WEBHOOKS_CONCURRENCY"),
    key("webhooks.maxResponse", "SHIPWATCH_WEBHOOKS_MAX_RESPONSE"),
    key("webhooks.secretsDir", "SHIPWATCH_WEBHOOKS_SECRETS_DIR"),
    file_only("auth.tokens"),
    key("auth.insecure", "SHIPWATCH_AUTH_INSECURE"),
    key("tls.cert", "SHIPWATCH_TLS_CERT"),
    key("tls.key", "SHIPWATCH_TLS_KEY"),
    flagged("log.format", "SHIPWATCH_LOG_FORMAT", "--log-format"),
];

/// Variables of client commands and of the command line itself; no keys of the file.
const OTHER_VARIABLES: &[&str] = &["SHIPWATCH_CONFIG", "SHIPWATCH_SERVER", "SHIPWATCH_TOKEN"];

/// Says of each `SHIPWATCH_*` variable that nobody reads, but that looks like one that is, what it may have meant.
///
/// A hint and no mistake: Kubernetes sets variables of its own named after services (`SHIPWATCH_SERVICE_HOST`).
pub fn misspelt_variables<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let known = || KEYS.iter().filter_map(|key| key.variable).chain(OTHER_VARIABLES.iter().copied());
    let of_kubernetes = |name: &str| {
        let ours = name.contains("_SERVICE_") || name.contains("_PORT_") || name.ends_with("_PORT");
        ours || name.starts_with("SHIPWATCH_SECRET_")
    };
    names
        .into_iter()
        .filter(|name| name.starts_with("SHIPWATCH_") && !of_kubernetes(name) && !known().any(|k| k == *name))
        .filter_map(|name| {
            // Without the prefix, which would make everything look alike.
            let end = |n: &'a str| n.trim_start_matches("SHIPWATCH_");
            let near = known().filter(|k| strsim::jaro(end(name), k.trim_start_matches("SHIPWATCH_")) > 0.85);
            let near = near.min_by_key(|k| strsim::levenshtein(name, k))?;
            Some(format!("variable {name} is not read; did you mean {near}?"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_variables_and_flags_are_unique() {
        let unique = |names: Vec<&str>| {
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), names.len());
        };
        unique(KEYS.iter().map(|k| k.path).collect());
        unique(KEYS.iter().filter_map(|k| k.variable).chain(OTHER_VARIABLES.iter().copied()).collect());
        unique(KEYS.iter().filter_map(|k| k.flag).collect());
    }

    #[test]
    fn a_misspelt_variable_is_hinted_at_and_kubernetes_is_left_alone() {
        let hints =
            misspelt_variables(["SHIPWATCH_GATWAY_LISTEN", "SHIPWATCH_SERVICE_HOST", "SHIPWATCH_PORT_8080_TCP"]);
        assert_eq!(hints, ["variable SHIPWATCH_GATWAY_LISTEN is not read; did you mean SHIPWATCH_GATEWAY_LISTEN?"]);
        assert!(
            misspelt_variables(["SHIPWATCH_LISTEN", "SHIPWATCH_SECRET_A_B", "PATH", "SHIPWATCH_SERVER"]).is_empty()
        );
    }
}
