//! What lies in a recipe's folder fits together.

use std::collections::BTreeSet;

use super::kitchen::{RECIPES, commands, hosts, secrets_of, shipwatch};
use crate::support::{exit_of, repo};

/// The names of all recipes.
fn names() -> BTreeSet<String> {
    let folders = std::fs::read_dir(repo(RECIPES)).unwrap().map(Result::unwrap);
    folders.map(|folder| folder.file_name().into_string().unwrap()).collect()
}

fn text(recipe: &str, file: &str) -> String {
    std::fs::read_to_string(repo(RECIPES).join(recipe).join(file)).unwrap_or_else(|e| panic!("{recipe}/{file}: {e}"))
}

#[tokio::test]
async fn shipyards_and_webhooks_of_all_recipes_are_clean() {
    for name in names() {
        let folder = format!("{RECIPES}/{name}");
        for command in [["rules", "check"], ["sequence", "lint"]] {
            let mut run = shipwatch(&repo(""));
            run.args(command).args(["--shipyard-dir", &folder, "-o", "json"]);
            let (status, out, error) = exit_of(run).await;
            assert_eq!((status.code(), error.as_str()), (Some(0), ""), "{name}: {command:?}\n{out}");
            assert!(!out.contains("nobody is known"), "{name}: {out}");
        }
    }
}

#[tokio::test]
async fn each_page_names_what_there_is_to_set_and_commands_that_there_are() {
    for name in names() {
        let (page, webhooks) = (text(&name, "README.md"), text(&name, "webhook.yaml"));
        for host in hosts(&webhooks) {
            assert!(page.contains(&host), "{name}: {host} is for the user to replace");
        }
        for (secret, key) in secrets_of(&webhooks) {
            let variable = format!("SHIPWATCH_SECRET_{secret}_{key}=").replace('-', "_").to_uppercase();
            assert!(page.contains(&variable), "{name}: {variable}");
        }
        let needs_gateway = webhooks.contains(".callback.");
        let commands = commands(&page);
        assert!(commands.iter().any(|words| words[0] == "serve") && commands.len() > 1, "{name}: {commands:?}");
        for words in commands {
            assert!(words.iter().any(|word| word.contains(&format!("{RECIPES}/{name}"))), "{name}: {words:?}");
            let mut run = shipwatch(&repo(""));
            run.args(&words);
            if words[0] == "serve" {
                assert_eq!(words.contains(&"--gateway-listen".into()), needs_gateway, "{name}");
                run.arg("--dump-config");
            } else {
                // Reads all that it is given, and finds no broker.
                run.args(["--nats-url", "nats://127.0.0.1:1"]);
            }
            let (status, _, error) = exit_of(run).await;
            let fine = status.success() || error.contains("no NATS broker answers");
            assert!(fine, "{name}: {words:?}\n{error}");
        }
    }
}

#[test]
fn the_page_of_the_folder_lists_every_recipe() {
    let page = std::fs::read_to_string(repo("shipyard/README.md")).unwrap();
    let linked = |name: &str| page.contains(&format!("(recipes/{name}/README.md)"));
    assert_eq!(names().iter().filter(|name| !linked(name)).count(), 0);
    let links = page.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
    for link in links.filter(|link| !link.starts_with("https://") && !link.is_empty()) {
        assert!(repo("shipyard").join(link).exists(), "{link}");
    }
    let readme = std::fs::read_to_string(repo("README.md")).unwrap();
    assert!(readme.contains("(shipyard/README.md)"));
}
