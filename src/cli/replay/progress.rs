//! How far a replay is, on standard error: a bar on a terminal, else a line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::cli::words::took;

/// How often a bar moves.
const MOVE: Duration = Duration::from_millis(200);

/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// Characters of the bar.
const WIDTH: u64 = 24;

/// Being told.
pub(super) struct Progress {
    done: Arc<AtomicU64>,
    begun: Instant,
    telling: JoinHandle<()>,
    bar: bool,
}

impl Progress {
    /// Tells from now on how many of `all` are done.
    pub fn start(done: Arc<AtomicU64>, all: u64) -> Progress {
        let bar = std::io::stderr().is_terminal();
        let (begun, counted) = (Instant::now(), done.clone());
        let telling = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(if bar { MOVE } else { LINE });
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let line = line(counted.load(Ordering::Relaxed), all, begun.elapsed(), bar);
                if bar {
                    eprint!("\r\x1b[K{line}");
                    let _ = std::io::stderr().flush();
                } else {
                    eprintln!("{line}");
                }
            }
        });
        Progress { done, begun, telling, bar }
    }

    /// Tells the end, if it is a good one.
    pub fn end<T, E>(self, result: Result<T, E>) -> Result<T, E> {
        self.telling.abort();
        if self.bar {
            eprint!("\r\x1b[K");
        }
        if result.is_ok() {
            let (done, span) = (self.done.load(Ordering::Relaxed), self.begun.elapsed());
            eprintln!("{done} in {}, {:.0} a second", took(span.as_secs_f64()), rate(done, span));
        }
        result
    }
}

fn rate(done: u64, span: Duration) -> f64 {
    done as f64 / span.as_secs_f64().max(1e-6)
}

fn line(done: u64, all: u64, span: Duration, bar: bool) -> String {
    let (all, rate) = (all.max(done).max(1), rate(done, span));
    let left = if done == 0 { String::new() } else { format!(", {} left", took((all - done) as f64 / rate)) };
    let percent = done * 100 / all;
    let text = format!("{percent}% {done} of {all}, {rate:.0} a second{left}");
    if !bar {
        return text;
    }
    let full = (done * WIDTH / all) as usize;
    format!("[{}{}] {text}", "#".repeat(full), "-".repeat(WIDTH as usize - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_rate_and_time_left() {
        let second = Duration::from_secs(1);
        assert_eq!(line(50, 200, second, false), "25% 50 of 200, 50 a second, 3s left");
        assert_eq!(line(0, 200, second, true), format!("[{}] 0% 0 of 200, 0 a second", "-".repeat(24)));
        assert_eq!(line(300, 200, second, false), "100% 300 of 300, 300 a second, 0s left");
        assert_eq!(line(0, 0, Duration::ZERO, false), "0% 0 of 1, 0 a second");
    }
}
