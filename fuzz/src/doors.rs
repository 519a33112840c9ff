//! What must hold for the doors of one port: the first byte alone chooses, however what follows comes.

use netcore::codec::Codec;
use netcore::http::{self, Request, RequestLimits, Requests};
use protocol::door::{Door, DoorError, Incoming, Limits};
use protocol::{Frame, FrameCodec};

use crate::input::Input;
use crate::stream::{Cut, cut, cuts, pieces};

/// Bytes of a frame and of a call's body that the first byte of an input chooses from.
const LIMITS: [Limits; 3] = [limits(4 * 1024, 256 * 1024), limits(15, 20), limits(0, 0)];

const fn limits(frame_bytes: u32, call_bytes: u32) -> Limits {
    Limits {
        frame_bytes,
        call_bytes,
    }
}

/// The first byte chooses limits, the next ones cuts, the rest is a stream: [`doors_with`] for the daemon's doors.
///
/// # Panics
/// A promise is broken.
pub fn doors(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(limits) = input.choose(&LIMITS) else {
        return;
    };
    let sizes = cuts(&mut input);
    doors_with(|| Door::any(limits), limits, &sizes, input.rest());
}

/// Reads a stream at once, byte by byte, in two pieces cut at every place near its beginning, and in pieces of the given
/// sizes.
///
/// # Panics
/// Something else comes through the door than through the codec that belongs to the first byte, or what comes depends on
/// the pieces.
pub fn doors_with<C>(make: impl Fn() -> C, limits: Limits, sizes: &[usize], stream: &[u8])
where
    C: for<'f> Codec<In<'f> = Incoming, Error = DoorError>,
{
    /// Beyond these the first byte is long gone.
    const CUTS: usize = 64;
    let expected = by_first_byte(limits, stream);
    let same = |pieces: &mut dyn Iterator<Item = &[u8]>, how: &str| {
        assert_eq!(read(cut(&mut make(), pieces)), expected, "{how}");
    };
    same(&mut std::iter::once(stream), "at once");
    same(&mut stream.chunks(1), "byte by byte");
    for at in 1..stream.len().min(CUTS) {
        let (first, rest) = stream.split_at(at);
        same(&mut [first, rest].into_iter(), "in two pieces");
    }
    if !sizes.is_empty() {
        same(&mut pieces(stream, sizes), "in pieces");
    }
}

/// What came through a door.
#[derive(Debug, PartialEq)]
enum Came {
    Frame(Frame),
    Request(Request),
    /// What comes over a WebSocket only, which a new connection is not.
    Other,
}

/// What came, and why no more can. Whether a client was told to go on depends on what had come, so it is left out.
type Read = (Vec<Came>, Option<String>);

fn read(cut: Cut<Incoming, DoorError>) -> Read {
    let came = cut.frames.into_iter().filter_map(|incoming| match incoming {
        Incoming::Frame(frame) => Some(Came::Frame(frame)),
        Incoming::Request(request) => Some(Came::Request(*request)),
        Incoming::Expectation => None,
        _ => Some(Came::Other),
    });
    (came.collect(), cut.error.map(|error| error.to_string()))
}

/// The rule of the document: an upper-case letter begins a request, anything else a frame.
fn by_first_byte(limits: Limits, stream: &[u8]) -> Read {
    let all = std::iter::once(stream);
    match stream.first() {
        Some(b'A'..=b'Z') => {
            let limits = RequestLimits {
                body_bytes: limits.call_bytes,
                ..RequestLimits::default()
            };
            let Cut { frames, error, .. } = cut(&mut Requests::new(limits), all);
            let requests = frames.into_iter().filter_map(|incoming| match incoming {
                http::Incoming::Request(request) => Some(Came::Request(request)),
                http::Incoming::Expectation => None,
            });
            (requests.collect(), error.map(|error| error.to_string()))
        }
        _ => {
            let Cut { frames, error, .. } = cut(&mut FrameCodec::new(limits.frame_bytes), all);
            let frames = frames.into_iter().map(Came::Frame);
            (frames.collect(), error.map(|error| error.to_string()))
        }
    }
}
