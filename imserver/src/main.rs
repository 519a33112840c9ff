//! The command line of the daemon: flags in, one line out when it listens, signals until it ends.
#![forbid(unsafe_code)]

use std::{
    io::Write,
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
};

use clap::Parser;
use crossbeam_channel::{Receiver, bounded, select};
use imserver::{
    command,
    config::{Config, Flags},
    daemon::Daemon,
    engine, logging, memory,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};

/// The exit code of a daemon that cannot run as it was told to.
const EXIT_UNUSABLE: u8 = 1;
/// The exit code when the store failed under it.
const EXIT_STORE_FAILED: u8 = 70;

fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(&flags) {
        Ok(code) => code,
        Err(message) => {
            complain(&message);
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}

fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "imserver: {message}");
}

fn run(flags: &Flags) -> Result<ExitCode, String> {
    let config = Config::load(flags).map_err(|error| error.to_string())?;
    if flags.check_config {
        say("configuration ok\n");
        return Ok(ExitCode::SUCCESS);
    }
    if flags.command.is_none() {
        memory::fix_allocator();
    }
    logging::start(&config.log).map_err(|error| error.to_string())?;
    if let Some(command) = &flags.command {
        let mut output = std::io::stdout().lock();
        command::run(command, &config, &mut output).map_err(|error| error.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let asked = listen_to_signals()?;
    let configured = config.clone();
    let daemon = Daemon::start(config).map_err(|error| error.to_string())?;
    let address = daemon.address().ok_or("no address to listen on")?;
    // Its directory is there only now.
    let storing = engine::describe(&configured);
    say(&format!(
        "listening on {address}\n\
         storing in {storing}\n\
         connect with: im --server {address} register NAME\n"
    ));
    let fatal = daemon.fatal().clone();
    loop {
        select! {
            recv(asked.stop) -> _ => break,
            recv(asked.status) -> _ => log::info!("{}", daemon.status()),
            recv(fatal) -> reason => {
                // No drain: nothing more may be acknowledged. A restart recovers what was.
                complain(&format!("{}; start again to recover", reason.unwrap_or_default()));
                let report = daemon.farewell();
                log::info!("{} connections were told, {} cut off", report.drained, report.aborted);
                log::logger().flush();
                // Nothing is closed: closing would copy what may be the last whole state into files that may not be.
                std::process::exit(i32::from(EXIT_STORE_FAILED));
            }
        }
    }
    log::info!("draining");
    let drained = daemon.drain();
    if let Ok(reason) = fatal.try_recv() {
        // It failed while it was drained: the next start has to recover, as always after that.
        complain(&format!("{reason}; start again to recover"));
        log::logger().flush();
        std::process::exit(i32::from(EXIT_STORE_FAILED));
    }
    let report = drained.map_err(|error| error.to_string())?;
    log::info!(
        "ended: {} connections drained, {} cut off",
        report.drained,
        report.aborted
    );
    Ok(ExitCode::SUCCESS)
}

/// Standard output may be closed; the daemon runs all the same.
fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// What signals ask for.
struct Asked {
    stop: Receiver<()>,
    status: Receiver<()>,
}

/// The first SIGTERM or SIGINT asks for a drain, the second ends at once: what was acknowledged is durable
/// either way. SIGUSR1 asks for a line in the log that says how everything is.
fn listen_to_signals() -> Result<Asked, String> {
    static REQUESTS: AtomicU32 = AtomicU32::new(0);
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGUSR1]).map_err(|error| format!("no signals: {error}"))?;
    let ((sender, stop), (status_sender, status)) = (bounded(1), bounded(1));
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if signal == SIGUSR1 {
                    let _ = status_sender.try_send(());
                } else if REQUESTS.fetch_add(1, Ordering::SeqCst) == 0 {
                    let _ = sender.try_send(());
                } else {
                    log::warn!("signal {signal} again: ending at once");
                    std::process::exit(i32::from(EXIT_UNUSABLE));
                }
            }
        })
        .map_err(|error| format!("no thread for signals: {error}"))?;
    Ok(Asked { stop, status })
}
