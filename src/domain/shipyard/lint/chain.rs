//! Which sequence may begin after which.

use crate::domain::shipyard::{EVALUATION, Sequence, Shipyard, Stage, Trigger};

/// The results a sequence can end with, in the order of [`Fires`].
pub(super) const RESULTS: [&str; 3] = ["pass", "warning", "fail"];

/// On which of [`RESULTS`] a trigger fires.
pub(super) type Fires = [bool; 3];

/// All sequences and the triggers that join them.
pub(super) struct Chain<'s> {
    pub shipyard: &'s Shipyard,
    pub nodes: Vec<(&'s Stage, &'s Sequence)>,
    /// By the sequence that is begun, in the order of the file.
    pub links: Vec<Link<'s>>,
}

/// One trigger that can fire.
pub(super) struct Link<'s> {
    pub from: usize,
    pub to: usize,
    pub trigger: &'s Trigger,
    pub fires: Fires,
}

impl<'s> Chain<'s> {
    pub fn of(shipyard: &'s Shipyard) -> Chain<'s> {
        let nodes: Vec<_> = shipyard.sequences().collect();
        let mut chain = Chain { shipyard, nodes, links: Vec::new() };
        for to in 0..chain.nodes.len() {
            for trigger in &chain.nodes[to].1.triggered_on {
                let Some(from) = trigger.of().and_then(|(stage, sequence)| chain.find(stage, sequence)) else {
                    continue;
                };
                let fires = fires(trigger, chain.nodes[from].1);
                if fires.contains(&true) {
                    chain.links.push(Link { from, to, trigger, fires });
                }
            }
        }
        chain
    }

    /// The sequence that a trigger would find; of several the first.
    pub fn find(&self, stage: &str, sequence: &str) -> Option<usize> {
        self.nodes.iter().position(|(s, q)| s.name.text == stage && q.name.text == sequence)
    }

    /// Whether a sequence can be run: Keptn provides one for evaluation in every stage.
    pub fn exists(&self, stage: &str, sequence: &str) -> bool {
        self.find(stage, sequence).is_some() || (sequence == EVALUATION && self.shipyard.stage(stage).is_some())
    }

    /// `stage.sequence`.
    pub fn name(&self, node: usize) -> String {
        let (stage, sequence) = self.nodes[node];
        format!("{}.{}", stage.name.text, sequence.name.text)
    }

    /// The sequences that may have run before this one in the same chain, without itself.
    pub fn before(&self, node: usize) -> Vec<usize> {
        let mut seen = vec![false; self.nodes.len()];
        let mut open = vec![node];
        while let Some(to) = open.pop() {
            for link in self.links.iter().filter(|l| l.to == to) {
                if !std::mem::replace(&mut seen[link.from], true) {
                    open.push(link.from);
                }
            }
        }
        (0..seen.len()).filter(|n| seen[*n] && *n != node).collect()
    }
}

/// The results on which a trigger fires: without a selector `pass` and `warning`, else those its keys that count name.
fn fires(trigger: &Trigger, from: &Sequence) -> Fires {
    let Some(matches) = &trigger.matches else { return [true, true, false] };
    RESULTS.map(|result| {
        let whole = matches.get("result") == Some(result);
        // A sequence ends early where a task fails, so any of its tasks may be the last one of a failure.
        let last = from.tasks.iter().rev().take(if result == "fail" { usize::MAX } else { 1 });
        whole || last.into_iter().any(|task| matches.get(&format!("{}.result", task.name.text)) == Some(result))
    })
}
