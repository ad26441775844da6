//! Layers, mistakes and the dump.

use std::path::Path;

use super::*;

fn load(yaml: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let (mut raw, mut mistakes) = (RawConfig::default(), Mistakes::default());
    raw.file(yaml, Path::new("s.yaml"), &mut mistakes);
    raw.variables(variables.iter().copied());
    raw.flags(flags.iter().map(|(path, text)| (*path, (*text).to_owned())));
    check(&raw, mistakes)
}

fn mistakes(yaml: &str) -> Vec<String> {
    load(yaml, &[], &[]).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn the_later_layer_wins() {
    let yaml = "query: {listen: '127.0.0.1:1'}\nlog:\n  format: json\nnats: {durable: a}";
    for (yaml, variables, flags, want) in [
        ("", vec![], vec![], "127.0.0.1:8080"),
        (yaml, vec![], vec![], "127.0.0.1:1"),
        (yaml, vec![("SHIPWATCH_LISTEN", "127.0.0.1:2")], vec![], "127.0.0.1:2"),
        (yaml, vec![("SHIPWATCH_LISTEN", "127.0.0.1:2")], vec![("query.listen", "127.0.0.1:3")], "127.0.0.1:3"),
        (yaml, vec![("SHIPWATCH_LISTEN", "")], vec![], "127.0.0.1:1"),
    ] {
        let config = load(yaml, &variables, &flags).unwrap();
        assert_eq!(config.query.listen.to_string(), want);
    }
    let config = load(yaml, &[], &[]).unwrap();
    assert_eq!((config.log.format, config.nats.durable.as_str()), (LogFormat::Json, "a"));
}

#[test]
fn the_documented_file_is_read_and_says_the_defaults() {
    let documented = r#"
nats: {urls: ["nats://127.0.0.1:4222"], creds: "", nkey: "", user: "", password: "", token: "", context: "", domain: "", apiPrefix: "",
       tls: {ca: "", cert: "", key: "", first: false}, stream: "", durable: shipwatch}
dataDir: ./shipwatch-data
shipyardDir: ./shipyard
query: {listen: "127.0.0.1:8080", publicUrl: ""}          # publicUrl: base of links in replies and messages
gateway: {listen: "", publicUrl: "", maxBody: 1MiB, wait: 5s, maxWaiting: 1024}
limits: {eventSize: 1MiB, requestsPerSecond: 0}           # 0: no limit; per token
tasks: {openIssue: open-issue, updateIssue: update-issue, closeIssue: close-issue, checkIssues: check-issues}
issueEvents: [opened, reopened, resolved]                 # updated only if named
retention: {resolvedIssues: 90d, events: 30d}
deadlines: {started: 10m, finished: 1h, tasks: {deployment: {finished: 2h}}}
webhooks: {allow: [], deny: [], timeout: 30s, retries: 3, concurrency: 32, maxResponse: 1MiB, secretsDir: ""}
auth: {tokens: [{name: ci, sha256: "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", namespaces: ["shop-*"], roles: [read, publish, callback, metrics]}], insecure: false}
tls: {cert: "", key: ""}
log: {format: text}
"#;
    let mut config = load(documented, &[], &[]).unwrap();
    assert_eq!(config.auth.tokens[0].roles.len(), 4);
    assert_eq!(config.deadlines.tasks["deployment"].finished, Some(Span::from_hours(2)));
    config.auth.tokens.clear();
    config.deadlines.tasks.clear();
    assert_eq!(config, load("", &[], &[]).unwrap());
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let yaml = "\
nats:
  ulrs: [nats://a]
  password: 12345
  tls: {cert: c.pem}
quary: {}
query:
  listen: everywhere
retention: {events: 30 days, resolvedIssues: 0s}
webhooks: {allow: [10.0.0.0/8, 10.0.0.0/99]}
issueEvents: opened
auth:
  tokens:
    - {name: ci, sha256: hunter2, namespaces: [], roles: [read, wirte]}
    - {nmae: ci}
deadlines: {tasks: {deployment: {finsihed: 2h}, a.b: {started: 5}}}
";
    let found = load(yaml, &[("SHIPWATCH_LIMITS_EVENT_SIZE", "1GB")], &[("log.format", "xml")]).unwrap_err();
    insta::assert_snapshot!(found, @r###"
    configuration: 19 mistakes
      s.yaml:2:3: unknown key "nats.ulrs"; did you mean "urls"?
      s.yaml:3:13: nats.password: is not text; put it in quotes
      s.yaml:3:13: nats.password: nats.user is missing beside it
      s.yaml:4:15: nats.tls.cert: nats.tls.key is missing beside it
      s.yaml:5:1: unknown key "quary"; did you mean "query"?
      s.yaml:7:11: query.listen: "everywhere" is not an address like 127.0.0.1:8080
      s.yaml:8:21: retention.events: "30 days" is not a length of time like 500ms, 90s, 10m, 1h30m or 30d
      s.yaml:8:46: retention.resolvedIssues: may not be zero
      s.yaml:9:32: webhooks.allow: "10.0.0.0/99" is not an address range like 10.0.0.0/8 or a host name
      s.yaml:10:14: issueEvents: is text, not a list
      s.yaml:13:26: auth.tokens[0].sha256: is not the SHA-256 of a token, 64 hexadecimal digits
      s.yaml:13:47: auth.tokens[0].namespaces: is empty
      s.yaml:13:58: auth.tokens[0].roles: "wirte" is not one of read, publish, callback, metrics
      s.yaml:14:8: unknown key "auth.tokens[1].nmae"; did you mean "name"?
      s.yaml:15:34: unknown key "deadlines.tasks.deployment.finsihed"; did you mean "finished"?
      s.yaml:15:49: deadlines.tasks.a.b: "a.b" holds '.', which a name may not
      s.yaml:15:64: deadlines.tasks.a.b.started: "5" is not a length of time like 500ms, 90s, 10m, 1h30m or 30d
      variable SHIPWATCH_LIMITS_EVENT_SIZE: limits.eventSize: "1GB" is not a size like 64KiB, 1MiB or a number of bytes
      flag --log-format: log.format: "xml" is not one of text, json
    "###);
}

#[test]
fn broken_yaml_is_named_with_its_place() {
    insta::assert_debug_snapshot!(mistakes("nats: [\nquery: {"), @r###"
    [
        "s.yaml:2:8: unclosed bracket '{'",
    ]
    "###);
    insta::assert_debug_snapshot!(mistakes("dataDir: a\ndataDir: b"), @r###"
    [
        "s.yaml:2:1: duplicate mapping key: dataDir",
    ]
    "###);
    insta::assert_debug_snapshot!(mistakes("- a"), @r###"
    [
        "s.yaml:1:1: the file is a list, not keys and values",
    ]
    "###);
    insta::assert_debug_snapshot!(mistakes("nats.stream: a"), @r###"
    [
        "s.yaml:1:1: unknown key \"nats.stream\"; did you mean \"nats\"?",
    ]
    "###);
    insta::assert_debug_snapshot!(mistakes("a: &a [*a]\nb: {? [x] : y}"), @r###"
    [
        "s.yaml:1:8: recursive references require weak recursion types",
    ]
    "###);
}

#[test]
fn the_dump_is_a_file_again_and_hides_secrets() {
    let yaml = "\
nats: {urls: ['nats://joe:hunter2@a:4222', b:4222], user: joe, password: hunter2, creds: '', tls: {ca: ca.pem, cert: c, key: k}}
auth: {tokens: [{name: ci, sha256: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b, namespaces: ['*'], roles: [read]}]}
webhooks: {allow: [10.0.0.0/8, '*.example.com']}
gateway: {listen: ':9090', publicUrl: 'https://hooks.example.com/'}
";
    let config = load(yaml, &[], &[]).unwrap();
    let dump = config.dump().unwrap();
    assert!(!dump.contains("hunter2") && !dump.contains("2bb80d"), "{dump}");
    assert_eq!(config.gateway.public_url.as_deref(), Some("https://hooks.example.com"));
    insta::assert_snapshot!(dump, @r###"
    nats:
      urls:
      - nats://***@a:4222
      - b:4222
      creds: null
      nkey: null
      user: joe
      password: "***"
      token: null
      context: null
      domain: null
      apiPrefix: null
      tls:
        ca: ca.pem
        cert: c
        key: k
        first: false
      stream: null
      durable: shipwatch
    dataDir: ./shipwatch-data
    shipyardDir: ./shipyard
    query:
      listen: 127.0.0.1:8080
      publicUrl: null
    gateway:
      listen: ":9090"
      publicUrl: https://hooks.example.com
      maxBody: 1MiB
      wait: 5s
      maxWaiting: 1024
    limits:
      eventSize: 1MiB
      requestsPerSecond: 0
    tasks:
      openIssue: open-issue
      updateIssue: update-issue
      closeIssue: close-issue
      checkIssues: check-issues
    issueEvents:
    - opened
    - reopened
    - resolved
    retention:
      resolvedIssues: 90d
      events: 30d
    deadlines:
      started: 10m
      finished: 1h
      tasks: {}
    webhooks:
      allow:
      - 10.0.0.0/8
      - "*.example.com"
      deny: []
      timeout: 30s
      retries: 3
      concurrency: 32
      maxResponse: 1MiB
      secretsDir: null
    auth:
      tokens:
      - name: ci
        sha256: "***"
        namespaces:
        - "*"
        roles:
        - read
      insecure: false
    tls: null
    log:
      format: text
    "###);
    // All but the secrets can be read back.
    let again = mistakes(&dump);
    assert_eq!(again.len(), 1, "{again:?}");
    assert!(again[0].contains("auth.tokens[0].sha256"));
    let plain = load("", &[], &[]).unwrap();
    assert_eq!(load(&plain.dump().unwrap(), &[], &[]).unwrap(), plain);
}

#[test]
fn one_way_to_say_who_we_are() {
    let found = mistakes("nats: {user: a, token: b, domain: x, apiPrefix: y.z}\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("nats.token: cannot stand beside nats.user"));
    assert!(mistakes("nats: {password: b}")[0].contains("nats.password: nats.user is missing beside it"));
    assert!(mistakes("tasks: {openIssue: check-issues}")[0].contains("is the name of tasks.checkIssues too"));
}

#[test]
fn lists_in_variables_are_parted_by_commas() {
    let config =
        load("", &[("SHIPWATCH_NATS_URL", "nats://a:1, nats://b:2"), ("SHIPWATCH_AUTH_INSECURE", "true")], &[]);
    let config = config.unwrap();
    assert_eq!((config.nats.urls.len(), config.auth.insecure), (2, true));
    let config = load("nats: {context: prod}", &[], &[]).unwrap();
    assert!(config.nats.urls.is_empty(), "the context names the server");
}
