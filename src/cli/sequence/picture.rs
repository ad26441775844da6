//! A timeline as a picture in the terminal: a lane for each sequence, task and executor, all on one scale of time.

use std::fmt::Write as _;

use super::lanes::{Lane, Span, Verdict, notes_of, reported, sequence_lanes, task_lanes, verdict};
use crate::cli::table::{Tone, one_line, paint};
use crate::cli::words::took;
use crate::domain::time::Time;
use crate::domain::timeline::Timeline;

/// How the picture is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Columns there are.
    pub width: usize,
    /// Whether the terminal shows more than ASCII.
    pub unicode: bool,
    /// Whether it shows colours.
    pub styled: bool,
}

/// Most columns of a name, and of who did it.
const NAME: usize = 32;
/// Columns of a bar.
const BAR: std::ops::RangeInclusive<usize> = 10..=80;

impl Verdict {
    fn text(self, look: Look) -> String {
        let (mark, plain) = match (self.tone, self.word) {
            (Tone::Good, _) => ('✓', '+'),
            (_, "aborted") => ('–', '-'),
            (Tone::Notice, _) => ('!', '!'),
            (Tone::Plain, _) => ('…', '~'),
            _ => ('✗', 'x'),
        };
        format!("{} {}", if look.unicode { mark } else { plain }, self.word)
    }
}

/// The picture.
pub(super) fn picture(timeline: &Timeline, look: Look) -> String {
    let mut lanes = Vec::new();
    for stage in &timeline.stages {
        let mut stage_lanes = Vec::new();
        for sequence in &stage.sequences {
            sequence_lanes(sequence, &mut stage_lanes);
        }
        for task in &stage.tasks {
            task_lanes(task, false, "  ", &mut stage_lanes);
        }
        lanes.push((one_line(&stage.name), stage_lanes));
    }
    let mut text = head(timeline, look);
    let layout = Layout::of(lanes.iter().flat_map(|(_, lanes)| lanes), timeline.finished_at, look);
    for (stage, lanes) in lanes.iter().filter(|(_, lanes)| !lanes.is_empty()) {
        let _ = writeln!(text, "\n{}", if stage.is_empty() { "(no stage)" } else { stage });
        lanes.iter().for_each(|lane| layout.draw(lane, &mut text));
    }
    if layout.scale.is_some() {
        layout.axis(&mut text);
    }
    let rest =
        notes_of(&timeline.issues).chain(timeline.logs.iter().map(|l| reported(&l.source, l.message.as_deref())));
    for (i, note) in rest.enumerate() {
        let _ = writeln!(text, "{}{}", if i == 0 { "\n" } else { "" }, fit(&note, look.width, look.unicode));
    }
    text
}

fn head(timeline: &Timeline, look: Look) -> String {
    let whose = [&timeline.project, &timeline.service].map(|part| one_line(part)).join("/");
    let name = timeline.name.as_deref().map_or("events".to_owned(), one_line);
    let mut title = format!("{name} of {whose}");
    if let Some(state) = timeline.state {
        // What has ended so far is told by the lanes.
        let came_to = verdict(state, None, timeline.result.as_deref().filter(|_| state.is_over()));
        let _ = write!(title, ": {}", tinted(&came_to.text(look), came_to.tone, look));
    }
    title.push('\n');
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(title, "{name:<9}{value}");
        }
    };
    line("context", one_line(&timeline.keptn_context));
    let took = timeline.duration_seconds.map(|s| format!(", took {}", took(s))).unwrap_or_default();
    let begun = timeline.triggered_at.and_then(|at| Time::from_unix(at.unix_seconds(), 0));
    line("begun", begun.map(|at| format!("{at}{took}")).unwrap_or_default());
    line("problem", timeline.problem.as_deref().map(one_line).unwrap_or_default());
    if timeline.truncated {
        line("", format!("it has more events than the {} that are shown", timeline.events));
    }
    title
}

