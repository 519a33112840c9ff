//! What must hold for a client, whatever a server sends it.

use bytes::Bytes;
use prost::Message;
use protocol::{
    Command, Decode, Encoding, FrameCodec, Push, RawPage, Refusal, Reply, limits::FRAME_BYTES_MAX, v1,
};

use crate::{
    bodies::{Bodies, ENCODINGS, Real, commands},
    memory,
    stream::cut,
};

/// In use at once while a server's message is read, per byte of its body: an event that is all defaults takes two
/// bytes on the wire and its whole size in memory, and a list grows by doubling. So a server can cost a client
/// some hundred times what it sends; the largest frame bounds it.
const MESSAGE_COST: usize = 3 * size_of::<v1::Event>() / 2 + 64;

/// The bytes as a stream of frames from a server, each read as its type says in both encodings; and as the body
/// of every reply and push.
///
/// # Panics
/// Reading costs more memory than has arrived, or a page and its raw twin differ.
pub fn client_direction(data: &[u8]) {
    client_direction_with(&Real, data);
}

/// See [`client_direction`].
///
/// # Panics
/// A promise is broken.
pub fn client_direction_with(bodies: &impl Bodies, data: &[u8]) {
    let stream = cut(&mut FrameCodec::new(FRAME_BYTES_MAX), std::iter::once(data));
    for frame in stream.frames {
        if let Ok(command) = Command::from_number(frame.kind.command()) {
            read(bodies, command, frame.kind.is_response(), &frame.body);
        }
    }
    let body = Bytes::copy_from_slice(data);
    for command in commands(data) {
        read(bodies, command, !command.is_push(), &body);
    }
    for encoding in ENCODINGS {
        let _: Result<v1::Error, Refusal> = cheaply(&body, || encoding.decode(body.clone()));
    }
    twins(bodies, &body);
}

fn read(bodies: &impl Bodies, command: Command, answer: bool, body: &Bytes) {
    for encoding in ENCODINGS {
        if answer {
            let _ = cheaply(body, || Reply::decode(command, encoding, body.clone()));
        } else {
            let _ = cheaply(body, || bodies.push(command, encoding, body.clone()));
        }
    }
}

fn cheaply<T>(body: &Bytes, work: impl FnOnce() -> T) -> T {
    memory::within(body.len(), MESSAGE_COST, work)
}

/// A page as it would be stored and pushed raw is the same page.
fn twins(bodies: &impl Bodies, body: &Bytes) {
    for encoding in ENCODINGS {
        let Ok(Push::EventsPush(page)) = bodies.push(Command::EventsPush, encoding, body.clone()) else {
            continue;
        };
        let bytes = page.encode_to_vec();
        match RawPage::decode(bytes.as_slice()) {
            Ok(raw) => {
                assert_eq!(raw.encode_to_vec(), bytes, "the raw page has other bytes");
                assert_eq!(bodies.to_page(&raw), page, "the raw page is another page");
            }
            Err(error) => panic!("no raw page: {error}"),
        }
    }
    // Bodies that are stored come from disks, so they may be anything.
    let damaged = RawPage {
        events: vec![protocol::RawEvent {
            body: Some(body.clone()),
            ..protocol::RawEvent::default()
        }],
        ..RawPage::default()
    };
    let page = cheaply(body, || bodies.to_page(&damaged));
    assert_eq!(page.events.len(), 1, "a damaged body costs the body alone");
    assert!(!Encoding::Json.encode(&page).is_empty());
}
