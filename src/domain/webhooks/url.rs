//! What a URL must be, before and after it is rendered.

use crate::domain::gotemplate::Template;

/// Checks a URL before any event is known.
pub fn check(template: &Template) -> Result<(), String> {
    match template.fixed() {
        Some(fixed) => is_http(&fixed),
        None => {
            let lead = template.lead();
            let begins = |scheme: &str| {
                let length = lead.len().min(scheme.len());
                lead.get(..length).is_some_and(|start| start.eq_ignore_ascii_case(&scheme[..length]))
            };
            if begins("http://") || begins("https://") { Ok(()) } else { Err(NO_SCHEME.into()) }
        }
    }
}

const NO_SCHEME: &str = "is not one that begins with http:// or https://";

/// Checks a URL as it came out. Says nothing of what stands in it.
pub fn check_rendered(url: &str) -> Result<(), String> {
    is_http(url)?;
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').skip(1).any(dots) {
        return Err("has a step `.` or `..` in its path".into());
    }
    Ok(())
}

fn is_http(url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(NO_SCHEME.into());
    }
    if url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("holds white space, a control character or a backslash".into());
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err("has no host".into());
    }
    Ok(())
}
