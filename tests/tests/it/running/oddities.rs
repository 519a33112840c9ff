//! Bad, odd and hostile uses of the command line and the configuration, chosen before they were tried, each with what a
//! person would want: the exit code (0 good, 1 it cannot run so, 2 wrong usage) and what the message must name.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, Stdio},
};

use tests::harness::Daemon;

/// What a person does, and expects.
struct Odd {
    /// `DIR` is a directory of the case's own.
    arguments: &'static [&'static str],
    /// The configuration in `DIR/imserver.toml`.
    config: &'static [u8],
    environment: &'static [(&'static str, &'static str)],
    code: i32,
    named: &'static [&'static str],
}

const fn odd(arguments: &'static [&'static str], code: i32, named: &'static [&'static str]) -> Odd {
    Odd {
        arguments,
        config: b"",
        environment: &[],
        code,
        named,
    }
}

/// `--check-config` of a file.
const fn file(config: &'static [u8], code: i32, named: &'static [&'static str]) -> Odd {
    Odd {
        arguments: &["--config", "DIR/imserver.toml", "--check-config"],
        config,
        environment: &[],
        code,
        named,
    }
}

const fn variable(
    environment: &'static [(&'static str, &'static str)],
    code: i32,
    named: &'static [&'static str],
) -> Odd {
    Odd {
        arguments: &["--check-config"],
        config: b"",
        environment,
        code,
        named,
    }
}

/// In no message, whatever goes wrong.
const SECRET: &str = "hunter2";

