//! `status` and `result`, and what they come to over all that finished a task.

use serde_json::{Map, Value};

/// Whether a tool did run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did.
    Succeeded,
    /// It did not.
    Errored,
    /// It was stopped.
    Aborted,
    /// Nobody says, or not in a word that is known.
    Unknown,
}

/// What a tool concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Good.
    Pass,
    /// Good enough.
    Warning,
    /// Bad.
    Fail,
}

impl Status {
    /// The word in `data.status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Succeeded => "succeeded",
            Status::Errored => "errored",
            Status::Aborted => "aborted",
            Status::Unknown => "unknown",
        }
    }

    fn of(data: &Map<String, Value>) -> Status {
        match data.get("status").and_then(Value::as_str) {
            Some("succeeded") => Status::Succeeded,
            Some("errored") => Status::Errored,
            Some("aborted") => Status::Aborted,
            _ => Status::Unknown,
        }
    }
}

impl Verdict {
    /// The word in `data.result`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warning => "warning",
            Verdict::Fail => "fail",
        }
    }

    fn of(data: &Map<String, Value>) -> Verdict {
        match data.get("result").and_then(Value::as_str) {
            Some("pass") => Verdict::Pass,
            Some("warning") => Verdict::Warning,
            _ => Verdict::Fail,
        }
    }
}

/// What all `.finished` of a task come to.
pub(super) fn combine(finished: &[Map<String, Value>]) -> (Status, Verdict) {
    let any_status = |status| finished.iter().any(|data| Status::of(data) == status);
    let any_verdict = |verdict| finished.iter().any(|data| Verdict::of(data) == verdict);
    let verdict = match () {
        () if any_verdict(Verdict::Fail) => Verdict::Fail,
        () if any_verdict(Verdict::Warning) => Verdict::Warning,
        () => Verdict::Pass,
    };
    match () {
        () if any_status(Status::Errored) => (Status::Errored, verdict),
        () if any_status(Status::Aborted) => (Status::Aborted, verdict),
        () if any_status(Status::Unknown) => (Status::Unknown, Verdict::Fail),
        () => (Status::Succeeded, verdict),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_finished_a_task_count() {
        use Status::{Aborted, Errored, Succeeded, Unknown};
        use Verdict::{Fail, Pass, Warning};
        for (finished, want) in [
            (json!([{"status": "succeeded", "result": "pass"}]), (Succeeded, Pass)),
            (json!([{"status": "succeeded", "result": "warning"}]), (Succeeded, Warning)),
            (json!([{"status": "succeeded", "result": "fail"}]), (Succeeded, Fail)),
            (json!([{"status": "errored", "result": "pass"}]), (Errored, Pass)),
            (json!([{"status": "aborted", "result": "pass"}]), (Aborted, Pass)),
            (json!([{"status": "succeeded"}]), (Succeeded, Fail)),
            (json!([{"status": "succeeded", "result": ""}]), (Succeeded, Fail)),
            (json!([{"status": "succeeded", "result": "passed"}]), (Succeeded, Fail)),
            (json!([{"result": "pass"}]), (Unknown, Fail)),
            (json!([{"status": "unknown", "result": "warning"}]), (Unknown, Fail)),
            (json!([{}]), (Unknown, Fail)),
            (
                json!([{"status": "succeeded", "result": "pass"}, {"status": "succeeded", "result": "warning"}]),
                (Succeeded, Warning),
            ),
            (
                json!([{"status": "succeeded", "result": "fail"}, {"status": "succeeded", "result": "warning"}]),
                (Succeeded, Fail),
            ),
            (
                json!([{"status": "aborted", "result": "pass"}, {"status": "errored", "result": "warning"}]),
                (Errored, Warning),
            ),
            (
                json!([{"status": "succeeded", "result": "pass"}, {"status": "aborted", "result": "pass"}]),
                (Aborted, Pass),
            ),
            (json!([{"status": "aborted", "result": "pass"}, {"result": "pass"}]), (Aborted, Pass)),
            (json!([{"status": "succeeded", "result": "pass"}, {"result": "pass"}]), (Unknown, Fail)),
        ] {
            let list: Vec<Map<String, Value>> = serde_json::from_value(finished.clone()).unwrap();
            assert_eq!(combine(&list), want, "{finished}");
        }
    }
}
