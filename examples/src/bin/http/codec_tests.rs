use super::*;
use crate::request::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, Method, Persistence, Target};
use proptest::collection::vec;
use proptest::prelude::*;

const GET: Request = Request {
    method: Method::Get,
    target: Target::Root,
    persistence: Persistence::Implied,
};

/// What comes out of a stream that arrives in these pieces, parts of bodies left out, and the error that ended
/// it.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Option<Refused>) {
    let (mut codec, mut held, mut events) = (Http::default(), Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        while !held.is_empty() {
            match codec.decode(&held) {
                Ok(Decoded::Frame { frame, used }) => {
                    assert!(used.get() <= held.len(), "takes what has not come");
                    held.drain(..used.get());
                    if frame != Event::Dropped {
                        events.push(frame);
                    }
                }
                Ok(Decoded::Need { total }) => {
                    assert!(total.get() > held.len(), "asks for what it has");
                    break;
                }
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fn whole(stream: &str) -> (Vec<Event>, Option<Refused>) {
    decode([stream.as_bytes()])
}

#[track_caller]
fn request(head: &str) -> Request {
    match whole(head) {
        (events, None) => match events[..] {
            [Event::Request(request)] => request,
            _ => panic!("{events:?}"),
        },
        refused => panic!("{refused:?}"),
    }
}

#[track_caller]
fn refused(head: &str, error: Refused) {
    assert_eq!(whole(head), (Vec::new(), Some(error)), "{head}");
}

#[test]
fn requests_follow_each_other() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(whole(&get.repeat(3)), (vec![Event::Request(GET); 3], None));
}

#[test]
fn the_target_is_a_path_or_a_whole_address() {
    for (target, expected) in [
        ("/", Target::Root),
        ("/?a=/b", Target::Root),
        ("http://host/", Target::Root),
        ("HTTP://host:80", Target::Root),
        ("http://host?a", Target::Root),
        ("/a", Target::Unknown),
        ("//", Target::Unknown),
        ("http://host/a", Target::Unknown),
        ("*", Target::Unknown),
    ] {
        let found = request(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(found.target, expected, "{target}");
    }
}

#[test]
fn methods_are_told_apart() {
    for (name, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Other),
        ("get", Method::Other),
    ] {
        let found = request(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(found.method, method, "{name}");
    }
}

#[test]
fn the_connection_goes_on_as_version_and_header_say() {
    for (version, header, persistence) in [
        ("1.1", "", Persistence::Implied),
        ("1.1", "Connection: keep-alive\r\n", Persistence::Implied),
        ("1.1", "connection: Close\r\n", Persistence::Close),
        ("1.1", "Connection: keep-alive, close\r\n", Persistence::Close),
        (
            "1.1",
            "Connection: upgrade\r\nConnection: close\r\n",
            Persistence::Close,
        ),
        ("1.0", "", Persistence::Close),
        ("1.0", "Connection: Keep-Alive\r\n", Persistence::Granted),
        ("1.0", "Connection: close, keep-alive\r\n", Persistence::Close),
    ] {
        let found = request(&format!("GET / HTTP/{version}\r\nHost: a\r\n{header}\r\n"));
        assert_eq!(found.persistence, persistence, "{version} {header}");
    }
}

#[test]
fn bodies_are_dropped_before_the_request_is_answered() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let (events, error) = whole(&format!("{post}GET /GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    let posted = Request {
        method: Method::Other,
        ..GET
    };
    assert_eq!(events, [Event::Request(posted), Event::Request(GET)]);
    assert_eq!(error, None);
    assert_eq!(whole(&format!("{post}1234")), (Vec::new(), None));
}

#[test]
fn all_that_has_come_of_a_body_is_dropped_at_once_and_no_more() {
    for (left, received, dropped, event) in [
        (10, 4, 4, Event::Dropped),
        (10, 10, 10, Event::Request(GET)),
        (10, 14, 10, Event::Request(GET)),
    ] {
        let mut codec = Http {
            body: Some((GET, left)),
        };
        let decoded = codec.decode(&vec![b'x'; received]);
        assert_eq!(decoded, Ok(frame(event, dropped)));
    }
}

#[test]
fn a_client_that_waits_before_its_body_is_told_to_go_on() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(whole(post), (vec![Event::Expectation], None));
    // Without a body there is nothing to wait for, and HTTP/1.0 has no such answer.
    request("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    let old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(whole(old), (Vec::new(), None));
}

#[test]
fn what_could_be_understood_in_two_ways_is_refused() {
    let with = |headers: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    refused(
        &with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        Refused::TransferCoding,
    );
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Content-Length : 5\r\n",
        "a: b\r\n c\r\n",
        "Host: b\r\n",
    ] {
        refused(&with(headers), Refused::Malformed);
    }
    refused("GET / HTTP/1.1\r\n\r\n", Refused::Malformed);
    refused("GET /\r\n\r\n", Refused::Malformed);
    refused("GET / HTTP/2.0\r\n", Refused::Version);
    assert_eq!(whole(&with("Content-Length: 0\r\nContent-Length: 0\r\n")).1, None);
}

#[test]
fn a_head_has_limits() {
    let with = |headers: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "a: b\r\n".repeat(headers - 1)
        )
    };
    assert_eq!(request(&with(HEADERS_MAX)), GET);
    refused(&with(HEADERS_MAX + 1), Refused::HeadTooLarge);

    let (begin, end) = ("GET / HTTP/1.1\r\nHost: a\r\nb: ", "\r\n\r\n");
    let filled = |bytes: usize| format!("{begin}{}", "x".repeat(bytes - begin.len() - end.len()));
    assert_eq!(request(&(filled(HEAD_BYTES_MAX) + end)), GET);
    refused(&(filled(HEAD_BYTES_MAX + 1) + end), Refused::HeadTooLarge);
    // What cannot become short enough is not waited for.
    refused(&"G".repeat(HEAD_BYTES_MAX), Refused::HeadTooLarge);
}

#[test]
fn a_body_has_a_limit() {
    let with = |bytes: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
    assert_eq!(whole(&with(&BODY_BYTES_MAX.to_string())), (Vec::new(), None));
    refused(&with(&(BODY_BYTES_MAX + 1).to_string()), Refused::BodyTooLarge);
    refused(&with("99999999999999999999999999"), Refused::BodyTooLarge);
}

fn some_request() -> impl Strategy<Value = String> {
    let head = prop_oneof![
        Just("GET / HTTP/1.1\r\nHost: a\r\n"),
        Just("HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"),
        Just("\r\nGET / HTTP/1.0\r\n"),
    ];
    (head, 0..30_usize).prop_map(|(head, body)| match body {
        0 => format!("{head}\r\n"),
        _ => format!("{head}Content-Length: {body}\r\n\r\n{}", "b".repeat(body)),
    })
}

proptest! {
    #[test]
    fn requests_are_the_same_however_they_are_cut(
        requests in vec(some_request(), 0..6),
        size in 1..50_usize,
    ) {
        let stream = requests.concat();
        let (events, error) = whole(&stream);
        prop_assert_eq!(error, None);
        prop_assert_eq!(events.len(), requests.len());
        prop_assert_eq!(decode(stream.as_bytes().chunks(size)), (events, None));
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..200), size in 1..50_usize) {
        decode(bytes.chunks(size));
        let stream = [&b"GET / HTTP/1.1\r\n"[..], &bytes].concat();
        decode(stream.chunks(size));
    }
}
