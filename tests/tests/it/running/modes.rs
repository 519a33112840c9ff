//! A store's files are its owner's alone, whatever the umask and the directory.

use std::{ffi::OsString, os::unix::fs::PermissionsExt, path::Path};

use tests::harness::{Daemon, Setup};

use super::run;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every file in the directory and how it may be used.
fn modes(directory: &Path) -> Vec<(String, u32)> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut modes: Vec<_> = files
        .map(|file| {
            (
                file.file_name().to_string_lossy().into_owned(),
                mode(&file.path()),
            )
        })
        .collect();
    modes.sort();
    modes
}

fn with_umask(umask: &str, data_dir: &Path) -> Setup {
    let wrapper = ["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"];
    Setup {
        wrapper: wrapper.iter().map(OsString::from).collect(),
        data_dir: Some(data_dir.to_owned()),
        ..Setup::default()
    }
}

#[test]
fn the_umask_and_the_directory_open_nothing() {
    for umask in ["000", "022", "077"] {
        let place = tempfile::tempdir().unwrap();
        // A directory that was there, and that everybody may enter.
        let data = place.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut daemon = with_umask(umask, &data).start();
        let mut ann = daemon.register("ann");
        let own = ann.own();
        ann.text(own, "a secret");
        let open = modes(&data);
        let names: Vec<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
        for file in [
            "imserver.db",
            "imserver.db-wal",
            "imserver.db-shm",
            "imserver.db.lock",
            "imserver.db.witness",
        ] {
            assert!(names.contains(&file), "{names:?}");
        }
        assert!(
            open.iter().all(|(_, mode)| *mode == 0o600),
            "umask {umask}: {open:?}"
        );
        let backup = data.join("backup.db");
        let shell = format!(
            "umask {umask}; exec {:?} backup --to {:?} --data-dir {:?}",
            Daemon::binary(),
            backup,
            data
        );
        let made = std::process::Command::new("sh")
            .args(["-c", &shell])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        daemon.kill();
        let restored = place.path().join("restored");
        let paths = [&backup, &restored].map(|path| path.display().to_string());
        let ended = run(&["restore", "--from", &paths[0], "--data-dir", &paths[1]]);
        assert!(ended.status.success(), "{ended:?}");
        for directory in [&data, &restored] {
            let files = modes(directory);
            assert!(
                files.iter().all(|(_, mode)| *mode == 0o600),
                "umask {umask}: {files:?}"
            );
        }
    }
}

#[test]
fn a_file_that_was_open_to_others_is_closed_with_a_word() {
    let mut daemon = Daemon::start();
    daemon.kill();
    for (name, _) in modes(&daemon.data_dir()) {
        let path = daemon.data_dir().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    daemon.start_again();
    let after = modes(&daemon.data_dir());
    assert!(after.iter().all(|(_, mode)| *mode == 0o600), "{after:?}");
    let said = super::logged(&daemon, &["could be used by others (mode 644)", "imserver.db "]);
    assert!(said.contains("WARN"), "{said}");
}
