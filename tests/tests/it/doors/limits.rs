//! Limits of calls: rates, passwords, connections, each by the address and the user they belong to, behind proxies and
//! without.

use protocol::v1::{self, ErrorCode};
use serde_json::json;
use tests::harness::{Daemon, PASSWORD, Response, Setup, Web, hello, text};

/// No address is exempt.
const STRICT: &str = "[limits]\nexempt = []\n";

fn retry_after(response: &Response) -> u32 {
    let seconds: u32 = response
        .header("retry-after")
        .expect("when to come back")
        .parse()
        .unwrap();
    let told = response.refusal().retry_after_ms;
    assert_eq!(seconds, told.div_ceil(1_000));
    seconds
}

#[test]
fn calls_beyond_the_rate_of_a_user_are_told_when_to_come_back() {
    let config = format!(
        "{STRICT}requests_burst = 20\nrequests_per_second = 1\nsends_burst = 5\nsends_per_second = 1\n"
    );
    let daemon = Setup::config(&config).start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let statuses = |count: usize, command: &str, body: &str| -> Vec<u16> {
        // However many connections they come over.
        let mut webs = [Web::to(daemon.address()), Web::to(daemon.address())];
        (0..count)
            .map(|number| {
                let response = webs[number % 2].call(&ada.token, command, body);
                if response.status == 429 {
                    assert_eq!(response.refusal().code(), ErrorCode::RateLimited);
                    assert!(retry_after(&response) > 0);
                }
                response.status
            })
            .collect()
    };
    let own = protocol::self_conversation(ada.id).unwrap().get().to_string();
    let send =
        json!({"conversation_id": own, "kind": "EVENT_KIND_TEXT", "content": {"body": "abcd"}}).to_string();
    let sends = statuses(30, "send", &send);
    assert!(sends[..4].iter().all(|status| *status == 200), "{sends:?}");
    assert!(
        sends.iter().filter(|status| **status == 429).count() >= 15,
        "{sends:?}"
    );
    let asks = statuses(60, "list_devices", "");
    assert!(
        asks.iter().filter(|status| **status == 200).count() >= 10,
        "{asks:?}"
    );
    assert!(
        asks.iter().filter(|status| **status == 429).count() >= 20,
        "{asks:?}"
    );
}

