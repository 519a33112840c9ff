//! Compares netcore's echo server with the limit and with tokio: what a message costs each of them.
//!
//! In every cell the servers are loaded in turn, round by round, so that whatever else the machine does meets
//! all of them alike. Servers have one processor, the load another. It must never average rounds: it reports
//! medians, and how far the rounds lie apart.

use bench_netcore::children::{self, Core, Server};
use bench_netcore::load::Report;
use bench_netcore::statistics::{Summary, show};
use clap::Parser;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

/// Measures echo servers against each other and prints a table.
#[derive(Debug, Parser)]
struct Arguments {
    /// Numbers of connections.
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [1, 100, 1000])]
    connections: Vec<usize>,
    /// Bytes of a frame.
    #[arg(long, value_name = "BYTES,..", value_delimiter = ',', default_values_t = [16, 1024, 16384])]
    sizes: Vec<usize>,
    /// Frames under way on each connection.
    #[arg(long, value_name = "W,..", value_delimiter = ',', default_values_t = [1, 16])]
    windows: Vec<usize>,
    /// Only this cell, as connections x bytes x window (`100x16x1`); may be repeated.
    #[arg(long = "cell", value_name = "CxBxW")]
    cells: Vec<Cell>,
    /// Rounds in each cell.
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Seconds that each run measures.
    #[arg(long, value_name = "S", default_value_t = 1.5)]
    seconds: f64,
    /// Seconds before them.
    #[arg(long, value_name = "S", default_value_t = 0.3)]
    warmup: f64,
    /// The processor of the servers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    server_core: usize,
    /// The processor of the load.
    #[arg(long, value_name = "N", default_value_t = 1)]
    load_core: usize,
    /// The limit; `echo-limit` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    limit: Option<PathBuf>,
    /// netcore's echo server; `echo` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    netcore: Option<PathBuf>,
    /// tokio's echo server; `echo-tokio` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    tokio: Option<PathBuf>,
    /// The load; `echo-load` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    load: Option<PathBuf>,
}

/// What is measured at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Cell {
    connections: usize,
    size: usize,
    window: usize,
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[connections, size, window]) => Ok(Self {
                connections,
                size,
                window,
            }),
            _ => Err(format!("{text} is not like 100x16x1")),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} | {} | {}",
            self.connections, self.size, self.window
        )
    }
}

impl Arguments {
    fn cells(&self) -> Vec<Cell> {
        if !self.cells.is_empty() {
            return self.cells.clone();
        }
        let mut cells = Vec::new();
        for &connections in &self.connections {
            for &size in &self.sizes {
                cells.extend(self.windows.iter().map(|&window| Cell {
                    connections,
                    size,
                    window,
                }));
            }
        }
        cells
    }

    fn server(&self, path: Option<&PathBuf>, name: &str, more: &[&str]) -> io::Result<Server> {
        let path = path.map_or_else(|| children::beside(name), |path| Ok(path.clone()))?;
        let arguments = [&["--listen", "127.0.0.1:0"], more].concat();
        Server::start(&path, &arguments, Core(Some(self.server_core)))
    }
}

/// What the rounds of one cell found for one server.
#[derive(Debug, Default)]
struct Rounds {
    cpu_ns: Vec<f64>,
    user_ns: Vec<f64>,
    per_second: Vec<f64>,
    p99_us: Vec<f64>,
}

impl Rounds {
    fn note(&mut self, report: &Report) {
        self.cpu_ns.push(report.cpu_ns_per_message);
        self.user_ns.push(report.user_ns_per_message_by_ticks);
        self.per_second.push(report.messages_per_second);
        self.p99_us.push(report.latency_us_p99);
    }
}

/// How many servers are compared: the limit, netcore, tokio, and tokio with fewer writes.
const SERVERS: usize = 4;

const HEADING: &str = "\
Each cell: the median of the rounds (the least .. the most). A ratio compares runs of the same round.
User time is by ticks, so it is rough. In lists: limit, netcore, tokio, tokio forward.

| connections | bytes | window | limit: CPU ns per message | netcore / limit | tokio / limit | tokio forward / limit | user ns | messages/s | p99 us |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

fn row(cell: Cell, servers: &[Rounds; SERVERS]) -> String {
    let [limit, others @ ..] = servers;
    let list = |field: fn(&Rounds) -> &Vec<f64>| {
        let medians = servers.each_ref().map(|rounds| median(field(rounds)));
        medians.join(", ")
    };
    let ratios = others
        .each_ref()
        .map(|other| show(Summary::of_ratios(&other.cpu_ns, &limit.cpu_ns), 2));
    format!(
        "| {cell} | {} | {} | {} | {} | {} |",
        show(Summary::of(&limit.cpu_ns), 0),
        ratios.join(" | "),
        list(|rounds| &rounds.user_ns),
        list(|rounds| &rounds.per_second),
        list(|rounds| &rounds.p99_us),
    )
}

fn median(values: &[f64]) -> String {
    Summary::of(values).map_or_else(|| "-".to_owned(), |summary| format!("{:.0}", summary.median))
}

fn measure(arguments: &Arguments, cell: Cell, server: &Server) -> io::Result<Report> {
    let load = arguments
        .load
        .clone()
        .map_or_else(|| children::beside("echo-load"), Ok)?;
    let mut command = Core(Some(arguments.load_core)).command(load);
    let flags = [
        ("--server", server.address().to_string()),
        ("--server-pid", server.pid().to_string()),
        ("--connections", cell.connections.to_string()),
        ("--size", cell.size.to_string()),
        ("--window", cell.window.to_string()),
        ("--seconds", arguments.seconds.to_string()),
        ("--warmup", arguments.warmup.to_string()),
    ];
    for (flag, value) in flags {
        command.args([flag, &value]);
    }
    let text = children::run(command.arg("--json"))?;
    serde_json::from_str(&text).map_err(io::Error::other)
}

fn compare(arguments: &Arguments) -> io::Result<()> {
    let servers = [
        arguments.server(arguments.limit.as_ref(), "echo-limit", &[])?,
        arguments.server(arguments.netcore.as_ref(), "echo", &[])?,
        arguments.server(arguments.tokio.as_ref(), "echo-tokio", &[])?,
        arguments.server(arguments.tokio.as_ref(), "echo-tokio", &["--forward"])?,
    ];
    println!("{HEADING}");
    for cell in arguments.cells() {
        let mut rounds: [Rounds; SERVERS] = Default::default();
        for round in 0..arguments.runs.max(1) {
            for turn in 0..servers.len() {
                // Nobody always follows the same server.
                let place = (round + turn) % servers.len();
                rounds[place].note(&measure(arguments, cell, &servers[place])?);
            }
        }
        println!("{}", row(cell, &rounds));
    }
    Ok(())
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
