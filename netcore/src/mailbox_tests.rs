//! One wake per sleep, no message lost, and places that are accounted for.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn mailbox(posts: usize, reservations: usize) -> (Arc<Mailbox<u64>>, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wakes);
    let wake = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    (Arc::new(Mailbox::new(posts, reservations, wake)), wakes)
}

#[test]
fn one_wake_per_sleep_and_none_while_awake() {
    let (mailbox, wakes) = mailbox(10, 10);
    let mut messages = VecDeque::new();
    mailbox.post(1).unwrap();
    assert_eq!(wakes.load(Ordering::SeqCst), 0, "the loop was awake");
    assert!(!mailbox.prepare_sleep(), "something is queued");
    mailbox.post(2).unwrap();
    assert_eq!(wakes.load(Ordering::SeqCst), 0);
    mailbox.receive(&mut messages);
    assert_eq!(messages.drain(..).collect::<Vec<_>>(), [1, 2]);

    assert!(mailbox.prepare_sleep());
    mailbox.post(3).unwrap();
    mailbox.post(4).unwrap();
    mailbox.signal(Signals::DRAIN);
    assert_eq!(wakes.load(Ordering::SeqCst), 1, "one wake for all of them");
    let signals = mailbox.receive(&mut messages);
    assert!(signals.has(Signals::DRAIN) && !signals.has(Signals::STOP));
    assert_eq!(messages, [3, 4]);

    // Something else woke it.
    messages.clear();
    assert!(mailbox.prepare_sleep());
    mailbox.receive(&mut messages);
    mailbox.post(5).unwrap();
    assert_eq!(wakes.load(Ordering::SeqCst), 1, "the loop was awake");
}

#[test]
fn wakes_held_back_come_once_at_the_end() {
    let (mailbox, wakes) = mailbox(10, 10);
    mailbox.reserve().unwrap();
    assert!(mailbox.prepare_sleep());
    mailbox.hold_wakes();
    mailbox.hold_wakes();
    mailbox.post(1).unwrap();
    mailbox.redeem(2).unwrap();
    mailbox.wake_held();
    assert_eq!(wakes.load(Ordering::SeqCst), 0, "one of the two still posts");
    mailbox.wake_held();
    assert_eq!(wakes.load(Ordering::SeqCst), 1);

    let mut messages = VecDeque::new();
    mailbox.receive(&mut messages);
    assert_eq!(messages.drain(..).collect::<Vec<_>>(), [1, 2]);
    assert!(mailbox.prepare_sleep());
    mailbox.hold_wakes();
    mailbox.wake_held();
    assert_eq!(
        wakes.load(Ordering::SeqCst),
        1,
        "there was nothing to wake it for"
    );

    // What ends a loop is not held back.
    mailbox.hold_wakes();
    mailbox.signal(Signals::STOP);
    assert_eq!(wakes.load(Ordering::SeqCst), 2);
}

#[test]
fn a_signal_wakes_and_is_taken_once() {
    let (mailbox, wakes) = mailbox(1, 1);
    assert!(mailbox.prepare_sleep());
    mailbox.signal(Signals::STOP);
    mailbox.signal(Signals::STOP);
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    assert!(!mailbox.prepare_sleep(), "the signal has not been taken");
    let mut messages = VecDeque::new();
    assert!(mailbox.receive(&mut messages).has(Signals::STOP));
    assert!(!mailbox.receive(&mut messages).has(Signals::STOP));
}

#[test]
fn posts_are_refused_beyond_their_limit_but_reserved_places_are_not() {
    let (mailbox, _) = mailbox(2, 2);
    mailbox.reserve().unwrap();
    mailbox.reserve().unwrap();
    assert_eq!(mailbox.reserve(), Err(Refused::Full));
    mailbox.post(1).unwrap();
    mailbox.post(2).unwrap();
    assert_eq!(mailbox.post(3), Err((Refused::Full, 3)));
    mailbox.redeem(4).unwrap();
    assert_eq!(
        mailbox.reserve(),
        Err(Refused::Full),
        "queued messages still hold their place"
    );
    mailbox.release();
    mailbox.reserve().unwrap();

    let mut messages = VecDeque::new();
    mailbox.receive(&mut messages);
    assert_eq!(messages, [1, 2, 4], "one order for both kinds");
    mailbox.reserve().unwrap();
    assert_eq!(
        mailbox.reserve(),
        Err(Refused::Full),
        "one place is still given out"
    );
    mailbox.post(5).unwrap();
}

