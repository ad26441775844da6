//! Watching issues: as they change, over restarts, and for as long as one likes.

use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::support::{DEADLINE, Shipwatch, World, task_finished};

/// `shipwatch issues watch -o json` as a child process.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    /// Starts it, and waits until the service hears it.
    async fn start(service: &Shipwatch, args: &[&str]) -> Watching {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
        command.args(["issues", "watch", "-o", "json", "--server"]).arg(format!("http://{}", service.addr()));
        let mut command = tokio::process::Command::from(command);
        let child = command.args(args).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Watching { child, lines }
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await.expect("a change comes");
        serde_json::from_str(&line.unwrap().expect("it goes on")).unwrap()
    }
}

fn brief(told: &Value) -> (&str, &str) {
    (told["change"].as_str().unwrap(), told["issue"]["check"].as_str().unwrap())
}

/// The same service on the address that it had.
async fn again(world: &World, addr: &str) -> Shipwatch {
    let first = world.command("data");
    let mut command = Command::new(first.get_program());
    command.args(first.get_args().map(|arg| if arg == "127.0.0.1:0" { addr.as_ref() } else { arg }));
    for (name, value) in first.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(first.get_current_dir().unwrap());
    Shipwatch::ready(command).await
}

#[tokio::test]
async fn a_terminal_is_told_every_change_once_whatever_becomes_of_the_service() {
    let mut world = World::start().await;
    world.fold(task_finished("build").result("fail").at(1)).await;
    let mut watching = Watching::start(world.service(), &["--unresolved", "--after", "0-0"]).await;
    assert_eq!(brief(&watching.next().await), ("opened", "build"));
    world.fold(task_finished("test").result("fail").at(2)).await;
    let told = watching.next().await;
    assert_eq!(brief(&told), ("opened", "test"));
    let issue = world.only_issue("check=test").await;
    assert_eq!((&told["issue"]["id"], &told["issue"]["title"]), (&issue["id"], &issue["title"]));

    let addr = world.service().addr().to_owned();
    world.kill();
    world.bus.publish(task_finished("test").at(3)).await;
    world.bus.publish(task_finished("test").result("fail").at(4)).await;
    world.service = Some(again(&world, &addr).await);
    for change in ["resolved", "reopened"] {
        assert_eq!(brief(&watching.next().await), (change, "test"));
    }
    // Who asks for what is unresolved hears of its end, and of what is none of that nothing.
    world.fold(task_finished("deployment").at(5)).await;
    world.fold(task_finished("build").at(6)).await;
    let told = watching.next().await;
    assert_eq!(brief(&told), ("resolved", "build"));

    let mut late = Watching::start(world.service(), &["--after", told["id"].as_str().unwrap()]).await;
    world.fold(task_finished("build").result("fail").at(7)).await;
    assert_eq!(brief(&late.next().await), ("reopened", "build"));

    let id = watching.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let status = tokio::time::timeout(DEADLINE, watching.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "Ctrl-C is how it ends");
}

#[tokio::test]
async fn a_terminal_without_a_service_is_told_so() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    command.args(["issues", "watch", "--server", "http://127.0.0.1:9"]);
    let (status, _, said) = crate::support::exit_of(command).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("no service answers"), "{said}");
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_lives_and_ends_with_the_service() {
    let mut world = World::start().await;
    let url = format!("http://{}/api/v1/issues/watch", world.service().addr());
    let mut answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut beats = Vec::new();
    while beats.len() < 2 {
        let piece = tokio::time::timeout(DEADLINE, answer.chunk()).await.expect("a sign of life").unwrap().unwrap();
        beats.push(String::from_utf8(piece.to_vec()).unwrap());
    }
    assert!(beats.iter().all(|beat| beat.starts_with(": ") && beat.ends_with("\n\n")), "{beats:?}");
    let service = world.service.take().unwrap();
    // A clean end, not a connection that breaks.
    let (stopped, rest) = tokio::join!(service.terminate(), tokio::time::timeout(DEADLINE, answer.chunk()));
    assert_eq!(rest.unwrap().unwrap(), None);
    assert!(stopped.success());
}

#[tokio::test]
async fn a_slow_client_holds_up_nobody_and_misses_nothing() {
    let world = World::start().await;
    let url = format!("http://{}/api/v1/issues/watch", world.service().addr());
    let mut slow = reqwest::get(url).await.unwrap();
    let mut watching = Watching::start(world.service(), &["--after", "0-0"]).await;
    // More than the buffers of a connection hold.
    let text = "x".repeat(200_000);
    let last = 60;
    for n in 0..=last {
        world.bus.publish(task_finished("test").run(&format!("r{n}")).result("fail").message(&text).at(n)).await;
    }
    for n in 0..=last {
        assert_eq!(watching.next().await["issue"]["occurrences"], n + 1);
    }
    let mut read = String::new();
    while read.matches("\nevent: ").count() < last as usize + 1 || !read.ends_with("\n\n") {
        let piece = tokio::time::timeout(DEADLINE, slow.chunk()).await.unwrap().unwrap().expect("it goes on");
        read += std::str::from_utf8(&piece).unwrap();
    }
    let data = read.lines().filter_map(|line| line.strip_prefix("data: "));
    let counts = data.map(|data| serde_json::from_str::<Value>(data).unwrap()["occurrences"].as_i64().unwrap());
    assert_eq!(counts.collect::<Vec<_>>(), (1..=last + 1).collect::<Vec<_>>());
}
