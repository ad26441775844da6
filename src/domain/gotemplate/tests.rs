//! The language, table by table.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn root() -> Value {
    json!({
        "id": "e1", "type": "sh.keptn.event.test.triggered", "shkeptncontext": "ctx",
        "data": {
            "project": "shop", "stage": "dev", "service": "carts", "count": 3, "big": 12345678901234567890u64, "large": 1e21,
            "small": 1.5e-7, "one": 1.0, "ok": true, "none": null, "empty": "", "zero": 0, "list": ["a", {"b": "c"}, [1, 2]], "no": [],
            "labels": {"b": "2", "a": "1"}, "get-sli": {"start": "s", "n": 7}, "quote": "a \"b\"\nc\\", "html": "<a href='x'>&",
            "url": "https://other.example/x y", "evil": "evil.example/", "é": "ü"
        },
        "env": {"token": "t0k", "base": "https://api.example"},
        "secret": {"tracker": {"token": "s3c", "api-key": "k3y"}},
        "callback": {"url": "https://cb.example/1"}
    })
}

fn parse(source: &str, format: Format) -> Template {
    Template::parse(source, format).unwrap_or_else(|e| panic!("{source}: {e:?}"))
}

fn render(source: &str, format: Format) -> Result<String, String> {
    parse(source, format).render(&root(), 10_000).map_err(|e| e.to_string())
}

fn is(source: &str, want: &str) {
    assert_eq!(render(source, Format::Text).as_deref(), Ok(want), "{source}");
}

fn fails(source: &str, want: &str) {
    let said = render(source, Format::Text).expect_err(source);
    assert!(said.contains(want), "{source}: {said}");
}

fn refused(source: &str, place: (u32, u32), want: &str) {
    let wrong = Template::parse(source, Format::Text).expect_err(source);
    assert_eq!((wrong.at.line, wrong.at.column), place, "{source}: {wrong:?}");
    let said = format!("{} {}", wrong.message, wrong.suggestion.unwrap_or_default());
    assert!(said.contains(want), "{source}: {said}");
}

