//! Owns rounds, their order, and the table that comes of them. Must never know what is measured.

use bench_netcore::children::{self, Core, Server};
use bench_netcore::cpu::CpuTime;
use bench_netcore::statistics::{Summary, show};
use std::io;
use std::path::{Path, PathBuf};

/// A server that takes part. The first one is the reference of the ratios.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
}

/// What one run found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) cpu_ns: f64,
}

/// What the rounds found for one server.
#[derive(Clone, Debug, Default)]
struct Rounds {
    per_second: Vec<f64>,
    cpu_ns: Vec<f64>,
}

/// Runs `load`, which says how many requests were answered and how many that is per second, and looks at what
/// they cost the server.
pub(crate) fn sample(server: &Server, load: impl FnOnce() -> io::Result<(f64, f64)>) -> io::Result<Sample> {
    let cpu = CpuTime::of(server.pid())?;
    let (requests, per_second) = load()?;
    let cpu = CpuTime::of(server.pid())?.since(cpu);
    Ok(Sample {
        per_second,
        cpu_ns: cpu.exact.as_nanos() as f64 / requests.max(1.0),
    })
}

/// Prints the head of a table whose first column is called `test`.
pub(crate) fn print_heading(test: &str) {
    println!("| {test} | server | requests/s | ratio | CPU ns per request | ratio |");
    println!("|---|---|--:|--:|--:|--:|");
}

/// Runs a test in turn on all servers and prints a line for each.
pub(crate) fn print_test(
    test: &str,
    contestants: &[Contestant],
    rounds: usize,
    run: impl Fn(&Server) -> io::Result<Sample>,
) -> io::Result<()> {
    let mut results = vec![Rounds::default(); contestants.len()];
    for round in 0..rounds.max(1) {
        for turn in 0..contestants.len() {
            // Nobody always follows the same server.
            let place = (round + turn) % contestants.len();
            let sample = run(&contestants[place].server)?;
            results[place].per_second.push(sample.per_second);
            results[place].cpu_ns.push(sample.cpu_ns);
        }
    }
    let Some(reference) = results.first() else {
        return Ok(());
    };
    for (contestant, result) in contestants.iter().zip(&results) {
        println!(
            "| {test} | {} | {} | {} | {} | {} |",
            contestant.name,
            show(Summary::of(&result.per_second), 0),
            show(Summary::of_ratios(&result.per_second, &reference.per_second), 2),
            show(Summary::of(&result.cpu_ns), 0),
            show(Summary::of_ratios(&result.cpu_ns, &reference.cpu_ns), 2),
        );
    }
    Ok(())
}

/// Starts a server of this project: the program that was given, or the one called `name` beside this one if
/// there is one.
pub(crate) fn start_own(
    given: Option<&Path>,
    name: &'static str,
    core: Core,
) -> io::Result<Option<Contestant>> {
    let program: PathBuf = match given {
        Some(path) => path.to_path_buf(),
        None => children::beside(name)?,
    };
    if given.is_none() && !program.is_file() {
        println!("Skipped: there is no `{name}` beside this program.\n");
        return Ok(None);
    }
    let server = Server::start(&program, &["--listen", "127.0.0.1:0"], core)?;
    Ok(Some(Contestant { name, server }))
}

/// The installed program, or a note that it is missing.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let program = children::installed(name);
    if program.is_none() {
        println!("Skipped: {name} is not installed.\n");
    }
    program
}
