//! What the bare relay speaks (`bench/relay`): the real header in front of the smallest bodies. An
//! acknowledgement says that the message is flushed to the relay's log, where it has one.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, BytesMut};

use super::{Account, Dialect, Event, Target};
use crate::BenchError;

const HEADER_BYTES: usize = 8;
/// In front of a payload: who it is from.
const NAME_BYTES: usize = 4;
/// The relay sends nothing longer.
const BODY_BYTES_MAX: usize = 128 * 1024;

const LOGIN: u16 = 1;
const JOIN: u16 = 2;
const MESSAGE: u16 = 3;
const PING: u16 = 4;
const DELIVERY: u16 = 5;
const RESPONSE: u16 = 0x8000;

/// Set in the names of groups and in no other.
const GROUP: u32 = 0x8000_0000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Relay {
    user: u32,
    groups: Vec<u32>,
    /// Answers of the login that have not come.
    awaited: usize,
    next_seq: u16,
    /// Seqs and ids, in the order in which the relay answers.
    in_flight: VecDeque<(u16, u64)>,
}

impl Relay {
    pub(crate) fn new(account: &Account) -> Self {
        Self {
            user: user(account),
            groups: account.groups.iter().map(|id| group(*id)).collect(),
            awaited: 0,
            next_seq: 1,
            in_flight: VecDeque::new(),
        }
    }

    fn answered(&mut self, kind: u16, seq: u16, event: &mut dyn FnMut(Event<'_>)) -> Result<(), BenchError> {
        match kind {
            LOGIN | JOIN if self.awaited > 0 => {
                self.awaited -= 1;
                if self.awaited == 0 {
                    event(Event::Ready);
                }
            }
            PING => event(Event::Pong),
            MESSAGE => match self.in_flight.pop_front() {
                Some((expected, id)) if expected == seq => event(Event::Acked(id)),
                _ => return Err(nonsense(format_args!("message {seq} out of turn"))),
            },
            _ => return Err(nonsense(format_args!("an answer of type {kind}"))),
        }
        Ok(())
    }
}

impl Dialect for Relay {
    fn login(&mut self, out: &mut BytesMut) {
        self.in_flight.clear();
        self.awaited = 1 + self.groups.len();
        header(out, NAME_BYTES, LOGIN, 0);
        out.put_u32(self.user);
        for group in &self.groups {
            header(out, NAME_BYTES, JOIN, 0);
            out.put_u32(*group);
        }
    }

    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut) {
        let seq = self.next_seq;
        self.next_seq = seq.wrapping_add(1);
        self.in_flight.push_back((seq, id));
        header(out, NAME_BYTES + body.len(), MESSAGE, seq);
        out.put_u32(match target {
            Target::User(account) => user(account),
            Target::Group(id) => group(*id),
        });
        out.put_slice(body);
    }

    fn ping(&mut self, out: &mut BytesMut) {
        header(out, 0, PING, 0);
    }

    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        _out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let mut rest = &incoming[..];
        while let Some(([a, b, c, d, kind @ .., e, f], behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if length > BODY_BYTES_MAX {
                return Err(nonsense(format_args!("a body of {length} bytes")));
            }
            let Some((body, behind)) = behind.split_at_checked(length) else {
                break;
            };
            let (kind, seq) = (u16::from_be_bytes(*kind), u16::from_be_bytes([*e, *f]));
            if kind & RESPONSE != 0 {
                self.answered(kind & !RESPONSE, seq, event)?;
            } else {
                let payload = body.get(NAME_BYTES..).filter(|_| kind == DELIVERY);
                let payload = payload.ok_or_else(|| nonsense(format_args!("a frame of type {kind}")))?;
                event(Event::Delivered(payload));
            }
            rest = behind;
        }
        let used = incoming.len() - rest.len();
        incoming.advance(used);
        Ok(())
    }
}

