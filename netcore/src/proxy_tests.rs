use super::*;
use proptest::prelude::*;

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = V2_SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn good() -> Vec<(Vec<u8>, Header)> {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 9, 0x13, 0x88, 1, 0xbb];
    let mut v4_with_extension = v4.to_vec();
    v4_with_extension.extend([4, 0, 1, 0]);
    let mut v6 = [0; 36];
    (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 7, 8);
    vec![
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.9 5000 443\r\n".to_vec(),
            proxied("192.0.2.1:5000", "192.0.2.9:443"),
        ),
        (
            b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n".to_vec(),
            proxied("[2001:db8::1]:0", "[::1]:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Header::Local),
        (b"PROXY UNKNOWN ffff::1 whatever\r\n".to_vec(), Header::Local),
        (v2(0x21, 0x11, &v4), proxied("192.0.2.1:5000", "192.0.2.9:443")),
        (
            v2(0x21, 0x11, &v4_with_extension),
            proxied("192.0.2.1:5000", "192.0.2.9:443"),
        ),
        (v2(0x21, 0x21, &v6), proxied("[::1]:7", "[::2]:8")),
        (v2(0x20, 0x00, &[]), Header::Local),
        (v2(0x20, 0x11, &v4), Header::Local),
        (v2(0x21, 0x31, &[0; 216]), Header::Local),
    ]
}

#[test]
fn headers_are_read_and_what_follows_is_left() {
    for (bytes, header) in good() {
        assert_eq!(parse(&bytes), Ok(Some((header, bytes.len()))));
        let longer = [&bytes[..], b"\r\nPROXY "].concat();
        assert_eq!(parse(&longer), Ok(Some((header, bytes.len()))));
    }
}

#[test]
fn every_beginning_of_a_header_asks_for_more() {
    for (bytes, _) in good() {
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), Ok(None), "{len} of {bytes:?}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused() {
    let long_line = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    for (bytes, error) in [
        (&b"GET / HTTP/1.1\r\n"[..], ProxyError::Missing),
        (b"PROXZ", ProxyError::Missing),
        (b"\r\n\r\n\0\r\nQUIX", ProxyError::Missing),
        (b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n", ProxyError::Malformed),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", ProxyError::Malformed),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n", ProxyError::Malformed),
        (b"PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n", ProxyError::Address),
        (b"PROXY TCP4 ::1 1.1.1.1 1 1\r\n", ProxyError::Address),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", ProxyError::Address),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n", ProxyError::Address),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n", ProxyError::Address),
        (&long_line, ProxyError::TooLong),
        (&v2(0x11, 0x11, &[0; 12]), ProxyError::Malformed),
        (&v2(0x22, 0x11, &[0; 12]), ProxyError::Malformed),
        (&v2(0x21, 0x13, &[0; 12]), ProxyError::Malformed),
        (&v2(0x21, 0x11, &[0; 11]), ProxyError::Malformed),
        (&v2(0x21, 0x21, &[0; 35]), ProxyError::Malformed),
        (&v2(0x21, 0x11, &[0; PROXY_HEADER_BYTES_MAX]), ProxyError::TooLong),
    ] {
        assert_eq!(parse(bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn a_declared_length_beyond_the_limit_is_refused_before_it_arrives() {
    let whole = v2(0x21, 0x11, &[0; PROXY_HEADER_BYTES_MAX]);
    assert_eq!(parse(&whole[..V2_FIXED_BYTES]), Err(ProxyError::TooLong));
}

proptest! {
    #[test]
    fn any_bytes_are_judged_alike_however_many_are_there(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 1.1.1.1 ", V2_SIGNATURE]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [start, &rest].concat();
        let whole = parse(&bytes);
        for len in 0..bytes.len() {
            match parse(&bytes[..len]) {
                Ok(None) => {}
                decided => prop_assert_eq!(decided, whole),
            }
        }
        if let Ok(Some((_, used))) = whole {
            prop_assert!(used <= bytes.len());
        }
    }
}
