//! The file format rule by rule, and requests as they come out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const TRIGGERED: &str = "sh.keptn.event.open-ticket.triggered";

fn event(ty: &str, data: Value) -> Event {
    let event =
        json!({"specversion": "1.0", "id": "e1", "source": "s", "type": ty, "shkeptncontext": "ctx", "data": data});
    Event::from_value(event).unwrap()
}

fn data() -> Value {
    json!({"project": "shop", "stage": "dev", "service": "carts", "count": 3, "message": "a \"b\"\nc", "slash": "a/b", "labels": {"team": "a", "n": 7}})
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn the_root() -> Value {
    root(
        &event(TRIGGERED, data()),
        map(json!({"trackerToken": "t0k", "line": "a\r\nX-Evil: 1"})),
        map(json!({"tracker": {"token": "s3c", "api-key": "k3y"}})),
        map(
            json!({"url": "https://cb.example/1", "passUrl": "https://cb.example/1/pass", "failUrl": "https://cb.example/1/fail"}),
        ),
    )
}

/// A file with these webhooks.
fn beta(webhooks: &str) -> String {
    format!(
        "apiVersion: webhookconfig.keptn.sh/v1beta1\nkind: WebhookConfig\nmetadata: {{name: t}}\nspec:\n  webhooks:\n{webhooks}"
    )
}

/// A file with one webhook that runs this command.
fn alpha(command: &str) -> String {
    let command = serde_json::to_string(command).unwrap();
    format!(
        "apiVersion: webhookconfig.keptn.sh/v1alpha1\nkind: WebhookConfig\nspec:\n  webhooks:\n    - type: {TRIGGERED}\n      \
         envFrom: [{{name: trackerToken, secretRef: {{name: tracker, key: token}}}}]\n      requests:\n        - {command}\n"
    )
}

fn compile(text: &str) -> Webhooks {
    Webhooks::compile("webhook.yaml", text).unwrap_or_else(|e| panic!("{text}\n{}", list(&e).join("\n")))
}

fn list(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn problems(text: &str) -> Vec<String> {
    list(&Webhooks::compile("webhook.yaml", text).err().unwrap_or_default())
}

/// A file with one webhook that has one request with these further lines.
fn one(webhook: &str, request: &str) -> String {
    let indent = |text: &str, by: &str| text.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    beta(&format!(
        "    - type: {TRIGGERED}\n{}      requests:\n        - method: POST\n{}",
        indent(webhook, "      "),
        indent(request, "          ")
    ))
}

fn prepared(text: &str) -> Result<Prepared, String> {
    compile(text).all()[0].requests[0].render(&the_root())
}

fn body(text: &str) -> String {
    String::from_utf8(prepared(text).unwrap().body.unwrap()).unwrap()
}

fn header<'p>(prepared: &'p Prepared, name: &str) -> Option<&'p str> {
    prepared.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// As in the documentation of Keptn.
const KEPTN: &str = r#"apiVersion: webhookconfig.keptn.sh/v1beta1
kind: WebhookConfig
metadata: { name: tickets }
spec:
  webhooks:
    - type: sh.keptn.event.open-ticket.triggered
      subscriptionID: 5a1c-example
      sendStarted: true
      sendFinished: false
      envFrom:
        - name: trackerToken
          secretRef: { name: tracker, key: token }
      requests:
        - method: POST
          url: https://tracker.example/api/tickets
          headers:
            - { key: Authorization, value: "Bearer {{.env.trackerToken}}" }
            - { key: Content-Type, value: application/json }
          payload: '{"title":"{{.data.service}} failed in {{.data.stage}}","ref":"{{.shkeptncontext}}"}'
"#;

#[test]
fn the_example_of_keptn_is_sent_as_keptn_sends_it() {
    let webhooks = compile(KEPTN);
    let webhook = &webhooks.all()[0];
    assert_eq!((&*webhook.subscription, &*webhook.name, webhook.line), ("5a1c-example", "5a1c-example", 6));
    assert!(webhook.send_started && !webhook.send_finished && !webhook.uses_callback());
    let request = webhook.requests[0].render(&the_root()).unwrap();
    assert_eq!((request.method, request.url.as_str()), ("POST", "https://tracker.example/api/tickets"));
    let headers = [("Authorization", "Bearer t0k"), ("Content-Type", "application/json")];
    assert_eq!(request.headers, headers.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert_eq!(request.body.as_deref(), Some(r#"{"title":"carts failed in dev","ref":"ctx"}"#.as_bytes()));
    let secrets: Vec<_> = webhooks.secrets().map(|s| (s.name.to_string(), s.key.to_string(), s.line)).collect();
    assert_eq!(secrets, [("tracker".into(), "token".into(), 12)]);
    assert!(!format!("{request:?}").contains("t0k"), "{request:?}");
}

#[test]
fn the_older_form_of_keptn_gives_the_same() {
    for command in [
        r#"curl --header 'Authorization: Bearer {{.env.trackerToken}}' --header 'Content-Type: application/json' --request POST --data '{"title":"{{.data.service}} failed in {{.data.stage}}","ref":"{{.shkeptncontext}}"}' https://tracker.example/api/tickets"#,
        r#"curl -sSL -XPOST -H "Authorization: Bearer {{.env.trackerToken}}" -H 'content-type: application/json' -d "{\"title\":\"{{.data.service}} failed in {{index .data "stage"}}\",\"ref\":\"{{.shkeptncontext}}\"}" --url https://tracker.example/api/tickets"#,
    ] {
        let request = prepared(&alpha(command)).unwrap();
        assert_eq!((request.method, request.url.as_str()), ("POST", "https://tracker.example/api/tickets"));
        assert_eq!(header(&request, "authorization"), Some("Bearer t0k"));
        assert_eq!(request.headers.len(), 2);
        assert_eq!(request.body.as_deref(), Some(r#"{"title":"carts failed in dev","ref":"ctx"}"#.as_bytes()));
    }
}

#[test]
fn every_mistake_of_a_file_comes_at_once_with_its_place() {
    let got = problems(
        r#"apiVersion: webhookconfig.keptn.sh/v1beta2
kind: Webhooks
spec:
  webhook: []
  webhooks:
    - typ: a.b
      sendstarted: true
      requests:
        - methd: POST
          method: FETCH
          url: ftp://x
          headers: [{key: "a b", value: x}, {key: X, value: ""}, {value: y}]
          payload: |
            {"a": "{{.data.x}}",
             "b": "{{ foo }}"}
    - type: "*.b"
      timeout: 5
      retries: many
      followRedirects: 99
      maxResponse: 1MB
      sendFinished: 1
      filter: {projets: [a], result: [ok], stage: ["d*"], labels: {a: []}}
      requests:
        - method: GET
          url: https://x.example/{{.env.token}}
          extract: {a: "b", c: "$..d"}
"#,
    );
    let want = [
        "webhook.yaml:1:13: apiVersion \"webhookconfig.keptn.sh/v1beta2\" is unknown (did you mean \"webhookconfig.keptn.sh/v1beta1\"?)",
        "webhook.yaml:2:7: kind \"Webhooks\" is unknown (did you mean \"WebhookConfig\"?)",
        "webhook.yaml:4:3: key \"webhook\" is unknown (did you mean \"webhooks\"?)",
        "webhook.yaml:6:7: webhook has no \"type\"",
        "webhook.yaml:6:7: key \"typ\" is unknown (did you mean \"type\"?)",
        "webhook.yaml:7:7: key \"sendstarted\" is unknown (did you mean \"sendStarted\"?)",
        "webhook.yaml:9:11: key \"methd\" is unknown (did you mean \"method\"?)",
        "webhook.yaml:10:19: method \"FETCH\" is unknown (known: GET, POST, PUT, PATCH, DELETE, HEAD)",
        "webhook.yaml:11:16: url is not one that begins with http:// or https://",
        "webhook.yaml:12:27: \"a b\" is no name of a header",
        "webhook.yaml:12:61: value is empty",
        "webhook.yaml:12:66: header has no \"key\"",
        "webhook.yaml:15:23: template: function \"foo\" is unknown",
        "webhook.yaml:16:13: type: pattern \"*.b\" does not begin with a word, it would take the whole bus",
        "webhook.yaml:17:16: timeout: \"5\" is not a length of time like 500ms, 90s, 10m, 1h30m or 30d",
        "webhook.yaml:18:16: retries is not a number from 0 to 20",
        "webhook.yaml:19:24: followRedirects is not a number from 0 to 20",
        "webhook.yaml:20:20: maxResponse: \"1MB\" is not a size like 64KiB, 1MiB or a number of bytes",
        "webhook.yaml:21:21: sendFinished is a number, not true or false",
        "webhook.yaml:22:16: key \"projets\" is unknown (did you mean \"projects\"?)",
        "webhook.yaml:22:39: result \"ok\" is unknown (known: pass, warning, fail)",
        "webhook.yaml:22:52: stage \"d*\" has a wildcard (filters name values as they are)",
        "webhook.yaml:22:71: label \"a\" has no value",
        "webhook.yaml:25:36: template: \"token\" of .env stands in no envFrom",
        "webhook.yaml:26:24: path \"b\" does not begin with $; paths are as $.a.b, $.list[0] or $[\"a-b\"]",
        "webhook.yaml:26:32: path \"$..d\" has a step that is no name; paths are as $.a.b, $.list[0] or $[\"a-b\"]",
    ];
    assert_eq!(got, want);
}

#[test]
fn what_keptn_refuses_is_refused() {
    for (text, want) in [
        (
            "kind: WebhookConfig\nspec: {webhooks: []}".to_owned(),
            vec!["has no \"apiVersion\"", "webhooks is an empty list"],
        ),
        (beta("    []\n"), vec!["webhooks is an empty list"]),
        (
            "apiVersion: webhookconfig.keptn.sh/v1beta1\nkind: WebhookConfig\nspec: {}".to_owned(),
            vec!["spec has no \"webhooks\""],
        ),
        (beta("    - type: a.b\n      requests: []\n"), vec!["requests is an empty list"]),
        (beta("    - type: a.b\n"), vec!["has no \"requests\""]),
        (beta("    - requests: [{method: GET, url: https://a.example}]\n"), vec!["has no \"type\""]),
        (beta("    - type: a.b\n      requests: [{url: https://a.example}]\n"), vec!["has no \"method\""]),
        (beta("    - type: a.b\n      requests: [{method: GET, url: \"\"}]\n"), vec!["url is empty"]),
        (beta("    - type: a.b\n      requests: ['curl https://a.example']\n"), vec!["v1alpha1"]),
        (alpha("x").replace("- \"x\"", "- {method: GET, url: https://a.example}"), vec!["v1beta1"]),
        (String::new(), vec!["not a mapping"]),
        ("a: [".to_owned(), vec!["not valid YAML"]),
    ] {
        let got = problems(&text);
        assert_eq!(got.len(), want.len(), "{text}: {got:?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.contains(want), "{text}: {got}");
        }
    }
}

#[test]
fn methods_are_read_in_any_case() {
    for method in ["get", "Post", "PUT", "patch", "delete", "HEAD"] {
        let text = one("", "url: https://a.example").replace("POST", method);
        assert_eq!(prepared(&text).unwrap().method, method.to_uppercase());
    }
}

#[test]
fn flags_that_leave_a_sequence_hanging_are_refused() {
    for (ty, flags, refused) in [
        (TRIGGERED, "sendFinished: true", false),
        (TRIGGERED, "sendFinished: true\n      sendStarted: false", true),
        (TRIGGERED, "sendStarted: false", false),
        ("sh.keptn.event.*.triggered", "sendFinished: true\n      sendStarted: false", true),
        ("sh.keptn.>", "sendFinished: true\n      sendStarted: false", true),
        ("sh.keptn.event.test.finished", "sendFinished: true\n      sendStarted: false", false),
        ("sh.keptn.event.dev.delivery.triggered", "sendFinished: true\n      sendStarted: false", false),
    ] {
        let text = beta(&format!(
            "    - type: {ty}\n      {flags}\n      requests: [{{method: GET, url: https://a.example}}]\n"
        ));
        let got = problems(&text);
        assert_eq!(!got.is_empty(), refused, "{ty} {flags}: {got:?}");
        assert!(!refused || got[0].contains("hanging"), "{got:?}");
    }
    let webhook = &compile(&one("", "url: https://a.example"));
    assert!(webhook.all()[0].send_started && !webhook.all()[0].send_finished);
    assert!(is_answered(&event(TRIGGERED, data())));
    for ty in [
        "sh.keptn.event.test.finished",
        "sh.keptn.event.dev.delivery.triggered",
        "sh.keptn.event.test.started",
        "a.b.triggered",
    ] {
        assert!(!is_answered(&event(ty, data())), "{ty}");
    }
}

#[test]
fn types_whose_delivery_causes_the_next_are_refused() {
    for (ty, fine) in [
        ("dev.shipwatch.issue.opened", true),
        ("dev.shipwatch.issue.*", true),
        ("dev.shipwatch.webhook.>", true),
        ("dev.tekton.>", true),
        ("dev.*.event", false),
        ("dev.shipwatch.delivery.failed", false),
        ("dev.shipwatch.>", false),
        ("dev.shipwatch.*.*", false),
        ("dev.>", false),
    ] {
        let text = beta(&format!("    - type: {ty}\n      requests: [{{method: GET, url: https://a.example}}]\n"));
        assert_eq!(problems(&text).is_empty(), fine, "{ty}: {:?}", problems(&text));
    }
}

#[test]
fn callbacks_are_for_those_who_send_the_finished() {
    let uses = "url: https://a.example\npayload: '{\"cb\": \"{{.callback.url}}\"}'";
    let webhooks = compile(&one("", uses));
    assert!(webhooks.all()[0].uses_callback());
    assert_eq!(body(&one("", uses)), r#"{"cb": "https://cb.example/1"}"#);
    for flags in ["sendFinished: true", "sendStarted: false"] {
        let got = problems(&one(flags, uses));
        assert!(got.len() == 1 && got[0].contains("sendStarted: true and sendFinished: false"), "{got:?}");
    }
    for ty in ["sh.keptn.event.test.finished", "sh.keptn.>"] {
        let got = problems(&one("", uses).replace(TRIGGERED, ty));
        assert!(got.len() == 1 && got[0].contains("<task>.triggered alone"), "{got:?}");
    }
    let got = problems(&one("", "url: https://a.example/{{.callback.pasUrl}}"));
    assert!(got.len() == 1 && got[0].contains("did you mean \"passUrl\""), "{got:?}");
    assert!(compile(&one("", uses).replace(TRIGGERED, "sh.keptn.event.*.triggered")).all()[0].uses_callback());
}

#[test]
fn subscriptions_have_stable_names() {
    let webhook = |keys: &str| format!("    - {{{keys}, requests: [{{method: GET, url: https://a.example}}]}}\n");
    let names = |list: &[&str]| {
        let text = beta(&list.iter().map(|keys| webhook(keys)).collect::<String>());
        let names = |webhooks: Webhooks| webhooks.all().iter().map(|w| w.subscription.to_string()).collect::<Vec<_>>();
        Webhooks::compile("w", &text).map(names).map_err(|e| self::list(&e))
    };
    assert_eq!(
        names(&[
            "type: a.b",
            "type: a.b, name: n",
            "type: a.b",
            "type: a.c",
            "type: a.b, subscriptionID: s, name: n2",
            "type: a.b"
        ]),
        Ok(["a.b", "n", "a.b/2", "a.c", "s", "a.b/3"].map(String::from).to_vec())
    );
    assert_eq!(names(&["type: a.b, subscriptionID: s", "type: a.c, subscriptionID: s"]).unwrap(), ["s", "s"]);
    for wrong in [
        ["type: a.b, name: n", "type: a.c, name: n"],
        ["type: a.b, name: n", "type: a.c, subscriptionID: n"],
        ["type: a.b, subscriptionID: n", "type: a.c, name: n"],
        ["type: a.b, name: a.c", "type: a.c"],
    ] {
        let got = names(&wrong).unwrap_err();
        assert!(got.len() == 1 && got[0].contains("already the name of the webhook of line"), "{wrong:?}: {got:?}");
    }
    let two = compile(&beta(&(webhook("type: a.b, name: n") + &webhook("type: a.>, name: m"))));
    assert_eq!(&*two.get("m").unwrap().name, "m");
    assert!(two.get("x").is_none() && two.get("a.b").is_none());
}

#[test]
fn events_find_their_webhooks() {
    let webhook = |keys: &str| format!("    - {{{keys}, requests: [{{method: GET, url: https://a.example}}]}}\n");
    let list = [
        "type: a.b, name: all",
        "type: a.*, name: wild",
        "type: a.>, name: rest, filter: {projects: [shop], stage: [dev, prod]}",
        "type: a.b, name: other, filter: {service: [x]}",
        "type: a.b, name: result, filter: {result: [fail], status: [errored]}",
        "type: a.b, name: labels, filter: {labels: {team: [a, b], n: 7}}",
        "type: a.b, name: nolabel, filter: {labels: {none: a}}",
        "type: a.c, name: third",
    ];
    let webhooks = compile(&beta(&list.iter().map(|keys| webhook(keys)).collect::<String>()));
    let names = |ty: &str, data: Value| {
        webhooks.matching(&event(ty, data)).into_iter().map(|w| w.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("a.b", data()), ["all", "wild", "rest", "labels"]);
    assert_eq!(names("a.b", json!({"result": "fail", "status": "errored"})), ["all", "wild", "result"]);
    assert_eq!(names("a.b.c", data()), ["rest"]);
    assert_eq!(names("a.c", json!(null)), ["wild", "third"]);
    assert!(names("b.c", data()).is_empty());
    let subjects: Vec<String> = webhooks.subjects().iter().map(ToString::to_string).collect();
    assert_eq!(subjects, ["a.>"]);
    assert!(Webhooks::default().is_empty() && Webhooks::default().matching(&event("a.b", data())).is_empty());
}

#[test]
fn of_one_subscription_the_most_specific_counts() {
    let webhook = |name: &str, filter: &str| {
        format!(
            "    - {{type: a.b, subscriptionID: s, name: {name}, filter: {{{filter}}}, requests: [{{method: GET, url: https://a.example}}]}}\n"
        )
    };
    let count = |list: &[(&str, &str)], data: Value| {
        let webhooks = compile(&beta(&list.iter().map(|(name, filter)| webhook(name, filter)).collect::<String>()));
        let event = event("a.b", data);
        let found: Vec<String> = webhooks.matching(&event).into_iter().map(|w| w.name.to_string()).collect();
        assert_eq!(webhooks.of_subscription("s", &event).map(|w| w.name.to_string()), found.first().cloned());
        found
    };
    let all =
        [("none", ""), ("project", "project: [shop]"), ("service", "service: [carts]"), ("stage", "stage: [dev]")];
    assert_eq!(count(&all, data()), ["service"]);
    assert_eq!(count(&all, json!({"project": "shop", "stage": "dev", "service": "x"})), ["stage"]);
    assert_eq!(count(&all, json!({"project": "shop"})), ["project"]);
    assert_eq!(count(&all, json!({})), ["none"]);
    assert_eq!(count(&[("first", "stage: [dev]"), ("second", "stage: [dev]")], data()), ["first"]);
    assert_eq!(count(&[("labels", "labels: {team: a}"), ("none", "")], data()), ["labels"]);
}

#[test]
fn payloads_are_escaped_for_what_they_are() {
    let with = |payload: &str| one("", &format!("url: https://a.example\npayload: {payload}"));
    let sent = |text: &str| {
        let request = prepared(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let ty = header(&request, "content-type").unwrap_or_default().to_owned();
        (ty, String::from_utf8(request.body.unwrap_or_default()).unwrap())
    };
    let as_json = "application/json".to_owned();
    assert_eq!(
        sent(&with(r#"'{"m": "{{.data.message}}", "n": {{.data.count}}}'"#)),
        (as_json.clone(), r#"{"m": "a \"b\"\nc", "n": 3}"#.into())
    );
    assert_eq!(sent(&with("'[{{.data.message}}]'")), (as_json.clone(), r#"["a \"b\"\nc"]"#.into()));
    let text = "text/plain; charset=utf-8".to_owned();
    assert_eq!(sent(&with("'[shop] {{.data.message}}'")), (text.clone(), "[shop] a \"b\"\nc".into()));
    assert_eq!(sent(&with("'{{.data.service}} failed'")), (text, "carts failed".into()));
    let form = "application/x-www-form-urlencoded".to_owned();
    assert_eq!(sent(&with("'text={{.data.message}}&n={{.data.count}}'")), (form, "text=a%20%22b%22%0Ac&n=3".into()));
    let typed = |ty: &str, payload: &str| {
        one("", &format!("url: https://a.example\nheaders: [{{key: content-type, value: {ty}}}]\npayload: {payload}"))
    };
    assert_eq!(sent(&typed("application/vnd.x+json; charset=utf-8", "'{{.data.message}}'")).1, r#""a \"b\"\nc""#);
    assert_eq!(
        sent(&typed("text/plain", "'{\"m\": {{.data.message}}'")),
        ("text/plain".into(), "{\"m\": a \"b\"\nc".into())
    );
    assert_eq!(
        sent(&typed("'{{.data.type | default \"application/json\"}}'", "'{\"m\": {{.data.message}}}'")).1,
        r#"{"m": "a \"b\"\nc"}"#
    );
    let tree = "{title: \"{{.data.service}}: {{.data.message}}\", count: \"{{.data.count}}\", fixed: [1, true, null, \"{x\"], labels: \"{{.data.labels}}\", raw: \"{{json .data.labels}}\"}";
    let (ty, made) = sent(&with(tree));
    assert_eq!(ty, as_json);
    assert_eq!(
        serde_json::from_str::<Value>(&made).unwrap(),
        json!({"title": "carts: a \"b\"\nc", "count": 3, "fixed": [1, true, null, "{x"], "labels": {"team": "a", "n": 7}, "raw": {"team": "a", "n": 7}})
    );
    let whole: Value = serde_json::from_str(&sent(&with("'{\"event\": {{json .}}}'")).1).unwrap();
    assert_eq!(whole["event"]["data"], data());
    assert!(whole["event"].get("env").is_none());
    assert_eq!(prepared(&one("", "url: https://a.example")).unwrap().body, None);
}

#[test]
fn what_is_wrong_with_a_payload_is_said() {
    let with = |payload: &str| one("name: tickets", &format!("url: https://a.example\npayload: {payload}"));
    let got = problems(&with("'{\"a\": 1'"));
    assert!(got.len() == 1 && got[0].contains(":11:21: payload: it is not JSON"), "{got:?}");
    let said = prepared(&with("'{\"a\": {{.data.count}}'")).unwrap_err();
    assert!(said.starts_with("webhook \"tickets\": payload: it is not JSON"), "{said}");
    let said = prepared(&with("'{\"a\": {{.data.nothing}}}'")).unwrap_err();
    assert_eq!(said, "webhook \"tickets\": payload: .data.nothing is missing");
    let said = prepared(&with("{a: [\"{{.data.nothing}}\"]}")).unwrap_err();
    assert_eq!(said, "webhook \"tickets\": payload: .data.nothing is missing");
    let got = problems(&with("{\"{{.a}}\": 1, b: \"{{\"}"));
    assert!(got.len() == 2 && got[0].contains("cannot be a template") && got[1].contains("not closed"), "{got:?}");
    let two = with("x") + "        - {method: GET, url: 'https://a.example/{{.data.nothing}}'}\n";
    let said = compile(&two).all()[0].requests[1].render(&the_root()).unwrap_err();
    assert_eq!(said, "webhook \"tickets\", request 2: url: .data.nothing is missing");
}

#[test]
fn urls_keep_their_host_and_path() {
    let url = |url: &str| prepared(&one("", &format!("url: '{url}'"))).map(|request| request.url);
    assert_eq!(
        url("https://a.example/{{.data.message}}?x={{.data.count}}").unwrap(),
        "https://a.example/a%20%22b%22%0Ac?x=3"
    );
    assert_eq!(url("{{.secret.tracker.token | printf \"https://%s.example\"}}/x").unwrap(), "https://s3c.example/x");
    for (text, why) in [
        ("https://a.example/{{.data.dots | default \"..\"}}/x", "step"),
        ("https://a.example/%2E{{.data.dots | default \".\"}}", "step"),
        ("{{.data.service}}", "begins with http"),
        ("https://{{.data.evil | default .data.slash}}/", "host"),
        ("https://{{.data.empty | default \"\"}}/", "no host"),
    ] {
        let said = url(text).unwrap_err();
        assert!(said.contains(why) && said.starts_with("webhook"), "{text}: {said}");
    }
    for wrong in [
        "a.example/x",
        "ftp://a.example",
        "https://",
        "https://:80/",
        "https:///x",
        "https://a.example/x y",
        "file:///etc",
    ] {
        let got = problems(&one("", &format!("url: '{wrong}'")));
        assert!(got.len() == 1 && got[0].contains(": url "), "{wrong}: {got:?}");
    }
}

#[test]
fn headers_cannot_be_split() {
    let with = |value: &str| {
        one(
            "envFrom: [{name: line, secretRef: {name: tracker, key: token}}]",
            &format!("url: https://a.example\nheaders: [{{key: X-A, value: {value}}}]"),
        )
    };
    let said = prepared(&with("'{{.data.message}}'")).unwrap_err();
    assert!(said.contains("header X-A") && said.contains("line break"), "{said}");
    let said = prepared(&with("'{{.env.line}}'")).unwrap_err();
    assert!(said.contains("line break") && !said.contains("Evil"), "{said}");
    assert!(problems(&with("\"a\\r\\nb: c\""))[0].contains("control character"));
    assert_eq!(header(&prepared(&with("' {{.data.service}} '")).unwrap(), "x-a"), Some("carts"));
    for own in ["Host", "content-length"] {
        assert_eq!(problems(&with("x").replace("X-A", own)).len(), 1, "{own}");
    }
}

#[test]
fn what_templates_name_is_found_at_load() {
    let webhooks = compile(&one(
        "envFrom: [{name: a-b, secretRef: {name: one, key: k}}]\nproxy: 'http://{{.secret.proxy.host}}'",
        "url: https://a.example\nheaders: [{key: X, value: '{{index .env \"a-b\"}}'}]\npayload: {a: ['{{index .secret \"tracker\" \"api-key\"}}']}",
    ));
    let secrets: Vec<_> = webhooks.secrets().map(|s| format!("{}/{}:{}", s.name, s.key, s.line)).collect();
    assert_eq!(secrets, ["one/k:7", "tracker/api-key:13", "proxy/host:8"]);
    let got = problems(&one(
        "envFrom: [{name: token, secretRef: {name: one, key: ../k}}, {name: token, secretRef: {name: two, key: k}}]",
        "url: https://a.example/{{.env.tokn}}/{{.secret.one}}",
    ));
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(
        got[0].contains("\"../k\" is not one word")
            && got[1].contains("twice")
            && got[2].contains(".secret is not a value")
    );
    let got = problems(&one(
        "envFrom: [{name: token, secretRef: {name: one, key: k}}]",
        "url: https://a.example/{{.env.tokn}}",
    ));
    assert!(got.len() == 1 && got[0].contains(":10:36:") && got[0].contains("did you mean \"token\""), "{got:?}");
}

#[test]
fn how_requests_are_sent_is_read() {
    let text = one(
        "timeout: 30s\nretries: 2\nfollowRedirects: 3\nmaxResponse: 1MiB\nproxy: http://proxy.example:3128",
        "url: https://a.example\noptions: |\n  -m 2.5 -L --retry 0 -x proxy2.example:80\n  -H 'X-A: {{.data.service}}' -u 'u:{{.data.stage}}'",
    );
    let webhooks = compile(&text);
    let sending = &webhooks.all()[0].sending;
    assert_eq!((sending.timeout, sending.retries), (Some(std::time::Duration::from_secs(30)), Some(2)));
    assert_eq!((sending.follow_redirects, sending.max_response), (Some(3), Some(1 << 20)));
    let request = &webhooks.all()[0].requests[0];
    assert_eq!(
        (request.sending.timeout, request.sending.retries),
        (Some(std::time::Duration::from_millis(2500)), Some(0))
    );
    assert_eq!((request.sending.follow_redirects, request.sending.max_response), (Some(10), Some(1 << 20)));
    let prepared = request.render(&the_root()).unwrap();
    assert_eq!(prepared.proxy.as_deref(), Some("http://proxy2.example:80"));
    assert_eq!(header(&prepared, "X-A"), Some("carts"));
    assert_eq!(header(&prepared, "Authorization"), Some("Basic dTpkZXY="));
    let got = problems(&one(
        "proxy: 'http://{{.data.host}}'\ntimeout: 0s",
        "url: https://a.example\noptions: -X GET -d x https://b.example",
    ));
    assert_eq!(got.len(), 5, "{got:?}");
    assert!(
        got[0].contains("depends on the event")
            && got[1].contains("no time at all")
            && got[2].contains("options give what")
    );
    for (options, named) in [("-G", "-G"), ("-I", "-I"), ("-sIL", "-I"), ("--get", "--get"), ("-L --head", "--head")] {
        let got = problems(&one("", &format!("url: https://a.example\noptions: {options}")));
        let want = format!("curl option {named} is refused in options: the key method gives the method");
        assert!(got.len() == 1 && got[0].contains(&want), "{options}: {got:?}");
    }
}

#[test]
fn subjects_of_the_broker_are_no_event_types() {
    let typed = |ty: &str| one("", "url: https://a.example").replace(TRIGGERED, ty);
    for ty in ["$JS.EVENT.ADVISORY.>", "$SYS.*", "$KV.bucket.key", "_INBOX.>", "_INBOX.a.b", "_INBOX"] {
        let got = problems(&typed(ty));
        assert!(got.len() == 1 && got[0].contains("a subject of the broker's own, no event type"), "{ty}: {got:?}");
    }
    assert_eq!(compile(&typed("a.$b._INBOX")).all().len(), 1);
}

#[test]
fn curl_commands_are_read_as_data() {
    let request = |command: &str| prepared(&alpha(command)).unwrap_or_else(|e| panic!("{command}: {e}"));
    let body = |command: &str| String::from_utf8(request(command).body.unwrap_or_default()).unwrap();
    for (command, method, url, want) in [
        ("curl https://a.example", "GET", "https://a.example", ""),
        ("curl -d a=1 -d b=2 https://a.example", "POST", "https://a.example", "a=1&b=2"),
        ("curl -da=1 https://a.example -X put", "PUT", "https://a.example", "a=1"),
        (
            "curl -G -d a=1 --data b={{.data.message}} https://a.example/?c",
            "GET",
            "https://a.example/?c&a=1&b=a%20%22b%22%0Ac",
            "",
        ),
        ("curl -G --data 'a={{.data.service}}' https://a.example", "GET", "https://a.example?a=carts", ""),
        ("curl -I https://a.example", "HEAD", "https://a.example", ""),
        ("curl --json '{\"a\": 1}' https://a.example", "POST", "https://a.example", "{\"a\": 1}"),
        ("curl --data-raw @a https://a.example", "POST", "https://a.example", "@a"),
        ("curl -d '$(id) `id` | ; > $HOME' https://a.example", "POST", "https://a.example", "$(id) `id` | ; > $HOME"),
        ("curl -sSf -i -v -w '%{http_code}' --compressed -- https://a.example", "GET", "https://a.example", ""),
        ("curl \\\n  -X DELETE \\\n  https://a.example", "DELETE", "https://a.example", ""),
    ] {
        let made = request(command);
        assert_eq!((made.method, made.url.as_str(), body(command).as_str()), (method, url, want), "{command}");
    }
    let made = request(
        "curl -A agent -e https://r.example -b 'a=b; c={{.data.count}}' -H 'Expect:' -H 'X-Empty;' --oauth2-bearer {{.env.trackerToken}} https://a.example",
    );
    let headers: Vec<_> = made.headers.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    assert_eq!(
        headers,
        [
            "User-Agent: agent",
            "Referer: https://r.example",
            "Cookie: a=b; c=3",
            "X-Empty: ",
            "Authorization: Bearer t0k"
        ]
    );
    let made = request("curl --json '{\"a\": {{.data.message}}}' -H 'accept: x' https://a.example");
    let headers: Vec<_> = made.headers.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    assert_eq!(headers, ["accept: x", "Content-Type: application/json"]);
    let webhooks = compile(&alpha(
        "curl -L --max-redirs 4 -m 7 --retry 3 --max-filesize 99 -x http://p.example https://a.example",
    ));
    let sending = &webhooks.all()[0].requests[0].sending;
    assert_eq!((sending.follow_redirects, sending.retries, sending.max_response), (Some(4), Some(3), Some(99)));
    assert_eq!(sending.timeout, Some(std::time::Duration::from_secs(7)));
}

#[test]
fn what_a_curl_command_may_not_do_is_named() {
    for (command, want) in [
        ("curl -k https://a.example", "-k is refused: certificates"),
        ("curl -sk https://a.example", "-k is refused: certificates"),
        ("curl --insecure https://a.example", "--insecure is refused"),
        ("curl -o x https://a.example", "-o is refused: it reads or writes files"),
        ("curl -so x https://a.example", "-o is refused"),
        ("curl -ox https://a.example", "-o is refused"),
        ("curl -O https://a.example", "-O is refused"),
        ("curl -F a=@b https://a.example", "-F is refused: it may read files"),
        ("curl -T x https://a.example", "-T is refused"),
        ("curl -K x https://a.example", "-K is refused"),
        ("curl --cert x https://a.example", "--cert is refused"),
        ("curl -d @/etc/passwd https://a.example", "-d is refused with `@`"),
        ("curl -d@/etc/passwd https://a.example", "-d is refused with `@`"),
        ("curl --data-binary @x https://a.example", "--data-binary is refused with `@`"),
        ("curl --json @x https://a.example", "--json is refused with `@`"),
        ("curl -H @x https://a.example", "-H is refused with `@`"),
        ("curl -b jar https://a.example", "-b is refused without `=`"),
        ("curl --next https://a.example", "\"--next\" is not read here"),
        ("curl --reqest GET https://a.example", "did you mean \"request\""),
        ("curl --request=GET https://a.example", "the value of --request is a word of its own"),
        ("curl -ż https://a.example", "is not read here"),
        ("curl https://a.example | sh", "there is no shell here"),
        ("curl https://a.example https://b.example", "one word too much"),
        ("curl -d", "curl option -d has no value"),
        ("curl -X GET", "curl command has no URL"),
        ("wget https://a.example", "begins with \"wget\""),
        ("curl -m soon https://a.example", "not a number of seconds"),
        ("curl --max-redirs -1 https://a.example", "not a number up to 20"),
        ("curl -X {{.data.x}} https://a.example", "method \"{{.data.x}}\" is unknown"),
        ("curl -H 'a b: c' https://a.example", "no name of a header"),
        ("curl -H nocolon https://a.example", "has no `:`"),
        ("curl a.example", "begins with http"),
        ("curl 'https://a.example", "not closed by '"),
        ("curl https://a.example/{{.data.x", "not closed by }}"),
        ("", "request is empty"),
    ] {
        let got = problems(&alpha(command));
        assert!(
            got.iter().any(|said| said.contains(want) && said.starts_with("webhook.yaml:8:")),
            "{command}: {got:?}"
        );
    }
    let got = problems(&alpha("curl -k -o x https://a.example/{{foo}}"));
    assert_eq!(got.len(), 2, "all mistakes of a command at once: {got:?}");
    let block =
        alpha("x").replace("\"x\"", "|\n            curl https://a.example\n              -d '{{.data.x}} {{ foo }}'");
    let got = problems(&block);
    assert!(got.len() == 1 && got[0].starts_with("webhook.yaml:10:34: template: function"), "{got:?}");
}

#[test]
fn fields_are_taken_out_of_a_response() {
    let webhooks = compile(&one(
        "name: tickets",
        "url: https://a.example\nextract: {id: $.ticket.id, link: \"$.links[1]['self-link']\", all: $, deep: '$[\"a\\\"b\"][0]'}",
    ));
    let request = &webhooks.all()[0].requests[0];
    let response = json!({"ticket": {"id": 7}, "links": [0, {"self-link": "l"}], "a\"b": [null]});
    let got = request.extract(&response).unwrap();
    assert_eq!(Value::Object(got), json!({"id": 7, "link": "l", "all": response, "deep": null}));
    let said = request.extract(&json!({"ticket": {"id": 7}, "links": []})).unwrap_err();
    assert_eq!(said, "webhook \"tickets\": extract \"link\": the response has no $.links[1]['self-link']");
    assert!(request.has_extract());
    for wrong in ["a", "$a", "$.", "$.a..b", "$[x]", "$[-1]", "$['a]", "$[", "$.*", "$[]", "$[99999999999999999999]"] {
        assert!(extract::Path::parse(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    /// Whatever stands in a request, reading and rendering end, and what comes out is what it says it is.
    #[test]
    fn no_request_is_too_much(
        words in proptest::collection::vec(
            prop_oneof![
                4 => proptest::sample::select(vec!["curl ", "-d ", "-H ", "'", "\"", "\\", "{{", "}}", ".data.message", " ", "https://a.example", "{\"a\": ",
                    "}", "-X", "POST", "-G", "-u", ": ", "{{.data.message}}", "{{json .}}", "|", "--json ", "..", "/", "?", "@", "\n", "é"]).prop_map(str::to_owned),
                1 => ".{0,3}",
            ],
            0..24,
        )
    ) {
        let text = words.concat();
        let command = serde_json::to_string(&format!("curl https://a.example {text}")).unwrap();
        let payload = serde_json::to_string(&text).unwrap();
        let files = [
            alpha("x").replace("- \"x\"", &format!("- {command}")),
            one("", &format!("url: https://a.example\npayload: {payload}")),
            one("", &format!("url: {payload}\npayload: {{a: {payload}}}")),
        ];
        for file in files {
            match Webhooks::compile("webhook.yaml", &file) {
                Ok(webhooks) => for request in &webhooks.all()[0].requests {
                    if let Ok(made) = request.render(&the_root()) {
                        prop_assert!(made.headers.iter().all(|(_, value)| !value.contains(['\r', '\n'])));
                        if header(&made, "content-type") == Some("application/json") {
                            prop_assert!(serde_json::from_slice::<Value>(&made.body.unwrap_or_default()).is_ok());
                        }
                    }
                },
                Err(problems) => prop_assert!(!problems.is_empty()),
            }
        }
    }
}
