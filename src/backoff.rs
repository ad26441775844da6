//! Waiting longer after each failure, up to a cap. One kind for connecting, publishing and outbound calls.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A growing wait: `first`, then twice as long each time, never more than `cap`. Cannot be zero or shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// A backoff from `first` up to `cap`; `None` where `first` is zero or above `cap`.
    pub const fn new(first: Duration, cap: Duration) -> Option<Backoff> {
        if first.is_zero() || first.as_nanos() > cap.as_nanos() { None } else { Some(Backoff { first, cap }) }
    }

    /// What connections, consumers and publishes use: 50 ms up to 5 s.
    pub const fn broker() -> Backoff {
        Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(5) }
    }

    /// The wait after `failures` failures in a row (1 is the first), without jitter.
    pub fn delay(self, failures: u32) -> Duration {
        let factor = 2u32.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.checked_mul(factor).map_or(self.cap, |d| d.min(self.cap))
    }

    /// The same, a random fifth shorter at most, so that many clients do not come back at the same instant.
    pub fn jittered(self, failures: u32) -> Duration {
        let delay = self.delay(failures);
        // A fresh RandomState is the standard library's source of randomness; a crate for this would be much for little.
        let draw = RandomState::new().build_hasher().finish() % 200;
        delay - delay * draw as u32 / 1000
    }

    /// A fresh run of waits.
    pub fn waits(self) -> Waits {
        Waits { backoff: self, failures: 0 }
    }
}

/// Where one run of failures stands.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    backoff: Backoff,
    failures: u32,
}

impl Waits {
    /// Counts one more failure and says how long to wait.
    pub fn next_delay(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.backoff.jittered(self.failures)
    }

    /// Failures counted since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked: begin anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap_and_starts_again() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).unwrap();
        let delays: Vec<_> = (1..7).map(|n| backoff.delay(n).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.delay(u32::MAX), Duration::from_secs(1));
        let mut waits = backoff.waits();
        assert!((80..=100).contains(&waits.next_delay().as_millis()));
        assert!((160..=200).contains(&waits.next_delay().as_millis()));
        waits.reset();
        assert!(waits.next_delay().as_millis() <= 100);
    }

    #[test]
    fn a_wrong_one_cannot_be_built() {
        assert!(Backoff::new(Duration::ZERO, Duration::from_secs(1)).is_none());
        assert!(Backoff::new(Duration::from_secs(2), Duration::from_secs(1)).is_none());
    }
}
