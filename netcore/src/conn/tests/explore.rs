//! All states that short inputs can reach, breadth first, with what must hold in each of them. A state is known by
//! its outline: everything the core decides by, without the times. Each is reached again from the beginning, so
//! nothing is taken from the core but what anybody can see, and its flags.

use super::*;
use std::collections::{HashSet, VecDeque};

/// What must hold in every state, whatever led to it.
pub(super) fn check<C: Codec>(core: &mut Core<C>) {
    let settings = settings();
    let marks = core.outbound(&settings);
    let (held, queued) = (core.held_bytes(), core.queued_bytes());
    let deadline = core.next_deadline(&settings);
    let open = core.phase() == Phase::Open;

    assert_eq!(core.is_idle(), held == 0 && queued == 0, "a box without content");
    assert!(
        queued <= marks.limit + marks.reply_reserve,
        "{queued} bytes queued"
    );
    let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
    assert_eq!(core.slices(&mut slices).1, queued);
    assert_eq!(core.wants_output(), queued > 0);
    assert_eq!(
        core.reason().is_some(),
        !open,
        "a reason exactly when it is ending"
    );

    assert!(open || held == 0, "input of a closing connection");
    assert!(!core.has_undecoded() || open && held > 0 && !core.is_paused());
    let reads = match core.phase() {
        Phase::Open => !core.is_paused() && !core.end_seen(),
        Phase::Lingering => !core.end_seen(),
        Phase::Flushing | Phase::Closed => false,
    };
    assert_eq!(core.wants_input(), reads);
    if open {
        let pushed_back = core.is_paused_by(Pause::Outbound);
        assert!(
            pushed_back || queued <= marks.high_water,
            "reads for a peer that does not"
        );
        assert!(
            !pushed_back || queued > marks.low_water,
            "nothing would resume reading"
        );
        assert!(
            !pushed_back || core.flags & WRITABLE_WANTED != 0,
            "nobody would resume reading"
        );
        let waits_for_us = core.is_established() && core.is_paused() && queued == 0;
        assert_eq!(
            deadline == Tick::NEVER,
            waits_for_us,
            "a peer can stay for ever, or we cannot take our time"
        );
    }
    match core.phase() {
        Phase::Open => {}
        Phase::Flushing => assert_ne!(deadline, Tick::NEVER),
        Phase::Lingering => {
            assert_ne!(deadline, Tick::NEVER);
            assert!(core.is_idle());
            assert!(!core.end_seen(), "both sides have ended");
        }
        Phase::Closed => {
            assert_eq!(deadline, Tick::NEVER);
            assert!(core.is_idle());
            assert!(core.poll_end().is_none() && !core.poll_writable() && !core.poll_shutdown(T0));
        }
    }
}

/// A core, the time, and what it has said.
struct Run {
    core: Core<Beating>,
    now: Tick,
    ends: usize,
    shutdowns: usize,
    /// As debug text, the first reason given.
    reason: Option<String>,
}

impl Run {
    fn new(marks: Outbound) -> Self {
        // Without jitter the first ping is due at once, before anything that is queued can stall.
        let mut core = Core::new(Beating, T0, 0, &settings());
        core.set_outbound(marks);
        Self {
            core,
            now: T0,
            ends: 0,
            shutdowns: 0,
            reason: None,
        }
    }

    /// Gives bytes as a reactor does: while they are wanted and nothing is left of earlier ones, frame by frame,
    /// and closes on an error.
    fn receive(&mut self, input: &[u8], frames: usize) {
        if !self.core.wants_input() || self.core.has_undecoded() {
            return;
        }
        // Half a frame is followed by its other half, so that there are few different ones.
        let rest: &[u8] = if self.core.held_bytes() > 0 { b"i" } else { b"" };
        let whole = [rest, input].concat();
        let mut input = &whole[..];
        self.core.handle_received(self.now);
        self.decode(&mut input, frames);
        assert!(input.is_empty(), "the loop's buffer is needed for others");
    }

    fn decode(&mut self, input: &mut &[u8], frames: usize) {
        for _ in 0..frames {
            let open = self.core.phase() == Phase::Open && !self.core.is_paused();
            match self.core.next_frame(&settings(), self.now, input) {
                Step::Frame(_) | Step::Beat | Step::Again => {
                    assert!(open, "a frame although nobody may have it")
                }
                Step::Idle => return,
                Step::Failed(reason) => {
                    assert!(open);
                    self.close(reason, CloseHow::Flush);
                }
            }
        }
        self.core.keep(input);
    }

    fn close(&mut self, reason: CloseReason<AnX>, how: CloseHow) {
        self.core.close(reason, how, self.now);
    }

    fn pass_deadline(&mut self) {
        let due = self.core.next_deadline(&settings());
        if due == Tick::NEVER {
            return;
        }
        self.now = self.now.max(due);
        match self.core.handle_deadline(&settings(), self.now) {
            Expiry::Close(reason) => self.close(reason, CloseHow::Flush),
            Expiry::Closed => assert_eq!(self.core.phase(), Phase::Closed),
            Expiry::Pinged => assert!(
                output(&self.core).ends_with(b"\x01?"),
                "a ping is awaited but not sent"
            ),
            Expiry::Nothing => {}
        }
        let next = self.core.next_deadline(&settings());
        assert!(next > self.now, "the same deadline again");
    }

    fn step(&mut self, input: &Input) {
        let before = self.core.phase();
        (input.1)(self);
        assert!(
            self.core.phase() as u8 >= before as u8,
            "{before:?} to {:?}: a phase never comes back",
            self.core.phase()
        );
        check(&mut self.core);
        let reason = self.core.reason().map(|reason| format!("{reason:?}"));
        if let Some(first) = &self.reason {
            assert_eq!(Some(first), reason.as_ref(), "the first reason stays");
        }
        self.reason = reason;
        assert!(self.ends <= 1 && self.shutdowns <= 1, "said twice");
    }

