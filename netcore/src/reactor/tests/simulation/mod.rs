//! Owns the simulation of a whole loop: thousands of courses of events, each from one seed, in a world that does
//! everything a system, its peers and its application may do. Must never depend on anything but the seed.
//!
//! `SIMULATION_SEEDS=n` runs so many seeds, `SIMULATION_SEED=s` the one, with its trace.

mod application;
mod checks;
mod peers;
mod random;
mod run;
mod world;

use random::Random;
use run::simulate;
use std::fmt::Write;

/// What an ordinary test run does; chosen to take some seconds without optimisation.
const SEEDS: u64 = 2500;

/// A PROXY header of this socket, in either version; `sound` or broken, naming a client or the proxy itself.
fn proxy_header(random: &mut Random, socket: usize, sound: bool, proxied: bool) -> Vec<u8> {
    let port = world::PORTS_FROM + socket as u16;
    if !sound {
        return random
            .pick(&[&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 1.2.3.4 nonsense\r\n"])
            .to_vec();
    }
    if random.percent(50) {
        return if proxied {
            format!("PROXY TCP4 192.0.2.1 192.0.2.2 {port} 443\r\n").into_bytes()
        } else {
            b"PROXY UNKNOWN\r\n".to_vec()
        };
    }
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | u8::from(proxied), 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2]);
    header.extend(port.to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header
}

/// Fails with the trace of the seed.
fn explain(seed: u64) -> ! {
    let (why, trace) = match simulate(seed, true) {
        Ok(_) => ("nothing, the second time".to_owned(), Vec::new()),
        Err(failure) => failure,
    };
    let mut text = String::new();
    for line in &trace {
        let _ = writeln!(text, "{line}");
    }
    panic!("{text}the seed {seed} fails: {why}");
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_seed_comes_out_right() {
    if let Some(seed) = number_of("SIMULATION_SEED") {
        explain(seed);
    }
    let seeds = number_of("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let mut frames = 0;
    for seed in 0..seeds {
        match simulate(seed, false) {
            Ok(course) => frames += course.handled,
            Err(_) => explain(seed),
        }
    }
    // A simulation in which nothing happens finds nothing.
    assert!(frames > seeds * 5, "{frames} frames in {seeds} seeds");
}

#[test]
fn a_seed_is_the_whole_truth() {
    for seed in 0..20 {
        let courses = [simulate(seed, true), simulate(seed, true)];
        let [Ok(first), Ok(second)] = courses else {
            explain(seed)
        };
        assert_eq!(first.trace, second.trace, "the seed {seed}");
        assert!(!first.trace.is_empty());
    }
}
