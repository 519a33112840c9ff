//! What hostile or broken peers send, and that nobody else notices.
//!
//! Each test names the outcome; all of them end with a session of somebody else that is still served.

mod floods;
mod frames;
mod malformed;
mod rates;
mod requests;
mod shares;
mod splits;
mod strangers;

use protocol::v1;
use tests::harness::{Connection, Daemon, Setup, User, hello};

/// A daemon with somebody on it who must not notice anything.
pub(crate) struct Stage {
    pub(crate) daemon: Daemon,
    control: User,
    sent: usize,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn with(config: &str) -> Self {
        let daemon = Setup::config(config).start();
        let control = daemon.register("control");
        Self {
            daemon,
            control,
            sent: 0,
        }
    }

    /// A stranger, before the hello.
    pub(crate) fn stranger(&self) -> Connection {
        self.daemon.connect()
    }

    /// A stranger who was welcomed.
    pub(crate) fn welcomed(&self) -> Connection {
        let mut conn = self.daemon.connect();
        conn.ask(hello("stranger")).unwrap();
        conn
    }

    /// The control session is served as ever: it sends, is pushed to, and reads its log.
    #[track_caller]
    pub(crate) fn still_serves(&mut self) {
        self.sent += 1;
        let own = self.control.own();
        let ack = self.control.text(own, "undisturbed");
        assert_eq!(ack.seq, self.sent as u64);
        assert_eq!(self.control.pushed().seq, ack.seq);
        assert_eq!(self.control.page(own, ack.seq, 1).unwrap().events.len(), 1);
        self.control.get(v1::Ping {});
    }
}
