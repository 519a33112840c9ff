//! Owns the listeners: accepting connections, choosing their loops, and surviving the lack of descriptors. Must never
//! spin on an error, and never wait for an event that may not come.

use super::io::Io;
use super::{Reactor, listener_token};
use crate::address::{Address, CompactPeer, Origin};
use crate::admission::Refused;
use crate::handler::Handler;
use crate::id::LoopId;
use crate::limits::ACCEPT_RETRY;
use crate::mailbox::Signals;
use std::io::{Error, ErrorKind};
use std::time::Instant;

/// The listeners of a server, on the loop that accepts.
pub(crate) struct Acceptor<I: Io> {
    listeners: Vec<Listening<I>>,
    /// Accepting pauses until then.
    retry_at: Option<Instant>,
    /// Connections stay on the loop that accepts them.
    keeps: bool,
}

struct Listening<I: Io> {
    listener: I::Listener,
    origin: Origin,
    /// Connections may be waiting: stays set until `accept` has reported that there are none.
    ready: bool,
}

/// The meaning of an error of `accept`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AcceptError {
    /// Nothing is waiting; an event will come.
    Nothing,
    /// This one connection failed.
    Skip,
    /// The process or the system has no descriptor left.
    Exhausted,
    /// Another error that only time can mend.
    Pause,
}

impl<I: Io> Acceptor<I> {
    pub(crate) fn new(listeners: Vec<(I::Listener, Origin)>, keeps: bool) -> Self {
        let listening = |(listener, origin)| Listening {
            listener,
            origin,
            ready: false,
        };
        Self {
            listeners: listeners.into_iter().map(listening).collect(),
            retry_at: None,
            keeps,
        }
    }

    pub(super) fn register(&mut self, io: &mut I, loop_id: LoopId) -> std::io::Result<()> {
        io.take_spare();
        for (index, listening) in self.listeners.iter_mut().enumerate() {
            io.listen(&mut listening.listener, listener_token(loop_id, index))?;
        }
        Ok(())
    }

    /// Connections may be waiting at this listener.
    pub(super) fn note_ready(&mut self, listener: u32) {
        if let Some(listening) = self.listeners.get_mut(listener as usize) {
            listening.ready = true;
        }
    }

    pub(super) fn has_work(&self) -> bool {
        self.retry_at.is_none() && self.listeners.iter().any(|listening| listening.ready)
    }

    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }
}

impl<H: Handler, I: Io> Reactor<H, I> {
    /// Accepts waiting connections, within the budget of each listener.
    pub(super) fn accept(&mut self) {
        let Some(mut acceptor) = self.acceptor.take() else {
            return;
        };
        if acceptor.retry_at.is_some_and(|at| at <= self.state.now) {
            acceptor.retry_at = None;
        }
        for listening in &mut acceptor.listeners {
            if acceptor.retry_at.is_none() && listening.ready {
                acceptor.retry_at = self.accept_from(listening, acceptor.keeps);
            }
        }
        self.acceptor = Some(acceptor);
    }

    pub(super) fn stop_accepting(&mut self) {
        for listening in self
            .acceptor
            .take()
            .map(|acceptor| acceptor.listeners)
            .unwrap_or_default()
        {
            self.io.unlisten(listening.listener);
        }
    }

    /// Takes the sockets that the accepting loop chose for this loop.
    pub(super) fn take_over(&mut self) {
        for (stream, peer) in self.handover.take(self.state.loop_id) {
            if self.state.draining {
                self.turn_away(stream, &peer, Refused::Draining);
            } else {
                self.begin(stream, peer);
            }
        }
    }

