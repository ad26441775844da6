//! Which call is made next: in order where order matters, side by side elsewhere, and never all for one receiver.

use std::collections::{HashMap, VecDeque};

use super::CallDue;

/// Calls that wait. Those with one `order` are made one after the other, in the order they came in.
#[derive(Debug)]
pub struct Queue {
    /// Calls at a time.
    limit: usize,
    running: usize,
    targets: HashMap<u64, Target>,
    /// Targets in the order of their turns.
    turns: VecDeque<u64>,
    /// What waits behind the call of the same order that is ready or being made.
    behind: HashMap<u64, VecDeque<CallDue>>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Target {
    running: usize,
    ready: VecDeque<CallDue>,
}

impl Queue {
    /// An empty one, for `limit` calls at a time.
    pub fn new(limit: usize) -> Queue {
        Queue {
            limit: limit.max(1),
            running: 0,
            targets: HashMap::new(),
            turns: VecDeque::new(),
            behind: HashMap::new(),
            waiting: 0,
        }
    }

    /// A slow receiver has half of all places at most, so that others are still reached.
    fn share(&self) -> usize {
        (self.limit / 2).max(1)
    }

    /// Calls that wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Adds a call.
    pub fn push(&mut self, call: CallDue) {
        self.waiting += 1;
        match self.behind.get_mut(&call.order) {
            Some(line) => line.push_back(call),
            None => {
                self.behind.insert(call.order, VecDeque::new());
                self.ready(call);
            }
        }
    }

    fn ready(&mut self, call: CallDue) {
        let target = self.targets.entry(call.target).or_default();
        if target.ready.is_empty() && target.running == 0 {
            self.turns.push_back(call.target);
        }
        target.ready.push_back(call);
    }

    /// The next call to be made, if one may be made now.
    pub fn next(&mut self) -> Option<CallDue> {
        let share = self.share();
        if self.running >= self.limit {
            return None;
        }
        for _ in 0..self.turns.len() {
            let turn = self.turns.pop_front()?;
            self.turns.push_back(turn);
            let Some(target) = self.targets.get_mut(&turn).filter(|target| target.running < share) else { continue };
            let Some(call) = target.ready.pop_front() else { continue };
            target.running += 1;
            self.running += 1;
            self.waiting -= 1;
            return Some(call);
        }
        None
    }

    /// A call that was given out is done.
    pub fn done(&mut self, call: &CallDue) {
        self.running -= 1;
        if let Some(target) = self.targets.get_mut(&call.target) {
            target.running -= 1;
        }
        match self.behind.get_mut(&call.order).and_then(VecDeque::pop_front) {
            Some(next) => self.ready_behind(next),
            None => drop(self.behind.remove(&call.order)),
        }
        if self.targets.get(&call.target).is_some_and(|target| target.running == 0 && target.ready.is_empty()) {
            self.targets.remove(&call.target);
            self.turns.retain(|turn| *turn != call.target);
        }
    }

    /// As [`Queue::ready`] for a target that has its turn.
    fn ready_behind(&mut self, call: CallDue) {
        if !self.turns.contains(&call.target) {
            self.turns.push_back(call.target);
        }
        self.targets.entry(call.target).or_default().ready.push_back(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Position;

    fn call(n: u64, target: u64, order: u64) -> CallDue {
        CallDue { of: Position::new(n, 0), call: 0, target, order }
    }

    fn take(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.next()).map(|call| call.of.sequence()).collect()
    }

    #[test]
    fn one_order_goes_one_by_one_and_others_beside_it() {
        let mut queue = Queue::new(8);
        for (n, order) in [(1, 7), (2, 7), (3, 8), (4, 7)] {
            queue.push(call(n, 1, order));
        }
        assert_eq!(take(&mut queue), [1, 3]);
        queue.done(&call(3, 1, 8));
        assert_eq!(take(&mut queue), [0u64; 0]);
        queue.done(&call(1, 1, 7));
        assert_eq!(take(&mut queue), [2]);
        queue.done(&call(2, 1, 7));
        assert_eq!((take(&mut queue), queue.len()), (vec![4], 0));
        queue.done(&call(4, 1, 7));
        assert!(queue.behind.is_empty() && queue.targets.is_empty() && queue.turns.is_empty() && queue.running == 0);
        // An order that comes again begins anew.
        queue.push(call(5, 1, 7));
        assert_eq!(take(&mut queue), [5]);
    }

    #[test]
    fn a_slow_receiver_leaves_half_of_the_places_to_others() {
        let mut queue = Queue::new(4);
        for n in 0..10 {
            queue.push(call(n, 1, n));
        }
        assert_eq!(take(&mut queue), [0, 1]);
        for n in 10..20 {
            queue.push(call(n, 2, n));
        }
        queue.push(call(20, 3, 20));
        assert_eq!(take(&mut queue), [10, 20]);
        queue.done(&call(20, 3, 20));
        assert_eq!(take(&mut queue), [11]);
    }
}