/// The relay knows as many users as fit beside the groups.
fn user(account: &Account) -> u32 {
    account.user as u32 & !GROUP
}

/// Ids of groups are folded into what the relay has room for.
fn group(id: u64) -> u32 {
    (id ^ (id >> 32)) as u32 | GROUP
}

fn header(out: &mut BytesMut, length: usize, kind: u16, seq: u16) {
    out.put_u32(length as u32);
    out.put_u16(kind);
    out.put_u16(seq);
}

fn nonsense(what: std::fmt::Arguments<'_>) -> BenchError {
    BenchError::Other(format!("the relay sent {what}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::transcript::{Heard, account, expect, hear, login};
    use super::*;

    fn logged_in() -> Relay {
        let mut relay = Relay::new(&account(7, &[]));
        login(&mut relay);
        let ready = hear(&mut relay, &[0, 0, 0, 0, 0x80, 1, 0, 0], 8).expect("sense");
        assert_eq!(ready.0, [Heard::Ready]);
        relay
    }

    fn sent(relay: &mut Relay, target: &Target, id: u64, body: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        relay.send(target, id, body, &mut out);
        out.to_vec()
    }

    #[test]
    fn it_is_ready_when_it_is_in_all_its_groups() {
        let mut relay = Relay::new(&account(258, &[5]));
        let hello = login(&mut relay);
        assert_eq!(hello[..12], [0, 0, 0, 4, 0, 1, 0, 0, 0, 0, 1, 2]);
        assert_eq!(hello[12..], [0, 0, 0, 4, 0, 2, 0, 0, 0x80, 0, 0, 5]);
        let (first, second) = ([0, 0, 0, 0, 0x80, 1, 0, 0], [0, 0, 0, 0, 0x80, 2, 0, 0]);
        assert_eq!(hear(&mut relay, &first, 3).expect("sense").0, []);
        assert_eq!(hear(&mut relay, &second, 3).expect("sense").0, [Heard::Ready]);
    }

    #[test]
    fn answers_name_ids_and_deliveries_have_no_name() {
        let relay = || {
            let mut relay = logged_in();
            let target = Target::User(Arc::new(account(9, &[])));
            let bytes = sent(&mut relay, &target, 1000, b"ab");
            assert_eq!(bytes, [0, 0, 0, 6, 0, 3, 0, 1, 0, 0, 0, 9, b'a', b'b']);
            sent(&mut relay, &Target::Group(3), 1001, b"cd");
            relay
        };
        let said = [
            &[0, 0, 0, 0, 0x80, 3, 0, 1][..],
            &[0, 0, 0, 6, 0, 5, 0, 0, 0, 0, 0, 9, b'x', b'y'],
            &[0, 0, 0, 0, 0x80, 4, 0, 0],
            &[0, 0, 0, 0, 0x80, 3, 0, 2],
        ];
        let delivered = Heard::Delivered(b"xy".to_vec());
        let heard = [Heard::Acked(1000), delivered, Heard::Pong, Heard::Acked(1001)];
        expect(relay, &said.concat(), &heard, []);
    }

    #[test]
    fn what_the_relay_never_sends_ends_the_connection() {
        let unasked = [0, 0, 0, 0, 0x80, 3, 0, 1];
        let nameless = [0, 0, 0, 0, 0, 5, 0, 0];
        let unknown = [0, 0, 0, 4, 0, 6, 0, 0, 0, 0, 0, 0];
        let long = [1, 0, 0, 0, 0, 5, 0, 0];
        for said in [&unasked[..], &nameless, &unknown, &long] {
            assert!(hear(&mut logged_in(), said, 64).is_err(), "{said:?}");
        }
        let mut relay = logged_in();
        sent(&mut relay, &Target::Group(3), 1, b"");
        let another = [0, 0, 0, 0, 0x80, 3, 0, 2];
        assert!(hear(&mut relay, &another, 64).is_err());
    }
}
