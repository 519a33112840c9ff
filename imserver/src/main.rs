//! The command line of the daemon: flags in, one line out when it listens, signals until it ends.
#![forbid(unsafe_code)]

use std::{
    error::Error,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, select, tick};
use imserver::{
    certificates, command,
    config::{Config, Flags},
    daemon::Daemon,
    error::DaemonError,
    logging, memory, stores,
    systemd::Supervisor,
    terminal,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};

/// The exit code of a daemon that cannot run as it was told to.
const EXIT_UNUSABLE: u8 = 1;
/// The exit code when the store failed under it.
const EXIT_STORE_FAILED: u8 = 70;

/// Signals that follow the first within this are the same wish.
const SAME_REQUEST: Duration = Duration::from_millis(250);

/// How often the files of the certificate are looked at.
const LOOK_AT_CERTIFICATE_EVERY: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let flags = Flags::of_this_process();
    match run(&flags) {
        Ok(code) => code,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}

fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "imserver: {message}");
}

fn run(flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    if flags.print_config {
        say(&Config::default().to_manual());
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(flags)?;
    if flags.command.is_none() {
        config.check_serving()?;
    }
    if flags.check_config {
        certificates::check(&config.tls)?;
        say("configuration ok\n");
        return Ok(ExitCode::SUCCESS);
    }
    if flags.command.is_none() {
        memory::fix_allocator();
    }
    logging::start(&config.log)?;
    if let Some(command) = &flags.command {
        let mut output = std::io::stdout().lock();
        return Ok(match command::run(command, &config, &mut output) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error.to_string());
                ExitCode::from(error.exit_code())
            }
        });
    }
    let asked = listen_to_signals()?;
    let mut configured = config.clone();
    let mut daemon = Daemon::start(config)?;
    say(&greeting(&daemon, &configured));
    let supervisor = Supervisor::of_this_process();
    let serving = daemon.listening().join("; ");
    supervisor.ready(&serving);
    let look_at_certificate = tick(LOOK_AT_CERTIFICATE_EVERY);
    let fatal = daemon.fatal().clone();
    loop {
        select! {
            recv(asked.stop) -> _ => break,
            recv(asked.status) -> _ => log::info!("{}", daemon.status().line()),
            recv(asked.reload) -> _ => {
                supervisor.reloading();
                reload(flags, &mut configured, &mut daemon);
                supervisor.ready(&serving);
            }
            recv(look_at_certificate) -> _ => daemon.look_at_certificate(&configured),
            recv(fatal) -> reason => {
                // No drain: nothing more may be acknowledged. A restart recovers what was.
                let reason = reason.map_or_else(|_| "the threads of the store have ended".to_owned(), |reason| reason.to_string());
                complain(&format!("{reason}; start again to recover"));
                let report = daemon.farewell();
                log::info!("{} connections were told, {} cut off", report.drained, report.aborted);
                log::logger().flush();
                // Nothing is closed: closing would copy what may be the last whole state into files that may not be.
                std::process::exit(i32::from(EXIT_STORE_FAILED));
            }
        }
    }
    supervisor.stopping();
    log::info!("draining");
    let drained = daemon.drain();
    if let Ok(reason) = fatal.try_recv() {
        // It failed while it was drained: the next start has to recover, as always after that.
        complain(&format!("{reason}; start again to recover"));
        log::logger().flush();
        std::process::exit(i32::from(EXIT_STORE_FAILED));
    }
    let report = drained?;
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

/// What is said when it serves: where, where it stores, and how to connect.
fn greeting(daemon: &Daemon, configured: &Config) -> String {
    let mut lines: Vec<String> = daemon
        .listening()
        .iter()
        .map(|address| format!("listening on {address}"))
        .collect();
    // Its directory is there only now.
    lines.push(format!("storing in {}", stores::describe(configured)));
    let reachable = daemon.reachable();
    lines.extend(reachable.map(|address| format!("connect with: im --server {address} register NAME")));
    lines.join("\n") + "\n"
}

/// Reads the configuration again. What cannot change while it runs is named, and stays as it was.
fn reload(flags: &Flags, configured: &mut Config, daemon: &mut Daemon) {
    let new = Config::load(flags).and_then(|new| new.check_serving().map(|()| new));
    let mut new = match new {
        Ok(new) => new,
        Err(error) => return log::error!("the configuration stays as it was: {error}"),
    };
    let mut after = configured.clone();
    let mut waiting = Vec::new();
    if daemon.has_certificate() != new.tls.is_configured() {
        // Listeners have TLS from their beginning, or not at all.
        waiting.extend(["tls.certificate", "tls.key"]);
        (new.tls.certificate, new.tls.key) = (after.tls.certificate.clone(), after.tls.key.clone());
    }
    let changes = after.reload(&new);
    waiting.extend(changes.waiting);
    if let Err(error) = daemon.reload(&after) {
        return log::error!("the configuration stays as it was: {error}");
    }
    logging::set_level(after.log.level);
    *configured = after;
    let in_force = if changes.in_force.is_empty() {
        "nothing has changed that counts at once".to_owned()
    } else {
        format!("in force: {}", changes.in_force.join(", "))
    };
    if waiting.is_empty() {
        log::info!("the configuration was read again: {in_force}");
    } else {
        log::warn!(
            "the configuration was read again: {in_force}; these have changed and wait for the next start: {}",
            waiting.join(", ")
        );
    }
}

/// What signals ask for.
struct Asked {
    stop: Receiver<()>,
    status: Receiver<()>,
    reload: Receiver<()>,
}

/// The first SIGTERM or SIGINT asks for a drain, the second ends at once: what was acknowledged is durable
/// either way. Two that come together are one: `timeout` and terminals signal the process and its group. SIGUSR1
/// asks for a line in the log that says how everything is. SIGHUP asks to read the configuration again; where the
/// terminal that this was started from has hung up, for a drain, unless it was started with `nohup`.
fn listen_to_signals() -> Result<Asked, DaemonError> {
    // Before the handlers are there: they replace what this looks at.
    let terminal = terminal::Terminal::of_this_process();
    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP]).map_err(DaemonError::because("no signals"))?;
    let ((sender, stop), (status_sender, status), (reload_sender, reload)) =
        (bounded(1), bounded(1), bounded(1));
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut asked_at: Option<Instant> = None;
            // What was asked for before and not done yet is asked for once.
            let ask = |sender: &Sender<()>| {
                let _ = sender.try_send(());
            };
            for signal in signals.forever() {
                match signal {
                    SIGUSR1 => ask(&status_sender),
                    SIGHUP if terminal.ends_this() => ask(&sender),
                    SIGHUP => ask(&reload_sender),
                    _ if asked_at.is_none_or(|at| at.elapsed() < SAME_REQUEST) => {
                        asked_at.get_or_insert_with(Instant::now);
                        ask(&sender);
                    }
                    _ => {
                        log::warn!("signal {signal} again: ending at once");
                        std::process::exit(i32::from(EXIT_UNUSABLE));
                    }
                }
            }
        })
        .map_err(DaemonError::because("no thread for signals"))?;
    Ok(Asked { stop, status, reload })
}
