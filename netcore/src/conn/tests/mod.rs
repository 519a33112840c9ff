//! The core in virtual time, with two small codecs.

mod cutting;
mod deadlines;
mod explore;
mod model;
mod phases;
mod sending;
mod table;

use super::*;
use crate::close::{CloseHow, Queued, SendError};
use crate::codec::LengthPrefixed;
use crate::codec::{Beat, Decoded};
use crate::config::Timeouts;
use crate::limits::{TICK, WRITE_SLICES_MAX};
use crate::time::Ticks;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use std::io::IoSlice;
use std::num::NonZeroUsize;

/// One byte of length; a payload of "?" is a ping, "!" a pong, and "x" is an error.
#[derive(Debug, Default)]
struct Beating;

#[derive(Debug, thiserror::Error)]
#[error("an x")]
struct AnX;

impl Codec for Beating {
    type In<'a> = Bytes;
    type Out = [u8];
    type Error = AnX;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Bytes>, AnX> {
        assert!(!src.is_empty(), "never called without bytes");
        let total = 1 + usize::from(src[0]);
        let Some(payload) = src.get(1..total) else {
            return Ok(Decoded::Need {
                total: NonZeroUsize::new(total).unwrap(),
            });
        };
        if payload == b"x" {
            return Err(AnX);
        }
        let used = NonZeroUsize::new(total).unwrap();
        Ok(Decoded::Frame {
            frame: Bytes::copy_from_slice(payload),
            used,
        })
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), AnX> {
        dst.extend_from_slice(&[out.len() as u8]);
        dst.extend_from_slice(out);
        if out == b"x" { Err(AnX) } else { Ok(()) }
    }

    fn beat(&self, frame: &Bytes) -> Beat {
        match &frame[..] {
            b"?" => Beat::Ping,
            b"!" => Beat::Pong,
            _ => Beat::Data,
        }
    }

    fn encode_beat(&self, beat: Beat, answer_to: Option<&Bytes>, dst: &mut BytesMut) {
        assert_eq!(answer_to.is_some(), beat == Beat::Pong);
        dst.extend_from_slice(if beat == Beat::Ping { b"\x01?" } else { b"\x01!" });
    }
}

/// Frames end with a line feed; a codec that never knows how much it needs.
#[derive(Debug)]
struct Lines;

impl Codec for Lines {
    type In<'a> = Vec<u8>;
    type Out = [u8];
    type Error = AnX;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Vec<u8>>, AnX> {
        Ok(match src.iter().position(|byte| *byte == b'\n') {
            Some(end) => Decoded::Frame {
                frame: src[..end].to_vec(),
                used: NonZeroUsize::new(end + 1).unwrap(),
            },
            None => Decoded::Need {
                total: NonZeroUsize::new(src.len() + 1).unwrap(),
            },
        })
    }

    fn encode(&self, _: &[u8], _: &mut BytesMut) -> Result<(), AnX> {
        Ok(())
    }
}

const T0: Tick = Tick(1000);

fn ticks(count: u32) -> std::time::Duration {
    // One less than wanted, because a conversion adds the tick that has begun.
    TICK * (count - 1)
}

fn settings() -> Settings {
    let timeouts = Timeouts {
        handshake: ticks(50),
        frame: ticks(30),
        idle: ticks(200),
        ping_after: Some(ticks(100)),
        pong_within: ticks(20),
        write_stall: ticks(40),
        linger: ticks(10),
        ..Timeouts::default()
    };
    let outbound = Outbound {
        low_water: 10,
        high_water: 20,
        limit: 30,
        reply_reserve: 8,
        ..Outbound::default()
    };
    Settings::new(&timeouts, outbound)
}

fn core() -> Core<Beating> {
    let mut core = Core::new(Beating, T0, u16::MAX, &settings());
    core.establish();
    core
}

fn frames<F, C>(core: &mut Core<C>, now: Tick, mut input: &[u8]) -> Vec<F>
where
    C: for<'f> Codec<In<'f> = F>,
{
    let mut frames = Vec::new();
    loop {
        match core.next_frame(&settings(), now, &mut input) {
            Step::Frame(frame) => frames.push(frame),
            Step::Beat | Step::Again => {}
            Step::Idle => {
                assert!(input.is_empty(), "all input is taken");
                return frames;
            }
            Step::Failed(reason) => panic!("{reason}"),
        }
    }
}

fn output<C: Codec>(core: &Core<C>) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
    let (count, _) = core.slices(&mut slices);
    let mut content = Vec::new();
    slices[..count]
        .iter()
        .for_each(|slice| content.extend_from_slice(slice));
    content
}

fn write_all<C: Codec>(core: &mut Core<C>, now: Tick) {
    let queued = core.queued_bytes();
    core.handle_written(&settings(), now, queued);
}
