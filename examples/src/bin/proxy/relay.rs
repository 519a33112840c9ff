//! Owns the connections through the proxy: the accepted one, the one made for it, and what passes between them.
//! Must never close one side and forget the other.

use crate::faults::{Command, Faults};
use crate::pipe::{Next, PIECE_BYTES_MAX, Pipe};
use crate::raw::Raw;
use bytes::Bytes;
use netcore::{
    CloseHow, CloseReason, ConnCx, ConnId, Connect, Eof, Flow, Handler, LoopCx, NoTask, Peer, Reason,
    Refusal, SendError,
};
use std::mem;
use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// Bytes queued for one side at most; what does not fit stays in its pipe.
const QUEUED_BYTES_MAX: usize = 4 * PIECE_BYTES_MAX;

/// The timer of a pipe that waits.
const PIPE_TIMER: u32 = 0;

/// Both sides have ended, in good order.
const ENDED: u16 = 0;
/// The proxy was told to.
const CUT: u16 = 1;
/// The other side is gone.
const BROKEN: u16 = 2;

/// Passes connections on to one address.
pub(crate) struct Relay {
    pub(crate) to: SocketAddr,
    pub(crate) faults: Faults,
}

/// One side of a connection through the proxy.
#[derive(Default)]
pub(crate) struct Side {
    accepted: bool,
    other: Option<ConnId>,
    /// What this side has sent.
    pipe: Pipe,
    /// The other side was told that this one has finished.
    end_passed: bool,
}

/// A command for a loop; it says when it has done it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) command: Command,
    pub(crate) done: SyncSender<Status>,
}

/// How a loop is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    /// Connections that were accepted.
    pub(crate) connections: usize,
    /// Bytes received and not yet passed on.
    pub(crate) held_bytes: usize,
}

impl Relay {
    /// Passes on what `source` has sent, as far as it may go.
    fn pump(&self, cx: &mut LoopCx<'_, Self>, source: ConnId) {
        let now = cx.now();
        let Some(mut from) = cx.conn(source) else { return };
        let side = from.conn();
        let Some(other) = side.other else { return };
        let mut pipe = mem::take(&mut side.pipe);
        // Until the other side is open there is none.
        let next = cx.conn(other).map(|mut to| self.pass_on(&mut pipe, &mut to, now));
        let Some(mut from) = cx.conn(source) else { return };
        let full = pipe.is_full();
        from.conn().pipe = pipe;
        let Some(next) = next else { return };
        if full {
            from.pause_reading();
        } else {
            from.resume_reading();
        }
        match next {
            Next::Wait(pause) => {
                // It is the only timer, and there is room for one.
                let _ = from.set_timer(PIPE_TIMER, pause);
            }
            Next::End => Self::pass_end(cx, source, other),
            Next::Cut => {
                from.close(CUT, CloseHow::Abort);
                if let Some(mut to) = cx.conn(other) {
                    // What had gone by then arrives.
                    to.close(CUT, CloseHow::Flush);
                }
            }
            Next::Piece(_) | Next::Idle => {}
        }
    }

    /// Sends what may go; what stopped it. A piece that is left waits for room, of which `on_writable` tells.
    fn pass_on(&self, pipe: &mut Pipe, to: &mut ConnCx<'_, Self>, now: Instant) -> Next {
        loop {
            let next = pipe.next(now, &self.faults);
            let Next::Piece(piece) = &next else { return next };
            match to.send_encoded(piece.clone()) {
                Ok(_) => pipe.passed(piece.len(), now, &self.faults),
                // If it is closing, its end is that of this side, too.
                Err(SendError::Full | SendError::Closing | SendError::Encode) => return next,
            }
        }
    }

    fn pass_end(cx: &mut LoopCx<'_, Self>, source: ConnId, other: ConnId) {
        if let Some(mut from) = cx.conn(source) {
            from.conn().end_passed = true;
        }
        let Some(mut to) = cx.conn(other) else { return };
        to.finish_sending();
        if to.conn().end_passed {
            to.close(ENDED, CloseHow::Flush);
            if let Some(mut from) = cx.conn(source) {
                from.close(ENDED, CloseHow::Flush);
            }
        }
    }

