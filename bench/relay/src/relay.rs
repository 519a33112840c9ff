//! Who is there, and what each of them is to be written: bytes of connections in, bytes to connections out,
//! messages into the store. It must never touch a socket, and nobody may write what it has queued before the
//! round it was queued in is committed.

use crate::store::Store;
use crate::wire::{self, GROUP, Malformed, Request};
use std::collections::HashMap;
use std::io;

/// Bytes that one connection may be behind; beyond them it is given up, because a relay has no history.
pub(crate) const OUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A connection as the relay knows it.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Its number, once it has logged in.
    user: Option<u32>,
    /// What it is to be written.
    pub(crate) out: Vec<u8>,
    /// It is in the round's list.
    touched: bool,
    /// It is further behind than anybody may be.
    pub(crate) given_up: bool,
}

impl Peer {
    fn is_behind(&mut self, more: usize) -> bool {
        self.given_up |= self.out.len() + more > OUT_BYTES_MAX;
        self.given_up
    }
}

/// Everybody who is connected.
#[derive(Debug)]
pub(crate) struct Relay {
    store: Store,
    peers: Vec<Option<Peer>>,
    places: HashMap<u32, usize>,
    groups: HashMap<u32, Vec<usize>>,
    /// Whom this round has something for, each once.
    touched: Vec<usize>,
}

/// Why a connection or the relay cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection has sent what nobody sends.
    Connection,
    /// The store has failed: nothing may be acknowledged any more.
    Store(io::Error),
}

impl From<Malformed> for Broken {
    fn from(_: Malformed) -> Self {
        Self::Connection
    }
}

