//! Owns connections that are not open yet: those we are making, those that wait for a PROXY header, and TLS handshakes.
//! Must never show one of them to the handler as a connection, and never leave one without a deadline.
//!
//! ```text
//! connect ->  Waiting -> Connecting ------------------------------+--> open
//!                                                                 v     ^
//! accept  ->  Header  -> on_accept -> FirstByte (TLS or plain) -> Queued -> Handshaking
//! ```

use super::io::{Io, Readiness};
use super::read::Budget;
use super::slots::Entry;
use super::{ListenerInfo, Reactor, guard, jitter, sealed};
use crate::address::{Address, CompactPeer};
use crate::admission::Refused;
use crate::close::CloseReason;
use crate::codec::Codec as _;
use crate::conn::Core;
use crate::context::{Pending, Slot, Stage};
use crate::handler::{Handler, Reason};
use crate::id::ConnId;
use crate::limits::{FIRST_BYTES_MAX, PROXY_HEADER_BYTES_MAX, READ_BUFFER_BYTES, TLS_FIRST_BYTE};
use crate::proxy::{self, Header};
use crate::tls::Session;
use std::io::ErrorKind;
use std::mem;

/// The result of a step of a pending connection.
enum Step<H: Handler> {
    /// It waits for the next event or its deadline.
    Wait,
    /// It can go on at once.
    Again,
    /// It must give way to others, and goes on in the next turn.
    Later,
    Fail(Reason<H>),
    /// It is closed; the application never heard of it.
    Refuse(Refused),
    /// It is open. These bytes were received behind the last step.
    Open(Vec<u8>),
    /// It is open. So many bytes were received just now.
    OpenWith(usize),
    /// It no longer exists.
    Gone,
}

impl<H: Handler, I: Io> Reactor<H, I> {
    /// Begins with a new connection of this loop.
    pub(super) fn begin(&mut self, stream: I::Stream, peer: CompactPeer) {
        let header = self
            .state
            .shared
            .listener(peer.origin)
            .is_some_and(|listener| listener.expects_header(&peer.address()));
        if header {
            return self.begin_pending(stream, peer, Stage::Header, None);
        }
        let accepted = match self.ask(&peer) {
            Ok(accepted) => accepted,
            Err(why) => return self.turn_away(stream, &peer, why),
        };
        let listener = self.state.shared.listener(peer.origin);
        if let Some(stage) = listener.and_then(ListenerInfo::beginning) {
            return self.begin_pending(stream, peer, stage, Some(accepted));
        }
        let (codec, conn) = accepted;
        self.open(stream, peer, codec, conn);
    }

    /// Asks the application whether it wants a connection.
    fn ask(&mut self, peer: &CompactPeer) -> Result<(H::Codec, H::Conn), Refused> {
        let peer = self.state.shared.peer(peer);
        let asked = guard("on_accept", || self.handler.on_accept(&peer));
        let accepted = asked.and_then(Result::ok).ok_or(Refused::Application)?;
        if let Some(bytes) = accepted.0.frame_bytes_max() {
            self.state.shared.check_room(self.state.settings.outbound, bytes);
        }
        Ok(accepted)
    }

    fn begin_pending(
        &mut self,
        stream: I::Stream,
        peer: CompactPeer,
        stage: Stage,
        accepted: Option<(H::Codec, H::Conn)>,
    ) {
        let span = match stage {
            Stage::Header => self.spans.proxy_header,
            Stage::Waiting | Stage::Connecting | Stage::FirstByte | Stage::Queued | Stage::Handshaking => {
                self.spans.tls_handshake
            }
        };
        let deadline = self.state.tick.after(span);
        let id = self.state.slots.insert(|_| {
            Entry::Pending(Box::new(Pending {
                stage,
                accepted,
                target: None,
                peer,
                deadline,
                header: Vec::new(),
                failed: None,
                readable: false,
                writable: true,
                end_announced: false,
                queued: false,
            }))
        });
        let Some(id) = id else {
            return self.turn_away(stream, &peer, Refused::Connections);
        };
        if let Err(error) = self.watch(id, stream) {
            self.fail(id, CloseReason::Io(error));
        }
        self.state.stirred.push(id);
    }

