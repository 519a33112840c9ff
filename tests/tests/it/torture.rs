//! Fifty devices send twenty thousand messages while the daemon is killed and started again. Afterwards every
//! message that was acknowledged is in every recipient's log exactly once, in order, without a hole, and every
//! device has applied that log event by event.
//!
//! `TORTURE_SEED` repeats the choice of moments; it is printed when the test fails.

use std::thread;

use tests::{
    harness::{Daemon, User},
    random::Random,
};

use crate::traffic::{Member, Mix, Pasts, Traffic, identity};

const USERS: usize = 50;
const GROUP: usize = 10;
/// Each user writes to their pair and to their group: 20,000 in all.
const MESSAGES_PER_SENDER: u64 = 200;
const MESSAGES: u64 = USERS as u64 * 2 * MESSAGES_PER_SENDER;
const KILLS: u64 = 6;

#[test]
fn nothing_acknowledged_is_lost_while_the_daemon_is_killed() {
    let seed = Random::seed("TORTURE_SEED");
    let mut random = Random::new(seed);
    let mut daemon = Daemon::start();
    let mut users: Vec<User> = (0..USERS)
        .map(|index| daemon.register(&format!("user{index}")))
        .collect();
    let ids: Vec<u64> = users.iter().map(|user| user.id).collect();
    let groups: Vec<u64> = (0..USERS / GROUP)
        .map(|group| {
            let others: Vec<u64> = ids[group * GROUP + 1..(group + 1) * GROUP].to_vec();
            users[group * GROUP].group(&format!("group{group}"), &others)
        })
        .collect();
    let members: Vec<Member> = (0..USERS)
        .map(|index| Member {
            server: daemon.address(),
            user: ids[index],
            name: format!("user{index}"),
            identity: identity(&users[index]),
            conversations: vec![users[index].direct(ids[index ^ 1]), groups[index / GROUP]],
        })
        .collect();
    // The raw connections go, so that each session has one connection: its device's.
    users.clear();

    let traffic = Traffic::start(members, Mix::Messages, |number| number < MESSAGES_PER_SENDER);
    for kill in 1..=KILLS {
        // Somewhere in this seventh of the messages.
        let span = MESSAGES / (KILLS + 1);
        let at = (kill - 1) * span + random.below(span) + 1;
        while traffic.acknowledged() < at && !traffic.is_sent() {
            thread::yield_now();
        }
        daemon.restart();
    }
    // A session of its own for reading, so that the devices are not displaced.
    let judged = traffic.judge(Pasts::One, |index| {
        daemon.login(&format!("user{index}"), "reader")
    });
    assert_eq!(judged.acknowledged, MESSAGES, "seed {seed}");
    judged.expect_kept(seed);
}
