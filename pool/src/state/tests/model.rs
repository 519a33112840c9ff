//! Random courses of events against a reference that knows only which caller has which connection, in virtual time.

use super::super::super::settings::REPLACEMENTS_MAX;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug)]
enum Step {
    Get,
    GiveBack(usize, Verdict),
    Detach(usize),
    GiveUp(usize),
    AskConnect,
    ConnectEnds(Result<(), (&'static str, bool)>),
    ConnectPanics,
    AskCheck,
    CheckEnds(bool),
    PassBy,
    Tick,
    Pass(u64),
    Leap,
    Pause,
    Resume,
    RetireAll,
    SetMax(u32),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        8 => Just(Verdict::Good),
        1 => Just(Verdict::Dirty),
        1 => Just(Verdict::Bad(CloseReason::Broken)),
        1 => Just(Verdict::Bad(CloseReason::Tainted)),
    ];
    let result = prop_oneof![
        6 => Just(Ok(())),
        1 => Just(Err(("down", false))),
        1 => Just(Err(("wrong password", true))),
    ];
    prop_oneof![
        12 => Just(Step::Get),
        10 => (any::<usize>(), verdict).prop_map(|(place, verdict)| Step::GiveBack(place, verdict)),
        1 => any::<usize>().prop_map(Step::Detach),
        2 => any::<usize>().prop_map(Step::GiveUp),
        8 => Just(Step::AskConnect),
        8 => result.prop_map(Step::ConnectEnds),
        1 => Just(Step::ConnectPanics),
        6 => Just(Step::AskCheck),
        6 => prop::bool::weighted(0.8).prop_map(Step::CheckEnds),
        1 => Just(Step::PassBy),
        3 => Just(Step::Tick),
        6 => prop_oneof![0..20_u64, 400..700_u64, 1_000..40_000_u64].prop_map(Step::Pass),
        1 => Just(Step::Leap),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::RetireAll),
        1 => (1..6_u32).prop_map(Step::SetMax),
        // Rare enough that long courses are seen too.
        1 => prop::bool::weighted(0.2).prop_map(|end| if end { Step::Close } else { Step::Tick }),
    ]
}

fn sizes() -> impl Strategy<Value = PoolSettings> {
    let second = Duration::from_secs(1);
    (1..6_u32, prop::option::of(0..6_u32), 1..9_u32, any::<bool>()).prop_map(
        move |(max, min_idle, waiting_max, tests_always)| PoolSettings {
            max,
            min_idle: min_idle.map(|idle| idle.min(max)),
            waiting_max,
            validate_after_idle: if tests_always { Duration::ZERO } else { ms(500) },
            max_lifetime: Some(second * 60),
            idle_timeout: Some(second * 40),
            keepalive: Some(second * 20),
            leak_after: Some(second * 30),
            ..PoolSettings::default()
        },
    )
}

/// Which caller has which connection, by number, as far as can be seen from outside.
#[derive(Default)]
struct Reference {
    /// The most recently given back last.
    idle: Vec<u32>,
    /// Known to work since the last suspicion.
    trusted: BTreeSet<u32>,
    paused: bool,
    closed: bool,
    max: u32,
}

