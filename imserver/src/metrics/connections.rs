//! Connections by door, and why they ended. Counted by the loops.

use netcore::CloseReason;

use super::{
    cell::Tally,
    exposition::Shown,
    loops::{self, Turns},
    table,
};

/// What a client speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Door {
    /// Frames of the protocol, by themselves.
    Native,
    /// Requests over HTTP, and streams of events.
    Http,
    /// Frames of the protocol as messages of a WebSocket.
    WebSocket,
}

impl Door {
    const ALL: [Self; 3] = [Self::Native, Self::Http, Self::WebSocket];

    const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Http => "http",
            Self::WebSocket => "websocket",
        }
    }
}

/// The names of netcore's reasons, and of this program's own close codes. A reason that is missing here counts as the
/// last one.
const REASONS: [&str; 25] = [
    "connect_failed",
    "connect_timeout",
    "drained",
    "eof",
    "frame_timeout",
    "handler_panicked",
    "handshake_timeout",
    "idle_timeout",
    "io",
    "no_workers",
    "outbound_full",
    "pong_timeout",
    "protocol",
    "proxy",
    "reset",
    "stopped",
    "tls",
    "tls_timeout",
    "truncated_frame",
    "write_stalled",
    "refused",
    "going_away",
    "logged_out",
    "finished",
    "other",
];

/// The place of this program's first close code, which is 1.
const FIRST_CODE: usize = 20;
const OTHER: usize = REASONS.len() - 1;

/// The connections of one loop.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    opened: Tally,
    closed: [[Tally; REASONS.len()]; Door::ALL.len()],
}

impl Connections {
    /// One was opened. Through which door is not known before it has sent something.
    pub(crate) fn opened(&self) {
        self.opened.add(1);
    }

    /// One that was opened has ended.
    pub(crate) fn closed<E>(&self, door: Door, why: &CloseReason<E>) {
        let place = if let CloseReason::Local(code @ 1..) = why {
            Some(FIRST_CODE + usize::from(*code) - 1)
        } else {
            REASONS.iter().position(|name| *name == why.name())
        };
        let place = place.filter(|place| *place < OTHER).unwrap_or(OTHER);
        if let Some(closed) = self
            .closed
            .get(door as usize)
            .and_then(|closed| closed.get(place))
        {
            closed.add(1);
        }
    }
}

/// What is there now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Present {
    /// Connections.
    pub connections: usize,
    /// Sessions.
    pub sessions: usize,
}

/// Shows those of all loops together.
pub(super) fn show<'a>(
    shown: &mut Shown,
    present: Present,
    loops: impl Iterator<Item = (&'a Connections, &'a Turns)> + Clone,
) {
    shown.count(&table::CONNECTIONS, present.connections as u64);
    shown.count(&table::SESSIONS, present.sessions as u64);
    let sum = |of: &dyn Fn(&Connections) -> Option<u64>| -> u64 {
        loops.clone().filter_map(|(connections, _)| of(connections)).sum()
    };
    shown.count(
        &table::CONNECTIONS_OPENED,
        sum(&|connections| Some(connections.opened.get())),
    );
    let mut closed = Vec::new();
    for (door_place, door) in Door::ALL.into_iter().enumerate() {
        for (place, reason) in REASONS.iter().enumerate() {
            let of =
                |connections: &Connections| connections.closed.get(door_place)?.get(place).map(Tally::get);
            let count = sum(&of);
            if count > 0 {
                closed.push((vec![door.name().to_owned(), (*reason).to_owned()], count as f64));
            }
        }
    }
    shown.numbers(&table::CONNECTIONS_CLOSED, closed);
    loops::show_refused(shown, loops.map(|(_, turns)| turns));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Format;

    #[test]
    fn ends_are_counted_by_reason() {
        let connections = Connections::default();
        connections.opened();
        let reasons = [
            CloseReason::<()>::Eof,
            CloseReason::Reset,
            CloseReason::WriteStalled,
            CloseReason::Local(0),
            CloseReason::Local(1),
            CloseReason::Local(4),
            CloseReason::Local(u16::MAX),
        ];
        for reason in &reasons {
            connections.closed(Door::Native, reason);
        }
        let mut shown = Shown::default();
        let turns = Turns::default();
        show(
            &mut shown,
            Present::default(),
            [(&connections, &turns)].into_iter(),
        );
        let text = shown.write(Format::Text);
        for (reason, count) in [
            ("eof", 1),
            ("reset", 1),
            ("write_stalled", 1),
            ("refused", 1),
            ("finished", 1),
            ("other", 2),
        ] {
            let line =
                format!("imserver_connections_closed_total{{door=\"native\",reason=\"{reason}\"}} {count}\n");
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("connections_closed_total{").count(), 6, "{text}");
    }
}