    /// Everything that decides what comes next, without the times.
    fn outline(&self) -> String {
        let core = &self.core;
        let inbox = core
            .inbox
            .as_ref()
            .map(|inbox| (inbox.bytes().to_vec(), inbox.is_partial()));
        format!(
            "{:?} {:b} {:b} {} {inbox:?} {}",
            core.phase,
            core.flags,
            core.pauses,
            core.writable,
            core.queued_bytes()
        )
    }
}

type Input = (&'static str, fn(&mut Run));

const INPUTS: [Input; 24] = [
    ("a frame", |run| run.receive(b"\x01a", 9)),
    ("half a frame", |run| run.receive(b"\x02h", 9)),
    ("two frames, one taken", |run| run.receive(b"\x01a\x01b", 1)),
    ("garbage", |run| run.receive(b"\x01x", 9)),
    ("a ping", |run| run.receive(b"\x01?", 9)),
    ("a pong", |run| run.receive(b"\x01!", 9)),
    ("go on decoding", |run| run.decode(&mut &b""[..], 9)),
    ("the end", |run| run.core.handle_end()),
    ("report the end", |run| {
        let waiting = run.core.has_undecoded();
        if run.core.poll_end().is_some() {
            assert!(!waiting, "a frame would come after the end");
            run.ends += 1;
        }
    }),
    ("send", |run| {
        let _ = run.core.send(&settings(), run.now, &[7; 10]);
    }),
    ("send encoded", |run| {
        let _ = run
            .core
            .send_encoded(&settings(), run.now, Bytes::from_static(&[7; 8]));
    }),
    ("reply", |run| {
        let _ = run
            .core
            .send_reply(&settings(), run.now, Bytes::from_static(&[7; 8]));
    }),
    ("send too much", |run| {
        assert!(run.core.send(&settings(), run.now, &[7; 60]).is_err());
    }),
    ("a part written", |run| {
        let part = run.core.queued_bytes().min(9);
        run.core.handle_written(&settings(), run.now, part);
    }),
    ("all written", |run| write_all(&mut run.core, run.now)),
    ("report room", |run| {
        assert!(!run.core.poll_writable() || run.core.phase() == Phase::Open);
    }),
    ("report shutdown", |run| {
        if run.core.poll_shutdown(run.now) {
            run.shutdowns += 1;
        }
    }),
    ("pause", |run| run.core.pause(Pause::Application, run.now)),
    ("resume", |run| run.core.resume(Pause::Application, run.now)),
    ("close", |run| run.close(CloseReason::Local(1), CloseHow::Flush)),
    ("close by library, with last words", |run| {
        run.close(CloseReason::Drained, CloseHow::Flush);
        run.core.allow_last_words(true);
        let _ = run.core.send(&settings(), run.now, b"bye");
        run.core.allow_last_words(false);
    }),
    ("abort", |run| run.close(CloseReason::Reset, CloseHow::Abort)),
    ("the deadline", Run::pass_deadline),
    ("established", |run| run.core.establish()),
];

fn replay(marks: Outbound, path: &[u8]) -> Run {
    let mut run = Run::new(marks);
    for index in path {
        (INPUTS[usize::from(*index)].1)(&mut run);
        run.reason = run.core.reason().map(|reason| format!("{reason:?}"));
    }
    run
}

fn names(path: &[u8]) -> Vec<&'static str> {
    path.iter().map(|index| INPUTS[usize::from(*index)].0).collect()
}

/// From anywhere, time alone ends a connection that we do not keep waiting ourselves.
fn check_that_time_ends_it(mut run: Run) {
    run.core.resume(Pause::Application, run.now);
    for _ in 0..10 {
        run.pass_deadline();
        run.core.poll_shutdown(run.now);
        if run.core.phase() == Phase::Closed {
            return;
        }
    }
    panic!("still {:?} after ten deadlines", run.core.phase());
}

/// Explores everything; returns how many states there are.
fn explore(marks: Outbound) -> usize {
    let mut known: HashSet<String> = HashSet::new();
    let mut next = VecDeque::from([Vec::new()]);
    let mut phases = HashSet::new();
    known.insert(Run::new(marks).outline());
    while let Some(path) = next.pop_front() {
        phases.insert(replay(marks, &path).core.phase());
        for index in 0..INPUTS.len() as u8 {
            let longer = [&path[..], &[index]].concat();
            let checked = std::panic::catch_unwind(|| {
                let mut run = replay(marks, &path);
                run.step(&INPUTS[usize::from(index)]);
                let outline = run.outline();
                check_that_time_ends_it(run);
                outline
            });
            let outline = checked.unwrap_or_else(|_| panic!("with {marks:?} after {:?}", names(&longer)));
            if known.insert(outline) {
                next.push_back(longer);
                assert!(known.len() < 50_000, "something grows without end");
            }
        }
    }
    assert_eq!(phases.len(), 4);
    known.len()
}

// A broken exploration would find next to nothing, and hold every promise: hence the numbers.

#[test]
fn nothing_that_can_be_reached_breaks_a_promise() {
    let states = explore(settings().outbound);
    assert!(states > 10_000, "{states} states");
}

#[test]
fn nor_with_marks_that_leave_no_room_between_them() {
    let marks = Outbound {
        low_water: 10,
        high_water: 10,
        limit: 10,
        reply_reserve: 0,
        ..Outbound::default()
    };
    let states = explore(marks);
    assert!(states > 1000, "{states} states");
}
