//! The rule language as a whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::path::View;
use super::*;
use crate::domain::event::Event;
use crate::domain::issue::IssueType;

/// The file of contract section 8 with the test of section 10, as printed.
const EXAMPLE: &str = include_str!("../../../tests/shipyard/rules/builds.yaml");

/// A rule file with these rules.
fn file(rules: &str) -> String {
    format!("apiVersion: shipwatch.dev/v1\nkind: RuleSet\nmetadata: {{name: t}}\nrules:\n{rules}")
}

fn compile(rules: &str) -> RuleSet {
    RuleSet::compile(&[("t.yaml", file(rules))]).unwrap_or_else(|p| panic!("{p:#?}"))
}

fn problems(text: &str) -> Vec<String> {
    match RuleSet::compile(&[("t.yaml", text)]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn event(ty: &str, data: Value) -> Event {
    Event::from_value(json!({"specversion": "1.0", "id": "e1", "source": "s", "type": ty, "data": data})).unwrap()
}

fn signal(verdict: Verdict) -> Signal {
    match verdict {
        Verdict::Signal(signal) => *signal,
        other => panic!("{other:?}"),
    }
}

fn broken(verdict: Verdict) -> String {
    match verdict {
        Verdict::Broken { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_packs_pass_their_own_tests() {
    let outcomes = run_tests(&RuleSet::builtin());
    let failed: Vec<_> = outcomes.iter().filter(|o| !o.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The rows of the table of packs in the README: pack, types, type of the scope.
fn packs_of_the_readme() -> Vec<(String, Vec<String>, String)> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, section) = readme.split_once("## Built-in packs").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        // A type ends at the first comma; what follows tells where it comes from.
        let types = code(cells[2].split(',').next().unwrap());
        (cells[1].to_owned(), types, code(cells[3])[0].clone())
    };
    rows.map(row).collect()
}

#[test]
fn the_readmes_table_of_packs_is_what_the_packs_decide() {
    /// A name with a part that differs from event to event, which both sides only mark as such.
    fn marked(text: &str, open: &str, close: &str) -> String {
        match text.split_once(open).and_then(|(head, rest)| Some((head, rest.split_once(close)?.1))) {
            Some((head, tail)) => format!("{head}<>{tail}"),
            None => text.to_owned(),
        }
    }
    let set = RuleSet::builtin();
    let told: Vec<_> =
        packs_of_the_readme().into_iter().map(|(pack, on, scope)| (pack, on, marked(&scope, "<", ">"))).collect();
    let mut decided = Vec::new();
    for rule in &set.inner.rules {
        if let rule::Action::Decide(decide) = &rule.action
            && let Some(says) = &decide.says
        {
            let pack = rule.file.trim_start_matches("builtin/").trim_end_matches(".yaml").to_owned();
            let on = rule.on.iter().map(|s| s.as_str().to_owned()).collect();
            decided.push((pack, on, marked(says.resource_type.source(), "{{", "}}")));
        }
    }
    assert_eq!(told, decided);
}

#[test]
fn every_built_in_rule_that_decides_is_tried_by_a_test() {
    let set = RuleSet::builtin();
    let outcomes = run_tests(&set);
    for rule in set.rules() {
        assert!(outcomes.iter().any(|o| o.rule == rule.name), "no test reaches {}", rule.name);
    }
}

#[test]
fn the_packs_leave_lint_nothing_to_say() {
    let findings = lint(&RuleSet::builtin());
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn the_example_of_the_contract_works_as_printed() {
    let set = RuleSet::with_builtin(&[("rules/builds.yaml", EXAMPLE)]).unwrap();
    let failed: Vec<_> = run_tests(&set).into_iter().filter(|o| !o.passed).collect();
    // The built-in rule for the same webhook is no longer reached; everything else is.
    assert!(failed.iter().all(|o| o.file.contains("kite") && o.name.contains("build")), "{failed:#?}");
    let said = signal(set.evaluate(&event(
        "dev.shipwatch.webhook.build.success",
        json!({"componentName": "user-service", "namespace": "team-beta"}),
    )));
    assert_eq!((&*said.rule, said.resolves, said.run.as_str()), ("build", Resolves::Scope, "e1"));
    assert_eq!(said.key.issue_type, IssueType::Build);
    let hook = set.webhooks().iter().find(|w| &*w.name == "build").unwrap();
    assert_eq!(&*hook.rule, "build");
    assert_eq!(
        hook.lacking_for_failure(&json!({"componentName": "", "namespace": "n"})),
        ["componentName", "buildId", "errorMessage"]
    );
    // Only the pack's test gives a URL of build logs.
    assert!(lint(&set).is_empty(), "{:#?}", lint(&set));
}

#[test]
fn all_mistakes_of_all_files_come_together_with_place_and_suggestion() {
    let one = file(concat!(
        "  - name: a\n",
        "    onn: [x.y]\n",
        "    on: [\"x.>.y\", \"*\"]\n",
        "    match: {Data.x: 1, data.y: {nott: z}}\n",
        "    outcome:\n",
        "      failed: [{match: {}}]\n",
        "      failure: [{match: {type: \"*.f\"}}]\n",
        "    scope: {resourceType: c, resourceNam: \"{{ data.x }}\", resourceNamespace: n}\n",
        "    issue: {issueType: bild, severity: hugh, title: \"{{ data.x\"}\n",
        "    resolves: scoop\n",
        "  - name: a\n",
        "    on: [x.y]\n",
    ));
    let found = RuleSet::compile(&[("one.yaml", one.as_str()), ("two.yaml", "a: [")]).unwrap_err();
    let text = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in [
        "one.yaml:6:5: key \"onn\" is unknown (did you mean \"on\"?)",
        "one.yaml:7:10: pattern \"x.>.y\": `>` stands only at the end",
        "one.yaml:7:19: pattern \"*\" does not begin with a word",
        "one.yaml:8:13: \"Data\" is no attribute",
        "one.yaml:8:32: condition has neither",
        "key \"nott\" is unknown (did you mean \"not\"?)",
        "one.yaml:10:7: key \"failed\" is unknown",
        "key \"resourceNam\" is unknown (did you mean \"resourceName\"?)",
        "scope has no \"resourceName\"",
        "one.yaml:13:24: issueType \"bild\" is unknown",
        "one.yaml:13:40: severity \"hugh\" is unknown",
        "one.yaml:13:53: template: ",
        "one.yaml:14:15: resolves \"scoop\" is unknown",
        "two.yaml:1:",
    ] {
        assert!(text.contains(part), "{part}\n---\n{text}");
    }
}

#[test]
fn words_and_templates_are_checked_when_loaded() {
    let rule = |scope: &str, issue: &str, rest: &str| {
        problems(&file(&format!(
            "  - name: a\n    on: [x.y]\n    outcome: {{failure: [{{match: {{}}}}], success: [{{match: {{data.a: b}}}}]}}\n    scope: {{resourceType: {scope}, resourceName: n, resourceNamespace: n}}\n    issue: {{title: t, {issue}}}\n{rest}"
        )))
    };
    assert_eq!(rule("c", "issueType: build", ""), Vec::<String>::new());
    assert!(rule("c", "issueType: bild", "")[0].contains("did you mean \"build\"?"));
    assert!(rule("c", "severity: awful", "")[0].contains("known: info, minor, major, critical"));
    assert!(rule("'{{ data.x | nosuch }}'", "severity: info", "")[0].starts_with("t.yaml:8:27: template:"));
    assert!(rule("'{{ data.x'", "severity: info", "")[0].contains("template:"));
    assert!(rule("'{{ data.get-sli }}'", "severity: info", "")[0].contains("data[\"a-b\"]"));
    assert!(rule("c", "severity: info", "    resolves: scoop\n")[0].contains("did you mean \"scope\"?"));
    assert!(rule("c", "severity: info", "    reason: x\n")[0].contains("reason without ignore"));
    assert!(
        rule("c", "severity: info", "  - {name: a, on: [z.z], ignore: true, reason: r}\n")[0]
            .contains("stands already in t.yaml line 5")
    );
    for (text, part) in [
        ("", "not a mapping"),
        ("[]", "not a mapping"),
        ("rules: []", "has no \"apiVersion\""),
        ("apiVersion: v2\nkind: RuleSet\nmetadata: {name: x}", "only \"shipwatch.dev/v1\" is read"),
        (&file("  - 7\n"), "rule is a number"),
        (&file("  - {name: x, on: [a.b]}\n"), "neither \"outcome\" nor \"ignore\""),
        (&file("  - {name: x, on: [a.b], ignore: true}\n"), "without \"reason\""),
        (&file("  - {name: x, outcome: {neutral: [{match: {}}]}}\n"), "has no \"on\""),
        (&file("  - {name: x, on: [a.b], outcome: {failure: [{}]}}\n"), "has no \"match\""),
        (&file("  - {name: x, on: [a.b], outcome: {success: [{match: {}}]}}\n"), "has no \"scope\""),
        (&file("  - {name: x, on: [a.b], ignore: yes, reason: r}\n"), "not true or false"),
        (&file("  - {name: x, name: y, on: [a.b], ignore: true, reason: r}\n"), "stands twice"),
        (
            &file("  - {name: x, on: [a.b], match: {data.a: null}, ignore: true, reason: r}\n"),
            "absence is {exists: false}",
        ),
        (&file("  - {name: x, webhook: {name: \"Big Name\"}, ignore: true, reason: r}\n"), "webhook name"),
        (
            &file("  - {name: x, webhook: {name: nc}, on: [acme.x], ignore: true, reason: r}\n"),
            "t.yaml:5:31: webhook \"nc\": \"on\" does not cover dev.shipwatch.webhook.nc.failure and dev.shipwatch.webhook.nc.success, \
             which would be lost (add dev.shipwatch.webhook.nc.* to on, or leave on out)",
        ),
        (
            &file(
                "  - {name: x, webhook: {name: nc}, on: [acme.x, dev.shipwatch.webhook.nc.failure], ignore: true, reason: r}\n",
            ),
            "does not cover dev.shipwatch.webhook.nc.success, which",
        ),
        (
            &file("  - {name: x, webhook: {name: nc}, adapter: {subject: a.b, id: i, type: t}}\n"),
            "neither \"outcome\" nor \"ignore\"",
        ),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|p| p.contains(part)), "{part}: {found:?}");
    }
}

#[test]
fn an_event_that_lacks_what_a_template_needs_is_named() {
    let rule = |name: &str, rest: &str| {
        compile(&format!(
            "  - name: a\n    on: [x.y]\n    outcome: {{failure: [{{match: {{}}}}]}}\n    scope: {{resourceType: c, resourceName: \"{name}\", resourceNamespace: n}}\n    issue: {{title: t}}\n{rest}"
        ))
    };
    let e = event("x.y", json!({"e": "", "ctl": "a\u{1}b", "long": "x".repeat(2000), "when": "soon", "n": 5}));
    assert_eq!(
        broken(rule("{{ data.gone }}", "").evaluate(&e)),
        "scope.resourceName \"{{ data.gone }}\": data.gone is missing"
    );
    assert!(broken(rule("{{ data.e }}", "").evaluate(&e)).contains("is empty"));
    assert!(broken(rule("{{ data.ctl }}", "").evaluate(&e)).contains("control character"));
    assert!(broken(rule("{{ data.long }}", "").evaluate(&e)).contains("longer than 1024 bytes"));
    assert!(broken(rule("n", "    at: \"{{ data.when }}\"\n").evaluate(&e)).contains("at is \"soon\""));
    assert_eq!(broken(rule("n", "    require: [data.e]\n").evaluate(&e)), "data.e is missing");
    let said = signal(rule("{{ data.n }}", "    at: \"1767323045\"\n    run: \"{{ data.gone }}\"\n").evaluate(&e));
    assert_eq!((said.key.scope.resource_name.as_str(), said.run.as_str(), &*said.key.check), ("5", "e1", "a"));
    assert_eq!(said.at.unwrap().to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(said.texts.unwrap().severity, crate::domain::issue::Severity::Major);
}

#[test]
fn texts_are_cut_and_cleaned() {
    let set = compile(concat!(
        "  - name: a\n    on: [x.y]\n    outcome: {warning: [{match: {}}]}\n",
        "    scope: {resourceType: c, resourceName: n, resourceNamespace: n}\n",
        "    issue:\n      title: \"{{ data.t }}\"\n      description: \"{{ data.d }}\"\n      severity: \"{{ data.s | default('') }}\"\n",
        "      links:\n        - {title: \"a\\nb\", url: \"{{ data.u }}\"}\n        - {title: gone, url: \"{{ data.gone }}\"}\n        - {title: bad, url: \"javascript:alert(1)\"}\n",
    ));
    let e = event(
        "x.y",
        json!({"t": format!("a\nb\u{7}{}", "é".repeat(900)), "d": format!("1\r\n2\u{1b}[31m{}", "x".repeat(1 << 20)), "u": " https://x/ ",
        "labels": {"build": 17}}),
    );
    let texts = signal(set.evaluate(&e)).texts.unwrap();
    assert!(
        texts.title.starts_with("a b é") && texts.title.ends_with('…') && texts.title.len() <= 1024,
        "{}",
        texts.title.len()
    );
    assert!(texts.description.starts_with("1\n2 [31mx") && texts.description.len() <= 64 << 10);
    assert_eq!(texts.links, [Link { title: "a b".into(), url: "https://x/".into() }]);
    assert_eq!(texts.severity, Severity::Minor);
    assert_eq!(texts.labels["build"], "17");
}

#[test]
fn conditions_compare_as_the_contract_says() {
    let holds = |condition: &str, data: Value| {
        let set = compile(&format!("  - {{name: a, on: [x.>], match: {{{condition}}}, ignore: true, reason: r}}\n"));
        set.evaluate(&event("x.y.z", data)) != Verdict::NoRule
    };
    assert!(holds("data.a: x", json!({"a": "x"})) && !holds("data.a: x", json!({})));
    assert!(holds("data.a: [y, \"x*\"]", json!({"a": "xyz"})));
    assert!(holds("data.a: true", json!({"a": true})) && holds("data.a: true", json!({"a": "true"})));
    assert!(holds("data.a: 3", json!({"a": 3})) && !holds("data.a: 3", json!({"a": 4})));
    assert!(holds("data.v: 1.10", json!({"v": "1.10"})) && holds("data.v: 1.10", json!({"v": 1.1})));
    assert!(holds("data.a: {not: x}", json!({"a": "y"})) && holds("data.a: {not: x}", json!({})));
    assert!(!holds("data.a: {not: [x, \"y?\"]}", json!({"a": "yz"})));
    assert!(!holds("data.a: {not: x, exists: true}", json!({})));
    assert!(holds("data.a: {exists: false}", json!({"a": null})) && holds("data.a: {exists: true}", json!({"a": ""})));
    assert!(holds("'data[\"a-b\"].c[1]': z", json!({"a-b": {"c": ["y", "z"]}})));
    assert!(holds("type: \"x.*\", source: s", json!({})));
    assert!(holds("data.a: \"{*\"", json!({"a": {"b": 1}})));
}

#[test]
fn the_first_rule_that_fits_decides_and_the_first_list_of_it() {
    let set = compile(concat!(
        "  - {name: skip, on: [x.*], match: {data.skip: true}, ignore: true, reason: not now}\n",
        "  - name: main\n    on: [x.>]\n    outcome:\n",
        "      success: [{match: {data.r: [ok, both]}}]\n      failure: {match: {data.r: [bad, both]}}\n      neutral: [{match: {data.r: both, data.n: true}, reason: said so}]\n",
        "    scope: {resourceType: c, resourceName: n, resourceNamespace: n}\n    issue: {title: t}\n",
        "  - {name: never, on: [x.y], ignore: true, reason: unreachable}\n",
    ));
    let say = |data: Value| Told::of(&set.evaluate(&event("x.y", data)));
    assert_eq!((say(json!({"skip": true})).outcome, say(json!({"r": "ok"})).outcome), ("ignored", "success"));
    assert_eq!(
        (say(json!({"r": "both"})).outcome, say(json!({"r": "both", "n": true})).why),
        ("failure", "said so".into())
    );
    assert_eq!(say(json!({"r": "else"})).why, "no outcome fits: data.r is \"else\", data.n is absent");
    assert_eq!(say(json!({})).rule, "main");
    assert_eq!(set.evaluate(&event("y.y", json!({}))), Verdict::NoRule);
    let findings = lint(&set);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!((&*findings[0].rule, findings[0].kind), ("never", FindingKind::Unreachable));

    let story = set.explain(&event("x.y", json!({"r": "both"})));
    assert_eq!(
        story.tried.iter().map(|t| (t.rule.as_str(), t.fits)).collect::<Vec<_>>(),
        [("skip", false), ("main", true)]
    );
    assert_eq!(story.tried[0].conditions[0].seen, None);
    assert_eq!(
        story.tried[1].outcomes.iter().map(|o| (o.outcome, o.holds)).collect::<Vec<_>>(),
        [("neutral", false), ("failure", true), ("success", true)]
    );
    assert_eq!((story.result.outcome, story.passed_over), ("failure", 0));
}

#[test]
fn lint_doubts_what_is_allowed() {
    let set = RuleSet::compile(&[("t.yaml", file(concat!(
        "  - name: opens\n    on: [x.a.*]\n    outcome: {failure: [{match: {data.r: bad}}]}\n",
        "    scope: {resourceType: c, resourceName: \"{{ data.name }}\", resourceNamespace: \"{{ data.gone | default('n') }}\"}\n    issue: {title: t}\n",
        "  - {name: crosses, on: [x.*.b], match: {data.q: 1}, ignore: true, reason: r}\n",
        "  - {name: apart, on: [x.*.c], match: {data.q: {exists: false}}, ignore: true, reason: r}\n",
        "tests:\n  - {name: t, event: {type: x.a.c, data: {r: bad, name: n}}, expect: {outcome: failure}}\n",
    )))]).unwrap();
    let kinds: Vec<_> = lint(&set).into_iter().map(|f| (f.rule.to_string(), f.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("opens".into(), FindingKind::Unresolved),
            ("opens".into(), FindingKind::UnknownPath),
            ("crosses".into(), FindingKind::Overlapping),
            ("apart".into(), FindingKind::Overlapping),
        ]
    );
}

#[test]
fn lint_compares_what_can_meet_and_gives_up_on_too_much() {
    let rules = |count: usize, rest: fn(usize) -> String| -> String {
        (0..count).map(|n| format!("  - {{name: r{n}, ignore: true, reason: r, {}}}\n", rest(n))).collect()
    };
    let lint_of = |rules: &str| lint(&compile(rules)).into_iter().map(|f| f.kind).collect::<Vec<_>>();
    assert_eq!(lint_of(&rules(1000, |n| format!("on: [a.b], match: {{data.kind: x, data.p: p{n}}}"))), []);
    assert_eq!(lint_of(&rules(1000, |_| "on: [a.b]".into())), [FindingKind::Unreachable; 999]);
    // Any two of them meet on some event.
    let crossing = |n| format!("on: [a.b], match: {{data.p{n}: [q, r, s, t, u, v, w, x, y, z]}}");
    assert_eq!(lint_of(&rules(300, crossing)), []);
    assert_eq!(lint_of(&rules(800, crossing)), [FindingKind::Uncompared]);
}

#[test]
fn the_files_together_have_a_limit_too() {
    let files: Vec<_> = (0..2)
        .map(|f| {
            let rule = |n| format!("  - {{name: r{f}-{n}, on: [a.b{n}], ignore: true, reason: r}}\n");
            (format!("rules/{f}.yaml"), file(&(0..10_001).map(rule).collect::<String>()))
        })
        .collect();
    let found = RuleSet::with_builtin(&files).unwrap_err();
    assert_eq!(
        found.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["rules/1.yaml: the files up to this one have more rules than the limit of 20000"]
    );
}

#[test]
fn a_list_of_mistakes_has_an_end() {
    let found = problems(&format!("{}{}", file("  - {}\n"), "oops: 1\n".repeat(2000)));
    assert_eq!((found.len(), &*found[1000]), (1001, "t.yaml: 1003 more mistakes are not listed"));
}

#[test]
fn a_set_knows_its_subjects_texts_and_hash() {
    let set = RuleSet::builtin();
    for subject in [
        "sh.keptn.>",
        "dev.tekton.>",
        "dev.cdevents.>",
        "dev.shipwatch.>",
        "com.github.>",
        "com.gitlab.>",
        "io.argoproj.>",
        "flux.>",
        "dev.knative.apiserver.>",
    ] {
        assert!(set.subjects().iter().any(|s| s == subject), "{subject}: {:?}", set.subjects());
    }
    let again = RuleSet::compile(set.texts()).unwrap();
    assert_eq!((again.hash(), again.hash().len(), set.short_hash().len()), (set.hash(), 64, 12));
    let team = RuleSet::with_builtin(&[("b.yaml", EXAMPLE)]).unwrap();
    assert_ne!(team.hash(), set.hash());
    assert_eq!(team.rules().next().unwrap().name, "build");
    let names: Vec<_> = set.webhooks().iter().map(|w| w.name.to_string()).collect();
    assert_eq!(names, ["pipeline", "release", "build", "deployment", "security-scan", "mintmaker-custom"]);
}

#[test]
fn raw_bodies_are_lifted_or_named() {
    let set = RuleSet::builtin();
    assert!(set.lift("elsewhere", &json!({"a": 1})).is_none());
    assert!(set.lift("flux.a", &json!({"a": 1})).unwrap().unwrap_err().contains("is missing"));
    let bare = json!({"context": {"id": "1", "source": "s", "type": "dev.cdevents.build.finished.0.3.0", "chainId": "c"}, "subject": {"id": "b"}});
    let lifted = set.lift("any.where", &bare).unwrap().unwrap();
    assert_eq!(
        (lifted.ty.as_str(), lifted.subject.as_deref(), lifted.extension("chainid")),
        ("dev.cdevents.build.finished.0.3.0", Some("b"), Some("c"))
    );
    assert_eq!(
        set.lift("x", &json!({"context": {}, "subject": {}})).unwrap().unwrap_err(),
        "CDEvent: context.id is missing"
    );
    assert!(set.adapters().iter().any(|a| a.accepts("flux.prod") && a.rule() == "flux"));
}

#[test]
fn more_rules_than_anyone_writes_are_read_or_refused_in_time() {
    let rules: String =
        (0..2000).map(|n| format!("  - {{name: r{n}, on: [a.b{n}.*], ignore: true, reason: r}}\n")).collect();
    assert_eq!(compile(&rules).rules().len(), 2000);
    let many = "  - {}\n".repeat(100_000);
    assert!(problems(&file(&many))[0].contains("over the limit"), "{:?}", &problems(&file(&many))[..1]);
}

#[test]
fn rules_are_found_by_what_tells_them_apart() {
    let rule = |n| {
        format!(
            "  - {{name: r{n}, on: [a.b], match: {{data.p: shop, data.q: [s{n}, 's{n}-*']}}, ignore: true, reason: r}}\n"
        )
    };
    let set = compile(&(0..50).map(rule).collect::<String>());
    let tried = |data| set.inner.index.candidates(&View::of(&event("a.b", data))).to_vec();
    assert_eq!(tried(json!({"p": "shop", "q": "s7"})), [7]);
    assert_eq!(tried(json!({"p": "shop", "q": "s23-x"})), [23]);
    assert!(tried(json!({"p": "shop", "q": "other"})).is_empty());
}

fn rule_text() -> impl Strategy<Value = String> {
    let on = "[ab](\\.[ab*]){0,2}(\\.>)?";
    let value = prop_oneof![
        "[xy]".prop_map(|w| w),
        Just("[x, y]".to_owned()),
        Just("\"x*\"".to_owned()),
        Just("[\"xy*\", \"1?\", z]".to_owned()),
        Just("{not: \"x*\", exists: true}".to_owned()),
        Just("{not: x}".to_owned()),
        Just("{exists: false}".to_owned()),
        Just("1".to_owned()),
    ];
    let matches = prop::collection::btree_map("data\\.[pq]", value, 0..3);
    (prop::collection::vec(on, 1..3), matches).prop_map(|(on, matches)| {
        let on = on.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ");
        let matches = matches.iter().map(|(k, v)| format!("{k}: {v}")).collect::<Vec<_>>().join(", ");
        format!("on: [{on}], match: {{{matches}}}, ignore: true, reason: r")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_rival_is_overlooked(rules in prop::collection::vec(rule_text(), 1..40)) {
        let text: String = rules.iter().enumerate().map(|(n, r)| format!("  - {{name: r{n}, {r}}}\n")).collect();
        let set = compile(&text);
        let all = &set.inner.rules;
        let (mut rivals, mut budget) = (rivals::Rivals::among(all), rivals::Budget::of(u64::MAX));
        for (number, rule) in all.iter().enumerate() {
            let found = rivals.of(rule, &mut budget).unwrap();
            for (earlier, rival) in all[..number].iter().enumerate() {
                let meet = rival.on.iter().any(|a| rule.on.iter().any(|b| a.overlaps(b)));
                let must = meet && !lint::exclude(&rival.conditions, &rule.conditions);
                prop_assert!(!must || found.contains(&(earlier as u32)), "{earlier} {number}\n{text}");
            }
            rivals.add(number as u32, rule);
        }
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}", yaml in "[a-z:{}\\[\\]\"'&*!|>\\-?,# \n]{0,200}") {
        let _ = RuleSet::compile(&[("a", &text), ("b", &yaml), ("c", &file(&yaml))]);
    }

    #[test]
    fn no_damage_to_a_file_makes_the_loader_panic(at in 0usize..EXAMPLE.len(), with in "\\PC{0,4}", gone in 0usize..40) {
        let (mut from, mut to) = (at, (at + gone).min(EXAMPLE.len()));
        while !EXAMPLE.is_char_boundary(from) { from -= 1; }
        while !EXAMPLE.is_char_boundary(to) { to += 1; }
        let text = format!("{}{with}{}", &EXAMPLE[..from], &EXAMPLE[to..]);
        if let Ok(set) = RuleSet::compile(&[("a", &text)]) {
            run_tests(&set);
            lint(&set);
        }
    }

    #[test]
    fn no_template_panics(template in "[a-z. |()'~\\[\\]0-9{}%\\-\"]{0,60}", wrapped in any::<bool>()) {
        let source = if wrapped { format!("{{{{ {template} }}}}") } else { template };
        let mut engine = engine::Engine::new();
        if let Ok(template) = template::Template::parse(&source, &mut engine) {
            let event = event("a.b", json!({"a": [1, {"b": null}], "b": "x"}));
            let _ = template.render(&View::of(&event), &engine, 100);
            template.paths(&engine);
        }
    }
}

#[test]
fn a_webhook_says_which_fields_are_of_the_wrong_kind() {
    let rules = r#"apiVersion: shipwatch.dev/v1
kind: RuleSet
metadata: {name: hooks}
rules:
  - name: nightly
    webhook: {name: nightly, required: {failure: [job, found]}, text: [host], lists: [steps]}
    match: {data.repository.private: "false"}
    outcome: {failure: [{match: {type: '*.failure'}}]}
    scope: {resourceType: job, resourceName: "{{ data.job }}", resourceNamespace: "{{ data.team.name }}"}
    issue: {title: "{{ data.job }}", description: "{{ data.found | join(', ') }} {{ data.why }}"}
"#;
    let set = RuleSet::compile(&[("hooks.yaml", rules)]).unwrap();
    let wrong = |body: serde_json::Value| set.webhooks()[0].wrong_kinds(&body);
    let good = json!({"job": 7, "team": {"name": true}, "found": ["a", {"b": 1}], "host": "h", "steps": ["a"],
        "repository": {"private": false}, "more": [1], "why": {"engine": "writes it"}});
    assert_eq!(wrong(good), Vec::<String>::new());
    assert_eq!(wrong(json!({"job": null, "host": null, "steps": null})), Vec::<String>::new());
    let bad = json!({"job": {"a": 1}, "team": {"name": [1]}, "host": 7, "steps": ["a", 1]});
    let want = [
        "host is a number, not a string",
        "steps[1] is a number, not a string",
        "job is an object, not a string",
        "team.name is an array, not a string",
    ];
    assert_eq!(wrong(bad), want);
    assert_eq!(wrong(json!({"steps": "a"})), ["steps is a string, not a list of strings"]);
}