impl Relay {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            peers: Vec::new(),
            places: HashMap::new(),
            groups: HashMap::new(),
            touched: Vec::new(),
        }
    }

    /// Somebody has connected at `place`.
    pub(crate) fn connected(&mut self, place: usize) {
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, || None);
        }
        if let Some(peer) = self.peers.get_mut(place) {
            *peer = Some(Peer::default());
        }
    }

    /// Nobody is at `place` any more.
    pub(crate) fn disconnected(&mut self, place: usize) {
        let gone = self.peers.get_mut(place).and_then(Option::take);
        if let Some(user) = gone.and_then(|peer| peer.user)
            && self.places.get(&user) == Some(&place)
        {
            self.places.remove(&user);
        }
        self.groups.retain(|_, members| {
            members.retain(|member| *member != place);
            !members.is_empty()
        });
    }

    /// The connection at `place`.
    pub(crate) fn peer(&mut self, place: usize) -> Option<&mut Peer> {
        self.peers.get_mut(place)?.as_mut()
    }

    /// Takes what whole requests there are in `bytes` and returns how many bytes they were.
    pub(crate) fn receive(&mut self, place: usize, bytes: &[u8]) -> Result<usize, Broken> {
        let mut rest = bytes;
        while let Some((request, seq, behind)) = wire::split(rest)? {
            self.request(place, request)?;
            self.queue(place, wire::HEADER_BYTES, |out| wire::answer(out, request, seq));
            rest = behind;
        }
        Ok(bytes.len() - rest.len())
    }

    fn request(&mut self, place: usize, request: Request<'_>) -> Result<(), Broken> {
        match request {
            Request::Login { user } => {
                if let Some(peer) = self.peer(place) {
                    peer.user = Some(user);
                }
                self.places.insert(user, place);
            }
            Request::Join { group } => {
                let members = self.groups.entry(group).or_default();
                if !members.contains(&place) {
                    members.push(place);
                }
            }
            Request::Message { target, payload } => self.message(place, target, payload)?,
            Request::Ping => {}
        }
        Ok(())
    }

    fn message(&mut self, place: usize, target: u32, payload: &[u8]) -> Result<(), Broken> {
        let sender = self.peer(place).and_then(|peer| peer.user);
        let sender = sender.ok_or(Broken::Connection)?;
        self.store
            .append(sender, target, payload)
            .map_err(Broken::Store)?;
        let bytes = wire::HEADER_BYTES + wire::NAME_BYTES + payload.len();
        if target & GROUP == 0 {
            if let Some(receiver) = self.places.get(&target).copied() {
                self.queue(receiver, bytes, |out| wire::delivery(out, sender, payload));
            }
            return Ok(());
        }
        // The list is put back: nothing joins while it is walked.
        let Some(members) = self.groups.get_mut(&target).map(std::mem::take) else {
            return Ok(());
        };
        for member in members.iter().copied().filter(|member| *member != place) {
            self.queue(member, bytes, |out| wire::delivery(out, sender, payload));
        }
        self.groups.insert(target, members);
        Ok(())
    }

    fn queue(&mut self, place: usize, bytes: usize, append: impl FnOnce(&mut Vec<u8>)) {
        let Some(Some(peer)) = self.peers.get_mut(place) else {
            return;
        };
        if !peer.touched {
            peer.touched = true;
            self.touched.push(place);
        }
        if !peer.is_behind(bytes) {
            append(&mut peer.out);
        }
    }

    /// Commits the round and hands over whom it has something for; `places` is given back empty next time.
    pub(crate) fn commit(&mut self, places: &mut Vec<usize>) -> io::Result<()> {
        self.store.commit()?;
        places.clear();
        std::mem::swap(places, &mut self.touched);
        for place in places {
            if let Some(peer) = self.peer(*place) {
                peer.touched = false;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::frame;

    fn relay(users: u32) -> Relay {
        let mut relay = Relay::new(Store::None);
        for user in 0..users {
            let place = user as usize;
            relay.connected(place);
            let login = frame(Request::Login { user }, 1);
            relay.receive(place, &login).expect("a login");
        }
        relay.commit(&mut Vec::new()).expect("no disk");
        for peer in relay.peers.iter_mut().flatten() {
            peer.out.clear();
        }
        relay
    }

    fn message(target: u32, payload: &[u8]) -> Vec<u8> {
        frame(Request::Message { target, payload }, 9)
    }

    fn out(relay: &mut Relay, place: usize) -> Vec<u8> {
        std::mem::take(&mut relay.peer(place).expect("a peer").out)
    }

    fn delivered(sender: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        wire::delivery(&mut out, sender, payload);
        out
    }

    #[test]
    fn a_message_is_answered_and_delivered_and_each_is_written_once() {
        let mut relay = relay(3);
        let bytes = [message(2, b"one"), message(2, b"two"), vec![0, 0]].concat();
        assert_eq!(relay.receive(0, &bytes).expect("messages"), bytes.len() - 2);
        let mut places = Vec::new();
        relay.commit(&mut places).expect("no disk");
        places.sort_unstable();
        assert_eq!(places, [0, 2]);
        assert_eq!(out(&mut relay, 0), [[0, 0, 0, 0, 0x80, 3, 0, 9]; 2].concat());
        assert_eq!(out(&mut relay, 1), []);
        assert_eq!(
            out(&mut relay, 2),
            [delivered(0, b"one"), delivered(0, b"two")].concat()
        );
        relay.commit(&mut places).expect("no disk");
        assert_eq!(places, [0usize; 0]);
    }

    #[test]
    fn a_group_is_everybody_who_joined_but_the_sender() {
        let mut relay = relay(4);
        for place in [0, 1, 3, 3] {
            let join = frame(Request::Join { group: GROUP | 5 }, 2);
            relay.receive(place, &join).expect("a join");
            out(&mut relay, place);
        }
        relay.receive(1, &message(GROUP | 5, b"x")).expect("a message");
        let counts = [0, 1, 2, 3].map(|place| out(&mut relay, place));
        let expected = delivered(1, b"x");
        assert_eq!(counts[0], expected);
        assert_eq!(counts[1], [0, 0, 0, 0, 0x80, 3, 0, 9]);
        assert_eq!(counts[2], []);
        assert_eq!(counts[3], expected);
    }

    #[test]
    fn nobody_is_delivered_to_at_a_place_they_have_left() {
        let mut relay = relay(2);
        let join = frame(Request::Join { group: GROUP }, 2);
        relay.receive(1, &join).expect("a join");
        relay.disconnected(1);
        relay.connected(1);
        relay.receive(0, &message(1, b"x")).expect("a message");
        relay.receive(0, &message(GROUP, b"x")).expect("a message");
        assert_eq!(out(&mut relay, 1), []);
    }

    #[test]
    fn who_logs_in_elsewhere_is_delivered_to_there() {
        let mut relay = relay(2);
        relay.connected(2);
        let login = frame(Request::Login { user: 1 }, 1);
        relay.receive(2, &login).expect("a login");
        out(&mut relay, 2);
        // The end of the old connection does not end the new one.
        relay.disconnected(1);
        relay.receive(0, &message(1, b"x")).expect("a message");
        assert_eq!(out(&mut relay, 2), delivered(0, b"x"));
    }

    #[test]
    fn who_falls_behind_too_far_is_given_up_and_takes_no_more_memory() {
        let mut relay = relay(2);
        let bytes = message(1, &vec![0; 60_000]);
        for _ in 0..OUT_BYTES_MAX / 60_000 + 2 {
            relay.receive(0, &bytes).expect("a message");
        }
        let peer = relay.peer(1).expect("a peer");
        assert!(peer.given_up && peer.out.len() <= OUT_BYTES_MAX);
        assert!(!relay.peer(0).expect("a peer").given_up);
    }

    #[test]
    fn strangers_send_nothing() {
        let mut relay = relay(1);
        relay.connected(1);
        assert!(matches!(
            relay.receive(1, &message(0, b"x")),
            Err(Broken::Connection)
        ));
        assert_eq!(out(&mut relay, 0), []);
    }
}
