//! Runs the same chat, in turn in one run, against imserver, the bare relay, and the servers that a user would
//! pick instead; prints one table, with what each of them promises beside its figures.
//!
//! Every cell of every round has a server of its own, started in an empty directory on the same disk, pinned to
//! one processor; the load has another. It must never judge a figure, and never leave a server behind.

mod contestant;
mod measure;
mod table;

use bench_netcore::children::Core;
use clap::Parser;
use clap::builder::PossibleValuesParser;
use contestant::{Contestant, Found};
use measure::{Load, Report};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use table::Cell;

/// Measures chat servers against each other and prints a table.
#[derive(Debug, Parser)]
#[command(name = "compare-chat", args_override_self = true)]
struct Arguments {
    /// Pairs of users; in each, one writes to the other.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pairs: usize,
    /// Bytes of a message.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    size: usize,
    /// Messages of a pair that are not yet both acknowledged and delivered.
    #[arg(long, value_name = "W,..", value_delimiter = ',', default_values_t = [1, 16])]
    windows: Vec<usize>,
    /// Rounds; in each, every server is loaded once with each window.
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Seconds that each run measures.
    #[arg(long, value_name = "S", default_value_t = 5)]
    seconds: u64,
    /// Seconds of load before them.
    #[arg(long, value_name = "S", default_value_t = 1)]
    warm_up: u64,
    /// The processor of the servers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    server_core: usize,
    /// The processor of the load.
    #[arg(long, value_name = "N", default_value_t = 1)]
    load_core: usize,
    /// Where the servers store, each in a directory that is removed after its run.
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    directory: PathBuf,
    /// Only these servers.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = PossibleValuesParser::new(contestant::NAMES))]
    only: Vec<String>,
    /// NATS; `nats-server` on the path otherwise.
    #[arg(long, value_name = "PATH")]
    nats: Option<PathBuf>,
    /// imserver; `imserver` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    imserver: Option<PathBuf>,
    /// The load; `imbench` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    load: Option<PathBuf>,
}

/// In the order of the table.
type Contestants = Vec<Box<dyn Contestant>>;

impl Arguments {
    /// Who takes part, and who does not and why.
    fn contestants(&self) -> io::Result<(Contestants, Vec<String>)> {
        let (mut present, mut notes) = (Contestants::new(), Vec::new());
        for found in contestant::all(self.imserver.as_deref(), self.nats.as_deref())? {
            if !self.only.is_empty() && !self.only.iter().any(|name| name == found.name()) {
                continue;
            }
            match found {
                Found::Here(contestant) => present.push(contestant),
                Found::Missing { note, .. } => notes.push(note),
            }
        }
        Ok((present, notes))
    }

    /// Both processors, where there are two.
    fn cores(&self) -> (Core, Core) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if processors > 1 {
            (Core(Some(self.server_core)), Core(Some(self.load_core)))
        } else {
            (Core(None), Core(None))
        }
    }
}

/// One run: a server of its own, the load, and what both left.
fn run(arguments: &Arguments, contestant: &dyn Contestant, window: usize) -> io::Result<Report> {
    let (server_core, load_core) = arguments.cores();
    let directory = tempfile::tempdir_in(&arguments.directory)?;
    let load = Load {
        program: arguments.load.clone(),
        core: load_core,
        pairs: arguments.pairs,
        size: arguments.size,
        window,
        seconds: arguments.seconds,
        warm_up: arguments.warm_up,
    };
    let running = contestant
        .start(directory.path(), server_core, arguments.pairs * 2)
        .map_err(|error| contestant::with_last_words(error, directory.path()))?;
    measure::run(&load, contestant.dialect(), &running)
        .map_err(|error| contestant::with_last_words(error, directory.path()))
}

fn compare(arguments: &Arguments) -> io::Result<()> {
    fs::create_dir_all(&arguments.directory)?;
    let (contestants, mut notes) = arguments.contestants()?;
    let mut cells: Vec<Vec<Cell>> = contestants
        .iter()
        .map(|_| arguments.windows.iter().map(|_| Cell::default()).collect())
        .collect();
    for round in 0..arguments.runs.max(1) {
        for (column, &window) in arguments.windows.iter().enumerate() {
            for turn in 0..contestants.len() {
                // Nobody always follows the same server.
                let place = (round + turn) % contestants.len();
                let (Some(contestant), Some(cell)) = (
                    contestants.get(place),
                    cells.get_mut(place).and_then(|cells| cells.get_mut(column)),
                ) else {
                    continue;
                };
                let name = contestant.name();
                let outcome = run(arguments, contestant.as_ref(), window);
                match &outcome {
                    Ok(report) => eprintln!("round {}, {name}, {window}: {report}", round + 1),
                    Err(error) => {
                        eprintln!("round {}, {name}, {window}: {error}", round + 1);
                        notes.push(format!(
                            "{name} with {window} outstanding, round {}: {error}",
                            round + 1
                        ));
                    }
                }
                cell.rounds.push(outcome.ok());
            }
        }
    }
    if measure::is_in_memory(&arguments.directory)? {
        notes.push("the directory is in memory: flushing costs nothing there".to_owned());
    }
    println!(
        "{}",
        table::show(&contestants, &arguments.windows, &cells, &notes)
    );
    Ok(())
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare-chat: {error}");
            ExitCode::FAILURE
        }
    }
}
