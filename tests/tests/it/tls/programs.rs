//! What OpenSSL gets: versions, names, and no second handshake.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use tests::harness::Daemon;

use super::{Pki, program};

/// `openssl s_client` with these arguments; it says this, and then that nothing more comes.
fn s_client(pki: &Pki, daemon: &Daemon, arguments: &[&str], input: &[u8]) -> (Output, String) {
    let mut client = program("openssl")
        .args(["s_client", "-servername", "localhost", "-connect"])
        .arg(daemon.address().to_string())
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
        assert!(said.contains("alert"), "{said}");
    }
    let (output, said) = s_client(&pki, &daemon, &["-alpn", "h2"], b"");
    assert!(!output.status.success() && said.contains("alert"), "{said}");
}

#[test]
fn nobody_begins_a_second_handshake() {
    let pki = Pki::new();
    let daemon = pki.daemon();
    // A line with R asks for one.
    let (_, said) = s_client(&pki, &daemon, &["-tls1_2"], b"R\n");
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(
        said.contains("no renegotiation")
            || said.contains("alert")
            || said.contains("renegotiation disabled"),
        "{said}"
    );
    daemon.register("ada");
}
