//! Pages of issues out of many: how long one takes, by filter and order, and what the catalogue costs.
//!
//! `cargo bench --bench catalog` for 100,000 issues, `-- 1000000` for another number.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shipwatch::domain::issue::{Issue, IssueType, Key, KeyState, Link, Marks, Origin, Scope, Severity, State};
use shipwatch::domain::time::Time;
use shipwatch::store::catalog::select::{Filter, Order, Page};
use shipwatch::store::catalog::{Catalog, Field};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let many = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(100_000u64);
    let before = resident();
    let mut catalog = Catalog::default();
    let mut took = Duration::ZERO;
    for n in 1..=many {
        let state = typical(n);
        let id = state.key.id();
        let started = Instant::now();
        catalog.put(id, Some(state));
        took += started.elapsed();
    }
    println!("{many} issues: {took:.0?}, {} MiB with all indexes", (resident() - before) >> 20);
    changes(&mut catalog, many);
    println!("{:<44} {:>8} {:>12} {:>12}", "a page of 50", "fit", "first, µs", "again, µs");
    for (what, filter, page) in questions(many) {
        let started = Instant::now();
        let total = catalog.select(&filter, &page).total;
        let first = started.elapsed();
        let again = time(|| catalog.select(&filter, &page));
        println!("{what:<44} {total:>8} {:>12.1} {:>12.1}", micros(first), micros(again));
    }
    println!("counts of all: {:.1} µs", micros(time(|| catalog.counts(&Filter::default()))));
    let some: Vec<_> = catalog.select(&Filter::default(), &page(Order::Number)).issues;
    println!("relations of one: {:.1} µs", micros(time(|| catalog.related(&some[0]))));
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

/// What the fold pays for a failure that only counts on, and for one that says something else: the look-up of the record,
/// and its replacement. As in the fold, a group is looked up, then written.
fn changes(catalog: &mut Catalog, many: u64) {
    let spread = |n: u64| n.wrapping_mul(2_654_435_761) % many + 1;
    for (what, texts) in [("the same failure again", false), ("another text, another context", true)] {
        for (which, numbers) in [
            ("any", (1..=20_000).map(spread).collect::<Vec<_>>()),
            ("one of 2,000", (1..=20_000).map(|n| spread(n % 2000)).collect()),
        ] {
            let (mut reads, mut puts) = (Duration::ZERO, Duration::ZERO);
            for group in numbers.chunks(500) {
                let ids: Vec<_> = group.iter().filter_map(|n| catalog.numbered(*n)).collect();
                let started = Instant::now();
                let records: Vec<_> = ids.iter().filter_map(|id| catalog.get(*id)).collect();
                reads += started.elapsed();
                let next: Vec<_> = records.iter().map(|state| again(state, texts)).collect();
                drop(records);
                let started = Instant::now();
                for (id, state) in ids.iter().zip(next) {
                    catalog.put(*id, Some(state));
                }
                puts += started.elapsed();
            }
            let per = |took: Duration| micros(took) / numbers.len() as f64;
            println!("{what}, {which}: read {:.2} µs, put {:.2} µs", per(reads), per(puts));
        }
    }
}

fn again(state: &KeyState, texts: bool) -> Arc<KeyState> {
    let mut state = state.clone();
    if let Some(issue) = &mut Arc::make_mut(&mut state.marks).issue {
        issue.occurrences += 1;
        issue.updated_at = issue.updated_at.plus(Duration::from_secs(100_000_000 + issue.number));
        issue.last_seen_at = issue.updated_at;
        if texts {
            issue.context = format!("ffffffff-0000-4000-8000-{:012}", issue.number);
            issue.description.push_str(" again");
        }
    }
    Arc::new(state)
}

fn page(order: Order) -> Page {
    Page { order, descending: true, offset: 0, after: None, limit: 50 }
}