    /// Calls `act` for every open connection of the loop.
    fn each(cx: &mut LoopCx<'_, Self>, mut act: impl FnMut(&mut ConnCx<'_, Self>)) {
        for id in cx.connection_ids() {
            if let Some(mut cx) = cx.conn(id) {
                act(&mut cx);
            }
        }
    }
}

impl Handler for Relay {
    type Codec = Raw;
    type Conn = Side;
    type Msg = Order;
    type Task = NoTask;

    fn on_accept(&mut self, _peer: &Peer) -> Result<(Raw, Side), Refusal> {
        let side = Side {
            accepted: true,
            ..Side::default()
        };
        Ok((Raw, side))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        // A queue that is never "above high water": that would stop the reading of the side that does not read,
        // and a peer may well have to be read before it reads.
        cx.set_outbound_limit(QUEUED_BYTES_MAX / 2, QUEUED_BYTES_MAX, QUEUED_BYTES_MAX);
        let id = cx.id();
        if let Some(other) = cx.conn().other {
            // The connection that was made: now its client is read.
            let mut loop_cx = cx.loop_cx();
            self.pump(&mut loop_cx, other);
            self.pump(&mut loop_cx, id);
            return;
        }
        cx.pause_reading();
        let side = Side {
            other: Some(id),
            ..Side::default()
        };
        match cx.loop_cx().connect(Connect::to(self.to), Raw, side) {
            Ok(made) => cx.conn().other = Some(made),
            Err(error) => {
                eprintln!("proxy: {error}");
                cx.close(BROKEN, CloseHow::Abort);
            }
        }
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, bytes: &[u8]) -> Flow<Self> {
        let (id, now) = (cx.id(), cx.now());
        cx.conn().pipe.push(now, Bytes::copy_from_slice(bytes));
        self.pump(&mut cx.loop_cx(), id);
        Flow::Continue
    }

    fn on_writable(&mut self, cx: &mut ConnCx<'_, Self>) {
        if let Some(other) = cx.conn().other {
            self.pump(&mut cx.loop_cx(), other);
        }
    }

    fn on_timer(&mut self, cx: &mut ConnCx<'_, Self>, _key: u32) {
        let id = cx.id();
        self.pump(&mut cx.loop_cx(), id);
    }

    fn on_eof(&mut self, cx: &mut ConnCx<'_, Self>) -> Eof {
        let (id, now) = (cx.id(), cx.now());
        cx.conn().pipe.end(now);
        self.pump(&mut cx.loop_cx(), id);
        Eof::KeepWriting
    }

    fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, order: Order) {
        match order.command {
            Command::Faults(faults) => {
                self.faults = faults;
                for id in cx.connection_ids() {
                    self.pump(cx, id);
                }
            }
            Command::Cut => Self::each(cx, |cx| cx.close(CUT, CloseHow::Abort)),
            Command::Status => {}
        }
        let mut status = Status::default();
        Self::each(cx, |cx| {
            status.connections += usize::from(cx.conn().accepted);
            status.held_bytes += cx.conn().pipe.held_bytes();
        });
        // Whoever asked may have gone.
        let _ = order.done.try_send(status);
    }

    fn on_close(&mut self, cx: &mut LoopCx<'_, Self>, _: ConnId, side: Side, why: &Reason<Self>) {
        let Some(other) = side.other else { return };
        if cx.cancel_connect(other, BROKEN) || matches!(why, CloseReason::Local(_)) {
            // Whoever ended this side has ended the other one.
            return;
        }
        if let CloseReason::ConnectFailed(_) | CloseReason::ConnectTimeout = why {
            eprintln!("proxy: {why}");
        }
        if let Some(mut cx) = cx.conn(other) {
            cx.close(BROKEN, CloseHow::Abort);
        }
    }
}
