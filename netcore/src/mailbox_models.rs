//! The mailbox under every interleaving that loom can find: one wake per sleep, no message lost, limits kept.

use super::*;
use loom::sync::Arc;
use loom::thread;

/// The loop's side of waking: at most one wake may be under way.
struct Alarm {
    rung: loom::sync::Mutex<bool>,
    bell: loom::sync::Condvar,
}

impl Alarm {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rung: loom::sync::Mutex::new(false),
            bell: loom::sync::Condvar::new(),
        })
    }

    fn ring(&self) {
        let mut rung = self.rung.lock().unwrap();
        assert!(!*rung, "a second wake for one sleep");
        *rung = true;
        self.bell.notify_one();
    }

    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.bell.wait(rung).unwrap();
        }
        *rung = false;
    }
}

fn mailbox<M>(posts: usize, reservations: usize) -> (Arc<Mailbox<M>>, Arc<Alarm>) {
    let alarm = Alarm::new();
    let rung = Arc::clone(&alarm);
    (
        Arc::new(Mailbox::new(posts, reservations, move || rung.ring())),
        alarm,
    )
}

/// A turn of the loop: sleeps if it may, takes what is there. Loom says so if it sleeps for ever.
fn turn(mailbox: &Mailbox<u8>, alarm: &Alarm, received: &mut Vec<u8>) -> Signals {
    if mailbox.prepare_sleep() {
        alarm.sleep();
    }
    let mut messages = VecDeque::new();
    let signals = mailbox.receive(&mut messages);
    received.extend(messages);
    signals
}

#[test]
fn loom_posts_of_two_threads_each_arrive_once_and_in_order() {
    loom::model(|| {
        let (mailbox, alarm) = mailbox(4, 0);
        let threads: Vec<_> = [10, 20]
            .into_iter()
            .map(|first| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || {
                    mailbox.post(first).unwrap();
                    mailbox.post(first + 1).unwrap();
                })
            })
            .collect();
        let mut received = Vec::new();
        while received.len() < 4 {
            turn(&mailbox, &alarm, &mut received);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        for producer in [1, 2] {
            let own: Vec<_> = received
                .iter()
                .filter(|message| **message / 10 == producer)
                .collect();
            assert_eq!(own, [&(producer * 10), &(producer * 10 + 1)]);
        }
        assert!(mailbox.prepare_sleep(), "nothing is left");
        assert!(!*alarm.rung.lock().unwrap(), "nobody rings an empty mailbox");
    });
}

#[test]
fn loom_a_post_a_reply_and_a_signal_each_end_the_sleep() {
    loom::model(|| {
        let (mailbox, alarm) = mailbox(1, 1);
        mailbox.reserve().unwrap();
        let poster = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.post(1).unwrap())
        };
        let replier = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.redeem(2).unwrap();
                mailbox.signal(Signals::DRAIN);
            })
        };
        let (mut received, mut drained) = (Vec::new(), false);
        while received.len() < 2 || !drained {
            drained |= turn(&mailbox, &alarm, &mut received).has(Signals::DRAIN);
        }
        poster.join().unwrap();
        replier.join().unwrap();
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        mailbox.reserve().unwrap();
        assert_eq!(
            mailbox.reserve(),
            Err(Refused::Full),
            "the place was given back once"
        );
    });
}

#[test]
fn loom_what_is_posted_while_wakes_are_held_back_ends_the_sleep() {
    loom::model(|| {
        let (mailbox, alarm) = mailbox(4, 0);
        let holder = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.hold_wakes();
                mailbox.post(1).unwrap();
                mailbox.post(2).unwrap();
                mailbox.wake_held();
            })
        };
        let other = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.post(3).unwrap())
        };
        let mut received = Vec::new();
        while received.len() < 3 {
            turn(&mailbox, &alarm, &mut received);
        }
        holder.join().unwrap();
        other.join().unwrap();
        received.sort_unstable();
        assert_eq!(received, [1, 2, 3]);
        assert!(!*alarm.rung.lock().unwrap(), "nobody rings an empty mailbox");
    });
}

#[test]
fn loom_limits_hold_while_others_post_reserve_and_receive() {
    loom::model(|| {
        let (mailbox, _alarm) = mailbox(1, 1);
        let threads: Vec<_> = [1, 2]
            .into_iter()
            .map(|number| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || {
                    let posted = mailbox.post(number).is_ok();
                    let replied = mailbox.reserve().is_ok();
                    if replied {
                        mailbox.redeem(number + 10).unwrap();
                    }
                    usize::from(posted) + usize::from(replied)
                })
            })
            .collect();
        let mut received = VecDeque::new();
        mailbox.receive(&mut received);
        assert!(received.len() <= 2, "more than there is room for");
        let accepted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let mut rest = VecDeque::new();
        mailbox.receive(&mut rest);
        assert!(rest.len() <= 2);
        assert_eq!(received.len() + rest.len(), accepted, "what was accepted arrives");
        mailbox.reserve().unwrap();
        mailbox.post(3).unwrap();
    });
}

#[test]
fn loom_a_stop_loses_no_message_without_saying_so() {
    loom::model(|| {
        let (mailbox, alarm) = mailbox(2, 1);
        mailbox.reserve().unwrap();
        let token = std::sync::Arc::new(());
        let poster = {
            let (mailbox, token) = (Arc::clone(&mailbox), std::sync::Arc::clone(&token));
            thread::spawn(move || match mailbox.post(token) {
                Ok(()) => None,
                Err((refused, back)) => {
                    assert_eq!(refused, Refused::Stopped);
                    Some(back)
                }
            })
        };
        let replier = {
            let (mailbox, token) = (Arc::clone(&mailbox), std::sync::Arc::clone(&token));
            thread::spawn(move || mailbox.redeem(token).err())
        };
        if mailbox.prepare_sleep() {
            alarm.sleep();
        }
        mailbox.stop();
        let back: Vec<_> = [poster, replier]
            .into_iter()
            .filter_map(|thread| thread.join().unwrap())
            .collect();
        // Given back, or dropped with the mailbox's content, but not kept by it.
        assert_eq!(std::sync::Arc::strong_count(&token), 1 + back.len());
        let mut messages = VecDeque::new();
        mailbox.receive(&mut messages);
        assert!(messages.is_empty());
    });
}