    /// Notes what became ready for a connection that is not open, if there is one.
    pub(super) fn note_pending(&mut self, id: ConnId, event: Readiness) {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return;
        };
        pending.readable |= event.readable || event.end;
        pending.end_announced |= event.end;
        pending.writable |= event.writable;
        // A connection that waits for its turn is in the queue for it.
        if pending.stage != Stage::Queued && !mem::replace(&mut pending.queued, true) {
            self.state.stirred.push(id);
        }
    }

    /// The wheel reached the deadline of a pending connection.
    pub(super) fn handle_pending_deadline(&mut self, id: ConnId) {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return;
        };
        if self.state.tick >= pending.deadline {
            let reason = match pending.stage {
                Stage::Waiting => None,
                Stage::Connecting => Some(CloseReason::ConnectTimeout),
                Stage::Header => Some(CloseReason::Proxy(None)),
                Stage::FirstByte => Some(CloseReason::HandshakeTimeout),
                Stage::Queued | Stage::Handshaking => Some(CloseReason::TlsTimeout),
            };
            if let Some(reason) = reason {
                pending.failed.get_or_insert(reason);
            }
        }
        self.state.stirred.push(id);
    }

    /// Brings every connection that can go on as far as possible.
    pub(super) fn advance_pending(&mut self) {
        if self.state.stirred.is_empty() {
            return;
        }
        let mut buffer = mem::take(&mut self.buffer);
        for id in mem::take(&mut self.state.stirred) {
            self.advance(id, &mut buffer);
        }
        self.buffer = buffer;
        self.admit_handshakes();
    }

    /// Makes all pending connections fail.
    pub(super) fn fail_pending(&mut self, reason: impl Fn() -> Reason<H>) {
        let mut from = 0;
        while let Some((id, open)) = self.state.slots.first_from(from) {
            from = id.index() + 1;
            if !open {
                self.fail(id, reason());
            }
        }
    }

    /// Removes the connections that have failed.
    pub(super) fn give_up_failed(&mut self) {
        for id in mem::take(&mut self.state.stirred) {
            if self
                .state
                .slots
                .pending_mut(id)
                .is_some_and(|pending| pending.failed.is_some())
            {
                self.give_up(id, None);
            }
        }
    }

    fn fail(&mut self, id: ConnId, reason: Reason<H>) {
        if let Some(pending) = self.state.slots.pending_mut(id) {
            pending.failed.get_or_insert(reason);
            self.state.stirred.push(id);
        }
    }

    fn advance(&mut self, id: ConnId, buffer: &mut [u8]) {
        if let Some(pending) = self.state.slots.pending_mut(id) {
            pending.queued = false;
        }
        loop {
            match self.step(id, buffer) {
                Step::Again => {}
                Step::Gone => return,
                Step::Wait => break,
                Step::Later => {
                    self.state.stirred.push(id);
                    break;
                }
                Step::Fail(reason) => {
                    self.fail(id, reason);
                    return self.give_up(id, None);
                }
                Step::Refuse(why) => return self.give_up(id, Some(why)),
                Step::Open(rest) => return self.promote(id, &rest),
                Step::OpenWith(count) => {
                    return self.promote(id, buffer.get(..count).unwrap_or_default());
                }
            }
        }
        if let Some(deadline) = self.state.slots.pending_mut(id).map(|pending| pending.deadline) {
            self.remind(id, deadline);
        }
    }

    fn step(&mut self, id: ConnId, buffer: &mut [u8]) -> Step<H> {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        if pending.failed.is_some() {
            self.give_up(id, None);
            return Step::Gone;
        }
        match pending.stage {
            Stage::Waiting if self.state.tick < pending.deadline => Step::Wait,
            Stage::Waiting => self.begin_connecting(id),
            Stage::Connecting => self.check_connected(id),
            Stage::Header => self.read_header(id, buffer),
            Stage::FirstByte => self.read_first_byte(id, buffer),
            Stage::Queued => self.begin_handshake(id),
            Stage::Handshaking => self.shake_hands(id, buffer),
        }
    }

    fn begin_connecting(&mut self, id: ConnId) -> Step<H> {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        let Some(target) = &pending.target else {
            return Step::Gone;
        };
        let span = target.within.unwrap_or(self.spans.connect);
        pending.deadline = self.state.tick.after(span);
        pending.stage = Stage::Connecting;
        let connected = self
            .io
            .connect(&target.address)
            .and_then(|stream| self.watch(id, stream));
        match connected {
            Ok(()) => Step::Wait,
            Err(error) => Step::Fail(CloseReason::ConnectFailed(error)),
        }
    }

    fn check_connected(&mut self, id: ConnId) -> Step<H> {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        if !pending.writable && !pending.end_announced {
            return Step::Wait;
        }
        let Some(link) = self.links.get_mut(id.index()).and_then(Option::as_mut) else {
            return Step::Gone;
        };
        match self.io.is_connected(&mut link.stream) {
            Ok(true) if pending.target.as_ref().is_some_and(|target| target.tls.is_some()) => {
                pending.stage = Stage::Queued;
                pending.deadline = self.state.tick.after(self.spans.tls_handshake);
                Step::Again
            }
            Ok(true) => Step::Open(Vec::new()),
            Ok(false) => {
                pending.writable = false;
                Step::Wait
            }
            Err(error) => Step::Fail(CloseReason::ConnectFailed(error)),
        }
    }

    fn read_header(&mut self, id: ConnId, buffer: &mut [u8]) -> Step<H> {
        // No more than the longest header: bytes behind it may have to wait for a TLS handshake, and are held
        // meanwhile.
        let room = buffer.len().min(PROXY_HEADER_BYTES_MAX);
        let received = match self.receive_pending(id, buffer.get_mut(..room).unwrap_or_default()) {
            Ok(received) => received,
            Err(step) => return step,
        };
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        let mut bytes = mem::take(&mut pending.header);
        bytes.extend_from_slice(buffer.get(..received).unwrap_or_default());
        match proxy::parse(&bytes) {
            Ok(None) => {
                pending.header = bytes;
                Step::Again
            }
            Ok(Some((header, used))) => {
                if let Header::Proxied { source, .. } = header {
                    pending.peer = CompactPeer::new(&Address::Ip(source), pending.peer.origin);
                    pending.peer.proxied = true;
                }
                self.accept_proxied(id, bytes.split_off(used))
            }
            Err(error) => Step::Fail(CloseReason::Proxy(Some(error))),
        }
    }

    /// Goes on with a connection whose source is known now.
    fn accept_proxied(&mut self, id: ConnId, rest: Vec<u8>) -> Step<H> {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        if let Some(ip) = pending.peer.address().ip() {
            match self.state.shared.enter_source(ip, self.state.now) {
                Ok(counted) => pending.peer.counted = counted,
                Err(why) => return Step::Refuse(why),
            }
        }
        let peer = pending.peer;
        let accepted = match self.ask(&peer) {
            Ok(accepted) => accepted,
            Err(why) => return Step::Refuse(why),
        };
        let listener = self.state.shared.listener(peer.origin);
        let stage = listener.and_then(ListenerInfo::beginning);
        let deadline = self.state.tick.after(self.spans.tls_handshake);
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        pending.accepted = Some(accepted);
        let Some(stage) = stage else {
            return Step::Open(rest);
        };
        // The bytes behind the header are the beginning of what comes next.
        pending.header = rest;
        pending.stage = stage;
        pending.deadline = deadline;
        Step::Again
    }

    /// Finds out whether a connection speaks TLS. Nothing but the first byte is looked at.
    fn read_first_byte(&mut self, id: ConnId, buffer: &mut [u8]) -> Step<H> {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        let mut received = 0;
        if pending.header.is_empty() {
            let room = buffer.len().min(FIRST_BYTES_MAX);
            received = match self.receive_pending(id, buffer.get_mut(..room).unwrap_or_default()) {
                Ok(received) => received,
                Err(step) => return step,
            };
        }
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        let listener = self.state.shared.listener(pending.peer.origin);
        let has_tls = listener.is_some_and(|listener| listener.tls.is_some());
        let received = buffer.get(..received).unwrap_or_default();
        let first = pending.header.first().or_else(|| received.first());
        if has_tls && first == Some(&TLS_FIRST_BYTE) {
            // Its deadline stays: the first byte is a part of the handshake.
            pending.header.extend_from_slice(received);
            pending.stage = Stage::Queued;
            return Step::Again;
        }
        if pending.header.is_empty() {
            Step::OpenWith(received.len())
        } else {
            Step::Open(mem::take(&mut pending.header))
        }
    }

    fn begin_handshake(&mut self, id: ConnId) -> Step<H> {
        if self.handshakes >= self.limits.tls_handshakes.max(1) {
            self.handshake_queue.push_back(id);
            return Step::Wait;
        }
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return Step::Gone;
        };
        let session = match &pending.target {
            Some(target) => target.tls.as_ref().map(Session::connect),
            None => {
                let listener = self.state.shared.listener(pending.peer.origin);
                listener.and_then(|listener| listener.tls.as_ref().map(Session::accept))
            }
        };
        let session = match session {
            Some(Ok(session)) => session,
            Some(Err(error)) => return Step::Fail(CloseReason::Tls(error)),
            None => return Step::Gone,
        };
        let Some(link) = self.links.get_mut(id.index()).and_then(Option::as_mut) else {
            return Step::Gone;
        };
        link.tls = Some(Box::new(session));
        pending.stage = Stage::Handshaking;
        pending.deadline = self.state.tick.after(self.spans.tls_handshake);
        let rest = mem::take(&mut pending.header);
        self.handshakes += 1;
        match self.feed_handshake(id, &rest) {
            Some(failed) => failed,
            None => Step::Again,
        }
    }

    /// One exchange of a handshake: writes what rustls has to send, then reads the peer's bytes.
    fn shake_hands(&mut self, id: ConnId, buffer: &mut [u8]) -> Step<H> {
        if let Some(step) = self.write_handshake(id) {
            return step;
        }
        let Some(link) = self.links.get_mut(id.index()).and_then(Option::as_mut) else {
            return Step::Gone;
        };
        if link.tls.as_ref().is_none_or(|session| !session.is_handshaking()) {
            return Step::Open(Vec::new());
        }
        let received = match self.receive_pending(id, buffer) {
            Ok(received) => received,
            Err(step) => return step,
        };
        self.feed_handshake(id, buffer.get(..received).unwrap_or_default())
            // A handshake costs a lot: one part of it a turn.
            .unwrap_or(Step::Later)
    }

    fn write_handshake(&mut self, id: ConnId) -> Option<Step<H>> {
        let pending = self.state.slots.pending_mut(id)?;
        let link = self.links.get_mut(id.index())?.as_mut()?;
        let session = link.tls.as_mut()?;
        while pending.writable && session.wants_write() {
            match session.write_to(&mut sealed::Socket(&mut self.io, &mut link.stream)) {
                Ok(0) => return Some(Step::Fail(CloseReason::Reset)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => pending.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(Step::Fail(CloseReason::from_io(error))),
            }
        }
        None
    }

    /// Gives received bytes to the handshake; returns the next step if it failed. Bytes of the application behind the
    /// handshake stay inside until the connection is open.
    fn feed_handshake(&mut self, id: ConnId, mut bytes: &[u8]) -> Option<Step<H>> {
        while !bytes.is_empty() {
            let link = self.links.get_mut(id.index())?.as_mut()?;
            let session = link.tls.as_mut()?;
            if let Err(error) = session.decrypt(&mut bytes) {
                // The alert that tells the peer the reason.
                self.write_handshake(id);
                return Some(Step::Fail(CloseReason::Tls(error)));
            }
            if !session.is_handshaking() && !bytes.is_empty() {
                return Some(Step::Open(bytes.to_vec()));
            }
        }
        None
    }

    /// Reads from a pending connection: the bytes received, at least one, or else the next step.
    fn receive_pending(&mut self, id: ConnId, buffer: &mut [u8]) -> Result<usize, Step<H>> {
        let pending = self.state.slots.pending_mut(id).ok_or(Step::Gone)?;
        let link = self.links.get_mut(id.index()).and_then(Option::as_mut);
        let link = link.ok_or(Step::Gone)?;
        if !pending.readable {
            return Err(Step::Wait);
        }
        self.meter.reads += 1;
        match self.io.read(&mut link.stream, buffer) {
            Ok(0) => Err(Step::Fail(CloseReason::Eof)),
            Ok(count) => {
                if count < buffer.len() && I::SHORT_TRANSFER_MEANS_BLOCKED && !pending.end_announced {
                    pending.readable = false;
                }
                self.meter.read_bytes += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                pending.readable = false;
                Err(Step::Wait)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(Step::Later),
            Err(error) => Err(Step::Fail(CloseReason::from_io(error))),
        }
    }

    /// Opens the connection, and handles the bytes that were received already.
    fn promote(&mut self, id: ConnId, rest: &[u8]) {
        let Some(pending) = self.state.slots.pending_mut(id) else {
            return;
        };
        let handshaking = pending.stage == Stage::Handshaking;
        let Some((codec, conn)) = pending.accepted.take() else {
            return self.give_up(id, Some(Refused::Application));
        };
        let (settings, now) = (&self.state.settings, self.state.tick);
        let core = Core::new(codec, now, jitter(id), settings);
        self.state.slots.promote(id, |pending| Slot {
            readable: pending.readable,
            writable: pending.writable,
            end_announced: pending.end_announced,
            ..Slot::new(core, conn, pending.peer)
        });
        if !handshaking {
            self.opened(id);
            return self.deliver(id, rest, &mut Budget::new(&self.budgets));
        }
        self.handshakes -= 1;
        let session = self.links.get(id.index()).and_then(Option::as_ref);
        let session = session.and_then(|link| link.tls.as_ref());
        let (info, wants_write) = (
            session.map(|session| session.info()),
            session.is_some_and(|session| session.wants_write()),
        );
        if let Some(slot) = self.state.slots.get_mut(id) {
            slot.rare().tls = info;
            slot.sealed_output = wants_write;
        }
        self.opened(id);
        let mut budget = Budget::new(&self.budgets);
        let mut plain = mem::take(&mut self.plain);
        if plain.is_empty() {
            plain = vec![0; READ_BUFFER_BYTES].into_boxed_slice();
        }
        self.deliver_plain(id, &mut plain, &mut budget);
        self.plain = plain;
        self.unseal(id, rest, &mut budget);
    }

    /// Removes a connection that will not be opened.
    fn give_up(&mut self, id: ConnId, refused: Option<Refused>) {
        if self.state.slots.pending_mut(id).is_none() {
            return;
        }
        let Some(Entry::Pending(pending)) = self.state.slots.remove(id) else {
            return;
        };
        if let Some(link) = self.links.get_mut(id.index()).and_then(Option::take) {
            self.io.close(link.stream, false);
        }
        if pending.stage == Stage::Handshaking {
            self.handshakes -= 1;
        }
        if let Some(why) = refused {
            self.note_refused(why);
        }
        let reason = pending.failed.unwrap_or(CloseReason::Stopped);
        match pending.accepted {
            Some((_, conn)) => self.closed(id, conn, &pending.peer, &reason),
            None => {
                log::debug!("connection {id} was not opened: {reason}");
                self.state
                    .shared
                    .leave(self.state.loop_id, &pending.peer, self.state.now);
            }
        }
    }

    /// Gives waiting connections their turn for a handshake, as many as there is room for. It counts, and does not
    /// admit one for each that ends, because a connection may run out of time after it got its turn and before it used
    /// it.
    fn admit_handshakes(&mut self) {
        let mut room = self.limits.tls_handshakes.max(1).saturating_sub(self.handshakes);
        while room > 0
            && let Some(id) = self.handshake_queue.pop_front()
        {
            let waiting = self.state.slots.pending_mut(id);
            if waiting.is_some_and(|pending| pending.stage == Stage::Queued && pending.failed.is_none()) {
                self.state.stirred.push(id);
                room -= 1;
            }
        }
    }
}
