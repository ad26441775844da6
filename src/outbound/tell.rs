//! What is told of places and failures, without what may be secret.

use std::error::Error;

use reqwest::Url;

use super::Refused;

/// `https://host:8443`: user name, path and query are left out.
pub(super) fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// What the errors of the HTTP stack come down to: the innermost one. Those around it repeat the URL.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut innermost: Option<&dyn Error> = None;
    let mut next = error.source();
    while let Some(at) = next {
        innermost = Some(at);
        next = at.source();
    }
    innermost.map_or_else(|| "the request cannot be made".to_owned(), |at| at.to_string())
}

/// The policy's word, where it was the resolver that met it.
pub(super) fn refusal(error: &reqwest::Error) -> Option<&Refused> {
    let mut next = error.source();
    while let Some(at) = next {
        if let Some(refused) = at.downcast_ref() {
            return Some(refused);
        }
        next = at.source();
    }
    None
}

/// The text of a body's beginning on one line: what is no text becomes `\u{fffd}`, line breaks and the like a space.
pub(super) fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_no_secrets() {
        for (url, shown) in [
            ("https://joe:pw@hooks.example.com/T0/B0/secret?token=x#y", "https://hooks.example.com"),
            ("http://[::1]:8080/x", "http://[::1]:8080"),
            ("http://a.example:80/", "http://a.example"),
        ] {
            assert_eq!(place(&Url::parse(url).unwrap()), shown);
        }
    }

    #[test]
    fn a_body_is_one_line() {
        assert_eq!(one_line(b" a\r\nb\x1b[31m\xff "), "a  b [31m\u{fffd}");
    }
}
