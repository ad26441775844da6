//! Headers of a request: which are sent, and which go along to another place.

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONNECTION, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, EXPECT,
    HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};

/// Headers that say how this connection is used; we alone know. `Accept-Encoding` because nothing is unpacked.
const OURS: &[HeaderName] =
    &[ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Headers that another place may see as well; any other one may hold a secret.
const HARMLESS: &[HeaderName] = &[ACCEPT, ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_TYPE, USER_AGENT];

/// Reads headers as they were written.
///
/// # Errors
/// Says which one is wrong, and never its value. A wrong name is not shown either: it may hold what was meant as value.
pub(super) fn read(written: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("shipwatch/", env!("CARGO_PKG_VERSION"))));
    let mut own_agent = false;
    for (index, (name, value)) in written.iter().enumerate() {
        let bad_name = |_| format!("the name of header {} is not one", index + 1);
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(bad_name)?;
        let bad_value = |_| format!("the value of header {name} holds what no header may, such as a line break");
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(bad_value)?;
        if OURS.contains(&name) || name == "keep-alive" || name == "proxy-connection" {
            continue;
        }
        if name == USER_AGENT && !std::mem::replace(&mut own_agent, true) {
            headers.remove(USER_AGENT);
        }
        headers.append(name, value);
    }
    Ok(headers)
}

/// Leaves only what another place may see.
pub(super) fn keep_harmless(headers: &mut HeaderMap) {
    let all = std::mem::take(headers);
    for name in HARMLESS {
        for value in all.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}

/// Leaves out what describes a body that is no longer sent.
pub(super) fn without_body(headers: &mut HeaderMap) {
    let about_body: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("content-")).cloned().collect();
    for name in about_body {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn read_keeps_order_and_leaves_the_connection_to_us() {
        let all = written(&[("X-A", "1"), ("Content-Length", "9"), ("x-a", " 2 "), ("TE", "x"), ("User-Agent", "me")]);
        let headers = read(&all).unwrap();
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((headers.len(), &headers["user-agent"]), (3, &HeaderValue::from_static("me")));
        assert!(read(&[]).unwrap()["user-agent"].to_str().unwrap().starts_with("shipwatch/"));
    }

    #[test]
    fn a_wrong_one_is_told_without_its_value() {
        let said = read(&written(&[("X-A", "1"), ("Authorization Bearer s3cret", "")])).unwrap_err();
        assert_eq!(said, "the name of header 2 is not one");
        let said = read(&written(&[("X-Token", "s3cret\r\nX-B: 1")])).unwrap_err();
        assert!(said.contains("x-token") && !said.contains("s3cret"), "{said}");
    }

    #[test]
    fn another_place_sees_only_what_is_harmless() {
        let mut headers =
            read(&written(&[("Authorization", "x"), ("Cookie", "x"), ("X-Key", "x"), ("Accept", "a/b")])).unwrap();
        keep_harmless(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "user-agent"]);
    }
}
