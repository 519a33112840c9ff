//! What is refused over HTTP is counted, whether or not it came to a command, and as what it is.

use std::collections::BTreeMap;

use protocol::v1;
use serde_json::json;
use tests::harness::{Events, Setup, Web, hello, socket::Socket};

use super::{admin_of, scrape};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// The values of all series.
fn values(admin: std::net::SocketAddr) -> BTreeMap<String, f64> {
    let text = scrape(admin);
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        })
        .collect()
}

fn refusals(values: &BTreeMap<String, f64>) -> Vec<(&str, f64)> {
    let named = values.iter().filter_map(|(series, value)| {
        let rest = series.strip_prefix("imserver_http_refusals_total{reason=\"")?;
        Some((rest.strip_suffix("\"}")?, *value))
    });
    named.collect()
}

#[test]
fn every_refusal_over_http_is_counted_by_its_reason() {
    let daemon = Setup::config(&format!("{ADMIN}[timeouts]\nframe_ms = 300\n")).start();
    let (address, admin) = (daemon.address(), admin_of(&daemon));
    let mut web = Web::to(address);
    let ann = web.register("ann");
    let bearer = format!("Bearer {}", ann.token);
    assert_eq!(refusals(&values(admin)), []);
    for (method, target, headers, status) in [
        ("GET", "/nowhere", &[][..], 404),
        ("DELETE", "/", &[], 405),
        ("GET", "/v1/socket", &[], 426),
        ("GET", "/", &[("Origin", "http://evil.example")], 403),
        ("POST", "/v1/call/nothing", &[], 404),
        ("POST", "/v1/call/send", &[], 401),
        ("POST", "/v1/events/ticket", &[], 401),
        ("GET", "/v1/events?ticket=none", &[], 401),
        (
            "GET",
            "/v1/events?since=x",
            &[("Authorization", bearer.as_str())],
            400,
        ),
    ] {
        assert_eq!(
            web.request(method, target, headers, "").status,
            status,
            "{target}"
        );
    }
    for (bytes, status) in [
        ("GET  / HTTP/1.1\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
            413,
        ),
        ("GET / HTTP/1.1\r\nHost:", 408),
    ] {
        let mut other = Web::to(address);
        other.write(bytes);
        assert_eq!(other.response().status, status);
    }
    let expected = [
        ("forbidden", 1.0),
        ("frame_too_large", 1.0),
        ("invalid", 1.0),
        ("not_found", 1.0),
        ("protocol", 3.0),
        ("timeout", 1.0),
        ("unauthenticated", 3.0),
        ("unknown_command", 1.0),
    ];
    assert_eq!(refusals(&values(admin)), expected);
    // What the session machine or what is behind it refuses is the command's.
    let body = json!({"user_ids": vec!["1"; 1_001]}).to_string();
    assert_eq!(web.call(&ann.token, "get_users", &body).status, 400);
    let before = values(admin);
    assert_eq!(
        before[r#"imserver_requests_total{command="get_users",outcome="too_many"}"#],
        1.0
    );
    assert_eq!(refusals(&before), expected);
    // So is a token that is none: it was to be a send, on a connection that asked for something else before.
    assert_eq!(web.call(&format!("imt1_{:060x}", 7), "send", "{}").status, 401);
    let after = values(admin);
    assert_eq!(
        after[r#"imserver_requests_total{command="send",outcome="unauthenticated"}"#],
        1.0
    );
    let get_users = |values: &BTreeMap<String, f64>| -> f64 {
        let of = |series: &&String| series.starts_with("imserver_requests_total{command=\"get_users\"");
        values.keys().filter(of).map(|series| values[series]).sum()
    };
    assert_eq!(get_users(&after), get_users(&before));
    assert_eq!(refusals(&after), expected);
    // A stream begins with a sync, and is counted as one.
    let syncs =
        |values: &BTreeMap<String, f64>| values[r#"imserver_requests_total{command="sync",outcome="ok"}"#];
    let before = syncs(&after);
    Events::open(address, &ann.token).synced();
    assert_eq!(syncs(&values(admin)), before + 1.0);
}

#[test]
fn who_is_turned_away_over_http_is_counted() {
    let daemon = Setup::config(&format!("{ADMIN}[limits]\nconnections = 2\n")).start();
    let admin = admin_of(&daemon);
    let mut native = daemon.connect();
    native.ask(hello("one")).unwrap();
    let mut socket = Socket::open(daemon.address());
    socket.ask(hello("two")).unwrap();
    assert_eq!(Web::to(daemon.address()).get("/healthz").status, 503);
    assert_eq!(refusals(&values(admin)), [("overloaded", 1.0)]);
    socket.ask(v1::Ping {}).unwrap();
}
