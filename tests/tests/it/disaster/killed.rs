//! PostgreSQL killed with all of its processes and started at once, under every kind of write. In half of the rounds a
//! commit is held at that moment: before it reaches the server, or after the server has done it and before the node is
//! told. Others' commits then take the numbers that were lost.

use tests::random::Random;

use super::{Ground, this_run, wire::Hold};
use crate::traffic::Pasts;

/// Kills in every run, and in full.
const KILLS: [u64; 2] = [10, 200];
/// More than there are transactions at once.
const NUMBERS: i64 = 16;
/// After so many kills the store comes to itself.
const RESTS_EVERY: u64 = 5;
/// Acknowledged between two of them, at most.
const BETWEEN_MAX: u64 = 60;

#[test]
fn nothing_acknowledged_is_lost_while_postgresql_is_killed() {
    let seed = Random::seed("DISASTER_SEED");
    let mut random = Random::new(seed);
    let mut ground = Ground::new();
    let running = ground.begin();
    ground.until_acknowledged(&running, 20);
    let epoch = ground.epoch();
    let kills = this_run(KILLS[0], KILLS[1]);
    for kill in 0..kills {
        ground.until_acknowledged(&running, 1 + random.below(BETWEEN_MAX));
        match kill % 4 {
            1 => ground.wire.hold(Hold::Request),
            3 => ground.wire.hold(Hold::Answer),
            _ => {}
        }
        if kill % 2 == 1 {
            ground.until_held(&running);
        }
        let next = ground.next_number();
        ground.postgres.kill().unwrap();
        ground.postgres.start_again().unwrap();
        // The number of the commit that was held is another's now.
        ground.take_numbers(next + NUMBERS);
        ground.wire.cut();
        // Questions are let through slowly after an outage: now and then logins, which begin with one, get a chance.
        if kill % RESTS_EVERY == RESTS_EVERY - 1 {
            assert_eq!(
                ground.epoch(),
                epoch,
                "seed {seed}: a crash alone makes no new past"
            );
        }
    }
    ground.until_acknowledged(&running, 20);
    assert_eq!(
        ground.epoch(),
        epoch,
        "seed {seed}: a crash alone makes no new past"
    );
    let judged = ground.judge(running, Pasts::One);
    println!(
        "{kills} kills, {} writes acknowledged, {} violations",
        judged.acknowledged,
        judged.violations.len()
    );
    judged.expect_kept(seed);
}
