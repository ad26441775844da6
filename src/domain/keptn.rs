//! Keptn's event types, by the grammar of its specification and the traps of its code.
//!
//! Keptn itself only counts the parts of a type; the order of the tests below is what keeps
//! `deploy.status.changed` from being read as a sequence and management events from being read as a stage.

/// What a CloudEvent type means in Keptn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type<'a> {
    /// `sh.keptn.event.<task>.<phase>`.
    Task {
        /// The task, for example `test`.
        task: &'a str,
        /// Where in its life the task is.
        phase: Phase,
    },
    /// `sh.keptn.event.<stage>.<sequence>.<phase>`.
    Sequence {
        /// The stage, for example `staging`.
        stage: &'a str,
        /// The sequence, for example `delivery`.
        sequence: &'a str,
        /// `triggered` or `finished`; the other phases do not exist for sequences but are read.
        phase: Phase,
    },
    /// `sh.keptn.events.problem`, also the older `sh.keptn.event.problem.open`.
    Problem,
    /// `sh.keptn.log.error`: an integration reports trouble.
    Log,
    /// Creation and deletion of projects and services, `monitoring.configure`; they parse like tasks and sequences but are not.
    Management,
    /// Begins with `sh.keptn.` and is nothing of the above.
    Unknown,
}

/// The last word of a Keptn type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asks for something to be done.
    Triggered,
    /// Somebody began.
    Started,
    /// Progress (`status.changed`).
    StatusChanged,
    /// Done, with an outcome. The only phase that decides anything.
    Finished,
    /// Takes back an earlier outcome.
    Invalidated,
}

impl Phase {
    fn parse(word: &str) -> Option<Phase> {
        Some(match word {
            "triggered" => Phase::Triggered,
            "started" => Phase::Started,
            "finished" => Phase::Finished,
            "invalidated" => Phase::Invalidated,
            _ => return None,
        })
    }

    /// The word as it stands in a type.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Triggered => "triggered",
            Phase::Started => "started",
            Phase::StatusChanged => "status.changed",
            Phase::Finished => "finished",
            Phase::Invalidated => "invalidated",
        }
    }
}

impl<'a> Type<'a> {
    /// Reads a CloudEvent type; `None` where it is not Keptn's.
    pub fn parse(ty: &'a str) -> Option<Type<'a>> {
        let rest = ty.strip_prefix("sh.keptn.")?;
        match rest {
            "events.problem" | "event.problem.open" => return Some(Type::Problem),
            "log.error" => return Some(Type::Log),
            _ => {}
        }
        let Some(rest) = rest.strip_prefix("event.") else { return Some(Type::Unknown) };
        if let Some(task) = rest.strip_suffix(".status.changed") {
            let one_word = !task.is_empty() && !task.contains('.');
            let read = Type::Task { task, phase: Phase::StatusChanged };
            return Some(if one_word { read } else { Type::Unknown });
        }
        if is_management(rest) {
            return Some(Type::Management);
        }
        let mut words = rest.split('.');
        let (first, second, third, more) = (words.next(), words.next(), words.next(), words.next());
        let filled = |w: &&str| !w.is_empty();
        Some(match (first.filter(filled), second.filter(filled), third, more) {
            (Some(task), Some(phase), None, None) => {
                Phase::parse(phase).map_or(Type::Unknown, |phase| Type::Task { task, phase })
            }
            (Some(stage), Some(sequence), Some(phase), None) => {
                Phase::parse(phase).map_or(Type::Unknown, |phase| Type::Sequence { stage, sequence, phase })
            }
            _ => Type::Unknown,
        })
    }
}

/// `project.create.*`, `service.create.*` and the like have three words as a sequence has; Keptn's spec reserves them.
fn is_management(rest: &str) -> bool {
    let mut words = rest.split('.');
    matches!(
        (words.next(), words.next(), words.next()),
        (Some("project" | "service"), Some("create" | "delete" | "update"), Some(_))
            | (Some("monitoring"), Some("configure"), None)
    )
}

/// The type of a task event: `sh.keptn.event.<task>.<phase>`.
pub fn task_type(task: &str, phase: Phase) -> String {
    format!("sh.keptn.event.{task}.{}", phase.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_with_its_traps() {
        use Phase::*;
        let task = |task, phase| Some(Type::Task { task, phase });
        let sequence = |stage, sequence, phase| Some(Type::Sequence { stage, sequence, phase });
        for (ty, want) in [
            ("sh.keptn.event.test.triggered", task("test", Triggered)),
            ("sh.keptn.event.get-sli.started", task("get-sli", Started)),
            ("sh.keptn.event.deploy.status.changed", task("deploy", StatusChanged)),
            ("sh.keptn.event.evaluation.invalidated", task("evaluation", Invalidated)),
            ("sh.keptn.event.dev.delivery.finished", sequence("dev", "delivery", Finished)),
            ("sh.keptn.event.project.create.finished", Some(Type::Management)),
            ("sh.keptn.event.service.delete.finished", Some(Type::Management)),
            ("sh.keptn.event.monitoring.configure", Some(Type::Management)),
            ("sh.keptn.events.problem", Some(Type::Problem)),
            ("sh.keptn.event.problem.open", Some(Type::Problem)),
            ("sh.keptn.log.error", Some(Type::Log)),
            ("sh.keptn.event.a.b.c.finished", Some(Type::Unknown)),
            ("sh.keptn.event.test.exploded", Some(Type::Unknown)),
            ("sh.keptn.event..finished", Some(Type::Unknown)),
            ("sh.keptn.event.a.b.status.changed", Some(Type::Unknown)),
            ("a.b.c.d.finished", None),
            ("dev.tekton.event.taskrun.failed.v1", None),
        ] {
            assert_eq!(Type::parse(ty), want, "{ty}");
        }
    }
}
