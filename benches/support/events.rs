//! Events as pipelines send them, about 800 bytes each.

/// A trigger of `open-issue`: one of ten thousand services, so that issues are opened and updated.
pub fn trigger(i: usize) -> (String, String) {
    event(i, "open-issue.triggered", r#""open-issue":{"title":"load test failed","severity":"major","check":"load"}"#)
}

/// A `finished` of a test, failing or passing.
pub fn finished(i: usize) -> (String, String) {
    let result = if i.is_multiple_of(3) { "pass" } else { "fail" };
    let data = format!(
        r#""status":"succeeded","result":"{result}","test":{{"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:01:00Z"}}"#
    );
    event(i, "test.finished", &data)
}

fn event(i: usize, kind: &str, data: &str) -> (String, String) {
    let id = uuid::Uuid::new_v4();
    let context = uuid::Uuid::new_v4();
    let trigger = uuid::Uuid::new_v4();
    let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
    let service = i % 10_000;
    let body = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"shipyard-controller","type":"sh.keptn.event.{kind}","time":"{time}","datacontenttype":"application/json","shkeptncontext":"{context}","shkeptnspecversion":"0.2.4","triggeredid":"{trigger}","gitcommitid":"{:x}","data":{{"project":"shop","stage":"staging","service":"service-{service}","labels":{{"build":"{i}","owner":"team-{}"}},"message":"readiness probe of service-{service} timed out after 30 s, 3 of 9 checks failed","deployment":{{"deploymentURIsPublic":["https://service-{service}.staging.shop.example"],"deploymentNames":["direct"],"deploymentstrategy":"direct"}},{data}}}}}"#,
        uuid::Uuid::new_v4().as_u128(),
        i % 7,
    );
    (format!("sh.keptn.event.{kind}"), body)
}
