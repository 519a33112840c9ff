//! What is a request, what is refused and with which status, and that neither depends on how the bytes arrive.

use super::*;
use crate::codec::cutting::{Cut, cut};
use crate::http::{HEADERS_MAX, Persistence, Status, Version};
use proptest::prelude::*;

const LIMITS: RequestLimits = RequestLimits {
    body_bytes: 1000,
    head_bytes: 2000,
    target_bytes: 100,
    headers: 20,
};

fn at_once(stream: &[u8]) -> Cut<Incoming, Refused> {
    cut(&mut Requests::new(LIMITS), [stream])
}

/// Decodes a stream in all ways of cutting it in two and byte by byte, which must not differ but in whether the client
/// was told to go on: that depends on whether the body was there.
#[track_caller]
fn all_ways(stream: &[u8]) -> Cut<Incoming, Refused> {
    let told = |mut cut: Cut<Incoming, Refused>| {
        cut.frames.retain(|frame| *frame != Incoming::Expectation);
        cut
    };
    let whole = told(at_once(stream));
    let bytes = told(cut(&mut Requests::new(LIMITS), stream.chunks(1)));
    // Of a request whose head was consumed less is left.
    let same = |other: &Cut<Incoming, Refused>| other.frames == whole.frames && other.error == whole.error;
    assert!(same(&bytes), "byte by byte: {bytes:?}, {whole:?}");
    for at in 1..stream.len() {
        let (before, behind) = stream.split_at(at);
        let halves = told(cut(&mut Requests::new(LIMITS), [before, behind]));
        assert!(same(&halves), "in two at {at}: {halves:?}, {whole:?}");
    }
    whole
}

#[track_caller]
fn requests(stream: &[u8]) -> Vec<Request> {
    let cut = all_ways(stream);
    assert_eq!((cut.error, cut.left), (None, 0), "{}", stream.escape_ascii());
    let requests = cut.frames.into_iter().map(|frame| match frame {
        Incoming::Request(request) => request,
        Incoming::Expectation => panic!("was filtered"),
    });
    requests.collect()
}

#[track_caller]
fn request(stream: &str) -> Request {
    let mut requests = requests(stream.as_bytes());
    assert_eq!(requests.len(), 1, "{stream}");
    requests.remove(0)
}

#[track_caller]
fn refused(stream: &[u8]) -> Refused {
    let cut = all_ways(stream);
    assert_eq!(cut.frames, [], "{}", stream.escape_ascii());
    cut.error
        .unwrap_or_else(|| panic!("not refused: {}", stream.escape_ascii()))
}

#[test]
fn a_head_says_what_is_asked() {
    for (line, method, target, path, query) in [
        ("GET / HTTP/1.1", "GET", "/", "/", None),
        (
            "GET /a/b?c=d?e HTTP/1.1",
            "GET",
            "/a/b?c=d?e",
            "/a/b",
            Some("c=d?e"),
        ),
        ("get /%2e%2e/ HTTP/1.1", "get", "/%2e%2e/", "/%2e%2e/", None),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", "*", None),
        ("GET http://a HTTP/1.1", "GET", "http://a", "/", None),
        ("GET HTTP://A?q HTTP/1.1", "GET", "HTTP://A?q", "/", Some("q")),
        (
            "GET https://a/b?c HTTP/1.1",
            "GET",
            "https://a/b?c",
            "/b",
            Some("c"),
        ),
        ("PRI / HTTP/1.1", "PRI", "/", "/", None),
    ] {
        let head = request(&format!("{line}\r\nHost: a\r\n\r\n")).head;
        assert_eq!(
            (head.method(), head.target(), head.path(), head.query()),
            (method, target, path, query)
        );
        assert_eq!(head.version(), Version::Http11);
        assert_eq!(head.body_length(), BodyLength::None);
    }
}

#[test]
fn headers_are_found_by_name_and_in_order() {
    let head = request(
        "GET / HTTP/1.1\r\nhost:a\r\nX-A: \t one \t\r\nx-a:two: 2\r\nEmpty:\r\nLatin: \u{e9}\r\n\r\n",
    )
    .head;
    assert_eq!(head.header("X-a"), Some(&b"one"[..]));
    assert_eq!(head.values("x-A").collect::<Vec<_>>(), [&b"one"[..], b"two: 2"]);
    assert_eq!(head.header("empty"), Some(&b""[..]));
    assert_eq!(head.header("latin"), Some("\u{e9}".as_bytes()));
    assert_eq!(head.header("missing"), None);
    assert_eq!(head.host(), Some("a"));
    let names: Vec<_> = head.headers().map(|(name, _)| name).collect();
    assert_eq!(names, ["host", "X-A", "x-a", "Empty", "Latin"]);
}

