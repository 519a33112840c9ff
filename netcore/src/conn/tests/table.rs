//! The state machine as a table, written by hand: every kind of state a connection can be in, against every input
//! it can get. A word says what comes out; `>F`, `>L` and `>C` behind it that the connection is flushing,
//! lingering or closed thereafter. Without that its phase stays.
//!
//! | word | meaning |
//! |---|---|
//! | `-` | nothing at all |
//! | `frame`, `fail`, `gone`, `held` | what became of bytes: a frame, an error, discarded, kept |
//! | `beat`, `pong` | a pong swallowed, a ping answered |
//! | `end`, `torn` | the end of input is reported: between frames, within one |
//! | `ok`, `high`, `full`, `enc`, `no` | a send: queued, queued above high water, refused for the limit, for the codec, for the end |
//! | `room` | the application is told that there is room |
//! | `fin` | our side of the socket is to be shut down |
//! | `ping`, `late` | a deadline passed: a ping is queued, the connection is to be closed |
//! | `read`, `stop` | reading goes on, reading stops |
//! | `est` | the handshake is over |

use super::*;

type Make = fn() -> Core<Beating>;
type Input = fn(&mut Core<Beating>) -> &'static str;

fn made(steps: impl FnOnce(&mut Core<Beating>)) -> Core<Beating> {
    let mut core = core();
    steps(&mut core);
    core
}

fn bytes(core: &mut Core<Beating>, input: &[u8]) {
    assert!(frames(core, T0, input).is_empty());
}

fn queue(core: &mut Core<Beating>, count: usize) {
    core.send_encoded(&settings(), T0, Bytes::from(vec![7; count]))
        .unwrap();
}

fn flush(core: &mut Core<Beating>, reason: CloseReason<AnX>) {
    core.close(reason, CloseHow::Flush, T0);
}

/// While open, in the order of the columns of [`OPEN`].
const OPEN_STATES: [(&str, Make); 14] = [
    ("new", || Core::new(Beating, T0, u16::MAX, &settings())),
    ("idle", core),
    ("partial", || made(|core| bytes(core, b"\x05h"))),
    ("waiting", || made(|core| core.keep(&mut &b"\x01w"[..]))),
    ("queued", || made(|core| queue(core, 12))),
    ("refused", || {
        made(|core| {
            queue(core, 12);
            assert!(core.send(&settings(), T0, &[7; 20]).is_err());
        })
    }),
    ("high", || made(|core| queue(core, 21))),
    ("pinged", || {
        made(|core| {
            assert!(matches!(
                core.handle_deadline(&settings(), T0.after(Ticks(100))),
                Expiry::Pinged
            ));
            write_all(core, T0.after(Ticks(100)));
        })
    }),
    ("app", || made(|core| core.pause(Pause::Application, T0))),
    ("worker+held", || {
        made(|core| {
            core.pause(Pause::Workers, T0);
            bytes(core, b"\x01w");
        })
    }),
    ("app+worker", || {
        made(|core| {
            core.pause(Pause::Application, T0);
            core.pause(Pause::Workers, T0);
        })
    }),
    ("ended", || {
        made(|core| {
            core.handle_end();
            assert_eq!(core.poll_end(), Some(Ending::Clean));
        })
    }),
    ("ended+held", || {
        made(|core| {
            core.keep(&mut &b"\x01w"[..]);
            core.handle_end();
            assert_eq!(core.poll_end(), None);
        })
    }),
    ("ended+app", || {
        made(|core| {
            core.pause(Pause::Application, T0);
            core.handle_end();
            assert_eq!(core.poll_end(), None);
        })
    }),
];

/// On the way out, in the order of the columns of [`CLOSING`].
const CLOSING_STATES: [(&str, Make); 9] = [
    ("flushing", || {
        made(|core| {
            queue(core, 12);
            flush(core, CloseReason::Local(7));
        })
    }),
    ("high", || {
        made(|core| {
            queue(core, 21);
            flush(core, CloseReason::Local(7));
        })
    }),
    ("library", || {
        made(|core| {
            queue(core, 12);
            flush(core, CloseReason::IdleTimeout);
        })
    }),
    ("words", || {
        made(|core| {
            flush(core, CloseReason::IdleTimeout);
            core.allow_last_words(true);
        })
    }),
    ("ended", || {
        made(|core| {
            queue(core, 12);
            core.handle_end();
            flush(core, CloseReason::Eof);
        })
    }),
    ("flushed", || made(|core| flush(core, CloseReason::Local(7)))),
    ("lingering", || {
        made(|core| {
            flush(core, CloseReason::Local(7));
            assert!(core.poll_shutdown(T0));
        })
    }),
    ("ling-lib", || {
        made(|core| {
            flush(core, CloseReason::IdleTimeout);
            assert!(core.poll_shutdown(T0));
        })
    }),
    ("closed", || {
        made(|core| core.close(CloseReason::Local(7), CloseHow::Abort, T0))
    }),
];

