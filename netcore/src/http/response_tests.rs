//! How responses look on the wire, byte for byte.

use super::*;
use std::time::{Duration, UNIX_EPOCH};

const PLAIN: Response<'static> = Response {
    status: Status::OK,
    date: None,
    persistence: Persistence::Implied,
    headers: &[],
    body: Body::Full(b"hi"),
};

fn text(response: &Response<'_>) -> String {
    String::from_utf8(response.to_bytes().unwrap().to_vec()).unwrap()
}

#[test]
fn a_body_is_as_long_as_the_head_says_or_is_not_there() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (status, body, expected) in [
        (
            Status::OK,
            Body::Full(b"hi"),
            format!("{ok}Content-Length: 2\r\n\r\nhi"),
        ),
        (
            Status::OK,
            Body::Full(b""),
            format!("{ok}Content-Length: 0\r\n\r\n"),
        ),
        (
            Status::OK,
            Body::Omitted(7),
            format!("{ok}Content-Length: 7\r\n\r\n"),
        ),
        (
            Status::OK,
            Body::Follows(u64::MAX),
            format!("{ok}Content-Length: 18446744073709551615\r\n\r\n"),
        ),
        (
            Status::OK,
            Body::Chunked,
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n"),
        ),
        (
            Status::OK,
            Body::UntilClose,
            format!("{ok}Connection: close\r\n\r\n"),
        ),
        (
            Status::NO_CONTENT,
            Body::Full(b"hi"),
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        ),
        (
            Status::NOT_MODIFIED,
            Body::Full(b"hi"),
            "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(),
        ),
        (
            Status::NOT_MODIFIED,
            Body::Chunked,
            "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(),
        ),
        (
            Status::CONTINUE,
            Body::Full(b"hi"),
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        ),
    ] {
        assert_eq!(
            text(&Response {
                status,
                body,
                ..PLAIN
            }),
            expected
        );
    }
    let unknown = Status::new(299).unwrap();
    assert!(
        text(&Response {
            status: unknown,
            ..PLAIN
        })
        .starts_with("HTTP/1.1 299 \r\n")
    );
}

#[test]
fn the_client_is_told_what_becomes_of_the_connection() {
    for (status, persistence, line) in [
        (Status::OK, Persistence::Implied, ""),
        (Status::OK, Persistence::Granted, "Connection: keep-alive\r\n"),
        (Status::OK, Persistence::Close, "Connection: close\r\n"),
        (Status::SWITCHING_PROTOCOLS, Persistence::Close, ""),
    ] {
        let body = Body::Chunked;
        let response = text(&Response {
            status,
            persistence,
            body,
            ..PLAIN
        });
        let expected = format!("HTTP/1.1 {} {}\r\n{line}", status.code(), status.reason());
        assert!(response.starts_with(&expected), "{response}");
        assert_eq!(
            response.matches("Connection").count(),
            line.matches("Connection").count()
        );
    }
}

#[test]
fn a_header_cannot_become_two() {
    for (name, value) in [
        ("X", "a\r\nSet-Cookie: b"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X", "a\u{7f}"),
        ("X\r\nY", "a"),
        ("X:", "a"),
        ("X ", "a"),
        ("", "a"),
        ("\u{e9}", "a"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
    ] {
        let headers = [("Fine", "tab\tand \u{e9}"), (name, value)];
        let mut dst = BytesMut::from("before");
        let refused = Response {
            headers: &headers,
            ..PLAIN
        }
        .encode(&mut dst);
        assert_eq!(refused, Err(InvalidHeader { index: 1 }), "{name}: {value}");
        assert_eq!(&dst[..], b"before");
    }
}

#[test]
fn a_response_is_one_allocation() {
    let date = Some(Date::new(UNIX_EPOCH + Duration::from_secs(1)));
    for status in (100..600).filter_map(Status::new) {
        let long = "x".repeat(1000);
        let response = Response {
            status,
            date,
            persistence: Persistence::Granted,
            headers: &[("Name", &long), ("Another", "")],
            body: Body::Follows(u64::MAX),
        };
        let mut dst = BytesMut::new();
        response.encode(&mut dst).unwrap();
        let longest = FIXED_BYTES_MAX + 8 + 1000 + 11;
        assert!(
            dst.len() <= longest && dst.capacity() >= longest,
            "{}",
            status.code()
        );
    }
}

#[test]
fn chunks_have_their_size_before_them() {
    let mut dst = BytesMut::new();
    Chunks::put(b"", &mut dst);
    assert_eq!(dst, "");
    Chunks::put(&[b'x'; 0x1ab], &mut dst);
    assert!(dst.starts_with(b"1ab\r\nx") && dst.ends_with(b"x\r\n"));
}