#[test]
fn what_was_taken_is_handled_before_more_is_taken() {
    let (mailbox, _) = mailbox(2, 0);
    let mut messages = VecDeque::new();
    mailbox.post(1).unwrap();
    mailbox.post(2).unwrap();
    mailbox.receive(&mut messages);
    mailbox.post(3).unwrap();
    mailbox.receive(&mut messages);
    assert_eq!(messages, [1, 2]);
    messages.clear();
    mailbox.receive(&mut messages);
    assert_eq!(messages, [3]);
}

#[test]
fn a_stopped_mailbox_gives_everything_back() {
    let (mailbox, _) = mailbox(2, 2);
    mailbox.reserve().unwrap();
    mailbox.post(1).unwrap();
    mailbox.stop();
    assert_eq!(mailbox.post(2), Err((Refused::Stopped, 2)));
    assert_eq!(mailbox.redeem(3), Err(3));
    assert_eq!(mailbox.reserve(), Err(Refused::Stopped));
    let mut messages = VecDeque::new();
    mailbox.receive(&mut messages);
    assert!(messages.is_empty());
}

/// Producers on several threads against a consumer that sleeps on a real semaphore: a lost wake would hang.
#[test]
fn nothing_is_lost_between_threads_and_each_producer_keeps_its_order() {
    const PRODUCERS: u64 = 4;
    const EACH: u64 = 20_000;
    let (wake, woken) = crossbeam_channel::bounded::<()>(1);
    let mailbox = Arc::new(Mailbox::new(64, 8, move || {
        // At most one wake per sleep: the place is always free.
        wake.try_send(()).expect("a second wake for one sleep");
    }));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                for number in 0..EACH {
                    let mut message = producer * EACH + number;
                    if number % 7 == 0 && mailbox.reserve().is_ok() {
                        mailbox.redeem(message).unwrap();
                        continue;
                    }
                    while let Err((refused, back)) = mailbox.post(message) {
                        assert_eq!(refused, Refused::Full);
                        message = back;
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();

    let mut next = [0_u64; PRODUCERS as usize];
    let mut messages = VecDeque::new();
    while next.iter().sum::<u64>() < PRODUCERS * EACH {
        if mailbox.prepare_sleep() {
            woken.recv().unwrap();
        }
        mailbox.receive(&mut messages);
        assert!(messages.len() <= 64 + 8);
        for message in messages.drain(..) {
            let expected = &mut next[(message / EACH) as usize];
            assert_eq!(message % EACH, *expected);
            *expected += 1;
        }
    }
    for producer in producers {
        producer.join().unwrap();
    }
    assert!(mailbox.prepare_sleep());
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Post,
    Reserve,
    Release,
    Redeem,
    Signal(Signals),
    Hold,
    WakeHeld,
    Sleep,
    Receive { handle: bool },
    Stop,
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        6 => Just(Post),
        4 => Just(Reserve),
        1 => Just(Release),
        4 => Just(Redeem),
        2 => proptest::sample::select(vec![Signal(Signals::DRAIN), Signal(Signals::WORKERS_ROOM)]),
        2 => Just(Hold),
        2 => Just(WakeHeld),
        4 => Just(Sleep),
        4 => any::<bool>().prop_map(|handle| Receive { handle }),
        1 => Just(Stop),
    ]
}

/// Everything in one list, counted anew each time.
#[derive(Default)]
struct Model {
    /// With whether it came with a reservation.
    queue: Vec<(u64, bool)>,
    places: usize,
    signals: Vec<u8>,
    sleeping: bool,
    stopped: bool,
    holding: usize,
    wakes: usize,
}

impl Model {
    fn kind(&self, reserved: bool) -> usize {
        self.queue.iter().filter(|(_, kind)| *kind == reserved).count()
    }

    fn posted(&mut self) {
        if self.holding == 0 {
            self.wake();
        }
    }

    fn wake(&mut self) {
        self.wakes += usize::from(mem::replace(&mut self.sleeping, false));
    }
}

proptest! {
    #[test]
    fn behaves_like_the_model(
        (posts_max, places_max) in (0_usize..5, 0_usize..4),
        operations in proptest::collection::vec(operation(), 0..120),
    ) {
        let (mailbox, wakes) = mailbox(posts_max, places_max);
        let mut model = Model::default();
        let mut handled = VecDeque::new();
        for (number, operation) in (0_u64..).zip(operations) {
            match operation {
                Operation::Post => {
                    let expected = match model.kind(false) {
                        _ if model.stopped => Err((Refused::Stopped, number)),
                        queued if queued >= posts_max => Err((Refused::Full, number)),
                        _ => Ok(()),
                    };
                    prop_assert_eq!(mailbox.post(number), expected);
                    if expected.is_ok() {
                        model.queue.push((number, false));
                        model.posted();
                    }
                }
                Operation::Reserve => {
                    let taken = model.places + model.kind(true);
                    let expected = match taken {
                        _ if model.stopped => Err(Refused::Stopped),
                        taken if taken >= places_max => Err(Refused::Full),
                        _ => Ok(()),
                    };
                    prop_assert_eq!(mailbox.reserve(), expected);
                    model.places += usize::from(expected.is_ok());
                }
                // Only who has a place can give it back or use it.
                Operation::Release if model.places > 0 => {
                    mailbox.release();
                    model.places -= 1;
                }
                Operation::Redeem if model.places > 0 => {
                    model.places -= 1;
                    let expected = if model.stopped { Err(number) } else { Ok(()) };
                    prop_assert_eq!(mailbox.redeem(number), expected);
                    if expected.is_ok() {
                        model.queue.push((number, true));
                        model.posted();
                    }
                }
                Operation::Release | Operation::Redeem => {}
                Operation::Signal(signal) => {
                    mailbox.signal(signal);
                    model.signals.push(signal.0);
                    model.wake();
                }
                Operation::Hold => {
                    mailbox.hold_wakes();
                    model.holding += 1;
                }
                // Only who holds wakes back lets go.
                Operation::WakeHeld if model.holding > 0 => {
                    mailbox.wake_held();
                    model.holding -= 1;
                    if model.holding == 0 && !model.queue.is_empty() {
                        model.wake();
                    }
                }
                Operation::WakeHeld => {}
                Operation::Sleep => {
                    model.sleeping = model.queue.is_empty() && model.signals.is_empty();
                    prop_assert_eq!(mailbox.prepare_sleep(), model.sleeping);
                }
                Operation::Receive { handle } => {
                    let before = handled.clone();
                    let signals = mailbox.receive(&mut handled);
                    let expected = model.signals.drain(..).fold(0, |all, one| all | one);
                    prop_assert_eq!(signals, Signals(expected));
                    model.sleeping = false;
                    // What was taken before has to be handled first; then everything comes at once, in order.
                    let queued: Vec<_> = model.queue.iter().map(|(message, _)| *message).collect();
                    if before.is_empty() {
                        prop_assert_eq!(&handled, &queued);
                        model.queue.clear();
                    } else {
                        prop_assert_eq!(&handled, &before);
                    }
                    if handle {
                        handled.clear();
                    }
                }
                Operation::Stop => {
                    mailbox.stop();
                    model.stopped = true;
                    model.queue.clear();
                }
            }
            prop_assert_eq!(wakes.load(Ordering::SeqCst), model.wakes);
        }
    }
}