#[test]
fn wrong_tokens_are_not_tried_at_will() {
    let daemon = Setup::config(&format!("{STRICT}hellos_per_address = 10\n")).start();
    let mut statuses = Vec::new();
    for number in 0..30 {
        let mut web = Web::to(daemon.address());
        statuses.push(
            web.call(&format!("imt1_{number:060x}"), "list_devices", "")
                .status,
        );
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

/// A wrong password from behind a proxy, which says that it comes from this address.
fn guess(daemon: &Daemon, headers: &[(&str, &str)]) -> Response {
    let body = json!({"name": "ann", "password": "a guess"}).to_string();
    Web::to(daemon.address()).call_with("", "login", headers, &body)
}

fn with_ann(config: &str) -> Daemon {
    let daemon = Setup::config(config).start();
    let body = json!({"name": "ann", "password": PASSWORD}).to_string();
    // From elsewhere, where a proxy is believed: this try must not count among the others.
    let response =
        Web::to(daemon.address()).call_with("", "register", &[("X-Forwarded-For", "203.0.113.99")], &body);
    assert_eq!(response.status, 200, "{}", response.text());
    daemon
}

const BEHIND_A_PROXY: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[limits]\npasswords_per_address = 3\npasswords_per_account = 0\n";

#[test]
fn behind_a_proxy_passwords_are_limited_by_the_address_it_tells() {
    for header in ["X-Forwarded-For", "Forwarded"] {
        let told_by = format!(
            "{BEHIND_A_PROXY}[http]\ntold_by = \"{}\"\n",
            header.to_lowercase()
        );
        let daemon = with_ann(&told_by);
        let value = |address: &str| match header {
            "Forwarded" => format!("for={address};proto=https"),
            _ => address.to_owned(),
        };
        let guess = |address: &str| guess(&daemon, &[(header, &value(address))]);
        for _ in 0..3 {
            guess("192.0.2.1").is_refused(401, ErrorCode::BadCredentials);
        }
        let refused = guess("192.0.2.1");
        refused.is_refused(429, ErrorCode::RateLimited);
        assert!(retry_after(&refused) > 0);
        // Somebody else is not hurt, and whoever writes further addresses before their own is still themselves.
        guess("192.0.2.2").is_refused(401, ErrorCode::BadCredentials);
        for forged in ["198.51.100.1", "203.0.113.7", "127.0.0.1"] {
            let value = format!("{}, {}", value(forged), value("192.0.2.1"));
            super::limits::guess(&daemon, &[(header, &value)]).is_refused(429, ErrorCode::RateLimited);
        }
    }
}

#[test]
fn a_forged_header_from_anybody_else_changes_nothing() {
    // Where nobody is trusted, and where somebody else is.
    for trusted in ["", "[server]\ntrusted_proxies = [\"192.0.2.0/24\"]\n"] {
        let daemon = with_ann(&format!(
            "{trusted}[limits]\nexempt = []\npasswords_per_address = 4\npasswords_per_account = 0\n"
        ));
        let forged = |number: usize| format!("198.51.100.{number}");
        for number in 0..3 {
            guess(&daemon, &[("X-Forwarded-For", &forged(number))])
                .is_refused(401, ErrorCode::BadCredentials);
        }
        for header in [
            "X-Forwarded-For",
            "X-Real-IP",
            "True-Client-IP",
            "CF-Connecting-IP",
        ] {
            guess(&daemon, &[(header, &forged(9))]).is_refused(429, ErrorCode::RateLimited);
        }
        guess(&daemon, &[("Forwarded", "for=198.51.100.9")]).is_refused(429, ErrorCode::RateLimited);
    }
}

/// A header that says that a request was forwarded says that it is not from here, whoever wrote it: so that a proxy
/// nobody told the server of makes no stranger exempt.
#[test]
fn a_forwarded_request_is_exempt_from_nothing() {
    let daemon = Setup::config("[limits]\npasswords_per_address = 3\npasswords_per_account = 0\n").start();
    Web::to(daemon.address()).register("ann");
    for _ in 0..3 {
        guess(&daemon, &[("X-Forwarded-For", "198.51.100.1")]).is_refused(401, ErrorCode::BadCredentials);
    }
    guess(&daemon, &[("X-Forwarded-For", "198.51.100.2")]).is_refused(429, ErrorCode::RateLimited);
    // From this machine itself.
    for _ in 0..5 {
        guess(&daemon, &[]).is_refused(401, ErrorCode::BadCredentials);
    }
}

#[test]
fn once_a_proxy_is_trusted_this_machine_is_exempt_from_nothing() {
    let daemon = with_ann(BEHIND_A_PROXY);
    for _ in 0..3 {
        guess(&daemon, &[]).is_refused(401, ErrorCode::BadCredentials);
    }
    guess(&daemon, &[]).is_refused(429, ErrorCode::RateLimited);
}

#[test]
fn whoever_calls_a_full_server_is_told_so_in_http() {
    let daemon = Setup::config("[limits]\nconnections = 32\n").start();
    let mut ada = daemon.register("ada");
    let mut others: Vec<_> = (0..31).map(|_| daemon.connect()).collect();
    for conn in &mut others {
        conn.ask(hello("stranger")).unwrap();
    }
    for (method, target) in [
        ("GET", "/"),
        ("POST", "/v1/call/login"),
        ("GET", "/v1/events"),
        ("GET", "/v1/socket"),
    ] {
        let mut web = Web::to(daemon.address());
        let response = web.request(method, target, &[], "");
        response.is_refused(503, ErrorCode::Overloaded);
        assert_eq!(response.header("connection"), Some("close"));
        assert!(retry_after(&response) > 0);
        web.end();
    }
    ada.get(v1::Ping {});
}

#[test]
fn connections_of_one_address_are_counted_whichever_door_they_use() {
    let daemon = Setup::config("[limits]\nexempt = []\nconnections_per_address = 3\n").start();
    let mut ada = daemon.register("ada");
    let mut kept = Web::to(daemon.address());
    assert_eq!(kept.get("/healthz").status, 200);
    let mut other = Web::to(daemon.address());
    assert_eq!(other.get("/healthz").status, 200);
    Web::to(daemon.address())
        .get("/healthz")
        .is_refused(503, ErrorCode::Overloaded);
    assert_eq!(kept.call(&ada.token, "list_devices", "").status, 200);
    let own = ada.own();
    ada.text(own, "not disturbed");
    kept.granted(&ada.token, text(own, "nor this"));
}