fn receive(core: &mut Core<Beating>, mut input: &[u8]) -> &'static str {
    let queued = core.queued_bytes();
    let held = core.held_bytes();
    let word = match core.next_frame(&settings(), T0, &mut input) {
        Step::Frame(_) => "frame",
        Step::Beat if core.queued_bytes() > queued => "pong",
        Step::Beat | Step::Again => "beat",
        Step::Failed(reason) => {
            assert!(matches!(reason, CloseReason::Protocol(AnX)));
            "fail"
        }
        Step::Idle if core.held_bytes() > held => "held",
        // More of what is held already, within the memory that is there.
        Step::Idle if core.held_bytes() > 0 => "held",
        Step::Idle => "gone",
    };
    assert!(input.is_empty() || !matches!(word, "held" | "gone"));
    core.keep(&mut input);
    word
}

const fn sent(result: Result<Queued, SendError>) -> &'static str {
    match result {
        Ok(Queued::Buffered) => "ok",
        Ok(Queued::AboveHighWater) => "high",
        Err(SendError::Full) => "full",
        Err(SendError::Encode) => "enc",
        Err(SendError::Closing) => "no",
    }
}

fn written(core: &mut Core<Beating>, count: usize) -> &'static str {
    core.handle_written(&settings(), T0, count);
    let said = if core.poll_writable() { "room" } else { "-" };
    assert!(!core.poll_writable());
    if core.poll_shutdown(T0) {
        assert!(!core.poll_shutdown(T0) && said == "-");
        return "fin";
    }
    said
}

fn reading(core: &mut Core<Beating>, change: impl FnOnce(&mut Core<Beating>)) -> &'static str {
    let before = core.wants_input() || core.has_undecoded();
    change(core);
    match (before, core.wants_input() || core.has_undecoded()) {
        (true, false) => "stop",
        (false, true) => "read",
        _ => "-",
    }
}

fn closed(core: &mut Core<Beating>, reason: CloseReason<AnX>, how: CloseHow) -> &'static str {
    let kept = core.reason().map(CloseReason::initiator);
    let new = reason.initiator();
    core.close(reason, how, T0);
    assert_eq!(core.held_bytes(), 0);
    assert_eq!(
        core.reason().map(CloseReason::initiator),
        Some(kept.unwrap_or(new)),
        "the first reason stays"
    );
    "-"
}

fn end(core: &mut Core<Beating>) -> &'static str {
    core.handle_end();
    let word = match core.poll_end() {
        None => "-",
        Some(Ending::Clean) => "end",
        Some(Ending::Truncated { have }) => {
            assert_eq!(have, 2);
            "torn"
        }
    };
    assert!(core.end_seen() && !core.wants_input() && core.poll_end().is_none());
    word
}

fn deadline(core: &mut Core<Beating>) -> &'static str {
    let due = core.next_deadline(&settings());
    if due == Tick::NEVER {
        return "-";
    }
    let early = core.handle_deadline(&settings(), Tick(due.0 - 1));
    assert!(matches!(early, Expiry::Nothing));
    match core.handle_deadline(&settings(), due) {
        Expiry::Nothing => "-",
        Expiry::Pinged => {
            assert!(output(core).ends_with(b"\x01?"));
            "ping"
        }
        Expiry::Close(_) => "late",
        Expiry::Closed => "gone",
    }
}

fn establish(core: &mut Core<Beating>) -> &'static str {
    let before = core.is_established();
    core.establish();
    assert!(core.is_established());
    if before { "-" } else { "est" }
}