#[test]
fn values_and_paths() {
    is("", "");
    is("plain } text }} {", "plain } text }} {");
    is("{{.data.service}}/{{ .shkeptncontext }}", "carts/ctx");
    is("{{index .data \"get-sli\" \"start\"}} {{index .data.list 0}} {{(index .data.list 1).b}}", "s a c");
    is("{{index .data.list 2 1}}{{index .data.list}}", r#"2["a",{"b":"c"},[1,2]]"#);
    is("{{$.data.stage}}{{$x := .data}}{{$x.stage}}{{($x).stage}}{{.data.é}}", "devdevdevü");
    is("{{.data.count}} {{.data.big}} {{.data.large}}", "3 12345678901234567890 1000000000000000000000");
    is("{{.data.small}} {{.data.one}} {{.data.ok}} {{.data.none}}", "0.00000015 1.0 true null");
    is("{{.data.labels}}{{.data.list}}", r#"{"a":"1","b":"2"}["a",{"b":"c"},[1,2]]"#);
    is("{{\"a\\n\\u00e9\\x41\\\"\"}}{{`b\\n`}}{{-1}}{{+2}}{{1.5}}{{nil}}{{true}}", "a\néA\"b\\n-121.5nulltrue");
    is("{{.env.token}} {{$.secret.tracker.token}} {{index .secret \"tracker\" \"api-key\"}}", "t0k s3c k3y");
    is("{{index .secret.tracker \"api-key\"}}{{.callback.url}}", "k3yhttps://cb.example/1");
}

#[test]
fn control_flow() {
    is("{{if .data.ok}}y{{else}}n{{end}}{{if .data.zero}}y{{else if .data.count}}m{{else}}n{{end}}", "ym");
    is("{{if .data.none}}a{{else if .data.empty}}b{{else}}c{{end}}{{if .data.no}}d{{end}}", "c");
    is("{{range .data.list}}[{{.}}]{{end}}", r#"[a][{"b":"c"}][[1,2]]"#);
    is("{{range $i, $v := .data.labels}}{{$i}}={{$v}};{{end}}", "a=1;b=2;");
    is(
        "{{range $v := .data.labels}}{{$v}}{{end}}{{range .data.no}}x{{else}}none{{end}}{{range .data.none}}x{{end}}",
        "12none",
    );
    is("{{range $i, $v := index .data.list 2}}{{if $i}}, {{end}}{{$v}}{{end}}", "1, 2");
    is("{{with .data.labels}}{{.a}}{{$.data.stage}}{{end}}{{with .data.empty}}x{{else}}{{.id}}{{end}}", "1deve1");
    is("{{with $x := .data.stage}}{{$x}}{{.}}{{end}}{{if $y := .data.count}}{{$y}}{{end}}", "devdev3");
    is("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{$x}}{{end}}{{$x}}", "32");
    is("{{$x := 1}}{{range .data.list}}{{$x = .}}{{end}}{{$x}}", "[1,2]");
    is("a {{- /* c }} */ -}} b{{/* d */}} c", "ab c");
    is("a \n {{- .data.stage -}} \n b {{ 1 -}} \n{{- 2 }}", "adevb 12");
    is("{{\n .data.stage\n}}", "dev");
}

#[test]
fn functions() {
    for (source, want) in [
        ("and .data.ok .data.count", "3"),
        ("and .data.zero .data.nothing", "0"),
        ("or .data.empty .data.stage", "dev"),
        ("or .data.ok .data.nothing", "true"),
        ("not .data.ok", "false"),
        ("eq .data.count 3", "true"),
        ("eq .data.one 1", "true"),
        ("eq .data.big 12345678901234567890", "true"),
        ("eq .data.stage \"a\" \"dev\"", "true"),
        ("eq .data.stage 3", "false"),
        ("eq .data.none nil", "true"),
        ("ne .data.stage `dev`", "false"),
        ("lt 1 2", "true"),
        ("le \"b\" \"a\"", "false"),
        ("gt .data.small 0", "true"),
        ("ge 2 2", "true"),
        ("len .data.list", "3"),
        ("len \"é\"", "2"),
        ("len .data.labels", "2"),
        ("print 1 2 \"a\" 3 true", "1 2a3 true"),
        ("println 1 \"a\"", "1 a\n"),
        ("html .data.html", "&lt;a href=&#39;x&#39;&gt;&amp;"),
        ("js .data.quote", "a \\\"b\\\"\\u000Ac\\\\"),
        ("js \"<='\"", "\\u003C\\u003D\\'"),
        ("urlquery \"a b/é?&\"", "a+b%2F%C3%A9%3F%26"),
        ("json .data.quote", r#""a \"b\"\nc\\""#),
        (".data.labels | json", r#"{"a":"1","b":"2"}"#),
        ("json .data.large", "1000000000000000000000"),
        (".data.nothing.at.all | default \"d\"", "d"),
        (".data.nothing | html | default \"d\" | printf \"%s!\"", "d!"),
        ("default \"d\" .data.stage.x", "d"),
        ("default \"d\" .data.none", "d"),
        (".data.empty | default .data.stage", "dev"),
        (".data.zero | default 1", "0"),
        ("index .data \"no-such\" | default \"d\"", "d"),
        ("index .data.list 9 | default \"d\"", "d"),
        ("printf \"%s-%d-%v\" .data.stage .data.count .data.labels", r#"dev-3-{"a":"1","b":"2"}"#),
        ("printf \"%5s|%-5s|%05d|%+d|%%|%t\" \"é\" \"b\" -3 4 true", "    é|b    |-0003|+4|%|true"),
        (
            "printf \"%.2f %f %.3s %q %x %X %c\" 1.005 2 \"abcdef\" \"a\\\"\" 255 255 65",
            "1.00 2.000000 abc \"a\\\"\" ff FF A",
        ),
        ("printf \"%g %.3g %e\" .data.small 1234567.0 1500", "0.00000015 1230000 1.500000e+03"),
        ("printf \"%.0f\" .data.large", "1000000000000000000000"),
        (".data.stage | printf \"%s %s\" `x`", "x dev"),
        ("printf (print \"%\" \"d\") 3", "3"),
        ("eq (len .data.list) (index .data \"count\")", "true"),
    ] {
        is(&format!("{{{{{source}}}}}"), want);
    }
    is("{{if index .data \"no-such\"}}y{{else}}n{{end}}{{if eq (index .data \"no-such\") nil}}y{{end}}", "ny");
}

#[test]
fn what_is_missing_or_unfit_is_named() {
    fails("{{.data.nothing}}", ".data.nothing is missing");
    fails("a\n\n{{.data.stage.x}}", "line 3: .data.stage.x is missing: .data.stage is a string");
    fails("{{if .data.nothing}}{{end}}", ".data.nothing is missing");
    fails("{{$x := .data}}{{$x.y.z}}", "$x.y is missing");
    fails("{{index .data \"no-such\"}}", "no key \"no-such\"");
    fails("{{index .data \"no-such\" \"x\"}}", "no key \"no-such\"");
    fails("{{index .data.list 3}}", "no item 3");
    fails("{{index .data.list -1}}", "no item -1");
    fails("{{index .data.list \"a\"}}{{index .data 1}}", "indexed by a number");
    fails("{{eq .data.list .data.list}}", "cannot be compared");
    fails("{{lt 1 \"a\"}}", "cannot be compared");
    fails("{{range .data.stage}}{{end}}", "range over a string");
    fails("{{len 3}}", "no length");
    fails("{{printf \"%d\" .data.stage}}", "%d of a string");
    fails("{{printf .data.stage 1}}", "0 verbs for 1 values");
    fails("{{.env.other}}", ".env.other is missing");
    fails("{{index .data .secret.tracker.token}}{{printf \"%d\" 1.5}}", "no such key");
    fails("{{printf \"%d\" 1.5}}", "a number with a fraction");
}

#[test]
fn mistakes_are_found_with_their_place() {
    refused("a\n {{.x", (2, 2), "not closed");
    refused("{{.x}} {{ foo }}", (1, 11), "function \"foo\" is unknown");
    refused("{{ defualt 1 }}", (1, 4), "did you mean \"default\"");
    refused("{{.data.get-sli}}", (1, 12), "index .data \"get-sli\"");
    refused("{{if .x}}", (1, 1), "if is not closed");
    refused("{{range .x}}{{else}}", (1, 1), "range is not closed");
    refused("{{end}}", (1, 1), "end without");
    refused("\n{{else}}", (2, 1), "else without");
    refused("{{if 1}}{{else}}{{else}}{{end}}", (1, 17), "second else");
    refused("{{}}", (1, 1), "empty");
    refused("{{/* x", (1, 1), "comment");
    refused("{{\"x}}", (1, 3), "not closed by \"");
    refused("{{`x}}", (1, 3), "not closed by `");
    refused("{{(.x}}", (1, 3), "parenthesis");
    refused("{{.x)}}", (1, 5), "`)`");
    refused("{{.x .y}}", (1, 6), "not a function");
    refused("{{.x | .y}}", (1, 8), "not a function");
    refused("{{$x}}", (1, 3), "$x is not declared");
    refused("{{if 1}}{{$x := 1}}{{end}}{{$x}}", (1, 29), "$x is not declared");
    refused("{{$x = 1}}", (1, 1), "$x is not declared");
    refused("{{not}}", (1, 3), "not takes 1 argument");
    refused("{{len 1 2}}", (1, 3), "len takes 1 argument, not 2");
    refused("{{printf \"%d\"}}", (1, 3), "1 verbs for 0 values");
    refused("{{printf \"%z\" 1}}", (1, 3), "verb 'z'");
    refused("{{printf \"%99999d\" 1}}", (1, 3), "limit");
    refused("{{.x\"a\"}}", (1, 5), "space");
    refused("{{template \"x\"}}", (1, 1), "not supported");
    refused("{{break}}", (1, 1), "not supported");
    refused("{{1.2.3}}", (1, 3), "not a number");
    refused("{{.x; }}", (1, 5), "';'");
    refused("{{\"\\q\"}}", (1, 3), "escape");
    refused("{{.secret.a}}", (1, 3), ".secret.<name>.<key>");
    refused("{{.env}}", (1, 3), ".env.<name>");
    refused("{{json .secret}}", (1, 8), "not a value as a whole");
    refused("{{index .secret .x \"k\"}}", (1, 3), "not a value as a whole");
    refused("{{index .env .x}}", (1, 3), "not a value as a whole");
    refused("{{.env.a.b}}", (1, 3), "no member .b");
    refused(&"{{if 1}}".repeat(40), (1, 257), "blocks");
    refused(&format!("{{{{{}1{}}}}}", "(".repeat(40), ")".repeat(40)), (1, 35), "parentheses in one another");
}

#[test]
fn the_root_shows_nothing_of_the_operator() {
    for source in [
        "{{json .}}",
        "{{.}}",
        "{{print $}}",
        "{{with .}}{{json .}}{{end}}",
        "{{$x := .}}{{$x}}",
        "{{range $k, $v := .}}{{$k}}{{$v}}{{end}}",
        "{{printf \"%v\" .}}",
        "{{index .}}",
    ] {
        let said = render(source, Format::Text).unwrap();
        assert!(said.contains("carts") && !said.contains("secret") && !said.contains("s3c"), "{source}: {said}");
    }
    is("{{len .}}", "4");
    for source in
        ["{{with .}}{{.secret}}{{end}}", "{{$x := .}}{{$x.secret.tracker.token}}", "{{index . \"env\" \"token\"}}"]
    {
        fails(source, "");
    }
    let value = parse("{{.}}", Format::Json).value(&root(), 10_000).unwrap();
    assert_eq!(value["id"], "e1");
    assert!(value.get("secret").is_none());
}

#[test]
fn what_a_template_names_is_known() {
    let template = parse(
        "{{.env.a}}{{range .x}}{{$.secret.n.k}}{{.env.b}}{{end}}\n{{index .secret.m \"a-b\"}}{{.data.env.c}}",
        Format::Text,
    );
    let named: Vec<_> = template.named().iter().map(|n| format!("{}:{}", n.kind.word(), n.path.join("/"))).collect();
    assert_eq!(named, ["env:a", "secret:n/k", "secret:m/a-b"]);
    assert_eq!(template.named()[2].at, At { line: 2, column: 9 });
}

#[test]
fn in_json_nothing_breaks_out() {
    let json = |source: &str| -> Value {
        let text = render(source, Format::Json).unwrap_or_else(|e| panic!("{source}: {e}"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{source}: {text}: {e}"))
    };
    let quote = "a \"b\"\nc\\";
    assert_eq!(json(r#"{"a": "x {{.data.quote}}"}"#), json!({"a": format!("x {quote}")}));
    assert_eq!(json(r#"{"a": {{.data.quote}}, "n": {{.data.count}}}"#), json!({"a": quote, "n": 3}));
    assert_eq!(
        json(r#"{"a": {{.data.labels}}, "b": {{json .data.quote}}}"#),
        json!({"a": {"a": "1", "b": "2"}, "b": quote})
    );
    assert_eq!(json(r#"{"a": "{{json .data.labels}}"}"#), json!({"a": r#"{"a":"1","b":"2"}"#}));
    assert_eq!(
        json(r#"{"a": "{{.data.labels}}", "b": "{{.data.none}}"}"#),
        json!({"a": r#"{"a":"1","b":"2"}"#, "b": "null"})
    );
    assert_eq!(
        json(r#"{"a": "\"{{.data.quote | js}}\"", "b": {{js .data.quote}}}"#),
        json!({"a": format!("\"{quote}\""), "b": quote})
    );
    assert_eq!(
        json(r#"{"a": {{printf "%q" .data.quote}}, "n": {{printf "%.0f" .data.large}}}"#),
        json!({"a": quote, "n": 1e21})
    );
    assert_eq!(
        json(r#"{"a": {{printf "%s" "1"}}, "b": {{eq 1 1}}, "c": {{len "ab"}}}"#),
        json!({"a": "1", "b": true, "c": 2})
    );
    assert_eq!(json(r#"[{{range $i, $v := .data.list}}{{if $i}},{{end}}{{$v}}{{end}}]"#), root()["data"]["list"]);
    assert_eq!(json(r#"{"a{{if .data.ok}}b":"{{.data.quote}}"{{else}}":1{{end}}}"#), json!({"ab": quote}));
    assert_eq!(json(r#"{"event": {{json .}}}"#)["event"]["data"], root()["data"]);
    assert!(render(r#"{"a": "\{{.data.quote}}"}"#, Format::Json).unwrap_err().contains("backslash"));
}

#[test]
fn in_a_url_the_event_stays_in_its_place() {
    let url = |source| render(source, Format::Url);
    for (source, want) in [
        ("https://a.example/{{.data.stage}}/{{.data.quote}}", "https://a.example/dev/a%20%22b%22%0Ac%5C"),
        ("https://a.example/?q={{.data.url}}", "https://a.example/?q=https%3A%2F%2Fother.example%2Fx%20y"),
        ("https://a.example/?q={{urlquery .data.url}}", "https://a.example/?q=https%3A%2F%2Fother.example%2Fx+y"),
        ("{{.env.base}}/x/{{.data.evil}}", "https://api.example/x/evil.example%2F"),
        ("https://{{.data.stage}}.example/", "https://dev.example/"),
        ("https://a-{{.data.stage}}.example:{{.data.count}}/", "https://a-dev.example:3/"),
        ("https://a.example/{{.env.base}}", "https://a.example/https://api.example"),
        ("{{index .data \"labels\" \"a\" | default .data.url}}?x", "1?x"),
        ("{{print \"https:\" \"//a.example\"}}/{{.data.evil}}", "https://a.example/evil.example%2F"),
    ] {
        assert_eq!(url(source).as_deref(), Ok(want), "{source}");
    }
    for source in [
        "https://{{.data.evil}}.example/",
        "https://a.example{{.data.evil}}",
        "https://a.example{{index (index .data.list 1) \"b\" | printf \".%s\"}}",
        "{{.env.base}}{{printf \".%s\" .data.stage}}",
        "{{.data.evil}}://a.example/",
        "{{.data.evil}}.example.com/",
        "{{.data.url}}",
        "https://{{.data.quote}}/",
    ] {
        assert!(url(source).is_err(), "{source}: {:?}", url(source));
    }
}

#[test]
fn in_a_form_values_are_encoded() {
    assert_eq!(
        render("a={{.data.quote}}&b={{urlquery .data.url}}", Format::Form).unwrap(),
        "a=a%20%22b%22%0Ac%5C&b=https%3A%2F%2Fother.example%2Fx+y"
    );
}

#[test]
fn one_action_keeps_the_kind_of_its_value() {
    let value = |source| parse(source, Format::Text).value(&root(), 10_000).unwrap();
    assert_eq!(value("{{.data.count}}"), json!(3));
    assert_eq!(value("{{.data.list}}"), root()["data"]["list"]);
    assert_eq!(value("{{json .data.labels}}"), root()["data"]["labels"]);
    assert_eq!(value("{{len .data.list}}"), json!(3));
    assert_eq!(value("{{.data.count}} "), json!("3 "));
    assert_eq!(value("{{.data.nothing | default nil}}"), json!(null));
    assert!(parse("{{index .data \"nope\"}}", Format::Text).value(&root(), 10).is_err());
}

#[test]
fn work_and_output_are_bounded() {
    let said = |source: &str| parse(source, Format::Text).render(&root(), 1000).unwrap_err().message;
    let loops = format!("{}{}", "{{range $.data.list}}".repeat(30), "{{end}}".repeat(30));
    assert!(said(&loops).contains("steps"));
    assert!(said(&format!("{{{{range .data.list}}}}{}{{{{end}}}}", "x".repeat(400))).contains("limit"));
    let doubling = format!("{{{{$x := \"aaaaaaaa\"}}}}{}", "{{$x = print $x $x}}".repeat(40));
    assert!(said(&doubling).contains("limit"));
    assert!(said("{{printf \"%900d%900d\" 1 1}}").contains("limit"));
    assert!(Template::parse(&"x".repeat(LONGEST + 1), Format::Text).is_err());
    assert_eq!(parse(&"x".repeat(LONGEST), Format::Text).fixed().unwrap().len(), LONGEST);
}

#[test]
fn the_beginning_is_known() {
    for (source, want) in [
        (" {\"a\": 1}", "{\"a\": 1}"),
        ("{{$x := 1}}\n[{{.y}}]", "["),
        ("{{/* c */}}{{if .x}} {..{{end}}", "{.."),
        ("{{if .x}}{{end}}{", ""),
        ("{{.x}}{", ""),
        ("", ""),
    ] {
        assert_eq!(parse(source, Format::Text).lead(), want, "{source}");
    }
    assert!(parse("a{{.env.x}}{{if true}}{{print .secret.a.b}}{{end}}", Format::Text).is_trusted());
    assert!(!parse("a{{if .data.x}}b{{end}}", Format::Text).is_trusted());
}

/// Text that looks like templates, so that random input gets far.
fn anything() -> impl Strategy<Value = String> {
    let words = [
        "{{",
        "}}",
        "{{-",
        "-}}",
        "if ",
        "else ",
        "end",
        "range ",
        "with ",
        "$x",
        ":=",
        "=",
        ", ",
        "|",
        "(",
        ")",
        ".data",
        ".list",
        ".",
        "$",
        " ",
        "index ",
        "printf ",
        "\"%v\" ",
        "\"%-5q\"",
        "json ",
        "default ",
        "and ",
        "eq ",
        "len ",
        "js ",
        "urlquery ",
        "3 ",
        "-1 ",
        "\"",
        "`",
        "\\",
        "/*",
        "*/",
        "{",
        "}",
        "[",
        "]",
        "https://",
        "/",
        "?",
        "é",
        "\n",
        ".secret.tracker.token",
        ".env",
        "nil ",
        ".data.count",
        "{{.data.quote}}",
        "{{end}}",
        "{{range .data.list}}",
        "{{$x := .}}",
    ];
    let word = prop_oneof![8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_text_is_too_much(source in anything()) {
        for format in [Format::Text, Format::Json, Format::Url, Format::Form] {
            let Ok(template) = Template::parse(&source, format) else { return Ok(()) };
            let first = template.render(&root(), 5000);
            prop_assert_eq!(&first, &template.render(&root(), 5000));
            prop_assert!(first.is_ok_and(|text| text.len() <= 5000) || template.fixed().is_none());
            let _ = template.value(&root(), 5000);
        }
    }

    /// Any value in any place of a JSON template leaves JSON of the same shape.
    #[test]
    fn no_value_breaks_json(text in ".{0,20}|[\"\\\\{}]{0,9}") {
        let root = json!({"v": text});
        let made = parse(r#"{"a": "<{{.v}}>", "b": {{.v}}, "c": ["{{js .v}}", {{json .v}}], "key {{.v}}": "\\{{.v}}"}"#, Format::Json).render(&root, 1000).unwrap();
        let read: Value = serde_json::from_str(&made).unwrap();
        prop_assert_eq!(&read["b"], &root["v"]);
        prop_assert_eq!(&read["c"], &json!([&text, &text]));
        prop_assert_eq!(&read["a"], &json!(format!("<{text}>")));
        prop_assert_eq!(&read[format!("key {text}")], &json!(format!("\\{text}")));
    }

    /// No value of the event changes where a request goes.
    #[test]
    fn no_value_changes_the_host(text in ".{0,9}|[./:@?#\\\\a-]{0,9}") {
        let root = json!({"v": text, "env": {"base": "https://a.example"}});
        for (source, host) in [
            ("https://a.example/{{.v}}", "a.example"),
            ("https://a.example?{{.v}}", "a.example"),
            ("https://a.example/x#{{.v}}", "a.example"),
            ("{{.env.base}}/{{.v}}", "a.example"),
        ] {
            let made = parse(source, Format::Url).render(&root, 1000).unwrap();
            let url = reqwest::Url::parse(&made).unwrap();
            prop_assert_eq!(url.host_str(), Some(host), "{}", made);
        }
        if let Ok(made) = parse("https://{{.v}}.a.example/", Format::Url).render(&root, 1000)
            && let Ok(url) = reqwest::Url::parse(&made)
        {
            let host = url.host_str().unwrap_or_default();
            prop_assert!(host.ends_with(".a.example"), "{}", made);
        }
    }
}
