//! Whose address is believed.

use super::*;
use crate::codec::cutting::cut;
use crate::http::{Incoming, RequestLimits, Requests};
use proptest::prelude::*;

fn head(fields: &str) -> Head {
    let stream = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut frames = cut(&mut Requests::new(RequestLimits::default()), [stream.as_bytes()]).frames;
    match frames.pop() {
        Some(Incoming::Request(request)) => request.head,
        other => panic!("{other:?} {fields}"),
    }
}

fn address_of(header: ForwardedHeader, fields: &str, peer: &str) -> String {
    let trusted: Vec<Network> = ["10.0.0.0/8", "fd00::/8"]
        .map(|network| network.parse().unwrap())
        .to_vec();
    client(peer.parse().unwrap(), &head(fields), header, &trusted).to_string()
}

#[test]
fn the_client_is_the_last_that_only_trusted_proxies_have_named() {
    use ForwardedHeader::{Forwarded, XForwardedFor};
    for (header, fields, expected) in [
        (XForwardedFor, "", "10.0.0.1"),
        (XForwardedFor, "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1"),
        (XForwardedFor, "X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\n", "1.1.1.1"),
        (
            XForwardedFor,
            "X-Forwarded-For: 6.6.6.6,1.1.1.1,10.0.0.2\r\n",
            "1.1.1.1",
        ),
        (
            XForwardedFor,
            "X-Forwarded-For: 10.0.0.9, 6.6.6.6, 1.1.1.1, 10.0.0.2\r\n",
            "1.1.1.1",
        ),
        (
            XForwardedFor,
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1\r\n",
            "1.1.1.1",
        ),
        // All are proxies: the first of them asks for itself.
        (
            XForwardedFor,
            "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n",
            "10.0.0.3",
        ),
        // What nobody can read was written by nobody who is trusted, or hides the client.
        (XForwardedFor, "X-Forwarded-For: 6.6.6.6, garbage\r\n", "10.0.0.1"),
        (
            XForwardedFor,
            "X-Forwarded-For: 6.6.6.6, garbage, 10.0.0.2\r\n",
            "10.0.0.2",
        ),
        (XForwardedFor, "X-Forwarded-For: garbage, 1.1.1.1\r\n", "1.1.1.1"),
        (XForwardedFor, "X-Forwarded-For: 6.6.6.6,\r\n", "10.0.0.1"),
        (XForwardedFor, "X-Forwarded-For: 1.1.1.1:4711\r\n", "1.1.1.1"),
        (XForwardedFor, "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1"),
        (
            XForwardedFor,
            "X-Forwarded-For: [2001:db8::1]:4711, fd00::1\r\n",
            "2001:db8::1",
        ),
        (XForwardedFor, "X-Forwarded-For: ::ffff:1.1.1.1\r\n", "1.1.1.1"),
        // The other header is as the client wrote it.
        (XForwardedFor, "Forwarded: for=6.6.6.6\r\n", "10.0.0.1"),
        (Forwarded, "X-Forwarded-For: 6.6.6.6\r\n", "10.0.0.1"),
        (Forwarded, "Forwarded: for=1.1.1.1\r\n", "1.1.1.1"),
        (
            Forwarded,
            "Forwarded: by=10.0.0.1; For=\"1.1.1.1:80\";proto=http\r\n",
            "1.1.1.1",
        ),
        (
            Forwarded,
            "Forwarded: for=\"[2001:db8::1]:4711\"\r\n",
            "2001:db8::1",
        ),
        (
            Forwarded,
            "Forwarded: for=6.6.6.6, for=1.1.1.1, for=10.0.0.2\r\n",
            "1.1.1.1",
        ),
        (
            Forwarded,
            "Forwarded: for=\"6.6.6.6,for=5.5.5.5\", for=1.1.1.1\r\n",
            "1.1.1.1",
        ),
        (
            Forwarded,
            "Forwarded: host=\"a;for=6.6.6.6\";for=1.1.1.1\r\n",
            "1.1.1.1",
        ),
        (
            Forwarded,
            "Forwarded: host=\"a\\\";for=6.6.6.6\";for=1.1.1.1\r\n",
            "1.1.1.1",
        ),
        (Forwarded, "Forwarded: for=unknown\r\n", "10.0.0.1"),
        (
            Forwarded,
            "Forwarded: for=6.6.6.6, for=_hidden, for=10.0.0.2\r\n",
            "10.0.0.2",
        ),
        (Forwarded, "Forwarded: for=6.6.6.6, proto=http\r\n", "10.0.0.1"),
        (Forwarded, "Forwarded: for=1.1.1.1;for=6.6.6.6\r\n", "10.0.0.1"),
        (Forwarded, "Forwarded: for=\"6.6.6.6, for=1.1.1.1\r\n", "10.0.0.1"),
        (Forwarded, "Forwarded: for=\"1.1.1.1\r\n", "10.0.0.1"),
        // A quote that a client has not ended swallows what the proxy adds: nothing of the line counts.
        (
            Forwarded,
            "Forwarded: for=6.6.6.6;by=\", for=1.1.1.1\r\n",
            "10.0.0.1",
        ),
        (
            Forwarded,
            "Forwarded: for=6.6.6.6;by=\", for=\"[2001:db8::1]\";host=\"\\\"\"\r\n",
            "10.0.0.1",
        ),
        (
            Forwarded,
            "Forwarded: for=6.6.6.6;by=\"\r\nForwarded: for=1.1.1.1\r\n",
            "1.1.1.1",
        ),
    ] {
        assert_eq!(address_of(header, fields, "10.0.0.1"), expected, "{fields}");
    }
}

