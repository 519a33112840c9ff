//! Whether the time of an answer tells a stranger who is online: the same is asked about somebody who is online and about
//! somebody who is not, in a random order, and the times are compared by their ranks. Then both block the one who asks.

use std::{
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use protocol::{
    Request, direct_conversation,
    v1::{self, EventKind, QualityOfService},
};

use crate::{
    BenchError,
    accounts::random,
    client::Client,
    dialect::Account,
    load::Load,
    outcome::{Latency, Outcome},
    report::Report,
};

/// What is between the one who asks and the two.
const PHASES: [&str; 2] = ["stranger", "blocked"];
/// What is asked, in this order.
const ACTS: [&str; 5] = ["watch_presence", "get_users", "typing", "unstored", "send"];
const SIDES: [&str; 2] = ["online", "offline"];

/// What `strangers` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Strangers {
    /// How often each is asked about each of the two.
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    pub(crate) asks: usize,
}

pub(super) fn run(strangers: &Strangers, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    let [asker, online, offline] = &load.accounts[..] else {
        return Err(BenchError::Other("strangers are three accounts".to_owned()));
    };
    let server = load.server;
    let mut client = Client::resume(server, asker)?;
    let mut outcome = Outcome::default();
    load.watch.ready()?;
    load.watch.measuring();
    for phase in PHASES {
        for person in [online, offline] {
            set_blocked(server, person, asker.user, phase == "blocked")?;
        }
        for act in ACTS {
            let present = Client::resume(server, online)?;
            let closer = present.closer()?;
            let times = std::thread::scope(|scope| {
                // Whoever is online takes what is pushed to them.
                let reader = scope.spawn(|| present.drain());
                let times = measure(&mut client, act, asker, [online, offline], strangers.asks);
                let closed = closer.shutdown(Shutdown::Both);
                reader
                    .join()
                    .map_err(|_| BenchError::Other("a reader panicked".to_owned()))?;
                closed?;
                times
            })?;
            note(&mut outcome, &format!("{phase}_{act}"), &times)?;
        }
    }
    for person in [online, offline] {
        set_blocked(server, person, asker.user, false)?;
    }
    load.watch.measured();
    outcome.add(
        "asks",
        (PHASES.len() * ACTS.len() * SIDES.len() * strangers.asks) as u64,
    );
    Ok(outcome)
}

fn set_blocked(server: SocketAddr, person: &Account, asker: u64, blocked: bool) -> Result<(), BenchError> {
    let client_msg_id = new_id()?;
    let request = if blocked {
        Request::BlockUser(v1::BlockUserRequest {
            client_msg_id,
            user_id: asker,
        })
    } else {
        Request::UnblockUser(v1::UnblockUserRequest {
            client_msg_id,
            user_id: asker,
        })
    };
    // Refused if it is so already.
    Client::resume(server, person)?.timed(&request)?;
    Ok(())
}

fn new_id() -> Result<Bytes, BenchError> {
    Ok([random()?.to_be_bytes(), random()?.to_be_bytes()].concat().into())
}

fn request(act: &str, asker: u64, person: u64) -> Result<Request, BenchError> {
    let conversation_id = direct_conversation(asker, person).map_or(0, |id| id.get());
    let quality = if act == "send" {
        QualityOfService::ExactlyOnce
    } else {
        QualityOfService::AtMostOnce
    };
    Ok(match act {
        "watch_presence" => Request::WatchPresence(v1::WatchPresenceRequest {
            user_ids: vec![person],
        }),
        "get_users" => Request::GetUsers(v1::GetUsersRequest {
            user_ids: vec![person],
        }),
        "typing" => Request::Typing(v1::TypingRequest {
            conversation_id,
            typing: true,
        }),
        _ => Request::Send(v1::SendRequest {
            conversation_id,
            client_msg_id: new_id()?,
            kind: EventKind::Text.into(),
            content: Some(v1::Content {
                body: Bytes::from_static(b"are you there"),
                ..v1::Content::default()
            }),
            quality: quality.into(),
            ..v1::SendRequest::default()
        }),
    })
}

