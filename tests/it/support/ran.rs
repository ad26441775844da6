//! `shipwatch sequence run` as a child process, and what it told.

use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::process::Child;

/// What a run told.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its lines, in order.
    pub steps: Vec<Value>,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Starts a command and waits for nothing. It ends with the story, however that ends.
    pub fn start(command: Command) -> Child {
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits for its end.
    pub async fn of(child: Child) -> Ran {
        let output = child.wait_with_output();
        let output = tokio::time::timeout(super::DEADLINE, output).await.expect("it ends by itself").unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let steps = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Ran { code: output.status.code(), steps, stderr: String::from_utf8(output.stderr).unwrap() }
    }

    /// The ends of sequences in order: `stage.sequence status result`.
    pub fn ends(&self) -> Vec<String> {
        let ends = self.steps.iter().filter(|s| s["step"] == "sequence-finished");
        let word = |s: &Value, name: &str| s[name].as_str().unwrap_or_default().to_owned();
        ends.map(|s| {
            format!("{}.{} {} {}", word(s, "stage"), word(s, "sequence"), word(s, "status"), word(s, "result"))
        })
        .collect()
    }

    /// The tasks that were triggered, in order.
    pub fn tasks(&self) -> Vec<String> {
        let triggered = self.steps.iter().filter(|s| s["step"] == "task-triggered");
        triggered.map(|s| format!("{} {}", s["stage"].as_str().unwrap(), s["task"].as_str().unwrap())).collect()
    }

    /// Keptn's context of the run.
    pub fn context(&self) -> &str {
        self.steps[0]["keptnContext"].as_str().unwrap()
    }
}
