//! `shipwatch rules` as a person or a script uses it: what is told of good rule files, and of broken ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::{Value, json};

/// Runs `shipwatch rules` on these words and this input; gives exit code, standard output, standard error.
fn rules(args: &[&str], input: impl Into<Vec<u8>>) -> (i32, String, String) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("shipwatch"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHIPWATCH_")) {
        command.env_remove(name);
    }
    let output = command.arg("rules").args(args).current_dir(repo("tests")).write_stdin(input).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A shipyard folder with these rule files.
struct Shipyard(tempfile::TempDir);

impl Shipyard {
    fn of(files: &[(&str, &[u8])]) -> Shipyard {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join("rules").join(name), bytes).unwrap();
        }
        Shipyard(folder)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// Runs a command on it.
    fn run(&self, args: &[&str], input: &str) -> (i32, String, String) {
        rules(&[args, &["--shipyard-dir", self.path()]].concat(), input)
    }

    /// All that `check` tells as JSON.
    fn check(&self) -> (i32, Vec<Value>) {
        let (code, out, err) = self.run(&["check", "-o", "json"], "");
        (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")))
    }
}

/// A rule file with this behind its head.
fn file(rest: &str) -> String {
    format!("apiVersion: shipwatch.dev/v1\nkind: RuleSet\nmetadata: {{name: t}}\n{rest}")
}

