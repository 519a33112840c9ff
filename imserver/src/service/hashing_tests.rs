use argon2::{PasswordHasher, PasswordVerifier};
use crossbeam_channel::{Receiver, bounded};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_password_verifies_against_its_own_hash_only() {
    let mut hashing = Hashing::default();
    let hash = hashing.hash("correct horse").unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(hashing.verify("correct horse", &hash));
    assert!(!hashing.verify("correct horsf", &hash));
    assert!(!hashing.verify("correct horse", "not a hash"));
}

#[test]
fn the_hashes_are_those_of_the_library() {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap();
    let library = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hashing = Hashing::default();
    let own = hashing.hash("correct horse").unwrap();
    let parsed = PasswordHash::new(&own).unwrap();
    assert!(library.verify_password(b"correct horse", &parsed).is_ok());
    let salt = SaltString::encode_b64(&[7; SALT_BYTES]).unwrap();
    let theirs = library.hash_password(b"staple", &salt).unwrap().to_string();
    assert!(hashing.verify("staple", &theirs));
    // What the memory holds of one password means nothing to the next.
    assert!(hashing.verify("correct horse", &own) && !hashing.verify("staple", &own));
}

#[test]
fn nobodys_password_costs_what_others_do() {
    let (params, salt, hash) = parse(NOBODYS).unwrap();
    assert_eq!((params.m_cost(), params.t_cost()), (MEMORY_KIB, PASSES));
    let mut buffer = [0; Salt::MAX_LENGTH];
    assert_eq!(salt.decode_b64(&mut buffer).unwrap().len(), SALT_BYTES);
    assert_eq!(hash.len(), Params::DEFAULT_OUTPUT_LEN);
}

/// Submits a password of nobody; where the outcome comes.
fn submit(handle: &HasherHandle, source: u64, until: Instant) -> Receiver<Hashed> {
    let (sender, receiver) = bounded(1);
    handle.submit(HashJob {
        password: "nobody's password".into(),
        what: What::Verify(None),
        source,
        until,
        then: Box::new(move |hashed| sender.send(hashed).unwrap()),
    });
    receiver
}

#[test]
fn an_unknown_user_never_matches() {
    let (hasher, handle) = Hasher::start(1, 4, Arc::new(Metrics::new(1, 1))).unwrap();
    let hashed = submit(&handle, 1, Instant::now() + PATIENCE);
    assert!(matches!(hashed.recv().unwrap(), Hashed::Differs));
    drop(handle);
    hasher.end();
}

#[test]
fn a_storm_from_one_place_leaves_room_for_others() {
    let (hasher, handle) = Hasher::start(1, 8, Arc::new(Metrics::new(1, 1))).unwrap();
    let until = Instant::now() + PATIENCE;
    let storm: Vec<_> = (0..40).map(|_| submit(&handle, 1, until)).collect();
    let honest = submit(&handle, 2, until);
    assert!(matches!(honest.recv().unwrap(), Hashed::Differs));
    let before = storm.iter().filter(|hashed| !hashed.is_empty()).count();
    let hashed = storm
        .iter()
        .filter(|outcome| matches!(outcome.recv().unwrap(), Hashed::Differs))
        .count();
    assert!(before > 40 - hashed, "some of the storm were served, too");
    assert!((4..=8).contains(&hashed), "{hashed} of the storm");
    hasher.end();
}

#[test]
fn who_cannot_be_served_in_time_is_told_at_once() {
    let (hasher, handle) = Hasher::start(1, 64, Arc::new(Metrics::new(1, 1))).unwrap();
    let hashed = submit(&handle, 1, Instant::now());
    assert!(matches!(hashed.try_recv().unwrap(), Hashed::Busy(wait) if wait > Duration::ZERO));
    hasher.end();
}

#[test]
fn what_is_expected_counts_the_turns_of_others() {
    let line = Line {
        threads: 2,
        waiting: Mutex::default(),
        hash_nanos: AtomicU64::new(1_000_000),
        metrics: Arc::new(Metrics::new(1, 1)),
    };
    let millis = |source| line.expected(source).as_millis();
    assert_eq!(millis(1), 2, "the one that may be under way, and its own");
    for _ in 0..10 {
        line.enter(1);
    }
    assert_eq!((millis(1), millis(2)), (7, 3));
    line.enter(2);
    assert_eq!((millis(1), millis(2)), (8, 4));
    for _ in 0..10 {
        line.leave(1);
    }
    line.leave(2);
    assert_eq!((millis(1), line.waiting.lock().len()), (2, 0));
    line.measured(Duration::from_millis(9));
    assert_eq!(millis(1), 4);
}

#[test]
fn the_end_waits_for_no_queue() {
    let (hasher, handle) = Hasher::start(1, 64, Arc::new(Metrics::new(1, 1))).unwrap();
    let until = Instant::now() + PATIENCE;
    let outcomes: Vec<_> = (0..60).map(|source| submit(&handle, source, until)).collect();
    hasher.end();
    let served = outcomes
        .iter()
        .filter(|outcome| matches!(outcome.recv().unwrap(), Hashed::Differs))
        .count();
    assert!(served < 60, "{served}");
}

#[test]
fn a_password_matches_however_its_letters_are_composed() {
    let (hasher, handle) = Hasher::start(1, 4, Arc::new(Metrics::new(1, 1))).unwrap();
    let run = |password: &str, what: What| {
        let (sender, receiver) = bounded(1);
        handle.submit(HashJob {
            password: password.into(),
            what,
            source: 1,
            until: Instant::now() + PATIENCE,
            then: Box::new(move |hashed| sender.send(hashed).unwrap()),
        });
        receiver.recv().unwrap()
    };
    let (composed, decomposed) = ("gr\u{fc}ezi mitenand", "gru\u{308}ezi mitenand");
    for first in [composed, decomposed] {
        let Hashed::Hash(hash) = run(first, What::Hash) else {
            panic!("no hash");
        };
        for again in [composed, decomposed] {
            assert!(matches!(
                run(again, What::Verify(Some(hash.clone()))),
                Hashed::Matches
            ));
        }
        assert!(matches!(
            run("gruezi mitenand", What::Verify(Some(hash))),
            Hashed::Differs
        ));
    }
    // One that was hashed as it came, before passwords had one form.
    let old = Hashing::default().hash(decomposed).unwrap();
    assert!(matches!(
        run(decomposed, What::Verify(Some(old))),
        Hashed::Matches
    ));
    drop(handle);
    hasher.end();
}
