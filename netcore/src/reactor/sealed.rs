//! Owns the reading and writing of open TLS connections: ciphertext to frames, and the out-queue to ciphertext. Must
//! never encrypt more ahead of the socket than the limit allows, because encrypted bytes can no longer be taken back or
//! counted.

use super::Reactor;
use super::io::Io;
use super::read::Budget;
use crate::close::{CloseHow, CloseReason};
use crate::conn::Phase;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::limits::{READ_BUFFER_BYTES, WRITE_SLICES_MAX, WRITES_PER_TURN_MAX};
use crate::time::Tick;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::mem;

/// A socket as a writer.
pub(super) struct Socket<'a, I: Io>(pub(super) &'a mut I, pub(super) &'a mut I::Stream);

impl<I: Io> Write for Socket<'_, I> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(self.1, &[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(self.1, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<H: Handler, I: Io> Reactor<H, I> {
    /// Decrypts received bytes and hands the frames to the handler. Takes all of them.
    pub(super) fn unseal(&mut self, id: ConnId, mut ciphertext: &[u8], budget: &mut Budget) {
        let mut plain = mem::take(&mut self.plain);
        if plain.is_empty() {
            plain = vec![0; READ_BUFFER_BYTES].into_boxed_slice();
        }
        while !ciphertext.is_empty() {
            let Some(session) = self.session(id) else { break };
            if let Err(error) = session.decrypt(&mut ciphertext) {
                self.write_sealed(id);
                self.abort(id, CloseReason::Tls(error));
                break;
            }
            self.deliver_plain(id, &mut plain, budget);
        }
        self.plain = plain;
        let wants_write = self.session(id).is_some_and(|session| session.wants_write());
        if let Some(slot) = self.state.slots.get_mut(id) {
            slot.sealed_output = wants_write;
        }
    }

    /// Hands decrypted bytes to the handler, and notes the peer's `close_notify`.
    pub(super) fn deliver_plain(&mut self, id: ConnId, plain: &mut [u8], budget: &mut Budget) {
        loop {
            let Some(session) = self.session(id) else { return };
            let count = session.read(plain);
            if count == 0 {
                break;
            }
            self.deliver(id, plain.get(..count).unwrap_or_default(), budget);
        }
        let ended = self.session(id).is_some_and(|session| session.has_ended());
        if let (true, Some(slot)) = (ended, self.state.slots.get_mut(id)) {
            slot.core.handle_end();
        }
    }

    /// Encrypts and writes queued bytes until none are left, the socket takes no more, or the budget is spent.
    pub(super) fn write_sealed(&mut self, id: ConnId) {
        let Some(slot) = self.state.slots.get_mut(id) else {
            return;
        };
        let Some(link) = self.links.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let Some(session) = &mut link.tls else { return };
        let now = self.state.tick;
        let mut progress = false;
        for _ in 0..WRITES_PER_TURN_MAX {
            if slot.core.phase() == Phase::Closed {
                return;
            }
            if !session.wants_write() {
                if !slot.core.wants_output() {
                    break;
                }
                let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
                let (count, _) = slot.core.slices(&mut slices);
                let taken = session.encrypt(slices.get(..count).unwrap_or_default());
                slot.core
                    .written(&self.state.settings, now, taken, &mut self.state.spare);
            }
            if !slot.writable {
                break;
            }
            self.meter.writes += 1;
            match session.write_to(&mut Socket(&mut self.io, &mut link.stream)) {
                Ok(0) => return slot.core.close(CloseReason::Reset, CloseHow::Abort, now),
                Ok(written) => {
                    self.meter.written_bytes += written as u64;
                    progress = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => slot.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return slot.core.close(CloseReason::from_io(error), CloseHow::Abort, now),
            }
        }
        slot.sealed_output = session.wants_write();
        let rare = slot.rare();
        match (session.wants_write(), progress) {
            (false, _) => rare.sealed_since = Tick::NEVER,
            (true, true) => rare.sealed_since = now,
            (true, false) => rare.sealed_since = rare.sealed_since.min(now),
        }
        if slot.writable && slot.wants_output() {
            // The rest in the next turn.
            self.state.touch(id);
        }
    }

    fn session(&mut self, id: ConnId) -> Option<&mut crate::tls::Session> {
        self.links.get_mut(id.index())?.as_mut()?.tls.as_deref_mut()
    }
}