#[test]
fn whoever_is_no_trusted_proxy_is_the_client_whatever_it_says() {
    let fields = "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\n";
    for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        assert_eq!(address_of(header, fields, "192.0.2.1"), "192.0.2.1");
        assert_eq!(address_of(header, fields, "::ffff:10.0.0.1"), "1.1.1.1");
    }
}

#[test]
fn a_forwarded_request_is_known_by_any_of_the_headers() {
    for name in [
        "Forwarded",
        "x-forwarded-for",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Real-IP",
        "X-Forwarded-Port",
        "x-forwarded-server",
        "Via",
    ] {
        assert!(is_forwarded(&head(&format!("{name}: x\r\n"))), "{name}");
    }
    assert!(!is_forwarded(&head("X-Forwarded: x\r\n")));
}

proptest! {
    /// However a client begins the headers, what the proxy added decides, or the request counts as the proxy's.
    #[test]
    fn nothing_that_a_client_writes_makes_it_another_client(
        forged in prop_oneof![
            "[ -~]{0,60}",
            r#"(for=6\.6\.6\.6|6\.6\.6\.6|for=|by=|host=|[;,"\\ x]){0,12}"#,
        ],
        host in r#"(, ?for=6\.6\.6\.6|;|=|[",\\ x]){0,8}"#,
        own_line in any::<bool>(),
    ) {
        // A proxy that tells the name that was asked for writes it as the client did, in quotes.
        let host = host.replace('\\', r"\\").replace('"', r#"\""#);
        let with_host = format!("for=192.0.2.7;host=\"{host}\"");
        for (header, name, added) in [
            (ForwardedHeader::XForwardedFor, "X-Forwarded-For", "192.0.2.7"),
            (ForwardedHeader::Forwarded, "Forwarded", "for=192.0.2.7"),
            (ForwardedHeader::Forwarded, "Forwarded", &with_host),
        ] {
            let fields = if own_line {
                format!("{name}: {forged}\r\n{name}: {added}\r\n")
            } else {
                format!("{name}: {forged}, {added}\r\n")
            };
            let address = address_of(header, &fields, "10.0.0.1");
            prop_assert!(address == "192.0.2.7" || address == "10.0.0.1", "{address} {fields}");
        }
    }
}
