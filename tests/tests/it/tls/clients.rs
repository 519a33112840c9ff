//! The client and `im` over TLS: whom they believe, and which server they try.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use client::{
    Client, Device, Error, Options, Pin, Trust, Update,
    link::Identity,
    sync::{Snapshot, Start},
};
use protocol::v1;
use tempfile::TempDir;
use tests::harness::{Daemon, PASSWORD, PATIENCE, im_binary};

use super::{Pki, program};

struct Im {
    server: String,
    profile: TempDir,
}

struct Done {
    code: Option<i32>,
    said: String,
}

impl Im {
    fn of(server: String) -> Self {
        Self {
            server,
            profile: TempDir::new().unwrap(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let server = ["--server", self.server.as_str()];
        self.run_as_remembered(&[&server, arguments].concat())
    }

    /// Without a server: the profile knows it.
    fn run_as_remembered(&self, arguments: &[&str]) -> Done {
        let output = Command::new(im_binary())
            .arg("--profile")
            .arg(self.profile.path())
            .args(arguments)
            .env("IM_PASSWORD", PASSWORD)
            .env_remove("IM_SERVER")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Done {
            code: output.status.code(),
            said: String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
        }
    }
}

/// By the name that the certificate is for.
fn named(daemon: &Daemon) -> String {
    format!("tls://localhost:{}", daemon.address().port())
}

/// The pin of a certificate's key, as the manual says it is made.
fn pin(certificate: &Path) -> String {
    let mut key = program("openssl")
        .args(["x509", "-pubkey", "-noout", "-in"])
        .arg(certificate)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut der = program("openssl")
        .args(["pkey", "-pubin", "-outform", "DER"])
        .stdin(key.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let digest = program("openssl")
        .args(["dgst", "-sha256", "-r"])
        .stdin(der.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert!(key.wait().unwrap().success() && der.wait().unwrap().success());
    let text = String::from_utf8(digest.stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn im_believes_what_it_was_told_to_believe_and_remembers_it() {
    let pki = Pki::new();
    let daemon = pki.at_localhost();
    let authorities = pki.authorities();
    let authorities = authorities.to_str().unwrap();

    // The system knows nothing of this authority.
    let im = Im::of(named(&daemon));
    let refused = im.run(&["register", "ada"]);
    assert_eq!(refused.code, Some(3), "{}", refused.said);
    assert!(
        refused.said.contains("certificate") || refused.said.contains("authorities"),
        "{}",
        refused.said
    );

    assert!(refused.said.contains("not trusted"), "{}", refused.said);

    let done = im.run(&["--ca", authorities, "register", "ada"]);
    assert_eq!(done.code, Some(0), "{}", done.said);
    let done = im.run_as_remembered(&["send", "@self", "over TLS"]);
    assert_eq!(done.code, Some(0), "{}", done.said);

    let bob = Im::of(named(&daemon));
    let wrong = "00".repeat(32);
    let refused = bob.run(&["--pin", &wrong, "register", "bob"]);
    assert_eq!(refused.code, Some(3), "{}", refused.said);
    let right = pin(&pki.path("cert.pem"));
    assert!(
        refused.said.contains(&right),
        "the key that came is shown: {}",
        refused.said
    );
    let done = bob.run(&["--pin", &right, "register", "bob"]);
    assert_eq!(done.code, Some(0), "{}", done.said);
    let done = bob.run_as_remembered(&["whoami"]);
    assert_eq!(done.code, Some(0), "{}", done.said);
    // Another key is another server.
    pki.renew();
    daemon.ask_to_reload();
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        let done = bob.run_as_remembered(&["send", "@self", "x"]);
        if done.code != Some(0) {
            break done;
        }
        assert!(Instant::now() < deadline);
    };
    assert_eq!(refused.code, Some(3), "{}", refused.said);
    assert!(refused.said.contains("not trusted"), "{}", refused.said);

    let usage = im.run(&["--pin", "12", "whoami"]);
    assert_eq!(usage.code, Some(2), "{}", usage.said);
    let plain = Im::of(format!("tls://127.0.0.1:{}", daemon.address().port()));
    let refused = plain.run(&["--ca", authorities, "register", "carol"]);
    assert_eq!(refused.code, Some(3), "it is for another name: {}", refused.said);
}

/// Somebody must look at it, so nobody is made to wait for it; and a server that is trusted is found behind one that is not.
#[test]
fn a_certificate_that_is_not_trusted_is_told_at_once() {
    const LONG: Duration = Duration::from_secs(100_000);
    let pki = Pki::new();
    let daemon = pki.at_localhost();
    let ada = daemon.register("ada");
    let options = |server: String, trust: Trust| Options {
        server,
        trust,
        identity: Identity {
            device: v1::Device {
                device_id: ada.device.clone(),
                ..v1::Device::default()
            },
            program: "test".to_owned(),
            token: Some(ada.token.clone()),
        },
    };
    let wrong: Pin = "00".repeat(32).parse().unwrap();
    let other = Pki::new();
    let at_number = format!("tls://127.0.0.1:{}", daemon.address().port());
    for (server, trust) in [
        (named(&daemon), Trust::Pin(wrong)),
        (named(&daemon), Trust::Authorities(other.authorities())),
        (named(&daemon), Trust::Authorities(pki.path("key.pem"))),
        // A certificate for another name.
        (at_number, Trust::Authorities(pki.authorities())),
        (format!("{0},{0}", named(&daemon)), Trust::Pin(wrong)),
    ] {
        let (client, events) = Client::connect(options(server, trust)).unwrap();
        drop(events);
        // Each of them waits until it is told, and would be repeated for a day.
        for _ in 0..2 {
            let error = client
                .ask_until_definite(v1::ListDevicesRequest {}, LONG)
                .unwrap_err();
            assert!(matches!(&error, Error::Untrusted(_)), "{error:?}");
        }
    }
    let both = format!("{},{}", named(&daemon), daemon.address());
    let (client, events) = Client::connect(options(both, Trust::Pin(wrong))).unwrap();
    drop(events);
    client.ask(v1::ListDevicesRequest {}, PATIENCE).unwrap();
}

/// Both directions at once, with bodies of several records, and a server that goes away and comes back.
#[test]
fn a_device_stays_in_step_over_tls() {
    let pki = Pki::new();
    let mut daemon = pki.daemon();
    let key: Pin = pin(&pki.path("cert.pem")).parse().unwrap();
    let ada = daemon.register("ada");
    let own = ada.own();
    let options = Options {
        server: format!("tls://{}", daemon.address()),
        trust: Trust::Pin(key),
        identity: Identity {
            device: v1::Device {
                device_id: ada.device.clone(),
                ..v1::Device::default()
            },
            program: "test".to_owned(),
            token: Some(ada.token.clone()),
        },
    };
    drop(ada);
    let (client, events) = Client::connect(options).unwrap();
    let sender = client.clone();
    let mut device = Device::new(client, events, Snapshot::default(), Start::Beginning);
    let body = |number: usize| format!("{number} {}", "x".repeat(3_000));
    let writer = std::thread::spawn(move || {
        for number in 0..60 {
            sender
                .send(tests::harness::text(own, &body(number)), PATIENCE)
                .unwrap();
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let (mut applied, mut restarted) = (Vec::new(), false);
    while applied.len() < 60 {
        assert!(Instant::now() < deadline, "{} of 60", applied.len());
        let Some(update) = device.next(Instant::now() + Duration::from_secs(1)) else {
            continue;
        };
        if let Update::Event(event) = update {
            applied.push(event.seq);
            if applied.len() == 20 && !restarted {
                restarted = true;
                daemon.restart();
            }
        }
    }
    writer.join().unwrap();
    assert_eq!(applied, (1..=60).collect::<Vec<u64>>());
}

#[test]
fn a_server_that_is_out_of_reach_is_passed_over() {
    let daemon = Daemon::start();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let im = Im::of(format!("{gone},{}", daemon.address()));
    let done = im.run(&["register", "ada"]);
    assert_eq!(done.code, Some(0), "{}", done.said);
    let done = im.run_as_remembered(&["send", "@self", "found"]);
    assert_eq!(done.code, Some(0), "{}", done.said);
    let done = Im::of("nowhere".to_owned()).run(&["whoami"]);
    assert_eq!(done.code, Some(2), "{}", done.said);
}
