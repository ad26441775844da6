//! What the README tells a newcomer to type works, and prints what it says there.

use std::process::Command;

use crate::support::{World, eventually, exit_of, repo};

/// The code blocks of a section, in their order: language and text.
fn blocks(section: &str) -> Vec<(&str, &str)> {
    section.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap()).collect()
}

/// Whether a text is as printed, where `…` stands for anything and line breaks are those of the page.
fn is_as_printed(text: &str, printed: &str) -> bool {
    let text = text.replace('\n', "");
    let printed = printed.replace('\n', "");
    let mut parts = printed.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Types a block of a section in the folder of a world; what a terminal shows then.
async fn typed(world: &World, script: &str) -> String {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_shipwatch")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    // One stream, as a terminal has.
    shell.args(["-ec", &format!("exec 2>&1\n{script}")]).current_dir(world.folder("")).env("PATH", &path);
    shell.env_remove("SHIPWATCH_SHIPYARD_DIR").env("NO_PROXY", "127.0.0.1");
    shell.env("SHIPWATCH_NATS_URL", world.nats.url());
    shell.env("SHIPWATCH_SERVER", format!("http://{}", world.service().addr()));
    let (status, answer, _) = exit_of(shell).await;
    assert!(status.success(), "{script}\n{answer}");
    answer
}

/// A section of the page.
fn section(readme: &str, head: &str) -> String {
    let (_, section) = readme.split_once(&format!("## {head}\n")).unwrap();
    section.split_once("\n## ").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_walk_from_a_wrong_issue_to_a_changed_rule_goes_as_the_readme_has_it() {
    let world = World::start().await;
    let section = section(&std::fs::read_to_string(repo("README.md")).unwrap(), "Debug by replay");
    let mut out = String::new();
    let (mut commands, mut compared, mut changed) = (0, 0, 0);
    for (language, text) in blocks(&section) {
        if language == "text" {
            assert!(is_as_printed(&out, text), "printed is\n{text}\nand what came is\n{out}");
            compared += 1;
            continue;
        }
        out = typed(&world, text).await;
        commands += text.lines().filter(|line| line.contains("shipwatch ") || line.starts_with("cp ")).count();
        // What a person does not see, because it is there before the next line is typed.
        if text.contains("shipyard/rules/nightly.yaml <<") || text.starts_with("cp changed/") {
            changed += 1;
            eventually("the rules have changed", async || {
                (world.service().log().matches("the rules have changed").count() == changed).then_some(())
            })
            .await;
        }
        if text.contains("events publish") {
            world.service().folded(if text.contains("n-18") { "n-18" } else { "n-17" }).await;
        }
    }
    assert_eq!((commands, compared, changed), (10, 2, 2), "everything on the page was done");
    assert_eq!(world.service().folded("n-18").await["outcome"], "neutral");
}

#[tokio::test]
async fn a_source_of_ones_own_takes_the_commands_of_the_readme_and_nothing_else() {
    let world = World::with_config("gateway: {listen: '127.0.0.1:0'}\n").await;
    let gateway = world.service().gateway().await;
    let readme = std::fs::read_to_string(repo("README.md")).unwrap();
    let section = section(&readme, "Your own source in five minutes");
    let blocks = blocks(&section);
    assert!(blocks[0].1.contains("shipwatch serve --gateway-listen 127.0.0.1:8081"), "which is what this world is");

    let mut out = String::new();
    let mut compared = 0;
    for (language, text) in &blocks[1..] {
        if *language == "text" {
            assert!(is_as_printed(&out, text), "printed is\n{text}\nand what came is\n{out}");
            compared += 1;
            if compared == 1 {
                world.service().logged(&["the rules have changed"]).await;
            }
            continue;
        }
        let script = text.replace("127.0.0.1:8081", gateway.addr()).replace("127.0.0.1:8080", world.service().addr());
        out = typed(&world, &script).await;
    }
    assert_eq!(compared, 4, "every answer on the page was compared");
}

#[test]
fn the_webhook_file_of_the_readme_is_one() {
    let readme = std::fs::read_to_string(repo("README.md")).unwrap();
    let (_, section) = readme.split_once("## Call other tools").unwrap();
    let (_, file) = blocks(section)[0];
    let webhooks = shipwatch::domain::webhooks::Webhooks::compile("README.md", file).unwrap();
    assert_eq!(webhooks.all().len(), 2);
}

#[tokio::test]
async fn the_shipyard_of_the_readme_is_linted_and_run_as_typed() {
    let world = World::start().await;
    let readme = std::fs::read_to_string(repo("README.md")).unwrap();
    let (_, section) = readme.split_once("## Check and run a shipyard").unwrap();
    let (_, script) = blocks(section)[0];
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_shipwatch")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-ec", script]).current_dir(repo("")).env("PATH", &path).env("SHIPWATCH_NATS_URL", world.nats.url());
    let (status, out, error) = exit_of(shell).await;
    assert!(status.success(), "{out}\n{error}");
    let ends =
        out.lines().filter(|line| line.contains("sequence-finished") && line.contains("\"result\":\"pass\"")).count();
    assert_eq!(ends, 2, "both stages: {out}");
}
