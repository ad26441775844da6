//! Keptn events, with only that said which a story is about.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

/// Minute 0 of all stories: two hours ago, on the full second. Recent, because old events count as stale.
static MINUTE_ZERO: LazyLock<DateTime<Utc>> = LazyLock::new(|| {
    let second = Utc::now().timestamp() - 2 * 60 * 60;
    DateTime::from_timestamp(second, 0).unwrap()
});

/// The instant `minutes` after minute 0, as the API writes it.
pub fn time_at(minutes: i64) -> String {
    (*MINUTE_ZERO + TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The instant `seconds` from now.
pub fn from_now(seconds: i64) -> String {
    (Utc::now() + TimeDelta::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn fresh(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An event being written. Project `shop`, stage `staging`, service `carts`, a fresh id and minute 0 unless said otherwise.
#[derive(Clone, Debug)]
pub struct Keptn(Value);

/// `sh.keptn.event.<task>.finished`, `succeeded` and `pass`, of a run of its own.
pub fn task_finished(task: &str) -> Keptn {
    Keptn::new(&format!("sh.keptn.event.{task}.finished")).status("succeeded").result("pass").run(&fresh("run"))
}

/// `sh.keptn.event.<task>.triggered`.
pub fn task_triggered(task: &str) -> Keptn {
    Keptn::new(&format!("sh.keptn.event.{task}.triggered")).source("shipyard-controller")
}

/// `sh.keptn.event.<stage>.<sequence>.<phase>`.
pub fn sequence(stage: &str, sequence: &str, phase: &str) -> Keptn {
    let event = Keptn::new(&format!("sh.keptn.event.{stage}.{sequence}.{phase}")).stage(stage);
    if phase == "finished" { event.status("succeeded").result("pass").run(&fresh("run")) } else { event }
}

/// `sh.keptn.events.problem`.
pub fn problem(id: &str, state: &str) -> Keptn {
    Keptn::new("sh.keptn.events.problem")
        .data("State", state)
        .data("ProblemID", id)
        .data("ProblemTitle", "response time up")
        .data("ImpactedEntity", "carts")
}

impl Keptn {
    /// Any type.
    pub fn new(ty: &str) -> Keptn {
        Keptn(json!({
            "specversion": "1.0", "id": fresh("event"), "source": "jmeter-service", "type": ty, "time": time_at(0),
            "datacontenttype": "application/json", "shkeptncontext": "c0ffee00-1111-4222-8333-444444444444",
            "data": {"project": "shop", "stage": "staging", "service": "carts"},
        }))
    }

    /// Sets an attribute.
    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Keptn {
        self.0[name] = value.into();
        self
    }

    /// Leaves an attribute out.
    pub fn without(mut self, name: &str) -> Keptn {
        self.0.as_object_mut().unwrap().remove(name);
        self
    }

    /// Sets a member of `data`.
    pub fn data(mut self, name: &str, value: impl Into<Value>) -> Keptn {
        self.0["data"][name] = value.into();
        self
    }

    /// `id`.
    pub fn id(self, id: &str) -> Keptn {
        self.attribute("id", id)
    }

    /// `source`.
    pub fn source(self, source: &str) -> Keptn {
        self.attribute("source", source)
    }

    /// `shkeptncontext`.
    pub fn context(self, context: &str) -> Keptn {
        self.attribute("shkeptncontext", context)
    }

    /// `triggeredid`: what this answers, and so the run it belongs to.
    pub fn run(self, trigger: &str) -> Keptn {
        self.attribute("triggeredid", trigger)
    }

    /// `time`, in minutes of the story.
    pub fn at(self, minutes: i64) -> Keptn {
        self.attribute("time", time_at(minutes))
    }

    /// `data.status`.
    pub fn status(self, status: &str) -> Keptn {
        self.data("status", status)
    }

    /// `data.result`.
    pub fn result(self, result: &str) -> Keptn {
        self.data("result", result)
    }

    /// `data.message`.
    pub fn message(self, message: &str) -> Keptn {
        self.data("message", message)
    }

    /// `data.stage`.
    pub fn stage(self, stage: &str) -> Keptn {
        self.data("stage", stage)
    }

    /// `data.service`.
    pub fn service(self, service: &str) -> Keptn {
        self.data("service", service)
    }

    /// The JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }
}

impl From<Keptn> for Value {
    fn from(event: Keptn) -> Value {
        event.0
    }
}