#[test]
fn the_connection_goes_on_as_client_and_version_want() {
    for (version, connection, persistence) in [
        ("1.1", "", Persistence::Implied),
        ("1.1", "Connection: keep-alive\r\n", Persistence::Implied),
        ("1.1", "Connection: Close\r\n", Persistence::Close),
        ("1.1", "Connection: upgrade, close\r\n", Persistence::Close),
        (
            "1.1",
            "Connection: a\r\nConnection: close\r\n",
            Persistence::Close,
        ),
        ("1.0", "", Persistence::Close),
        ("1.0", "Connection: Keep-Alive\r\n", Persistence::Granted),
        ("1.0", "Connection: keep-alive, close\r\n", Persistence::Close),
    ] {
        let head = request(&format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n")).head;
        assert_eq!(head.persistence(), persistence, "{version} {connection}");
    }
    assert_eq!(request("GET / HTTP/1.0\r\n\r\n").head.host(), None);
}

#[test]
fn a_body_is_as_long_as_its_head_says() {
    for (fields, bytes, body) in [
        ("Content-Length: 0", "", ""),
        ("Content-Length: 3", "abc", "abc"),
        ("content-LENGTH:  0003 ", "a\r\n", "a\r\n"),
        ("Transfer-Encoding: chunked", "0\r\n\r\n", ""),
        ("Transfer-Encoding: Chunked", "3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("Transfer-Encoding: chunked", "003\r\nabc\r\n00\r\n\r\n", "abc"),
        (
            "Transfer-Encoding: chunked",
            "A;name=value\r\n0123456789\r\n1 ;x\r\na\r\n0\r\nTrailer: x\r\nAnother:y\r\n\r\n",
            "0123456789a",
        ),
        (
            "Transfer-Encoding: chunked",
            "2\r\n\r\n\r\n0;e=\"q\"\r\n\r\n",
            "\r\n",
        ),
    ] {
        let request = request(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{bytes}"));
        assert_eq!(request.body, body, "{fields}");
    }
}

#[test]
fn requests_that_come_together_are_handed_out_one_by_one() {
    let stream = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\
                  POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
                  POST /4 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\ny";
    let got = requests(stream.as_bytes());
    let got: Vec<_> = got
        .iter()
        .map(|request| (request.head.path(), &request.body[..]))
        .collect();
    assert_eq!(
        got,
        [("/1", &b"abc"[..]), ("/2", b""), ("/3", b"x"), ("/4", b"y")]
    );
}

#[test]
fn a_client_that_waits_before_its_body_is_told_to_go_on() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n";
    for (fields, body) in [
        ("Content-Length: 3", "abc"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let mut requests = Requests::new(LIMITS);
        let head = format!("{head}{fields}\r\n\r\n");
        let told = cut(&mut requests, [head.as_bytes()]);
        assert_eq!((&told.frames[..], told.left), (&[Incoming::Expectation][..], 0));
        assert_eq!(requests.beat(&told.frames[0]), Beat::Ping);
        let mut answer = BytesMut::new();
        requests.encode_beat(Beat::Pong, Some(&told.frames[0]), &mut answer);
        assert_eq!(&answer[..], CONTINUE);
        let done = cut(&mut requests, body.as_bytes().chunks(1));
        let [Incoming::Request(request)] = &done.frames[..] else {
            panic!("{done:?}");
        };
        assert_eq!(&request.body[..], b"abc");
        assert_eq!(requests.beat(&done.frames[0]), Beat::Data);
        // A body that has come already needs no such answer.
        let at_once = at_once(format!("{head}{body}").as_bytes());
        assert!(
            matches!(at_once.frames[..], [Incoming::Request(_)]),
            "{at_once:?}"
        );
    }
    // An old client does not know of it.
    let old = at_once(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(old.frames, []);
    // Nobody is pinged over HTTP.
    let mut nothing = BytesMut::new();
    Requests::new(LIMITS).encode_beat(Beat::Ping, None, &mut nothing);
    assert!(nothing.is_empty());
}

#[test]
fn what_two_readers_could_understand_in_two_ways_is_refused() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    for (fields, why) in [
        ("Content-Length: 3\r\nContent-Length: 3", Refused::Length),
        ("Content-Length: 3\r\ncontent-length: 4", Refused::Length),
        ("Content-Length: 3, 3", Refused::Length),
        ("Content-Length: +3", Refused::Length),
        ("Content-Length: -3", Refused::Length),
        ("Content-Length: 0x3", Refused::Length),
        ("Content-Length: 3 3", Refused::Length),
        ("Content-Length:", Refused::Length),
        ("Content-Length: \u{663}", Refused::Length),
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            Refused::TransferCoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
            Refused::TransferCoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            Refused::TransferCoding,
        ),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            Refused::TransferCoding,
        ),
        ("Transfer-Encoding: chunked, chunked", Refused::TransferCoding),
        ("Transfer-Encoding: chunked, gzip", Refused::TransferCoding),
        ("Transfer-Encoding: gzip", Refused::TransferCoding),
        ("Transfer-Encoding: identity", Refused::TransferCoding),
        ("Transfer-Encoding: xchunked", Refused::TransferCoding),
        ("Transfer-Encoding: \"chunked\"", Refused::TransferCoding),
        ("Transfer-Encoding:", Refused::TransferCoding),
        ("Transfer-Encoding: gzip, chunked", Refused::UnknownCoding),
        ("Transfer-Encoding: \u{b}chunked", Refused::Malformed),
        ("Transfer-Encoding : chunked", Refused::Malformed),
        ("Transfer-Encoding\t: chunked", Refused::Malformed),
        (" Transfer-Encoding: chunked", Refused::Malformed),
        ("X: y\r\n folded", Refused::Malformed),
        ("X: y\r\n\tfolded", Refused::Malformed),
        ("X", Refused::Malformed),
        (": y", Refused::Malformed),
        ("X y: z", Refused::Malformed),
        ("X(: y", Refused::Malformed),
        ("X\u{e9}: y", Refused::Malformed),
        ("X: \u{7f}", Refused::Malformed),
        ("X: a\u{1}b", Refused::Malformed),
        ("X: a\0b", Refused::LineEnd),
        ("X: y\nZ: z", Refused::LineEnd),
        ("X: y\rZ: z", Refused::LineEnd),
        ("X: y\r\r\nZ: z", Refused::LineEnd),
        ("X: y\n", Refused::LineEnd),
        ("Expect: 200-ok", Refused::Expectation),
        ("Host: a", Refused::Host),
    ] {
        assert_eq!(
            refused(format!("{post}{fields}\r\n\r\n").as_bytes()),
            why,
            "{fields}"
        );
    }
    // The same in HTTP/1.0, which knows no transfer coding at all.
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old), Refused::TransferCoding);
}

