//! The load generator against a real daemon: each workload runs for a moment, and its checks hold. How fast
//! anything is is nobody's business here.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use protocol::v1;
use serde_json::Value;
use tempfile::TempDir;
use tests::harness::{Connection, Daemon, Setup, User, hello, imbench_binary, message_id, relay_binary};

/// Accounts that are there before the daemon starts.
const ACCOUNTS: usize = 12;

/// The load generator, asked for one JSON object. The words are as in a shell, none with a space in it.
fn imbench(server: SocketAddr, words: &str) -> Command {
    let mut command = Command::new(imbench_binary());
    command
        .args(["--json", "--server", &server.to_string()])
        .args(words.split_whitespace())
        .stdin(Stdio::null());
    command
}

/// A run that ended.
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Done {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn of(mut command: Command) -> Self {
        Self::new(command.output().unwrap())
    }

    /// Its report, if it ended so.
    #[track_caller]
    fn report(self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

struct Bench {
    daemon: Daemon,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap(), "")
    }

    /// One whose daemon encrypts for whoever wants it, with the certificate `cert.pem`.
    fn encrypted() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        std::fs::write(&certificate, own.cert.pem()).unwrap();
        std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let config = format!(
            "[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n[[listen]]\naddress = \"127.0.0.1:0\"\n"
        );
        Self::of(directory, &config)
    }

    fn of(directory: TempDir, config: &str) -> Self {
        let data = directory.path().join("data");
        let made = Daemon::run_to_end(&[
            "provision".into(),
            "--count".into(),
            ACCOUNTS.to_string().into(),
            "--prefix".into(),
            "load-".into(),
            "--data-dir".into(),
            data.clone().into(),
        ]);
        assert!(made.status.success(), "{made:?}");
        std::fs::write(directory.path().join("accounts"), made.stdout).unwrap();
        let setup = Setup {
            data_dir: Some(data),
            listens_itself: !config.is_empty(),
            ..Setup::config(config)
        };
        Self {
            daemon: setup.start(),
            directory,
        }
    }

    fn accounts(&self) -> PathBuf {
        self.directory.path().join("accounts")
    }

    /// A load that registers accounts of its own.
    fn load(&self, words: &str) -> Command {
        let mut command = imbench(self.daemon.address(), words);
        command.args(["--server-pid", &self.daemon.pid().to_string()]);
        command
    }

    /// A load with the accounts that are there.
    fn load_of_accounts(&self, words: &str) -> Command {
        let mut command = self.load(words);
        command.arg("--accounts").arg(self.accounts());
        command
    }

    /// The report of such a load, which finds nothing wrong.
    #[track_caller]
    fn clean(&self, words: &str) -> Value {
        Done::of(self.load_of_accounts(words)).report(0)
    }

    /// The same of one that measures for half a second.
    #[track_caller]
    fn measured(&self, words: &str) -> Value {
        self.clean(&format!("{words} --seconds 0.5 --warm-up 0.1"))
    }

    /// The session of the first account.
    fn first(&self) -> User {
        let text = std::fs::read_to_string(self.accounts()).unwrap();
        let token = text.split(['\t', '\n']).nth(2).unwrap();
        let mut conn = Connection::to(self.daemon.address());
        let welcome = conn.ask(v1::Hello {
            session_token: token.to_owned(),
            ..hello("reader")
        });
        let session = welcome.unwrap().session.unwrap();
        User::of(self.daemon.address(), conn, "reader", session)
    }
}

