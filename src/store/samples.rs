//! Lines and records for tests.

use std::sync::Arc;

use serde_json::json;

use super::journal::Marks;
use super::staged::Staged;
use crate::domain::decision::{Change, Decision, Fate};
use crate::domain::event::Form;
use crate::domain::ids::Position;
use crate::domain::issue::*;
use crate::domain::lookup::Lookup;
use crate::domain::row::{Entry, Head, Recorded, Row};
use crate::domain::time::Time;

/// Stream time of the message with this sequence: one an hour.
pub fn time(sequence: u64) -> Time {
    Time::from_unix(1_767_225_600 + sequence as i64 * 3600, 0).unwrap()
}

pub fn key(service: &str, check: &str) -> Key {
    Key {
        namespace: "shop-staging".into(),
        scope: Scope {
            resource_type: "component".into(),
            resource_name: service.into(),
            resource_namespace: "shop-staging".into(),
        },
        issue_type: IssueType::Test,
        check: check.into(),
        project: "shop".into(),
        stage: "staging".into(),
    }
}

/// The line of a failed Keptn task.
pub fn failure(sequence: u64, service: &str, check: &str) -> Row {
    let uuid = |n: u64| crate::domain::ids::derive("sample", &[&n.to_string()]).to_string();
    let (id, context, triggered) = (uuid(sequence), uuid(sequence / 4 + 1_000_000_000), uuid(sequence + 2_000_000_000));
    let ty = format!("sh.keptn.event.{check}.finished");
    let stream_time = time(sequence);
    let labels: serde_json::Value = json!({"build": sequence.to_string(), "commit": uuid(sequence + 3_000_000_000), "team": "checkout", "branch": "main"});
    let payload = json!({
        "specversion": "1.0", "id": id, "source": "jmeter-service", "type": ty, "time": stream_time,
        "contenttype": "application/json", "shkeptncontext": context, "triggeredid": triggered,
        "shkeptnspecversion": "0.2.4", "gitcommitid": uuid(sequence / 9 + 4_000_000_000),
        "data": {"project": "shop", "stage": "staging", "service": service, "labels": labels, "status": "succeeded",
            "result": "fail", "message": format!("{} of 9 checks failed: p95 was {} ms", sequence % 9 + 1, sequence % 997),
            check: {"start": time(sequence), "end": time(sequence + 1), "report": format!("https://ci.example.com/runs/{}", uuid(sequence + 5_000_000_000))}},
    });
    let key = key(service, check);
    let change = Change { key: key.id(), kind: Some(ChangeKind::Updated), before: None };
    let decision = Decision {
        fate: Fate::Applied,
        outcome: Outcome::Failure,
        rule: Some("keptn-task".into()),
        why: "result is fail".into(),
        key: Some(key),
        run: Some(triggered.clone()),
        at: stream_time,
        changes: vec![change],
        scope_success: None,
        answer: None,
        rule_set: "0123456789ab".into(),
        calls: Vec::new(),
        report: None,
    };
    let head = Head {
        origin: Origin { source: "jmeter-service".into(), id },
        ty: ty.clone(),
        time: Some(stream_time),
        context: Some(context),
        triggered_id: Some(triggered),
        project: "shop".into(),
        stage: "staging".into(),
        service: service.into(),
    };
    let payload = payload.to_string().into();
    let recorded = Recorded { form: Form::Bare, subject: ty, head: Some(head), decision, retry: None, payload };
    Row { position: Position::new(sequence, 0), stream_time, entry: Entry::Event(Box::new(recorded)) }
}

/// An issue as a failure at this sequence leaves it.
pub fn issue(number: u64, sequence: u64, state: State) -> Issue {
    let text = sequence.to_string();
    let origin = Origin { source: "jmeter-service".into(), id: text.clone() };
    Issue {
        number,
        state,
        severity: Severity::Major,
        title: format!("test failed in shop-staging: {text}"),
        description: "3 of 9 checks failed".into(),
        links: vec![Link { title: "Report".into(), url: format!("https://ci.example.com/runs/{text}") }],
        detected_at: time(sequence),
        resolved_at: (state == State::Resolved).then(|| time(sequence)),
        created_at: time(sequence),
        updated_at: time(sequence),
        occurrences: 1,
        episodes: 1,
        last_seen_at: time(sequence),
        last_run: text.clone(),
        context: format!("context-{text}"),
        triggered_id: text.clone(),
        service: "cart".into(),
        labels: [("build".to_owned(), text)].into(),
        rule: "keptn-task".into(),
        opened_by: origin,
        resolved_by: None,
        resolved_run: None,
    }
}

/// Folds the sample with this sequence as a real fold would: line, key, scope, number, retention.
pub fn fold(staged: &mut Staged, sequence: u64, service: &str, check: &str, state: State) {
    let row = failure(sequence, service, check);
    let key = key(service, check);
    let (id, scope_id) = (key.id(), key.scope_id());
    let before = staged.key(id).and_then(|k| k.marks.issue.as_ref().map(|i| i.number));
    let number = before.unwrap_or_else(|| staged.take_number());
    let newest = Newest {
        at: row.stream_time,
        position: row.position,
        run: sequence.to_string(),
        outcome: Outcome::Failure,
        seen: row.stream_time,
    };
    let issue = Some(issue(number, sequence, state));
    let scope = ScopeState {
        scope: key.scope.clone(),
        project: key.project.clone(),
        stage: key.stage.clone(),
        keys: Vec::new(),
        success: None,
    };
    let mut scope = staged.scope(scope_id).map_or(scope, |s| (*s).clone());
    if !scope.keys.contains(&id) {
        scope.keys.push(id);
        staged.put_scope(scope_id, scope);
    }
    staged.put_key(id, KeyState { key, marks: Arc::new(crate::domain::issue::Marks { newest: Some(newest), issue }) });
    let now = row.stream_time;
    staged.add_row(row, Marks::new()).unwrap();
    staged.expire(now).unwrap();
}

/// Bytes that do not get smaller.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}