/// In the order of the rows of [`OPEN`] and [`CLOSING`].
const INPUTS: [(&str, Input); 26] = [
    ("a frame", |core| receive(core, b"\x01a")),
    ("half a frame", |core| receive(core, b"\x05h")),
    ("garbage", |core| receive(core, b"\x01x")),
    ("a ping", |core| receive(core, b"\x01?")),
    ("a pong", |core| receive(core, b"\x01!")),
    ("nothing new", |core| receive(core, b"")),
    ("the end", end),
    ("send 2", |core| sent(core.send(&settings(), T0, b"a"))),
    ("send 2 encoded", |core| {
        sent(core.send_encoded(&settings(), T0, Bytes::from("\x01a")))
    }),
    ("send 2 as reply", |core| {
        sent(core.send_reply(&settings(), T0, Bytes::from("\x01a")))
    }),
    ("send 16 encoded", |core| {
        sent(core.send_encoded(&settings(), T0, Bytes::from(vec![7; 16])))
    }),
    ("send 31", |core| sent(core.send(&settings(), T0, &[7; 30]))),
    ("reply 24", |core| {
        sent(core.send_reply(&settings(), T0, Bytes::from(vec![7; 24])))
    }),
    ("send an x", |core| sent(core.send(&settings(), T0, b"x"))),
    ("1 written", |core| written(core, 1)),
    ("all written", |core| written(core, core.queued_bytes())),
    ("pause app", |core| {
        reading(core, |core| core.pause(Pause::Application, T0))
    }),
    ("pause workers", |core| {
        reading(core, |core| core.pause(Pause::Workers, T0))
    }),
    ("resume app", |core| {
        reading(core, |core| core.resume(Pause::Application, T0))
    }),
    ("resume workers", |core| {
        reading(core, |core| core.resume(Pause::Workers, T0))
    }),
    ("flush", |core| {
        closed(core, CloseReason::Local(8), CloseHow::Flush)
    }),
    ("flush, library", |core| {
        closed(core, CloseReason::PongTimeout, CloseHow::Flush)
    }),
    ("abort", |core| closed(core, CloseReason::Reset, CloseHow::Abort)),
    ("the deadline", deadline),
    ("established", establish),
    ("last words", |core| {
        core.allow_last_words(true);
        let word = sent(core.send(&settings(), T0, b"a"));
        core.allow_last_words(false);
        word
    }),
];

fn actual(make: Make, input: Input) -> String {
    let mut core = make();
    let before = core.phase();
    let word = input(&mut core);
    explore::check(&mut core);
    let after = match core.phase() {
        phase if phase == before => "",
        Phase::Open => ">O",
        Phase::Flushing => ">F",
        Phase::Lingering => ">L",
        Phase::Closed => ">C",
    };
    format!("{word}{after}")
}

