//! What is there for anybody: pages with their caching and compression, and what probes ask.

use std::io::Read;

use tests::harness::{Daemon, Web};

const PATHS: [(&str, &str); 3] = [
    ("/", "text/html; charset=utf-8"),
    ("/style.css", "text/css; charset=utf-8"),
    ("/icon.svg", "image/svg+xml"),
];

#[test]
fn a_browser_finds_a_page_that_may_do_little() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    for (path, content_type) in PATHS {
        let response = web.get(path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("content-type"), Some(content_type));
        assert!(!response.body.is_empty());
        let policy = response.header("content-security-policy").unwrap();
        for part in ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
        // An address behind a question mark is the same page.
        assert_eq!(web.get(&format!("{path}?v=1")).body, response.body);
    }
    for path in [
        "/index.htm",
        "/..%2fstyle.css",
        "/style.css/",
        "//style.css",
        "/web/style.css",
        "/STYLE.css",
    ] {
        assert_eq!(web.get(path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let response = web.request(method, "/", &[], "");
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }
}

#[test]
fn a_page_is_asked_for_again_and_sent_once() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    for (path, _) in PATHS {
        let first = web.get(path);
        let tag = first.header("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        assert_eq!(first.header("cache-control"), Some("no-cache"));
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let again = web.request(method, path, &[("If-None-Match", &known)], "");
                assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
                assert_eq!(again.header("etag"), Some(tag.as_str()));
                assert_eq!(again.header("vary"), Some("Accept-Encoding"));
            }
        }
        for unknown in ["\"other\"", "", tag.trim_matches('"')] {
            let again = web.request("GET", path, &[("If-None-Match", unknown)], "");
            assert_eq!((again.status, &again.body), (200, &first.body), "{unknown}");
        }
    }
}

#[test]
fn a_page_is_compressed_for_whoever_takes_that() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let plain = web.get("/style.css");
    assert_eq!(plain.header("content-encoding"), None);
    let unpacked = |body: &[u8]| {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(body).read_to_end(&mut text).unwrap();
        text
    };
    for (accepts, compressed) in [
        ("gzip", true),
        ("GZIP", true),
        ("gzip, deflate, br", true),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
        ("identity;q=0.1, gzip;q=0.2", true),
        ("*", true),
        ("gzip;q=0", false),
        ("gzip;q=0.0, *", false),
        ("identity, gzip;q=0.5", false),
        ("br, deflate", false),
        ("identity", false),
        ("", false),
        ("gzipped", false),
    ] {
        let response = web.request("GET", "/style.css", &[("Accept-Encoding", accepts)], "");
        assert_eq!(response.status, 200);
        assert_eq!(
            response.header("content-encoding") == Some("gzip"),
            compressed,
            "{accepts:?}"
        );
        assert_eq!(response.header("vary"), Some("Accept-Encoding"));
        if compressed {
            assert!(response.body.len() < plain.body.len());
            assert_eq!(unpacked(&response.body), plain.body);
        } else {
            assert_eq!(response.body, plain.body);
        }
    }
}

#[test]
fn probes_are_told_without_a_token_and_not_from_a_cache() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    for path in ["/healthz", "/readyz"] {
        for method in ["GET", "HEAD"] {
            let response = web.request(method, path, &[], "");
            assert_eq!(response.status, 200);
            assert_eq!(response.header("cache-control"), Some("no-store"));
        }
        assert_eq!(web.get(path).json()["status"], "ok");
    }
}
