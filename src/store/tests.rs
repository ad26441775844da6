//! Behaviour of the whole store.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::samples;
use super::*;
use crate::domain::ids::Position;
use crate::domain::issue::State;
use crate::domain::lookup::Lookup;
use crate::domain::row::{Entry, Mark, Own, OwnKind, Row};
use crate::domain::stream::{Reached, StreamIdentity};
use crate::domain::time::Time;

/// Small enough that a few hundred lines seal segments, drop them, and forget issues.
fn small() -> Options {
    let hours = |n: u64| Some(Duration::from_secs(n * 3600));
    let retention = Retention { resolved_issues: hours(50), events: hours(90) };
    Options { retention, cache: 4 << 20, segment_rows: 32, keep_rows: 10, sync: true }
}

fn reached(sequence: u64) -> Reached {
    let stream = StreamIdentity { name: "shipwatch".into(), created: Time::EPOCH };
    Reached { stream, sequence, base: 0, time: samples::time(sequence) }
}

fn dump(store: &Store) -> String {
    let mut text = Vec::new();
    store.reader().dump(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

const CHECKS: [&str; 3] = ["test", "evaluation", "deployment"];

/// One event with some of everything: many services, resolved issues, parked lines that are unparked much later.
fn fold_one(staged: &mut Staged, n: u64) {
    let state = if (n / 7).is_multiple_of(3) { State::Active } else { State::Resolved };
    samples::fold(staged, n, &format!("service-{}", n / 7), CHECKS[n as usize % 3], state);
    if n.is_multiple_of(51) {
        staged.park(Position::new(n, 0));
    }
    if n.is_multiple_of(102) && n > 200 {
        staged.unpark(Position::new(n - 102, 0));
    }
}

fn fold_in_groups(store: &mut Store, from: u64, to: u64, group: usize) {
    for group in (from..to).collect::<Vec<_>>().chunks(group) {
        let mut staged = store.stage();
        for n in group {
            fold_one(&mut staged, *n);
        }
        store.commit(staged, reached(group[group.len() - 1])).unwrap();
    }
}

fn opened(dir: &Path) -> Store {
    Store::open(dir, small()).unwrap()
}

fn refused(dir: &Path) -> Error {
    match Store::open(dir, small()) {
        Ok(_) => panic!("it opened"),
        Err(e) => e,
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn groups_of_any_size_give_the_same_store() {
    let dumps = [1, 7, 64, 1000].map(|group| {
        let dir = TempDir::new().unwrap();
        let mut store = opened(dir.path());
        fold_in_groups(&mut store, 1, 700, group);
        let live = dump(&store);
        drop(store);
        assert_eq!(dump(&opened(dir.path())), live, "reopened after groups of {group}");
        live
    });
    for other in &dumps[1..] {
        similar(&dumps[0], other);
    }
    let lines = |what: &str| dumps[0].lines().filter(|l| l.starts_with(&format!("{{\"{what}\""))).count();
    assert!((90..200).contains(&lines("row")), "{} lines are kept", lines("row"));
    assert!((4..14).contains(&lines("segment")), "{} segments are kept", lines("segment"));
    assert!(lines("parked") == 8);
    assert!((10..250).contains(&lines("key")), "{} keys are kept", lines("key"));
    assert!((1..100).contains(&lines("scope")), "{} scopes are kept", lines("scope"));
}

fn similar(one: &str, other: &str) {
    for (a, b) in one.lines().zip(other.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(one.lines().count(), other.lines().count());
}

#[test]
fn a_killed_process_leaves_its_last_commit() {
    let dir = TempDir::new().unwrap();
    let (live, copied) = (dir.path().join("live"), dir.path().join("copied"));
    let mut store = opened(&live);
    let mut from = 1;
    for round in 0..6 {
        let to = from + 37;
        fold_in_groups(&mut store, from, to, 5);
        from = to;
        // What a kill leaves: the files as they are, and perhaps a snapshot half made.
        let copied = copied.join(round.to_string());
        copy(&live, &copied);
        fs::write(copied.join("snap.0000000000000001.generating"), b"half").unwrap();
        let mut again = opened(&copied);
        similar(&dump(&store), &dump(&again));
        fold_in_groups(&mut again, from, from + 70, 3);
        let mut fresh = opened(&dir.path().join(format!("fresh-{round}")));
        fold_in_groups(&mut fresh, 1, from + 70, 64);
        similar(&dump(&fresh), &dump(&again));
    }
}

#[test]
fn staged_changes_are_seen_first_and_vanish_without_a_commit() {
    let dir = TempDir::new().unwrap();
    let mut store = opened(dir.path());
    fold_in_groups(&mut store, 1, 4, 2);
    let before = dump(&store);
    let mut staged = store.stage();
    let key = samples::key("service-0", "test");
    assert_eq!(staged.numbered(1), Some(samples::key("service-0", "evaluation").id()));
    assert_eq!(staged.keys_with_scope(&key.scope).len(), 3);
    fold_one(&mut staged, 4);
    let row = samples::failure(4, "service-0", "evaluation");
    let Entry::Event(event) = &row.entry else { unreachable!() };
    let head = event.head.as_ref().unwrap();
    let found = staged.rows(Mark::EventId(&head.origin.id)).unwrap();
    assert_eq!(found.iter().map(|r| r.position).collect::<Vec<_>>(), [row.position]);
    assert_eq!(*found[0], row);
    let found = staged.rows(Mark::Key(samples::key("service-0", "evaluation").id())).unwrap();
    assert_eq!(found.iter().map(|r| r.position.sequence()).collect::<Vec<_>>(), [1, 4]);
    staged.remove_key(key.id());
    assert_eq!((staged.key(key.id()), staged.next_number()), (None, 4));
    let error = staged.add_row(row, Marks::new()).unwrap_err();
    assert_eq!(error.to_string(), "position 4 does not lie behind 4, the last one folded");
    drop(staged);
    assert_eq!(dump(&store), before);
}

#[test]
fn messages_of_our_own_are_found_by_the_marks_they_came_with() {
    let dir = TempDir::new().unwrap();
    let mark = Mark::EventId("reply");
    let own = Own { of: Position::new(1, 0), kind: OwnKind::Finished };
    let row = Row { position: Position::new(2, 0), stream_time: samples::time(2), entry: Entry::Own(own) };
    {
        let mut store = opened(dir.path());
        fold_in_groups(&mut store, 1, 2, 1);
        let mut staged = store.stage();
        staged.add_row(row.clone(), [mark.hash()].into_iter().collect()).unwrap();
        store.commit(staged, reached(2)).unwrap();
    }
    let store = opened(dir.path());
    assert_eq!(*store.reader().rows(mark.hash()).unwrap()[0], row);
    assert_eq!(*store.stage().rows(mark).unwrap()[0], row);
}

#[test]
fn large_payloads_and_records_come_back_whole() {
    let dir = TempDir::new().unwrap();
    let mut row = samples::failure(1, "cart", "test");
    let Entry::Event(event) = &mut row.entry else { unreachable!() };
    event.payload = samples::noise(1 << 20).into();
    let key = samples::key("cart", "test");
    let with = |description: String| {
        let issue = Some(crate::domain::issue::Issue { description, ..samples::issue(1, 1, State::Active) });
        let marks = crate::domain::issue::Marks { newest: None, issue };
        crate::domain::issue::KeyState { key: key.clone(), marks: marks.into() }
    };
    for text in ["x".repeat(50_000), "y".repeat(20_000), "z".into(), "w".repeat(30_000)] {
        let mut store = opened(dir.path());
        let mut staged = store.stage();
        if staged.row(row.position).unwrap().is_none() {
            staged.add_row(row.clone(), Marks::new()).unwrap();
        }
        staged.put_key(key.id(), with(text.clone()));
        store.commit(staged, reached(1)).unwrap();
        drop(store);
        let store = opened(dir.path());
        assert_eq!(*store.reader().catalog().get(key.id()).unwrap(), with(text));
        assert_eq!(*store.reader().row(row.position).unwrap().unwrap(), row);
    }
    let store = opened(dir.path());
    let direction = [Direction::Forward, Direction::Backward];
    assert!(direction.iter().all(|d| store.reader().journal(.., *d).count() == 1));
}

#[test]
fn the_log_of_keys_and_scopes_does_not_grow_with_the_events() {
    let dir = TempDir::new().unwrap();
    let records = |store: &Store| store.reader().scan(&[keyspace::LEDGER]).count();
    let mut store = opened(dir.path());
    let mut most = 0;
    for n in 1..2000 {
        let mut staged = store.stage();
        // One issue stays as it is; the others are updated all the time.
        let service = if n == 5 { "still".to_owned() } else { format!("busy-{}", n % 4) };
        samples::fold(&mut staged, n, &service, "test", State::Active);
        store.commit(staged, reached(n)).unwrap();
        most = most.max(records(&store));
    }
    assert!(most < 400, "{most} records");
    let before = dump(&store);
    drop(store);
    let store = opened(dir.path());
    assert_eq!(dump(&store), before);
    assert_eq!(store.reader().catalog().keys().count(), 5);
}

#[test]
fn the_journal_is_read_both_ways_and_in_parts() {
    let dir = TempDir::new().unwrap();
    let mut store = opened(dir.path());
    fold_in_groups(&mut store, 1, 20, 6);
    let mut staged = store.stage();
    fold_one(&mut staged, 20);
    staged.park(Position::new(17, 0));
    store.commit(staged, reached(20)).unwrap();
    let reader = store.reader();
    let p = |n| Position::new(n, 0);
    let list = |range: (std::ops::Bound<Position>, std::ops::Bound<Position>), direction| {
        reader.journal(range, direction).map(|r| r.unwrap().position.sequence()).collect::<Vec<_>>()
    };
    use std::ops::Bound::*;
    assert_eq!(list((Included(p(3)), Excluded(p(6))), Direction::Forward), [3, 4, 5]);
    assert_eq!(list((Excluded(p(17)), Unbounded), Direction::Backward), [20, 19, 18]);
    assert!(list((Included(p(6)), Included(p(3))), Direction::Forward).is_empty());
    assert_eq!(reader.rows_from(p(19)).count(), 2);
    assert_eq!((reader.journal_len(), reader.parked()), (20, vec![p(17)]));
}

#[test]
fn how_far_publishing_is_survives_and_never_goes_back() {
    let dir = TempDir::new().unwrap();
    let p = |n| Position::new(n, 0);
    {
        let mut store = opened(dir.path());
        let mut staged = store.stage();
        fold_one(&mut staged, 1);
        store.flush_published(p(3)).unwrap();
        staged.set_published(p(2));
        store.commit(staged, reached(1)).unwrap();
        assert_eq!(store.progress().published, Some(p(3)));
        store.flush_published(p(1)).unwrap();
    }
    let store = opened(dir.path());
    assert_eq!(store.progress().published, Some(p(3)));
    assert_eq!(store.progress().reached, Some(reached(1)));
}

#[test]
fn a_group_on_an_older_state_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut store = opened(dir.path());
    let (mut one, mut other) = (store.stage(), store.stage());
    fold_one(&mut one, 1);
    fold_one(&mut other, 1);
    store.commit(one, reached(1)).unwrap();
    let error = store.commit(other, reached(1)).unwrap_err();
    assert!(matches!(error, Error::Outdated) && !error.is_fatal());
}

#[test]
fn a_folder_in_use_is_refused() {
    let dir = TempDir::new().unwrap();
    let _store = opened(dir.path());
    let error = refused(dir.path());
    assert!(matches!(&error, Error::InUse(named) if named == dir.path()), "{error}");
}

#[test]
fn a_newer_or_foreign_folder_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(opened(dir.path()));
    let write = |key: &[u8], value: &[u8]| {
        // The engine lets go of its lock a moment after it is dropped: its last jobs run on threads.
        let opened = (0..1000).find_map(|_| {
            let db = sled::open(dir.path());
            db.inspect_err(|_| std::thread::sleep(std::time::Duration::from_millis(5))).ok()
        });
        let db = opened.expect("the folder is free within five seconds");
        db.insert(key, value).unwrap();
        db.flush().unwrap();
    };
    write(keyspace::FORMAT, &2u32.to_be_bytes());
    let error = refused(dir.path()).to_string();
    assert!(error.contains("has store format 2, this Shipwatch reads up to format 1"), "{error}");
    write(keyspace::FORMAT, b"something else");
    assert!(refused(dir.path()).to_string().contains("did not write"));
}

#[test]
fn after_a_failed_write_nothing_goes_on() {
    let dir = TempDir::new().unwrap();
    let mut store = opened(dir.path());
    fold_in_groups(&mut store, 1, 3, 1);
    store.poison();
    let staged = store.stage();
    assert!(staged.row(Position::new(1, 0)).is_err());
    let error = store.commit(staged, reached(3)).unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert!(store.reader().row(Position::new(1, 0)).is_err());
    assert!(store.flush_published(Position::new(9, 0)).is_err());
}

#[test]
fn an_old_resolved_issue_goes_but_its_newest_word_stays_while_it_counts() {
    let dir = TempDir::new().unwrap();
    let mut store = opened(dir.path());
    let id = samples::key("cart", "test").id();
    let mut at = |sequence: u64, service: &str| {
        let mut staged = store.stage();
        samples::fold(&mut staged, sequence, service, "test", State::Resolved);
        store.commit(staged, reached(sequence)).unwrap();
        let reader = store.reader();
        let catalog = reader.catalog();
        let scope = catalog.scope(samples::key("cart", "test").scope_id()).is_some();
        (catalog.get(id).map(|k| k.marks.issue.is_some()), catalog.numbered(1).is_some(), scope)
    };
    assert_eq!(at(1, "cart"), (Some(true), true, true));
    assert_eq!(at(51, "other"), (Some(true), true, true));
    assert_eq!(at(52, "other"), (Some(false), false, true));
    assert_eq!(at(91, "other"), (Some(false), false, true));
    assert_eq!(at(92, "other"), (None, false, false));
    assert_eq!(store.progress().next_number, 3);
}

#[test]
fn rule_sets_are_kept_as_long_as_a_line_was_judged_by_them() {
    let dir = TempDir::new().unwrap();
    let mut store = opened(dir.path());
    let rules = |sequence: u64| {
        // Long, and nothing that packing makes small.
        let text: String = samples::noise(20_000).iter().map(|b| char::from(b'a' + b % 26)).collect();
        let files = vec![("rules/a.yaml".to_owned(), text), ("builtin/b.yaml".to_owned(), sequence.to_string())];
        RuleTexts { from: Position::new(sequence, 0), hash: format!("{sequence:064}"), files }
    };
    let kept = |store: &Store| store.reader().rules().unwrap();
    let mut begin = store.stage();
    begin.put_rules(rules(0));
    fold_one(&mut begin, 1);
    drop(begin);
    assert_eq!(kept(&store), [], "nothing was committed");
    for (n, change) in [(1, Some(0)), (2, Some(2)), (3, None), (200, Some(200)), (201, Some(201))] {
        let mut staged = store.stage();
        fold_one(&mut staged, n);
        change.into_iter().for_each(|at| staged.put_rules(rules(at)));
        store.commit(staged, reached(n)).unwrap();
    }
    assert_eq!(kept(&store), [rules(0), rules(2), rules(200), rules(201)], "the newest lines stay, so all are needed");
    fold_in_groups(&mut store, 202, 300, 7);
    let mut staged = store.stage();
    fold_one(&mut staged, 300);
    staged.put_rules(rules(300));
    store.commit(staged, reached(300)).unwrap();
    let want = [rules(201), rules(300)];
    assert_eq!(kept(&store), want);
    drop(store);
    let store = opened(dir.path());
    assert_eq!(kept(&store), want);
    assert_eq!(dump(&store).matches("{\"rules\"").count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// The index against a map: few different marks, so that some are in one line, some in many segments and chunks.
    #[test]
    fn lines_are_found_by_their_marks(
        lines in prop::collection::vec(prop::collection::vec(0u64..20, 0..5), 1..400),
        group in 1usize..50,
        segment_rows in 1u64..100,
        kill in prop::bool::ANY,
    ) {
        let dir = TempDir::new().unwrap();
        let options = Options { segment_rows, ..small() };
        let mut store = Store::open(dir.path(), options).unwrap();
        let mut model = BTreeMap::<u64, Vec<Position>>::new();
        let hash = |mark: u64| Mark::Run(&mark.to_string()).hash();
        let mut sequence = 0;
        for group in lines.chunks(group) {
            let mut staged = store.stage();
            for marks in group {
                sequence += 1;
                let position = Position::new(sequence / 3, (sequence % 3) as u16);
                let own = Own { of: position, kind: OwnKind::Started };
                let row = Row { position, stream_time: Time::EPOCH, entry: Entry::Own(own) };
                let mut marks = marks.clone();
                marks.sort_unstable();
                marks.dedup();
                staged.add_row(row, marks.iter().map(|m| hash(*m)).collect()).unwrap();
                for mark in marks {
                    model.entry(hash(mark)).or_default().push(position);
                }
                let probe = staged.rows(Mark::Run("7")).unwrap();
                let probe: Vec<_> = probe.iter().map(|r| r.position).collect();
                let want = model.get(&hash(7)).cloned().unwrap_or_default();
                prop_assert_eq!(&probe, &want);
                for limit in [0, 1, 3, 100] {
                    let newest = staged.newest_rows(Mark::Run("7"), limit).unwrap();
                    let newest: Vec<_> = newest.iter().map(|r| r.position).collect();
                    prop_assert_eq!(&newest[..], &want[want.len().saturating_sub(limit)..]);
                }
            }
            store.commit(staged, reached(sequence)).unwrap();
            if kill {
                drop(store);
                store = Store::open(dir.path(), options).unwrap();
            }
        }
        for mark in 0..25 {
            let found = store.reader().positions(hash(mark)).unwrap();
            let want = model.get(&hash(mark)).cloned().unwrap_or_default();
            prop_assert_eq!(&found, &want);
            for (before, limit) in [(Position::MAX, 3), (Position::new(sequence / 6, 1), 3), (Position::new(1, 0), 100)] {
                let newest = store.reader().newest_positions(hash(mark), before, limit).unwrap();
                let want = &want[..want.partition_point(|p| *p < before)];
                prop_assert_eq!(&newest[..], &want[want.len().saturating_sub(limit)..]);
            }
        }
    }
}
