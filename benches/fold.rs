//! What one event costs the fold, station by station, without a broker: `cargo bench --bench fold`.
//!
//! Processor time of this thread, which a busy machine disturbs less than it does the clock on the wall. The lower half shows
//! how little the number of a team's rules matters: with 1,000 the fold has to keep at least 80 % of its rate with 10.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use shipwatch::bus::binding;
use shipwatch::bus::{Headers, Message};
use shipwatch::domain::decide::{self, Incoming, Memory, Settings, TaskNames};
use shipwatch::domain::event::Form;
use shipwatch::domain::ids::Position;
use shipwatch::domain::issue::ChangeKind;
use shipwatch::domain::row::Head;
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
#[path = "support/rules.rs"]
mod rules;

/// Where the scheduler tells the processor time of this thread.
const SCHEDSTAT: &str = "/proc/thread-self/schedstat";
const EVENTS: usize = 60 * 1024;

/// Events of a group, `BENCH_GROUP`.
fn size() -> usize {
    std::env::var("BENCH_GROUP").ok().and_then(|n| n.parse().ok()).unwrap_or(1024)
}

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    if !std::path::Path::new(SCHEDSTAT).exists() {
        println!("the processor time of a thread is read where Linux tells it, and there is none here");
        return;
    }
    println!(
        "{:<36} {:>8} {:>8} {:>8} {:>8} {:>7}   us of processor time an event, in groups of {}",
        "",
        "decode",
        "decide",
        "commit",
        "whole",
        "rate",
        size()
    );
    let packs = RuleSet::builtin();
    let mut lines = vec![
        Line::new("finished", events::finished, &packs),
        Line::new("triggers", events::trigger, &packs).announcing(),
    ];
    fold(&mut lines);
    lines.iter().for_each(|line| line.print(None));

    println!("\nfinished, behind rules of a team");
    for (kind, rules) in rules::KINDS {
        let mut lines = rules::COUNTS
            .map(|count| Line::new(&format!("{count} {kind}"), events::finished, &rules::team(count, rules)));
        fold(&mut lines);
        for line in &lines {
            line.print(Some(&lines[0]));
        }
    }
}

/// Folds through all lines, a group of each in turn: what disturbs the machine for a while disturbs all alike.
fn fold(lines: &mut [Line]) {
    for group in 0..EVENTS / size() {
        lines.iter_mut().for_each(|line| line.group(group));
    }
}

/// One store that folds one kind of event under one set of rules.
struct Line {
    name: String,
    make: fn(usize) -> (String, String),
    _dir: tempfile::TempDir,
    store: Store,
    rules: RuleSet,
    in_force: RuleBook,
    settings: Settings,
    memory: Memory,
    sequence: u64,
    spent: [Duration; 3],
    events: usize,
    back: Vec<(String, Bytes)>,
}

impl Line {
    fn new(name: &str, make: fn(usize) -> (String, String), rules: &RuleSet) -> Line {
        let dir = tempfile::tempdir().expect("a folder");
        Line {
            name: name.to_owned(),
            make,
            store: Store::open(dir.path(), Options::default()).expect("a store"),
            _dir: dir,
            rules: rules.clone(),
            in_force: RuleBook::begin(rules.clone(), Position::new(0, 0), Vec::new()),
            settings: Settings {
                tasks: TaskNames::default(),
                issue_events: Vec::new(),
                keep_events: Duration::from_secs(30 * 86_400),
                public_url: "http://127.0.0.1:8080".into(),
            },
            memory: Memory::new(1 << 18),
            sequence: 0,
            spent: Default::default(),
            events: 0,
            back: Vec::new(),
        }
    }

    /// The same, where opened issues are told on the bus.
    fn announcing(mut self) -> Line {
        self.settings.issue_events.push(ChangeKind::Opened);
        self
    }

    fn group(&mut self, group: usize) {
        let size = size();
        let fresh = (0..size).map(|i| (self.make)(group * size + i)).map(|(s, b)| (s, Bytes::from(b)));
        let messages: Vec<Message> = self
            .back
            .drain(..)
            .chain(fresh)
            .zip(self.sequence + 1..)
            .map(|((subject, payload), sequence)| Message {
                sequence,
                subject,
                stream_time: now(),
                headers: Headers::none(),
                payload,
            })
            .collect();
        self.sequence += messages.len() as u64;
        self.events += size;
        let mut watch = Watch::start();
        let incoming: Vec<Incoming> = messages.iter().flat_map(|message| read(message, &self.rules)).collect();
        self.spent[0] += watch.lap();
        let mut staged = self.store.stage();
        for incoming in incoming {
            let decided = decide::decide(incoming, &staged, &self.in_force, &self.settings, &self.memory);
            let mut decided = decided.expect("a decision");
            let context = decided.event.as_ref().and_then(|event| event.context.as_deref());
            for message in std::mem::take(&mut decided.messages) {
                self.memory.note(decided.row.position, context, &message);
                self.back.push((message.subject.clone(), message.body.clone()));
            }
            staged.add(decided).expect("a line");
        }
        self.spent[1] += watch.lap();
        let stream = StreamIdentity { name: "bench".into(), created: Time::EPOCH };
        let reached = Reached { stream, sequence: self.sequence, base: 0, time: now() };
        black_box(self.store.commit(staged, reached).expect("a commit"));
        self.spent[2] += watch.lap();
    }

    /// Microseconds an event, station by station.
    fn stations(&self) -> [f64; 3] {
        // The scheduler counts in steps of milliseconds, so only sums say something.
        self.spent.map(|all| all.as_secs_f64() * 1e6 / self.events as f64)
    }

    /// Prints the line, and its rate as a share of that of another.
    fn print(&self, other: Option<&Line>) {
        let whole = |line: &Line| line.stations().iter().sum::<f64>();
        print!("{:<36}", self.name);
        self.stations().iter().for_each(|us| print!(" {us:>8.1}"));
        print!(" {:>8.1}", whole(self));
        match other {
            Some(other) => println!(" {:>6.0}%", 100.0 * whole(other) / whole(self)),
            None => println!(),
        }
    }
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
        let text = std::fs::read_to_string(SCHEDSTAT).expect("Linux");
        Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
    }

    fn lap(&mut self) -> Duration {
        let now = Watch::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
