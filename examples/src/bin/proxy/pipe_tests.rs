//! One direction in the test's own time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A pipe with these bytes, and the time they arrived.
fn pipe(bytes: &'static [u8]) -> (Pipe, Instant) {
    let mut pipe = Pipe::default();
    let now = Instant::now();
    pipe.push(now, Bytes::from_static(bytes));
    (pipe, now)
}

/// Passes on whatever may go.
fn drain(pipe: &mut Pipe, now: Instant, faults: &Faults) -> (Vec<u8>, Next) {
    let mut gone = Vec::new();
    loop {
        match pipe.next(now, faults) {
            Next::Piece(piece) => {
                gone.extend_from_slice(&piece);
                pipe.passed(piece.len(), now, faults);
            }
            other => return (gone, other),
        }
    }
}

#[test]
fn without_faults_everything_goes_at_once_and_the_end_behind_it() {
    let (mut pipe, now) = pipe(b"hello");
    pipe.push(now, vec![7; 3 * PIECE_BYTES_MAX].into());
    assert_eq!(pipe.held_bytes(), 5 + 3 * PIECE_BYTES_MAX);
    let (gone, next) = drain(&mut pipe, now, &Faults::default());
    assert_eq!((gone.len(), next), (5 + 3 * PIECE_BYTES_MAX, Next::Idle));
    assert_eq!(pipe.held_bytes(), 0);
    pipe.end(now);
    assert_eq!(pipe.next(now, &Faults::default()), Next::End);
}

#[test]
fn a_piece_that_was_not_taken_is_offered_again() {
    let (mut pipe, now) = pipe(b"hello");
    let faults = Faults::default();
    assert_eq!(pipe.next(now, &faults), Next::Piece(Bytes::from_static(b"hello")));
    pipe.passed(2, now, &faults);
    assert_eq!(pipe.next(now, &faults), Next::Piece(Bytes::from_static(b"llo")));
}

#[test]
fn a_delay_holds_bytes_and_end_as_long_as_it_says() {
    let (mut pipe, now) = pipe(b"hello");
    pipe.end(now + SECOND);
    let faults = Faults {
        delay: 3 * SECOND,
        ..Faults::default()
    };
    assert_eq!(pipe.next(now + SECOND, &faults), Next::Wait(2 * SECOND));
    let (gone, next) = drain(&mut pipe, now + 3 * SECOND, &faults);
    assert_eq!((&gone[..], next), (&b"hello"[..], Next::Wait(SECOND)));
    assert_eq!(pipe.next(now + 4 * SECOND, &faults), Next::End);
}

#[test]
fn a_throttle_passes_on_what_the_rate_allows() {
    let mut pipe = Pipe::default();
    let began = Instant::now();
    pipe.push(began, vec![7; 100_000].into());
    pipe.end(began);
    let faults = Faults {
        throttle: NonZeroU64::new(10_000),
        ..Faults::default()
    };
    let (mut now, mut gone) = (began, 0);
    let took = loop {
        let (bytes, next) = drain(&mut pipe, now, &faults);
        gone += bytes.len();
        let span = now - began;
        let allowed = 10_000.0 * (span + 2 * BURST).as_secs_f64();
        assert!(gone as f64 <= allowed, "{gone} bytes in {span:?}");
        match next {
            // A loop wakes later than it was asked to.
            Next::Wait(wait) => now += wait + Duration::from_millis(30),
            Next::End => break span,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(gone, 100_000);
    assert!(
        took < 11 * SECOND,
        "what waking late costs is caught up: {took:?}"
    );
}

#[test]
fn even_the_slowest_throttle_passes_on_single_bytes() {
    let (mut pipe, now) = pipe(b"ab");
    let faults = Faults {
        throttle: NonZeroU64::new(1),
        ..Faults::default()
    };
    let (gone, next) = drain(&mut pipe, now, &faults);
    assert_eq!((&gone[..], next), (&b"a"[..], Next::Wait(SECOND)));
    assert_eq!(drain(&mut pipe, now + SECOND, &faults).0, b"b");
}

#[test]
fn a_cut_comes_behind_so_many_bytes_exactly() {
    let (mut pipe, now) = pipe(b"hello");
    let faults = Faults {
        cut_after: Some(7),
        ..Faults::default()
    };
    assert_eq!(drain(&mut pipe, now, &faults).1, Next::Idle);
    pipe.push(now, Bytes::from_static(b"world"));
    let (gone, next) = drain(&mut pipe, now, &faults);
    assert_eq!((&gone[..], next), (&b"wo"[..], Next::Cut));
}

#[test]
fn a_black_hole_lets_nothing_through_until_it_ends() {
    let (mut pipe, now) = pipe(b"hello");
    pipe.end(now);
    let faults = Faults {
        black_hole: true,
        cut_after: Some(0),
        ..Faults::default()
    };
    assert_eq!(pipe.next(now + SECOND, &faults), Next::Idle);
    let (gone, next) = drain(&mut pipe, now + SECOND, &Faults::default());
    assert_eq!((&gone[..], next), (&b"hello"[..], Next::End));
}

#[test]
fn it_is_full_at_its_limits() {
    let (mut pipe, now) = pipe(b"hello");
    assert!(!pipe.is_full());
    pipe.push(now, vec![7; HELD_BYTES_MAX - 5].into());
    assert!(pipe.is_full());
    pipe.passed(1, now, &Faults::default());
    assert!(!pipe.is_full());

    let (mut pipe, now) = pipe_of_reads(HELD_READS_MAX);
    assert!(pipe.is_full());
    pipe.passed(1, now, &Faults::default());
    assert!(!pipe.is_full());
}

fn pipe_of_reads(count: usize) -> (Pipe, Instant) {
    let (mut pipe, now) = pipe(b"x");
    for _ in 1..count {
        pipe.push(now, Bytes::from_static(b"x"));
    }
    (pipe, now)
}
