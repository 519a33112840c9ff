//! The certificate of this server: read from its files, given to the listeners, and read again when the files change. It
//! owns what TLS is told at start and later; it must never touch a connection, and those that are there keep what they
//! began with.

use std::{fs::File, io::Read, os::unix::fs::MetadataExt, path::Path};

use netcore::tls::{ClientCertificates, TlsConfigError, TlsServer};

use crate::{
    config::{Door, Tls},
    error::DaemonError,
};

/// Bytes of a file, at most. A chain has a few thousand.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The names of the doors for ALPN (RFC 7301).
const ALPN_NATIVE: &[u8] = b"imserver/1";
const ALPN_HTTP: &[u8] = b"http/1.1";

/// Whether the configured certificate can be served with.
///
/// # Errors
/// A file cannot be read, or the two do not fit each other; the text names it and says what to do.
pub fn check(tls: &Tls) -> Result<(), DaemonError> {
    match Files::read(tls)? {
        Some(files) => files.server(&[]).map(drop),
        None => Ok(()),
    }
}

/// The certificate as the listeners have it.
#[derive(Debug)]
pub(crate) struct Certificates {
    served: Vec<Served>,
    /// How the files were when they were last read, or tried to be.
    seen: Option<[Stamp; 2]>,
}

/// A listener's side.
#[derive(Debug)]
struct Served {
    handle: TlsServer,
    protocols: Vec<&'static [u8]>,
}

/// The two files, and how they were just before they were read.
struct Files<'a> {
    tls: &'a Tls,
    chain: Vec<u8>,
    key: Vec<u8>,
    stamps: Option<[Stamp; 2]>,
}

/// What changes with a file: its device and number, its size, and when it was last written in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl Certificates {
    /// Reads the files, and makes a side for each listener, by the doors that it has; `None` without a certificate.
    ///
    /// # Errors
    /// As [`check`].
    pub(crate) fn load(tls: &Tls, listeners: &[Vec<Door>]) -> Result<Option<Self>, DaemonError> {
        let Some(files) = Files::read(tls)? else {
            return Ok(None);
        };
        let serve = |doors: &Vec<Door>| {
            let protocols = protocols(doors);
            let handle = files.server(&protocols)?;
            Ok(Served { handle, protocols })
        };
        let served = listeners.iter().map(serve).collect::<Result<_, DaemonError>>()?;
        Ok(Some(Self {
            served,
            seen: files.stamps,
        }))
    }

    /// The side of the listener of this number.
    pub(crate) fn of(&self, listener: usize) -> Option<TlsServer> {
        Some(self.served.get(listener)?.handle.clone())
    }

    /// Reads the files again, for connections that come from now on.
    ///
    /// # Errors
    /// As [`check`]; then the certificate stays that was there.
    pub(crate) fn reload(&mut self, tls: &Tls) -> Result<(), DaemonError> {
        self.seen = stamps(tls);
        let Some(files) = Files::read(tls)? else {
            return Ok(());
        };
        let made = self.served.iter().map(|served| files.server(&served.protocols));
        let made = made.collect::<Result<Vec<_>, _>>()?;
        for (served, new) in self.served.iter().zip(made) {
            served.handle.replace_by(&new);
        }
        Ok(())
    }

    /// Reads the files again if they have changed; what came of it, if they have. A change that cannot be used is tried
    /// once: the other file's change follows.
    pub(crate) fn look(&mut self, tls: &Tls) -> Option<Result<(), DaemonError>> {
        let has_changed = tls.is_configured() && stamps(tls) != self.seen;
        has_changed.then(|| self.reload(tls))
    }
}

impl<'a> Files<'a> {
    fn read(tls: &'a Tls) -> Result<Option<Self>, DaemonError> {
        if !tls.is_configured() {
            return Ok(None);
        }
        // First: what changes meanwhile looks changed afterwards.
        let stamps = stamps(tls);
        Ok(Some(Self {
            tls,
            chain: read("tls.certificate", &tls.certificate)?,
            key: read("tls.key", &tls.key)?,
            stamps,
        }))
    }

    fn server(&self, protocols: &[&[u8]]) -> Result<TlsServer, DaemonError> {
        TlsServer::from_pem(&self.chain, &self.key, ClientCertificates::Unwanted, protocols)
            .map_err(|error| self.unusable(error))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the errors that one file alone causes have advice of their own"
    )]
    fn unusable(&self, error: TlsConfigError) -> DaemonError {
        let (certificate, key) = (self.tls.certificate.display(), self.tls.key.display());
        let text = match &error {
            TlsConfigError::NoCertificate => format!(
                "tls.certificate {certificate} holds no certificate: it must be PEM, with lines that read BEGIN \
                 CERTIFICATE"
            ),
            TlsConfigError::Pem(source) => format!(
                "tls.certificate {certificate} or tls.key {key} is not PEM as it must be ({source}): look for whole \
                 blocks BEGIN CERTIFICATE in the first, and one block BEGIN PRIVATE KEY without a passphrase in the \
                 second"
            ),
            other => format!(
                "tls.certificate {certificate} and tls.key {key} cannot be used: {other}; the first certificate of \
                 the file must be the server's own, and the key its key"
            ),
        };
        DaemonError::failed(text, error)
    }
}

fn protocols(doors: &[Door]) -> Vec<&'static [u8]> {
    let name = |door: &Door| match door {
        Door::Native => ALPN_NATIVE,
        Door::Http => ALPN_HTTP,
    };
    doors.iter().map(name).collect()
}

/// `None` while one of the two is not there.
fn stamps(tls: &Tls) -> Option<[Stamp; 2]> {
    // Of what links lead to: a renewal may change these alone.
    let stamp = |path: &Path| {
        let file = std::fs::metadata(path).ok()?;
        Some((
            file.dev(),
            file.ino(),
            file.size(),
            file.mtime(),
            file.mtime_nsec(),
        ))
    };
    Some([stamp(&tls.certificate)?, stamp(&tls.key)?])
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, DaemonError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => Err(DaemonError::Refused(format!(
            "{key} {} is larger than {FILE_BYTES_MAX} bytes: it is no PEM file of a certificate",
            path.display()
        ))),
        Ok(_) => Ok(bytes),
        Err(error) => Err(DaemonError::failed(
            format!(
                "{key} {} cannot be read: {error}; name a PEM file that this user can read",
                path.display()
            ),
            error,
        )),
    }
}
