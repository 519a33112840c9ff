//! The lock of a profile. The operating system drops it with its holder, however that ends.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{StoreError, files};

/// Time between two attempts.
const POLL: Duration = Duration::from_millis(50);
/// Bytes of a holder's description that are read.
const HOLDER_BYTES_MAX: u64 = 256;

/// Takes the lock, waiting for it at most `patience`; `holder` tells others who has it.
pub(super) fn take(directory: &Path, holder: &str, patience: Duration) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let io = |error| StoreError::Io {
        path: path.clone(),
        error,
    };
    let mut options = files::private();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked {
                    path: directory.to_owned(),
                    holder: describe(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        write!(file, "{holder}, process {}", std::process::id())
    };
    write(&mut file).map_err(io)?;
    Ok(file)
}

fn describe(file: &mut File) -> String {
    let mut text = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(HOLDER_BYTES_MAX).read_to_string(&mut text));
    if read.is_err() || text.is_empty() {
        return "another program".to_owned();
    }
    text
}
