//! A server's directory, and the watchdog that ends the server and removes the directory when the test process
//! is gone: a test that is killed runs no destructors, and statics never do.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{Result, ServiceError};

/// It reads what runs from its standard input, whose other end only the test process holds. At the end of that
/// input it ends what runs, politely for five seconds, and removes the directory. Terminals and test runners
/// signal whole groups of processes; it is in a group of its own and deaf besides.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
pid=
while read -r word number; do
    case $word in
        run) pid=$number ;;
        idle) pid= ;;
        done) exit 0 ;;
    esac
done
if [ -n "$pid" ]; then
    kill -s "$1" "$pid"
    tries=50
    while [ "$tries" -gt 0 ] && kill -0 "$pid"; do
        sleep 0.1
        tries=$((tries - 1))
    done
    kill -s KILL "$pid"
fi
rm -rf -- "$2"
"#;

/// A directory that vanishes with its value or with this process.
#[derive(Debug)]
pub(crate) struct Directory {
    directory: TempDir,
    watchdog: Child,
}

impl Directory {
    /// A new one. `signal` is what ends the server that will use it at once, as `kill -s` names it.
    pub(crate) fn new(signal: &str) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("imserver-test-")
            .tempdir()
            .map_err(ServiceError::because("cannot make a directory"))?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", signal])
            .arg(directory.path())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ServiceError::because("cannot start `sh`"))?;
        Ok(Self { directory, watchdog })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// This process runs and is to end with us.
    pub(crate) fn runs(&mut self, pid: u32) {
        self.tell(&format!("run {pid}\n"));
    }

    /// Nothing runs. To be said before the process is waited for: later its number may be another's.
    pub(crate) fn idle(&mut self) {
        self.tell("idle\n");
    }

    fn tell(&mut self, words: &str) {
        if let Some(pipe) = &mut self.watchdog.stdin {
            // Without its watchdog a server still ends with its value.
            let _ = pipe.write_all(words.as_bytes());
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.tell("done\n");
        self.watchdog.stdin = None;
        let _ = self.watchdog.wait();
    }
}
