//! What OpenSSL gets: versions, names, and no second handshake.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Output, Stdio},
};

use tests::harness::Daemon;

use super::{Pki, Running, free, program};

/// `openssl s_client` with these arguments; it says this, and then that nothing more comes.
fn s_client(pki: &Pki, daemon: &Daemon, arguments: &[&str], input: &[u8]) -> (Output, String) {
    s_client_to(pki, daemon.address(), arguments, input)
}

fn s_client_to(pki: &Pki, address: SocketAddr, arguments: &[&str], input: &[u8]) -> (Output, String) {
    let mut client = program("openssl")
        .args(["s_client", "-servername", "localhost", "-connect"])
        .arg(address.to_string())
        .arg("-CAfile")
        .arg(pki.authorities())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended by then.
    let _ = client.stdin.take().unwrap().write_all(input);
    let output = client.wait_with_output().unwrap();
    let said = [output.stdout.clone(), output.stderr.clone()].concat();
    (output, String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let pki = Pki::new();
    let daemon = pki.daemon();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let arguments = [version, "-verify_return_error", "-alpn", "imserver/1"];
        let (output, said) = s_client(&pki, &daemon, &arguments, b"");
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains(name) && said.contains("Verify return code: 0 (ok)"),
            "{said}"
        );
        assert!(said.contains("ALPN protocol: imserver/1"), "{said}");
    }
    // The oldest ones are allowed here as far as the library allows anything.
    for version in ["-tls1_1", "-tls1"] {
        let (output, said) = s_client(&pki, &daemon, &[version, "-cipher", "DEFAULT:@SECLEVEL=0"], b"");
        assert!(!output.status.success(), "{said}");
        // From the other side, and not for want of what this side speaks.
        assert!(said.contains("SSL alert number"), "{said}");
    }
    for (offered, chosen) in [
        ("http/1.1", Some("http/1.1")),
        ("h2,http/1.1", Some("http/1.1")),
        ("h2,imserver/1", Some("imserver/1")),
        ("h2", None),
        ("imserver/2", None),
    ] {
        let (output, said) = s_client(&pki, &daemon, &["-alpn", offered], b"");
        match chosen {
            Some(chosen) => assert!(said.contains(&format!("ALPN protocol: {chosen}\n")), "{said}"),
            None => assert!(
                !output.status.success() && said.contains("alert no application protocol"),
                "{offered}: {said}"
            ),
        }
    }
    let (output, said) = s_client(&pki, &daemon, &[], b"");
    assert!(
        output.status.success() && said.contains("No ALPN negotiated"),
        "{said}"
    );
}

/// A second handshake on a connection is refused, whichever renegotiation the client means; a server that allows one shows
/// what it would look like.
#[test]
fn nobody_begins_a_second_handshake() {
    let pki = Pki::new();
    let daemon = pki.daemon();
    // A line with R asks for one.
    let renegotiate = |address, arguments: &[&str]| {
        let (_, said) = s_client_to(&pki, address, arguments, b"R\n");
        assert!(said.contains("RENEGOTIATING"), "{said}");
        said
    };
    let refused = |said: &str| said.contains("no renegotiation");
    for arguments in [&["-tls1_2"][..], &["-tls1_2", "-legacy_renegotiation"]] {
        let said = renegotiate(daemon.address(), arguments);
        assert!(refused(&said), "{said}");
    }
    let address = free();
    let mut allows = program("openssl");
    allows.args(["s_server", "-client_renegotiation", "-tls1_2", "-www", "-accept"]);
    allows.arg(address.to_string());
    allows.arg("-cert").arg(pki.path("cert.pem"));
    allows.arg("-key").arg(pki.path("key.pem"));
    let _allows = Running::start(&mut allows, address, &pki.path("none"));
    let said = renegotiate(address, &["-tls1_2"]);
    assert!(!refused(&said) && said.contains("DONE"), "{said}");
    daemon.register("ada");
}
