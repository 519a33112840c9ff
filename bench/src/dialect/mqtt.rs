//! MQTT 3.1.1 (OASIS, 2014) as a chat would use it: quality of service 1 both ways, a session that outlives its
//! connection, a topic for each receiver and each group.
//!
//! An acknowledgement (PUBACK) says that the broker has taken the message over, by the standard; whether that
//! means the disk is the broker's configuration. Delivery is at least once.

use std::{collections::VecDeque, fmt::Write};

use bytes::{Buf, BufMut, BytesMut};

use super::{Account, Dialect, Event, Target};
use crate::BenchError;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xC0;
const PINGRESP: u8 = 0xD0;

/// In the first byte of a PUBLISH.
const AT_LEAST_ONCE: u8 = 0x02;
/// In a SUBACK.
const SUBSCRIPTION_REFUSED: u8 = 0x80;
const PROTOCOL_LEVEL: u8 = 4;
/// The one subscription of a login; nothing else is in flight then.
const SUBSCRIPTION: u16 = 1;
/// Packets that are longer are none of this load's.
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Mqtt {
    client: String,
    topics: Vec<String>,
    next_packet: u16,
    /// Packet identifiers and ids, in the order of sending, in which brokers mostly answer.
    in_flight: VecDeque<(u16, u64)>,
    topic: String,
}

impl Mqtt {
    pub(crate) fn new(account: &Account) -> Self {
        let groups = account.groups.iter().map(|group| Target::Group(*group));
        let mut topics = vec![format!("u/{}", account.user)];
        topics.extend(groups.map(|group| {
            let mut topic = String::new();
            name(&group, &mut topic);
            topic
        }));
        Self {
            client: format!("imbench-{}", account.user),
            topics,
            next_packet: 1,
            in_flight: VecDeque::new(),
            topic: String::new(),
        }
    }

    fn subscribe(&self, out: &mut BytesMut) {
        let bytes: usize = self.topics.iter().map(|topic| 2 + topic.len() + 1).sum();
        out.put_u8(SUBSCRIBE);
        length(out, 2 + bytes);
        out.put_u16(SUBSCRIPTION);
        for topic in &self.topics {
            text(out, topic);
            out.put_u8(1);
        }
    }

    fn packet(
        &mut self,
        packet: Packet<'_>,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let Packet { first, body } = packet;
        match (first & 0xF0, body) {
            (CONNACK, [_, 0]) => self.subscribe(out),
            (SUBACK, [_, _, codes @ ..]) if !codes.contains(&SUBSCRIPTION_REFUSED) => event(Event::Ready),
            (PUBLISH, _) => {
                let (packet, payload) = publication(first, body)?;
                if let Some(packet) = packet {
                    out.put_slice(&[PUBACK, 2]);
                    out.put_u16(packet);
                }
                event(Event::Delivered(payload));
            }
            (PUBACK, [high, low]) => {
                let packet = u16::from_be_bytes([*high, *low]);
                let at = self.in_flight.iter().position(|(sent, _)| *sent == packet);
                if let Some((_, id)) = at.and_then(|at| self.in_flight.remove(at)) {
                    event(Event::Acked(id));
                }
            }
            (PINGRESP, []) => event(Event::Pong),
            (CONNACK | SUBACK, _) => return Err(nonsense(format_args!("a refusal: {body:?}"))),
            _ => return Err(nonsense(format_args!("a packet of type {first:#04x}"))),
        }
        Ok(())
    }
}

impl Dialect for Mqtt {
    fn login(&mut self, out: &mut BytesMut) {
        self.in_flight.clear();
        out.put_u8(CONNECT);
        length(out, 2 + 4 + 4 + 2 + self.client.len());
        text(out, "MQTT");
        // No flags: not a clean session. No keep-alive: the load says when it pings.
        out.put_slice(&[PROTOCOL_LEVEL, 0, 0, 0]);
        text(out, &self.client);
    }

    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut) {
        let packet = self.next_packet;
        self.next_packet = if packet == u16::MAX { 1 } else { packet + 1 };
        self.in_flight.push_back((packet, id));
        name(target, &mut self.topic);
        out.put_u8(PUBLISH | AT_LEAST_ONCE);
        length(out, 2 + self.topic.len() + 2 + body.len());
        text(out, &self.topic);
        out.put_u16(packet);
        out.put_slice(body);
    }

    fn ping(&mut self, out: &mut BytesMut) {
        out.put_slice(&[PINGREQ, 0]);
    }

    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let mut rest = &incoming[..];
        while let Some((packet, behind)) = split(rest)? {
            self.packet(packet, out, event)?;
            rest = behind;
        }
        let used = incoming.len() - rest.len();
        incoming.advance(used);
        Ok(())
    }
}

/// One control packet without its length.
struct Packet<'a> {
    first: u8,
    body: &'a [u8],
}

/// Takes the first packet off `bytes`; `None` while it is incomplete.
fn split(bytes: &[u8]) -> Result<Option<(Packet<'_>, &[u8])>, BenchError> {
    let Some((first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut length = 0;
    for (place, byte) in rest.iter().enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * place);
        if length > PACKET_BYTES_MAX || place > 3 {
            return Err(nonsense(format_args!("a packet of {length} bytes or more")));
        }
        if byte & 0x80 == 0 {
            let behind = rest.get(place + 1..).unwrap_or_default();
            let parts = behind.split_at_checked(length);
            return Ok(parts.map(|(body, behind)| (Packet { first: *first, body }, behind)));
        }
    }
    Ok(None)
}