/// Where the columns are, and what time is where in a bar.
struct Layout {
    look: Look,
    name: usize,
    bar: usize,
    verdict: usize,
    duration: usize,
    who: usize,
    scale: Option<(Time, Time)>,
}

impl Layout {
    /// The scale ends with the last sequence, where that has ended: what comes late stands at the edge.
    fn of<'a>(lanes: impl Iterator<Item = &'a Lane> + Clone, end: Option<Time>, look: Look) -> Layout {
        let longest = |text: &dyn Fn(&Lane) -> usize| lanes.clone().map(text).max().unwrap_or(0);
        let name = longest(&|l| l.name.chars().count()).min(NAME);
        let verdict = longest(&|l| l.verdict.text(look).chars().count());
        let duration = longest(&|l| l.duration.chars().count());
        let who = longest(&|l| l.who.chars().count()).min(NAME);
        let rest = look.width.saturating_sub(name + verdict + duration + who + 8);
        let bar = rest.clamp(*BAR.start(), *BAR.end());
        let times = || lanes.clone().flat_map(|l| [l.span.asked, l.span.begun, l.span.ended]).flatten();
        let scale = times().min().zip(end.or_else(|| times().max()));
        Layout { look, name, bar, verdict, duration, who, scale }
    }

    fn draw(&self, lane: &Lane, text: &mut String) {
        let Layout { look, name, verdict, duration, who, .. } = *self;
        let called = fit(&lane.name, name, look.unicode);
        let bar = tinted(&self.bar(&lane.span), lane.verdict.tone, look);
        let came_to = tinted(&format!("{:<verdict$}", lane.verdict.text(look)), lane.verdict.tone, look);
        let by = fit(&lane.who, who, look.unicode);
        let line = format!("{called:<name$}  {bar}  {came_to}  {:>duration$}  {by}", lane.duration);
        let _ = writeln!(text, "{}", line.trim_end());
        let indent = lane.name.chars().take_while(|c| *c == ' ').count() + 2;
        for note in &lane.notes {
            let _ = writeln!(text, "{:indent$}{}", "", fit(note, look.width.saturating_sub(indent), look.unicode));
        }
    }

    /// The cell of a time.
    fn cell(&self, at: Time) -> usize {
        let Some((from, to)) = self.scale else { return 0 };
        let whole = to.seconds_since(from);
        let part = if whole > 0.0 { at.seconds_since(from) / whole } else { 0.0 };
        // From 0 to 1, whatever the clocks of the publishers say.
        ((part * self.bar as f64) as usize).min(self.bar - 1)
    }

    fn bar(&self, span: &Span) -> String {
        let (waits, runs, goes_on) = if self.look.unicode { ('░', '█', '▶') } else { ('.', '#', '>') };
        let mut cells = vec![' '; self.bar];
        let Some(asked) = span.asked.map(|at| self.cell(at)) else { return cells.into_iter().collect() };
        let end = match span.ended {
            Some(at) if !span.open => self.cell(at),
            _ if span.open => self.bar - 1,
            _ => asked,
        };
        let begun = span.begun.map_or(end + 1, |at| self.cell(at));
        for (i, cell) in cells.iter_mut().enumerate().take(end.max(asked) + 1).skip(asked) {
            *cell = if i < begun { waits } else { runs };
        }
        if span.open {
            cells[self.bar - 1] = goes_on;
        }
        cells.into_iter().collect()
    }

    /// How long the whole scale is, below the bars.
    fn axis(&self, text: &mut String) {
        let Some((from, to)) = self.scale else { return };
        let whole = took(to.seconds_since(from));
        let space = self.bar.saturating_sub(whole.chars().count() + 1);
        let _ = writeln!(text, "\n{:name$}  0{:space$}{whole}", "", "", name = self.name);
    }
}

fn tinted(text: &str, tone: Tone, look: Look) -> String {
    if look.styled { paint(text, tone) } else { text.to_owned() }
}

