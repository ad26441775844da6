//! What a redirect asks for, as browsers read it, and what is too dangerous to follow.

use bytes::Bytes;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::headers::{keep_harmless, without_body};
use super::tell::place;

/// What is sent next.
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Where an answer leads, if it does.
pub(super) fn location(status: StatusCode, headers: &HeaderMap) -> Option<&[u8]> {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308).then(|| headers.get(LOCATION))?.map(|value| value.as_bytes())
}

impl Hop {
    /// The request that a redirect of `status` to `location` asks for.
    ///
    /// Headers that may hold a secret stay at the place they were written for. A body that is to be sent again (307, 308)
    /// may hold one as well, so it does not go to another host.
    ///
    /// # Errors
    /// Where it leads out of https, to no URL, or would take a body to another host.
    pub(super) fn follow(mut self, status: StatusCode, location: &[u8]) -> Result<Hop, String> {
        let text = std::str::from_utf8(location).map_err(|_| "redirects to what is not a URL")?;
        let url = self.url.join(text).map_err(|e| format!("redirects to what is not a URL: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("redirects to what is neither http nor https".into());
        }
        if self.url.scheme() == "https" && url.scheme() == "http" {
            return Err(format!("redirects from https to {}", place(&url)));
        }
        let becomes_get = match status.as_u16() {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            without_body(&mut self.headers);
        }
        if url.origin() != self.url.origin() {
            if !self.body.is_empty() && url.host() != self.url.host() {
                return Err(format!("redirects to {} and asks for the body there", place(&url)));
            }
            keep_harmless(&mut self.headers);
        }
        Ok(Hop { url, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(url: &str) -> Hop {
        let headers = [("authorization", "s3cret"), ("content-type", "text/plain"), ("accept", "a/b")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Hop {
            method: Method::POST,
            url: Url::parse(url).unwrap(),
            headers: super::super::headers::read(&headers).unwrap(),
            body: Bytes::from_static(b"hello"),
        }
    }

    fn follow(from: &str, status: u16, to: &str) -> Result<Hop, String> {
        post(from).follow(StatusCode::from_u16(status).unwrap(), to.as_bytes())
    }

    #[test]
    fn methods_change_as_in_browsers() {
        for (status, method, body) in
            [(301, "GET", 0), (302, "GET", 0), (303, "GET", 0), (307, "POST", 5), (308, "POST", 5)]
        {
            let next = follow("https://a.example/x/y", status, "z?q").unwrap();
            assert_eq!((next.method.as_str(), next.body.len()), (method, body), "{status}");
            assert_eq!(next.headers.contains_key("content-type"), body > 0, "{status}");
            assert_eq!(next.url.as_str(), "https://a.example/x/z?q");
            assert_eq!(next.headers["authorization"], "s3cret", "the same place");
        }
        let put = Hop { method: Method::PUT, ..post("https://a.example") };
        let next = put.follow(StatusCode::FOUND, b"/x").unwrap();
        assert_eq!((next.method, next.body.len()), (Method::PUT, 5));
        let head = Hop { method: Method::HEAD, ..post("https://a.example") };
        assert_eq!(head.follow(StatusCode::SEE_OTHER, b"/x").unwrap().method, Method::HEAD);
    }

    #[test]
    fn secrets_stay_where_they_were_written_for() {
        for to in ["https://b.example/", "//b.example", "https://a.example:8443"] {
            let next = follow("https://a.example/x", 302, to).unwrap();
            assert!(!next.headers.contains_key("authorization"), "{to}");
            assert_eq!(next.headers["accept"], "a/b");
        }
        let upgraded = follow("http://a.example/x", 308, "https://a.example/x").unwrap();
        assert_eq!((upgraded.body.len(), upgraded.headers.contains_key("authorization")), (5, false));
        assert!(follow("https://a.example/x", 307, "https://b.example/").is_err());
    }

    #[test]
    fn what_is_not_followed() {
        for to in ["http://a.example/x?token=s3cret", "file:///etc/passwd", "https://", "http://[::1"] {
            let said = follow("https://a.example/x", 302, to).err().unwrap();
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn which_answers_lead_on() {
        let mut headers = HeaderMap::new();
        assert!(location(StatusCode::FOUND, &headers).is_none());
        headers.insert(LOCATION, "/x".parse().unwrap());
        assert!(location(StatusCode::FOUND, &headers).is_some());
        for status in [200, 201, 300, 304, 305, 400] {
            assert!(location(StatusCode::from_u16(status).unwrap(), &headers).is_none(), "{status}");
        }
    }
}