#[test]
fn a_first_line_is_a_method_a_target_and_a_version() {
    for (line, why) in [
        ("GET  / HTTP/1.1", Refused::Malformed),
        ("GET /  HTTP/1.1", Refused::Malformed),
        ("GET\t/ HTTP/1.1", Refused::Malformed),
        (" GET / HTTP/1.1", Refused::Malformed),
        ("GET / HTTP/1.1 ", Refused::Malformed),
        ("GET / HTTPS/1.1", Refused::Malformed),
        ("GET / HTTP/1.1 HTTP/1.1", Refused::Malformed),
        ("GET /", Refused::Malformed),
        ("GET", Refused::Malformed),
        ("G@T / HTTP/1.1", Refused::Malformed),
        ("GET / HTTP/1.2", Refused::Version),
        ("GET / HTTP/0.9", Refused::Version),
        ("GET / HTTP/2", Refused::Version),
        ("PRI * HTTP/2.0", Refused::Version),
        ("CONNECT a:443 HTTP/1.1", Refused::Method),
        ("GET * HTTP/1.1", Refused::Target),
        ("GET a HTTP/1.1", Refused::Target),
        ("GET a/b HTTP/1.1", Refused::Target),
        ("GET ftp://a/b HTTP/1.1", Refused::Target),
        ("GET http:///b HTTP/1.1", Refused::Target),
        ("GET http://user@a/ HTTP/1.1", Refused::Target),
        ("GET /a#b HTTP/1.1", Refused::Target),
        ("GET /\u{e9} HTTP/1.1", Refused::Target),
        ("GET http://b/ HTTP/1.1", Refused::Host),
    ] {
        assert_eq!(
            refused(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()),
            why,
            "{line}"
        );
    }
    let long = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(33));
    assert_eq!(refused(long.as_bytes()), Refused::Method);
}

