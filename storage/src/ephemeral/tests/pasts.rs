//! What Redis keeps of one past, and what it tells in another.

use std::time::Instant;

use super::world::{session, shared, token};
use crate::ephemeral::{Limits, Lookup, Pasts, Remote, RemoteSettings, SessionCache};
use crate::{Claim, Generation, Position};

const fn claim(generation: u64, ceiling: u64) -> Claim {
    Claim {
        generation: Generation(generation),
        ceiling: Position(ceiling),
    }
}

#[test]
fn of_each_generation_the_newest_claim_is_remembered() {
    let remote = Remote::new(shared(Limits::default()), Instant::now()).unwrap();
    let now = Instant::now();
    let largest = u64::MAX >> 1;
    assert_eq!(remote.remembered(7, now), Some(Vec::new()));
    for (generation, ceiling) in [
        (1, 9),
        (1, 10),
        (1, 8),
        (largest, largest),
        (largest, largest - 1),
    ] {
        assert!(remote.remember(7, claim(generation, ceiling), now));
    }
    assert!(remote.remember(8, claim(2, 5), now));
    let mut found = remote.remembered(7, now).unwrap();
    found.sort_by_key(|claim| claim.generation.0);
    assert_eq!(found, [claim(1, 10), claim(largest, largest)]);
    assert_eq!(remote.remembered(8, now), Some(vec![claim(2, 5)]));
    // They are bounded: after very many starts of the server it begins anew.
    for generation in 0..300 {
        assert!(remote.remember(9, claim(generation, 1), now));
    }
    assert!(remote.remembered(9, now).unwrap().len() <= 256);
}

#[test]
fn what_was_kept_in_one_past_is_not_found_in_another() {
    let settings = shared(Limits::default());
    let of = |log_id| {
        let settings = RemoteSettings {
            log_id,
            ..settings.clone()
        };
        Remote::new(settings, Instant::now()).unwrap()
    };
    let (before, after) = (of(1), of(2));
    let now = Instant::now();
    let found = session(1, 1);
    let Lookup::Unknown(Some(ticket)) = before.find(&token(1), now) else {
        panic!("nothing is kept yet");
    };
    before.keep(&token(1), Some((&found.0, &found.1)), ticket, now);
    assert!(matches!(before.find(&token(1), now), Lookup::Found(..)));
    assert!(matches!(after.find(&token(1), now), Lookup::Unknown(_)));
}
