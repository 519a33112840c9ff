//! Three nodes chat while in turn one of them is killed, Redis is flushed and PostgreSQL is restarted. Afterwards
//! every message that was acknowledged is in every recipient's history exactly once, in order, without a hole, and
//! every device has applied it so.
//!
//! `CHAOS_SEED` repeats the choice of nodes; `CHAOS_SECONDS`, `CHAOS_USERS`, `CHAOS_EVERY_SECONDS` and
//! `CHAOS_PAUSE_MS` make it longer, larger and slower: 1800, 100, 20 and 3000 are the soak of `docs/RELIABILITY.md`.

use std::{
    thread,
    time::{Duration, Instant},
};

use tests::{
    harness::{Cluster, ClusterSetup, Daemon, User},
    random::Random,
};

use crate::traffic::{Member, Mix, Pasts, Traffic, identity};

const NODES: usize = 3;
const GROUP: usize = 10;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn nothing_acknowledged_is_lost_while_everything_fails_in_turn() {
    let seed = Random::seed("CHAOS_SEED");
    let mut random = Random::new(seed);
    let lasts = Duration::from_secs(setting("CHAOS_SECONDS", 20));
    let every = Duration::from_secs(setting("CHAOS_EVERY_SECONDS", 3));
    let count = setting("CHAOS_USERS", 20) as usize / GROUP * GROUP;
    let mut cluster = ClusterSetup::nodes(NODES).allow_errors().start();
    let members = members(&cluster, count);

    let end = Instant::now() + lasts;
    // Between two messages of one sender to one conversation.
    let pause = Duration::from_millis(setting("CHAOS_PAUSE_MS", 100));
    let traffic = Traffic::start(members, Mix::Messages, move |_| {
        // A pace, not a synchronisation: a person does not type faster either.
        thread::sleep(pause);
        Instant::now() < end
    });
    let mut faults = 0;
    while Instant::now() < end {
        thread::sleep(every);
        let before = traffic.acknowledged();
        match faults % 3 {
            0 => cluster.nodes[random.below(NODES as u64) as usize].restart(),
            1 => cluster.redis.as_mut().unwrap().flush().unwrap(),
            _ => cluster.postgres.restart_immediate().unwrap(),
        }
        faults += 1;
        eprintln!("after fault {faults}: {before} acknowledged");
    }
    assert!(faults >= 3, "each fault at least once");
    let judged = traffic.judge(Pasts::One, |index| retried(&cluster.nodes[index % NODES], index));
    eprintln!("{} acknowledged, {faults} faults", judged.acknowledged);
    judged.expect_kept(seed);
}

/// A session for reading; a fault may just have been.
fn retried(node: &Daemon, index: usize) -> User {
    let mut user = None;
    super::until("the store answers", || {
        let mut conn = node.connect();
        let greeted = conn.ask(tests::harness::hello("reader")).is_ok();
        let session = conn.ask(tests::harness::login(&format!("user{index}")));
        if let (true, Ok(session)) = (greeted, session) {
            user = Some(User::of(node.address(), conn, "reader", session));
        }
        user.is_some()
    });
    let mut user = user.unwrap();
    super::reads_again(&mut user);
    user
}

/// Everyone writes to a pair and to a group, both of which span the nodes.
fn members(cluster: &Cluster, count: usize) -> Vec<Member> {
    let mut users: Vec<User> = (0..count)
        .map(|index| cluster.nodes[index % NODES].register(&format!("user{index}")))
        .collect();
    let ids: Vec<u64> = users.iter().map(|user| user.id).collect();
    let groups: Vec<u64> = (0..count / GROUP)
        .map(|group| {
            let others: Vec<u64> = ids[group * GROUP + 1..(group + 1) * GROUP].to_vec();
            users[group * GROUP].group(&format!("group{group}"), &others)
        })
        .collect();
    (0..count)
        .map(|index| Member {
            server: cluster.nodes[index % NODES].address(),
            user: ids[index],
            name: format!("user{index}"),
            identity: identity(&users[index]),
            conversations: vec![users[index].direct(ids[index ^ 1]), groups[index / GROUP]],
        })
        .collect()
}