#[test]
fn a_request_names_one_host() {
    for host in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/\r\n",
        "Host: u@a\r\n",
        "Host: a:x\r\n",
    ] {
        assert_eq!(
            refused(format!("GET / HTTP/1.1\r\n{host}\r\n").as_bytes()),
            Refused::Host,
            "{host}"
        );
    }
    for host in ["", "a", "a:80", "a:", "[::1]:80", "127.0.0.1", "a_b.example"] {
        let head = request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).head;
        assert_eq!(head.host(), Some(host));
    }
}

#[test]
fn chunks_that_are_none_are_refused() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long_line = format!("1;{}", "x".repeat(300));
    let long_trailer = format!("0\r\n{}", "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(150));
    for (chunks, why) in [
        ("\r\n", Refused::Chunk),
        ("g\r\n", Refused::Chunk),
        ("+3\r\nabc\r\n", Refused::Chunk),
        ("-3\r\nabc\r\n", Refused::Chunk),
        ("0x3\r\nabc\r\n", Refused::Chunk),
        (" 3\r\nabc\r\n", Refused::Chunk),
        ("3 \r\nabc\r\n", Refused::Chunk),
        ("3 3\r\nabc\r\n", Refused::Chunk),
        ("3\nabc\r\n", Refused::Chunk),
        ("3\r\nabcd\r\n", Refused::Chunk),
        ("3\r\nabc\n0\r\n\r\n", Refused::Chunk),
        ("3\r\nabc0\r\n\r\n", Refused::Chunk),
        ("3;a\nb\r\nabc\r\n", Refused::Chunk),
        ("3;a\rb\r\nabc\r\n", Refused::Chunk),
        ("3;a\0\r\nabc\r\n", Refused::Chunk),
        ("0\r\nX: y\nZ: z\r\n\r\n", Refused::Chunk),
        ("3e9\r\n", Refused::BodyTooLarge),
        ("3e8\r\n", Refused::Chunk),
        ("ffffffffffffffff\r\n", Refused::BodyTooLarge),
        ("10000000000000003\r\nabc\r\n", Refused::BodyTooLarge),
        (&long_line, Refused::Chunk),
        (&long_trailer, Refused::Chunk),
    ] {
        // 1,000 bytes are as many as are allowed, so what follows such a line is data.
        let data = if chunks == "3e8\r\n" {
            "x".repeat(1002)
        } else {
            String::new()
        };
        assert_eq!(
            refused(format!("{head}{chunks}{data}").as_bytes()),
            why,
            "{chunks}"
        );
    }
    // Together they are as many bytes as one may have.
    let many = format!("{head}{}", "64\r\n".to_owned() + &"x".repeat(100) + "\r\n");
    let eleven = format!(
        "{many}{}",
        ("64\r\n".to_owned() + &"x".repeat(100) + "\r\n").repeat(10)
    );
    assert_eq!(at_once(eleven.as_bytes()).error, Some(Refused::BodyTooLarge));
}

#[test]
fn a_body_of_tiny_chunks_costs_little_more_than_its_limit() {
    let limits = RequestLimits {
        body_bytes: 1024 * 1024,
        ..LIMITS
    };
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let stream = format!("{head}{}", "1\r\nx\r\n".repeat(100_000));
    let mut requests = Requests::new(limits);
    let mut received = 0;
    let refused = (0..stream.len()).step_by(1024).find_map(|at| {
        received = at;
        requests.decode(&stream.as_bytes()[..at.max(1)]).err()
    });
    assert_eq!(refused, Some(Refused::Chunk));
    assert!(received < CHUNK_FRAMING_BYTES_MAX * 3, "{received}");
    // Chunks of a few words each are fine.
    let words = format!("{head}{}0\r\n\r\n", "5\r\nwords\r\n".repeat(100_000));
    assert_eq!(
        cut(&mut Requests::new(limits), [words.as_bytes()]).frames.len(),
        1
    );
}

