//! How far sequences and tasks are, in Keptn's words.

use serde::{Deserialize, Serialize};

/// State of a sequence, a stage, a task or a whole context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SequenceState)]
pub enum State {
    /// Asked for; nothing has begun.
    #[default]
    Triggered,
    /// Under way.
    Started,
    /// Its task `approval` waits for an answer.
    WaitingForApproval,
    /// Over.
    Finished,
    /// Ended because nobody took on a task.
    TimedOut,
    /// Ended by somebody.
    Aborted,
}

impl State {
    /// All states.
    pub const ALL: &'static [State] = &[
        State::Triggered,
        State::Started,
        State::WaitingForApproval,
        State::Finished,
        State::TimedOut,
        State::Aborted,
    ];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Triggered => "triggered",
            State::Started => "started",
            State::WaitingForApproval => "waitingForApproval",
            State::Finished => "finished",
            State::TimedOut => "timedOut",
            State::Aborted => "aborted",
        }
    }

    /// Reads a word, in any letter case.
    pub fn parse(word: &str) -> Option<State> {
        Self::ALL.iter().copied().find(|s| s.as_str().eq_ignore_ascii_case(word))
    }

    /// Whether nothing more is to come.
    pub const fn is_over(self) -> bool {
        matches!(self, State::Finished | State::TimedOut | State::Aborted)
    }

    /// The state of a whole of which these are the parts; none without parts. It is open while one of them is, and ends as the
    /// worst of them did.
    pub fn of_all(parts: impl Iterator<Item = State>) -> Option<State> {
        let weight = |state: &State| match state {
            State::Finished => 0,
            State::TimedOut => 1,
            State::Aborted => 2,
            State::Triggered => 3,
            State::WaitingForApproval => 4,
            State::Started => 5,
        };
        let parts: Vec<State> = parts.collect();
        let ended = parts.iter().any(|part| part.is_over());
        let most = parts.into_iter().max_by_key(weight);
        // A follow-up that has not begun yet is no reason to say that nothing has.
        match most {
            Some(State::Triggered) if ended => Some(State::Started),
            other => other,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
