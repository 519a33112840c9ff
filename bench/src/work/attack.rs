//! One account against all others: a stranger resumes, sends, syncs and reads, for a while in peace and for a while
//! beside an account with many sessions that asks for expensive pages as fast as it is answered.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    BenchError,
    client::Client,
    dialect::Account,
    load::Load,
    outcome::{Latency, Outcome},
    report::Report,
};

/// What the stranger does, over and over, in this order.
const ACTS: [&str; 4] = ["resume", "send", "sync", "history"];

/// What `attack` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Attack {
    /// Sessions of the one account.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) sessions: usize,
    /// Pages that it has in flight, over all sessions.
    #[arg(long, value_name = "N", default_value_t = 48)]
    pub(crate) in_flight: usize,
    /// How often it removed somebody from its group and added them again.
    #[arg(long, value_name = "N", default_value_t = 1_500)]
    pub(crate) stays: usize,
    /// How long to measure in peace, and as long again under attack.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub(crate) seconds: f64,
}

pub(super) fn run(attack: &Attack, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    let [stranger, attacker, member] = &load.accounts[..] else {
        return Err(BenchError::Other("an attack takes three accounts".to_owned()));
    };
    let server = load.server;
    let group = prepare(server, attacker, member, attack.stays)?;
    let mut sessions = (0..attack.sessions.max(1))
        .map(|number| Client::login(server, attacker, &format!("attack-{number}")))
        .collect::<Result<Vec<_>, _>>()?;
    let span = Duration::from_secs_f64(attack.seconds.max(0.1));
    let mut outcome = Outcome::default();
    load.watch.ready()?;
    load.watch.measuring();
    measure(server, stranger, span, "calm", &mut outcome)?;
    let (stop, pages) = (AtomicBool::new(false), AtomicU64::new(0));
    // The group was made, somebody was added, and each stay has an end and a beginning.
    let newest = 2 * attack.stays as u64 + 1;
    let window = attack.in_flight.div_ceil(sessions.len());
    std::thread::scope(|scope| {
        let attackers: Vec<_> = sessions
            .iter_mut()
            .map(|session| scope.spawn(|| session.flood((group, newest), window, &stop, &pages)))
            .collect();
        let measured = measure(server, stranger, span, "attacked", &mut outcome);
        stop.store(true, Ordering::Relaxed);
        for attacker in attackers {
            attacker
                .join()
                .map_err(|_| BenchError::Other("an attacker panicked".to_owned()))??;
        }
        measured
    })?;
    load.watch.measured();
    outcome.add("attack_pages", pages.load(Ordering::Relaxed));
    outcome.set_maximum("seconds", span.as_secs_f64());
    Ok(outcome)
}

/// A group in which `member` was again and again.
fn prepare(
    server: SocketAddr,
    attacker: &Account,
    member: &Account,
    stays: usize,
) -> Result<u64, BenchError> {
    let mut owner = Client::resume(server, attacker)?;
    let group = owner.make_group(&[member.user])?;
    for stay in 0..stays {
        owner.remove_member(group, member.user, stay as u64)?;
        owner.add_member(group, member.user, stay as u64)?;
    }
    Ok(group)
}

fn measure(
    server: SocketAddr,
    stranger: &Account,
    span: Duration,
    phase: &str,
    outcome: &mut Outcome,
) -> Result<(), BenchError> {
    let own = protocol::self_conversation(stranger.user).map_or(0, |id| id.get());
    let mut latencies = [Latency::new()?, Latency::new()?, Latency::new()?, Latency::new()?];
    let until = Instant::now() + span;
    let mut token = bytes::Bytes::new();
    while Instant::now() < until {
        let mut began = Instant::now();
        let mut note = |act: usize| {
            if let Some(latency) = latencies.get_mut(act) {
                latency.record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            began = Instant::now();
        };
        let mut client = Client::resume(server, stranger)?;
        note(0);
        client.text(own)?;
        note(1);
        token = client.sync(token)?;
        note(2);
        client.history(own, 1)?;
        note(3);
    }
    for (act, latency) in ACTS.into_iter().zip(latencies) {
        outcome.add(
            &format!("{phase}_rounds"),
            u64::from(act == "resume") * latency.histogram().len(),
        );
        outcome.add_latency(&format!("{phase}_{act}"), latency);
    }
    Ok(())
}

pub(super) fn report(outcome: &Outcome) -> Report {
    let mut report = Report::default();
    report.add_counts(outcome, ["calm_rounds", "attacked_rounds", "attack_pages"]);
    report.add_float("seconds", outcome.maximum("seconds"));
    for phase in ["calm", "attacked"] {
        for act in ACTS {
            let name = format!("{phase}_{act}");
            report.add_latency(&name, &name, outcome.latency(&name));
        }
    }
    report
}