#[test]
fn what_is_too_large_is_refused_as_soon_as_it_is_known() {
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
    request(&target(100));
    assert_eq!(refused(target(101).as_bytes()), Refused::TargetTooLong);
    assert_eq!(refused("G".repeat(200).as_bytes()), Refused::TargetTooLong);
    let head = |bytes: usize| {
        let rest = bytes - "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(rest))
    };
    request(&head(2000));
    assert_eq!(refused(head(2001).as_bytes()), Refused::HeadTooLarge);
    assert_eq!(refused(&head(5000).as_bytes()[..2000]), Refused::HeadTooLarge);
    let headers = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "a: b\r\n".repeat(count - 1)
        )
    };
    request(&headers(20));
    assert_eq!(refused(headers(21).as_bytes()), Refused::HeadTooLarge);
    for length in [
        "1001",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n");
        assert_eq!(refused(format!("{post}\r\n").as_bytes()), Refused::BodyTooLarge);
        // A client that waits is not told to send what will be refused.
        let waits = format!("{post}Expect: 100-continue\r\n\r\n");
        assert_eq!(at_once(waits.as_bytes()).frames, []);
    }
    // More headers than there is room for are as many as that.
    let all = RequestLimits {
        headers: u8::MAX,
        head_bytes: u16::MAX,
        ..LIMITS
    };
    let ok = cut(&mut Requests::new(all), [headers(HEADERS_MAX).as_bytes()]);
    assert_eq!((ok.error, ok.frames.len()), (None, 1));
    let over = cut(&mut Requests::new(all), [headers(HEADERS_MAX + 1).as_bytes()]);
    assert_eq!(over.error, Some(Refused::HeadTooLarge));
    // The largest head that a limit can allow.
    let rest = usize::from(u16::MAX) - "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let largest = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(rest));
    assert_eq!(cut(&mut Requests::new(all), [largest.as_bytes()]).frames.len(), 1);
}

#[test]
fn every_refusal_has_its_status() {
    for (refused, status) in [
        (Refused::Malformed, 400),
        (Refused::LineEnd, 400),
        (Refused::Host, 400),
        (Refused::Target, 400),
        (Refused::Length, 400),
        (Refused::TransferCoding, 400),
        (Refused::Chunk, 400),
        (Refused::BodyTooLarge, 413),
        (Refused::TargetTooLong, 414),
        (Refused::Expectation, 417),
        (Refused::HeadTooLarge, 431),
        (Refused::Method, 501),
        (Refused::UnknownCoding, 501),
        (Refused::Version, 505),
    ] {
        assert_eq!(refused.status().code(), status);
        assert!(!refused.status().reason().is_empty());
    }
    assert_eq!(Status::new(599).map(Status::reason), Some(""));
}

#[test]
fn nothing_is_held_between_two_requests() {
    let mut requests = Requests::new(LIMITS);
    for body in [
        "Content-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let stream = format!("POST / HTTP/1.1\r\nHost: a\r\n{body}");
        cut(&mut requests, stream.as_bytes().chunks(1));
        assert!(requests.partial.is_none());
        assert_eq!(requests.scan, HeadScan::new());
    }
}

#[test]
fn secrets_are_not_shown() {
    let request = request("GET /?ticket=secret HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n\r\n");
    assert!(!format!("{:?}", request.head).contains("secret"));
}

/// Parts of requests, right and wrong, that meet in all orders.
const PARTS: [&str; 30] = [
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "Host: a\r\n",
    "Host: a\r\n\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 10\r\n\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "\r\n",
    "\r",
    "\n",
    "\0",
    "3\r\n",
    "abc\r\n",
    "abc",
    "0\r\n\r\n",
    "0\r\n",
    "3\r\nabc\r\n",
    "3;x=y\r\nabc\r\n",
    "ffffffffffffffffff\r\n",
    "a: b\r\n",
    "a: b",
    " folded\r\n",
    ": ",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

proptest! {
    #[test]
    fn any_stream_gives_the_same_however_it_is_cut(parts in proptest::collection::vec(0..PARTS.len(), 1..14)) {
        let stream: String = parts.iter().map(|part| PARTS[*part]).collect();
        all_ways(stream.as_bytes());
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(stream in proptest::collection::vec(any::<u8>(), 1..200)) {
        all_ways(&stream);
    }
}
