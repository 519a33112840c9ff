//! Connections we make: both ends are on netcore, in one process.

use crate::support::{Event, FRAME_MAX, PATIENCE, start};
use crossbeam_channel::{Receiver, Sender, bounded};
use netcore::codec::LengthPrefixed;
use netcore::{
    Address, Backoff, ConnCx, ConnId, Connect, Flow, Handler, LoopCx, NoTask, Peer, Reason, Refusal, Server,
};
use std::time::Duration;

/// Keeps a connection to one address: says hello on it, and makes it again when it is gone.
struct Caller {
    to: Address,
    backoff: Backoff,
    events: Sender<String>,
}

impl Caller {
    fn call(&mut self, cx: &mut LoopCx<'_, Self>, pause: Duration) {
        let connect = Connect::to(self.to.clone()).after(pause);
        // Refused when the test is over.
        let _ = cx.connect(connect, LengthPrefixed::new(FRAME_MAX), ());
    }
}

impl Handler for Caller {
    type Codec = LengthPrefixed;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_start(&mut self, cx: &mut LoopCx<'_, Self>) {
        self.call(cx, Duration::ZERO);
    }

    fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
        Err(Refusal)
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        self.backoff.reset();
        let _ = self.events.send(format!("opened {}", cx.peer().address));
        cx.send(b"hello").unwrap();
    }

    fn on_frame(&mut self, _: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        let _ = self.events.send(String::from_utf8_lossy(frame).into_owned());
        Flow::Continue
    }

    fn on_close(&mut self, cx: &mut LoopCx<'_, Self>, _: ConnId, (): (), why: &Reason<Self>) {
        let _ = self.events.try_send(why.name().to_owned());
        let pause = self.backoff.next_pause(u64::MAX);
        self.call(cx, pause);
    }
}

/// A caller, and what it says.
fn call(to: impl Into<Address>) -> (Server<()>, Receiver<String>) {
    let (sender, events) = bounded(1000);
    let to = to.into();
    let server = Server::builder::<Caller>()
        .loops(1)
        .start(move |_, _| Caller {
            to: to.clone(),
            backoff: Backoff::new(Duration::from_millis(10), Duration::from_millis(100)),
            events: sender.clone(),
        })
        .unwrap();
    (server, events)
}

fn next(events: &Receiver<String>) -> String {
    events.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_connection_we_make_is_like_one_that_we_accept() {
    let running = start(|builder| builder);
    let address = running.server.local_addrs()[0];
    let (_caller, events) = call(address);
    assert_eq!(next(&events), format!("opened {address}"));
    assert_eq!(next(&events), "hello");
    assert!(matches!(
        running.events.recv_timeout(PATIENCE),
        Ok(Event::Opened(_))
    ));
}

#[test]
fn a_port_where_nobody_listens_is_reported() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    // Taken, so that nobody else listens there.
    socket.bind(&any.into()).unwrap();
    let (_caller, events) = call(socket.local_addr().unwrap().as_socket().unwrap());
    assert_eq!(next(&events), "connect_failed");
    assert_eq!(next(&events), "connect_failed");
}

#[cfg(unix)]
#[test]
fn a_connection_is_made_again_when_the_server_is_back() {
    use netcore::Listen;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let serve = || start(|builder| builder.listen(Listen::unix(&path, None)));
    let first = serve();
    let (caller, events) = call(Address::Unix(Some(path.as_path().into())));
    assert!(next(&events).starts_with("opened unix:"));
    assert_eq!(next(&events), "hello");
    first.server.shutdown();
    assert!(["eof", "reset"].contains(&next(&events).as_str()));
    for _ in 0..3 {
        assert_eq!(next(&events), "connect_failed");
    }
    let _second = serve();
    while next(&events) == "connect_failed" {}
    assert_eq!(next(&events), "hello");
    assert_eq!(caller.connections(), 1);
}
