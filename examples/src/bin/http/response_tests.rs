use super::*;

const PAGES: [&Page; 9] = [
    &HELLO,
    &MALFORMED,
    &NOT_FOUND,
    &NOT_ALLOWED,
    &TOO_SLOW,
    &BODY_TOO_LARGE,
    &HEAD_TOO_LARGE,
    &NO_TRANSFER_CODING,
    &UNKNOWN_VERSION,
];

const DATE: Date = *b"Sun, 06 Nov 1994 08:49:37 GMT";

fn encoded(page: &'static Page, persistence: Persistence, without_body: bool) -> String {
    let mut bytes = BytesMut::new();
    let response = Response {
        page,
        date: DATE,
        persistence,
        without_body,
    };
    response.encode(&mut bytes);
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn every_page_has_the_length_it_says() {
    for page in PAGES {
        let text = encoded(page, Persistence::Implied, false);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(!body.is_empty());
        let line = format!("\r\nContent-Length: {}\r\n", body.len());
        assert!(head.contains(&line), "{text}");
    }
}

#[test]
fn a_response_says_when_and_how_it_goes_on() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\
                Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    for (persistence, line) in [
        (Persistence::Implied, ""),
        (Persistence::Granted, "Connection: keep-alive\r\n"),
        (Persistence::Close, "Connection: close\r\n"),
    ] {
        let with_body = format!("{head}{line}\r\nHello, world!");
        assert_eq!(encoded(&HELLO, persistence, false), with_body);
        let without_body = format!("{head}{line}\r\n");
        assert_eq!(encoded(&HELLO, persistence, true), without_body);
    }
}
