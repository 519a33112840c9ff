//! `tests/document`, a client in another language that was written from docs/PROTOCOL.md alone, checks each sentence of
//! it against the daemon.

use std::{path::Path, process::Command};

use tests::harness::Setup;

#[test]
fn a_client_written_from_the_document_alone_finds_nothing_that_differs() {
    let python = match services::find_python() {
        Ok(python) => python,
        Err(error) => panic!("{error}"),
    };
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let checks = top.join("tests/document/document.py");
    let configured = Command::new(&python)
        .arg("-B")
        .arg(&checks)
        .arg("--configuration")
        .output()
        .unwrap();
    assert!(configured.status.success(), "{configured:?}");
    let daemon = Setup::config(&String::from_utf8(configured.stdout).unwrap()).start();
    let checked = Command::new(&python)
        .arg("-B")
        .arg(&checks)
        .args(["--server", &daemon.address().to_string()])
        .arg("--document")
        .arg(top.join("docs/PROTOCOL.md"))
        .output()
        .unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    let last = said.lines().last().unwrap_or_default();
    // The number of statements says that none of the sections was left out.
    let statements = last.strip_suffix(" statements checked, 0 differ");
    let statements = statements.and_then(|number| number.parse().ok());
    assert!(
        checked.status.success() && statements >= Some(1_035),
        "{said}{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}
