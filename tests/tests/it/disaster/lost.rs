//! The tail of the log is lost: a standby without it is promoted, or the data directory of before is put back under
//! running nodes.

use tests::random::Random;

use super::{Ground, this_run};
use crate::traffic::{Judgement, Pasts};

/// Rounds of each in every run, and in full.
const ROUNDS: [u64; 2] = [1, 20];
/// Writes that are lost, at most.
const LOST_MAX: u64 = 40;

fn report(what: &str, rounds: u64, judged: &[Judgement], seed: u64) {
    let sum = |count: fn(&Judgement) -> u64| judged.iter().map(count).sum::<u64>();
    println!(
        "{rounds} times {what}: {} writes acknowledged, {} of them in pasts that are over, {} violations",
        sum(|one| one.acknowledged),
        sum(|one| one.promised_before),
        sum(|one| one.violations.len() as u64),
    );
    judged.iter().for_each(|one| one.expect_kept(seed));
}

#[test]
fn a_standby_that_is_promoted_without_its_tail_has_another_past() {
    let seed = Random::seed("DISASTER_SEED");
    let mut random = Random::new(seed);
    let rounds = this_run(ROUNDS[0], ROUNDS[1]);
    let mut judged = Vec::new();
    for _ in 0..rounds {
        let mut ground = Ground::new();
        let running = ground.begin();
        ground.until_acknowledged(&running, 20);
        let epoch = ground.epoch();
        let mut standby = ground.postgres.standby().unwrap();
        ground.until_acknowledged(&running, 20);
        // It has got as far as it will.
        standby.stop().unwrap();
        ground.until_acknowledged(&running, 1 + random.below(LOST_MAX));
        ground.postgres.kill().unwrap();
        standby.start_again().unwrap();
        standby.promote().unwrap();
        ground.wire.lead_to(standby.address());
        ground.wire.cut();
        ground.take_over(standby);
        ground.until_acknowledged(&running, 40);
        assert_ne!(
            ground.epoch(),
            epoch,
            "seed {seed}: another timeline is another past"
        );
        judged.push(ground.judge(running, Pasts::Any));
    }
    report("promoted without the tail", rounds, &judged, seed);
}

#[test]
fn a_directory_that_is_put_back_under_running_nodes_has_another_past() {
    let seed = Random::seed("DISASTER_SEED");
    let mut random = Random::new(seed);
    let rounds = this_run(ROUNDS[0], ROUNDS[1]);
    let mut judged = Vec::new();
    for round in 0..rounds {
        let mut ground = Ground::new();
        let running = ground.begin();
        ground.until_acknowledged(&running, 20);
        let epoch = ground.epoch();
        running.traffic.keep_so_far();
        ground.postgres.stop().unwrap();
        let copy = ground.postgres.copy_data().unwrap();
        ground.postgres.start_again().unwrap();
        ground.until_acknowledged(&running, 1 + random.below(LOST_MAX));
        let next = ground.next_number();
        ground.postgres.put_back(&copy).unwrap();
        ground.postgres.start_again().unwrap();
        // The numbers of what is lost are given out again before any node comes.
        if round % 2 == 0 {
            ground.take_numbers(next + 100);
        }
        ground.wire.cut();
        ground.until_acknowledged(&running, 40);
        assert_ne!(
            ground.epoch(),
            epoch,
            "seed {seed}: the nodes remember more than there is"
        );
        judged.push(ground.judge(running, Pasts::Any));
    }
    report("put back", rounds, &judged, seed);
}
