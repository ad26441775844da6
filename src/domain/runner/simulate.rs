//! Executors that are not there, played.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::Ids;
use crate::domain::event::{Data, Event};
use crate::domain::keptn::{Phase, Type, task_type};
use crate::domain::time::Time;

/// The source of what a played executor sends.
pub const SIMULATOR: &str = "shipwatch-simulator";

/// How an executor is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// Does its work, and it is good.
    Pass,
    /// Does its work, and it is good enough.
    Warning,
    /// Does its work, and it is bad.
    Fail,
    /// Cannot do its work.
    Errored,
    /// Begins and is never heard of again.
    Hang,
}

impl FromStr for Play {
    type Err = String;

    fn from_str(text: &str) -> Result<Play, String> {
        Ok(match text {
            "pass" => Play::Pass,
            "warning" => Play::Warning,
            "fail" => Play::Fail,
            "errored" => Play::Errored,
            "hang" => Play::Hang,
            _ => return Err(format!("{text:?} is none of pass, warning, fail, errored, hang")),
        })
    }
}

/// What the played executor sends when it hears a trigger: nothing where it is none.
pub fn simulate(trigger: &Event, play: Play, now: Time, ids: Ids<'_>) -> Vec<Event> {
    let Some(Type::Task { task, phase: Phase::Triggered }) = Type::parse(&trigger.ty) else { return Vec::new() };
    let mut data = Map::new();
    for name in ["project", "stage", "service", "labels"] {
        if let Some(value) = trigger.json().and_then(|data| data.get(name)) {
            data.insert(name.into(), value.clone());
        }
    }
    let mut reply = |phase, data| Event {
        id: ids(),
        source: SIMULATOR.into(),
        ty: task_type(task, phase),
        time: Some(now),
        subject: None,
        content_type: Some("application/json".into()),
        context: trigger.context.clone(),
        triggered_id: Some(trigger.id.clone()),
        extensions: Map::new(),
        data: Data::Json(Value::Object(data)),
    };
    let mut replies = vec![reply(Phase::Started, data.clone())];
    let (status, result) = match play {
        Play::Pass => ("succeeded", "pass"),
        Play::Warning => ("succeeded", "warning"),
        Play::Fail => ("succeeded", "fail"),
        Play::Errored => ("errored", "fail"),
        Play::Hang => return replies,
    };
    for (name, value) in [("status", status), ("result", result), ("message", "simulated")] {
        data.insert(name.into(), value.into());
    }
    replies.push(reply(Phase::Finished, data));
    replies
}