const ODDITIES: [Odd; 84] = [
    // The command line.
    odd(&["--help"], 0, &["Usage: imserver"]),
    odd(&["--version"], 0, &["imserver "]),
    odd(&["help", "backup"], 0, &["--to"]),
    odd(&["--lisen", "127.0.0.1:0"], 2, &["--lisen", "--listen"]),
    odd(&["serve"], 2, &["serve"]),
    odd(&["--listen"], 2, &["--listen"]),
    odd(&["--listen", "7400"], 2, &["--listen", "7400", "127.0.0.1:7400"]),
    odd(&["--listen", "127.0.0.1"], 2, &["--listen", "127.0.0.1:7400"]),
    odd(
        &["--listen", "localhost:7400"],
        2,
        &["localhost", "127.0.0.1:7400"],
    ),
    odd(&["--listen", "127.0.0.1:70000"], 2, &["70000", "127.0.0.1:7400"]),
    odd(&["--listen", "::1:7400"], 2, &["::1:7400", "[::1]:7400"]),
    odd(
        &["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"],
        2,
        &["--listen"],
    ),
    odd(&["--log-level", "loud"], 2, &["loud", "debug"]),
    odd(&["--node", "two words", "--check-config"], 1, &["server.node"]),
    odd(&["--node", "", "--check-config"], 0, &["configuration ok"]),
    odd(&["--data-dir", ""], 2, &["--data-dir"]),
    odd(&["--data-dir", "/proc/nothing"], 1, &["/proc/nothing"]),
    odd(&["--data-dir", "DIR/imserver.toml"], 1, &["DIR/imserver.toml"]),
    odd(
        &["--data-dir", "DIR/imserver.toml/below"],
        1,
        &["DIR/imserver.toml/below"],
    ),
    // Where to store.
    odd(&["--store", "", "--check-config"], 0, &["configuration ok"]),
    odd(&["--store", "sqlite:"], 1, &["sqlite:", "file"]),
    odd(&["--store", "sqlite:DIR/none/im.db"], 1, &["DIR/none/im.db"]),
    odd(&["--store", "DIR/im.db"], 1, &["sqlite:PATH"]),
    odd(&["--store", "mysql://ann:hunter2@db/im"], 1, &["postgres://"]),
    odd(&["--store", "postgres://"], 1, &["postgresql://user@host"]),
    odd(
        &["--store", "postgres://ann:hunter2@127.0.0.1:1/im"],
        1,
        &["PostgreSQL"],
    ),
    odd(
        &["--store", "postgres://ann:hunter2@127.0.0.1:99999/im"],
        1,
        &["PostgreSQL"],
    ),
    odd(
        &["--store", "postgres://ann@192.0.2.1/im?sslmode=disable"],
        1,
        &["sslmode=require"],
    ),
    odd(
        &["--redis", "redis://127.0.0.1:1"],
        1,
        &["redis.url", "PostgreSQL"],
    ),
    odd(&["--redis", "http://:hunter2@cache"], 1, &["redis://"]),
    odd(
        &["nodes", "--redis", "redis://:hunter2@ca che"],
        1,
        &["redis.url"],
    ),
    // The file itself.
    odd(&["--config", "DIR/none.toml"], 1, &["DIR/none.toml"]),
    odd(&["--config", ""], 2, &["--config"]),
    odd(&["--config", "DIR"], 1, &["DIR"]),
    odd(&["--config", "/dev/zero"], 1, &["/dev/zero", "larger"]),
    file(b"\xff\xfe[server]\n", 1, &["imserver.toml", "UTF-8"]),
    file(b"", 0, &["configuration ok"]),
    file(
        b"# nothing\r\n[server]\r\nloops = 1\r\n",
        0,
        &["configuration ok"],
    ),
    file(b"\xef\xbb\xbf[server]\nloops = 1\n", 0, &["configuration ok"]),
    file(b"\0\0\0", 1, &["line 1"]),
    file(b"[server\nloops = 1\n", 1, &["line 1"]),
    file(b"loops = 1\n", 1, &["line 1", "loops"]),
    file(b"[servers]\nloops = 1\n", 1, &["line 1", "servers", "server"]),
    file(b"[server]\nlops = 1\n", 1, &["line 2", "lops", "loops"]),
    file(b"[server]\nloops = 1\nloops = 2\n", 1, &["line 3", "loops"]),
    file(
        b"[server]\nloops = 1\n[server]\nworkers = 1\n",
        1,
        &["line 3", "server"],
    ),
    file(b"server = 1\n", 1, &["line 1", "server"]),
    file(b"[limits.text_bytes]\n", 1, &["line 1"]),
    // Values.
    file(b"[server]\nloops = -1\n", 1, &["line 2", "server.loops"]),
    file(b"[server]\nloops = 1.5\n", 1, &["line 2", "server.loops"]),
    file(b"[server]\nloops = \"2\"\n", 1, &["line 2", "server.loops"]),
    file(
        b"[server]\nloops = 256\n",
        1,
        &["server.loops is 256", "0 to 255"],
    ),
    file(
        b"[server]\nloops = 99999999999999999999\n",
        1,
        &["line 2", "server.loops"],
    ),
    file(
        b"[server]\nlisten = \"localhost:7400\"\n",
        1,
        &["line 2", "server.listen", "127.0.0.1:7400"],
    ),
    file(b"[server]\nlisten = 7400\n", 1, &["line 2", "server.listen"]),
    file(b"[server]\nnode = \"a\\tb\"\n", 1, &["server.node"]),
    file(
        b"[groups]\nreceipts_up_to = 4294967295\n",
        1,
        &["groups.receipts_up_to", "10000"],
    ),
    file(
        b"[timeouts]\nreconnect_spread_ms = 4294967295\n",
        1,
        &["timeouts.reconnect_spread_ms"],
    ),
    file(
        b"[timeouts]\nheartbeat_ms = 40000\n",
        1,
        &["timeouts.idle_ms", "timeouts.heartbeat_ms"],
    ),
    file(
        b"[limits]\nframe_bytes = 4096\n",
        1,
        &["limits.text_bytes", "3072"],
    ),
    file(
        b"[limits]\nexempt = [\"10.0.0.0/33\"]\n",
        1,
        &["limits.exempt", "10.0.0.0/33"],
    ),
    file(
        b"[cluster]\nadvertise = \"chat.example.org\"\n",
        1,
        &["cluster.advertise", "port"],
    ),
    file(
        b"[cluster]\nadvertise = \"0.0.0.0:7400\"\n",
        1,
        &["cluster.advertise", "HOST:PORT"],
    ),
    file(b"[redis]\nprefix = \"*\"\n", 1, &["redis.prefix"]),
    file(
        b"[redis]\nhints = \"pigeons\"\n",
        1,
        &["redis.hints", "pigeons", "streams"],
    ),
    file(
        b"[store]\nurl = \"mysql://ann:hunter2@db/im\"\n",
        1,
        &["store.url", "postgres://"],
    ),
    file(
        b"[store]\nfailover = \"yes\"\n",
        1,
        &["store.failover", "lossless"],
    ),
    file(
        b"[accounts]\nregistration = \"no\"\n",
        1,
        &["accounts.registration"],
    ),
    file(b"[log]\nlevel = \"loud\"\n", 1, &["log.level", "debug"]),
    odd(
        &[
            "--config",
            "DIR/imserver.toml",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "DIR/d",
            "--log-level",
            "x",
        ],
        2,
        &["x"],
    ),
    // The environment.
    variable(
        &[("IMSERVER_LISTEN", "nowhere")],
        2,
        &["nowhere", "127.0.0.1:7400"],
    ),
    variable(
        &[
            ("IMSERVER_LISTEN", ""),
            ("IMSERVER_LOG_LEVEL", ""),
            ("IMSERVER_CONFIG", ""),
        ],
        0,
        &["configuration ok"],
    ),
    variable(
        &[("IMSERVER_STORE", "mysql://ann:hunter2@db/im")],
        1,
        &["postgres://"],
    ),
    variable(&[("IMSERVER_LOG_LEVEL", "loud")], 2, &["loud"]),
    // Commands.
    odd(&["nodes"], 1, &["--redis"]),
    odd(&["provision", "--count", "0", "--prefix", "a"], 2, &["--count"]),
    odd(
        &[
            "provision",
            "--count",
            "1",
            "--prefix",
            "a b",
            "--data-dir",
            "DIR/d",
        ],
        1,
        &["--prefix"],
    ),
    odd(
        &[
            "provision",
            "--count",
            "1",
            "--prefix",
            "a",
            "--data-dir",
            "DIR/d",
            "--password-file",
            "DIR/imserver.toml",
        ],
        1,
        &["DIR/imserver.toml", "8 to 128"],
    ),
    odd(
        &["backup", "--to", "DIR/b.db", "--data-dir", "DIR/d"],
        1,
        &["there is no such file", "DIR/d"],
    ),
    odd(
        &["restore", "--from", "DIR/b.db", "--data-dir", "DIR/d"],
        1,
        &["DIR/b.db"],
    ),
    odd(
        &["restore", "--from", "DIR/imserver.toml", "--data-dir", "DIR/d"],
        1,
        &["DIR/imserver.toml"],
    ),
    odd(
        &["copy", "--from", "sqlite:DIR/a.db", "--to", "sqlite:DIR/b.db"],
        1,
        &["--to"],
    ),
    odd(&["past", "show", "--data-dir", "DIR/d"], 1, &["DIR/d"]),
    odd(&["past", "new", "--data-dir", "DIR/d"], 1, &["--yes"]),
];

