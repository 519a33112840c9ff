//! Prometheus' own programs: its linter is content with what is served, and a real server scrapes it.

use std::{
    io::Write,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use protocol::v1;
use tests::harness::Setup;

use super::{admin_of, get, scrape};
use crate::cluster::until;

/// Ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_reads_what_its_linter_finds_well_named() {
    let daemon = Setup::config("[admin]\nlisten = \"127.0.0.1:0\"\n").start();
    let mut ann = daemon.register("ann");
    ann.text(ann.own(), "a note");
    ann.get(v1::WatchPresenceRequest {
        user_ids: vec![ann.id],
    });
    let admin = admin_of(&daemon);

    let mut linter = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: install the package `prometheus`");
    linter
        .stdin
        .take()
        .unwrap()
        .write_all(scrape(admin).as_bytes())
        .unwrap();
    let checked = linter.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.trim().is_empty(), "{said}");

    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("prometheus.yml");
    let scraping = format!(
        "scrape_configs:\n  - job_name: imserver\n    scrape_interval: 1s\n    static_configs:\n      - targets: [\"{admin}\"]\n"
    );
    std::fs::write(&config, scraping).unwrap();
    // Its own choice of a port would not be told.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            place.path().join("data").display()
        ))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus: install the package `prometheus`");
    let _running = Running(server);
    until("it listens", || std::net::TcpStream::connect(free).is_ok());
    let value = |query: &str| -> Option<String> {
        let (status, response) = get(free, &format!("/api/v1/query?query={query}"), "");
        let body = response.split_once('{').map(|(_, body)| format!("{{{body}"))?;
        let body: serde_json::Value = serde_json::from_str(body.trim_end_matches(['\r', '\n', '0'])).ok()?;
        (status == 200).then(|| body["data"]["result"][0]["value"][1].as_str().map(str::to_owned))?
    };
    until("it is up", || value("up").as_deref() == Some("1"));
    until("it has a metric of ours", || {
        value("imserver_sessions").as_deref() == Some("1")
    });
    until("the newest are read, too", || {
        value("imserver_presence_watches").as_deref() == Some("1")
    });
    let sends = "imserver_requests_total%7Bcommand=%22send%22,outcome=%22ok%22%7D";
    until("labels are there", || value(sends).as_deref() == Some("1"));
    let times = "imserver_request_seconds_count%7Bcommand=%22send%22%7D";
    until("histograms are read", || value(times).as_deref() == Some("1"));
}
