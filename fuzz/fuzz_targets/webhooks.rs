//! Any bytes as a team's `webhook.yaml`: it is read, or refused with reasons; what is read can be asked about any event and
//! rendered for it, with the same answer each time, and what is rendered is what it says it is.
//!
//! An input that does not begin with `apiVersion` is a template instead, and is tried in a place of each kind.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use shipwatch::domain::event::Event;
use shipwatch::domain::gotemplate::{Format, Template};
use shipwatch::domain::webhooks::{Webhook, Webhooks, root};

/// A trigger with values of every kind.
static EVENT: LazyLock<Event> = LazyLock::new(|| {
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "s", "type": "sh.keptn.event.test.triggered", "shkeptncontext": "c",
        "data": {
            "project": "shop", "stage": "dev", "service": "carts", "result": "fail", "status": "errored", "labels": {"a": "b"},
            "message": "a \"b\"\r\nc\\", "count": 3, "large": 1e300, "none": null, "list": ["a", {"b": [1]}], "url": "https://b.example/?",
        },
    });
    Event::from_value(event).expect("an event")
});

static ROOT: LazyLock<Value> = LazyLock::new(|| {
    let map = |value: Value| value.as_object().cloned().unwrap_or_default();
    let page =
        json!({"url": "https://cb.example/", "passUrl": "https://cb.example/p", "failUrl": "https://cb.example/f"});
    root(&EVENT, Map::new(), map(json!({"a": {"b": SECRET}})), map(page))
});

const SECRET: &str = "0-secret-0";

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if !text.starts_with("apiVersion") {
        return try_template(text);
    }
    let webhooks = match Webhooks::compile("webhook.yaml", text) {
        Ok(webhooks) => webhooks,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let lines = 1 + text.matches(['\n', '\r']).count();
            for problem in problems {
                assert!(problem.line as usize <= lines && !problem.to_string().contains('\n'), "{problem}");
            }
            return;
        }
    };
    assert!(!webhooks.is_empty(), "read, and empty");
    let matching = webhooks.matching(&EVENT);
    for webhook in webhooks.all() {
        let called = matching.iter().any(|found| std::ptr::eq(*found, webhook));
        let counts = webhooks.of_subscription(&webhook.subscription, &EVENT).is_some_and(|w| std::ptr::eq(w, webhook));
        assert!(called == counts && (!called || webhook.matches(&EVENT)));
        assert!(webhooks.get(&webhook.subscription).is_some());
        assert!(webhooks.subjects().iter().any(|subject| subject.covers(&webhook.ty)));
        try_requests(webhook);
    }
});

fn try_requests(webhook: &Webhook) {
    for request in &webhook.requests {
        let made = request.render(&ROOT);
        assert_eq!(made, request.render(&ROOT), "rendered twice, and not the same");
        let made = match made {
            Ok(made) => made,
            Err(said) => {
                assert!(said.starts_with("webhook ") && !said.contains(SECRET), "{said}");
                continue;
            }
        };
        let clean = |text: &str| !text.chars().any(|c| c.is_control() && c != '\t');
        assert!(clean(&made.url) && made.headers.iter().all(|(name, value)| clean(name) && clean(value)));
        let _ = request.extract(&ROOT);
    }
}

/// A template gives the same each time and nothing of the operator by itself; in JSON what comes after it is where it was.
fn try_template(text: &str) {
    for format in [Format::Text, Format::Json, Format::Url, Format::Form] {
        let Ok(template) = Template::parse(text, format) else { return };
        let made = template.render(&ROOT, 10_000);
        assert_eq!(made, template.render(&ROOT, 10_000));
        let named = template.named().iter().any(|named| *named.path == ["a".into(), "b".into()]);
        assert!(
            named || !made.is_ok_and(|made| made.contains(SECRET) && !text.contains(SECRET)),
            "shown, and not named"
        );
        let _ = template.value(&ROOT, 10_000);
    }
}
