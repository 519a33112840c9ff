//! Under systemd: what a supervisor is told, and the unit of `packaging`.

use std::{
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tests::harness::{Daemon, Setup};

use super::PATIENCE;

/// Points of exposure that `systemd-analyze security` may find at the unit, in tenths; 0 is the best, 100 the worst.
const EXPOSURE_MAX: &str = "15";

fn told(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 1_024];
    let length = socket.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[test]
fn a_supervisor_is_told_when_it_serves_reads_its_settings_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut daemon = Setup {
        environment: vec![("NOTIFY_SOCKET".to_owned(), path.into())],
        // Without a terminal, as supervisors start it.
        wrapper: vec!["setsid".into()],
        ..Setup::default()
    }
    .start();
    let ready = format!("READY=1\nSTATUS={}\n", daemon.address());
    assert_eq!(told(&socket), ready);
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    assert_eq!(told(&socket), "RELOADING=1\n");
    assert_eq!(told(&socket), ready);
    daemon.ask_to_end();
    assert!(told(&socket).starts_with("STOPPING=1\n"));
    assert!(daemon.ended().success());
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_hardened() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/imserver.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    // The program that is installed need not be on this machine.
    let program = Daemon::binary();
    let unit = unit.replace("/usr/bin/imserver", program.to_str().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("imserver.service");
    std::fs::write(&file, unit).unwrap();
    let analyze = |arguments: &[&str]| {
        let done = Command::new("systemd-analyze")
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .expect("systemd-analyze, of the package systemd");
        let said = [done.stdout, done.stderr].concat();
        (done.status, String::from_utf8_lossy(&said).into_owned())
    };
    let (status, said) = analyze(&["verify", "--man=no"]);
    assert!(status.success() && said.is_empty(), "{said}");
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (status, said) = analyze(&["security", "--offline=true", "--no-pager", &threshold]);
    assert!(status.success(), "{said}");
}