/// The packet identifier, if it is to be acknowledged, and the payload.
fn publication(first: u8, body: &[u8]) -> Result<(Option<u16>, &[u8]), BenchError> {
    let parsed = body.split_first_chunk().and_then(|(length, rest)| {
        let (_, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if first & AT_LEAST_ONCE == 0 {
            return Some((None, rest));
        }
        let (packet, payload) = rest.split_first_chunk()?;
        Some((Some(u16::from_be_bytes(*packet)), payload))
    });
    parsed.ok_or_else(|| nonsense(format_args!("a publication that ends early")))
}

/// The topic of a receiver.
fn name(target: &Target, topic: &mut String) {
    topic.clear();
    // Writing to a string does not fail.
    let _ = match target {
        Target::User(account) => write!(topic, "u/{}", account.user),
        Target::Group(id) => write!(topic, "g/{id}"),
    };
}

fn length(out: &mut BytesMut, mut bytes: usize) {
    while bytes > 0x7F {
        out.put_u8(bytes as u8 | 0x80);
        bytes >>= 7;
    }
    out.put_u8(bytes as u8);
}

fn text(out: &mut BytesMut, text: &str) {
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

fn nonsense(what: std::fmt::Arguments<'_>) -> BenchError {
    BenchError::Other(format!("the broker sent {what}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::transcript::{Heard, account, expect, hear, login};
    use super::*;

    const CONNECTED: [u8; 4] = [0x20, 2, 0, 0];

    fn sent(mqtt: &mut Mqtt, target: &Target, id: u64, body: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        mqtt.send(target, id, body, &mut out);
        out.to_vec()
    }

    #[test]
    fn it_asks_for_a_session_that_stays() {
        let hello = login(&mut Mqtt::new(&account(7, &[])));
        assert_eq!(hello, b"\x10\x15\x00\x04MQTT\x04\x00\x00\x00\x00\x09imbench-7");
    }

    #[test]
    fn it_is_ready_when_it_is_subscribed() {
        let said = [&CONNECTED[..], &[0x90, 4, 0, 1, 1, 1]].concat();
        let asked = b"\x82\x0E\x00\x01\x00\x03u/7\x01\x00\x03g/5\x01";
        expect(|| Mqtt::new(&account(7, &[5])), &said, &[Heard::Ready], asked);
    }

    #[test]
    fn it_acknowledges_what_is_delivered() {
        let said = [
            &b"\x32\x09\x00\x03u/7\x01\x02hi"[..],
            b"\x3A\x07\x00\x03u/7\x00\x03",
            b"\x30\x06\x00\x03u/7x",
        ];
        let heard = [&b"hi"[..], b"", b"x"].map(|body| Heard::Delivered(body.to_vec()));
        let answers = b"\x40\x02\x01\x02\x40\x02\x00\x03";
        expect(|| Mqtt::new(&account(7, &[])), &said.concat(), &heard, answers);
    }

    #[test]
    fn acknowledgements_name_their_message_in_any_order() {
        let mqtt = || {
            let mut mqtt = Mqtt::new(&account(7, &[]));
            let target = Target::User(Arc::new(account(9, &[])));
            let bytes = sent(&mut mqtt, &target, 70, b"ab");
            assert_eq!(bytes, b"\x32\x09\x00\x03u/9\x00\x01ab");
            sent(&mut mqtt, &Target::Group(3), 71, b"cd");
            mqtt
        };
        // The last one is of nothing that this connection sent.
        let said = [[0x40, 2, 0, 2], [0x40, 2, 0, 1], [0x40, 2, 0, 9]].concat();
        expect(mqtt, &said, &[Heard::Acked(71), Heard::Acked(70)], []);
        expect(mqtt, &[0xD0, 0], &[Heard::Pong], []);
    }

    #[test]
    fn long_bodies_have_long_lengths() {
        let mut mqtt = Mqtt::new(&account(7, &[]));
        let bytes = sent(&mut mqtt, &Target::Group(1), 1, &[7; 300]);
        assert_eq!(bytes[..3], [0x32, 0xB3, 0x02]);
        let (heard, _) = hear(&mut mqtt, &bytes, 100).expect("sense");
        assert_eq!(heard, [Heard::Delivered(vec![7; 300])]);
    }

    #[test]
    fn packet_identifiers_are_never_zero() {
        let mut mqtt = Mqtt::new(&account(7, &[]));
        mqtt.next_packet = u16::MAX;
        let packets = [1, 2].map(|id| sent(&mut mqtt, &Target::Group(1), id, b"")[7..].to_vec());
        assert_eq!(packets, [[0xFF, 0xFF], [0, 1]]);
    }

    #[test]
    fn refusals_and_nonsense_end_the_connection() {
        let refused = [0x20, 2, 0, 5];
        let unsubscribed = [0x90, 3, 0, 1, 0x80];
        let early = [0x32, 2, 0, 9];
        let unknown = [0xE0, 0];
        let endless = [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        for said in [&refused[..], &unsubscribed, &early, &unknown, &endless] {
            let mut mqtt = Mqtt::new(&account(7, &[]));
            assert!(hear(&mut mqtt, said, 64).is_err(), "{said:?}");
        }
    }
}
