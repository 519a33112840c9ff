//! The values of headers, right and wrong.

use super::*;
use proptest::prelude::*;

#[test]
fn a_bearer_token_is_one_word() {
    for (value, token) in [
        ("Bearer abc", Some("abc")),
        ("bearer abc==", Some("abc==")),
        ("BEARER   a-._~+/9", Some("a-._~+/9")),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer =", None),
        ("Bearer a=b", None),
        ("Bearer a b", None),
        ("Bearer a,b", None),
        ("Bearer\tabc", None),
        ("Bearerabc", None),
        ("Bearer \u{e9}", None),
        ("Basic abc", None),
        ("Digest abc", None),
        ("", None),
    ] {
        assert_eq!(bearer(value.as_bytes()), token, "{value}");
    }
    assert_eq!(bearer(b"Bearer \xff"), None);
}

#[test]
fn a_host_is_a_name_or_an_address_and_a_port() {
    for (value, host) in [
        ("a", Some(("a", None))),
        ("a.example.:1", Some(("a.example.", Some(1)))),
        ("a:", Some(("a", None))),
        ("127.0.0.1:65535", Some(("127.0.0.1", Some(65535)))),
        ("[::1]", Some(("[::1]", None))),
        ("[::1]:80", Some(("[::1]", Some(80)))),
        ("a:65536", None),
        ("a:-1", None),
        ("a:+1", None),
        ("a:b", None),
        ("a:1:2", None),
        ("::1", None),
        ("[::1", None),
        ("[]", None),
        ("[a]", None),
        ("[::1]a", None),
        ("a b", None),
        ("a/b", None),
        ("u@a", None),
        ("a\\b", None),
        ("\u{e9}", None),
        ("", None),
        (":80", None),
    ] {
        let expected = host.map(|(name, port)| Host { name, port });
        assert_eq!(Host::parse(value.as_bytes()), expected, "{value}");
    }
}

#[test]
fn a_host_that_is_this_machine_is_told_from_others() {
    for (host, near) in [
        ("localhost", true),
        ("LOCALHOST:80", true),
        ("localhost.", true),
        ("a.localhost", true),
        ("127.0.0.1:7400", true),
        ("127.255.0.1", true),
        ("[::1]", true),
        ("[::ffff:127.0.0.1]", true),
        ("localhost.example", false),
        ("notlocalhost", false),
        ("127.0.0.1.example", false),
        ("128.0.0.1", false),
        ("[::2]", false),
        // Some resolvers take it for this machine, but no browser on it needs this name.
        ("0.0.0.0", false),
    ] {
        assert_eq!(
            Host::parse(host.as_bytes()).unwrap().is_loopback(),
            near,
            "{host}"
        );
    }
}

#[test]
fn a_page_is_of_the_host_that_it_came_from() {
    for (origin, host, same) in [
        ("http://a", "a", true),
        ("http://a", "A:80", true),
        ("https://a", "a:443", true),
        ("HTTPS://A", "a", true),
        ("http://a:8080", "a:8080", true),
        ("http://a:8080", "a", false),
        ("https://a", "a:80", false),
        ("http://a.b", "a", false),
        ("http://a", "b", false),
        ("app://a", "a", true),
        ("app://a", "a:80", false),
    ] {
        let parsed = Origin::parse(origin.as_bytes()).unwrap();
        assert_eq!(
            parsed.is_of(&Host::parse(host.as_bytes()).unwrap()),
            same,
            "{origin} {host}"
        );
    }
    for none in [
        "null",
        "",
        "a",
        "http://",
        "://a",
        "1http://a",
        "http://a/",
        "http://a/b",
        "http://u@a",
        "http://a b",
    ] {
        assert_eq!(Origin::parse(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn the_coding_is_the_one_the_client_likes_best() {
    for (value, coding) in [
        ("", None),
        ("gzip", Some("gzip")),
        ("gzip, br", Some("br")),
        ("GZIP", Some("gzip")),
        ("br;q=0.001, gzip;q=0.002", Some("gzip")),
        ("br; q=0.5 , gzip;Q=0.5", Some("br")),
        ("br;q=0, gzip;q=0.0", None),
        ("*", Some("br")),
        ("*;q=0.5, br;q=0", Some("gzip")),
        ("*;q=0", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
        ("br;q=2", None),
        ("br;q=1.001", None),
        ("br;q=0.1234", None),
        ("br;q=-1", None),
        ("br;q=", None),
        ("br;x=1", None),
        ("deflate", None),
    ] {
        assert_eq!(
            accepted_coding(value.as_bytes(), &["br", "gzip"]),
            coding,
            "{value}"
        );
    }
}

#[test]
fn a_parameter_is_decoded() {
    for (query, value) in [
        ("a=1", Some("1")),
        ("b=2&a=1&a=3", Some("1")),
        ("a", Some("")),
        ("a=b=c", Some("b=c")),
        ("a=%41+%42%2b", Some("A B+")),
        ("a=%e2%82%ac", Some("\u{20ac}")),
        ("a=%e2%82", None),
        ("a=%", None),
        ("a=%4", None),
        ("a=%4g", None),
        ("a=%+1", None),
        ("ab=1", None),
        ("%61=1", None),
        ("", None),
    ] {
        assert_eq!(parameter(query, "a").as_deref(), value, "{query}");
    }
}

proptest! {
    #[test]
    fn any_value_is_read_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..60), text in ".{0,40}") {
        let _ = bearer(&value);
        let _ = Host::parse(&value).map(|host| (host.ip(), host.is_loopback()));
        let _ = Origin::parse(&value);
        let _ = accepted_coding(&value, &["br"]);
        let _ = parameter(&text, "a");
    }
}