/// Text in so many columns.
fn fit(text: &str, width: usize, unicode: bool) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let end = if unicode { "…" } else { "..." };
    let kept: String = text.chars().take(width.saturating_sub(end.chars().count())).collect();
    kept + end
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::issue::ChangeKind;
    use crate::domain::timeline::{Executor, IssueChange, Progress, Sequence, Stage, State, Task, Trouble};

    fn at(second: i64) -> Option<Time> {
        Time::from_unix(1_767_225_600 + second, 0)
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn executor(source: &str, from: i64, to: i64, result: &str) -> Executor {
        Executor {
            source: source.into(),
            started_at: at(from),
            finished_at: at(to),
            duration_seconds: Some((to - from) as f64),
            status: text("succeeded"),
            result: text(result),
            ..Executor::default()
        }
    }

    fn task(name: &str, from: i64, to: i64, result: &str, executors: Vec<Executor>) -> Task {
        Task {
            name: name.into(),
            state: State::Finished,
            complete: true,
            status: text("succeeded"),
            result: text(result),
            triggered_at: at(from),
            started_at: executors.iter().filter_map(|e| e.started_at).min(),
            finished_at: at(to),
            duration_seconds: Some((to - from) as f64),
            executors,
            ..Task::default()
        }
    }

    /// Through dev, and a failed test in staging with two executors.
    fn delivery() -> Timeline {
        let dev = Sequence {
            name: "delivery".into(),
            triggered_by: text("ci"),
            state: State::Finished,
            status: text("succeeded"),
            result: text("pass"),
            triggered_at: at(0),
            finished_at: at(60),
            duration_seconds: Some(60.0),
            tasks: vec![task("deployment", 2, 58, "pass", vec![executor("helm-service", 10, 58, "pass")])],
            ..Sequence::default()
        };
        let mut jmeter = executor("jmeter-service", 80, 200, "fail");
        jmeter.message = text("3 of 9 checks \u{1b}[31mfailed");
        let mut test = task("test", 70, 200, "fail", vec![jmeter, executor("k6", 90, 130, "pass")]);
        test.issues.push(IssueChange {
            id: uuid::Uuid::nil(),
            number: Some(3),
            change: ChangeKind::Opened,
            title: text("test failed in shop-staging: carts"),
            event_id: "e".into(),
            at: at(200).unwrap(),
        });
        test.logs.push(Trouble {
            at: at(100).unwrap(),
            source: "jmeter-service".into(),
            message: text("slow network"),
        });
        let staging = Sequence {
            triggered_by: text("shipyard-controller"),
            result: text("fail"),
            triggered_at: at(62),
            finished_at: at(210),
            duration_seconds: Some(148.0),
            message: text("3 of 9"),
            tasks: vec![test],
            ..dev.clone()
        };
        let stage = |name: &str, sequence| Stage {
            name: name.into(),
            state: Some(State::Finished),
            sequences: vec![sequence],
            ..Stage::default()
        };
        Timeline {
            keptn_context: "c0ffee00".into(),
            name: text("delivery"),
            project: "shop".into(),
            service: "carts".into(),
            state: Some(State::Finished),
            result: text("fail"),
            triggered_at: at(0),
            finished_at: at(210),
            duration_seconds: Some(210.0),
            events: 14,
            stages: vec![stage("dev", dev), stage("staging", staging)],
            ..Timeline::default()
        }
    }

    const UNICODE: Look = Look { width: 100, unicode: true, styled: false };
    const ASCII: Look = Look { width: 80, unicode: false, styled: false };

    #[test]
    fn a_delivery_is_drawn_to_scale() {
        insta::assert_snapshot!(picture(&delivery(), UNICODE), @r"
        delivery of shop/carts: ✗ fail
        context  c0ffee00
        begun    2026-01-01T00:00:00Z, took 3m 30s

        dev
          delivery            ████████████                               ✓ pass      1m  ci
            deployment        ░███████████                               ✓ pass     56s  helm-service

        staging
          delivery                        █████████████████████████████  ✗ fail  2m 28s  shipyard-controller
            3 of 9
            test                           ░░█████████████████████████   ✗ fail  2m 10s
              #3 opened: test failed in shop-staging: carts
              jmeter-service reports trouble: slow network
              jmeter-service                 █████████████████████████   ✗ fail      2m
                3 of 9 checks  [31mfailed
              k6                               █████████                 ✓ pass     40s

                              0                                  3m 30s
        ");
    }

    #[test]
    fn what_is_open_runs_to_the_edge_and_says_what_it_waits_for() {
        let mut timeline = delivery();
        (timeline.finished_at, timeline.duration_seconds) = (None, None);
        (timeline.state, timeline.result, timeline.truncated) = (Some(State::Started), text("pass"), true);
        timeline.stages.remove(0);
        let sequence = &mut timeline.stages[0].sequences[0];
        (sequence.state, sequence.result, sequence.message, sequence.finished_at) = (State::Started, None, None, None);
        (sequence.duration_seconds, sequence.status) = (None, None);
        let test = &mut sequence.tasks[0];
        (test.complete, test.finished_at, test.duration_seconds) = (false, None, None);
        (test.state, test.result, test.status) = (State::Started, text("pass"), text("succeeded"));
        test.issues.clear();
        let jmeter = &mut test.executors[0];
        (jmeter.finished_at, jmeter.result, jmeter.status, jmeter.duration_seconds) = (None, None, None, None);
        jmeter.message = None;
        jmeter.progress.push(Progress { at: at(120).unwrap(), message: text("half of it") });
        let mut alone = executor("k6", 140, 145, "fail");
        (alone.started_at, alone.late) = (None, true);
        sequence.tasks.push(Task {
            state: State::Started,
            complete: false,
            finished_at: None,
            duration_seconds: None,
            ..task("unasked", 135, 145, "fail", vec![executor("k7", 140, 145, "pass"), alone])
        });
        sequence.tasks[1].executors[0].started_at = None;
        sequence.tasks.push(Task {
            name: "a-task-with-a-name-that-is-far-too-long".into(),
            triggered_at: at(150),
            ..Task::default()
        });
        insta::assert_snapshot!(picture(&timeline, ASCII), @r"
        delivery of shop/carts: ~ started
        context  c0ffee00
        begun    2026-01-01T00:00:00Z
                 it has more events than the 14 that are shown

        staging
          delivery                        #########>  ~ started         shipyard-controller
            test                          ..#######>  ~ started
              jmeter-service reports trouble: slow network
              jmeter-service                #######>  ~ started
                half of it
              k6                             #####    + pass       40s
            unasked                               #>  ~ started
              0 started and 1 finished: Keptn goes on waiting
              k7                                   #  + pass        5s
              k6, late                             #  x fail        5s
            a-task-with-a-name-that-i...           >  ~ triggered

                                          0   1m 28s
        ");
    }

    #[test]
    fn odd_times_and_narrow_terminals_draw_something() {
        let mut timeline = delivery();
        let sequence = &mut timeline.stages[1].sequences[0];
        sequence.finished_at = at(-50);
        sequence.tasks[0].triggered_at = at(500);
        sequence.tasks[0].executors[1].started_at = None;
        for width in [0, 1, 40, 10_000] {
            let drawn = picture(&timeline, Look { width, ..UNICODE });
            assert!(drawn.contains("staging") && drawn.contains('█'), "{width}: {drawn}");
        }
        let styled = picture(&timeline, Look { styled: true, ..UNICODE });
        assert!(styled.contains("\u{1b}[31m✗ fail"), "{styled}");
        assert!(!styled.contains("checks \u{1b}"), "nobody else steers the terminal");
        let nothing = picture(&Timeline::default(), UNICODE);
        assert_eq!(nothing, "events of /\n");
    }
}