fn check_table(states: &[(&str, Make)], table: &str) {
    let mut rows = table.lines().map(str::trim).filter(|row| !row.is_empty());
    let heading: Vec<_> = rows.next().unwrap().split('|').map(str::trim).skip(1).collect();
    let names: Vec<_> = states.iter().map(|(name, _)| *name).collect();
    assert_eq!(heading, names);
    let mut differences = Vec::new();
    for (name, input) in INPUTS {
        let row: Vec<_> = rows.next().unwrap().split('|').map(str::trim).collect();
        assert_eq!((row[0], row.len() - 1), (name, states.len()), "the row of {name}");
        for ((state, make), expected) in states.iter().zip(&row[1..]) {
            let found = actual(*make, input);
            if found != *expected {
                differences.push(format!("{name} in {state}: {found}, not {expected}"));
            }
        }
    }
    assert_eq!(rows.next(), None);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn every_input_while_open() {
    check_table(&OPEN_STATES, OPEN);
}

#[test]
fn every_input_while_closing() {
    check_table(&CLOSING_STATES, CLOSING);
}

// "waiting" and "ended+held" hold a whole frame, which comes out before what arrives. The deadline of "new" is the
// handshake's; that of "queued" and "refused" the stall, of "high", too, although reading is paused; "app" and its
// kin wait for us, and nothing can be late.
const OPEN: &str = "
    state           | new   | idle  | partial | waiting | queued | refused | high  | pinged | app  | worker+held | app+worker | ended | ended+held | ended+app
    a frame         | frame | frame | held    | frame   | frame  | frame   | held  | frame  | held | held        | held       | frame | frame      | held
    half a frame    | held  | held  | held    | frame   | held   | held    | held  | held   | held | held        | held       | held  | frame      | held
    garbage         | fail  | fail  | held    | frame   | fail   | fail    | held  | fail   | held | held        | held       | fail  | frame      | held
    a ping          | pong  | pong  | held    | frame   | pong   | pong    | held  | pong   | held | held        | held       | pong  | frame      | held
    a pong          | beat  | beat  | held    | frame   | beat   | beat    | held  | beat   | held | held        | held       | beat  | frame      | held
    nothing new     | gone  | gone  | held    | frame   | gone   | gone    | gone  | gone   | gone | held        | gone       | gone  | frame      | gone
    the end         | end   | end   | torn    | -       | end    | end     | -     | end    | -    | -           | -          | -     | -          | -
    send 2          | ok    | ok    | ok      | ok      | ok     | ok      | high  | ok     | ok   | ok          | ok         | ok    | ok         | ok
    send 2 encoded  | ok    | ok    | ok      | ok      | ok     | ok      | high  | ok     | ok   | ok          | ok         | ok    | ok         | ok
    send 2 as reply | ok    | ok    | ok      | ok      | ok     | ok      | high  | ok     | ok   | ok          | ok         | ok    | ok         | ok
    send 16 encoded | ok    | ok    | ok      | ok      | high   | high    | full  | ok     | ok   | ok          | ok         | ok    | ok         | ok
    send 31         | full  | full  | full    | full    | full   | full    | full  | full   | full | full        | full       | full  | full       | full
    reply 24        | high  | high  | high    | high    | high   | high    | full  | high   | high | high        | high       | high  | high       | high
    send an x       | enc   | enc   | enc     | enc     | enc    | enc     | enc   | enc    | enc  | enc         | enc        | enc   | enc        | enc
    1 written       | -     | -     | -       | -       | -      | -       | -     | -      | -    | -           | -          | -     | -          | -
    all written     | -     | -     | -       | -       | -      | room    | room  | -      | -    | -           | -          | -     | -          | -
    pause app       | stop  | stop  | stop    | stop    | stop   | stop    | -     | stop   | -    | -           | -          | -     | stop       | -
    pause workers   | stop  | stop  | stop    | stop    | stop   | stop    | -     | stop   | -    | -           | -          | -     | stop       | -
    resume app      | -     | -     | -       | -       | -      | -       | -     | -      | read | -           | -          | -     | -          | -
    resume workers  | -     | -     | -       | -       | -      | -       | -     | -      | -    | read        | -          | -     | -          | -
    flush           | ->F   | ->F   | ->F     | ->F     | ->F    | ->F     | ->F   | ->F    | ->F  | ->F         | ->F        | ->F   | ->F        | ->F
    flush, library  | ->F   | ->F   | ->F     | ->F     | ->F    | ->F     | ->F   | ->F    | ->F  | ->F         | ->F        | ->F   | ->F        | ->F
    abort           | ->C   | ->C   | ->C     | ->C     | ->C    | ->C     | ->C   | ->C    | ->C  | ->C         | ->C        | ->C   | ->C        | ->C
    the deadline    | late  | ping  | late    | ping    | late   | late    | late  | late   | -    | -           | -          | late  | late       | -
    established     | est   | -     | -       | -       | -      | -       | -     | -      | -    | -           | -          | -     | -          | -
    last words      | ok    | ok    | ok      | ok      | ok     | ok      | high  | ok     | ok   | ok          | ok         | ok    | ok         | ok
";

// While closing all input is discarded and pauses mean nothing.
const CLOSING: &str = "
    state           | flushing | high   | library | words  | ended  | flushed | lingering | ling-lib | closed
    a frame         | gone     | gone   | gone    | gone   | gone   | gone    | gone      | gone     | gone
    half a frame    | gone     | gone   | gone    | gone   | gone   | gone    | gone      | gone     | gone
    garbage         | gone     | gone   | gone    | gone   | gone   | gone    | gone      | gone     | gone
    a ping          | gone     | gone   | gone    | gone   | gone   | gone    | gone      | gone     | gone
    a pong          | gone     | gone   | gone    | gone   | gone   | gone    | gone      | gone     | gone
    nothing new     | gone     | gone   | gone    | gone   | gone   | gone    | gone      | gone     | gone
    the end         | -        | -      | -       | -      | -      | -       | ->C       | ->C      | -
    send 2          | no       | no     | no      | ok     | no     | no      | no        | no       | no
    send 2 encoded  | no       | no     | no      | ok     | no     | no      | no        | no       | no
    send 2 as reply | no       | no     | no      | ok     | no     | no      | no        | no       | no
    send 16 encoded | no       | no     | no      | ok     | no     | no      | no        | no       | no
    send 31         | no       | no     | no      | full   | no     | no      | no        | no       | no
    reply 24        | no       | no     | no      | high   | no     | no      | no        | no       | no
    send an x       | no       | no     | no      | enc    | no     | no      | no        | no       | no
    1 written       | -        | -      | -       | fin>L  | -      | fin>L   | -         | -        | -
    all written     | fin>L    | fin>L  | fin>L   | fin>L  | fin>C  | fin>L   | -         | -        | -
    pause app       | -        | -      | -       | -      | -      | -       | -         | -        | -
    pause workers   | -        | -      | -       | -      | -      | -       | -         | -        | -
    resume app      | -        | -      | -       | -      | -      | -       | -         | -        | -
    resume workers  | -        | -      | -       | -      | -      | -       | -         | -        | -
    flush           | -        | -      | -       | -      | -      | -       | -         | -        | -
    flush, library  | -        | -      | -       | -      | -      | -       | -         | -        | -
    abort           | ->C      | ->C    | ->C     | ->C    | ->C    | ->C     | ->C       | ->C      | -
    the deadline    | gone>C   | gone>C | gone>C  | gone>C | gone>C | gone>C  | gone>C    | gone>C   | -
    established     | -        | -      | -       | -      | -      | -       | -         | -        | -
    last words      | ok       | high   | ok      | ok     | ok     | ok      | no        | no       | no
";