#[test]
fn the_example_of_the_contract_is_fine_and_passes_its_test() {
    // The default folder is ./shipyard.
    let (code, out, err) = rules(&["check"], "");
    assert_eq!((code, out.as_str(), err.as_str()), (0, "1 rule in 1 file is fine\n", ""));
    let (code, out, _) = rules(&["check", "-o", "json"], "");
    assert_eq!((code, out.as_str()), (0, "[]\n"));
    let (code, out, err) = rules(&["test"], "");
    assert_eq!((code, err.as_str()), (0, "1 test in 1 file, 0 failed\n"));
    insta::assert_snapshot!(out, @r"
    PLACE                            TEST                           RESULT  DIFFERENCE
    ./shipyard/rules/builds.yaml:21  a failed build opens an issue  ok
    ");
    // The team's rule takes over what a pack says of the same webhook, and that shows.
    let (code, out, _) = rules(&["test", "--builtin", "-o", "json"], "");
    let outcomes: Vec<Value> = serde_json::from_str(&out).unwrap();
    let failed: Vec<&Value> = outcomes.iter().filter(|o| o["passed"] == false).collect();
    assert_eq!((code, failed.len(), outcomes.len() > 50), (3, 1, true));
    assert_eq!(failed[0]["differences"], json!(["rule is \"build\", expected \"kite-build\""]));
    assert_eq!(failed[0]["file"], "builtin/kite.yaml");
}

#[test]
fn the_example_of_the_readme_works_as_printed() {
    let readme = std::fs::read_to_string(repo("README.md")).unwrap();
    let blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let files: Vec<&str> = blocks.filter(|text| text.contains("kind: RuleSet")).collect();
    let shipyard = Shipyard::of(&[("readme.yaml", files[0].as_bytes())]);
    assert_eq!((files.len(), shipyard.check()), (1, (0, Vec::new())));
    let (code, _, err) = shipyard.run(&["test", "--builtin"], "");
    assert!(code == 0 && err.ends_with(", 0 failed\n"), "{err}");
}

#[test]
fn an_event_is_explained_for_people_and_for_programs() {
    let event = repo("events/kite/build.failure.json");
    let event = event.to_str().unwrap();
    let (code, out, err) = rules(&["explain", event], "");
    assert_eq!((code, err.as_str()), (0, ""));
    insta::with_settings!({filters => vec![(r"rules +\d+ rules in force, \d+", "rules         N rules in force, M")]}, {
        insta::assert_snapshot!(out, @r#"
        event         dev.shipwatch.webhook.build.failure
                      b51173c1-5c8d-5d72-bd6a-8b63e8d4f82e of shipwatch/gateway
        rules         N rules in force, M of them for other types

        fits          build (./shipyard/rules/builds.yaml:5)
                      failure decides
                        yes type is "dev.shipwatch.webhook.build.failure", wanted: like "*.failure"
                      success not asked
                        no  type is "dev.shipwatch.webhook.build.failure", wanted: like "*.success"

        outcome       failure: opens, updates or reopens an issue
        rule          build
        namespace     team-beta
        scope         component/user-service/team-beta
        issueType     build
        check         build
        run           b-88
        at            2026-11-16T09:02:00Z
        severity      major
        title         Build failed: user-service
        links         Build logs https://ci.example/builds/88

        npm ERR! 404
        "#);
    });
    let (_, out, _) = rules(&["explain", "-", "-o", "json"], std::fs::read(event).unwrap());
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["tried"][0]["outcomes"][0]["conditions"][0]["wants"], "like \"*.failure\"");
    assert_eq!(told["result"]["signal"]["scope"], "component/user-service/team-beta");
    let (_, out, _) = rules(&["explain", event, "-o", "yaml"], "");
    assert!(out.starts_with("type: dev.shipwatch.webhook.build.failure\nrules: "), "{out}");

    // A rule that does not fit is told with what it saw.
    let skip = Shipyard::of(&[(
        "a.yaml",
        file("rules: [{name: skip, on: [x.*], match: {data.skip: true}, ignore: true, reason: not now}]\n").as_bytes(),
    )]);
    let event = |data: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"x.y","data":{data}}}"#);
    let (code, out, _) = skip.run(&["explain", "-"], &event("{\"skip\": \"no\\u001b[31m\"}"));
    assert_eq!(code, 0);
    assert!(out.contains("does not fit  skip (") && !out.contains('\u{1b}'), "{out}");
    assert!(out.contains(r#"  no  data.skip is "no\u001b[31m", wanted: "true""#), "{out}");
    assert!(out.ends_with("outcome       none\nwhy           no rule fits\n"), "{out}");
    let (_, out, _) = skip.run(&["explain", "-"], &event("{\"skip\": true}"));
    assert!(out.contains("ignored: a rule says that it does not matter") && out.contains("not now"), "{out}");
}

#[test]
fn raw_json_is_explained_as_what_an_adapter_makes_of_it() {
    let raw = repo("events/flux/kustomization.failed.json");
    let raw = raw.to_str().unwrap();
    let (code, out, err) = rules(&["explain", raw, "--subject", "flux.prod"], "");
    assert!(code == 0 && out.contains("rule          flux\n"), "{out}{err}");
    let (code, out, err) = rules(&["explain", raw], "");
    assert!((code, out.as_str()) == (1, "") && err.contains("name its subject with --subject"), "{err}");
    let (code, _, err) = rules(&["explain", raw, "--subject", "elsewhere"], "");
    assert!(code == 1 && err.contains("no adapter takes raw JSON from \"elsewhere\""), "{err}");
    let (code, _, err) = rules(&["explain", "-", "--subject", "flux.prod"], "{\"a\": 1}");
    assert!(code == 1 && err.contains("adapter flux: ") && err.contains("is missing"), "{err}");
    // A bare CDEvent is known on any subject.
    let bare = r#"{"context": {"id": "1", "source": "s", "type": "dev.cdevents.build.started.0.1.0"}, "subject": {"id": "b"}}"#;
    let (code, out, err) = rules(&["explain", "-"], bare);
    assert!(code == 0 && out.starts_with("event         dev.cdevents.build.started.0.1.0\n"), "{out}{err}");
}

#[test]
fn what_is_no_event_is_named() {
    for (input, said) in [
        ("", "standard input: not a CloudEvent: not a JSON object: EOF"),
        ("{", "not a JSON object: EOF"),
        ("[]", "standard input: not a CloudEvent: not a JSON object"),
        ("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\"}", "attribute \"type\" is missing"),
        ("{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"t\"}", "attribute \"id\""),
    ] {
        let (code, out, err) = rules(&["explain", "-"], input);
        assert!((code, out.as_str()) == (1, "") && err.contains(said), "{input}: {err}");
    }
    let (code, _, err) = rules(&["explain", "-"], b"\xff\xfe{".to_vec());
    assert!(code == 1 && err.contains("not a CloudEvent"), "{err}");
    let (code, _, err) = rules(&["explain", "gone.json"], "");
    assert!(code == 1 && err.contains("cannot read gone.json: No such file"), "{err}");
    assert_eq!(rules(&["explain"], "").0, 2);
}

#[test]
fn a_folder_that_was_asked_for_must_be_there_and_no_rules_are_said_to_be_none() {
    for command in [&["check"][..], &["test"], &["explain", "-"]] {
        let (code, out, err) = rules(&[command, &["--shipyard-dir", "gone"]].concat(), "{}");
        assert!((code, out.as_str()) == (2, "") && err.contains("cannot read the shipyard folder gone: "), "{err}");
        let (code, _, err) = rules(&[command, &["--shipyard-dir", "rules.rs"]].concat(), "{}");
        assert!(code == 2 && err.contains("Not a directory"), "{err}");
    }
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().to_str().unwrap();
    let (code, out, _) = rules(&["check", "--shipyard-dir", folder], "");
    assert!(code == 0 && out.contains("no rule files in ") && out.contains("/rules, only the packs"), "{out}");
    let (code, out, err) = rules(&["test", "--shipyard-dir", folder], "");
    assert!((code, out.as_str()) == (0, "") && err.starts_with("no tests: "), "{err}");
    assert_eq!(rules(&["test", "--shipyard-dir", folder, "-o", "json"], "").1, "[]\n");
}

#[test]
fn every_mistake_of_every_file_is_told_at_once() {
    let unknown = file("rules: [{name: a, onn: [x.y], on: [a.b], ignore: true, reason: r}]\n");
    let shipyard = Shipyard::of(&[
        ("a.yaml", unknown.as_bytes()),
        ("b.yml", b"rules: [\n"),
        ("c.yaml", b"a: &a {b: *a}\n"),
        ("d.yaml", b"caf\xe9: 1\n"),
        ("e.yaml", "\u{feff}kind: Pod\n".as_bytes()),
    ]);
    let (code, found) = shipyard.check();
    assert_eq!(code, 3);
    let about = |name: &str| {
        let of_file = found.iter().filter(|f| f["file"].as_str().unwrap().ends_with(&format!("/rules/{name}")));
        of_file.map(|f| (f["line"].as_u64().unwrap(), f["message"].as_str().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(about("a.yaml"), [(4, "key \"onn\" is unknown")]);
    assert!(found.iter().any(|f| f["suggestion"] == "did you mean \"on\"?" && f["column"] == 19), "{found:#?}");
    assert!(about("b.yml").len() == 1 && about("b.yml")[0].1.starts_with("not valid YAML: "), "{found:#?}");
    assert!(about("c.yaml").len() == 1 && about("c.yaml")[0].1.starts_with("not valid YAML: "), "{found:#?}");
    assert_eq!(about("d.yaml"), [(1, "is not UTF-8")]);
    assert!(about("e.yaml").contains(&(1, "rule file has no \"apiVersion\"")), "{found:#?}");
    assert!(about("e.yaml").contains(&(1, "kind is \"Pod\"")), "{found:#?}");
    assert!(found.iter().all(|f| f["kind"] == "mistake" && f["rule"].is_null()), "{found:#?}");

    let (code, out, err) = shipyard.run(&["check"], "");
    assert!(code == 3 && out.contains("/rules/a.yaml:4:19  mistake  key \"onn\" is unknown (did you mean"), "{out}");
    assert!(err.contains(&format!("{} mistakes", found.len())), "{err}");
    // Nothing can be tested or explained with such files: they are wrong configuration.
    for command in [&["test"][..], &["explain", "-"]] {
        let (code, out, err) = shipyard.run(command, "{}");
        assert!((code, out.as_str()) == (2, "") && err.contains("/rules/a.yaml:4:19: key \"onn\""), "{err}");
    }
}

#[test]
fn doubts_are_told_with_their_kind() {
    let rules = file(concat!(
        "rules:\n",
        "  - name: opens\n    on: [x.a.*]\n    outcome: {failure: [{match: {data.r: bad}}]}\n",
        "    scope: {resourceType: c, resourceName: \"{{ data.name }}\", resourceNamespace: n}\n",
        "    issue: {title: \"{{ data.tilte | default('') }}\"}\n",
        "  - {name: crosses, on: [x.*.b], match: {data.q: 1}, ignore: true, reason: r}\n",
        "  - {name: never, on: [x.a.b], match: {data.q: [1, 2]}, ignore: true, reason: r}\n",
        "tests:\n  - {name: t, event: {type: x.a.c, data: {r: bad, name: n}}, expect: {outcome: failure}}\n",
    ));
    let shipyard = Shipyard::of(&[("a.yaml", rules.as_bytes())]);
    let (code, found) = shipyard.check();
    let told: Vec<_> = found.iter().map(|f| [&f["rule"], &f["kind"]].map(|v| v.as_str().unwrap())).collect();
    assert_eq!(code, 3);
    assert_eq!(
        told,
        [["opens", "unresolved"], ["opens", "unknown-path"], ["crosses", "overlapping"], ["never", "unreachable"]]
    );
    assert!(found[1]["message"].as_str().unwrap().contains("issue.title looks at data.tilte"), "{found:#?}");
    assert_eq!((found[0]["line"].as_u64(), found[0]["column"].as_u64()), (Some(5), Some(5)));
    let (_, out, err) = shipyard.run(&["check"], "");
    assert_eq!((out.lines().count(), err.as_str()), (5, "4 doubts\n"));
}

#[test]
fn a_failed_test_says_what_was_expected_and_what_came() {
    let rules = file(concat!(
        "rules: [{name: a, on: [x.y], ignore: true, reason: because}]\n",
        "tests:\n",
        "  - {name: good, event: {type: x.y}, expect: {outcome: ignored, rule: a, reason: because}}\n",
        "  - {name: bad, event: {type: x.y}, expect: {outcome: failure, title: t}}\n",
    ));
    let shipyard = Shipyard::of(&[("a.yaml", rules.as_bytes())]);
    let (code, out, err) = shipyard.run(&["test"], "");
    assert_eq!((code, err.as_str()), (3, "2 tests in 1 file, 1 failed\n"));
    let lines: Vec<Vec<&str>> =
        out.lines().map(|l| l.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect()).collect();
    let place = |line: u32| format!("{}/rules/a.yaml:{line}", shipyard.path());
    assert_eq!(lines[1], [&*place(6), "good", "ok"]);
    assert_eq!(lines[2], [&*place(7), "bad", "failed", "outcome is \"ignored\", expected \"failure\""]);
    assert_eq!(lines[3], ["title is \"\", expected \"t\""]);
    let (code, out, err) = shipyard.run(&["test", "-o", "json"], "");
    let outcomes: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str(), outcomes[1]["differences"].as_array().unwrap().len()), (3, "", 2));
}

#[test]
fn files_that_grow_without_end_are_refused_in_time() {
    let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        bomb += &format!("{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n");
    }
    let many = file(&format!("rules:\n{}", "  - {name: r}\n".repeat(100_000)));
    let glob = format!(
        "rules: [{{name: g, on: [x.y], match: {{data.a: \"{}b\"}}, ignore: true, reason: r}}]",
        "*a".repeat(400)
    );
    let template = concat!(
        "rules: [{name: t, on: [x.z], outcome: {failure: [{match: {}}], success: [{match: {data.a: b}}]},",
        " scope: {resourceType: c, resourceName: n, resourceNamespace: n}, issue: {title:",
        " \"{% for i in range(99999) %}{% for j in range(99999) %}{{ data.a }}{% endfor %}{% endfor %}\"}}]",
    );
    let started = Instant::now();
    for (name, text, said) in [
        ("bomb.yaml", bomb, "not valid YAML: "),
        ("deep.yaml", "[".repeat(100_000), "not valid YAML: "),
        ("many.yaml", many, "100000 rules in one file are over the limit of 20000"),
    ] {
        let (code, found) = Shipyard::of(&[(name, text.as_bytes())]).check();
        assert_eq!((code, found.len()), (3, 1), "{found:#?}");
        assert!(found[0]["message"].as_str().unwrap().starts_with(said), "{found:#?}");
    }
    let nasty = Shipyard::of(&[("glob.yaml", file(&glob).as_bytes()), ("template.yaml", file(template).as_bytes())]);
    for ty in ["x.y", "x.z"] {
        let event =
            json!({"specversion": "1.0", "id": "1", "source": "s", "type": ty, "data": {"a": "a".repeat(100_000)}});
        let (code, out, err) = nasty.run(&["explain", "-"], &event.to_string());
        assert!(code == 0 && out.len() < 5000, "{} {err}", out.len());
    }
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
}