/// How long each answer took, in nanoseconds, for each of the two.
fn measure(
    client: &mut Client,
    act: &str,
    asker: &Account,
    people: [&Account; 2],
    asks: usize,
) -> Result<[Vec<u64>; 2], BenchError> {
    let mut times = [Vec::with_capacity(asks), Vec::with_capacity(asks)];
    for _ in 0..asks {
        let mut order = [0, 1];
        if random()? % 2 == 0 {
            order.reverse();
        }
        for side in order {
            if let (Some(person), Some(times)) = (people.get(side), times.get_mut(side)) {
                let took = client.timed(&request(act, asker.user, person.user)?)?;
                times.push(nanoseconds(took));
            }
        }
    }
    Ok(times)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn note(outcome: &mut Outcome, name: &str, times: &[Vec<u64>; 2]) -> Result<(), BenchError> {
    for (side, times) in SIDES.into_iter().zip(times) {
        let mut latency = Latency::new()?;
        for time in times {
            latency.record(*time);
        }
        outcome.add_latency(&format!("{name}_{side}"), latency);
    }
    let [online, offline] = times;
    outcome.set_maximum(&format!("{name}_longer"), longer(online, offline));
    Ok(())
}

/// How likely a time of the first is longer than one of the second (ties count half): the statistic of Mann and Whitney as
/// a share. 0.5 says that times tell nothing.
fn longer(first: &[u64], second: &[u64]) -> f64 {
    let mut all: Vec<(u64, bool)> = first
        .iter()
        .map(|time| (*time, true))
        .chain(second.iter().map(|time| (*time, false)))
        .collect();
    all.sort_unstable();
    let (mut below, mut won) = (0.0, 0.0);
    for ties in all.chunk_by(|one, other| one.0 == other.0) {
        let of_first = ties.iter().filter(|(_, is_first)| *is_first).count() as f64;
        let of_second = ties.len() as f64 - of_first;
        won += of_first * (below + of_second / 2.0);
        below += of_second;
    }
    won / (first.len() as f64 * second.len() as f64).max(1.0)
}

/// How far a share lies from one half, in standard deviations of two samples of this size that do not differ.
fn deviations(share: f64, asks: u64) -> f64 {
    let asks = (asks as f64).max(1.0);
    (share - 0.5) / ((2.0 * asks + 1.0) / (12.0 * asks * asks)).sqrt()
}

pub(super) fn report(outcome: &Outcome) -> Report {
    let mut report = Report::default();
    report.add_counts(outcome, ["asks"]);
    for phase in PHASES {
        for act in ACTS {
            let name = format!("{phase}_{act}");
            let mut asks = 0;
            for side in SIDES {
                let Some(latency) = outcome.latency(&format!("{name}_{side}")) else {
                    continue;
                };
                asks = latency.histogram().len();
                let median = latency.histogram().value_at_quantile(0.5) as f64 / 1e3;
                report.add_float(&format!("{name}_{side}_p50_us"), median);
            }
            let share = outcome.maximum(&format!("{name}_longer"));
            report.add_float(&format!("{name}_longer"), share);
            report.add_float(&format!("{name}_deviations"), deviations(share, asks));
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-9
    }

    #[test]
    fn a_share_says_how_often_the_first_took_longer() {
        assert!(is_about(longer(&[1, 2, 3], &[1, 2, 3]), 0.5));
        assert!(is_about(longer(&[4, 5], &[1, 2, 3]), 1.0));
        assert!(is_about(longer(&[1, 1], &[2, 3]), 0.0));
        // Of six pairs the first is longer in three, and as long in one.
        assert!(is_about(longer(&[2, 5], &[1, 2, 9]), 3.5 / 6.0));
        assert!(is_about(longer(&[7, 7], &[7]), 0.5));
    }

    #[test]
    fn the_larger_the_sample_the_more_a_share_says() {
        assert!(is_about(deviations(0.5, 100), 0.0));
        assert!(deviations(0.6, 10) < 1.0);
        assert!(deviations(0.6, 1_000) > 7.0);
        assert!(deviations(0.4, 1_000) < -7.0);
    }
}
