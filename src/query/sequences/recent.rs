//! Contexts in short that were made a while ago, for those to which nothing has been added since.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::view::SequenceView;
use crate::domain::ids::Position;

/// Contexts kept.
const KEPT: usize = 4_096;

/// A context with more stages is made anew each time.
const STAGES: usize = 32;

/// A context in short, with its place in the list.
#[derive(Debug)]
pub struct Summary {
    /// Its last line: with another one it is out of date.
    pub last: Position,
    /// The first line of a sequence, which is where the context stands in the list.
    pub start: Option<Position>,
    /// None where it has no sequence.
    pub view: Option<SequenceView>,
}

/// The contexts that were looked at lately. Those made first go first.
#[derive(Debug, Default)]
pub struct Recent {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    summaries: HashMap<String, Arc<Summary>>,
    order: VecDeque<String>,
}

impl Recent {
    /// A context as it was made when `last` was its last line already.
    pub fn get(&self, context: &str, last: Position) -> Option<Arc<Summary>> {
        self.kept.lock().summaries.get(context).filter(|s| s.last == last).cloned()
    }

    /// Keeps a context.
    pub fn keep(&self, context: &str, summary: &Arc<Summary>) {
        if summary.view.as_ref().is_some_and(|view| view.stages.len() > STAGES) {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.summaries.insert(context.to_owned(), summary.clone()).is_none() {
            kept.order.push_back(context.to_owned());
        }
        while kept.order.len() > KEPT {
            if let Some(oldest) = kept.order.pop_front() {
                kept.summaries.remove(&oldest);
            }
        }
    }
}