fn questions(many: u64) -> Vec<(&'static str, Filter, Page)> {
    let all = Filter::default;
    let active = || Filter { states: vec![State::Active], ..all() };
    let resolved = || Filter { states: vec![State::Resolved], ..all() };
    let by = |field, value: &str| Filter { fields: vec![(field, vec![value.to_owned()])], ..all() };
    let label = |name: &str, value: &str| Filter { labels: vec![(name.to_owned(), vec![value.to_owned()])], ..all() };
    let search = |text: &str| Filter { search: vec![text.to_owned()], ..all() };
    let since = |share: f64| Time::from_unix(1_780_000_000 + (many as f64 * 60.0 * share) as i64, 0);
    let newest = page(Order::DetectedAt);
    let oldest = Page { descending: false, ..newest };
    let grave = Filter {
        severities: vec![Severity::Major, Severity::Critical],
        states: vec![State::Active],
        ..by(Field::Namespace, "shop-0-staging")
    };
    let tests = Filter { types: vec![IssueType::Build], ..active() };
    vec![
        ("all", all(), newest),
        ("all, oldest first", all(), oldest),
        ("all, by updatedAt", all(), page(Order::UpdatedAt)),
        ("all, by severity", all(), page(Order::Severity)),
        ("all, by number", all(), page(Order::Number)),
        ("all, offset in the middle", all(), Page { offset: many as usize / 2, ..newest }),
        ("active", active(), newest),
        ("active, oldest first", active(), oldest),
        ("resolved", resolved(), newest),
        ("resolved, by severity", resolved(), page(Order::Severity)),
        ("one namespace", by(Field::Namespace, "shop-7-staging"), newest),
        ("the oldest namespace, newest first", by(Field::Namespace, "legacy"), newest),
        ("namespace, active, major or critical", grave, newest),
        ("active, build, by lastSeenAt", tests, page(Order::LastSeenAt)),
        ("one resourceName", by(Field::ResourceName, "service-123"), newest),
        ("one label", label("team", "team-3"), newest),
        ("detected in the last tenth", Filter { detected_since: since(0.9), ..all() }, newest),
        ("detected in the first nine tenths", Filter { detected_until: since(0.9), ..all() }, newest),
        (
            "detected in the middle half",
            Filter { detected_since: since(0.25), detected_until: since(0.75), ..all() },
            newest,
        ),
        ("updated since, almost all, active", Filter { updated_since: since(0.05), ..active() }, newest),
        ("search of a word nobody has", search("0000deadbeef"), newest),
        ("search of a number", search("run 4711"), newest),
        ("search of a common word", search("TIMED OUT"), newest),
        ("search of what all have", search("failed"), newest),
        ("search of two letters", search("zz"), newest),
    ]
}

/// Middle of several rounds.
fn time<T>(mut work: impl FnMut() -> T) -> Duration {
    let mut rounds: Vec<_> = (0..51)
        .map(|_| {
            let started = Instant::now();
            black_box(work());
            started.elapsed()
        })
        .collect();
    rounds.sort_unstable();
    rounds[25]
}

fn typical(n: u64) -> Arc<KeyState> {
    let (shop, service) = (n % 40, n * 7919 % 2000);
    // An old estate whose issues are all at one end of the order.
    let namespace = if n <= 6000 { "legacy".into() } else { format!("shop-{shop}-staging") };
    let at = Time::from_unix(1_780_000_000 + n as i64 * 60, 0).unwrap_or(Time::EPOCH);
    let active = n.is_multiple_of(10);
    let context = format!("{:08x}-1111-4222-8333-{n:012x}", n / 2);
    let origin =
        |part: &str| Origin { source: format!("{part}-service"), id: format!("{n:08x}-aaaa-4bbb-8ccc-{n:012x}") };
    let key = Key {
        namespace: namespace.clone(),
        scope: Scope {
            resource_type: "component".into(),
            resource_name: format!("service-{service}"),
            resource_namespace: namespace,
        },
        issue_type: IssueType::ALL[(n % 5) as usize],
        check: format!("check-{}", n / 2000),
        project: format!("shop-{shop}"),
        stage: "staging".into(),
    };
    let cause = [
        "exit code 1",
        "connection refused by the database",
        "readiness probe timed out",
        "assertion failed in checkout",
    ];
    let issue = Issue {
        number: n,
        state: if active { State::Active } else { State::Resolved },
        severity: Severity::ALL[if n.is_multiple_of(1000) { 3 } else { (n % 3) as usize }],
        title: format!("Test failed: service-{service} in staging"),
        description: format!(
            "{} during run {n} of the delivery; 3 of 120 checks failed, see the log of the job for details",
            cause[(n % 4) as usize]
        ),
        links: vec![Link { title: "Log".into(), url: format!("https://ci.example.com/jobs/{n}/log") }],
        detected_at: at,
        resolved_at: (!active).then_some(at),
        created_at: at,
        updated_at: at,
        occurrences: 1,
        episodes: 1,
        last_seen_at: at,
        last_run: context.clone(),
        triggered_id: context.clone(),
        context,
        service: format!("service-{service}"),
        labels: [("team".to_owned(), format!("team-{}", n % 12))].into(),
        rule: "keptn-task".into(),
        opened_by: origin("test"),
        resolved_by: (!active).then(|| origin("test")),
        resolved_run: None,
    };
    Arc::new(KeyState { key, marks: Arc::new(Marks { newest: None, issue: Some(issue) }) })
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}
