//! The nodes' sessions go through a pooler, which gives them another server without their noticing: one that lacks the
//! tail. Only what each transaction reads can tell.

use tests::random::Random;

use super::{Ground, this_run};
use crate::traffic::Pasts;

/// Rounds in every run, and in full.
const ROUNDS: [u64; 2] = [1, 10];
/// Writes that are lost, at most.
const LOST_MAX: u64 = 40;

#[test]
fn sessions_that_are_given_another_server_live_in_another_past() {
    let seed = Random::seed("DISASTER_SEED");
    let mut random = Random::new(seed);
    let rounds = this_run(ROUNDS[0], ROUNDS[1]);
    let (mut acknowledged, mut kept) = (0, 0);
    for _ in 0..rounds {
        let mut ground = Ground::pooled();
        let running = ground.begin();
        ground.until_acknowledged(&running, 20);
        let epoch = ground.epoch();
        let mut standby = ground.postgres.standby().unwrap();
        ground.until_acknowledged(&running, 20);
        standby.stop().unwrap();
        ground.until_acknowledged(&running, 1 + random.below(LOST_MAX));
        ground.pooler().pause();
        ground.postgres.kill().unwrap();
        standby.start_again().unwrap();
        standby.promote().unwrap();
        ground.wire.lead_to(standby.address());
        ground.wire.cut();
        ground.take_over(standby);
        kept += ground.pooler().resume();
        ground.until_acknowledged(&running, 40);
        assert_ne!(ground.epoch(), epoch, "seed {seed}: it is another server");
        let judged = ground.judge(running, Pasts::Any);
        judged.expect_kept(seed);
        acknowledged += judged.acknowledged;
    }
    println!("{rounds} times {kept} sessions moved, {acknowledged} writes acknowledged, 0 violations");
    assert!(kept > 0, "no session was between two transactions");
}
