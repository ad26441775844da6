//! The page at `/`: what people look at. Its files are part of the program.
//!
//! Plain HTML, one stylesheet and small modules that the browser loads as they are. Every view is an address with a query
//! (`/?issue=12`), so links work below any path that a proxy puts in front.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Problem;

/// One file of the page.
struct File {
    path: &'static str,
    ty: &'static str,
    body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";

macro_rules! script {
    ($name:literal) => {
        File {
            path: concat!("/page/", $name),
            ty: "text/javascript; charset=utf-8",
            body: include_str!(concat!("page/", $name)),
        }
    };
}

/// Where each file is served.
const FILES: &[File] = &[
    File { path: "/", ty: HTML, body: include_str!("page/index.html") },
    File { path: "/page/style.css", ty: "text/css; charset=utf-8", body: include_str!("page/style.css") },
    File { path: "/page/icon.svg", ty: "image/svg+xml", body: include_str!("page/icon.svg") },
    script!("api.js"),
    script!("dom.js"),
    script!("event.js"),
    script!("health.js"),
    script!("issue.js"),
    script!("issues.js"),
    script!("live.js"),
    script!("main.js"),
    script!("parked.js"),
    script!("picture.js"),
    script!("rows.js"),
    script!("sequence.js"),
    script!("sequences.js"),
    script!("sse.js"),
    script!("strips.js"),
    script!("token.js"),
    script!("trend.js"),
    script!("words.js"),
];

/// Shown to a browser that asks for what is not there.
const LOST: &str = include_str!("page/lost.html");

/// Nothing from elsewhere, nothing inline, no text that becomes markup, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The page and its files.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        // Browsers keep a file and ask whether it is still the same: a new version of the service is seen at once.
        let tag = format!("\"{:016x}\"", xxhash_rust::xxh3::xxh3_64(file.body.as_bytes()));
        let answer = move |headers: HeaderMap| std::future::ready(answer(file, &tag, &headers));
        router.route(file.path, get(answer))
    })
}

fn answer(file: &File, tag: &str, asked: &HeaderMap) -> Response {
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let same = known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag
    });
    let mut response =
        if same { StatusCode::NOT_MODIFIED.into_response() } else { shown(StatusCode::OK, file.body, file.ty) };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.extend(HeaderValue::try_from(tag).map(|tag| (header::ETAG, tag)));
    response
}

fn shown(status: StatusCode, body: &'static str, ty: &'static str) -> Response {
    let policy = (header::CONTENT_SECURITY_POLICY, POLICY);
    let referrer = (HeaderName::from_static("referrer-policy"), "no-referrer");
    (status, [(header::CONTENT_TYPE, ty), policy, referrer], body).into_response()
}

/// 404: for a browser a page with a way back, for others a problem.
pub async fn lost(asked: HeaderMap) -> Response {
    let html =
        asked.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|a| a.contains("text/html"));
    if html {
        return shown(StatusCode::NOT_FOUND, LOST, HTML);
    }
    Problem::not_found("no such page", "see /openapi.json for what there is").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_says_never_becomes_markup_or_code() {
        let forbidden =
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"];
        for file in FILES.iter().filter(|file| file.ty.contains("javascript")) {
            for word in forbidden {
                assert!(!file.body.contains(word), "{} has {word}", file.path);
            }
        }
        for html in [FILES[0].body, LOST] {
            assert!(!html.contains("style=") && !html.contains("<style"), "inline style");
            let inline = html
                .split("<script")
                .skip(1)
                .any(|rest| !rest.split('>').next().is_some_and(|tag| tag.contains("src=")));
            assert!(!inline, "inline script");
        }
    }

    #[test]
    fn the_whole_page_is_small_and_asks_nobody_else() {
        let size: usize = FILES.iter().map(|file| file.body.len()).sum();
        assert!(size < 100_000, "{size} bytes");
        for file in FILES {
            let elsewhere = file.body.replace("http://www.w3.org/", "");
            assert!(!elsewhere.contains("src=\"http") && !elsewhere.contains("url(http"), "{}", file.path);
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/query/page");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let served = FILES.iter().any(|file| file.path == format!("/page/{name}"));
            assert!(served || ["index.html", "lost.html"].contains(&name.as_str()), "{name}");
        }
    }
}
