//! Waiting between tries: doubling, capped, and reset by a success.

use std::time::Duration;

/// Pauses that grow from a tenth of a second to ten seconds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(10);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: FIRST }
    }
}

impl Backoff {
    /// The pause before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(LAST);
        delay
    }

    /// A try has succeeded.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.next_delay()).collect();
        assert_eq!(pauses[0], FIRST);
        assert!(pauses.windows(2).all(|p| p[1] >= p[0]));
        assert_eq!(pauses[8], LAST);
        backoff.reset();
        assert_eq!(backoff.next_delay(), FIRST);
    }
}
