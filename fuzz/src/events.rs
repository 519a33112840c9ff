//! What must hold for netcore's server-sent events.

use bytes::BytesMut;
use netcore::http::events::{Block, Decoder, Event, InvalidBlock};

use crate::input::Input;
use crate::stream::{cuts, pieces};

/// Bytes of a block that is read.
const BLOCK_BYTES_MAX: usize = 1024;

/// Writes a block.
pub type Written = fn(&Block<'_>, &mut BytesMut) -> Result<(), InvalidBlock>;

/// [`events_with`] for netcore's encoder.
///
/// # Panics
/// A promise is broken.
pub fn events(data: &[u8]) {
    events_with(|block, dst| block.encode(dst), data);
}

/// The input is cuts and then blocks, of which each is a byte that says which fields it has, and their lengths. They are
/// written and read; then the input itself is read as a stream.
///
/// # Panics
/// What is read is not what was written, or depends on how the stream is cut; what is refused was changed.
pub fn events_with(encode: Written, data: &[u8]) {
    let mut input = Input::new(data);
    let sizes = cuts(&mut input);
    let stream = input.rest();
    let (mut written, mut expected, mut last_id) = (BytesMut::new(), Vec::new(), String::new());
    while !input.rest().is_empty() {
        let flags = input.byte();
        let [event, id, data] = [1, 2, 4].map(|flag| (flags & flag != 0).then(|| text(&mut input)));
        let retry_ms = (flags & 8 != 0).then_some(u32::from(flags) << 20);
        let block = Block {
            event: event.as_deref(),
            id: id.as_deref(),
            data: data.as_deref(),
            retry_ms,
        };
        let before = written.len();
        if encode(&block, &mut written).is_err() {
            assert_eq!(written.len(), before, "a refused block was written");
            let spoilt = |text: &Option<String>| {
                text.as_ref()
                    .is_some_and(|text| text.contains(['\r', '\n', '\0']))
            };
            assert!(
                spoilt(&event) || spoilt(&id),
                "a block was refused without a reason"
            );
            continue;
        }
        last_id = id.unwrap_or(last_id);
        if let Some(data) = data {
            expected.push(Event {
                event: event
                    .filter(|event| !event.is_empty())
                    .unwrap_or_else(|| "message".to_owned()),
                data: data.replace("\r\n", "\n").replace('\r', "\n"),
                id: last_id.clone(),
            });
        }
    }
    let (events, id, _) = read(std::iter::once(&written[..]));
    assert_eq!(events, expected, "other events arrive");
    assert_eq!(id, last_id, "another id arrives");
    for stream in [&written[..], stream] {
        let whole = read(std::iter::once(stream));
        assert_eq!(read(stream.chunks(1)), whole, "byte by byte");
        if !sizes.is_empty() {
            assert_eq!(read(pieces(stream, &sizes)), whole, "in pieces of {sizes:?}");
        }
    }
}

fn text(input: &mut Input<'_>) -> String {
    let bytes = usize::from(input.byte()) % 64;
    String::from_utf8_lossy(input.bytes(bytes)).into_owned()
}

/// The events, the last id, and whether a block was too long.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, String, bool) {
    let mut decoder = Decoder::new(BLOCK_BYTES_MAX);
    let mut events = Vec::new();
    for piece in pieces {
        if decoder.feed(piece, |event| events.push(event)).is_err() {
            return (events, decoder.last_id().to_owned(), true);
        }
    }
    (events, decoder.last_id().to_owned(), false)
}