/// The bare relay, whose users are numbers. It is killed when this is dropped.
struct Relay {
    process: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Relay {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(relay_binary())
            .args(["--log-bytes", "1048576", "--data-dir"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        // It says no more than this.
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ");
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            let _ = process.kill();
            panic!("the relay said {line:?}, and ended: {:?}", process.wait());
        };
        Self {
            process,
            address,
            _directory: directory,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
fn count(report: &Value, name: &str) -> u64 {
    report[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {report}"))
}

/// Whatever was sent arrived, `receivers` times.
#[track_caller]
fn arrived(report: &Value, receivers: u64) {
    let sent = count(report, "sent");
    assert!(sent > 0, "{report}");
    assert_eq!(count(report, "acked"), sent, "{report}");
    assert_eq!(count(report, "delivered"), sent * receivers, "{report}");
    for name in ["lost", "duplicated", "misordered", "corrupted"] {
        assert_eq!(count(report, name), 0, "{report}");
    }
}

#[test]
fn a_chat_reports_what_was_sent_and_how_long_it_took() {
    let bench = Bench::new();
    let closed = bench.measured("chat --pairs 4 --window 4");
    arrived(&closed, 1);
    for name in [
        "seconds",
        "acked_per_s",
        "delivered_per_s",
        "ack_p50_us",
        "ack_p99_us",
        "ack_p999_us",
        "deliver_p50_us",
        "deliver_p99_us",
        "deliver_p999_us",
        "server_cpu_us_per_delivered",
        "load_cpu_us_per_delivered",
    ] {
        assert!(closed[name].is_number(), "{name} in {closed}");
    }
    let open = bench.measured("chat --pairs 4 --rate 200");
    arrived(&open, 1);
    // As many as were meant to be sent in half a second, whatever became of them.
    assert_eq!(count(&open, "sent"), 100);
    let verified = bench.clean("verify");
    assert_eq!(count(&verified, "accounts"), ACCOUNTS as u64);
    assert!(count(&verified, "messages") >= 2 * (count(&closed, "sent") + 100));
}

#[test]
fn a_slow_reader_has_everything_in_the_end() {
    let bench = Bench::new();
    let report = bench.measured("chat --pairs 4 --slow 25 --window 8");
    arrived(&report, 1);
    assert!(report["slow_deliver_p50_us"].is_number(), "{report}");
}

#[test]
fn groups_and_fan_outs_reach_every_member() {
    let bench = Bench::new();
    arrived(&bench.measured("group --groups 2 --members 5 --senders 2"), 4);
    arrived(&bench.measured("fanout --members 11"), 11);
    let verified = bench.clean("verify");
    assert_eq!(count(&verified, "holes"), 0);
}

#[test]
fn every_door_carries_a_load() {
    let bench = Bench::encrypted();
    let ca = bench.directory.path().join("cert.pem");
    let tls = format!("--door tls --ca {}", ca.display());
    for door in [tls.as_str(), "--door websocket", "--door http"] {
        arrived(&bench.measured(&format!("{door} chat --pairs 4 --window 4")), 1);
        arrived(
            &bench.measured(&format!("{door} group --groups 2 --members 5 --senders 1")),
            4,
        );
    }
    bench.clean(&format!("{tls} idle --connections 10 --seconds 0.5"));
    let verified = bench.clean("verify");
    assert_eq!(count(&verified, "holes"), 0);
}

#[test]
fn several_processes_report_as_one() {
    let bench = Bench::new();
    let report = bench.measured("chat --processes 2 --pairs 6 --rate 200");
    arrived(&report, 1);
    assert_eq!(count(&report, "sent"), 100);
}

#[test]
fn idle_clients_hear_their_pongs() {
    let bench = Bench::new();
    let report = bench.clean("idle --connections 10 --seconds 0.5 --heartbeat 0.25");
    assert_eq!(count(&report, "connections"), 10);
    assert!(count(&report, "pings") >= 10);
    assert_eq!(count(&report, "pongs"), count(&report, "pings"));
}

#[test]
fn clients_log_in_with_tokens_and_with_passwords() {
    let bench = Bench::new();
    let report = bench.measured("login --clients 4");
    assert!(count(&report, "logins") > 0);
    // Without a file of accounts they are registered first, and have passwords.
    let passwords = bench.load("login --clients 1 --passwords --follow --seconds 0.5 --warm-up 0");
    Done::of(passwords).report(0);
}

#[test]
fn clients_that_were_away_fetch_what_waited() {
    let bench = Bench::new();
    let report = bench.clean("sync --clients 3 --messages 700 --at-once 2");
    arrived(&report, 1);
    assert_eq!(count(&report, "delivered"), 2_100);
}

#[test]
fn a_stranger_is_measured_beside_an_attack() {
    let bench = Bench::new();
    let words = "attack --seconds 0.2 --sessions 2 --in-flight 4 --stays 3";
    let report = Done::of(imbench(bench.daemon.address(), words)).report(0);
    for count in ["calm_rounds", "attacked_rounds", "attack_pages"] {
        assert!(report[count].as_u64().unwrap() > 0, "{report}");
    }
    assert!(report["attacked_history_p99_us"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_times_of_answers_about_strangers_are_compared() {
    let bench = Bench::new();
    let report = Done::of(imbench(bench.daemon.address(), "strangers --asks 20")).report(0);
    assert_eq!(count(&report, "asks"), 400);
    for phase in ["stranger", "blocked"] {
        for act in ["watch_presence", "get_users", "typing", "unstored", "send"] {
            let share = report[format!("{phase}_{act}_longer")].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&share), "{report}");
            assert!(report[format!("{phase}_{act}_online_p50_us")].as_f64().unwrap() > 0.0);
        }
    }
}

#[test]
fn everyone_comes_back_after_a_restart() {
    let mut bench = Bench::new();
    // Without the daemon's process, which is not to stay.
    let mut load = imbench(
        bench.daemon.address(),
        "storm --connections 8 --rate 100 --before 0.2",
    );
    load.arg("--accounts")
        .arg(bench.accounts())
        // Waits for a sign that the daemon is up again, having given one that everyone is logged in.
        .arg("--restart-command")
        .arg("touch \"$STORM/begun\"; until [ -e \"$STORM/done\" ]; do sleep 0.05; done")
        .env("STORM", bench.directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let load = load.spawn().unwrap();
    let begun = bench.directory.path().join("begun");
    let until = std::time::Instant::now() + tests::harness::PATIENCE;
    while !begun.exists() {
        assert!(std::time::Instant::now() < until, "nobody asked for the restart");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    bench.daemon.restart();
    std::fs::write(bench.directory.path().join("done"), "").unwrap();
    let report = Done::new(load.wait_with_output().unwrap()).report(0);
    arrived(&report, 1);
    assert_eq!(count(&report, "connections"), 8);
    assert_eq!(count(&report, "refused_for_good"), 0);
    for name in ["in_step_50_s", "in_step_99_s", "in_step_all_s", "attempt_all_s"] {
        assert!(report[name].is_number(), "{name} in {report}");
    }
    bench.clean("verify");
}

/// What durable chat is divided by is measured by the same load, which speaks what the relay does.
#[test]
fn the_bare_relay_loses_nothing() {
    let relay = Relay::start();
    let measured = |words: &str| {
        let words = format!("--dialect relay {words} --seconds 0.5 --warm-up 0.1");
        Done::of(imbench(relay.address, &words)).report(0)
    };
    arrived(&measured("chat --pairs 4 --window 4"), 1);
    arrived(&measured("group --groups 2 --members 5 --senders 2"), 4);
}

#[test]
fn a_message_that_is_there_twice_is_found() {
    let bench = Bench::new();
    bench.clean("chat --pairs 1 --seconds 0.1 --warm-up 0");
    let mut user = bench.first();
    let listed = user.get(v1::ListConversationsRequest {
        before: Vec::new().into(),
        limit: 10,
    });
    let conversation = listed.conversations[0].conversation_id;
    let first = user.history(conversation)[0].clone();
    user.get(v1::SendRequest {
        conversation_id: conversation,
        client_msg_id: message_id(),
        kind: first.kind,
        content: first.body.unwrap().content,
        ..v1::SendRequest::default()
    });
    let report = Done::of(bench.load_of_accounts("verify")).report(1);
    // Both people of the conversation see it.
    assert_eq!(count(&report, "duplicated"), 2);
}

#[test]
fn a_run_that_cannot_be_carried_through_says_why() {
    let bench = Bench::new();
    let done = Done::of(bench.load_of_accounts("chat --pairs 1000"));
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
    assert!(done.stderr.contains("2000 are needed"), "{}", done.stderr);
    let done = Done::of(bench.load("chat --pairs 1 --size 8 --seconds 0.1"));
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("--size"), "{}", done.stderr);
    for (words, why) in [
        ("--door tls chat --pairs 1", "--ca"),
        ("--door tls --ca /nothing chat --pairs 1", "/nothing"),
        ("--door http idle --connections 1", "over HTTP"),
        (
            "--door http group --groups 1 --members 3 --senders 2",
            "over HTTP",
        ),
        ("--door websocket --dialect mqtt chat --pairs 1", "only imserver"),
    ] {
        let done = Done::of(bench.load_of_accounts(words));
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{words}");
        assert!(done.stderr.contains(why), "{words}: {}", done.stderr);
    }
}
