//! Owns the measurement of what one connection at full speed costs those that send a little. Must never compare
//! runs of different rounds.

use crate::flood::Flood;
use crate::quiet::{Latency, Quiet};
use crate::{Cores, seconds};
use bench_netcore::statistics::{Summary, show};
use serde::Serialize;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Quiet connections.
    #[arg(long, value_name = "N", default_value_t = 100)]
    connections: usize,
    /// From one frame of a quiet connection to its next, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10)]
    every_ms: u64,
    /// Bytes of a frame of the connection at full speed.
    #[arg(long, value_name = "BYTES,..", value_delimiter = ',', default_values_t = [16, 1024, 65_536])]
    sizes: Vec<usize>,
    /// Rounds for each size.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Seconds of a round, alone and beside.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// The server; `echo` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

/// What was found for each size.
#[derive(Debug, Serialize)]
pub(crate) struct Report(Vec<Row>);

/// Latencies of the quiet connections, in microseconds, from the time when a frame was due.
#[derive(Debug, Serialize)]
struct Row {
    /// Bytes of a frame at full speed.
    size: usize,
    alone_us_p50: Option<Summary>,
    alone_us_p99: Option<Summary>,
    beside_us_p50: Option<Summary>,
    beside_us_p99: Option<Summary>,
    /// What the one at full speed multiplies the p99 by.
    ratio_p99: Option<Summary>,
    /// What came back to it, in megabytes per second.
    flood_mb_per_second: Option<Summary>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "Round trips of quiet connections in us: the median of the rounds (the least .. the most).\n\n\
             | bytes at full speed | p50 alone | p99 alone | p50 beside | p99 beside | p99 beside / alone | MB/s |\n\
             |--:|--:|--:|--:|--:|--:|--:|",
        )?;
        for row in &self.0 {
            let cells = [
                show(row.alone_us_p50, 0),
                show(row.alone_us_p99, 0),
                show(row.beside_us_p50, 0),
                show(row.beside_us_p99, 0),
                show(row.ratio_p99, 2),
                show(row.flood_mb_per_second, 0),
            ];
            write!(formatter, "\n| {} | {} |", row.size, cells.join(" | "))?;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Quantiles {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Quantiles {
    fn note(&mut self, latency: &Latency) {
        self.p50.push(latency.microseconds(0.50));
        self.p99.push(latency.microseconds(0.99));
    }
}

pub(crate) fn measure(options: &Options, cores: Cores) -> io::Result<Report> {
    let server = cores.start(options.server.as_ref(), "echo", &[])?;
    let mut quiet = Quiet::connect(server.address(), options.connections.max(1))?;
    let (every, lasting) = (
        Duration::from_millis(options.every_ms.max(1)),
        seconds(options.seconds)?,
    );
    let mut rows = Vec::new();
    for &size in &options.sizes {
        let (mut alone, mut beside) = (Quantiles::default(), Quantiles::default());
        let mut speeds = Vec::new();
        for _ in 0..options.rounds.max(1) {
            let mut latency = Latency::new()?;
            quiet.run(every, lasting, &mut latency)?;
            alone.note(&latency);

            let mut flood = Flood::start(cores, server.address(), size)?;
            let (before, start, mut latency) = (flood.bytes()?, Instant::now(), Latency::new()?);
            quiet.run(every, lasting, &mut latency)?;
            let bytes = flood.bytes()?.saturating_sub(before);
            beside.note(&latency);
            speeds.push(bytes as f64 / 1e6 / start.elapsed().as_secs_f64());
        }
        rows.push(Row {
            size,
            alone_us_p50: Summary::of(&alone.p50),
            alone_us_p99: Summary::of(&alone.p99),
            beside_us_p50: Summary::of(&beside.p50),
            beside_us_p99: Summary::of(&beside.p99),
            ratio_p99: Summary::of_ratios(&beside.p99, &alone.p99),
            flood_mb_per_second: Summary::of(&speeds),
        });
    }
    Ok(Report(rows))
}
