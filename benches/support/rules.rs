//! Rules as teams write them, as many as wanted, that are tried before the packs and fit none of the events.

use std::fmt::Write as _;

use shipwatch::domain::rules::RuleSet;

/// So many rules are compared.
pub const COUNTS: [usize; 2] = [10, 1_000];

/// What `on` and `match` of the rule of a number are.
pub type Rule = fn(usize) -> (String, String);

/// The kinds of rules that are measured, by what they are about.
pub const KINDS: [(&str, Rule); 3] = [
    ("rules of other types", |n| (format!("com.example.team-{}.job-{n}.*", n % 20), String::new())),
    ("rules of this type, by service", |n| {
        ("sh.keptn.event.test.finished".into(), format!("{{data.service: other-{n}}}"))
    }),
    ("of one project, by service", |n| {
        let words =
            format!("{{data.project: shop, data.stage: [staging, prod], data.service: [other-{n}, 'other-{n}-*']}}");
        ("sh.keptn.event.test.finished".into(), words)
    }),
];

/// So many rules of a kind, and the packs behind them.
pub fn team(count: usize, kind: Rule) -> RuleSet {
    let mut text = String::from("apiVersion: shipwatch.dev/v1\nkind: RuleSet\nmetadata: {name: team}\nrules:\n");
    for n in 0..count {
        let (on, fits) = kind(n);
        let _ = write!(text, "  - name: rule-{n}\n    on: [{on}]\n");
        if !fits.is_empty() {
            let _ = writeln!(text, "    match: {fits}");
        }
        text.push_str(
            "    outcome: {failure: [{match: {data.result: fail}}], success: [{match: {data.result: pass}}]}
    scope: {resourceType: job, resourceName: \"{{ data.service }}\", resourceNamespace: \"{{ data.project }}\"}
    issue: {issueType: test, title: \"{{ data.service }} failed\"}
",
        );
    }
    RuleSet::with_builtin(&[("team.yaml", text)]).unwrap_or_else(|problems| panic!("{problems:#?}"))
}
