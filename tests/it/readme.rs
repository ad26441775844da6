//! What the README tells a newcomer to type works, and prints what it says there.

use std::process::Command;

use crate::support::{World, exit_of, repo};

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

#[tokio::test]
async fn a_source_of_ones_own_takes_the_commands_of_the_readme_and_nothing_else() {
    let world = World::with_config("gateway: {listen: '127.0.0.1:0'}\n").await;
    let gateway = world.service().gateway().await;
    let readme = std::fs::read_to_string(repo("README.md")).unwrap();
    let (_, section) = readme.split_once("## Your own source in five minutes").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = blocks(section);
    assert!(blocks[0].1.contains("shipwatch serve --gateway-listen 127.0.0.1:8081"), "which is what this world is");

    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_shipwatch")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
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
        let mut shell = Command::new("sh");
        // One stream, as a terminal has.
        shell.args(["-ec", &format!("exec 2>&1\n{script}")]).current_dir(world.folder("")).env("PATH", &path);
        shell.env_remove("SHIPWATCH_SHIPYARD_DIR").env("NO_PROXY", "127.0.0.1");
        let (status, answer, _) = exit_of(shell).await;
        assert!(status.success(), "{script}\n{answer}");
        out = answer;
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
