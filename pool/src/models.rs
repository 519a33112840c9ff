//! The pool's threads under every interleaving that loom can find: the code that serves in production, on threads of
//! the model. Time stands still; a deadline has passed from the beginning or never does.

use super::borrower::Borrower;
use super::clock::Time;
use super::shared::{Seat, Shared};
use super::state::NextConnect;
use super::*;
use loom::thread;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Default)]
struct Counting {
    opened: AtomicU32,
    closed: Arc<AtomicU32>,
}

struct Connection(Arc<AtomicU32>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl ManageConnection for Counting {
    type Connection = Connection;
    type Error = Infallible;

    fn connect(&self) -> Result<Connection, Infallible> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Connection(Arc::clone(&self.closed)))
    }

    fn is_valid(&self, _: &mut Connection) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }
}

struct Model {
    shared: Arc<Shared<Counting>>,
    past: Instant,
}

type Got = Result<Lease<Counting>, GetError<Infallible>>;

impl Model {
    fn new(max: u32, validate_after_idle: Duration) -> Self {
        let settings = PoolSettings {
            max,
            min_idle: Some(0),
            validate_after_idle,
            ..PoolSettings::ageless()
        };
        let now = Instant::now();
        let time = Time::Other(Arc::new(Still(now)));
        Self {
            shared: Arc::new(Shared::new(&settings, Counting::default(), Box::new(()), time)),
            past: now,
        }
    }

    /// With a connection that has been opened already.
    fn with_connection(self) -> Self {
        let connection = self.shared.manager.connect().unwrap();
        self.shared.tell(|state, now| {
            // A caller must want it, and give up before it comes.
            let seat = Arc::new(Seat::new());
            let borrower = Borrower::current(u64::MAX, Location::caller()).0;
            let ticket = state.wait(now, borrower, seat).unwrap();
            let NextConnect::Start(attempt) = state.next_connect(now) else {
                panic!("nothing is wanted")
            };
            state.give_up(ticket, now).unwrap();
            state.connected(attempt, connection, 0, Duration::ZERO, now);
        });
        self
    }

    fn get(&self) -> Got {
        self.shared.get(None, Location::caller())
    }

    fn get_expired(&self) -> Got {
        self.shared.get(Some(self.past), Location::caller())
    }

    fn spawn(&self, run: impl FnOnce(&Self) + 'static) -> thread::JoinHandle<()> {
        let model = Self {
            shared: Arc::clone(&self.shared),
            past: self.past,
        };
        thread::spawn(move || run(&model))
    }

    fn close(&self) {
        self.shared.tell(|state, _| state.close_pool());
    }

    /// Everything that was opened has been closed, and no caller is left.
    fn assert_empty(&self) {
        self.shared.close_until_closed();
        let (opened, closed) = (&self.shared.manager.opened, &self.shared.manager.closed);
        assert_eq!(opened.load(Ordering::SeqCst), closed.load(Ordering::SeqCst));
        let status = self.shared.status();
        assert_eq!(
            (status.total, status.waiting, status.connecting),
            (0, 0, 0),
            "{status}"
        );
    }
}

#[test]
fn loom_a_connection_that_comes_back_reaches_whoever_waits() {
    loom::model(|| {
        let model = Model::new(1, Duration::MAX).with_connection();
        let held = model.get().unwrap();
        let others: Vec<_> = (0..2)
            .map(|_| model.spawn(|model| drop(model.get().unwrap())))
            .collect();
        drop(held);
        for other in others {
            other.join().unwrap();
        }
        let status = model.shared.status();
        assert_eq!((status.idle, status.leased, status.waiting), (1, 0, 0));
        model.close();
        model.assert_empty();
    });
}

#[test]
fn loom_a_deadline_and_a_hand_over_at_once_lose_nothing() {
    loom::model(|| {
        let model = Model::new(1, Duration::MAX).with_connection();
        let held = model.get().unwrap();
        // Each either gets it or is told the time is over; the connection is idle in the end.
        let hurried = model.spawn(|model| drop(model.get_expired()));
        let patient = model.spawn(|model| drop(model.get().unwrap()));
        drop(held);
        hurried.join().unwrap();
        patient.join().unwrap();
        assert_eq!(model.shared.status().idle, 1);
        model.close();
        model.assert_empty();
    });
}

#[test]
fn loom_closing_reaches_whoever_waits_and_whatever_comes_back() {
    loom::model(|| {
        let model = Model::new(1, Duration::MAX).with_connection();
        let held = model.get().unwrap();
        let waiting = model.spawn(|model| match model.get() {
            Ok(lease) => drop(lease),
            Err(error) => assert!(matches!(error, GetError::Closed)),
        });
        let closing = model.spawn(Model::close);
        drop(held);
        waiting.join().unwrap();
        closing.join().unwrap();
        model.assert_empty();
    });
}

#[test]
fn loom_connecting_and_closing_threads_are_woken() {
    loom::model(|| {
        let model = Model::new(1, Duration::MAX);
        let connector = model.spawn(|model| model.shared.connect_until_closed());
        let closer = model.spawn(|model| model.shared.close_until_closed());
        let mut lease = model.get().unwrap();
        lease.taint();
        drop(lease);
        model.close();
        connector.join().unwrap();
        closer.join().unwrap();
        model.assert_empty();
    });
}

#[test]
fn loom_a_connection_is_tested_while_its_caller_waits() {
    loom::model(|| {
        let model = Model::new(1, Duration::ZERO).with_connection();
        let checker = model.spawn(|model| model.shared.check_until_closed());
        let other = model.spawn(|model| drop(model.get().unwrap()));
        drop(model.get().unwrap());
        other.join().unwrap();
        model.close();
        checker.join().unwrap();
        model.assert_empty();
    });
}
