//! The pages on which a person confirms an answer. Plain HTML: no script, nothing from elsewhere, text never as markup.

use std::fmt::Write as _;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::Refusal;
use super::callbacks::place;
use crate::domain::decision::ResultWord;
use crate::domain::waiting::Task;

/// One style sheet for all pages, named by its hash in the policy below.
const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:10vh auto;padding:0 1rem;color-scheme:light dark}\
button{font:inherit;padding:.5rem 1.25rem}label{display:block;margin:1rem 0}input{font:inherit;width:100%;box-sizing:border-box}\
dt{opacity:.7}dd{margin:0 0 .5rem}";

/// Asks whether it is meant.
pub fn question(task: &Task, result: ResultWord) -> Response {
    let word = word(result);
    let mut body = about(task);
    let _ = write!(
        body,
        "<form method=\"post\"><label>A message, if you like<input name=\"message\" maxlength=\"500\" autocomplete=\"off\"></label>\
         <button type=\"submit\">Yes, {word}</button></form>"
    );
    html(StatusCode::OK, &format!("Answer {} with {word}?", task.task), &body)
}

/// Says that it is done.
pub fn taken(task: &Task, result: ResultWord) -> Response {
    html(StatusCode::OK, &format!("{} is answered with {}", task.task, word(result)), &about(task))
}

/// Says why nothing is done.
pub fn refusal(refusal: &Refusal) -> Response {
    let (status, error, details) = refusal.parts();
    html(status, error, &format!("<p>{}</p>", escaped(details)))
}

fn word(result: ResultWord) -> &'static str {
    match result {
        ResultWord::Pass => "pass",
        ResultWord::Warning => "warning",
        ResultWord::Fail => "fail",
    }
}

fn about(task: &Task) -> String {
    let mut list = String::from("<dl>");
    for (name, value) in [("Task", &task.task), ("Where", &place(task)), ("Context", &task.context)] {
        if !value.is_empty() {
            let _ = write!(list, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
        }
    }
    list.push_str("</dl>");
    list
}

fn html(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escaped(title);
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let mut response = (status, page).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&policy()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // The address holds the token.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn policy() -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_events_is_never_markup() {
        let task = Task {
            source: "s".into(),
            subscription: "h".into(),
            task: "approval<script>alert(1)</script>".into(),
            project: "a\"b".into(),
            stage: "c&d".into(),
            service: "<img src=x onerror='y'>".into(),
            context: String::new(),
        };
        let shown = about(&task);
        assert!(!shown.contains("<script") && !shown.contains("<img") && shown.contains("a&quot;b/c&amp;d"), "{shown}");
    }
}