impl Reference {
    /// Compares everything that can be seen with what is allowed, and learns what is idle now.
    fn look(&mut self, world: &World) -> Result<(), TestCaseError> {
        let state = &world.state;
        let status = state.status();
        let leased: Vec<u32> = world.leases.iter().map(|conn| conn.inner).collect();
        let checked = world
            .checks
            .iter()
            .chain(&state.checks)
            .map(|check| check.conn.inner);
        let checking: Vec<u32> = checked.collect();
        let idle = world.idle();

        // Every connection is in one place, and none is lost.
        prop_assert_eq!(status.idle as usize, idle.len());
        prop_assert_eq!(status.leased as usize, leased.len());
        prop_assert_eq!(status.checking as usize, checking.len());
        prop_assert_eq!(status.connecting as usize, world.attempts.len());
        prop_assert_eq!(status.waiting as usize, world.waiting.len());
        prop_assert_eq!(status.total, status.idle + status.leased + status.checking);
        let everywhere = idle.iter().chain(&leased).chain(&checking).chain(&world.closed);
        let mut numbers: Vec<u32> = everywhere.copied().collect();
        numbers.sort_unstable();
        prop_assert_eq!(numbers, (0..world.opened).collect::<Vec<_>>());
        let mut slots: Vec<u32> = world.leases.iter().map(|conn| conn.meta.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        prop_assert_eq!(slots.len(), leased.len());
        let recorded = state.records.iter().flatten().count();
        prop_assert_eq!(recorded, leased.len());

        // There are never too many; a smaller maximum waits for those in use.
        let surplus = status.total.saturating_sub(self.max);
        prop_assert!(surplus <= REPLACEMENTS_MAX || idle.is_empty(), "{status}");

        // No caller waits while a connection lies ready.
        if !self.paused && !world.waiting.is_empty() {
            let ready = state.idle.back().is_some_and(|top| {
                state.fresh(top, world.now) && state.outlived(&top.conn.meta, world.now).is_none()
            });
            prop_assert!(!ready, "somebody waits beside a connection: {status}");
            let helped = status.checking >= status.waiting || idle.is_empty();
            prop_assert!(helped, "somebody waits beside an untested connection: {status}");
        }
        if self.closed {
            prop_assert_eq!((status.idle, status.waiting), (0, 0));
        }
        self.idle = idle;
        Ok(())
    }
}

fn take(world: &mut World, reference: &mut Reference, step: Step) -> Result<(), TestCaseError> {
    let leases_before = world.leases.len();
    let some = |place: usize, length: usize| (length > 0).then(|| place % length.max(1));
    match step {
        Step::Get => {
            let waited_for = world.waiting.len();
            if let Some(number) = world.get() {
                prop_assert_eq!(waited_for, 0, "overtaken");
                prop_assert!(!reference.paused && !reference.closed);
                prop_assert_eq!(Some(&number), reference.idle.last());
                prop_assert!(reference.trusted.contains(&number), "suspect and not tested");
            }
        }
        Step::GiveBack(place, verdict) => {
            let Some(place) = some(place, leases_before) else {
                return Ok(());
            };
            if verdict == Verdict::Bad(CloseReason::Broken) {
                reference.trusted.clear();
            }
            world.give_back(place, verdict);
        }
        Step::Detach(place) => {
            let Some(place) = some(place, leases_before) else {
                return Ok(());
            };
            let conn = world.leases.remove(place);
            let number = world.state.detach(conn, world.now);
            world.closed.push(number);
            world.collect();
        }
        Step::GiveUp(place) => {
            let Some(place) = some(place, world.waiting.len()) else {
                return Ok(());
            };
            let (_, ticket) = world.waiting.remove(place).expect("a caller");
            prop_assert!(world.state.give_up(ticket, world.now).is_some());
        }
        Step::AskConnect => {
            if world.ask_connect().is_none() {
                prop_assert!(!reference.paused && !reference.closed);
                let probing = world.state.failures > 0;
                let status = world.state.status();
                prop_assert!(
                    status.total + status.connecting <= reference.max + REPLACEMENTS_MAX,
                    "{}",
                    status
                );
                prop_assert!(!probing || world.attempts.len() == 1, "more than one probe");
            }
        }
        Step::ConnectEnds(result) if !world.attempts.is_empty() => {
            if result.is_ok() && world.attempts[0].suspicion == world.state.suspicion {
                reference.trusted.insert(world.opened);
            }
            world.connect_ends(result);
        }
        Step::ConnectPanics if !world.attempts.is_empty() => {
            world.attempts.pop_front();
            world.state.connect_failed(None, 1000, world.now);
            world.collect();
        }
        Step::AskCheck => {
            world.ask_check();
        }
        Step::CheckEnds(passed) if !world.checks.is_empty() => {
            let check = &world.checks[0];
            if !passed {
                reference.trusted.clear();
            } else if check.suspicion == world.state.suspicion {
                reference.trusted.insert(check.conn.inner);
            }
            world.check_ends(passed);
        }
        Step::PassBy => {
            world.state.passed_by(world.now);
            world.collect();
        }
        Step::Tick => {
            let suspicion = world.state.suspicion;
            world.tick();
            if world.state.suspicion != suspicion {
                reference.trusted.clear();
            }
        }
        Step::Pass(milliseconds) => world.pass(ms(milliseconds)),
        Step::Leap => world.wall = world.wall.saturating_sub(Duration::from_secs(1000)),
        Step::Pause => {
            world.state.pause();
            reference.paused |= !reference.closed;
        }
        Step::Resume => {
            world.state.resume(world.now);
            reference.paused = false;
            world.collect();
        }
        Step::RetireAll => {
            world.state.retire_all(world.now);
            world.collect();
        }
        Step::SetMax(max) => {
            world.state.set_max(max, world.now);
            reference.max = max;
            world.collect();
        }
        Step::Close => {
            world.state.close_pool();
            (reference.closed, reference.paused) = (true, false);
            world.collect();
        }
        Step::ConnectEnds(_) | Step::ConnectPanics | Step::CheckEnds(_) => {}
    }
    if reference.paused {
        prop_assert!(world.leases.len() <= leases_before, "handed out while paused");
    }
    Ok(())
}

/// With a database that answers and leases that come back, everybody is served.
fn serve_everybody(world: &mut World) {
    world.state.resume(world.now);
    world.collect();
    let mut rounds = 0;
    while !world.waiting.is_empty() {
        rounds += 1;
        assert!(rounds < 1000, "somebody waits for ever: {}", world.state.status());
        world.give_back_all();
        while world.ask_check().is_some() {
            world.check_ends(true);
        }
        while !world.checks.is_empty() {
            world.check_ends(true);
        }
        world.ask_connect();
        while !world.attempts.is_empty() {
            world.connect_ends(Ok(()));
        }
        world.pass(ms(100));
    }
}

proptest! {
    #[test]
    fn callers_and_connections_are_never_lost(
        settings in sizes(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(&settings);
        let mut reference = Reference { max: settings.max, ..Reference::default() };
        for step in steps {
            take(&mut world, &mut reference, step)?;
            reference.look(&world)?;
        }
        serve_everybody(&mut world);
        // After any course, the end closes everything.
        world.state.close_pool();
        world.collect();
        while !world.checks.is_empty() {
            world.check_ends(true);
        }
        while !world.attempts.is_empty() {
            world.connect_ends(Ok(()));
        }
        world.give_back_all();
        world.closed.sort_unstable();
        prop_assert_eq!(world.closed, (0..world.opened).collect::<Vec<_>>());
    }
}