/// What is wrong with it; nothing if it is right.
fn tried(odd: &Odd) -> String {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display().to_string();
    let whole = |text: &str| text.replace("DIR", &place);
    std::fs::write(directory.path().join("imserver.toml"), odd.config).unwrap();
    let arguments: Vec<OsString> = odd.arguments.iter().map(|word| whole(word).into()).collect();
    let mut command = Command::new(Daemon::binary());
    command
        .args(&arguments)
        .current_dir(directory.path())
        .stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("IMSERVER_")) {
        command.env_remove(name);
    }
    command.envs(odd.environment.iter().copied());
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let mut wrong = Vec::new();
    if output.status.code() != Some(odd.code) {
        wrong.push(format!("ended with {}", output.status));
    }
    for part in odd.named {
        if !said.contains(&whole(part)) {
            wrong.push(format!("does not name {part:?}"));
        }
    }
    if said.contains(SECRET) {
        wrong.push("tells a secret".to_owned());
    }
    if said.contains("panicked") || said.contains("RUST_BACKTRACE") {
        wrong.push("panicked".to_owned());
    }
    if odd.code == 1
        && said
            .lines()
            .last()
            .is_none_or(|line| !line.starts_with("imserver: "))
    {
        wrong.push("the last line is not its own sentence".to_owned());
    }
    let left: Vec<_> = left_behind(directory.path());
    if odd.code != 0 && !left.is_empty() {
        wrong.push(format!("left {left:?} behind"));
    }
    if wrong.is_empty() {
        return String::new();
    }
    let config = String::from_utf8_lossy(odd.config);
    format!(
        "{:?} {config:?} {:?}: {}; it said:\n{said}",
        odd.arguments,
        odd.environment,
        wrong.join(", ")
    )
}

/// What was not there before.
fn left_behind(directory: &Path) -> Vec<OsString> {
    let names = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names.filter(|name| name != "imserver.toml").collect()
}

#[test]
fn every_odd_use_gets_what_a_person_would_want() {
    let wrong: Vec<String> = ODDITIES
        .iter()
        .map(tried)
        .filter(|wrong| !wrong.is_empty())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        ODDITIES.len(),
        wrong.join("\n")
    );
}
