//! The other end of the control socket: asks a running daemon one thing.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

use super::{LINE_BYTES_MAX, Request, Response};

/// How long an answer may take. A daemon answers what it knows.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// There is no socket, or nobody listens on it.
    #[error("no daemon is running")]
    NotRunning,
    /// It broke off, or what it said is no answer.
    #[error("the daemon did not answer: {0}")]
    NoAnswer(#[from] io::Error),
    /// It refused, for this reason.
    #[error("{0}")]
    Refused(String),
}

/// Asks the daemon of this socket.
///
/// # Errors
/// See [`AskError`].
pub(crate) fn ask(path: &Path, request: &Request) -> Result<Value, AskError> {
    let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    let mut stream = UnixStream::connect(path).map_err(|error| {
        if nobody.contains(&error.kind()) {
            AskError::NotRunning
        } else {
            AskError::NoAnswer(error)
        }
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream)
        .take(u64::from(LINE_BYTES_MAX))
        .read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    match serde_json::from_slice(&answer).map_err(io::Error::from)? {
        Response::Ok(value) => Ok(value),
        Response::Error(why) => Err(AskError::Refused(why)),
    }
}
