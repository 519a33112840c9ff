//! What a server writes arrives, however it is cut, and a stream is read as the standard says.

use super::*;
use proptest::prelude::*;

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, String, Option<u32>) {
    let mut decoder = Decoder::new(10_000);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece, |event| events.push(event)).unwrap();
    }
    (events, decoder.last_id().to_owned(), decoder.retry_ms())
}

fn event(event: &str, data: &str, id: &str) -> Event {
    Event {
        event: event.to_owned(),
        data: data.to_owned(),
        id: id.to_owned(),
    }
}

#[test]
fn a_stream_is_read_as_the_standard_says() {
    for (stream, events, id) in [
        ("data: a\n\n", vec![event("message", "a", "")], ""),
        (
            "data:a\n\ndata:  b\n\n",
            vec![event("message", "a", ""), event("message", " b", "")],
            "",
        ),
        (
            "data: a\r\rdata: b\r\n\r\n",
            vec![event("message", "a", ""), event("message", "b", "")],
            "",
        ),
        (
            "data: a\r\ndata: b\r\n\r\n",
            vec![event("message", "a\nb", "")],
            "",
        ),
        ("\u{feff}data: a\n\n", vec![event("message", "a", "")], ""),
        (
            "data\n\ndata\ndata\n\ndata:",
            vec![event("message", "", ""), event("message", "\n", "")],
            "",
        ),
        (
            ": comment\n\nevent: x\ndata: a\n\n",
            vec![event("x", "a", "")],
            "",
        ),
        ("event: x\n\ndata: a\n\n", vec![event("message", "a", "")], ""),
        (
            "id: 1\ndata: a\n\ndata: b\n\n",
            vec![event("message", "a", "1"), event("message", "b", "1")],
            "1",
        ),
        ("id: 1\n\nid\n\n", vec![], ""),
        ("id: 1\n\nid: 2\n", vec![], "1"),
        ("id: a\0b\n\n", vec![], ""),
        ("unknown: 1\ndata: a\n\n", vec![event("message", "a", "")], ""),
        ("data: unfinished", vec![], ""),
    ] {
        let expected = (events, id.to_owned(), None);
        assert_eq!(read([stream.as_bytes()]), expected, "{stream:?}");
        assert_eq!(read(stream.as_bytes().chunks(1)), expected, "{stream:?}");
    }
    assert_eq!(
        read([&b"retry: 5\nretry: x\nretry: -1\nretry:\n\n"[..]]).2,
        Some(5)
    );
}

#[test]
fn what_would_end_too_early_is_refused() {
    let mut dst = BytesMut::from("before");
    for text in ["a\nb", "a\rb", "a\0b"] {
        let event = Block {
            event: Some(text),
            ..Block::default()
        };
        let id = Block {
            id: Some(text),
            ..Block::default()
        };
        assert_eq!(event.encode(&mut dst), Err(InvalidBlock));
        assert_eq!(id.encode(&mut dst), Err(InvalidBlock));
    }
    assert_eq!(dst, "before");
}

#[test]
fn comments_and_retries_dispatch_nothing() {
    let mut dst = BytesMut::new();
    comment("two\nlines: and data: none", &mut dst);
    comment("", &mut dst);
    Block {
        retry_ms: Some(3000),
        ..Block::default()
    }
    .encode(&mut dst)
    .unwrap();
    assert_eq!(dst, ": two\n: lines: and data: none\n\n: \n\nretry: 3000\n\n");
    assert_eq!(read([&dst[..]]), (vec![], String::new(), Some(3000)));
}

#[test]
fn a_block_has_a_limit_however_it_comes() {
    for piece in [&b"data: aaaaaaaa\n"[..], b"aaaaaaaaaaaaaaa", b"event: aaaa\nx"] {
        let mut decoder = Decoder::new(100);
        let ends = (0..100).find_map(|_| decoder.feed(piece, |_| {}).err());
        assert_eq!(ends.is_some(), piece != b"event: aaaa\nx", "{piece:?}");
    }
    // A limit is for each block.
    let mut decoder = Decoder::new(20);
    for _ in 0..100 {
        decoder.feed(b"data: 1234567890\n\n", |_| {}).unwrap();
    }
}

proptest! {
    #[test]
    fn what_is_written_arrives(
        blocks in proptest::collection::vec(
            (
                proptest::option::of("[^\r\n\0]{0,9}"),
                proptest::option::of("[^\r\n\0]{0,9}"),
                proptest::option::of("([^\r\n]|\n|\r|\r\n){0,30}"),
            ),
            0..6,
        ),
        size in 1_usize..20,
    ) {
        let mut dst = BytesMut::new();
        let mut expected = Vec::new();
        let mut last_id = String::new();
        for (event, id, data) in &blocks {
            let block = Block { event: event.as_deref(), id: id.as_deref(), data: data.as_deref(), retry_ms: None };
            let before = dst.len();
            dst.reserve(0);
            block.encode(&mut dst).unwrap();
            prop_assert!(dst.len() > before);
            if let Some(id) = id {
                last_id.clone_from(id);
            }
            if let Some(data) = data {
                let name = event.as_deref().filter(|name| !name.is_empty()).unwrap_or("message");
                let data = data.replace("\r\n", "\n").replace('\r', "\n");
                expected.push(Event { event: name.to_owned(), data, id: last_id.clone() });
            }
        }
        let (events, id, _) = read(dst.chunks(size));
        prop_assert_eq!(events, expected);
        prop_assert_eq!(id, last_id);
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(stream in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(read([&stream[..]]), read(stream.chunks(1)));
    }

    #[test]
    fn any_text_gives_the_same_however_it_is_cut(stream in "(data|id|event|retry|:|\r|\n| |[a-c]|\0){0,40}", at in any::<prop::sample::Index>()) {
        let bytes = stream.as_bytes();
        let (before, behind) = bytes.split_at(at.index(bytes.len() + 1));
        prop_assert_eq!(read([bytes]), read([before, behind]));
    }
}
