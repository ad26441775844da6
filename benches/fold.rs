//! What one event costs the fold, station by station, without a broker: `cargo bench --bench fold`.
//!
//! Processor time of this thread, which a busy machine disturbs less than it does the clock on the wall.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use shipwatch::bus::binding;
use shipwatch::bus::{Headers, Message};
use shipwatch::domain::decide::{self, Incoming, Memory, Settings, TaskNames};
use shipwatch::domain::event::Form;
use shipwatch::domain::ids::Position;
use shipwatch::domain::issue::ChangeKind;
use shipwatch::domain::messages;
use shipwatch::domain::row::{Entry, Head};
use shipwatch::domain::rules::{RuleSet, Verdict};
use shipwatch::domain::stream::{Reached, StreamIdentity};
use shipwatch::domain::time::Time;
use shipwatch::rules::RuleBook;
use shipwatch::store::{Options, Store};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "support/events.rs"]
mod events;

const EVENTS: usize = 60 * 1024;

/// Events of a group, `BENCH_GROUP`.
fn size() -> usize {
    std::env::var("BENCH_GROUP").ok().and_then(|n| n.parse().ok()).unwrap_or(1024)
}

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    println!(
        "{:<10} {:>8} {:>8} {:>8}   us of processor time an event, in groups of {}",
        "",
        "decode",
        "decide",
        "commit",
        size()
    );
    run("finished", events::finished, false);
    run("triggers", events::trigger, true);
}

fn run(name: &str, make: fn(usize) -> (String, String), replies: bool) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(dir.path(), Options::default()).expect("a store");
    let rules = RuleSet::builtin();
    let in_force = RuleBook::begin(rules.clone(), Position::new(0, 0), Vec::new());
    let settings = Settings {
        tasks: TaskNames::default(),
        issue_events: if replies { vec![ChangeKind::Opened] } else { Vec::new() },
        keep_events: Duration::from_secs(30 * 86_400),
        public_url: "http://127.0.0.1:8080".into(),
    };
    let memory = Memory::new(1 << 18);
    let mut sequence = 0;
    let mut spent = [Duration::ZERO; 3];
    let mut events = 0;
    let mut back: Vec<(String, Bytes)> = Vec::new();
    let size = size();
    for group in 0..EVENTS / size {
        let fresh = (0..size).map(|i| make(group * size + i)).map(|(s, b)| (s, Bytes::from(b)));
        events += size;
        let messages: Vec<Message> = back
            .drain(..)
            .chain(fresh)
            .map(|(subject, payload)| {
                sequence += 1;
                Message { sequence, subject, stream_time: now(), headers: Headers::none(), payload }
            })
            .collect();
        let mut watch = Watch::start();
        let incoming: Vec<Incoming> = messages.iter().flat_map(|message| read(message, &rules)).collect();
        spent[0] += watch.lap();
        let mut staged = store.stage();
        for incoming in incoming {
            let decided = decide::decide(incoming, &staged, &in_force, &settings, &memory).expect("a decision");
            if let (Entry::Event(recorded), Some(event)) = (&decided.row.entry, &decided.event) {
                let after = |id| decided.keys.iter().find(|(key, _)| *key == id).and_then(|(_, state)| state.clone());
                for message in messages::caused_by(decided.row.stream_time, recorded, event, after, &settings) {
                    memory.note(decided.row.position, event.context.as_deref(), &message);
                    back.push((message.subject.clone(), message.body.clone()));
                }
            }
            staged.add(decided).expect("a line");
        }
        spent[1] += watch.lap();
        let stream = StreamIdentity { name: "bench".into(), created: Time::EPOCH };
        black_box(store.commit(staged, Reached { stream, sequence, base: 0, time: now() }).expect("a commit"));
        spent[2] += watch.lap();
    }
    print!("{name:<10}");
    for all in spent {
        print!(" {:>8.1}", all.as_secs_f64() * 1e6 / events as f64);
    }
    println!();
}

fn read(message: &Message, rules: &RuleSet) -> Vec<Incoming> {
    let one = |reading: binding::Reading| {
        let verdict = reading.event.as_ref().map_or(Verdict::NoRule, |e| rules.evaluate(e));
        Incoming {
            position: Position::new(message.sequence, reading.element),
            stream_time: message.stream_time,
            subject: message.subject.clone(),
            form: if reading.event.is_ok() { reading.form } else { Form::Unreadable },
            event: reading.event.map(|e| (e.clone(), Head::of(&e))),
            verdict,
            payload: reading.payload,
            tell: None,
        }
    };
    binding::read(message, 1 << 20).into_iter().map(one).collect()
}

fn now() -> Time {
    chrono::Utc::now().into()
}

/// Processor time of this thread, as the scheduler counts it.
struct Watch(Duration);

impl Watch {
    fn start() -> Watch {
        Watch(Watch::now())
    }

    fn now() -> Duration {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
    }

    fn lap(&mut self) -> Duration {
        let now = Watch::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