    /// Accepts; returns when to go on, unless an event will tell.
    fn accept_from(&mut self, listening: &mut Listening<I>, keeps: bool) -> Option<Instant> {
        let now = self.state.now;
        let mut accepted = 0;
        for _ in 0..self.budgets.accepts.max(1) {
            if let Err(later) = self.state.shared.next_accept(now) {
                return Some(later);
            }
            let error = match self.io.accept(&mut listening.listener) {
                Ok((stream, address)) => {
                    accepted += 1;
                    self.state.shared.note_accept(now);
                    let listener = self.state.shared.listener(listening.origin);
                    if listener.is_some_and(|listener| listener.own_user_only)
                        && self.io.peer_is_other_user(&stream)
                    {
                        self.note_refused(Refused::OtherUser);
                        continue;
                    }
                    self.dispatch(stream, &address, listening.origin, keeps);
                    continue;
                }
                Err(error) => error,
            };
            match classify(&error) {
                AcceptError::Skip => log::debug!("a connection was lost before it was accepted: {error}"),
                AcceptError::Nothing => {
                    listening.ready = false;
                    return None;
                }
                AcceptError::Pause => {
                    log::warn!("accepting pauses: {error}");
                    return Some(now + ACCEPT_RETRY);
                }
                AcceptError::Exhausted => {
                    log::warn!("accepting pauses, waiting connections are turned away: {error}");
                    self.turn_away_waiting(listening);
                    return Some(now + ACCEPT_RETRY);
                }
            }
        }
        // An error that should concern one connection, but does not end, must not make the loop spin.
        (accepted == 0).then(|| now + ACCEPT_RETRY)
    }

    /// Without descriptors, waiting peers would hang until they give up. The spare one allows to accept and
    /// close them one by one.
    fn turn_away_waiting(&mut self, listening: &mut Listening<I>) {
        self.io.release_spare();
        for _ in 0..self.budgets.accepts.max(1) {
            if self.io.accept(&mut listening.listener).is_err() {
                break;
            }
            self.note_refused(Refused::Descriptors);
        }
        self.io.take_spare();
    }

    /// Counts a connection and gives it to its loop.
    fn dispatch(&mut self, stream: I::Stream, address: &Address, origin: Origin, keeps: bool) {
        let (shared, now) = (&self.state.shared, self.state.now);
        let mut peer = CompactPeer::new(address, origin);
        let header = shared
            .listener(origin)
            .is_some_and(|listener| listener.expects_header(address));
        // Behind a proxy the source is not known yet.
        if let (false, Some(ip)) = (header, address.ip()) {
            match shared.enter_source(ip, now) {
                Ok(counted) => peer.counted = counted,
                Err(why) => return self.note_refused(why),
            }
        }
        let target = if keeps {
            self.state.loop_id
        } else {
            shared.least_loaded()
        };
        if !shared.enter(target) {
            shared.leave_source(&peer, now);
            return self.note_refused(Refused::Connections);
        }
        if target == self.state.loop_id {
            return self.begin(stream, peer);
        }
        match self.handover.give(target, stream, peer) {
            Ok(()) => {
                if let Some(mailbox) = self.state.remote.mailbox(target) {
                    mailbox.signal(Signals::HANDOVER);
                }
            }
            Err(_) => {
                self.note_refused(Refused::LoopBusy);
                self.state.shared.leave(target, &peer, now);
            }
        }
    }
}

/// What an error of `accept` means. Linux also reports network errors of the new connection here.
pub(super) fn classify(error: &Error) -> AcceptError {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const EPROTO: i32 = 71;
    const WSAEMFILE: i32 = 10024;
    match error.raw_os_error() {
        Some(EMFILE | ENFILE) if cfg!(unix) => return AcceptError::Exhausted,
        Some(WSAEMFILE) if cfg!(windows) => return AcceptError::Exhausted,
        Some(EPROTO) if cfg!(target_os = "linux") => return AcceptError::Skip,
        _ => {}
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the standard library's list of errors is open"
    )]
    match error.kind() {
        ErrorKind::WouldBlock => AcceptError::Nothing,
        ErrorKind::ConnectionAborted
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::HostUnreachable
        | ErrorKind::Interrupted
        | ErrorKind::NetworkDown
        | ErrorKind::NetworkUnreachable
        | ErrorKind::PermissionDenied
        | ErrorKind::TimedOut => AcceptError::Skip,
        _ => AcceptError::Pause,
    }
}
