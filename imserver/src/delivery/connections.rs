//! Names of connections for tests: those of a simulated server.

use std::sync::Arc;

use netcore::{
    ConnCx, ConnId, Flow, Handler, NoTask, Peer, Server, codec::LengthPrefixed, testing::Simulation,
};
use parking_lot::Mutex;

/// Notes the ids of connections that are opened.
struct Noting(Arc<Mutex<Vec<ConnId>>>);

impl Handler for Noting {
    type Codec = LengthPrefixed;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _peer: &Peer) -> Result<(LengthPrefixed, ()), netcore::Refusal> {
        Ok((LengthPrefixed::new(1), ()))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        self.0.lock().push(cx.id());
    }

    fn on_frame(&mut self, _cx: &mut ConnCx<'_, Self>, _frame: &[u8]) -> Flow<Self> {
        Flow::Continue
    }
}

/// The names of so many connections of one loop.
pub(crate) fn connections(count: usize) -> Vec<ConnId> {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&ids);
    let mut simulation = Simulation::start(Server::builder(), |_, _| Noting(Arc::clone(&noting))).unwrap();
    for _ in 0..count {
        simulation.connect();
    }
    simulation.settle();
    let ids = ids.lock().clone();
    assert_eq!(ids.len(), count);
    ids
}
